"""The verb ``db``: what keeps the database well, and takes it to another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from sqlalchemy import URL
from sqlalchemy.engine import make_url

from .. import console
from ..config import ConfigError, DatabaseSettings, explain, read_secret
from ..house import House, clock, opened
from ..storage import moving, series, upkeep
from ..storage.database import Database, open_database

DONE, PROBLEM = 0, 1
MOVE_TO = "OUVIDOR_MOVE_TO"
"""The variable (or ``_FILE``) that names where to move, when the address holds a password."""

_COPY = click.Path(path_type=Path, dir_okay=False)


@click.group("db")
def db_verb() -> None:
    """Migrate, prove, copy, put back, tidy the database, or move it to another one."""


def _url(house: House) -> URL:
    return make_url(house.config.database_url)


@db_verb.command("migrate")
@opened
@console.as_json
def migrate_verb(house: House, *, as_json: bool) -> None:
    """Bring the schema up to date, which every other verb does by itself, too."""
    done = upkeep.migrate(house.config.database_url)
    if done.before == done.now:
        sentence = f"The schema is {done.now} already; nothing was changed."
    else:
        sentence = f"The schema is {done.now} now; it was {done.before or 'empty'} before."
    console.tell(console.plain(done), sentence, as_json=as_json)


@db_verb.command("rebuild")
@opened
@console.as_json
def rebuild_verb(house: House, *, as_json: bool) -> None:
    """Count every day again from the feedback and its annotations."""
    wrong = series.astray(house.db)
    days = series.rebuild(house.db)
    house.note("db rebuild", days=days)
    sentence = f"{days} days of sources were counted again; {wrong} rows had gone astray."
    console.tell({"days": days, "astray": wrong}, sentence, as_json=as_json)


@db_verb.command("backup")
@click.argument("file", type=_COPY)
@opened
@console.as_json
def backup_verb(house: House, file: Path, *, as_json: bool) -> int:
    """Copy the database into FILE while everything goes on; the file is whole or not there."""
    if upkeep.file_of(_url(house)) is None:
        return _server(_url(house), "pg_dump", file, as_json=as_json)
    held = upkeep.backup(house.db, file)
    key = house.config.path(house.config.privacy.key_file)
    sentence = (
        f"{file} holds {held} pieces of feedback and was proved whole. "
        f"Keep the key {key} too, but elsewhere: it joins people to their pseudonyms."
    )
    console.tell({"file": file, "feedback": held}, sentence, as_json=as_json)
    return DONE


def _server(url: URL, tool: str, file: Path, *, as_json: bool) -> int:
    """Say the server's own command on stdout. Nothing was done yet, and the exit code says so."""
    command = upkeep.server_command(url, tool, file)
    console.tell({"done": False, "command": command}, command, as_json=as_json)
    console.problem(
        f"A PostgreSQL server has its own tool, so nothing was done here; run: {command} "
        "(it takes the password from ~/.pgpass, or asks)."
    )
    return PROBLEM


@db_verb.command("restore")
@click.argument("file", type=_COPY)
@click.option("--yes", is_flag=True, help="Replace a database that holds feedback.")
@opened
@console.as_json
def restore_verb(house: House, file: Path, *, yes: bool, as_json: bool) -> int:
    """Put the copy FILE in the place of the database, after the copy was proved."""
    if upkeep.file_of(_url(house)) is None:
        return _server(_url(house), "pg_restore", file, as_json=as_json)
    done = upkeep.restore(house.config.database_url, file, overwrite=yes)
    house.note("db restore", count=done.feedback)
    aside = f" The damaged one lies in {done.aside}." if done.aside else ""
    sentence = f"The database holds the {done.feedback} pieces of feedback of {file} now.{aside}"
    console.tell(console.plain(done), sentence, as_json=as_json)
    return DONE


