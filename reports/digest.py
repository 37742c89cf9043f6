"""The week told: built from the series and the tables, put into the outbox once a reader."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, func, select

from ..config import Config
from ..storage import digests, outbox, runs, series
from ..storage import readers as left
from ..storage import tables as t
from ..storage.database import Database
from ..storage.series import WHOLE
from ..storage.vocabulary import SeriesDay
from . import gather, letter, mail, moves, sites
from .delivery_errors import Permanent
from .news import Corrected
from .render import Rendered
from .scorecard import BEFORE, Scorecard, scorecard
from .week import (
    WEEK,
    Digest,
    Share,
    WeekError,
    WeekPoint,
    last_complete_week,
    parse_week,
    week_name,
)

TREND_WEEKS = 8
CORRECTED_WEEKS = 8
"""How far back what was told is told again where it is otherwise now."""

_CHAT = "chat/"
_TOLD = "this week was told already"
_Finished = TypeVar("_Finished")


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
    return Gathered(db, config, now=now, week=week).digest(subscriber, locale)


class Gathered:
    """One week, looked up once for all its readers: those who want the same get the same digest.

    Raises WeekError for what is no week.
    """

    def __init__(
        self, db: Database, config: Config, *, now: datetime, week: str | None = None
    ) -> None:
        self.config = config
        self.week = week or last_complete_week(now, config.brand.zone)
        since, until = parse_week(self.week)
        self._whole = gather.Span(db, config, since, until, now)
        # What was told is compared with the rows of now, as far back as it is corrected.
        first = since - WEEK * max(TREND_WEEKS - 1, CORRECTED_WEEKS) - BEFORE
        wanted = list(config.touchpoints)
        self._rows = series.daily(db, since=first, until=until, touchpoints=wanted)
        earlier = [since - WEEK * back for back in range(1, CORRECTED_WEEKS + 1)]
        self._earlier = [week_name(each) for each in earlier]
        self._spans: dict[tuple[str, ...], gather.Span] = {(): self._whole}
        self._made: dict[Hashable, Digest] = {}
        self._finished: dict[Hashable, Any] = {}

    def letter(self, made: Digest) -> tuple[Rendered, dict[str, bytes]]:
        """The words and pictures of a digest of this week, finished once for all its readers."""
        return self._finish("letter", made, letter.write)

    def words(self, made: Digest) -> Rendered:
        """The words alone."""
        return self._finish("words", made, letter.words)

    def summary(self, made: Digest) -> dict[str, Any]:
        """The numbers to remember."""
        return self._finish("summary", made, summary)

    def _finish(self, what: str, made: Digest, finish: Callable[[Digest], _Finished]) -> _Finished:
        name = (what, id(made))  # one of ours, which stays
        if name not in self._finished:
            self._finished[name] = finish(made)
        finished: _Finished = self._finished[name]
        return finished

    def digest(self, subscriber: str = "", locale: str | None = None) -> Digest:
        """The week for one reader; the same one for readers who want the same."""
        config = self.config
        reader = config.subscribers.get(subscriber)
        room = reader or config.chat.get(subscriber.removeprefix(_CHAT))
        wanted = tuple(room.touchpoints) if room else ()
        sources = tuple(reader.sources) if reader else ()
        locale = locale or (room.locale if room else None) or config.brand.locale
        always = reader is not None and reader.when_nothing == "tell"
        corrected = self._corrected(subscriber, wanted, sources)
        name = (wanted, sources, locale, always, corrected)
        if name not in self._made:
            made = self._build(wanted, sources)
            self._made[name] = replace(made, locale=locale, always=always, corrected=corrected)
        return self._made[name]

    def _of(self, sources: tuple[str, ...]) -> tuple[gather.Span, Sequence[SeriesDay]]:
        """The week as some sources tell it."""
        span = self._spans.setdefault(sources, replace(self._whole, sources=sources, found={}))
        known = gather.sources(span.config, self._rows, span.since, span.until, sources)
        return span, span.once("rows", lambda: [row for row in self._rows if row.source in known])

    def _build(self, wanted: tuple[str, ...], sources: tuple[str, ...]) -> Digest:
        """The week in the brand's language, without what depends on the single reader."""
        span, rows = self._of(sources)
        return span.once(("digest", wanted), lambda: _digest(span, rows, self.week, wanted))

    def _corrected(
        self, subscriber: str, wanted: tuple[str, ...], sources: tuple[str, ...]
    ) -> tuple[Corrected, ...]:
        """What this reader was told of earlier weeks and is otherwise now, the latest one first."""
        told = digests.of_weeks(self._whole.db, subscriber, self._earlier)
        span, rows = self._of(sources)
        found = []
        for week, last in moves.last_told(told).items():
            since, until = parse_week(week)
            counted = partial(_counted, span, rows, since, until)
            total, negative, card = span.once(("week", since), counted)
            shown = _only(card, wanted or tuple(span.config.touchpoints))
            found.append(
                moves.corrected(last, week=week, total=total, negative=negative, card=shown)
            )
        return tuple(each for each in found if each)


