"""What every verb promises: exit codes, sentences instead of traces, a harmless terminal."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest

from ouvidor import cli, console
from ouvidor.cli import VERBS, app, main
from ouvidor.house import House, last_week, week_name

BRAND = '[brand]\nname = "Loja"\n'
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Type a verb in an empty folder with a small configuration."""
    (tmp_path / "ouvidor.toml").write_text(BRAND)
    monkeypatch.chdir(tmp_path)

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_of_the_table_has_its_line_of_help(name: str) -> None:
    module, words = VERBS[name]
    verb = getattr(import_module(f"ouvidor.verbs.{module}"), f"{name}_verb")
    assert isinstance(verb, click.Command)
    assert verb.name == name
    assert (verb.help or "").strip()
    assert words.endswith(".")


def test_help_lists_the_verbs_and_loads_none(say: Say) -> None:
    code, out, _ = say("--help")
    assert code == 0
    assert re.findall(r"^  ([a-z]+)  ", out, re.MULTILINE) == list(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_explains_itself(say: Say, name: str) -> None:
    code, out, _ = say(name, "--help")
    assert code == 0
    assert f"Usage: ouvidor {name}" in out


READING = (
    "sources search show review scorecard export eval classify spikes check watch digest collect "
    "alerts\\ list alerts\\ show person\\ export"
)


@pytest.mark.parametrize("verb", shlex.split(READING))
def test_every_reading_verb_speaks_json(say: Say, verb: str) -> None:
    assert "--json" in say(*verb.split(), "--help")[1]


def test_the_version_is_told(say: Say) -> None:
    code, out, _ = say("--version")
    assert code == 0
    assert re.fullmatch(r"ouvidor \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Usage: ouvidor"),
        (["frob"], "No such command 'frob'"),
        (["sources", "--frob"], "No such option"),
        (["show"], "Missing argument 'ID'"),
        (["show", "one"], "'one' is not a valid integer"),
        (["sources", "--now", "2026-01-01T00:00"], "no offset"),
        (["sources", "--now", "yesterday"], "is no time"),
        (["digest", "--week", "2026W46"], "2026-W46"),
        (["digest", "--locale", "de"], "'de' is not one of"),
        (["digest", "--to", "ana"], "no mail address"),
        (["watch", "--since", "2026-01-01"], "--backtest"),
        (["spikes", "--budget", "0"], "0<x<=1000"),
        (["import", "nothing.csv", "--source", "x"], "nothing.csv"),
    ],
)
def test_wrong_usage_is_2_and_a_sentence(say: Say, arguments: list[str], sentence: str) -> None:
    code, out, err = say(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err


def test_a_problem_is_1_and_names_its_mend(say: Say, tmp_path: Path) -> None:
    (tmp_path / "ouvidor.toml").write_text(BRAND + "[schedule]\ndigest_huor = 8")
    code, out, err = say("sources")
    assert (code, out) == (1, "")
    assert err.startswith("Error: ouvidor.toml: schedule.digest_huor")
    assert "did you mean 'digest_hour'?" in err


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_configuration_is_named_before_or_after_the_verb(
    say: Say, tmp_path: Path, place: str
) -> None:
    (tmp_path / "ouvidor.toml").unlink()
    (tmp_path / "other.toml").write_text(BRAND)
    option = ["--config", "other.toml"]
    arguments = [*option, "sources"] if place == "before" else ["sources", *option]
    assert say(*arguments)[0] == 0
    code, _, err = say("sources")
    assert code == 1
    assert "ouvidor init" in err


def test_the_environment_names_the_configuration(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ouvidor.toml").rename(tmp_path / "other.toml")
    monkeypatch.setenv("OUVIDOR_CONFIG", str(tmp_path / "other.toml"))
    assert say("sources")[0] == 0


@pytest.mark.sqlite
def test_a_database_that_is_none_is_a_sentence(say: Say, tmp_path: Path) -> None:
    (tmp_path / "ouvidor.db").write_bytes(b"this is no database, it is a text" * 100)
    code, _, err = say("sources")
    assert code == 1
    assert "is not a database" in err


@click.command("explode")
def explode() -> None:
    raise LookupError("the secret text of a review")


def test_the_unforeseen_is_a_sentence_and_a_trace_in_a_file(
    say: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(app, "get_command", lambda _context, _name: explode)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, out, err = say("explode")
    assert (code, out) == (1, "")
    assert "LookupError" in err
    assert "Traceback" not in err
    [trace] = tmp_path.glob("ouvidor-*.txt")
    assert str(trace) in err
    assert "in explode" in trace.read_text()
    assert stat.S_IMODE(trace.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Interrupted"),
        (BrokenPipeError(), 0, ""),
        (SystemExit(143), 143, ""),
        (FileNotFoundError(2, "No such file or directory", "gone.csv"), 1, "gone.csv: No such"),
    ],
)
def test_ends_that_are_no_bugs(
    say: Say,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
) -> None:
    @click.command("end")
    def end() -> None:
        raise error

    monkeypatch.setattr(app, "get_command", lambda _context, _name: end)
    monkeypatch.setattr(cli, "_mute_stdout", lambda: None)
    found, _, err = say("end")
    assert found == code
    assert said in err
    assert bool(said) == bool(err)


def test_the_key_is_made_once_and_is_private(tmp_path: Path, say: Say) -> None:
    first, second = House(), House()
    assert first.key == second.key
    path = tmp_path / "ouvidor.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", path.read_text())
    assert [each.name for each in tmp_path.glob("tmp*")] == []
    path.write_text("short")
    code, _, err = say("person", "export", "Ana")
    assert code == 1
    assert "privacy.key_file" in err
    assert "needs 32" in err


def test_the_key_comes_from_the_environment(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUVIDOR_KEY", "x" * 32)
    assert House().key == b"x" * 32
    assert not (tmp_path / "ouvidor.key").exists()
    monkeypatch.setenv("OUVIDOR_KEY", "x")
    code, _, err = say("person", "export", "Ana")
    assert code == 1
    assert "OUVIDOR_KEY" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_key_that_cannot_be_written_is_a_sentence(tmp_path: Path, say: Say) -> None:
    tmp_path.chmod(0o500)
    code, _, err = say("person", "export", "Ana")
    tmp_path.chmod(0o700)
    assert code == 1
    assert "privacy.key_file" in err


def test_a_folder_for_the_key_that_is_not_there(tmp_path: Path, say: Say) -> None:
    (tmp_path / "ouvidor.toml").write_text(BRAND + '[privacy]\nkey_file = "no/where.key"')
    code, _, err = say("person", "export", "Ana")
    assert code == 1
    assert "cannot be read or written" in err


HOSTILE = [
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x9b31mred", "red"),
    ("\x1b]0;title\x07text", "text"),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("a\x08b\x00c\x7f", "abc"),
    ("a\u202eb\u2066c", "abc"),
    ("[bold]no markup[/bold]", "[bold]no markup[/bold]"),
    ("two\nlines", "two\nlines"),
    ("carriage\rreturn", "carriagereturn"),
    ("\ud800", ""),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_a_terminal_gets_no_commands(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.block(text) == shown
    console.out(text)
    console.table(["text"], [[text]])
    console.problem(text)
    said = "".join(capsys.readouterr())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", said)


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_json_is_harmless_and_whole(text: str, shown: str) -> None:
    line = console.dumps({"text": text})
    assert json.loads(line) == {"text": text}
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line)


def test_a_pipe_gets_whole_cells(capsys: pytest.CaptureFixture[str]) -> None:
    long = "palavra " * 11
    console.table(["a", "b"], [[long, long]])
    assert capsys.readouterr().out.count("palavra") == 22


def test_a_text_is_cut_in_a_table() -> None:
    assert console.cell("x" * 500) == "x" * 99 + "…"


def test_progress_off_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("tagging", 10, every=0) as step:
        step(3)
        step(2)
    assert capsys.readouterr() == ("", "tagging: 3 of 10\ntagging: 5 of 10\n")


def test_an_old_terminal_gets_what_it_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    bytes_shown = io.BytesIO()
    screen = Terminal(bytes_shown, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    console.steady([screen])
    console.out("não")
    screen.flush()
    assert b"n\\xe3o" in bytes_shown.getvalue()


def test_the_last_complete_week_crosses_the_year() -> None:
    from datetime import date

    assert week_name(last_week(date(2026, 10, 5))) == "2026-W40"
    assert week_name(last_week(date(2026, 10, 4))) == "2026-W39"
    assert week_name(last_week(date(2027, 1, 5))) == "2026-W53"
