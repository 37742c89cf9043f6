"""A second opinion from the words themselves: hashed runs of words and letters, one linear layer.

The encoder knows languages; this knows a brand's own vocabulary. It is learnt by ``ouvidor adapt``
only, and what it says is added to the scores of whole texts. NumPy and SciPy, no pickle.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BUCKETS = 1 << 16
"""Where runs are counted; of two runs that share one, the rarer is hardly missed."""

_WORD = re.compile(r"\w+")
_RUNS = (3, 4, 5)
_LONGEST = 2000
_STRENGTH = 16.0
"""How little the weights are held back; rows have length 1."""
_ROUNDS = 40


def runs(text: str) -> Iterator[str]:
    """Words, pairs of words, and runs of three to five letters within a word and its blanks."""
    words = _WORD.findall(text[:_LONGEST].casefold())
    for word in words:
        yield word
        padded = f" {word} "
        for size in _RUNS:
            for at in range(len(padded) - size + 1):
                yield f"~{padded[at : at + size]}"
    for first, second in pairwise(words):
        yield f"{first} {second}"


def counted(texts: Sequence[str]) -> Any:
    """(texts, BUCKETS) as a sparse matrix: 1 + log of how often each run stands there."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped] # it ships no types

    values, columns = array("f"), array("i")  # lists would take ten times the memory
    ends = [0]
    for text in texts:
        found = Counter(crc32(run.encode("utf-8", "replace")) % BUCKETS for run in runs(text))
        columns.extend(found.keys())
        values.extend(found.values())
        ends.append(len(columns))
    logs = 1 + np.log(np.frombuffer(values, np.float32))
    return csr_matrix((logs, columns, ends), shape=(len(texts), BUCKETS), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Lexical:
    """``rarity`` (BUCKETS,) weighs the runs; ``weight`` (outputs, BUCKETS) and ``bias`` score."""

    rarity: Floats
    weight: Floats
    bias: Floats

    def scores(self, texts: Sequence[str]) -> Floats:
        """(texts, outputs)."""
        return np.asarray(
            _weighed(counted(texts), self.rarity) @ self.weight.T + self.bias, np.float32
        )


def _weighed(rows: Any, rarity: Floats) -> Any:
    """Rows of length 1, rare runs the heavier."""
    from scipy.sparse import diags

    weighed = rows @ diags(rarity)
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1))).ravel()
    return diags(1 / np.maximum(lengths, 1e-9)) @ weighed


def learn(texts: Sequence[str], targets: Floats, exclusive: Sequence[slice]) -> Lexical:
    """Fit ``targets`` (texts, outputs), 1, 0 or NaN where nobody looked.

    The columns of each slice of ``exclusive`` are one choice (softmax), all others a yes or no.
    """
    rows = counted(texts)
    seen = np.asarray((rows > 0).sum(axis=0)).ravel()
    rarity = np.asarray(np.log((1 + len(texts)) / (1 + seen)) + 1, np.float32)
    rows = _weighed(rows, rarity).tocsr()
    outputs = targets.shape[1]
    weight, bias = np.zeros((outputs, BUCKETS), np.float32), np.zeros(outputs, np.float32)
    chosen = [list(range(outputs)[part]) for part in exclusive]
    alone = [[n] for n in range(outputs) if not any(n in part for part in chosen)]
    for columns in [*chosen, *alone]:
        known = ~np.isnan(targets[:, columns]).any(axis=1)
        if known.any():
            weight[columns], bias[columns] = _fitted(rows[known], targets[known][:, columns])
    return Lexical(rarity, weight, bias)


def _fitted(rows: Any, targets: Floats) -> tuple[Floats, Floats]:
    """(k, BUCKETS) and (k,), over the columns that are used."""
    used = np.unique(rows.indices)
    values, bias = logistic(rows[:, used], targets, _STRENGTH)
    weight = np.zeros((targets.shape[1], BUCKETS), np.float32)
    weight[:, used] = values
    return weight, bias


def logistic(
    rows: Any, targets: Floats, strength: float, counts: Floats | None = None
) -> tuple[Floats, Floats]:
    """Logistic regression by L-BFGS: (k, columns) and (k,).

    ``rows`` (n, columns) are sparse or an array, ``targets`` (n, k): one choice where k > 1, else a
    yes or no; ``strength`` is how little the weights are held back, ``counts`` (n,) what each row
    counts.
    """
    from scipy.optimize import minimize  # type: ignore[import-untyped] # it ships no types
    from scipy.sparse import csr_matrix

    dense = csr_matrix(rows, dtype=np.float64)
    turned = dense.T.tocsr()
    k = targets.shape[1]
    counted_as = np.ones((len(targets), 1)) if counts is None else counts[:, None]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        values = flat.reshape(k, -1)
        scores = dense @ values[:, :-1].T + values[:, -1]
        if k == 1:
            p = 0.5 * (1 + np.tanh(scores / 2))
            missed = np.logaddexp(0, scores) - targets * scores
        else:
            top = scores.max(axis=1, keepdims=True)
            whole = top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
            p = np.exp(scores - whole)
            missed = targets * (whole - scores)
        missed = missed * counted_as
        off = (p - targets) * counted_as
        slope = np.column_stack([(turned @ off).T, off.sum(axis=0)])
        slope[:, :-1] += values[:, :-1] / strength
        held = float((values[:, :-1] ** 2).sum()) / (2 * strength)
        return float(missed.sum()) + held, slope.ravel()

    start = np.zeros(k * (dense.shape[1] + 1))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS})
    values = found.x.reshape(k, -1)
    return np.asarray(values[:, :-1], np.float32), np.asarray(values[:, -1], np.float32)
