"""What is not kept for ever: payloads, words, identities, contacts, lines of the audit.

What was counted stays: annotations, series, stars, days. Rows are found first and changed a slice
at a time, so that nobody waits long for the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    case,
    delete,
    or_,
    select,
    update,
)

from . import audit
from . import tables as t
from .database import Database
from .feedback import fold

_SLICE = 1000
_WORD = 40
"""Characters of an attribute that is worth counting by; a longer one is what somebody wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a source's things are kept; None is for ever.

    Payloads count from when they were read, words from when they were last new or edited here,
    identities (pseudonym, link) and contacts from when the feedback was first seen.
    """

    payloads: timedelta | None = None
    texts: timedelta | None = None
    identities: timedelta | None = None
    contacts: timedelta | None = None


@dataclass(slots=True, kw_only=True)
class Dropped:
    """How much went."""

    payloads: int = 0
    texts: int = 0
    identities: int = 0
    contacts: int = 0
    messages: int = 0
    audit: int = 0

    def counts(self) -> dict[str, int]:
        """What is not nought."""
        return {name: count for name, count in asdict(self).items() if count}


def tidy(
    db: Database,
    *,
    limits: Callable[[str], Limits],
    audit_kept: timedelta,
    mail_kept: timedelta,
    now: datetime,
) -> Dropped:
    """Drop what its source's limits no longer let us keep. May be broken off and run again.

    ``limits`` is asked for each source by name; ``mail_kept`` is how long a sent message keeps its
    bytes. That it was sent, and to whom, stays.
    """
    done, emptied = Dropped(), False
    with db.read() as connection:
        sources = connection.execute(select(t.source.c.id, t.source.c.name)).all()
    for row in sources:
        of_source = limits(row.name)
        emptied |= of_source.texts is not None
        _tidy_source(db, row.id, of_source, done, now)
    if emptied:
        done.messages = _unquote(db)
    done.messages += _empty_sent(db, now - mail_kept)
    with _erasing(db) as connection:
        done.audit = audit.drop(connection, before=now - audit_kept)
    _flush(db)
    return done


def _tidy_source(
    db: Database, source_id: int, limits: Limits, done: Dropped, now: datetime
) -> None:
    feedback, own = t.feedback.c, t.feedback.c.source_id == source_id
    if limits.texts is not None:
        old = own & feedback.emptied_at.is_(None) & (feedback.changed_at < now - limits.texts)
        for ids in _slices(db, t.feedback, old):
            with _erasing(db) as connection:
                _empty(connection, ids, now)
            done.texts += len(ids)
    if limits.identities is not None:
        known = or_(feedback.author.is_not(None), feedback.url.is_not(None))
        for ids in _slices(
            db, t.feedback, own & known & (feedback.first_seen_at < now - limits.identities)
        ):
            with _erasing(db) as connection:
                _anonymise(connection, ids)
            done.identities += len(ids)
    if limits.contacts is not None:
        old = own & (feedback.first_seen_at < now - limits.contacts)
        done.contacts += _delete(db, t.contact, old)
    if limits.payloads is not None:
        stale = t.payload.c.seen_at < now - limits.payloads
        done.payloads += _delete(db, t.payload, own & stale, stale)


def _slices(db: Database, table: Table, where: ColumnElement[bool]) -> Iterator[list[int]]:
    """Ids of feedback with a row in a table, in their order, some at a time."""
    key = t.feedback.c.id
    query = select(key).where(where).order_by(key).limit(_SLICE)
    if table is not t.feedback:
        query = query.join_from(t.feedback, table).distinct()
    last = 0
    while True:
        with db.read() as connection:
            found = list(connection.execute(query.where(key > last)).scalars())
        if not found:
            return
        yield found
        last = found[-1]


def _delete(
    db: Database, table: Table, where: ColumnElement[bool], also: ColumnElement[bool] | None = None
) -> int:
    """Delete rows of a table that hangs on feedback; returns how many."""
    done = 0
    for ids in _slices(db, table, where):
        gone = table.c.feedback_id.in_(ids)
        with _erasing(db) as connection:
            query = delete(table).where(gone if also is None else gone & also)
            done += connection.execute(query).rowcount
    return done


@contextmanager
def _erasing(db: Database) -> Iterator[Connection]:
    """A transaction after which SQLite's pages hold no byte of what was deleted."""
    with db.write() as connection:
        if db.embedded:
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        yield connection


