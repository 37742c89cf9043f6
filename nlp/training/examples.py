"""Texts with everything that is known of them, as the network learns from them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...storage.vocabulary import Sentiment, Topic
from ..text import Span, clauses, clean
from . import data, phrases

Floats = NDArray[np.float32]

SHARES = {"pt": 0.36, "es": 0.18, "en": 0.18, "fr": 0.1, "de": 0.09, "it": 0.09}
"""How much of the composed text each language gets."""

UNKNOWN = -1
_KEPT = 7
_LEAST_OVERLAP = 0.5
_SHORT, _STARRED = 170, 420
"""Characters of open rows without and with stars; longer ones cost time and teach little more."""

_SENTIMENTS = list(Sentiment)
_TOPICS = list(Topic)


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause: its span, the index of its sentiment or UNKNOWN, its topics or None."""

    span: Span
    sentiment: int
    topics: Floats | None


@dataclass(frozen=True, slots=True)
class Example:
    """One text: the sentiment of the whole or UNKNOWN, its weight, stars or 0, its clauses."""

    text: str
    sentiment: int
    weight: float
    stars: int
    clauses: tuple[Clause, ...]


def mood(sentiment: str | None) -> int:
    """The index of a sentiment, or UNKNOWN."""
    return UNKNOWN if sentiment is None else _SENTIMENTS.index(Sentiment(sentiment))


def about(topic: str | None) -> Floats:
    """(topics,) with a 1 for the topic; all 0 says that a text is about none of them."""
    vector = np.zeros(len(_TOPICS), np.float32)
    if topic:
        vector[_TOPICS.index(Topic(topic))] = 1
    return vector


def of_phrase(phrase: phrases.Phrase) -> Example:
    """One of our phrases: it says one thing of one topic."""
    index = mood(phrase.sentiment)
    clause = Clause((0, len(phrase.text)), index, about(phrase.topic))
    return Example(phrase.text, index, 1.0, 0, (clause,))


def of_composed(row: phrases.Row) -> Example:
    """One of our texts of several phrases; each clause has the labels of its phrase."""
    found = tuple(_labelled(row))
    index = mood(row["sentiment"])
    if not found and not row["topics"]:
        found = (Clause((0, len(row["text"])), index, about(None)),)
    return Example(row["text"], index, 1.0, row["stars"] or 0, found)


def _labelled(row: phrases.Row) -> Iterator[Clause]:
    for start, end in clauses(row["text"]):
        shared = [
            min(end, said["span"][1]) - max(start, said["span"][0]) for said in row["aspects"]
        ]
        if shared and max(shared) > 0 and max(shared) >= _LEAST_OVERLAP * (end - start):
            said = row["aspects"][shared.index(max(shared))]
            yield Clause((start, end), mood(said["sentiment"]), about(said["topic"]))


def of_whole(row: phrases.Row) -> Example:
    """A review that names every aspect: a clause holds all that lie in it, or none at all."""
    found = tuple(_complete(row))
    return Example(row["text"], mood(row["sentiment"]), 1.0, row["stars"] or 0, found)


def _complete(row: phrases.Row) -> Iterator[Clause]:
    for start, end in clauses(row["text"]):
        inside = [
            (min(end, said["span"][1]) - max(start, said["span"][0]), said)
            for said in row["aspects"]
        ]
        named = [
            (shared, said)
            for shared, said in inside
            if shared >= _LEAST_OVERLAP * min(end - start, said["span"][1] - said["span"][0])
        ]
        topics = sum((about(said["topic"]) for _, said in named), about(None)).clip(0, 1)
        moods = {said["sentiment"] for _, said in named}
        yield Clause((start, end), mood(moods.pop()) if len(moods) == 1 else UNKNOWN, topics)


def of_open(row: data.Row) -> Example:
    """A row of an open set; the only clause of a text shares its sentiment."""
    text = clean(row.text).text
    spans, index = clauses(text), mood(row.sentiment)
    single = len(spans) == 1 and row.weight == 1 and index != UNKNOWN
    found = (Clause(spans[0], index, None),) if single else ()
    return Example(text, index, row.weight, row.stars or 0, found)


def of_post(post: phrases.Post) -> Example:
    """A post: the only clause of a text shares its sentiment."""
    index, spans = mood(post.sentiment), clauses(post.text)
    found = (Clause(spans[0], index, None),) if len(spans) == 1 else ()
    return Example(post.text, index, 1.0, 0, found)


def reviews(language: str) -> tuple[list[phrases.Row], list[phrases.Row]]:
    """Our whole reviews: those that teach, and every ``_KEPT``-th, which only calibrates."""
    rows = phrases.wholes(language)
    kept = rows[::_KEPT]
    return [row for index, row in enumerate(rows) if index % _KEPT], kept


def own(seed: int, composed: int) -> list[Example]:
    """Our text for one epoch: composed anew, every phrase and post, the rest twice."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable draw, no secret
    rows = [
        row
        for language, share in SHARES.items()
        for row in phrases.compose(rng, language, int(composed * share))
    ]
    examples = [of_composed(row) for row in rows]
    for language in SHARES:
        examples += [of_phrase(phrase) for phrase in phrases.phrases(language)]
        examples += [of_composed(row) for row in phrases.others(language)] * 2
    for language in phrases.WHOLE_LANGUAGES:
        rows, _ = reviews(language)
        examples += [of_whole(row) for row in rows]
        examples += [of_whole(phrases.careless(rng, row)) for row in rows]
    return examples + [of_post(post) for post in phrases.posts()]


def opened(
    corpus: Path, rng: random.Random, *, part: str = "train", share: int = 1
) -> tuple[Sequence[data.Row], ...]:
    """Open rows, shuffled: with stars, without, and of languages we do not write in."""
    rows = [
        row
        for row in data.opinions(corpus, part=part, share=share)
        if len(row.text) <= (_STARRED if row.stars else _SHORT)
    ]
    rng.shuffle(rows)
    known = [row for row in rows if row.language in SHARES]
    return (
        [row for row in known if row.stars],
        [row for row in known if not row.stars],
        [row for row in rows if row.language not in SHARES],
    )
