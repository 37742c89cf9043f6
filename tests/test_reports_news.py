"""What a digest tells beside its scores: drivers, praise, posture, sites, surveys, accuracy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from stored import stored_in
from weeks import BAD, GOOD, MONDAY, NOW, START, WEEK, Said, World, crowd

from ouvidor.config import ConfigError, parse
from ouvidor.reports import letter, moves, news
from ouvidor.reports.digest import Gathered, build, digest
from ouvidor.reports.news import Dimension, Driver, Question, Tally
from ouvidor.reports.praise import names_in, praised
from ouvidor.storage import digests, studies
from ouvidor.storage import tables as t
from ouvidor.storage.database import open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.studies import Posture, Theme
from ouvidor.storage.vocabulary import Kind


@pytest.fixture
def world(tmp_path: Path, door: Door) -> Iterator[World]:
    database = open_database(stored_in(tmp_path))
    yield World(database, door)
    database.close()


# --- Drivers -------------------------------------------------------------------------------------


def found(now: dict[str, tuple[int, int]], before: dict[str, tuple[int, int]]) -> list[Driver]:
    def parts(told: dict[str, tuple[int, int]]) -> dict[tuple[Dimension, str], Tally]:
        return {(Dimension.SOURCE, name): Tally(*tally) for name, tally in told.items()}

    return news.drivers(parts(now), parts(before))


def test_a_part_that_got_clearly_worse_is_told() -> None:
    [driver] = found({"app": (30, 50), "shop": (10, 50)}, {"app": (20, 200), "shop": (40, 200)})
    assert (driver.value, driver.new) == ("app", False)
    assert driver.extra == pytest.approx(30 - 50 * 0.1)


def test_a_part_that_got_clearly_better_is_told() -> None:
    [driver] = found({"app": (2, 60)}, {"app": (100, 200)})
    assert driver.extra < 0


def test_chance_moves_nothing() -> None:
    assert found({"app": (6, 50), "shop": (9, 50)}, {"app": (20, 200), "shop": (40, 200)}) == []
    assert found({"app": (9, 9)}, {"app": (0, 200)}) == []
    assert found({"app": (33, 36), "shop": (9, 20)}, {"app": (88, 88), "shop": (40, 90)}) == []
    assert found({}, {}) == []


def test_where_nearly_all_is_negative_shares_tell_nothing() -> None:
    assert found({"site": (26, 30)}, {"site": (86, 86)}) == []
    assert len(found({"site": (14, 30)}, {"site": (86, 86)})) == 1
    assert len(found({"shop": (26, 30)}, {"shop": (30, 86)})) == 1


def test_a_new_part_is_compared_with_the_others_and_told_once() -> None:
    [driver] = found({"new": (40, 50), "old": (10, 100)}, {"old": (40, 400)})
    assert (driver.value, driver.new, driver.before) == ("new", True, Tally(10, 100))


def test_at_most_four_drivers() -> None:
    now = {f"s{n}": (45, 50) for n in range(9)}
    assert len(found(now, dict.fromkeys(now, (5, 50)))) == news.MOST_DRIVERS


# --- Praise --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("A vendedora Marta foi um amor, obrigada!", {"Marta"}),
        ("Fui atendida pela Júlia, nota dez.", {"Júlia"}),
        ("O gerente chamado Paulo resolveu tudo", {"Paulo"}),
        ("Gracias a Lucía me llegó a tiempo", {"Lucía"}),
        ("El chico Iván me ayudó", {"Iván"}),
        ("Thanks to Owen and his team", {"Owen"}),
        ("Hannah was very kind and patient", {"Hannah"}),
        ("O atendente Pedro Henrique Souza me ajudou", {"Pedro"}),
        ("Loja linda. Atendimento nota 10. Entrega rápida.", set()),
        ("Graças a Deus chegou", set()),
        ("A Casa foi ótima", set()),
        ("This was great, it was very kind", set()),
        ("vendedora atenciosa e gerente gentil", set()),
        ("ATENDENTE MARIA FOI ÓTIMA", set()),
    ],
)
def test_names_by_what_stands_beside_them(text: str, names: set[str]) -> None:
    assert names_in(text, "Casa Aurora") == names


def test_a_text_praises_once_and_the_most_praised_come_first() -> None:
    told = [
        (1, "A vendedora Marta me ajudou. Obrigada, Marta", None),
        (2, "A vendedora Marta!", "https://x.example/2"),
        (3, "O vendedor Caio!", None),
    ]
    marta, caio = praised(told, "Casa")
    assert (marta.name, marta.times, marta.url) == ("Marta", 2, "https://x.example/2")
    assert (marta.feedback, caio.name) == ((1, 2), "Caio")


def test_only_praise_praises(world: World) -> None:
    world.collect(
        Said("The clerk Marta helped me at once", GOOD),
        Said("The clerk Marta was rude to me", BAD),
        Said("The clerk Nora was rude to me", BAD),
    )
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert [(each.name, each.times) for each in made.praised] == [("Marta", 1)]
    assert set(made.praised[0].feedback) <= set(made.quoted)


# --- Posture and themes --------------------------------------------------------------------------

TRAIT = '[[touchpoints.delivery.posture]]\nname = "Quick"\nshows = ["It came at once."]\n'


def posture(remarks: int, trait: str = "Quick") -> Posture:
    return Posture(
        touchpoint="delivery",
        trait=trait,
        remarks=remarks,
        shows=remarks // 2,
        score_sum=3.0 * remarks,
        score_squares=11.0 * remarks,
    )


def test_a_trait_with_its_interval() -> None:
    line = news.trait_line(posture(50))
    # Variance 11 - 9 = 2, times 50/49; 1.96 standard errors of the mean.
    assert line.score == 3.0
    assert line.high == pytest.approx(3 + 1.96 * (2 * 50 / 49 / 50) ** 0.5, abs=1e-4)
    few = news.trait_line(posture(9))
    assert (few.score, few.low, few.high) == (None, None, None)


def test_posture_stands_beside_the_score(world: World) -> None:
    world.configure(TRAIT)
    world.collect(*crowd(8, 6))
    kept = [posture(40), posture(40, "Forgotten")]
    studies.save(world.db, MONDAY, tagger="t", themes=[], postures=kept, now=NOW)
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert [line.trait for line in made.traits["delivery"]] == ["Quick"]
    text = " ".join(letter.words(made).text.split())
    assert "“Quick”: 3.0 of 5 (95% interval 2.6 to 3.4); 20 of 40 remarks of four" in text


def theme(*quotes: int, touchpoint: str | None = "delivery") -> Theme:
    return Theme(
        phrase="lost parcel",
        phrases=("lost parcel", "courier"),
        touchpoint=touchpoint,
        sources=("shop",),
        now=12,
        now_of=90,
        before=1,
        before_of=200,
        negatives=11,
        quotes=quotes,
    )


def test_a_theme_has_two_quotes_that_nobody_hears_twice(world: World) -> None:
    said = [Said(f"The courier left a lost parcel at door {n}", BAD) for n in range(8)]
    world.collect(*said)
    with world.db.read() as connection:
        ids = list(connection.execute(select(t.feedback.c.id)).scalars())
    kept = [theme(*ids), theme(*ids, touchpoint="app"), theme(99_999)]
    studies.save(world.db, MONDAY, tagger="t", themes=kept, postures=[], now=NOW)
    made = build(world.db, world.config, now=NOW, week=WEEK)
    # The third has lost its quotes to an erasure: with nobody left to show it, it is a claim.
    assert [len(each.voices) for each in made.themes] == [2, 2]
    spoken = [voice.feedback_id for each in made.themes for voice in each.voices]
    spoken += [voice.feedback_id for voice in made.voices]
    assert len(spoken) == len(set(spoken))
    ana = build(world.db, world.config, now=NOW, week=WEEK, subscriber="ana")
    assert len(ana.themes) == 1
    text = " ".join(letter.words(made).text.split())
    assert "New this month: “lost parcel” 12 of 90 people in four weeks, 1 of 200 in the" in text


# --- Complaint sites, NPS, CSAT ------------------------------------------------------------------


def test_what_is_closed_or_gone_waits_for_nothing(world: World) -> None:
    states = [
        {"status": "not_answered", "answered": "false"},
        {"status": "not_evaluated", "answered": "false", "finished_on": "2026-09-30"},
        {"status": "inactive", "answered": "false"},
        {},
    ]
    said = [
        Said(f"Complaint number {n}", kind=Kind.COMPLAINT, attributes=each)
        for n, each in enumerate(states)
    ]
    said.append(Said("An answered one", kind=Kind.COMPLAINT, reply="Sorry"))
    world.collect(*said)
    [site] = build(world.db, world.config, now=NOW, week=WEEK).sites
    assert (site.came, site.came_answered, site.due) == (5, 1, 2)


def test_a_source_that_never_tells_of_answers_owes_none(world: World) -> None:
    world.collect(Said("It never came", kind=Kind.COMPLAINT))
    [site] = (made := build(world.db, world.config, now=NOW, week=WEEK)).sites
    assert (site.came, site.tells, site.due, site.oldest_days) == (1, False, 0, None)
    assert "1 new complaint; the source does not say what was answered" in letter.words(made).text


def test_a_site_that_tells_days_only_is_judged_on_them(world: World) -> None:
    told = {"status": "resolved", "answered": "true", "evaluated": "true", "resolved": "true"}
    days = ("2026-09-27", "2026-09-28", "2026-10-04", "2026-10-05")
    said = [
        Said(f"Complaint of {day}", kind=Kind.COMPLAINT, attributes={**told, "finished_on": day})
        for day in days
    ]
    world.collect(*said)
    [site] = build(world.db, world.config, now=NOW, week=WEEK).sites
    assert (site.judged, site.resolved, site.resolved_of, site.score) == (2, 2, 2, None)


@pytest.mark.parametrize(
    ("question", "answers", "value"),
    [
        (Question.NPS, [("10", 6), ("8", 2), ("3", 2)], 40.0),
        (Question.NPS, [("0", 1)], -100.0),
        (Question.NPS, [("11", 5), ("-1", 5), ("many", 5), ("9,0", 1)], 100.0),
        (Question.CSAT, [("5", 1), ("4", 1), ("3", 1), ("1", 1)], 0.5),
    ],
)
def test_nps_and_csat(question: Question, answers: list[tuple[str, int]], value: float) -> None:
    told = news.survey("s", question, answers, [])
    assert told is not None
    assert told.value == pytest.approx(value)
    assert told.previous is None
    if told.interval:
        low, high = told.interval
        assert -100 <= low < high <= 100
        assert low <= value <= high


def test_without_answers_there_is_no_survey() -> None:
    assert news.survey("s", Question.NPS, [("none", 3)], [("9", 1)]) is None


# --- Corrections, accuracy, preferences ----------------------------------------------------------


@pytest.mark.slow
def test_late_comments_are_a_correction_of_the_next_week(world: World) -> None:
    world.collect(*crowd(6, 6), days=15)
    digest(world.db, world.config, now=NOW)
    later = NOW + timedelta(weeks=1)
    world.collect(*crowd(2, 2, hours=200))
    assert build(world.db, world.config, now=later, subscriber="carla").corrected == ()
    world.collect(*crowd(9, 0, hours=90))
    made = build(world.db, world.config, now=later, subscriber="carla")
    [told] = made.corrected
    assert (told.week, told.told_total, told.total) == (WEEK, 12, 21)
    assert (told.told_negative, told.negative) == (6, 15)
    [(name, before, now)] = told.scores
    assert name == "delivery"
    assert before is not None
    assert now is not None
    assert now < before
    # Who was told nothing of that week has nothing to be corrected.
    assert build(world.db, world.config, now=later).corrected == ()
    carla, _ = digest(world.db, world.config, now=later)
    assert carla.skipped is None


@pytest.mark.slow
def test_weeks_further_back_are_corrected_once_each(world: World) -> None:
    """What comes late may come weeks late, and nobody wants to read it every Monday."""
    past = 9
    since = START - timedelta(weeks=past)
    weeks = [NOW - timedelta(weeks=back) for back in range(past, -1, -1)]
    said = [each for back in range(past + 1) for each in crowd(6, 6, hours=30 - 168 * back)]
    world.collect(*said, since=since, days=7 * past + 14)
    for moment in weeks:
        digest(world.db, world.config, now=moment)

    def told(monday: datetime) -> list[tuple[str, int, int, int, int]]:
        made = build(world.db, world.config, now=monday, subscriber="carla")
        return [
            (each.week, each.told_total, each.total, each.told_negative, each.negative)
            for each in made.corrected
        ]

    following = NOW + timedelta(weeks=1)
    assert told(following) == []
    # One comment each: a week ago, eight weeks ago, and nine, which is too long past.
    world.collect(*(crowd(1, 0, hours=31 - 168 * back)[0] for back in (0, 7, 8)))
    news = [("2026-W40", 12, 13, 6, 7), ("2026-W33", 12, 13, 6, 7)]
    assert told(following) == news
    assert digest(world.db, world.config, now=following)[0].skipped is None
    assert told(following) == news
    afterwards = following + timedelta(weeks=1)
    assert told(afterwards) == []
    # What changed since it was corrected is told against the correction.
    world.collect(*crowd(0, 9, hours=60))
    assert told(afterwards) == [("2026-W40", 13, 22, 7, 7)]
    [found] = build(world.db, world.config, now=afterwards, subscriber="carla").corrected
    [(_, before, now)] = found.scores
    assert before is not None
    assert now is not None
    assert now > before
    # Who reads other touchpoints, or was held back, is told of its own.
    assert build(world.db, world.config, now=afterwards, subscriber="bento").corrected == ()


def test_a_correction_that_was_held_back_was_not_told() -> None:
    def row(week: str, skipped: str | None, **data: object) -> digests.Told:
        return digests.Told(subscriber="a", week=week, built_at=NOW, skipped=skipped, data=data)

    scores = [{"touchpoint": "t", "score": 2.0}, {"touchpoint": "u", "score": 3.0}]
    again = {"2026-W38": {"total": 9, "negative": 4, "scores": [{"touchpoint": "t", "score": 4.0}]}}
    first = row("2026-W38", None, total=5, negative=1, scores=scores)
    held = {"2026-W38": first, "2026-W39": row("2026-W39", "an address", corrected=again)}
    assert moves.last_told(held)["2026-W38"]["total"] == 5
    told = {"2026-W38": first, "2026-W39": row("2026-W39", None, corrected=again)}
    last = moves.last_told(told)["2026-W38"]
    assert (last["total"], last["negative"]) == (9, 4)
    assert last["scores"] == [{"touchpoint": "t", "score": 4.0}, scores[1]]


def test_a_correction_alone_is_worth_a_mail(world: World) -> None:
    world.collect(*crowd(6, 6), days=15)
    digest(world.db, world.config, now=NOW)
    world.collect(*crowd(9, 0, hours=90))
    made = build(world.db, world.config, now=NOW + timedelta(weeks=1), subscriber="carla")
    assert made.total == 0
    assert made.nothing is None


def test_the_measured_accuracy(world: World, tmp_path: Path) -> None:
    world.config = world.config.model_copy(update={"folder": tmp_path})
    world.collect(*crowd(1, 1))
    file = tmp_path / "eval.json"
    told = {
        "model": "tagger 1+journey",
        "n": 500,
        "accuracy": 0.9,
        "macro_f1": 0.8,
        "languages": {"pt": {"n": 300, "accuracy": 0.91}, "es": {"n": 200, "accuracy": 0.88}},
    }
    for text in ("", "[]", "{}", '{"model": 1, "n": "x", "accuracy": null}'):
        file.write_text(text)
        assert build(world.db, world.config, now=NOW, week=WEEK).trust.accuracy is None
    file.write_text(json.dumps(told))
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert made.trust.accuracy is not None
    assert not made.trust.accuracy.other
    text = " ".join(letter.words(made).text.split())
    assert "The tagger was right in 90% of 500 texts that people labelled (Portuguese 91%" in text
    file.write_text(json.dumps(told | {"model": "older"}))
    accuracy = build(world.db, world.config, now=NOW, week=WEEK).trust.accuracy
    assert accuracy is not None
    assert accuracy.other


SECOND = """
[sources.app]
kind = "file"

