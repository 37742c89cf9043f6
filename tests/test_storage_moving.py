"""From one database to another: every row, whoever dies on the way."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bad_input import Shell
from filled import fill
from sqlalchemy import delete, func, insert, select, update

from ouvidor.storage import moving, upkeep
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, StorageError, open_database
from ouvidor.storage.moving import move

CHILD = Path(__file__).with_name("moving_child.py")
TABLES = [table.name for table in t.metadata.sorted_tables]
Open = Callable[[str], Database]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open databases that are closed in the end."""
    found: list[Database] = []

    def open_one(url: str) -> Database:
        found.append(open_database(url))
        return found[-1]

    yield open_one
    for each in found:
        each.close()


@pytest.fixture(params=["to a file", pytest.param("to a server", marks=pytest.mark.ordeal)])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a move goes; beside `database_url` it makes four ways."""
    if request.param == "to a file":
        return f"sqlite:///{tmp_path / 'new.db'}"
    made: str = request.getfixturevalue("on_server")()
    return made


@pytest.fixture
def old(database_url: str, opened: Open) -> Database:
    found = opened(database_url)
    fill(found)
    return found


@pytest.fixture
def new(other_url: str, opened: Open) -> Database:
    return opened(other_url)


def content(db: Database) -> dict[str, list[Any]]:
    """Every row of every table, read and compared by other means than the move's own."""

    def said(value: Any) -> Any:
        if isinstance(value, dict):  # 1e22 is one number, however it is spelled
            return {key: said(each) for key, each in sorted(value.items())}
        # Neither is minus zero another one than zero.
        return value + 0.0 if isinstance(value, int | float) else value

    with db.read() as connection:
        return {
            table.name: sorted(
                repr([said(value) for value in row]) for row in connection.execute(select(table))
            )
            for table in t.metadata.sorted_tables
        }


def test_every_row_of_every_table_arrives(old: Database, new: Database, now: datetime) -> None:
    before = content(old)
    assert all(before.values()), "a table without rows proves nothing"
    done = move(old, new, now=now, page=3)
    assert content(new) == before == content(old)
    assert done.rows == dict.fromkeys(TABLES, 7)
    assert (done.copied, done.already) == (7 * len(TABLES), False)
    assert set(done.hashes) == set(TABLES)
    assert len(set(done.hashes.values())) == len(TABLES)


def test_a_new_row_gets_a_new_id(old: Database, new: Database, now: datetime) -> None:
    move(old, new, now=now)
    with new.write() as connection:
        more = {"name": "depois", "kind": "file", "created_at": now}
        added = connection.scalar(insert(t.source).values(more).returning(t.source.c.id))
        highest = connection.scalar(select(func.max(t.source.c.id)))
    assert added == highest == 8


def test_a_second_move_says_it_is_complete(old: Database, new: Database, now: datetime) -> None:
    move(old, new, now=now)
    with new.write() as connection:  # the new house lives on
        connection.execute(delete(t.due))
    again = move(old, new, now=now + timedelta(days=1))
    assert (again.already, again.copied, again.rows["due"]) == (True, 0, 0)
    assert content(new)["due"] == []


def test_an_empty_house_can_be_moved(
    database_url: str, new: Database, opened: Open, now: datetime
) -> None:
    done = move(opened(database_url), new, now=now)
    assert set(done.rows.values()) == {0}
    with new.write() as connection:
        more = {"name": "a", "kind": "file", "created_at": now}
        assert connection.scalar(insert(t.source).values(more).returning(t.source.c.id)) == 1


