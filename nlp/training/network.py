"""The encoder with low-rank changes, linear heads on means of its token vectors, and their loss.

Low-rank adaptation after Hu et al., "LoRA", 2021: each weight W of a layer becomes W + B·A, with A
and B of rank ``RANK``. Two megabytes ship instead of two hundred, and the encoder itself stays the
one the wheel carries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ...storage.vocabulary import Sentiment, Topic
from .. import wheel
from ..encoder import prepare
from ..engine import engine
from ..reference import ADAPTED, load_model
from .examples import UNKNOWN, Example

Floats = NDArray[np.float32]

LAYERS = 12
RANK = 16
LOWEST = 4
"""Layers below keep their weights: they know languages, not opinions."""

LONGEST = 160
"""Tokens of a text that are learnt from."""

_SMOOTHING = 0.05
_TOPIC_SHARE = 0.5
_RARE = -3.0
"""Where topic scores start: most clauses are not about any given one."""


class Marked(NamedTuple):
    """A clause as a run of tokens."""

    first: int
    end: int
    sentiment: int
    topics: Floats | None


class Encoded(NamedTuple):
    """An example as tokens."""

    tokens: list[int]
    sentiment: int
    weight: float
    stars: int
    clauses: list[Marked]


class Labelled(Protocol):
    """What is known of a whole text."""

    @property
    def sentiment(self) -> int:
        """Its index, or UNKNOWN."""

    @property
    def weight(self) -> float:
        """What the sentiment counts."""

    @property
    def stars(self) -> int:
        """1–5, 0: unknown."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was learnt. ``adapter``: tensor name → array; ``heads``: name → (weight, bias)."""

    adapter: dict[str, Floats]
    heads: dict[str, tuple[Floats, Floats]]


