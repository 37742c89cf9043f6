"""The contract every kind of source satisfies: fifteen clauses as functions, run on saved pages.

Fixtures are found by kind (`app_store`, `app_store-xml` …): a `fixture.toml` and one folder of
pages for each moment of the source's history, served on loopback.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo

import pytest
import zstandard
from sqlalchemy import delete, select, text
from sqlalchemy.exc import SQLAlchemyError

from ouvidor.collectors import intake
from ouvidor.collectors.collector import (
    Answer,
    Ask,
    Collector,
    Page,
    Place,
    Trait,
    kinds,
    settings_for,
)
from ouvidor.collectors.run import RunReport, run_source
from ouvidor.config import Source
from ouvidor.demo.keys import keys
from ouvidor.storage import runs
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, StorageError, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

HERE = Path(__file__).parent
STANDS_FOR = "https://host.example"
"""The host's address, in saved pages and in the source's table."""
ZONE = ZoneInfo("America/Sao_Paulo")
START = datetime(2026, 10, 5, 15, tzinfo=UTC)
TABLE = tomllib.loads((HERE / "traits.toml").read_text(encoding="utf-8"))
CAPTCHA = b"<!DOCTYPE html><html><body>Please solve this CAPTCHA to go on</body></html>"
LOGIN = b"<html><head><title>Entrar</title></head><body>Login</body></html>"


def fixtures(kind: str) -> list[Path]:
    """The fixture folders of a kind, found by name."""
    found = [path for path in HERE.iterdir() if path.name.partition("-")[0] == kind]
    return sorted(path for path in found if (path / "fixture.toml").is_file())


def bound(traits: frozenset[Trait]) -> list[int]:
    """The clauses that bind a kind with these traits."""
    names = ["every", *traits]
    return sorted({clause for name in names for clause in TABLE["binds"][name]})


def traits_table() -> str:
    """Every kind with its traits and the clauses that bind it, as a table of Markdown."""
    names = [str(each) for each in Trait]
    heads = ["kind", *names, "clauses", "fixtures"]
    rows = [heads, ["---", *[":-:"] * len(names), "---", "---"]]
    for kind, collector in kinds().items():
        marks = ["✓" if trait in collector.traits else "" for trait in Trait]
        folders = ", ".join(f"`{path.name}`" for path in fixtures(kind))
        rows.append([f"`{kind}`", *marks, _spans(bound(collector.traits)), folders])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _spans(numbers: list[int]) -> str:
    """1–7, 9, 11: numbers in order, those in a row as a span."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{row[0]}–{row[-1]}" if len(row) > 1 else f"{row[0]}" for row in found)


def routed(routes: Mapping[str, str], address: str) -> str:
    """The saved page of an address: its own, or the first whose ``*`` stand for what is there."""
    if address in routes:
        return routes[address]
    for route, name in routes.items():
        if "*" in route and re.fullmatch(re.escape(route).replace(r"\*", ".*"), address):
            return name
    return ""


def addressed(path: str, form: bytes | None) -> str:
    """What a route names: a path, and behind it the form that is sent to it, readable."""
    return path if form is None else f"{path} {unquote_plus(form.decode())}"


