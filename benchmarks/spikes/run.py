"""Measures the spike detector on simulated series with known spikes, beside other methods.

The generator, its measures and the other methods live outside the project, in
``$OUVIDOR_CORPUS/spikes/bench`` (their README says what each number means); they need numba:

    OUVIDOR_CORPUS=… python benchmarks/spikes/run.py            # fresh seeds, some minutes
    OUVIDOR_CORPUS=… python benchmarks/spikes/run.py --reps 6 --beside ''     # half a minute

FA is false notifications a year and series, POD7 the share of spikes found within 7 days.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ouvidor.reports.baseline import Floats, Panel, scan
from ouvidor.reports.spikes import Day, detect, judge, threshold

FIRST = date(2024, 1, 1)
SPIKES_EVERY = 5  # in the portfolio every fifth series carries a spike
YEAR = 365
GOALS = "goals: FA<=1 POD7 .65; FA<=.1 POD3 .29, POD7 .47, large .85, decoys .03"

Series = dict[str, Any]
Score = Callable[[Sequence[Series]], list[Floats]]


def panel(series: Sequence[Series]) -> tuple[Panel, int]:
    """Series side by side, so that their judged years start on the same day."""
    history = max(each["eval_from"] for each in series)
    days = history + max(len(each["neg"]) - each["eval_from"] for each in series)
    negatives, others = (np.full((days, len(series)), np.nan) for _ in range(2))
    weekday = np.zeros((days, len(series)), int)
    for column, each in enumerate(series):
        shift = history - each["eval_from"]
        span = slice(shift, shift + len(each["neg"]))
        counts, totals = np.array(each["neg"], float), np.array(each["tot"], float)
        negatives[span, column], others[span, column] = counts, totals - counts
        weekday[:, column] = (np.arange(days) - shift + each["dow0"]) % 7
    return Panel(negatives, others, weekday), history


def product(series: Sequence[Series]) -> list[Floats]:
    """The product's score of every day of every series; -1 where it has no opinion."""
    together, history = panel(series)
    score = np.nan_to_num(judge(scan(together)).score, nan=-1.0)
    starts = [history - each["eval_from"] for each in series]
    return [
        score[start : start + len(each["neg"]), column]
        for column, (start, each) in enumerate(zip(starts, series, strict=True))
    ]


class Product:
    """The same for the bench's own ``evaluate.py --plugin benchmarks/spikes/run.py:Product``."""

    thr = threshold(1.0, 120)

    def score(self, neg: Sequence[int | None], tot: Sequence[int | None], ctx: Series) -> Floats:
        """One series alone."""
        return product([{"neg": neg, "tot": tot, **ctx}])[0]


def other(detector: Any, evaluate: Any) -> Score:
    """A method of the bench with the same shape as ``product``."""
    return lambda series: [
        np.nan_to_num(
            detector.score(each["neg"], each["tot"], evaluate.ctx_of(each, detector)), nan=-1.0
        )
        for each in series
    ]


def table(seed: int, reps: int, methods: dict[str, Score], gen: Any, evaluate: Any) -> None:
    """One line per method: detection at two rates of false alarms."""
    quiet = list(gen.dataset(reps, False, seed))
    spiked = list(gen.dataset(reps, True, seed))
    years = np.zeros(len(gen.SC))
    for each in quiet:
        years[each["si"]] += (len(each["neg"]) - each["eval_from"]) / YEAR
    found = sum(len(each["outbreaks"]) for each in spiked)
    print(f"\nseed {seed}: {years.sum():.0f} series-years without spikes, {found} spikes")
    for name, score in methods.items():
        began = time.monotonic()
        low, high = score(quiet), score(spiked)
        for target in (1.0, 0.1):
            limit = evaluate.threshold_for(quiet, low, years.sum(), target)
            got = evaluate.summary(quiet, spiked, low, high, limit, years.sum(), years)
            print(
                f"{name:12} FA<={target:<4} score {limit:6.2f}  POD1/3/7 {got['pod1']:.2f} "
                f"{got['pod3']:.2f} {got['pod7']:.2f}  large {got['pod7_large']:.2f}  decoys "
                f"{got['decoy']:.3f}  worst FA {got['fa_worst']:.1f} ({got['fa_worst_sc']})",
                flush=True,
            )
        print(f"{'':12} {time.monotonic() - began:.0f} s")
    outages(quiet, years.sum(), methods["product"], evaluate, seed)


