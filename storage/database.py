"""The engine, its transactions and its schema version; SQLite and PostgreSQL behave alike."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, SQLAlchemyError

BUSY_SECONDS = 60
"""How long a writer waits for another one before it gives up. For SQLite, ``?timeout=`` in the URL
says otherwise."""

HEAD = "0004"
"""The schema this program writes; the last file in ``migrations/versions``."""

_MIGRATION_LOCK = 0x0D1D0

_POSTGRESQL = {
    "connect_timeout": 15,
    # The server, too, lets go of the locks of a machine that vanished.
    "options": f"-c lock_timeout={BUSY_SECONDS}s -c tcp_keepalives_idle=30"
    " -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3",
    # A server that lost its power says no goodbye; a minute without a sign is enough.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": BUSY_SECONDS * 1000,
}


class StorageError(Exception):
    """The database cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. Transactions are short: claim, work, commit."""

    engine: Engine

    @property
    def embedded(self) -> bool:
        """Whether this is SQLite."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; on SQLite it takes the write lock at once."""
        with _sentences(self.engine), self.engine.connect() as connection:
            connection.execution_options(ouvidor_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view; never blocks and is never blocked by a writer."""
        with _sentences(self.engine), self.engine.connect() as connection, connection.begin():
            yield connection

    def scrub(self) -> None:
        """Leave nothing of deleted rows in the files of SQLite; PostgreSQL keeps its own house.

        Writes the database anew, which takes seconds a gigabyte. Raises StorageError when another
        program holds it for too long: then the rows are gone, but their bytes may be left.
        """
        if not self.embedded:
            return
        with _sentences(self.engine), self.engine.connect() as connection:
            connection.commit()  # neither may stand in a transaction
            driver: Any = connection.connection.driver_connection
            try:
                driver.execute("VACUUM")
                busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.OperationalError as error:
                raise StorageError(_left_over(error)) from error
            if busy:
                raise StorageError(_left_over("another program reads it"))

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()


def _left_over(why: object) -> str:
    return (
        f"The rows are deleted, but the file of the database may still hold their bytes ({why}); "
        "end what else uses it and do it again."
    )


@contextmanager
def _sentences(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # Exactly DatabaseError is how SQLite reports a file that is damaged or none of its own.
        broken = isinstance(error, OperationalError) or type(error) is DatabaseError
        if broken or error.connection_invalidated:
            raise StorageError(_why(engine, error)) from error
        raise


_LOCKED = "is locked by another program; wait for it or end it, and try again"
_REASONS = {
    "database is locked": _LOCKED,
    "due to lock timeout": _LOCKED,
    "readonly": "may not be written; give this user the right to write file and folder",
    "unable to open": "cannot be opened; check that its folder exists and may be written",
    "disk is full": "cannot grow because the disk is full; free some space and try again",
    "malformed": "is damaged; restore it from a backup with `ouvidor db restore FILE`",
    "not a database": (
        "is not a database; name another file or restore it from a backup with "
        "`ouvidor db restore FILE`"
    ),
    "disk i/o error": "cannot be read or written (disk error); check the disk",
}


def _why(engine: Engine, error: DBAPIError) -> str:
    where = engine.url.render_as_string(hide_password=True)
    detail = " ".join(str(error.orig).split())
    for sign, sentence in _REASONS.items():
        if sign in detail.lower():
            return f"The database {where} {sentence}."
    return f"The database {where} does not answer: {detail}. Check the URL and the server."


def _sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    # SQLAlchemy's begin event decides how a transaction starts; the driver must not.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL, not NORMAL: a mail marked as sent stays marked after a power cut.
    connection.execute("PRAGMA synchronous = FULL")


def _sqlite_begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("ouvidor_write", False):
        connection.exec_driver_sql("BEGIN")
        return
    # A deferred transaction that turns into a writer fails at once when another one
    # wrote in between; IMMEDIATE waits its turn. It waits here and not in the driver, which
    # would not let go when somebody asks the process to end.
    busy = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    until = time.monotonic() + busy / 1000
    connection.exec_driver_sql("PRAGMA busy_timeout = 100")
    try:
        while not _begun(connection, last=time.monotonic() >= until):
            pass
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {busy}")


def _begun(connection: Connection, *, last: bool) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if last or "locked" not in str(error.orig):
            raise
        return False
    return True


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        ours = {name: value for name, value in _POSTGRESQL.items() if name not in parsed.query}
        return create_engine(parsed, pool_pre_ping=True, connect_args=ours)
    name = parsed.database
    if name and name != ":memory:" and not Path(name).parent.is_dir():
        raise StorageError(
            f"The folder of the database {name} does not exist; create it or mend the URL."
        )
    patience = {} if "timeout" in parsed.query else {"timeout": BUSY_SECONDS}
    engine = create_engine(parsed, connect_args=patience)
    event.listen(engine, "connect", _sqlite_connect)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def schema_version(connection: Connection) -> str | None:
    """The schema the database has, or None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(database: Database) -> None:
    # Imported here: a database that is up to date does not pay for Alembic.
    from .migrations import known_versions, upgrade

    with database.write() as connection:
        if not database.embedded:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        found = schema_version(connection)
        if found is not None and found not in known_versions():
            where = database.engine.url.render_as_string(hide_password=True)
            raise StorageError(
                f"The database {where} was written by a newer Ouvidor (schema {found}); "
                "upgrade this program or name another database."
            )
        upgrade(connection)


def unprepared(url: str) -> Database:
    """The database at ``url`` as it is: nothing is read, nothing migrated. Raises StorageError."""
    return Database(_engine(url))


def open_database(url: str) -> Database:
    """Open the database at ``url`` and bring its schema up to date.

    Raises StorageError with a sentence when it cannot be opened, read or migrated.
    """
    database = Database(_engine(url))
    try:
        with database.read() as connection:
            current = schema_version(connection)
        if current != HEAD:
            _migrate(database)
    except SQLAlchemyError as error:
        database.close()
        detail = " ".join(str(error).split())[:300]
        raise StorageError(f"The database cannot be prepared: {detail}") from error
    except StorageError:
        database.close()
        raise
    return database


def upsert(connection: Connection, table: Any) -> Any:
    """An INSERT of the connection's dialect that knows ``on_conflict_do_…``."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)
