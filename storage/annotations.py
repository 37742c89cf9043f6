"""What the tagger said, what people corrected, and what still waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, or_, select, update

from . import tables as t
from . import workers
from .database import Database, StorageError, upsert
from .feedback import mark_dirty
from .vocabulary import (
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Kind,
    Sentiment,
    Topic,
    Untagged,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a person said instead. None in ``touchpoints`` says: the text is not about it."""

    feedback_id: int
    at: datetime
    by: str
    sentiment: Sentiment | None
    touchpoints: Mapping[str, Sentiment | None]
    note: str = ""


def mark_stale(db: Database, tagger: str) -> int:
    """What another tagger or another journey said is asked for again; returns how much."""
    other = t.annotation.c.tagger != tagger
    # What has lost its words stays as it was read when it had them.
    gone = exists().where(
        t.feedback.c.id == t.annotation.c.feedback_id, t.feedback.c.emptied_at.is_not(None)
    )
    stale = select(t.annotation.c.feedback_id).where(other, ~gone)
    with db.read() as connection:
        if connection.execute(stale.limit(1)).first() is None:
            return 0
    with db.write() as connection:
        done = connection.execute(
            update(t.feedback)
            .where(t.feedback.c.id.in_(stale), ~t.feedback.c.pending)
            .values(pending=True)
        )
    return done.rowcount


AGAIN = "annotate:again"
"""The duty that is owed while everything is asked for again block by block."""


def request_again(db: Database) -> int:
    """Ask for everything that still has its words to be tagged again."""
    with db.write() as connection:
        connection.execute(delete(t.due).where(t.due.c.name == AGAIN))
        done = connection.execute(
            update(t.feedback)
            .where(t.feedback.c.emptied_at.is_(None))
            .values(pending=True, claimed_by=None, claimed_until=None)
        )
    return done.rowcount


def begin_again(db: Database, now: datetime) -> datetime:
    """Ask for everything again, to be done block by block; returns since when that is owed.

    Begun earlier and not ended, it goes on: what was tagged since then is not tagged once more.
    """
    with db.write() as connection:
        owed = upsert(connection, t.due).values(name=AGAIN, due_at=now)
        connection.execute(owed.on_conflict_do_nothing())
        found = select(t.due.c.due_at).where(t.due.c.name == AGAIN)
        since: datetime = connection.execute(found).scalar_one()
    return since


def end_again(db: Database) -> None:
    """Every block was asked for: nothing is owed any more."""
    with db.write() as connection:
        connection.execute(delete(t.due).where(t.due.c.name == AGAIN))


def ids(db: Database) -> range:
    """From the first feedback to the last one there is now; some in between may be gone."""
    with db.read() as connection:
        query = select(func.min(t.feedback.c.id), func.max(t.feedback.c.id))
        first, last = connection.execute(query).one()
    return range(0) if first is None else range(first, last + 1)


def request_block(db: Database, block: range, *, tagger: str, since: datetime | None) -> int:
    """Ask again for what another tagger said of a block, or anyone before ``since``.

    Twice is once. Returns how much was asked for.
    """
    said = t.annotation.c
    old = said.tagger != tagger
    if since is not None:
        old |= said.annotated_at < since
    stale = (
        select(t.feedback.c.id)
        .join(t.annotation)
        .where(_among(t.feedback.c.id, block), ~t.feedback.c.pending, old)
        .where(t.feedback.c.emptied_at.is_(None))
        .order_by(t.feedback.c.id)
        .with_for_update(of=t.feedback)
    )
    with db.write() as connection:
        found = connection.execute(stale).scalars().all()
        asked = update(t.feedback).where(t.feedback.c.id.in_(found)).values(pending=True)
        connection.execute(asked)
    return len(found)


def _among(column: Any, block: range) -> Any:
    return column.between(block.start, block.stop - 1)


def pending(db: Database) -> int:
    """How much waits for the tagger."""
    with db.read() as connection:
        query = select(func.count()).select_from(t.feedback).where(t.feedback.c.pending)
        return connection.execute(query).scalar_one()


