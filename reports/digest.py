"""The week told: built from the series and the tables, put into the outbox once a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select

from ..config import Config
from ..storage import digests, outbox, runs, series
from ..storage import tables as t
from ..storage.database import Database
from ..storage.series import WHOLE
from ..storage.vocabulary import SeriesDay
from . import gather, letter, mail
from .delivery_errors import Permanent
from .scorecard import BEFORE, Scorecard, scorecard
from .week import WEEK, Digest, Share, WeekError, WeekPoint, last_complete_week, parse_week

TREND_WEEKS = 8
_CHAT = "chat/"
_TOLD = "this week was told already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What became of one reader's week. ``skipped`` says why there is no new message.

    A reader is a subscriber, an address (``digest --to``) or ``chat/NAME``.
    """

    subscriber: str
    channel: str
    recipient: str
    week: str
    key: str
    skipped: str | None


def scores(db: Database, config: Config, *, since: date, until: date) -> Scorecard:
    """The scorecard of any span of days, both included."""
    rows = series.daily(db, since=since - BEFORE, until=until, touchpoints=list(config.touchpoints))
    return _scorecard(db, config, rows, since, until)


def _scorecard(
    db: Database, config: Config, rows: Sequence[SeriesDay], since: date, until: date
) -> Scorecard:
    end = runs.day_bounds(until, config.brand.zone)[1]
    known = gather.sources(config, rows, since - BEFORE, until)
    rows = [row for row in rows if row.source in known]
    noted = {key: each.score for key, each in digests.assessments(db, until=end).items()}
    return scorecard(rows, config.touchpoints, since=since, until=until, assessments=noted)


def build(
    db: Database,
    config: Config,
    *,
    now: datetime,
    week: str | None = None,
    subscriber: str = "",
    locale: str | None = None,
) -> Digest:
    """One week as values, for a reader of the configuration or ('') the whole journey.

    ``week`` is an ISO week, by default the last complete one in the brand's zone. Raises WeekError
    for what is no week.
    """
    week = week or last_complete_week(now, config.brand.zone)
    since, until = parse_week(week)
    reader = config.subscribers.get(subscriber) or config.chat.get(subscriber.removeprefix(_CHAT))
    wanted = tuple(reader.touchpoints) if reader else ()
    shown = wanted or tuple(config.touchpoints)
    first = since - WEEK * (TREND_WEEKS - 1)
    rows = series.daily(db, since=first, until=until, touchpoints=list(config.touchpoints))
    card = _only(_scorecard(db, config, rows, since, until), shown)
    span = gather.Span(db, config, since, until, now)
    known = gather.sources(config, rows, since, until)
    rows = [row for row in rows if row.source in known]
    return Digest(
        week=week,
        since=since,
        until=until,
        brand=config.brand.name,
        locale=locale or (reader.locale if reader else None) or config.brand.locale,
        zone=config.brand.zone,
        subscriber=subscriber,
        touchpoints=wanted,
        names={key: touchpoint.name for key, touchpoint in config.touchpoints.items()},
        total=sum(row.total for row in gather.whole(rows, since, until)),
        share=_share(rows, since, until),
        before=_share(rows, since - BEFORE, since - timedelta(days=1)),
        scorecard=card,
        trend=_trend(rows, wanted, since),
        alerts=tuple(gather.alerts(span, wanted)),
        rehearsed=gather.rehearsed(span),
        voices=tuple(gather.voices(span, card, wanted)),
        replies=gather.replies(span),
        trust=gather.trust(span, rows),
    )


def _only(card: Scorecard, shown: Sequence[str]) -> Scorecard:
    kept = tuple(score for score in card.scores if score.touchpoint in shown)
    return Scorecard(since=card.since, until=card.until, scores=kept)


def _share(rows: Sequence[SeriesDay], since: date, until: date) -> Share:
    span = gather.whole(rows, since, until)
    return Share(sum(row.negatives for row in span), sum(row.mentions for row in span))


def _trend(rows: Sequence[SeriesDay], wanted: Sequence[str], since: date) -> tuple[WeekPoint, ...]:
    """Eight weeks up to this one; of the subscriber's touchpoints, or of everything."""
    subjects = set(wanted) or {WHOLE}
    points = []
    for back in range(TREND_WEEKS - 1, -1, -1):
        monday = since - WEEK * back
        days = [row for row in rows if monday <= row.day < monday + WEEK]
        counted = [row for row in days if row.touchpoint in subjects]
        read = [row.observed for row in days if row.touchpoint == WHOLE]
        point = WeekPoint(
            since=monday,
            negatives=sum(row.negatives for row in counted),
            mentions=sum(row.mentions for row in counted),
            observed=sum(read) / len(read) if read else 0.0,
        )
        points.append(point)
    return tuple(points)


