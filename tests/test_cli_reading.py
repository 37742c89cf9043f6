"""The reading verbs on a small filled house: what they print, what they say in JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from pyarrow import parquet
from stored import stored_in

from ouvidor.cli import main
from ouvidor.storage import alerts, annotations, feedback, privacy, runs
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import (
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Feedback,
    Outcome,
    Severity,
    Spike,
    Untagged,
)

CONFIGURATION = """
[brand]
name = "Loja [bold]Exemplo"
[sources.app]
kind = "file"
path = "app.csv"
[sources.nova]
kind = "file"
path = "nova.csv"
enabled = false
[touchpoints.entrega]
name = "Entrega"
stage = "after"
topics = ["delivery"]
[touchpoints.loja]
name = "Loja"
stage = "during"
topics = ["premises"]
"""
HOSTILE = "=HYPERLINK(1) \x1b[31mvermelho\x1b[0m [red]não[/red] \x9b2J\u202efim"
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ouvidor.toml").write_text(CONFIGURATION)
    (tmp_path / "ouvidor.key").write_text("k" * 64)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def house(folder: Path, now: datetime) -> Iterator[Database]:
    """Twelve answers of last week, one of them hostile, all tagged, two waiting for a person."""
    db = open_database(stored_in(folder))
    zone = runs.ZoneInfo("America/Sao_Paulo")
    run = runs.open_run(db, source="app", kind="file", now=now)
    items = [
        Feedback(
            external_id=str(number),
            text=HOSTILE if number == 0 else f"Entrega não chegou {number}",
            stars=1 + number % 5,
            published_at=datetime(2026, 9, 28, 20, tzinfo=UTC) + timedelta(hours=number),
            author="Ana Lima" if number < 2 else f"Cliente {number}",
            attributes={"loja": "Centro"},
        )
        for number in range(12)
    ]
    door = Door(b"k" * 64, zone)
    feedback.save_page(db, run, items, None, door=door, now=now)
    covered = (now - timedelta(days=60), now)
    verdict = runs.Verdict(outcome=Outcome.COMPLETE, message="tudo", joined=True, covered=covered)
    runs.close_run(db, run, verdict, now=now, zone=zone)
    waiting = annotations.claim(db, limit=20, now=now, worker="h:1:x", lease=timedelta(hours=1))
    annotations.save(db, [(each, annotated(each)) for each in waiting], now=now)
    yield db
    db.close()


def annotated(item: Untagged) -> Annotation:
    p = Distribution(negative=0.8, neutral=0.1, positive=0.1)
    aspect = Aspect(touchpoint="entrega", p=p, span=(0, 7))
    return Annotation(
        tagger="t1",
        basis=Basis.TEXT,
        language="pt",
        p=p,
        stars=1.5,
        uncertain=item.id <= 2,
        aspects=(aspect,),
    )


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], now: datetime) -> Say:
    """Type a verb; exit code, stdout, stderr."""

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


NOW = ("--now", "2026-10-05T15:00Z")


@pytest.mark.usefixtures("house")
def test_sources_tell_runs_coverage_and_silence(say: Say) -> None:
    code, out, _ = say("sources", "--json", *NOW)
    app, nova = rows(out)
    assert code == 0
    assert (app["name"], app["outcome"], app["feedback"], app["silent_days"]) == (
        "app",
        "complete",
        12,
        0,
    )
    assert app["covered_days"] == 59
    assert (nova["outcome"], nova["enabled"], nova["silent_days"]) == (None, False, None)
    _, out, _ = say("sources", *NOW)
    assert "never run (disabled)" in out
    assert "never delivered" in out


@pytest.mark.usefixtures("house")
def test_search_finds_whatever_case_and_accents(say: Say) -> None:
    code, out, _ = say("search", "NAO chegou", "--json")
    assert code == 0
    assert len(rows(out)) == 11
    first = rows(out)[0]
    assert first["p"] == {"negative": 0.8, "neutral": 0.1, "positive": 0.1}
    assert first["touchpoints"] == ["entrega"]
    assert "p_negative" not in first
    _, out, err = say("search", "chegou", "--limit", "3")
    assert len(out.splitlines()) == 4
    assert "--limit" in err


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--touchpoint", "loja"], 0),
        (["--sentiment", "negative"], 12),
        (["--stars", "5"], 2),
        (["--lang", "es"], 0),
        (["--since", "2026-09-29"], 5),
        (["--until", "2026-09-28"], 7),
        (["--source", "nova"], 0),
    ],
)
def test_search_keeps_to_what_is_asked(say: Say, options: list[str], count: int) -> None:
    code, out, _ = say("search", "--json", *options)
    assert (code, len(rows(out))) == (0, count)


@pytest.mark.usefixtures("house")
def test_nothing_found_is_said_on_stderr(say: Say) -> None:
    assert say("search", "girafa") == (0, "", "Nothing fits.\n")


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--touchpoint", "entrga"], "did you mean 'entrega'?"),
        (["--source", "ap"], "did you mean 'app'?"),
        (["--since", "2026-10-02", "--until", "2026-10-01"], "swap them"),
        (["--since", "ontem"], "2026-11-16"),
        (["--stars", "9"], "1<=x<=5"),
    ],
)
def test_a_wrong_option_is_wrong_usage(say: Say, options: list[str], sentence: str) -> None:
    code, out, err = say("search", *options)
    assert (code, out) == (2, "")
    assert sentence in err


@pytest.mark.usefixtures("house")
def test_show_tells_everything(say: Say) -> None:
    _, out, _ = say("show", "3", "--json")
    shown = json.loads(out)
    assert shown["feedback"]["text"] == "Entrega não chegou 2"
    assert shown["annotation"]["aspects"][0]["span"] == [0, 7]
    _, out, _ = say("show", "3")
    assert "entrega negative: “Entrega”" in out
    code, out, err = say("show", "99")
    assert (code, out) == (1, "")
    assert "There is no feedback 99" in err


@pytest.mark.usefixtures("house")
def test_hostile_text_is_harmless_in_a_terminal(say: Say) -> None:
    for verb in (["search", "vermelho"], ["show", "1"], ["search", "vermelho", "--json"]):
        code, out, _ = say(*verb)
        assert code == 0
        assert "[red]não[/red]" in out
        assert not any(sign in out for sign in ("\x1b", "\x9b", "\u202e"))


@pytest.mark.usefixtures("house")
def test_a_correction_leaves_the_queue(say: Say) -> None:
    _, out, _ = say("review", "--json")
    before = {row["id"] for row in rows(out)}
    assert {1, 2} < before
    arguments = ["--sentiment", "positive", "--touchpoint", "loja=positive"]
    more = ["--touchpoint", "entrega=none", "--note", "irônico", "--by", "ana"]
    assert say("correct", "2", *arguments, *more, *NOW)[0] == 0
    _, out, _ = say("review", "--json")
    assert {row["id"] for row in rows(out)} == before - {2}
    shown = json.loads(say("show", "2", "--json")[1])
    assert shown["feedback"]["touchpoints"] == ["loja"]
    assert shown["corrections"][0]["touchpoints"] == {"loja": "positive", "entrega": None}
    assert "ana corrected: sentiment=positive, loja=positive, entrega=none" in say("show", "2")[1]


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["correct", "2"], 2, "nothing to correct"),
        (["correct", "2", "--touchpoint", "loja"], 2, "NAME=SENTIMENT"),
        (["correct", "2", "--touchpoint", "lja=positive"], 2, "did you mean 'loja'?"),
        (["correct", "99", "--sentiment", "neutral"], 1, "no tagged feedback 99"),
    ],
)
def test_a_correction_that_fits_nothing(
    say: Say, arguments: list[str], code: int, sentence: str
) -> None:
    found, _, err = say(*arguments)
    assert found == code
    assert sentence in err


@pytest.mark.usefixtures("house")
def test_the_scorecard_has_the_teams_score_beside_the_customers(say: Say) -> None:
    assert say("assess", "entrega", "4", "--note", "melhorou", *NOW)[0] == 0
    code, out, _ = say("scorecard", "--json", *NOW)
    card = json.loads(out)
    assert code == 0
    assert (card["since"], card["until"]) == ("2026-09-28", "2026-10-04")
    scores = {score["touchpoint"]: score for score in card["scores"]}
    assert (scores["entrega"]["mentions"], scores["entrega"]["assessed"]) == (12, 4)
    assert 1 <= scores["entrega"]["low"] < scores["entrega"]["score"] < scores["entrega"]["high"]
    assert (scores["loja"]["telling"], scores["loja"]["score"]) == ("silent", None)
    assert json.loads(say("scorecard", "--json", "--week", "2026-W40")[1]) == card
    assert "Loja [bold]Exemplo" in say("scorecard", *NOW)[1]


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    "arguments",
    [
        ["scorecard", "--week", "2026-W54"],
        ["scorecard", "--week", "46"],
        ["scorecard", "--week", "2026-W40", "--since", "2026-10-01"],
        ["scorecard", "--since", "2026-10-01"],
        ["assess", "entrega", "6"],
        ["assess", "nada", "3"],
    ],
)
def test_a_span_or_score_that_is_none(say: Say, arguments: list[str]) -> None:
    code, out, err = say(*arguments)
    assert (code, out) == (2, "")
    assert err


@pytest.fixture
def alert(house: Database, now: datetime) -> int:
    spike = Spike(
        series="entrega",
        detected_on=date(2026, 10, 4),
        first_day=date(2026, 10, 2),
        last_day=date(2026, 10, 4),
        observed=12,
        expected=2.5,
        share=0.6,
        expected_share=0.2,
        severity=Severity.WARNING,
        score=7.0,
    )
    evidence = {"quotes": [{"feedback_id": 1, "text": HOSTILE}], "words": ["atraso"]}
    with house.write() as connection:
        number = alerts.open_alert(
            connection,
            spike=spike,
            touchpoint="entrega",
            source="",
            owner=None,
            shadow=False,
            evidence=evidence,
            now=now,
        )
    assert number is not None
    return number


def test_an_alert_lives_its_life(say: Say, alert: int) -> None:
    number = str(alert)
    listed = rows(say("alerts", "--json")[1])
    assert [(row["id"], row["state"]) for row in listed] == [(alert, "open")]
    assert say("alerts", "ack", number, "--note", "vou ver", "--by", "bento", *NOW)[0] == 0
    assert say("alerts", "assign", number, "ana@example.com", "--by", "bento", *NOW)[0] == 0
    assert say("alerts", "resolve", number, "--note", "rota nova", "--by", "ana", *NOW)[0] == 0
    shown = json.loads(say("alerts", "show", number, "--json")[1])
    assert (shown["state"], shown["owner"], shown["reason"]) == (
        "resolved",
        "ana@example.com",
        "rota nova",
    )
    assert [event["what"] for event in shown["history"]] == [
        "opened",
        "acknowledged",
        "assigned",
        "resolved",
    ]
    assert rows(say("alerts", "list", "--json")[1]) == []
    assert len(rows(say("alerts", "list", "--all", "--json")[1])) == 1
    code, _, err = say("alerts", "dismiss", number, *NOW)
    assert code == 1
    assert "already resolved" in err


def test_people_comment_mute_and_dismiss_with_a_reason(say: Say, alert: int) -> None:
    number = str(alert)
    assert say("alerts", "comment", number, "liguei para o galpão", "--by", "ana", *NOW)[0] == 0
    assert say("alerts", "comment", number, "  ", *NOW)[0] == 2
    muted = say("alerts", "mute", number, "--until", "2026-12-24", "--note", "Natal", *NOW)
    assert muted[0] == 0
    assert "muted until 2026-12-24" in say("alerts", "show", number, *NOW)[1]
    assert (
        "muted"
        not in say("alerts", "show", number, "--now", "2027-01-01T12:00:00Z")[1].splitlines()[1]
    )
    assert say("alerts", "unmute", number, *NOW)[0] == 0
    assert "muted until" not in say("alerts", "show", number, *NOW)[1].splitlines()[1]
    for words, mend in (
        (["mute", number], "name the last day"),
        (["mute", number, "--until", "2020-01-01"], "name today or a later day"),
        (["dismiss", number, "--reason", "expected", "--of", number], "--reason duplicate"),
        (["dismiss", number, "--reason", "boring"], "wrong_tag"),
    ):
        code, _, err = say("alerts", *words, *NOW)
        assert code == 2
        assert mend in err
    code, _, err = say("alerts", "dismiss", number, "--of", number, *NOW)
    assert (code, "no duplicate of itself" in err) == (1, True)
    code, _, err = say("alerts", "dismiss", number, "--reason", "wrong_tag", *NOW)
    assert code == 0
    assert "`ouvidor review`" in err
    shown = json.loads(say("alerts", "show", number, "--json")[1])
    assert (shown["state"], shown["reason"]) == ("dismissed", "wrong_tag")
    assert shown["evidence"]["life"]["lesson"] == "wrong_tag"
    whats = [event["what"] for event in shown["history"]]
    assert whats == ["opened", "commented", "muted", "unmuted", "dismissed"]


def test_an_alert_tells_its_evidence_harmlessly(say: Say, alert: int) -> None:
    _, out, _ = say("alerts", "show", str(alert))
    assert "12 negative from 2026-10-02 to 2026-10-04, 2.5 expected; 60% of all" in out
    assert "[red]não[/red]" in out
    assert "\x1b" not in out


@pytest.mark.usefixtures("alert")
def test_an_alert_that_is_none(say: Say) -> None:
    assert say("alerts", "show", "99")[0] == 1
    assert say("alerts", "assign", "1", "ana", *NOW)[0] == 2
    assert say("alerts", "frob")[0] == 2


@pytest.mark.usefixtures("house")
def test_an_export_is_safe_in_a_spreadsheet(say: Say, folder: Path) -> None:
    code, out, err = say("export")
    assert code == 0
    table = list(csv.DictReader(io.StringIO(out, newline="")))
    assert len(table) == 12
    hostile = next(row for row in table if "HYPERLINK" in row["text"])
    assert hostile["text"].startswith("'=HYPERLINK")
    assert hostile["touchpoints"] == "entrega"
    assert "12 pieces" in err
    assert len(rows(say("export", "--json")[1])) == 12
    assert say("export", "--out", str(folder / "all.jsonl"), "--stars", "1")[0] == 0
    lines = (folder / "all.jsonl").read_text().splitlines()
    assert {json.loads(line)["stars"] for line in lines} == {1}
    assert sorted(path.name for path in folder.glob("all*")) == ["all.jsonl"]


@pytest.mark.usefixtures("house")
def test_an_export_for_excel_holds_no_formula(say: Say, folder: Path) -> None:
    assert say("export", "--out", str(folder / "all.xlsx"))[0] == 0
    heads, *found = openpyxl.load_workbook(folder / "all.xlsx").active.iter_rows()
    assert len(found) == 12
    assert "f" not in {cell.data_type for row in found for cell in row}
    texts = [row[[head.value for head in heads].index("text")].value for row in found]
    assert any(text.startswith("=HYPERLINK") for text in texts)


@pytest.mark.usefixtures("house")
def test_an_export_for_programs_keeps_its_types(say: Say, folder: Path) -> None:
    assert say("export", "--out", str(folder / "all.parquet"))[0] == 0
    table = parquet.read_table(folder / "all.parquet")
    assert table.num_rows == 12
    assert str(table.schema.field("published_at").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("stars").type) == "int8"
    code, _, err = say("export", "--format", "xlsx")
    assert (code, "--out" in err) == (2, True)


@pytest.mark.usefixtures("house")
def test_a_person_gets_everything_and_is_forgotten(say: Say) -> None:
    pseudonym = privacy.pseudonym("ana lima", b"k" * 64)
    code, out, _ = say("person", "export", "Ana Lima")
    assert code == 0
    assert {row["feedback"]["author"] for row in rows(out)} == {pseudonym}
    assert len(rows(out)) == 2
    code, out, err = say("person", "forget", pseudonym, *NOW)
    assert (code, out) == (0, "")
    assert "2 pieces" in err
    assert "may be read again" in err
    assert rows(say("person", "export", "Ana Lima")[1]) == []
    assert len(rows(say("search", "--json")[1])) == 10
    assert say("person", "forget", " ")[0] == 2
