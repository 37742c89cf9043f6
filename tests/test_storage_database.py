"""Opening, migrating and refusing databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from ouvidor.storage import database
from ouvidor.storage.database import Database, StorageError, open_database
from ouvidor.storage.migrations import known_versions
from ouvidor.storage.tables import metadata


def test_migrations_make_exactly_the_tables(db: Database) -> None:
    with db.read() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_head_is_the_newest_migration() -> None:
    assert max(known_versions()) == database.HEAD


def test_opening_twice_keeps_what_is_there(database_url: str) -> None:
    open_database(database_url).close()
    second = open_database(database_url)
    with second.read() as connection:
        assert database.schema_version(connection) == database.HEAD
    second.close()


def test_a_newer_schema_is_refused(database_url: str) -> None:
    first = open_database(database_url)
    with first.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    first.close()
    with pytest.raises(StorageError, match="newer Ouvidor"):
        open_database(database_url)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is no database at all, it is only text" * 100)
    with pytest.raises(StorageError, match="is not a database; name another file"):
        open_database(f"sqlite:///{path}")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"folder of the database .* does not exist"):
        open_database(f"sqlite:///{tmp_path / 'no' / 'x.db'}")


def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(StorageError, match="does not answer"):
        open_database("postgresql://127.0.0.1:9/nothing")


def test_a_password_never_stands_in_an_error() -> None:
    with pytest.raises(StorageError) as error:
        open_database("postgresql://ana:sesame@127.0.0.1:9/nothing")
    assert "sesame" not in str(error.value)


def test_a_reader_sees_one_state_while_a_writer_writes(db: Database) -> None:
    with db.read() as reader:
        before = reader.execute(text("SELECT count(*) FROM due")).scalar_one()
        with db.write() as writer:
            writer.execute(text("INSERT INTO due (name, due_at) VALUES ('x', '2026-01-01')"))
        if db.embedded:
            assert reader.execute(text("SELECT count(*) FROM due")).scalar_one() == before


@pytest.mark.slow
def test_ten_processes_migrate_one_database_at_once(database_url: str) -> None:
    code = f"from ouvidor.storage.database import open_database as o; o({database_url!r})"
    children = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(10)
    ]
    errors = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0] * 10, errors
