"""Tunes the encoder and its heads together, resumable, with a record of how it went."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tokenizers import Tokenizer

from ..encoder import prepare
from ..heads import Heads
from .examples import of_open, opened, own
from .network import Encoded, Network, Tuned, encoded, loss_of

Floats = NDArray[np.float32]

EPOCHS, EPOCHS_AGAIN = 6, 3
COMPOSED = 3000
OPENED = (2800, 1400, 900)
"""Open rows of each sort in one epoch at most."""

_TURNS = 3
"""Epochs in which all open rows have had their turn."""

_BATCH_TOKENS = 900
_WARM_UP, _FLOOR = 0.04, 0.02
_STATE = "training.safetensors"

_log = logging.getLogger(__name__)


class StateError(Exception):
    """An unfinished training cannot be gone on with; the text names the file and the mend."""


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
    corpus: Path,
    cache: Path | None,
    *,
    state: Path | None = None,
    start: Path | None = None,
    seed: int = 1,
) -> tuple[Tuned, Course]:
    """Learn from our own text and from the open sets in ``corpus``.

    ``state`` is a folder that keeps an unfinished training; the next call goes on from there.
    ``start`` is a folder of finished weights to begin with, in place of an untouched encoder.
    """
    torch.manual_seed(seed)
    folder = prepare(cache)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    network = Network(cache)
    if start is not None:
        network.start(tuned(Heads.load(start)))
    pace, epochs = (Pace(), EPOCHS) if start is None else (AGAIN, EPOCHS_AGAIN)
    course = learn(network, *plan(corpus, tokenizer, epochs=epochs), state=state, pace=pace)
    return network.learnt(), course


def tuned(heads: Heads) -> Tuned:
    """Finished weights as a training takes them up."""
    names = ("sentiment", "clause", "stars", "topics")
    return Tuned(dict(heads.adapter), {name: getattr(heads, name).layers[0] for name in names})


def between(start: Tuned, end: Tuned, share: float) -> Tuned:
    """The weights that lie ``share`` of the way from ``start`` to ``end``.

    Strangers' text is read better a little before the end (Wortsman et al., "Robust fine-tuning of
    zero-shot models", 2022).
    """

    def mixed(one: Floats, other: Floats) -> Floats:
        return np.asarray((1 - share) * one + share * other, np.float32)

    adapter = {name: mixed(start.adapter[name], each) for name, each in end.adapter.items()}
    heads = {
        name: (mixed(start.heads[name][0], weight), mixed(start.heads[name][1], bias))
        for name, (weight, bias) in end.heads.items()
    }
    return Tuned(adapter, heads)


def _batches(rows: list[Encoded], rng: random.Random) -> list[list[Encoded]]:
    """Rows of about one length together, the groups in random order."""
    groups: list[list[Encoded]] = [[]]
    for row in sorted(rows, key=lambda row: len(row.tokens) + rng.random() * 6):
        if groups[-1] and (len(groups[-1]) + 1) * (len(row.tokens) + 2) > _BATCH_TOKENS:
            groups.append([])
        groups[-1].append(row)
    rng.shuffle(groups)
    return groups


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast is learnt: the highest rates of the changes and of the heads.

    The state is saved every so many batches; ``name`` tells one course's state from another's.
    """

    rate: float = 1e-3
    head_rate: float = 2e-3
    save_every: int = 250
    name: str = ""


AGAIN = Pace(5e-4, 1e-3)
"""For weights that are finished and go on."""


