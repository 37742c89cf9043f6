"""What the study of a week found: emerging themes, and the posture at each touchpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select

from . import tables as t
from .database import Database, upsert
from .vocabulary import Basis, Distribution, Sentiment, joined_text

MONTH, PAST = timedelta(weeks=4), timedelta(weeks=12)
"""The days up to a study's Sunday that are new, and those before them that are not."""

_READ = (Basis.TEXT.value, Basis.HUMAN.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A text that a study reads. ``touchpoints`` are those that it speaks of."""

    feedback_id: int
    source: str
    author: str | None
    language: str
    text: str
    negative: bool
    touchpoints: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What one feedback says about one touchpoint, in its own words."""

    feedback_id: int
    words: str
    p: Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """A family of phrases that came up in the last four weeks.

    ``now`` of ``now_of`` texts hold one of the ``phrases``, ``before`` of ``before_of`` texts of
    the twelve weeks before did. ``quotes`` are ids of feedback.
    """

    phrase: str
    phrases: tuple[str, ...]
    touchpoint: str | None
    sources: tuple[str, ...]
    now: int
    now_of: int
    before: int
    before_of: int
    negatives: int
    quotes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Posture:
    """How far the remarks of four weeks show one trait of a touchpoint.

    ``shows`` of ``remarks`` show it, the others contradict it; ``score_sum`` and
    ``score_squares`` add up their scores from 1 (contradicts) to 5 (shows) and the squares.
    """

    touchpoint: str
    trait: str
    remarks: int
    shows: int
    score_sum: float
    score_squares: float


def wanted(db: Database, sunday: date) -> bool:
    """Whether the week that ends on a day has texts and was not studied yet."""
    done = select(t.study.c.week).where(t.study.c.week == sunday - timedelta(days=6))
    with db.read() as connection:
        if connection.execute(done).first() is not None:
            return False
        query = select(t.feedback.c.id).select_from(t.feedback.join(t.annotation))
        found = query.where(_between(sunday - MONTH, sunday), *_legible()).limit(1)
        return connection.execute(found).first() is not None


def _between(after: date, until: date) -> Any:
    """Later than ``after``; by the index, which runs by source and day."""
    everywhere = t.feedback.c.source_id.in_(select(t.source.c.id))
    return everywhere & (t.feedback.c.day > after) & (t.feedback.c.day <= until)


def _legible() -> list[Any]:
    words = func.length(t.feedback.c.title + t.feedback.c.text) > 0
    return [t.annotation.c.basis.in_(_READ), words]


def texts(db: Database, *, after: date, until: date, most: int) -> list[Told]:
    """What was said on some days, at most so many texts, spread evenly over them."""
    here = [_between(after, until), *_legible()]
    origin = t.feedback.join(t.annotation).join(t.source)
    with db.read() as connection:
        count = connection.execute(
            select(func.count()).select_from(origin).where(*here)
        ).scalar_one()
        every = -(-count // most) or 1
        query = (
            select(
                t.feedback.c.id,
                t.source.c.name,
                t.feedback.c.author,
                t.annotation.c.language,
                t.feedback.c.title,
                t.feedback.c.text,
                t.annotation.c.sentiment,
            )
            .select_from(origin)
            .where(*here, t.feedback.c.id % every == 0)
            .order_by(t.feedback.c.id)
        )
        rows = connection.execute(query).all()
        about: dict[int, set[str]] = {}
        aspects = (
            select(t.aspect.c.feedback_id, t.aspect.c.touchpoint)
            .select_from(origin.join(t.aspect, t.aspect.c.feedback_id == t.feedback.c.id))
            .where(*here, t.feedback.c.id % every == 0, t.aspect.c.touchpoint.is_not(None))
        )
        for feedback_id, touchpoint in connection.execute(aspects):
            about.setdefault(feedback_id, set()).add(touchpoint)
    return [
        Told(
            feedback_id=row.id,
            source=row.name,
            author=row.author,
            language=row.language,
            text=joined_text(row.title, row.text),
            negative=row.sentiment == Sentiment.NEGATIVE,
            touchpoints=frozenset(about.get(row.id, ())),
        )
        for row in rows
    ]


def known_before(db: Database, day: date) -> set[str]:
    """Sources that brought something before a day: only there is a new phrase new."""
    query = (
        select(t.source.c.name)
        .join(t.feedback, t.feedback.c.source_id == t.source.c.id)
        .where(t.feedback.c.day < day)
        .distinct()
    )
    with db.read() as connection:
        return set(connection.execute(query).scalars())


def remarks(db: Database, touchpoint: str, *, after: date, until: date, most: int) -> list[Remark]:
    """What was said about a touchpoint, the latest first: the clause, or else the whole text."""
    query = (
        select(
            t.feedback.c.id,
            t.feedback.c.title,
            t.feedback.c.text,
            t.aspect.c.span_start,
            t.aspect.c.span_end,
            t.aspect.c.p_negative,
            t.aspect.c.p_neutral,
            t.aspect.c.p_positive,
        )
        .select_from(t.feedback.join(t.annotation).join(t.aspect))
        .where(_between(after, until), *_legible())
        # As an expression: by its own index every word ever said about it would be read.
        .where(t.aspect.c.touchpoint.concat("") == touchpoint)
        .order_by(t.feedback.c.day.desc(), t.feedback.c.id.desc())
        .limit(most)
    )
    with db.read() as connection:
        rows = connection.execute(query).all()
    return [
        Remark(
            feedback_id=row.id,
            words=joined_text(row.title, row.text)[row.span_start : row.span_end],
            p=Distribution(negative=row.p_negative, neutral=row.p_neutral, positive=row.p_positive),
        )
        for row in rows
    ]


def save(
    db: Database,
    week: date,
    *,
    tagger: str,
    themes: Sequence[Theme],
    postures: Sequence[Posture],
    now: datetime,
) -> None:
    """Keep what a week's study found, instead of what an earlier one did. ``week``: a Monday."""
    with db.write() as connection:
        values = {"tagger": tagger, "built_at": now}
        # First, because it makes a second study of the same week wait for this one.
        connection.execute(
            upsert(connection, t.study)
            .values(week=week, **values)
            .on_conflict_do_update(index_elements=["week"], set_=values)
        )
        for table in (t.theme, t.posture):
            connection.execute(delete(table).where(table.c.week == week))
        if themes:
            rows = [{"week": week, "rank": rank} | _row(theme) for rank, theme in enumerate(themes)]
            connection.execute(insert(t.theme), rows)
        if postures:
            connection.execute(insert(t.posture), [{"week": week} | _row(p) for p in postures])


def _row(found: Theme | Posture) -> dict[str, Any]:
    values = {name: getattr(found, name) for name in found.__dataclass_fields__}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def themes(db: Database, week: date) -> list[Theme]:
    """The emerging themes of the week that begins on a Monday, the strongest first."""
    query = select(t.theme).where(t.theme.c.week == week).order_by(t.theme.c.rank)
    with db.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [Theme(**_fields(row, "week", "rank")) for row in rows]


def postures(db: Database, week: date) -> list[Posture]:
    """The traits that were studied in the week that begins on a Monday."""
    query = select(t.posture).where(t.posture.c.week == week)
    with db.read() as connection:
        rows = connection.execute(query).mappings().all()
    found = [Posture(**_fields(row, "week")) for row in rows]
    return sorted(found, key=lambda each: (each.touchpoint, each.trait))


def _fields(row: Mapping[Any, Any], *other: str) -> dict[str, Any]:
    kept = {str(k): v for k, v in row.items() if k not in other}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()}
