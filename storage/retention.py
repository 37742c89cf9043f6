"""What is not kept for ever."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete

from . import tables as t
from .database import Database


def drop_payloads(db: Database, *, before: datetime) -> int:
    """Drop raw payloads that were seen before a moment; feedback itself stays. Returns how many."""
    with db.write() as connection:
        return connection.execute(delete(t.payload).where(t.payload.c.seen_at < before)).rowcount
