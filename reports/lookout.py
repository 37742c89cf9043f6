"""The watched series of a brand, judged over their past. Pure: series days in, findings out.

A column is one touchpoint at one source. A key is what an alert is about: a touchpoint over all
its sources (``source`` is ''), or at one of them where there are several. A key is judged on the
sum of its columns: a source that is down or young brings neither counts nor expectation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..storage.vocabulary import SeriesDay, Spike
from . import spikes
from .baseline import WINDOWS, Bools, Floats, Ints, Panel, Scan, scan
from .spikes import Episode, Judged

WHOLE = ""
"""The touchpoint of the rows that count everything a source brought."""

ALL = ""
"""The source of a key that stands for all sources."""

NEVER = 10**6
"""A day so late that nothing comes after it."""

USUAL_DAYS = 56
"""Days before a finding that say what is usual."""

_ALL_NEGATIVE = 0.9
_RECENT = 28
_WHOLES = 0.5  # the part of the budget that whole touchpoints spend
_UNTAGGED = 0.1  # a day with more of its feedback still untagged is not known yet


class Key(NamedTuple):
    """What an alert is about."""

    touchpoint: str
    source: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Days on which a source was not observed, both included."""

    source: str
    since: date
    until: date


@dataclass(frozen=True, slots=True)
class Sight:
    """How small a change of a key could be seen: items within one day and within a week."""

    key: Key
    usual_in_a_week: float
    least_in_a_day: int
    least_in_a_week: int


