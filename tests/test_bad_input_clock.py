"""A clock that is set back by an hour: nothing doubled, nothing lost, through the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from bad_input import Shell
from stored import asked

from ouvidor.demo.server import StandIn

HOUR = timedelta(hours=1)
T = datetime.fromisoformat("2026-10-05T00:30-03:00")
"""Half an hour into a Monday: an hour earlier it is another day and another week."""


@pytest.fixture
def brand() -> Iterator[StandIn]:
    with StandIn(T) as server:
        yield server


def at(moment: datetime) -> tuple[str, str]:
    return "--now", moment.isoformat()


def rows(shell: Shell, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """A table as it is, for what no verb shows."""
    query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2"
    return asked(shell.folder, query)


def collected(shell: Shell, brand: StandIn, ours: list[datetime], theirs: list[datetime]) -> Any:
    """What is stored and covered when our clock and theirs go so."""
    shell.configure(
        f'[sources.loja]\nkind = "app_store"\nbase_url = "{brand.url}"\n'
        'app = "1590042871"\ncountry = "br"\n'
    )
    for mine, moment in zip(ours, theirs, strict=True):
        brand.now = moment
        assert shell("collect", *at(mine)).code == 0
    return shell.stored(), rows(shell, "coverage", "day", "whole", "since", "until")


@pytest.mark.slow
def test_what_comes_while_our_clock_is_late_is_read_once(shell: Shell, brand: StandIn) -> None:
    start = T - timedelta(weeks=3)
    theirs = [start, T, T + HOUR, T + 3 * HOUR, T + timedelta(days=5)]
    late = [start, T, T - HOUR, T + 2 * HOUR, T + timedelta(days=5)]
    stored, covered = collected(shell, brand, late, theirs)
    fresh = shell.elsewhere("fresh")
    assert (stored, covered) == collected(fresh, brand, theirs, theirs)
    for each in (shell, fresh):
        ids = [row[0] for row in rows(each, "feedback", "external_id", "source_id")]
        assert len(ids) == len(set(ids)) == len(stored)


def answers(first: date, days: int, negatives: int) -> str:
    """Per day so many of one star, and six of five."""
    lines = []
    for number in range(days):
        day = first + timedelta(days=number)
        for each in range(negatives + 6):
            stars, words = (1, "A entrega atrasou") if each < negatives else (5, "Muito bom")
            lines.append(f"{day}-{each},{day},{stars},{words}\n")
    return "".join(lines)


SOURCE = '[sources.pesquisa]\nkind = "file"\npath = "a.csv"\n'
TOUCHPOINT = (
    '[touchpoints.entrega]\nname = "Entrega"\nstage = "after"\nsources = ["pesquisa"]\n'
    'owner = "log@example.com"\n[subscribers.ana]\naddress = "ana@example.com"\n'
    "[watch]\nshadow_days = 0\n"
)


@pytest.mark.slow
def test_alerts_series_and_digests_are_not_doubled(shell: Shell) -> None:
    shell.configure(SOURCE + TOUCHPOINT)
    history = "id,data,nota,comentario\n" + answers(date(2026, 7, 1), 93, 1)
    shell.write("a.csv", history)
    assert shell("collect", *at(T - timedelta(days=3))).code == 0
    # What a tagger says at its very first reading is past and opens nothing.
    assert shell("annotate", *at(T - timedelta(days=3))).code == 0
    shell.write("a.csv", history + answers(date(2026, 10, 2), 3, 14))
    assert shell("collect", *at(T)).code == 0
    assert shell("annotate", *at(T)).code == 0

    def step(moment: datetime) -> dict[str, Any]:
        assert shell("watch", *at(moment)).code == 0
        assert shell("digest", *at(moment)).code == 0
        [card] = shell("scorecard", "--week", "2026-W40", "--json", *at(moment)).rows
        return {
            "alerts": [row["id"] for row in shell("alerts", "--all", "--json").rows],
            "keys": [row[0] for row in rows(shell, "message", "key", "id")],
            "card": json.dumps(card),
        }

    first = step(T)
    assert len(first["alerts"]) == 1
    assert "digest:ana:2026-W40" in first["keys"]
    said = shell("digest", "--week", "2026-W40", *at(T - HOUR))
    said.because("2026-W40 is not over yet; its digest can be put from the Monday after")
    back = step(T - HOUR)
    # An hour ago it was Sunday: the last whole week was another one, and has its own digest.
    assert set(back["keys"]) - set(first["keys"]) == {"digest:ana:2026-W39"}
    assert (back["alerts"], back["card"]) == (first["alerts"], first["card"])
    assert step(T + HOUR) == back
    states = [row["state"] for row in shell("alerts", "--all", "--json").rows]
    assert states == ["open"]


@pytest.mark.ordeal
def test_the_timetable_does_nothing_twice(shell: Shell) -> None:
    shell.configure(
        f'{SOURCE}[subscribers.ana]\naddress = "ana@example.com"\n[schedule]\ndigest_hour = 0\n'
    )
    shell.write("a.csv", "id,data,nota,comentario\n")
    first = {row["duty"] for row in shell("run", "--json", *at(T)).rows}
    assert {"collect:pesquisa", "digest"} <= first
    keys = rows(shell, "message", "key", "state")
    dates = dict(rows(shell, "due", "name", "due_at"))
    again = {row["duty"] for row in shell("run", "--json", *at(T - HOUR)).rows}
    assert not {"collect:pesquisa", "digest"} & again
    assert rows(shell, "message", "key", "state") == keys
    after = dict(rows(shell, "due", "name", "due_at"))
    for name in ("collect:pesquisa", "digest:ana"):
        assert after[name] == dates[name]
