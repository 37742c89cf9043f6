"""What the clock owes: due dates and leases as rows, so that any number of clocks agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Update, func, or_, select, update

from . import tables as t
from .annotations import release_dead
from .database import Database, upsert

WRONG_CLOCK = timedelta(days=1)
"""By more than this nobody's clock goes wrong unseen."""


def first_due(db: Database, name: str, at: datetime) -> None:
    """Make a duty known; one that is known already keeps its date."""
    with db.write() as connection:
        connection.execute(
            upsert(connection, t.due).values(name=name, due_at=at).on_conflict_do_nothing()
        )


def ready(db: Database, names: Iterable[str], now: datetime) -> dict[str, datetime]:
    """Which of the duties are due, and since when, the longest overdue first."""
    query = select(t.due.c.name, t.due.c.due_at).where(t.due.c.due_at <= now)
    with db.read() as connection:
        rows = connection.execute(query.order_by(t.due.c.due_at, t.due.c.name)).all()
    wanted = set(names)
    return {row.name: row.due_at for row in rows if row.name in wanted}


def later_than(db: Database, moment: datetime) -> dict[str, datetime]:
    """The duties that are due after a moment, and when."""
    query = select(t.due.c.name, t.due.c.due_at).where(t.due.c.due_at > moment)
    with db.read() as connection:
        return {row.name: row.due_at for row in connection.execute(query)}


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

    A duty nobody made known is not due. The claims of dead processes of this host are free, and so
    is one that ends later than any claim made by a clock that was right.
    """
    with db.write() as connection:
        release_dead(connection, t.due)
        taken = connection.execute(
            update(t.due)
            .where(t.due.c.name == name, t.due.c.due_at <= now, _free(now, lease))
            .values(claimed_by=worker, claimed_until=now + lease)
        )
    return taken.rowcount == 1


def _free(now: datetime, lease: timedelta) -> ColumnElement[bool]:
    until = t.due.c.claimed_until
    return or_(until.is_(None), until < now, until > now + lease + WRONG_CLOCK)


def claim_all(
    db: Database, names: Collection[str], *, now: datetime, lease: timedelta, worker: str
) -> list[str]:
    """Take those of the duties that are due and free, together; their names in order."""
    with db.write() as connection:
        release_dead(connection, t.due)
        chosen = (
            select(t.due.c.name)
            .where(t.due.c.name.in_(names), t.due.c.due_at <= now, _free(now, lease))
            .order_by(t.due.c.name)
            .with_for_update()
        )
        taken = list(connection.execute(chosen).scalars())
        claim = {"claimed_by": worker, "claimed_until": now + lease}
        connection.execute(update(t.due).where(t.due.c.name.in_(taken)).values(claim))
    return taken


def renew(db: Database, names: Collection[str], *, until: datetime, worker: str) -> None:
    """Hold claims until then; what another worker holds by now stays its own."""
    held = (t.due.c.name.in_(names), t.due.c.claimed_by == worker)
    with db.write() as connection:
        connection.execute(update(t.due).where(*held).values(claimed_until=until))


def settle_all(db: Database, next_at: Mapping[str, datetime | None], *, worker: str) -> None:
    """Duties that were claimed together are due again then, or (None) stay due."""
    with db.write() as connection:
        for name, moment in next_at.items():
            values = {} if moment is None else {"due_at": moment}
            connection.execute(_settled(name, worker, **values))


def done(db: Database, name: str, *, next_at: datetime, worker: str) -> None:
    """The duty is done and due again at ``next_at``; whoever lost the claim changes nothing."""
    _settle(db, name, worker, due_at=next_at)


def release(db: Database, name: str, *, worker: str) -> None:
    """Give an unfinished duty back: it stays due."""
    _settle(db, name, worker)


def _settle(db: Database, name: str, worker: str, **values: datetime) -> None:
    with db.write() as connection:
        connection.execute(_settled(name, worker, **values))


def _settled(name: str, worker: str, **values: datetime) -> Update:
    free = {"claimed_by": None, "claimed_until": None}
    held = (t.due.c.name == name, t.due.c.claimed_by == worker)
    return update(t.due).where(*held).values(values | free)


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
