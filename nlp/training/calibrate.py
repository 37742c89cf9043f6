"""Makes probabilities say how often they are right, on text that nothing was learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import (  # type: ignore[import-untyped]  # ships no types
    minimize,
    minimize_scalar,
)

from ...storage.vocabulary import Sentiment
from ..heads import Head, expected_stars, sigmoid, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_GRID = np.linspace(0.15, 0.85, 29)
_TINY = 1e-7
_FEW = 200
_FEW_OF_A_SET = 100
_TEMPERATURES = np.round(np.arange(2.0, 0.29, -0.05), 2)


def calibrated(head: Head, features: Floats, targets: Floats, *, exclusive: bool) -> Head:
    """The head with the temperature that makes the targets likeliest.

    ``features`` (n, d), ``targets`` (n, k): rows that add up to 1 when ``exclusive`` (softmax),
    else a yes or no in each column (sigmoid).
    """
    raw = Head(head.columns, head.layers, 1.0).scores(features)
    return Head(head.columns, head.layers, _temperature(raw, targets, exclusive=exclusive))


def leaning(head: Head, features: Floats, targets: Floats) -> Head:
    """``calibrated``, and with the bias of *neutral* that makes the targets likeliest.

    What is composed to learn from holds more clauses without an opinion than customers write.
    ``targets`` (n, sentiments), rows that add up to 1.
    """
    raw = Head(head.columns, head.layers, 1.0).scores(features)
    neutral = np.array([each == Sentiment.NEUTRAL for each in Sentiment], np.float32)

    def loss(found: Sequence[float]) -> float:
        log_temperature, lean = found
        scores = raw / np.exp(log_temperature) + lean * neutral
        return float(-(targets * np.log(softmax(scores) + _TINY)).sum(1).mean())

    log_temperature, lean = minimize(loss, (0.0, 0.0), method="Nelder-Mead").x
    temperature = float(np.exp(log_temperature))
    *lower, (weight, bias) = head.layers
    last = (weight, np.asarray(bias + lean * temperature * neutral, np.float32))
    return Head(head.columns, (*lower, last), temperature)


def _temperature(raw: Floats, targets: Floats, *, exclusive: bool) -> float:
    def loss(log_temperature: float) -> float:
        scores = raw / np.exp(log_temperature)
        if exclusive:
            return float(-(targets * np.log(softmax(scores) + _TINY)).sum(1).mean())
        p = sigmoid(scores)
        yes, no = np.log(p + _TINY), np.log(1 - p + _TINY)
        return float(-(targets * yes + (1 - targets) * no).mean())

    found = minimize_scalar(loss, bounds=(-2, 2), method="bounded")
    return float(np.exp(found.x))


def nearest(head: Head, features: Floats, stars: Floats) -> Head:
    """The ordinal head with the temperature whose expected stars, rounded, err least.

    The likeliest temperature would draw every text to the middle, and nobody reads the
    distribution, only its mean.
    """
    raw = Head(head.columns, head.layers, 1.0).scores(features)

    def error(temperature: float) -> float:
        return float(np.abs(np.round(expected_stars(raw / temperature)) - stars).mean())

    best = min(_TEMPERATURES, key=error)
    return Head(head.columns, head.layers, float(best))


def warmths(
    scores: Floats, targets: Floats, groups: Sequence[str], sets: Sequence[str] | None = None
) -> dict[str, float]:
    """What the scores of a group of languages are divided by, on top of the head's temperature.

    A group of fewer than ``_FEW`` rows shares the head's. ``sets`` says where each row is from:
    strangers' text is unlike all of them, so a group is taken half-way from what suits its rows
    together to what suits the set on which the head is too sure by the most.
    """
    found = {}
    for group in sorted(set(groups)):
        rows = np.array([each == group for each in groups])
        if rows.sum() < _FEW:
            continue
        warm = _temperature(scores[rows], targets[rows], exclusive=True)
        parts = [rows & (np.array(sets) == each) for each in sorted(set(sets or ()))]
        each_set = [
            _temperature(scores[part], targets[part], exclusive=True)
            for part in parts
            if part.sum() >= _FEW_OF_A_SET
        ]
        found[group] = round(float(np.sqrt(warm * max([warm, *each_set]))), 3)
    return found


def doubt(probabilities: Floats, targets: Floats, precision: float) -> float:
    """The least probability from which on the likeliest class is right in ``precision`` of rows.

    Each row that is at least so sure counts; 1 / classes where all of them together are right
    that often, the highest there is where none are.
    """
    sure = probabilities.max(1)
    order = np.argsort(-sure)
    right = (probabilities.argmax(1) == targets.argmax(1))[order]
    kept = np.flatnonzero(np.cumsum(right) / np.arange(1, len(right) + 1) >= precision)
    if not len(kept):
        return float(sure.max())
    if kept[-1] == len(right) - 1:
        return 1.0 / len(probabilities[0])
    return round(float(sure[order[kept[-1]]]), 3)


def cutoffs(probabilities: Floats, targets: Floats, *, least: int = 0) -> list[float]:
    """Best F1 per column, drawn half-way to the best of all columns: few texts stand behind.

    Both have the shape (texts, subjects). A subject of fewer than ``least`` texts has that of all.
    """
    shared = float(_GRID[_f1(probabilities, targets).argmax()])
    own = [
        float(_GRID[_f1(probabilities[:, [at]], targets[:, [at]]).argmax()])
        for at in range(targets.shape[1])
    ]
    many = (targets > 0).sum(0)
    return [
        round((shared + each) / 2, 3) if count >= least else shared
        for each, count in zip(own, many, strict=True)
    ]


def _f1(probabilities: Floats, targets: Floats) -> Floats:
    truth = targets > 0
    said = [probabilities >= cut for cut in _GRID]
    return np.array([2 * (each & truth).sum() / max(1, each.sum() + truth.sum()) for each in said])
