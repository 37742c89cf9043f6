"""Texts → pooled features: one pass of the frozen encoder per text. The gate to torch.

32-bit floats on purpose: measured on AVX-512 with BF16, autocast was slower on review-sized texts
(66 against 112 texts/s) and moved features by 0.4 % with the batch around them (32-bit: 1e-6).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .encoder import MAX_POSITIONS, prepare
from .text import clauses, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray
    from transformers import BertModel

    from .text import Span

    Floats = NDArray[np.float32]

WINDOW = 254
"""Tokens of text in one pass, without <s> and </s>; longer texts take several passes."""

ADAPTED = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
"""The linear layers of one encoder layer that an adapter may change."""

_FIRST, _PAD, _LAST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Reading:
    """What the encoder made of one cleaned text.

    ``whole`` has the shape (features,), ``parts`` (clauses, features), ``spans`` one span per row
    of ``parts``. A text in which the tokenizer sees nothing has no spans and ``whole`` is zero.
    """

    whole: Floats
    parts: Floats
    spans: tuple[Span, ...]

    def moved(self, where: Callable[[Span], Span]) -> Reading:
        """The same reading with its spans seen in another text."""
        return Reading(self.whole, self.parts, tuple(where(span) for span in self.spans))


@dataclass(slots=True)
class _Draft:
    """Sums over the tokens seen so far of one text."""

    spans: list[Span]
    owners: NDArray[np.int64]
    tokens: list[int]
    sums: Floats


class Encoder:
    """The frozen encoder up to its highest wanted layer.

    ``layers`` are the hidden layers (1–12) whose token vectors are averaged and put side by side;
    ``batch_tokens`` bounds one pass (1,024 was fastest: 131 texts/s against 110 at 4,096);
    ``threads`` None leaves torch's own choice.
    """

    def __init__(
        self,
        *,
        layers: Sequence[int],
        adapter: Mapping[str, Floats] | None = None,
        cache: Path | None = None,
        batch_tokens: int = 1024,
        threads: int | None = None,
    ) -> None:
        import torch
        from tokenizers import Tokenizer

        folder = prepare(cache)
        if threads is not None:
            torch.set_num_threads(threads)
        self.layers = tuple(layers)
        self._batch_tokens = max(batch_tokens, MAX_POSITIONS)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Not kept in the file: what a person types is text, even "<s>".
        self._tokenizer.encode_special_tokens = True
        self._model = load_model(folder, depth=max(layers), adapter=adapter)
        self.size = self._model.config.hidden_size * len(self.layers)

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """One Reading per cleaned text, in order; the texts may be of any length."""
        drafts = [self._draft(text) for text in texts]
        jobs = [(index, run) for index, draft in enumerate(drafts) for run in _runs(draft)]
        jobs.sort(key=lambda job: (job[1][0] - job[1][1], job))
        for batch in self._batches(jobs):
            hidden = self._forward([drafts[i].tokens[a:b] for i, (a, b) in batch])
            for row, (index, (first, last)) in enumerate(batch):
                _add(drafts[index], first, last, hidden[row, 1 : last - first + 1])
        return [_finish(draft) for draft in drafts]

    def _draft(self, text: str) -> _Draft:
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        spans = clauses(text) if encoded.ids else []
        begins = np.fromiter((start for start, _ in encoded.offsets), np.int64, len(encoded.ids))
        starts = np.array([start for start, _ in spans], np.int64)
        # Marks between two clauses belong to the one before them.
        owners = np.maximum(np.searchsorted(starts, begins, side="right") - 1, 0)
        sums = np.zeros((len(spans), self.size), np.float32)
        return _Draft(spans, owners, encoded.ids, sums)

    def _batches(self, jobs: list[tuple[int, Span]]) -> Iterator[list[tuple[int, Span]]]:
        """Jobs, longest first, in groups whose padded size stays within the bound."""
        at = 0
        while at < len(jobs):
            first, last = jobs[at][1]
            count = max(1, self._batch_tokens // (last - first + 2))
            yield jobs[at : at + count]
            at += count

    def _forward(self, rows: list[list[int]]) -> Floats:
        """(rows, tokens, features) of padded token ids."""
        import torch

        width = max(map(len, rows)) + 2
        ids = torch.full((len(rows), width), _PAD)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens) + 2] = torch.tensor([_FIRST, *tokens, _LAST])
        with torch.inference_mode():
            output = self._model(
                inputs_embeds=self._model.embeddings.word_embeddings(ids).float(),
                attention_mask=(ids != _PAD).long(),
                position_ids=torch.arange(width)[None],
                token_type_ids=torch.zeros_like(ids),
                output_hidden_states=True,
            )
        chosen = [output.hidden_states[layer] for layer in self.layers]
        return cast("Floats", torch.cat(chosen, dim=-1).numpy())


def load_model(folder: Path, depth: int, adapter: Mapping[str, Floats] | None = None) -> BertModel:
    """The first ``depth`` layers, 32-bit; word vectors stay 16-bit and mapped from the file.

    ``adapter`` holds low-rank changes, ``layer.N.NAME.a`` (rank, in) and ``….b`` (out, rank), that
    are added to the weights once: they cost nothing afterwards.
    """
    import torch
    from safetensors.torch import load_file
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertModel

    settings: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    settings["num_hidden_layers"] = depth
    settings.pop("dtype")
    with torch.device("meta"):
        model = BertModel(BertConfig(**settings), add_pooling_layer=False)
    tensors = load_file(folder / "model.safetensors")
    wanted = {name: _widen(name, tensors[name]) for name in model.state_dict()}
    for name in adapter or {}:
        if name.endswith(".a"):
            stem = name.removesuffix(".a")
            change = adapter[f"{stem}.b"] @ adapter[name]  # type: ignore[index] # it is not None here
            wanted[f"encoder.{stem}.weight"] += torch.from_numpy(change)
    model.load_state_dict(wanted, assign=True)
    return cast("BertModel", model.train(mode=False))


def _widen(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor if name == "embeddings.word_embeddings.weight" else tensor.float()


def _runs(draft: _Draft) -> list[Span]:
    changes = np.flatnonzero(np.diff(draft.owners)) + 1
    return windows(len(draft.tokens), changes.tolist(), WINDOW)


def _add(draft: _Draft, first: int, last: int, hidden: Floats) -> None:
    """Add up each clause's tokens; clauses are runs of equal owners."""
    owners = draft.owners[first:last]
    begins = np.concatenate([[0], np.flatnonzero(np.diff(owners)) + 1])
    draft.sums[owners[begins]] += np.add.reduceat(hidden, begins, axis=0)


def _finish(draft: _Draft) -> Reading:
    counts = np.bincount(draft.owners, minlength=len(draft.spans))[:, None].astype(np.float32)
    kept = np.flatnonzero(counts[:, 0])
    parts = draft.sums[kept] / counts[kept]
    whole = draft.sums.sum(axis=0) / max(len(draft.tokens), 1)
    return Reading(whole, parts, tuple(draft.spans[index] for index in kept))
