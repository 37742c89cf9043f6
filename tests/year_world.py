"""The world of the simulated year: forty sources that people write into, and what goes wrong.

Everything is drawn by a seed and told by a plan, so that a year that failed is lived again as it
was. Eight sources are read over real HTTP on loopback in the wire formats of five kinds, the other
thirty-two are files of two formats that somebody's systems export.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import quote

from histories.shapes import SHAPES, Shape
from histories.world import Event, Item, State, What, World

from ouvidor.demo.keys import keys

BEGIN = datetime(2015, 3, 4, 12, tzinfo=UTC)
"""A Wednesday. The year ahead has 366 days, an ISO week 53, and every zone turns its clocks."""
DAY, HOUR = timedelta(days=1), timedelta(hours=1)

SAID = (
    ("A entrega atrasou e ninguém avisou", "entrega", 1),
    ("A encomenda chegou antes do dia marcado", "entrega", 5),
    ("O aplicativo fecha sozinho na hora de pagar", "app", 1),
    ("O aplicativo é fácil de usar", "app", 5),
    ("O produto veio quebrado dentro da caixa", "produto", 2),
    ("O produto é bonito e resistente", "produto", 5),
    ("Comprei na semana passada", "", 3),
)
"""What people say, what it is about, and how many stars they give."""


def said(text: str) -> tuple[str, str, int]:
    """The sentence that a text was made of."""
    return next(each for each in SAID if text.startswith(each[0]))


@dataclass
class Place(World):
    """A source that shows no more than its latest ``most`` items."""

    most: int = 40
    sad: bool = False
    """An incident is on: all that is said is about late deliveries."""

    def _state(self, key: str, old: State | None = None) -> State:
        number = 0 if self.sad else crc(f"{key}/{self.changes}") % len(SAID)
        words, _, stars = SAID[number]
        reply = old.reply if old else None
        return State(f"{words} ({key}, {self.changes}).", stars, reply)

    def _write(self, at: datetime, *, dated: bool = True, late: bool = False) -> None:
        while len(self.items) >= self.most:
            del self.items[min(self.items.values(), key=lambda item: (item.at, item.tie)).key]
        key, number = str(1001 + len(self.ever)), self.changes
        states = [self._state(key)]
        item = Item(key, at, at, self.clock, number, number, states, dated=dated, late=late)
        self.items[key] = self.ever[key] = item

    def _touch(self, what: What, item: Item) -> None:
        if what is What.REPLY:
            item.states.append(item.now._replace(reply=f"resposta {self.changes}"))
        else:
            item.states.append(self._state(item.key, item.now))
        item.changed, item.serial = self.clock, self.changes
        if self.bumps and what is not What.REPLY:
            item.at, item.tie = self.clock, self.changes


def crc(text: str) -> int:
    """A number that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


class Kind(NamedTuple):
    """Some sources of one kind: their shape, their table in ouvidor.toml, and how they live."""

    letter: str
    count: int
    shape: str
    options: Mapping[str, Any]
    carries: tuple[What, ...]
    size: int = 50
    reach: int = 10
    perday: float = 0.35


