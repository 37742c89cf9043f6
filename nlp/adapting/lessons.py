"""What a brand's own feedback teaches: texts with the labels that people gave them. Pure."""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...storage.vocabulary import Sentiment, Topic, joined_text
from ..classify import ClassifyError, untagged

LEAST = 30
"""Lessons without which nothing is learnt."""

LEAST_NAMED = 6
"""Lessons about a touchpoint, and as many that are not, before it is learnt."""

_ONE_IN = 7
"""Of so many lessons one is kept to measure with."""
_MOST_KEPT = 1000

_MIDDLE_STARS = 3
_UNWANTED = re.compile(r"[^a-z0-9]+")


class LessonsError(ValueError):
    """Nothing can be learnt from this; the text says why, and the mend."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One text with what is known of it; None or a missing name: nobody looked.

    ``about`` says of topics and touchpoints, by their ids, whether the text speaks of them.
    ``sure`` is set where a person looked at this very text, not only at its stars.
    """

    text: str
    language: str | None = None
    sentiment: Sentiment | None = None
    stars: int | None = None
    topics: Mapping[Topic, bool] | None = None
    touchpoints: Mapping[str, bool] | None = None
    sure: bool = False


def of_stars(stars: int | None) -> Sentiment | None:
    """What stars say of a sentiment: 1 and 2 blame, 3 is neutral, 4 and 5 praise."""
    if stars is None:
        return None
    if stars == _MIDDLE_STARS:
        return Sentiment.NEUTRAL
    return Sentiment.POSITIVE if stars > _MIDDLE_STARS else Sentiment.NEGATIVE


