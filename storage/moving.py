"""An installation taken from one database to another, row by row, and proved.

The old database is only read. The new one keeps a note of the move in a table of its own, so that
a move that was killed goes on and a strange database is never written into.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import zip_longest
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from . import tables as t
from .bulk import insert_many
from .database import Database, StorageError

PAGE = 1000
"""Rows that one transaction of the new database takes."""

_note = Table(
    "move",
    MetaData(),
    Column("installation", Text, primary_key=True),
    Column("started_at", t.Instant, nullable=False),
    Column("finished_at", t.Instant),
)
_EXACT = 2**53
"""Above this a double holds no whole number exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What came of a move: rows and hash of every table, the same in both databases.

    ``copied`` rows were written by this call; ``already`` says that the move was complete before.
    """

    rows: dict[str, int]
    hashes: dict[str, str]
    copied: int
    already: bool


def move(
    old: Database,
    new: Database,
    *,
    now: datetime,
    page: int = PAGE,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Moved:
    """Copy every table from one migrated database into another and compare them row by row.

    Ids stay. Writers of the old database wait meanwhile. Call it again after a kill and it goes
    on. Raises StorageError when the new database holds anything else, or a row came out unlike.
    """
    with old.write() as source:
        if not old.embedded:
            names = ", ".join(table.name for table in t.metadata.sorted_tables)
            source.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
        who = _installation(source)
        if _begun(new, who, now) is not None:
            return _finished(source, new)
        if not _on_the_way(source, new):
            _emptied(new)
        copied = sum(
            _copied(source, new, table, page, progress) for table in t.metadata.sorted_tables
        )
        _set_sequences(new)
        hashes = _compared(source, new)
        with new.write() as target:
            target.execute(update(_note).values(finished_at=now))
        rows = {table.name: _count(source, table) for table in t.metadata.sorted_tables}
        return Moved(rows=rows, hashes=hashes, copied=copied, already=False)


def remaining(old: Database, new: Database) -> int:
    """Rows the old database has more than the new one: how far a move has to go."""
    with old.read() as source, new.read() as target:
        tables = t.metadata.sorted_tables
        return max(0, sum(_count(source, each) - _count(target, each) for each in tables))


def _installation(source: Connection) -> str:
    """What tells this installation from any other: when it first knew a source."""
    first = source.execute(select(t.source).order_by(t.source.c.id).limit(1)).first()
    said = "nothing" if first is None else f"{first.id} {first.name} {first.created_at.isoformat()}"
    return hashlib.sha256(said.encode()).hexdigest()


def _begun(new: Database, who: str, now: datetime) -> datetime | None:
    """Note the move in the new database; the moment it was finished, if it was.

    Raises StorageError when the database belongs to somebody else.
    """
    with new.write() as target:
        _note.metadata.create_all(target)
        known = target.execute(select(_note)).first()
        if known is None:
            if filled := _filled(target):
                raise StorageError(
                    f"The database {_where(new)} holds data of another installation (in "
                    f"{filled[0]}); nothing was changed. Name an empty one."
                )
            target.execute(insert(_note).values(installation=who, started_at=now))
            return None
        if known.installation != who:
            raise StorageError(
                f"The database {_where(new)} holds a move of another installation; nothing was "
                "changed. Name an empty one."
            )
        finished: datetime | None = known.finished_at
        return finished


def _where(db: Database) -> str:
    return db.engine.url.render_as_string(hide_password=True)


def _filled(connection: Connection) -> list[str]:
    tables = t.metadata.sorted_tables
    return [each.name for each in tables if connection.scalar(select(exists().select_from(each)))]


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _finished(source: Connection, new: Database) -> Moved:
    with new.read() as target:
        rows = {table.name: _count(target, table) for table in t.metadata.sorted_tables}
        lost = [table for table in t.metadata.sorted_tables if _count(source, table)]
    if lost and not sum(rows.values()):
        raise StorageError(
            f"The move to {_where(new)} was complete, but it is empty now; name another database."
        )
    return Moved(rows=rows, hashes={}, copied=0, already=True)


def _on_the_way(source: Connection, new: Database) -> bool:
    """Whether all that a broken-off move left is still what the old database says."""
    with new.read() as target:
        for table in t.metadata.sorted_tables:
            if (last := _last(target, table)) is None:
                continue
            both = zip_longest(
                _prints(source, table, _up_to(source, table, last)), _prints(target, table)
            )
            if any(one != other for one, other in both):
                return False
    return True


def _emptied(new: Database) -> None:
    """Begin anew: the old database has changed since a move was broken off."""
    with new.write() as target:
        for table in reversed(t.metadata.sorted_tables):
            target.execute(delete(table))


def _keys(connection: Connection, table: Table) -> list[ColumnElement[Any]]:
    """The primary key in an order that both databases share: letters by their code points."""
    plain = connection.dialect.name == "sqlite"
    return [
        column if plain or not isinstance(column.type, Text) else column.collate("C")
        for column in table.primary_key.columns
    ]


def _last(connection: Connection, table: Table) -> Row[Any] | None:
    """The key of the last row."""
    keys = _keys(connection, table)
    plain = select(*table.primary_key.columns)
    return connection.execute(plain.order_by(*(key.desc() for key in keys)).limit(1)).first()


def _up_to(connection: Connection, table: Table, last: Sequence[Any]) -> ColumnElement[bool]:
    return ~_after(connection, table, last)


def _after(connection: Connection, table: Table, last: Sequence[Any]) -> ColumnElement[bool]:
    """Rows whose key comes after ``last``: (a, b) > (x, y), spelled out for every type."""
    keys = _keys(connection, table)
    return or_(
        *(
            and_(
                *(key == value for key, value in zip(keys[:n], last[:n], strict=True)),
                keys[n] > last[n],
            )
            for n in range(len(keys))
        )
    )


def _in_order(connection: Connection, table: Table) -> Select[Any]:
    return select(table).order_by(*_keys(connection, table))


def _copied(
    source: Connection, new: Database, table: Table, page: int, progress: Callable[[int], None]
) -> int:
    """Copy what the new database has not yet of a table; returns how many rows."""
    query = _in_order(source, table)
    with new.read() as target:
        last = _last(target, table)
    if last is not None:
        query = query.where(_after(source, table, last))
    done = 0
    with source.execute(query.execution_options(yield_per=page)) as found:
        for rows in found.mappings().partitions(page):
            _take(new, table, rows)
            done += len(rows)
            progress(len(rows))
    return done


def _take(new: Database, table: Table, rows: Sequence[Any]) -> None:
    try:
        with new.write() as target:
            insert_many(target, table, rows)
    except DBAPIError as error:
        key = ", ".join(str(rows[0][column.name]) for column in table.primary_key.columns)
        detail = " ".join(str(error.orig).split())[:200]
        raise StorageError(
            f"The new database does not take rows of {table.name} (from {key} on): {detail}. The "
            "old one is untouched; mend the row there, or report this, and move again."
        ) from error


def _set_sequences(new: Database) -> None:
    """The next id follows the highest one; SQLite does that by itself."""
    if new.embedded:
        return
    with new.write() as target:
        for table in t.metadata.sorted_tables:
            if "id" in table.c:
                sequence = func.pg_get_serial_sequence(table.name, "id")
                last = func.max(table.c.id)
                target.execute(
                    select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None)))
                )


def _compared(source: Connection, new: Database) -> dict[str, str]:
    """One hash a table, after each row was compared. Raises StorageError at the first unlike."""
    hashes = {}
    with new.read() as target:
        for table in t.metadata.sorted_tables:
            whole = hashlib.sha256()
            for one, other in zip_longest(_prints(source, table), _prints(target, table)):
                if one != other:
                    key = (one or other or ("?",))[0]
                    raise StorageError(
                        f"The row {key} of {table.name} came out unlike in the new database, so "
                        "the move is not complete; the old one is untouched. Report this."
                    )
                whole.update(one[1])
            hashes[table.name] = whole.hexdigest()
    return hashes


def _prints(
    connection: Connection, table: Table, where: ColumnElement[bool] | None = None
) -> Iterator[tuple[str, bytes]]:
    """The key and the SHA-256 of every row, in the order of the keys."""
    query = _in_order(connection, table)
    if where is not None:
        query = query.where(where)
    keys = [column.name for column in table.primary_key.columns]
    at = [list(table.c.keys()).index(name) for name in keys]
    with connection.execute(query.execution_options(yield_per=PAGE)) as found:
        for row in found:
            said = json.dumps([_plain(value) for value in row], ensure_ascii=True, sort_keys=True)
            yield ", ".join(str(row[each]) for each in at), hashlib.sha256(said.encode()).digest()


def _plain(value: Any) -> Any:
    """A value as both databases say it: JSON numbers lose their spelling, moments their zone."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return hashlib.sha256(value).hexdigest()
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return _number(value) if number else value


def _number(value: float) -> int | float:
    """PostgreSQL writes 1e3 as 1000 and tells no minus zero."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return float(value) if abs(value) >= _EXACT else value
