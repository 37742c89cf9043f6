"""Tagger: feedback → annotations. The same text gets the same labels whatever stands beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..storage.vocabulary import (
    UNKNOWN_LANGUAGE,
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Kind,
    Sentiment,
    Topic,
    joined_text,
)
from .categories import categories_version, topic_of
from .classify import classify
from .features import BATCH_TOKENS, Encoder
from .heads import MODEL_FOLDER, Heads, expected_stars, sigmoid, softmax
from .language import group, identify
from .text import clean
from .touchpoints import Journey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..storage.vocabulary import Untagged
    from .features import Reading
    from .text import Span
    from .touchpoints import Touchpoint

    Floats = NDArray[np.float32]

_CHUNK = 256
"""Texts read at once: bounds memory and leaves enough to sort by length."""
_UNKNOWN = Distribution(negative=1 / 3, neutral=1 / 3, positive=1 / 3)
_OPINION = 0.5
"""Probability of praise or blame from which a clause surely holds an opinion."""
_ALSO = 0.6
"""How likely a clause must be beside the likeliest one to speak of a learnt touchpoint too."""
_GOOD_STARS = 4
_MIDDLE_STARS = 3

_Subject = TypeVar("_Subject", Topic, str)


@dataclass(frozen=True, slots=True)
class _Clause:
    """One clause of a text: where, its mood, what it speaks of."""

    span: Span
    p: Distribution
    topics: Mapping[Topic, float]
    touchpoints: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """One clause of a text before anything is cut off: its mood, and how likely each topic is."""

    span: Span
    p: Distribution
    topics: Mapping[Topic, float]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a text says about one subject."""

    p: Distribution
    p_subject: float = 1.0
    span: Span | None = None


