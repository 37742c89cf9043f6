"""What a page leaves behind: stored once, revised on an edit, counted, covered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import zstandard
from sqlalchemy import func, select

from ouvidor.storage import runs, series
from ouvidor.storage import tables as t
from ouvidor.storage.bulk import insert_many
from ouvidor.storage.database import Database, StorageError, open_database
from ouvidor.storage.feedback import Door, Saved, save_page
from ouvidor.storage.runs import Run, Verdict
from ouvidor.storage.vocabulary import Checkpoint, Feedback, Outcome, Reply


def begin(db: Database, now: datetime, source: str = "app") -> Run:
    return runs.open_run(db, source=source, kind="app_store", now=now)


def finish(
    db: Database, run: Run, zone: ZoneInfo, covered: tuple[datetime, datetime] | None = None
) -> None:
    verdict = Verdict(outcome=Outcome.COMPLETE, message="all read", joined=True, covered=covered)
    runs.close_run(db, run, verdict, now=run.started_at + timedelta(minutes=1), zone=zone)


def review(number: int, text: str = "Chegou rápido", **more: object) -> Feedback:
    values: dict[str, object] = {
        "external_id": str(number),
        "text": text,
        "stars": 5,
        "published_at": datetime(2026, 10, 1, 12, tzinfo=UTC) - timedelta(days=number),
        "author": "Zuleide",
        "raw": f"<entry>{number} Zuleide</entry>",
    }
    return Feedback(**(values | more))  # type: ignore[arg-type]


def count(db: Database, table: object) -> int:
    with db.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def test_the_same_page_twice_changes_nothing(db: Database, door: Door, now: datetime) -> None:
    run = begin(db, now)
    page = [review(number) for number in range(3)]

    first = save_page(db, run, page, None, door=door, now=now)
    second = save_page(db, run, page, None, door=door, now=now)

    assert first == Saved(
        new=3, changed=0, unchanged=0, settled=0, fresh=frozenset({"0", "1", "2"})
    )
    assert second == Saved(new=0, changed=0, unchanged=3, settled=0)
    assert count(db, t.feedback) == 3
    assert count(db, t.revision) == 0


def test_a_text_that_is_withheld_stays_as_it_was(db: Database, door: Door, now: datetime) -> None:
    run = begin(db, now)
    save_page(db, run, [review(1), review(2, "")], None, door=door, now=now)

    withheld = [review(number, "", text_withheld=True) for number in (1, 2, 3)]
    again = save_page(db, run, withheld, None, door=door, now=now)
    told = replace(withheld[0], stars=1)
    changed = save_page(db, run, [told], None, door=door, now=now)
    emptied = save_page(db, run, [replace(told, text_withheld=False)], None, door=door, now=now)

    assert replace(again, fresh=frozenset()) == Saved(new=1, changed=0, unchanged=2, settled=0)
    assert len(again.fresh) == 1
    assert (changed.changed, emptied.changed) == (1, 1)
    states = select(t.revision.c.text, t.revision.c.stars).order_by(t.revision.c.id)
    with db.read() as connection:
        before = [tuple(row) for row in connection.execute(states)]
        texts = connection.execute(select(t.feedback.c.text)).scalars().all()
    # Stars change under a text that stays; where nothing is withheld, emptying it is an edit.
    assert before == [("Chegou rápido", 5), ("Chegou rápido", 1)]
    assert texts == ["", "", ""]


@pytest.mark.parametrize(
    "edit",
    [
        {"text": "Chegou quebrado"},
        {"stars": 1},
        {"title": "Mudei de ideia"},
        {"reply": Reply(text="Sentimos muito", at=datetime(2026, 10, 2, tzinfo=UTC))},
    ],
)
def test_an_edit_makes_exactly_one_revision(
    db: Database, door: Door, now: datetime, edit: dict[str, object]
) -> None:
    run = begin(db, now)
    save_page(db, run, [review(1)], None, door=door, now=now)

    saved = save_page(db, run, [review(1, **edit)], None, door=door, now=now)  # type: ignore[arg-type]
    save_page(db, run, [review(1, **edit)], None, door=door, now=now)  # type: ignore[arg-type]

    assert saved.changed == 1
    with db.read() as connection:
        revision = connection.execute(select(t.revision)).one()
    assert (revision.text, revision.stars) == ("Chegou rápido", 5)


def test_an_edit_stays_on_its_day(db: Database, door: Door, now: datetime) -> None:
    run = begin(db, now)
    save_page(db, run, [review(1)], None, door=door, now=now)
    later = now + timedelta(days=3)
    save_page(db, run, [review(1, "Outra", edited_at=later)], None, door=door, now=later)

    with db.read() as connection:
        assert connection.execute(select(t.feedback.c.day)).scalar_one() == date(2026, 9, 30)


def test_a_feed_whose_only_date_moves_with_the_edit_keeps_the_day(
    db: Database, door: Door, now: datetime
) -> None:
    run = begin(db, now)
    save_page(db, run, [review(1)], None, door=door, now=now)
    moved = review(1, "Outra", published_at=now, edited_at=now)
    save_page(db, run, [moved], None, door=door, now=now)

    with db.read() as connection:
        row = connection.execute(select(t.feedback)).one()
    assert row.day == date(2026, 9, 30)
    assert row.edited_at == now


def test_an_older_state_that_arrives_late_is_no_edit(
    db: Database, door: Door, now: datetime
) -> None:
    run = begin(db, now)
    newer = review(1, "Nova", edited_at=now)
    save_page(db, run, [newer], None, door=door, now=now)
    older = review(1, "Velha", edited_at=now - timedelta(hours=1))

    assert save_page(db, run, [older], None, door=door, now=now).unchanged == 1
    with db.read() as connection:
        assert connection.execute(select(t.feedback.c.text)).scalar_one() == "Nova"


def test_settled_means_known_when_ground_was_last_joined(
    db: Database, door: Door, now: datetime, zone: ZoneInfo
) -> None:
    run = begin(db, now)
    save_page(db, run, [review(1), review(2)], None, door=door, now=now)
    finish(db, run, zone)
    run = begin(db, now + timedelta(days=1))

    saved = save_page(
        db, run, [review(1, "Editada"), review(2), review(3)], None, door=door, now=now
    )
    again = save_page(
        db, run, [review(1, "Editada"), review(2), review(3)], None, door=door, now=now
    )

    assert replace(saved, fresh=frozenset()) == Saved(new=1, changed=1, unchanged=1, settled=1)
    assert len(saved.fresh) == 1
    assert again == Saved(new=0, changed=0, unchanged=3, settled=1)


def test_page_and_checkpoint_share_one_transaction(db: Database, door: Door, now: datetime) -> None:
    run = begin(db, now)
    broken = review(2, stars=9)

    with pytest.raises(Exception, match=r"(?i)check"):
        save_page(
            db,
            run,
            [review(1), broken],
            Checkpoint(version=1, value={"page": 2}),
            door=door,
            now=now,
        )

    assert count(db, t.feedback) == 0
    assert count(db, t.checkpoint) == 0


def test_the_author_is_readable_nowhere(db: Database, door: Door, now: datetime) -> None:
    save_page(db, begin(db, now), [review(1)], None, door=door, now=now)

    with db.read() as connection:
        row = connection.execute(select(t.feedback)).one()
        payload = connection.execute(select(t.payload.c.body)).scalar_one()
    assert row.author.startswith("p-")
    assert b"Zuleide" not in zstandard.decompress(payload)
    assert "Zuleide" not in str(row)


def test_without_a_date_it_counts_on_the_day_first_seen_but_never_in_a_first_run(
    db: Database, door: Door, now: datetime, zone: ZoneInfo
) -> None:
    run = begin(db, now)
    save_page(db, run, [review(1, published_at=None)], None, door=door, now=now)
    finish(db, run, zone)
    run = begin(db, now + timedelta(days=1))
    tomorrow = now + timedelta(days=1)
    save_page(db, run, [review(2, published_at=None)], None, door=door, now=tomorrow)

    with db.read() as connection:
        days = dict(connection.execute(select(t.feedback.c.external_id, t.feedback.c.day)).all())
    assert days == {"1": None, "2": date(2026, 10, 6)}


def test_days_are_the_brands_days(db: Database, door: Door, now: datetime) -> None:
    late = datetime(2026, 10, 2, 2, 30, tzinfo=UTC)
    save_page(db, begin(db, now), [review(1, published_at=late)], None, door=door, now=now)

    with db.read() as connection:
        assert connection.execute(select(t.feedback.c.day)).scalar_one() == date(2026, 10, 1)


def test_coverage_is_whole_only_for_days_read_to_their_end(
    db: Database, door: Door, now: datetime, zone: ZoneInfo
) -> None:
    start = datetime(2026, 10, 3, 15, tzinfo=UTC)
    run = begin(db, now)
    finish(db, run, zone, covered=(start, now))

    days = {each.day: each.observed for each in one_source(db)}
    assert days == {date(2026, 10, 3): False, date(2026, 10, 4): True, date(2026, 10, 5): False}

    next_day = now + timedelta(days=1)
    run = begin(db, next_day)
    finish(db, run, zone, covered=(now, next_day))
    assert {each.day: each.observed for each in one_source(db)}[date(2026, 10, 5)]


def one_source(db: Database) -> list[series.SeriesDay]:
    return series.daily(db, since=date(2026, 10, 3), until=date(2026, 10, 5))


def test_a_gap_between_two_spans_of_one_day_is_not_papered_over(
    db: Database, now: datetime, zone: ZoneInfo
) -> None:
    morning = datetime(2026, 10, 4, 3, tzinfo=UTC)
    finish(db, begin(db, now), zone, covered=(morning, morning + timedelta(hours=8)))
    finish(
        db,
        begin(db, now),
        zone,
        covered=(morning + timedelta(hours=10), morning + timedelta(hours=24)),
    )

    assert not any(day.observed for day in one_source(db))


def test_one_run_per_source_and_the_dead_are_buried(
    db: Database, door: Door, now: datetime
) -> None:
    first = begin(db, now)
    with pytest.raises(runs.RunInProgressError, match="another process"):
        begin(db, now)

    late = now + runs.LEASE + timedelta(seconds=1)
    second = begin(db, late)

    assert second.id != first.id
    with pytest.raises(StorageError, match="taken for dead"):
        save_page(db, first, [review(1)], None, door=door, now=late)
    assert count(db, t.feedback) == 0
    with db.read() as connection:
        outcome = connection.execute(select(t.run.c.outcome).where(t.run.c.id == first.id))
        assert outcome.scalar_one() == Outcome.PARTIAL


@pytest.mark.slow
def test_ten_thousand_in_one_page(db: Database, door: Door, now: datetime) -> None:
    run = begin(db, now)
    page = [review(0, external_id=str(number)) for number in range(10_000)]

    assert save_page(db, run, page, None, door=door, now=now).new == 10_000
    assert save_page(db, run, page, None, door=door, now=now).unchanged == 10_000


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT id FROM feedback WHERE pending = 1 ORDER BY id LIMIT 5", "ix_feedback_pending"),
        (
            "UPDATE feedback SET settled = 1 WHERE source_id = 1 AND settled = 0",
            "ix_feedback_unsettled",
        ),
        (
            "SELECT DISTINCT claimed_by FROM feedback WHERE claimed_by IS NOT NULL",
            "ix_feedback_claimed_by",
        ),
    ],
)
def test_hot_queries_read_a_partial_index(tmp_path: Path, query: str, index: str) -> None:
    db = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    with db.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
    db.close()
    assert index in str(plan)


def test_rows_may_share_values_and_carry_what_is_no_column(db: Database, now: datetime) -> None:
    source = runs.open_run(db, source="app", kind="app_store", now=now).source_id
    rows = [{"mark": mark, "_note": mark * 2} for mark in ("a", "b")]

    with db.write() as connection:
        insert_many(connection, t.forgotten, rows, common={"source_id": source, "at": now})
        insert_many(connection, t.forgotten, [], common={"source_id": source, "at": now})

    with db.read() as connection:
        found = connection.execute(select(t.forgotten).order_by(t.forgotten.c.mark)).all()
    assert [tuple(row) for row in found] == [(source, "a", now), (source, "b", now)]
