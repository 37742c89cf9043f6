"""Feedback at the door: masked, compared, stored once, with a revision for every edit."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import zstandard
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from . import contacts, privacy
from . import tables as t
from .bulk import insert_many, new_ids
from .database import Database, StorageError, upsert
from .runs import LEASE, Run, save_checkpoint
from .vocabulary import Checkpoint, Feedback

_CHUNK = 500
_COMPRESSOR = zstandard.ZstdCompressor()
_JSON = json.JSONEncoder(ensure_ascii=False).encode
_ACCENTS = re.compile(r"[\u0300-\u036f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What became of one page.

    ``settled`` of the unchanged were known, in their place, to the last joined run; ``fresh`` are
    the ids of the new, as they are stored.
    """

    new: int
    changed: int
    unchanged: int
    settled: int
    fresh: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Door:
    """What every feedback passes on its way in.

    ``key`` is the installation's secret for pseudonyms and tokens, ``zone`` the brand's.
    ``contacts`` says whether contacts are kept, sealed.
    """

    key: bytes
    zone: ZoneInfo
    contacts: bool = False


def fold(text: str) -> str:
    """Case and accents folded: the form that search compares."""
    if text.isascii():
        return text.lower()
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))


def save_page(
    db: Database,
    run: Run,
    items: Sequence[Feedback],
    checkpoint: Checkpoint | None,
    *,
    door: Door,
    now: datetime,
    rejected: int = 0,
) -> Saved:
    """Store one page and its checkpoint in one transaction.

    An item that stands twice on the page counts once, the later state winning. Raises
    StorageError when the run was closed by another process meanwhile.
    """
    rows = masked(items, run, door=door, now=now)
    with db.write() as connection:
        _renew(connection, run, now)
        saved = _save(connection, run, rows, door, now)
        _count(connection, run, saved, len(items), rejected)
        if checkpoint is not None:
            save_checkpoint(connection, run, checkpoint, now)
    return saved


def masked(
    items: Iterable[Feedback], run: Run, *, door: Door, now: datetime
) -> dict[str, dict[str, Any]]:
    """What the door makes of a page: masked, hashed, day and payload with it; touches no database.

    By the id as it is stored: one that only differs in what the door takes away is the same.
    """
    return {row["external_id"]: row for row in (_row(item, run, door, now) for item in items)}


# The statements of every page are made once: to build one costs as much as to run it.
_RENEW = (
    update(t.run)
    .where(t.run.c.id == bindparam("run_id"), t.run.c.finished_at.is_(None))
    .values(lease_until=bindparam("until"))
)
_COUNT = (
    update(t.run)
    .where(t.run.c.id == bindparam("run_id"))
    .values(
        pages=t.run.c.pages + 1,
        **{
            name: t.run.c[name] + bindparam(f"more_{name}")
            for name in ("seen", "new", "changed", "rejected")
        },
    )
)
_NEWS = (
    update(t.source)
    .where(t.source.c.id == bindparam("of_source"))
    .values(last_new_at=bindparam("at"))
)
_ANY_FORGOTTEN = (
    select(t.forgotten.c.mark).where(t.forgotten.c.source_id == bindparam("of_source")).limit(1)
)
# Locked in the order in which a tagger locks them (SQLite has one writer at a time).
_OF_PAGE = (
    select(t.feedback)
    .where(
        t.feedback.c.source_id == bindparam("of_source"),
        t.feedback.c.external_id.in_(bindparam("ids", expanding=True)),
    )
    .order_by(t.feedback.c.id)
    .with_for_update()
)


def _renew(connection: Connection, run: Run, now: datetime) -> None:
    alive = connection.execute(_RENEW, {"run_id": run.id, "until": now + LEASE})
    if alive.rowcount != 1:
        raise StorageError(f"{run.source}: this run was taken for dead and closed by another one.")


def _count(connection: Connection, run: Run, saved: Saved, seen: int, rejected: int) -> None:
    more = {"seen": seen, "new": saved.new, "changed": saved.changed, "rejected": rejected}
    counted = {f"more_{name}": number for name, number in more.items()}
    connection.execute(_COUNT, {"run_id": run.id, **counted})


