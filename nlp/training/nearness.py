"""The space in which a clause is compared with a touchpoint's example sentences."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize  # type: ignore[import-untyped]  # ships no types

from ..heads import Similarity, middle, sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .apart import Sentence

    Floats = NDArray[np.float32]

_SHRINK = 0.4
_EXAMPLES = 4
_ROUNDS = 12
_PRIOR = 0.1
"""How often a clause is about one given touchpoint."""

_log = logging.getLogger(__name__)


def learn(features: Floats, sentences: Sequence[Sentence], *, columns: slice) -> Similarity:
    """Directions that part subjects but not languages and moods, and what a cosine there means.

    The meaning is measured on topics that had no part in finding the directions.
    """
    own = features[:, columns]
    subjects = [str(sentence.topic) for sentence in sentences]
    names = sorted(set(subjects))
    cosines: list[float] = []
    same: list[bool] = []
    for fold in range(4):
        unseen = np.array([names.index(subject) % 4 == fold for subject in subjects])
        centre, projection = _directions(
            own[~unseen], [s for s, u in zip(subjects, unseen, strict=True) if not u]
        )
        near = Similarity(slice(None), centre, projection, 1.0, 0.0)
        _trials(near.project(own), subjects, unseen, cosines, same)
    slope, offset = _logistic(np.array(cosines), np.array(same))
    centre, projection = _directions(own, subjects)
    return Similarity(columns, centre, projection, slope, offset)


def _directions(features: Floats, subjects: Sequence[str]) -> tuple[Floats, Floats]:
    """(centre, projection) to a space where one subject spreads equally in every direction."""
    centre = features.mean(0)
    names = sorted(set(subjects))
    which = np.array([names.index(subject) for subject in subjects])
    means = np.stack([features[which == k].mean(0) for k in range(len(names))])
    rest = features - means[which]
    within = rest.T @ rest / len(rest)
    within = (1 - _SHRINK) * within + _SHRINK * np.eye(len(within)) * np.trace(within) / len(within)
    values, vectors = np.linalg.eigh(within)
    return centre, np.asarray((vectors / np.sqrt(values)).T, np.float32)


def _trials(
    vectors: Floats,
    subjects: Sequence[str],
    unseen: NDArray[np.bool_],
    cosines: list[float],
    same: list[bool],
) -> None:
    """Play a touchpoint with a few examples of an unseen topic against all other sentences."""
    rng = random.Random(7)  # noqa: S311 - a repeatable draw, no secret
    for name in sorted({s for s, u in zip(subjects, unseen, strict=True) if u} - {"None"}):
        members = [index for index, subject in enumerate(subjects) if subject == name]
        for _ in range(_ROUNDS):
            examples = rng.sample(members, _EXAMPLES)
            near = vectors @ middle(vectors[examples])
            others = [index for index in range(len(subjects)) if index not in examples]
            cosines += near[others].tolist()
            same += [subjects[index] == name for index in others]


def _logistic(cosines: Floats, same: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset, as if one clause in ten were about the touchpoint."""
    weights = np.where(same, _PRIOR / same.mean(), (1 - _PRIOR) / (1 - same.mean()))

    def loss(values: Floats) -> float:
        p = np.clip(sigmoid(values[0] * cosines + values[1]), 1e-6, 1 - 1e-6)
        return float(-(weights * np.where(same, np.log(p), np.log(1 - p))).mean())

    slope, offset = minimize(loss, [10.0, -5.0], method="Nelder-Mead").x
    said = slope * cosines + offset >= 0
    right = (said & same).sum()
    _log.info(
        "similarity: slope %.1f offset %.1f, precision %.2f recall %.2f",
        slope,
        offset,
        right / max(1, said.sum()),
        right / same.sum(),
    )
    return float(slope), float(offset)
