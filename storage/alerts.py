"""Alerts: open matters with an owner, evidence and a history."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from . import tables as t
from .database import Database, StorageError, upsert
from .vocabulary import AlertState, Severity, Spike

SYSTEM = "ouvidor"
"""Who acted when no person did."""

LIFE = "life"
"""The key of the evidence under which stands what was done with an alert, not what was found."""


class Lesson(StrEnum):
    """Why an alert is dismissed; the first two say that it should not have been told."""

    EXPECTED = "expected"
    WRONG_TAG = "wrong_tag"
    DUPLICATE = "duplicate"

    @property
    def needless(self) -> bool:
        """Whether the next alert about the same needs more evidence."""
        return self is not Lesson.DUPLICATE


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One alert. ``source`` is '' for a touchpoint over all its sources."""

    id: int
    touchpoint: str
    source: str
    state: AlertState
    severity: Severity
    shadow: bool
    owner: str | None
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    detected_on: date
    first_day: date
    last_day: date
    observed: int
    expected: float
    share: float | None
    expected_share: float | None
    score: float
    reason: str
    evidence: Mapping[str, Any]

    def _life(self, name: str) -> Any:
        return self.evidence.get(LIFE, {}).get(name)

    @property
    def muted_until(self) -> date | None:
        """The last day on which nothing is told about it."""
        return date.fromisoformat(day) if (day := self._life("muted_until")) else None

    @property
    def incident(self) -> int | None:
        """The alert that leads the incident it belongs to; itself for the leader."""
        number: int | None = self._life("incident")
        return number

    @property
    def lesson(self) -> Lesson | None:
        """Why it was dismissed, where somebody said so."""
        return Lesson(name) if (name := self._life("lesson")) else None

    @property
    def told_at(self) -> datetime:
        """When somebody was told last."""
        return datetime.fromisoformat(at) if (at := self._life("told_at")) else self.opened_at

    @property
    def told_severity(self) -> Severity:
        """How grave it was when somebody was told last."""
        return Severity(name) if (name := self._life("told_severity")) else self.severity


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """One line of an alert's history."""

    at: datetime
    by: str
    what: str
    note: str


def _alert(row: Row[Any]) -> AlertRow:
    values = {each.name: getattr(row, each.name) for each in fields(AlertRow)}
    values["state"] = AlertState(row.state)
    values["severity"] = Severity(row.severity)
    return AlertRow(**values)


def listing(
    db: Database, *, states: Collection[AlertState] | None = None, shadow: bool | None = None
) -> list[AlertRow]:
    """Alerts, the newest first."""
    query = select(t.alert).order_by(t.alert.c.opened_at.desc(), t.alert.c.id.desc())
    if states is not None:
        query = query.where(t.alert.c.state.in_([state.value for state in states]))
    if shadow is not None:
        query = query.where(t.alert.c.shadow == shadow)
    with db.read() as connection:
        return [_alert(row) for row in connection.execute(query)]


def active(db: Database) -> list[AlertRow]:
    """What somebody still has to look at."""
    return listing(db, states=[state for state in AlertState if state.active])


def get(db: Database, alert_id: int) -> AlertRow:
    """One alert; raises StorageError when there is none with this id."""
    with db.read() as connection:
        return read(connection, alert_id)


def read(connection: Connection, alert_id: int) -> AlertRow:
    """One alert inside a transaction; raises StorageError when there is none with this id."""
    row = connection.execute(select(t.alert).where(t.alert.c.id == alert_id)).first()
    if row is None:
        raise StorageError(f"There is no alert {alert_id}; `ouvidor alerts list` shows them.")
    return _alert(row)


def history(db: Database, alert_id: int) -> list[AlertEvent]:
    """What happened to an alert, oldest first."""
    query = (
        select(t.alert_event)
        .where(t.alert_event.c.alert_id == alert_id)
        .order_by(t.alert_event.c.id)
    )
    with db.read() as connection:
        return [
            AlertEvent(at=row.at, by=row.by, what=row.what, note=row.note)
            for row in connection.execute(query)
        ]


def _found(spike: Spike) -> dict[str, Any]:
    return {
        "severity": spike.severity.value,
        "detected_on": spike.detected_on,
        "first_day": spike.first_day,
        "last_day": spike.last_day,
        "observed": spike.observed,
        "expected": spike.expected,
        "share": spike.share,
        "expected_share": spike.expected_share,
        "score": spike.score,
    }


def open_alert(
    connection: Connection,
    *,
    spike: Spike,
    touchpoint: str,
    source: str,
    owner: str | None,
    shadow: bool,
    evidence: Mapping[str, Any],
    now: datetime,
) -> int | None:
    """Open a matter; None when one is already active for this touchpoint and source."""
    values = _found(spike) | {
        "touchpoint": touchpoint,
        "source": source,
        "state": AlertState.OPEN.value,
        "shadow": shadow,
        "owner": owner,
        "opened_at": now,
        "updated_at": now,
        "evidence": dict(evidence),
    }
    statement = upsert(connection, t.alert).values(values).on_conflict_do_nothing()
    alert_id = connection.execute(statement.returning(t.alert.c.id)).scalar()
    if alert_id is not None:
        _note(connection, alert_id, now, SYSTEM, "opened", "")
    return alert_id