def release_dead(connection: Connection, table: Any) -> None:
    """Claims of processes of this host that died are free at once, before their lease ends."""
    holders = select(table.c.claimed_by).where(table.c.claimed_by.is_not(None)).distinct()
    for worker in connection.execute(holders).scalars().all():
        if workers.gone(worker):
            connection.execute(
                update(table)
                .where(table.c.claimed_by == worker)
                .values(claimed_by=None, claimed_until=None)
            )


def claim(
    db: Database,
    *,
    limit: int,
    now: datetime,
    worker: str,
    lease: timedelta,
    block: range | None = None,
) -> list[Untagged]:
    """Take up to ``limit`` pending feedback; nobody else gets them while the lease lasts.

    Of a ``block`` of ids the worker gets also what it holds already: blocks are handed out one at a
    time, so whoever took it before in that name is dead.
    """
    free = or_(t.feedback.c.claimed_until.is_(None), t.feedback.c.claimed_until < now)
    if block is not None:
        free = or_(free, t.feedback.c.claimed_by == worker) & _among(t.feedback.c.id, block)
    chosen = (
        select(t.feedback.c.id)
        .where(t.feedback.c.pending, free)
        .order_by(t.feedback.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    with db.write() as connection:
        release_dead(connection, t.feedback)
        ids = list(connection.execute(chosen).scalars())
        if not ids:
            return []
        connection.execute(
            update(t.feedback)
            .where(t.feedback.c.id.in_(ids))
            .values(claimed_by=worker, claimed_until=now + lease)
        )
        query = (
            select(t.feedback, t.source.c.name.label("source"))
            .join(t.source)
            .where(t.feedback.c.id.in_(ids))
            .order_by(t.feedback.c.id)
        )
        return [_untagged(row) for row in connection.execute(query)]


def _untagged(row: Row[Any]) -> Untagged:
    return Untagged(
        id=row.id,
        source=row.source,
        kind=Kind(row.kind),
        title=row.title,
        text=row.text,
        stars=row.stars,
        language=row.language,
        category=row.category,
        content_hash=row.content_hash,
    )


def save(db: Database, results: Sequence[tuple[Untagged, Annotation]], *, now: datetime) -> int:
    """Store annotations in one transaction; returns how many were kept.

    A feedback that was edited meanwhile stays pending, one that was erased is left out. What a
    person corrected stays corrected.
    """
    if not results:
        return 0
    with db.write() as connection:
        current = {row.id: row for row in connection.execute(_state([u.id for u, _ in results]))}
        kept = [
            (untagged, annotation)
            for untagged, annotation in results
            if untagged.id in current and current[untagged.id].content_hash == untagged.content_hash
        ]
        people = corrections_of(connection, [untagged.id for untagged, _ in kept])
        final = [(u, corrected(a, people.get(u.id, ()))) for u, a in kept]
        _write(connection, final, now)
        _count_again(connection, [current[untagged.id] for untagged, _ in kept])
    return len(kept)


def _state(ids: Sequence[int]) -> Any:
    """The rows as they are, and as they stay: an edit waits until this transaction is over.

    Rows are locked in one order everywhere, so that two writers never wait for each other.
    """
    columns = (t.feedback.c.id, t.feedback.c.source_id, t.feedback.c.day, t.feedback.c.content_hash)
    query = select(*columns).where(t.feedback.c.id.in_(ids)).order_by(t.feedback.c.id)
    return query.with_for_update()


def _count_again(connection: Connection, rows: Iterable[Row[Any]]) -> None:
    """Mark the days of these rows, in one order everywhere, too."""
    days: dict[int, set[date]] = {}
    for row in rows:
        if row.day is not None:
            days.setdefault(row.source_id, set()).add(row.day)
    for source_id in sorted(days):
        mark_dirty(connection, source_id, sorted(days[source_id]))


def _write(
    connection: Connection, results: Sequence[tuple[Untagged, Annotation]], now: datetime
) -> None:
    if not results:
        return
    ids = [untagged.id for untagged, _ in results]
    rows = [_annotation_row(untagged, annotation, now) for untagged, annotation in results]
    statement = upsert(connection, t.annotation)
    fresh = {name: statement.excluded[name] for name in rows[0] if name != "feedback_id"}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["feedback_id"], set_=fresh), rows
    )
    connection.execute(delete(t.aspect).where(t.aspect.c.feedback_id.in_(ids)))
    aspects = [_aspect_row(u.id, aspect) for u, a in results for aspect in a.aspects]
    if aspects:
        connection.execute(insert(t.aspect), aspects)
    done = {"pending": False, "claimed_by": None, "claimed_until": None}
    connection.execute(update(t.feedback).where(t.feedback.c.id.in_(ids)).values(done))


