"""review, adapt and eval as a person types them."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from stored import stored_in

from ouvidor.cli import main
from ouvidor.nlp.adapting import adapt as adapting
from ouvidor.nlp.heads import Heads
from ouvidor.storage import annotations, feedback, runs, search
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import (
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Feedback,
    Sentiment,
    Untagged,
)

CONFIGURATION = """
[brand]
name = "Loja Exemplo"
[sources.app]
kind = "file"
path = "app.csv"
[touchpoints.entrega]
name = "Entrega"
stage = "after"
topics = ["delivery"]
[touchpoints.loja]
name = "Loja"
stage = "during"
topics = ["premises"]
"""
NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
TEXTS = (
    ("chegou antes do prazo, adorei", 5),
    ("veio quebrado e ninguém responde", 1),
    ("produto ok, nada demais", 3),
)
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Sixty starred reviews, all read as negative and two of them unsurely."""
    (tmp_path / "ouvidor.toml").write_text(CONFIGURATION)
    (tmp_path / "ouvidor.key").write_text("k" * 64)
    monkeypatch.chdir(tmp_path)
    db = open_database(stored_in(tmp_path))
    run = runs.open_run(db, source="app", kind="file", now=NOW)
    items = [
        Feedback(
            external_id=str(n),
            text=f"{TEXTS[n % 3][0]}, pedido {n}",
            stars=TEXTS[n % 3][1],
            published_at=NOW - timedelta(hours=n),
        )
        for n in range(60)
    ]
    door = Door(b"k" * 64, ZoneInfo("America/Sao_Paulo"))
    feedback.save_page(db, run, items, None, door=door, now=NOW)
    waiting = annotations.claim(db, limit=99, now=NOW, worker="h:1:x", lease=timedelta(hours=1))
    annotations.save(db, [(each, annotated(each)) for each in waiting], now=NOW)
    yield db
    db.close()


def annotated(item: Untagged) -> Annotation:
    doubtful = item.id <= 2
    p = (0.34, 0.33, 0.33) if doubtful else (0.9, 0.06, 0.04)
    distribution = Distribution(negative=p[0], neutral=p[1], positive=p[2])
    return Annotation(
        tagger="t1",
        basis=Basis.TEXT,
        language="pt",
        p=distribution,
        stars=float(item.stars or 1),
        uncertain=doubtful,
        aspects=(Aspect(touchpoint="entrega", p=distribution, span=(0, 6)),),
    )


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


class Terminal:
    """The program on a terminal of its own, as a person has it."""

    def __init__(self, *arguments: str) -> None:
        self._screen, other = pty.openpty()
        command = [sys.executable, "-m", "ouvidor", *arguments]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
        self._child = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, env=environment
        )
        os.close(other)
        self._unread = ""

    def until(self, words: str) -> None:
        """Read until these words stand there, from where the last ones stood."""
        end = time.monotonic() + 120
        while words not in self._unread:
            assert time.monotonic() < end, f"{words!r} never came: {self._unread}"
            if select.select([self._screen], [], [], 1)[0]:
                self._unread += os.read(self._screen, 4096).decode("utf-8", "replace")
        self._unread = self._unread.partition(words)[2]

    def press(self, keys: str) -> None:
        os.write(self._screen, keys.encode())

    def end(self) -> int:
        """The exit code; what is still shown is read, so that nothing waits for a reader."""
        while self._child.poll() is None:
            if select.select([self._screen], [], [], 0.2)[0]:
                try:
                    os.read(self._screen, 4096)
                except OSError:  # the terminal ends with its last program
                    break
        os.close(self._screen)
        return self._child.wait()


@pytest.mark.slow
def test_a_sitting_answers_marks_undoes_and_quits(house: Database) -> None:
    terminal = Terminal("review", "--by", "ana")
    terminal.until("q quit")
    terminal.press("+")
    terminal.until("2 of 2")
    terminal.until("q quit")
    terminal.press("z")
    terminal.until("1 of 2")
    terminal.until("q quit")
    terminal.press("2")
    terminal.until("●loja")
    terminal.press("-")
    terminal.until("2 of 2")
    terminal.until("q quit")
    terminal.press("q")
    assert terminal.end() == 0
    (judged,) = [found for found in map(judgement(house), (1, 2)) if found]
    assert len(judged) == 1
    assert (judged[0].by, judged[0].sentiment) == ("ana", Sentiment.NEGATIVE)
    assert judged[0].touchpoints == {"loja": Sentiment.NEGATIVE}


def judgement(db: Database) -> Callable[[int], list[annotations.Correction]]:
    return lambda number: annotations.corrections(db, number)


