"""The second opinion of a brand's own words, and how much of it helps. See ``nlp.lexical``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...storage.vocabulary import Sentiment
from ..heads import Head, sigmoid, softmax
from ..lexical import Lexical, learn
from ..text import clean
from ..training.examples import mood
from .lessons import Course

Floats = NDArray[np.float32]

SENTIMENT, STARS = slice(0, 3), slice(3, 7)
"""Outputs of the second opinion; touchpoints stand behind."""

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
_TINY = 1e-7


def touchpoints(count: int) -> slice:
    """The outputs of so many touchpoints."""
    return slice(STARS.stop, STARS.stop + count)


def more_than(stars: Floats) -> Floats:
    """(n, 4): whether more than 1, 2, 3, 4 stars."""
    return np.asarray(stars[:, None] > np.arange(1, 5)[None], np.float32)


def learnt(course: Course) -> Lexical:
    """What the words of the taught lessons say."""
    names = course.touchpoints
    targets = np.full((len(course.taught), STARS.stop + len(names)), np.nan, np.float32)
    for row, lesson in enumerate(course.taught):
        if lesson.sentiment is not None:
            targets[row, SENTIMENT] = np.eye(len(Sentiment))[mood(lesson.sentiment)]
        if lesson.stars:
            targets[row, STARS] = more_than(np.array([lesson.stars], np.float32))
        for column, name in enumerate(names, STARS.stop):
            if (told := (lesson.touchpoints or {}).get(name)) is not None:
                targets[row, column] = told
    choices = [SENTIMENT, *([touchpoints(len(names))] if course.exclusive else [])]
    return learn([clean(lesson.text).text for lesson in course.taught], targets, choices)


def beside(
    head: Head, features: Floats, targets: Floats, outputs: slice, *, exclusive: bool
) -> Head:
    """The head with as much of the second opinion as makes the targets likeliest.

    ``features`` (n, encoder's and then the second opinion's), ``targets`` (n, classes).
    """
    ((weight, bias),) = head.layers
    width = weight.shape[1]
    more = features.shape[1] - width

    def with_share(share: float) -> Head:
        wide = np.zeros((len(weight), more), np.float32)
        wide[:, outputs] = share * np.eye(len(weight), dtype=np.float32)
        layer = (np.hstack([weight, wide]), bias)
        return Head(slice(0, width + more), (layer,), head.temperature)

    def missed(each: Head) -> float:
        scores = each.scores(features)
        if exclusive:
            return float(-(targets * np.log(softmax(scores) + _TINY)).sum(1).mean())
        p = sigmoid(scores)
        yes, no = np.log(p + _TINY), np.log(1 - p + _TINY)
        return float(-(targets * yes + (1 - targets) * no).mean())

    return min((with_share(share) for share in _SHARES), key=missed)
