"""The network that goes on from finished weights with a brand's own lessons.

Only the low-rank changes and the heads move. What a lesson does not say is held where it was: the
topics and moods of its clauses are taught as the finished weights read them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ...storage.vocabulary import Sentiment, Topic
from ..heads import Heads
from ..tagger import Part
from ..text import Span, clean
from ..training.examples import mood
from ..training.network import LONGEST, Network, of_wholes
from ..training.tune import tuned
from .lessons import Course, Lesson

Floats = NDArray[np.float32]

_BATCH_TOKENS = 900
_ANCHOR = 0.5
"""What holding the old reading of clauses weighs beside what is new."""
_BY_CLAUSE = 0.3
"""What finding the clause that speaks of a touchpoint weighs beside finding the text."""
_RARE = -2.0
_HALVES = 2
"""Bytes of a number of half precision."""

LOWEST = 6
"""Layers below stay as they are: most of the time, and they may be read once for all epochs.

On RePro two fewer took 1.6 times as long and gave its polarity .3 of a point; two more saved a
third and lost half a point of its topics.
"""


class Encoded(NamedTuple):
    """A lesson as tokens.

    ``moods`` (clauses, 3) and ``topics`` (clauses, topics) as they were read before, ``named``
    (topics) and ``touched`` (touchpoints) 1, 0 or NaN where nobody looked.
    """

    tokens: list[int]
    sentiment: int
    weight: float
    stars: int
    runs: list[Span]
    moods: Floats
    topics: Floats
    named: Floats
    touched: Floats


class Learner(Network):
    """A network that begins with finished weights and has one more head.

    ``again`` says that it reads each text more than once: what the lower layers make of it is kept.
    """

    def __init__(
        self,
        heads: Heads,
        touchpoints: int,
        *,
        exclusive: bool,
        cache: Path | None,
        again: bool = False,
    ) -> None:
        super().__init__(cache, lowest=LOWEST, adapter=heads.adapter)
        self.start(tuned(heads))
        self._read: dict[tuple[int, ...], Floats] | None = {} if again else None
        self.exclusive = exclusive
        for module in self.encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # a tenth of the time, and these courses are short
        if touchpoints:
            width = self.encoder.config.hidden_size
            self.heads["touchpoints"] = torch.nn.Linear(width, touchpoints)
            bias: Any = self.heads["touchpoints"].bias
            torch.nn.init.constant_(bias, 0.0 if exclusive else _RARE)

    def remembers(self, tokens: int) -> int:
        """Bytes that it keeps of the lower layers for so many tokens."""
        return 0 if self._read is None else tokens * self.encoder.config.hidden_size * _HALVES

    def lower(self, rows: Sequence[Sequence[int]]) -> Floats:
        """(rows, tokens, width) of the layers that do not learn."""
        if self._read is None:
            return super().lower(rows)
        new = [row for row in rows if tuple(row) not in self._read]
        if new:
            for row, hidden in zip(new, super().lower(new), strict=True):
                self._read[tuple(row)] = hidden[: len(row) + 2].astype(np.float16)
        width = self.encoder.config.hidden_size
        found = np.zeros((len(rows), max(map(len, rows)) + 2, width), np.float32)
        for at, row in enumerate(rows):
            found[at, : len(row) + 2] = self._read[tuple(row)]
        return found


def encoded(
    tokenizer: Tokenizer, lessons: Sequence[Lesson], read: Sequence[Sequence[Part]], course: Course
) -> Iterator[Encoded]:
    """Lessons as tokens, with their clauses as they were read before."""
    texts = [clean(lesson.text).text for lesson in lessons]
    found = tokenizer.encode_batch(texts, add_special_tokens=False)
    for lesson, parts, text in zip(lessons, read, found, strict=True):
        starts = [start for start, _ in text.offsets[:LONGEST]]
        if not starts:
            continue
        kept = []
        for part in parts:
            inside = [i for i, at in enumerate(starts) if part.span[0] <= at < part.span[1]]
            if inside:
                kept.append(((inside[0], inside[-1] + 1), part))
        yield Encoded(
            text.ids[:LONGEST],
            mood(lesson.sentiment),
            1.0,
            lesson.stars or 0,
            [run for run, _ in kept],
            np.array([[getattr(p.p, s) for s in Sentiment] for _, p in kept], np.float32),
            np.array([[p.topics[t] for t in Topic] for _, p in kept], np.float32),
            _told(lesson.topics, list(Topic)),
            _told(lesson.touchpoints, course.touchpoints),
        )


def _told(about: Any, names: Sequence[Any]) -> Floats:
    return np.array(
        [np.nan if about is None else about.get(name, np.nan) for name in names], np.float32
    )


def batches(rows: Sequence[Encoded], epochs: int, seed: int = 3) -> list[list[Encoded]]:
    """All rows ``epochs`` times; in a batch rows of about one length."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable draw, no secret
    found: list[list[Encoded]] = []
    for _ in range(epochs):
        groups: list[list[Encoded]] = [[]]
        for row in sorted(rows, key=lambda row: len(row.tokens) + rng.random() * 6):
            if groups[-1] and (len(groups[-1]) + 1) * (len(row.tokens) + 2) > _BATCH_TOKENS:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        found += groups
    return found