def digest(
    db: Database,
    config: Config,
    *,
    now: datetime,
    week: str | None = None,
    to: str | None = None,
    locale: str | None = None,
) -> list[Posted]:
    """Put one message per reader (or only to the address ``to``) into the outbox.

    A week is told once: the second time nothing is put. Raises WeekError when the week is not over
    or is none.
    """
    week = week or last_complete_week(now, config.brand.zone)
    _, sunday = parse_week(week)
    if now < runs.day_bounds(sunday, config.brand.zone)[1]:
        raise WeekError(f"{week} is not over yet; its digest can be put from the Monday after")
    return [_post(db, config, each, week, locale, now) for each in _readers(config, to)]


@dataclass(frozen=True, slots=True)
class _Reader:
    name: str
    channel: str
    recipient: str

    def key(self, week: str) -> str:
        return f"digest:{self.name}:{week}"


def _readers(config: Config, to: str | None) -> list[_Reader]:
    subscribers = [
        _Reader(name, "mail", each.address)
        for name, each in config.subscribers.items()
        if each.digest or each.address == to
    ]
    if to is None:
        chats = [name for name, chat in config.chat.items() if chat.digest]
        return subscribers + [_Reader(_CHAT + name, "chat", name) for name in chats]
    known = [each for each in subscribers if each.recipient == to]
    return known[:1] or [_Reader(to, "mail", to)]


def _post(
    db: Database, config: Config, reader: _Reader, week: str, locale: str | None, now: datetime
) -> Posted:
    told = digests.get(db, reader.name, week)
    if told is not None and told.skipped is None:
        return _posted(reader, week, _TOLD)
    built = build(db, config, now=now, week=week, subscriber=reader.name, locale=locale)
    skipped, subject, body = built.nothing, "", b""
    if skipped is None:
        try:
            subject, body = _written(config, built, reader, now)
        except Permanent as error:
            skipped = str(error)
    with db.write() as connection:
        skipped = skipped or _obstacle(connection, built, reader)
        _record(connection, built, skipped, now)
        if skipped is None:
            fresh = outbox.put(
                connection,
                key=reader.key(week),
                channel=reader.channel,
                recipient=reader.recipient,
                subject=subject,
                body=body,
                now=now,
                quoted=[voice.feedback_id for voice in built.voices],
            )
            skipped = None if fresh else _TOLD
    return _posted(reader, week, skipped)


def _posted(reader: _Reader, week: str, skipped: str | None) -> Posted:
    return Posted(
        subscriber=reader.name,
        channel=reader.channel,
        recipient=reader.recipient,
        week=week,
        key=reader.key(week),
        skipped=skipped,
    )


def _obstacle(connection: Connection, built: Digest, reader: _Reader) -> str | None:
    """What keeps a finished message back, seen in the transaction that would put it."""
    if outbox.refused(connection, reader.recipient):
        return "a mail server refused this address for good"
    ids = {voice.feedback_id for voice in built.voices}
    query = select(func.count()).select_from(t.feedback).where(t.feedback.c.id.in_(ids))
    if connection.execute(query).scalar_one() < len(ids):
        return "a quoted person was erased meanwhile; run `ouvidor digest` again"
    return None


def _record(connection: Connection, built: Digest, skipped: str | None, now: datetime) -> None:
    """A week that was skipped may be told later, when there is something to say."""
    same = (t.digest.c.subscriber == built.subscriber) & (t.digest.c.week == built.week)
    connection.execute(delete(t.digest).where(same, t.digest.c.skipped.is_not(None)))
    digests.record(
        connection,
        subscriber=built.subscriber,
        week=built.week,
        now=now,
        skipped=skipped,
        data=summary(built),
    )


def _written(config: Config, built: Digest, reader: _Reader, now: datetime) -> tuple[str, bytes]:
    """Subject and finished bytes: a whole mail, or the plain text for a chat."""
    if reader.channel == "chat":
        rendered = letter.words(built)
        return rendered.subject, rendered.text.encode("utf-8")
    rendered, images = letter.write(built)
    body = mail.compose(
        rendered,
        key=reader.key(built.week),
        recipient=reader.recipient,
        brand=built.brand,
        locale=built.locale,
        now=now,
        settings=config.mail,
        images=images,
    )
    return rendered.subject, body


def summary(digest: Digest) -> dict[str, Any]:
    """The digest's numbers as JSON values; quotes stand as ids, so that no words outlive theirs."""
    return {
        "week": digest.week,
        "headline": digest.headline,
        "total": digest.total,
        "negative": digest.share.part,
        "annotated": digest.share.whole,
        "scores": [asdict(score) for score in digest.scorecard.scores],
        "alerts": [alert.id for alert in digest.alerts],
        "quotes": [voice.feedback_id for voice in digest.voices],
        "coverage": {source.name: source.observed_days for source in digest.trust.sources},
    }
