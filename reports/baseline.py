"""What the past lets us expect of daily counts, and how unlikely the last days are.

Pure arithmetic over many series at once: arrays have one column per series. Every number of day
t is computed from days up to t, so a replay gives what was known at the time.

The level of a series is a Gamma distribution that forgets slowly, times a weekday profile; the
last seven days never enter it, so a spike does not hide itself. Counts vary more than a Poisson
law allows, hence a negative binomial whose variance is ``dispersion`` times its mean. Feedback
that is not negative (``others``) tells how busy the days were and moves the expectation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc  # type: ignore[import-untyped]  # scipy ships no types

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

GUARD = 7
"""Days before today that never enter the baseline."""

WINDOWS = (1, 2, 3, 5, 7)
"""Lengths in days of the runs that are judged."""

ENOUGH = 7
"""Days a series must have learnt from before anything is said about it."""

MOST = 1e12
"""Counts above this are taken for this: sums and logarithms stay finite."""

_KEEP = 0.985  # a day's weight after another day: the level remembers some 67 days
_KEEP_FAST = 1 - 2.5 * (1 - _KEEP)
_KEEP_PROFILE = 1 - (1 - _KEEP) / 3
_PRIOR_WEIGHT = 0.4  # days
_PROFILE_WEIGHT = 25.0  # items a weekday needs before its own habit outweighs the pool's
_KEEP_DISPERSION = 0.9975  # steadier than the level: a year of days tells how wild a series is
_DISPERSION_WEIGHT = 10.0  # days with plenty of items
_TELLING = 2.0  # items a day
_FIRST_DISPERSION = 1.5
_OUTLIER = 9.0  # one day adds no more than so many dispersions to the estimate
_SETTLED = 14  # days after which the model itself says what is an outlier
_DRIFT_FROM = 60  # days before a drift is believed at all
_DRIFT_SCALE = 0.002  # what a daily drift usually is
_DRIFT_MOST = 0.5
_VOLUME_WEIGHT = 2.0  # dispersions of others before they move the expectation
_VOLUME_FROM = 42  # days
_VOLUME_RANGE = (0.2, 8.0)
_ALL_NEGATIVE = 0.9  # above this share the count alone decides
_LEAST_EXPECTED = 0.02
_LEAST_COUNT = 3
_LEAST_EXCESS = 2.0
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Panel:
    """Days × series.

    ``negatives`` is nan on a day nobody observed, ``others`` (feedback that is not negative)
    where nobody knows it; ``weekday`` is 0 to 6; ``complete`` is the part of a day's feedback that
    has usually come in by now (all of it without the array): late days are not taken for calm ones.
    """

    negatives: Floats
    others: Floats
    weekday: Ints
    complete: Floats | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """Days × windows × series: what came in the last 1, 2, 3, 5, 7 days and what was expected.

    ``expected`` and ``variance`` allow for the days' volume. ``judged`` (days × series) is False
    where the day was not observed or the series is too young.
    """

    observed: Floats
    expected: Floats
    variance: Floats
    judged: Bools

    def grouped(self, groups: Sequence[Sequence[int]]) -> Scan:
        """Sums over columns: a group is judged on what its observed members should have brought."""

        def total(values: Floats) -> Floats:
            return np.stack([values[..., list(each)].sum(axis=-1) for each in groups], axis=-1)

        judged = np.stack([self.judged[:, list(each)].any(axis=1) for each in groups], axis=-1)
        return Scan(total(self.observed), total(self.expected), total(self.variance), judged)

    def evidence(self) -> Floats:
        """-log10 of the chance that a window brings so many; 0 below the least evidence."""
        excess = self.observed - self.expected
        worth = (self.observed >= _LEAST_COUNT) & (excess >= _LEAST_EXCESS)
        result = np.zeros_like(self.observed)
        result[worth] = surprise(self.observed[worth], self.expected[worth], self.variance[worth])
        return result


def surprise(observed: Floats, expected: Floats, variance: Floats) -> Floats:
    """-log10 of the mid-p upper tail of a negative binomial with this mean and variance."""
    size = np.minimum(expected**2 / np.maximum(variance - expected, 1e-9 * expected), 1e7)
    chance = expected / (expected + size)
    at_least = betainc(np.maximum(observed, 1e-9), size, chance)
    more = betainc(observed + 1, size, chance)
    tail = np.where(observed > 0, (at_least + more) / 2, 1.0)
    # At sizes where the incomplete beta function gives up, the normal law is exact enough.
    failed = np.isnan(tail)
    tail[failed] = np.exp(-((observed - expected)[failed] ** 2) / (2 * variance[failed]))
    return -np.log10(np.maximum(tail, _TINY))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a day brings: ``rate`` × ``profile[weekday]``; ``shape`` is how sure the rate is."""

    rate: Floats
    shape: Floats
    dispersion: Floats
    profile: Floats


