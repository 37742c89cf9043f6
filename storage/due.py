"""What the clock owes: due dates and leases as rows, so that any number of clocks agree."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update

from . import tables as t
from .annotations import release_dead
from .database import Database, upsert


def first_due(db: Database, name: str, at: datetime) -> None:
    """Make a duty known; one that is known already keeps its date."""
    with db.write() as connection:
        connection.execute(
            upsert(connection, t.due).values(name=name, due_at=at).on_conflict_do_nothing()
        )


def due_at(db: Database, name: str) -> datetime | None:
    """When the duty is due, or None for one that nobody made known."""
    with db.read() as connection:
        return connection.execute(select(t.due.c.due_at).where(t.due.c.name == name)).scalar()


def at_work(db: Database) -> int:
    """How many duties somebody holds."""
    query = select(func.count()).where(t.due.c.claimed_by.is_not(None))
    with db.read() as connection:
        return connection.execute(query).scalar_one()


def holder(db: Database, name: str) -> str | None:
    """The worker (``host:pid:nonce``) that has the duty now, or None."""
    with db.read() as connection:
        return connection.execute(select(t.due.c.claimed_by).where(t.due.c.name == name)).scalar()


def claim_due(db: Database, name: str, *, now: datetime, lease: timedelta, worker: str) -> bool:
    """Take the duty if it is due and free; nobody else gets it while the lease lasts.

    A duty nobody made known is not due. The claims of dead processes of this host are free.
    """
    free = or_(t.due.c.claimed_until.is_(None), t.due.c.claimed_until < now)
    with db.write() as connection:
        release_dead(connection, t.due)
        taken = connection.execute(
            update(t.due)
            .where(t.due.c.name == name, t.due.c.due_at <= now, free)
            .values(claimed_by=worker, claimed_until=now + lease)
        )
    return taken.rowcount == 1


def done(db: Database, name: str, *, next_at: datetime, worker: str) -> None:
    """The duty is done and due again at ``next_at``; whoever lost the claim changes nothing."""
    _settle(db, name, worker, due_at=next_at)


def release(db: Database, name: str, *, worker: str) -> None:
    """Give an unfinished duty back: it stays due."""
    _settle(db, name, worker)


def _settle(db: Database, name: str, worker: str, **values: datetime) -> None:
    free = {"claimed_by": None, "claimed_until": None}
    with db.write() as connection:
        connection.execute(
            update(t.due)
            .where(t.due.c.name == name, t.due.c.claimed_by == worker)
            .values(values | free)
        )


def hasten(db: Database, name: str, at: datetime) -> None:
    """Something happened that the duty should not wait for: it is due at ``at`` at the latest."""
    with db.write() as connection:
        connection.execute(
            update(t.due).where(t.due.c.name == name, t.due.c.due_at > at).values(due_at=at)
        )


def mail_waits(db: Database, now: datetime) -> bool:
    """Whether a message waits that may leave now."""
    query = (
        select(func.count())
        .select_from(t.message)
        .where(t.message.c.state == "waiting", t.message.c.due_at <= now)
    )
    with db.read() as connection:
        return connection.execute(query).scalar_one() > 0