def _annotation_row(untagged: Untagged, annotation: Annotation, now: datetime) -> dict[str, Any]:
    return {
        "feedback_id": untagged.id,
        "tagger": annotation.tagger,
        "basis": annotation.basis.value,
        "language": annotation.language,
        "sentiment": annotation.p.sentiment.value,
        "p_negative": annotation.p.negative,
        "p_neutral": annotation.p.neutral,
        "p_positive": annotation.p.positive,
        "stars": annotation.stars,
        "uncertain": annotation.uncertain,
        "topics": {topic.value: p for topic, p in annotation.topics.items()},
        "content_hash": untagged.content_hash,
        "annotated_at": now,
    }


def _aspect_row(feedback_id: int, aspect: Aspect) -> dict[str, Any]:
    span = aspect.span or (None, None)
    return {
        "feedback_id": feedback_id,
        "topic": aspect.topic.value if aspect.topic else None,
        "touchpoint": aspect.touchpoint,
        "sentiment": aspect.p.sentiment.value,
        "p_negative": aspect.p.negative,
        "p_neutral": aspect.p.neutral,
        "p_positive": aspect.p.positive,
        "p_subject": aspect.p_subject,
        "span_start": span[0],
        "span_end": span[1],
    }


def corrections_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Correction]]:
    """What people said of these, oldest first."""
    query = (
        select(t.correction).where(t.correction.c.feedback_id.in_(ids)).order_by(t.correction.c.id)
    )
    found: dict[int, list[Correction]] = {}
    for row in connection.execute(query):
        found.setdefault(row.feedback_id, []).append(_correction(row))
    return found


def _correction(row: Row[Any]) -> Correction:
    return Correction(
        feedback_id=row.feedback_id,
        at=row.at,
        by=row.by,
        sentiment=Sentiment(row.sentiment) if row.sentiment else None,
        touchpoints={
            name: Sentiment(value) if value else None for name, value in row.touchpoints.items()
        },
        note=row.note,
    )


def corrected(annotation: Annotation, corrections: Sequence[Correction]) -> Annotation:
    """The annotation as people left it, the latest word last. Pure."""
    for correction in corrections:
        if correction.sentiment is not None:
            annotation = replace(
                annotation,
                p=Distribution.certain(correction.sentiment),
                basis=Basis.HUMAN,
                uncertain=False,
            )
        for touchpoint, sentiment in correction.touchpoints.items():
            annotation = _about(annotation, touchpoint, sentiment)
    return annotation


def _about(annotation: Annotation, touchpoint: str, sentiment: Sentiment | None) -> Annotation:
    others = [each for each in annotation.aspects if each.touchpoint != touchpoint]
    own = [each for each in annotation.aspects if each.touchpoint == touchpoint]
    if sentiment is not None:
        span = own[0].span if own else None
        p = Distribution.certain(sentiment)
        others.append(Aspect(touchpoint=touchpoint, p=p, p_subject=1.0, span=span))
    return replace(annotation, aspects=tuple(others), basis=Basis.HUMAN, uncertain=False)


def correct(db: Database, correction: Correction) -> None:
    """Keep a person's correction for ever and apply it now.

    Raises StorageError when there is no such feedback or it was never tagged.
    """
    with db.write() as connection:
        annotation = read(connection, correction.feedback_id)
        connection.execute(
            insert(t.correction).values(
                feedback_id=correction.feedback_id,
                at=correction.at,
                by=correction.by,
                sentiment=correction.sentiment.value if correction.sentiment else None,
                touchpoints={
                    name: value.value if value else None
                    for name, value in correction.touchpoints.items()
                },
                note=correction.note,
            )
        )
        row = connection.execute(_state([correction.feedback_id])).one()
        untagged = _untagged(
            connection.execute(
                select(t.feedback, t.source.c.name.label("source"))
                .join(t.source)
                .where(t.feedback.c.id == row.id)
            ).one()
        )
        _write(connection, [(untagged, corrected(annotation, [correction]))], correction.at)
        mark_dirty(connection, row.source_id, [row.day])