@pytest.mark.ordeal
@pytest.mark.parametrize("pages", [1, 9, 40])
def test_a_killed_move_goes_on(
    database_url: str, old: Database, other_url: str, new: Database, now: datetime, pages: int
) -> None:
    command = [sys.executable, str(CHILD), database_url, other_url, "3", str(pages)]
    child = subprocess.run(command, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    there = sum(upkeep.counts(new).values())
    assert 0 < there < 7 * len(TABLES)
    assert moving.remaining(old, new) == 7 * len(TABLES) - there
    done = move(old, new, now=now, page=3)
    assert done.copied == 7 * len(TABLES) - there
    assert content(new) == content(old)


class StoppedError(Exception):
    """In the middle."""


def stop_after(pages: int) -> Callable[[int], None]:
    left = iter(range(pages - 1))

    def step(_rows: int) -> None:
        if next(left, None) is None:
            raise StoppedError

    return step


@pytest.mark.ordeal
@pytest.mark.parametrize("changed", ["a row that was copied", "a row that was not", "a row less"])
def test_the_old_house_may_live_on_between_two_tries(
    old: Database, new: Database, now: datetime, changed: str
) -> None:
    with pytest.raises(StoppedError):
        move(old, new, now=now, page=3, progress=stop_after(30))
    with old.write() as connection:
        if changed == "a row that was copied":
            connection.execute(update(t.source).where(t.source.c.id == 3).values(kind="outro"))
        elif changed == "a row that was not":
            connection.execute(update(t.theme).values(phrase="outra"))
        else:
            connection.execute(delete(t.refusal).where(t.refusal.c.detail.like("%3")))
    move(old, new, now=now, page=3)
    assert content(new) == content(old)


def test_what_belongs_to_another_installation_is_left_alone(
    old: Database, new: Database, now: datetime
) -> None:
    with new.write() as connection:
        more = {"name": "loja", "kind": "file", "created_at": now}
        connection.execute(insert(t.source).values(more))
    before = content(new)
    with pytest.raises(StorageError, match=r"holds data of another installation \(in source\)"):
        move(old, new, now=now)
    assert content(new) == before


def test_a_move_of_another_installation_is_not_gone_on_with(
    old: Database, new: Database, now: datetime
) -> None:
    with pytest.raises(StoppedError):
        move(old, new, now=now, page=3, progress=stop_after(2))
    before = content(new)
    with old.write() as connection:  # as if it were another house
        connection.execute(update(t.source).values(created_at=now + timedelta(days=1)))
    with pytest.raises(StorageError, match="holds a move of another installation"):
        move(old, new, now=now)
    assert content(new) == before


def test_a_row_that_came_out_unlike_is_named(
    old: Database, new: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = moving._take

    def spoil(into: Database, table: Any, rows: Any) -> None:
        spoilt = [dict(row) for row in rows]
        if table.name == "message":
            spoilt[2]["subject"] = "outro"
        take(into, table, spoilt)

    monkeypatch.setattr(moving, "_take", spoil)
    with pytest.raises(StorageError, match="The row 3 of message came out unlike"):
        move(old, new, now=now)
    monkeypatch.undo()
    move(old, new, now=now)
    assert content(new) == content(old)


@pytest.mark.ordeal
def test_nobody_writes_into_the_old_house_meanwhile(
    database_url: str, old: Database, new: Database, now: datetime, opened: Open
) -> None:
    quick = "?timeout=0.1" if old.embedded else "&options=-c%20lock_timeout%3D100ms"
    other = opened(database_url + quick)
    refused = 0

    def step(_rows: int) -> None:
        nonlocal refused
        with pytest.raises(StorageError, match="is locked"), other.write() as connection:
            connection.execute(delete(t.due))
        refused += 1

    move(old, new, now=now, page=10_000, progress=step)
    assert refused == len(TABLES)


@pytest.mark.sqlite
def test_the_verb_moves_and_the_old_file_stays(shell: Shell, now: datetime) -> None:
    with closing(open_database(f"sqlite:///{shell.folder / 'ouvidor.db'}")) as db:
        fill(db)
    file = shell.folder / "ouvidor.db"
    before = hashlib.sha256(file.read_bytes()).digest()
    said = shell("db", "move", "sqlite:///new.db")
    assert said.code == 0, said
    assert f"{7 * len(TABLES)} rows in {len(TABLES)} tables stand in sqlite:///new.db" in said.out
    again = shell("db", "move", "sqlite:///new.db")
    assert again.code == 0
    assert "is complete already" in again.out
    assert hashlib.sha256(file.read_bytes()).digest() == before
    shell.configure('[database]\nurl = "sqlite:///new.db"\n')
    document = json.loads(shell("db", "move", "sqlite:///ouvidor.db.old", "--json").out)
    # One line more: the audit of the new database tells of the move.
    assert document["copied"] == 7 * len(TABLES) + 1
    shell("db", "move", "sqlite:///ouvidor.db").because("holds data of another installation")


def test_a_password_never_stands_on_the_command_line(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shell("db", "move", "postgresql://ana:sesame@127.0.0.1:9/voz")
    said.because("seen by every user of this machine", "OUVIDOR_MOVE_TO", code=2)
    monkeypatch.setenv("OUVIDOR_MOVE_TO", "postgresql://ana:sesame@127.0.0.1:9/voz")
    other = shell("db", "move")
    other.because("does not answer")
    assert "sesame" not in said.err + other.err


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:///ouvidor.db", "names the database in use"),
        ("mysql://a/b", "'mysql' is not supported; use sqlite or postgresql"),
        ("loja", "no database URL"),
    ],
)
def test_addresses_that_lead_nowhere(shell: Shell, url: str, sentence: str) -> None:
    shell("db", "move", url).because(sentence, code=2)


def test_an_address_is_needed(shell: Shell) -> None:
    shell("db", "move").because("a URL here, or in OUVIDOR_MOVE_TO", code=2)
