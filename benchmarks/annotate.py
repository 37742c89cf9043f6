"""Texts/s of `ouvidor annotate` against `transformers.pipeline` with the same encoder, and memory.

Ours is the whole way: claim in SQLite, tag (sentiment, stars, topics, touchpoints by clause,
language), save. The pipeline is ``text-classification``: the same weights, one head of three
classes, nothing kept; as it comes, and with its batch size at 32. Each in a process of its own.
``DIR/data/eval`` gives real reviews; without it, our own phrases strung together.
Run: python benchmarks/annotate.py [--texts N] [--corpus DIR]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import engines

from ouvidor.config import parse
from ouvidor.demo.configuration import configuration
from ouvidor.house import journey
from ouvidor.nlp.annotate import annotate
from ouvidor.nlp.encoder import prepare
from ouvidor.nlp.tagger import Tagger
from ouvidor.nlp.training import phrases
from ouvidor.storage import runs
from ouvidor.storage.database import open_database
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import Feedback

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
PAGE = 500
MOST_PHRASES = 9
"""A text is one to nine phrases of our own corpus: 60 tokens on the average."""


def texts(count: int, corpus: Path | None = None) -> Iterator[str]:
    """Reviews in the order in which they come, or texts like them; the same every time."""
    if corpus is None:
        yield from strung(count)
    else:
        yield from engines.texts(corpus, count)


def strung(count: int) -> Iterator[str]:
    """Phrases of our own in six languages, short and long."""
    chance = random.Random(60)  # noqa: S311 - no secret hangs on it
    known = {lang: [each.text for each in phrases.phrases(lang)] for lang in phrases.LANGUAGES}
    for number in range(count):
        said = known[phrases.LANGUAGES[number % len(phrases.LANGUAGES)]]
        yield ". ".join(chance.sample(said, chance.randint(1, MOST_PHRASES)))


def ours(said: list[str]) -> float:
    """Seconds from the first claim to the last commit; the model is loaded before."""
    with tempfile.TemporaryDirectory() as folder:
        db = open_database(f"sqlite:///{folder}/bench.db")
        door = Door(b"k" * 32, ZoneInfo("America/Sao_Paulo"))
        run = runs.open_run(db, source="bench", kind="file", now=NOW)
        items = (
            Feedback(external_id=str(number), text=text, published_at=NOW)
            for number, text in enumerate(said)
        )
        while page := list(islice(items, PAGE)):
            save_page(db, run, page, None, door=door, now=NOW)
        settings = parse(configuration("http://127.0.0.1:9", Path(folder)))
        tagger = Tagger(touchpoints=journey(settings))
        start = time.perf_counter()
        done = annotate(db, tagger, now=lambda: NOW, worker="bench:1:x")
        seconds = time.perf_counter() - start
        db.close()
    if done.tagged != len(said):
        raise SystemExit(f"only {done.tagged} of {len(said)} were tagged")
    return seconds


def theirs(said: list[str], **options: int) -> float:
    """Seconds of the pipeline over a stream of the same texts; the model is loaded before."""
    import torch
    import transformers
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    transformers.logging.set_verbosity_error()  # the head is new, which costs no time
    transformers.logging.disable_progress_bar()
    folder = str(prepare())
    # 32-bit as ours: as the file stands, 16-bit, a CPU would take longer.
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=3, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pipe: Any = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    start = time.perf_counter()
    done = sum(1 for _ in pipe((each for each in said), truncation=True, **options))
    seconds = time.perf_counter() - start
    if done != len(said):
        raise SystemExit(f"only {done} of {len(said)} came back")
    return seconds


WAYS: dict[str, tuple[str, Callable[[list[str]], float]]] = {
    "ours": ("ouvidor annotate", ours),
    "one": ("pipeline, as it comes", theirs),
    "many": ("pipeline, batch 32", lambda said: theirs(said, batch_size=32)),
}


def child(way: str, said: list[str]) -> tuple[float, int]:
    """Texts/s and peak MB of one way, in a process of its own."""
    # The texts come from outside: what it takes to find them is nobody's memory.
    done = subprocess.run(
        [sys.executable, __file__, "--child", way],
        input=json.dumps(said),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    told = json.loads(done.stdout)
    return len(said) / told["seconds"], told["peak"]


def length(said: list[str]) -> float:
    """Mean tokens of the first texts, as the encoder counts them."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(prepare() / "tokenizer.json"))
    first = said[:1000]
    return sum(len(tokenizer.encode(text).ids) for text in first) / len(first)


def compare(said: list[str]) -> None:
    """One line a way: its speed, ours as a multiple of it, and memory at two sizes."""
    few = said[: len(said) // 4]
    print(f"{len(said):,} texts of {length(said):.0f} tokens on the average")
    speeds = {}
    for way, (name, _) in WAYS.items():
        _, small = child(way, few)
        speeds[way], large = child(way, said)
        print(
            f"{name:<22} {speeds[way]:6.1f} texts/s   ours is {speeds['ours'] / speeds[way]:4.2f} "
            f"times as fast   peak {small} MB at {len(few):,}, {large} MB at {len(said):,}"
        )


def main() -> None:
    """All ways, or one as a child of this program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--corpus", type=Path, help="the folder that holds data/eval")
    parser.add_argument("--child", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        seconds = WAYS[options.child][1](json.load(sys.stdin))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"seconds": seconds, "peak": peak}))
    else:
        compare(list(texts(options.texts, options.corpus)))


if __name__ == "__main__":
    main()
