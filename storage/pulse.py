"""How each source has been doing: its runs one by one, and its days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from . import tables as t
from .database import Database
from .vocabulary import Outcome


class DayState(StrEnum):
    """What is known of one day of a source; the first that fits."""

    OBSERVED = "observed"
    """Read completely."""
    CAPPED = "capped"
    """The source showed only part of it, or shows it no more."""
    BLOCKED = "blocked"
    """The source refused us."""
    SUSPECT = "suspect"
    """It showed nothing and did not say that there is nothing."""
    PARTLY = "partly"
    """Read up to some hour, as today always is."""
    GAP = "gap"
    """Not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run that has ended. ``fields`` and ``brought`` are what it counted (see `details`)."""

    at: datetime
    outcome: Outcome
    joined: bool
    first: bool
    new: int
    message: str
    fields: Mapping[str, int]
    brought: Mapping[str, int]
    gap: tuple[datetime, datetime] | None


_PAST = (
    *(t.run.c.started_at, t.run.c.outcome, t.run.c.joined, t.run.c.first, t.run.c.new),
    *(t.run.c.message, t.run.c.details),
)


def past_runs(db: Database, source: str, *, since: datetime) -> list[PastRun]:
    """The ended runs of a source from ``since`` on, the oldest first."""
    query = (
        select(*_PAST)
        .join_from(t.run, t.source)
        .where(t.source.c.name == source, t.run.c.started_at >= since, t.run.c.outcome.is_not(None))
        .order_by(t.run.c.started_at, t.run.c.id)
    )
    with db.read() as connection:
        return [_past(row) for row in connection.execute(query)]


def _past(row: Any) -> PastRun:
    return PastRun(
        at=row.started_at,
        outcome=Outcome(row.outcome),
        joined=row.joined,
        first=row.first,
        new=row.new,
        message=row.message,
        fields=row.details.get("fields", {}),
        brought=row.details.get("brought", {}),
        gap=_gap(row.details.get("gap"), row.started_at),
    )


def _gap(told: Any, started: datetime) -> tuple[datetime, datetime] | None:
    """What a capped run says that it did not see; without a beginning it is all the past."""
    if not isinstance(told, dict):
        return None
    since = told.get("since")
    until = datetime.fromisoformat(told["until"])
    return (datetime.fromisoformat(since) if since else min(until, started), until)


def days(
    db: Database, source: str, runs: Sequence[PastRun], *, since: date, until: date, zone: ZoneInfo
) -> dict[date, DayState]:
    """The state of each day from ``since`` to ``until``; ``runs`` reach back as far."""
    query = (
        select(t.coverage.c.day, t.coverage.c.whole)
        .join_from(t.coverage, t.source)
        .where(t.source.c.name == source, t.coverage.c.day.between(since, until))
    )
    with db.read() as connection:
        covered = {row.day: row.whole for row in connection.execute(query)}
    troubled = {state: set(_troubled(runs, state, zone)) for state in _TROUBLE}
    missed = set(_missed(runs, zone))

    def state(day: date) -> DayState:
        if covered.get(day):
            return DayState.OBSERVED
        if day in missed:
            return DayState.CAPPED
        for each, found in troubled.items():
            if day in found:
                return each
        return DayState.PARTLY if day in covered else DayState.GAP

    count = (until - since).days + 1
    return {day: state(day) for day in (since + timedelta(days=n) for n in range(count))}


_TROUBLE = {DayState.BLOCKED: Outcome.BLOCKED, DayState.SUSPECT: Outcome.SUSPECT}


def _troubled(runs: Sequence[PastRun], state: DayState, zone: ZoneInfo) -> Iterator[date]:
    for run in runs:
        if run.outcome is _TROUBLE[state]:
            yield run.at.astimezone(zone).date()


def _missed(runs: Sequence[PastRun], zone: ZoneInfo) -> Iterator[date]:
    for run in runs:
        if run.gap is not None:
            day, last = (moment.astimezone(zone).date() for moment in run.gap)
            while day <= last:
                yield day
                day += timedelta(days=1)