class Level:
    """The slowly forgetting level, weekday profile and dispersion of ``size`` series."""

    def __init__(self, size: int) -> None:
        self._prior = np.ones(size)
        self._count, self._days = self._prior * _PRIOR_WEIGHT, np.full(size, _PRIOR_WEIGHT)
        self._fast_count, self._fast_days = self._count.copy(), self._days.copy()
        self._weekday_count = np.zeros((7, size))
        self._weekday_expected = np.zeros((7, size))
        self._spread = np.zeros(size)
        self._spread_days = np.zeros(size)
        self.learnt = np.zeros(size)
        self._columns = np.arange(size)

    def forecast(self) -> Forecast:
        """What the next judged day should bring."""
        dispersion = self._dispersion()
        return Forecast(
            rate=self._count / self._days * self._drift(dispersion),
            shape=np.maximum(self._count, 0.5) / dispersion,
            dispersion=dispersion,
            profile=self._profile(),
        )

    def learn(self, count: Floats, weekday: Ints, volume: Floats, usual: Floats) -> None:
        """Take one day in.

        ``count`` is nan where nobody looked; ``usual`` is the median of the days around it, which
        tells an outlier while the level itself is young.
        """
        known = ~np.isnan(count)
        self._start(known & (self.learnt == 0), usual)
        self._forget()
        rate = self._count / self._days
        factor = self._profile()[weekday, self._columns]
        expected = rate * factor * volume
        dispersion = self._dispersion()
        taken = np.minimum(np.where(known, count, 0.0), self._cap(expected, dispersion, usual))
        exposure = np.where(known, factor * volume, 0.0)
        self._count += taken
        self._days += exposure
        self._fast_count += taken
        self._fast_days += exposure
        here = (weekday, self._columns)
        self._weekday_count[here] += taken
        self._weekday_expected[here] += np.where(known, rate * volume, 0.0)
        self.learnt += known
        settled = known & (self.learnt > _SETTLED)
        error = (np.where(known, count, 0.0) - expected) ** 2 / np.maximum(expected, 0.05)
        # A day tells of dispersion as much as it has items to be dispersed.
        weight = np.where(settled, expected / (expected + _TELLING), 0.0)
        self._spread += weight * np.minimum(error, _OUTLIER * dispersion)
        self._spread_days += weight

    def _start(self, fresh: Bools, usual: Floats) -> None:
        """A series begins at what its first days were like, not at what others are like."""
        self._prior[fresh] = (usual[fresh] * GUARD + _PRIOR_WEIGHT) / (GUARD + _PRIOR_WEIGHT)
        for count in (self._count, self._fast_count):
            count[fresh] = self._prior[fresh] * _PRIOR_WEIGHT

    def _forget(self) -> None:
        for sums, keep, prior in (
            (self._count, _KEEP, self._prior),
            (self._days, _KEEP, 1.0),
            (self._fast_count, _KEEP_FAST, self._prior),
            (self._fast_days, _KEEP_FAST, 1.0),
        ):
            sums[:] = keep * sums + (1 - keep) * _PRIOR_WEIGHT * prior
        self._spread *= _KEEP_DISPERSION
        self._spread_days *= _KEEP_DISPERSION
        self._weekday_count *= _KEEP_PROFILE
        self._weekday_expected *= _KEEP_PROFILE

    def _cap(self, expected: Floats, dispersion: Floats, usual: Floats) -> Floats:
        """A day counts up to here, so that past spikes neither raise the level nor blind it."""
        variance = dispersion * expected * (1 + expected / np.maximum(self._count, 0.5))
        young = self.learnt < _SETTLED
        width = np.where(young, 6.0, 3.0) * np.sqrt(variance) + np.where(young, 4.0, 1.0)
        cap: Floats = np.maximum(expected + width, np.where(young, 3 * usual, 0.0))
        return cap

    def _dispersion(self) -> Floats:
        known = _DISPERSION_WEIGHT + self._spread_days
        own = (_DISPERSION_WEIGHT * _FIRST_DISPERSION + self._spread) / known
        dispersion: Floats = np.maximum(own, 1.0)
        return dispersion

    def _profile(self) -> Floats:
        weight = _PROFILE_WEIGHT
        pool = (self._weekday_count.sum(axis=1) + weight) / (
            self._weekday_expected.sum(axis=1) + weight
        )
        profile = (self._weekday_count + weight * pool[:, None]) / (self._weekday_expected + weight)
        relative: Floats = profile / profile.mean(axis=0)
        return relative

    def _drift(self, dispersion: Floats) -> Floats:
        """The level's own daily growth, shrunk by its uncertainty, carried to today."""
        age, fast_age = 1 / (1 - _KEEP), 1 / (1 - _KEEP_FAST)
        gap = age - fast_age
        fast = self._fast_count / self._fast_days
        slope = np.log(fast / (self._count / self._days)) / gap
        noise = 1 / np.maximum(self._fast_count, 0.3) - 0.4 / np.maximum(self._count, 0.3)
        variance = dispersion * np.maximum(noise, 1e-6) / gap**2
        believed = slope * _DRIFT_SCALE**2 / (_DRIFT_SCALE**2 + variance) * (age + GUARD)
        grown = np.exp(np.clip(believed, -_DRIFT_MOST, _DRIFT_MOST))
        return np.where(self.learnt >= _DRIFT_FROM, grown, 1.0)


