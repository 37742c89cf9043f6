"""How late feedback comes: which part of a day is known so many days after it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import false, func, select

from . import tables as t
from .database import Database

AGES = 8
"""Days after which a day is taken for complete."""

_LEARNT_FROM = timedelta(days=120)
_LATEST = timedelta(days=14)  # what comes later still was brought by a mend, not by its author
_DOUBT = 10  # items that are believed to have come at once, whatever was seen


def completeness(db: Database, *, until: date, zone: ZoneInfo) -> Mapping[str, tuple[float, ...]]:
    """Per source the part of a day's feedback that is known by age, from 0 to ``AGES`` - 1 days.

    Age 0 is the reading on the day after. Only days after the back-fill that were read on the very
    next day tell: an outage of the collector is no delay of the source. ``until`` is the last day
    that counts; sources without such days are left out.
    """
    readings = _readings(db, zone)
    lags: dict[str, Counter[int]] = defaultdict(Counter)
    since = until - _LEARNT_FROM
    query = (
        select(t.source.c.name, t.feedback.c.day, t.run.c.started_at, func.count().label("pieces"))
        .select_from(t.feedback)
        .join(t.source, t.source.c.id == t.feedback.c.source_id)
        .join(t.run, t.run.c.id == t.feedback.c.run_id)
        .where(t.feedback.c.day.between(since, until - _LATEST), t.run.c.first.is_(false()))
        .group_by(t.source.c.name, t.feedback.c.day, t.run.c.id, t.run.c.started_at)
    )
    with db.read() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        next_day = row.day + timedelta(days=1)
        late = row.started_at.astimezone(zone).date() - next_day
        if _read_on(readings[row.name], next_day) and late <= _LATEST:
            lags[row.name][max(late.days, 0)] += row.pieces
    return {name: _parts(counts) for name, counts in lags.items()}


def _readings(db: Database, zone: ZoneInfo) -> Mapping[str, list[date]]:
    """The days on which each source was read up to that moment, in order."""
    query = (
        select(t.source.c.name, t.run.c.started_at)
        .join(t.source, t.source.c.id == t.run.c.source_id)
        .where(t.run.c.joined)
        .order_by(t.run.c.started_at)
    )
    found: dict[str, list[date]] = defaultdict(list)
    with db.read() as connection:
        for row in connection.execute(query):
            found[row.name].append(row.started_at.astimezone(zone).date())
    return found


def _read_on(days: list[date], day: date) -> bool:
    place = bisect_right(days, day)
    return place > 0 and days[place - 1] == day


def _parts(lags: Counter[int]) -> tuple[float, ...]:
    known, parts = float(_DOUBT), []
    for age in range(AGES):
        known += lags[age]
        parts.append(round(known / (lags.total() + _DOUBT), 3))
    return tuple(parts)
