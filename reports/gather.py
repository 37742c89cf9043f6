"""What a week holds beside its series: alerts, voices, replies, and what the numbers rest on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, case, func, literal, select

from ..config import Config
from ..storage import alerts as matters
from ..storage import runs, series
from ..storage import tables as t
from ..storage.database import Database
from ..storage.series import WHOLE, Quote
from ..storage.vocabulary import Basis, Kind, Sentiment, SeriesDay
from .scorecard import Scorecard
from .voices import Role, Voice, best, voice
from .week import AlertLine, Replies, SourceWeek, Trust, Turn

WORST = 3
_CANDIDATES = 25
_TINY = 1e-6
_CONTENT_STARS = 4
_UNHAPPY_STARS = 2


_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Span:
    """The week that is being told, from which sources (none: all), and where to look it up."""

    db: Database
    config: Config
    since: date
    until: date
    now: datetime
    sources: tuple[str, ...] = ()
    found: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def chosen(self) -> Any:
        """The condition on ``source`` that the reader wants to hear of it."""
        known = t.source.c.id.is_not(None)
        return known & t.source.c.name.in_(self.sources) if self.sources else known

    @property
    def everywhere(self) -> Any:
        """The condition on ``feedback`` that it is from one of the sources.

        They are named, all of them, because the index runs by source and day: a week costs what
        the week brought, however long the past is.
        """
        return t.feedback.c.source_id.in_(select(t.source.c.id).where(self.chosen))

    @property
    def here(self) -> Any:
        """The condition on ``feedback`` that it counts in this week."""
        return self.everywhere & t.feedback.c.day.between(self.since, self.until)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first moment of the week and the first after it."""
        zone = self.config.brand.zone
        return runs.day_bounds(self.since, zone)[0], runs.day_bounds(self.until, zone)[1]

    def once(self, what: Hashable, find: Callable[[], _Found]) -> _Found:
        """What was found under this name, looked up once: readers share a week."""
        if what not in self.found:
            self.found[what] = find()
        found: _Found = self.found[what]
        return found


def sources(
    config: Config,
    rows: Sequence[SeriesDay],
    since: date,
    until: date,
    wanted: Sequence[str] = (),
) -> set[str]:
    """Sources that matter this week: configured ones, and any other that brought something."""
    configured = {name for name, source in config.sources.items() if source.enabled}
    found = configured | {row.source for row in whole(rows, since, until) if row.total}
    return found & set(wanted) if wanted else found


def whole(rows: Iterable[SeriesDay], since: date, until: date) -> list[SeriesDay]:
    """The rows of whole sources within some days."""
    return [row for row in rows if row.touchpoint == WHOLE and since <= row.day <= until]


def alerts(span: Span, wanted: Sequence[str]) -> list[AlertLine]:
    """What was opened, went on or was closed, the gravest first."""
    start, end = span.bounds
    lines = []
    for alert in span.once("alerts", lambda: matters.listing(span.db, shadow=False)):
        closed = alert.closed_at if alert.closed_at and alert.closed_at <= span.now else None
        told = not wanted or alert.touchpoint in wanted
        told &= not (span.sources and alert.source) or alert.source in span.sources
        if not told or alert.opened_at >= end or (closed and closed < start):
            continue
        turn = Turn.OPENED if alert.opened_at >= start else Turn.GOES_ON
        lines.append(_alert_line(alert, Turn.CLOSED if closed else turn, span))
    lines.sort(key=lambda line: (line.turn is Turn.CLOSED, -line.severity.rank, line.id))
    return lines


def _alert_line(alert: matters.AlertRow, turn: Turn, span: Span) -> AlertLine:
    return AlertLine(
        id=alert.id,
        turn=turn,
        touchpoint=alert.touchpoint,
        source=alert.source,
        severity=alert.severity,
        state=alert.state,
        owner=alert.owner,
        opened_on=alert.opened_at.astimezone(span.config.brand.zone).date(),
        first_day=alert.first_day,
        last_day=alert.last_day,
        observed=alert.observed,
        expected=alert.expected,
        reason=alert.reason,
    )


def rehearsed(span: Span) -> int:
    """How many alerts of the week were found in shadow and told to nobody."""
    query = (
        select(func.count())
        .select_from(t.alert)
        .where(t.alert.c.shadow, t.alert.c.detected_on.between(span.since, span.until))
    )

    def found() -> int:
        with span.db.read() as connection:
            return connection.execute(query).scalar_one()

    return span.once("rehearsed", found)


