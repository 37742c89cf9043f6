"""Sources, their runs, checkpoints and the coverage ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, delete, false, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError

from . import privacy, workers
from . import tables as t
from .database import Database, StorageError, upsert
from .vocabulary import Checkpoint, Outcome

LEASE = timedelta(minutes=5)
"""How long a run may be silent before others may take it for dead. Every page renews it."""

WRONG_CLOCK = timedelta(days=1)
"""By more than this nobody's clock goes wrong unseen."""

_DIED = "the process died before it was done"


class RunInProgressError(StorageError):
    """Another process is reading this source right now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An open run. ``started_at`` is the signpost: no watermark may pass it.

    ``first`` says that no run has read the whole source yet: what it brings is back-fill.
    """

    id: int
    source_id: int
    source: str
    started_at: datetime
    first: bool
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a run ended.

    ``joined`` says that everything between the last joined run and this one's start was read;
    ``covered`` is the span of time that is now known completely, or None.
    """

    outcome: Outcome
    message: str
    joined: bool
    covered: tuple[datetime, datetime] | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """What the operator sees of one source."""

    name: str
    kind: str
    feedback: int
    last_run_at: datetime | None
    outcome: Outcome | None
    message: str
    running: bool
    joined_at: datetime | None
    last_new_at: datetime | None
    covered_days: int
    last_covered_day: date | None


def ensure_source(connection: Connection, name: str, kind: str, now: datetime) -> int:
    """The id of the source, made known on first sight."""
    fresh = upsert(connection, t.source).values(name=name, kind=kind, created_at=now)
    connection.execute(
        fresh.on_conflict_do_update(index_elements=["name"], set_={"kind": fresh.excluded.kind})
    )
    query = select(t.source.c.id).where(t.source.c.name == name)
    return int(connection.execute(query).scalar_one())


def open_run(db: Database, *, source: str, kind: str, now: datetime) -> Run:
    """Open a run; a dead predecessor is closed as partial.

    Raises RunInProgressError while another living process reads the source.
    """
    try:
        with db.write() as connection:
            source_id = ensure_source(connection, source, kind, now)
            _bury(connection, source_id, source, now)
            return _open(connection, source_id, source, now)
    except IntegrityError as error:
        raise RunInProgressError(f"{source}: another process is reading this source.") from error


def _open(connection: Connection, source_id: int, source: str, now: datetime) -> Run:
    joined_at = connection.execute(
        select(t.source.c.joined_at).where(t.source.c.id == source_id)
    ).scalar_one()
    values = {
        "source_id": source_id,
        "started_at": now,
        "worker": workers.me(),
        "lease_until": now + LEASE,
        "first": joined_at is None,
    }
    run_id = connection.execute(insert(t.run).values(values).returning(t.run.c.id)).scalar_one()
    return Run(
        id=run_id,
        source_id=source_id,
        source=source,
        started_at=now,
        first=joined_at is None,
        checkpoint=read_checkpoint(connection, source_id),
    )


def _bury(connection: Connection, source_id: int, source: str, now: datetime) -> None:
    open_runs = select(t.run.c.id, t.run.c.worker, t.run.c.lease_until).where(
        t.run.c.source_id == source_id, t.run.c.finished_at.is_(None)
    )
    for row in connection.execute(open_runs).all():
        # One that ends later than any lease is from a clock that was wrong.
        alive = now < row.lease_until < now + LEASE + WRONG_CLOCK
        if alive and not workers.gone(row.worker):
            raise RunInProgressError(
                f"{source}: another process ({row.worker}) is reading this source; "
                "wait for it or end it."
            )
        _finish(connection, row.id, Outcome.PARTIAL, _DIED, now)


def silent_since(db: Database, source: str) -> datetime | None:
    """When the open run of a source last showed that it lives, or None where none is open."""
    query = (
        select(func.max(t.run.c.lease_until))
        .join_from(t.run, t.source)
        .where(t.source.c.name == source, t.run.c.finished_at.is_(None))
    )
    with db.read() as connection:
        until: datetime | None = connection.execute(query).scalar()
    return until - LEASE if until else None


def _finish(
    connection: Connection, run_id: int, outcome: Outcome, message: str, now: datetime, **more: Any
) -> None:
    values = {"finished_at": now, "outcome": outcome.value, "message": message, **more}
    connection.execute(update(t.run).where(t.run.c.id == run_id).values(values))


def read_checkpoint(connection: Connection, source_id: int) -> Checkpoint | None:
    """Where the source was left, or None."""
    row = connection.execute(
        select(t.checkpoint.c.version, t.checkpoint.c.value).where(
            t.checkpoint.c.source_id == source_id
        )
    ).first()
    return Checkpoint(version=row.version, value=row.value) if row else None


def save_checkpoint(
    connection: Connection, run: Run, checkpoint: Checkpoint, now: datetime
) -> None:
    """Remember how far the run has read, in the caller's transaction."""
    values = {
        "source_id": run.source_id,
        "version": checkpoint.version,
        "value": dict(checkpoint.value),
        "run_id": run.id,
        "updated_at": now,
    }
    statement = upsert(connection, t.checkpoint).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["source_id"], set_=values))