@db_verb.command("vacuum")
@opened
@console.as_json
def vacuum_verb(house: House, *, as_json: bool) -> None:
    """Give back the room that deleted rows left."""
    before, after = upkeep.vacuum(house.db)
    sentence = f"The database took {_megabytes(before)} and takes {_megabytes(after)} now."
    console.tell({"before": before, "after": after}, sentence, as_json=as_json)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


@db_verb.command("check")
@opened
@console.as_json
def check_verb(house: House, *, as_json: bool) -> int:
    """Prove the database, one line each: storage, schema, references, counted days."""
    well = True
    for proof in upkeep.check(house.config.database_url):
        well &= proof.ok
        if as_json:
            console.emit(proof)
        else:
            mark, style = ("ok     ", "green") if proof.ok else ("problem", "bold red")
            console.out(f"{mark}  {proof.what}: {proof.message}", style)
    return DONE if well else PROBLEM


@db_verb.command("move")
@click.argument("url", required=False)
@opened
@clock
@console.as_json
def move_verb(house: House, url: str | None, *, as_json: bool) -> None:
    """Take the installation to the empty database at URL, and compare every row.

    Call it again when it was broken off: it goes on. The old database stays as it is. A URL with
    a password stands in $OUVIDOR_MOVE_TO, or in a file that $OUVIDOR_MOVE_TO_FILE names.
    """
    there = _destination(url)
    if _same(_url(house), there):
        raise click.UsageError("the URL names the database in use; name another one.")
    with closing(open_database(there.render_as_string(hide_password=False))) as new:
        done = _moved(house, new)
    shown = there.render_as_string(hide_password=True)
    document: Mapping[str, Any] = {**console.plain(done), "database": shown}
    console.tell(document, _told(done, shown), as_json=as_json)


def _moved(house: House, new: Database) -> moving.Moved:
    with console.progress("rows moved", moving.remaining(house.db, new)) as step:
        done = moving.move(house.db, new, now=house.now(), progress=step)
    if not done.already:
        # There, because the old database is only read.
        house.note("db move", into=new, rows=sum(done.rows.values()))
    return done


def _told(done: moving.Moved, shown: str) -> str:
    rows = sum(done.rows.values())
    if done.already:
        return (
            f"The move to {shown} is complete already: it holds {rows} rows. Name it in "
            "[database] url or in OUVIDOR_DATABASE_URL; nothing was changed."
        )
    return (
        f"{rows} rows in {len(done.rows)} tables stand in {shown} as they stood here, each one "
        f"compared ({done.copied} copied now). Name it in [database] url or in "
        "OUVIDOR_DATABASE_URL; the old database was not touched."
    )


def _destination(url: str | None) -> URL:
    """Where to move to; raises ConfigError or click's errors."""
    if url is None:
        if MOVE_TO not in os.environ and f"{MOVE_TO}_FILE" not in os.environ:
            raise click.UsageError(f"name the new database: a URL here, or in {MOVE_TO}.")
        try:
            return _checked(read_secret(MOVE_TO))
        except ValueError as error:
            raise ConfigError(f"{MOVE_TO}: {error}") from error
    there = _checked(url)
    if there.password is not None or "password" in there.query:
        raise click.UsageError(
            "a password on the command line is seen by every user of this machine; put the whole "
            f"URL into {MOVE_TO}, or into a file that {MOVE_TO}_FILE names, and leave it out here."
        )
    return there


def _checked(url: str) -> URL:
    try:
        return make_url(DatabaseSettings(url=url).url)
    except ValidationError as error:
        raise click.UsageError(f"the URL: {explain(error, DatabaseSettings)}.") from error


def _same(one: URL, other: URL) -> bool:
    here, there = upkeep.file_of(one), upkeep.file_of(other)
    if here is not None and there is not None:
        return here.resolve() == there.resolve()
    return (one.host, one.port, one.database) == (other.host, other.port, other.database) and (
        here is None and there is None and one.query.get("host") == other.query.get("host")
    )