def voices(span: Span, card: Scorecard, wanted: Sequence[str]) -> list[Voice]:
    """Worst first (one about each of the costliest touchpoints), then typical, then praise.

    Last one whose stars contradict the words, if there is any.
    """
    costly = [score.touchpoint for score in card.costliest]
    loud = sorted(card.scores, key=lambda score: -score.negatives)
    subjects = [*costly, *(each.touchpoint for each in loud if each.touchpoint not in costly)]
    subjects = subjects[:WORST] + ([] if wanted else [WHOLE] * WORST)
    everyone = wanted or [WHOLE]
    with span.db.read() as connection:
        said = {one: _said(connection, span, [one], Sentiment.NEGATIVE) for one in set(subjects)}
        usual = _usual(connection, span, everyone)
        typical = _said(connection, span, everyone, usual, extreme=False)
        praise = _said(connection, span, everyone, Sentiment.POSITIVE)
        odd = _said(connection, span, everyone, Sentiment.NEGATIVE, odd=True)
        odd = odd or _said(connection, span, everyone, Sentiment.POSITIVE, odd=True)
    chosen = _pick([(one, said[one]) for one in subjects], Role.WORST, [])[:WORST]
    chosen += _pick([(WHOLE, typical)], Role.TYPICAL, chosen)
    chosen += _pick([(WHOLE, praise)], Role.PRAISE, chosen)
    chosen += _pick([(WHOLE, odd)], Role.MISMATCH, chosen)
    return [spoken for _, spoken in chosen]


def _pick(
    lists: Iterable[tuple[str, Sequence[Quote]]], role: Role, taken: Sequence[tuple[Quote, Voice]]
) -> list[tuple[Quote, Voice]]:
    """One from each list, nobody twice."""
    picked: list[tuple[Quote, Voice]] = []
    for subject, quotes in lists:
        said = best(quotes, [each for each, _ in (*taken, *picked)])
        spoken = voice(said, role, subject or None) if said else None
        if said and spoken:
            picked.append((said, spoken))
    return picked


def _usual(connection: Connection, span: Span, subjects: Sequence[str]) -> Sentiment:
    """What most people feel: between many furious and many glad the mean is nobody's voice."""
    _, origin, conditions, subject = _about(span, subjects)
    query = (
        select(subject.c.sentiment, func.count())
        .select_from(origin)
        .where(*conditions)
        .group_by(subject.c.sentiment)
        .order_by(func.count().desc(), subject.c.sentiment)
    )
    row = span.once(("usual", *subjects), lambda: connection.execute(query).first())
    return Sentiment(row[0]) if row else Sentiment.NEUTRAL


def _about(span: Span, subjects: Sequence[str]) -> tuple[Any, Any, list[Any], Any]:
    """Score, FROM, conditions and table of feedback with words about the subjects."""
    subject = t.annotation if WHOLE in subjects else t.aspect
    score = subject.c.p_negative + 3 * subject.c.p_neutral + 5 * subject.c.p_positive
    conditions = [span.here, t.annotation.c.basis.in_([Basis.TEXT, Basis.HUMAN])]
    conditions.append(func.length(t.feedback.c.title + t.feedback.c.text) > 0)
    origin = t.feedback.join(t.source).join(t.annotation)
    if subject is t.aspect:
        # As an expression, which no index serves: by its index every word ever said about the
        # touchpoint would be read to find this week's.
        conditions.append(t.aspect.c.touchpoint.concat("").in_(subjects))
        origin = origin.join(t.aspect)
    return score, origin, conditions, subject


def _said(
    connection: Connection,
    span: Span,
    subjects: Sequence[str],
    sentiment: Sentiment,
    *,
    extreme: bool = True,
    odd: bool = False,
) -> list[Quote]:
    """Feedback of one sentiment about the subjects: the most extreme first, or the middle.

    ``odd`` leaves what is surely of this sentiment but has the stars of the other one.
    """
    name = ("said", *subjects, sentiment, extreme, odd)
    query = _saying(span, subjects, sentiment, extreme=extreme, odd=odd)
    return span.once(name, lambda: [series.quote(row) for row in connection.execute(query)])