_NEW, _EDIT, _REPLY, _SHUFFLE = What.NEW, What.EDIT, What.REPLY, What.SHUFFLE
_APP = {"kind": "app_store", "app": "900000001", "country": "br"}
_SECRET = {"env": "OUVIDOR_YEAR"}
_OWN: dict[str, Any] = {"client_id": _SECRET, "client_secret": _SECRET}
_FILE = {"kind": "file", "columns": dict(SHAPES["file"].options["columns"])}
KINDS = (
    Kind("a", 2, "app_store", _APP, (_NEW, _NEW, _EDIT)),
    # Shows nine reviews and gets more than that while the machine sleeps.
    Kind("b", 1, "app_store", _APP | {"max_pages": 3}, (_NEW,), size=3, reach=3, perday=1.2),
    Kind(
        "g",
        1,
        "google_business, the whole list",
        {
            "kind": "google_business",
            "account": "1",
            "locations": ["7"],
            "refresh_token": {"env": "OUVIDOR_YEAR"},
            "token_url": "{url}/token",
            **_OWN,
        },
        (_NEW, _NEW, _EDIT, _REPLY),
    ),
    Kind(
        "p",
        2,
        "google_play, a week by token",
        {
            "kind": "google_play",
            "package": "com.example.app",
            "key": {"env": "OUVIDOR_YEAR_ACCOUNT"},
            "token_url": "{url}/token",
        },
        (_NEW, _NEW, _EDIT),
    ),
    Kind(
        "r",
        1,
        "reclame_aqui, changes with an overlap",
        {"kind": "reclame_aqui", **_OWN},
        (_NEW, _NEW, _EDIT, _REPLY),
    ),
    Kind(
        "c",
        1,
        "cfpb, behind the last",
        {"kind": "cfpb", "company": "EXAMPLE BANK"},
        (_NEW, _NEW, _EDIT, _REPLY),
    ),
    Kind(
        "f",
        20,
        "file",
        _FILE | {"path": "{name}.csv", "feedback_kind": "review"},
        (_NEW, _NEW, _NEW, _EDIT, _REPLY, _SHUFFLE),
    ),
    Kind(
        "j",
        12,
        "file",
        _FILE | {"path": "{name}.jsonl", "feedback_kind": "survey"},
        (_NEW, _NEW, _NEW, _EDIT, _REPLY),
    ),
)
_WEB = {"base_url": "{url}", "retries": 0, "backoff": 0, "delay": 0, "timeout": 20}


class Fault(NamedTuple):
    """From one day of the year to another these sources answer like this.

    ``503``, ``429`` (with Retry-After), ``layout`` (what comes is not what came before) or
    ``gone`` (a file that is not there).
    """

    names: tuple[str, ...]
    since: float
    until: float
    how: str


