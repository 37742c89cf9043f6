"""Whether adapted weights read the brand's own feedback better than those they began with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...storage.vocabulary import Annotation, Kind, Sentiment, Untagged
from ..evaluate import macro_f1
from ..tagger import Tagger
from .lessons import Lesson

_DRAWS = 400
_SURE = 0.9
"""The share of draws in which the adapted weights must err less."""
_FAR = 2
"""Stars beyond which it does not matter how far off they are."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure before and after. ``less`` says that less of it is better."""

    name: str
    n: int
    before: float
    after: float
    less: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """``sure`` is the share of redrawn held-out parts on which the adapted weights err less."""

    figures: tuple[Figure, ...]
    sure: float

    @property
    def better(self) -> bool:
        """Whether that is more than luck."""
        return self.sure >= _SURE


def judge(
    lessons: Sequence[Lesson],
    before: Tagger,
    after: Tagger,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Compare two taggers on lessons that neither was taught."""
    said = [_tagged(tagger, lessons, progress) for tagger in (before, after)]
    figures = tuple(_figures(lessons, *said))
    mistakes = [[_mistakes(*pair) for pair in zip(lessons, each, strict=True)] for each in said]
    gains = [
        old - new for old, new in zip(*mistakes, strict=True) if old is not None and new is not None
    ]
    return Verdict(figures, _share_of_gain(gains))


def _tagged(
    tagger: Tagger, lessons: Sequence[Lesson], progress: Callable[[int], None] | None
) -> list[Annotation]:
    found: list[Annotation] = []
    for at in range(0, len(lessons), 128):
        part = [_item(n, lesson) for n, lesson in enumerate(lessons[at : at + 128])]
        found += tagger.tag(part)
        if progress:
            progress(len(part))
    return found


def _item(number: int, lesson: Lesson) -> Untagged:
    """The text alone: its stars would give the answer away."""
    return Untagged(
        id=number,
        source="",
        kind=Kind.REVIEW,
        title="",
        text=lesson.text,
        stars=None,
        language=lesson.language,
        category=None,
        content_hash="",
    )


def _share_of_gain(gains: Sequence[float]) -> float:
    """In how many redraws of the rows (with putting back) they gain in sum."""
    if not any(gains):
        return 0.0
    rng = random.Random(11)  # noqa: S311 - a repeatable draw, no secret
    sums = (sum(rng.choices(gains, k=len(gains))) for _ in range(_DRAWS))
    return sum(each > 0 for each in sums) / _DRAWS


def _mistakes(lesson: Lesson, said: Annotation) -> float | None:
    """How wrong a reading is, 0–1: the mean over what is known of the text."""
    parts = []
    if lesson.sentiment is not None:
        parts.append(float(said.p.sentiment is not lesson.sentiment))
    if lesson.stars is not None and said.stars is not None:
        parts.append(min(abs(said.stars - lesson.stars), _FAR) / _FAR)
    for told, found in _subjects(lesson, said):
        gold = {name for name, about in told.items() if about}
        asked = found & set(told)
        if gold | asked:
            parts.append(1 - len(gold & asked) / len(gold | asked))
    return sum(parts) / len(parts) if parts else None


def _subjects(lesson: Lesson, said: Annotation) -> Iterator[tuple[Mapping[Any, bool], set[Any]]]:
    if lesson.topics:
        yield lesson.topics, set(said.topics)
    if lesson.touchpoints:
        yield lesson.touchpoints, {each.touchpoint for each in said.aspects if each.touchpoint}


def _figures(
    lessons: Sequence[Lesson], before: Sequence[Annotation], after: Sequence[Annotation]
) -> Iterator[Figure]:
    known = [n for n, each in enumerate(lessons) if each.sentiment is not None]
    if known:
        old, new = (
            macro_f1([(lessons[n].sentiment, said[n].p.sentiment) for n in known], Sentiment)
            for said in (before, after)
        )
        yield Figure("sentiment, macro-F1", len(known), old, new)
    starred = [
        n for n, each in enumerate(lessons) if each.stars and before[n].stars and after[n].stars
    ]
    if starred:
        old, new = (
            sum(abs(round(said[n].stars or 0) - (lessons[n].stars or 0)) for n in starred)
            / len(starred)
            for said in (before, after)
        )
        yield Figure("stars, mean error", len(starred), old, new, less=True)
    for index, name in enumerate(("topics, micro-F1", "touchpoints, micro-F1")):
        told = [n for n, each in enumerate(lessons) if (each.topics, each.touchpoints)[index]]
        if told:
            old, new = (
                _micro([(lessons[n], said[n]) for n in told], index) for said in (before, after)
            )
            yield Figure(name, len(told), old, new)


def _micro(pairs: Sequence[tuple[Lesson, Annotation]], index: int) -> float:
    both = gold = found = 0
    for lesson, said in pairs:
        told = (lesson.topics, lesson.touchpoints)[index] or {}
        names: set[Any] = (
            set(said.topics)
            if index == 0
            else {each.touchpoint for each in said.aspects if each.touchpoint}
        )
        yes = {name for name, about in told.items() if about}
        names &= set(told)
        both, gold, found = both + len(yes & names), gold + len(yes), found + len(names)
    return 2 * both / (gold + found) if gold + found else 0.0
