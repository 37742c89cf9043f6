"""The encoder as a graph of 8-bit integers for ONNX Runtime, built from its weights. No torch.

Every linear layer becomes whole numbers times one scale per output (weights, −127…127) and one per
token (what goes in, 0…255 around a fixed zero). The scale of a token is its own greatest value, so
that a text never depends on what stands beside it in the batch, and nothing has to be calibrated:
whatever changes are merged into the weights, the same rule holds.

The bias of a key moves all scores of a row alike and is left out; the bias of a value passes
through the attention as it is and is merged into the bias behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from .wheel import Archive

    Floats = NDArray[np.float32]

_OPSET, _IR = 24, 11
_CONTRIB = "com.microsoft"
_MOST = 127
_ZERO = 128
_GELU_ZERO = 32
"""The zero of what comes out of a GELU, which is never below −0.17."""
_GELU_LEAST = 0.17
_TINY = 1e-6


def merged(tensors: Mapping[str, NDArray[Any]], adapter: Mapping[str, Floats]) -> dict[str, Floats]:
    """The weights with the low-rank changes ``layer.N.NAME.a`` and ``….b`` added to them."""
    weights = {name: np.asarray(tensor, np.float32) for name, tensor in tensors.items()}
    for name in adapter:
        if name.endswith(".a"):
            stem = name.removesuffix(".a")
            weights[f"encoder.{stem}.weight"] += adapter[f"{stem}.b"] @ adapter[name]
    return weights


def graph(archive: Archive, weights: Mapping[str, Floats], layers: Sequence[int]) -> bytes:
    """The model as bytes of ONNX.

    In: ``words`` (rows, tokens, width), the vectors of the tokens, and ``lengths`` (rows), how many
    of them are no padding. Out: ``hidden`` (rows, tokens, width × layers), what stands behind each
    of these layers (1 is the lowest) side by side.
    """
    build = _Builder(archive, weights)
    states = build.states(max(layers))
    side_by_side = build.op("Concat", [states[layer] for layer in layers], axis=1)
    rows = build.op("Shape", ["words"], start=0, end=2)
    build.node(
        "Reshape", [side_by_side, build.op("Concat", [rows, build.ints(-1)], axis=0)], "hidden"
    )
    whole = helper.make_graph(
        build.nodes,
        "encoder",
        [
            helper.make_tensor_value_info("words", TensorProto.FLOAT, ["rows", "tokens", None]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["rows"]),
        ],
        [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["rows", "tokens", None])],
        [numpy_helper.from_array(array, name) for name, array in build.constants.items()],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=_IR)
    return bytes(model.SerializeToString())


class _Builder:
    """Grows the graph node by node; tokens of all rows stand below each other."""

    def __init__(self, archive: Archive, weights: Mapping[str, Floats]) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._archive = archive
        self._weights = weights

    # --- pieces -----------------------------------------------------------------------------

    def node(self, kind: str, inputs: Sequence[str], name: str, **settings: Any) -> str:
        """A node whose one output has this name."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **settings))
        return name

    def op(self, kind: str, inputs: Sequence[str], **settings: Any) -> str:
        """A node with a name of its own."""
        return self.node(kind, inputs, f"{kind}.{len(self.nodes)}", **settings)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def ints(self, *values: int) -> str:
        return self.constant(f"ints{values}", np.array(values, np.int64))

    def number(self, value: float) -> str:
        return self.constant(f"number {value:g}", np.array(value, np.float32))

    def weight(self, name: str) -> str:
        return self.constant(name, self._weights[name])

    # --- the encoder ------------------------------------------------------------------------

    def states(self, depth: int) -> dict[int, str]:
        """What stands behind each layer up to ``depth``, (all tokens, width)."""
        places = self._weights["embeddings.position_embeddings.weight"]
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        tokens = self.op("Shape", ["words"], start=1, end=2)
        known = self.constant("places", places + kind)
        placed = self.op("Slice", [known, self.ints(0), tokens])
        state = self.flat(self.op("Add", ["words", placed]))
        state = self.norm(state, "embeddings.LayerNorm")
        states = {}
        for layer in range(depth):
            state = self.layer(state, f"encoder.layer.{layer}")
            states[layer + 1] = state
        return states

    def layer(self, state: str, name: str) -> str:
        """One layer: attention, then the two linear layers, each added to what went in."""
        output = f"{name}.attention.output"
        seen = self.linear(self.quantised(self.attention(state, name)), f"{output}.dense")
        bias = self._weights[f"{output}.dense.bias"] + (
            self._weights[f"{output}.dense.weight"]
            @ self._weights[f"{name}.attention.self.value.bias"]
        )
        seen = self.op("Add", [seen, self.constant(f"{output}.dense.bias", bias)])
        state = self.norm(self.op("Add", [seen, state]), f"{output}.LayerNorm")
        inner = self.linear(self.quantised(state), f"{name}.intermediate.dense")
        inner = self.op("Gelu", [self.biased(inner, f"{name}.intermediate.dense")])
        inner = self.linear(self.quantised_gelu(inner), f"{name}.output.dense")
        inner = self.biased(inner, f"{name}.output.dense")
        return self.norm(self.op("Add", [inner, state]), f"{name}.output.LayerNorm")

    def attention(self, state: str, name: str) -> str:
        stem = f"{name}.attention.self"
        whole = self.quantised(state)
        query, key, value = (
            self.linear(whole, f"{stem}.{part}") for part in ("query", "key", "value")
        )
        query = self.biased(query, f"{stem}.query")
        heads = self._archive.sizes["heads"]
        rows = [self.op("Reshape", [each, self.like_words()]) for each in (query, key, value)]
        inputs = [*rows, "", "", "", "lengths"]
        seen = self.op("Attention", inputs, q_num_heads=heads, kv_num_heads=heads)
        return self.flat(seen)

    def like_words(self) -> str:
        """The shape of the input."""
        if not any(node.output[0] == "shape" for node in self.nodes):
            self.node("Shape", ["words"], "shape")
        return "shape"

    def flat(self, rows: str) -> str:
        return self.op("Reshape", [rows, self.ints(-1, self._archive.sizes["hidden"])])

    def norm(self, values: str, name: str) -> str:
        inputs = [values, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        return self.op("LayerNormalization", inputs, epsilon=self._archive.epsilon)

    def biased(self, values: str, name: str) -> str:
        return self.op("Add", [values, self.weight(f"{name}.bias")])

    # --- whole numbers ----------------------------------------------------------------------

    def quantised(self, values: str) -> tuple[str, str, str]:
        """(whole numbers, their zero, scale of each row) of any values."""
        high = self.op("ReduceMax", [values, self.ints(1)], keepdims=0)
        low = self.op("Neg", [self.op("ReduceMin", [values, self.ints(1)], keepdims=0)])
        most = self.op("Max", [high, low, self.number(_TINY)])
        scales = self.op("Mul", [most, self.number(1 / _MOST)])
        return self._rounded(values, scales, _ZERO)

    def quantised_gelu(self, values: str) -> tuple[str, str, str]:
        """The same for what a GELU gave: nearly all of the range for what is above zero."""
        high = self.op("ReduceMax", [values, self.ints(1)], keepdims=0)
        scales = self.op("Mul", [high, self.number(1 / (255 - _GELU_ZERO))])
        scales = self.op("Max", [scales, self.number(_GELU_LEAST / _GELU_ZERO)])
        return self._rounded(values, scales, _GELU_ZERO)

    def _rounded(self, values: str, scales: str, zero: int) -> tuple[str, str, str]:
        one = self.constant(f"zero {zero}", np.array(zero, np.uint8))
        zeros = self.op("Expand", [one, self.op("Shape", [scales])])
        whole = self.op("QuantizeLinear", [values, scales, zeros], axis=0)
        return whole, one, self.op("Unsqueeze", [scales, self.ints(1)])

    def linear(self, quantised: tuple[str, str, str], name: str) -> str:
        """Values × weights, without the bias."""
        whole, zero, scales = quantised
        weight = self._weights[f"{name}.weight"]
        steps = np.maximum(np.abs(weight).max(axis=1), _TINY) / _MOST
        numbers = np.rint(weight / steps[:, None]).astype(np.int8)
        inputs = [
            whole,
            self.constant(f"{name}.weight", numbers.T),
            self.number(1.0),
            self.constant(f"{name}.steps", steps),
            zero,
        ]
        product = self.op("MatMulIntegerToFloat", inputs, domain=_CONTRIB)
        return self.op("Mul", [product, scales])
