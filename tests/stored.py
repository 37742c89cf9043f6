"""Where an installation of the tests lies: in a SQLite file, or with ``--server`` on a server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from ouvidor.storage.database import open_database

_made: dict[Path, str] = {}
_make: Callable[[], str] | None = None

VARIABLE = "OUVIDOR_DATABASE_URL"


@contextmanager
def databases_on(server: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases on a server; they go when the block ends."""
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    names: list[str] = []

    def make() -> str:
        names.append(f"t{uuid.uuid4().hex}")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {names[-1]}"))
        url = server.replace("/postgres?", f"/{names[-1]}?")
        return url.replace("postgresql+psycopg", "postgresql")

    yield make
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def begin(make: Callable[[], str] | None) -> None:
    """From here on databases come from ``make``; None: they are files again."""
    global _make  # noqa: PLW0603 - one test at a time, and child processes ask the environment
    _made.clear()
    _make = make


def stored_in(folder: Path | str, name: str = "ouvidor.db") -> str:
    """The URL of the database that an installation in a folder has.

    The program itself finds a server by the environment, so that one has one installation a test;
    databases of another name are opened by the test alone and get one of their own.
    """
    if (url := os.environ.get(VARIABLE)) and name == "ouvidor.db":
        return url
    path = Path(folder) / name
    if _make is None:
        return f"sqlite:///{path}"
    if path not in _made:
        _made[path] = _make()
    return _made[path]


def asked(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What an installation answers to SQL, for what no verb shows."""
    with closing(open_database(stored_in(folder))) as db, db.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]