def _counted(
    span: gather.Span, rows: Sequence[SeriesDay], since: date, until: date
) -> tuple[int, int, Scorecard]:
    """What an earlier week says now: all feedback, the negative among it, the scores."""
    return (
        sum(row.total for row in gather.whole(rows, since, until)),
        _share(rows, since, until).part,
        _scorecard(span.db, span.config, rows, since, until),
    )


def _digest(
    span: gather.Span, rows: Sequence[SeriesDay], week: str, wanted: tuple[str, ...]
) -> Digest:
    config, since, until = span.config, span.since, span.until
    whole = span.once("card", lambda: _scorecard(span.db, config, rows, since, until))
    card = _only(whole, wanted or tuple(config.touchpoints))
    trust = span.once("trust", lambda: gather.trust(span, rows))
    accuracy = span.once("accuracy", lambda: moves.accuracy(span, trust.taggers))
    voices = gather.voices(span, card, wanted)
    return Digest(
        week=week,
        since=since,
        until=until,
        brand=config.brand.name,
        locale=config.brand.locale,
        zone=config.brand.zone,
        subscriber="",
        touchpoints=wanted,
        sources=span.sources,
        names={key: touchpoint.name for key, touchpoint in config.touchpoints.items()},
        total=sum(row.total for row in gather.whole(rows, since, until)),
        share=_share(rows, since, until),
        before=_share(rows, since - BEFORE, since - timedelta(days=1)),
        scorecard=card,
        traits=moves.traits(span, wanted),
        trend=_trend(rows, wanted, since),
        alerts=tuple(gather.alerts(span, wanted)),
        rehearsed=gather.rehearsed(span),
        drivers=tuple(moves.drivers(span, wanted)),
        themes=tuple(moves.themes(span, wanted, voices)),
        praised=tuple(moves.praised(span, wanted)),
        voices=tuple(voices),
        sites=span.once("sites", lambda: tuple(sites.sites(span))),
        surveys=span.once("surveys", lambda: tuple(sites.surveys(span))),
        replies=span.once("replies", lambda: gather.replies(span)),
        trust=replace(trust, accuracy=accuracy),
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
    readers = _readers(config, to)
    told = digests.told(db, week, [reader.name for reader in readers])
    why = dict.fromkeys(left.ended(db), left.ENDED) | dict.fromkeys(told, _TOLD)
    if all(reader.name in why for reader in readers):
        return [_posted(reader, week, why[reader.name]) for reader in readers]
    gathered = Gathered(db, config, now=now, week=week)
    return [
        _posted(reader, week, why[reader.name])
        if reader.name in why
        else _post(db, gathered, gathered.digest(reader.name, locale), reader, now)
        for reader in readers
    ]


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
    db: Database, gathered: Gathered, built: Digest, reader: _Reader, now: datetime
) -> Posted:
    week = built.week
    skipped, subject, body = built.nothing, "", b""
    if skipped is None:
        try:
            subject, body = _written(gathered, built, reader, now)
        except Permanent as error:
            skipped = str(error)
    with db.write() as connection:
        skipped = skipped or _obstacle(connection, built, reader)
        _record(connection, gathered, built, reader.name, skipped, now)
        if skipped is None:
            fresh = outbox.put(
                connection,
                key=reader.key(week),
                channel=reader.channel,
                recipient=reader.recipient,
                subject=subject,
                body=body,
                now=now,
                quoted=built.quoted,
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
    if left.has_ended(connection, reader.name):
        return left.ENDED
    ids = set(built.quoted)
    query = select(func.count()).select_from(t.feedback).where(t.feedback.c.id.in_(ids))
    if connection.execute(query).scalar_one() < len(ids):
        return "a quoted person was erased meanwhile; run `ouvidor digest` again"
    return None


def _record(
    connection: Connection,
    gathered: Gathered,
    built: Digest,
    reader: str,
    skipped: str | None,
    now: datetime,
) -> None:
    """A week that was skipped may be told later, when there is something to say."""
    same = (t.digest.c.subscriber == reader) & (t.digest.c.week == built.week)
    connection.execute(delete(t.digest).where(same, t.digest.c.skipped.is_not(None)))
    digests.record(
        connection,
        subscriber=reader,
        week=built.week,
        now=now,
        skipped=skipped,
        data=gathered.summary(built),
    )


def _written(
    gathered: Gathered, built: Digest, reader: _Reader, now: datetime
) -> tuple[str, bytes]:
    """Subject and finished bytes: a whole mail, or the plain text for a chat."""
    if reader.channel == "chat":
        rendered = gathered.words(built)
        return rendered.subject, rendered.text.encode("utf-8")
    rendered, images = gathered.letter(built)
    body = mail.compose(
        rendered,
        key=reader.key(built.week),
        recipient=reader.recipient,
        brand=built.brand,
        locale=built.locale,
        now=now,
        settings=gathered.config.mail,
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
        "quotes": list(digest.quoted),
        "coverage": {source.name: source.observed_days for source in digest.trust.sources},
        "corrected": {each.week: moves.told_again(each) for each in digest.corrected},
    }
