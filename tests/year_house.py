"""The house of the simulated year: the real timetable on a clock of its own.

What is due, what is claimed and what is made up for is decided by the scheduler's own code, and
what its children do is done by the verbs' own code. Only who runs them is another: a verb works in
this process, one after the other, where a start of its own would cost a second each; those that a
plan kills or names are real processes.
"""

from __future__ import annotations

import gc
import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from aiosmtpd.controller import Controller
from sqlalchemy import Connection, event, func, select
from sqlalchemy.exc import OperationalError
from year_world import BEGIN, HOUR, Host, Life, Plan, Strike, lives, said, source_table, within

from ouvidor import console
from ouvidor.children import Children, Ended
from ouvidor.cli import app
from ouvidor.house import House, categories, journey, model
from ouvidor.nlp.categories import categories_version
from ouvidor.nlp.heads import Heads
from ouvidor.nlp.touchpoints import journey_version
from ouvidor.scheduler import Timetable
from ouvidor.storage import tables as t
from ouvidor.storage import upkeep
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.vocabulary import (
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Sentiment,
    Untagged,
)

CHILD = Path(__file__).parent / "killed_child.py"
ZONES = (
    "America/Sao_Paulo",
    "America/New_York",
    "Europe/Lisbon",
    "Asia/Tokyo",
    "Australia/Sydney",
)
READERS = 50
SENDER = "ouvidor@brand.example"
SECOND = timedelta(seconds=1)

CRON_NIGHT, CRON_DAY, CRON_WEEK = "30 0 * * sun,wed", "0 6 * * mon,thu", "0 6 * * mon"
EVERY = 72
"""The rhythms in hours, or as cron: half past midnight is an hour that the brand's zone skips."""

HEAD = """
[brand]
name = "Casa do Ano"
time_zone = "America/Sao_Paulo"

[database]
url = "{url}"

[schedule]
collect_every_hours = {every}
jitter_minutes = 0

[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "{sender}"
timeout = 20

[operator]
address = "operador@brand.example"

[touchpoints.entrega]
name = "Entrega"
stage = "after"
topics = ["delivery"]
owner = "entrega@brand.example"

[touchpoints.app]
name = "Aplicativo"
stage = "before"
topics = ["app_stability"]
"""


def rhythm_of(name: str) -> str:
    """A source's line of cron, or nothing where it is read every so many hours."""
    if name == "g00":
        return ""
    if name in {"f00", "f01", "p01"}:
        return CRON_NIGHT
    often = name in {"a00", "b00", "p00", "f02", "f03"}
    return CRON_DAY if often else CRON_WEEK


def reader(number: int) -> dict[str, Any]:
    """A subscriber's table: ten in each zone, some of them told of a part only."""
    zone = ZONES[number % len(ZONES)]
    table: dict[str, Any] = {
        "address": f"leitor{number:02}@brand.example",
        "time_zone": zone,
        "locale": {"America/New_York": "en", "Europe/Lisbon": "es"}.get(zone, "pt-BR"),
        "alerts": False,
        "when_nothing": "tell",
    }
    if zone == "America/New_York":
        # An hour that this zone skips once a year.
        table |= {"digest_day": "sunday", "digest_hour": 2}
    if number == 10:
        table["touchpoints"] = ["entrega"]
    return table


def configuration(url: str, port: int, host: str, all_lives: Mapping[str, Life]) -> str:
    """The text of ouvidor.toml."""
    parts = [HEAD.format(url=url, every=EVERY, port=port, sender=SENDER)]
    for name, life in all_lives.items():
        cron = rhythm_of(name)
        parts.append(source_table(life, host) + (f'cron = "{cron}"\n' if cron else ""))
    for number in range(READERS):
        rows = [f"{key} = {json.dumps(value)}" for key, value in reader(number).items()]
        parts.append("\n".join([f"[subscribers.r{number:02}]", *rows, ""]))
    return "\n".join(parts)


