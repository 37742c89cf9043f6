"""How good a tagger is on texts whose labels are known."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..storage.vocabulary import Sentiment, Topic
from .classify import ClassifyError, untagged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..storage.vocabulary import Annotation, Untagged
    from .tagger import Tagger

_CHUNK = 128
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
class Evaluation:
    """What came out. A part is None or empty where the gold has no labels for it."""

    model: str
    n: int
    sentiment: Measure | None
    stars: Stars | None
    languages: Mapping[str, Measure]
    topics: Mapping[str, Match]
    topics_macro_f1: float | None


def evaluate(rows: Iterable[Mapping[str, Any]], tagger: Tagger) -> Evaluation:
    """Tag gold rows as they come and count; memory does not grow with them.

    A row has ``text`` and perhaps ``title``, ``lang``, ``stars``, ``sentiment`` and ``topics``
    (a list of topic ids; null: nobody looked). Raises ClassifyError, which names the row.
    """
    counts = _Counts()
    numbered = enumerate(rows, start=1)
    while chunk := [_gold(number, row) for number, row in islice(numbered, _CHUNK)]:
        annotations = tagger.tag([gold.item for gold in chunk])
        for gold, annotation in zip(chunk, annotations, strict=True):
            counts.add(gold, annotation)
    return counts.result(tagger.version)


@dataclass(frozen=True, slots=True)
class _Gold:
    item: Untagged
    sentiment: Sentiment | None
    topics: frozenset[Topic] | None


def _gold(number: int, row: Mapping[str, Any]) -> _Gold:
    _, item = untagged(number, {"id": number, **row} if isinstance(row, dict) else row)
    return _Gold(item, _sentiment(number, row.get("sentiment")), _topics(number, row.get("topics")))


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

    def add(self, gold: Sentiment, annotation: Annotation) -> None:
        said = annotation.p.sentiment
        confidence = float(getattr(annotation.p, said))
        self.pairs[gold, said] += 1
        chosen = self.bins[min(int(confidence * _BINS), _BINS - 1)]
        chosen.n += 1
        chosen.right += gold is said
        chosen.confidence += confidence

    def result(self) -> Measure:
        n = sum(self.pairs.values())
        present = {gold for gold, _ in self.pairs}
        ece = sum(abs(each.right - each.confidence) for each in self.bins) / n
        return Measure(
            n=n,
            accuracy=sum(self.pairs[each, each] for each in Sentiment) / n,
            macro_f1=sum(self._f1(each) for each in present) / len(present),
            ece=ece,
        )

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

    def _add_stars(self, given: int, expected: float) -> None:
        off = abs(round(expected) - given)
        self.errors[min(off, 2)] += 1
        self.distance += abs(expected - given)

    def _add_topic(self, topic: Topic, gold: frozenset[Topic], annotation: Annotation) -> None:
        matches = self.topics[topic]
        matches.gold += topic in gold
        matches.said += topic in annotation.topics
        matches.both += topic in gold and topic in annotation.topics

    def result(self, model: str) -> Evaluation:
        topics = {topic.value: found.result() for topic, found in self.topics.items()}
        counted = [match.f1 for match in topics.values() if match.n]
        return Evaluation(
            model=model,
            n=self.n,
            sentiment=self.whole.result() if self.whole.pairs else None,
            stars=self._stars(),
            languages={name: each.result() for name, each in sorted(self.languages.items())},
            topics=topics,
            topics_macro_f1=sum(counted) / len(counted) if counted else None,
        )

    def _stars(self) -> Stars | None:
        n = sum(self.errors)
        if not n:
            return None
        exact, near, _ = self.errors
        return Stars(n=n, exact=exact / n, within_one=(exact + near) / n, mae=self.distance / n)