def withdraw(db: Database, feedback_id: int, before: Annotation, *, now: datetime) -> None:
    """Take the last correction of a feedback back, as if it had never been said.

    ``before`` is the annotation as it stood then.
    """
    last = select(func.max(t.correction.c.id)).where(t.correction.c.feedback_id == feedback_id)
    with db.write() as connection:
        row = connection.execute(_state([feedback_id])).one()
        query = select(t.feedback, t.source.c.name.label("source")).join(t.source)
        untagged = _untagged(connection.execute(query.where(t.feedback.c.id == row.id)).one())
        connection.execute(delete(t.correction).where(t.correction.c.id.in_(last)))
        _write(connection, [(untagged, before)], now)
        mark_dirty(connection, row.source_id, [row.day])


def read(connection: Connection, feedback_id: int) -> Annotation:
    """The annotation of one feedback; raises StorageError when there is none."""
    row = connection.execute(
        select(t.annotation).where(t.annotation.c.feedback_id == feedback_id)
    ).first()
    if row is None:
        raise StorageError(
            f"There is no tagged feedback {feedback_id}; "
            "`ouvidor search` shows the ids, `ouvidor annotate` tags what waits."
        )
    aspects = connection.execute(
        select(t.aspect).where(t.aspect.c.feedback_id == feedback_id).order_by(t.aspect.c.id)
    )
    return Annotation(
        tagger=row.tagger,
        basis=Basis(row.basis),
        language=row.language,
        p=_distribution(row),
        stars=row.stars,
        uncertain=row.uncertain,
        topics={Topic(topic): p for topic, p in row.topics.items()},
        aspects=tuple(_aspect(each) for each in aspects),
    )


def _distribution(row: Row[Any]) -> Distribution:
    return Distribution(negative=row.p_negative, neutral=row.p_neutral, positive=row.p_positive)


def _aspect(row: Row[Any]) -> Aspect:
    return Aspect(
        topic=Topic(row.topic) if row.topic else None,
        touchpoint=row.touchpoint,
        p=_distribution(row),
        p_subject=row.p_subject,
        span=None if row.span_start is None else (row.span_start, row.span_end),
    )


def corrections(db: Database, feedback_id: int) -> list[Correction]:
    """What people said of one feedback, oldest first."""
    with db.read() as connection:
        return corrections_of(connection, [feedback_id]).get(feedback_id, [])


def voice_since(db: Database, *, since: date) -> tuple[datetime, float] | None:
    """When the newest tagger began to speak of the days since one, and the part others still hold.

    None where nothing is tagged. A tagger that went over the past again began when it did so.
    """
    query = (
        select(func.min(t.annotation.c.annotated_at).label("began"), func.count().label("pieces"))
        .join(t.feedback)
        .where(t.feedback.c.day >= since)
        .group_by(t.annotation.c.tagger)
    )
    with db.read() as connection:
        rows = connection.execute(query).all()
    if not rows:
        return None
    newest = max(rows, key=lambda row: (row.began, row.pieces))
    return newest.began, 1 - newest.pieces / sum(row.pieces for row in rows)


def doubt(db: Database, ids: Sequence[int]) -> int:
    """Ask people about annotations that turned out wrong; returns how many go to their queue."""
    machine = (t.annotation.c.basis != Basis.HUMAN.value) & ~t.annotation.c.uncertain
    with db.write() as connection:
        changed = connection.execute(
            update(t.annotation)
            .where(t.annotation.c.feedback_id.in_(ids), machine)
            .values(uncertain=True)
        )
    return int(changed.rowcount)


def taggers(db: Database) -> dict[str, int]:
    """How many annotations each tagger's version made."""
    query = select(t.annotation.c.tagger, func.count()).group_by(t.annotation.c.tagger)
    with db.read() as connection:
        return {tagger: count for tagger, count in connection.execute(query)}  # noqa: C416 - rows, not tuples
