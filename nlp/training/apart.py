"""Sentences kept apart: ``nlp/topics`` calibrates the heads and never teaches them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...storage.vocabulary import Sentiment, Topic

FOLDER = Path(__file__).parent.parent / "topics"
OFF_TOPIC = "off_topic"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of ours; ``topic`` None is off topic."""

    text: str
    language: str
    topic: Topic | None
    sentiment: Sentiment


def sentences(folder: Path = FOLDER) -> list[Sentence]:
    """All of them, each text once, in a fixed order."""
    found = [sentence for path in sorted(folder.glob("*.toml")) for sentence in _of(path)]
    return list({sentence.text: sentence for sentence in found}.values())


def _of(path: Path) -> Iterator[Sentence]:
    for name, moods in tomllib.loads(path.read_text(encoding="utf-8")).items():
        topic = None if name == OFF_TOPIC else Topic(name)
        for mood, texts in moods.items():
            for text in texts:
                yield Sentence(text, path.stem, topic, Sentiment(mood))
