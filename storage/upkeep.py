"""What keeps a database well for years: copies, proofs, and the room that is left over.

SQLite is copied and put back here. A PostgreSQL server has its own tools, which know their server
better than we do: for it the exact command is said, without its password.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, func, select, text
from sqlalchemy.engine import make_url

from . import series
from . import tables as t
from .database import (
    BUSY_SECONDS,
    HEAD,
    Database,
    StorageError,
    open_database,
    schema_version,
    unprepared,
)
from .migrations import known_versions

_SECRETS = ("password", "passfile", "sslpassword", "sslkey")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One thing that was proved of a database, or the sentence that says what is wrong."""

    what: str
    ok: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """The schema before and now; before is None for a new database."""

    before: str | None
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What stands in the database now, and where a damaged one was put aside."""

    feedback: int
    aside: Path | None


def migrate(url: str) -> Migrated:
    """Bring the schema up to date, as every verb does that opens the database."""
    with closing(unprepared(url)) as db, db.read() as connection:
        before = schema_version(connection)
    with closing(open_database(url)) as db, db.read() as connection:
        return Migrated(before=before, now=schema_version(connection) or HEAD)


def file_of(url: URL) -> Path | None:
    """The file of a SQLite database; None for a server."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def server_command(url: URL, tool: str, file: Path) -> str:
    """The shell command that copies a PostgreSQL database into a file (``pg_dump``) or back.

    It holds no password: libpq takes one from ``~/.pgpass`` or asks.
    """
    bare = url.set(drivername="postgresql").difference_update_query(_SECRETS)
    address = URL.create(
        "postgresql", bare.username, None, bare.host, bare.port, bare.database, bare.query
    ).render_as_string(hide_password=False)
    if tool == "pg_dump":
        words = ["pg_dump", "--format=custom", f"--file={file}", f"--dbname={address}"]
    else:
        plain = ["--clean", "--if-exists", "--no-owner", "--single-transaction"]
        words = ["pg_restore", *plain, f"--dbname={address}", str(file)]
    return shlex.join(words)


def backup(db: Database, file: Path) -> int:
    """Copy SQLite into a file, whatever goes on meanwhile; returns its pieces of feedback.

    The file appears when it is whole and proved, or not at all; nobody else may read it.
    """
    place = Path(db.engine.url.database or "")
    if _same_file(file, place):
        raise StorageError(f"{file} is the database itself; name another file for its copy.")
    if file.exists() and not _is_sqlite(file):
        raise StorageError(f"{file} is there and is no database; name another file.")
    with _appearing(file) as part, _said_of(file), db.engine.connect() as connection:
        driver = connection.connection.driver_connection
        with closing(sqlite3.connect(part)) as copy:
            driver.backup(copy)  # type: ignore[union-attr] # the driver of SQLite has it
            # A copy is one file, without a journal beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        return _held(part, called=place, mend="put your newest copy back: ouvidor db restore FILE")


def restore(url: str, file: Path, *, overwrite: bool) -> Restored:
    """Put a copy in the place of a SQLite database, after the copy was proved.

    Raises StorageError when the copy is damaged or foreign, and when the database holds feedback
    and ``overwrite`` is False. A database that cannot be read is put aside, not overwritten.
    """
    place = Path(make_url(url).database or "")
    if not file.is_file():
        raise StorageError(f"{file}: no such file; name a file that `ouvidor db backup` wrote.")
    if _same_file(file, place):
        raise StorageError(f"{file} is the database itself; name a copy of it.")
    held = _held(file, called=file)
    stored = _stored(url) if place.exists() else 0
    if stored and not overwrite:
        raise StorageError(
            f"The database {place} holds {stored} pieces of feedback, which {file} would replace "
            f"by its {held}; nothing was changed. Say --yes if you mean it."
        )
    aside = _put_aside(place) if stored is None else None
    with (
        _said_of(place),
        _reading(file) as copy,
        closing(unprepared(url)) as db,
        db.engine.connect() as connection,
    ):
        driver = connection.connection.driver_connection
        copy.backup(driver, progress=_patience(place))  # type: ignore[arg-type] # it is one
    open_database(url).close()
    return Restored(feedback=held, aside=aside)


