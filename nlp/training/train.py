"""``python -m ouvidor.nlp.training.train --corpus DIR``: from text to the shipped weights.

Learns from our own corpus and from ``DIR/data/open`` (`tune`), calibrates on text that was kept
apart (the sentences of ``nlp/topics``, the ``dev`` parts of the open sets), and writes
``heads.safetensors`` and ``heads.json``. Seeds are fixed. About twenty minutes on one core.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...storage.vocabulary import Sentiment
from ..features import Encoder
from ..heads import MODEL_FOLDER, Head, sigmoid
from ..text import clean
from . import apart, data
from .calibrate import calibrated, cutoffs
from .examples import about, mood
from .export import Trained, export
from .nearness import learn as learn_similarity
from .tune import LAYERS, Tuned, tune

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_WIDTH = slice(0, 384)
_HELD_OUT = 8
"""One held-out row for so many that were learnt from."""


def finish(tuned: Tuned, corpus: Path, cache: Path | None) -> Trained:
    """Calibrate what was tuned, on sentences and rows it never saw."""
    encoder = Encoder(layers=(LAYERS,), adapter=tuned.adapter, cache=cache)
    heads = {name: Head(_WIDTH, (layer,), 1.0) for name, layer in tuned.heads.items()}
    sentences = apart.sentences()
    features = _read(encoder, [sentence.text for sentence in sentences])
    topics = np.stack([about(sentence.topic) for sentence in sentences])
    opinions = data.opinions(corpus, part="dev", share=_HELD_OUT)
    wholes = _read(encoder, [row.text for row in opinions])
    starred = [index for index, row in enumerate(opinions) if row.stars]
    more = np.array(
        [[row.stars > k for k in range(1, 5)] for row in opinions if row.stars], np.float32
    )
    head = calibrated(heads["topics"], features, topics, exclusive=False)
    return Trained(
        layers=(LAYERS,),
        sentiment=calibrated(heads["sentiment"], wholes, _moods(opinions), exclusive=True),
        clause=calibrated(heads["clause"], features, _moods(sentences), exclusive=True),
        stars=calibrated(heads["stars"], wholes[starred], more, exclusive=False),
        topics=head,
        cutoffs=cutoffs(sigmoid(head.scores(features)), topics),
        similarity=learn_similarity(features, sentences, columns=_WIDTH),
        adapter=tuned.adapter,
    )


def _read(encoder: Encoder, texts: Sequence[str]) -> Floats:
    return np.stack([reading.whole for reading in encoder.read([clean(t).text for t in texts])])


def _moods(rows: Sequence[data.Row] | Sequence[apart.Sentence]) -> Floats:
    return np.eye(len(Sentiment), dtype=np.float32)[[mood(row.sentiment) for row in rows]]


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
    tuned = tune(options.corpus, options.cache)
    export(finish(tuned, options.corpus, options.cache), options.out)


if __name__ == "__main__":
    main()
