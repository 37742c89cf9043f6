from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ouvidor.reports.chat import send_chat, validate
from ouvidor.reports.delivery_errors import Permanent, RetryLater, Unknown


class Receiver(HTTPServer):
    """A chat service on loopback: keeps what it gets, answers with ``status`` (0: hangs up)."""

    status = 200

    def __init__(self) -> None:
        self.got: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_port}/secret-token"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self.server.got.append(json.loads(self.rfile.read(size)))
        if self.server.status:
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_message_arrives_as_it_was_written(receiver: Receiver) -> None:
    body = "Entrega: 14 negativas\n> <b>“caixa amassada”</b> & *nunca* mais\n"
    send_chat(receiver.url, "Entrega em alta ↑", body)
    (got,) = receiver.got
    assert got["title"] == "Entrega em alta ↑"
    assert got["message"].replace("\u200b", "") == body.strip()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, RetryLater), (503, RetryLater), (404, Permanent), (401, Permanent), (0, Unknown)],
)
def test_errors_are_named_by_recovery(
    receiver: Receiver, status: int, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = status
    with pytest.raises(kind) as caught:
        send_chat(receiver.url, "subject", "body")
    assert "secret-token" not in str(caught.value) + caplog.text
    assert len(receiver.got) == 1


def test_a_service_that_is_down_is_tried_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(RetryLater, match="cannot be reached"):
        send_chat(f"json://127.0.0.1:{port}", "subject", "body")


@pytest.mark.parametrize("url", ["", "nonsense", "nosuch://host/token", "slack://", "http://x y"])
def test_an_address_nobody_understands_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="no chat address") as caught:
        validate(url)
    assert "token" not in str(caught.value)
    with pytest.raises(Permanent):
        send_chat(url, "subject", "body")


def test_known_addresses_are_fine(receiver: Receiver) -> None:
    validate(receiver.url)
    validate("tgram://123456789:abcdefghijklmnopqrstuvwxyz012345678/42/")
