"""Our own sentences, alone and joined: the clauses of a joined text keep their own labels.

They come from ``nlp/topics`` (short, as people type on a phone) and from the phrases of
``corpus``, of which the gold reviews are never read here.

This is what teaches the heads to look at a clause and not at its neighbours: "entrega rápida, mas
o produto veio quebrado" is built from two sentences that each say one thing.
"""

from __future__ import annotations

import random
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...storage.vocabulary import Sentiment, Topic
from . import phrases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..text import Span

TOPICS_FOLDER = Path(__file__).parent.parent / "topics"
OFF_TOPIC = "off_topic"

_ANY_JOINT = (". ", ". ", ", ", "\n", "! ", "; ")
_JOINTS = {
    "pt": (*_ANY_JOINT, ", mas ", " mas ", ", porém ", " só que ", ". E "),
    "es": (*_ANY_JOINT, ", pero ", " pero ", ", aunque "),
    "en": (*_ANY_JOINT, ", but ", " but ", ", however "),
    "fr": (*_ANY_JOINT, ", mais ", " mais ", ". Par contre, "),
    "de": (*_ANY_JOINT, ", aber ", " aber ", ". Allerdings "),
    "it": (*_ANY_JOINT, ", ma ", ", però ", ". Tuttavia "),
}
_CARELESS = 0.3


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of ours; ``topic`` None is off topic."""

    text: str
    language: str
    topic: Topic | None
    sentiment: Sentiment


@dataclass(frozen=True, slots=True)
class Joined:
    """A text, the sentences in it, where each of them lies, and the mood of the whole."""

    text: str
    sentences: tuple[Sentence, ...]
    spans: tuple[Span, ...]
    sentiment: Sentiment | None

    def at(self, span: Span) -> Sentence | None:
        """The sentence that a span of the text overlaps most."""
        shared = [min(span[1], end) - max(span[0], start) for start, end in self.spans]
        best = max(shared)
        return self.sentences[shared.index(best)] if best > 0 else None


def sentences() -> list[Sentence]:
    """All our sentences, each text once, in a fixed order."""
    found = [sentence for path in sorted(TOPICS_FOLDER.glob("*.toml")) for sentence in _of(path)]
    for language in phrases.LANGUAGES:
        known = phrases.phrases(language)
        found += [Sentence(each.text, language, each.topic, each.sentiment) for each in known]
    return list({sentence.text: sentence for sentence in found}.values())


def hard() -> list[Joined]:
    """Whole texts with irony, negation, comparison, or nothing to say of any topic."""
    return [_row(row) for language in phrases.LANGUAGES for row in phrases.others(language)]


def _row(row: phrases.Row) -> Joined:
    mood = None if row["sentiment"] is None else Sentiment(row["sentiment"])
    said = [
        Sentence(
            row["text"][slice(*each["span"])],
            row["lang"],
            Topic(each["topic"]),
            Sentiment(each["sentiment"]),
        )
        for each in row["aspects"]
    ]
    spans = [(each["span"][0], each["span"][1]) for each in row["aspects"]]
    if not said:
        whole = Sentence(row["text"], row["lang"], None, mood or Sentiment.NEUTRAL)
        said, spans = [whole], [(0, len(row["text"]))]
    return Joined(row["text"], tuple(said), tuple(spans), mood)


def _of(path: Path) -> Iterator[Sentence]:
    for name, moods in tomllib.loads(path.read_text(encoding="utf-8")).items():
        topic = None if name == OFF_TOPIC else Topic(name)
        for mood, texts in moods.items():
            for text in texts:
                yield Sentence(text, path.stem, topic, Sentiment(mood))


def alone(sentence: Sentence) -> Joined:
    """A sentence as a text of its own."""
    return Joined(sentence.text, (sentence,), ((0, len(sentence.text)),), sentence.sentiment)


def joined(known: Sequence[Sentence], count: int, seed: int) -> list[Joined]:
    """About ``count`` texts of two or three sentences of one language, evenly over languages.

    Sentences of the same topic are not joined; those without one may be.
    """
    rng = random.Random(seed)  # noqa: S311 - a repeatable draw, no secret
    texts = []
    languages = sorted({sentence.language for sentence in known})
    for language in languages:
        own = [sentence for sentence in known if sentence.language == language]
        for _ in range(count // len(languages)):
            chosen = rng.sample(own, rng.choice((2, 2, 2, 3)))
            if len({sentence.topic or sentence.text for sentence in chosen}) == len(chosen):
                texts.append(_join(chosen, rng))
    return texts


def _join(chosen: Sequence[Sentence], rng: random.Random) -> Joined:
    text = ""
    spans = []
    for index, sentence in enumerate(chosen):
        part = sentence.text
        if index:
            joint = rng.choice(_JOINTS.get(sentence.language, _ANY_JOINT))
            text = text.rstrip(".!") + joint
            part = part if joint[0] in ".!\n" else part[0].lower() + part[1:]
        spans.append((len(text), len(text) + len(part)))
        text += part
    if rng.random() < _CARELESS:
        text = _without_accents(text.lower())
    return Joined(text, tuple(chosen), tuple(spans), _mood(chosen))


def _mood(chosen: Sequence[Sentence]) -> Sentiment | None:
    """Of the whole: both praise and blame is mixed, hence neutral; None when it is unclear."""
    moods = {sentence.sentiment for sentence in chosen}
    if moods >= {Sentiment.NEGATIVE, Sentiment.POSITIVE}:
        return Sentiment.NEUTRAL
    return moods.pop() if len(moods) == 1 else None


def _without_accents(text: str) -> str:
    """As many write on a phone; every character stays where it was."""
    return "".join(unicodedata.normalize("NFD", char)[0] for char in text)