def vacuum(db: Database) -> tuple[int, int]:
    """Give room back that deleted rows left, and count anew for the planner; bytes before, after.

    On SQLite it takes the whole database for itself, some seconds a gigabyte.
    """
    before = size(db)
    with db.engine.connect() as connection:
        if db.embedded:
            driver = connection.connection.driver_connection
            with _said_of(Path(db.engine.url.database or "")):
                for statement in ("VACUUM", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    driver.execute(statement)  # type: ignore[union-attr] # the driver of SQLite
        else:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("VACUUM (ANALYZE)"))
    return before, size(db)


def size(db: Database) -> int:
    """Bytes the database takes."""
    with db.read() as connection:
        if not db.embedded:
            return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
        pages = connection.scalar(text("PRAGMA page_count")) or 0
        return int(pages * (connection.scalar(text("PRAGMA page_size")) or 0))


@dataclass(frozen=True, slots=True)
class Described:
    """A database as it is: its schema's version, the server's, and whether it is up to date."""

    schema: str | None
    served: tuple[int | str, ...]

    @property
    def current(self) -> bool:
        """Whether this program can read it without a migration."""
        return self.schema == HEAD


def described(url: str) -> Described:
    """What a database is, unchanged. Raises StorageError where it cannot be opened."""
    with closing(unprepared(url)) as db, db.read() as connection:
        served = connection.dialect.server_version_info or ()
        return Described(schema_version(connection), tuple(served))


def counts(db: Database) -> dict[str, int]:
    """Rows of every table."""
    with db.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in t.metadata.sorted_tables
        }


def check(url: str) -> Iterator[Proof]:
    """Prove a database: its file, its references, its schema, its counted days."""
    with closing(unprepared(url)) as db:
        whole = _proof("storage", lambda: _whole(db))
        yield whole
        if not whole.ok:
            return
        schema = _proof("schema", lambda: _schema(db))
        yield schema
        if not schema.ok:
            return
        yield _proof("references", lambda: _references(db))
        yield _proof("series", lambda: _series(db))


def _proof(what: str, prove: Callable[[], str]) -> Proof:
    try:
        return Proof(what=what, ok=True, message=prove())
    except StorageError as error:
        return Proof(what=what, ok=False, message=str(error))


def _whole(db: Database) -> str:
    if not db.embedded:
        return f"{sum(counts(db).values()) if _has_tables(db) else 0} rows can be read"
    place = Path(db.engine.url.database or "")
    if not place.exists():
        raise StorageError(f"There is no database {place} yet; `ouvidor db migrate` makes one.")
    with db.read() as connection:
        found = connection.scalars(text(f"PRAGMA integrity_check({_SHOWN})")).all()
    if found != ["ok"]:
        raise StorageError(
            f"The database {place} is damaged ({_first(found)}). End `ouvidor serve`, then put "
            "your newest backup in its place: ouvidor db restore FILE"
        )
    return f"{place} is whole ({size(db)} bytes)"


def _first(found: object) -> str:
    """What SQLite says first of the damage, on one line."""
    words = " ".join(str(found[0] if isinstance(found, list) and found else found).split())
    return words.removeprefix("*** in database main *** ")[:120]


def _has_tables(db: Database) -> bool:
    with db.read() as connection:
        return schema_version(connection) == HEAD


def _schema(db: Database) -> str:
    with db.read() as connection:
        found = schema_version(connection)
    if found != HEAD:
        raise StorageError(
            f"The schema is {found or 'empty'} and this program writes {HEAD}; "
            "run `ouvidor db migrate`, or the newer program that wrote it."
        )
    return f"{HEAD}, as this program writes it"


