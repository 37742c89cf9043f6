"""The world of a history: a source that people write into, with the truth of what it shows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zlib import crc32

BEGIN = datetime(2026, 9, 1, 11, tzinfo=UTC)
MOST = 24
"""Items in one world; what would be written beyond is left out."""


class What(StrEnum):
    """What can happen to a source."""

    NEW = "new"
    EDIT = "edit"
    BACK = "back"
    """Edited back to its first words."""
    DELETE = "delete"
    REPLY = "reply"
    LATE = "late"
    """Shows up with a date of days ago."""
    UNDATED = "undated"
    SHUFFLE = "shuffle"
    """Items of one and the same second change places."""
    ECHO = "echo"
    """From now on (or no longer) pages repeat an item of the page before."""


class Event(NamedTuple):
    """Something happens ``wait`` seconds after what came before; ``pick`` says to which item."""

    what: What
    pick: int
    wait: int


class State(NamedTuple):
    """What a person can change in an item."""

    text: str
    stars: int | None
    reply: str | None = None


@dataclass(slots=True)
class Item:
    """One item: ``at`` is the date it is sorted by, ``changed`` when its state became visible."""

    key: str
    born: datetime
    at: datetime
    changed: datetime
    tie: int
    serial: int
    states: list[State]
    dated: bool = True
    late: bool = False

    @property
    def now(self) -> State:
        return self.states[-1]


@dataclass(slots=True)
class World:
    """A source and its clock. ``bumps`` says that an edit moves an item to the newest."""

    bumps: bool
    clock: datetime = BEGIN
    items: dict[str, Item] = field(default_factory=dict)
    ever: dict[str, Item] = field(default_factory=dict)
    changes: int = 0
    salt: int = 0
    echo: bool = False

    def begin(self, items: int) -> None:
        """Some days of writing; every third item shares its second with the one before."""
        for place in range(items):
            self.happen(Event(What.NEW, 0, 0 if place % 3 == 2 else 5 * 3600))

    def happen(self, event: Event) -> None:
        """One event; those that need an item wait until there is one."""
        self.clock += timedelta(seconds=event.wait)
        self.changes += 1
        match event.what:
            case What.NEW:
                self._write(self.clock)
            case What.LATE:
                self._write(self.clock - timedelta(days=3, minutes=event.pick), late=True)
            case What.UNDATED:
                self._write(self.clock, dated=False)
            case What.SHUFFLE:
                self._shuffle()
            case What.ECHO:
                self.echo = not self.echo
            case _ if self.items:
                self._touch(event.what, list(self.items.values())[event.pick % len(self.items)])

    def _write(self, at: datetime, *, dated: bool = True, late: bool = False) -> None:
        if len(self.items) >= MOST:
            return
        key = str(1001 + len(self.ever))
        state = State(f"{key} fala pela {self.changes}a vez", 1 + self.changes % 5)
        number = self.changes
        item = Item(key, at, at, self.clock, number, number, [state], dated=dated, late=late)
        self.items[key] = self.ever[key] = item

    def _touch(self, what: What, item: Item) -> None:
        if what is What.DELETE:
            del self.items[item.key]
            return
        old = item.now
        if what is What.REPLY:
            item.states.append(old._replace(reply=f"resposta {self.changes}"))
        elif what is What.BACK:
            item.states.append(item.states[0]._replace(reply=old.reply))
        else:
            text = f"{item.key} fala pela {self.changes}a vez"
            item.states.append(old._replace(text=text, stars=1 + self.changes % 5))
        item.changed, item.serial = self.clock, self.changes
        if self.bumps and what is not What.REPLY:
            item.at, item.tie, item.late = self.clock, self.changes, False

    def _shuffle(self) -> None:
        self.salt += 1
        same: dict[datetime, list[Item]] = defaultdict(list)
        for item in self.items.values():
            same[item.at].append(item)
        for group in same.values():
            ties = sorted(item.tie for item in group)
            for item, tie in zip(sorted(group, key=lambda item: -item.tie), ties, strict=True):
                item.tie = tie

    # --- how it can be shown ------------------------------------------------------------------

    def newest_first(self) -> list[Item]:
        return sorted(self.items.values(), key=lambda item: (item.at, item.tie), reverse=True)

    def oldest_first(self) -> list[Item]:
        return self.newest_first()[::-1]

    def as_changed(self) -> list[Item]:
        """In the order of the last change, whatever the dates say."""
        return sorted(self.items.values(), key=lambda item: item.serial)

    def any_order(self) -> list[Item]:
        return sorted(
            self.items.values(), key=lambda item: crc32(f"{item.key}{self.salt}".encode())
        )