def outages(quiet: list[Series], years: float, score: Score, evaluate: Any, seed: int) -> None:
    """Four outages a year, masked: they must not raise false alarms."""
    limit = evaluate.threshold_for(quiet, score(quiet), years, 0.1)
    masked = [dict(each, neg=list(each["neg"]), tot=list(each["tot"])) for each in quiet]
    random = np.random.default_rng([seed, 1])
    for each in masked:
        for start in random.integers(0, len(each["neg"]), round(len(each["neg"]) / YEAR * 4)):
            for day in range(start, min(start + random.integers(3, 7), len(each["neg"]))):
                each["neg"][day] = each["tot"][day] = None
    false, _, _ = evaluate.fa_count(masked, score(masked), limit)
    print(f"product      at the same score with masked outages: FA {false.sum() / years:.3f}")


def portfolio(seed: int, size: int, gen: Any) -> None:
    """What a reader of one brand gets: ``detect`` with a budget of one false alarm a month."""
    random = np.random.default_rng(seed)
    full = [index for index, row in enumerate(gen.SC) if "cold" not in row[-1]]
    series = [
        gen.make_series(int(random.choice(full)), 5000 + no, no % SPIKES_EVERY == 0, seed, n_ob=1)
        for no in range(size)
    ]
    days = {str(number): _days(each) for number, each in enumerate(series)}
    told: dict[str, list[int]] = {name: [] for name in days}
    for spike in detect(days, budget_per_month=1.0):
        told[spike.series].append((spike.detected_on - FIRST).days)
    false = true = found3 = found7 = spikes = 0
    for number, each in enumerate(series):
        judged = [day for day in told[str(number)] if day >= each["eval_from"]]
        for day in judged:
            real = any(one["start"] <= day <= one["end"] + 3 for one in each["outbreaks"])
            true, false = true + real, false + (not real)
        for one in each["outbreaks"]:
            late = min((day - one["start"] for day in judged if day >= one["start"]), default=99)
            spikes, found3, found7 = spikes + 1, found3 + (late < 3), found7 + (late < 7)  # noqa: PLR2004 - POD3, POD7
    print(
        f"portfolio of {size}, seed {seed}: {false / 12:.2f} false and {true / 12:.2f} true "
        f"notifications a month, POD3 {found3 / spikes:.2f}, POD7 {found7 / spikes:.2f}",
        flush=True,
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


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", default="301,302", help="fresh ones: tuned on 1 and 2")
    parser.add_argument("--reps", type=int, default=18, help="series per scenario")
    parser.add_argument("--beside", default="Cusum,BetaBin,GPNBexp", help="classes of the bench")
    parser.add_argument("--size", type=int, default=300, help="series in the portfolio")
    options = parser.parse_args()
    corpus = os.environ.get("OUVIDOR_CORPUS")
    if not corpus or not (bench := Path(corpus, "spikes", "bench")).is_dir():
        sys.exit("set OUVIDOR_CORPUS to the folder that holds spikes/bench")
    # Nothing is written beside the bench.
    os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.gettempdir())
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(bench))
    try:
        gen, evaluate, detectors = map(importlib.import_module, ("gen", "evaluate", "detectors"))
    except ModuleNotFoundError as error:
        sys.exit(f"the bench needs {error.name}; install it with: pip install {error.name}")
    names = [name for name in options.beside.split(",") if name]
    methods = {"product": product} | {
        name: other(getattr(detectors, name)(), evaluate) for name in names
    }
    print(GOALS)
    for seed in map(int, options.seeds.split(",")):
        table(seed, options.reps, methods, gen, evaluate)
        portfolio(seed, options.size, gen)


if __name__ == "__main__":
    main()
