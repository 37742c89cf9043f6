"""The one set of numbers scorecard, digest and alerts share: per touchpoint, source and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from math import isclose
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    union_all,
)

from . import tables as t
from .database import Database, upsert
from .vocabulary import Distribution, Sentiment, SeriesDay

WHOLE = ""
"""The touchpoint id that stands for everything a source brought."""

_BATCH = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One feedback as evidence, with the aspect that makes it so.

    ``p`` is about the touchpoint asked for (or the whole text), ``span`` a range of characters of
    ``joined_text(title, text)``.
    """

    feedback_id: int
    source: str
    kind: str
    day: date | None
    published_at: datetime | None
    title: str
    text: str
    stars: int | None
    language: str
    url: str | None
    author: str | None
    attributes: Mapping[str, str]
    p: Distribution
    sentiment: Sentiment
    span: tuple[int, int] | None
    uncertain: bool

    @property
    def score(self) -> float:
        """1–5, from the probabilities."""
        return self.p.score


def refresh(db: Database) -> int:
    """Count the dirty days again; returns how many (source, day) pairs there were.

    Every reader of series calls this first: a day is never shown half counted.
    """
    done = 0
    while batch := _refresh_batch(db):
        done += batch
    return done


def _refresh_batch(db: Database) -> int:
    with db.read() as connection:
        if connection.execute(select(t.dirty_day.c.day).limit(1)).first() is None:
            return 0
    with db.write() as connection:
        if not db.embedded:
            # As on SQLite: one counts at a time, and whoever marks days is done or has not begun.
            connection.execute(text("LOCK TABLE dirty_day IN SHARE ROW EXCLUSIVE MODE"))
        chosen = connection.execute(select(t.dirty_day).limit(_BATCH)).all()
        by_source: dict[int, list[date]] = {}
        for row in chosen:
            by_source.setdefault(row.source_id, []).append(row.day)
        for source_id, days in by_source.items():
            connection.execute(
                delete(t.series).where(t.series.c.source_id == source_id, t.series.c.day.in_(days))
            )
            columns = [column.name for column in t.series.c]
            connection.execute(insert(t.series).from_select(columns, _counted(source_id, days)))
            connection.execute(
                delete(t.dirty_day).where(
                    t.dirty_day.c.source_id == source_id, t.dirty_day.c.day.in_(days)
                )
            )
    return len(chosen)


def _score(table: Any) -> Any:
    return table.c.p_negative + 3 * table.c.p_neutral + 5 * table.c.p_positive


def _sums(table: Any) -> list[Any]:
    negative = case((table.c.sentiment == Sentiment.NEGATIVE.value, 1), else_=0)
    return [
        func.coalesce(func.sum(negative), 0).label("negatives"),
        func.count(table.c.sentiment).label("mentions"),
    ]


def _counted(source_id: int, days: list[date]) -> Any:
    """One statement: the source's own row ('') and one row per touchpoint for each day."""
    here = (t.feedback.c.source_id == source_id) & t.feedback.c.day.in_(days)
    totals = (
        select(t.feedback.c.day, func.count().label("total"))
        .where(here)
        .group_by(t.feedback.c.day)
        .subquery()
    )
    score = _score(t.annotation)
    whole = (
        select(
            literal(source_id),
            t.feedback.c.day,
            literal(WHOLE),
            *_sums(t.annotation),
            func.count().label("total"),
            func.coalesce(func.sum(score), 0.0),
            func.coalesce(func.sum(score * score), 0.0),
        )
        .select_from(t.feedback.outerjoin(t.annotation))
        .where(here)
        .group_by(t.feedback.c.day)
    )
    score = _score(t.aspect)
    each = (
        select(
            literal(source_id),
            t.feedback.c.day,
            t.aspect.c.touchpoint,
            *_sums(t.aspect),
            func.max(totals.c.total).label("total"),
            func.sum(score),
            func.sum(score * score),
        )
        .select_from(t.feedback.join(t.aspect))
        .join(totals, totals.c.day == t.feedback.c.day)
        .where(here, t.aspect.c.touchpoint.is_not(None))
        .group_by(t.feedback.c.day, t.aspect.c.touchpoint)
    )
    return union_all(whole, each)


def rebuild(db: Database) -> int:
    """Count everything again from the raw tables."""
    days = select(t.feedback.c.source_id, t.feedback.c.day).where(t.feedback.c.day.is_not(None))
    with db.write() as connection:
        connection.execute(delete(t.series))
        statement = upsert(connection, t.dirty_day).from_select(
            ["source_id", "day"], days.distinct().where(literal(value=True))
        )
        connection.execute(statement.on_conflict_do_nothing())
    return refresh(db)


def astray(db: Database) -> int:
    """How many counted rows are not what the raw tables say; none, or `rebuild` mends them."""
    refresh(db)
    wrong = 0
    with db.read() as connection:
        for source_id in connection.scalars(select(t.source.c.id)).all():
            known = select(t.feedback.c.day).where(t.feedback.c.source_id == source_id)
            stored = select(t.series.c.day).where(t.series.c.source_id == source_id)
            both = known.where(t.feedback.c.day.is_not(None)).union(stored)
            days = sorted(connection.scalars(both))
            for start in range(0, len(days), _BATCH):
                wrong += _astray(connection, source_id, days[start : start + _BATCH])
    return wrong


def _astray(connection: Connection, source_id: int, days: list[date]) -> int:
    here = (t.series.c.source_id == source_id) & t.series.c.day.in_(days)
    stored = {row[1:3]: row[3:] for row in connection.execute(select(t.series).where(here))}
    true = {row[1:3]: row[3:] for row in connection.execute(_counted(source_id, days))}
    return sum(not _same(stored.get(key), true.get(key)) for key in stored.keys() | true.keys())


