"""Which customers a digest lets speak, and how much of their text. Pure.

A quote is always a slice of the stored text: it may be cut, which is marked, and is never changed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol, TypeVar

from ..storage.vocabulary import joined_text

LONGEST = 320
"""Characters of a quote; a longer text is cut."""

CUT = "[…]"
"""What marks a cut; an ellipsis of the writer's own has no brackets."""

_READABLE = range(25, 700)
_SENTENCE = re.compile(r"(?<=[.!?…])[\"”»')\]]*\s+|\n+")
_JOINERS = "\u200d\ufe0f\ufe0e"
_EMOJI_TONES = range(0x1F3FB, 0x1F400)


class Role(StrEnum):
    """Why somebody is quoted."""

    WORST = "worst"
    TYPICAL = "typical"
    PRAISE = "praise"
    MISMATCH = "mismatch"
    THEME = "theme"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A slice of a text, and whether something stands before and after it."""

    text: str
    before: bool
    after: bool

    @property
    def marked(self) -> str:
        """The slice with the marks of what was left out."""
        return f"{CUT} " * self.before + self.text + f" {CUT}" * self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """One customer quoted: the words, where they stand, and what they are about."""

    role: Role
    feedback_id: int
    excerpt: Excerpt
    source: str
    day: date
    stars: int | None
    language: str
    touchpoint: str | None
    url: str | None


class Said(Protocol):
    """What a stored feedback has to tell; ``storage.series.Quote`` does."""

    @property
    def feedback_id(self) -> int: ...  # noqa: D102 - a column's name
    @property
    def source(self) -> str: ...  # noqa: D102 - a column's name
    @property
    def day(self) -> date | None: ...  # noqa: D102 - a column's name
    @property
    def title(self) -> str: ...  # noqa: D102 - a column's name
    @property
    def text(self) -> str: ...  # noqa: D102 - a column's name
    @property
    def stars(self) -> int | None: ...  # noqa: D102 - a column's name
    @property
    def language(self) -> str: ...  # noqa: D102 - a column's name
    @property
    def author(self) -> str | None: ...  # noqa: D102 - a column's name
    @property
    def url(self) -> str | None: ...  # noqa: D102 - a column's name
    @property
    def span(self) -> tuple[int, int] | None: ...  # noqa: D102 - a column's name
    @property
    def uncertain(self) -> bool: ...  # noqa: D102 - a column's name


SaidT = TypeVar("SaidT", bound=Said)


def excerpt(text: str, span: tuple[int, int] | None = None, longest: int = LONGEST) -> Excerpt:
    """The part of a text worth showing: all of it, or whole sentences around ``span``.

    The result is a slice of ``text`` of at most ``longest`` characters, cut between sentences
    where that leaves enough, else between words, else (one endless word) between characters.
    """
    first, last = _trim(text, 0, len(text))
    if last - first <= longest:
        return Excerpt(text[first:last], before=False, after=False)
    start = _start(text, first, span, longest)
    end = last if last - start <= longest else _end(text, start, start + longest)
    start, end = _trim(text, start, end)
    return Excerpt(text[start:end], before=start > first, after=end < last)


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _start(text: str, first: int, span: tuple[int, int] | None, longest: int) -> int:
    if span is None or span[1] - first <= longest:
        return first
    sentences = [match.end() for match in _SENTENCE.finditer(text) if match.end() <= span[0]]
    start = sentences[-1] if sentences else first
    if span[0] - start < longest // 2:
        return start
    space = max(text.rfind(" ", start, span[0]), text.rfind("\n", start, span[0]))
    return space + 1 if space > start else _whole(text, span[0])


def _end(text: str, start: int, limit: int) -> int:
    middle = start + (limit - start) // 2
    sentences = [match.start() for match in _SENTENCE.finditer(text, start, limit)]
    if sentences and sentences[-1] >= middle:
        return sentences[-1]
    spaces = [match.start() for match in re.finditer(r"\s", text[start : limit + 1])]
    return start + spaces[-1] if spaces and spaces[-1] > 0 else _whole(text, limit)


def _whole(text: str, at: int) -> int:
    """The nearest earlier place that does not split one visible character."""
    while at > 0 and at < len(text) and (_clings(text[at]) or text[at - 1] == "\u200d"):
        at -= 1
    return at


def _clings(char: str) -> bool:
    return bool(unicodedata.combining(char)) or char in _JOINERS or ord(char) in _EMOJI_TONES


def best(listed: Sequence[SaidT], already: Sequence[Said]) -> SaidT | None:
    """The first of a list that nobody quoted so far stands for; None when there is none.

    Texts that are certain and neither too short nor too long come first. One person speaks once,
    and so does one text.
    """
    used = {mark for said in already for mark in _marks(said)}
    fresh = (said for said in listed if not used & set(_marks(said)))
    return min(fresh, key=_readiness, default=None)


def _marks(said: Said) -> tuple[object, ...]:
    words = joined_text(said.title, said.text).casefold()
    person = ("author", said.author) if said.author else ("id", said.feedback_id)
    return ("id", said.feedback_id), ("words", words), person


def _readiness(said: Said) -> tuple[bool, bool]:
    return said.uncertain, len(joined_text(said.title, said.text)) not in _READABLE


def voice(said: Said, role: Role, touchpoint: str | None, longest: int = LONGEST) -> Voice | None:
    """The quote of a feedback; None when it has no words or counts on no day."""
    text = joined_text(said.title, said.text)
    if not text or said.day is None:
        return None
    return Voice(
        role=role,
        feedback_id=said.feedback_id,
        excerpt=excerpt(text, said.span, longest),
        source=said.source,
        day=said.day,
        stars=said.stars,
        language=said.language,
        touchpoint=touchpoint,
        url=said.url,
    )
