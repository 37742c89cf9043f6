"""Seconds and memory of the weekly digest, from ten thousand pieces of feedback to a million.

Two years of an invented brand are written straight into a new SQLite database; the product counts
its own series from them. Then the digest is built whole (numbers, quotes, pictures, HTML, bytes in
the outbox) in a process of its own: for one subscriber, for 999 more who want the same, and for
twelve who each want something else (language, touchpoints). Beside the seconds on the clock stand
those of the processor, which a busy machine does not stretch.
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
FURTHER = 999
LOCALES = ("pt-BR", "es", "en")
PARTS = 4
"""Readers of a part of the journey, in each language."""

TAGGER = "bench-1"
CHUNK = 20_000
WORDS = {
    Sentiment.NEGATIVE: "O pedido chegou atrasado e a caixa estava aberta, ninguém responde",
    Sentiment.NEUTRAL: "Comprei pelo aplicativo e retirei na loja no dia marcado",
    Sentiment.POSITIVE: "Atendimento ótimo, chegou antes do prazo e bem embalado",
}
MOODS = list(Sentiment)


def configuration(subscribers: int, others: int = 0) -> Config:
    """A journey of sixteen touchpoints, some readers, and others who each want something else."""
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
    tables += [
        f'[subscribers.q{each}]\naddress = "q{each}@c.example"\n'
        f'locale = "{LOCALES[each % len(LOCALES)]}"\n'
        f'touchpoints = ["t{each // len(LOCALES)}", "t{each // len(LOCALES) + PARTS}"]'
        for each in range(others)
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
    """The digest for one, for many more, for others; a line of JSON."""
    db = open_database(url)
    series.refresh(db)
    others = PARTS * len(LOCALES)
    told = {
        "first": _seconds(db, configuration(1), 1),
        "more": _seconds(db, configuration(1 + FURTHER), FURTHER),
        "other": _seconds(db, configuration(1 + FURTHER, others), others),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    db.close()
    print(json.dumps(told | {"peak": peak}))


def _seconds(db: Database, config: Config, new: int) -> tuple[float, float]:
    """Seconds a new reader, on the clock and of the processor."""
    start, cpu = time.perf_counter(), time.process_time()
    posted = digest(db, config, now=NOW)
    found = (time.perf_counter() - start) / new, (time.process_time() - cpu) / new
    told = [each for each in posted if each.skipped is None]
    if len(told) != new:
        raise SystemExit(f"only {len(told)} of {new} were told: {posted[-1].skipped}")
    return found


def measure(count: int, folder: Path) -> None:
    """One line for one size."""
    url = f"sqlite:///{folder / f'{count}.db'}"
    start = time.perf_counter()
    subprocess.run([sys.executable, __file__, "fill", url, str(count)], check=True)
    filled = time.perf_counter() - start
    child = subprocess.run([sys.executable, __file__, "tell", url], check=True, capture_output=True)
    told = json.loads(child.stdout)
    ways = {"first": "first subscriber", "more": f"each of {FURTHER} more", "other": "each other"}
    parts = [
        f"{words} {told[way][0] * 1000:,.0f} ms ({told[way][1] * 1000:,.0f} ms of CPU)"
        for way, words in ways.items()
    ]
    peak = f"peak {told['peak']} MB   (written in {filled:.0f} s)"
    print(f"{count:>9,} feedback   {'   '.join(parts)}   {peak}")


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
