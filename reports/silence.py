"""What an operator has to know: a source that is silent, or a field that is no longer found. Pure.

Silence is judged against the source's own past: one that brings something every day is missed
after days, one that brings a file a month after months. A source that cannot be read is told as
such, and nothing is made of its silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from urllib.parse import quote, unquote

from ..storage.pulse import PastRun

LEAST = timedelta(days=2)
"""Nothing is called silent or unread before."""
UNKNOWN = timedelta(days=60)
"""The silence that is told where too little is known of the source's habits."""
BEGIN = timedelta(days=14)
"""How long a source that is read well may bring nothing at all."""
HABIT = 5
"""Pauses that make a habit."""
MISSES, EXPECTED = 5, 20.0
"""A field is lost after so many runs without it, in which so many finds were expected."""

_MANY = 20  # pauses of which the longest counts as an accident
_LONGEST = 60  # characters of a part's name in a key


class What(StrEnum):
    """What there is to worry about."""

    UNREAD = "unread"
    NEVER = "never"
    SILENT = "silent"
    FIELD = "field"


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """One worry about a source, or about a part of it: a country or a place.

    ``since`` is when all was well for the last time, None for never; it stays while the worry
    lasts. ``usual`` is the longest pause that is no news, ``why`` the last run's own sentence.
    """

    what: What
    source: str
    since: datetime | None
    part: str = ""
    field: str = ""
    usual: timedelta | None = None
    runs: int = 0
    why: str = ""

    @property
    def key(self) -> str:
        """The same while it lasts, and readable again: see `concern`."""
        parts = [quote(each[:_LONGEST], safe="") for each in (self.part, self.field)]
        since = f"{self.since:%Y%m%dT%H%M%S}" if self.since else ""
        return "|".join([self.what.value, self.source, *parts, since])


def concern(key: str) -> Concern:
    """The worry that a key stands for, as far as the key tells it."""
    what, source, part, field, _ = key.split("|")
    return Concern(
        what=What(what), source=source, part=unquote(part), field=unquote(field), since=None
    )


def judge(
    source: str, runs: Sequence[PastRun], *, now: datetime, every: timedelta
) -> list[Concern]:
    """All worries about one source; ``runs`` are those of the past year, the oldest first."""
    if not runs:
        return []
    if unread := _unread(source, runs, now, every):
        return [unread]
    found = list(_lost(source, runs))
    silent = _silent(source, "", [run.at for run in runs if run.new], runs, now)
    return [silent, *found] if silent else [*_parts(source, runs, now), *found]


def _unread(
    source: str, runs: Sequence[PastRun], now: datetime, every: timedelta
) -> Concern | None:
    good = [run for run in runs if run.outcome.good]
    since = good[-1].at if good else None
    if runs[-1].outcome.good or now - (since or runs[0].at) < max(LEAST, 3 * every):
        return None
    return Concern(what=What.UNREAD, source=source, since=since, why=runs[-1].message)


def _silent(
    source: str, part: str, heard: Sequence[datetime], runs: Sequence[PastRun], now: datetime
) -> Concern | None:
    if not heard:
        # What could never be read is told as unread, in its time.
        begun = next((run.at for run in runs if run.outcome.good), now)
        never = now - begun >= BEGIN
        return Concern(what=What.NEVER, source=source, part=part, since=None) if never else None
    usual = _usual(heard)
    if now - heard[-1] < usual:
        return None
    return Concern(what=What.SILENT, source=source, part=part, since=heard[-1], usual=usual)


def _usual(heard: Sequence[datetime]) -> timedelta:
    """How long a pause may be: twice the longest there was, but for one accident among many."""
    pauses = sorted(after - before for before, after in pairwise(heard))
    if len(pauses) < HABIT:
        return UNKNOWN
    return max(LEAST, 2 * pauses[-2 if len(pauses) >= _MANY else -1])


def _parts(source: str, runs: Sequence[PastRun], now: datetime) -> Iterator[Concern]:
    """Where a source has several parts, each by itself."""
    names = {name for run in runs for name in run.brought}
    for name in sorted(names) if len(names) > 1 else []:
        heard = [run.at for run in runs if run.brought.get(name)]
        if found := _silent(source, name, heard, runs, now):
            yield found


def _lost(source: str, runs: Sequence[PastRun]) -> Iterator[Concern]:
    """Fields that used to be found and are no more."""
    read = [run for run in runs if run.fields.get("")]
    for name in sorted({name for run in read for name in run.fields if name}):
        last = max(place for place, run in enumerate(read) if run.fields.get(name))
        before, misses = read[: last + 1], read[last + 1 :]
        share = sum(run.fields.get(name, 0) for run in before) / _items(before)
        if len(misses) >= MISSES and share * _items(misses) >= EXPECTED:
            yield Concern(
                what=What.FIELD,
                source=source,
                field=name.removeprefix("."),
                since=read[last].at,
                runs=len(misses),
            )


def _items(runs: Sequence[PastRun]) -> int:
    return sum(run.fields[""] for run in runs)