def close_run(db: Database, run: Run, verdict: Verdict, *, now: datetime, zone: ZoneInfo) -> None:
    """Write the verdict, extend the coverage, and settle what was read when ground was joined.

    Raises StorageError when the run was taken for dead meanwhile and closed by another.
    """
    with db.write() as connection:
        still_open = connection.execute(
            select(t.run.c.id).where(t.run.c.id == run.id, t.run.c.finished_at.is_(None))
        ).first()
        if still_open is None:
            raise StorageError(f"{run.source}: this run was silent too long and was closed.")
        # Both name columns and files, which may be called whatever no database takes.
        more = {"details": privacy.clean_all(verdict.details), "joined": verdict.joined}
        _finish(connection, run.id, verdict.outcome, privacy.clean(verdict.message), now, **more)
        if verdict.covered:
            _cover(connection, run.source_id, verdict.covered, zone)
        if verdict.joined:
            _settle(connection, run)


def _settle(connection: Connection, run: Run) -> None:
    unsettled = (t.feedback.c.source_id == run.source_id) & ~t.feedback.c.settled
    connection.execute(update(t.feedback).where(unsettled).values(settled=True))
    never = (t.source.c.id == run.source_id) & t.source.c.joined_at.is_(None)
    connection.execute(update(t.source).where(never).values(joined_at=run.started_at))


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The first moment of a day in a zone, and the first of the next; 23 to 25 hours apart."""
    return (
        datetime.combine(day, time.min, tzinfo=zone),
        datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone),
    )


def _cover(
    connection: Connection, source_id: int, covered: tuple[datetime, datetime], zone: ZoneInfo
) -> None:
    since, until = covered
    known = {
        row.day: row
        for row in connection.execute(
            select(t.coverage).where(
                t.coverage.c.source_id == source_id,
                t.coverage.c.day.between(
                    since.astimezone(zone).date(), until.astimezone(zone).date()
                ),
            )
        )
    }
    rows = []
    day = since.astimezone(zone).date()
    while day <= until.astimezone(zone).date():
        start, end = day_bounds(day, zone)
        part = _merge(known.get(day), max(since, start), min(until, end))
        if part:
            rows.append(
                {
                    "source_id": source_id,
                    "day": day,
                    "since": part[0],
                    "until": part[1],
                    "whole": part[0] <= start and part[1] >= end,
                }
            )
        day += timedelta(days=1)
    if not rows:
        return
    first, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    connection.execute(
        delete(t.coverage).where(
            t.coverage.c.source_id == source_id, t.coverage.c.day.between(first, last)
        )
    )
    connection.execute(insert(t.coverage), rows)


def _merge(
    known: Row[Any] | None, since: datetime, until: datetime
) -> tuple[datetime, datetime] | None:
    """One span per day is kept: two that touch become one, else the longer one stays."""
    if known is None:
        return (since, until) if since < until else None
    old_since: datetime = known.since
    old_until: datetime = known.until
    if since >= until:
        return old_since, old_until
    if since <= old_until and old_since <= until:
        return min((since, old_since)), max((until, old_until))
    if until - since > old_until - old_since:
        return since, until
    return old_since, old_until


def statuses(
    db: Database, names: Sequence[str] | None = None, *, counted: bool = True
) -> list[SourceStatus]:
    """Each known source with its last run, in order of name.

    Counting its feedback takes the longer the more there is; without ``counted`` it stays 0.
    """
    latest = (
        select(t.run.c.source_id, func.max(t.run.c.id).label("run_id"))
        .group_by(t.run.c.source_id)
        .subquery()
    )
    counts = (
        select(t.feedback.c.source_id, func.count().label("feedback"))
        .where(true() if counted else false())
        .group_by(t.feedback.c.source_id)
        .subquery()
    )
    covered = (
        select(
            t.coverage.c.source_id,
            func.count().label("days"),
            func.max(t.coverage.c.day).label("last"),
        )
        .where(t.coverage.c.whole)
        .group_by(t.coverage.c.source_id)
        .subquery()
    )
    query = (
        select(
            t.source,
            func.coalesce(counts.c.feedback, 0).label("feedback"),
            t.run.c.started_at,
            t.run.c.finished_at,
            t.run.c.outcome,
            t.run.c.message,
            t.run.c.worker,
            func.coalesce(covered.c.days, 0).label("days"),
            covered.c.last,
        )
        .outerjoin(latest, latest.c.source_id == t.source.c.id)
        .outerjoin(t.run, t.run.c.id == latest.c.run_id)
        .outerjoin(counts, counts.c.source_id == t.source.c.id)
        .outerjoin(covered, covered.c.source_id == t.source.c.id)
    )
    if names is not None:
        query = query.where(t.source.c.name.in_(names))
    with db.read() as connection:
        found = [_status(row) for row in connection.execute(query)]
    return sorted(found, key=lambda each: each.name)


def _status(row: Row[Any]) -> SourceStatus:
    unfinished = row.started_at is not None and row.finished_at is None
    # A run whose process died is closed by the next one; until then nobody shall wait for it.
    died = unfinished and workers.gone(row.worker)
    outcome = Outcome.PARTIAL.value if died else row.outcome
    return SourceStatus(
        name=row.name,
        kind=row.kind,
        feedback=row.feedback,
        last_run_at=row.started_at,
        outcome=Outcome(outcome) if outcome else None,
        message=_DIED if died else row.message or "",
        running=unfinished and not died,
        joined_at=row.joined_at,
        last_new_at=row.last_new_at,
        covered_days=row.days,
        last_covered_day=row.last,
    )


def read_before(db: Database) -> set[str]:
    """The sources of which a run has ended, however; another one may be at work."""
    ended = select(t.run.c.id).where(
        t.run.c.source_id == t.source.c.id, t.run.c.finished_at.is_not(None)
    )
    with db.read() as connection:
        return set(connection.scalars(select(t.source.c.name).where(ended.exists())))


def outcomes(db: Database) -> dict[str, dict[str | None, int]]:
    """Source → outcome (None: running) → how many runs ended so."""
    query = (
        select(t.source.c.name, t.run.c.outcome, func.count().label("runs"))
        .join(t.run)
        .group_by(t.source.c.name, t.run.c.outcome)
    )
    found: dict[str, dict[str | None, int]] = {}
    with db.read() as connection:
        for row in connection.execute(query):
            found.setdefault(row.name, {})[row.outcome] = row.runs
    return found


def not_seen_since(db: Database, source_id: int, moment: datetime) -> int:
    """How many feedbacks of a source no run has seen since then."""
    query = select(func.count()).where(
        t.feedback.c.source_id == source_id, t.feedback.c.last_seen_at < moment
    )
    with db.read() as connection:
        return int(connection.execute(query).scalar_one())


def last_joined_start(db: Database, source_id: int) -> datetime | None:
    """When the latest run that joined known ground began: everything up to then was read."""
    query = select(func.max(t.run.c.started_at)).where(
        t.run.c.source_id == source_id, t.run.c.joined
    )
    with db.read() as connection:
        return connection.execute(query).scalar()