def test_a_correction_taken_back_leaves_the_annotation_as_it_was(db: Database) -> None:
    run = runs.open_run(db, source="app", kind="file", now=NOW)
    door = Door(b"k" * 64, ZoneInfo("America/Sao_Paulo"))
    item = Feedback(external_id="1", text="tarde", stars=1, published_at=NOW)
    feedback.save_page(db, run, [item], None, door=door, now=NOW)
    waiting = annotations.claim(db, limit=9, now=NOW, worker="h:1:x", lease=timedelta(hours=1))
    annotations.save(db, [(each, annotated(each)) for each in waiting], now=NOW)
    number = waiting[0].id
    before = search.show(db, number).annotation
    assert before is not None
    correction = annotations.Correction(
        feedback_id=number,
        at=NOW,
        by="ana",
        sentiment=Sentiment.POSITIVE,
        touchpoints={"entrega": None},
    )
    annotations.correct(db, correction)
    annotations.withdraw(db, number, before, now=NOW)
    shown = search.show(db, number)
    assert shown.annotation == before
    assert shown.corrections == ()


@pytest.mark.usefixtures("house")
def test_nothing_to_undo_and_nothing_to_measure_are_said(say: Say) -> None:
    assert say("adapt", "--undo")[1] == "Nothing was adapted.\n"
    code, _, err = say("eval")
    assert code == 1
    assert "nobody has corrected anything yet" in err


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"text": "bom", "stars": 5}] * 3, "too few to learn from"),
        ([{"text": f"bom {n}", "stars": 5} for n in range(50)], "all labels are the same"),
        ([{"text": "bom", "stars": "cinco"}], "object 1: 'stars' is 'cinco'"),
        ([{"text": "bom", "topics": "entrega"}], "object 1: 'topics' is no list"),
    ],
)
def test_a_file_that_teaches_nothing_is_refused(
    say: Say, lines: list[dict[str, Any]], words: str
) -> None:
    Path("l.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, _, err = say("adapt", "--from", "l.jsonl")
    assert code == 1
    assert words in err
    assert not Path("ouvidor.model").exists()


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize("lines", ["", '{"text": "bom"}\n'])
def test_a_file_without_labels_measures_nothing(say: Say, lines: str) -> None:
    Path("l.jsonl").write_text(lines)
    Path("eval.json").write_text("what was measured before")
    code, out, err = say("eval", "l.jsonl", "--html", "page.html")
    assert (code, out) == (1, "")
    assert "rows has a label; give them" in err
    assert Path("eval.json").read_text() == "what was measured before"
    assert not Path("page.html").exists()


def test_an_empty_house_has_nothing_to_teach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    (tmp_path / "ouvidor.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    code, _, err = say("adapt")
    assert code == 1
    assert "nothing that is stored has stars or corrections yet" in err


@pytest.mark.slow
def test_corrections_are_measured_and_shown_on_a_page(house: Database, say: Say) -> None:
    for number in range(1, 4):
        mood = ("positive", "negative", "neutral")[number - 1]
        assert say("correct", str(number), "--sentiment", mood, "--touchpoint", "loja=none")[0] == 0
    code, out, err = say("eval", "--html", "page.html", "--json")
    told = json.loads(out)
    assert (code, told["n"]) == (0, 3)
    assert told["touchpoints"]["loja"]["n"] == 0
    assert sum(map(sum, (row.values() for row in told["confusion"].values()))) == 3
    assert told["coverage"][-1]["share"] == 1
    page = Path("page.html").read_text()
    assert "page.html" in err
    assert "people's corrections" in page.replace("&#39;", "'")
    assert page.count("data:image/png;base64,") == 2
    assert json.loads(Path("eval.json").read_text()) == told
    assert house is not None


@pytest.mark.ordeal
def test_a_brands_own_stars_teach_and_undo_goes_back(
    house: Database, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole round: adapt, everything waits to be read again, undo, and again."""
    monkeypatch.setattr(adapting, "_TOKENS", 3_000)
    monkeypatch.setattr("ouvidor.nlp.adapting.trial._SURE", 0.0)
    code, out, err = say("adapt", "--json")
    done = json.loads(out)
    assert code == 0, err
    assert done["version"] == Heads.load(Path("ouvidor.model")).version
    assert done["taught"] + done["kept"] == 60
    assert "is in force" in err
    say("annotate", "--limit", "5", "--json")
    assert annotations.taggers(house)[f"{done['version']}+{journey()}"] == 5
    assert say("adapt", "--undo")[1] == "The shipped weights are in force again.\n"
    assert not Path("ouvidor.model").exists()
    say("annotate", "--limit", "5", "--json")
    assert f"{Heads.load().version}+{journey()}" in annotations.taggers(house)


def journey() -> str:
    from ouvidor.config import load
    from ouvidor.house import journey as configured
    from ouvidor.nlp.touchpoints import journey_version

    return journey_version(configured(load()))
