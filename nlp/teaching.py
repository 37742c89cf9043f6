"""Which readings to ask people about first: those whose answer would teach the most. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

_AGAIN = 0.8
"""What a further question of the same sort is worth beside the one before."""
_CONTRADICTED = 0.75
"""What stars four away from the text's own weigh beside a reading that is a mere guess."""
_FARTHEST = 4


@dataclass(frozen=True, slots=True)
class Question:
    """One reading: ``p`` of its sentiments, stars as the text says them and as they were given.

    ``sort`` is what makes questions alike: an answer teaches about all of its sort.
    """

    id: int
    p: tuple[float, float, float]
    expected: float | None
    stars: int | None
    sort: Hashable


def worth(question: Question) -> float:
    """How much an answer may teach: the reading's entropy (0–1) and what stars say against it."""
    doubt = -sum(p * math.log(p) for p in question.p if p > 0) / math.log(len(question.p))
    if question.stars is None or question.expected is None:
        return doubt
    return doubt + _CONTRADICTED * abs(question.expected - question.stars) / _FARTHEST


def ranked(questions: Sequence[Question]) -> list[int]:
    """Their ids, the most worth first; a sort that was just asked about waits its turn."""
    asked: Counter[Hashable] = Counter()
    waiting: dict[Hashable, list[Question]] = {}
    for question in sorted(questions, key=worth):
        waiting.setdefault(question.sort, []).append(question)
    order = []
    while waiting:
        best = max(waiting, key=lambda sort: worth(waiting[sort][-1]) * _AGAIN ** asked[sort])
        order.append(waiting[best].pop().id)
        asked[best] += 1
        if not waiting[best]:
            del waiting[best]
    return order
