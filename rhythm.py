"""Rhythm: when a source is read again, every so many hours or by a line of cron.

Dates are spread a little, so that many sources and many houses do not knock at the same second.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from .config import Config, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY = timedelta(hours=1)
"""How long a source rests that went wrong, if its turn does not come sooner."""

SHARE = 0.1
"""Dates every so many hours are spread over no more than this share of the time between them."""

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FIELDS = 5
_EARLIER = timedelta(hours=2)
"""More than clocks are turned."""

_DATES, _MONTHS = 700, timedelta(days=70)
"""How far a line of cron is followed to find its longest pause."""

_HORIZON = timedelta(days=4 * 366)
_REMEMBERED = 4
"""Dates of a line of cron that are looked up once: a house asks for two of each at every tick."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When one source is read. ``following`` gives the date after a moment, all in UTC."""

    following: Callable[[datetime], datetime]
    spread: timedelta
    name: str

    def again(self, now: datetime, well: bool) -> datetime:  # noqa: FBT001 - what every duty's is called with
        """When it is due after a run that ended at ``now``."""
        at = self.following(now)
        at += self.spread * _chance(f"{self.name} {at.isoformat()}")
        return at if well else min(at, now + RETRY)


def rhythm(config: Config, name: str) -> Rhythm:
    """The rhythm of a configured source; raises ConfigError where its line of cron is none."""
    source, schedule = config.sources[name], config.schedule
    spread = timedelta(minutes=schedule.jitter_minutes)
    salted = f"{config.brand.name} {name}"
    if source.cron is not None:
        following = by_cron(source.cron, config.brand.zone, f"sources.{name}.cron")
        return Rhythm(following, spread, salted)
    every = schedule.collect_every
    if source.every_hours is not None:
        every = timedelta(hours=source.every_hours)
    return Rhythm(lambda now: now + every, min(spread, every * SHARE), salted)


def longest(config: Config, name: str, now: datetime) -> timedelta:
    """The most time that lies between two dates of a source, from ``now`` on."""
    source = config.sources[name]
    if source.cron is None:
        return timedelta(hours=source.every_hours or config.schedule.collect_every_hours)
    following, most, last = rhythm(config, name).following, timedelta(), now
    for _ in range(_DATES):
        found = following(last)
        most, last = max(most, found - last), found
        if last - now > _MONTHS:
            break
    return most


def _chance(text: str) -> float:
    """A number from 0 to 1 that is always the same for a text: a date can be told beforehand."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32


@cache
def by_cron(line: str, zone: ZoneInfo, where: str) -> Callable[[datetime], datetime]:
    """The date after a moment by a line of cron that is read in ``zone``.

    An hour that a change of time skips is met an hour later, one that comes twice the first time.
    Raises ConfigError that names ``where``.
    """
    trigger = _trigger(line, where)
    spans: tuple[tuple[datetime, datetime], ...] = ()

    def following(after: datetime) -> datetime:
        # Every tick asks again, and between two dates the answer is always the second one.
        nonlocal spans
        for since, until in spans:
            if since <= after < until:
                return until
        until = search(after)
        spans = ((after, until), *spans[: _REMEMBERED - 1])
        return until

    def search(after: datetime) -> datetime:
        # The library loses its way where clocks are turned back, so it is asked for the clock on
        # the wall alone, which it takes for UTC.
        wall = (after - _EARLIER).astimezone(zone).replace(tzinfo=UTC)
        while True:
            found = trigger.get_next_fire_time(None, wall)
            if found is None or found - wall > _HORIZON:
                raise ConfigError(f"{where}: {line!r} names a day that never comes; mend it")
            moment: datetime = found.replace(tzinfo=zone).astimezone(UTC)
            if moment > after:
                return moment
            wall = found + timedelta(minutes=1)

    following(datetime(2026, 1, 1, tzinfo=UTC))
    return following


def _trigger(line: str, where: str) -> Any:
    from apscheduler.triggers.cron import (  # type: ignore[import-untyped] # it has none
        CronTrigger,
    )

    fields = line.split()
    if len(fields) == _FIELDS and "*" not in (fields[2], fields[4]):
        raise ConfigError(
            f"{where}: {line!r} names days of the month and of the week; leave one of them '*'"
        )
    try:
        # Cron counts the days of the week from Sunday, the library from Monday.
        fields[4:] = [re.sub(r"(?<![/\d])[0-7](?!\d)", _day, each) for each in fields[4:]]
        return CronTrigger.from_crontab(" ".join(fields), timezone=UTC)
    except ValueError as error:
        raise ConfigError(
            f"{where}: {line!r} is no line of cron ({error}); write five fields (minute, hour, "
            "day, month, weekday) like '30 6 * * mon-fri'"
        ) from error


def _day(found: re.Match[str]) -> str:
    return _DAYS[int(found[0])]