@dataclass(frozen=True)
class Lookout:
    """Every column's past, judged day by day.

    ``quiet_from`` holds for each column the day (as an index) up to which it is back-fill: it
    may be learnt from and never opens an alert.
    """

    first: date
    columns: tuple[Key, ...]
    panel: Panel
    totals: Floats
    scanned: Scan
    quiet_from: Ints
    budget_per_month: float
    lessons: Mapping[Key, int]

    @property
    def days(self) -> int:
        """How many days there are; the last one is the day that was watched last."""
        return int(self.totals.shape[0])

    def index(self, day: date) -> int:
        """The row of a day; may lie outside."""
        return (day - self.first).days

    def day(self, index: int) -> date:
        """The day of a row."""
        return self.first + timedelta(days=index)

    @cached_property
    def keys(self) -> Mapping[Key, tuple[int, ...]]:
        """Every key with its columns: a touchpoint, then its sources where it has several."""
        found: dict[Key, tuple[int, ...]] = {}
        for touchpoint in dict.fromkeys(column.touchpoint for column in self.columns):
            members = [i for i, column in enumerate(self.columns) if column[0] == touchpoint]
            found[Key(touchpoint, ALL)] = tuple(members)
            if len(members) > 1:
                found |= {self.columns[member]: (member,) for member in members}
        return found

    def members(self, key: Key) -> tuple[int, ...]:
        """The columns of a key, also of a source that is the only one of its touchpoint by now."""
        alone = (place for place, column in enumerate(self.columns) if column == key)
        return self.keys.get(key) or tuple(alone)

    def sources(self, key: Key) -> frozenset[str]:
        """Where the counts of a key come from."""
        return frozenset(self.columns[member].source for member in self.members(key))

    @cached_property
    def _limits(self) -> Mapping[bool, Floats]:
        """Day by day the score that opens an alert: of whole touchpoints, and of their parts.

        Each kind spends its share of the budget: the sums, which are fewer and see more, are not
        made deaf by the many small series below them.
        """
        wholes = [self._judged(key) for key in self.keys if not key.source]
        parts = [self._judged(key) for key in self.keys if key.source]
        shares = (_WHOLES, 1 - _WHOLES) if parts else (1.0, 0.0)
        return {
            whole: spikes.thresholds(np.stack(many, axis=1), self.budget_per_month * share)
            for whole, many, share in zip((True, False), (wholes, parts), shares, strict=True)
            if many
        }

    def _judged(self, key: Key) -> Bools:
        judged: Bools = np.any(self.scanned.judged[:, list(self.members(key))], axis=1)
        return judged

    def limits(self, key: Key) -> Floats:
        """The score that opens an alert about a key, day by day."""
        raised = spikes.LESSON * self.lessons.get(key, 0)
        return self._limits.get(not key.source, self._limits[True]) + raised

    @cached_property
    def judged_keys(self) -> int:
        """How many keys share the budget today."""
        return sum(bool(self._judged(key).any()) for key in self.keys)

    @property
    def chance(self) -> float:
        """How many alerts a month come by chance alone."""
        return sum(
            spikes.chance(float(self.limits(key)[-1]), 1)
            for key in self.keys
            if self._judged(key).any()
        )

    def judge(self, members: Sequence[int], *, after: int = -1, backfill: bool = True) -> Judged:
        """The sum of some columns, judged; windows have to begin after the day ``after``.

        Without ``backfill`` they also have to begin after each column's back-fill.
        """
        limits = np.full(len(members), after)
        if not backfill:
            limits = np.maximum(limits, self.quiet_from[list(members)])
        begins = np.arange(self.days)[:, None] - np.array(WINDOWS)[None, :] + 1
        open_ = begins[:, :, None] > limits[None, None, :]

        def open_part(values: Floats) -> Floats:
            return np.where(open_, values[:, :, list(members)], 0.0)

        part = Scan(
            open_part(self.scanned.observed),
            open_part(self.scanned.expected),
            open_part(self.scanned.variance),
            self.scanned.judged[:, list(members)],
        )
        return spikes.judge(part.grouped([range(len(members))]))

    def spike(self, key: Key, since: int, judged: Judged, episode: Episode) -> Spike:
        """The days from the row ``since`` to an alert's last alarm as one finding."""
        members = list(self.members(key))
        since, until = max(since, 0), episode.last
        span = slice(since, until + 1)
        known = ~np.isnan(self.panel.negatives[span, members])
        alarms = list(episode.alarms)
        worst = max((spikes.severity(*judged.at(day, 0)) for day in alarms), key=lambda s: s.rank)
        return Spike(
            series=" @ ".join(key) if key.source else key.touchpoint,
            detected_on=self.day(episode.opened),
            first_day=self.day(since),
            last_day=self.day(until),
            observed=int(np.nansum(self.panel.negatives[span, members])),
            expected=round(float(self.scanned.expected[span, 0, members][known].sum()), 2),
            share=self._share(members, since, until + 1),
            expected_share=self._share(members, max(since - USUAL_DAYS, 0), since),
            severity=worst,
            score=round(float(judged.score[alarms, 0].max()), 2),
        )

    def _share(self, members: Sequence[int], start: int, stop: int) -> float | None:
        negatives = self.panel.negatives[start:stop, members]
        known = ~np.isnan(negatives)
        total = self.totals[start:stop, members][known].sum()
        return round(float(negatives[known].sum() / total), 4) if total else None

    def gaps(self, key: Key, since: int, until: int) -> Iterator[Gap]:
        """What was not observed of a key between two rows, both included."""
        for member in self.members(key):
            missing = np.isnan(self.panel.negatives[max(since, 0) : until + 1, member])
            edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(int), [0]))))
            for start, stop in zip(edges[::2], edges[1::2], strict=True):
                yield Gap(
                    source=self.columns[member].source,
                    since=self.day(max(since, 0) + int(start)),
                    until=self.day(max(since, 0) + int(stop) - 1),
                )

    def sights(self) -> Iterator[Sight]:
        """How small a change could be seen by now, key by key, on days as busy as usual."""
        for key, members in self.keys.items():
            if not self._judged(key).any():
                continue
            limit = float(self.limits(key)[-1])
            expected, variance = (
                np.median(values[-_RECENT:, :, list(members)].sum(axis=2), axis=0)
                for values in (self.scanned.expected, self.scanned.variance)
            )
            day, week = (
                least_seen(float(expected[place]), float(variance[place]), limit)
                for place in (0, -1)
            )
            yield Sight(key, round(float(expected[-1]), 1), day, week)


def least_seen(expected: float, variance: float, limit: float) -> int:
    """The smallest count of a window that would open an alert."""
    low, high = int(expected), int(2 * expected + 10 * variance**0.5 + 100)
    while low < high:
        middle = (low + high) // 2
        if _seen(middle, expected, variance, limit):
            high = middle
        else:
            low = middle + 1
    return low


