from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from ouvidor.storage import alerts
from ouvidor.storage.alerts import Lesson
from ouvidor.storage.database import Database, StorageError
from ouvidor.storage.vocabulary import AlertState, Severity, Spike

DAY = date(2026, 10, 2)
SPIKE = Spike(
    series="app",
    detected_on=DAY,
    first_day=DAY,
    last_day=DAY,
    observed=12,
    expected=2.5,
    share=None,
    expected_share=None,
    severity=Severity.NOTICE,
    score=5.0,
)


def opened(db: Database, touchpoint: str, now: datetime) -> int:
    with db.write() as connection:
        number = alerts.open_alert(
            connection,
            spike=SPIKE,
            touchpoint=touchpoint,
            source="",
            owner=None,
            shadow=True,
            evidence={"quotes": [1]},
            now=now,
        )
    assert number is not None
    return number


def test_what_was_done_outlives_what_is_found(db: Database, now: datetime) -> None:
    number = opened(db, "app", now)
    fresh = alerts.get(db, number)
    assert (fresh.told_at, fresh.told_severity) == (now, Severity.NOTICE)
    assert (fresh.muted_until, fresh.incident, fresh.lesson) == (None, None, None)
    later = now + timedelta(days=3)
    until = DAY + timedelta(days=9)
    alerts.mute(db, number, until=until, by="ana", note="Natal", now=later)
    with db.write() as connection:
        alerts.mark_told(connection, number, severity=Severity.WARNING, now=later)
        alerts.join_incident(connection, number, number, now=later)
        alerts.join_incident(connection, number, 99, now=later)
        graver = replace(SPIKE, severity=Severity.CRITICAL)
        evidence = {"quotes": [2]}
        alerts.update_alert(
            connection, number, spike=graver, evidence=evidence, now=later, what="escalated"
        )
    known = alerts.get(db, number)
    assert (known.told_at, known.told_severity) == (later, Severity.WARNING)
    assert (known.muted_until, known.incident, known.shadow) == (until, number, False)
    assert (known.severity, known.evidence["quotes"]) == (Severity.CRITICAL, [2])
    alerts.mute(db, number, until=None, by="ana", note="", now=later)
    assert alerts.get(db, number).muted_until is None
    history = [(event.what, event.note) for event in alerts.history(db, number)]
    assert history == [
        ("opened", ""),
        ("muted", f"until {until}: Natal"),
        ("grouped", f"incident {number}"),
        ("escalated", ""),
        ("unmuted", ""),
    ]


def test_a_dismissal_says_why_and_of_what(db: Database, now: datetime) -> None:
    first, second, third = (opened(db, name, now) for name in ("app", "staff", "delivery"))
    alerts.dismiss(
        db,
        second,
        lesson=Lesson.DUPLICATE,
        by="ana",
        note="a mesma queda",
        now=now,
        duplicate_of=first,
    )
    double = alerts.get(db, second)
    assert (double.state, double.incident) == (AlertState.DISMISSED, first)
    assert double.reason == f"duplicate of alert {first}: a mesma queda"
    alerts.dismiss(db, third, lesson=Lesson.EXPECTED, by="ana", note="", now=now)
    assert alerts.get(db, third).lesson is Lesson.EXPECTED
    assert [lesson.needless for lesson in Lesson] == [True, True, False]
    for wrong, sentence in ((first, "no duplicate of itself"), (77, "no alert 77")):
        with pytest.raises(StorageError, match=sentence):
            alerts.dismiss(db, first, lesson=None, by="ana", note="", now=now, duplicate_of=wrong)
    assert alerts.get(db, first).state is AlertState.OPEN


def test_closed_alerts_take_comments(db: Database, now: datetime) -> None:
    number = opened(db, "app", now)
    alerts.dismiss(db, number, lesson=None, by="ana", note="teste", now=now)
    assert alerts.get(db, number).reason == "teste"
    alerts.comment(db, number, text="voltou", by="bento", now=now)
    assert alerts.history(db, number)[-1].note == "voltou"
    with pytest.raises(StorageError, match="no alert 99"):
        alerts.comment(db, 99, text="?", by="bento", now=now)
