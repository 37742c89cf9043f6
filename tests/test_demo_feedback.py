from __future__ import annotations

import re
import tomllib
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import mean

import pytest
from stdnum.br import cpf

from ouvidor import config
from ouvidor.demo.configuration import configuration
from ouvidor.demo.feedback import (
    FIRST_DAY,
    INCIDENT,
    LAST_DAY,
    SALE,
    SOURCES,
    Piece,
    as_of,
    parse,
    read_feedback,
)
from ouvidor.storage.vocabulary import Sentiment, Stage, Topic

CHECKOUT = {Topic.ONLINE_SHOPPING, Topic.BILLING_PAYMENT}
SALE_WEEK = 11
PIECES = read_feedback()
BASE = [piece for piece in PIECES if not piece.incident]
LONG = 40
"""Letters from which a text is somebody's own and not a 'Muito bom'."""


def share(pieces: list[Piece], mood: Sentiment) -> float:
    return sum(piece.mood is mood for piece in pieces) / len(pieces)


def about_checkout(piece: Piece) -> bool:
    return piece.mood is Sentiment.NEGATIVE and bool(CHECKOUT & set(piece.about))


def test_there_is_enough_of_every_source() -> None:
    counts = Counter(piece.source for piece in PIECES)
    expected = {"app-br": 200, "app-mx": 75, "app-us": 55, "pesquisa": 125, "reclamacoes": 100}
    assert len(PIECES) >= 640
    assert set(counts) == set(SOURCES)
    assert all(counts[source] >= least for source, least in {**expected, "lojas": 65}.items())


@pytest.mark.parametrize(
    ("lang", "least", "most"), [("pt", 60, 72), ("es", 15, 23), ("en", 11, 18)]
)
def test_the_languages_have_their_shares(lang: str, least: int, most: int) -> None:
    percent = 100 * sum(piece.lang == lang for piece in PIECES) / len(PIECES)
    assert least <= percent <= most


def test_every_week_of_the_calendar_has_feedback_and_no_day_lies_outside() -> None:
    assert FIRST_DAY.weekday() == 0
    assert timedelta(days=16 * 7 - 1) == LAST_DAY - FIRST_DAY
    assert {piece.week for piece in PIECES} == set(range(1, 17))
    late = [change.at for piece in PIECES for change in (*piece.edits, piece.reply) if change]
    assert all(FIRST_DAY <= moment.date() <= LAST_DAY for moment in late)


def test_ids_are_unique_and_an_author_says_one_thing() -> None:
    assert max(Counter((piece.source, piece.id) for piece in PIECES).values()) == 1
    assert max(Counter(piece.author for piece in PIECES).values()) == 1


def test_the_apps_ids_rise_with_time_as_apples_do() -> None:
    apps = sorted((piece for piece in PIECES if "app" in piece.source), key=lambda each: each.at)
    ids = [int(piece.id) for piece in apps]
    assert ids == sorted(ids)


def test_no_text_of_any_length_is_said_twice() -> None:
    texts = Counter(piece.text.casefold() for piece in PIECES if piece.text)
    assert [text for text, times in texts.items() if times > 1 and len(text) >= LONG] == []
    own = [text for text in texts if len(text) >= LONG]
    assert len(own) > 500
    # Templates would give themselves away by their beginnings.
    assert max(Counter(text[:25] for text in own).values()) <= 2


def test_some_only_leave_stars_and_complaints_never_have_any() -> None:
    silent = [piece for piece in PIECES if not piece.text]
    assert len(silent) >= 15
    assert all(piece.stars and piece.source in {"pesquisa", "lojas"} for piece in silent)
    assert all((piece.stars is None) is (piece.source == "reclamacoes") for piece in PIECES)


def test_stars_agree_with_the_mood() -> None:
    fits = {
        Sentiment.NEGATIVE: {1, 2, None},
        Sentiment.NEUTRAL: {3, 4, None},
        Sentiment.POSITIVE: {4, 5, None},
    }
    assert [piece.id for piece in PIECES if piece.stars not in fits[piece.mood]] == []


def test_normal_weeks_are_mostly_content() -> None:
    assert 0.55 <= share(BASE, Sentiment.POSITIVE) <= 0.60
    assert 0.11 <= share(BASE, Sentiment.NEUTRAL) <= 0.15


def test_the_incident_stands_out_from_a_quiet_base() -> None:
    incident = [piece for piece in PIECES if piece.incident]
    assert 40 <= len(incident) <= 50
    assert all(INCIDENT[0] <= piece.day <= INCIDENT[1] for piece in incident)
    assert min(piece.day for piece in incident) == date(2026, 10, 14)
    assert all(about_checkout(piece) for piece in incident)
    assert {piece.source for piece in incident} == {"app-br", "app-mx", "pesquisa", "reclamacoes"}
    usual = Counter(piece.week for piece in BASE if about_checkout(piece))
    assert all(2 <= usual[week] <= 4 for week in range(1, 17) if week != SALE_WEEK)


