"""Histories as values: drawn by hypothesis, so that one that fails shrinks to what matters."""

from __future__ import annotations

from typing import NamedTuple

from histories.shapes import SHAPES
from histories.world import Event, What
from hypothesis import strategies as st


class Crash(NamedTuple):
    """The process dies before or after its ``count``-th writing transaction."""

    count: int
    before: bool


class Fault(NamedTuple):
    """From its ``at``-th request on (from 0) the source answers like this."""

    at: int
    how: str


class Turn(NamedTuple):
    """What happens before a run, after each of its pages, and to it; it comes after ``minutes``."""

    minutes: int
    before: tuple[Event, ...] = ()
    during: tuple[tuple[Event, ...], ...] = ()
    fault: Fault | None = None
    crash: Crash | None = None
    full: bool = False

    @property
    def quiet(self) -> bool:
        return not (any(self.during) or self.fault or self.crash)


class History(NamedTuple):
    """The life of one source: a last quiet run after ``turns`` has to know it all.

    It begins with ``start`` items, shown ``size`` on a page; a capped kind shows ``reach`` pages.
    """

    shape: str
    size: int
    reach: int
    turns: tuple[Turn, ...]
    start: int = 0
    tagged: bool = False


FAULTS = ("500", "403", "429", "cut", "wall", "empty", "gone")

_SIZES = st.sampled_from([3, 2, 4, 5, 1])
_REACHES = st.sampled_from([10, 1, 2, 3])
_STARTS = st.sampled_from([0, 1, 3, 4, 6, 7, 9])
_MINUTES = st.sampled_from([15, 90, 26 * 60, 9 * 24 * 60])
_FULL = st.sampled_from([False] * 5 + [True])
_TAME = st.booleans()
_TAGGED = st.sampled_from([False, False, True])
_FAULTS = st.builds(Fault, st.integers(0, 4), st.sampled_from(FAULTS))
_CRASHES = st.builds(Crash, st.integers(1, 6), st.booleans())


Events = st.SearchStrategy[tuple[Event, ...]]


def _events(kinds: frozenset[What], waits: list[int], most: int) -> Events:
    # The first is what a history shrinks to, and a third of what happens is that people write.
    whats = [What.NEW] * (1 + len(kinds) // 3) + sorted(kinds - {What.NEW})
    one = st.builds(Event, st.sampled_from(whats), st.integers(0, 11), st.sampled_from(waits))
    return st.lists(one, max_size=most).map(tuple)


def _turns(before: frozenset[What], during: frozenset[What]) -> st.SearchStrategy[tuple[Turn, ...]]:
    """Quiet runs and disturbed ones, about as many of each."""
    told = {"minutes": _MINUTES, "before": _events(before, [60, 0, 1, 3 * 3600], 7), "full": _FULL}
    # All of them are told: hypothesis would draw the others by their types.
    quiet = st.builds(Turn, **told, during=st.just(()), fault=st.none(), crash=st.none())
    moving = st.lists(_events(during, [1, 0, 40], 3), max_size=3).map(tuple)
    wild = st.builds(
        Turn, **told, during=moving, fault=st.none() | _FAULTS, crash=st.none() | _CRASHES
    )
    return st.lists(quiet | wild, min_size=1, max_size=3).map(tuple)


_TURNS = {
    (name, tame): _turns(
        shape.carries - (shape.blind if tame else frozenset()),
        shape.carries - (shape.blind | shape.shaky if tame else frozenset()),
    )
    for name, shape in SHAPES.items()
    for tame in (False, True)
}


@st.composite
def histories(draw: st.DrawFn, name: str) -> History:
    """Any history of a kind; half of them tame: nothing happens that its paging cannot see."""
    turns = draw(_TURNS[name, draw(_TAME)])
    reach = draw(_REACHES) if SHAPES[name].cap else 10
    return History(name, draw(_SIZES), reach, turns, draw(_STARTS), draw(_TAGGED))
