"""The demo leaves a whole house behind; the working verbs are tried on it."""

from __future__ import annotations

import email
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from email import policy
from pathlib import Path
from typing import Any

import click
import pytest
from stored import stored_in

from ouvidor.cli import main
from ouvidor.demo.feedback import read_feedback
from ouvidor.storage import runs
from ouvidor.storage.database import open_database
from ouvidor.verbs.demo import _make_room, _moments

pytestmark = pytest.mark.sqlite  # the demo is the embedded default

Say = Callable[..., tuple[int, str, str]]
NOW = ("--now", "2026-10-26T09:00-03:00")


def test_the_days_of_the_demo_end_with_its_feedback() -> None:
    moments = list(_moments())
    assert moments[0].isoformat() == "2026-10-12T06:00:00-03:00"
    assert moments[-1].isoformat() == "2026-10-26T06:00:00-03:00"
    assert len(moments) == 15


def test_the_demo_replaces_its_own_and_nothing_else(tmp_path: Path) -> None:
    _make_room(tmp_path / "new")
    (tmp_path / "ouvidor.toml").write_text("# filled in by ouvidor.demo.configuration\n")
    (tmp_path / "ouvidor.db").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    _make_room(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "notes.txt"]
    (tmp_path / "ouvidor.db").write_text("mine")
    with pytest.raises(click.ClickException, match="database of your own"):
        _make_room(tmp_path)
    (tmp_path / "ouvidor.toml").write_text('[brand]\nname = "Mine"\n')
    with pytest.raises(click.ClickException, match="configuration of your own"):
        _make_room(tmp_path)
    assert (tmp_path / "ouvidor.db").read_text() == "mine"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "ouvidor", "demo", "--keep", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture
def say(
    demo: tuple[Path, dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Say:
    """Type a verb in a copy of the demo's house."""
    for path in demo[0].iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    text = (tmp_path / "ouvidor.toml").read_text().replace(str(demo[0]), str(tmp_path))
    (tmp_path / "ouvidor.toml").write_text(text)
    monkeypatch.chdir(tmp_path)

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def counted_in(folder: Path) -> dict[str, int]:
    db = open_database(stored_in(folder))
    try:
        return {each.name: each.feedback for each in runs.statuses(db)}
    finally:
        db.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_tells_the_whole_story(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, shown = demo
    stored = counted_in(folder)
    public = Counter(piece.source for piece in read_feedback())
    assert {name: stored[name] for name in public} == dict(public)
    assert stored["reclame-aqui"] == 80
    # Google shows a week of the app's reviews, and the state publishes a month later.
    assert 15 < stored["play"] < 124
    assert 15 < stored["consumidor-gov"] < 40
    assert 80 < stored["google"] <= 90
    assert shown["feedback"] == sum(stored.values())
    [alert, *_] = shown["alerts"]
    assert "2026-10-12" <= alert["first_day"] <= alert["detected_on"] <= "2026-10-25"
    html = (folder / "digest.html").read_text()
    assert shown["headline"] in html
    assert not re.search(r"""(?:src=["']?|url\(["']?|<link[^>]+href=["']?)https?:""", html)
    with (folder / "digest.eml").open("rb") as file:
        message = email.message_from_binary_file(file, policy=policy.default)
    assert message["From"].addresses[0].domain == "tucuma.example"
    body = message.get_body(("plain",))
    assert body is not None
    assert shown["headline"] in " ".join(body.get_content().split())
    assert (folder / "ouvidor.key").stat().st_mode & 0o077 == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_digest_is_told_once(say: Say, tmp_path: Path) -> None:
    code, out, _ = say("digest", "--json", *NOW)
    assert code == 0
    posted = json.loads(out)["posted"]
    assert posted
    assert {row["skipped"] for row in posted} == {"this week was told already"}
    code, out, _ = say("digest", "--to", "nova@example.com", "--locale", "en", "--json", *NOW)
    [row] = json.loads(out)["posted"]
    assert (row["recipient"], row["skipped"]) == ("nova@example.com", None)
    code, out, _ = say("digest", "--preview", "page.html", "--locale", "es", "--json", *NOW)
    assert code == 0
    assert json.loads(out)["week"] == "2026-W43"
    assert 'lang="es"' in (tmp_path / "page.html").read_text()
    code, _, err = say("digest", "--week", "2026-W44", *NOW)
    assert code == 1
    assert "not over yet" in err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_a_mail_server_messages_wait(say: Say) -> None:
    code, out, err = say("deliver", "--json", *NOW)
    done = json.loads(out)
    assert code == 1
    assert done["sent"] == 0
    assert done["waiting"] > 0
    assert "[mail]" in err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_watch_may_be_run_twice(say: Say) -> None:
    before = rows(say("alerts", "list", "--all", "--json")[1])
    code, out, _ = say("watch", "--json", *NOW)
    assert code == 0
    assert json.loads(out)["opened"] == []
    assert rows(say("alerts", "list", "--all", "--json")[1]) == before
    code, out, err = say("watch", "--backtest", "--json")
    assert code == 0
    assert any(row["from"] >= "2026-10-12" for row in rows(out))
    assert "false alarms a month" in err
    late = ["--since", "2026-07-06", "--until", "2026-08-30"]
    assert rows(say("watch", "--backtest", "--json", *late)[1]) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_left_to_tag(say: Say) -> None:
    assert json.loads(say("annotate", "--json", *NOW)[1]) == {
        "tagged": 0,
        "uncertain": 0,
        "waiting": 0,
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_alert_shows_the_words_behind_it(say: Say) -> None:
    _, out, _ = say("alerts", "show", "1")
    assert "“" in out
    assert "reclamacoes, 2026-10" in out or "app-br, 2026-10" in out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_changed_journey_is_tagged_again(
    say: Say, tmp_path: Path, demo: tuple[Path, dict[str, Any]]
) -> None:
    text = (tmp_path / "ouvidor.toml").read_text()
    extra = '\n[touchpoints.extra]\nname = "Extra"\nstage = "after"\nsources = ["lojas"]\n'
    (tmp_path / "ouvidor.toml").write_text(text + extra)
    done = json.loads(say("annotate", "--limit", "20", "--json", *NOW)[1])
    assert done["tagged"] == 20
    assert done["waiting"] == demo[1]["feedback"] - 20
