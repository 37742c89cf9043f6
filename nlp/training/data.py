"""What the heads learn from: openly licensed sets, chosen and balanced row by row.

``SETS`` is the whole list; share-alike sets and everything that is not open stay out. Rows are
picked by a seeded draw, evenly over languages and labels, so that a run can be repeated.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...storage.vocabulary import Sentiment

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

Raw = dict[str, Any]

LONGEST = 800
"""Characters; longer rows cost training time and teach nothing more."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text with its sentiment, and its stars where the set has them."""

    text: str
    language: str
    source: str
    sentiment: Sentiment
    stars: int | None
    weight: float


@dataclass(frozen=True, slots=True)
class Set:
    """One open set: how many rows, evenly over what, and what its neutral is worth.

    ``neutral`` 0 leaves neutral rows out: there the word means "no emotion" or "other".
    """

    name: str
    rows: int
    by: Callable[[Raw], Hashable]
    neutral: float = 1.0
    languages: frozenset[str] | None = None
    only: Callable[[Raw], bool] = lambda _raw: True


def _by_stars(raw: Raw) -> Hashable:
    return (raw["lang"], raw["stars"]) if raw["stars"] else None


def _by_sentiment(raw: Raw) -> Hashable:
    return (raw["lang"], raw["sentiment"]) if raw["sentiment"] else None


_WESTERN = frozenset({"pt-BR", "pt-PT", "pt-MZ", "es", "en", "fr", "de", "it"})
_POSTED = _WESTERN | {"hi", "ary", "arq"}

SETS = (
    Set("minibar", 4200, _by_stars),
    Set("nhs_feedback", 1500, _by_sentiment, only=lambda raw: raw["source"] == "nhs_v6"),
    Set("nhs_feedback", 900, _by_sentiment, 0, only=lambda raw: raw["source"] != "nhs_v6"),
    Set("womens_clothing", 1500, _by_stars),
    Set("amazon_fine_food_sample", 1700, _by_stars),
    Set("nsmc_stars", 1000, _by_stars),
    Set("prdect_id", 1200, _by_stars),
    Set("indonlu", 900, _by_sentiment),
    Set("liu_products", 1400, _by_sentiment),
    Set("xed_core", 3600, _by_sentiment, 0, _WESTERN),
    Set("brighter", 4200, _by_sentiment, 0.3, _POSTED),
    Set("afrisenti", 3000, _by_sentiment, languages=frozenset({"pt-MZ", "ary", "arq"})),
    Set("goemotions", 900, _by_sentiment, 0.3),
    Set("wisesight", 300, _by_sentiment, 0.5),
)


def opinions(corpus: Path, part: str = "train", share: int = 1) -> list[Row]:
    """All rows of a part, set by set; one in ``share`` of what training takes."""
    return [row for each in SETS for row in _opinions_of(corpus, each, part, share)]


def _opinions_of(corpus: Path, chosen: Set, part: str, share: int) -> Iterator[Row]:
    rows = [
        raw
        for raw in read(corpus, chosen.name, part)
        if chosen.only(raw)
        and (chosen.languages is None or raw["lang"] in chosen.languages)
        and (chosen.neutral or raw["sentiment"] != Sentiment.NEUTRAL)
    ]
    for raw in draw(rows, chosen.rows // share, chosen.by):
        sentiment = Sentiment(raw["sentiment"])
        weight = chosen.neutral if sentiment is Sentiment.NEUTRAL else 1.0
        yield Row(
            text=raw["text"],
            language=raw["lang"].partition("-")[0],
            source=chosen.name,
            sentiment=sentiment,
            stars=raw["stars"],
            weight=weight,
        )


def read(corpus: Path, name: str, part: str = "train", kind: str = "open") -> list[Raw]:
    """The rows of ``DIR/data/KIND/NAME/PART.jsonl.gz`` that are not overlong."""
    path = corpus / "data" / kind / name / f"{part}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row for row in rows if len(row["text"].strip()) > 0 and len(row["text"]) <= LONGEST]


def draw(rows: Sequence[Raw], count: int, by: Callable[[Raw], Hashable]) -> list[Raw]:
    """``count`` rows, as evenly over the groups as they allow; rows of group None stay out."""
    groups: dict[Hashable, list[Raw]] = defaultdict(list)
    for row in rows:
        if (group := by(row)) is not None:
            groups[group].append(row)
    rng = random.Random(count)  # noqa: S311 - a repeatable draw, no secret
    chosen: list[Raw] = []
    for done, group in enumerate(sorted(groups, key=lambda g: (len(groups[g]), str(g)))):
        share = (count - len(chosen)) // (len(groups) - done)
        rng.shuffle(groups[group])
        chosen += groups[group][:share]
    return chosen