class LowRank(torch.nn.Module):
    """A frozen linear layer with a low-rank change on top."""

    def __init__(self, frozen: torch.nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen
        scale = 1 / math.sqrt(frozen.in_features)
        self.a = torch.nn.Parameter(torch.randn(RANK, frozen.in_features) * scale)
        self.b = torch.nn.Parameter(torch.zeros(frozen.out_features, RANK))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """W·x + B·A·x."""
        changed: torch.Tensor = self.frozen(values) + (values @ self.a.T) @ self.b.T
        return changed


class Network(torch.nn.Module):
    """The encoder with its changes, and the heads on means of its token vectors.

    The layers that keep their weights run as they will in use, in 8-bit integers where that is the
    engine; torch has only the layers that learn, from ``lowest`` on. ``cache`` is where the encoder
    is unpacked, ``adapter`` holds finished changes: those below ``lowest`` stay as they are.
    """

    def __init__(
        self,
        cache: Path | None = None,
        *,
        lowest: int = LOWEST,
        adapter: Mapping[str, Floats] | None = None,
    ) -> None:
        super().__init__()
        threads = torch.get_num_threads()
        self._kept = {
            name: change
            for name, change in (adapter or {}).items()
            if int(name.split(".")[1]) < lowest
        }
        self._lower = engine(
            None,
            wheel.read(),
            layers=(lowest,),
            adapter=self._kept,
            cache=cache,
            threads=threads,
        )
        self.encoder = load_model(prepare(cache), depth=LAYERS)
        del self.encoder.encoder.layer[:lowest], self.encoder.embeddings
        for weight in self.encoder.parameters():
            weight.requires_grad = False
        self.changes = {
            f"layer.{layer}.{name}": _adapt(self.encoder.encoder.layer[layer - lowest], name)
            for layer in range(lowest, LAYERS)
            for name in ADAPTED
        }
        _steady(self.encoder)
        width = self.encoder.config.hidden_size
        self.drop = torch.nn.Dropout(0.1)
        self.heads = torch.nn.ModuleDict(
            {
                "sentiment": torch.nn.Linear(width, len(Sentiment)),
                "clause": torch.nn.Linear(width, len(Sentiment)),
                "stars": torch.nn.Linear(width, 4),
                "topics": torch.nn.Linear(width, len(Topic)),
            }
        )
        bias: Any = self.heads["topics"].bias
        torch.nn.init.constant_(bias, _RARE)

    def hidden(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """(rows, tokens, width) of token ids; <s> stands first, padding last."""
        state = torch.from_numpy(self.lower(rows))
        lengths = torch.tensor([len(row) + 2 for row in rows])
        seen = (torch.arange(state.shape[1])[None] < lengths[:, None])[:, None, None]
        for layer in self.encoder.encoder.layer:
            state = layer(state, seen)
        return state

    def lower(self, rows: Sequence[Sequence[int]]) -> Floats:
        """(rows, tokens, width) of the layers that do not learn."""
        return self._lower.hidden(rows)

    def start(self, learnt: Tuned) -> None:
        """Go on from what was learnt before."""
        for name, change in self.changes.items():
            change.a.data.copy_(torch.from_numpy(learnt.adapter[f"{name}.a"]))
            change.b.data.copy_(torch.from_numpy(learnt.adapter[f"{name}.b"]))
        heads: dict[str, Any] = dict(self.heads.items())
        for name, (weight, bias) in learnt.heads.items():
            heads[name].weight.data.copy_(torch.from_numpy(weight))
            heads[name].bias.data.copy_(torch.from_numpy(bias))

    def learnt(self) -> Tuned:
        """The changes and the heads as arrays."""
        adapter = {
            f"{name}.{part}": _array(getattr(change, part))
            for name, change in self.changes.items()
            for part in ("a", "b")
        }
        heads: dict[str, Any] = dict(self.heads.items())
        adapter |= self._kept
        return Tuned(adapter, {k: (_array(h.weight), _array(h.bias)) for k, h in heads.items()})


def _steady(encoder: torch.nn.Module) -> None:
    """No dropout in the attention: it costs a tenth of the time."""
    layers: Any = encoder
    for layer in layers.encoder.layer:
        layer.attention.self.dropout.p = 0.0


def _adapt(layer: torch.nn.Module, name: str) -> LowRank:
    parent, _, last = name.rpartition(".")
    owner = layer.get_submodule(parent)
    change = LowRank(getattr(owner, last))
    setattr(owner, last, change)
    return change


def _array(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.detach().numpy(), np.float32)


def encoded(tokenizer: Tokenizer, examples: Sequence[Example]) -> Iterator[Encoded]:
    """Examples as tokens; what is beyond the longest length is not learnt from."""
    found = tokenizer.encode_batch([each.text for each in examples], add_special_tokens=False)
    for example, text in zip(examples, found, strict=True):
        starts = [start for start, _ in text.offsets[:LONGEST]]
        if not starts:
            continue
        marked = []
        for clause in example.clauses:
            inside = [i for i, at in enumerate(starts) if clause.span[0] <= at < clause.span[1]]
            if inside:
                run = (inside[0], inside[-1] + 1)
                marked.append(Marked(*run, clause.sentiment, clause.topics))
        tokens = text.ids[:LONGEST]
        yield Encoded(tokens, example.sentiment, example.weight, example.stars, marked)


def loss_of(network: Network, batch: list[Encoded]) -> torch.Tensor:
    """Every text teaches only what is known of it."""
    hidden = network.hidden([row.tokens for row in batch])
    means = [h[1 : len(r.tokens) + 1].mean(0) for h, r in zip(hidden, batch, strict=True)]
    whole = network.drop(torch.stack(means))
    return of_wholes(network, batch, whole) + _of_clauses(network, batch, hidden)


def of_wholes(network: Network, batch: Sequence[Labelled], whole: torch.Tensor) -> torch.Tensor:
    """The loss of sentiments and stars, from the vectors of whole texts (rows, width)."""
    loss = torch.zeros(())
    sentiments = torch.tensor([row.sentiment for row in batch])
    weights = torch.tensor([row.weight for row in batch])
    if (known := sentiments != UNKNOWN).any():
        each = torch.nn.functional.cross_entropy(
            network.heads["sentiment"](whole[known]),
            sentiments[known],
            reduction="none",
            label_smoothing=_SMOOTHING,
        )
        loss = loss + (each * weights[known]).sum() / len(batch)
    stars = torch.tensor([row.stars for row in batch])
    if (known := stars > 0).any():
        more = (stars[known][:, None] > torch.arange(1, 5)[None]).float()
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            network.heads["stars"](whole[known]), more, reduction="none"
        )
        loss = loss + each.mean(1).sum() / len(batch)
    return loss


def _of_clauses(network: Network, batch: list[Encoded], hidden: torch.Tensor) -> torch.Tensor:
    found = [(row, clause) for row, each in enumerate(batch) for clause in each.clauses]
    loss = torch.zeros(())
    if not found:
        return loss
    means = [hidden[row, 1 + clause.first : 1 + clause.end].mean(0) for row, clause in found]
    vectors = network.drop(torch.stack(means))
    sentiments = torch.tensor([clause.sentiment for _, clause in found])
    if (known := sentiments != UNKNOWN).any():
        each = torch.nn.functional.cross_entropy(
            network.heads["clause"](vectors[known]), sentiments[known], label_smoothing=_SMOOTHING
        )
        loss = loss + each * min(1.0, float(known.sum()) / len(batch))
    told = [index for index, (_, clause) in enumerate(found) if clause.topics is not None]
    topics = [clause.topics for _, clause in found if clause.topics is not None]
    if told:
        targets = torch.tensor(np.stack(topics))
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            network.heads["topics"](vectors[told]), targets, reduction="none"
        )
        loss = loss + _TOPIC_SHARE * each.sum() / len(batch)
    return loss
