"""Finding and showing feedback, and giving a person's data out or erasing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import zstandard
from sqlalchemy import Connection, Row, Select, Table, delete, func, insert, or_, select, update

from . import contacts
from . import tables as t
from .annotations import Correction, corrections, read
from .database import Database, StorageError, upsert
from .feedback import fold, forgotten, mark_dirty
from .vocabulary import Annotation, Basis, Sentiment

_PAGE = 1000
_QUOTES = "quotes"
_AGAINST = 2
"""Stars between what the text says and what the customer gave."""


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
    worth_asking: bool = False
    """Only what a machine read, and read unsurely or against the customer's own stars."""


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
    newest = t.feedback.c.day.desc().nulls_last()
    query = _matching(wanted).order_by(newest, t.feedback.c.id.desc())
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
    if wanted.worth_asking:
        against = func.abs(annotation.stars - feedback.stars) >= _AGAINST
        query = query.where(annotation.basis == Basis.TEXT.value, annotation.uncertain | against)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Everything that is stored about one feedback, for the person who wrote it.

    ``stored`` are the columns of its row that ``shown`` leaves out, ``revisions`` whole rows,
    ``payloads`` the raw texts it was read from, ``contact`` what was sealed. ``messages`` and
    ``alerts`` quote it.
    """

    shown: Shown
    stored: dict[str, Any]
    revisions: tuple[dict[str, Any], ...]
    payloads: tuple[str, ...]
    contact: dict[str, str] | None
    messages: tuple[str, ...]
    alerts: tuple[int, ...]


_STORED = (
    "category", "rating_scale", "language", "last_seen_at", "changed_at", "emptied_at",
    "content_hash",
)  # fmt: skip


def held(db: Database, author: str, *, key: bytes) -> Iterator[Held]:
    """Everything about each feedback of a pseudonym, the newest first.

    Raises StorageError where a contact was sealed under another key than this one.
    """
    for found in list(search(db, Wanted(author=author))):
        yield _held(db, found.id, key)


def _held(db: Database, feedback_id: int, key: bytes) -> Held:
    shown, contact = show(db, feedback_id), contacts.read(db, feedback_id, key=key)
    with db.read() as connection:
        own = select(t.feedback).where(t.feedback.c.id == feedback_id)
        row = connection.execute(own).one()._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row's mapping
        return Held(
            shown=shown,
            stored={name: row[name] for name in _STORED},
            revisions=tuple(
                {name: each[name] for name in each if name not in {"id", "feedback_id"}}
                for each in _of(connection, t.revision, feedback_id)
            ),
            payloads=tuple(
                zstandard.decompress(each["body"]).decode("utf-8")
                for each in _of(connection, t.payload, feedback_id)
            ),
            contact=contact,
            messages=tuple(
                each.key
                for each in connection.execute(select(t.message.c.key, t.message.c.quoted))
                if feedback_id in each.quoted
            ),
            alerts=tuple(
                each.id
                for each in connection.execute(select(t.alert.c.id, t.alert.c.evidence))
                if feedback_id in each.evidence.get(_QUOTES, ())
            ),
        )


def _of(connection: Connection, table: Table, feedback_id: int) -> list[Any]:
    query = select(table).where(table.c.feedback_id == feedback_id)
    return list(connection.execute(query).mappings())


def forget(db: Database, author: str, *, now: datetime) -> int:
    """Erase all feedback of one pseudonym: texts, revisions, payloads, annotations, quotes.

    Sent messages that quote it lose their bytes; a digest that still waits is taken back, so that
    it is built again without the quote. The days it counted on are counted again, and what still
    stands at its source is not stored again. Returns how many pieces of feedback there were.

    Raises StorageError when the rows are gone, but other programs keep the bytes in SQLite's files.
    """
    with db.write() as connection:
        query = select(t.feedback).where(t.feedback.c.author == author).order_by(t.feedback.c.id)
        rows = connection.execute(query.with_for_update()).all()
        ids = [row.id for row in rows]
        for row in sorted(rows, key=lambda row: (row.source_id, row.day or date.min)):
            mark_dirty(connection, row.source_id, [row.day])
        for table in (t.aspect, t.annotation, t.correction, t.revision, t.payload, t.contact):
            connection.execute(delete(table).where(table.c.feedback_id.in_(ids)))
        connection.execute(delete(t.feedback).where(t.feedback.c.id.in_(ids)))
        _keep_away(connection, rows, now)
        if rows:
            _unquote(connection, rows, now)
    db.scrub()
    return len(ids)


def _keep_away(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> None:
    marks = [
        {"source_id": row.source_id, "mark": forgotten(row.external_id), "at": now} for row in rows
    ]
    if marks:
        connection.execute(upsert(connection, t.forgotten).on_conflict_do_nothing(), marks)


def _unquote(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> None:
    gone = _Gone(connection, rows)
    for row in connection.execute(select(t.alert.c.id, t.alert.c.evidence)).all():
        if (kept := gone.taken_from(row.evidence)) != row.evidence:
            connection.execute(update(t.alert).where(t.alert.c.id == row.id).values(evidence=kept))
    for row in connection.execute(select(t.digest)).all():
        if (kept := gone.taken_from(row.data)) != row.data:
            same = (t.digest.c.subscriber == row.subscriber) & (t.digest.c.week == row.week)
            connection.execute(update(t.digest).where(same).values(data=kept))
    message = t.message.c
    quoting = select(message.id, message.key, message.state, message.quoted, message.claimed_until)
    for told in connection.execute(quoting).all():
        if gone.ids & set(told.quoted):
            _erase_message(connection, told, now)


class _Gone:
    """What erased feedback may have left in JSON: its id, or a word or value only it had."""

    def __init__(self, connection: Connection, rows: Sequence[Row[Any]]) -> None:
        self._connection = connection
        self.ids = {row.id for row in rows}
        self._texts = [row.folded for row in rows]
        self._values = {pair for row in rows for pair in row.attributes.items()}

    def taken_from(self, value: Any, name: str = "") -> Any:
        """A JSON value without what was theirs."""
        if isinstance(value, dict):
            return {key: self.taken_from(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self.taken_from(each) for each in value if not self._theirs(each, name)]
        return value

    def _theirs(self, value: Any, name: str) -> bool:
        if name == _QUOTES:
            return (value.get("feedback_id") if isinstance(value, dict) else value) in self.ids
        if not isinstance(value, dict):
            return False
        word, pair = value.get("word"), (value.get("what"), value.get("value"))
        return (isinstance(word, str) and self._only_word(word)) or (
            pair in self._values and self._only_value(*pair)
        )

    def _only_word(self, word: str) -> bool:
        word = fold(word)
        if not any(word in text for text in self._texts):
            return False
        others = t.feedback.c.folded.contains(word, autoescape=True)
        return self._connection.execute(select(t.feedback.c.id).where(others)).first() is None

    def _only_value(self, name: Any, value: Any) -> bool:
        others = self._connection.execute(select(t.feedback.c.attributes)).scalars()
        return not any(each.get(name) == value for each in others)


def _erase_message(connection: Connection, row: Any, now: datetime) -> None:
    leased = row.claimed_until is not None and row.claimed_until > now
    if row.state == "waiting" and row.key.startswith("digest:") and not leased:
        _, subscriber, week = row.key.split(":", 2)
        same = (t.digest.c.subscriber == subscriber) & (t.digest.c.week == week)
        connection.execute(delete(t.digest).where(same))
        connection.execute(delete(t.message).where(t.message.c.id == row.id))
        return
    # One that is being sent this very moment may still arrive; it is never sent a second time.
    state = "failed" if row.state == "waiting" else row.state
    erased: dict[str, Any] = {"body": b"", "subject": "", "quoted": [], "state": state}
    connection.execute(update(t.message).where(t.message.c.id == row.id).values(erased))
    connection.execute(
        insert(t.delivery).values(
            message_id=row.id, at=now, result="erased", detail="it quoted an erased person"
        )
    )