@dataclass(frozen=True, slots=True)
class _Day:
    """One day as it came, and the volume that was usual for it."""

    negatives: Floats
    others: Floats
    weekday: Ints
    complete: Floats
    usual: Floats
    weight: Floats
    shared: Bools

    @property
    def volume(self) -> Floats:
        """How many times busier than usual it was; 1 where nobody knows."""
        told = self.shared & ~np.isnan(self.negatives) & ~np.isnan(self.others)
        return np.where(told, _ratio(self.others, self.usual * self.complete, self.weight), 1.0)


class Stream:
    """The state of many series; ``advance`` takes one day in and judges it."""

    def __init__(self, size: int) -> None:
        self._negatives = Level(size)
        self._others = Level(size)
        self._days: list[_Day] = []
        self._sums = np.zeros((2, size))
        self._seen = np.zeros(size)

    def advance(
        self, negatives: Floats, others: Floats, weekday: Ints, complete: Floats | None = None
    ) -> tuple[Floats, Floats, Floats, Bools]:
        """Observed, expected and variance (windows × series) and what may be judged today.

        ``complete`` is the part of the day's feedback that has usually come by now.
        """
        self._learn_the_day_before_the_guard()
        known = ~np.isnan(negatives)
        told = known & ~np.isnan(others)
        self._seen += known
        self._sums += np.where(told, [negatives, negatives + others], 0.0)
        mixed = self._sums[0] <= _ALL_NEGATIVE * np.maximum(self._sums[1], 1)
        shared = mixed & (self._seen >= _VOLUME_FROM)
        busy = self._others.forecast()
        weight = _VOLUME_WEIGHT * busy.dispersion
        usual = busy.rate * busy.profile[weekday, np.arange(len(weekday))]
        whole = np.ones(len(weekday)) if complete is None else complete
        self._days.append(_Day(negatives, others, weekday, whole, usual, weight, shared))
        del self._days[: -2 * (GUARD + 1)]
        return *self._windows(busy, weight, shared), known & (self._negatives.learnt >= ENOUGH)

    def amend(self, back: int, negatives: Floats, others: Floats, complete: Floats) -> None:
        """Late feedback: new counts of the day ``back`` days ago (0 is the newest one).

        Only days within the guard can change, because older ones are learnt already.
        """
        if not 0 <= back <= GUARD:
            raise ValueError(f"a day {back} days ago; only the last {GUARD} days can be amended")
        day = self._days[-1 - back]
        self._days[-1 - back] = replace(day, negatives=negatives, others=others, complete=complete)

    def _learn_the_day_before_the_guard(self) -> None:
        if len(self._days) <= GUARD:
            return
        day = self._days[-GUARD - 1]
        usual = _middle([each.negatives for each in self._days])
        self._negatives.learn(day.negatives, day.weekday, day.volume * day.complete, usual)
        usual = _middle([each.others for each in self._days])
        self._others.learn(day.others, day.weekday, day.complete, usual)

    def _windows(
        self, busy: Forecast, weight: Floats, shared: Bools
    ) -> tuple[Floats, Floats, Floats]:
        """Sums over the last days, newest first, cut at the lengths of ``WINDOWS``."""
        last = self._days[: -WINDOWS[-1] - 1 : -1]
        negatives = np.stack([day.negatives for day in last])
        others = np.stack([day.others for day in last])
        weekdays = np.stack([day.weekday for day in last])
        complete = np.stack([day.complete for day in last])
        columns = np.arange(negatives.shape[1])
        known, told = ~np.isnan(negatives), ~np.isnan(negatives) & ~np.isnan(others)
        ahead = self._negatives.forecast()
        expected = np.where(known, ahead.rate * ahead.profile[weekdays, columns] * complete, 0.0)
        usual = np.where(told, busy.rate * busy.profile[weekdays, columns] * complete, 0.0)
        came = _upto(np.where(told, others, 0.0))
        volume = np.where(shared, _ratio(came, _upto(usual), weight), 1.0)
        mean = np.maximum(_upto(expected) * volume, _LEAST_EXPECTED)
        variance = ahead.dispersion * mean * (1 + mean / (ahead.shape * ahead.dispersion))
        return _upto(np.where(known, negatives, 0.0)), mean, variance


