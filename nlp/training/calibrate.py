"""Makes probabilities say how often they are right, on text that nothing was learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # ships no types

from ...storage.vocabulary import Topic
from ..heads import Head, sigmoid, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_GRID = np.linspace(0.15, 0.85, 29)
_TINY = 1e-7


def calibrated(head: Head, features: Floats, targets: Floats, *, exclusive: bool) -> Head:
    """The head with the temperature that makes the targets likeliest.

    ``features`` (n, d), ``targets`` (n, k): rows that add up to 1 when ``exclusive`` (softmax),
    else a yes or no in each column (sigmoid).
    """
    raw = Head(head.columns, head.layers, 1.0).scores(features)

    def loss(log_temperature: float) -> float:
        scores = raw / np.exp(log_temperature)
        if exclusive:
            return float(-(targets * np.log(softmax(scores) + _TINY)).sum(1).mean())
        p = sigmoid(scores)
        yes, no = np.log(p + _TINY), np.log(1 - p + _TINY)
        return float(-(targets * yes + (1 - targets) * no).mean())

    found = minimize_scalar(loss, bounds=(-2, 2), method="bounded")
    return Head(head.columns, head.layers, float(np.exp(found.x)))


def cutoffs(probabilities: Floats, targets: Floats) -> dict[Topic, float]:
    """Best F1 per topic, drawn half-way to the best of all topics: few sentences stand behind."""
    shared = _GRID[_f1(probabilities, targets).argmax()]
    own = [
        _GRID[_f1(probabilities[:, [at]], targets[:, [at]]).argmax()]
        for at in range(targets.shape[1])
    ]
    chosen: Sequence[float] = [round(float(shared + each) / 2, 3) for each in own]
    return dict(zip(Topic, chosen, strict=True))


def _f1(probabilities: Floats, targets: Floats) -> Floats:
    truth = targets > 0
    said = [probabilities >= cut for cut in _GRID]
    return np.array([2 * (each & truth).sum() / (each.sum() + truth.sum()) for each in said])
