"""What the operator hears of: sources that are silent, unread, or have lost a field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from stored import stored_in

from ouvidor.cli import main
from ouvidor.config import ConfigError, parse
from ouvidor.reports.silence import Concern, What, concern, judge
from ouvidor.reports.vigil import told_so_far, vigil
from ouvidor.reports.vigil_letter import News, write
from ouvidor.storage import outbox, pulse, runs
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.pulse import DayState, PastRun
from ouvidor.storage.vocabulary import Outcome

ZONE = ZoneInfo("America/Sao_Paulo")
START = datetime(2026, 9, 1, 12, tzinfo=UTC)
EVERY = timedelta(hours=6)
DAY = timedelta(days=1)
GOOD, BAD = Outcome.COMPLETE, Outcome.BLOCKED
CONFIGURATION = """
[brand]
name = "Loja Exemplo"
[operator]
address = "ops@example.com"
[sources.app]
kind = "file"
path = "app.csv"
"""


def run(day: float, new: int = 1, outcome: Outcome = GOOD, **more: Any) -> PastRun:
    told = {"joined": outcome.good, "first": False, "message": "Why.", "gap": None}
    told |= {"fields": {}, "brought": {}}
    return PastRun(at=START + day * DAY, outcome=outcome, new=new, **(told | more))


def found(past: Sequence[PastRun], day: float) -> list[Concern]:
    return judge("app", past, now=START + day * DAY, every=EVERY)


# --- silence ----------------------------------------------------------------------------------


def test_a_source_that_spoke_every_day_is_missed_after_two() -> None:
    past = [run(day) for day in range(10)] + [run(9 + n, new=0) for n in (1, 2, 3)]
    assert found(past[:12], 10.9) == []
    (silent,) = found(past, 12)
    assert (silent.what, silent.since, silent.usual) == (What.SILENT, START + 9 * DAY, 2 * DAY)


def test_a_source_that_speaks_once_a_month_is_not_missed_for_two() -> None:
    past = [run(30 * n) for n in range(8)] + [run(210 + n, new=0) for n in range(1, 65)]
    assert found(past, 269) == []
    assert [each.what for each in found(past, 271)] == [What.SILENT]


def test_little_known_is_no_habit() -> None:
    past = [run(0), run(1), run(2, new=0)]
    assert found(past, 40) == []
    assert [each.what for each in found(past, 62)] == [What.SILENT]


def test_one_long_pause_among_many_is_an_accident() -> None:
    past = [run(day) for day in [*range(15), *range(45, 60)]] + [run(60, new=0)]
    assert [each.what for each in found(past, 62)] == [What.SILENT]


def test_what_never_began_is_told_after_two_weeks() -> None:
    past = [run(day, new=0) for day in range(20)]
    assert found(past[:13], 13) == []
    (never,) = found(past, 14)
    assert (never.what, never.since) == (What.NEVER, None)


def test_nothing_is_made_of_the_silence_of_what_cannot_be_read() -> None:
    past = [run(day) for day in range(9)]
    past += [run(9 + n, 0, BAD, message="Refused (403); ask for access.") for n in (0, 1, 4)]
    assert found(past[:11], 9.5) == []
    (unread,) = found(past, 13)
    assert (unread.what, unread.since) == (What.UNREAD, START + 8 * DAY)
    assert "ask for access" in unread.why
    assert found([*past, run(13.1, new=3)], 13.2) == []


def test_a_source_without_any_run_is_no_news() -> None:
    assert found([], 30) == []


def test_each_country_falls_silent_by_itself() -> None:
    past = [run(day, brought={"BR": 3, "PT": 1}) for day in range(8)]
    past += [run(8 + n, brought={"BR": 2}) for n in range(4)]
    (silent,) = found(past, 11)
    assert (silent.what, silent.part, silent.since) == (What.SILENT, "PT", START + 7 * DAY)


def test_a_place_that_is_configured_and_never_spoke_is_told() -> None:
    past = [run(day, brought={"7": 1, "8": 0}) for day in range(16)]
    (never,) = found(past, 15.5)
    assert (never.what, never.part) == (What.NEVER, "8")


def test_a_source_that_is_silent_is_told_once_and_not_for_every_country() -> None:
    past = [run(day, brought={"BR": 3, "PT": 1}) for day in range(8)] + [run(12, new=0)]
    assert [each.part for each in found(past, 12)] == [""]


# --- fields -----------------------------------------------------------------------------------


def read(day: float, count: int, **fields: int) -> PastRun:
    return run(day, fields={"": count, "text": count, **fields})


def test_a_field_that_is_no_longer_found_is_told() -> None:
    past = [read(day, 10, reply=5) for day in range(10)] + [read(10 + n, 10) for n in range(5)]
    assert found(past[:14], 13) == []
    (lost,) = found(past, 14)
    assert (lost.what, lost.field, lost.runs) == (What.FIELD, "reply", 5)
    assert lost.since == START + 9 * DAY
    assert found([*past, read(15, 10, reply=1)], 15) == []


def test_a_rare_field_may_be_missing_for_long() -> None:
    past = [read(day, 10, reply=int(day == 3)) for day in range(10)]
    past += [read(10 + n, 10) for n in range(15)]
    assert found(past, 24) == []


def test_runs_without_anything_are_no_misses() -> None:
    past = [read(day, 10, reply=9) for day in range(10)] + [run(10 + n) for n in range(9)]
    assert found(past, 18) == []


# --- telling ----------------------------------------------------------------------------------


def put(db: Database, past: Mapping[float, tuple[int, Outcome]], **details: Any) -> None:
    """Runs as they stand in the database."""
    for day, (new, outcome) in past.items():
        at = START + day * DAY
        opened = runs.open_run(db, source="app", kind="file", now=at)
        whole = (at - DAY, at) if outcome.good else None
        verdict = runs.Verdict(
            outcome=outcome, message="Why.", joined=outcome.good, covered=whole, details=details
        )
        runs.close_run(db, opened, verdict, now=at, zone=ZONE)
        with db.write() as connection:
            connection.execute(t.run.update().where(t.run.c.id == opened.id).values(new=new))


def subjects(db: Database) -> list[str]:
    with db.read() as connection:
        rows = connection.execute(t.message.select().order_by(t.message.c.id)).all()
    return [str(row.subject) for row in rows]


def test_a_worry_is_told_once_and_once_when_it_is_over(db: Database) -> None:
    config = parse(CONFIGURATION)
    put(db, dict.fromkeys(range(8), (1, GOOD)))
    vigil(db, config, now=START + 8 * DAY)
    assert subjects(db) == []
    put(db, {8 + n: (0, GOOD) for n in range(4)})
    for hours in range(3):
        vigil(db, config, now=START + 11 * DAY + timedelta(hours=hours))
    assert subjects(db) == ["Loja Exemplo: app precisa de atenção"]
    put(db, {12: (5, GOOD)})
    for hours in range(3):
        assert vigil(db, config, now=START + 12 * DAY + timedelta(hours=hours)) == []
    assert subjects(db)[1:] == ["Loja Exemplo: app voltou ao normal"]
    put(db, {13 + n: (0, BAD) for n in range(4)})
    vigil(db, config, now=START + 16 * DAY)
    assert len(subjects(db)) == 3
    with db.read() as connection:
        assert len(outbox.keys(connection, "vigil:ops@example.com:+")) == 2


def test_a_source_taken_out_of_the_configuration_is_not_called_well(db: Database) -> None:
    put(db, {0: (0, BAD), 3: (0, BAD)})
    vigil(db, parse(CONFIGURATION), now=START + 3 * DAY)
    without = parse(CONFIGURATION.partition("[sources")[0])
    assert vigil(db, without, now=START + 4 * DAY) == []
    assert len(subjects(db)) == 1


def test_without_an_operator_nobody_is_told_and_it_is_found_all_the_same(db: Database) -> None:
    put(db, {0: (0, BAD), 3: (0, BAD)})
    config = parse(CONFIGURATION.replace("[operator]\naddress", "#"))
    assert [each.what for each in vigil(db, config, now=START + 3 * DAY)] == [What.UNREAD]
    assert subjects(db) == []


def test_the_operator_may_be_a_chat_that_is_configured(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOM", "json://127.0.0.1/")
    text = CONFIGURATION.replace('address = "ops@example.com"', 'chat = ["ops"]')
    with pytest.raises(ConfigError, match=r"operator\.chat names 'ops', which is unknown"):
        parse(text)
    config = parse(f'{text}\n[chat.ops]\nurl = {{ env = "ROOM" }}\nlocale = "es"\n')
    put(db, {0: (0, BAD), 3: (0, BAD)})
    vigil(db, config, now=START + 3 * DAY)
    assert subjects(db) == ["Loja Exemplo: app necesita atención"]


@pytest.mark.parametrize("locale", ["pt-BR", "es", "en"])
def test_the_letter_says_what_since_when_and_why(locale: str) -> None:
    worries = [
        Concern(what=What.UNREAD, source="ra", since=START, why="Refused <b>(403)</b>."),
        Concern(what=What.NEVER, source="shops", part="639", since=None),
        Concern(what=What.SILENT, source="app", part="PT", since=START, usual=3 * DAY),
        Concern(what=What.FIELD, source="play", field="reply", since=START, runs=7),
    ]
    over = [each.key for each in worries]
    rendered = write("Loja", News(worries, over), locale, ZONE)
    for words in ("Refused <b>(403)</b>.", "shops · 639", "app · PT", "reply", "3", "7"):
        assert words in " ".join(rendered.text.split())
    assert "&lt;b&gt;" in rendered.html
    assert rendered.text.count("* ") == 8
    assert "%(" not in rendered.text + rendered.html + rendered.subject
    assert write("Loja", News([], over), locale, ZONE).subject != rendered.subject


def test_the_mail_can_be_sent_as_it_stands(db: Database) -> None:
    put(db, {0: (0, BAD), 3: (0, BAD)})
    vigil(db, parse(CONFIGURATION), now=START + 3 * DAY)
    with db.read() as connection:
        row = connection.execute(t.message.select()).one()
    mail = message_from_bytes(row.body, policy=default)
    body = mail.get_body(("plain",))
    assert (row.channel, mail["To"]) == ("mail", "ops@example.com")
    assert body is not None
    assert "nunca foi lida" in body.get_content()


def test_a_key_tells_what_it_stands_for() -> None:
    part = "Loja São João: centro ~|1 " + "x" * 99
    one = Concern(what=What.FIELD, source="a.b-c", part=part, field="no te", since=START)
    again = concern(one.key)
    assert " " not in one.key
    assert (again.what, again.source, again.field) == (one.what, one.source, one.field)
    assert part.startswith(again.part)
    assert told_so_far([f"v:+{one.key} +x", "v:-x"], "v:") == {one.key}


# --- days -------------------------------------------------------------------------------------


def test_each_day_has_its_state(db: Database) -> None:
    put(db, {0: (1, GOOD), 1: (0, GOOD), 3: (0, BAD), 4: (0, Outcome.SUSPECT)})
    since, until = START + 5.5 * DAY, START + 6.5 * DAY
    put(db, {7: (1, Outcome.CAPPED)}, gap={"since": since.isoformat(), "until": until.isoformat()})
    past = pulse.past_runs(db, "app", since=START)
    days = pulse.days(db, "app", past, since=date(2026, 8, 30), until=date(2026, 9, 8), zone=ZONE)
    assert [state.value for state in days.values()] == [
        *("gap", "partly", "observed", "partly", "gap", "blocked", "suspect"),
        *("capped", "capped", "partly"),
    ]
    assert days[date(2026, 9, 1)] is DayState.OBSERVED


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ouvidor.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sources_and_status_tell_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db = open_database(stored_in(folder))
    put(db, {0: (1, GOOD), 1: (0, BAD), 4: (0, BAD)})
    db.close()
    now = ["--now", "2026-09-05T18:00Z"]
    assert main(["sources", "--days", "3", "--json", *now]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert [each["state"] for each in row["days"]] == ["gap", "gap", "blocked"]
    assert [each["what"] for each in row["concerns"]] == ["unread"]
    assert main(["sources", "app", "--days", "3", *now]) == 0
    told = capsys.readouterr()
    assert "2026-09-03 to 2026-09-04  gap" in told.out
    assert "has not been read to the end since" in told.err
    assert main(["status", "--json", *now]) == 1
    status = json.loads(capsys.readouterr().out)
    assert (status["well"], status["sources"]) == (False, 1)
    assert main(["sources", "nix", *now]) == 2


def test_status_is_well_where_nothing_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = open_database(stored_in(folder))
    put(db, {0: (1, GOOD), 1: (1, GOOD)})
    db.close()
    assert main(["status", "--now", "2026-09-02T18:00Z"]) == 0
    assert "All is well." in capsys.readouterr().out
