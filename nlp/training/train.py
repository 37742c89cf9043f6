"""``python -m ouvidor.nlp.training.train --corpus DIR``: from text to the shipped weights.

Learns from our own corpus and from ``DIR/data/open`` (`tune`), calibrates on text that was kept
apart (the sentences of ``nlp/topics``, the ``dev`` parts of the open sets), and writes
``heads.safetensors``, ``heads.json`` and ``learning.png``. Seeds are fixed. About an hour on one
core; a training that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...storage.vocabulary import Sentiment, Topic
from ..features import Encoder
from ..heads import MODEL_FOLDER, Head, Heads, sigmoid, softmax
from ..language import group
from ..text import clean
from . import apart, data, phrases
from .calibrate import calibrated, cutoffs, doubt, leaning, nearest, warmths
from .examples import UNKNOWN, Example, about, mood, of_whole, reviews
from .export import PRECISION, Trained, export
from .nearness import learn as learn_similarity
from .network import LAYERS, Tuned
from .tune import Course, between, smoothed, tune
from .tune import tuned as tuned_of

Floats = NDArray[np.float32]

_WIDTH = slice(0, 384)
_HELD_OUT = 8
"""One held-out row for so many that were learnt from."""


def finish(tuned: Tuned, corpus: Path, cache: Path | None) -> Trained:
    """Calibrate what was tuned, on sentences, reviews and rows it never saw."""
    encoder = Encoder(layers=(LAYERS,), adapter=tuned.adapter, cache=cache)
    heads = {name: Head(_WIDTH, (layer,), 1.0) for name, layer in tuned.heads.items()}
    sentences = apart.sentences()
    of_sentences = Said(
        _read(encoder, [sentence.text for sentence in sentences]),
        np.array([mood(sentence.sentiment) for sentence in sentences]),
        np.stack([about(sentence.topic) for sentence in sentences]),
    )
    rows = [row for language in phrases.WHOLE_LANGUAGES for row in reviews(language)[1]]
    said = of_sentences.beside(_said(encoder, [of_whole(row) for row in rows]))
    opinions = data.opinions(corpus, part="dev", share=_HELD_OUT)
    texts = [row.text for row in opinions] + [row["text"] for row in rows]
    wholes = _read(encoder, texts)
    moods = np.array(
        [mood(row.sentiment) for row in opinions] + [mood(r["sentiment"]) for r in rows]
    )
    stars = np.array([row.stars or 0 for row in opinions] + [row["stars"] or 0 for row in rows])
    languages = [row.language for row in opinions] + [row["lang"] for row in rows]
    sentiment = calibrated(heads["sentiment"], wholes, _one_hot(moods), exclusive=True)
    scores, groups = sentiment.scores(wholes), [group(each) for each in languages]
    sets = [row.source for row in opinions] + ["own"] * len(rows)
    warm = warmths(scores, _one_hot(moods), groups, sets)
    by = np.array([[warm.get(each, 1.0)] for each in groups], np.float32)
    scores = np.asarray(scores / by, np.float32)
    known = said.moods != UNKNOWN
    head = calibrated(heads["topics"], said.features, said.topics, exclusive=False)
    return Trained(
        layers=(LAYERS,),
        sentiment=sentiment,
        warmths=warm,
        uncertain=doubt(softmax(scores), _one_hot(moods), PRECISION),
        clause=leaning(heads["clause"], said.features[known], _one_hot(said.moods[known])),
        stars=nearest(heads["stars"], wholes[stars > 0], stars[stars > 0].astype(np.float32)),
        topics=head,
        cutoffs=dict(
            zip(Topic, cutoffs(sigmoid(head.scores(said.features)), said.topics), strict=True)
        ),
        similarity=learn_similarity(of_sentences.features, sentences, columns=_WIDTH),
        adapter=tuned.adapter,
    )


class Said(NamedTuple):
    """Clauses: (n, features), the index of each mood or UNKNOWN, (n, topics) of 0 and 1."""

    features: Floats
    moods: NDArray[np.int64]
    topics: Floats

    def beside(self, other: Said) -> Said:
        """Both together."""
        return Said(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.moods, other.moods]),
            np.concatenate([self.topics, other.topics]),
        )


def _said(encoder: Encoder, examples: Sequence[Example]) -> Said:
    """The clauses of reviews, read in their places."""
    found = []
    for example, reading in zip(examples, encoder.read([e.text for e in examples]), strict=True):
        known = {clause.span: clause for clause in example.clauses}
        for span, part in zip(reading.spans, reading.parts, strict=True):
            clause = known.get(span)
            if clause is not None and clause.topics is not None:
                found.append((part, clause.sentiment, clause.topics))
    features, moods, topics = zip(*found, strict=True)
    return Said(np.stack(features), np.array(moods), np.stack(topics))


def _read(encoder: Encoder, texts: Sequence[str]) -> Floats:
    return np.stack([reading.whole for reading in encoder.read([clean(t).text for t in texts])])


def _one_hot(moods: NDArray[np.int64]) -> Floats:
    return np.eye(len(Sentiment), dtype=np.float32)[moods]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and write; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m ouvidor.nlp.training.train")
    parser.add_argument(
        "--corpus", type=Path, required=True, help="the folder that holds data/open"
    )
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="where the heads go")
    parser.add_argument("--cache", type=Path, default=None, help="default: OUVIDOR_CACHE")
    parser.add_argument("--state", type=Path, default=None, help="a folder to go on from")
    parser.add_argument("--start", type=Path, default=None, help="finished weights to begin with")
    parser.add_argument(
        "--share", type=float, default=0.8, help="how far to go from --start to what is learnt"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tuned, course = tune(options.corpus, options.cache, state=options.state, start=options.start)
    if options.start:
        tuned = between(tuned_of(Heads.load(options.start)), tuned, options.share)
    export(finish(tuned, options.corpus, options.cache), options.out)
    draw(course, options.out / "learning.png")


def draw(course: Course, path: Path) -> None:
    """The learning curves as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    means = smoothed(course.losses)
    axes.plot([50 * (n + 1) for n in range(len(means))], means, label="learnt from")
    axes.plot(*zip(*course.held_out, strict=True), "o-", label="held out (open sets)")
    axes.set(xlabel="batches", ylabel="loss", title="Learning")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