def _seen(count: int, expected: float, variance: float, limit: float) -> bool:
    x, m, v = (np.full((1, 1, 1), value) for value in (float(count), expected, variance))
    judged = spikes.judge(Scan(x, m, v, np.ones((1, 1), bool)))
    return bool(judged.score[0, 0] >= limit)


def build(
    rows: Sequence[SeriesDay],
    *,
    touchpoints: Sequence[str],
    joined: Mapping[str, date | None],
    budget_per_month: float,
    complete: Mapping[str, Sequence[float]] | None = None,
    lessons: Mapping[Key, int] | None = None,
    rebased: date | None = None,
) -> Lookout | None:
    """The lookout over the days of ``rows``; None when nothing speaks of a touchpoint.

    ``joined`` is the day on which each source was first read to the end, or None; ``complete``
    says which part of its newest days has usually come in by now, the newest day first.
    ``lessons`` counts the needless alerts of a key, ``rebased`` is the day on which the tagger went
    over the past again: what it says of the days before opens nothing.
    """
    mentioned = {(row.touchpoint, row.source) for row in rows if row.mentions}
    columns = tuple(
        Key(touchpoint, source)
        for touchpoint in touchpoints
        for source in sorted({row.source for row in rows})
        if (touchpoint, source) in mentioned
    )
    if not columns or not rows:
        return None
    first = min(row.day for row in rows)
    length = (max(row.day for row in rows) - first).days + 1
    panel, totals = _panel(rows, columns, first, length)
    panel = replace(panel, complete=_complete(complete or {}, columns, length))
    days = {name: day for name, day in joined.items() if day}
    told_again = (rebased - first).days - 1 if rebased else -1
    return Lookout(
        first=first,
        columns=columns,
        panel=panel,
        totals=totals,
        scanned=scan(panel),
        quiet_from=np.array(
            [
                max((days[each.source] - first).days, told_again) if each.source in days else NEVER
                for each in columns
            ]
        ),
        budget_per_month=budget_per_month,
        lessons=lessons or {},
    )


def _panel(
    rows: Sequence[SeriesDay], columns: Sequence[Key], first: date, length: int
) -> tuple[Panel, Floats]:
    """Negatives, the feedback that is not negative (how busy the days were), and all feedback."""
    places = {column: place for place, column in enumerate(columns)}
    whole = {(row.source, row.day): row for row in rows if row.touchpoint == WHOLE}
    plaints = _complaint_sources(whole.values())
    negatives, others = (np.full((length, len(columns)), np.nan) for _ in range(2))
    totals = np.zeros((length, len(columns)))
    for row in rows:
        place = places.get(Key(row.touchpoint, row.source))
        everything = whole.get((row.source, row.day))
        if place is None or everything is None or not _known(everything):
            continue
        cell = ((row.day - first).days, place)
        negatives[cell] = row.negatives
        totals[cell] = everything.total
        if row.source not in plaints:
            # The touchpoint's share of all that is either about its failings or no complaint:
            # trouble elsewhere makes no day busier.
            others[cell] = everything.total - everything.negatives
    weekdays = (first.weekday() + np.arange(length)) % 7
    return Panel(negatives, others, np.repeat(weekdays[:, None], len(columns), axis=1)), totals


def _complete(
    by_source: Mapping[str, Sequence[float]], columns: Sequence[Key], length: int
) -> Floats:
    """Days × columns: the part of each day that has come; all of it but for the newest days."""
    parts = np.ones((length, len(columns)))
    for place, column in enumerate(columns):
        newest = list(by_source.get(column.source, ()))[:length]
        parts[length - len(newest) :, place] = newest[::-1]
    return parts


def _known(day: SeriesDay) -> bool:
    """Wholly covered, and tagged but for a few."""
    return day.observed and day.total - day.mentions <= _UNTAGGED * day.total


def _complaint_sources(days: Iterable[SeriesDay]) -> set[str]:
    """Sources where nearly everything is negative: there the count alone decides."""
    sums: dict[str, list[int]] = {}
    for day in days:
        both = sums.setdefault(day.source, [0, 0])
        both[0] += day.negatives
        both[1] += day.mentions
    return {name for name, (bad, told) in sums.items() if bad > _ALL_NEGATIVE * max(told, 1)}