def _references(db: Database) -> str:
    if db.embedded:
        with db.read() as connection:
            lost = connection.execute(text("PRAGMA foreign_key_check")).all()
        if lost:
            raise StorageError(
                f"{len(lost)} rows name others that are not there (the first in {lost[0][0]}); "
                "restore a backup: ouvidor db restore FILE"
            )
        return "no row names another that is not there"
    unproved = text("SELECT conname FROM pg_constraint WHERE contype = 'f' AND NOT convalidated")
    with db.read() as connection:
        names = connection.scalars(unproved).all()
    if names:
        raise StorageError(
            f"The server does not vouch for the references {', '.join(names)}; "
            "validate them (ALTER TABLE … VALIDATE CONSTRAINT)."
        )
    return "the server vouches for all of them"


def _series(db: Database) -> str:
    if wrong := series.astray(db):
        raise StorageError(
            f"{wrong} counted rows are not what the raw tables say; run `ouvidor db rebuild`."
        )
    return "every counted day is what the raw tables say"


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(16) in {b"SQLite format 3\x00", b""}


@contextmanager
def _said_of(file: Path) -> Iterator[None]:
    """The driver's own errors, as sentences that name the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"{file}: {' '.join(str(error).split())}; nothing was changed. Free some space, end "
            "what else uses it, or name another file, and do it again."
        ) from error


@contextmanager
def _appearing(file: Path) -> Iterator[Path]:
    """Where to write a file, readable by nobody else, that is put in place when it is whole."""
    part = file.with_name(file.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield part
        _to_disk(part)
        part.replace(file)
        _to_disk(file.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        part.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """What a power cut after this leaves there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    """A database that is only read; without a journal beside it, it needs none."""
    alone = not file.with_name(file.name + "-wal").exists()
    mode = "immutable=1" if alone else "mode=ro"
    address = f"file:{quote(str(file.resolve()))}?{mode}"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        yield connection


def _held(file: Path, *, called: Path, mend: str = "take an older one") -> int:
    """The pieces of feedback in a copy, after it was proved whole and ours."""
    try:
        with _reading(file) as copy:
            found = copy.execute(f"PRAGMA integrity_check({_SHOWN})").fetchall()
            if found != [("ok",)]:
                raise StorageError(f"{called} is damaged ({_first(found[0])}); {mend}.")
            schema = copy.execute("SELECT version_num FROM alembic_version").fetchone()
            stored = copy.execute("SELECT count(*) FROM feedback").fetchone()
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"{called} is no whole copy of an Ouvidor database ({error}); name another file."
        ) from error
    if schema is None or schema[0] not in known_versions():
        raise StorageError(
            f"{called} was written by a newer Ouvidor (schema {schema and schema[0]}); "
            "upgrade this program first."
        )
    return int(stored[0])


def _stored(url: str) -> int | None:
    """The pieces of feedback in the database; None when it cannot be read."""
    with closing(unprepared(url)) as db:
        try:
            with db.read() as connection:
                if schema_version(connection) is None:
                    return 0
                if connection.scalars(text("PRAGMA quick_check(1)")).all() != ["ok"]:
                    return None
                return connection.scalar(select(func.count()).select_from(t.feedback)) or 0
        except StorageError as error:
            if "is damaged" in str(error) or "is not a database" in str(error):
                return None
            raise


def _put_aside(place: Path) -> Path:
    """Keep a damaged database and its journal under another name, for whoever can read it."""
    number = 1
    while (aside := place.with_name(f"{place.name}.damaged-{number}")).exists():
        number += 1
    for tail in ("-wal", "-shm", ""):
        part = place.with_name(place.name + tail)
        if part.exists():
            part.replace(aside.with_name(aside.name + tail))
    return aside


def _patience(place: Path) -> Callable[[int, int, int], None]:
    """SQLite tries for ever to write into a locked database; a person does not wait so long."""
    until = time.monotonic() + BUSY_SECONDS

    def step(status: int, _remaining: int, _total: int) -> None:
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} and time.monotonic() > until:
            raise StorageError(
                f"The database {place} is locked by another program; nothing was changed. End "
                "`ouvidor serve` and do it again."
            )

    return step
