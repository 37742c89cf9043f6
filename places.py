"""Places: who works at the same time, so that whoever hangs stops nobody for long.

Collecting is waiting for others, so more children than cores run side by side. One that takes long
gives its place to the next that waits and goes on beside it. When there are so many of those that
the machine would feel it, the one that has shown no sign of life for longest is ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .children import Children, Closing

PATIENCE = 15.0
"""Seconds that a child has its place for itself; a run that finds little new is done by then."""

QUIET = 60.0
"""Seconds without a sign of life after which a child counts as one that hangs."""

BESIDE = 2
"""So many children go on beside those with a place, for each place there is."""

STEP = 0.25
"""Seconds after which whoever waits looks again."""

WHY = (
    "it was silent for more than a minute while other sources waited for its place; the next run "
    "goes on"
)


class Places:
    """So many places for the children of several threads; first come, first served.

    ``silent(name, seconds)`` says whether the child of that name, which has run for so many
    seconds, shows no sign of life any more.
    """

    def __init__(
        self,
        children: Children,
        count: int,
        *,
        silent: Callable[[str, float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children, self._count, self._most = children, count, count * (1 + BESIDE)
        self._silent, self._clock = silent, clock
        self._room = threading.Condition()
        self._line: list[str] = []
        self._inside: dict[str, tuple[int, float]] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """A place for the block, once there is one; raises Closing when the house is to end."""
        with self._room:
            self._line.append(name)
        try:
            while not self._entered(name):
                self._make_room(name)
        finally:
            with self._room:
                self._line.remove(name)
                self._room.notify_all()
        try:
            yield
        finally:
            with self._room:
                del self._inside[name]
                self._room.notify_all()

    def _entered(self, name: str) -> bool:
        with self._room:
            if self._children.closed:
                raise Closing
            if self._line[0] == name and self._free():
                self._inside[name] = (threading.get_ident(), self._clock())
                return True
            self._room.wait(STEP)
            return False

    def _free(self) -> bool:
        late = self._clock() - PATIENCE
        young = sum(since > late for _, since in self._inside.values())
        return young < self._count and len(self._inside) < self._most

    def _make_room(self, name: str) -> None:
        """Where no more may go on side by side, end one that hangs; those who work are let be."""
        with self._room:
            if self._line[0] != name or len(self._inside) < self._most:
                return
            inside = sorted(self._inside.items(), key=lambda each: each[1][1])
        for other, place in inside:
            thread, since = place
            age = self._clock() - since
            if age > QUIET and self._silent(other, age) and self._inside.get(other) == place:
                self._children.cut(thread, WHY)
                return