def loss_of(network: Learner, batch: list[Encoded]) -> torch.Tensor:
    """What is known teaches; what is not stays where it was."""
    hidden = network.hidden([row.tokens for row in batch])
    means = [h[1 : len(r.tokens) + 1].mean(0) for h, r in zip(hidden, batch, strict=True)]
    whole = network.drop(torch.stack(means))
    loss = of_wholes(network, batch, whole)
    where = [(row, run) for row, each in enumerate(batch) for run in each.runs]
    if not where:
        return loss
    parts = torch.stack([hidden[row, 1 + first : 1 + end].mean(0) for row, (first, end) in where])
    owners = torch.tensor([row for row, _ in where])
    topics = network.heads["topics"](parts)
    loss = loss + _ANCHOR * _held(network, batch, parts, topics)
    named = torch.tensor(np.stack([row.named for row in batch]))
    loss = loss + _best(topics, owners, named) / len(batch)
    if "touchpoints" in network.heads:
        touched = torch.tensor(np.stack([row.touched for row in batch]))
        clause = network.heads["touchpoints"](parts)
        loss = loss + _touched(network, whole, touched) / len(batch)
        loss = loss + _BY_CLAUSE * _best(clause, owners, touched) / len(batch)
    return loss


def _held(
    network: Learner, batch: list[Encoded], parts: torch.Tensor, topics: torch.Tensor
) -> torch.Tensor:
    """How far clauses are from what they were read as; topics that somebody named are free."""
    rows = [row for row in batch if row.runs]
    moods = torch.tensor(np.concatenate([row.moods for row in rows]))
    said = torch.nn.functional.log_softmax(network.heads["clause"](parts), dim=1)
    before = torch.tensor(np.concatenate([row.topics for row in rows]))
    free = torch.tensor(
        np.concatenate([np.tile(~np.isnan(r.named), (len(r.runs), 1)) for r in rows])
    )
    each = torch.nn.functional.binary_cross_entropy_with_logits(topics, before, reduction="none")
    return (-(moods * said).sum() + each.masked_fill(free, 0.0).sum()) / len(parts)


def _best(scores: torch.Tensor, owners: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """A text speaks of what its likeliest clause speaks of (multiple-instance learning)."""
    lowest = torch.full(told.shape, -1e4)
    index = owners[:, None].expand_as(scores)
    most = lowest.scatter_reduce(0, index, scores, reduce="amax")
    known = ~told.isnan() & (most > -1e3)  # noqa: PLR2004 - no clause at all
    if not known.any():
        return torch.zeros(())
    return torch.nn.functional.binary_cross_entropy_with_logits(
        most[known], told[known], reduction="sum"
    )


def _touched(network: Learner, whole: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    scores = network.heads["touchpoints"](whole)
    known = ~told.isnan()
    if network.exclusive:
        rows = known.all(1)
        if not rows.any():
            return torch.zeros(())
        return torch.nn.functional.cross_entropy(
            scores[rows], told[rows].argmax(1), reduction="sum"
        )
    if not known.any():
        return torch.zeros(())
    return torch.nn.functional.binary_cross_entropy_with_logits(
        scores[known], told[known], reduction="sum"
    )
