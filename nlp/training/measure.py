"""``python -m ouvidor.nlp.training.measure --corpus DIR``: the table of the model card.

Reads the ``dev`` parts of ``DIR/data/eval``, which nothing was trained on, and our own gold
reviews. Prints Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...storage.vocabulary import Sentiment
from ..evaluate import evaluate
from ..tagger import Tagger
from . import data, phrases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..evaluate import Evaluation

ROWS = 400

SETS = (
    ("b2w", ("pt",)),
    ("repro", ("pt",)),
    ("nubank_app", ("pt",)),
    ("umsab", ("pt", "es", "en", "fr", "de", "it")),
    ("marc", ("en", "es", "de", "fr")),
    ("trustpilot", ("en", "fr", "nl")),
)

REPRO_TOPICS = {
    "ENTREGA": "delivery",
    "PRODUTO": "product_quality",
    "CONDICOESDERECEBIMENTO": "packaging_condition",
    "ANUNCIO": "as_described",
}


@dataclass(frozen=True, slots=True)
class Scores:
    """One line of the table; None where the set lacks the label."""

    rows: int
    three: float | None
    two: float | None
    ece: float
    within_one: float | None
    mae: float | None
    uncertain: float


def measure(tagger: Tagger, rows: Sequence[dict[str, Any]]) -> Scores:
    """Sentiment in three classes and in two (neutral left out), calibration, stars."""
    found: Evaluation = evaluate(({**row, "topics": None} for row in rows), tagger)
    said = list(tagger.classify(rows))
    pairs = [
        (
            row["sentiment"],
            "negative" if each["p"]["negative"] > each["p"]["positive"] else "positive",
        )
        for row, each in zip(rows, said, strict=True)
        if row["sentiment"] in {Sentiment.NEGATIVE, Sentiment.POSITIVE}
    ]
    neutral = any(row["sentiment"] == Sentiment.NEUTRAL for row in rows)
    return Scores(
        rows=len(rows),
        three=found.sentiment.macro_f1 if found.sentiment and neutral else None,
        two=sum(_f1(pairs, mood) for mood in ("negative", "positive")) / 2 if pairs else None,
        ece=found.sentiment.ece if found.sentiment else 0.0,
        within_one=found.stars.within_one if found.stars else None,
        mae=found.stars.mae if found.stars else None,
        uncertain=sum(each["uncertain"] for each in said) / len(said),
    )


def _f1(pairs: Sequence[tuple[str, str]], mood: str) -> float:
    both = sum(gold == said == mood for gold, said in pairs)
    return (
        2 * both / max(1, sum(mood == gold for gold, _ in pairs) + sum(mood == s for _, s in pairs))
    )


def lines(tagger: Tagger, corpus: Path) -> Iterator[str]:
    """The tables, line by line."""
    yield (
        "| set | language | rows | 3-class macro-F1 | 2-class macro-F1 | ECE "
        "| within one star | stars MAE | uncertain |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, languages in SETS:
        known = data.read(corpus, name, "dev", "eval")
        for language in languages:
            rows = data.draw(
                [r for r in known if r["lang"][:2] == language and r["sentiment"]],
                ROWS,
                lambda _row: 0,
            )
            yield _line(f"{name} | {language}", measure(tagger, rows))
    yield ""
    yield "| topics | rows | precision | recall | F1 |"
    yield "|---|---|---|---|---|"
    repro = data.read(corpus, "repro", "dev", "eval")
    found = evaluate((_renamed(row) for row in repro), tagger)
    for label, topic in REPRO_TOPICS.items():
        match = found.topics[topic]
        yield (
            f"| repro {label} → {topic} | {match.n} | {match.precision:.2f} "
            f"| {match.recall:.2f} | {match.f1:.2f} |"
        )
    yield from _gold_lines(tagger)


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    topics = [REPRO_TOPICS[label] for label in row["topics"] or [] if label in REPRO_TOPICS]
    return {**row, "topics": topics}


def _gold_lines(tagger: Tagger) -> Iterable[str]:
    for language in phrases.GOLD_LANGUAGES:
        found = evaluate(({**row} for row in phrases.gold(language)), tagger)
        precision = sum(m.precision for m in found.topics.values()) / len(found.topics)
        recall = sum(m.recall for m in found.topics.values()) / len(found.topics)
        yield (
            f"| our gold, {language}, mean of 23 topics | {found.n} | {precision:.2f} | "
            f"{recall:.2f} | {found.topics_macro_f1 or 0:.2f} |"
        )


def _line(name: str, scores: Scores) -> str:
    cells = (scores.three, scores.two, scores.ece, scores.within_one, scores.mae, scores.uncertain)
    shown = ["–" if cell is None else f"{cell:.3f}" for cell in cells]
    return f"| {name} | {scores.rows} | {' | '.join(shown)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m ouvidor.nlp.training.measure")
    parser.add_argument(
        "--corpus", type=Path, required=True, help="the folder that holds data/eval"
    )
    parser.add_argument("--cache", type=Path, default=None, help="default: OUVIDOR_CACHE")
    parser.add_argument("--model", type=Path, default=None, help="default: the shipped heads")
    options = parser.parse_args(arguments)
    chosen = {} if options.model is None else {"model": options.model}
    for line in lines(Tagger(cache=options.cache, **chosen), options.corpus):
        print(line, flush=True)  # noqa: T201 - printing is what this command is for


if __name__ == "__main__":
    main()
