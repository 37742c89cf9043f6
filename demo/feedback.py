"""What people said about the stand-in brand, and how each piece stood at a given moment.

One file per source lies beside this module, one JSON object per line. ``mood``, ``about`` and
``incident`` say what the writer meant; they are for tests and evaluation, no source serves them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

from ..storage.vocabulary import Sentiment, Topic

ZONE = ZoneInfo("America/Sao_Paulo")
"""The brand's time zone: its days and weeks."""
FIRST_DAY, LAST_DAY = date(2026, 7, 6), date(2026, 10, 25)
"""Monday of week 1 and Sunday of week 16."""
SALE = (date(2026, 9, 14), date(2026, 9, 20))
"""Two and a half times as much of everything, in the same mix: no reason for an alert."""
INCIDENT = (date(2026, 10, 14), LAST_DAY)
"""Pix is charged but no order is made, and the checkout of app 5.2.0 freezes."""
SOURCES = ("app-br", "app-mx", "app-us", "pesquisa", "reclamacoes", "lojas")
"""What the stand-in brand's configuration reads."""
MORE = (
    "play",
    "google-recife",
    "google-curitiba",
    "reclame-aqui",
    "consumidor-gov",
    "trustpilot",
    "cfpb",
)
"""What only the APIs with keys serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the brand answered, and when."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a person later made of their text."""

    at: datetime
    text: str
    stars: int | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What became of a complaint after the first answer: ``kind`` says what happened.

    ``company``, ``consumer``, ``evaluation``, ``moderation``, ``frozen``, ``deactivated``,
    ``response``; ``details`` are what that kind of step brings along.
    """

    at: datetime
    kind: str
    text: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing one person said; ``details`` are fields that only its source knows.

    From ``gone`` on the source no longer shows it.
    """

    source: str
    id: str
    at: datetime
    lang: str
    text: str
    author: str
    mood: Sentiment
    title: str = ""
    stars: int | None = None
    about: tuple[Topic, ...] = ()
    incident: bool = False
    details: Mapping[str, str] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    reply: Reply | None = None
    steps: tuple[Step, ...] = ()
    gone: datetime | None = None
    updated: datetime

    @property
    def day(self) -> date:
        """The brand's day on which it was published."""
        return self.at.astimezone(ZONE).date()

    @property
    def week(self) -> int:
        """The week of the demo's calendar, from 1."""
        return (self.day - FIRST_DAY).days // 7 + 1

    @property
    def changed(self) -> datetime:
        """When anything about it last changed, reply and steps included."""
        later = [self.updated, *(step.at for step in self.steps)]
        return max([*later, self.reply.at] if self.reply else later)

    def as_of(self, now: datetime) -> Piece | None:
        """This piece in the state it had at ``now``; None before it was published or once gone.

        ``updated`` is the time of the last edit; a reply does not move it.
        """
        if self.at > now or (self.gone and self.gone <= now):
            return None
        shown = self
        for edit in self.edits:
            if edit.at <= now:
                shown = replace(
                    shown,
                    text=edit.text,
                    stars=edit.stars or shown.stars,
                    title=shown.title if edit.title is None else edit.title,
                    updated=edit.at,
                )
        reply = self.reply if self.reply and self.reply.at <= now else None
        steps = tuple(step for step in self.steps if step.at <= now)
        return replace(shown, reply=reply, steps=steps)


def as_of(pieces: Iterable[Piece], now: datetime) -> list[Piece]:
    """Everything published up to ``now``, in the state it had then, oldest first."""
    shown = (piece.as_of(now) for piece in pieces)
    return sorted((piece for piece in shown if piece), key=lambda piece: (piece.at, piece.id))


def parse(line: str) -> Piece:
    """A piece from one line of a feedback file."""
    raw = json.loads(line)
    at = datetime.fromisoformat(raw.pop("at"))
    edits = (
        Edit(**edit | {"at": datetime.fromisoformat(edit["at"])}) for edit in raw.pop("edits", ())
    )
    steps = (
        Step(**step | {"at": datetime.fromisoformat(step["at"])}) for step in raw.pop("steps", ())
    )
    reply, gone = raw.pop("reply", None), raw.pop("gone", None)
    return Piece(
        at=at,
        updated=at,
        mood=Sentiment(raw.pop("mood")),
        about=tuple(Topic(topic) for topic in raw.pop("about", ())),
        edits=tuple(edits),
        reply=Reply(at=datetime.fromisoformat(reply["at"]), text=reply["text"]) if reply else None,
        steps=tuple(steps),
        gone=datetime.fromisoformat(gone) if gone else None,
        **raw,
    )


@cache
def read_feedback(sources: tuple[str, ...] = SOURCES) -> tuple[Piece, ...]:
    """All sixteen weeks, source by source, each in order of time."""
    folder = resources.files(__package__)
    return tuple(
        parse(line)
        for source in sources
        for line in (folder / f"{source}.jsonl").read_text(encoding="utf-8").splitlines()
    )
