"""What has to hold after every fault, whatever it was.

Three judges that do not know of each other: the stand-in brand knows what its sources show, the
mail server knows what arrived, and an undisturbed life knows every row.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, text

from ouvidor.reports.mail import message_id
from ouvidor.storage import privacy, series
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, schema_version

if TYPE_CHECKING:
    from faults.world import Step, World

    from ouvidor.demo.feedback import Piece


@dataclass
class Findings:
    """What does not hold, in sentences; ``repeated`` counts mails that SMTP could not know of."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    repeated: int = 0

    @property
    def all(self) -> list[str]:
        """Every sentence."""
        groups = (self.lost, self.doubled, self.stuck, self.orphans, self.astray, self.unclear)
        return [each for group in groups for each in group]


# --- the whole state, to be compared with that of an undisturbed life ---------------------------

_SAID = "FROM feedback f JOIN source s ON s.id = f.source_id"
_STATE = {
    "feedback": "SELECT s.name, f.external_id, f.title, f.text, f.stars, f.day, f.content_hash, "
    f"f.author, f.reply_text, f.settled, f.pending {_SAID}",
    "payload": f"SELECT s.name, f.external_id, p.content_hash {_SAID} "
    "JOIN payload p ON p.feedback_id = f.id",
    "revision": f"SELECT s.name, f.external_id, r.content_hash, r.text {_SAID} "
    "JOIN revision r ON r.feedback_id = f.id",
    "annotation": "SELECT s.name, f.external_id, a.sentiment, a.tagger, a.uncertain, "
    f"a.content_hash {_SAID} JOIN annotation a ON a.feedback_id = f.id",
    "aspect": "SELECT s.name, f.external_id, a.topic, a.touchpoint, a.sentiment, a.span_start "
    f"{_SAID} JOIN aspect a ON a.feedback_id = f.id",
    # No checkpoint: a run that had closed before the kill is a second run when it is asked again,
    # and its bookmark may well stand on another page. No hours either: a verb that was disturbed
    # may be called again later; what the ledger claims is judged by what the sources show.
    "coverage": "SELECT s.name, c.day FROM coverage c JOIN source s ON s.id = c.source_id",
    "series": "SELECT s.name, x.day, x.touchpoint, x.negatives, x.mentions, x.total "
    "FROM series x JOIN source s ON s.id = x.source_id",
    "alert": "SELECT touchpoint, source, state, severity, shadow, first_day, last_day, observed "
    "FROM alert",
    "alert_event": "SELECT a.touchpoint, a.source, e.what FROM alert_event e JOIN alert a "
    "ON a.id = e.alert_id",
    "digest": "SELECT subscriber, week, skipped FROM digest",
    "study": "SELECT week, tagger FROM study",
    "message": "SELECT key, channel, recipient, subject, state FROM message",
}


def state(world: World) -> dict[str, Counter[Any]]:
    """Everything that must be equal, whatever died on the way."""
    with world.open() as db:
        series.refresh(db)
        with db.read() as connection:
            return {
                name: Counter(tuple(map(_shown, row)) for row in connection.execute(text(query)))
                for name, query in _STATE.items()
            }


def _shown(value: Any) -> str:
    """PostgreSQL gives a number away even when the transaction that took it never commits."""
    return re.sub(r"^alert:\d+:", "alert:N:", str(value))


# --- right after the fault ------------------------------------------------------------------------


def in_between(world: World, found: Findings) -> None:
    """What must hold even before anybody tries again: nothing is claimed that is not so."""
    with world.open() as db, db.read() as connection:
        if schema_version(connection) is None:
            return  # it died before there was anything
        for source in sorted({piece.source for piece in world.brand.feedback}):
            _claims(world, connection, source, found)
        _mails(world, connection, found, allowed=None)
        _orphans(db, connection, found)


def _claims(world: World, connection: Connection, source: str, found: Findings) -> None:
    """What the ledger calls covered, or read to its end, is in the store."""
    stored, twice = _stored(connection, source)
    found.doubled += [f"{source} {each} is stored twice" for each in twice]
    ours = select(t.source.c.id).where(t.source.c.name == source).scalar_subquery()
    spans = connection.execute(
        select(t.coverage.c.since, t.coverage.c.until).where(t.coverage.c.source_id == ours)
    ).all()
    joined = connection.scalars(
        select(t.run.c.started_at).where(t.run.c.source_id == ours, t.run.c.joined)
    ).all()
    read = max(joined, default=None)
    for piece in world.brand.shown(source):
        claimed = (read is not None and _changed(piece) <= read) or any(
            since <= piece.at < until for since, until in spans
        )
        if claimed and piece.id not in stored:
            found.lost.append(f"{source} {piece.id} is covered and not stored")
        elif read is not None and _changed(piece) <= read and stored[piece.id] != _told(piece):
            found.lost.append(f"{source} {piece.id} was read and is not its latest revision")


