"""Alerts that open together are one incident: who hears of several gets one message. Pure.

The incident is named after the highest common node of its members: the one touchpoint they share,
else the one source, else the stage of the journey, else the brand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TypeVar

from ..storage.vocabulary import Severity, Stage
from .lookout import Key

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An alert as a part of an incident; ``sources`` are those its counts come from."""

    alert: int
    key: Key
    touchpoint: str
    stage: Stage
    sources: frozenset[str]
    severity: Severity
    observed: int
    expected: float
    first_day: date
    last_day: date
    incident: int | None = None

    @property
    def gravity(self) -> tuple[int, float]:
        """The graver, the higher: severity before excess."""
        return self.severity.rank, self.observed - self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Several alerts about the same days, and what all have in common."""

    leader: int
    members: tuple[Member, ...]
    touchpoint: str | None
    source: str | None
    stage: Stage | None

    def beside(self, alert: int) -> Incident:
        """The incident as one of its members sees it: the others."""
        others = tuple(each for each in self.members if each.alert != alert)
        return replace(self, members=others)


def gathered(opened: Sequence[Member], standing: Sequence[Member]) -> Incident | None:
    """The incident that alerts opened now make, with those already open; None for one alone.

    Only touchpoints whose alarming days touch belong together.
    """
    if not opened:
        return None
    beside = [each for each in standing if any(_touch(each, new) for new in opened)]
    members = [*opened, *beside]
    if len({each.key for each in members}) < 2:  # noqa: PLR2004 - one alone is no group
        return None
    old = next((each for each in beside if each.incident is not None), None)
    first = min(beside, key=lambda each: each.alert, default=None)
    gravest = max(opened, key=lambda each: each.gravity)
    leader = (old.incident if old else None) or (first or gravest).alert
    return Incident(
        leader=leader,
        members=tuple(sorted(members, key=lambda each: each.gravity, reverse=True)),
        touchpoint=_common({each.touchpoint for each in members}),
        source=_common({source for each in members for source in each.sources}),
        stage=_common({each.stage for each in members}),
    )


def _touch(one: Member, two: Member) -> bool:
    day = timedelta(days=1)
    return one.first_day <= two.last_day + day and two.first_day <= one.last_day + day


def _common(every: set[T]) -> T | None:
    return every.pop() if len(every) == 1 else None
