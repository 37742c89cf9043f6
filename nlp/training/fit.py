"""Small heads on frozen features: fitted by gradient descent, calibrated on what they never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # ships no types

from ..heads import Head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one head is fitted. ``hidden`` 0 makes it linear."""

    columns: slice
    hidden: int = 128
    epochs: int = 12
    decay: float = 0.1
    dropout: float = 0.4
    rate: float = 2e-3
    batch: int = 256
    seed: int = 20


@dataclass(frozen=True, slots=True)
class Task:
    """Features (n, d), targets (n, k) and weights (n, k) or (n, 1), all 32-bit.

    ``exclusive`` says that each row's targets add up to 1 (softmax); otherwise each column is a
    question of its own (sigmoid), and weight 0 masks an answer that nobody knows.
    """

    features: Floats
    targets: Floats
    weights: Floats
    exclusive: bool

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Task:
        """The chosen rows only."""
        parts = (self.features[chosen], self.targets[chosen], self.weights[chosen])
        return Task(*parts, self.exclusive)


def fit(task: Task, recipe: Recipe) -> Head:
    """A head with temperature 1; the same task and recipe give the same head."""
    torch.manual_seed(recipe.seed)
    features = torch.from_numpy(np.ascontiguousarray(task.features[:, recipe.columns]))
    mean, spread = features.mean(0), features.std(0) + 1e-6
    features = (features - mean) / spread
    targets, weights = torch.from_numpy(task.targets), torch.from_numpy(task.weights)
    net = _net(features.shape[1], targets.shape[1], recipe)
    count = len(features)
    steps = recipe.epochs * -(-count // recipe.batch)
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    for _ in range(recipe.epochs):
        for chosen in torch.split(torch.randperm(count), recipe.batch):
            loss = _loss(net(features[chosen]), targets[chosen], weights[chosen], task.exclusive)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    return _head(net, mean, spread, recipe.columns)


def _net(inputs: int, outputs: int, recipe: Recipe) -> torch.nn.Sequential:
    if not recipe.hidden:
        return torch.nn.Sequential(torch.nn.Linear(inputs, outputs))
    return torch.nn.Sequential(
        torch.nn.Dropout(recipe.dropout),
        torch.nn.Linear(inputs, recipe.hidden),
        torch.nn.GELU(approximate="tanh"),
        torch.nn.Dropout(recipe.dropout),
        torch.nn.Linear(recipe.hidden, outputs),
    )


def _loss(
    scores: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    exclusive: bool,  # noqa: FBT001 - private, always passed on from Task.exclusive
) -> torch.Tensor:
    if exclusive:
        each = -(targets * scores.log_softmax(1)).sum(1, keepdim=True)
    else:
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            scores, targets, reduction="none"
        )
    return (each * weights).sum() / weights.sum().clamp(min=1e-6)


def _head(net: torch.nn.Sequential, mean: torch.Tensor, spread: torch.Tensor, at: slice) -> Head:
    """The net's layers with the standardisation folded into the first."""
    linear = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        linear[0].weight.div_(spread)
        linear[0].bias.sub_(linear[0].weight @ mean)
    layers = tuple((_array(layer.weight), _array(layer.bias)) for layer in linear)
    return Head(at, layers, temperature=1.0)


def _array(tensor: torch.Tensor) -> Floats:
    return cast("Floats", tensor.detach().numpy().astype(np.float32))


def temperature(scores: Floats, task: Task) -> float:
    """What to divide scores by so that probabilities say how often they are right."""
    raw, targets, weights = (
        torch.from_numpy(each) for each in (scores, task.targets, task.weights)
    )

    def loss(log_temperature: float) -> float:
        return _loss(raw / float(np.exp(log_temperature)), targets, weights, task.exclusive).item()

    found = minimize_scalar(loss, bounds=(-2, 2), method="bounded")
    return float(np.exp(found.x))


def with_temperature(head: Head, value: float) -> Head:
    """The same head with its scores divided by ``value``."""
    return Head(head.columns, head.layers, value)


def folds(groups: NDArray[np.int64], count: int) -> list[NDArray[np.bool_]]:
    """Masks of the rows held out, group by group, so that no group is on both sides."""
    return [groups % count == fold for fold in range(count)]


def out_of_fold(task: Task, recipe: Recipe, held: list[NDArray[np.bool_]]) -> Floats:
    """Scores of every held row by a head that never saw its group; others stay NaN."""
    scores = np.full(task.targets.shape, np.nan, np.float32)
    for mask in held:
        scores[mask] = fit(task.rows(~mask), recipe).scores(task.features[mask])
    return scores