def key_of(label: str) -> str:
    """The key of a touchpoint that a label stands for: small letters, figures, underscores."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    return _UNWANTED.sub("_", plain.lower()).strip("_") or "unnamed"


def of_rows(rows: Iterable[Mapping[str, Any]]) -> list[Lesson]:
    """Lessons of a labelled file.

    A row has ``text`` and perhaps ``title``, ``lang``, ``stars``, ``sentiment``, ``topics`` and
    ``touchpoints`` (lists of labels; null: nobody looked). Labels that are no topics of ours are
    touchpoints. A list that is there is whole: what it does not name, the text is not about.
    Raises ClassifyError, which names the row.
    """
    found = [_of_row(number, row) for number, row in enumerate(rows, start=1)]
    topics = {name for each in found for name in each.topics or ()}
    touchpoints = {name for each in found for name in each.touchpoints or ()}
    return [
        replace(
            each,
            topics=_complete(each.topics, topics),
            touchpoints=_complete(each.touchpoints, touchpoints),
        )
        for each in found
    ]


def _complete(named: Mapping[Any, bool] | None, names: Iterable[Any]) -> dict[Any, bool] | None:
    return None if named is None else {name: name in named for name in sorted(names)}


def _of_row(number: int, row: Mapping[str, Any]) -> Lesson:
    whole = {"id": number, **row} if isinstance(row, dict) else row
    _, item = untagged(number, whole)
    said = row.get("sentiment")
    if said is not None and said not in list(Sentiment):
        message = f"object {number}: 'sentiment' is {said!r}; give one of {', '.join(Sentiment)}"
        raise ClassifyError(message)
    labels = _labels(number, row, "topics"), _labels(number, row, "touchpoints")
    known = list(Topic)
    topics = [Topic(each) for each in labels[0] or () if each in known]
    names = [key_of(each) for part in labels for each in part or () if each not in known]
    looked = any(part is not None for part in labels)
    return Lesson(
        joined_text(item.title, item.text),
        item.language,
        Sentiment(said) if said else of_stars(item.stars),
        item.stars,
        dict.fromkeys(topics, True) if labels[0] is not None else None,
        dict.fromkeys(names, True) if looked else None,
        sure=said is not None,
    )


def _labels(number: int, row: Mapping[str, Any], name: str) -> list[str] | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        message = f"object {number}: {name!r} is no list of words; give a list of labels or null"
        raise ClassifyError(message)
    return value


@dataclass(frozen=True, slots=True)
class Course:
    """What is learnt from, the best first, what only measures, and which touchpoints are learnt.

    ``exclusive`` says that every text is about exactly one of the touchpoints.
    ``contradictory`` counts texts that were left out because their labels contradict each other.
    """

    taught: tuple[Lesson, ...]
    kept: tuple[Lesson, ...]
    touchpoints: tuple[str, ...]
    exclusive: bool
    contradictory: int

    @property
    def fingerprint(self) -> str:
        """Tells two courses apart."""
        whole = hashlib.sha256()
        for lesson in (*self.taught, *self.kept):
            whole.update(repr(lesson).encode("utf-8", "replace"))
        return whole.hexdigest()[:16]


def course(lessons: Sequence[Lesson], *, most: int) -> Course:
    """Choose at most ``most`` lessons and keep one in seven apart, or 1,000; always the same.

    Raises LessonsError where there is nothing to learn, or not enough to know that it helps.
    """
    agreed, contradictory = _agreed(each for each in lessons if each.text.strip())
    if contradictory > len(agreed):
        raise LessonsError(
            f"{contradictory} texts stand there with labels that contradict each other, more than "
            f"the {len(agreed)} that do not; mend the labels"
        )
    if len(agreed) < LEAST:
        raise LessonsError(
            f"{len(agreed)} labelled texts are too few to learn from and to know that it helps; "
            f"{LEAST} are the least, a few hundred are better"
        )
    chosen = _chosen(agreed, most)
    names, exclusive = _names(chosen)
    if not names and not _varied(chosen):
        raise LessonsError(
            "all labels are the same, so there is nothing to tell apart; add texts of other "
            "sentiments, stars, topics or touchpoints"
        )
    taught, kept = _parted(chosen)
    return Course(taught, kept, names, exclusive, contradictory)


def _parted(lessons: Sequence[Lesson]) -> tuple[tuple[Lesson, ...], tuple[Lesson, ...]]:
    """What teaches, the best first, and what only measures.

    Of what a person looked at one in seven is kept too, however much else there is.
    """
    by_lot = sorted(
        lessons, key=lambda each: hashlib.sha256(each.text.encode("utf-8", "replace")).digest()
    )
    seen = [each for each in by_lot if _looked_at(each)]
    rest = [each for each in by_lot if not _looked_at(each)]
    kept = max(LEAST // 3, min(len(lessons) // _ONE_IN, _MOST_KEPT))
    of_seen = max(min(len(seen) // _ONE_IN, kept // 2), kept - len(rest) // _ONE_IN)
    of_rest = kept - of_seen
    return (
        (*seen[of_seen:], *rest[of_rest:]),
        (*seen[:of_seen], *rest[:of_rest]),
    )


def _looked_at(lesson: Lesson) -> bool:
    return lesson.sure or bool(lesson.touchpoints) or bool(lesson.topics)


def _agreed(lessons: Iterable[Lesson]) -> tuple[list[Lesson], int]:
    """Each text once, those with two opinions on it left out, and how many those were.

    What a person said of a text outdoes its stars.
    """
    by_text: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        by_text.setdefault(" ".join(lesson.text.casefold().split()), []).append(lesson)
    agreed, out = [], 0
    for same in by_text.values():
        sure = [each for each in same if each.sure] or same
        if (
            len(
                {(each.sentiment, _frozen(each.topics), _frozen(each.touchpoints)) for each in sure}
            )
            > 1
        ):
            out += 1
        else:
            agreed.append(sure[0])
    return agreed, out


def _frozen(about: Mapping[Any, bool] | None) -> frozenset[Any] | None:
    return None if about is None else frozenset(about.items())


def _chosen(lessons: Sequence[Lesson], most: int) -> list[Lesson]:
    """Those that a person looked at first, then others; where there are too many, by lot."""
    rng = random.Random(len(lessons))  # noqa: S311 - a repeatable draw, no secret
    sure = [each for each in lessons if _looked_at(each)]
    rest = [each for each in lessons if not _looked_at(each)]
    rng.shuffle(sure)
    rng.shuffle(rest)
    return [*sure, *rest][:most]


def _names(lessons: Sequence[Lesson]) -> tuple[tuple[str, ...], bool]:
    looked = [each.touchpoints for each in lessons if each.touchpoints is not None]
    yes = Counter(name for each in looked for name, about in each.items() if about)
    no = Counter(name for each in looked for name, about in each.items() if not about)
    names = tuple(sorted(n for n in yes if yes[n] >= LEAST_NAMED and no[n] >= LEAST_NAMED))
    counts = {sum(each.values()) for each in looked if set(names) <= set(each)}
    return names, len(names) > 2 and counts == {1}  # noqa: PLR2004 - two classes are a yes or no


def _varied(lessons: Sequence[Lesson]) -> bool:
    """Whether sentiments, stars or topics differ."""
    sentiments = {each.sentiment for each in lessons} - {None}
    topics = [about for each in lessons for about in (each.topics or {}).values()]
    return (
        len(sentiments) > 1
        or len({each.stars for each in lessons} - {None}) > 1
        or len(set(topics)) > 1
    )