def _row(item: Feedback, run: Run, door: Door, now: datetime) -> dict[str, Any]:
    """The masked row of one feedback, with its content hash and the day it counts on."""
    author, people = item.author or "", tuple(item.people)

    def told(text: str | None) -> str:
        return privacy.told(text, door.key, author, people) if text else ""

    reply = item.reply
    row: dict[str, Any] = {
        "source_id": run.source_id,
        "external_id": privacy.clean(item.external_id),
        "kind": item.kind.value,
        "title": told(item.title),
        "text": told(item.text),
        "language": item.language,
        "stars": item.stars,
        "rating": item.rating and privacy.clean(item.rating),
        "rating_scale": item.rating_scale,
        "category": privacy.clean(item.category) if item.category else None,
        "published_at": item.published_at,
        "edited_at": item.edited_at,
        "author": privacy.pseudonym(item.author, door.key) if item.author else None,
        "url": privacy.clean(item.url) if item.url else None,
        "reply_text": told(reply.text) if reply else None,
        "reply_at": reply.at if reply else None,
        "attributes": {privacy.clean(str(k)): told(str(v)) for k, v in item.attributes.items()},
        "day": _day(item, run, door.zone, now),
    }
    row["folded"] = fold(f"{row['title']}\n{row['text']}")
    row["content_hash"] = content_hash(row)
    row["_raw"] = _payload(item, door) if item.raw else None
    row["_withheld"] = item.text_withheld
    row["_contact"] = privacy.clean_all(item.contact) if door.contacts else None
    return row


def _payload(item: Feedback, door: Door) -> bytes:
    """The payload behind the same filter: the author is no more readable there than here."""
    raw = privacy.mask_payload(item.raw, door.key, item.author, item.people)
    return _COMPRESSOR.compress(raw.encode("utf-8"))


def _day(item: Feedback, run: Run, zone: ZoneInfo, now: datetime) -> date | None:
    if item.published_at is not None:
        return item.published_at.astimezone(zone).date()
    return None if run.first else now.astimezone(zone).date()


_HASHED = ("kind", "title", "text", "stars", "rating", "reply_text", "category")


def content_hash(row: dict[str, Any]) -> str:
    """SHA-256 over what a person can change: text, stars, rating, reply."""
    content = _JSON([row[name] for name in _HASHED])
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


def _save(
    connection: Connection, run: Run, rows: dict[str, dict[str, Any]], door: Door, now: datetime
) -> Saved:
    rows = _without_forgotten(connection, run.source_id, rows)
    known = _known(connection, run.source_id, list(rows))
    _keep_withheld(known, rows)
    reached = {key: told for key, row in rows.items() if (told := row.pop("_contact"))}
    fresh = [row for key, row in rows.items() if key not in known]
    changed: list[tuple[Row[Any], dict[str, Any]]] = []
    same: list[tuple[Row[Any], dict[str, Any]]] = []
    for key, old in known.items():
        (changed if _differs(old, rows[key]) else same).append((old, rows[key]))
    ids = {key: old.id for key, old in known.items()} | _insert(connection, run, fresh, now)
    contacts.keep(connection, [(ids[key], told) for key, told in reached.items()], key=door.key)
    _revise(connection, run, changed, now)
    _touch(connection, same, now)
    days = {row["day"] for row in fresh} | {old.day for old, _ in changed}
    mark_dirty(connection, run.source_id, days | {row["day"] for _, row in changed})
    if fresh:
        connection.execute(_NEWS, {"of_source": run.source_id, "at": now})
    return Saved(
        new=len(fresh),
        changed=len(changed),
        unchanged=len(same),
        settled=sum(old.settled and not _moved(old, row) for old, row in same),
        fresh=frozenset(row["external_id"] for row in fresh),
    )


def forgotten(external_id: str) -> str:
    """What is kept of an erased feedback, so that its source cannot bring it back: no word of it.

    A source's own id can be a name; its SHA-256 is enough to know it again.
    """
    return hashlib.sha256(external_id.encode("utf-8")).hexdigest()


