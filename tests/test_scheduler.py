"""The timetable: due, late, doubled, killed; the reader's own hour through changes of time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update
from stored import stored_in

from ouvidor import scheduler
from ouvidor.children import Children
from ouvidor.cli import main
from ouvidor.config import Schedule, parse
from ouvidor.demo.server import Fault, StandIn
from ouvidor.house import last_week
from ouvidor.scheduler import Did, Reader, Timetable, digest_slot
from ouvidor.storage import due, runs
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database

HOUR = timedelta(hours=1)
ROOT = Path(__file__).parent.parent


def claim(db: Database, name: str, now: datetime, worker: str = "other-host:1:x") -> bool:
    return due.claim_due(db, name, now=now, lease=HOUR, worker=worker)


def test_a_duty_nobody_knows_is_not_due(db: Database, now: datetime) -> None:
    assert not claim(db, "collect:app", now)
    assert due.due_at(db, "collect:app") is None


def test_a_duty_is_due_when_its_time_has_come_and_however_late(db: Database, now: datetime) -> None:
    due.first_due(db, "collect:app", now)
    assert not claim(db, "collect:app", now - timedelta(seconds=1))
    assert claim(db, "collect:app", now + timedelta(days=30))


def test_a_duty_that_is_known_keeps_its_date(db: Database, now: datetime) -> None:
    due.first_due(db, "watch", now + HOUR)
    due.first_due(db, "watch", now)
    assert due.due_at(db, "watch") == now + HOUR


def test_two_clocks_do_a_duty_once(db: Database, now: datetime) -> None:
    due.first_due(db, "watch", now)
    assert claim(db, "watch", now, "one:1:x")
    assert not claim(db, "watch", now, "two:1:x")
    due.done(db, "watch", next_at=now + HOUR, worker="one:1:x")
    assert not claim(db, "watch", now, "two:1:x")
    assert claim(db, "watch", now + HOUR, "two:1:x")


def test_a_lease_that_ended_frees_the_duty(db: Database, now: datetime) -> None:
    due.first_due(db, "watch", now)
    assert claim(db, "watch", now, "one:1:x")
    later = now + HOUR + timedelta(seconds=1)
    assert claim(db, "watch", later, "two:1:x")
    due.done(db, "watch", next_at=later + HOUR, worker="one:1:x")  # too late: it lost the claim
    assert due.due_at(db, "watch") == now


def test_a_dead_clock_of_this_host_frees_its_duties_at_once(db: Database, now: datetime) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    due.first_due(db, "watch", now)
    host = os.uname().nodename
    assert claim(db, "watch", now, f"{host}:{gone.pid}:x")
    assert claim(db, "watch", now, "two:1:x")


def test_a_duty_given_back_stays_due(db: Database, now: datetime) -> None:
    due.first_due(db, "watch", now)
    assert claim(db, "watch", now, "one:1:x")
    due.release(db, "watch", worker="one:1:x")
    assert claim(db, "watch", now, "two:1:x")


def test_duties_are_claimed_together_by_one(db: Database, now: datetime) -> None:
    for name in ("digest:b", "digest:a", "digest:c", "collect:a"):
        due.first_due(db, name, now)
    due.first_due(db, "digest:late", now + HOUR)
    assert claim(db, "digest:c", now)
    names = ["digest:a", "digest:b", "digest:c", "digest:late", "digest:unknown"]
    mine, other = "here:1:a", "elsewhere:1:a"
    taken = due.claim_all(db, names, now=now, lease=HOUR, worker=other)
    assert taken == ["digest:a", "digest:b"]
    assert due.claim_all(db, names, now=now, lease=HOUR, worker=mine) == []
    assert due.claim_all(db, [], now=now, lease=HOUR, worker=mine) == []
    # Who does not hold them changes nothing.
    due.settle_all(db, {"digest:a": now + HOUR, "digest:b": None}, worker=mine)
    assert due.claim_all(db, names, now=now, lease=HOUR, worker=mine) == []
    due.settle_all(db, {"digest:a": now + HOUR, "digest:b": None}, worker=other)
    assert due.claim_all(db, names, now=now, lease=HOUR, worker=other) == ["digest:b"]
    assert due.due_at(db, "digest:a") == now + HOUR


def test_a_claim_is_renewed_by_its_holder_alone(db: Database, now: datetime) -> None:
    due.first_due(db, "watch", now)
    assert claim(db, "watch", now, "one:1:x")
    late = now + HOUR + timedelta(minutes=1)
    due.renew(db, ["watch"], until=now + 3 * HOUR, worker="two:1:x")
    assert claim(db, "watch", late, "two:1:x")
    due.renew(db, ["watch"], until=late + 2 * HOUR, worker="two:1:x")
    assert not claim(db, "watch", late + HOUR + timedelta(seconds=1), "one:1:x")


@pytest.mark.slow
def test_what_takes_long_stays_claimed_and_what_a_lost_host_held_is_soon_free(
    house: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, ours = house, timetable(house, now, [])
    monkeypatch.setattr(scheduler, "RENEWED", timedelta(milliseconds=20))
    seconds = timedelta(seconds=1)
    for name in ("mine", "lost"):
        due.first_due(db, name, now)
    with ours._holding(["mine"]):
        assert due.claim_due(db, "mine", now=now, lease=seconds, worker=ours.me)
        assert due.claim_due(db, "lost", now=now, lease=scheduler.HELD, worker="lost:1:x")
        deadline = time.monotonic() + 60
        while until(db, "mine") == now + seconds and time.monotonic() < deadline:
            time.sleep(0.01)
    assert until(db, "mine") == now + scheduler.HELD
    assert not claim(db, "lost", now + scheduler.HELD, "two:1:x")
    assert claim(db, "lost", now + scheduler.HELD + seconds, "two:1:x")


def until(db: Database, name: str) -> datetime:
    with db.read() as connection:
        query = select(t.due.c.claimed_until).where(t.due.c.name == name)
        return connection.execute(query).scalar_one()


def test_haste_only_ever_brings_forward(db: Database, now: datetime) -> None:
    due.first_due(db, "watch", now)
    due.hasten(db, "watch", now + HOUR)
    assert due.due_at(db, "watch") == now
    due.hasten(db, "watch", now - HOUR)
    assert due.due_at(db, "watch") == now - HOUR


MONDAY_8 = Schedule()


@pytest.mark.parametrize(
    ("zone", "after", "slot"),
    [
        # A Monday at eight in São Paulo is eleven in UTC; the hour itself is not after itself.
        ("America/Sao_Paulo", "2026-10-05T10:59Z", "2026-10-05T11:00Z"),
        ("America/Sao_Paulo", "2026-10-05T11:00Z", "2026-10-12T11:00Z"),
        # The reader's Monday, not UTC's.
        ("Pacific/Auckland", "2026-10-04T18:00Z", "2026-10-04T19:00Z"),
        ("Pacific/Honolulu", "2026-10-05T17:59Z", "2026-10-05T18:00Z"),
        # Berlin turns its clocks on 25 October 2026: the hour stays eight.
        ("Europe/Berlin", "2026-10-19T06:00Z", "2026-10-26T07:00Z"),
        ("Europe/Berlin", "2027-03-22T07:00Z", "2027-03-29T06:00Z"),
    ],
)
def test_the_digest_is_due_at_the_readers_own_hour(zone: str, after: str, slot: str) -> None:
    found = digest_slot(MONDAY_8, ZoneInfo(zone), datetime.fromisoformat(after))
    assert found == datetime.fromisoformat(slot)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(("day", "hour"), [("sunday", 2), ("sunday", 3), ("saturday", 0)])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago", "Asia/Beirut", "UTC"])
def test_whatever_the_clocks_do_there_is_one_digest_a_week(day: str, hour: int, zone: str) -> None:
    schedule = Schedule.model_validate({"digest_day": day, "digest_hour": hour})
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    weeks = set()
    for _ in range(60):
        slot = digest_slot(schedule, ZoneInfo(zone), moment)
        assert moment < slot <= moment + timedelta(days=8)
        # Between two slots the answer never changes: a tick at any time agrees.
        assert digest_slot(schedule, ZoneInfo(zone), slot - timedelta(seconds=1)) == slot
        weeks.add(slot.astimezone(ZoneInfo(zone)).isocalendar()[:2])
        moment = slot
    assert len(weeks) == 60


@pytest.mark.parametrize(
    ("zone", "local"),
    [
        ("America/Sao_Paulo", "2026-10-05T08:00-03:00"),
        # In Tokyo the brand's week ends at noon of its Monday.
        ("Asia/Tokyo", "2026-10-05T12:00+09:00"),
        ("Europe/Lisbon", "2026-10-05T08:00+01:00"),
        ("Pacific/Honolulu", "2026-10-05T08:00-10:00"),
    ],
)
def test_no_reader_is_told_before_the_brands_week_is_over(zone: str, local: str) -> None:
    reader = Reader(MONDAY_8, ZoneInfo(zone), ZoneInfo("America/Sao_Paulo"))
    slot = datetime.fromisoformat(local)
    for before in (1, 3600, 24 * 3600, 6 * 24 * 3600):
        assert reader.slot(slot - timedelta(seconds=before)) == slot
    assert reader.slot(slot) == slot + timedelta(weeks=1)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Europe/Berlin", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("brand", ["America/Sao_Paulo", "America/Santiago", "Pacific/Auckland"])
def test_every_reader_is_told_every_week_of_the_brand_once(zone: str, brand: str) -> None:
    reader = Reader(MONDAY_8, ZoneInfo(zone), ZoneInfo(brand))
    moment, told = datetime(2026, 9, 1, tzinfo=UTC), []
    for _ in range(60):
        moment = reader.slot(moment)
        told.append(last_week(moment.astimezone(ZoneInfo(brand)).date()))
    # Over changes of time and the ISO year's end, with its 53 weeks: none left out, none twice.
    assert told == [told[0] + timedelta(weeks=n) for n in range(60)]


@pytest.mark.parametrize(
    ("now", "week"),
    [
        ("2026-10-04T06:00:00+00:00", "2026-W39"),  # at its hour: the week before, of the brand
        ("2026-10-06T14:00:00+00:00", "2026-W39"),  # the machine slept over Monday
        ("2026-10-11T05:59:59+00:00", "2026-W39"),
        ("2026-10-11T06:00:00+00:00", "2026-W40"),
        ("2026-11-01T06:59:59+00:00", "2026-W42"),  # the clocks go back that night
        ("2026-11-01T07:00:00+00:00", "2026-W43"),
        ("2027-01-10T07:00:00+00:00", "2026-W53"),
    ],
)
def test_a_digest_that_comes_late_tells_the_week_of_its_hour(now: str, week: str) -> None:
    sunday = Schedule.model_validate({"digest_day": "sunday", "digest_hour": 2})
    reader = Reader(sunday, ZoneInfo("America/New_York"), ZoneInfo("America/Sao_Paulo"))
    assert reader.week(datetime.fromisoformat(now)) == week


def test_readers_have_their_own_day_and_hour(house: Database, now: datetime) -> None:
    table = timetable(house, now, [])
    own = {"digest_day": "thursday", "digest_hour": 17, "time_zone": None}
    ana = table.config.subscribers["ana"].model_copy(update=own)
    table.config = table.config.model_copy(update={"subscribers": {"ana": ana}})
    table.announce()
    assert names(house)["digest:ana"] == datetime(2026, 10, 8, 20, tzinfo=UTC)


CONFIGURATION = """
[brand]
name = "Loja"
[sources.a]
kind = "file"
path = "a.csv"
[sources.b]
kind = "file"
path = "none.csv"
[sources.c]
kind = "file"
path = "a.csv"
enabled = false
[touchpoints.entrega]
name = "Entrega"
stage = "after"
topics = ["delivery"]
[subscribers.ana]
address = "ana@example.com"
time_zone = "Asia/Tokyo"
[subscribers.bia]
address = "bia@example.com"
digest = false
[chat.cx]
url = { env = "OUVIDOR_TEST_CHAT" }
digest = true
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUVIDOR_TEST_CHAT", "json://localhost")
    (tmp_path / "ouvidor.toml").write_text(CONFIGURATION)
    (tmp_path / "a.csv").write_text("id,data,nota,comentario\n1,2026-10-01,1,A entrega atrasou\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def house(folder: Path) -> Iterator[Database]:
    database = open_database(stored_in(folder))
    yield database
    database.close()


def timetable(db: Database, now: datetime, told: list[Did]) -> Timetable:
    config = parse(Path("ouvidor.toml").read_text(), folder=Path.cwd())
    return Timetable(config, db, Children(), file=None, moment=now, tell=told.append)


def names(db: Database) -> dict[str, datetime]:
    with db.read() as connection:
        return {row.name: row.due_at for row in connection.execute(select(t.due))}


def test_every_duty_of_the_configuration_is_made_known(house: Database, now: datetime) -> None:
    timetable(house, now, []).announce()
    # Monday noon: São Paulo's eight o'clock was four hours ago and is made up for. Tokyo's was
    # sixteen hours ago, when the brand's week was not over: Ana's waited for its end.
    assert names(house) == {
        "collect:a": now,
        "collect:b": now,
        "annotate": now,
        "watch": now,
        "deliver": now,
        "tidy": now,
        "digest:ana": datetime(2026, 10, 5, 3, tzinfo=UTC),
        "digest:chat/cx": datetime(2026, 10, 5, 11, tzinfo=UTC),
    }
    later = now + timedelta(days=2)
    with house.write() as connection:
        connection.execute(t.due.delete())
    timetable(house, later, []).announce()
    assert names(house)["digest:chat/cx"] == datetime(2026, 10, 12, 11, tzinfo=UTC)


@pytest.mark.slow
def test_a_collector_is_run_when_due_and_rests_when_it_failed(
    house: Database, now: datetime
) -> None:
    told: list[Did] = []
    table = timetable(house, now, told)
    table.announce()
    found = {done.duty: done for done in table.collect()}
    assert {name: done.well for name, done in found.items()} == {
        "collect:a": True,
        "collect:b": False,
    }
    assert found["collect:a"].report["new"] == 1
    assert "none.csv" in found["collect:b"].message
    assert {each.duty for each in told} == set(found)
    some = timedelta(minutes=5)
    assert now + 6 * HOUR <= names(house)["collect:a"] <= now + 6 * HOUR + some
    assert names(house)["collect:b"] == now + HOUR
    assert table.collect() == []
    # Three days late is one run, not twelve.
    late = now + timedelta(days=3)
    assert len(timetable(house, late, told).collect()) == 2
    assert late + 6 * HOUR <= names(house)["collect:a"] <= late + 6 * HOUR + some


def test_a_clock_that_was_wrong_leaves_no_date_behind(house: Database, now: datetime) -> None:
    """For a moment it was 2040: what was put off until then comes at its usual time."""
    wrong = timetable(house, now + timedelta(days=14 * 365), [])
    wrong.announce()
    assert min(names(house).values()) > now + timedelta(days=13 * 365)
    table = timetable(house, now, [])
    assert table.begin() == []
    dates = names(house)
    assert now < dates["collect:a"] <= now + 6 * HOUR + timedelta(minutes=5)
    assert dates["watch"] == now + HOUR
    assert dates["digest:chat/cx"] == datetime(2026, 10, 12, 11, tzinfo=UTC)
    assert dates["tidy"] == now + timedelta(days=1)
    # An hour back is no reason to read or to tell anything again.
    assert timetable(house, now - HOUR, []).begin() == []
    for name in ("collect:a", "collect:b", "digest:ana", "digest:chat/cx"):
        assert names(house)[name] == dates[name]


def test_a_claim_from_a_wrong_clock_is_free(house: Database, now: datetime) -> None:
    due.first_due(house, "watch", now)
    with house.write() as connection:
        values = {"claimed_by": "other-host:1:x", "claimed_until": now + timedelta(days=5000)}
        connection.execute(update(t.due).values(values))
    assert claim(house, "watch", now)


def test_a_run_from_a_wrong_clock_is_no_run(house: Database, now: datetime) -> None:
    def opened(at: datetime) -> runs.Run:
        return runs.open_run(house, source="a", kind="file", now=at)

    opened(now)
    with house.write() as connection:
        wrong = now + timedelta(days=5000)
        values = {"worker": "other-host:1:x", "lease_until": wrong}
        connection.execute(update(t.run).values(values))
    second = opened(now)
    with pytest.raises(runs.RunInProgressError):
        opened(now)
    assert second.started_at == now


def test_a_source_may_have_a_rhythm_and_a_limit_of_its_own(house: Database, now: datetime) -> None:
    file = Path("ouvidor.toml")
    own = 'path = "a.csv"\ncron = "0 3 * * *"\nmax_minutes = 90\n'
    file.write_text(file.read_text().replace('path = "a.csv"\n', own, 1))
    found = {duty.name: duty for duty in timetable(house, now, []).collecting()}
    at = found["collect:a"].again(now, True)
    assert datetime(2026, 10, 6, 6, tzinfo=UTC) <= at <= datetime(2026, 10, 6, 6, 5, tzinfo=UTC)
    assert found["collect:a"].limit == timedelta(minutes=92)
    assert found["collect:b"].limit == timedelta(minutes=30)
    for wrong in ("nan", "-1", "1e9", '"long"', "true"):
        file.write_text(file.read_text().replace("max_minutes = 90", f"max_minutes = {wrong}"))
        [first, *_] = timetable(house, now, []).collecting()
        assert first.limit <= timedelta(minutes=30)
        file.write_text(file.read_text().replace(f"max_minutes = {wrong}", "max_minutes = 90"))


@pytest.mark.slow
def test_a_duty_cut_short_by_our_end_stays_due(house: Database, now: datetime) -> None:
    told: list[Did] = []
    table = timetable(house, now, told)
    table.announce()
    table.children.end()
    assert table.collect() == []
    assert told == []
    assert names(house)["collect:a"] == now
    assert claim(house, "collect:a", now)


@pytest.mark.slow
def test_watch_and_digest_follow(house: Database, now: datetime) -> None:
    for name in ("a", "b"):
        main(["collect", name, "--now", now.isoformat()])
    with house.write() as connection:
        connection.execute(t.feedback.update().values(pending=False))
    told: list[Did] = []
    table = timetable(house, now, told)
    table.announce()
    found = {done.duty: done for done in table.work()}
    # One child tells every reader whose hour has come.
    assert list(found) == ["watch", "digest", "deliver"]
    assert [each["subscriber"] for each in found["digest"].report["posted"]] == ["ana", "chat/cx"]
    assert [name for name, done in found.items() if not done.well] == ["deliver"]
    assert "add a [mail] table" in found["deliver"].message
    after = names(house)
    assert after["annotate"] > now  # nothing waited, so no model was loaded
    # East of the brand, whose own week has to be over first.
    assert after["digest:ana"] == datetime(2026, 10, 12, 3, tzinfo=UTC)
    assert after["digest:chat/cx"] == datetime(2026, 10, 12, 11, tzinfo=UTC)


@pytest.mark.slow
@pytest.mark.slow
def test_many_readers_are_one_child(folder: Path, house: Database, now: datetime) -> None:
    many = "".join(f'[subscribers.r{n}]\naddress = "r{n}@example.com"\n' for n in range(100))
    (folder / "ouvidor.toml").write_text(CONFIGURATION + many)
    for name in ("a", "b"):
        main(["collect", name, "--now", now.isoformat()])
    with house.write() as connection:
        connection.execute(t.feedback.update().values(pending=False))
    told: list[Did] = []
    table = timetable(house, now, told)
    table.announce()
    astray = Timetable(
        table.config, house, Children(), file=folder / "none.toml", moment=now, tell=told.append
    )
    [failed] = [done for done in astray.work() if done.duty == "digest"]
    assert "none.toml" in failed.message
    dates = {name: at for name, at in names(house).items() if name.startswith("digest:")}
    # It went wrong for all of them: all are tried again soon.
    assert len(dates) == 102
    assert set(dates.values()) == {now + timedelta(minutes=15)}
    later = timetable(house, now + timedelta(minutes=15), told)
    [done] = [done for done in later.work() if done.duty == "digest"]
    readers = {each["subscriber"] for each in done.report["posted"]}
    assert readers == {"ana", "chat/cx", *(f"r{n}" for n in range(100))}
    assert done.report["told"] == 102
    assert [each.duty for each in told].count("digest") == 2
    with house.read() as connection:
        assert len(connection.execute(select(t.message.c.id)).all()) == 102


@pytest.mark.slow
def test_readers_cut_short_by_our_end_stay_due(house: Database, now: datetime) -> None:
    for name in ("a", "b"):
        main(["collect", name, "--now", now.isoformat()])
    table = timetable(house, now, [])
    table.announce()
    before = names(house)["digest:ana"]
    table.children.end()
    assert table.work() == []
    assert names(house)["digest:ana"] == before
    assert claim(house, "digest:ana", now)


@pytest.mark.slow
def test_a_source_that_is_just_being_read_holds_no_digest_back(
    house: Database, now: datetime
) -> None:
    for name in ("a", "b"):
        main(["collect", name, "--now", now.isoformat()])
    runs.open_run(house, source="a", kind="file", now=now)
    table = timetable(house, now, [])
    table.announce()
    assert "digest" in [done.duty for done in table.work()]


@pytest.mark.slow
def test_a_house_that_has_read_nothing_yet_tells_no_week(house: Database, now: datetime) -> None:
    table = timetable(house, now, [])
    table.announce()
    assert [done.duty for done in table.work()] == ["watch"]
    assert names(house)["digest:ana"] <= now  # it stays due


@pytest.mark.slow
def test_raw_payloads_are_kept_as_long_as_promised(
    house: Database, now: datetime, folder: Path
) -> None:
    main(["collect", "a", "--now", now.isoformat()])

    def payloads() -> int:
        with house.read() as connection:
            return len(connection.execute(select(t.payload.c.feedback_id)).all())

    for days, left in ((179, 1), (181, 0)):
        table = timetable(house, now + timedelta(days=days), [])
        table.announce()
        table.children.end()  # no duty of its own is needed here
        table.work()
        assert payloads() == left


@pytest.mark.slow
def test_run_says_1_when_a_source_is_in_trouble(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nothing new to tag, so that no model is loaded.
    (folder / "a.csv").write_text("id,data,nota,comentario\n")
    arguments = ["run", "--json", "--now", "2026-10-07T12:00Z"]
    assert main(arguments) == 1
    rows = {row["duty"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["collect:b"]["ok"] is False
    assert rows["watch"]["ok"] is True
    assert "digest" not in rows
    # The second time no source is due.
    assert main(arguments) == 0
    assert "collect" not in capsys.readouterr().out


def serving(command: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


COMMANDS = {
    "verb": [sys.executable, "-m", "ouvidor", "serve"],
    "script": [sys.executable, str(ROOT / "scheduler.py")],
}


@pytest.mark.slow
@pytest.mark.parametrize("how", COMMANDS)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serve_ends_when_asked_and_loses_nothing(
    folder: Path, how: str, number: signal.Signals, code: int
) -> None:
    with StandIn(datetime.now(UTC)) as brand:
        brand.faults["/files"] = Fault(delay=3600)
        hanging = '[sources.h]\nkind = "file"\npath = "files/pesquisa.csv"\n'
        base = f'base_url = "{brand.url}"\n'
        (folder / "ouvidor.toml").write_text('[brand]\nname = "Loja"\n' + hanging + base)
        program = serving(COMMANDS[how], folder)
        while not brand.requests["/files/pesquisa.csv"]:
            assert program.poll() is None
        program.send_signal(number)
        # The promise is five seconds; what is proved here is that it ends at all.
        _, err = program.communicate(timeout=60)
    assert program.returncode == code
    assert "Traceback" not in err
    db = open_database(stored_in(folder))
    assert claim(db, "collect:h", datetime.now(UTC))
    with db.read() as connection:
        open_runs = select(t.run.c.id).where(t.run.c.finished_at.is_(None))
        assert connection.execute(open_runs).all() == []
    db.close()


@pytest.mark.slow
def test_serve_does_what_is_due_and_a_killed_one_is_followed(folder: Path) -> None:
    (folder / "a.csv").write_text("id,data,nota,comentario\n")
    program = serving(COMMANDS["verb"], folder)
    assert program.stderr is not None
    for line in program.stderr:
        if "collect:a" in line:
            assert "ok" in line
            break
    program.kill()
    program.communicate()
    db = open_database(stored_in(folder))
    with db.write() as connection:
        past = {"due_at": datetime(2026, 1, 1, tzinfo=UTC)}
        connection.execute(update(t.due).where(t.due.c.name == "collect:a").values(past))
    db.close()
    second = serving(COMMANDS["verb"], folder)
    assert second.stderr is not None
    assert any("collect:a" in line for line in second.stderr)
    second.terminate()
    second.communicate()
