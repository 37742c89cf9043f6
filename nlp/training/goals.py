"""``python -m ouvidor.nlp.training.goals --corpus DIR``: what the shipped weights reach.

Strangers' data that nothing was trained on (the ``dev`` parts of ``DIR/data/eval``) and our own
gold reviews, each figure beside the goal of this version. Prints Markdown.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...storage.vocabulary import Sentiment, Topic
from ..evaluate import macro_f1
from ..tagger import Tagger
from ..touchpoints import Named
from . import data, phrases

_UMSAB = ("ar", "en", "fr", "de", "hi", "it", "pt", "es")
_MARC = ("en", "de", "es", "fr")
_SURE = 0.8
_TOUCHPOINTS, _SENTENCES, _DRAWS = 8, 5, 12
_BINS = 10

_ABOUT: Mapping[str, Topic | None] = {
    "food": Topic.PRODUCT_QUALITY,
    "drinks": Topic.PRODUCT_QUALITY,
    "service": Topic.STAFF_SERVICE,
    "staff": Topic.STAFF_SERVICE,
    "ambience": Topic.PREMISES,
    "location": Topic.PREMISES,
    "cleanliness": Topic.PREMISES,
    "comfort": Topic.PREMISES,
    "amenities": Topic.PREMISES,
    "price": Topic.PRICE_VALUE,
    "value": Topic.PRICE_VALUE,
    "restaurant": Topic.BRAND_GENERAL,
    "anecdotes/miscellaneous": Topic.BRAND_GENERAL,
}
"""The categories of the sets with aspects, as our topics."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the tagger said of one row, beside the row."""

    row: Mapping[str, Any]
    p: Mapping[str, float]
    stars: float

    @property
    def sentiment(self) -> str:
        """The likeliest."""
        return max(self.p, key=lambda each: self.p[each])


def told(tagger: Tagger, rows: Sequence[Mapping[str, Any]]) -> list[Told]:
    """Each row with what the tagger says of its text alone."""
    asked = [{"id": str(n), "text": row["text"]} for n, row in enumerate(rows)]
    found = tagger.classify(asked)
    return [Told(row, each["p"], each["stars"]) for row, each in zip(rows, found, strict=True)]


def three(found: Sequence[Told]) -> float:
    """Macro-F1 over three classes."""
    pairs = [(each.row["sentiment"], each.sentiment) for each in found if each.row["sentiment"]]
    return macro_f1(pairs, Sentiment)


def two(found: Sequence[Told]) -> float:
    """Macro-F1 over praise and blame; neutral rows are left out and neutral is no answer."""
    pairs = [
        (
            each.row["sentiment"],
            "negative" if each.p["negative"] > each.p["positive"] else "positive",
        )
        for each in found
        if each.row["sentiment"] in {"negative", "positive"}
    ]
    return macro_f1(pairs, ("negative", "positive"))


def off(found: Sequence[Told]) -> list[int]:
    """How far the rounded stars are from the given ones."""
    return [abs(round(each.stars) - each.row["stars"]) for each in found if each.row["stars"]]


