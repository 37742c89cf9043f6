"""Two hours of faults with thirty sources in one house, on a clock of its own.

Every ten minutes each source is read while people write into it, servers fail and processes die.
After each run nothing may be lost or claimed that is not so (`histories.life`), and in the end all
of it is known; what the hosts saw was one polite guest.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice, pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select

pytest.register_assert_rewrite("histories.life")

from histories import life as lives  # noqa: E402 - after the rewrite
from histories.drawing import FAULTS, Crash, Fault, History, Turn  # noqa: E402 - same
from histories.life import House, Life  # noqa: E402 - same
from histories.shapes import SHAPES  # noqa: E402 - same
from histories.world import Event, What  # noqa: E402 - same

from ouvidor.storage import tables as t  # noqa: E402 - same

pytestmark = [pytest.mark.ordeal, pytest.mark.timeout(600)]

SOURCES, EVERY, HOURS = 30, 10, 2
ROUNDS = HOURS * 60 // EVERY
DELAY = 0.04
"""Seconds between two requests to a host, as configured here."""
HARDLY = 0.5
"""A busy machine notes one request later than the next: a share of the delay is certain."""


class Chance:
    """What happens, by a seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)  # noqa: S311 - a repeatable story, no secret

    def events(self, life: Life, most: int) -> tuple[Event, ...]:
        whats = [What.NEW] * 3 + sorted(life.shape.carries - {What.ECHO})
        count = self.draw.randint(0, most)
        draw = self.draw
        return tuple(
            Event(draw.choice(whats), draw.randint(0, 11), draw.randint(0, 40))
            for _ in range(count)
        )

    def turn(self, life: Life) -> Turn:
        draw = self.draw
        fault = Fault(draw.randint(0, 3), draw.choice(FAULTS)) if draw.random() < 0.3 else None
        crash = Crash(draw.randint(1, 6), draw.random() < 0.5) if draw.random() < 0.15 else None
        during = tuple(self.events(life, 2) for _ in range(draw.randint(0, 2)))
        return Turn(EVERY, self.events(life, 3), during, fault, crash)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setitem(lives.MANNERS, "delay", DELAY)
    with House(f"sqlite:///{tmp_path / 'ouvidor.db'}", tmp_path) as house:
        yield house


def settle(house: House, tmp_path: Path) -> list[Life]:
    """Thirty sources of every shape, each with a folder and a world of its own."""
    found = []
    for number, shape in enumerate(islice(cycle(SHAPES), SOURCES)):
        folder = tmp_path / f"s{number}"
        folder.mkdir()
        history = History(shape, size=3, reach=3, turns=(), start=4)
        found.append(Life(house, history, folder, f"s{number}"))
    return found


def polite(house: House) -> float:
    """The most requests a second that the host saw in the last run; raises where it was pressed."""
    host = house.host
    gaps = [after - before for before, after in pairwise(host.times)]
    assert host.busiest <= 1
    assert all(gap >= DELAY * HARDLY for gap in gaps), gaps
    return max((1 / gap for gap in gaps), default=0.0)


def test_thirty_sources_survive_two_hours(house: House, tmp_path: Path) -> None:
    chance, sources = Chance(6), settle(house, tmp_path)
    seen: Counter[str] = Counter()
    fastest = 0.0
    for _ in range(ROUNDS):
        for life in sources:
            turn = chance.turn(life)
            life.turn(turn)
            seen.update({"runs": 1, "faults": bool(turn.fault), "crashes": bool(turn.crash)})
            if life.shape.web:
                fastest = max(fastest, polite(house))
    for life in sources:
        life.end()
    sources[0].compare_series()
    with house.db.read() as connection:
        runs = dict(
            connection.execute(
                select(t.source.c.name, func.count())
                .join_from(t.run, t.source)
                .group_by(t.source.c.name)
            ).all()
        )
        kept = connection.execute(select(func.count()).select_from(t.feedback)).scalar_one()
    # Nobody waited for another: each had its run in each round.
    assert len(runs) == SOURCES
    assert min(runs.values()) >= ROUNDS
    assert fastest <= 1 / (DELAY * HARDLY)
    print(  # noqa: T201 - what was shown, for whoever reads the log of the ordeal
        f"{seen['runs']} runs, {seen['faults']} with a fault, {seen['crashes']} killed; "
        f"{kept} pieces kept; at most {fastest:.0f} requests a second and host at a delay "
        f"of {DELAY} s"
    )
