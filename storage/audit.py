"""The book of who did what when, with what is personal or decided.

It holds ids, counts and names of the configuration, and who typed; never a word that a person
wrote, a name, a pseudonym or a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from . import tables as t
from .database import Database

_PAGE = 1000
MOST_IDS = 100
"""So many ids stand in one line; their number is always whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line: at ``at`` the user ``by`` of the machine did ``what`` about ``about``."""

    id: int
    at: datetime
    by: str
    what: str
    about: dict[str, Any]


def ids(found: list[int]) -> dict[str, Any]:
    """Feedback by its ids, as a line tells it."""
    return {"count": len(found), "feedback": sorted(found)[:MOST_IDS]}


def note(db: Database, what: str, *, by: str, at: datetime, about: Mapping[str, Any]) -> None:
    """Write one line."""
    with db.write() as connection:
        note_in(connection, what, by=by, at=at, about=about)


def note_in(
    connection: Connection, what: str, *, by: str, at: datetime, about: Mapping[str, Any]
) -> None:
    """Write one line in the caller's transaction."""
    connection.execute(insert(t.audit).values(at=at, by=by, what=what, about=dict(about)))


def entries(db: Database, *, since: datetime) -> Iterator[Entry]:
    """The lines from a moment on, the newest first."""
    query = select(t.audit).where(t.audit.c.at >= since).order_by(t.audit.c.id.desc())
    with db.read() as connection:
        for row in connection.execution_options(yield_per=_PAGE).execute(query):
            yield Entry(id=row.id, at=row.at, by=row.by, what=row.what, about=row.about)


def drop(connection: Connection, *, before: datetime) -> int:
    """Drop lines from before a moment; returns how many."""
    return connection.execute(delete(t.audit).where(t.audit.c.at < before)).rowcount
