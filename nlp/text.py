"""Text on its way to the tagger: cleaning that can be undone, clauses, windows. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Span = tuple[int, int]
"""A half-open range of characters."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNWANTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MARKUP = re.compile(
    r"</?(?:s|pad|unk|mask|br|hr|p|b|i|u|a|em|strong|small|span|div|ul|ol|li|h[1-6])\s*/?>",
    re.IGNORECASE,
)
"""Tags as some sources leave them in texts, and what an encoder calls its special tokens."""
_WORD = re.compile(r"[^\W_]+")
_LEAST_WORDS = 2

# Words that turn an opinion around. Those that are another common word in a neighbouring language
# (French "mais" is Portuguese for "more") count only behind a comma.
_CONTRAST = (
    r"(?:mas|por[ée]m|s[óo] que|contudo|todavia|entretanto|no entanto|apesar d[eaoi]\w*"
    r"|(?<!anything\s)(?<!nothing\s)but|however|although|though"
    r"|pero|sin embargo|aunque"
    r"|cependant|toutefois|par contre|en revanche"
    r"|aber|jedoch|allerdings"
    r"|per[òo]|tuttavia)"
)
_AFTER_COMMA = r"(?:mais|ma|embora|doch|yet)"
# The pattern below is verbose, where a plain blank says nothing.
_CONTRAST = _CONTRAST.replace(" ", r"\s")
_BREAK = re.compile(
    rf"""(?P<hard>[.!?…]+(?=\s|$)|[;\n。！？؟।]+|(?:[!?…]|\.\.)+(?=[^\W\d])
           |(?-i:(?<=[a-zß-ÿ]{{3}})\.(?=[A-ZÀ-Þ])))
       | (?P<contrast>(?:,\s*)?(?<!\w){_CONTRAST}(?!\w)|,\s+{_AFTER_COMMA}(?!\w))
       | (?P<comma>,(?=\s|[^\W\d])|[،、，]|\s[-–—](?=\s))""",
    re.VERBOSE | re.IGNORECASE,
)
_EDGES = " \t\r\n.,;:!?…-–—()[]\"'«»“”‘’*•"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text in NFC without control characters and markup, and where its characters came from.

    ``origins`` holds one span of the original per character; None means that nothing moved.
    """

    text: str
    origins: tuple[Span, ...] | None = None

    def original(self, span: Span) -> Span:
        """The span of the original text behind a non-empty span of ``text``."""
        start, end = span
        if self.origins is None:
            return span
        return self.origins[start][0], self.origins[end - 1][1]


def clean(text: str) -> Cleaned:
    """NFC; control characters and markup become blanks, surrogates U+FFFD; offsets are kept."""
    text = _UNWANTED.sub(lambda found: " " if found[0] < "\ud800" else _REPLACEMENT, text)
    text = _MARKUP.sub(lambda found: " " * len(found[0]), text)
    if unicodedata.is_normalized("NFC", text):
        return Cleaned(text)
    parts: list[str] = []
    origins: list[Span] = []
    for start, end in clusters(text):
        part = unicodedata.normalize("NFC", text[start:end])
        parts.append(part)
        origins += [(start, end)] * len(part)
    return Cleaned("".join(parts), tuple(origins))


def clusters(text: str) -> Iterator[Span]:
    """Runs of characters that NFC may join into one: a base and what attaches to it."""
    start = 0
    for at in range(1, len(text)):
        if not _attaches(text[start:at], text[at]):
            yield start, at
            start = at
    if text:
        yield start, len(text)


def _attaches(cluster: str, char: str) -> bool:
    if char.isascii():
        return False
    if unicodedata.combining(char):
        return True
    composed = unicodedata.normalize("NFC", cluster)
    return unicodedata.normalize("NFC", composed[-1] + char) != composed[-1] + char


def clauses(text: str) -> list[Span]:
    """Where each clause of the text lies, in order, without blanks and marks at its edges.

    Sentences end clauses, also where the blank behind them was forgotten; contrast words begin
    them ("mas", "but", "pero"), commas part them when both sides have two words. Text without a
    word (emoji) is one clause; blank text has none.
    """
    spans: list[Span] = []
    counts: list[int] = []
    glued = False
    for span, hard in _pieces(text):
        words = len(_WORD.findall(text, *span))
        least = _LEAST_WORDS if glued else 1
        if spans and (words < least or counts[-1] < least):
            spans[-1] = spans[-1][0], span[1]
            counts[-1] += words
        else:
            spans.append(span)
            counts.append(words)
        glued = not hard
    return [kept for span in spans if (kept := _trim(text, span)) is not None]


def _pieces(text: str) -> Iterator[tuple[Span, bool]]:
    """(span, whether what follows is a clause of its own however short)."""
    start = 0
    for found in _BREAK.finditer(text):
        if found.lastgroup == "contrast":
            if text[start : found.start()].strip(_EDGES):
                yield (start, found.start()), True
                start = found.start()
            continue
        yield (start, found.end()), found.lastgroup == "hard"
        start = found.end()
    yield (start, len(text)), True


def _trim(text: str, span: Span) -> Span | None:
    """The span without marks at its edges, or without blanks where it is nothing but marks."""
    start, end = span
    part = text[start:end]
    marks = _EDGES if part.strip(_EDGES) else None
    end -= len(part) - len(part.rstrip(marks))
    start += len(part) - len(part.lstrip(marks))
    return (start, end) if start < end else None


def windows(length: int, starts: Sequence[int], size: int) -> list[Span]:
    """Cut ``length`` tokens into runs of at most ``size``, together all of them.

    A run ends before a token of ``starts`` (rising; where clauses begin) when there is one in its
    second half, so that a clause is rarely torn.
    """
    runs: list[Span] = []
    at = 0
    while length - at > size:
        best = bisect_right(starts, at + size) - 1
        cut = starts[best] if best >= 0 and starts[best] > at + size // 2 else at + size
        runs.append((at, cut))
        at = cut
    return [*runs, (at, length)] if length > at else runs
