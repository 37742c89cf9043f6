"""Emerging themes: phrases of this month that the past did not have, grouped by meaning. Pure.

A phrase is one to three neighbouring words. It emerges when clearly more people use it now than
before (log-odds of the shares of texts, compared within one language) and several do. Phrases that
stand in the same texts, or mean the same to the encoder, are one theme, in whatever language.
Writing without blanks between words (Chinese, Japanese, Thai) has no phrases here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..storage.studies import Theme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ..storage.studies import Told

    Embed = Callable[[Sequence[str]], NDArray[np.float32]]

MOST = 5
"""Themes of one week."""

FEWEST = 4
"""People who must use a phrase before it is a theme."""

_CLEAR = 3.0  # log-odds in standard errors; thousands of phrases are looked at
_TIMES = 3.0  # by how much the share of texts must have grown
_CANDIDATES = 80
_COMMON = 0.1  # a word in more of the past's texts than this begins and ends no phrase
_SHORTEST = 4
_SAME_TEXTS = 0.5
_SAME_MEANING = 0.55
_SPARE = 12  # quotes that are kept, in case some are erased
_WORDS = 3
_READABLE = range(25, 500)
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_MASK = re.compile(r"\[\w+:[0-9a-f]+\]|https?://\S+|www\.\S+")


@dataclass(slots=True)
class _Month:
    """Who used which phrase in one language: numbers of texts by phrase, and how many there are."""

    texts: list[Told] = field(default_factory=list)
    uses: dict[str, set[int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class _Phrase:
    words: str
    language: str
    z: float


def emerging(now: Sequence[Told], before: Sequence[Told], embed: Embed) -> list[Theme]:
    """The themes of ``now`` that ``before`` did not have, the clearest first.

    ``embed`` gives a vector of length 1 per phrase, near for the same meaning.
    """
    months, pasts = _by_language(now), _by_language(before)
    found = [
        phrase
        for language, month in months.items()
        if language in pasts
        for phrase in _grown(language, month, pasts[language])
    ]
    found.sort(key=lambda phrase: (-phrase.z, phrase.words))
    groups = _grouped(found[:_CANDIDATES], months, embed)
    themes = [made for group in groups if (made := _theme(group, months, pasts))]
    return sorted(themes, key=lambda each: (-each.now / each.now_of, each.phrase))[:MOST]


def _by_language(told: Iterable[Told]) -> dict[str, _Month]:
    """One text a person and one person a text: who writes five times is one voice."""
    months: dict[str, _Month] = {}
    seen: set[object] = set()
    for each in told:
        marks = {(each.language, each.author or each.feedback_id), each.text.casefold()}
        if not marks & seen:
            months.setdefault(each.language.split("-")[0], _Month()).texts.append(each)
        seen |= marks
    for month in months.values():
        for number, each in enumerate(month.texts):
            for phrase in set(_phrases(each.text)):
                month.uses.setdefault(phrase, set()).add(number)
    return months


def _phrases(text: str) -> Iterator[str]:
    text = _MASK.sub(" . ", text.casefold())
    run: list[str] = []
    end = -2
    for word in _WORD.finditer(text):
        run = [*run[-_WORDS + 1 :], word[0]] if text[end : word.start()] == " " else [word[0]]
        end = word.end()
        for first in range(len(run)):
            yield " ".join(run[first:])


def _grown(language: str, month: _Month, past: _Month) -> Iterator[_Phrase]:
    for words, users in month.uses.items():
        if len(users) < FEWEST:
            continue
        parts = words.split()
        if not all(_telling(part, past) for part in (parts[0], parts[-1])):
            continue
        z = _growth(len(users), month.size, len(past.uses.get(words, ())), past.size)
        if z >= _CLEAR:
            yield _Phrase(words, language, z)


def _telling(word: str, past: _Month) -> bool:
    return len(word) >= _SHORTEST and len(past.uses.get(word, ())) <= _COMMON * past.size


def _growth(now: int, now_of: int, before: int, before_of: int) -> float:
    """How many standard errors the log-odds have risen; 0 for less than ``_TIMES`` as many."""
    if now * (before_of + 1) < _TIMES * (before + 0.5) * now_of:
        return 0.0
    odds = math.log((now + 0.5) / (now_of - now + 0.5))
    odds -= math.log((before + 0.5) / (before_of - before + 0.5))
    return odds / math.sqrt(1 / (now + 0.5) + 1 / (before + 0.5))


def _grouped(
    found: Sequence[_Phrase], months: Mapping[str, _Month], embed: Embed
) -> list[list[_Phrase]]:
    """Phrases that share their texts or their meaning with the head of a group join it."""
    if not found:
        return []
    vectors = embed([phrase.words for phrase in found])
    groups: list[list[int]] = []
    for at, phrase in enumerate(found):
        for group in groups:
            head = found[group[0]]
            near = float(vectors[at] @ vectors[group[0]]) >= _SAME_MEANING
            if near or _overlap(phrase, head, months) >= _SAME_TEXTS:
                group.append(at)
                break
        else:
            groups.append([at])
    return [[found[at] for at in group] for group in groups]


def _overlap(one: _Phrase, two: _Phrase, months: Mapping[str, _Month]) -> float:
    if one.language != two.language:
        return 0.0
    uses = months[one.language].uses
    return len(uses[one.words] & uses[two.words]) / min(len(uses[one.words]), len(uses[two.words]))


def _theme(
    group: Sequence[_Phrase], months: Mapping[str, _Month], pasts: Mapping[str, _Month]
) -> Theme | None:
    languages = sorted({phrase.language for phrase in group})
    told = [
        months[language].texts[number]
        for language in languages
        for number in sorted(_users(months[language], group, language))
    ]
    before = sum(len(_users(pasts[language], group, language)) for language in languages)
    now_of = sum(months[language].size for language in languages)
    before_of = sum(pasts[language].size for language in languages)
    if _growth(len(told), now_of, before, before_of) < _CLEAR:
        return None
    ranked = sorted(group, key=lambda phrase: -_worth(phrase, months[phrase.language]))
    touchpoints = Counter(touchpoint for each in told for touchpoint in each.touchpoints)
    touchpoint, count = max(touchpoints.items(), key=lambda pair: pair[1], default=("", 0))
    return Theme(
        phrase=ranked[0].words,
        phrases=tuple(dict.fromkeys(phrase.words for phrase in ranked)),
        touchpoint=touchpoint if count and 2 * count >= len(told) else None,
        sources=tuple(sorted({each.source for each in told})),
        now=len(told),
        now_of=now_of,
        before=before,
        before_of=before_of,
        negatives=sum(each.negative for each in told),
        quotes=tuple(_quotes(told, ranked[0].words)),
    )


def _users(month: _Month, group: Sequence[_Phrase], language: str) -> set[int]:
    uses = [month.uses.get(phrase.words, set()) for phrase in group if phrase.language == language]
    return set[int]().union(*uses)


def _worth(phrase: _Phrase, month: _Month) -> float:
    """A phrase names its theme when many use it and it says more than one word."""
    return len(month.uses[phrase.words]) * (1 + 0.5 * phrase.words.count(" "))


def _quotes(told: Sequence[Told], phrase: str) -> list[int]:
    """Ids, the readable ones that hold the phrase itself first, the latest first."""

    def rank(each: Told) -> tuple[bool, bool, int]:
        return (
            phrase not in each.text.casefold(),
            len(each.text) not in _READABLE,
            -each.feedback_id,
        )

    return [each.feedback_id for each in sorted(told, key=rank)[:_SPARE]]
