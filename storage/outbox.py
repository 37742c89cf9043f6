"""Finished messages waiting to be sent: put once by key, leased, sent, marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, or_, select, update

from . import tables as t
from .annotations import release_dead
from .database import Database, upsert


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A claimed message. ``body`` holds the finished bytes: a retry sends the same."""

    id: int
    key: str
    channel: str
    recipient: str
    subject: str
    body: bytes
    attempts: int


def put(
    connection: Connection,
    *,
    key: str,
    channel: str,
    recipient: str,
    subject: str,
    body: bytes,
    now: datetime,
    due_at: datetime | None = None,
    quoted: Sequence[int] = (),
) -> bool:
    """Put a message into the outbox; False when the key is there already (twice is once).

    ``quoted`` are the ids of the feedback it quotes, so that a person's words can be erased.
    """
    values = {
        "key": key,
        "channel": channel,
        "recipient": recipient,
        "subject": subject,
        "body": body,
        "state": "waiting",
        "created_at": now,
        "due_at": due_at or now,
        "quoted": list(quoted),
    }
    statement = upsert(connection, t.message).values(values).on_conflict_do_nothing()
    return connection.execute(statement.returning(t.message.c.id)).first() is not None


def claim(
    db: Database, *, limit: int, now: datetime, worker: str, lease: timedelta
) -> list[Waiting]:
    """Lease due messages; each goes to one sender at a time.

    The attempt is counted here, before the send: a sender that dies has tried.
    """
    free = or_(t.message.c.claimed_until.is_(None), t.message.c.claimed_until < now)
    chosen = (
        select(t.message)
        .where(t.message.c.state == "waiting", t.message.c.due_at <= now, free)
        .order_by(t.message.c.due_at, t.message.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    with db.write() as connection:
        release_dead(connection, t.message)
        rows = connection.execute(chosen).all()
        connection.execute(
            update(t.message)
            .where(t.message.c.id.in_([row.id for row in rows]))
            .values(
                claimed_by=worker,
                claimed_until=now + lease,
                attempts=t.message.c.attempts + 1,
            )
        )
    return [
        Waiting(
            id=row.id,
            key=row.key,
            channel=row.channel,
            recipient=row.recipient,
            subject=row.subject,
            body=row.body,
            attempts=row.attempts + 1,
        )
        for row in rows
    ]


def mark_sent(db: Database, message: Waiting, *, now: datetime, detail: str = "") -> None:
    """It left the house."""
    with db.write() as connection:
        _mark(connection, message, now, "sent", detail, state="sent", sent_at=now)


def mark_retry(
    db: Database, message: Waiting, *, now: datetime, next_at: datetime, detail: str
) -> None:
    """It did not leave; try again at ``next_at``."""
    with db.write() as connection:
        _mark(connection, message, now, "retry", detail, due_at=next_at)


def mark_failed(
    db: Database, message: Waiting, *, now: datetime, detail: str, refuse: bool = False
) -> None:
    """It will never leave; ``refuse`` switches the recipient off until a person says otherwise."""
    with db.write() as connection:
        _mark(connection, message, now, "failed", detail, state="failed")
        if refuse:
            values = {"recipient": message.recipient, "at": now, "detail": detail}
            statement = upsert(connection, t.refusal).values(values)
            connection.execute(statement.on_conflict_do_nothing())


def _mark(
    connection: Connection,
    message: Waiting,
    now: datetime,
    result: str,
    detail: str,
    **values: object,
) -> None:
    free = {"claimed_by": None, "claimed_until": None}
    connection.execute(update(t.message).where(t.message.c.id == message.id).values(values | free))
    connection.execute(
        insert(t.delivery).values(message_id=message.id, at=now, result=result, detail=detail)
    )


def refused(connection: Connection, recipient: str) -> bool:
    """Whether a server has refused this recipient for good."""
    query = select(t.refusal.c.recipient).where(t.refusal.c.recipient == recipient)
    return connection.execute(query).first() is not None


def keys(connection: Connection, prefix: str) -> list[str]:
    """The keys of all messages that begin so."""
    query = select(t.message.c.key).where(t.message.c.key.startswith(prefix, autoescape=True))
    return list(connection.execute(query).scalars())


def counts(db: Database) -> dict[str, int]:
    """How many messages are in each state."""
    query = select(t.message.c.state, func.count()).group_by(t.message.c.state)
    with db.read() as connection:
        return dict(connection.execute(query).all())


def bodies(db: Database, keys: Sequence[str]) -> dict[str, bytes]:
    """The finished bytes of messages by key."""
    query = select(t.message.c.key, t.message.c.body).where(t.message.c.key.in_(keys))
    with db.read() as connection:
        return dict(connection.execute(query).all())
