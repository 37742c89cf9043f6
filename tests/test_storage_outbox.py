"""Twice is once; a lease belongs to one sender; what is refused stays refused."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from ouvidor.storage import outbox
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database
from ouvidor.storage.outbox import Waiting

LEASE = timedelta(minutes=2)


def put(db: Database, now: datetime, key: str = "digest:ana:2026-W40") -> bool:
    with db.write() as connection:
        return outbox.put(
            connection,
            key=key,
            channel="mail",
            recipient="ana@example.com",
            subject="A semana",
            body=b"finished",
            now=now,
        )


def claim(db: Database, now: datetime, worker: str = "elsewhere:1:a") -> list[Waiting]:
    return outbox.claim(db, limit=10, now=now, worker=worker, lease=LEASE)


def test_twice_is_once(db: Database, now: datetime) -> None:
    assert put(db, now)
    assert not put(db, now)
    assert len(claim(db, now)) == 1


def test_two_senders_never_hold_the_same_message(db: Database, now: datetime) -> None:
    put(db, now)
    assert len(claim(db, now, "elsewhere:1:a")) == 1
    assert claim(db, now, "elsewhere:2:b") == []
    [again] = claim(db, now + LEASE + timedelta(seconds=1), "elsewhere:2:b")
    assert (again.body, again.attempts) == (b"finished", 2)


def test_a_retry_waits_for_its_time(db: Database, now: datetime) -> None:
    put(db, now)
    [message] = claim(db, now)
    later = now + timedelta(minutes=10)
    outbox.mark_retry(db, message, now=now, next_at=later, detail="451 busy")

    assert claim(db, now) == []
    assert len(claim(db, later)) == 1


def test_a_refused_recipient_is_remembered(db: Database, now: datetime) -> None:
    put(db, now)
    [message] = claim(db, now)
    outbox.mark_failed(db, message, now=now, detail="550 no such user", refuse=True)

    assert outbox.counts(db) == {"failed": 1}
    with db.read() as connection:
        assert outbox.refused(connection, "ana@example.com")
        assert not outbox.refused(connection, "bento@example.com")
        assert connection.execute(select(t.delivery.c.detail)).scalar_one() == "550 no such user"
