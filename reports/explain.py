"""What carries an excess of negatives: sources, versions, stars, words, and three voices. Pure.

Nothing here knows a language: a word is common or rare by the number of texts it stands in.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..storage.vocabulary import Distribution, Sentiment, joined_text
from .voices import Role, Said, Voice, voice

STARS = "stars"
SOURCE = "source"

_LEAST_PART = 2.0  # an excess of fewer items carries nothing
_LEAST_SHARE = 0.25
_USUAL = 0.75
_PARTS = 4
_TERMS = 6
_PRIOR_MOST, _PRIOR_PART = 500.0, 0.3  # the corpus weighs this part of itself, in words
_SURE = 1.64  # the 95 % point of the normal law
_COMMON = 0.3  # a word in more of the other texts than this says nothing
_FEWEST_TEXTS = 2
_PART_OF_WINDOW = 0.12
_TOGETHER = 0.75  # a pair of words that usually stand together is one term
_SAME_TEXTS, _ENOUGH = 0.9, 2
_DIFFERENT = 0.6  # how much likeness to a voice already chosen costs
_READABLE = range(25, 700)
_WORD = re.compile(r"[^\W_]{3,}")
_MASK = re.compile(r"\[\w+:[0-9a-f]+\]")


class Heard(Said, Protocol):
    """A stored feedback with its judgement; ``storage.series.Quote`` is one."""

    @property
    def attributes(self) -> Mapping[str, str]: ...  # noqa: D102 - a column's name
    @property
    def sentiment(self) -> Sentiment: ...  # noqa: D102 - a column's name
    @property
    def p(self) -> Distribution: ...  # noqa: D102 - a column's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One value of one dimension (``source``, ``stars``, an attribute) and its share of the excess.

    ``expected`` is what the value brought before, on the scale of the whole expectation.
    """

    dimension: str
    value: str
    observed: int
    expected: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A word or pair of words that negatives use now more than before, in how many texts."""

    text: str
    now: int
    now_of: int
    before: int
    before_of: int
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What carries an excess: the strongest parts and terms first."""

    parts: tuple[Part, ...]
    terms: tuple[Term, ...]
    voices: tuple[Voice, ...]


def explain(now: Sequence[Heard], before: Sequence[Heard], *, expected: float) -> Explanation:
    """Compare the feedback of a spike's days with that of the weeks before.

    ``expected`` is the number of negatives the days should have brought.
    """
    negative = [said for said in now if said.sentiment is Sentiment.NEGATIVE]
    earlier = [said for said in before if said.sentiment is Sentiment.NEGATIVE]
    others = [said for said in (*now, *before) if said.sentiment is not Sentiment.NEGATIVE]
    found = terms(negative, earlier, others)
    return Explanation(
        parts=tuple(parts(negative, earlier, expected=expected)),
        terms=tuple(found),
        voices=tuple(speakers(negative, [term.text for term in found])),
    )


def parts(now: Sequence[Heard], before: Sequence[Heard], *, expected: float) -> list[Part]:
    """The values that carry a good part of the excess, the strongest of each dimension first."""
    excess = len(now) - expected
    if excess <= 0:
        return []
    found = [
        part
        for dimension in _dimensions(now)
        for part in _values(dimension, now, before, expected, excess)
    ]
    # A value that nearly everything had before tells nothing apart.
    telling = [part for part in found if part.expected < _USUAL * expected]
    return sorted(telling, key=lambda part: (-part.share, part.dimension, part.value))[:_PARTS]


def _dimensions(now: Iterable[Heard]) -> list[str]:
    return [SOURCE, STARS, *sorted({key for said in now for key in said.attributes})]


def _value(said: Heard, dimension: str) -> str | None:
    if dimension == SOURCE:
        return said.source
    if dimension == STARS:
        return None if said.stars is None else str(said.stars)
    return said.attributes.get(dimension)


def _values(
    dimension: str, now: Sequence[Heard], before: Sequence[Heard], expected: float, excess: float
) -> Iterator[Part]:
    came = Counter(value for said in now if (value := _value(said, dimension)))
    usual = Counter(value for said in before if (value := _value(said, dimension)))
    for value, observed in came.items():
        # Half a text of doubt, so that a new value is not infinitely new.
        part = expected * (usual[value] + 0.5) / (len(before) + 1)
        share = (observed - part) / excess
        if observed - part >= _LEAST_PART and share >= _LEAST_SHARE:
            yield Part(
                dimension=dimension,
                value=value,
                observed=observed,
                expected=round(part, 1),
                share=round(min(share, 1.0), 2),
            )