@dataclass
class Postman:
    """The mail server's other end: what arrived, by Message-ID and reader."""

    arrived: Counter[tuple[str, str]] = field(default_factory=Counter)
    grey: bool = False
    known: set[str] = field(default_factory=set)
    asked_again: int = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self.grey and address not in self.known:
            self.known.add(address)
            self.asked_again += 1
            return "451 4.7.1 come again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - same
        head = envelope.content.partition(b"\r\n\r\n")[0]
        mail = message_from_bytes(head, policy=default)
        self.arrived[str(mail["Message-ID"]), str(mail["To"])] += 1
        return "250 taken"


class PostOffice:
    """A mail server that can be away; its port stays the same."""

    def __init__(self) -> None:
        self.postman = Postman()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._controller: Controller | None = None

    def _open(self) -> Controller:
        controller = Controller(
            self.postman, hostname="127.0.0.1", port=self.port, ready_timeout=20
        )
        controller.start()
        return controller

    def be(self, *, here: bool, grey: bool) -> None:
        if grey and not self.postman.grey:
            self.postman.known.clear()
        self.postman.grey = grey
        if here and self._controller is None:
            self._controller = self._open()
        if not here and self._controller is not None:
            self._controller.stop()
            self._controller = None

    def close(self) -> None:
        self.be(here=False, grey=False)


class Reader:
    """The tagger's protocol without its weight: it knows the few sentences of this world.

    It bears the version of the shipped one, so that the house takes its word.
    """

    def __init__(self, house: House) -> None:
        named, chosen = journey(house.config), categories_version(categories(house.config))
        heads = Heads.load(model(house.config))
        self.version = f"{heads.version}+{journey_version(named)}{chosen}"

    def tag(self, items: Sequence[Untagged]) -> list[Annotation]:
        return [self._one(item) for item in items]

    def _one(self, item: Untagged) -> Annotation:
        _, touchpoint, stars = said(item.text)
        mood = Sentiment.NEGATIVE if stars < 3 else Sentiment.POSITIVE
        p = Distribution.certain(mood if stars != 3 else Sentiment.NEUTRAL)
        return Annotation(
            tagger=self.version,
            basis=Basis.TEXT,
            language="pt",
            p=p,
            stars=float(stars),
            uncertain=False,
            aspects=(Aspect(touchpoint=touchpoint, p=p),) if touchpoint else (),
        )

    def vectors(self, phrases: Sequence[str]) -> tuple[Any, Any]:
        seeds = [zlib.crc32(phrase.encode()) for phrase in phrases]
        rows = [np.random.default_rng(seed).standard_normal(16) for seed in seeds]
        found = np.array(rows, dtype=np.float32).reshape(len(rows), 16)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
        return found, found


class DiedError(Exception):
    """The house died here, and whoever had claimed something is never heard of again."""


class Brittle(Database):
    """A database whose disk is full at the transaction that it is told."""

    full_at: ClassVar[int] = 0

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            Brittle.full_at -= 1
            if Brittle.full_at == 0:
                full = sqlite3.OperationalError("database or disk is full")
                raise OperationalError("COMMIT", {}, full)


