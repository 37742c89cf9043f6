"""The generator, the measures and the other methods that the spike detector is compared with.

They live outside the project, in ``$OUVIDOR_CORPUS/spikes/bench``; their README says what each
number means. They like numba and do without: their loops then run as plain Python, some forty
times slower, which the cheap methods bear and the product's own code does not notice.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ouvidor.reports.baseline import Floats, Panel, scan
from ouvidor.reports.spikes import judge

Series = dict[str, Any]
Score = Callable[[Sequence[Series]], list[Floats]]

YEAR = 365
QUIET, AGAIN = 7, 14
"""A notification comes after so many quiet days, and again after so many days of alarm."""


class Bench(NamedTuple):
    """The modules of the bench."""

    gen: Any
    evaluate: Any
    detectors: Any


def load() -> Bench:
    """The bench's modules; ends the program with a sentence where there are none."""
    corpus = os.environ.get("OUVIDOR_CORPUS")
    if not corpus or not (folder := Path(corpus, "spikes", "bench")).is_dir():
        sys.exit("set OUVIDOR_CORPUS to the folder that holds spikes/bench")
    # Nothing is written beside the bench.
    os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.gettempdir())
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    try:
        importlib.import_module("numba")
    except ModuleNotFoundError:
        sys.stderr.write("without numba the other methods are slow; to mend: pip install numba\n")
        sys.modules["numba"] = _plain_python()
    bench = Bench(*map(importlib.import_module, ("gen", "evaluate", "detectors")))
    bench.evaluate.notifications = notifications
    return bench


def _plain_python() -> ModuleType:
    """A stand-in that leaves functions as they are."""
    module = ModuleType("numba")
    module.njit = lambda *args, **_: args[0] if args else (lambda function: function)  # type: ignore[attr-defined]  # a module made here
    return module


def notifications(score: Floats, limit: float, since: int) -> list[int]:
    """The days on which somebody is told; the bench's own rule without its loop over every day."""
    told: list[int] = []
    alarm = -(10**6)
    for day in (np.flatnonzero(score[since:] > limit) + since).tolist():
        if day - alarm > QUIET or day - told[-1] >= AGAIN:
            told.append(day)
        alarm = day
    return told


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


def back(score: Floats, series: Sequence[Series], history: int) -> list[Floats]:
    """The columns of a panel's score as the scores of its series."""
    starts = [history - each["eval_from"] for each in series]
    return [
        score[start : start + len(each["neg"]), column]
        for column, (start, each) in enumerate(zip(starts, series, strict=True))
    ]


def product(series: Sequence[Series]) -> list[Floats]:
    """The product's score of every day of every series; -1 where it has no opinion."""
    together, history = panel(series)
    score = np.nan_to_num(judge(scan(together)).score, nan=-1.0)
    return back(score, series, history)


def other(detector: Any, evaluate: Any) -> Score:
    """A method of the bench with the same shape as ``product``."""
    return lambda series: [
        np.nan_to_num(
            detector.score(each["neg"], each["tot"], evaluate.ctx_of(each, detector)), nan=-1.0
        )
        for each in series
    ]
