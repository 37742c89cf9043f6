"""``python -m ouvidor.nlp.training.train --corpus DIR``: from open data to the shipped heads.

Reads ``DIR/data/open`` and our own sentences, embeds every text once (kept in the cache folder),
fits the four heads, calibrates them on rows they never saw, and writes ``heads.safetensors`` and
``heads.json``. Seeds are fixed: the same data give the same file on the same machine.
"""

from __future__ import annotations

import argparse
import logging
import random
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...storage.vocabulary import Sentiment, Topic
from ..heads import MODEL_FOLDER, sigmoid
from . import compose, data
from .embed import Embedded, embed
from .export import Trained, export
from .fit import Recipe, Task, fit, folds, out_of_fold, temperature, with_temperature
from .nearness import learn as learn_similarity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ..heads import Head, Similarity

    Floats = NDArray[np.float32]

LAYERS = (9, 11)
"""Sentiment is clearest in the ninth layer, subjects in the eleventh; later ones blur clauses."""

_SIZE = 384
NINTH = slice(0, _SIZE)
BOTH = slice(0, 2 * _SIZE)

SENTIMENT = Recipe(NINTH, hidden=256, epochs=14, dropout=0.5)
STARS = Recipe(NINTH, hidden=128, epochs=14, dropout=0.5)
CLAUSE = Recipe(NINTH, hidden=128, epochs=10, dropout=0.4)
TOPICS = Recipe(BOTH, hidden=128, epochs=12, dropout=0.5)

