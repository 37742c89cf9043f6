"""A source's message queue, asked on loopback in Pub/Sub's own words: it only hastens a run."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from stored import stored_in

from ouvidor.children import Children, Ended
from ouvidor.cli import main
from ouvidor.collectors.collector import Trouble
from ouvidor.collectors.hints import hints
from ouvidor.config import ConfigError, Source, parse
from ouvidor.demo.keys import keys
from ouvidor.scheduler import Timetable
from ouvidor.storage import due
from ouvidor.storage.database import open_database
from ouvidor.storage.vocabulary import Outcome

ZONE = ZoneInfo("America/Sao_Paulo")
NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
QUEUE = "projects/loja/subscriptions/reviews"


class Queue:
    """A subscription with a token of its own; what was acknowledged is gone."""

    def __init__(self) -> None:
        self.waiting: dict[str, bytes] = {}
        self.status = 200
        queue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, told = queue.answer(self.path, self.headers, body)
                sent = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def say(self, ticket: str, place: str) -> None:
        told = {"type": "NEW_REVIEW", "location_name": f"accounts/1/locations/{place}"}
        self.waiting[ticket] = json.dumps(told).encode()

    def answer(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        if path == "/token":
            return 200, {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
        if headers["Authorization"] != "Bearer t":
            return 401, {}
        if path == f"/v1/{QUEUE}:acknowledge":
            for ticket in json.loads(body)["ackIds"]:
                del self.waiting[ticket]
            return self.status, {}
        assert path == f"/v1/{QUEUE}:pull"
        received = [
            {"ackId": ticket, "message": {"data": base64.b64encode(data).decode()}}
            for ticket, data in self.waiting.items()
        ]
        return self.status, {"receivedMessages": received} if received else {}


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def table(queue: Queue, environment: Callable[[str, str], None]) -> str:
    environment("SECRET", "x")
    environment("PUBSUB", json.dumps(keys().service_account(queue.url)))
    secrets = "\n".join(
        f'{name} = {{ env = "SECRET" }}' for name in ("client_id", "client_secret", "refresh_token")
    )
    return f"""
[brand]
name = "Loja"
[sources.lojas]
kind = "google_business"
locations = ["7", "8"]
subscription = "{QUEUE}"
pubsub_key = {{ env = "PUBSUB" }}
pubsub_url = "{queue.url}"
token_url = "{queue.url}/token"
retries = 0
{secrets}
"""


def asked(table: str, tmp_path: Path) -> int:
    source = parse(table).sources["lojas"]
    return hints("lojas", source, zone=ZONE, folder=tmp_path, now=NOW)


def test_what_is_about_our_places_is_counted_and_all_is_taken(
    queue: Queue, table: str, tmp_path: Path
) -> None:
    assert asked(table, tmp_path) == 0
    for ticket, place in (("a", "7"), ("b", "8"), ("c", "99")):
        queue.say(ticket, place)
    queue.waiting["d"] = b"no JSON"
    assert asked(table, tmp_path) == 2
    assert queue.waiting == {}
    assert asked(table, tmp_path) == 0


def test_a_refusal_is_said(queue: Queue, table: str, tmp_path: Path) -> None:
    queue.status = 403
    with pytest.raises(Trouble) as caught:
        asked(table, tmp_path)
    assert caught.value.outcome is Outcome.BLOCKED


def test_each_wrong_option_has_its_sentence(table: str, tmp_path: Path) -> None:
    for was, now, told in (
        (QUEUE, "reviews", "is no subscription; write it like 'projects/"),
        (f'subscription = "{QUEUE}"', "", "subscription and pubsub_key go together"),
    ):
        with pytest.raises(ConfigError, match=told):
            asked(table.replace(was, now), tmp_path)
    file = Source(kind="file", options={"path": "x"})
    with pytest.raises(ConfigError, match="this source has none"):
        hints("f", file, zone=ZONE, folder=tmp_path, now=NOW)


def test_the_verb_says_how_many(
    queue: Queue,
    table: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ouvidor.toml").write_text(table)
    queue.say("a", "7")
    assert main(["hints", "lojas", "--json", "--now", NOW.isoformat()]) == 0
    assert json.loads(capsys.readouterr().out) == {"source": "lojas", "hints": 1}
    assert main(["hints", "loja"]) == 2


class Noted(Children):
    """Children that only say what they were asked; each of them hears one hint."""

    def run(self, arguments: Any, *, limit: timedelta) -> Ended:  # noqa: ARG002 - the signature
        self.asked.append(arguments[0])
        return Ended(code=0, stdout='{"hints": 1}', stderr="")

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []


def test_a_hint_has_its_source_read_at_once(table: str, tmp_path: Path) -> None:
    db = open_database(stored_in(tmp_path))
    children = Noted()
    clock = Timetable(parse(table), db, children, file=None, moment=NOW, tell=lambda _: None)
    clock.announce()
    clock.collect()
    assert children.asked == ["hints", "collect"]
    clock.moment = NOW + timedelta(minutes=1)
    clock.collect()
    assert children.asked == ["hints", "collect"]
    clock.moment = NOW + timedelta(minutes=5)
    clock.collect()
    assert children.asked == ["hints", "collect", "hints", "collect"]
    following = due.due_at(db, "collect:lojas")
    assert following is not None
    assert following > clock.moment
    db.close()