def _without_forgotten(
    connection: Connection, source_id: int, rows: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What nobody asked to erase."""
    if connection.execute(_ANY_FORGOTTEN, {"of_source": source_id}).first() is None:
        return rows
    of_source = t.forgotten.c.source_id == source_id
    marks = {forgotten(key): key for key in rows}
    asked, gone = list(marks), set[str]()
    for start in range(0, len(asked), _CHUNK):
        of_page = t.forgotten.c.mark.in_(asked[start : start + _CHUNK])
        found = connection.execute(select(t.forgotten.c.mark).where(of_source, of_page))
        gone |= set(found.scalars())
    return {key: rows[key] for mark, key in marks.items() if mark not in gone}


def _known(connection: Connection, source_id: int, ids: list[str]) -> dict[str, Row[Any]]:
    found: dict[str, Row[Any]] = {}
    for start in range(0, len(ids), _CHUNK):
        page = {"of_source": source_id, "ids": ids[start : start + _CHUNK]}
        found |= {row.external_id: row for row in connection.execute(_OF_PAGE, page)}
    return found


def _keep_withheld(known: dict[str, Row[Any]], rows: dict[str, dict[str, Any]]) -> None:
    """A text that its source shows no longer stays as it was: nobody has edited it."""
    for key, row in rows.items():
        withheld, old = row.pop("_withheld"), known.get(key)
        if withheld and old is not None and not row["text"]:
            row["text"] = old.text
            row["folded"] = fold(f"{row['title']}\n{row['text']}")
            row["content_hash"] = content_hash(row)


def _differs(old: Row[Any], new: dict[str, Any]) -> bool:
    """Whether this is an edit; an older state that arrives late is none."""
    if old.content_hash == new["content_hash"]:
        return False
    return not (old.edited_at and new["edited_at"] and new["edited_at"] < old.edited_at)


def _moved(old: Row[Any], new: dict[str, Any]) -> bool:
    """Whether the source dates it later than before.

    Saved again with the same words it stands on top of what nobody has read yet.
    """
    edited = new["edited_at"]
    return edited is not None and bool(old.edited_at is None or edited > old.edited_at)


def _insert(
    connection: Connection, run: Run, rows: list[dict[str, Any]], now: datetime
) -> dict[str, int]:
    """Insert what is new; external id → id."""
    if not rows:
        return {}
    born = {"first_seen_at": now, "last_seen_at": now, "changed_at": now, "run_id": run.id}
    state = {"settled": False, "pending": True}
    ids = new_ids(connection, t.feedback, len(rows))
    fresh = [row | {"id": new} for new, row in zip(ids, rows, strict=True)]
    insert_many(connection, t.feedback, fresh, common=born | state)
    insert_many(connection, t.payload, _payloads(list(zip(ids, rows, strict=True)), now))
    return {row["external_id"]: row["id"] for row in fresh}


def _payloads(rows: list[tuple[int, dict[str, Any]]], now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "feedback_id": feedback_id,
            "content_hash": row["content_hash"],
            "seen_at": now,
            "body": row["_raw"],
        }
        for feedback_id, row in rows
        if row["_raw"]
    ]


_REVISED = (
    "title",
    "text",
    "stars",
    "rating",
    "edited_at",
    "reply_text",
    "reply_at",
    "content_hash",
)


def _revise(
    connection: Connection,
    run: Run,
    pairs: list[tuple[Row[Any], dict[str, Any]]],
    now: datetime,
) -> None:
    if not pairs:
        return
    old_states = [
        {"feedback_id": old.id, "replaced_at": now}
        | {name: getattr(old, name) for name in _REVISED}
        for old, _ in pairs
    ]
    connection.execute(insert(t.revision), old_states)
    for old, row in pairs:
        values = {k: v for k, v in row.items() if k not in {"_raw", "source_id"}}
        if _born_before(old, row):
            # An edit is no new event: it stays on the day it had.
            values |= {"published_at": old.published_at, "day": old.day or row["day"]}
        state = {"settled": False, "pending": True, "claimed_by": None, "claimed_until": None}
        state["emptied_at"] = None  # an edit brings words anew, and their time begins again
        seen = {"last_seen_at": now, "changed_at": now, "run_id": run.id}
        connection.execute(
            update(t.feedback).where(t.feedback.c.id == old.id).values(values | state | seen)
        )
    if kept := _payloads([(old.id, row) for old, row in pairs], now):
        connection.execute(upsert(connection, t.payload).on_conflict_do_nothing(), kept)


def _born_before(old: Row[Any], new: dict[str, Any]) -> bool:
    """Feeds that show one date move it with every edit: the earliest one seen is the birth."""
    published: datetime | None = old.published_at
    return new["published_at"] is None or (
        published is not None and published <= new["published_at"]
    )


def _touch(
    connection: Connection, pairs: list[tuple[Row[Any], dict[str, Any]]], now: datetime
) -> None:
    """Seen again; what no person wrote (votes, dates) follows without a revision."""
    if not pairs:
        return
    connection.execute(
        update(t.feedback)
        .where(t.feedback.c.id == bindparam("row_id"))
        .values(
            last_seen_at=now,
            attributes=bindparam("now_attributes"),
            edited_at=bindparam("now_edited"),
            settled=bindparam("still_settled"),
        ),
        [_seen_again(old, row) for old, row in pairs],
    )


def _seen_again(old: Row[Any], row: dict[str, Any]) -> dict[str, Any]:
    moved = _moved(old, row)
    return {
        "row_id": old.id,
        "now_attributes": row["attributes"],
        "now_edited": row["edited_at"] if moved else old.edited_at,
        "still_settled": old.settled and not moved,
    }


def mark_dirty(connection: Connection, source_id: int, days: Iterable[date | None]) -> None:
    """Days whose series must be counted again, in the transaction that changed them."""
    # In one order everywhere, so that two writers wait for each other and never in a circle.
    known = sorted({day for day in days if day is not None})
    values = [{"source_id": source_id, "day": day} for day in known]
    if values:
        connection.execute(upsert(connection, t.dirty_day).on_conflict_do_nothing(), values)