def terms(
    now: Sequence[Heard], before: Sequence[Heard], others: Sequence[Heard] = ()
) -> list[Term]:
    """Words and pairs that the negatives of now use more than those before.

    Weighted log-odds with an informative Dirichlet prior over document counts: ``others`` (what
    was not negative) tell how common a word is. Languages are compared with themselves: only
    the language most negatives of now are written in is looked at.
    """
    language = _main_language(now)
    y, z, background = (
        _documents(said for said in group if said.language == language)
        for group in (now, before, others)
    )
    counts, old = Counter[str](), Counter[str]()
    for document in y:
        counts.update(document)
    for document in z:
        old.update(document)
    corpus = counts + old + Counter(term for document in background for term in document)
    elsewhere = Counter(term for document in (*z, *background) for term in document)
    least = max(_FEWEST_TEXTS, math.ceil(_PART_OF_WINDOW * len(y)))
    common = _COMMON * (len(z) + len(background))
    candidates = [
        Term(
            text=term,
            now=count,
            now_of=len(y),
            before=old[term],
            before_of=len(z),
            z=round(score, 2),
        )
        for term, count in counts.items()
        if count >= least
        and elsewhere[term] <= max(common, 1)
        and (score := _log_odds(term, counts, old, corpus)) >= _SURE
    ]
    ranked = sorted(candidates, key=lambda term: (-term.z, -term.now, term.text))
    return _told_apart(_without_repeats(ranked), y)[:_TERMS]


def _main_language(now: Iterable[Heard]) -> str | None:
    languages = Counter(said.language for said in now)
    return languages.most_common(1)[0][0] if languages else None


def _documents(group: Iterable[Heard]) -> list[frozenset[str]]:
    return [frozenset(_terms_of(said)) for said in group]


def _terms_of(said: Said) -> Iterator[str]:
    text = _MASK.sub(" . ", joined_text(said.title, said.text).casefold())
    previous: re.Match[str] | None = None
    for word in _WORD.finditer(text):
        yield word.group()
        if previous and text[previous.end() : word.start()] == " ":
            yield f"{previous.group()} {word.group()}"
        previous = word


def _log_odds(term: str, now: Counter[str], old: Counter[str], corpus: Counter[str]) -> float:
    weight = min(_PRIOR_MOST, _PRIOR_PART * corpus.total())
    prior = weight * corpus[term] / corpus.total()
    y, z = now[term] + prior, old[term] + prior
    rest_y = now.total() + weight - y
    rest_z = old.total() + weight - z
    if rest_y <= 0 or rest_z <= 0:
        return 0.0
    return (math.log(y / rest_y) - math.log(z / rest_z)) / math.sqrt(1 / y + 1 / z)


def _without_repeats(ranked: Sequence[Term]) -> list[Term]:
    """A word goes where a pair that holds it is told nearly as often, and the other way round."""
    pairs = [term for term in ranked if " " in term.text]
    singles = {term.text: term for term in ranked if " " not in term.text}
    kept: list[Term] = []
    for term in ranked:
        if " " in term.text:
            halves = [singles[half] for half in term.text.split() if half in singles]
            keep = all(term.now >= _TOGETHER * half.now for half in halves)
        else:
            keep = not any(
                term.text in pair.text.split()
                and pair.now >= _TOGETHER * term.now
                and all(
                    pair.now >= _TOGETHER * singles[half].now
                    for half in pair.text.split()
                    if half in singles
                )
                for pair in pairs
            )
        if keep:
            kept.append(term)
    return kept


def _told_apart(ranked: Sequence[Term], documents: Sequence[frozenset[str]]) -> list[Term]:
    """Two terms are enough for what the same texts say."""
    kept: list[tuple[Term, set[int]]] = []
    for term in ranked:
        places = {place for place, words in enumerate(documents) if term.text in words}
        same = sum(len(places & old) >= _SAME_TEXTS * len(places | old) for _, old in kept)
        if same < _ENOUGH:
            kept.append((term, places))
    return [term for term, _ in kept]


def speakers(
    negative: Sequence[Heard], found: Collection[str], *, count: int = 3
) -> Iterator[Voice]:
    """Voices that are typical of the excess and unlike each other; one person speaks once."""
    left = [said for said in negative if joined_text(said.title, said.text)]
    words = {said.feedback_id: frozenset(_terms_of(said)) for said in left}
    chosen: list[Heard] = []
    while left and len(chosen) < count:
        best = max(left, key=lambda said: (_worth(said, words, found, chosen), -said.feedback_id))
        chosen.append(best)
        left = [said for said in left if not _same(said, best, words)]
        if told := voice(best, Role.WORST if not found else Role.TYPICAL, None):
            yield told


def _worth(
    said: Heard,
    words: Mapping[int, frozenset[str]],
    found: Collection[str],
    chosen: Sequence[Heard],
) -> float:
    own = words[said.feedback_id]
    typical = sum(term in own for term in found) / max(len(found), 1)
    readable = len(joined_text(said.title, said.text)) in _READABLE
    likeness = max((_likeness(own, words[other.feedback_id]) for other in chosen), default=0.0)
    worth = typical + said.p.negative / 2 + 0.5 * readable - 0.3 * said.uncertain
    return worth - _DIFFERENT * likeness


def _likeness(one: frozenset[str], two: frozenset[str]) -> float:
    return len(one & two) / max(len(one | two), 1)


def _same(said: Heard, chosen: Heard, words: Mapping[int, frozenset[str]]) -> bool:
    """The same person, or the same text again."""
    person = said.author is not None and said.author == chosen.author
    text = words[said.feedback_id] == words[chosen.feedback_id]
    return said.feedback_id == chosen.feedback_id or person or text
