"""The rows of a table, some hundred to a page, and a tally of the ids they gave out."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from ..storage.vocabulary import Feedback
from .collector import Page, Rejected
from .rows import Row, broken_off

PAGE = 500
"""Rows in one transaction."""


class Repeated(ValueError):  # noqa: N818 - no error: there is nothing to mend
    """A row that stands in the file once more, letter by letter."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """A page in the making; ``rows`` is how many rows were read up to its end."""

    items: list[Feedback] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    cells: list[Mapping[str, str]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    repeated: int = 0
    rows: int = 0

    def __len__(self) -> int:
        return len(self.items) + len(self.rejected)

    def take(self, row: Row, read: Callable[[Row], Feedback | None]) -> None:
        """Put one row on the page: as Feedback, or set aside with the reason of a ValueError.

        None is a row that is not about us.
        """
        where = f"row {row.number}"
        try:
            if row.flaw:
                raise ValueError(row.flaw)  # noqa: TRY301 - a bad row is a bad row, whoever says so
            item = read(row)
        except Repeated:
            self.repeated += 1
            return
        except ValueError as error:
            self.rejected.append(Rejected(where=where, reason=str(error), cells=row.cells))
            return
        if item is not None:
            self.items.append(item)
            self.where.append(where)
            self.cells.append(row.cells)

    def page(self, **more: Any) -> Page:
        """The page, with what else it has to say."""
        return Page(
            items=self.items,
            where=self.where,
            cells=self.cells,
            rejected=self.rejected,
            repeated=self.repeated,
            **more,
        )


def batches(
    rows: Iterator[Row], read: Callable[[Row], Feedback | None], path: Path
) -> Iterator[Batch]:
    """Full batches as they come, then the rest; one that is empty only where there is no other.

    Raises Trouble where the file breaks off.
    """
    batch, seen, given = Batch(), 0, 0
    while True:
        try:
            row = next(rows, None)
        except (EOFError, OSError, RuntimeError, zlib.error, BadZipFile) as error:
            raise broken_off(path) from error
        if row is None:
            break
        seen += 1
        batch.take(row, read)
        if len(batch) == PAGE:
            batch.rows = seen
            yield batch
            batch, given = Batch(), given + 1
    if batch or not given:
        batch.rows = seen
        yield batch


class Tally:
    """How often each key was seen; on disk, so that ten million rows need no memory."""

    def __init__(self, resources: ExitStack) -> None:
        self._seen = resources.enter_context(closing(sqlite3.connect("")))
        self._seen.execute("PRAGMA journal_mode = OFF")
        self._seen.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, n INTEGER) WITHOUT ROWID")

    def count(self, key: str) -> int:
        """One more of this key; how many there are now."""
        row = self._seen.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n",
            (key.encode("utf-8", "surrogatepass"),),
        ).fetchone()
        return int(row[0])
