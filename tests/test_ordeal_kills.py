"""Killed anywhere: after SIGKILL and a second try, everything is as if nothing had happened.

Real processes, real HTTP, real SMTP, both databases. One round: bring the house to the verb, kill
the verb at a point, run it again, and compare the whole database with that of an undisturbed run.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from ouvidor.demo.configuration import configuration
from ouvidor.demo.server import StandIn
from ouvidor.storage.database import open_database

CHILD = Path(__file__).parent / "killed_child.py"
BEFORE = datetime.fromisoformat("2026-10-11T21:00:00-03:00")
DURING = datetime.fromisoformat("2026-10-19T09:00:00-03:00")
KILLED = -signal.SIGKILL

MAIL = """
[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "ouvidor@brand.example"
"""


@dataclass
class Postman:
    """A mail server's other end: what arrived, by Message-ID."""

    arrived: Counter[str] = field(default_factory=Counter)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        mail = message_from_bytes(envelope.content)
        self.arrived[f"{mail['Message-ID']} {mail['To']}"] += 1
        return "250 taken"


@dataclass
class World:
    """A stand-in brand, a mail server, and an installation that can be put back to a stage."""

    folder: Path
    brand: StandIn
    postman: Postman
    url: str
    environment: dict[str, str]
    stages: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "ouvidor.toml"

    def words(self, verb: str) -> list[str]:
        return [*verb.split(), "--config", str(self.file), "--now", self.brand.now.isoformat()]

    def run(self, verb: str, point: str = "", count: int = 1) -> int:
        start = [str(CHILD), point, str(count)] if point else ["-m", "ouvidor"]
        child = subprocess.run(
            [sys.executable, *start, *self.words(verb)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode in {0, KILLED}, child.stderr
        return child.returncode

    def run_and_kill_after(self, verb: str, seconds: float) -> int:
        with subprocess.Popen(
            [sys.executable, "-m", "ouvidor", *self.words(verb)],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child:
            time.sleep(seconds)
            child.kill()
            return child.wait()

    # --- stages: copies of the database -----------------------------------------------------

    def keep(self, stage: str) -> None:
        url = make_url(self.url)
        if url.get_backend_name() == "sqlite":
            with (
                closing(sqlite3.connect(str(url.database))) as live,
                closing(sqlite3.connect(self.folder / f"{stage}.db")) as copy,
            ):
                live.backup(copy)
            return
        self._copy(str(url.database), f"{url.database}_{stage}")

    def back_to(self, stage: str) -> None:
        url = make_url(self.url)
        if url.get_backend_name() == "sqlite":
            path = Path(str(url.database))
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            path.write_bytes((self.folder / f"{stage}.db").read_bytes())
            return
        self._copy(f"{url.database}_{stage}", str(url.database))

    def _copy(self, source: str, target: str) -> None:
        url = make_url(self.url).set(drivername="postgresql+psycopg", database="postgres")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {target} TEMPLATE {source}"))
        engine.dispose()

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that must be equal, whatever died on the way."""
        db = open_database(self.url)
        with db.read() as connection:
            found = {
                name: sorted(tuple(map(_shown, row)) for row in connection.execute(text(query)))
                for name, query in STATE.items()
            }
        db.close()
        return found


def _shown(value: Any) -> str:
    """PostgreSQL gives a number away even when the transaction that took it never commits."""
    return re.sub(r"^alert:\d+:", "alert:N:", str(value))


NAMED = "FROM feedback f JOIN source s ON s.id = f.source_id"
STATE = {
    "feedback": "SELECT s.name, f.external_id, f.title, f.text, f.stars, f.day, f.content_hash, "
    f"f.author, f.reply_text, f.settled, f.pending, f.claimed_by {NAMED}",
    "payload": f"SELECT s.name, f.external_id, p.content_hash {NAMED} "
    "JOIN payload p ON p.feedback_id = f.id",
    "revision": f"SELECT s.name, f.external_id, r.content_hash, r.text {NAMED} "
    "JOIN revision r ON r.feedback_id = f.id",
    "annotation": "SELECT s.name, f.external_id, a.sentiment, a.tagger, a.uncertain, "
    f"a.content_hash {NAMED} JOIN annotation a ON a.feedback_id = f.id",
    "aspect": "SELECT s.name, f.external_id, a.topic, a.touchpoint, a.sentiment, a.span_start "
    f"{NAMED} JOIN aspect a ON a.feedback_id = f.id",
    # No checkpoint: a run that had closed before the kill is a second run when it is asked again,
    # and its bookmark may well stand on another page.
    "coverage": "SELECT s.name, c.day, c.since, c.until, c.whole FROM coverage c JOIN source s "
    "ON s.id = c.source_id",
    "open runs": "SELECT source_id FROM run WHERE finished_at IS NULL",
    "series": "SELECT s.name, x.day, x.touchpoint, x.negatives, x.mentions, x.total "
    "FROM series x JOIN source s ON s.id = x.source_id",
    "alert": "SELECT touchpoint, source, state, severity, shadow, first_day, last_day, observed "
    "FROM alert",
    "alert_event": "SELECT a.touchpoint, a.source, e.what FROM alert_event e JOIN alert a "
    "ON a.id = e.alert_id",
    "digest": "SELECT subscriber, week, skipped FROM digest",
    "message": "SELECT key, channel, recipient, subject, state, claimed_by FROM message",
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    url = f"sqlite:///{folder / 'ouvidor.db'}"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        url = server.replace("/postgres?", "/ouvidor?").replace("+psycopg", "")
        engine = create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE ouvidor"))
        engine.dispose()
    postman = Postman()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(postman, hostname="127.0.0.1", port=port)
    controller.start()
    with StandIn(BEFORE) as brand:
        settings = configuration(brand.url, folder, apis=False) + MAIL.format(port=port)
        (folder / "ouvidor.toml").write_text(settings, encoding="utf-8")
        environment = os.environ | {"OUVIDOR_DATABASE_URL": url}
        built = World(folder, brand, postman, url, environment)
        _build_stages(built)
        yield built
    controller.stop()


# Each verb, and the stage it starts from.
STEPS = ("collect app-br", "annotate", "watch", "digest", "deliver")


def _build_stages(world: World) -> None:
    """An undisturbed life once, its database kept before and after every step."""
    for verb in ("collect", "annotate", "watch"):
        world.run(verb)
    world.brand.now = DURING
    for verb in STEPS:
        name = verb.split()[0]
        world.keep(f"before_{name}")
        world.run(verb)
        world.stages[name] = world.state()
        if name == "collect":
            for other in ("app-mx", "app-us", "pesquisa", "reclamacoes", "lojas"):
                world.run(f"collect {other}")
    world.stages["mails"] = dict(world.postman.arrived)


def disturbed(world: World, verb: str) -> dict[str, list[tuple[Any, ...]]]:
    assert world.run(verb) == 0
    return world.state()


NAMED_POINTS = [
    ("collect app-br", "commit:after", 2),  # the run is open, nothing is stored
    ("collect app-br", "commit:before", 3),  # in the middle of the first page
    ("collect app-br", "commit:after", 3),  # the first page is stored
    ("annotate", "commit:after", 1),  # claimed, not tagged
    ("annotate", "commit:before", 2),  # tagged, not saved
    ("watch", "commit:before", 2),  # the finding is not yet an alert
    ("watch", "commit:after", 2),
    ("digest", "commit:before", 1),  # the mail is built, not put
    ("deliver", "commit:after", 1),  # leased, not sent
    ("deliver", "sent:after", 1),  # sent, not marked
]


@pytest.mark.ordeal
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("verb", "point", "count"), NAMED_POINTS)
def test_killed_at_a_named_point(world: World, verb: str, point: str, count: int) -> None:
    name = verb.split(maxsplit=1)[0]
    world.back_to(f"before_{name}")
    world.postman.arrived.clear()

    assert world.run(verb, point, count) == KILLED
    assert disturbed(world, verb) == world.stages[name]
    if name == "deliver":
        _each_mail_once(world, twice=1 if point == "sent:after" else 0)


def _each_mail_once(world: World, *, twice: int) -> None:
    """Every mail arrived; one may have come twice with its Message-ID, where SMTP cannot know."""
    assert set(world.postman.arrived) == set(world.stages["mails"])
    assert sum(world.postman.arrived.values()) <= len(world.stages["mails"]) + twice


RANDOM_ROUNDS = 20
"""Per database: with the named points 60 rounds on both."""


@pytest.mark.ordeal
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(RANDOM_ROUNDS))
def test_killed_at_a_random_moment(world: World, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret hangs on it
    verb = STEPS[seed % len(STEPS)]
    name = verb.split()[0]
    world.back_to(f"before_{name}")
    world.postman.arrived.clear()

    world.run_and_kill_after(verb, chance.uniform(0.3, 4.0))
    assert disturbed(world, verb) == world.stages[name]
    if name == "deliver":
        _each_mail_once(world, twice=1)