def _stored(connection: Connection, source: str) -> tuple[dict[str, Any], list[str]]:
    columns = ("external_id", "title", "text", "stars", "reply_text")
    query = select(*(t.feedback.c[name] for name in columns)).join(t.source)
    rows = connection.execute(query.where(t.source.c.name == source)).all()
    counted = Counter(row[0] for row in rows)
    twice = [each for each, count in counted.items() if count > 1]
    return {row[0]: tuple(row[1:]) for row in rows}, twice


def _told(piece: Piece) -> tuple[Any, ...]:
    """The row that a piece becomes, as the source shows it now."""
    from faults.world import KEY

    def masked(words: str) -> str:
        return privacy.mask(words, KEY.encode())

    # The feed of the App Store shows no replies.
    reply = piece.reply if piece.source != "app-br" else None
    said = masked(piece.title), masked(piece.text), piece.stars
    return (*said, masked(reply.text) if reply else None)


def _changed(piece: Piece) -> datetime:
    return piece.updated if piece.source == "app-br" else piece.changed


def _mails(world: World, connection: Connection, found: Findings, *, allowed: int | None) -> None:
    """What is marked as sent arrived; nothing else arrived; ``allowed`` may have come twice."""
    from faults.world import SENDER

    rows = connection.execute(select(t.message.c.key, t.message.c.recipient, t.message.c.state))
    keys = {(message_id(row.key, SENDER), row.recipient): row for row in rows.all()}
    arrived = world.post.arrived
    for mark, row in keys.items():
        if row.state == "sent" and not arrived[mark]:
            found.lost.append(f"message {row.key} is marked as sent and never arrived")
    found.doubled += [f"{mark} arrived and is no message of ours" for mark in arrived - keys.keys()]
    if allowed is not None:
        again = sum(arrived.values()) - len(arrived)
        found.repeated += min(again, allowed)
        found.doubled += ["a mail arrived once more than can be excused"] * (again - allowed)


_ORPHANS = {
    "an aspect of what is not annotated": "SELECT count(*) FROM aspect a LEFT JOIN annotation n "
    "ON n.feedback_id = a.feedback_id WHERE n.feedback_id IS NULL",
    "an annotation of what was edited since": "SELECT count(*) FROM annotation n JOIN feedback f "
    "ON f.id = n.feedback_id WHERE n.content_hash <> f.content_hash AND NOT f.pending",
    "neither annotated nor waiting": "SELECT count(*) FROM feedback f LEFT JOIN annotation n "
    "ON n.feedback_id = f.id WHERE n.feedback_id IS NULL AND NOT f.pending",
    "an alert without its history": "SELECT count(*) FROM alert a LEFT JOIN alert_event e "
    "ON e.alert_id = a.id WHERE e.id IS NULL",
    "a digest that is neither skipped nor a message": "SELECT count(*) FROM digest d LEFT JOIN "
    "message m ON m.key = 'digest:' || d.subscriber || ':' || d.week "
    "WHERE m.id IS NULL AND d.skipped IS NULL",
    "a message sent without its delivery": "SELECT count(*) FROM message m LEFT JOIN delivery d "
    "ON d.message_id = m.id AND d.result = 'sent' WHERE d.id IS NULL AND m.state = 'sent'",
}


def _orphans(db: Database, connection: Connection, found: Findings) -> None:
    for what, query in _ORPHANS.items():
        if count := connection.scalar(text(query)):
            found.orphans.append(f"{count} × {what}")
    if db.embedded:
        lost = connection.execute(text("PRAGMA foreign_key_check")).all()
        found.orphans += [f"a row of {row[0]} names one that is not there" for row in lost]
        whole = connection.scalars(text("PRAGMA integrity_check(1)")).all()
        found.orphans += [f"the file is damaged: {each}" for each in whole if each != "ok"]


# --- once everything was tried again --------------------------------------------------------------


