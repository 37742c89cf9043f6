"""Texts → features for training, read once and kept in the cache folder."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..encoder import cache_folder
from ..features import Encoder
from ..text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..text import Span

    Floats = NDArray[np.float32]

_FORMAT = "2"
"""Raised when the same text is read otherwise: other clauses, another encoder."""
_CHUNK = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Features of n texts with m clauses in all.

    ``whole`` (n, d); ``parts`` (m, d); ``owner`` (m,) the text of each clause; ``spans`` (m, 2).
    """

    whole: Floats
    parts: Floats
    owner: NDArray[np.int64]
    spans: NDArray[np.int64]

    def span(self, clause: int) -> Span:
        """Where a clause lies in its text."""
        start, end = self.spans[clause]
        return int(start), int(end)


def embed(texts: Sequence[str], *, layers: tuple[int, ...], cache: Path | None) -> Embedded:
    """Features of the texts, from the cache when these very texts were read before."""
    key = hashlib.sha256("\x1e".join([_FORMAT, str(layers), *texts]).encode("utf-8", "replace"))
    path = cache_folder(cache) / "training" / f"{key.hexdigest()[:24]}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".partial.npz")
        whole, parts, owner, spans = _read(texts, Encoder(layers=layers, cache=cache))
        np.savez(fresh, whole=whole, parts=parts, owner=owner, spans=spans)
        fresh.rename(path)
    with np.load(path, allow_pickle=False) as kept:
        return Embedded(
            kept["whole"].astype(np.float32),
            kept["parts"].astype(np.float32),
            kept["owner"],
            kept["spans"],
        )


def _read(texts: Sequence[str], encoder: Encoder) -> Iterator[NDArray[np.generic]]:
    readings = []
    for at in range(0, len(texts), _CHUNK):
        readings += encoder.read([clean(text).text for text in texts[at : at + _CHUNK]])
        _log.info("read %d of %d texts", len(readings), len(texts))
    yield np.stack([reading.whole for reading in readings]).astype(np.float16)
    yield np.concatenate([reading.parts for reading in readings]).astype(np.float16)
    counts = [len(reading.spans) for reading in readings]
    yield np.repeat(np.arange(len(readings)), counts)
    yield np.array([span for reading in readings for span in reading.spans], np.int64)
