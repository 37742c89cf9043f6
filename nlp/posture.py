"""How far remarks show a trait of the brand's posture: few-shot, from sentences both ways. Pure.

A remark touches a trait when it is near the middle of all its sentences, in the space without
language and mood. Whether it shows or contradicts it comes from two things that err in different
ways: on which side of the line between both kinds of sentences it lies, and its own mood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..storage.studies import Posture
from .heads import middle, sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..storage.studies import Remark

    Floats = NDArray[np.float32]

_TOUCHES = 0.5
"""Probability of the same subject from which a remark counts."""
_SIDE, _MOOD = 1.5, 2.5
"""How much the side (−1 to 1 from sentence to sentence) and the mood (−1 to 1) weigh."""
_MIDDLE = 3.0


class Trait(Protocol):
    """A trait as the configuration has it."""

    @property
    def name(self) -> str:
        """What the brand wants to be."""

    @property
    def shows(self) -> Sequence[str]:
        """Sentences that show it."""

    @property
    def contradicts(self) -> Sequence[str]:
        """Sentences that contradict it."""


class Reader(Protocol):
    """What the tagger gives: features, and how near two sentences speak of the same."""

    def vectors(self, sentences: Sequence[str]) -> tuple[Floats, Floats]:
        """(n, features), and (n, dimensions) of length 1 without language and mood."""

    def same_subject(self, cosines: Floats) -> Floats:
        """Probability of the same subject for cosines."""


def posture(
    touchpoint: str, traits: Sequence[Trait], remarks: Sequence[Remark], reader: Reader
) -> list[Posture]:
    """Each trait of a touchpoint judged by the remarks that touch it; none without sentences."""
    judged = [trait for trait in traits if trait.shows or trait.contradicts]
    if not judged or not remarks:
        return []
    features, subjects = reader.vectors([remark.words for remark in remarks])
    moods = np.array([remark.p.positive - remark.p.negative for remark in remarks], np.float32)
    found = []
    for trait in judged:
        own, meaning = reader.vectors([*trait.shows, *trait.contradicts])
        touches = reader.same_subject(subjects @ middle(meaning)) >= _TOUCHES
        sides = _sides(features, own[: len(trait.shows)], own[len(trait.shows) :])
        scores = 1 + 4 * sigmoid(_SIDE * sides + _MOOD * moods)[touches]
        found.append(_judged(touchpoint, trait.name, scores))
    return found


def _sides(features: Floats, shows: Floats, contradicts: Floats) -> Floats:
    """+1 at the middle of the sentences that show the trait, −1 at that of the others."""
    if not len(shows) or not len(contradicts):
        return np.zeros(len(features), np.float32)
    good, bad = shows.mean(axis=0), contradicts.mean(axis=0)
    axis = good - bad
    reach = max(float(axis @ axis) / 2, 1e-9)
    return np.asarray(np.clip((features - (good + bad) / 2) @ axis / reach, -1.5, 1.5), np.float32)


def _judged(touchpoint: str, trait: str, scores: Floats) -> Posture:
    values = scores.astype(float)
    return Posture(
        touchpoint=touchpoint,
        trait=trait,
        remarks=len(values),
        shows=int((values > _MIDDLE).sum()),
        score_sum=float(values.sum()),
        score_squares=float((values**2).sum()),
    )
