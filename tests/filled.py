"""A database in which every table holds rows, and every text a word that must not leave it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Date, Float, Integer, LargeBinary, SmallInteger, Table, Text, insert, select
from sqlalchemy.types import JSON, Boolean

from ouvidor.storage import tables as t
from ouvidor.storage.database import Database

SECRET = "Maria Aparecida 529.982.247-25"
"""What stands in every text column."""

BEGAN = datetime(2026, 1, 5, 12, 0, 0, 123456, tzinfo=UTC)
_PLAIN: dict[str, Any] = {
    "run.finished_at": BEGAN,
    "alert.closed_at": BEGAN,
    "aspect.topic": None,
    "message.state": "sent",
}


def fill(db: Database, rows: int = 7) -> None:
    """So many rows in each table, whatever tables there are."""
    with db.write() as connection:
        for table in t.metadata.sorted_tables:
            known = [
                connection.scalars(select(key.column).order_by(key.column)).all()
                for key in sorted(table.foreign_keys, key=lambda key: key.parent.name)
            ]
            parents = dict(
                zip(sorted(key.parent.name for key in table.foreign_keys), known, strict=True)
            )
            connection.execute(insert(table), [_row(table, n, parents) for n in range(rows)])


def _row(table: Table, number: int, parents: dict[str, Any]) -> dict[str, Any]:
    row = {}
    for column in table.columns:
        if column.name in parents:
            row[column.name] = parents[column.name][number % len(parents[column.name])]
        elif not (column.name == "id" and column.primary_key):
            row[column.name] = _PLAIN.get(f"{table.name}.{column.name}", _value(column, number))
    return row


def _value(column: Any, number: int) -> Any:
    kinds: dict[type[Any], Any] = {
        t.Instant: BEGAN + timedelta(days=number, microseconds=number),
        Date: date(2026, 1, 5) + timedelta(days=number),
        Boolean: number % 2 == 0,
        SmallInteger: 1 + number % 5,
        Integer: number,
        Float: number / 7,
        LargeBinary: f"{SECRET} {number} \x00".encode(),
        JSON: {"zeta": 1e3, "água": [SECRET, None, True, 0.1], "big": 1e22, "number": -0.0},
        # Letters that a server's own collation orders otherwise than their bytes.
        Text: f"{'aBzÁ_~é'[number % 7]} {SECRET} {number}",
    }
    return next(value for kind, value in kinds.items() if isinstance(column.type, kind))