def _flush(db: Database) -> None:
    """Leave nothing of it in SQLite's journal, unless a reader still needs it: then tomorrow."""
    if db.embedded:
        with db.engine.connect() as connection:
            connection.commit()
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _empty(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """Take every word away that somebody wrote; numbers, times and what was tagged stay."""
    of_ids = t.feedback.c.id.in_(ids)
    for table in (t.revision, t.payload):
        connection.execute(delete(table).where(table.c.feedback_id.in_(ids)))
    noted = t.correction.c.feedback_id.in_(ids)
    connection.execute(update(t.correction).where(noted).values(note=""))
    spans = t.aspect.c.feedback_id.in_(ids)
    connection.execute(update(t.aspect).where(spans).values(span_start=None, span_end=None))
    rows = connection.execute(select(t.feedback.c.id, t.feedback.c.attributes).where(of_ids)).all()
    connection.execute(
        update(t.feedback)
        .where(t.feedback.c.id == bindparam("row_id"))
        .values(attributes=bindparam("kept")),
        [{"row_id": row.id, "kept": _short(row.attributes)} for row in rows],
    )
    replied = case((t.feedback.c.reply_text.is_(None), None), else_="")
    gone = {"title": "", "text": "", "folded": fold("\n"), "reply_text": replied}
    # What no tagger has read by now it will never read.
    state = {"emptied_at": now, "pending": False, "claimed_by": None, "claimed_until": None}
    connection.execute(update(t.feedback).where(of_ids).values(gone | state))


def _short(attributes: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in attributes.items() if len(value) <= _WORD}


def _anonymise(connection: Connection, ids: Sequence[int]) -> None:
    """Leave nothing that leads to whoever wrote it."""
    for table in (t.contact, t.payload):
        connection.execute(delete(table).where(table.c.feedback_id.in_(ids)))
    gone = {"author": None, "url": None}
    connection.execute(update(t.feedback).where(t.feedback.c.id.in_(ids)).values(gone))


def _unquote(db: Database) -> int:
    """Empty what was sent and quotes words that are gone; returns how many messages."""
    message = t.message.c
    done = 0
    with db.read() as connection:
        told = connection.execute(
            select(message.id, message.quoted).where(
                message.state != "waiting", message.body != b""
            )
        ).all()
    for row in told:
        if row.quoted and _any_emptied(db, row.quoted):
            with _erasing(db) as connection:
                gone = {"body": b"", "subject": "", "quoted": []}
                connection.execute(update(t.message).where(message.id == row.id).values(gone))
            done += 1
    return done


def _empty_sent(db: Database, before: datetime) -> int:
    """Let go of the bytes of what was sent long ago; returns how many messages."""
    message = t.message.c
    old = (message.state == "sent") & (message.sent_at < before) & (message.body != b"")
    done = 0
    while True:
        with _erasing(db) as connection:
            ids = list(connection.scalars(select(message.id).where(old).limit(_SLICE)))
            gone = update(t.message).where(message.id.in_(ids)).values(body=b"", quoted=[])
            connection.execute(gone)
        done += len(ids)
        if len(ids) < _SLICE:
            return done


def _any_emptied(db: Database, ids: Sequence[int]) -> bool:
    emptied = t.feedback.c.id.in_(ids) & t.feedback.c.emptied_at.is_not(None)
    with db.read() as connection:
        return (
            connection.execute(select(t.feedback.c.id).where(emptied).limit(1)).first() is not None
        )