class InLine:
    """Stands where the threads stand: what is handed to it is done at once."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, work: Any, *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments))
        except DiedError:
            raise
        except Exception as error:  # noqa: BLE001 - it is told by the future
            done.set_exception(error)
        return done

    def shutdown(self, *_: object, **__: object) -> None:
        pass


class Household(Children):
    """The children of the timetable, done in this process unless the plan wants a real one."""

    def __init__(self, year: Year) -> None:
        super().__init__()
        self.year = year

    def run(self, arguments: Sequence[str], *, limit: timedelta) -> Ended:
        words = list(arguments)[2:]  # without --config FILE
        duty = f"collect:{words[1]}" if words[0] == "collect" else words[0]
        return self.year.work(
            duty, words, list(arguments), lambda: super(Household, self).run(arguments, limit=limit)
        )


@dataclass
class Tick:
    """One look at the clock: when, and whose duty the house died at."""

    at: datetime
    died: str = ""


@dataclass(frozen=True)
class Quarter:
    """The house after a quarter: new feedback since the last, growth in bytes, memory in MiB."""

    feedback: int
    grown: int
    memory: float


class Year:
    """A house, its world, and the days as they pass."""

    def __init__(self, url: str, folder: Path, plan: Plan) -> None:
        self.plan, self.folder, self.url = plan, folder, url
        self.now = BEGIN
        self.lives = lives(folder, plan)
        self.host = Host(lambda name: plan.fault(name, self.now))
        self.host.lives = self.lives
        self.post = PostOffice()
        self.ticks: list[Tick] = []
        self.done: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.struck: list[tuple[Strike, datetime]] = []
        self.by_hand: list[tuple[str, datetime]] = []
        self.quarters: list[Quarter] = []
        self.to_come = sorted(plan.strikes, key=lambda strike: strike.day)
        self._backs = sorted(plan.backs)
        self.file = folder / "ouvidor.toml"
        self.file.write_text(
            configuration(url, self.post.port, self.host.url, self.lives), encoding="utf-8"
        )
        for life in self.lives.values():
            life.advance(BEGIN)
            life.export("")
        self.house = House()
        self.house.file = self.file
        self.db = self._opened()
        self.house.__dict__["db"] = self.db
        self.house.__dict__["tagger"] = Reader(self.house)
        self._full_watch: datetime | None = None

    def _opened(self) -> Brittle:
        database = Brittle(open_database(self.url).engine)
        if database.embedded:  # nobody pulls the plug here

            def in_no_hurry(connection: sqlite3.Connection, _record: object) -> None:
                connection.execute("PRAGMA synchronous = OFF")

            event.listen(database.engine, "connect", in_no_hurry)
            database.engine.dispose()
        return database

    def close(self) -> None:
        self.db.close()
        self.host.close()
        self.post.close()

    # --- what a duty does -----------------------------------------------------------------------

    def work(self, duty: str, words: list[str], arguments: list[str], real: Any) -> Ended:
        """A child's work, and whatever the plan has in store for it."""
        self.done[duty.partition(":")[0]] += 1
        name = duty.removeprefix("collect:") if duty.startswith("collect:") else ""
        if name:
            self.look(name)
        strike = self._strike(duty)
        if strike is None:
            return self.verb(words)
        if strike.how == "real":
            return real()
        self.seen[strike.how] += 1
        if strike.how == "house died before":
            raise DiedError(duty)
        if strike.how == "killed":
            return self._killed(strike, arguments)
        if strike.how == "disk full":
            Brittle.full_at = strike.count
        ended = self.verb(words)
        if strike.how == "house died after":
            raise DiedError(duty)
        return ended

    def look(self, name: str) -> None:
        """Let people write until now, and the source show it."""
        fault, life = self.plan.fault(name, self.now), self.lives[name]
        life.advance(self.now)
        life.export(fault)
        self.seen[f"source {fault}"] += bool(fault)

    def _strike(self, duty: str) -> Strike | None:
        for each in self.to_come:
            if each.duty == duty and BEGIN + timedelta(days=each.day) <= self.now:
                self.to_come.remove(each)
                self.struck.append((each, self.now))
                return each
        return None

    def verb(self, words: Sequence[str]) -> Ended:
        """A verb of the command line, in this process."""
        if words[0] == "watch" and not self._watches():
            return Ended(code=0, stdout="{}", stderr="")
        command = app.get_command(None, words[0])  # type: ignore[arg-type] # it asks for none
        assert command is not None
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                code = command.main(args=list(words[1:]), obj=self.house, standalone_mode=False)
            except Exception as error:  # noqa: BLE001 - as the command line does
                return Ended(code=1, stdout=out.getvalue(), stderr=console.explain(error))
        return Ended(code=code or 0, stdout=out.getvalue(), stderr=err.getvalue())

    def _watches(self) -> bool:
        """Every second week, and every day of an incident: a watch reads the whole past."""
        often = any(within((since, until + 3), self.now) for since, until in self.plan.incidents)
        pause = timedelta(days=1 if often else 14)
        if self._full_watch and self.now - self._full_watch < pause:
            return False
        self._full_watch = self.now
        return True

    def _killed(self, strike: Strike, arguments: list[str]) -> Ended:
        command = [sys.executable, str(CHILD), strike.point, str(strike.count), *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode < 0, (strike, found.stdout, found.stderr)
        return Ended(code=found.returncode, stdout=found.stdout, stderr=found.stderr)

    # --- the clock ------------------------------------------------------------------------------

    def live(self, monthly: Any) -> None:
        """From the first tick to the last; ``monthly`` is called every thirty days."""
        months = quarters = 0
        self._born()
        while self.now < self.plan.end:
            self._tick()
            if self.now >= BEGIN + timedelta(days=30 * (months + 1)) and self._calm():
                months += 1
                monthly()
            if self.now >= BEGIN + timedelta(days=self.plan.days / 4 * (quarters + 1) - 3):
                quarters += 1
                self._measure()
            self._pass()
        while len(self.quarters) < 4:
            self._measure()

    def _born(self) -> None:
        """A house that starts: its duties are made known, those that are keep their dates."""
        self._timetable().announce()

    def _timetable(self) -> Timetable:
        return Timetable(
            self.house.config,
            self.db,
            Household(self),
            file=self.file,
            moment=self.now,
            tell=lambda did: self.seen.update({"well" if did.well else "not well": 1}),
        )

    def _tick(self) -> None:
        tick = Tick(self.now)
        self.ticks.append(tick)
        away = any(within(each, self.now) for each in self.plan.mute)
        grey = any(within(each, self.now) for each in self.plan.grey)
        self.post.be(here=not away, grey=grey)
        table = self._timetable()
        try:
            table.collect()
            table.work()
        except DiedError as error:
            tick.died = str(error)
            self._born()

    def _pass(self) -> None:
        """To the next moment at which a clock that ticks all the time finds anything to do."""
        if self._backs and self.now >= BEGIN + timedelta(days=self._backs[0]):
            self._backs.pop(0)
            self.seen["clock back"] += 1
            self.now -= HOUR
            self._by_hand()
            return
        wake = max(self._wake(), self.now + SECOND)
        if self.ticks[-1].died:
            wake = self.now + timedelta(minutes=1)
        wake += timedelta(seconds=len(self.ticks) % 15)
        for since, until in self.plan.sleeps:
            if within((since, until), wake):
                self.seen["sleep"] += 1
                wake = BEGIN + timedelta(days=until)
        self.now = wake

    def _by_hand(self) -> None:
        """In the hour that comes twice somebody reads some sources by hand, too."""
        for name in ("a01", "p01", "r00", "f01"):
            self.now += 7 * SECOND
            self.look(name)
            self.by_hand.append((name, self.now))
            self.verb(["collect", name, "--json", "--now", self.now.isoformat()])

    def _wake(self) -> datetime:
        held = t.due.c.claimed_until
        slots = t.due.c.name.like("collect:%") | t.due.c.name.like("digest:%")
        waits = select(func.min(t.message.c.due_at)).where(t.message.c.state == "waiting")
        deliver = select(t.due.c.due_at).where(t.due.c.name == "deliver")
        with self.db.read() as connection:
            rows = connection.execute(select(t.due.c.due_at, held).where(slots)).all()
            waiting = connection.execute(waits).scalar()
            posted = connection.execute(deliver).scalar()
        wakes = [
            max(row.due_at, row.claimed_until + SECOND) if row.claimed_until else row.due_at
            for row in rows
        ]
        if waiting:
            wakes.append(max(waiting, posted or waiting, self.now + HOUR))
        return min(wakes)

    def _calm(self) -> bool:
        """No fault is on, and none was within the hours that its repair takes."""
        since, dead = self.now - 3 * HOUR, self.now - 13 * HOUR
        faults = [(each.since, each.until) for each in self.plan.faults]
        spans = [*faults, *self.plan.mute, *self.plan.grey]
        recent = any(tick.died for tick in self.ticks if tick.at > dead)
        struck = any(at > since for _, at in self.struck)
        return not (recent or struck or any(within(s, self.now) for s in spans))

    def _measure(self) -> None:
        gc.collect()
        with self.db.read() as connection:
            feedback = connection.execute(select(func.count()).select_from(t.feedback)).scalar_one()
        before = [sum(each.feedback for each in self.quarters), sum(q.grown for q in self.quarters)]
        size = upkeep.size(self.db)
        self.quarters.append(Quarter(feedback - before[0], size - before[1], memory()))


def memory() -> float:
    """What this process holds, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
