"""Seconds of one core: the past of many series, and one more day of them."""

from __future__ import annotations

import time

import numpy as np

from ouvidor.reports.baseline import Floats, Panel, Scan, Stream, scan
from ouvidor.reports.spikes import judge

DAYS = 730
FEW, MANY, CROWD = 250, 1000, 10_000


def _panel(days: int, size: int) -> Panel:
    random = np.random.default_rng(1)
    weekday = np.repeat((np.arange(days) % 7)[:, None], size, axis=1)
    counts: list[Floats] = [random.poisson(mean, (days, size)).astype(float) for mean in (3, 12)]
    return Panel(counts[0], counts[1], weekday)


def _judged(size: int) -> float:
    panel = _panel(DAYS, size)
    began = time.process_time()
    judge(scan(panel))
    return time.process_time() - began


def measure() -> None:
    """Print both figures and the growth from few to many series."""
    few, many = _judged(FEW), _judged(MANY)
    print(
        f"{MANY} series x 2 years: {many:.1f} s of a core; {MANY // FEW} times the series of "
        f"{FEW} cost {many / few:.1f} times the seconds"
    )
    panel = _panel(61, CROWD)
    stream = Stream(CROWD)
    for day in range(60):
        stream.advance(panel.negatives[day], panel.others[day], panel.weekday[day])
    began = time.process_time()
    observed, expected, variance, judged = stream.advance(
        panel.negatives[60], panel.others[60], panel.weekday[60]
    )
    judge(Scan(observed[None], expected[None], variance[None], judged[None]))
    took = time.process_time() - began
    print(f"one more day of {CROWD} series: {took:.2f} s of a core")