def _saying(
    span: Span, subjects: Sequence[str], sentiment: Sentiment, *, extreme: bool, odd: bool
) -> Any:
    score, origin, conditions, subject = _about(span, subjects)
    if odd:
        stars, mood = t.feedback.c.stars, t.annotation.c.sentiment
        worse = sentiment is Sentiment.NEGATIVE
        contrary = stars >= _CONTENT_STARS if worse else stars <= _UNHAPPY_STARS
        conditions += [contrary, mood == sentiment, ~t.annotation.c.uncertain]
    conditions.append(subject.c.sentiment == sentiment)
    mean = select(func.avg(score)).select_from(origin).where(*conditions).scalar_subquery()
    outward = -score if sentiment is Sentiment.POSITIVE else score
    order = outward if extreme else func.abs(score - mean)
    return (
        select(
            t.feedback,
            t.source.c.name.label("source"),
            t.annotation.c.language.label("told_language"),
            t.annotation.c.uncertain,
            subject.c.sentiment,
            subject.c.p_negative,
            subject.c.p_neutral,
            subject.c.p_positive,
            *_spans(subject),
        )
        .select_from(origin)
        .where(*conditions)
        .order_by(_rank(order), t.feedback.c.stars.nulls_first(), t.feedback.c.id)
        .limit(_CANDIDATES)
    )


def _rank(order: Any) -> Any:
    """In steps of a fiftieth. What lies half-way is rounded up: databases differ there."""
    return func.round(order * 50 + _TINY)


def _spans(subject: Any) -> list[Any]:
    if subject is t.aspect:
        return [t.aspect.c.span_start, t.aspect.c.span_end]
    return [literal(None).label("span_start"), literal(None).label("span_end")]


def _count(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def replies(span: Span) -> Replies:
    """How much public feedback of the week got an answer."""
    answered = t.feedback.c.reply_text.is_not(None)
    negative = t.annotation.c.sentiment == Sentiment.NEGATIVE
    query = (
        select(func.count(), _count(answered), _count(negative), _count(answered & negative))
        .select_from(t.feedback.outerjoin(t.annotation))
        .where(span.here, t.feedback.c.kind.in_([Kind.REVIEW, Kind.COMPLAINT]))
    )
    with span.db.read() as connection:
        row = connection.execute(query).one()
    return Replies(public=row[0], answered=row[1], negative=row[2], negative_answered=row[3])


def trust(span: Span, rows: Sequence[SeriesDay]) -> Trust:
    """What the week's numbers rest on."""
    told, stars = t.annotation.c.sentiment, t.feedback.c.stars
    mismatch = (stars >= _CONTENT_STARS) & (told == Sentiment.NEGATIVE)
    mismatch |= (stars <= _UNHAPPY_STARS) & (told == Sentiment.POSITIVE)
    counts = select(
        func.count(t.annotation.c.feedback_id),
        _count(t.annotation.c.uncertain),
        _count(t.feedback.c.pending & t.annotation.c.feedback_id.is_(None)),
        _count(t.annotation.c.basis == Basis.HUMAN),
        _count(mismatch & (t.annotation.c.basis == Basis.TEXT)),
    )
    counts = counts.select_from(t.feedback.outerjoin(t.annotation)).where(span.here)
    with span.db.read() as connection:
        annotated, uncertain, pending, corrected, mismatches = connection.execute(counts).one()
        languages = _grouped(connection, span, t.annotation.c.language)
        taggers = _grouped(connection, span, t.annotation.c.tagger)
    return Trust(
        sources=tuple(_source_weeks(span, rows)),
        languages=tuple(languages),
        taggers=tuple(tagger for tagger, _ in taggers),
        annotated=annotated,
        uncertain=uncertain,
        pending=pending,
        corrected=corrected,
        mismatches=mismatches,
    )


def _grouped(connection: Connection, span: Span, column: Any) -> list[tuple[str, int]]:
    query = (
        select(column, func.count())
        .select_from(t.feedback.join(t.annotation))
        .where(span.here)
        .group_by(column)
    )
    found = [(name, count) for name, count in connection.execute(query)]
    # Sorted here: a server sorts words by the rules of some language.
    return sorted(found, key=lambda each: (-each[1], each[0] or ""))


def _source_weeks(span: Span, rows: Sequence[SeriesDay]) -> list[SourceWeek]:
    """One line a source, those in trouble first; a configured one that never ran among them."""
    known = {status.name: status for status in runs.statuses(span.db, counted=False)}
    week = whole(rows, span.since, span.until)
    names = sources(span.config, rows, span.since, span.until, span.sources)
    read = {name: sum(row.observed for row in week if row.source == name) for name in names}
    lines = [_source_week(name, read[name], known.get(name), span.now) for name in sorted(names)]
    return sorted(lines, key=lambda line: not line.trouble)


def _source_week(
    name: str, days: int, status: runs.SourceStatus | None, now: datetime
) -> SourceWeek:
    newest = status.last_new_at if status else None
    return SourceWeek(
        name=name,
        observed_days=days,
        outcome=status.outcome if status else None,
        message=status.message if status else "",
        last_run_at=status.last_run_at if status else None,
        last_new_at=newest,
        silent_days=(now - newest).days if newest else None,
    )
