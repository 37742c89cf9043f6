"""The stand-in brand's sources on loopback, at any moment of its sixteen weeks.

``with StandIn(now) as brand:`` serves at ``brand.url`` what was public at ``brand.now``, which may
be moved. By hand: ``python -m ouvidor.demo.server --now 2026-10-11T12:00:00-03:00``.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from urllib.parse import parse_qs, urlsplit

from .apple import APP, LAST_PAGE, STOREFRONTS, Page, feed_json, feed_xml, turn
from .exports import EXPORTS
from .feedback import MORE, SOURCES, Piece, as_of, read_feedback
from .keys import Keys, keys
from .services import Services
from .wire import Answer, Request

FEED = re.compile(r"/(?P<country>[a-z]{2})/rss/customerreviews/(?P<options>.+)/(?P<style>json|xml)")
SORTS = {"mostrecent": "mostRecent", "mosthelpful": "mostHelpful"}
FEED_TYPES = {"json": "text/javascript; charset=utf-8", "xml": "application/xml; charset=utf-8"}
ROBOTS = b"User-agent: *\nDisallow: /privado/\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong under a path prefix.

    ``body`` replaces the real one, which only a 200 has; ``truncate`` sends only that many bytes
    of it and drops the connection; ``delay`` waits so many seconds first (a hang ends when the
    stand-in closes); after ``times`` requests all is well again.
    """

    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0
    truncate: int | None = None
    times: int | None = None


class StandIn:
    """A loopback server that shows what was public at ``now`` (aware; may be set at any time).

    ``faults`` maps path prefixes to Faults, the longest match wins. ``requests`` counts requests
    per path, ``answers`` per path and status (a hanging or dropped one has none). ``services``
    are the APIs that ask for ``keys``; their quotas and tokens age by ``now`` and by ``clock``
    (seconds).
    """

    def __init__(
        self,
        now: datetime,
        *,
        feedback: Sequence[Piece] | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now
        self.feedback = read_feedback(SOURCES + MORE) if feedback is None else tuple(feedback)
        self.services = Services(self)
        self._clock, self._started = clock, clock()
        self.faults: dict[str, Fault] = {}
        self.requests: Counter[str] = Counter()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.closing = threading.Event()
        self._struck: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where the stand-in answers, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def keys(self) -> Keys:
        """What the APIs ask for; the same for every stand-in of this process."""
        return keys()

    def moment(self) -> datetime:
        """``now`` plus the time that really went by since the start."""
        return self.now + timedelta(seconds=self._clock() - self._started)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self) -> None:
        """Serve until interrupted."""
        self.closing.wait()

    def count(self, path: str) -> None:
        """Note that ``path`` was asked for."""
        with self._lock:
            self.requests[path] += 1

    def note(self, path: str, status: int) -> None:
        """Note how ``path`` was answered."""
        with self._lock:
            self.answers[path, status] += 1

    def fault(self, path: str) -> Fault | None:
        """The fault that strikes this request, if any, counted against its ``times``."""
        with self._lock:
            for prefix in sorted(self.faults, key=len, reverse=True):
                fault = self.faults[prefix]
                if not path.startswith(prefix):
                    continue
                self._struck[prefix] += 1
                if fault.times is not None and self._struck[prefix] >= fault.times:
                    del self.faults[prefix], self._struck[prefix]
                return fault
        return None

    def respond(self, request: Request) -> Answer:
        """What the API, or else the public source, would say to this request at ``now``."""
        answer = self.services.answer(request)
        if answer is None and request.method == "GET":
            return self.answer(request.path)
        return answer or Answer(status=HTTPStatus.NOT_IMPLEMENTED, body=b"not implemented\n")

    def answer(self, path: str) -> Answer:
        """What the real public source would say at ``now``."""
        if path == "/robots.txt":
            return Answer(body=ROBOTS)
        if path in EXPORTS:
            return self._export(path)
        if found := FEED.fullmatch(path):
            return self._feed(found["country"], found["options"], found["style"])
        return Answer(status=HTTPStatus.NOT_FOUND, body=b"not found\n")

    def shown(self, source: str | None) -> list[Piece]:
        """The source's pieces as they stand at ``now``, oldest first."""
        return as_of((piece for piece in self.feedback if piece.source == source), self.now)

    def told(self, source: str) -> list[Piece]:
        """The source's pieces with all that will become of them, whatever the time."""
        return [piece for piece in self.feedback if piece.source == source]

    def _export(self, path: str) -> Answer:
        source, kind, write = EXPORTS[path]
        pieces = self.shown(source)
        changes = [piece.updated for piece in pieces]
        changes += [piece.reply.at for piece in pieces if piece.reply]
        modified = max(changes, default=self.now).astimezone(UTC)
        stamp = format_datetime(modified, usegmt=True)
        return Answer(type=kind, body=write(pieces), headers={"Last-Modified": stamp})

    def _feed(self, country: str, options: str, style: str) -> Answer:
        values = dict(part.lower().partition("=")[::2] for part in options.split("/"))
        number = values.get("page", "1")
        if not number.isdecimal() or not 1 <= int(number) <= LAST_PAGE:
            body = b"CustomerReviews RSS page depth is limited to 10"
            return Answer(status=HTTPStatus.BAD_REQUEST, body=body)
        sort = SORTS.get(values.get("sortby", ""), "mostRecent")
        app = values.get("id", "")
        pieces = self.shown(STOREFRONTS.get(country) if app == APP else None)
        entries, pages = turn(pieces, sort, int(number))
        page = Page(
            base=self.url,
            country=country,
            app=app,
            number=int(number),
            sort=sort,
            style=style,
            entries=entries,
            pages=pages,
            # Tied to the content, so that the same reviews keep the same ETag.
            updated=max((piece.updated for piece in pieces), default=self.now),
        )
        write = feed_json if style == "json" else feed_xml
        return Answer(type=FEED_TYPES[style], body=write(page))