[subscribers.dora]
address = "dora@aurora.example"
sources = ["app"]
when_nothing = "tell"
"""


def test_a_reader_of_some_sources_hears_of_those_alone(world: World) -> None:
    world.configure(SECOND)
    world.collect(*crowd(9, 3))
    world.collect(*crowd(2, 10, hours=40), source="app")
    made = build(world.db, world.config, now=NOW, week=WEEK, subscriber="dora")
    assert (made.total, made.share.part) == (12, 2)
    assert {voice.source for voice in made.voices} == {"app"}
    assert [line.name for line in made.trust.sources] == ["app"]
    [delivery] = [each for each in made.scorecard.scores if each.touchpoint == "delivery"]
    assert (delivery.mentions, delivery.negatives) == (12, 2)


def test_who_wants_to_be_told_of_silence_is_told(world: World) -> None:
    world.configure(SECOND)
    world.collect()
    world.collect(source="app")
    told = {each.subscriber: each.skipped for each in digest(world.db, world.config, now=NOW)}
    assert told["carla"] == "nobody wrote, and every source was read"
    assert told["dora"] is None


def test_a_source_that_nobody_configured_is_no_preference() -> None:
    with pytest.raises(ConfigError, match=r"subscribers\.x\.sources names 'shop'"):
        parse('[brand]\nname = "A"\n[subscribers.x]\naddress = "x@y.example"\nsources = ["shop"]\n')


@pytest.mark.slow
def test_readers_who_want_the_same_share_one_digest(world: World) -> None:
    world.collect(*crowd(4, 9))
    gathered = Gathered(world.db, world.config, now=NOW, week=WEEK)
    carla, nobody, ana = (gathered.digest(name) for name in ("carla", "", "ana"))
    assert carla is nobody
    assert carla is not ana
    assert gathered.letter(carla) is gathered.letter(carla)
    assert gathered.digest("carla", "es").locale == "es"
    # What is shared is what each would get alone.
    alone = build(world.db, world.config, now=NOW, week=WEEK, subscriber="ana")
    assert letter.words(ana) == letter.words(alone)
    assert replace(ana, names={}) == replace(alone, names={})