class Strike(NamedTuple):
    """What befalls the first run of a duty from a day on.

    ``disk full``: its second transaction finds no room. ``killed``: its process dies by SIGKILL
    (``point`` and ``count`` as ``killed_child`` takes them). ``house died before`` and
    ``house died after`` its work: who had claimed it is never heard of again. ``real``: no fault,
    but a process of its own.
    """

    duty: str
    day: float
    how: str
    point: str = "commit:after"
    count: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens to the house; days count from its beginning. ``hush``: people stop writing."""

    days: float
    hush: float
    faults: Sequence[Fault] = ()
    strikes: Sequence[Strike] = ()
    sleeps: Sequence[tuple[float, float]] = ()
    backs: Sequence[float] = ()
    """When the clock is set back by an hour."""
    mute: Sequence[tuple[float, float]] = ()
    """When no mail server answers."""
    grey: Sequence[tuple[float, float]] = ()
    """When the mail server asks everybody to come again later, once."""
    incidents: Sequence[tuple[float, float]] = ()

    @property
    def end(self) -> datetime:
        return BEGIN + timedelta(days=self.days)

    def fault(self, name: str, now: datetime) -> str:
        """What is wrong with a source now, or nothing."""
        found = (each.how for each in self.faults if name in each.names and within(each[1:3], now))
        return next(found, "")


def within(span: tuple[float, float], now: datetime) -> bool:
    """Whether a moment lies between two days of the year."""
    since, until = span
    return BEGIN + timedelta(days=since) <= now < BEGIN + timedelta(days=until)


@dataclass
class Life:
    """One source and its truth."""

    name: str
    kind: Kind
    folder: Path
    plan: Plan
    draw: random.Random = field(init=False)
    world: Place = field(init=False)
    following: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(f"year {self.name}")  # noqa: S311 - a repeatable story
        self.world = Place(bumps=self.shape.bumps, clock=BEGIN - 2 * DAY)
        self.world.begin(4)
        self.following = self.world.clock
        self._next()

    @property
    def shape(self) -> Shape:
        return SHAPES[self.kind.shape]

    def _next(self) -> None:
        pause = self.draw.expovariate(self.kind.perday) * 24 * 3600
        self.following += timedelta(seconds=max(1, int(pause)))

    def advance(self, now: datetime) -> None:
        """Everything that people do up to a moment."""
        world, hush = self.world, BEGIN + timedelta(days=self.plan.hush)
        while self.following < min(now, hush):
            world.clock = self.following
            world.sad = any(within(each, world.clock) for each in self.plan.incidents)
            what = What.NEW if world.sad else self.draw.choice(self.kind.carries)
            newest = max(0, len(world.items) - 1 - self.draw.randint(0, 6))
            world.happen(Event(what, newest, 0))
            self._next()
            if world.sad:  # everybody complains
                self.following -= (self.following - world.clock) * 0.8
        world.clock = max(world.clock, now)

    def shown(self, now: datetime) -> list[Item]:
        """What the source shows now."""
        items = self.world.newest_first()
        if self.shape.cap:
            items = items[: self.kind.size * self.kind.reach]
        if self.shape.window:
            items = [item for item in items if item.at >= now - self.shape.window]
        return items

    def answer(self, path: str) -> bytes | None:
        """What it answers on the web."""
        asked = f"ask={quote(path.rpartition('/')[2], safe='')}"
        name = path if self.kind.letter in "ab" else asked
        return self.shape.answer(self.world, name, self.kind.size, self.kind.reach)

    def export(self, fault: str) -> None:
        """The file as it is now."""
        if self.shape.web or self.kind.letter not in "fj":
            return
        suffix = "csv" if self.kind.letter == "f" else "jsonl"
        path = self.folder / f"{self.name}.{suffix}"
        body = self.answer("") if suffix == "csv" else self._lines()
        if fault == "gone":
            path.unlink(missing_ok=True)
            return
        body = b"<html>\n" if fault else body or b""
        if not path.exists() or path.read_bytes() != body:
            path.write_bytes(body)

    def _lines(self) -> bytes:
        rows = [
            {
                "id": item.key,
                "text": item.now.text,
                "stars": item.now.stars,
                "born": item.born.isoformat(),
                "edited": item.changed.isoformat(),
                "reply": item.now.reply or "",
            }
            for item in self.world.any_order()
        ]
        return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def lives(folder: Path, plan: Plan) -> dict[str, Life]:
    """All forty, by name."""
    return {
        f"{kind.letter}{n:02}": Life(f"{kind.letter}{n:02}", kind, folder, plan)
        for kind in KINDS
        for n in range(kind.count)
    }


def source_table(life: Life, url: str) -> str:
    """The source as it stands in ouvidor.toml."""
    options = dict(life.kind.options) | ({} if "path" in life.kind.options else _WEB)
    lines = [f"[sources.{life.name}]"]
    for key, value in options.items():
        text = _toml(value).replace("{name}", life.name).replace("{url}", f"{url}/{life.name}")
        lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def secrets() -> dict[str, str]:
    """What the sources' APIs ask for, as environment."""
    account = json.dumps(keys().service_account("https://host.example"))
    return {"OUVIDOR_YEAR": "x", "OUVIDOR_YEAR_ACCOUNT": account}


class Host:
    """The web server of all sources: what is asked for under a source's name is its own."""

    def __init__(self, fault: Callable[[str], str]) -> None:
        self.lives: Mapping[str, Life] = {}
        self.fault = fault
        self.asked: Counter[str] = Counter()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet, or each answer waits 40 ms

            def do_GET(self) -> None:
                host.answer(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                told = {"access_token": "t", "token_type": "Bearer", "expires_in": 3600}
                host.send(self, 200, json.dumps(told).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        _, name, path = request.path.split("/", 2) if "/" in request.path[1:] else ("", "", "")
        if name not in self.lives:
            self.send(request, 404, b"not found")
            return
        self.asked[name] += 1
        fault = self.fault(name)
        if fault.isdigit():
            wait = {"Retry-After": "600"} if fault == "429" else {}
            self.send(request, int(fault), b"later", **wait)
            return
        body = b'{"changed": true}' if fault else self.lives[name].answer(path) or b""
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        same = request.headers.get("If-None-Match") == etag
        self.send(request, 304 if same else 200, b"" if same else body, ETag=etag)

    def send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str
    ) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
