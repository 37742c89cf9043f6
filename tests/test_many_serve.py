"""Several `serve` on one PostgreSQL: nothing twice, and nothing left behind by a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database

pytestmark = [
    pytest.mark.ordeal,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
]

NOW = datetime.fromisoformat("2026-10-12T09:00-03:00")
SERVES, ROUNDS = 3, 2
SOURCES = ("pesquisa.csv", "reclamacoes.jsonl", "lojas.tsv")
NAMES = [name.partition(".")[0] for name in SOURCES]
QUICK = """
import sys
from datetime import timedelta
from ouvidor import scheduler
from ouvidor.cli import main
scheduler.TICK = timedelta(seconds=1)
sys.exit(main(["serve"]))
"""


def configuration(url: str) -> str:
    tables = [
        f'[sources.{NAMES[number]}]\nkind = "file"\npath = "files/{name}"\n'
        f'base_url = "{url}"\ntimeout = 240\nretries = 0\nevery_hours = 100\n'
        f'[sources.{NAMES[number]}.columns]\ntext = "nothing_like_it"\n'
        for number, name in enumerate(SOURCES)
    ]
    # Nothing of it can be read, so that no model is loaded: what counts is who asked how often.
    return '[brand]\nname = "Loja"\n' + "".join(tables)


class Serving:
    """One `serve`, whose lines are gathered beside it."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[dict[str, object]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", QUICK], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.append(json.loads(line))

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(60)
        self._reader.join(60)
        if self.process.stderr:
            self.process.stderr.close()


@contextmanager
def serving(folder: Path, count: int) -> Iterator[list[Serving]]:
    with ExitStack() as stack:
        found = [Serving(folder) for _ in range(count)]
        for each in found:
            stack.callback(each.end, signal.SIGKILL)
        yield found


@pytest.fixture
def db(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("OUVIDOR_DATABASE_URL", database_url)
    monkeypatch.setenv("OUVIDOR_KEY", "a key of thirty-two bytes, really")
    monkeypatch.chdir(tmp_path)
    database = open_database(database_url)
    yield database
    database.close()


def until(what: str, found: object, seconds: float = 120) -> None:
    """Wait for something to be so; whatever never comes fails."""
    end = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.1)


def runs(db: Database) -> Counter[str]:
    query = (
        select(t.source.c.name, func.count())
        .join_from(t.run, t.source)
        .where(t.run.c.finished_at.is_not(None))
        .group_by(t.source.c.name)
    )
    with db.read() as connection:
        return Counter(dict(connection.execute(query).all()))


def claims(db: Database, like: str) -> list[str]:
    query = select(t.due.c.claimed_by).where(
        t.due.c.name.like(like), t.due.c.claimed_by.is_not(None)
    )
    with db.read() as connection:
        return list(connection.execute(query).scalars())


def test_what_is_due_is_done_once_by_any_of_them(db: Database, tmp_path: Path) -> None:
    with StandIn(NOW) as brand:
        (tmp_path / "ouvidor.toml").write_text(configuration(brand.url))
        with serving(tmp_path, SERVES) as several:
            for rounds in range(1, ROUNDS + 1):
                once = dict.fromkeys(NAMES, rounds)
                until("each is read", lambda once=once: runs(db) == once)
                until("none is claimed", lambda: not claims(db, "collect:%"))
                time.sleep(3)  # some ticks of each, in which nothing is due
                assert runs(db) == once
                if rounds < ROUNDS:
                    with db.write() as connection:
                        past = {"due_at": datetime(2026, 1, 1, tzinfo=UTC)}
                        query = update(t.due).where(t.due.c.name.like("collect:%"))
                        connection.execute(query.values(past))
            for each in several:
                each.end()
        assert [brand.requests[f"/files/{name}"] for name in SOURCES] == [ROUNDS] * len(SOURCES)
    told = Counter(
        line["source"] for each in several for line in each.lines if line["event"] == "collect"
    )
    assert told == dict.fromkeys(NAMES, ROUNDS)
    assert claims(db, "%") == []


def test_what_a_killed_one_held_is_taken_by_another(db: Database, tmp_path: Path) -> None:
    with StandIn(NOW) as brand:
        (tmp_path / "ouvidor.toml").write_text(configuration(brand.url))
        brand.faults["/files/lojas.tsv"] = Fault(delay=3600)
        with serving(tmp_path, 1) as [first]:
            until("it hangs", lambda: brand.requests["/files/lojas.tsv"] == 1)
            [holder] = claims(db, "collect:lojas")
            with serving(tmp_path, 1) as [second]:
                until("it works", lambda: any(x["event"] == "began" for x in second.lines))
                time.sleep(3)  # some ticks
                assert claims(db, "collect:lojas") == [holder]
                first.end(signal.SIGKILL)
                # Its claim is free at once on this host, and its child went with it.
                until("it is taken", lambda: brand.requests["/files/lojas.tsv"] == 2)
                [follower] = claims(db, "collect:lojas")
                assert follower != holder
                second.end()
    assert claims(db, "%") == []


def test_what_another_host_held_when_it_died_is_taken_when_its_lease_ends(
    db: Database, tmp_path: Path
) -> None:
    with StandIn(NOW) as brand:
        (tmp_path / "ouvidor.toml").write_text(configuration(brand.url))
        far = datetime.now(UTC) + timedelta(hours=1)
        with db.write() as connection:
            for name in ("lojas", "pesquisa"):
                row = {"name": f"collect:{name}", "due_at": NOW, "claimed_by": "gone:1:x"}
                connection.execute(t.due.insert().values(**row, claimed_until=far))
        with serving(tmp_path, 1) as [alone]:
            until("the free one is read", lambda: runs(db)["reclamacoes"] == 1)
            until("a tick", lambda: any(x["event"] == "watch" for x in alone.lines))
            assert brand.requests["/files/lojas.tsv"] == 0
            with db.write() as connection:
                ended = {"claimed_until": datetime.now(UTC) - timedelta(seconds=1)}
                query = update(t.due).where(t.due.c.name == "collect:lojas")
                connection.execute(query.values(ended))
            until("it is taken", lambda: runs(db)["lojas"] == 1)
            assert brand.requests["/files/pesquisa.csv"] == 0
            alone.end()
