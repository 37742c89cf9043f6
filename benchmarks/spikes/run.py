"""Measures the spike detector on simulated series with known spikes, beside other methods.

    OUVIDOR_CORPUS=… python benchmarks/spikes/run.py            # fresh seeds, some minutes
    OUVIDOR_CORPUS=… python benchmarks/spikes/run.py --reps 4 --seeds 301 --size 100   # a minute

FA is false notifications a year and series, POD7 the share of spikes found within 7 days, decoys
the share of surges of everything that are taken for complaints. ``docs/alerts.md`` holds the
figures. ``bench.py`` says where the generator and the other methods come from.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import bench
import delays
import fleet
import speed
from bench import YEAR, Bench, Floats, Score, Series, other, product

from ouvidor.reports.spikes import threshold

GOALS = "goals: FA<=1 POD7 .65; FA<=.1 POD3 .29, POD7 .47, large .85, decoys .03"


class Product:
    """For the bench's own ``evaluate.py --plugin benchmarks/spikes/run.py:Product``."""

    thr = threshold(1.0, 120)

    def score(self, neg: Sequence[int | None], tot: Sequence[int | None], ctx: Series) -> Floats:
        """One series alone."""
        return product([{"neg": neg, "tot": tot, **ctx}])[0]


def table(seed: int, reps: int, methods: dict[str, Score], bench: Bench) -> None:
    """One line per method: detection at two rates of false alarms."""
    gen, evaluate = bench.gen, bench.evaluate
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
    _outages(quiet, years.sum(), methods["product"], evaluate, seed)


def _outages(quiet: list[Series], years: float, score: Score, evaluate: Any, seed: int) -> None:
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


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", default="301,302", help="fresh ones: tuned on 1 and 2")
    parser.add_argument("--reps", type=int, default=18, help="series per scenario")
    parser.add_argument("--beside", default="EarsC2,Ewma,Cusum", help="classes of the bench")
    parser.add_argument("--size", type=int, default=300, help="series in the fleet")
    options = parser.parse_args()
    speed.measure()
    tools = bench.load()
    others = {name: getattr(tools.detectors, name)() for name in options.beside.split(",") if name}
    scores = {name: other(each, tools.evaluate) for name, each in others.items()}
    methods: dict[str, Score] = {"product": product, **scores}
    print(GOALS)
    for seed in map(int, options.seeds.split(",")):
        table(seed, options.reps, methods, tools)
        delays.measure(seed, options.reps, tools)
        shipped = {name: (scores[name], each.thr) for name, each in others.items()}
        fleet.shipped(seed, options.size, shipped, tools)
        fleet.discovery(seed, options.size, methods, tools)
        fleet.budget(seed, options.size, tools)


if __name__ == "__main__":
    main()
