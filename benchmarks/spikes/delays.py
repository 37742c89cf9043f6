"""Late feedback: the counts of a day grow for a week, and each age is expected to bring its part.

The scenarios are the bench's moderate ones, 55 % of the items come on the day itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bench import YEAR, Bench, Series, back, panel, product

from ouvidor.reports.baseline import GUARD, Floats, Scan, Stream
from ouvidor.reports.spikes import judge

SCENARIOS = [3, 4, 7, 9, 11, 12, 13, 17, 18]
COMES = np.array([0.55, 0.20, 0.10, 0.05, 0.04, 0.03, 0.02, 0.01])
AGES = COMES.cumsum()


def _seen(counts: Floats, random: np.random.Generator) -> Floats:
    """Days × ages × series: what of each day had come in so many days later."""
    whole = np.nan_to_num(counts).astype(int)
    parts = np.moveaxis(random.multinomial(whole, COMES), -1, 1).cumsum(axis=1).astype(float)
    parts[np.repeat(np.isnan(counts)[:, None, :], len(COMES), axis=1)] = np.nan
    return parts


def late(series: Sequence[Series], seed: int, *, corrected: bool) -> list[Floats]:
    """The score that each day had on its own evening, with what had come in by then."""
    together, history = panel(series)
    random = np.random.default_rng([seed, 2])
    negatives, others = (_seen(each, random) for each in (together.negatives, together.others))
    days, size = together.negatives.shape
    stream, scores = Stream(size), np.full((days, size), -1.0)
    complete = [np.full(size, share if corrected else 1.0) for share in AGES]
    for day in range(days):
        for age in range(1, min(day, GUARD) + 1):
            place = (day - age, age)
            stream.amend(age - 1, negatives[place], others[place], complete[age])
        came = (negatives[day, 0], others[day, 0], together.weekday[day], complete[0])
        told = [each[None] for each in stream.advance(*came)]
        scores[day] = np.nan_to_num(judge(Scan(*told)).score[0], nan=-1.0)  # type: ignore[arg-type]  # four arrays
    return back(scores, series, history)


def measure(seed: int, reps: int, bench: Bench) -> None:
    """One line: found within 3 and 7 days at the threshold of complete data, and false alarms."""
    evaluate = bench.evaluate
    quiet = list(bench.gen.dataset(reps, False, seed, SCENARIOS))
    spiked = list(bench.gen.dataset(reps, True, seed, SCENARIOS))
    years = sum((len(each["neg"]) - each["eval_from"]) / YEAR for each in quiet)
    per = np.full(len(bench.gen.SC), np.inf)
    per[SCENARIOS] = years / len(SCENARIOS)
    whole = product(quiet)
    limit = evaluate.threshold_for(quiet, whole, years, 1.0)
    ways = {
        "complete": (whole, product(spiked)),
        "late, as it came": tuple(late(each, seed, corrected=False) for each in (quiet, spiked)),
        "late, by age": tuple(late(each, seed, corrected=True) for each in (quiet, spiked)),
    }
    for name, (low, high) in ways.items():
        got = evaluate.summary(quiet, spiked, low, high, limit, years, per)
        print(
            f"product      {name:16} at FA 1 of complete data: FA {got['fa']:.2f}  "
            f"POD3/7 {got['pod3']:.2f} {got['pod7']:.2f}",
            flush=True,
        )
