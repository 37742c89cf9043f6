"""Tunes the encoder and its heads together, resumable, with a record of how it went."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from ..encoder import prepare
from .examples import of_open, opened, own
from .network import Encoded, Network, Tuned, encoded, loss_of

EPOCHS = 6
COMPOSED = 4500
OPENED = (2800, 1000, 400)
"""Open rows of each sort in one epoch at most."""

_TURNS = 3
"""Epochs in which all open rows have had their turn."""

_BATCH_TOKENS = 900
_RATE, _HEAD_RATE = 1e-3, 2e-3
_WARM_UP, _FLOOR = 0.04, 0.02
_SAVE_EVERY = 250
_STATE, _COURSE = "training.safetensors", "training.json"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Course:
    """How a training went: the loss of each batch, and the held-out loss after some."""

    losses: list[float] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)


class Plan(NamedTuple):
    """What is learnt from, batch by batch, and what only measures."""

    batches: list[list[Encoded]]
    held_out: list[list[Encoded]]


def plan(corpus: Path, tokenizer: Tokenizer, *, epochs: int = EPOCHS) -> Plan:
    """Our own text, composed anew for each epoch, beside the open sets in ``corpus``."""
    rng = random.Random(5)  # noqa: S311 - a repeatable draw, no secret
    sorts = opened(corpus, rng)
    batches = []
    for epoch in range(epochs):
        rows = [
            r
            for s, size in zip(sorts, OPENED, strict=True)
            for r in s[epoch % _TURNS :: _TURNS][:size]
        ]
        examples = own(epoch + 1, COMPOSED) + [of_open(row) for row in rows]
        batches += _batches(list(encoded(tokenizer, examples)), rng)
    kept = opened(corpus, rng, part="dev", share=_HELD_OUT)
    held_out = [of_open(row) for sort in kept for row in sort]
    return Plan(batches, _batches(list(encoded(tokenizer, held_out)), rng))


_HELD_OUT = 16
"""One held-out row for so many that are learnt from."""


def tune(
    corpus: Path, cache: Path | None, *, state: Path | None = None, seed: int = 1
) -> tuple[Tuned, Course]:
    """Learn from our own text and from the open sets in ``corpus``.

    ``state`` is a folder that keeps an unfinished training; the next call goes on from there.
    """
    torch.manual_seed(seed)
    folder = prepare(cache)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    network = Network(folder)
    course = learn(network, *plan(corpus, tokenizer), state=state)
    return network.learnt(), course


def _batches(rows: list[Encoded], rng: random.Random) -> list[list[Encoded]]:
    """Rows of about one length together, the groups in random order."""
    groups: list[list[Encoded]] = [[]]
    for row in sorted(rows, key=lambda row: len(row.tokens) + rng.random() * 6):
        if groups[-1] and (len(groups[-1]) + 1) * (len(row.tokens) + 2) > _BATCH_TOKENS:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    return groups


def learn(
    network: Network,
    batches: Sequence[list[Encoded]],
    held_out: Sequence[list[Encoded]] = (),
    *,
    state: Path | None = None,
) -> Course:
    """One pass over the batches."""
    network.train()
    low = [p for change in network.changes.values() for p in (change.a, change.b)]
    heads = list(network.heads.parameters())
    groups = [{"params": low, "lr": _RATE}, {"params": heads, "lr": _HEAD_RATE}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    course = _resumed(state, [*low, *heads], optimiser)
    began = time.monotonic()
    for step in range(len(course.losses), len(batches)):
        share = min(1, (step + 1) / (_WARM_UP * len(batches)))
        share *= max(_FLOOR, 1 - step / len(batches))
        for group, base in zip(optimiser.param_groups, (_RATE, _HEAD_RATE), strict=True):
            group["lr"] = base * share
        loss = loss_of(network, batches[step])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_([*low, *heads], 1.0)
        optimiser.step()
        course.losses.append(float(loss.detach()))
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == len(batches):
            course.held_out.append((step + 1, _measured(network, held_out)))
            _save(state, [*low, *heads], optimiser, course)
            minutes = (time.monotonic() - began) / 60
            loss_now = sum(course.losses[-_SAVE_EVERY:]) / len(course.losses[-_SAVE_EVERY:])
            kept = course.held_out[-1][1]
            text = "%d of %d: loss %.3f, held-out %.3f, %.0f min"
            _log.info(text, step + 1, len(batches), loss_now, kept, minutes)
    network.eval()
    return course


def _measured(network: Network, batches: Sequence[list[Encoded]]) -> float:
    """The mean loss on rows that teach nothing."""
    network.eval()
    with torch.inference_mode():
        losses = [float(loss_of(network, batch)) for batch in batches]
    network.train()
    return sum(losses) / max(1, len(losses))


def _moments(
    weights: Sequence[torch.nn.Parameter], optimiser: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Everything the next step needs, by name; no pickle."""
    found = {"random": torch.get_rng_state()}
    for index, weight in enumerate(weights):
        found[f"{index}.weight"] = weight.detach()
        for name, value in optimiser.state[weight].items():
            found[f"{index}.{name}"] = value
    return found


def _save(
    state: Path | None,
    weights: Sequence[torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    course: Course,
) -> None:
    if state is None:
        return
    state.mkdir(parents=True, exist_ok=True)
    for name, write in _files(weights, optimiser, course).items():
        fresh = state / f"{name}.new"
        write(fresh)
        fresh.replace(state / name)


def _files(
    weights: Sequence[torch.nn.Parameter], optimiser: torch.optim.Optimizer, course: Course
) -> dict[str, Callable[[Path], object]]:
    step = str(len(course.losses))
    return {
        _COURSE: lambda path: path.write_text(json.dumps(asdict(course)), encoding="utf-8"),
        _STATE: lambda path: save_file(_moments(weights, optimiser), path, {"step": step}),
    }


def _resumed(
    state: Path | None,
    weights: Sequence[torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> Course:
    """The course so far, with weights and moments put back; an empty one without a state."""
    if state is None or not (state / _STATE).exists():
        return Course()
    kept = load_file(state / _STATE)
    torch.set_rng_state(kept["random"])
    for index, weight in enumerate(weights):
        weight.data.copy_(kept[f"{index}.weight"])
        named = {name: f"{index}.{name}" for name in ("step", "exp_avg", "exp_avg_sq")}
        # A head that no batch has taught yet has no moments.
        if found := {n: kept[full] for n, full in named.items() if full in kept}:
            optimiser.state[weight] = found
    raw = json.loads((state / _COURSE).read_text(encoding="utf-8"))
    _log.info("going on after %d batches", len(raw["losses"]))
    return Course(raw["losses"], [(at, loss) for at, loss in raw["held_out"]])


def smoothed(losses: Sequence[float], width: int = 50) -> list[float]:
    """Means of ``width`` losses each, for a picture that can be read."""
    parts = [losses[start : start + width] for start in range(0, len(losses), width)]
    return [sum(part) / len(part) for part in parts]