def learn(
    network: Network,
    batches: Sequence[list[Any]],
    held_out: Sequence[list[Any]] = (),
    *,
    state: Path | None = None,
    pace: Pace = Pace(),
    loss_of: Callable[[Any, list[Any]], torch.Tensor] = loss_of,
    progress: Callable[[int], None] | None = None,
) -> Course:
    """One pass over the batches. Interrupted (KeyboardInterrupt), the state is saved."""
    network.train()
    low = [p for change in network.changes.values() for p in (change.a, change.b)]
    heads = list(network.heads.parameters())
    groups = [{"params": low, "lr": pace.rate}, {"params": heads, "lr": pace.head_rate}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    keeper = _Keeper(state, [*low, *heads], optimiser, pace.name)
    course = keeper.resumed()
    if progress and course.losses:
        progress(len(course.losses))
    began = time.monotonic()
    try:
        for step in range(len(course.losses), len(batches)):
            share = min(1, (step + 1) / (_WARM_UP * len(batches)))
            share *= max(_FLOOR, 1 - step / len(batches))
            for group, base in zip(
                optimiser.param_groups, (pace.rate, pace.head_rate), strict=True
            ):
                group["lr"] = base * share
            loss = loss_of(network, batches[step])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_([*low, *heads], 1.0)
            optimiser.step()
            course.losses.append(float(loss.detach()))
            if progress:
                progress(1)
            if (step + 1) % pace.save_every == 0 or step + 1 == len(batches):
                course.held_out.append((step + 1, _measured(network, held_out, loss_of)))
                keeper.save(course)
                _tell(course, len(batches), pace, (time.monotonic() - began) / 60)
    except KeyboardInterrupt:
        keeper.save(course)
        raise
    network.eval()
    return course


def _tell(course: Course, count: int, pace: Pace, minutes: float) -> None:
    last = course.losses[-pace.save_every :]
    text = "%d of %d: loss %.3f, held-out %.3f, %.0f min"
    step, kept = course.held_out[-1]
    _log.info(text, step, count, sum(last) / len(last), kept, minutes)


def _measured(
    network: Network,
    batches: Sequence[list[Any]],
    loss_of: Callable[[Any, list[Any]], torch.Tensor],
) -> float:
    """The mean loss on rows that teach nothing."""
    network.eval()
    with torch.inference_mode():
        losses = [float(loss_of(network, batch)) for batch in batches]
    network.train()
    return sum(losses) / max(1, len(losses))


def saved(folder: Path | None) -> str | None:
    """The name of the course whose unfinished state lies in a folder; raises StateError."""
    path = None if folder is None else folder / _STATE
    if path is None or not path.exists():
        return None
    with _opened(path) as file:
        name: str = file.metadata()["name"]
    return name


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        message = f"{path} is damaged ({error}); remove it, and the learning begins anew"
        raise StateError(message) from error


class _Keeper:
    """Saves a training and puts it back; without a folder it does neither. No pickle."""

    def __init__(
        self,
        folder: Path | None,
        weights: Sequence[torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        name: str,
    ) -> None:
        self._folder = folder
        self._weights = weights
        self._optimiser = optimiser
        self._name = name

    def save(self, course: Course) -> None:
        """Everything that the next step needs; each file appears whole or not at all."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f"{_STATE}.new"
        # One file holds it all, so that weights and losses are always of the same step.
        told = {"course": json.dumps(asdict(course)), "name": self._name}
        fresh.write_bytes(save(self._moments(), told))
        fresh.replace(self._folder / _STATE)

    def _moments(self) -> dict[str, torch.Tensor]:
        found = {"random": torch.get_rng_state()}
        for index, weight in enumerate(self._weights):
            found[f"{index}.weight"] = weight.detach()
            for name, value in self._optimiser.state[weight].items():
                found[f"{index}.{name}"] = value
        return found

    def resumed(self) -> Course:
        """The course so far, with weights and moments put back; an empty one without a state."""
        path = None if self._folder is None else self._folder / _STATE
        if path is None or not path.exists():
            return Course()
        if saved(self._folder) != self._name:
            return Course()
        with _opened(path) as file:
            told = file.metadata()
            kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        torch.set_rng_state(kept["random"])
        for index, weight in enumerate(self._weights):
            weight.data.copy_(kept[f"{index}.weight"])
            named = {name: f"{index}.{name}" for name in ("step", "exp_avg", "exp_avg_sq")}
            # A head that no batch has taught yet has no moments.
            if found := {n: kept[full] for n, full in named.items() if full in kept}:
                self._optimiser.state[weight] = found
        raw = json.loads(told["course"])
        _log.info("going on after %d batches", len(raw["losses"]))
        return Course(raw["losses"], [(at, loss) for at, loss in raw["held_out"]])


def smoothed(losses: Sequence[float], width: int = 50) -> list[float]:
    """Means of ``width`` losses each, for a picture that can be read."""
    parts = [losses[start : start + width] for start in range(0, len(losses), width)]
    return [sum(part) / len(part) for part in parts]
