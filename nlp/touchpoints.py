"""The journey on top of the topics: which clause speaks of which touchpoint. NumPy only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..storage.vocabulary import Topic
from .heads import middle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from .heads import Similarity

    Floats = NDArray[np.float32]

_CLEAR = 0.15
"""By how much one touchpoint's examples must be nearer (as a probability) to win a shared topic."""
_SPEAKS = 0.8
"""Probability at which a clause counts as like the examples."""


class Touchpoint(Protocol):
    """What the journey needs to know of a configured touchpoint."""

    @property
    def id(self) -> str:
        """Its key in the configuration."""

    @property
    def topics(self) -> Sequence[Topic]:
        """Topics that lead to it."""

    @property
    def sources(self) -> Sequence[str]:
        """Names of sources all of whose feedback is about it."""

    @property
    def examples(self) -> Sequence[str]:
        """Sentences as customers write them about it."""


@dataclass(frozen=True, slots=True)
class Named:
    """A touchpoint whose id stands outside it, as the key of a table of the configuration."""

    id: str
    topics: Sequence[Topic] = ()
    sources: Sequence[str] = ()
    examples: Sequence[str] = ()


def journey_version(touchpoints: Sequence[Touchpoint]) -> str:
    """A short hash of everything that changes annotations; names and targets do not."""
    told = [
        [each.id, [*map(str, each.topics)], [*each.sources], [*each.examples]]
        for each in touchpoints
    ]
    packed = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
    return hashlib.sha256(packed).hexdigest()[:8]


class Journey:
    """The touchpoints with their examples read.

    ``embed`` turns sentences into (n, features); it is only called when there are examples.
    """

    def __init__(
        self,
        touchpoints: Sequence[Touchpoint],
        similarity: Similarity,
        embed: Callable[[Sequence[str]], Floats],
    ) -> None:
        self.version = journey_version(touchpoints)
        self._similarity = similarity
        self._ids = [each.id for each in touchpoints]
        self.ids = frozenset(self._ids)
        self._leading: dict[Topic, list[int]] = {
            topic: [at for at, each in enumerate(touchpoints) if topic in each.topics]
            for topic in Topic
        }
        self._by_source: dict[str, list[str]] = {}
        for each in touchpoints:
            for source in each.sources:
                self._by_source.setdefault(source, []).append(each.id)
        self._middles = {
            at: middle(similarity.project(embed(list(each.examples))))
            for at, each in enumerate(touchpoints)
            if each.examples
        }

    def of_source(self, source: str) -> list[str]:
        """Touchpoints that every feedback of this source is about."""
        return self._by_source.get(source, [])

    def of_topics(self, topics: Mapping[Topic, float]) -> list[str]:
        """Touchpoints that the topics alone lead to."""
        return list(self._of_clause(np.zeros(len(self._ids), np.float32), topics))

    def mentions(
        self, parts: Floats, topics: Sequence[Mapping[Topic, float]]
    ) -> list[dict[str, float]]:
        """Per clause, touchpoint id → probability that the clause speaks of it.

        ``parts`` (clauses, features); ``topics`` holds the topics found in each clause. A topic
        shared by several touchpoints goes to the one whose examples are clearly nearer, else to
        the first configured, so that no remark is counted twice.
        """
        near = self._nearness(parts)
        return [self._of_clause(near[row], found) for row, found in enumerate(topics)]

    def _nearness(self, parts: Floats) -> Floats:
        """(clauses, touchpoints): probability of each clause being like the examples."""
        near = np.zeros((len(parts), len(self._ids)), np.float32)
        if self._middles and len(parts):
            vectors = self._similarity.project(parts)
            for at, direction in self._middles.items():
                near[:, at] = self._similarity.probability(vectors @ direction)
        return near

    def _of_clause(self, near: Floats, topics: Mapping[Topic, float]) -> dict[str, float]:
        found: dict[int, float] = {}
        for topic, p in topics.items():
            if leading := self._leading[topic]:
                winner = self._winner(leading, near)
                found[winner] = max(p, found.get(winner, 0.0))
        for at in np.flatnonzero(near >= _SPEAKS):
            found[int(at)] = max(float(near[at]), found.get(int(at), 0.0))
        return {self._ids[at]: p for at, p in sorted(found.items())}

    @staticmethod
    def _winner(leading: Sequence[int], near: Floats) -> int:
        ranked = sorted(leading, key=lambda at: -near[at])
        if len(ranked) > 1 and near[ranked[0]] < near[ranked[1]] + _CLEAR:
            return leading[0]
        return ranked[0]
