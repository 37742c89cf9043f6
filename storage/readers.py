"""Readers who ended their weekly digest themselves, whatever the configuration says."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, or_, select, update

from . import audit
from . import tables as t
from .database import Database, upsert

_ENDED = "digest "
"""What stands before a reader's name in ``refusal``; no mail address holds a blank."""

ENDED = "this reader ended the weekly digest; `ouvidor subscribe` brings it back"


def end(db: Database, reader: str, *, now: datetime, by: str, known: bool = True) -> bool:
    """No digest for this reader from now on; False when that was so already.

    What waits in the outbox is taken back; what is being sent this moment still arrives. ``known``
    says that the name stands in the configuration: no other is written into the audit.
    """
    values = {"recipient": _ENDED + reader, "at": now, "detail": f"ended by {by}"}
    with db.write() as connection:
        statement = upsert(connection, t.refusal).values(values).on_conflict_do_nothing()
        fresh = connection.execute(statement.returning(t.refusal.c.at)).first() is not None
        _take_back(connection, reader, now)
        if fresh:
            about = {"reader": reader if known else "one by address"}
            audit.note_in(connection, "digest ended", by=by, at=now, about=about)
    return fresh


def _take_back(connection: Connection, reader: str, now: datetime) -> None:
    """A message that nobody sends at the moment goes, and its week counts as not told."""
    prefix = f"digest:{reader}:"
    free = or_(t.message.c.claimed_until.is_(None), t.message.c.claimed_until < now)
    waiting = (t.message.c.state == "waiting") & free
    query = select(t.message.c.id, t.message.c.key).where(
        t.message.c.key.startswith(prefix, autoescape=True), waiting
    )
    for row in connection.execute(query.with_for_update()).all():
        connection.execute(delete(t.message).where(t.message.c.id == row.id))
        week = t.digest.c.week == row.key.removeprefix(prefix)
        same = (t.digest.c.subscriber == reader) & week
        connection.execute(update(t.digest).where(same).values(skipped=ENDED))


def resume(db: Database, reader: str, *, now: datetime, by: str, known: bool = True) -> bool:
    """The reader gets the digest again; False when it was never ended."""
    with db.write() as connection:
        gone = connection.execute(delete(t.refusal).where(t.refusal.c.recipient == _ENDED + reader))
        if gone.rowcount:
            about = {"reader": reader if known else "one by address"}
            audit.note_in(connection, "digest resumed", by=by, at=now, about=about)
    return gone.rowcount > 0


def ended(db: Database) -> dict[str, datetime]:
    """Who ended the digest, and when."""
    query = select(t.refusal).where(t.refusal.c.recipient.startswith(_ENDED))
    with db.read() as connection:
        rows = connection.execute(query.order_by(t.refusal.c.recipient)).all()
    return {row.recipient.removeprefix(_ENDED): row.at for row in rows}


def has_ended(connection: Connection, reader: str) -> bool:
    """Whether this one did, as the caller's transaction sees it."""
    query = select(t.refusal.c.at).where(t.refusal.c.recipient == _ENDED + reader)
    return connection.execute(query).first() is not None


def refusals(db: Database) -> dict[str, datetime]:
    """Mail addresses that a server refused for good, and when."""
    query = select(t.refusal).where(~t.refusal.c.recipient.startswith(_ENDED))
    with db.read() as connection:
        return {row.recipient: row.at for row in connection.execute(query)}


def accept(db: Database, address: str) -> bool:
    """Try a refused address again; False when none was refused."""
    with db.write() as connection:
        gone = connection.execute(delete(t.refusal).where(t.refusal.c.recipient == address))
    return gone.rowcount > 0
