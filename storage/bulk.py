"""Many rows into one table at once: COPY on PostgreSQL, the driver's executemany on SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError


def insert_many(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    common: Mapping[str, Any] | None = None,
) -> None:
    """Insert rows that all have the same keys; ``common`` is what every one of them has besides.

    Keys that name no column are left out; columns that nobody names get their default. SQLAlchemy's
    own executemany compiles parameters row by row; here they are converted column by column. Raises
    SQLAlchemy's errors, as every other statement does.
    """
    if not rows:
        return
    columns = {name: [row[name] for row in rows] for name in rows[0] if name in table.c}
    converted = [_converted(connection, table, name, each) for name, each in columns.items()]
    for name, value in (common or {}).items():
        converted.append(_converted(connection, table, name, [value]) * len(rows))
    values = list(zip(*converted, strict=True))
    names = [*columns, *(common or {})]
    target = f"{table.name} ({', '.join(names)})"
    if connection.dialect.name == "postgresql":
        _copy(connection, f"COPY {target} FROM STDIN", values)
    else:
        marks = ", ".join("?" * len(names))
        # Names of our own tables and columns; every value is bound.
        statement = f"INSERT INTO {target} VALUES ({marks})"  # noqa: S608  # nosec B608
        connection.exec_driver_sql(statement, values)


def _converted(connection: Connection, table: Table, name: str, column: list[Any]) -> list[Any]:
    """The values of one column as the driver takes them."""
    kind = table.c[name].type.dialect_impl(connection.dialect)
    convert = kind.bind_processor(connection.dialect)
    return [convert(value) for value in column] if convert else column


def new_ids(connection: Connection, table: Table, count: int) -> list[int]:
    """Ids for rows that are about to be inserted by the transaction at hand.

    PostgreSQL draws them from the column's sequence; SQLite has one writer at a time, so they
    follow the highest one that was ever given.
    """
    if connection.dialect.name == "postgresql":
        drawn = text(
            "SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)"
        )
        return list(connection.scalars(drawn, {"table": table.name, "count": count}))
    # The name of a table of ours.
    highest = f"SELECT coalesce(max(id), 0) FROM {table.name}"  # noqa: S608  # nosec B608
    first = 1 + int(connection.exec_driver_sql(highest).scalar_one())
    return list(range(first, first + count))


def _copy(connection: Connection, statement: str, values: list[tuple[Any, ...]]) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in values:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(statement, None, error, psycopg.Error) from error
