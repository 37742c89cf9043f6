"""Finding and showing feedback, and giving a person's data out or erasing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, or_, select, update

from . import tables as t
from .annotations import Correction, corrections, read
from .database import Database, StorageError
from .feedback import fold, mark_dirty
from .vocabulary import Annotation, Sentiment

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for; None means any. ``words`` must all occur, whatever case or accents."""

    words: str = ""
    touchpoint: str | None = None
    source: str | None = None
    sentiment: Sentiment | None = None
    stars: int | None = None
    language: str | None = None
    since: date | None = None
    until: date | None = None
    author: str | None = None
    uncertain: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One feedback as stored; the annotation's fields are None while it waits for the tagger."""

    id: int
    source: str
    external_id: str
    kind: str
    day: date | None
    published_at: datetime | None
    edited_at: datetime | None
    first_seen_at: datetime
    title: str
    text: str
    stars: int | None
    rating: str | None
    language: str | None
    sentiment: Sentiment | None
    p_negative: float | None
    p_neutral: float | None
    p_positive: float | None
    expected_stars: float | None
    uncertain: bool | None
    touchpoints: tuple[str, ...]
    author: str | None
    url: str | None
    reply_text: str | None
    reply_at: datetime | None
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An earlier state of an edited feedback."""

    replaced_at: datetime
    title: str
    text: str
    stars: int | None
    reply_text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything known about one feedback."""

    feedback: Found
    annotation: Annotation | None
    revisions: tuple[Revision, ...]
    corrections: tuple[Correction, ...]


def search(db: Database, wanted: Wanted, *, limit: int | None = None) -> Iterator[Found]:
    """Feedback that fits, the newest first, a page at a time."""
    query = _matching(wanted).order_by(t.feedback.c.day.desc(), t.feedback.c.id.desc())
    if limit is not None:
        query = query.limit(limit)
    with db.read() as connection:
        result = connection.execution_options(yield_per=_PAGE).execute(query)
        for rows in result.partitions():
            named = _touchpoints(db, [row.id for row in rows])
            for row in rows:
                yield _found(row, named.get(row.id, ()))


def _matching(wanted: Wanted) -> Select[Any]:
    feedback, annotation = t.feedback.c, t.annotation.c
    query = (
        select(
            t.feedback,
            t.source.c.name.label("source"),
            annotation.sentiment,
            annotation.p_negative,
            annotation.p_neutral,
            annotation.p_positive,
            annotation.stars.label("expected_stars"),
            annotation.uncertain,
            annotation.language.label("told_language"),
        )
        .select_from(t.feedback)
        .join(t.source)
        .outerjoin(t.annotation)
    )
    for word in fold(wanted.words).split():
        query = query.where(feedback.folded.contains(word, autoescape=True))
    if wanted.touchpoint:
        about = select(t.aspect.c.feedback_id).where(t.aspect.c.touchpoint == wanted.touchpoint)
        query = query.where(feedback.id.in_(about))
    if wanted.language:
        query = query.where(
            or_(annotation.language == wanted.language, feedback.language == wanted.language)
        )
    equal = (
        (t.source.c.name, wanted.source),
        (annotation.sentiment, wanted.sentiment.value if wanted.sentiment else None),
        (feedback.stars, wanted.stars),
        (feedback.author, wanted.author),
        (annotation.uncertain, wanted.uncertain),
    )
    for column, value in equal:
        if value is not None:
            query = query.where(column == value)
    if wanted.since:
        query = query.where(feedback.day >= wanted.since)
    if wanted.until:
        query = query.where(feedback.day <= wanted.until)
    return query


def _touchpoints(db: Database, ids: list[int]) -> dict[int, tuple[str, ...]]:
    query = select(t.aspect.c.feedback_id, t.aspect.c.touchpoint).where(
        t.aspect.c.feedback_id.in_(ids), t.aspect.c.touchpoint.is_not(None)
    )
    found: dict[int, tuple[str, ...]] = {}
    with db.read() as connection:
        for row in connection.execute(query.order_by(t.aspect.c.id)):
            found[row.feedback_id] = (*found.get(row.feedback_id, ()), row.touchpoint)
    return found


