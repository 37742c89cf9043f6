"""Ray Data on a real PostgreSQL: any number of workers, some of them killed, is one process's work.

Real processes and the real tagger; what is small is only the number of texts.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest
from sqlalchemy import create_engine, func, select, text

from ouvidor.demo.feedback import read_feedback
from ouvidor.storage import annotations, runs, series
from ouvidor.storage import tables as t
from ouvidor.storage.annotations import Correction
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import Feedback, Sentiment

pytestmark = [
    pytest.mark.ordeal,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed: ouvidor[ray]"
    ),
]

TEXTS = 200
PASSWORD = "tucano-azul-71"
CORRECTED = 7
NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
SETTINGS = """
[brand]
name = "Tucumã Casa"
[touchpoints.entrega]
name = "Entrega"
stage = "during"
topics = ["delivery"]
[touchpoints.aplicativo]
name = "Aplicativo"
stage = "during"
topics = ["app_stability", "app_usability"]
"""


@dataclass
class House:
    """An installation whose texts one process has tagged: ``alone`` is what it said."""

    folder: Path
    url: str
    db: Database
    alone: dict[int, Any] = field(default_factory=dict)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ouvidor", "annotate", "--json", *words],
            cwd=self.folder,
            env=os.environ | {"OUVIDOR_DATABASE_URL": self.url, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[dict[str, Any], str]:
        return ended(self.start(*words))

    def tagged_since(self, moment: datetime) -> int:
        since = t.annotation.c.annotated_at >= moment
        with self.db.read() as connection:
            return connection.scalar(select(func.count()).where(since)) or 0

    def said(self) -> dict[int, Any]:
        """Feedback → labels and probabilities."""
        aspects: dict[int, list[Any]] = {}
        with self.db.read() as connection:
            for row in connection.execute(select(t.aspect).order_by(t.aspect.c.id)):
                aspects.setdefault(row.feedback_id, []).append(row)
            rows = connection.execute(select(t.annotation)).all()
        return {row.feedback_id: split(row, aspects.get(row.feedback_id, [])) for row in rows}

    def is_whole(self) -> None:
        """Nothing waits, nothing is claimed, nothing is counted twice, and nothing is owed."""
        claimed = select(func.count()).where(t.feedback.c.claimed_by.is_not(None))
        with self.db.read() as connection:
            assert connection.scalar(claimed) == 0
            owed = connection.scalars(select(t.due.c.name)).all()
        assert annotations.AGAIN not in owed
        assert annotations.pending(self.db) == 0
        assert series.astray(self.db) == 0


def split(row: Any, aspects: list[Any]) -> tuple[Any, list[float]]:
    labels = [row.tagger, row.basis, row.sentiment, row.language, row.uncertain, list(row.topics)]
    figures = [row.p_negative, row.p_neutral, row.p_positive, row.stars, *row.topics.values()]
    for each in aspects:
        labels += [each.topic, each.touchpoint, each.sentiment, each.span_start, each.span_end]
        figures += [each.p_negative, each.p_neutral, each.p_positive, each.p_subject]
    return labels, figures


def ended(child: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    out, err = child.communicate(timeout=240)
    assert child.returncode == 0, err
    return json.loads(out), err


def same(one: dict[int, Any], other: dict[int, Any]) -> None:
    """The same labels, and probabilities within 1e-3."""
    assert one.keys() == other.keys()
    for key, (labels, figures) in one.items():
        assert other[key][0] == labels
        assert other[key][1] == pytest.approx(figures, abs=1e-3)


@pytest.fixture(scope="module")
def house(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    name = f"ray{uuid.uuid4().hex[:8]}"
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgresql.replace("/postgres?", f"/{name}?").replace("+psycopg", "")
    # The server asks nobody for a password; whoever holds this one must not show it.
    url = url.replace("postgres:@", f"postgres:{PASSWORD}@")
    assert PASSWORD in url
    folder = tmp_path_factory.mktemp("house")
    (folder / "ouvidor.toml").write_text(SETTINGS, encoding="utf-8")
    made = House(folder, url, open_database(url))
    fill(made.db)
    told, _ = made.run()
    assert told["tagged"] == TEXTS
    annotations.correct(made.db, correction())
    made.alone = made.said()
    yield made
    made.db.close()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def fill(db: Database) -> None:
    door = Door(b"a key of thirty-two bytes, really", ZoneInfo("America/Sao_Paulo"))
    run = runs.open_run(db, source="app", kind="file", now=NOW)
    pieces = list(read_feedback(("app-br",)))[:TEXTS]
    assert len(pieces) == TEXTS
    page = [
        Feedback(external_id=str(number), text=piece.text, published_at=NOW)
        for number, piece in enumerate(pieces)
    ]
    save_page(db, run, page, None, door=door, now=NOW)


def correction() -> Correction:
    return Correction(
        feedback_id=CORRECTED, at=NOW, by="carla", sentiment=Sentiment.NEUTRAL, touchpoints={}
    )


def until(child: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Wait for the work to come so far; how long that takes decides nothing."""
    while not reached():
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def told_of(process: psutil.Process) -> tuple[str, list[str]]:
    """What the process list shows of a process, and the addresses it listens on."""
    try:
        sockets = process.net_connections("inet")
        words = " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return "", []
    return words, [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN]


