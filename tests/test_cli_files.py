"""classify, spikes and eval on files and pipes; cells that are no formulas."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ouvidor.cli import main
from ouvidor.reports.sheets import cell
from ouvidor.verbs.files import JsonLines

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    monkeypatch.chdir(tmp_path)

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def series() -> str:
    """A quiet half year, then three bad days."""
    lines = ["series,date,negatives,total,observed"]
    for number in range(180):
        day = date(2026, 3, 1) + timedelta(days=number)
        lines.append(f"entrega,{day},{14 if number >= 177 else 1 + number % 3},40,1")
    return "\n".join(lines) + "\n"


def test_spikes_are_found_without_a_house(say: Say, tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_text("\ufeff" + series(), encoding="utf-8")
    code, out, err = say("spikes", "days.csv", "--budget", "1")
    spike = rows(out)[0]
    assert (code, err) == (0, "")
    assert (spike["series"], spike["from"]) == ("entrega", "2026-08-25")
    assert set(spike) == {
        "series",
        "detected_on",
        "from",
        "to",
        "observed",
        "expected",
        "share",
        "expected_share",
        "severity",
        "score",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "days.csv: line 1: the header lacks series"),
        ("series,date,negatives,total,observed\na,2026-13-01,1,2,1\n", "line 2"),
        ("series,date,negatives,total,observed\na,2026-01-01,3,2,1\n", "3 negatives of a total"),
    ],
)
def test_a_bad_line_is_named(say: Say, tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "days.csv").write_text(text)
    code, out, err = say("spikes", "days.csv")
    assert (code, out) == (1, "")
    assert sentence in err


def test_a_file_that_is_no_text(say: Say, tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_bytes(b"series,date\xff\xfe")
    code, _, err = say("spikes", "days.csv")
    assert code == 1
    assert "is no UTF-8 text" in err


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [("{", "line 3: not valid JSON"), ("[1]", "line 3: no JSON object"), ("", "")],
)
def test_json_lines_end_at_the_first_bad_one(bad: str, sentence: str) -> None:
    lines = JsonLines(['{"a": 1}', "", bad, '{"a": 2}'])
    assert list(lines) == ([{"a": 1}] if sentence else [{"a": 1}, {"a": 2}])
    assert lines.flaw.startswith(sentence)
    if sentence:
        with pytest.raises(ValueError, match="line 3"):
            lines.check()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+55 11", "'+55 11"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("\r=1", "'\r=1"),
        ("＝1", "'＝1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("a=1", "a=1"),
        (-2, "-2"),
        (0.5, "0.5"),
        (True, "true"),
        (None, ""),
        (date(2026, 1, 2), "2026-01-02"),
        (("entrega", "loja"), "entrega, loja"),
        ((), ""),
    ],
)
def test_a_cell_is_no_formula(value: Any, shown: str) -> None:
    assert cell(value) == shown


def program(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ouvidor", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **more},
        encoding="utf-8",
    )


@pytest.mark.slow
def test_spikes_in_a_pipe() -> None:
    done = program("spikes", stdin=series())
    assert (done.returncode, done.stderr) == (0, "")
    assert {row["series"] for row in rows(done.stdout)} == {"entrega"}


@pytest.mark.slow
def test_texts_are_classified_in_a_pipe_in_their_order() -> None:
    texts = [
        {"id": "b", "text": "Atendimento horrível, não resolveram nada."},
        {"id": "a", "text": "Great quality, love it!", "stars": 5, "lang": "en"},
        {"id": 7, "text": "", "stars": 1},
    ]
    lines = "".join(json.dumps(each) + "\n" for each in texts)
    done = program("classify", stdin=lines)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert [row["id"] for row in found] == ["b", "a", 7]
    assert [row["sentiment"] for row in found] == ["negative", "positive", "negative"]
    assert {"lang", "p", "stars", "uncertain", "topics", "aspects", "model"} <= set(found[0])
    bad = program("classify", stdin=lines + "{\n")
    assert bad.returncode == 1
    assert "line 4: not valid JSON" in bad.stderr
    assert "--lines" in bad.stderr
    assert bad.stdout == done.stdout  # what came before is out


@pytest.mark.slow
def test_lines_of_text_are_classified_too(tmp_path: Path) -> None:
    lines = "Atendimento horrível.\r\n\n  Amei, perfeito! \n{\n"
    done = program("classify", "--lines", stdin=lines)
    assert done.returncode == 0, done.stderr
    found = [(row["id"], row["sentiment"]) for row in rows(done.stdout)]
    assert found[:2] == [(1, "negative"), (3, "positive")]
    assert [number for number, _ in found] == [1, 3, 4]
    (tmp_path / "latin.txt").write_bytes("É bom".encode("latin-1"))
    broken = program("classify", "--lines", str(tmp_path / "latin.txt"))
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "latin.txt is no UTF-8 text" in broken.stderr


@pytest.mark.slow
def test_the_tagger_is_measured(tmp_path: Path) -> None:
    gold = [
        {"text": "Produto péssimo, quebrou.", "lang": "pt", "sentiment": "negative"},
        {"text": "Excelente, adorei.", "lang": "pt", "sentiment": "positive"},
    ]
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in gold))
    done = program("eval", str(path), "--json")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)
    assert program("eval", str(path)).stdout.strip()


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """Thousands of findings, of which one is read."""
    lines = series().splitlines()
    many = [lines[0]]
    for number in range(300):
        many += [line.replace("entrega", f"s{number}") for line in lines[1:]]
    path = tmp_path / "many.csv"
    path.write_text("\n".join(many))
    command = f'"{sys.executable}" -m ouvidor spikes "{path}" --budget 1000 | head -1; '
    shell = subprocess.run(
        ["bash", "-c", command + 'echo "${PIPESTATUS[0]}"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.splitlines()[-1] == "0"
    assert shell.stderr == ""


@pytest.mark.slow
def test_no_colour_where_none_is_wanted(tmp_path: Path) -> None:
    """A terminal of its own (a pty) with and without NO_COLOR."""
    shown = {}
    for wish in ("", "1"):
        ours, theirs = os.openpty()
        env = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": wish}
        command = [sys.executable, "-m", "ouvidor", "--config", "none.toml", "sources"]
        subprocess.run(command, stdout=theirs, stderr=theirs, env=env, check=False, cwd=tmp_path)
        os.close(theirs)
        with io.FileIO(ours) as screen:
            shown[wish] = screen.read(4000)
    assert b"\x1b[1;31m" in (shown[""] or b"")
    assert b"\x1b[1;31m" not in (shown["1"] or b"")
    assert b"no such file" in (shown["1"] or b"")
