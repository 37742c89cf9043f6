"""The reference engine: the encoder in torch, 32-bit, on a GPU where there is one.

32-bit floats on purpose: measured on AVX-512 with BF16, autocast was slower on review-sized texts
(66 against 112 texts/s) and moved features by 0.4 % with the batch around them (32-bit: 1e-6).
Training starts from the same model. The gate to torch and transformers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertModel

from .encoder import prepare
from .wheel import WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

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


class Reference:
    """See ``engine.Engine``; ``threads`` None leaves torch's own choice."""

    passes = 1

    def __init__(
        self,
        *,
        layers: Sequence[int],
        adapter: Mapping[str, Floats],
        cache: Path | None,
        threads: int | None,
    ) -> None:
        folder = prepare(cache)
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._layers = tuple(layers)
        model: Any = load_model(folder, depth=max(layers), adapter=adapter)
        self._model = model.to(self.device)
        self.size = self._model.config.hidden_size * len(self._layers)

    def hidden(self, rows: Sequence[Sequence[int]]) -> Floats:
        """(rows, tokens, size); raises MemoryError when they do not fit."""
        try:
            return self._hidden(rows)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error):
                raise MemoryError(str(error)) from error
            raise

    def _hidden(self, rows: Sequence[Sequence[int]]) -> Floats:
        width = max(map(len, rows)) + 2
        ids = torch.full((len(rows), width), _PAD)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens) + 2] = torch.tensor([_FIRST, *tokens, _LAST])
        ids = ids.to(self.device)
        with torch.inference_mode():
            output = self._model(
                inputs_embeds=self._model.embeddings.word_embeddings(ids).float(),
                attention_mask=(ids != _PAD).long(),
                position_ids=torch.arange(width, device=self.device)[None],
                token_type_ids=torch.zeros_like(ids),
                output_hidden_states=True,
            )
        chosen = [output.hidden_states[layer] for layer in self._layers]
        return cast("Floats", torch.cat(chosen, dim=-1).cpu().numpy())


def load_model(folder: Path, depth: int, adapter: Mapping[str, Floats] | None = None) -> BertModel:
    """The first ``depth`` layers, 32-bit; word vectors stay 16-bit and mapped from the file.

    ``adapter`` holds low-rank changes, ``layer.N.NAME.a`` (rank, in) and ``….b`` (out, rank), that
    are added to the weights once: they cost nothing afterwards.
    """
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
    # Not in the file, and without values so far: a model that is moved to a GPU needs them.
    places = torch.arange(settings["max_position_embeddings"])[None]
    model.embeddings.register_buffer("position_ids", places, persistent=False)
    model.embeddings.register_buffer("token_type_ids", torch.zeros_like(places), persistent=False)
    return cast("BertModel", model.train(mode=False))


def _widen(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor if name == WORDS else tensor.float()