def taggers(pid: int) -> list[psutil.Process]:
    """The workers of Ray that tag."""
    return [each for each in family(pid) if "MapBatches(Worker)" in told_of(each)[0]]


def folders(pid: int) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"ouvidor-ray-{pid}-*"))


def test_one_worker_says_what_one_process_says(house: House) -> None:
    begun = datetime.now(UTC)
    told, err = house.run("--again", "--ray", "--workers", "1")
    assert (told["tagged"], told["workers"], told["waiting"]) == (TEXTS, 1, 0)
    assert house.tagged_since(begun) == TEXTS
    same(house.said(), house.alone)
    house.is_whole()
    # Ray itself says nothing at all.
    ours = ("gone through: ", "Studied the week ")
    assert [line for line in err.splitlines() if not line.startswith(ours)] == []


def test_a_worker_killed_in_the_middle_loses_nothing_and_nothing_shows(house: House) -> None:
    begun = datetime.now(UTC)
    child = house.start("--again", "--ray", "--workers", "2")
    until(child, lambda: house.tagged_since(begun) > 0)
    taggers(child.pid)[0].kill()
    assert house.tagged_since(begun) < TEXTS
    [folder] = folders(child.pid)
    shown = [told_of(each) for each in [psutil.Process(child.pid), *family(child.pid)]]
    logs = [each.read_bytes() for each in folder.rglob("*") if each.is_file()]

    told, _ = ended(child)
    assert told["waiting"] == 0
    assert house.tagged_since(begun) == TEXTS
    same(house.said(), house.alone)
    house.is_whole()
    # No secret in the process list or in a log, no open door, nothing left behind.
    assert "annotate" in shown[0][0]
    assert not any(PASSWORD in words for words, _ in shown)
    assert logs
    assert not any(PASSWORD.encode() in each for each in logs)
    listening = [each for _, addresses in shown for each in addresses]
    assert listening
    assert all(ip_address(each.removeprefix("::ffff:")).is_loopback for each in listening)
    assert folders(child.pid) == []


def test_a_killed_command_goes_on_with_what_lacks(house: House) -> None:
    begun = datetime.now(UTC)
    words = ("--again", "--ray", "--workers", "4")
    child = house.start(*words)
    until(child, lambda: house.tagged_since(begun) > 0)
    orphans, writers = family(child.pid), taggers(child.pid)
    child.kill()
    child.communicate()
    # They end by themselves, and what they still save is saved.
    assert psutil.wait_procs(writers, timeout=120)[1] == []
    before = house.tagged_since(begun)
    assert 0 < before < TEXTS
    assert len(folders(child.pid)) == 1

    told, err = house.run(*words)
    assert "Going on with what was asked for at" in err
    assert (told["tagged"], told["workers"], told["waiting"]) == (TEXTS - before, 4, 0)
    assert house.tagged_since(begun) == TEXTS
    same(house.said(), house.alone)
    house.is_whole()
    assert folders(child.pid) == []
    # Two of Ray's own helpers look for their dead parent for up to a minute.
    assert psutil.wait_procs(orphans, timeout=120)[1] == []