def _found(row: Row[Any], touchpoints: tuple[str, ...]) -> Found:
    same = (
        "id", "source", "external_id", "kind", "day", "published_at", "edited_at",
        "first_seen_at", "title", "text", "stars", "rating", "p_negative", "p_neutral",
        "p_positive", "expected_stars", "uncertain", "author", "url", "reply_text", "reply_at",
        "attributes",
    )  # fmt: skip
    return Found(
        **{name: getattr(row, name) for name in same},
        language=row.told_language or row.language,
        sentiment=Sentiment(row.sentiment) if row.sentiment else None,
        touchpoints=touchpoints,
    )


def show(db: Database, feedback_id: int) -> Shown:
    """Everything about one feedback; raises StorageError when there is none with this id."""
    with db.read() as connection:
        row = connection.execute(_matching(Wanted()).where(t.feedback.c.id == feedback_id)).first()
        if row is None:
            raise StorageError(
                f"There is no feedback {feedback_id}; `ouvidor search` shows the ids."
            )
        annotation = read(connection, feedback_id) if row.sentiment else None
        revisions = tuple(
            Revision(
                replaced_at=each.replaced_at,
                title=each.title,
                text=each.text,
                stars=each.stars,
                reply_text=each.reply_text,
            )
            for each in connection.execute(
                select(t.revision)
                .where(t.revision.c.feedback_id == feedback_id)
                .order_by(t.revision.c.id)
            )
        )
    return Shown(
        feedback=_found(row, _touchpoints(db, [feedback_id]).get(feedback_id, ())),
        annotation=annotation,
        revisions=revisions,
        corrections=tuple(corrections(db, feedback_id)),
    )


def forget(db: Database, author: str, *, now: datetime) -> int:
    """Erase all feedback of one pseudonym: texts, revisions, payloads, annotations, quotes.

    Sent messages that quote it lose their bytes; a digest that still waits is taken back, so that
    it is built again without the quote. The days it counted on are counted again. Returns how
    many pieces of feedback there were.
    """
    with db.write() as connection:
        rows = connection.execute(
            select(t.feedback.c.id, t.feedback.c.source_id, t.feedback.c.day).where(
                t.feedback.c.author == author
            )
        ).all()
        ids = [row.id for row in rows]
        for row in rows:
            mark_dirty(connection, row.source_id, [row.day])
        _unquote(connection, set(ids), now)
        for table in (t.aspect, t.annotation, t.correction, t.revision, t.payload):
            connection.execute(delete(table).where(table.c.feedback_id.in_(ids)))
        connection.execute(delete(t.feedback).where(t.feedback.c.id.in_(ids)))
    return len(ids)


def _unquote(connection: Connection, gone: set[int], now: datetime) -> None:
    for row in connection.execute(select(t.alert.c.id, t.alert.c.evidence)).all():
        if (kept := _without(row.evidence, gone)) != row.evidence:
            connection.execute(update(t.alert).where(t.alert.c.id == row.id).values(evidence=kept))
    for row in connection.execute(select(t.digest)).all():
        if (kept := _without(row.data, gone)) != row.data:
            same = (t.digest.c.subscriber == row.subscriber) & (t.digest.c.week == row.week)
            connection.execute(update(t.digest).where(same).values(data=kept))
    quoting = select(t.message.c.id, t.message.c.key, t.message.c.state, t.message.c.quoted)
    for message in connection.execute(quoting).all():
        if gone & set(message.quoted):
            _erase_message(connection, message, now)


def _without(value: Any, gone: set[int]) -> Any:
    """A JSON value without the quotes of erased feedback."""
    if isinstance(value, dict):
        return {key: _without(each, gone) for key, each in value.items()}
    if isinstance(value, list):
        kept = [v for v in value if not (isinstance(v, dict) and v.get("feedback_id") in gone)]
        return [_without(each, gone) for each in kept]
    return value


def _erase_message(connection: Connection, row: Any, now: datetime) -> None:
    if row.state == "waiting" and row.key.startswith("digest:"):
        _, subscriber, week = row.key.split(":", 2)
        same = (t.digest.c.subscriber == subscriber) & (t.digest.c.week == week)
        connection.execute(delete(t.digest).where(same))
        connection.execute(delete(t.message).where(t.message.c.id == row.id))
        return
    state = "failed" if row.state == "waiting" else row.state
    connection.execute(
        update(t.message).where(t.message.c.id == row.id).values(body=b"", subject="", state=state)
    )
    connection.execute(
        insert(t.delivery).values(
            message_id=row.id, at=now, result="erased", detail="it quoted an erased person"
        )
    )
