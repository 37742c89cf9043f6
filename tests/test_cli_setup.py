"""init writes what works; check proves it line by line and names each mend."""

from __future__ import annotations

import csv
import json
import socket
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Handler

from ouvidor.cli import main
from ouvidor.config import load

Say = Callable[..., tuple[int, str, str]]
BRAND = '[brand]\nname = "Loja"\n'


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    monkeypatch.chdir(tmp_path)

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


def findings(text: str) -> dict[str, dict[str, Any]]:
    return {row["what"]: row for row in map(json.loads, text.splitlines())}


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the model's proof out where it is not what is tested: it takes many seconds."""
    monkeypatch.setattr("ouvidor.verbs.setup._model", lambda _house: "not tried")


def test_init_writes_a_configuration_the_next_commands_work_with(
    say: Say, tmp_path: Path, no_model: None
) -> None:
    code, out, _ = say("init", "loja", "--now", "2026-10-05T12:00Z")
    assert code == 0
    assert "ouvidor check" in out
    folder = tmp_path / "loja"
    assert load(folder / "ouvidor.toml").sources["pesquisa"].kind == "file"
    with (folder / "sample.csv").open(encoding="utf-8") as file:
        days = [row["data"] for row in csv.DictReader(file)]
    assert (min(days), max(days)) == ("2026-09-15", "2026-10-04")
    at = ["--config", "loja/ouvidor.toml", "--now", "2026-10-05T12:00Z"]
    code, out, _ = say("check", "--offline", *at)
    assert code == 0
    assert all(line.startswith("ok  ") for line in out.splitlines())
    code, out, _ = say("collect", "--json", *at)
    assert code == 0
    assert json.loads(out)["new"] == len(days)


def test_init_overwrites_nothing(say: Say, tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("mine")
    code, _, err = say("init")
    assert code == 1
    assert "sample.csv is there already" in err
    assert (tmp_path / "sample.csv").read_text() == "mine"
    assert not (tmp_path / "ouvidor.toml").exists()


@pytest.mark.slow
def test_check_loads_the_model(say: Say) -> None:
    say("init")
    code, out, _ = say("check", "--offline", "--json")
    assert code == 0
    assert findings(out)["model"]["message"].endswith("loads")


@pytest.mark.sqlite
def test_check_names_every_problem_and_goes_on(
    say: Say, tmp_path: Path, no_model: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUVIDOR_TEST_CHAT", "token-without-a-service")
    (tmp_path / "ouvidor.key").write_text("short")
    (tmp_path / "ouvidor.db").write_text("no database at all" * 100)
    (tmp_path / "ouvidor.toml").write_text(
        BRAND
        + '[sources.a]\nkind = "fil"\n[sources.b]\nkind = "file"\npath = "x"\nscal = "0-10"\n'
        + '[chat.cx]\nurl = { env = "OUVIDOR_TEST_CHAT" }\n'
    )
    code, out, _ = say("check", "--json", "--offline")
    found = findings(out)
    assert code == 1
    assert [what for what, row in found.items() if row["ok"]] == ["configuration", "model", "mail"]
    assert "did you mean 'file'?" in found["source a"]["message"]
    assert "did you mean 'scale'?" in found["source b"]["message"]
    assert "needs 32" in found["key"]["message"]
    assert "is not a database" in found["database"]["message"]
    assert "Apprise" in found["chat cx"]["message"]
    assert "token-without-a-service" not in out


def test_check_stops_at_a_configuration_that_is_none(say: Say) -> None:
    code, out, _ = say("check", "--json")
    assert code == 1
    assert list(findings(out)) == ["configuration"]
    assert "ouvidor init" in out


class Listening(Handler):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture
def mail_server() -> Iterator[Controller]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(Listening(), hostname="127.0.0.1", port=port)
    server.start()
    yield server
    if server.server is not None:
        server.stop()


def test_check_speaks_to_the_mail_server_and_sends_nothing(
    say: Say, tmp_path: Path, no_model: None, mail_server: Controller
) -> None:
    port = mail_server.port
    table = f'[mail]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nsender = "a@example.com"\n'
    (tmp_path / "ouvidor.toml").write_text(BRAND + table)
    code, out, _ = say("check", "--json")
    assert code == 0
    assert "answers; nothing was sent" in findings(out)["mail"]["message"]
    assert mail_server.handler.sent == []
    mail_server.stop()
    code, out, _ = say("check", "--json")
    assert code == 1
    assert f"127.0.0.1:{port} cannot be used" in findings(out)["mail"]["message"]
    assert say("check", "--offline")[0] == 0


def test_check_says_from_when_the_watch_speaks(say: Say, no_model: None) -> None:
    say("init", "--now", "2026-10-05T12:00Z")
    now = ["--now", "2026-10-05T12:00Z", "--json", "--offline"]
    assert "after the first day" in findings(say("check", *now)[1])["watch"]["message"]
    say("collect", "--now", "2026-10-05T12:00Z")
    message = findings(say("check", *now)[1])["watch"]["message"]
    assert message.startswith("will speak from 2026-10-1")
    assert "30 pieces wait for the tagger" in message
