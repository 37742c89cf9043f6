"""Seconds and memory of the weekly digest, from ten thousand pieces of feedback to a million.

Two years of an invented brand are written straight into a new SQLite database; the product counts
its own series from them. Then the digest is built whole (numbers, quotes, pictures, HTML, bytes in
the outbox) for one subscriber and for a hundred more, in a process of its own.
Run: python benchmarks/digest.py [feedback ...]
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

from sqlalchemy import insert

from ouvidor.config import Config, parse
from ouvidor.reports.digest import digest
from ouvidor.storage import runs, series
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.vocabulary import Basis, Kind, Sentiment, Stage, Topic

SIZES = (10_000, 100_000)
MONDAY = date(2026, 11, 16)
NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
DAYS = 728
SOURCES = 4
TOUCHPOINTS = 16
FURTHER = 100
TAGGER = "bench-1"
CHUNK = 20_000
WORDS = {
    Sentiment.NEGATIVE: "O pedido chegou atrasado e a caixa estava aberta, ninguém responde",
    Sentiment.NEUTRAL: "Comprei pelo aplicativo e retirei na loja no dia marcado",
    Sentiment.POSITIVE: "Atendimento ótimo, chegou antes do prazo e bem embalado",
}
MOODS = list(Sentiment)


def configuration(subscribers: int) -> Config:
    """A journey of sixteen touchpoints and some readers."""
    tables = ['[brand]\nname = "Casa"\ntime_zone = "UTC"\nlocale = "pt-BR"']
    tables += [f'[sources.s{each}]\nkind = "file"\npath = "x.csv"' for each in range(SOURCES)]
    tables += [
        f'[touchpoints.t{each}]\nname = "Ponto {each}"\nstage = "{list(Stage)[each % 3]}"\n'
        f'topics = ["{list(Topic)[each]}"]\nowner = "o{each}@casa.example"\ntarget = 4.0'
        for each in range(TOUCHPOINTS)
    ]
    tables += [
        f'[subscribers.p{each}]\naddress = "p{each}@c.example"' for each in range(subscribers)
    ]
    return parse("\n".join(tables))


def moods(count: int) -> Iterator[tuple[int, date, Sentiment, list[float]]]:
    """Number, day, sentiment and probabilities of every piece; the days are evenly filled."""
    chance = random.Random(7)  # noqa: S311 - no secret hangs on it
    first = MONDAY - timedelta(days=DAYS)
    for number in range(count):
        place = chance.randrange(3)
        sure = chance.uniform(0.5, 0.95)
        p = [(1 - sure) / 2] * 3
        p[place] = sure
        yield number, first + timedelta(days=number * DAYS // count), MOODS[place], p


def fill(url: str, count: int) -> None:
    """The tables as a collector and a tagger would have left them."""
    db = open_database(url)
    opened = [runs.open_run(db, source=f"s{each}", kind="file", now=NOW) for each in range(SOURCES)]
    told = iter(moods(count))
    with db.write() as connection:
        while chunk := list(islice(told, CHUNK)):
            rows = [_feedback(opened[each[0] % SOURCES], *each[:3]) for each in chunk]
            connection.execute(insert(t.feedback), rows)
            connection.execute(
                insert(t.annotation), [_annotation(n, mood, p) for n, _, mood, p in chunk]
            )
            aspects = [row for n, _, mood, p in chunk for row in _aspects(n, mood, p)]
            connection.execute(insert(t.aspect), aspects)
    span = (NOW - timedelta(days=DAYS + 1), NOW)
    for run in opened:
        verdict = runs.Verdict(outcome=runs.Outcome.COMPLETE, message="", joined=True, covered=span)
        runs.close_run(db, run, verdict, now=NOW, zone=configuration(0).brand.zone)
    series.rebuild(db)
    db.close()


def _feedback(run: runs.Run, number: int, day: date, mood: Sentiment) -> dict[str, object]:
    moment = datetime.combine(day, datetime.min.time(), tzinfo=UTC) + timedelta(hours=12)
    text = f"{WORDS[mood]} {number}"
    return {
        "id": number + 1,
        "source_id": run.source_id,
        "external_id": str(number),
        "kind": Kind.REVIEW.value,
        "title": "",
        "text": text,
        "folded": text.lower(),
        "stars": 1 + 2 * MOODS.index(mood),
        "published_at": moment,
        "first_seen_at": moment,
        "last_seen_at": moment,
        "changed_at": moment,
        "day": day,
        "attributes": {"version": f"5.{number * 40 // 1_000_000}", "country": "BR", "votes": "0"},
        "content_hash": str(number),
        "run_id": run.id,
        "settled": True,
        "pending": False,
    }


def _annotation(number: int, mood: Sentiment, p: list[float]) -> dict[str, object]:
    return _judged(number, mood, p) | {
        "tagger": TAGGER,
        "basis": Basis.TEXT.value,
        "language": ("pt", "es", "en")[number % 3],
        "stars": 3.0,
        "uncertain": number % 17 == 0,
        "topics": {},
        "content_hash": str(number),
        "annotated_at": NOW,
    }


def _aspects(number: int, mood: Sentiment, p: list[float]) -> Iterator[dict[str, object]]:
    for place in (number * 7 % TOUCHPOINTS, (number * 7 + 5) % TOUCHPOINTS):
        about = {"touchpoint": f"t{place}", "topic": None, "p_subject": 0.9}
        yield _judged(number, mood, p) | about | {"span_start": 0, "span_end": 12}


def _judged(number: int, mood: Sentiment, p: list[float]) -> dict[str, object]:
    names = ("p_negative", "p_neutral", "p_positive")
    return {"feedback_id": number + 1, "sentiment": mood.value} | dict(zip(names, p, strict=True))


def tell(url: str) -> None:
    """The digest for one, then for a hundred more; a line of JSON."""
    db = open_database(url)
    series.refresh(db)
    cpu = time.process_time()
    first = _seconds(db, 1)
    cpu_first = time.process_time() - cpu
    more = _seconds(db, 1 + FURTHER) / FURTHER
    cpu_more = (time.process_time() - cpu - cpu_first) / FURTHER
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    db.close()
    told = {"first": first, "more": more, "peak": peak}
    print(json.dumps(told | {"cpu_first": cpu_first, "cpu_more": cpu_more}))


def _seconds(db: Database, subscribers: int) -> float:
    config = configuration(subscribers)
    start = time.perf_counter()
    posted = digest(db, config, now=NOW)
    seconds = time.perf_counter() - start
    told = [each for each in posted if each.skipped is None]
    if len(told) != (1 if subscribers == 1 else FURTHER):
        raise SystemExit(f"only {len(told)} of {subscribers} were told: {posted[-1].skipped}")
    return seconds


def measure(count: int, folder: Path) -> None:
    """One line for one size."""
    url = f"sqlite:///{folder / f'{count}.db'}"
    start = time.perf_counter()
    subprocess.run([sys.executable, __file__, "fill", url, str(count)], check=True)
    filled = time.perf_counter() - start
    child = subprocess.run([sys.executable, __file__, "tell", url], check=True, capture_output=True)
    told = json.loads(child.stdout)
    print(
        f"{count:>9,} feedback   first subscriber {told['first']:5.2f} s "
        f"({told['cpu_first']:.2f} s of CPU)   each of {FURTHER} more {told['more'] * 1000:.0f} ms "
        f"({told['cpu_more'] * 1000:.0f} ms of CPU)   peak {told['peak']} MB   "
        f"(written in {filled:.0f} s)"
    )


def main() -> None:
    """Every size, each in processes of its own."""
    match sys.argv[1:]:
        case ["fill", url, count]:
            fill(url, int(count))
        case ["tell", url]:
            tell(url)
        case sizes:
            with tempfile.TemporaryDirectory() as folder:
                for count in map(int, sizes or SIZES):
                    measure(count, Path(folder))


if __name__ == "__main__":
    main()