class _Server(ThreadingHTTPServer):
    """Threads die with the process: a hang must not keep a test alive."""

    daemon_threads = True

    def __init__(self, brand: StandIn, port: int) -> None:
        self.brand = brand
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """One request: count it, let a fault strike, else answer with an ETag."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        brand = cast("_Server", self.server).brand
        request = self._request(brand.url)
        path = request.path
        brand.count(path)
        fault = brand.fault(path)
        if fault and fault.delay and brand.closing.wait(fault.delay):
            self.close_connection = True
            return
        answer = brand.respond(request)
        if fault:
            self._send(path, _struck(answer, fault), fault.truncate)
        elif answer.status == HTTPStatus.OK and answer.cacheable:
            self._send(path, self._conditional(answer))
        else:
            self._send(path, answer)

    def _request(self, base: str) -> Request:
        parts = urlsplit(self.path)
        return Request(
            method=self.command,
            path=parts.path,
            base=base,
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length", "0"))),
        )

    def _conditional(self, answer: Answer) -> Answer:
        tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
        headers = {**answer.headers, "ETag": tag}
        asked, since = self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")
        fresh = tag in asked if asked else since == headers.get("Last-Modified", "")
        if fresh:
            return Answer(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Answer(type=answer.type, body=answer.body, headers=headers)

    def _send(self, path: str, answer: Answer, truncate: int | None = None) -> None:
        # Noted first: whoever has the answer in hand finds it counted.
        if truncate is None:
            cast("_Server", self.server).brand.note(path, answer.status)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", answer.type)
            self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(ConnectionError):  # the client may hang up first
            self.wfile.write(answer.body[:truncate])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's own name)
        """Stay quiet: tests and the demo own the terminal."""


def _struck(answer: Answer, fault: Fault) -> Answer:
    """The real answer as the fault spoils it."""
    body = fault.body
    if body is None:
        body = answer.body if fault.status == HTTPStatus.OK else b"out of order\n"
    return Answer(
        status=fault.status,
        type=fault.headers.get("Content-Type", answer.type),
        body=body,
        headers={name: value for name, value in fault.headers.items() if name != "Content-Type"},
    )


def main() -> None:
    """Serve by hand until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m ouvidor.demo.server", description=__doc__)
    parser.add_argument("--now", type=datetime.fromisoformat, required=True, metavar="ISO-TIME")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keys", type=Path, metavar="FOLDER", help="write the credentials there")
    options = parser.parse_args()
    if options.now.tzinfo is None:
        parser.error("--now needs an offset, such as 2026-10-11T12:00:00-03:00")
    with suppress(KeyboardInterrupt), StandIn(options.now, port=options.port) as brand:
        if options.keys:
            brand.keys.write(options.keys, brand.url)
        print(brand.url, flush=True)  # noqa: T201 (a script may read the address from here)
        brand.wait()


if __name__ == "__main__":
    main()