def _middle(many: Sequence[Floats]) -> Floats:
    """The lower median of some days; 0 where nobody looked at any."""
    days = np.stack(many)
    known = (~np.isnan(days)).sum(axis=0)
    days.sort(axis=0)  # nan comes last
    middle = days[np.maximum(known - 1, 0) // 2, np.arange(days.shape[1])]
    return np.where(known > 0, middle, 0.0)


def _upto(days: Floats) -> Floats:
    """Running sums at the lengths of ``WINDOWS``; a young series has what it has."""
    sums = days.cumsum(axis=0)
    rows = [min(length, len(days)) - 1 for length in WINDOWS]
    result: Floats = sums[rows]
    return result


def _ratio(came: Floats, usual: Floats, weight: Floats) -> Floats:
    return np.clip((came + weight) / (usual + weight), *_VOLUME_RANGE)


def scan(panel: Panel) -> Scan:
    """Replay all days of a panel."""
    days, size = panel.negatives.shape
    stream = Stream(size)
    shape = (days, len(WINDOWS), size)
    observed, expected, variance = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    judged = np.zeros((days, size), bool)
    for day in range(days):
        observed[day], expected[day], variance[day], judged[day] = stream.advance(
            panel.negatives[day],
            panel.others[day],
            panel.weekday[day],
            None if panel.complete is None else panel.complete[day],
        )
    return Scan(observed, expected, variance, judged)
