"""What `serve` writes: sentences on a terminal, JSON Lines elsewhere, nothing personal there."""

from __future__ import annotations

import io
import json
from datetime import datetime
from typing import Any

import pytest

from ouvidor.config import parse
from ouvidor.journal import Journal, hidden
from ouvidor.storage.database import StorageError

TOKEN = "T0ken-of-the-chat-room"
CONFIGURATION = """
[brand]
name = "Loja"
[database]
url = "postgresql://ana:sesame-street@db.example/voz"
[mail]
host = "smtp.example"
user = "ana"
password = { env = "SMTP_PASSWORD" }
sender = "voz@example.com"
[chat.equipe]
url = { env = "CHAT_URL" }
[subscribers.mariana]
address = "mariana@example.com"
[sources.loja]
kind = "google_play"
service_account = { env = "ACCOUNT" }
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch, now: datetime) -> Journal:
    monkeypatch.setenv("SMTP_PASSWORD", "open sesame")
    monkeypatch.setenv("CHAT_URL", f"slack://{TOKEN}/b/c")
    monkeypatch.setenv("ACCOUNT", '{"private_key": "line-one-of-a-key\nline-two-of-a-key"}')
    return Journal(parse(CONFIGURATION), now=lambda: now, stream=io.StringIO())


def lines(journal: Journal) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal._stream.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_duty_as_a_line_for_a_machine(journal: Journal) -> None:
    report = {"outcome": "blocked", "new": 3, "rate": 0.5, "message": "robots", "rows": ["x"]}
    journal.did("collect:loja", report, well=False, sentence="collect:loja: problem, robots")
    journal.did("annotate", {"tagged": 7}, well=True, sentence="annotate: ok, 7 tagged")
    assert lines(journal) == [
        {
            "time": "2026-10-05T15:00:00.000+00:00",
            "level": "warning",
            "event": "collect",
            "ok": False,
            "source": "loja",
            "outcome": "blocked",
            "new": 3,
            "rate": 0.5,
            "message": "collect:loja: problem, robots",
        },
        {
            "time": "2026-10-05T15:00:00.000+00:00",
            "level": "info",
            "event": "annotate",
            "ok": True,
            "tagged": 7,
            "message": "annotate: ok, 7 tagged",
        },
    ]


def test_no_secret_and_nobody_in_a_line(journal: Journal) -> None:
    words = (
        "550 mariana@example.com; 529.982.247-25; login ana:open sesame; "
        f"postgresql://ana:sesame-street@db; https://hooks.example/{TOKEN}; line-two-of-a-key"
    )
    journal.say("fault", words, where=words)
    journal.fault(StorageError(words))
    journal.did("deliver", {"message": words}, well=False, sentence=words)
    text = json.dumps(lines(journal))
    assert "550 [email:" in text
    secrets = ("mariana@", "529.982", "open sesame", "sesame-street", TOKEN, "line-two-of-a-key")
    assert [secret for secret in secrets if secret in text] == []


def test_a_strangers_text_stays_one_line(journal: Journal) -> None:
    journal.say("fault", 'a\n{"event": "forged"}\x1b[2J\u2028\x9b31m')
    assert len(lines(journal)) == 1
    assert "\x1b" not in journal._stream.getvalue()  # type: ignore[attr-defined]
    assert lines(journal)[0]["event"] == "fault"


def test_sentences_on_a_terminal(
    journal: Journal, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    human = Journal(parse(CONFIGURATION), now=lambda: now, stream=Terminal())
    human.did("collect:loja", {}, well=True, sentence="collect:loja: ok, 3 new")
    human.fault(StorageError("The database is gone."))
    assert capsys.readouterr().err == (
        "2026-10-05 15:00+00:00 collect:loja: ok, 3 new\nError: The database is gone.\n"
    )


def test_a_configuration_without_secrets_hides_nothing(now: datetime) -> None:
    plain = parse('[brand]\nname = "Loja"\n')
    assert hidden(plain) == []
    journal = Journal(plain, now=lambda: now, stream=io.StringIO())
    journal.say("began", "Listening for Loja; Ctrl-C ends it.")
    assert lines(journal)[0]["message"] == "Listening for Loja; Ctrl-C ends it."