def _same(one: Sequence[Any] | None, other: Sequence[Any] | None) -> bool:
    """Whether two rows of figures agree; sums of fractions depend on their order."""
    if one is None or other is None:
        return False
    return all(isclose(*pair, abs_tol=1e-6) for pair in zip(one, other, strict=True))


def daily(
    db: Database, *, since: date, until: date, touchpoints: Sequence[str] | None = None
) -> list[SeriesDay]:
    """Every source × touchpoint × day from ``since`` to ``until``, both included, zero-filled.

    Touchpoints are those asked for, or all that ever had a mention, and always ``''`` (the whole
    source). ``observed`` says that the day was wholly covered: a zero elsewhere proves nothing.
    """
    refresh(db)
    with db.read() as connection:
        names = {
            row.id: row.name for row in connection.execute(select(t.source.c.id, t.source.c.name))
        }
        counted = {
            (row.source_id, row.touchpoint, row.day): row
            for row in connection.execute(
                select(t.series).where(t.series.c.day.between(since, until))
            )
        }
        whole = select(t.coverage.c.source_id, t.coverage.c.day).where(
            t.coverage.c.whole, t.coverage.c.day.between(since, until)
        )
        covered = {(row.source_id, row.day) for row in connection.execute(whole)}
        if touchpoints is None:
            touchpoints = list(
                connection.execute(select(t.series.c.touchpoint).distinct()).scalars()
            )
    span = [since + timedelta(days=step) for step in range((until - since).days + 1)]
    return [
        _series_day(names[source_id], touchpoint, day, counted, source_id, covered)
        for source_id in names
        for touchpoint in sorted({WHOLE, *touchpoints})
        for day in span
    ]


def _series_day(
    source: str,
    touchpoint: str,
    day: date,
    counted: Mapping[tuple[int, str, date], Row[Any]],
    source_id: int,
    covered: set[tuple[int, date]],
) -> SeriesDay:
    row = counted.get((source_id, touchpoint, day))
    whole = counted.get((source_id, WHOLE, day))
    return SeriesDay(
        touchpoint=touchpoint,
        source=source,
        day=day,
        negatives=row.negatives if row else 0,
        mentions=row.mentions if row else 0,
        total=whole.total if whole else 0,
        score_sum=row.score_sum if row else 0.0,
        score_squares=row.score_squares if row else 0.0,
        observed=(source_id, day) in covered,
    )


def first_day(db: Database) -> date | None:
    """The earliest day anything counts on."""
    refresh(db)
    with db.read() as connection:
        return connection.execute(select(func.min(t.series.c.day))).scalar()


def quotes(
    db: Database,
    *,
    touchpoint: str = WHOLE,
    source: str | None = None,
    since: date,
    until: date,
    sentiment: Sentiment | None = None,
    limit: int | None = None,
) -> list[Quote]:
    """Feedback of a span of days as evidence, the most negative first.

    With a touchpoint, only feedback that speaks of it, judged by that aspect.
    """
    subject = t.aspect if touchpoint else t.annotation
    query = _quotes(touchpoint).where(t.feedback.c.day.between(since, until))
    if source:
        query = query.where(t.source.c.name == source)
    if sentiment is not None:
        query = query.where(subject.c.sentiment == sentiment.value)
    query = query.order_by(subject.c.p_negative.desc(), t.feedback.c.id)
    if limit is not None:
        query = query.limit(limit)
    with db.read() as connection:
        return [quote(row) for row in connection.execute(query)]


def _quotes(touchpoint: str) -> Select[Any]:
    subject = t.aspect if touchpoint else t.annotation
    columns = [subject.c.sentiment, subject.c.p_negative, subject.c.p_neutral, subject.c.p_positive]
    spans = (
        [t.aspect.c.span_start, t.aspect.c.span_end]
        if touchpoint
        else [literal(None).label("span_start"), literal(None).label("span_end")]
    )
    query = (
        select(
            t.feedback,
            t.source.c.name.label("source"),
            t.annotation.c.language.label("told_language"),
            t.annotation.c.uncertain,
            *columns,
            *spans,
        )
        .select_from(t.feedback)
        .join(t.source)
        .join(t.annotation)
    )
    if touchpoint:
        query = query.join(t.aspect).where(t.aspect.c.touchpoint == touchpoint)
    return query


def quotes_of(db: Database, ids: Sequence[int]) -> list[Quote]:
    """Feedback by id, in the order of the ids; what was erased is left out."""
    query = _quotes(WHOLE).where(t.feedback.c.id.in_(ids))
    with db.read() as connection:
        found = {row.id: quote(row) for row in connection.execute(query)}
    return [found[each] for each in ids if each in found]


def moved(said: Quote, span: tuple[int, int]) -> Quote:
    """The same feedback with its evidence elsewhere in the text."""
    return replace(said, span=span)


def quote(row: Row[Any]) -> Quote:
    """A row of feedback × annotation (× aspect) as a Quote."""
    return Quote(
        feedback_id=row.id,
        source=row.source,
        kind=row.kind,
        day=row.day,
        published_at=row.published_at,
        title=row.title,
        text=row.text,
        stars=row.stars,
        language=row.told_language,
        url=row.url,
        author=row.author,
        attributes=row.attributes,
        p=Distribution(negative=row.p_negative, neutral=row.p_neutral, positive=row.p_positive),
        sentiment=Sentiment(row.sentiment),
        span=None if row.span_start is None else (row.span_start, row.span_end),
        uncertain=row.uncertain,
    )
