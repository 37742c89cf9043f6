"""What each subscriber was told of each week, and the team's own assessments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from . import tables as t
from .database import Database, upsert


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The team's own 1–5 note on a touchpoint."""

    touchpoint: str
    score: int
    note: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one subscriber's week: a message, or the reason why there is none."""

    subscriber: str
    week: str
    built_at: datetime
    skipped: str | None
    data: Mapping[str, Any]


def record(
    connection: Connection,
    *,
    subscriber: str,
    week: str,
    now: datetime,
    skipped: str | None,
    data: Mapping[str, Any],
) -> None:
    """Remember the digest of a week; the first one stays."""
    values = {
        "subscriber": subscriber,
        "week": week,
        "built_at": now,
        "skipped": skipped,
        "data": dict(data),
    }
    connection.execute(upsert(connection, t.digest).values(values).on_conflict_do_nothing())


def get(db: Database, subscriber: str, week: str) -> Told | None:
    """What a subscriber was told of a week, or None."""
    query = select(t.digest).where(t.digest.c.subscriber == subscriber, t.digest.c.week == week)
    with db.read() as connection:
        row = connection.execute(query).first()
    return Told(**row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's public name for a row's mapping


def told(db: Database, week: str, subscribers: Collection[str]) -> set[str]:
    """Who of them was told the week: a message was put."""
    query = select(t.digest.c.subscriber).where(
        t.digest.c.subscriber.in_(subscribers),
        t.digest.c.week == week,
        t.digest.c.skipped.is_(None),
    )
    with db.read() as connection:
        return set(connection.execute(query).scalars())


def of_weeks(db: Database, subscriber: str, weeks: Collection[str]) -> dict[str, Told]:
    """What became of a subscriber's weeks, by week."""
    query = select(t.digest).where(t.digest.c.subscriber == subscriber, t.digest.c.week.in_(weeks))
    with db.read() as connection:
        return {row["week"]: Told(**row) for row in connection.execute(query).mappings()}


def assess(db: Database, touchpoint: str, score: int, *, by: str, note: str, now: datetime) -> None:
    """Keep the team's note, dated; earlier ones stay."""
    with db.write() as connection:
        connection.execute(
            insert(t.assessment).values(
                touchpoint=touchpoint, score=score, by=by, note=note, at=now
            )
        )


def assessments(db: Database, *, until: datetime) -> dict[str, Assessment]:
    """The latest note of each touchpoint up to a moment."""
    query = select(t.assessment).where(t.assessment.c.at <= until).order_by(t.assessment.c.id)
    with db.read() as connection:
        return {
            row.touchpoint: Assessment(
                touchpoint=row.touchpoint, score=row.score, note=row.note, by=row.by, at=row.at
            )
            for row in connection.execute(query)
        }
