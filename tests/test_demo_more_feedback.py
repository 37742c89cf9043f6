"""What the APIs serve: the same brand, calendar, incident and sale as the files and feeds."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime, timedelta
from importlib import resources
from statistics import mean

import pytest
from stdnum.br import cpf

from ouvidor.demo.app_store_connect import answers
from ouvidor.demo.feedback import (
    INCIDENT,
    LAST_DAY,
    MORE,
    SOURCES,
    Piece,
    parse,
    read_feedback,
)
from ouvidor.demo.google_play import DEVICES
from ouvidor.storage.vocabulary import Sentiment, Topic

OLD = read_feedback()
PIECES = read_feedback(MORE)
BASE = [piece for piece in PIECES if not piece.incident]
CHECKOUT = {Topic.ONLINE_SHOPPING, Topic.BILLING_PAYMENT, Topic.APP_STABILITY}
SALE_WEEK = 11
LONG = 40


def of(source: str) -> list[Piece]:
    return [piece for piece in PIECES if piece.source == source]


def test_the_files_are_apart_from_those_of_the_configuration() -> None:
    assert not set(MORE) & set(SOURCES)
    assert {piece.source for piece in OLD} == set(SOURCES)
    assert {piece.source for piece in PIECES} == set(MORE)
    assert {piece.source for piece in read_feedback(SOURCES + MORE)} == set(SOURCES + MORE)


@pytest.mark.parametrize(
    ("source", "pieces", "incident"),
    [
        ("play", 124, 12),
        ("google-recife", 45, 2),
        ("google-curitiba", 45, 2),
        ("reclame-aqui", 80, 14),
        ("consumidor-gov", 40, 6),
        ("trustpilot", 25, 2),
        ("cfpb", 25, 3),
    ],
)
def test_there_is_enough_of_every_source(source: str, pieces: int, incident: int) -> None:
    assert len(of(source)) == pieces
    assert sum(piece.incident for piece in of(source)) == incident


def test_every_week_has_some_of_every_source_and_no_day_lies_outside() -> None:
    for source in MORE:
        assert {piece.week for piece in of(source)} == set(range(1, 17)), source
    assert max(piece.day for piece in PIECES) <= LAST_DAY
    assert all(piece.changed.date() <= LAST_DAY for piece in PIECES)


def test_ids_are_unique_and_people_are_too() -> None:
    assert max(Counter((piece.source, piece.id) for piece in PIECES).values()) == 1
    names = [piece.author for piece in (*OLD, *PIECES) if piece.author]
    assert max(Counter(names).values()) == 1


def test_nothing_is_said_twice_or_was_said_before() -> None:
    texts = Counter(p.text.casefold() for p in (*OLD, *PIECES) if len(p.text) >= LONG)
    assert [text for text, times in texts.items() if times > 1] == []
    assert max(Counter(text[:25] for text in texts).values()) <= 2


def test_stars_agree_with_the_mood() -> None:
    fits = {
        Sentiment.NEGATIVE: {1, 2},
        Sentiment.NEUTRAL: {3},
        Sentiment.POSITIVE: {4, 5},
    }
    rated = [piece for piece in PIECES if piece.source != "consumidor-gov" and piece.stars]
    assert [piece.id for piece in rated if piece.stars not in fits[piece.mood]] == []
    assert all(piece.stars is None for piece in of("reclame-aqui") + of("cfpb"))


@pytest.mark.parametrize("source", ["play", "google-recife", "google-curitiba", "trustpilot"])
def test_normal_weeks_are_mostly_content(source: str) -> None:
    base = [piece for piece in BASE if piece.source == source]
    happy = sum(piece.mood is Sentiment.POSITIVE for piece in base) / len(base)
    assert 0.54 <= happy <= 0.62


def test_the_incident_is_the_same_one() -> None:
    incident = [piece for piece in PIECES if piece.incident]
    assert {piece.source for piece in incident} == set(MORE)
    assert all(INCIDENT[0] <= piece.day <= INCIDENT[1] for piece in incident)
    assert all(piece.mood is Sentiment.NEGATIVE for piece in incident)
    assert all(CHECKOUT & set(piece.about) for piece in incident)
    broken = [piece for piece in incident if piece.source == "play"]
    assert {piece.details["version"] for piece in broken} == {"5.2.0"}
    days = Counter(piece.day for piece in incident)
    assert len(days) == 12
    assert max(days.values()) <= 6


@pytest.mark.parametrize("source", MORE)
def test_the_sale_brings_more_of_the_same(source: str) -> None:
    weeks = Counter(piece.week for piece in BASE if piece.source == source)
    usual = mean(weeks[week] for week in range(1, 17) if week != SALE_WEEK)
    assert 1.8 <= weeks[SALE_WEEK] / usual <= 3.2


def test_the_sale_week_is_no_worse_than_the_others() -> None:
    reviews = [p for p in BASE if p.source not in {"reclame-aqui", "consumidor-gov", "cfpb"}]
    sale = [piece for piece in reviews if piece.week == SALE_WEEK]
    rest = [piece for piece in reviews if piece.week != SALE_WEEK]
    for mood in Sentiment:
        shares = [sum(p.mood is mood for p in some) / len(some) for some in (sale, rest)]
        assert abs(shares[0] - shares[1]) < 0.09


def test_android_knows_its_devices_and_versions() -> None:
    play = of("play")
    assert {piece.details.get("device") for piece in play} <= {*DEVICES, None}
    assert Counter(piece.lang for piece in play).keys() == {"pt", "es", "en"}
    first = min(piece.day for piece in play if piece.details.get("version") == "5.2.0")
    assert first >= date(2026, 10, 13)
    assert {"version" in piece.details for piece in play} == {True, False}
    assert sum(bool(piece.edits) for piece in play) == 3


def test_complaints_go_through_their_life_in_order() -> None:
    for piece in of("reclame-aqui"):
        moments = [piece.at, *([piece.reply.at] if piece.reply else [])]
        moments += [step.at for step in piece.steps if step.kind != "moderation"]
        assert moments == sorted(moments), piece.id
        assert all(step.at > piece.at for step in piece.steps)
        kinds = [step.kind for step in piece.steps]
        assert piece.reply or not {"consumer", "company", "evaluation"} & set(kinds)
        assert kinds.count("evaluation") <= 1
    scores = [s.details for p in of("reclame-aqui") for s in p.steps if s.kind == "evaluation"]
    assert all(int(each["score"]) >= 5 for each in scores if each["resolved"] == "true")
    assert all(int(each["score"]) <= 4 for each in scores if each["resolved"] == "false")
    assert {each["back"] for each in scores} == {"true", "false"}


def test_customers_are_invented() -> None:
    for piece in of("reclame-aqui"):
        assert cpf.is_valid(piece.details["cpf"])
        assert piece.details["email"].endswith("@example.com")
    tickets = [int(piece.details["ticket"]) for piece in of("reclame-aqui")]
    assert tickets == sorted(set(tickets))


def test_a_state_knows_only_what_happened_by_then() -> None:
    piece = next(p for p in of("reclame-aqui") if len(p.steps) == 3)
    second = piece.steps[1].at
    shown = piece.as_of(second)
    assert shown
    assert shown.steps == piece.steps[:2]
    assert shown.changed == second
    gone = next(p for p in PIECES if p.gone)
    assert gone.gone
    assert gone.as_of(gone.gone - timedelta(seconds=1))
    assert gone.as_of(gone.gone) is None


def test_steps_and_the_end_are_read_from_a_line() -> None:
    raw = {
        "source": "reclame-aqui",
        "id": "1",
        "at": "2026-10-01T10:00:00-03:00",
        "lang": "pt",
        "text": "x",
        "author": "y",
        "mood": "negative",
        "steps": [{"at": "2026-10-02T10:00:00-03:00", "kind": "frozen"}],
        "gone": "2026-10-03T10:00:00-03:00",
    }
    piece = parse(json.dumps(raw))
    assert [step.kind for step in piece.steps] == ["frozen"]
    assert piece.gone == datetime.fromisoformat("2026-10-03T10:00:00-03:00")


def test_open_data_says_nothing_in_words() -> None:
    rows = of("consumidor-gov")
    assert {piece.text for piece in rows} == {""}
    verdicts = {piece.details["result"] for piece in rows}
    assert verdicts == {"Resolvida", "Não Resolvida", "Não Avaliada"}
    for piece in rows:
        assert (piece.stars is None) is (piece.details["result"] == "Não Avaliada")
        assert date.fromisoformat(piece.details["closed"]) >= piece.day


def test_every_answer_in_the_app_store_answers_somebody() -> None:
    asked = {piece.id: piece for piece in OLD if piece.source.startswith("app-")}
    assert len(answers()) == 12
    for number, answer in answers().items():
        assert answer.at > asked[number].at
        assert answer.at.date() <= LAST_DAY
    raw = resources.files("ouvidor.demo") / "app-store-replies.json"
    assert len({each["text"] for each in json.loads(raw.read_text()).values()}) == 12