def test_the_incident_lasts_and_does_not_fall_on_one_day() -> None:
    days = Counter(piece.day for piece in PIECES if piece.incident)
    assert len(days) == 12
    assert max(days.values()) <= 6


def test_the_sale_brings_more_of_the_same() -> None:
    weeks = Counter(piece.week for piece in BASE)
    sale = [piece for piece in BASE if SALE[0] <= piece.day <= SALE[1]]
    rest = [piece for piece in BASE if piece.week != SALE_WEEK]
    assert {piece.week for piece in sale} == {SALE_WEEK}
    usual = mean(weeks[week] for week in range(1, 17) if week != SALE_WEEK)
    assert 2.3 <= len(sale) / usual <= 2.7
    assert all(abs(share(sale, mood) - share(rest, mood)) < 0.05 for mood in Sentiment)
    for source in SOURCES:
        often = sum(piece.source == source for piece in sale) / len(sale)
        normally = sum(piece.source == source for piece in rest) / len(rest)
        assert abs(often - normally) < 0.06


def test_the_new_app_version_comes_with_the_incident() -> None:
    first = min(piece.day for piece in PIECES if piece.details.get("version") == "5.2.0")
    assert first >= date(2026, 10, 13)
    broken = [piece for piece in PIECES if piece.incident and "app" in piece.source]
    assert {piece.details["version"] for piece in broken} == {"5.2.0"}


def test_one_person_changes_their_mind_in_week_15() -> None:
    (piece,) = [piece for piece in PIECES if piece.edits]
    (edit,) = piece.edits
    before = piece.as_of(edit.at - timedelta(seconds=1))
    after = piece.as_of(edit.at)
    assert before is not None
    assert after is not None
    assert (before.stars, before.updated) == (1, piece.at)
    assert (after.stars, after.updated, after.text) == (4, edit.at, edit.text)
    assert after.at == piece.at
    assert (edit.at.date() - FIRST_DAY).days // 7 + 1 == 15


def test_replies_appear_when_they_were_written() -> None:
    replied = [piece for piece in PIECES if piece.reply]
    assert {piece.source for piece in replied} == {"reclamacoes"}
    weeks = {(p.reply.at.date() - FIRST_DAY).days // 7 + 1 for p in replied if p.reply}
    assert 15 in weeks
    for piece in replied:
        assert piece.reply
        before = piece.as_of(piece.reply.at - timedelta(seconds=1))
        assert before is not None
        assert before.reply is None
        assert piece.as_of(piece.reply.at) == piece


def test_nothing_is_known_before_it_was_said() -> None:
    now = datetime(2026, 8, 1, tzinfo=UTC)
    shown = as_of(PIECES, now)
    assert shown
    assert max(piece.at for piece in shown) <= now
    assert len(shown) == sum(piece.at <= now for piece in PIECES)


def test_invented_personal_data_waits_to_be_masked() -> None:
    texts = " ".join(piece.text for piece in PIECES)
    numbers = re.findall(r"\d{3}\.\d{3}\.\d{3}-\d{2}", texts)
    assert len(numbers) >= 3
    assert all(cpf.is_valid(number) for number in numbers)
    assert len(re.findall(r"\(\d\d\) 9\d{4}-\d{4}", texts)) >= 3
    assert re.findall(r"\w+@(\w+\.\w+)", texts) == ["example.com"] * texts.count("@")
    assert texts.count("4471-882-BR") == 2


def test_a_line_without_an_offset_is_refused() -> None:
    line = '{"source": "lojas", "id": "1", "at": "sometime", "lang": "pt", "mood": "positive"}'
    with pytest.raises(ValueError, match="sometime"):
        parse(line)


def test_the_configuration_names_every_source_and_no_example_is_a_customers_sentence(
    tmp_path: Path,
) -> None:
    folder = tmp_path / 'a "quoted" folder'
    text = configuration("http://127.0.0.1:1", folder)
    table = tomllib.loads(text)
    apis = {"play", "google", "reclame-aqui", "consumidor-gov"}
    assert set(table["sources"]) == {*SOURCES, *apis}
    few = configuration("http://127.0.0.1:1", folder, apis=False)
    assert set(config.parse(few).sources) == {*SOURCES}  # and nothing in it names the others
    assert {source["base_url"] for source in table["sources"].values()} == {"http://127.0.0.1:1"}
    assert table["database"]["url"] == f"sqlite:///{folder}/ouvidor.db"
    points = table["touchpoints"].values()
    assert {point["stage"] for point in points} == set(Stage)
    examples = [example for point in points for example in point["examples"]]
    assert all(3 <= len(point["examples"]) <= 5 for point in points)
    assert not {example.casefold() for example in examples} & {p.text.casefold() for p in PIECES}
    mapped = [topic for point in points for topic in point.get("topics", ())]
    assert {Topic(topic) for topic in mapped} >= {topic for p in PIECES for topic in p.about} - {
        Topic.BRAND_GENERAL,
        Topic.SECURITY_FRAUD,
    }
