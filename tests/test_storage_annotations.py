"""Claims, saved annotations, corrections that stay, and the series they make."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ouvidor.storage import annotations, runs, search, series, workers
from ouvidor.storage import tables as t
from ouvidor.storage.annotations import Correction
from ouvidor.storage.database import Database, StorageError
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import (
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Feedback,
    Sentiment,
    Untagged,
)

LEASE = timedelta(minutes=5)
BAD = Distribution(negative=0.8, neutral=0.1, positive=0.1)


def fill(db: Database, door: Door, now: datetime, size: int = 4) -> None:
    run = runs.open_run(db, source="app", kind="app_store", now=now)
    page = [
        Feedback(
            external_id=str(number),
            text=f"O pix não caiu {number}",
            published_at=datetime(2026, 10, 1 + number % 2, 12, tzinfo=UTC),
            author=f"autor {number}",
        )
        for number in range(size)
    ]
    save_page(db, run, page, None, door=door, now=now)


def claim(db: Database, now: datetime, worker: str, limit: int = 10) -> list[Untagged]:
    return annotations.claim(db, limit=limit, now=now, worker=worker, lease=LEASE)


def say(p: Distribution = BAD, tagger: str = "t1") -> Annotation:
    return Annotation(
        tagger=tagger,
        basis=Basis.TEXT,
        language="pt",
        p=p,
        stars=1.4,
        uncertain=False,
        aspects=(Aspect(touchpoint="billing", p=p, span=(0, 5)),),
    )


def tag(db: Database, now: datetime) -> int:
    claimed = claim(db, now, "elsewhere:1:a")
    return annotations.save(db, [(each, say()) for each in claimed], now=now)


def test_two_workers_never_share_a_feedback(db: Database, door: Door, now: datetime) -> None:
    fill(db, door, now)
    first = claim(db, now, "elsewhere:1:a", limit=3)
    second = claim(db, now, "elsewhere:2:b")

    assert len(first) == 3
    assert len(second) == 1
    assert not {each.id for each in first} & {each.id for each in second}


def test_a_claim_is_free_when_its_lease_ends(db: Database, door: Door, now: datetime) -> None:
    fill(db, door, now)
    claim(db, now, "elsewhere:1:a")

    assert claim(db, now + LEASE, "elsewhere:2:b") == []
    assert len(claim(db, now + LEASE + timedelta(seconds=1), "elsewhere:2:b")) == 4


def test_a_claim_of_a_dead_process_is_free_at_once(db: Database, door: Door, now: datetime) -> None:
    fill(db, door, now)
    host = workers.me().rsplit(":", 2)[0]
    # 2**22 is the highest process number Linux gives; nobody has one above it.
    claim(db, now, f"{host}:{2**22 + 7}:dead")

    assert len(claim(db, now, workers.me())) == 4


def test_an_edit_during_tagging_stays_pending(db: Database, door: Door, now: datetime) -> None:
    fill(db, door, now, size=1)
    [claimed] = claim(db, now, "elsewhere:1:a")
    late = now + runs.LEASE + timedelta(seconds=1)
    run = runs.open_run(db, source="app", kind="app_store", now=late)
    edited = Feedback(external_id="0", text="Resolvido!", published_at=now)
    save_page(db, run, [edited], None, door=door, now=now)

    assert annotations.save(db, [(claimed, say())], now=now) == 0
    assert [each.text for each in claim(db, now, "elsewhere:1:a")] == ["Resolvido!"]


def test_series_count_negatives_mentions_and_total(db: Database, door: Door, now: datetime) -> None:
    fill(db, door, now)
    assert tag(db, now) == 4

    days = series.daily(db, since=date(2026, 10, 1), until=date(2026, 10, 3))
    billing = {each.day.day: each for each in days if each.touchpoint == "billing"}
    assert [billing[day].negatives for day in (1, 2, 3)] == [2, 2, 0]
    assert billing[1].total == 2
    assert billing[1].score_sum == pytest.approx(2 * BAD.score)
    assert not billing[1].observed


def test_series_equal_a_rebuild(db: Database, door: Door, now: datetime) -> None:
    fill(db, door, now, size=50)
    tag(db, now)
    annotations.correct(db, correction(3, sentiment=Sentiment.POSITIVE, at=now))
    before = series.daily(db, since=date(2026, 10, 1), until=date(2026, 10, 3))

    assert series.rebuild(db) == 2
    assert series.daily(db, since=date(2026, 10, 1), until=date(2026, 10, 3)) == before


def correction(feedback_id: int, *, at: datetime, **more: object) -> Correction:
    values: dict[str, object] = {"sentiment": None, "touchpoints": {}, "by": "carla"}
    return Correction(feedback_id=feedback_id, at=at, **(values | more))  # type: ignore[arg-type]


def test_a_correction_survives_tagging_again(db: Database, door: Door, now: datetime) -> None:
    fill(db, door, now, size=1)
    tag(db, now)
    said = correction(
        1,
        at=now,
        sentiment=Sentiment.POSITIVE,
        touchpoints={"billing": None, "delivery": Sentiment.POSITIVE},
    )
    annotations.correct(db, said)
    annotations.request_again(db)
    tag(db, now)

    shown = search.show(db, 1)
    assert shown.annotation is not None
    assert shown.annotation.basis is Basis.HUMAN
    assert shown.annotation.p.sentiment is Sentiment.POSITIVE
    assert [each.touchpoint for each in shown.annotation.aspects] == ["delivery"]
    assert shown.corrections == (said,)


def test_another_tagger_makes_everything_stale(db: Database, door: Door, now: datetime) -> None:
    fill(db, door, now)
    tag(db, now)

    assert annotations.mark_stale(db, "t1") == 0
    assert annotations.mark_stale(db, "t2") == 4
    assert annotations.pending(db) == 4


def test_correcting_what_is_not_there_says_so(db: Database, now: datetime) -> None:
    with pytest.raises(StorageError, match="no tagged feedback 77"):
        annotations.correct(db, correction(77, at=now))


def test_search_begins_with_the_newest_and_ends_with_what_has_no_day(
    db: Database, door: Door, now: datetime
) -> None:
    run = runs.open_run(db, source="app", kind="app_store", now=now)
    days = [1, None, 3, 2, None]
    page = [
        Feedback(
            external_id=str(number),
            text=f"O pix não caiu {number}",
            published_at=day and datetime(2026, 10, day, 12, tzinfo=UTC),
        )
        for number, day in enumerate(days)
    ]
    save_page(db, run, page, None, door=door, now=now)
    # What a first reading finds without a date counts on no day.
    with db.write() as connection:
        undated = t.feedback.c.external_id.in_(["1", "4"])
        connection.execute(t.feedback.update().where(undated).values(day=None))
    assert [each.id for each in search.search(db, search.Wanted())] == [3, 4, 1, 5, 2]


def test_search_folds_case_and_accents_and_never_reads_wildcards(
    db: Database, door: Door, now: datetime
) -> None:
    fill(db, door, now)
    tag(db, now)

    def hits(words: str) -> int:
        return len(list(search.search(db, search.Wanted(words=words))))

    assert hits("PIX nao") == 4
    assert hits("%") == 0
    assert hits("_") == 0
    assert hits("'; DROP TABLE feedback; --") == 0


def test_forgetting_a_person_leaves_nothing(
    db: Database, door: Door, now: datetime, zone: ZoneInfo
) -> None:
    fill(db, door, now, size=2)
    tag(db, now)
    author = search.show(db, 1).feedback.author
    assert author is not None

    assert search.forget(db, author, now=now) == 1
    assert [each.id for each in search.search(db, search.Wanted())] == [2]
    with pytest.raises(StorageError, match="no feedback 1"):
        search.show(db, 1)
    days = series.daily(db, since=date(2026, 10, 1), until=date(2026, 10, 1))
    assert sum(each.total for each in days) == 0
