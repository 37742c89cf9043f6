"""Two questions that a supervisor asks over HTTP: whether it lives, and whether all is well.

Beside them pages for people may be answered, such as the end of a digest. No answer holds a text
or an address of anybody. Loopback is the default, since nobody logs in.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from . import console

LOOPBACK = "127.0.0.1"
CALLERS = 16
"""Questions that are answered at the same time; who comes on top is hung up on."""

PATIENCE = 5.0
"""Seconds a caller has for the next byte of the question."""

FRESH = 5.0
"""Seconds an answer to /ready holds: however often it is asked, the database is asked less."""

LARGEST = 16_384
"""Bytes of a form that are read; no page needs one."""

_MOST = 65535
# What a page may do: show itself and send its form back. Its address is nobody else's to know.
_PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}

_MOST_FIELDS = 10

Show = Callable[[Mapping[str, str], bool], tuple[HTTPStatus, str]]
"""From the fields of the address, and whether something was sent, to status and HTML."""


class AddressError(ValueError):
    """An address to listen at that is none; the text says how to write one."""


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``:PORT`` or ``PORT``; without a host it is loopback."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= _MOST):
        raise AddressError(f"{text!r} is no HOST:PORT; write one like 127.0.0.1:8321")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


class Heart:
    """Whether somebody beats again and again."""

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._last = clock()

    def beat(self) -> None:
        """Say that it lives."""
        self._last = self._clock()

    @property
    def alive(self) -> bool:
        """Whether it was said lately."""
        return self._clock() - self._last <= self._patience


class Kept:
    """An answer that is found once and given for a while."""

    def __init__(
        self,
        find: Callable[[], Mapping[str, Any]],
        seconds: float = FRESH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._seconds, self._clock = find, seconds, clock
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._answer: Mapping[str, Any] = {}

    def __call__(self) -> Mapping[str, Any]:
        """The answer, found anew when the last one is old."""
        with self._lock:
            if self._clock() >= self._until:
                self._answer = self._find()
                self._until = self._clock() + self._seconds
            return self._answer


class Health:
    """Answers ``/health`` and ``/ready`` in a thread of its own while the ``with`` lasts.

    ``ready`` returns what JSON shows, ``well`` among it; ``pages`` answer GET and (with True) POST
    by path with a status and HTML. None of them may raise. Raises OSError when the address cannot
    be taken.
    """

    def __init__(
        self,
        where: tuple[str, int],
        *,
        alive: Callable[[], bool],
        ready: Callable[[], Mapping[str, Any]],
        pages: Mapping[str, Show] | None = None,
    ) -> None:
        answers: dict[str, Callable[[], Mapping[str, Any]]] = {
            "/health": lambda: {"well": alive()},
            "/ready": ready,
        }

        class Handler(_Handler):
            pass

        Handler.answers, Handler.pages = answers, pages or {}
        self._server = (_Server6 if ":" in where[0] else _Server)(where, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health")

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else host
        return f"http://{shown!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, where: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(CALLERS)
        super().__init__(where, handler)

    def server_bind(self) -> None:
        """Take the address; the base class would also ask the DNS for its name."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """One thread a caller, while there is room."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and give the room back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller who hangs up is no news, and the base class would print its address."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    answers: Mapping[str, Callable[[], Mapping[str, Any]]]
    pages: Mapping[str, Show]
    timeout = PATIENCE
    server_version = "ouvidor"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the two questions, or show a page."""
        if self._shown(posted=False):
            return
        answer = self.answers.get(self.path.partition("?")[0])
        if answer is None:
            self._send(HTTPStatus.NOT_FOUND, {"message": "ask /health or /ready"})
            return
        said = answer()
        well = HTTPStatus.OK if said["well"] else HTTPStatus.SERVICE_UNAVAILABLE
        self._send(well, said)

    do_HEAD = do_GET  # noqa: N815 - the base class calls it so

    def do_POST(self) -> None:
        """What somebody sends to a page; its form says nothing that its address does not."""
        self._read_form()
        if not self._shown(posted=True):
            self._send(HTTPStatus.NOT_IMPLEMENTED, {"message": "nothing is sent here"})

    def _read_form(self) -> None:
        """Take what was sent: closing before would cut our answer off."""
        length = self.headers.get("Content-Length", "")
        left = min(int(length), LARGEST) if length.isascii() and length.isdigit() else 0
        until = time.monotonic() + PATIENCE
        while left and time.monotonic() < until and (got := self.rfile.read1(left)):
            left -= len(got)

    def _shown(self, *, posted: bool) -> bool:
        path, _, query = self.path.partition("?")
        page = self.pages.get(path)
        if page is None:
            return False
        told = parse_qs(query) if query.count("&") < _MOST_FIELDS else {}
        status, html = page({name: values[-1] for name, values in told.items()}, posted)
        self._write(status, html.encode(), _PAGE_HEADERS)
        return True

    def _send(self, status: HTTPStatus, said: Mapping[str, Any]) -> None:
        body = (console.dumps(said) + "\n").encode()
        self._write(status, body, {"Content-Type": "application/json; charset=utf-8"})

    def _write(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its signature
        """Nothing: who asks every second is no news, and the question is a stranger's text."""