def update_alert(
    connection: Connection,
    alert_id: int,
    *,
    spike: Spike,
    evidence: Mapping[str, Any],
    now: datetime,
    what: str,
) -> None:
    """The matter goes on: newest figures; the first detection day stays what it was."""
    found = _found(spike)
    del found["detected_on"]
    life = {LIFE: kept} if (kept := read(connection, alert_id).evidence.get(LIFE)) else {}
    connection.execute(
        update(t.alert)
        .where(t.alert.c.id == alert_id)
        .values(found | {"updated_at": now, "evidence": dict(evidence) | life})
    )
    _note(connection, alert_id, now, SYSTEM, what, "")


def mark_told(connection: Connection, alert_id: int, *, severity: Severity, now: datetime) -> None:
    """Somebody is told: the next message needs a higher severity, or time."""
    told = {"told_at": now.isoformat(), "told_severity": severity.value}
    _live(connection, alert_id, told)
    speaks = update(t.alert).where(t.alert.c.id == alert_id).values(shadow=False)
    connection.execute(speaks)


def join_incident(connection: Connection, alert_id: int, leader: int, *, now: datetime) -> None:
    """Put an alert under the incident that another alert (or itself) leads; once is enough."""
    if read(connection, alert_id).incident is None:
        _live(connection, alert_id, {"incident": leader})
        _note(connection, alert_id, now, SYSTEM, "grouped", f"incident {leader}")


def _live(connection: Connection, alert_id: int, changes: Mapping[str, Any]) -> None:
    evidence = dict(read(connection, alert_id).evidence)
    evidence[LIFE] = evidence.get(LIFE, {}) | changes
    connection.execute(update(t.alert).where(t.alert.c.id == alert_id).values(evidence=evidence))


def close_alert(
    connection: Connection,
    alert_id: int,
    *,
    state: AlertState,
    by: str,
    reason: str,
    now: datetime,
) -> None:
    """Resolve or dismiss; raises StorageError when the alert is closed already."""
    _still_active(connection, alert_id)
    connection.execute(
        update(t.alert)
        .where(t.alert.c.id == alert_id)
        .values(state=state.value, reason=reason, closed_at=now, updated_at=now)
    )
    _note(connection, alert_id, now, by, state.value, reason)


def acknowledge(db: Database, alert_id: int, *, by: str, note: str, now: datetime) -> None:
    """Somebody has seen it and takes care."""
    with db.write() as connection:
        _still_active(connection, alert_id)
        connection.execute(
            update(t.alert)
            .where(t.alert.c.id == alert_id)
            .values(state=AlertState.ACKNOWLEDGED.value, updated_at=now)
        )
        _note(connection, alert_id, now, by, "acknowledged", note)


def assign(db: Database, alert_id: int, *, owner: str, by: str, now: datetime) -> None:
    """Give the matter to somebody."""
    with db.write() as connection:
        _still_active(connection, alert_id)
        connection.execute(
            update(t.alert).where(t.alert.c.id == alert_id).values(owner=owner, updated_at=now)
        )
        _note(connection, alert_id, now, by, "assigned", owner)


def comment(db: Database, alert_id: int, *, text: str, by: str, now: datetime) -> None:
    """Write a line of history; closed alerts take comments, too."""
    with db.write() as connection:
        read(connection, alert_id)
        _note(connection, alert_id, now, by, "commented", text)


def mute(
    db: Database, alert_id: int, *, until: date | None, by: str, note: str, now: datetime
) -> None:
    """Tell nobody about this touchpoint (and source) up to a day; None ends the silence."""
    with db.write() as connection:
        read(connection, alert_id)
        _live(connection, alert_id, {"muted_until": until.isoformat() if until else None})
        said = f"until {until}{f': {note}' if note else ''}" if until else note
        _note(connection, alert_id, now, by, "muted" if until else "unmuted", said)


def dismiss(
    db: Database,
    alert_id: int,
    *,
    lesson: Lesson | None,
    by: str,
    note: str,
    now: datetime,
    duplicate_of: int | None = None,
) -> None:
    """Close what needs nothing done; the lesson says why, so that the watch can learn.

    Raises StorageError when the alert is closed already, or its double is itself or unknown.
    """
    words = [lesson.value if lesson else "", f"of alert {duplicate_of}" if duplicate_of else ""]
    said = " ".join(filter(None, words))
    reason = ": ".join(filter(None, (said, note)))
    with db.write() as connection:
        if duplicate_of == alert_id:
            raise StorageError(f"Alert {alert_id} is no duplicate of itself; name the other one.")
        if duplicate_of is not None:
            leader = read(connection, duplicate_of).incident or duplicate_of
            join_incident(connection, alert_id, leader, now=now)
        state = AlertState.DISMISSED
        close_alert(connection, alert_id, state=state, by=by, reason=reason, now=now)
        if lesson:
            _live(connection, alert_id, {"lesson": lesson.value})


def close(
    db: Database, alert_id: int, *, state: AlertState, by: str, reason: str, now: datetime
) -> None:
    """What a person types: resolve or dismiss, in a transaction of its own."""
    with db.write() as connection:
        close_alert(connection, alert_id, state=state, by=by, reason=reason, now=now)


def note_event(
    connection: Connection, alert_id: int, *, at: datetime, by: str, what: str, note: str
) -> None:
    """Write a line of history."""
    _note(connection, alert_id, at, by, what, note)


def _still_active(connection: Connection, alert_id: int) -> None:
    alert = read(connection, alert_id)
    if not alert.state.active:
        raise StorageError(f"Alert {alert_id} is already {alert.state}; nothing was changed.")


def _note(
    connection: Connection, alert_id: int, at: datetime, by: str, what: str, note: str
) -> None:
    connection.execute(
        insert(t.alert_event).values(alert_id=alert_id, at=at, by=by, what=what, note=note)
    )
