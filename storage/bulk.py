"""Many rows into one table at once: COPY on PostgreSQL, the driver's executemany on SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.exc import DBAPIError


def insert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns; what they do not name gets its default.

    SQLAlchemy's own executemany compiles parameters row by row; here each column's converter is
    asked for once. Raises SQLAlchemy's errors, as every other statement does.
    """
    if not rows:
        return
    names = list(rows[0])
    kinds = [table.c[name].type.dialect_impl(connection.dialect) for name in names]
    bound = [kind.bind_processor(connection.dialect) for kind in kinds]
    columns = list(zip(names, bound, strict=True))
    values = [tuple(to(row[name]) if to else row[name] for name, to in columns) for row in rows]
    target = f"{table.name} ({', '.join(names)})"
    if connection.dialect.name == "postgresql":
        _copy(connection, f"COPY {target} FROM STDIN", values)
    else:
        marks = ", ".join("?" * len(names))
        connection.exec_driver_sql(f"INSERT INTO {target} VALUES ({marks})", values)


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
    highest = select(func.coalesce(func.max(table.c.id), 0))
    first = 1 + (connection.scalar(highest) or 0)
    return list(range(first, first + count))


def _copy(connection: Connection, statement: str, values: list[tuple[Any, ...]]) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in values:
                copy.write_row(row)
    except psycopg.Error as error:
        raise DBAPIError.instance(statement, None, error, psycopg.Error) from error
