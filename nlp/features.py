"""Texts → pooled features: one pass of the encoder per text, whichever engine runs it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import wheel
from .encoder import MAX_POSITIONS, EncoderError
from .engine import cores
from .engine import engine as started
from .text import clauses, windows
from .tokens import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .text import Span

    Floats = NDArray[np.float32]
    _Job = tuple[int, Span]
    _Passed = tuple[list[_Job], list[Floats]]

BATCH_TOKENS = 512
"""Tokens in one pass, padding among them."""

WINDOW = 254
"""Tokens of text in one pass, without <s> and </s>; longer texts take several passes."""


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

    def beside(self, more: Floats) -> Reading:
        """The same reading with more features (m,) of the whole."""
        return Reading(np.concatenate([self.whole, more]), self.parts, self.spans)


@dataclass(slots=True)
class _Draft:
    """Sums over the tokens seen so far of one text."""

    spans: list[Span]
    owners: NDArray[np.int64]
    tokens: list[int]
    sums: Floats


class Encoder:
    """The encoder up to its highest wanted layer.

    ``layers`` are the hidden layers (1–12) whose token vectors are averaged and put side by side;
    ``batch_tokens`` bounds one pass; ``threads`` None takes one per core; ``engine`` is one of
    ``engine.ENGINES``, None what ``$OUVIDOR_ENGINE`` says.
    """

    def __init__(
        self,
        *,
        layers: Sequence[int],
        adapter: Mapping[str, Floats] | None = None,
        cache: Path | None = None,
        batch_tokens: int = BATCH_TOKENS,
        threads: int | None = None,
        engine: str | None = None,
    ) -> None:
        self._batch_tokens = max(batch_tokens, MAX_POSITIONS)
        archive = wheel.read()
        self._engine = started(
            engine,
            archive,
            layers=layers,
            adapter=adapter,
            cache=cache,
            threads=threads,
            passes=threads or cores(),
        )
        self._pool = ThreadPoolExecutor(self._engine.passes, thread_name_prefix="encoder")
        self._tokenizer = Tokenizer(archive)
        self.size = self._engine.size

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """One Reading per cleaned text, in order; the texts may be of any length."""
        drafts = [self._draft(text) for text in texts]
        jobs = [(index, run) for index, draft in enumerate(drafts) for run in _runs(draft)]
        jobs.sort(key=lambda job: (job[1][0] - job[1][1], job))
        for batch, rows in self._passed(drafts, jobs):
            for hidden, (index, (first, last)) in zip(rows, batch, strict=True):
                _add(drafts[index], first, last, hidden[1 : last - first + 1])
        return [_finish(draft) for draft in drafts]

    def _passed(self, drafts: list[_Draft], jobs: list[_Job]) -> Iterator[_Passed]:
        """Each batch of jobs with what the engine gave, in order; few are held at a time."""
        running: deque[tuple[list[_Job], Future[list[Floats]]]] = deque()
        for batch in self._batches(jobs):
            rows = [drafts[index].tokens[first:last] for index, (first, last) in batch]
            running.append((batch, self._pool.submit(self._hidden, rows)))
            if len(running) > self._engine.passes:
                done, given = running.popleft()
                yield done, given.result()
        for done, given in running:
            yield done, given.result()

    def _draft(self, text: str) -> _Draft:
        tokens = self._tokenizer.tokens(text)
        spans = clauses(text) if tokens else []
        begins = np.fromiter((start for _, start in tokens), np.int64, len(tokens))
        starts = np.array([start for start, _ in spans], np.int64)
        # Marks between two clauses belong to the one before them.
        owners = np.maximum(np.searchsorted(starts, begins, side="right") - 1, 0)
        sums = np.zeros((len(spans), self.size), np.float32)
        return _Draft(spans, owners, [number for number, _ in tokens], sums)

    def _batches(self, jobs: list[_Job]) -> Iterator[list[_Job]]:
        """Jobs, longest first, in groups whose padded size stays within the bound."""
        at = 0
        while at < len(jobs):
            first, last = jobs[at][1]
            count = max(1, self._batch_tokens // (last - first + 2))
            yield jobs[at : at + count]
            at += count

    def _hidden(self, rows: list[list[int]]) -> list[Floats]:
        """(tokens, features) of each row, <s> first; half as many rows at once where memory ends.

        Raises EncoderError when one row does not fit.
        """
        half = len(rows) // 2
        try:
            hidden = self._engine.hidden(rows)
        except MemoryError as error:
            if not half:
                message = f"not enough memory to read {len(rows[0])} tokens at once; give the "
                raise EncoderError(message + "process 400 MB") from error
        else:
            return list(hidden)
        return [*self._hidden(rows[:half]), *self._hidden(rows[half:])]


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
