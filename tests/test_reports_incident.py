from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from ouvidor.reports.alert_letter import AlertPhrases
from ouvidor.reports.incident import Member, gathered
from ouvidor.reports.lookout import Key
from ouvidor.storage.vocabulary import Severity, Stage

DAY = date(2026, 10, 20)


def member(alert: int, touchpoint: str, **more: object) -> Member:
    one = Member(
        alert=alert,
        key=Key(touchpoint, ""),
        touchpoint=touchpoint.title(),
        stage=Stage.AFTER,
        sources=frozenset({"loja", "site"}),
        severity=Severity.NOTICE,
        observed=9,
        expected=2.0,
        first_day=DAY,
        last_day=DAY + timedelta(days=2),
    )
    return replace(one, **more)  # type: ignore[arg-type]  # a test's shorthand


def test_one_alert_alone_is_no_incident() -> None:
    assert gathered([], []) is None
    assert gathered([], [member(1, "app")]) is None
    assert gathered([member(1, "app")], []) is None
    long_over = member(1, "app", last_day=DAY - timedelta(days=2), first_day=DAY - timedelta(9))
    assert gathered([member(2, "delivery")], [long_over]) is None


def test_the_gravest_leads_and_the_highest_common_node_names_it() -> None:
    app = member(1, "app", sources=frozenset({"loja"}))
    delivery = member(2, "delivery", severity=Severity.WARNING, sources=frozenset({"loja"}))
    group = gathered([app, delivery], [])
    assert group is not None
    assert (group.leader, group.source) == (2, "loja")
    assert [each.alert for each in group.members] == [2, 1]
    assert [each.alert for each in group.beside(2).members] == [1]
    wider = gathered([app, replace(delivery, sources=frozenset({"site"}))], [])
    assert wider is not None
    assert (wider.touchpoint, wider.source, wider.stage) == (None, None, Stage.AFTER)
    parts = gathered([app, replace(app, alert=3, key=Key("app", "site"))], [])
    assert parts is not None
    assert parts.touchpoint == "App"
    widest = gathered([replace(app, stage=Stage.BEFORE), member(2, "delivery")], [])
    assert widest is not None
    assert (widest.source, widest.stage) == (None, None)


def test_what_opens_later_joins_the_incident_that_stands() -> None:
    standing = [member(4, "app", incident=3), member(3, "staff", incident=3)]
    group = gathered([member(9, "delivery", severity=Severity.CRITICAL)], standing)
    assert group is not None
    assert group.leader == 3
    alone = gathered([member(9, "delivery")], [member(5, "app")])
    assert alone is not None
    assert alone.leader == 5


def test_the_phrase_names_the_node_and_the_others() -> None:
    many = [member(number, f"t{number}") for number in range(1, 10)]
    group = gathered(many, [])
    assert group is not None
    text = AlertPhrases("en").together(group.beside(1))
    assert text.startswith("Part of one incident (After the purchase); also alarming: T2 (alert 2")
    assert text.endswith("2 more.")
    brand = gathered([replace(many[0], stage=Stage.BEFORE), many[1]], [])
    assert brand is not None
    assert "of the whole brand" in AlertPhrases("en").together(brand)
    there = [replace(each, sources=frozenset({"loja"})) for each in many[:2]]
    here = gathered(there, [])
    assert here is not None
    assert "(loja)" in AlertPhrases("en").together(here)
