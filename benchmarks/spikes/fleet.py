"""What a reader of one brand gets: a fleet of series, one in five with a spike in the year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from bench import Bench, Score, Series, notifications
from scipy.stats import false_discovery_control

from ouvidor.reports.baseline import Floats
from ouvidor.reports.spikes import Day, detect

FIRST = date(2024, 1, 1)
SPIKES_EVERY = 5
HISTORY, END = 365, 730
WEEKS = 52.14
BEYOND = 0.995  # from here on the tail is an exponential
Q = 0.1


def fleet(seed: int, size: int, gen: Any) -> list[Series]:
    """Series that are not young, each with its spike or without."""
    random = np.random.default_rng(seed)
    full = [index for index, row in enumerate(gen.SC) if "cold" not in row[-1]]
    return [
        gen.make_series(int(random.choice(full)), 5000 + no, no % SPIKES_EVERY == 0, seed, n_ob=1)
        for no in range(size)
    ]


def discovery(seed: int, size: int, methods: dict[str, Score], bench: Bench) -> None:
    """Benjamini-Hochberg over every day's batch; chances from other series without spikes."""
    series = fleet(seed, size, bench.gen)
    calm = list(bench.gen.dataset(12, False, seed + 4000))
    for name, score in methods.items():
        chance = _calibrated(calm, score(calm))
        p = np.array([chance(each[HISTORY:END]) for each in score(series)])
        adjusted = false_discovery_control(p, axis=0)
        alarms = [np.concatenate([np.zeros(HISTORY), row <= Q]) for row in adjusted]
        told = [
            notifications(row, 0.5, each["eval_from"])
            for row, each in zip(alarms, series, strict=True)
        ]
        print(f"{name:12} fleet of {size}, BH q={Q}: {_report(series, told)}", flush=True)


def shipped(seed: int, size: int, methods: dict[str, tuple[Score, float]], bench: Bench) -> None:
    """Other methods at the threshold they come with."""
    series = fleet(seed, size, bench.gen)
    for name, (score, limit) in methods.items():
        pairs = zip(score(series), series, strict=True)
        told = [notifications(row, limit, each["eval_from"]) for row, each in pairs]
        print(f"{name:12} fleet of {size}, as shipped: {_report(series, told)}", flush=True)


def budget(seed: int, size: int, bench: Bench) -> None:
    """``detect`` with its default: one false alarm a month over the whole brand."""
    series = fleet(seed, size, bench.gen)
    days = {str(number): _days(each) for number, each in enumerate(series)}
    told: list[list[int]] = [[] for _ in series]
    for spike in detect(days, budget_per_month=1.0):
        number = int(spike.series)
        day = (spike.detected_on - FIRST).days
        if day >= series[number]["eval_from"]:
            told[number].append(day)
    print(
        f"product      fleet of {size}, budget of one a month: {_report(series, told)}", flush=True
    )


def _calibrated(calm: Sequence[Series], scores: Sequence[Floats]) -> Any:
    """From a score to how often a calm day reaches it."""
    pairs = zip(scores, calm, strict=True)
    values = np.sort(np.concatenate([score[each["eval_from"] :] for score, each in pairs]))
    high = values[int(BEYOND * len(values))]
    decay = (values[values > high] - high).mean()

    def chance(score: Floats) -> Floats:
        tail = (1 - BEYOND) * np.exp(-np.maximum(score - high, 0) / decay)
        body = 1 - np.searchsorted(values, score, side="left") / len(values)
        return np.where(score > high, tail, body)

    return chance


def _report(series: Sequence[Series], told: Sequence[Sequence[int]]) -> str:
    false = true = found3 = found7 = spikes = 0
    for each, days in zip(series, told, strict=True):
        for day in days:
            real = any(one["start"] <= day <= one["end"] + 3 for one in each["outbreaks"])
            true, false = true + real, false + (not real)
        for one in each["outbreaks"]:
            late = min((day - one["start"] for day in days if day >= one["start"]), default=99)
            spikes, found3, found7 = spikes + 1, found3 + (late < 3), found7 + (late < 7)  # noqa: PLR2004 - POD3, POD7
    both = true + false
    return (
        f"{both / WEEKS:.2f} notifications a week, {false / max(both, 1):.0%} false "
        f"({false / 12:.2f} a month), POD3 {found3 / spikes:.2f}, POD7 {found7 / spikes:.2f}"
    )


def _days(series: Series) -> list[Day]:
    # Day 0 falls on the weekday that the series wants.
    start = FIRST + timedelta(days=(series["dow0"] - FIRST.weekday()) % 7)
    shift = (start - FIRST).days
    series["eval_from"] += shift
    for one in series["outbreaks"]:
        one["start"] += shift
        one["end"] += shift
    return [
        Day(start + timedelta(days=step), negatives or 0, total, negatives is not None)
        for step, (negatives, total) in enumerate(zip(series["neg"], series["tot"], strict=True))
    ]