def ece(found: Sequence[Told]) -> float:
    """Expected calibration error of the likeliest sentiment over ten bins."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    known = [each for each in found if each.row["sentiment"]]
    for each in known:
        sure = each.p[each.sentiment]
        right = each.sentiment == each.row["sentiment"]
        bins[min(int(sure * _BINS), _BINS - 1)].append((sure, right))
    return sum(abs(sum(s - r for s, r in part)) for part in bins) / len(known)


def gain(found: Sequence[Told]) -> float:
    """Points of accuracy that the surest four in five have more than all."""
    known = [each for each in found if each.row["sentiment"]]
    known.sort(key=lambda each: -each.p[each.sentiment])
    surest = known[: int(_SURE * len(known))]

    def accuracy(part: Sequence[Told]) -> float:
        right: int = sum(each.sentiment == each.row["sentiment"] for each in part)
        return right / len(part)

    return 100 * (accuracy(surest) - accuracy(known))


def aspects(tagger: Tagger, rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, int]:
    """Share of known aspects whose sentiment is right: ours, the whole text's, and how many.

    An aspect that is a word of the text is looked for in its clause, a category in the clauses
    that speak most of its topic.
    """
    parts = tagger.parts([row["text"] for row in rows])
    wholes = told(tagger, rows)
    ours = theirs = n = 0
    for row, clauses, whole in zip(rows, parts, wholes, strict=True):
        for name, gold in _known_aspects(row):
            text = row["text"].casefold()
            at = text.find(name.casefold())
            topic = _ABOUT.get(name.partition("#")[0].lower())
            if topic is None and at < 0:
                continue
            weights = [
                part.topics[topic] ** 2 if topic else float(part.span[0] <= at < part.span[1])
                for part in clauses
            ]
            if not sum(weights):
                weights = [1.0] * len(clauses)
            scores = {
                each: sum(w * getattr(p.p, each) for w, p in zip(weights, clauses, strict=True))
                for each in Sentiment
            }
            n += 1
            ours += max(scores, key=lambda each: scores[each]) == gold
            theirs += whole.sentiment == gold
    return ours / n, theirs / n, n


def _known_aspects(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = row["extra"]["aspects"]
    signs = {1: "positive", 0: "neutral", -1: "negative"}
    for name, gold in found.items() if isinstance(found, dict) else found:
        label = signs.get(gold, gold)
        if label in set(Sentiment):
            yield name, label


def gold_topics(tagger: Tagger, lang: str) -> tuple[float, float]:
    """Micro-F1 of the topics, and of aspects: topic, sentiment and overlapping spans."""
    rows = phrases.gold(lang)
    asked = [{"id": str(n), "text": row["text"]} for n, row in enumerate(rows)]
    both = gold = said = both_aspects = gold_aspects = said_aspects = 0
    for row, found in zip(rows, tagger.classify(asked), strict=True):
        topics = {each["topic"] for each in found["topics"]}
        both += len(topics & set(row["topics"]))
        gold += len(row["topics"])
        said += len(topics)
        ours = [each for each in found["aspects"] if "topic" in each]
        gold_aspects += len(row["aspects"])
        said_aspects += len(ours)
        both_aspects += sum(any(_same(each, mine) for mine in ours) for each in row["aspects"])
    return 2 * both / (gold + said), 2 * both_aspects / (gold_aspects + said_aspects)


def _same(gold: phrases.Said, said: Mapping[str, Any]) -> bool:
    start, end = said["span"] or (0, 0)
    overlap = min(end, gold["span"][1]) - max(start, gold["span"][0])
    alike = said["topic"] == gold["topic"] and said["sentiment"] == gold["sentiment"]
    return alike and overlap > 0


def first_day(tagger: Tagger, rows: Sequence[Mapping[str, Any]]) -> float:
    """Micro-F1 of touchpoints known by a name and five sentences; half of the rows are none's.

    Twelve times eight of the set's labels are drawn; each row has one label in ``topics``.
    """
    labels = np.array([row["topics"][0] for row in rows])
    known = [label for label in sorted(set(labels)) if (labels == label).sum() >= 4 * _SENTENCES]
    features, _ = tagger.vectors([row["text"] for row in rows])
    both = gold = said = 0
    for seed in range(_DRAWS):
        rng = random.Random(seed)  # noqa: S311 - a repeatable draw, no secret
        chosen = rng.sample(known, min(_TOUCHPOINTS, len(known)))
        taught = {k: rng.sample(np.flatnonzero(labels == k).tolist(), _SENTENCES) for k in chosen}
        asked = set(range(len(rows))).difference(*taught.values())
        ours = [n for n in sorted(asked) if labels[n] in taught]
        others = [n for n in sorted(asked) if labels[n] not in taught]
        asked_rows = [*ours, *rng.sample(others, min(len(ours), len(others)))]
        journey = tagger.journey(
            Named(k, examples=[rows[n]["text"] for n in taught[k]], words=[k.replace("_", " ")])
            for k in chosen
        )
        texts = [rows[n]["text"] for n in asked_rows]
        found = journey.mentions(features[asked_rows], [{}] * len(asked_rows), texts)
        both += sum(labels[n] in each for n, each in zip(asked_rows, found, strict=True))
        gold += len(ours)
        said += sum(len(each) for each in found)
    return 2 * both / (gold + said)


def lines(tagger: Tagger, corpus: Path, most: int) -> Iterator[str]:
    """The table, line by line."""

    def dev(name: str, lang: str = "") -> list[dict[str, Any]]:
        rows = [r for r in data.read(corpus, name, "dev", "eval") if r["lang"].startswith(lang)]
        return data.draw(rows, most, lambda _row: 0)

    yield "| measure | reached | goal |"
    yield "|---|---|---|"
    repro = dev("repro")
    yield f"| RePro, ENTREGA as `delivery`, F1 | {_delivery(tagger, repro):.3f} | ≥ .85 |"
    yield f"| RePro, polarity, binary macro-F1 | {two(told(tagger, repro)):.3f} | ≥ .93 |"
    b2w = told(tagger, dev("b2w"))
    far = off(b2w)
    exact = sum(each == 0 for each in far) / len(far)
    yield (
        f"| B2W, 3-class macro-F1 / stars accuracy / MAE | {three(b2w):.3f} / {exact:.3f} / "
        f"{sum(far) / len(far):.3f} | ≥ .68 / .46 / ≤ .68 |"
    )
    tweets = {lang: told(tagger, dev("umsab", lang)) for lang in _UMSAB}
    mean = 100 * sum(three(each) for each in tweets.values()) / len(tweets)
    each = " ".join(f"{lang} {100 * three(found):.1f}" for lang, found in tweets.items())
    yield f"| UMSAB, mean macro-F1 ({each}) | {mean:.1f} | ≥ 58 |"
    shops = {lang: told(tagger, dev("marc", lang)) for lang in _MARC}
    maes = " ".join(f"{lang} {_mean(off(found)):.3f}" for lang, found in shops.items())
    yield f"| MARC, MAE | {maes} | ≤ .70 each |"
    trust = told(tagger, dev("trustpilot"))
    near = sum(each <= 1 for each in off(trust)) / len(off(trust))
    mae = _mean(off(trust))
    yield f"| Trustpilot, MAE / within one | {mae:.3f} / {near:.3f} | ≤ .62 / ≥ .864 |"
    for name in ("semeval_rest", "absita18", "absapt"):
        ours, whole, n = aspects(tagger, dev(name))
        yield (
            f"| aspect polarity given the aspect, {name} ({n}), beside the whole text's | "
            f"{100 * ours:.1f} / {100 * whole:.1f} | ≥ 10 points above |"
        )
    reviews = {"pt (b2w)": b2w} | {f"{lang} (marc)": found for lang, found in shops.items()}
    yield f"| ECE | {_each(reviews, ece, '.3f')} | ≤ .05 each |"
    surest = _each(reviews, gain, "+.1f")
    yield f"| accuracy of the 80 % surest, points above all | {surest} | ≥ +5 |"
    for name in ("banking77", "clinc150"):
        asked = data.draw(data.read(corpus, name), 4 * most, lambda _row: 0)
        reached = first_day(tagger, [row for row in asked if row["topics"]])
        yield f"| touchpoints known by a name and five sentences, {name}: F1 | {reached:.3f} | – |"
    for lang in phrases.GOLD_LANGUAGES:
        topics, spans = gold_topics(tagger, lang)
        name = f"own gold, {lang}: topics micro-F1 / aspects F1"
        yield f"| {name} | {topics:.3f} / {spans:.3f} | ≥ .85 / ≥ .75 |"


def _each(found: Mapping[str, Sequence[Told]], measure: Any, form: str) -> str:
    return " ".join(f"{name} {measure(rows):{form}}" for name, rows in found.items())


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def _delivery(tagger: Tagger, rows: Sequence[Mapping[str, Any]]) -> float:
    asked = [{"id": str(n), "text": row["text"]} for n, row in enumerate(rows)]
    pairs = [
        ("ENTREGA" in (row["topics"] or []), any(t["topic"] == "delivery" for t in found["topics"]))
        for row, found in zip(rows, tagger.classify(asked), strict=True)
    ]
    both = sum(gold and said for gold, said in pairs)
    return 2 * both / (sum(gold for gold, _ in pairs) + sum(said for _, said in pairs))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m ouvidor.nlp.training.goals")
    parser.add_argument("--corpus", type=Path, required=True, help="the folder with data/eval")
    parser.add_argument("--rows", type=int, default=1000, help="rows of a set and language at most")
    parser.add_argument("--model", type=Path, default=None, help="default: the shipped heads")
    options = parser.parse_args(arguments)
    chosen = {} if options.model is None else {"model": options.model}
    for line in lines(Tagger(**chosen), options.corpus, options.rows):
        print(line, flush=True)  # noqa: T201 - printing is what this command is for


if __name__ == "__main__":
    main()