_FOLDS = 5
_JOINED = 4800
_JOINED_OPINIONS = 2400
_BRIEF = 90

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything to learn from, embedded.

    ``opinions`` are rows of open sets, ``own`` our sentences alone and joined, ``mixed`` short
    opinions joined.
    """

    opinions: list[data.Row]
    opinion_features: Embedded
    own: list[compose.Joined]
    own_features: Embedded
    mixed: list[compose.Joined]
    mixed_features: Embedded


def gather(corpus: Path, cache: Path | None) -> Corpus:
    """Choose the rows and read them with the encoder."""
    opinions = data.opinions(corpus)
    own = compose.sentences()
    texts = [compose.alone(sentence) for sentence in own] + compose.hard()
    texts += compose.joined(own, _JOINED, seed=1)
    mixed = compose.joined(_brief(opinions), _JOINED_OPINIONS, seed=2)
    _log.info("%d opinions, %d texts of ours", len(opinions), len(texts))

    def read(rows: Sequence[data.Row | compose.Joined]) -> Embedded:
        return embed([row.text for row in rows], layers=LAYERS, cache=cache)

    return Corpus(opinions, read(opinions), texts, read(texts), mixed, read(mixed))


def _brief(opinions: Sequence[data.Row]) -> list[compose.Sentence]:
    """Short opinions as sentences that can be joined; each counts as a subject of its own."""
    return [
        compose.Sentence(row.text, row.language, None, row.sentiment)
        for row in opinions
        if row.weight == 1 and len(row.text) <= _BRIEF
    ]


def train(corpus: Corpus) -> Trained:
    """All heads with their calibration."""
    topics, cutoffs = _topics(corpus)
    return Trained(
        layers=LAYERS,
        sentiment=_calibrated(_sentiment_task(corpus), SENTIMENT, "sentiment"),
        clause=_calibrated(_clause_task(corpus), CLAUSE, "clause"),
        stars=_calibrated(_stars_task(corpus), STARS, "stars"),
        topics=topics,
        cutoffs=cutoffs,
        similarity=_similarity(corpus),
    )


@dataclass(frozen=True, slots=True)
class _Grouped:
    """A task whose rows belong to groups that must not be parted by a fold."""

    task: Task
    groups: NDArray[np.int64]


def _calibrated(grouped: _Grouped, recipe: Recipe, name: str) -> Head:
    """Temperature from one held-out fifth, the head itself from everything."""
    held = folds(grouped.groups, _FOLDS)[:1]
    scores = out_of_fold(grouped.task, recipe, held)[held[0]]
    value = temperature(scores, grouped.task.rows(held[0]))
    _log.info("%s: %d rows, temperature %.2f", name, len(scores) * _FOLDS, value)
    return with_temperature(fit(grouped.task, recipe), value)


def _one_hot(sentiments: Sequence[Sentiment]) -> Floats:
    order = list(Sentiment)
    return np.eye(len(order), dtype=np.float32)[[order.index(each) for each in sentiments]]


def _sentiment_task(corpus: Corpus) -> _Grouped:
    """Whole texts: opinions, and ours alone or joined where the whole has a clear mood."""
    rows: list[tuple[Sentiment | None, float]]
    rows = [(row.sentiment, row.weight) for row in corpus.opinions]
    rows += [(text.sentiment, _own_weight(text)) for text in corpus.own]
    whole = np.concatenate([corpus.opinion_features.whole, corpus.own_features.whole])
    kept = [index for index, (sentiment, _) in enumerate(rows) if sentiment is not None]
    targets = _one_hot([mood for mood, _ in rows if mood is not None])
    weights = np.array([[rows[index][1]] for index in kept], np.float32)
    return _Grouped(Task(whole[kept], targets, weights, exclusive=True), _shuffled(len(kept)))


def _own_weight(text: compose.Joined) -> float:
    """What people leave after praise and blame is hard to say: such joined texts count less."""
    return 1.0 if len(text.spans) == 1 else 0.3


def _stars_task(corpus: Corpus) -> _Grouped:
    """Whole texts with stars; target k says "more than k+1 stars"."""
    kept = [index for index, row in enumerate(corpus.opinions) if row.stars is not None]
    stars = np.array([corpus.opinions[index].stars for index in kept], np.float32)
    targets = (stars[:, None] > np.arange(1, 5)[None]).astype(np.float32)
    weights = np.ones((len(kept), 1), np.float32)
    task = Task(corpus.opinion_features.whole[kept], targets, weights, exclusive=False)
    return _Grouped(task, _shuffled(len(kept)))


def _clause_task(corpus: Corpus) -> _Grouped:
    """Clauses, each with the mood of the sentence it stems from."""
    found = [
        (embedded.parts[clause], sentence, 1.0)
        for texts, embedded in (
            (corpus.own, corpus.own_features),
            (corpus.mixed, corpus.mixed_features),
        )
        for clause, sentence in _labelled(texts, embedded)
    ]
    for index in np.flatnonzero(np.bincount(corpus.opinion_features.owner) == 1):
        row = corpus.opinions[index]
        sentence = compose.Sentence(row.text, row.language, None, row.sentiment)
        found.append((corpus.opinion_features.whole[index], sentence, row.weight))
    features, sentences, weights = zip(*found, strict=True)
    targets = _one_hot([sentence.sentiment for sentence in sentences])
    task = Task(np.stack(features), targets, np.array(weights, np.float32)[:, None], exclusive=True)
    return _Grouped(task, np.array([_group(sentence) for sentence in sentences]))


def _labelled(
    texts: Sequence[compose.Joined], embedded: Embedded
) -> Iterator[tuple[int, compose.Sentence]]:
    """Each clause with the sentence it lies in."""
    for clause, owner in enumerate(embedded.owner):
        if (sentence := texts[owner].at(embedded.span(clause))) is not None:
            yield clause, sentence


def _group(sentence: compose.Sentence) -> int:
    """The same number for the same text, in this process and in any other."""
    return zlib.crc32(sentence.text.encode("utf-8", "replace"))


def _shuffled(count: int) -> NDArray[np.int64]:
    order = list(range(count))
    random.Random(count).shuffle(order)  # noqa: S311 - a repeatable draw, no secret
    return np.array(order)


def _topics(corpus: Corpus) -> tuple[Head, dict[Topic, float]]:
    """The topic head, and per topic the cut-off that served best on clauses it never saw."""
    clauses, sentences = zip(*_labelled(corpus.own, corpus.own_features), strict=True)
    targets = np.array([[s.topic is topic for topic in Topic] for s in sentences], np.float32)
    ones = np.ones((len(targets), 1), np.float32)
    task = Task(corpus.own_features.parts[list(clauses)], targets, ones, exclusive=False)
    groups = np.array([_group(sentence) for sentence in sentences])
    scores = out_of_fold(task, TOPICS, folds(groups, _FOLDS))
    value = temperature(scores, task)
    cutoffs = _cutoffs(sigmoid(scores / value), targets)
    return with_temperature(fit(task, TOPICS), value), dict(zip(Topic, cutoffs, strict=True))


def _cutoffs(probabilities: Floats, targets: Floats) -> list[float]:
    """Best F1 per topic, drawn half-way to the best of all topics: few sentences stand behind."""
    grid = np.linspace(0.15, 0.85, 29)

    def scores(chosen: slice | int) -> Floats:
        truth = targets[:, chosen] > 0
        said = [probabilities[:, chosen] >= cut for cut in grid]
        return np.array([2 * (each & truth).sum() / (each.sum() + truth.sum()) for each in said])

    shared = scores(slice(None))
    _log.info("topics: micro-F1 %.3f at %.2f", shared.max(), grid[shared.argmax()])
    own = [grid[scores(index).argmax()] for index in range(targets.shape[1])]
    return [round(float(grid[shared.argmax()] + each) / 2, 3) for each in own]


def _similarity(corpus: Corpus) -> Similarity:
    owners = corpus.own_features.owner
    alone = [i for i, owner in enumerate(owners) if len(corpus.own[owner].spans) == 1]
    sentences = [corpus.own[owners[index]].sentences[0] for index in alone]
    return learn_similarity(corpus.own_features.parts[alone], sentences, columns=BOTH)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and write; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m ouvidor.nlp.training.train")
    parser.add_argument(
        "--corpus", type=Path, required=True, help="the folder that holds data/open"
    )
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="where the heads go")
    parser.add_argument("--cache", type=Path, default=None, help="default: OUVIDOR_CACHE")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    corpus = gather(options.corpus, options.cache)
    # The heads are small: one thread is as fast on a calm machine and twice as fast on a busy one.
    torch.set_num_threads(1)
    export(train(corpus), options.out)


if __name__ == "__main__":
    main()
