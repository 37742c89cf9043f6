"""Complaint sites and surveys of a week, counted in the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Float, and_, case, cast, func, or_, select

from ..storage import tables as t
from ..storage.vocabulary import Kind
from .news import Question, SiteWeek, SurveyWeek, survey
from .scorecard import BEFORE

if TYPE_CHECKING:
    from .gather import Span

LOOK_BACK = timedelta(weeks=13)
"""How old a complaint may be to count as waiting, answered or judged."""

_GONE = ("deactivated", "inactive")
_YES = "true"
_KEYS = {
    Question.NPS: ("nps", "NPS", "Nps", "nota_nps", "nps_score"),
    Question.CSAT: ("csat", "CSAT", "Csat", "nota_csat", "csat_score"),
}


def attribute(name: str) -> Any:
    """An attribute of a feedback as text; NULL where it has none of this name."""
    return t.feedback.c.attributes[name].as_string()


def sites(span: Span) -> list[SiteWeek]:
    """Every source of complaints that something happened at, in the order of their names."""
    with span.db.read() as connection:
        found = [_site(connection, span, *each) for each in _complaining(connection, span)]
    return [site for site in found if not site.quiet]


def _complaining(connection: Connection, span: Span) -> list[tuple[int, str]]:
    """Sources whose latest feedback is a complaint: a source brings one kind."""
    query = select(t.source.c.id, t.source.c.name).where(span.chosen)
    latest = (
        select(t.feedback.c.kind)
        .where(t.feedback.c.source_id == t.source.c.id, t.feedback.c.day <= span.until)
        .order_by(t.feedback.c.day.desc(), t.feedback.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(query.where(latest == Kind.COMPLAINT))
    return sorted(((row.id, row.name) for row in rows), key=itemgetter(1))


def _site(connection: Connection, span: Span, source_id: int, name: str) -> SiteWeek:
    start, end = span.bounds
    here = and_(
        t.feedback.c.source_id == source_id,
        t.feedback.c.kind == Kind.COMPLAINT,
        t.feedback.c.day.between(span.until - LOOK_BACK, span.until),
    )
    answered = or_(
        func.coalesce(attribute("answered"), "") == _YES,
        t.feedback.c.reply_text.is_not(None),
    )
    shown = func.coalesce(attribute("status"), "").not_in(_GONE)
    came = t.feedback.c.day >= span.since
    # What is closed can no longer be answered.
    waiting = and_(~answered, shown, attribute("finished_on").is_(None))
    # Where the site tells no moment, it tells the day on which the complaint was closed.
    closed = and_(
        attribute("evaluated_at").is_(None),
        attribute("finished_on").between(span.since.isoformat(), span.until.isoformat()),
    )
    judged = and_(
        func.coalesce(attribute("evaluated"), "") == _YES,
        or_(_within(attribute("evaluated_at"), start, end), closed),
    )
    query = select(
        _count(came),
        _count(and_(came, answered)),
        _count(waiting),
        func.min(case((waiting, t.feedback.c.published_at))),
        _count(judged),
        _count(and_(judged, attribute("resolved") == _YES)),
        _count(and_(judged, attribute("resolved").is_not(None))),
        _count(and_(judged, attribute("would_return") == _YES)),
        _count(and_(judged, attribute("would_return").is_not(None))),
        _count(and_(judged, attribute("score").is_not(None))),
        func.avg(case((judged, cast(attribute("score"), Float)))),
        _count(or_(attribute("answered").is_not(None), t.feedback.c.reply_text.is_not(None))),
    ).where(here)
    row = connection.execute(query).one()
    times = _times(connection, here, start, end)
    oldest = row[3].replace(tzinfo=row[3].tzinfo or UTC) if row[3] else None
    return SiteWeek(
        source=name,
        came=row[0],
        came_answered=row[1],
        tells=row[11] > 0,
        # Where answers are never told, no answer is no news.
        due=row[2] if row[11] else 0,
        oldest_days=(end - oldest).days if oldest and row[11] else None,
        replied=len(times),
        median=timedelta(seconds=median(each.total_seconds() for each in times)) if times else None,
        judged=row[4],
        resolved=row[5],
        resolved_of=row[6],
        returning=row[7],
        returning_of=row[8],
        scored=row[9],
        score=row[10],
    )


def _count(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _within(written: Any, start: datetime, end: datetime) -> Any:
    """Whether a moment as text lies in the week. Attributes hold them in UTC: they sort as text."""
    return and_(written >= _plain(start), written < _plain(end))


def _plain(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()[:19]


def _times(connection: Connection, here: Any, start: datetime, end: datetime) -> list[timedelta]:
    """How long each complaint that was answered in the week had waited."""
    own = _within(attribute("answered_at"), start, end)
    bare = and_(
        attribute("answered_at").is_(None),
        t.feedback.c.reply_at >= start,
        t.feedback.c.reply_at < end,
    )
    query = select(
        t.feedback.c.published_at, attribute("answered_at"), t.feedback.c.reply_at
    ).where(here, or_(own, bare), t.feedback.c.published_at.is_not(None))
    pairs = [
        (published, datetime.fromisoformat(written) if written else reply_at)
        for published, written, reply_at in connection.execute(query)
    ]
    return [answered - published for published, answered in pairs if answered >= published]


def surveys(span: Span) -> list[SurveyWeek]:
    """NPS and CSAT, source by source: as attributes, or as a survey's own note from 0 to 10."""
    before = span.since - BEFORE
    now = t.feedback.c.day >= span.since
    note = case((t.feedback.c.rating_scale == "0-10", t.feedback.c.rating))
    answers = {
        Question.NPS: func.coalesce(*map(attribute, _KEYS[Question.NPS]), note),
        Question.CSAT: func.coalesce(*map(attribute, _KEYS[Question.CSAT])),
    }
    found: list[SurveyWeek] = []
    with span.db.read() as connection:
        for question, answer in answers.items():
            told = (
                select(t.source.c.name, now.label("now"), answer.label("answer"))
                .select_from(t.feedback.join(t.source))
                .where(
                    span.everywhere,
                    t.feedback.c.day.between(before, span.until),
                    t.feedback.c.kind == Kind.SURVEY,
                )
                .subquery()
            )
            query = (
                select(told, func.count().label("times"))
                .where(told.c.answer.is_not(None))
                .group_by(*told.c)
            )
            found += _by_source(question, connection.execute(query).all())
    return sorted(found, key=lambda each: (each.source, each.question))


def _by_source(question: Question, rows: Sequence[Any]) -> list[SurveyWeek]:
    told = [
        survey(
            source,
            question,
            [(row.answer, row.times) for row in rows if row.name == source and row.now],
            [(row.answer, row.times) for row in rows if row.name == source and not row.now],
        )
        for source in sorted({row.name for row in rows})
    ]
    return [each for each in told if each]
