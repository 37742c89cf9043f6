"""Claims/s of one and of eight processes on one PostgreSQL; with --ray also texts/s of its workers.

The work between claim and mark is nothing at all: a tagger that always says the same, a mail server
that takes everything. What is left is what the database gives to any number of `annotate` and
`deliver`. Run: python benchmarks/claims.py [--rows N] [--workers N] [--ray [--texts N]]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from annotate import texts
from intake import postgresql, reviews
from sqlalchemy import create_engine, text

from ouvidor.demo.configuration import configuration
from ouvidor.storage import annotations, outbox, runs, workers
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import Annotation, Aspect, Basis, Distribution, Feedback

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
LEASE = timedelta(minutes=10)
PAGE = 256
BAD = Distribution(negative=0.8, neutral=0.1, positive=0.1)
SAID = Annotation(
    tagger="t",
    basis=Basis.TEXT,
    language="pt",
    p=BAD,
    stars=1.5,
    uncertain=False,
    aspects=(Aspect(touchpoint="entrega", p=BAD),),
)
COUNTS = (1, 2, 4)


def fill(db: Database, items: list[Feedback]) -> None:
    """The feedback, untagged."""
    door = Door(b"k" * 32, ZoneInfo("America/Sao_Paulo"))
    run = runs.open_run(db, source="bench", kind="file", now=NOW)
    for first in range(0, len(items), 500):
        save_page(db, run, items[first : first + 500], None, door=door, now=NOW)


def post(db: Database, count: int) -> None:
    """So many messages, waiting."""
    with db.write() as connection:
        for number in range(count):
            outbox.put(
                connection,
                key=f"digest:{number}",
                channel="mail",
                recipient=f"{number}@example.com",
                subject="A semana",
                body=b"x" * 20_000,
                now=NOW,
            )


def annotate(db: Database) -> tuple[int, int]:
    """Claims and feedback, until nothing waits."""
    claims = done = 0
    worker = workers.me()
    while found := annotations.claim(db, limit=PAGE, now=NOW, worker=worker, lease=LEASE):
        done += annotations.save(db, [(each, SAID) for each in found], now=NOW)
        claims += 1
    return claims, done


def deliver(db: Database) -> tuple[int, int]:
    """Claims and messages, until nothing waits."""
    done = 0
    while found := outbox.claim(db, limit=1, now=NOW, worker=workers.me(), lease=LEASE):
        outbox.mark_sent(db, found[0], now=NOW)
        done += 1
    return done, done


WORK: dict[str, Callable[[Database], tuple[int, int]]] = {"annotate": annotate, "deliver": deliver}


def work(what: str, url: str, start: Any, told: Any) -> None:
    """One process: what it did, and from when to when."""
    db = open_database(url)
    start.wait()
    began = time.monotonic()
    claims, done = WORK[what](db)
    told.put((claims, done, began, time.monotonic()))
    db.close()


def measure(what: str, url: str, count: int) -> tuple[float, float, int]:
    """Claims/s and pieces/s of so many processes, and how many pieces there were."""
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(count), context.Queue()
    children = [context.Process(target=work, args=(what, url, start, told)) for _ in range(count)]
    for child in children:
        child.start()
    found = [told.get() for _ in children]
    for child in children:
        child.join()
    seconds = max(each[3] for each in found) - min(each[2] for each in found)
    done = sum(each[1] for each in found)
    return sum(each[0] for each in found) / seconds, done / seconds, done


def fresh(server: str, name: str) -> str:
    """The URL of a new database."""
    admin = create_engine(
        server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return server.replace("/postgres?", f"/{name}?")


def claims(server: str, rows: int, many: int) -> None:
    """Four lines: annotate and deliver, alone and together."""
    for count in (1, many):
        url = fresh(server, f"claims{count}")
        db = open_database(url)
        fill(db, list(reviews(rows)))
        post(db, rows // 10)
        for what, pieces in (("annotate", rows), ("deliver", rows // 10)):
            per_second, each, done = measure(what, url, count)
            if done != pieces:
                raise SystemExit(f"{what}: {done} of {pieces} were done")
            print(
                f"{what:<9} {count} workers: {per_second:7.1f} claims/s, {each:8,.0f} pieces/s, "
                f"each of {done:,} once"
            )
        db.close()


def ray(server: str, size: int) -> None:
    """One line for each number of Ray workers: the real tagger, again over the same texts."""
    url = fresh(server, "claims_ray")
    db = open_database(url)
    made = enumerate(texts(size))
    fill(db, [Feedback(external_id=str(n), text=said, published_at=NOW) for n, said in made])
    db.close()
    with tempfile.TemporaryDirectory() as folder:
        settings = configuration("http://127.0.0.1:9", Path(folder))
        (Path(folder) / "ouvidor.toml").write_text(settings, encoding="utf-8")
        for count in COUNTS:
            command = [sys.executable, "-m", "ouvidor", "annotate", "--again", "--json"]
            start = time.monotonic()
            ended = subprocess.run(
                [*command, "--ray", "--workers", str(count)],
                cwd=folder,
                env=os.environ | {"OUVIDOR_DATABASE_URL": url},
                stdout=subprocess.PIPE,
                check=True,
            )
            seconds = time.monotonic() - start
            told = json.loads(ended.stdout)
            if told["tagged"] != size:
                raise SystemExit(f"only {told['tagged']} of {size} were tagged")
            print(
                f"ray       {count} workers: {size / told['core_seconds']:7.1f} texts per second "
                f"of a core, {size / seconds:6.1f} texts/s with start and end on "
                f"{len(os.sched_getaffinity(0))} cores"
            )


def main() -> None:
    """The database first, then the tagger where it is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--texts", type=int, default=1000)
    options = parser.parse_args()
    with postgresql() as server:
        claims(server, options.rows, options.workers)
        if options.ray:
            ray(server, options.texts)


if __name__ == "__main__":
    main()
