"""The second opinion of a brand's own words, and how much of it helps. See ``nlp.lexical``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...storage.vocabulary import Sentiment
from ..heads import Head, sigmoid, softmax
from ..lexical import Lexical, learn, logistic
from ..text import clean
from ..training.examples import mood
from .lessons import Course

Floats = NDArray[np.float32]

SENTIMENT, STARS, _WORDS = slice(0, 3), slice(3, 7), 7
"""Outputs of the second opinion; touchpoints stand behind."""

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_WARM = np.geomspace(0.25, 8, 26)
_TINY = 1e-7
_STACKED = 0.1
_READ = 0.02
"""How little the weights of a stack, and of a head on the encoder's features, are held back."""


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

    ``features`` (n, encoder's and then the second opinion's), ``targets`` (n, classes). Its
    temperature is chosen with it: what is too sure of itself may be right all the same.
    """
    return best([head], features, targets, outputs, exclusive=exclusive)


def best(
    heads: Sequence[Head], features: Floats, targets: Floats, outputs: slice, *, exclusive: bool
) -> Head:
    """The same of the head that does best."""
    choices = [
        with_share(head, features.shape[1], outputs, share) for head in heads for share in _SHARES
    ]
    found = [_warmed(each, features, targets, exclusive=exclusive) for each in choices]
    return min(found, key=lambda pair: pair[0])[1]


def with_share(head: Head, whole: int, outputs: slice, share: float) -> Head:
    """The head with so much of the second opinion; ``whole`` features in all."""
    ((weight, bias),) = head.layers
    wide = np.zeros((len(weight), whole - weight.shape[1]), np.float32)
    wide[:, outputs] = share * np.eye(len(weight), dtype=np.float32)
    return Head(slice(0, whole), ((np.hstack([weight, wide]), bias),), 1.0)


def _warmed(
    head: Head, features: Floats, targets: Floats, *, exclusive: bool
) -> tuple[float, Head]:
    """How unlikely the targets are at the best temperature, and the head with it."""
    raw = head.scores(features)

    def missed(temperature: float) -> float:
        if exclusive:
            return float(-(targets * np.log(softmax(raw / temperature) + _TINY)).sum(1).mean())
        p = sigmoid(raw / temperature)
        yes, no = np.log(p + _TINY), np.log(1 - p + _TINY)
        return float(-(targets * yes + (1 - targets) * no).mean())

    least, warm = min((missed(float(each)), float(each)) for each in _WARM)
    return least, Head(head.columns, head.layers, warm)


def stacked(sentiment: Head, stars: Head, features: Floats, targets: Floats) -> Head:
    """The sentiment from both heads and both second opinions together; each class counts alike.

    All are linear in ``features`` (n, encoder's and then the second opinion's), so the stack is one
    linear layer too. ``targets`` (n, 3).
    """
    (weight, bias), (weight_of_stars, bias_of_stars) = sentiment.layers[0], stars.layers[0]
    width = weight.shape[1]
    below = np.vstack([weight, weight_of_stars])
    shift = np.concatenate([bias, bias_of_stars])
    scores = np.hstack([features[:, :width] @ below.T + shift, features[:, width:][:, :_WORDS]])
    share = targets.mean(0)
    counts = (targets / np.maximum(len(share) * share, _TINY)).sum(1)
    mixed, free = logistic(scores, targets, _STACKED, counts)
    wide = np.zeros((len(mixed), features.shape[1]), np.float32)
    wide[:, :width] = mixed[:, : len(below)] @ below
    wide[:, width : width + _WORDS] = mixed[:, len(below) :]
    return Head(slice(0, features.shape[1]), ((wide, free + mixed[:, : len(below)] @ shift),), 1.0)


def of_features(features: Floats, targets: Floats, *, exclusive: bool) -> Head:
    """A head on the encoder's features alone (n, width), fitted to the end."""
    middle, spread = features.mean(0), np.maximum(features.std(0), 1e-6)
    rows = (features - middle) / spread
    parts = [targets] if exclusive else [targets[:, [at]] for at in range(targets.shape[1])]
    fits = [logistic(rows, part, _READ) for part in parts]
    weight = np.vstack([each for each, _ in fits]) / spread
    bias = np.concatenate([each for _, each in fits]) - weight @ middle
    width = features.shape[1]
    return Head(slice(0, width), ((np.asarray(weight, np.float32), bias),), 1.0)
