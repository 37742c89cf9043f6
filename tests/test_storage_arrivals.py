from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ouvidor.storage import runs
from ouvidor.storage.arrivals import AGES, completeness
from ouvidor.storage.database import Database
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import Feedback, Outcome

FIRST = date(2026, 6, 1)


def read(db: Database, door: Door, day: date, days: list[date], number: int) -> None:
    """One reading on the morning of ``day`` that brings a piece of feedback of each of ``days``."""
    now = datetime.combine(day, time(6), tzinfo=door.zone)
    run = runs.open_run(db, source="loja", kind="file", now=now)
    items = [
        Feedback(
            external_id=f"{day}-{one}-{each}",
            text="ruim",
            published_at=datetime.combine(one, time(12), tzinfo=door.zone),
        )
        for one in days
        for each in range(number)
    ]
    save_page(db, run, items, None, door=door, now=now)
    verdict = runs.Verdict(outcome=Outcome.COMPLETE, message="", joined=True)
    runs.close_run(db, run, verdict, now=now, zone=door.zone)


def back(day: date, *steps: int) -> list[date]:
    return [day - timedelta(days=step) for step in steps]


def test_the_part_of_a_day_that_is_known_grows_with_its_age(
    db: Database, door: Door, zone: ZoneInfo
) -> None:
    # The back-fill tells nothing; then every morning brings 2 of yesterday and 2 of four days ago.
    read(db, door, FIRST, back(FIRST, 30, 31, 32), 9)
    for step in range(1, 41):
        day = FIRST + timedelta(days=step)
        read(db, door, day, back(day, 1, 4), 2)
    until = FIRST + timedelta(days=40)
    parts = completeness(db, until=until, zone=zone)["loja"]
    assert len(parts) == AGES
    assert parts[0] == parts[2]
    assert 0.5 < parts[0] < 0.6
    assert parts[3] == parts[-1] == 1


def test_an_outage_and_a_back_fill_are_no_delay_of_the_source(
    db: Database, door: Door, zone: ZoneInfo
) -> None:
    read(db, door, FIRST, back(FIRST, 1), 1)
    days = [step for step in range(1, 40) if step not in range(10, 15)]
    for step in days:
        day = FIRST + timedelta(days=step)
        read(db, door, day, back(day, 1, *((2, 3, 4, 5, 6) if step == 15 else ())), 3)
    old = FIRST + timedelta(days=41)
    read(db, door, old, back(old, 30), 50)
    parts = completeness(db, until=old, zone=zone)["loja"]
    assert set(parts) == {1.0}
    assert completeness(db, until=FIRST - timedelta(days=200), zone=zone) == {}
