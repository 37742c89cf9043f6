"""Touchpoints scored 1 to 5 from what customers said, with what the numbers can bear. Pure.

**Score.** Each aspect scores 1·p₋ + 3·p₀ + 5·p₊; a touchpoint's raw score is the mean over its
mentions. A mean of a few mentions is mostly luck, so it is pulled towards the journey's mean by
Bühlmann–Straub credibility (H. Bühlmann and E. Straub, "Glaubwürdigkeit für Schadensätze", 1970;
the empirical-Bayes estimate of Efron and Morris, 1975, is the same formula)::

    score = μ + z·(mean − μ)      z = n / (n + σ²/τ²)

with σ² the variance of single mentions, τ² the variance between touchpoints and μ their mean
weighted by z. Both variances are estimated from the same weeks and steadied by a weak prior (a
few mentions' worth), because a dozen touchpoints cannot tell them well alone.

**Interval.** 95 %, from the posterior variance z·σ²/n + (1 − z)²·Var(μ).

**Change.** The score against that of the four weeks before. It is marked only when the raw means
differ beyond chance: two-sided normal test, 5 % over all touchpoints together (Holm, 1979), so at
most one quiet week in twenty shows any mark.

**Missing.** A mention counts wherever it was found; a day nobody read adds nothing, neither a
mention nor a zero. No mentions where a source was not read is "not observed", never "silence".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from statistics import NormalDist

from ..config import Touchpoint
from ..storage.vocabulary import SeriesDay, Stage

TOO_FEW = 10
"""Below this many mentions a score is not told."""

BEFORE = timedelta(days=28)
"""How far back the change looks."""

LOWEST, HIGHEST = 1.0, 5.0
_Z95 = NormalDist().inv_cdf(0.975)
_FALSE_MARKS = 0.05

# Priors: scores 1, 3 and 5 equally likely have variance 8/3; touchpoints of one journey lie about
# 0.7 apart. The weights are in mentions (σ²) and touchpoints (τ²).
_WITHIN, _WITHIN_WEIGHT = 8 / 3, 4.0
_OWN_WEIGHT = 10.0
_BETWEEN, _BETWEEN_WEIGHT = 0.5, 3.0


class Telling(StrEnum):
    """What the mentions of a touchpoint allow to say."""

    TOLD = "told"
    FEW = "few"
    SILENT = "silent"
    UNOBSERVED = "unobserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One touchpoint in one span of days.

    ``score``, ``low`` and ``high`` (1 to 5) and what follows from them are None unless ``telling``
    is TOLD. ``change`` is against the four weeks before, None when either side has too few;
    ``stands_out`` says that it is more than noise. ``gap`` is target minus score: positive falls
    short, and ``clear_gap`` says that the whole interval does. ``cost`` ranks gaps: points short ×
    negative mentions. ``assessed`` is the team's own 1–5.
    """

    touchpoint: str
    name: str
    stage: Stage
    owner: str | None
    mentions: int
    negatives: int
    telling: Telling
    score: float | None
    low: float | None
    high: float | None
    previous: float | None
    change: float | None
    stands_out: bool
    target: float
    gap: float | None
    clear_gap: bool
    cost: float
    assessed: int | None

    @property
    def share_negative(self) -> float | None:
        """Negative mentions among all, or None without mentions."""
        return self.negatives / self.mentions if self.mentions else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """All touchpoints from ``since`` to ``until`` (both included), in the order of the journey."""

    since: date
    until: date
    scores: tuple[Score, ...]

    @property
    def costliest(self) -> tuple[Score, ...]:
        """Touchpoints short of their target, the one that hurts most first."""
        short = [score for score in self.scores if score.cost > 0]
        return tuple(sorted(short, key=lambda score: (-score.cost, score.touchpoint)))


@dataclass(frozen=True, slots=True)
class _Sum:
    n: int = 0
    negatives: int = 0
    total: float = 0.0
    squares: float = 0.0
    observed: bool = True

    def plus(self, row: SeriesDay) -> _Sum:
        return _Sum(
            self.n + row.mentions,
            self.negatives + row.negatives,
            self.total + row.score_sum,
            self.squares + row.score_squares,
            self.observed and row.observed,
        )

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def spread(self) -> float:
        """Sum of squared distances from the mean; rounding never makes it negative."""
        return max(0.0, self.squares - self.total * self.total / self.n)


@dataclass(frozen=True, slots=True)
class _Estimate:
    score: float
    error: float

    @property
    def bounds(self) -> tuple[float, float]:
        reach = _Z95 * self.error
        return max(LOWEST, self.score - reach), min(HIGHEST, self.score + reach)