def at_rest(world: World, step: Step, found: Findings, *, allowed: int = 0) -> None:
    """The step was called again and ended well: it is as if nothing had happened.

    ``allowed`` mails may have come twice: those that were under way when a sender died.
    """
    with world.open() as db:
        with db.read() as connection:
            _complete(world, connection, step, found)
            _mails(world, connection, found, allowed=allowed)
            _leases(connection, found)
            _orphans(db, connection, found)
            if step.name == "deliver":
                _told_everybody(world, found)
        _series(db, found)
    _compare(world.states[step.name], state(world), found)


def _complete(world: World, connection: Connection, step: Step, found: Findings) -> None:
    """Everything the sources showed when they were last read, once, in its latest revision."""
    read = step.read | ({step.source: step.now} if step.source else {})
    for source, moment in read.items():
        stored, twice = _stored(connection, source)
        found.doubled += [f"{source} {each} is stored twice" for each in twice]
        shown = {} if moment is None else _at(world, source, moment)
        found.lost += [f"{source} {key} is missing" for key in shown.keys() - stored.keys()]
        found.doubled += [f"{source} {key} was invented" for key in stored.keys() - shown.keys()]
        found.lost += [
            f"{source} {key} is not its latest revision"
            for key in shown.keys() & stored.keys()
            if shown[key] != stored[key]
        ]


def _at(world: World, source: str, moment: datetime) -> dict[str, tuple[Any, ...]]:
    before, world.brand.now = world.brand.now, moment
    try:
        return {piece.id: _told(piece) for piece in world.brand.shown(source)}
    finally:
        world.brand.now = before


def _leases(connection: Connection, found: Findings) -> None:
    for table in (t.feedback, t.message, t.due):
        query = select(table.c.claimed_by).where(table.c.claimed_by.is_not(None))
        for worker in connection.scalars(query.distinct()):
            found.stuck.append(f"{table.name} is held by {worker}")
    query = select(t.run.c.worker).where(t.run.c.finished_at.is_(None))
    found.stuck += [f"a run of {worker} is open" for worker in connection.scalars(query)]


def _told_everybody(world: World, found: Findings) -> None:
    missing = world.states["mails"].keys() - world.post.arrived.keys()
    found.lost += [f"{to} never got {mark}" for mark, to in missing]


def _series(db: Database, found: Findings) -> None:
    """The counted days are those of a rebuild, and of a count that shares no line with it."""
    series.refresh(db)
    with db.read() as connection:
        grown, counted = _rows(connection), _recount(connection)
    series.rebuild(db)
    with db.read() as connection:
        rebuilt = _rows(connection)
    for name, other in (("a rebuild", rebuilt), ("a recount", counted)):
        wrong = {key for key in grown.keys() | other.keys() if grown.get(key) != other.get(key)}
        found.astray += [f"{key} is {grown.get(key)}, in {name} {other.get(key)}" for key in wrong]


def _rows(connection: Connection) -> dict[Any, tuple[int, int, int]]:
    return {
        (row.source_id, row.day, row.touchpoint): (row.negatives, row.mentions, row.total)
        for row in connection.execute(select(t.series))
    }


def _recount(connection: Connection) -> dict[Any, tuple[int, int, int]]:
    places = {
        row.id: (row.source_id, row.day)
        for row in connection.execute(
            select(t.feedback.c.id, t.feedback.c.source_id, t.feedback.c.day)
        )
        if row.day is not None
    }
    totals = Counter(places.values())
    said: Counter[Any] = Counter()
    bad: Counter[Any] = Counter()
    subjects = [
        select(t.annotation.c.feedback_id, text("''"), t.annotation.c.sentiment),
        select(t.aspect.c.feedback_id, t.aspect.c.touchpoint, t.aspect.c.sentiment),
    ]
    for query in subjects:
        for feedback_id, touchpoint, sentiment in connection.execute(query):
            if touchpoint is not None and feedback_id in places:
                key = (*places[feedback_id], touchpoint)
                said[key] += 1
                bad[key] += sentiment == "negative"
    keys = said.keys() | {(*place, "") for place in totals}
    return {key: (bad[key], said[key], totals[key[:2]]) for key in keys}


def _compare(
    wanted: dict[str, Counter[Any]], real: dict[str, Counter[Any]], found: Findings
) -> None:
    """Row by row against the undisturbed life."""
    for name, rows in wanted.items():
        less, more = rows - real[name], real[name] - rows
        if name == "series":
            found.astray += [f"{name}: {row}" for row in (*less, *more)]
            continue
        found.lost += [f"{name}: {row} is missing" for row in less]
        found.doubled += [f"{name}: {row} is too much" for row in more]
