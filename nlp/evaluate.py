"""How good a tagger is on texts whose labels are known."""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..storage.vocabulary import Sentiment, Topic
from .classify import ClassifyError, untagged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..storage.vocabulary import Annotation, Untagged
    from .tagger import Tagger

FEW = 20
"""Texts below which nothing is called the worst."""

_CHUNK = 128
_POINTS = 20
_BINS = 10


@dataclass(frozen=True, slots=True)
class Measure:
    """Sentiment against gold. ``ece`` is the expected calibration error over ten bins, 0–1.

    ``macro_f1`` is the mean over the classes that the gold labels have.
    """

    n: int
    accuracy: float
    macro_f1: float
    ece: float


@dataclass(frozen=True, slots=True)
class Stars:
    """Expected stars against given stars: rounded hits, hits within one, mean absolute error."""

    n: int
    exact: float
    within_one: float
    mae: float


@dataclass(frozen=True, slots=True)
class Match:
    """One topic against gold; ``n`` texts have it."""

    n: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Point:
    """Of the surest readings, this share of all (0–1), so many are right (0–1)."""

    share: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out. A part is None or empty where the gold has no labels for it.

    ``confusion`` counts: gold sentiment → said sentiment → texts. ``coverage`` is the curve of
    accuracy over the share that is kept, the surest first. ``worst_language``, ``worst_topic`` and
    ``worst_touchpoint`` are those with the lowest F1 of at least ``FEW`` texts.
    """

    model: str
    n: int
    sentiment: Measure | None
    stars: Stars | None
    languages: Mapping[str, Measure]
    topics: Mapping[str, Match]
    topics_macro_f1: float | None
    touchpoints: Mapping[str, Match]
    confusion: Mapping[str, Mapping[str, int]]
    coverage: Sequence[Point]
    worst_language: str | None
    worst_topic: str | None
    worst_touchpoint: str | None


def evaluate(rows: Iterable[Mapping[str, Any]], tagger: Tagger) -> Evaluation:
    """Tag gold rows as they come and count; a row leaves four bytes behind.

    A row has ``text`` and perhaps ``title``, ``lang``, ``stars``, ``sentiment`` and ``topics``
    (a list of topic ids; null: nobody looked); ``touchpoints`` says by name whether it speaks of
    one (an object of true and false, or a list). Raises ClassifyError, which names the row.
    """
    counts = _Counts()
    numbered = enumerate(rows, start=1)
    while chunk := [_gold(number, row) for number, row in islice(numbered, _CHUNK)]:
        annotations = tagger.tag([gold.item for gold in chunk])
        for gold, annotation in zip(chunk, annotations, strict=True):
            counts.add(gold, annotation)
    return counts.result(tagger.version)


def macro_f1(pairs: Sequence[tuple[object, object]], classes: Iterable[object]) -> float:
    """The mean F1 over the classes that are among the gold labels (first of each pair), 0–1."""
    scores = []
    for each in classes:
        gold, said = sum(g == each for g, _ in pairs), sum(s == each for _, s in pairs)
        both = sum(g == s == each for g, s in pairs)
        if gold:
            scores.append(2 * both / (gold + said))
    return sum(scores) / len(scores)


@dataclass(frozen=True, slots=True)
class _Gold:
    item: Untagged
    sentiment: Sentiment | None
    topics: frozenset[Topic] | None
    touchpoints: Mapping[str, bool]


def _gold(number: int, row: Mapping[str, Any]) -> _Gold:
    _, item = untagged(number, {"id": number, **row} if isinstance(row, dict) else row)
    return _Gold(
        item,
        _sentiment(number, row.get("sentiment")),
        _topics(number, row.get("topics")),
        _touchpoints(number, row.get("touchpoints")),
    )


def _sentiment(number: int, value: object) -> Sentiment | None:
    if value is None or value in list(Sentiment):
        return None if value is None else Sentiment(str(value))
    message = f"object {number}: 'sentiment' is {value!r}; give one of {', '.join(Sentiment)}"
    raise ClassifyError(message)


def _topics(number: int, value: object) -> frozenset[Topic] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise ClassifyError(f"object {number}: 'topics' is no list; give a list of ids or null")
    if unknown := [each for each in value if each not in list(Topic)]:
        message = f"object {number}: {unknown[0]!r} is no topic; known topics: {', '.join(Topic)}"
        raise ClassifyError(message)
    return frozenset(Topic(each) for each in value)


def _touchpoints(number: int, value: object) -> dict[str, bool]:
    if value is None:
        return {}
    if isinstance(value, list):
        value = dict.fromkeys(value, True)
    if not isinstance(value, dict) or not all(isinstance(each, bool) for each in value.values()):
        message = f"object {number}: 'touchpoints' is no list of names and no object of true, false"
        raise ClassifyError(f"{message}; give one of them, or null")
    return value


@dataclass(slots=True)
class _Bin:
    n: int = 0
    right: int = 0
    confidence: float = 0.0


@dataclass(slots=True)
class _Sentiments:
    """Confusions and calibration bins."""

    pairs: dict[tuple[Sentiment, Sentiment], int] = field(default_factory=lambda: defaultdict(int))
    bins: list[_Bin] = field(default_factory=lambda: [_Bin() for _ in range(_BINS)])
    # Four bytes a row: how sure, below zero where it was wrong.
    sure: array[float] = field(default_factory=lambda: array("f"))

    def add(self, gold: Sentiment, annotation: Annotation) -> None:
        said = annotation.p.sentiment
        confidence = float(getattr(annotation.p, said))
        self.pairs[gold, said] += 1
        self.sure.append(confidence if gold is said else -confidence)
        chosen = self.bins[min(int(confidence * _BINS), _BINS - 1)]
        chosen.n += 1
        chosen.right += gold is said
        chosen.confidence += confidence

    def result(self) -> Measure:
        n = sum(self.pairs.values())
        present = {gold for (gold, _), count in self.pairs.items() if count}
        ece = sum(abs(each.right - each.confidence) for each in self.bins) / n
        return Measure(
            n=n,
            accuracy=sum(self.pairs[each, each] for each in Sentiment) / n,
            macro_f1=sum(self._f1(each) for each in present) / len(present),
            ece=ece,
        )

    def confusion(self) -> dict[str, dict[str, int]]:
        """Gold → said → texts."""
        return {g.value: {s.value: self.pairs[g, s] for s in Sentiment} for g in Sentiment}

    def coverage(self) -> list[Point]:
        """The accuracy of the surest twentieth, tenth and so on."""
        ranked = [sure > 0 for sure in sorted(self.sure, key=abs, reverse=True)]
        parts = [round(len(ranked) * n / _POINTS) for n in range(1, _POINTS + 1)]
        return [Point(k / len(ranked), sum(ranked[:k]) / k) for k in parts if k]

    def _f1(self, sentiment: Sentiment) -> float:
        gold = sum(self.pairs[sentiment, each] for each in Sentiment)
        said = sum(self.pairs[each, sentiment] for each in Sentiment)
        return 2 * self.pairs[sentiment, sentiment] / (gold + said)


@dataclass(slots=True)
class _Matches:
    both: int = 0
    gold: int = 0
    said: int = 0

    def result(self) -> Match:
        return Match(
            n=self.gold,
            precision=self.both / self.said if self.said else 0.0,
            recall=self.both / self.gold if self.gold else 0.0,
            f1=2 * self.both / (self.gold + self.said) if self.gold + self.said else 0.0,
        )


@dataclass(slots=True)
class _Counts:
    n: int = 0
    whole: _Sentiments = field(default_factory=_Sentiments)
    languages: dict[str, _Sentiments] = field(default_factory=lambda: defaultdict(_Sentiments))
    topics: dict[Topic, _Matches] = field(default_factory=lambda: defaultdict(_Matches))
    touchpoints: dict[str, _Matches] = field(default_factory=lambda: defaultdict(_Matches))
    errors: list[int] = field(default_factory=lambda: [0, 0, 0])
    distance: float = 0.0

    def add(self, gold: _Gold, annotation: Annotation) -> None:
        self.n += 1
        if gold.sentiment is not None:
            language = (gold.item.language or annotation.language).partition("-")[0]
            self.whole.add(gold.sentiment, annotation)
            self.languages[language].add(gold.sentiment, annotation)
        if gold.item.stars is not None and annotation.stars is not None:
            self._add_stars(gold.item.stars, annotation.stars)
        for topic in Topic if gold.topics is not None else ():
            self._add_topic(topic, gold.topics or frozenset(), annotation)
        touched = {aspect.touchpoint for aspect in annotation.aspects}
        for name, about in gold.touchpoints.items():
            _add(self.touchpoints[name], gold=about, said=name in touched)

    def _add_stars(self, given: int, expected: float) -> None:
        off = abs(round(expected) - given)
        self.errors[min(off, 2)] += 1
        self.distance += abs(expected - given)

    def _add_topic(self, topic: Topic, gold: frozenset[Topic], annotation: Annotation) -> None:
        _add(self.topics[topic], gold=topic in gold, said=topic in annotation.topics)

    def result(self, model: str) -> Evaluation:
        topics = {topic.value: found.result() for topic, found in self.topics.items()}
        counted = [match.f1 for match in topics.values() if match.n]
        touchpoints = {name: found.result() for name, found in sorted(self.touchpoints.items())}
        languages = {name: each.result() for name, each in sorted(self.languages.items())}
        return Evaluation(
            model=model,
            n=self.n,
            sentiment=self.whole.result() if self.whole.pairs else None,
            stars=self._stars(),
            languages=languages,
            topics=topics,
            topics_macro_f1=sum(counted) / len(counted) if counted else None,
            touchpoints=touchpoints,
            confusion=self.whole.confusion() if self.whole.pairs else {},
            coverage=self.whole.coverage() if self.whole.pairs else [],
            worst_language=_worst({k: (v.n, v.macro_f1) for k, v in languages.items()}),
            worst_topic=_worst({k: (v.n, v.f1) for k, v in topics.items()}),
            worst_touchpoint=_worst({k: (v.n, v.f1) for k, v in touchpoints.items()}),
        )

    def _stars(self) -> Stars | None:
        n = sum(self.errors)
        if not n:
            return None
        exact, near, _ = self.errors
        return Stars(n=n, exact=exact / n, within_one=(exact + near) / n, mae=self.distance / n)


def _add(matches: _Matches, *, gold: bool, said: bool) -> None:
    matches.gold += gold
    matches.said += said
    matches.both += gold and said


def _worst(found: Mapping[str, tuple[int, float]]) -> str | None:
    """The name with the lowest figure among those with enough texts."""
    enough = {name: figure for name, (n, figure) in found.items() if n >= FEW}
    return min(enough, key=lambda name: enough[name]) if enough else None