def scorecard(
    rows: Iterable[SeriesDay],
    touchpoints: Mapping[str, Touchpoint],
    *,
    since: date,
    until: date,
    assessments: Mapping[str, int],
) -> Scorecard:
    """Score every touchpoint from ``since`` to ``until`` and against the four weeks before.

    ``rows`` should reach back to ``since - BEFORE``; others are left out. ``assessments`` are the
    team's own 1–5 by touchpoint.
    """
    rows = [row for row in rows if row.touchpoint in touchpoints]
    now = _sums(rows, since, until)
    before = _sums(rows, since - BEFORE, since - timedelta(days=1))
    estimates, earlier = estimate(now), estimate(before)
    scores = [
        _score(
            key,
            touchpoint,
            now.get(key, _Sum(observed=False)),
            estimates.get(key),
            earlier.get(key) if before.get(key, _Sum()).n >= TOO_FEW else None,
            assessments.get(key),
        )
        for key, touchpoint in touchpoints.items()
    ]
    changed = [each.touchpoint for each in scores if each.change is not None]
    loud = _standing_out({key: (now[key], before[key]) for key in changed})
    marked = [replace(each, stands_out=each.touchpoint in loud) for each in scores]
    stages = list(Stage)
    marked.sort(key=lambda score: stages.index(score.stage))
    return Scorecard(since=since, until=until, scores=tuple(marked))


def _sums(rows: Iterable[SeriesDay], since: date, until: date) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = {}
    for row in rows:
        if since <= row.day <= until:
            sums[row.touchpoint] = sums.get(row.touchpoint, _Sum()).plus(row)
    return sums


def estimate(sums: Mapping[str, _Sum]) -> dict[str, _Estimate]:
    """The credibility estimate of every touchpoint that was mentioned at all."""
    spoken = {key: each for key, each in sums.items() if each.n}
    if not spoken:
        return {}
    pooled = _pooled_variance(list(spoken.values()))
    errors = {key: _own_variance(each, pooled) / each.n for key, each in spoken.items()}
    between = _between([(each.mean, errors[key]) for key, each in spoken.items()])
    weights = {key: between / (between + errors[key]) for key in spoken}
    sure = sum(weights.values())
    journey = sum(weights[key] * spoken[key].mean for key in spoken) / sure
    return {
        key: _Estimate(
            score=journey + weights[key] * (each.mean - journey),
            error=math.sqrt(weights[key] * errors[key] + (1 - weights[key]) ** 2 * between / sure),
        )
        for key, each in spoken.items()
    }


def _pooled_variance(sums: Sequence[_Sum]) -> float:
    freedom = sum(each.n - 1 for each in sums)
    spread = sum(each.spread for each in sums)
    return (spread + _WITHIN_WEIGHT * _WITHIN) / (freedom + _WITHIN_WEIGHT)


def _own_variance(each: _Sum, pooled: float) -> float:
    return (each.spread + _OWN_WEIGHT * pooled) / (each.n - 1 + _OWN_WEIGHT)


def _between(means: Sequence[tuple[float, float]]) -> float:
    """The variance between touchpoints: what their means' spread exceeds chance, and the prior."""
    freedom = len(means) - 1
    if not freedom:
        return _BETWEEN
    weights = [1 / (_BETWEEN + error) for _, error in means]
    centre = sum(w * mean for w, (mean, _) in zip(weights, means, strict=True)) / sum(weights)
    spread = sum((mean - centre) ** 2 for mean, _ in means) / freedom
    found = max(0.0, spread - sum(error for _, error in means) / len(means))
    return (freedom * found + _BETWEEN_WEIGHT * _BETWEEN) / (freedom + _BETWEEN_WEIGHT)


def _telling(found: _Sum) -> Telling:
    if found.n >= TOO_FEW:
        return Telling.TOLD
    if found.n:
        return Telling.FEW
    return Telling.SILENT if found.observed else Telling.UNOBSERVED


def _score(
    key: str,
    touchpoint: Touchpoint,
    found: _Sum,
    estimated: _Estimate | None,
    earlier: _Estimate | None,
    assessed: int | None,
) -> Score:
    told = estimated if found.n >= TOO_FEW else None
    low, high = told.bounds if told else (None, None)
    gap = touchpoint.target - told.score if told else None
    return Score(
        touchpoint=key,
        name=touchpoint.name,
        stage=touchpoint.stage,
        owner=touchpoint.owner,
        mentions=found.n,
        negatives=found.negatives,
        telling=_telling(found),
        score=told.score if told else None,
        low=low,
        high=high,
        previous=earlier.score if told and earlier else None,
        change=told.score - earlier.score if told and earlier else None,
        stands_out=False,
        target=touchpoint.target,
        gap=gap,
        clear_gap=high is not None and high < touchpoint.target,
        cost=max(0.0, gap or 0.0) * found.negatives,
        assessed=assessed,
    )


def _standing_out(pairs: Mapping[str, tuple[_Sum, _Sum]]) -> set[str]:
    """Holm's step-down over all changes: those that are more than noise, together."""
    pooled = _pooled_variance([each for pair in pairs.values() for each in pair])
    chances = sorted((_chance(*pair, pooled), key) for key, pair in pairs.items())
    loud: set[str] = set()
    for rank, (chance, touchpoint) in enumerate(chances):
        if chance > _FALSE_MARKS / (len(chances) - rank):
            break
        loud.add(touchpoint)
    return loud


def _chance(now: _Sum, before: _Sum, pooled: float) -> float:
    """How likely means this far apart are when nothing changed; then both share one variance."""
    spread = now.spread + before.spread + _OWN_WEIGHT * pooled
    variance = spread / (now.n + before.n - 2 + _OWN_WEIGHT)
    error = math.sqrt(variance * (1 / now.n + 1 / before.n))
    return math.erfc(abs(now.mean - before.mean) / error / math.sqrt(2))
