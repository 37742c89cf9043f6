"""Text → tokens of the encoder's vocabulary, word by word; a word is read once and remembered.

The same tokens as the wheel gives and as ``tokenizers`` with ``tokenizer.json`` (proven by tests).
That library takes 280 MB and a second to load 250,000 pieces; this takes 50 MB and a third of one.
Words never depend on their neighbours: the vocabulary has no piece that reaches over a blank.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from typing import TYPE_CHECKING

from .text import clusters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .wheel import Archive

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")

DROPPED = r"[\x01-\x08\x0B\x0E-\x1F\x7F\x8F\x9F]"
BLANKS = r"[\t\n\f\r\u1680\u200B-\u200F\u2028\u2029\u2581\uFEFF\uFFFD]"
"""What SentencePiece's rule nmt_nfkc drops, and what it takes for a blank."""

TYPED = "<(?=(?:/?s|pad|unk|mask)>)"
"""Where something that looks like a special token is cut: a person's "<s>" stays text."""

_DROPPED = re.compile(DROPPED)
_WORD = re.compile(rf"[^\s{BLANKS[1:-1]}]+")
_TYPED = re.compile(rf"(?<=<){TYPED[1:]}")
_START = "\N{LOWER ONE EIGHTH BLOCK}"
_UNKNOWN = SPECIAL.index("<unk>")
_UNKNOWN_PENALTY = 10.0
_REMEMBERED = 20_000

Token = tuple[int, int]
"""(id, index of the character with which it starts)."""

Part = tuple[int, str]


class Tokenizer:
    """Unigram segmentation: the pieces of a word whose scores add up to the most."""

    def __init__(self, archive: Archive) -> None:
        pieces = archive.pieces()
        self._ids = {piece: number for number, (piece, _) in enumerate(pieces)}
        self._scores = [score for _, score in pieces]
        self._longest = max(map(len, self._ids))
        # Names of special tokens are no pieces that a text could hold.
        for name in SPECIAL:
            del self._ids[name]
        self._unknown = min(self._scores) - _UNKNOWN_PENALTY
        self._word = functools.lru_cache(_REMEMBERED)(self._read)

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a cleaned text, in order."""
        return [
            (number, found.start() + at)
            for found in _WORD.finditer(text)
            for number, at in self._word(found[0])
        ]

    def _read(self, word: str) -> tuple[Token, ...]:
        plain, origins = _normalised(word)
        return tuple(
            (number, origins[start + at])
            for start, part in _parts(plain)
            for number, at in self._segmented(part)
        )

    def _segmented(self, part: str) -> Iterator[Token]:
        """Tokens of one part that starts with the mark of a word or goes on within one."""
        shift = part.startswith(_START)
        last = None
        for number, start in self._best(part):
            # Characters without a piece, one behind the other, are one token.
            if number != _UNKNOWN or last != _UNKNOWN:
                yield number, max(start - shift, 0)
            last = number

    def _best(self, part: str) -> list[Token]:
        length = len(part)
        totals = [0.0] + [-math.inf] * length
        tokens: list[Token] = [(_UNKNOWN, 0)] * (length + 1)
        for start in range(length):
            total = totals[start]
            alone = self._ids.get(part[start], _UNKNOWN)
            score = total + (self._unknown if alone == _UNKNOWN else self._scores[alone])
            if score > totals[start + 1]:
                totals[start + 1], tokens[start + 1] = score, (alone, start)
            for end in range(start + 2, min(length, start + self._longest) + 1):
                number = self._ids.get(part[start:end])
                if number is not None and total + self._scores[number] > totals[end]:
                    totals[end], tokens[end] = total + self._scores[number], (number, start)
        chosen = []
        while length:
            chosen.append(tokens[length])
            length = tokens[length][1]
        return chosen[::-1]


def _normalised(word: str) -> tuple[str, range | list[int]]:
    """(NFKC of a word, where each of its characters came from)."""
    if word.isascii() and not _DROPPED.search(word):
        return word, range(len(word))
    plain, origins = "", []
    for start, end in clusters(word):
        part = unicodedata.normalize("NFKC", _DROPPED.sub("", word[start:end]))
        plain += part
        origins += [start] * len(part)
    return plain, origins


def _parts(plain: str) -> Iterator[Part]:
    """(where it starts, part) of what is segmented on its own."""
    for found in re.finditer(r"\S+", plain):
        start, rest = found.start(), found[0]
        mark = _START
        for cut in [*(each.start() for each in _TYPED.finditer(rest)), len(rest)]:
            begin = start - found.start()
            yield start, mark + rest[begin:cut]
            start, mark = found.start() + cut, ""