class Tagger:
    """Loads the encoder once (a few seconds) and tags anything with it.

    ``touchpoints`` is the configured journey; ``categories`` maps a source's name to its own
    category → topic, for feedback without text. ``cache`` is where the unpacked encoder is kept
    (default: ``$OUVIDOR_CACHE``), ``batch_tokens`` the size of one pass, ``threads`` how many cores
    it may take, ``model`` the folder of the heads, ``engine`` what runs the encoder ("onnx" on a
    CPU, "torch" on a GPU and as the reference; default: ``$OUVIDOR_ENGINE``, else what fits).

    Raises EncoderError or HeadsError, each with its mend.
    """

    def __init__(
        self,
        *,
        touchpoints: Sequence[Touchpoint] = (),
        categories: Mapping[str, Mapping[str, Topic]] | None = None,
        cache: Path | None = None,
        batch_tokens: int = BATCH_TOKENS,
        threads: int | None = None,
        model: Path = MODEL_FOLDER,
        engine: str | None = None,
    ) -> None:
        self._heads = Heads.load(model)
        self._encoder = Encoder(
            layers=self._heads.layers,
            adapter=self._heads.adapter,
            cache=cache,
            batch_tokens=batch_tokens,
            threads=threads,
            engine=engine,
        )
        self._categories = categories or {}
        self._journey = self.journey(touchpoints)
        chosen = categories_version(self._categories)
        self.version = f"{self._heads.version}+{self._journey.version}{chosen}"

    def tag(self, items: Sequence[Untagged]) -> list[Annotation]:
        """One Annotation per item, in order."""
        annotations: list[Annotation] = []
        for at in range(0, len(items), _CHUNK):
            annotations += self._tag(items[at : at + _CHUNK])
        return annotations

    def classify(self, objects: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Results for the verb ``classify``, in order; see ``classify.classify``."""
        return classify(self, objects)

    def parts(self, texts: Sequence[str]) -> list[list[Part]]:
        """The clauses of each text, with every topic's probability."""
        found = []
        for reading in self._read(texts):
            moods = softmax(self._heads.clause.scores(reading.parts))
            topics = sigmoid(self._heads.topics.scores(reading.parts)).tolist()
            rows = zip(reading.spans, moods, topics, strict=True)
            found.append(
                [
                    Part(span, _distribution(mood), dict(zip(Topic, likely, strict=True)))
                    for span, mood, likely in rows
                ]
            )
        return found

    def vectors(self, sentences: Sequence[str]) -> tuple[Floats, Floats]:
        """(n, features) of sentences, and (n, dimensions) of length 1 without language and mood."""
        features = self._embed(sentences)
        return features, self._heads.similarity.project(features)

    def journey(self, touchpoints: Iterable[Touchpoint]) -> Journey:
        """Other touchpoints than one's own, with their examples read."""
        return Journey([*touchpoints], self._heads.similarity, self._embed)

    def same_subject(self, cosines: Floats) -> Floats:
        """Probability that sentences with these cosines speak of the same subject."""
        return self._heads.similarity.probability(cosines)

    def _tag(self, items: Sequence[Untagged]) -> Iterator[Annotation]:
        texts = [joined_text(item.title, item.text) for item in items]
        readings = self._read(texts)
        whole = np.stack([reading.whole for reading in readings])
        pairs = zip(texts, items, strict=True)
        languages = [identify(text, item.language)[0] for text, item in pairs]
        warm = [self._heads.warmths.get(group(each), 1.0) for each in languages]
        scores = self._heads.sentiment.scores(whole) / np.array(warm, np.float32)[:, None]
        sentiments = softmax(scores)
        stars = expected_stars(self._heads.stars.scores(whole))
        rows = zip(items, self._clauses(texts, readings), strict=True)
        for row, (item, clauses) in enumerate(rows):
            if clauses:
                p = _distribution(sentiments[row])
                yield self._of_text(item, languages[row], p, float(stars[row]), clauses)
            else:
                yield self._without_text(item)

    def _read(self, texts: Sequence[str]) -> list[Reading]:
        """Readings whose spans point into the texts as they were given."""
        cleaned = [clean(text) for text in texts]
        readings = self._encoder.read([each.text for each in cleaned])
        if self._heads.lexical:
            said = self._heads.lexical.scores([each.text for each in cleaned])
            readings = [each.beside(more) for each, more in zip(readings, said, strict=True)]
        return [
            reading.moved(each.original) for reading, each in zip(readings, cleaned, strict=True)
        ]

    def _embed(self, sentences: Sequence[str]) -> Floats:
        """(n, features) of example sentences, each read as a whole."""
        return np.stack([reading.whole for reading in self._read(sentences)])[
            :, : self._encoder.size
        ]

    def _clauses(
        self, texts: Sequence[str], readings: Sequence[Reading]
    ) -> Iterator[list[_Clause]]:
        """The clauses of each reading; all go through the heads together."""
        parts = np.concatenate([reading.parts for reading in readings])
        moods = [_distribution(row) for row in softmax(self._heads.clause.scores(parts))]
        scores = sigmoid(self._heads.topics.scores(parts))
        topics = [self._topics(row, mood) for row, mood in zip(scores, moods, strict=True)]
        pairs = zip(texts, readings, strict=True)
        said = [text[start:end] for text, each in pairs for start, end in each.spans]
        touched = self._touched(readings, parts, topics, said)
        rows = zip(moods, topics, touched, strict=True)
        for reading in readings:
            yield [_Clause(span, *next(rows)) for span in reading.spans]

    def _touched(
        self,
        readings: Sequence[Reading],
        parts: Floats,
        topics: Sequence[Mapping[Topic, float]],
        said: Sequence[str],
    ) -> list[dict[str, float]]:
        """Per clause, the touchpoints it speaks of.

        What was learnt from the brand's own feedback outdoes what topics and examples lead to.
        """
        found = self._journey.mentions(parts, topics, said)
        learnt = self._heads.learnt
        if learnt is None:
            return found
        known = [name for name in learnt.names if name in self._journey.ids]
        kept = [{k: p for k, p in each.items() if k not in known} for each in found]
        whole = learnt.probabilities(np.stack([reading.whole for reading in readings]))
        clauses = learnt.probabilities(parts) if len(parts) else parts
        start = 0
        for row, reading in enumerate(readings):
            end = start + len(reading.spans)
            for name in known if end > start else ():
                column = learnt.names.index(name)
                p = float(whole[row, column])
                if p >= learnt.cutoffs[name]:
                    likely = clauses[start:end, column] / clauses[start:end, column].max()
                    for at in np.flatnonzero(likely >= _ALSO):
                        kept[start + at][name] = p * float(likely[at])
            start = end
        return kept

    @property
    def cutoffs(self) -> Mapping[str, float]:
        """Learnt touchpoint → the probability from which on a text speaks of it."""
        return self._heads.learnt.cutoffs if self._heads.learnt else {}

    def learnt(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """What was learnt from the brand's own feedback: touchpoint → probability, per text."""
        learnt = self._heads.learnt
        if learnt is None:
            return [{} for _ in texts]
        rows: list[dict[str, float]] = []
        for at in range(0, len(texts), _CHUNK):
            wholes = np.stack([reading.whole for reading in self._read(texts[at : at + _CHUNK])])
            likely = learnt.probabilities(wholes).tolist()
            rows += [dict(zip(learnt.names, row, strict=True)) for row in likely]
        return rows

    def _topics(self, probabilities: Floats, mood: Distribution) -> dict[Topic, float]:
        """The topics a clause speaks of, by their cut-offs.

        Praise and blame are about something: where no topic reaches its cut-off, the likeliest
        counts from half of it on.
        """
        known = dict(zip(Topic, probabilities.tolist(), strict=True))
        found = {topic: p for topic, p in known.items() if p >= self._heads.cutoffs[topic]}
        if found or max(mood.negative, mood.positive) < _OPINION:
            return found
        best = max(known, key=lambda topic: known[topic])
        return {best: known[best]} if known[best] >= self._heads.cutoffs[best] / 2 else {}

    def _of_text(
        self, item: Untagged, language: str, p: Distribution, stars: float, clauses: list[_Clause]
    ) -> Annotation:
        if len(clauses) == 1:  # it is the text, and nobody would understand two opinions of it
            clauses = [replace(clauses[0], p=p)]
        topics = _pool([(clause, clause.topics) for clause in clauses])
        touchpoints = _pool([(clause, clause.touchpoints) for clause in clauses])
        touchpoints |= dict.fromkeys(self._journey.of_source(item.source), _Found(p))
        doubtful = max(p.negative, p.neutral, p.positive) < self._heads.uncertain
        return Annotation(
            tagger=self.version,
            basis=Basis.TEXT,
            language=language,
            p=p,
            stars=stars,
            uncertain=doubtful or language == UNKNOWN_LANGUAGE,
            topics={topic: found.p_subject for topic, found in topics.items()},
            aspects=_aspects(topics, touchpoints),
        )

    def _without_text(self, item: Untagged) -> Annotation:
        """Stars, the kind and the source's own category are all there is."""
        topic = topic_of(self._categories.get(item.source, {}), item.category)
        subjects = {} if topic is None else {topic: 1.0}
        p, basis = _bare(item)
        names = [*self._journey.of_topics(subjects), *self._journey.of_source(item.source)]
        return Annotation(
            tagger=self.version,
            basis=basis,
            language=UNKNOWN_LANGUAGE,
            p=p,
            stars=None if item.stars is None else float(item.stars),
            uncertain=p is _UNKNOWN,
            topics=subjects,
            aspects=_aspects(dict.fromkeys(subjects, _Found(p)), dict.fromkeys(names, _Found(p))),
        )


def _bare(item: Untagged) -> tuple[Distribution, Basis]:
    """Sentiment of a feedback without text: from its stars, else blame if it is a complaint."""
    if item.stars is not None:
        if item.stars >= _GOOD_STARS:
            return Distribution.certain(Sentiment.POSITIVE), Basis.STARS
        middle = item.stars >= _MIDDLE_STARS
        sentiment = Sentiment.NEUTRAL if middle else Sentiment.NEGATIVE
        return Distribution.certain(sentiment), Basis.STARS
    if item.kind is Kind.COMPLAINT:
        return Distribution.certain(Sentiment.NEGATIVE), Basis.CATEGORY
    return _UNKNOWN, Basis.CATEGORY


def _distribution(row: Floats) -> Distribution:
    negative, neutral, positive = row.tolist()
    return Distribution(negative=negative, neutral=neutral, positive=positive)


def _pool(
    clauses: Sequence[tuple[_Clause, Mapping[_Subject, float]]],
) -> dict[_Subject, _Found]:
    """One finding per subject, from the clauses that speak of it, weighed by how surely they do."""
    by_subject: dict[_Subject, list[tuple[_Clause, float]]] = {}
    for clause, subjects in clauses:
        for subject, p in subjects.items():
            by_subject.setdefault(subject, []).append((clause, p))
    return {subject: _together(found) for subject, found in by_subject.items()}


def _together(found: Sequence[tuple[_Clause, float]]) -> _Found:
    """The weighted mean; its span is the clause that shows the sentiment of the mean best."""
    total = sum(weight for _, weight in found)
    p = Distribution(
        **{
            each.value: sum(weight * getattr(clause.p, each) for clause, weight in found) / total
            for each in Sentiment
        }
    )
    best, _ = max(found, key=lambda pair: pair[1] * getattr(pair[0].p, p.sentiment))
    return _Found(p, max(weight for _, weight in found), best.span)


def _aspects(
    topics: Mapping[Topic, _Found], touchpoints: Mapping[str, _Found]
) -> tuple[Aspect, ...]:
    about = [
        Aspect(topic=topic, p=found.p, p_subject=found.p_subject, span=found.span)
        for topic, found in topics.items()
    ]
    touched = [
        Aspect(touchpoint=name, p=found.p, p_subject=found.p_subject, span=found.span)
        for name, found in touchpoints.items()
    ]
    return (*about, *touched)