@dataclass
class Fault:
    """What goes wrong: on the ``at``-th request for data (from 0), or on every one."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut: bool = False
    hang: bool = False
    at: int | None = None


class Host:
    """A real web server on loopback that shows one moment of a source's history."""

    def __init__(self, routes: Mapping[str, str]) -> None:
        self.routes = routes
        self.moment = Path()
        self.fault: Fault | None = None
        self.robots = b"User-agent: *\nDisallow: /private/\n"
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.times: list[float] = []
        self.busy = self.busiest = 0
        self.released = threading.Event()
        self._lock = threading.Lock()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet, or each answer waits 40 ms

            def do_GET(self) -> None:
                host.answer(self)

            def do_POST(self) -> None:
                host.post(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def show(self, moment: Path, fault: Fault | None = None) -> None:
        """Show another moment and forget who asked."""
        self.moment, self.fault, self.asked, self.times = moment, fault, [], []
        self.busiest = 0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            self._answer(request)
        finally:
            with self._lock:
                self.busy -= 1

    def post(self, request: BaseHTTPRequestHandler) -> None:
        """A page asked for with a form, by the route "/path form"; or a token, by "POST /path".

        A token is outside the story, so that no fault strikes it.
        """
        form = request.rfile.read(int(request.headers.get("Content-Length", "0")))
        if routed(self.routes, address := addressed(request.path, form)):
            request.path = address
            self.answer(request)
            return
        name = routed(self.routes, f"POST {request.path}")
        body = (self.moment.parent / name).read_bytes() if name else b"not found"
        self._send(request, 200 if name else 404, body, {})

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.agents.add(request.headers.get("User-Agent", ""))
        if request.path == "/robots.txt":
            self._send(request, 200, self.robots, {})
            return
        place = len(self.asked)
        self.asked.append(request.path)
        self.times.append(time.monotonic())
        fault = self.fault
        if fault is not None and fault.at in (None, place):
            self._fail(request, fault)
            return
        self._page(request)

    def _page(self, request: BaseHTTPRequestHandler) -> None:
        name = routed(self.routes, request.path)
        path = self.moment / name if name else None
        if path is None or not path.is_file():
            self._send(request, 404, b"not found", {})
            return
        body = self.saved(path)
        etag = f'"{hash(body) & 0xFFFFFFFF:x}"'
        if request.headers.get("If-None-Match") == etag:
            self._send(request, 304, b"", {"ETag": etag})
        else:
            self._send(request, 200, body, {"ETag": etag})

    def saved(self, path: Path) -> bytes:
        """A saved page, its links leading here."""
        return path.read_bytes().replace(STANDS_FOR.encode(), self.url.encode())

    def _fail(self, request: BaseHTTPRequestHandler, fault: Fault) -> None:
        if fault.hang:
            self.released.wait(60)
            return
        body = fault.body
        if body is None:
            name = routed(self.routes, request.path)
            body = (self.moment / name).read_bytes() if fault.status == 200 and name else b""
        if fault.cut:
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body[: len(body) // 2])
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
            return
        self._send(request, fault.status, body, fault.headers)

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


class Kit:
    """One kind of source with its fixture, a host that plays it, and an empty house."""

    def __init__(self, kind: str, fixture: Path, folder: Path, host: Host, server: str) -> None:
        self.kind, self.fixture, self.folder, self.host = kind, fixture, folder, host
        self.server = server
        told = tomllib.loads((fixture / "fixture.toml").read_text(encoding="utf-8"))
        self.told = told
        self.expected: Mapping[str, Any] = told["expected"]
        self.outcomes: Mapping[str, str] = told["outcomes"]
        self.door = Door(b"a key of thirty-two bytes, really", ZONE)
        self.at = START
        self.db = self._house()

    @property
    def collector_class(self) -> type[Collector[Any]]:
        return kinds()[self.kind]

    def source(self, **options: object) -> Source:
        table = {"retries": 0, "backoff": 0, "delay": 0, "max_requests": 40, "timeout": 20}
        table |= self.told["source"] | options
        table = {
            name: value.replace(STANDS_FOR, self.host.url) if isinstance(value, str) else value
            for name, value in table.items()
        }
        table.pop("kind")
        return Source(kind=self.kind, base_url=self.host.url, options=table)

    def _house(self) -> Database:
        self.folder.mkdir(exist_ok=True)
        return _swept(self.server) if self.server else self._file()

    def _file(self) -> Database:
        path = self.folder / f"{len(list(self.folder.glob('*.db')))}.db"
        template = self.folder.parent / "template.db"
        if not template.exists():
            open_database(f"sqlite:///{template}").close()
        shutil.copy(template, path)
        return open_database(f"sqlite:///{path}")

    def anew(self) -> None:
        """Another empty house."""
        self.db.close()
        self.db = self._house()

    def show(self, moment: str, fault: Fault | None = None) -> None:
        self.host.show(self.fixture / moment, fault)

    def has(self, moment: str) -> bool:
        return (self.fixture / moment).is_dir()

    def run(self, *, full: bool = False, **options: object) -> RunReport:
        """One run, ten minutes after the one before."""
        self.at += timedelta(minutes=10)
        return run_source(
            self.db,
            "source",
            self.source(**options),
            door=self.door,
            now=self.at,
            full=full,
            folder=self.folder,
        )

    def collector(self) -> Collector[Any]:
        place = Place(name="source", zone=ZONE, folder=self.folder)
        return self.collector_class(settings_for("source", self.source()), place)

    def parsed(self, moment: str) -> list[Page]:
        """Every page of a moment, parsed without a house: as the run would walk them."""
        collector, pages = self.collector(), []
        ask: Ask | None = collector.first({})
        for _ in range(50):
            if ask is None:
                return pages
            found = list(collector.parse(ask, self.answer(moment, ask), {}))
            pages += found
            ask = found[-1].next
        raise AssertionError("the collector never stops asking")

    def answer(self, moment: str, ask: Ask) -> Answer:
        address = addressed(ask.url.removeprefix(self.host.url), ask.body)
        name = routed(self.told["routes"], address)
        path = self.fixture / moment / name
        if Trait.WHOLE_FILE in self.collector_class.traits:
            return Answer(url=ask.url, path=path)
        return Answer(url=ask.url, body=self.host.saved(path))

    def rows(self) -> dict[str, tuple[Any, ...]]:
        """What the house remembers of each feedback."""
        columns = (t.feedback.c.title, t.feedback.c.text, t.feedback.c.stars)
        with self.db.read() as connection:
            return {
                row[0]: tuple(row[1:])
                for row in connection.execute(select(t.feedback.c.external_id, *columns))
            }

    def count(self, table: Any) -> int:
        with self.db.read() as connection:
            return len(connection.execute(select(table)).all())

    def details(self) -> Mapping[str, Any]:
        with self.db.read() as connection:
            query = select(t.run.c.details).order_by(t.run.c.id.desc()).limit(1)
            return connection.execute(query).scalar_one()

    def joined_at(self) -> datetime | None:
        with self.db.read() as connection:
            source_id = connection.execute(select(t.source.c.id)).scalar_one()
        return runs.last_joined_start(self.db, source_id)

    def covered(self) -> list[Any]:
        with self.db.read() as connection:
            return list(connection.execute(select(t.coverage).order_by(t.coverage.c.day)))

    def everything(self) -> str:
        """All the text in the house, payloads unpacked."""
        found: list[str] = []
        with self.db.read() as connection:
            for table in t.metadata.sorted_tables:
                for row in connection.execute(select(table)):
                    found += [_readable(value) for value in row]
        return "\n".join(found)

    @contextmanager
    def refusing(self, table: str, after: int) -> Iterator[None]:
        """The database refuses the write of ``table`` once ``after`` of them were made."""
        before = f"CREATE TRIGGER refuse BEFORE INSERT ON {table}"
        if self.db.embedded:
            make = [f"{before} BEGIN {_REFUSE_SQLITE.format(after=after)} END"]
            drop = ["DROP TRIGGER refuse"]
        else:
            body = _REFUSE_POSTGRESQL.format(after=after)
            make = [
                f"CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
                f"{before} FOR EACH ROW EXECUTE FUNCTION refused()",
            ]
            drop = ["DROP FUNCTION refused CASCADE"]
        self._tell("CREATE TABLE made (n INTEGER)", *make)
        yield
        self._tell(*drop, "DROP TABLE made")

    def _tell(self, *statements: str) -> None:
        with self.db.write() as connection:
            for statement in statements:
                connection.execute(text(statement))


_REFUSE_SQLITE = (
    "SELECT RAISE(ABORT, 'refused') WHERE (SELECT count(*) FROM made) >= {after}; "
    "INSERT INTO made VALUES (1);"
)
_REFUSE_POSTGRESQL = (
    "BEGIN IF (SELECT count(*) FROM made) >= {after} THEN RAISE EXCEPTION 'refused'; END IF; "
    "INSERT INTO made VALUES (1); RETURN NEW; END"
)


def _swept(url: str) -> Database:
    """The database of a server, empty: one for many houses, one after the other."""
    database = open_database(url)
    with database.write() as connection:
        for table in reversed(t.metadata.sorted_tables):
            connection.execute(delete(table))
    return database


def _readable(value: object) -> str:
    if isinstance(value, bytes):
        return zstandard.decompress(value).decode()
    return json.dumps(value, ensure_ascii=False, default=str)


def _made_anew(url: str) -> dict[str, str]:
    """Credentials that no file should hold, by what a fixture calls them."""
    account = json.dumps(keys().service_account(url))
    return {"a service account": account, "an ES256 key": keys().apple_private_key}


@contextmanager
def kit(kind: str, fixture: Path, folder: Path, server: str = "") -> Iterator[Kit]:
    """A kit and its host, closed at the end; in the database of ``server``, else in a file."""
    told = tomllib.loads((fixture / "fixture.toml").read_text(encoding="utf-8"))
    host = Host(told["routes"])
    made = Kit(kind, fixture, folder, host, server)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in told.get("environment", {}).items():
                patch.setenv(name, _made_anew(host.url).get(value, value))
            yield made
    finally:
        made.db.close()
        host.close()


def clause_1(kit: Kit) -> None:
    once = [item.external_id for page in kit.parsed("first") for item in page.items]
    again = [item.external_id for page in kit.parsed("first") for item in page.items]
    wanted = [line["external_id"] for line in _lines(kit)]
    assert all(once)
    assert len(set(once)) == len(once)
    assert once == again
    assert sorted(once) == sorted(wanted)


def _lines(kit: Kit) -> list[dict[str, Any]]:
    lines = (kit.fixture / "first.expected.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def clause_2(kit: Kit) -> None:
    pages = kit.parsed("first")
    for item in (item for page in pages for item in page.items):
        assert intake.flaw(item, START) is None
        for moment in (item.published_at, item.edited_at):
            assert moment is None or moment.utcoffset() == timedelta(0)
    seen = Counter(name for page in pages for name in page.unknown)
    seen.update(name for page in pages for item in page.items for name in item.attributes)
    assert set(kit.expected["unknown"]) <= set(seen)
    kit.show("bad")
    report = kit.run()
    assert (report.outcome, report.rejected, report.new) == (
        Outcome.COMPLETE,
        kit.expected["rejected"],
        1,
    )
    assert sum(kit.details()["rejected"].values()) == report.rejected


def clause_3(kit: Kit) -> None:
    wanted = {line["external_id"]: line for line in _lines(kit)}
    for item in (item for page in kit.parsed("first") for item in page.items):
        line = wanted[item.external_id]
        moment = item.published_at.isoformat() if item.published_at else None
        assert unicodedata.normalize("NFC", item.text) == line["text"]
        assert (item.title, item.stars, moment) == (
            line["title"],
            line["stars"],
            line["published_at"],
        )
    kit.show("first")
    kit.run()
    stored = kit.everything()
    for secret in kit.expected["personal"]:
        assert secret not in stored
    for word in kit.expected["kept"]:
        assert word in stored
    assert kit.count(t.payload) == len(wanted)


def clause_4(kit: Kit) -> None:
    kit.show("first")
    first = kit.run()
    assert first.new == len(_lines(kit))
    again = kit.run(full=True)
    assert (again.new, again.changed, again.outcome) == (0, 0, Outcome.COMPLETE)
    assert again.unchanged == first.new
    kit.show("edited")
    edited = kit.run()
    assert (edited.new, edited.changed) == (kit.expected["new_when_edited"], 1)
    assert kit.count(t.revision) == 1
    before = set(kit.rows())
    kit.show("first")
    kit.run(full=True)
    assert set(kit.rows()) == before


def clause_5(kit: Kit) -> None:
    pages = kit.parsed("first")
    assert all(page.checkpoint for page in pages if page.items)
    for after in range(len(pages)):
        kit.anew()
        kit.show("first")
        with kit.refusing("checkpoint", after), pytest.raises(Exception, match="refused"):
            kit.run()
        assert len(kit.rows()) == sum(len(page.items) for page in pages[:after])
        assert kit.count(t.checkpoint) == min(after, 1)


def clause_6(kit: Kit) -> None:
    undisturbed = _undisturbed(kit, ["first", "edited"])
    steps = len(kit.parsed("first"))
    for table, after in [("feedback", 1), *(("checkpoint", n) for n in range(steps + 1))]:
        kit.anew()
        kit.show("first")
        with kit.refusing(table, after):
            _broken(kit)
        kit.show("edited")
        with kit.refusing(table, min(after, 1)):
            _broken(kit)
        assert kit.run().outcome is Outcome.COMPLETE
        assert kit.rows() == undisturbed


def _undisturbed(kit: Kit, moments: list[str]) -> dict[str, tuple[Any, ...]]:
    for moment in moments:
        kit.show(moment)
        assert kit.run().outcome is Outcome.COMPLETE
    return kit.rows()


def _broken(kit: Kit) -> None:
    """A run that dies where the database refuses; it is left open like one that was killed."""
    with suppress(StorageError, SQLAlchemyError):
        kit.run()


def clause_7(kit: Kit) -> None:
    steps = len(kit.parsed("first"))
    for at in range(steps):
        kit.anew()
        kit.show("first", Fault(status=500, at=at))
        if steps == 1 or at < len(kit.host.routes):
            assert not kit.run().outcome.good
        assert kit.joined_at() is None
        assert kit.covered() == []
    kit.show("first")
    assert kit.run().outcome is Outcome.COMPLETE
    mark = kit.joined_at()
    assert mark == kit.at
    kit.show("edited", Fault(status=503, at=min(1, steps - 1)))
    assert not kit.run().outcome.good
    assert kit.joined_at() == mark
    kit.show("edited")
    assert kit.run().outcome is Outcome.COMPLETE
    assert kit.joined_at() == kit.at
    assert all(row.until <= kit.at for row in kit.covered())
    assert kit.rows() == _fresh(kit, "edited")


def _fresh(kit: Kit, moment: str) -> dict[str, tuple[Any, ...]]:
    """What one full run into an empty house finds."""
    kit.anew()
    kit.show(moment)
    assert kit.run(full=True).outcome is Outcome.COMPLETE
    return kit.rows()


def clause_8(kit: Kit) -> None:
    kit.show("first")
    kit.run()
    kit.show("edited")
    edited = kit.run()
    assert (edited.new, edited.changed) == (kit.expected["new_when_edited"], 1)
    kit.show("later")
    assert kit.run().new == 1
    kit.show("late")
    assert kit.run().new == 1


def clause_9(kit: Kit) -> None:
    for moment in ("first", "edited", "later"):
        kit.show(moment)
        assert kit.run().outcome is Outcome.COMPLETE
        asked = len(kit.host.asked)
        again = kit.run()
        assert (again.outcome, again.new, again.changed) == (Outcome.COMPLETE, 0, 0)
        assert len(kit.host.asked) - asked <= kit.expected["most_requests"]
    incremental = kit.rows()
    assert incremental == _fresh(kit, "later")


def clause_10(kit: Kit) -> None:
    kit.show("capped")
    report = kit.run()
    assert report.outcome is Outcome.CAPPED
    gap = kit.details()["gap"]
    oldest = min(
        item.published_at
        for page in kit.parsed("capped")
        for item in page.items
        if item.published_at
    )
    assert datetime.fromisoformat(gap["until"]) == oldest
    assert min(row.since for row in kit.covered()) > oldest
    assert kit.run().outcome is Outcome.COMPLETE


def clause_11(kit: Kit) -> None:
    for fault, outcome in _failures(kit):
        kit.anew()
        kit.show("first", fault)
        report = kit.run(timeout=0.3 if fault.hang else 20)
        assert report.outcome.value == outcome, (fault, report)
        assert report.message.endswith(".")
        assert (report.new, kit.covered()) == (0, [])
    for moment in ("layout", "error"):
        kit.anew()
        kit.show(moment)
        report = kit.run()
        assert (report.outcome.value, report.new) == (kit.outcomes[moment], 0), report
    kit.anew()
    kit.show("first")
    kit.host.close()
    assert kit.run().outcome is Outcome.UNAVAILABLE


def _failures(kit: Kit) -> list[tuple[Fault, str]]:
    failures = [
        (Fault(status=401), "blocked"),
        (Fault(status=403), "blocked"),
        (Fault(status=429, headers={"Retry-After": "3600"}), "rate_limited"),
        (Fault(status=500), "unavailable"),
        (Fault(status=503), "unavailable"),
        (Fault(status=404), "misconfigured"),
        (Fault(status=302, headers={"Location": "https://example.com/login"}), "misconfigured"),
        (Fault(body=CAPTCHA), "blocked"),
        (Fault(body=LOGIN), "layout_changed"),
        (Fault(body=b" \n"), "suspect"),
        (Fault(cut=True), "unavailable"),
        (Fault(hang=True), "unavailable"),
    ]
    if "cut" in kit.outcomes:
        name = next(iter(kit.host.routes.values()))
        body = (kit.fixture / "first" / name).read_bytes()
        failures.append((Fault(body=body[: len(body) // 2]), kit.outcomes["cut"]))
    return failures


def clause_12(kit: Kit) -> None:
    kit.show("empty")
    report = kit.run()
    assert (report.outcome.value, report.new) == (kit.outcomes["empty_first"], 0), report
    kit.anew()
    kit.show("first")
    kit.run()
    before = kit.rows()
    kit.show("empty")
    report = kit.run(full=True)
    assert report.outcome.value == kit.outcomes["empty_after"], report
    assert kit.rows() == before
    kit.show("first", Fault(body=b""))
    assert kit.run(full=True).outcome is Outcome.SUSPECT
    kit.show("first")
    again = kit.run()
    assert (again.outcome, again.new) == (Outcome.COMPLETE, 0)


def clause_13(kit: Kit) -> None:
    kit.show("first")
    kit.run(delay=0.1)
    gaps = [
        after - before for before, after in zip(kit.host.times, kit.host.times[1:], strict=False)
    ]
    assert all(gap >= 0.08 for gap in gaps)
    assert kit.host.busiest == 1
    assert all(agent.startswith("ouvidor/") for agent in kit.host.agents)
    assert len(set(kit.host.asked)) == len(kit.host.asked)
    kit.anew()
    kit.show("first", Fault(status=429, headers={"Retry-After": "1"}, at=0))
    assert kit.run(retries=1).outcome is Outcome.COMPLETE
    assert kit.host.times[1] - kit.host.times[0] >= 0.95
    kit.anew()
    kit.show("first")
    kit.host.robots = b"User-agent: *\nDisallow: /\n"
    report = kit.run()
    if kit.collector_class.robots:
        assert (report.outcome, kit.host.asked) == (Outcome.BLOCKED, [])
    else:
        assert report.outcome is Outcome.COMPLETE


def clause_14(kit: Kit) -> None:
    kit.show("first")
    assert kit.run().outcome is Outcome.COMPLETE
    assert len(kit.host.asked) <= 2 * len(kit.host.routes)
    kit.anew()
    kit.show("first")
    report = kit.run(max_megabytes=0.0001)
    assert (report.outcome, report.new) == (Outcome.MISCONFIGURED, 0)
    kit.show("first", Fault(hang=True))
    assert kit.run(max_minutes=0.005).outcome is Outcome.PARTIAL
    ask = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    ask.start()
    began = time.monotonic()
    report = kit.run()
    assert time.monotonic() - began < 5
    assert (report.outcome, report.stopped) == (Outcome.PARTIAL, True)
    ask.join()


def clause_15(kit: Kit) -> None:
    with _alone():
        once, again = kit.parsed("first"), kit.parsed("first")
    assert [_pure(page) for page in once] == [_pure(page) for page in again]
    kit.show("first")
    kit.run()
    with kit.db.read() as connection:
        value = connection.execute(select(t.checkpoint.c.value)).scalar_one()
        version = connection.execute(select(t.checkpoint.c.version)).scalar_one()
    stored = json.dumps(value, ensure_ascii=False)
    assert len(stored.encode()) <= 4096
    assert isinstance(version, int)
    people = {item.author for page in once for item in page.items if item.author}
    assert not any(person in stored for person in people)
    with kit.db.write() as connection:
        connection.execute(t.checkpoint.update().values(version=version + 1))
    assert kit.run().outcome is Outcome.COMPLETE


def _pure(page: Page) -> tuple[object, ...]:
    return (tuple(page.items), tuple(page.rejected), dict(page.unknown), dict(page.checkpoint))


@contextmanager
def _alone() -> Iterator[None]:
    """No network while a parser works."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a parser went to the network")

    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


CLAUSES: Mapping[int, Callable[[Kit], None]] = {
    int(name): globals()[f"clause_{name}"] for name in TABLE["clauses"]
}
