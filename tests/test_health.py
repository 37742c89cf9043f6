"""/health and /ready, asked over real HTTP."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from bad_input import Shell
from sqlalchemy import text
from stored import stored_in

from ouvidor import health
from ouvidor.health import Health, Heart, Kept
from ouvidor.storage.database import open_database

WELL: dict[str, Any] = {"well": True, "sources": 2}


class House:
    """What stands behind the questions."""

    alive = True
    ready: Mapping[str, Any] = WELL


@contextmanager
def answering(house: House, host: str = health.LOOPBACK) -> Iterator[str]:
    with Health((host, 0), alive=lambda: house.alive, ready=lambda: house.ready) as server:
        yield server.url


def ask(url: str, path: str, method: str = "GET") -> tuple[int, str, Mapping[str, str]]:
    where = urlsplit(url)
    with closing(http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)) as asked:
        asked.request(method, path)
        answer = asked.getresponse()
        return answer.status, answer.read().decode(), dict(answer.headers)


def test_a_house_that_lives_and_is_well() -> None:
    with answering(House()) as url:
        assert url.startswith("http://127.0.0.1:")
        assert ask(url, "/health")[:2] == (200, '{"well": true}\n')
        status, body, headers = ask(url, "/ready?from=probe")
    assert (status, json.loads(body)) == (200, WELL)
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert "Python" not in headers["Server"]


def test_a_house_that_needs_a_look() -> None:
    house = House()
    house.alive, house.ready = False, {"well": False, "concerns": [{"what": "silent"}]}
    with answering(house) as url:
        assert ask(url, "/health")[:2] == (503, '{"well": false}\n')
        status, body, _ = ask(url, "/ready")
    assert (status, json.loads(body)) == (503, house.ready)


def test_nothing_else_is_answered_and_nothing_is_done() -> None:
    with answering(House()) as url:
        assert ask(url, "/")[0] == ask(url, "/ready/../etc/passwd")[0] == 404
        assert ask(url, "/health", "POST")[0] == ask(url, "/ready", "DELETE")[0] == 501
        status, body, headers = ask(url, "/health", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, "", "15")


def test_broken_questions_end_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with answering(House()) as url:
        where = urlsplit(url)
        for words in (b"\x00\xff\r\n\r\n", b"GET /" + b"a" * 100_000, b""):
            with socket.create_connection((str(where.hostname), where.port or 0)) as caller:
                caller.sendall(words)
        assert ask(url, "/health")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_callers_that_say_nothing_do_not_keep_the_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health._Handler, "timeout", 0.2)
    with answering(House()) as url:
        where = urlsplit(url)
        address = (str(where.hostname), where.port or 0)
        silent = [socket.create_connection(address) for _ in range(3 * health.CALLERS)]
        for caller in silent:  # each is hung up on, at once or when the patience ends
            caller.settimeout(60)
            with caller:
                assert caller.recv(1) == b""
        assert ask(url, "/health")[0] == 200


def test_the_address() -> None:
    assert health.address("8321") == health.address(":8321") == ("127.0.0.1", 8321)
    assert health.address("0.0.0.0:80") == ("0.0.0.0", 80)  # noqa: S104 - asked for in so many words
    assert health.address("[::1]:80") == ("::1", 80)
    for wrong in ("", "host", "host:", "a:b", "1.2.3.4:65536", ":-1", "80²"):
        with pytest.raises(health.AddressError, match=r"is no HOST:PORT; write one like"):
            health.address(wrong)


def test_the_other_loopback() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with answering(House(), "::1") as url:
        assert url.startswith("http://[::1]:")
        assert ask(url, "/health")[0] == 200


def test_a_heart_that_stops() -> None:
    now = 0.0
    heart = Heart(60, lambda: now)
    now = 60.0
    assert heart.alive
    now = 60.1
    assert not heart.alive
    heart.beat()
    assert heart.alive


def test_the_database_is_not_asked_at_every_question() -> None:
    now, asked = 0.0, []

    def find() -> Mapping[str, Any]:
        asked.append(now)
        return {"well": len(asked) > 1}

    kept = Kept(find, 5, lambda: now)
    assert [kept(), kept()] == [{"well": False}] * 2
    now = 5.0
    assert kept() == {"well": True}
    assert asked == [0.0, 5.0]


@pytest.fixture
def shell(shell: Shell) -> Shell:
    shell.configure('[sources.a]\nkind = "file"\npath = "a.csv"\n')
    shell.write("a.csv", "id,data,nota,comentario\n")
    return shell


@contextmanager
def serving(shell: Shell) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """A real `serve` whose lines are read until it says where it answers."""
    command = [sys.executable, "-m", "ouvidor", "serve", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=shell.folder, stderr=subprocess.PIPE, text=True) as child:
        lines: list[dict[str, Any]] = []
        try:
            for line in child.stderr or ():
                lines.append(json.loads(line))
                if lines[-1]["event"] == "collect":
                    break
            yield child, lines
        finally:
            child.kill()


@pytest.mark.slow
def test_serve_answers_and_its_log_is_json(shell: Shell) -> None:
    with serving(shell) as (child, lines):
        assert [line["event"] for line in lines][:2] == ["http", "began"]
        url = lines[0]["url"]
        assert ask(url, "/health")[:2] == (200, '{"well": true}\n')
        code, body, _ = ask(url, "/ready")
        status = shell("status", "--json")
        assert {200: 0, 503: 1}[code] == status.code
        assert set(json.loads(body)) == set(status.rows[0])
        collected = lines[-1]
        assert (collected["source"], collected["outcome"]) == ("a", "complete")
        assert (collected["level"], collected["ok"]) == ("info", True)
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        rest = [json.loads(line) for line in child.stderr]
        assert child.wait(60) == 0
    assert rest[-1]["event"] == "ended"


@pytest.mark.slow
def test_a_database_that_is_gone_is_no_readiness(shell: Shell) -> None:
    with serving(shell) as (child, lines):
        with closing(open_database(stored_in(shell.folder))) as db, db.write() as other:
            other.execute(text("ALTER TABLE message RENAME TO gone"))
        url = lines[0]["url"]
        code, body, _ = ask(url, "/ready")
        assert code == 503
        assert json.loads(body) == {
            "well": False,
            "message": "the state cannot be read; the log says why",
        }
        assert child.stderr is not None
        fault = next(line for line in map(json.loads, child.stderr) if line["event"] == "fault")
    assert fault["level"] == "error"


def test_an_address_that_is_taken_or_none(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = shell("serve", "--http", f"127.0.0.1:{port}")
        said.because(f"--http 127.0.0.1:{port}: Address already in use; name another HOST:PORT")
    shell("serve", "--http", "loja").because("'loja' is no HOST:PORT", code=2)
