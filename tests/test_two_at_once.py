"""Two at once: whoever starts what twice gets what one undisturbed process would have made.

Real processes, real HTTP, real SMTP, both databases. Where an overlap matters the processes meet at
a named point (`meeting_child.py`), so that no test hopes for good timing.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import Select, insert, select, text, update

from ouvidor.demo.configuration import configuration
from ouvidor.demo.feedback import read_feedback
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import annotations, outbox, runs, series
from ouvidor.storage import tables as t
from ouvidor.storage.database import HEAD, Database, open_database, schema_version
from ouvidor.storage.feedback import Door, mark_dirty, save_page
from ouvidor.storage.vocabulary import Annotation, Aspect, Basis, Distribution, Feedback

pytestmark = [pytest.mark.ordeal, pytest.mark.timeout(600)]

CHILD = Path(__file__).parent / "meeting_child.py"
MONDAY = datetime.fromisoformat("2026-10-19T09:00:00-03:00")
WEEKS = timedelta(weeks=2)
PATIENCE = 120.0
"""Seconds for the other one to come to a meeting: more than any start takes."""

# Threads that wait for each other crawl where several processes share few cores.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
MAIL = """
[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "ouvidor@tucuma.example"
"""
BAD = Distribution(negative=0.8, neutral=0.1, positive=0.1)


@dataclass
class Postman:
    """A mail server's other end: what arrived, by Message-ID and address."""

    arrived: Counter[str] = field(default_factory=Counter)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        mail = message_from_bytes(envelope.content)
        self.arrived[f"{mail['Message-ID']} {mail['To']}"] += 1
        return "250 taken"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass
class House:
    """One installation: its folder, its database, its mail server."""

    folder: Path
    url: str
    postman: Postman
    mail: str
    now: datetime = MONDAY
    meetings: Iterator[int] = field(default_factory=count)

    def write(self, settings: str) -> None:
        (self.folder / "ouvidor.toml").write_text(settings + self.mail, encoding="utf-8")

    def words(self, verb: str) -> list[str]:
        return [*verb.split(), "--config", str(self.folder / "ouvidor.toml")]

    def start(self, start: list[str], **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *start],
            env=os.environ | ENVIRONMENT | {"OUVIDOR_DATABASE_URL": self.url} | more,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin(self, verb: str) -> subprocess.Popen[str]:
        return self.start(["-m", "ouvidor", *self.words(f"{verb} --now {self.now.isoformat()}")])

    def meeting(self, point: str, patience: float = PATIENCE, many: int = 2) -> list[str]:
        """The words that make two processes, or more, meet at a point."""
        room = self.folder / f"meeting{next(self.meetings)}"
        room.mkdir()
        return [str(CHILD), str(room), str(many), point, str(patience)]

    def twice(self, verb: str, point: str, patience: float = PATIENCE) -> list[Ended]:
        """The same verb in two processes that meet at a point."""
        return [ended(child) for child in self.begin_many(verb, point, 2, patience)]

    def begin_many(
        self, verb: str, point: str, many: int, patience: float = PATIENCE
    ) -> list[subprocess.Popen[str]]:
        """The same verb in so many processes that meet at a point."""
        start = self.meeting(point, patience, many)
        words = self.words(f"{verb} --now {self.now.isoformat()}")
        return [self.start([*start, *words]) for _ in range(many)]


def ended(child: subprocess.Popen[str]) -> Ended:
    out, err = child.communicate(timeout=500)
    found = Ended(child.returncode, out, err)
    # Neither a trace nor the sentence for the unforeseen.
    assert "Traceback" not in err, err
    assert "should not have happened" not in err, err
    return found


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    postman = Postman()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(postman, hostname="127.0.0.1", port=port)
    controller.start()
    made = House(tmp_path, database_url, postman, MAIL.format(port=port))
    made.write('[brand]\nname = "Tucumã Casa"\n')
    yield made
    controller.stop()


def all_of(url: str, queries: dict[str, Select[Any]]) -> dict[str, list[Any]]:
    """Rows as values, so that both kinds of database can be compared."""
    db = open_database(url)
    with db.read() as connection:
        found = {
            name: sorted((tuple(row) for row in connection.execute(query)), key=repr)
            for name, query in queries.items()
        }
    db.close()
    return found


# --- run -----------------------------------------------------------------------------------------

SAID = (t.source.c.name, t.feedback.c.external_id)
STATE = {
    "feedback": select(
        *SAID,
        t.feedback.c.content_hash,
        t.feedback.c.day,
        t.feedback.c.settled,
        t.feedback.c.pending,
        t.feedback.c.claimed_by,
    ).join_from(t.feedback, t.source),
    "revision": select(*SAID, t.revision.c.content_hash)
    .join_from(t.revision, t.feedback)
    .join(t.source),
    "aspect": select(
        *SAID,
        t.aspect.c.topic,
        t.aspect.c.touchpoint,
        t.aspect.c.sentiment,
        t.aspect.c.span_start,
    )
    .join_from(t.aspect, t.feedback)
    .join(t.source),
    "coverage": select(
        t.source.c.name,
        t.coverage.c.day,
        t.coverage.c.since,
        t.coverage.c.until,
        t.coverage.c.whole,
    ).join_from(t.coverage, t.source),
    "run": select(t.source.c.name, t.run.c.outcome, t.run.c.new, t.run.c.changed).join_from(
        t.run, t.source
    ),
    "series": select(
        t.source.c.name,
        t.series.c.day,
        t.series.c.touchpoint,
        t.series.c.negatives,
        t.series.c.mentions,
        t.series.c.total,
    ).join_from(t.series, t.source),
    "alert": select(t.alert.c.touchpoint, t.alert.c.source, t.alert.c.state, t.alert.c.observed),
    "digest": select(t.digest.c.subscriber, t.digest.c.week, t.digest.c.skipped),
    "message": select(
        t.message.c.key,
        t.message.c.recipient,
        t.message.c.subject,
        t.message.c.state,
        t.message.c.attempts,
        t.message.c.claimed_by,
    ),
    "due": select(t.due.c.name, t.due.c.due_at, t.due.c.claimed_by),
}


def test_two_runs_at_the_same_moment_leave_what_one_would(house: House) -> None:
    other = House(house.folder / "alone", "", house.postman, house.mail)
    other.folder.mkdir()
    other.url = f"sqlite:///{other.folder / 'ouvidor.db'}"
    # One source brings something: then the order, and with it every batch, is the same.
    quiet = ("app-mx", "app-us", "reclamacoes")
    pieces = [piece for piece in read_feedback(("app-br",)) if piece.at > MONDAY - WEEKS]
    with StandIn(MONDAY, feedback=pieces) as brand:
        for each in (other, house):
            settings = configuration(brand.url, each.folder, apis=False)
            for name in quiet:
                table = f"[sources.{name}]\n"
                settings = settings.replace(table, f"{table}enabled = false\n")
            each.write(settings)
        alone = ended(other.begin("run --json"))
        assert alone.code == 0, alone.err
        mails = dict(house.postman.arrived)
        house.postman.arrived.clear()

        one, two = house.twice("run --json", "-ouvidor.scheduler:Timetable.once")

    winner, loser = sorted((one, two), key=lambda each: each.code)
    assert (winner.code, loser.code) == (0, 1)
    assert "another `ouvidor run`" in loser.err
    assert loser.out == ""
    assert [json.loads(line)["duty"] for line in winner.out.splitlines()] == [
        json.loads(line)["duty"] for line in alone.out.splitlines()
    ]
    assert all_of(house.url, STATE) == all_of(other.url, STATE)
    assert len(mails) >= 2
    assert house.postman.arrived == mails


SOURCE = """
[brand]
name = "Tucumã Casa"
[sources.pesquisa]
kind = "file"
path = "files/pesquisa.csv"
base_url = "{url}"
[subscribers.carla]
address = "carla@tucuma.example"
"""


def test_a_run_beside_a_long_one_ends_with_a_sentence_and_tells_nobody(house: House) -> None:
    with StandIn(MONDAY) as brand:
        brand.faults["/files"] = Fault(delay=3600)
        house.write(SOURCE.format(url=brand.url))
        first = house.begin("run")
        while not brand.requests["/files/pesquisa.csv"]:
            assert first.poll() is None
        second = ended(house.begin("run"))
        assert second.code == 1
        assert "wait for it or end it" in second.err
        # The week is not told from half of what the first one is about to read.
        assert all_of(house.url, {"digest": STATE["digest"]}) == {"digest": []}
        first.kill()
        first.communicate()
        brand.faults.clear()
        # The dead one's claim is free at once.
        third = ended(house.begin("run"))
    assert "another `ouvidor run`" not in third.err


# --- deliver -------------------------------------------------------------------------------------


def post(db: Database) -> set[str]:
    """Forty messages that wait; returns to whom."""
    body = b"Subject: A semana\r\nTo: %s\r\n\r\nOl\xc3\xa1\r\n"
    names = [f"leitor{number}@example.com" for number in range(40)]
    with db.write() as connection:
        for name in names:
            outbox.put(
                connection,
                key=f"digest:{name}:2026-W42",
                channel="mail",
                recipient=name,
                subject="A semana",
                body=body % name.encode(),
                now=MONDAY,
            )
    return set(names)


def test_two_senders_send_every_message_once(house: House) -> None:
    db = open_database(house.url)
    names = post(db)
    both = house.twice("deliver --json", "+ouvidor.storage.outbox:claim")
    sent = [json.loads(each.out)["sent"] for each in both]
    assert [each.code for each in both] == [0, 0]
    assert sum(sent) == 40
    assert min(sent) > 0
    assert set(house.postman.arrived.values()) == {1}
    assert {key.split()[1] for key in house.postman.arrived} == names
    with db.read() as connection:
        assert connection.execute(select(t.delivery.c.result)).scalars().all() == ["sent"] * 40
    db.close()


# --- annotate ------------------------------------------------------------------------------------

ZONE = ZoneInfo("America/Sao_Paulo")
DAYS = 64


def fill(db: Database, size: int) -> None:
    """Feedback whose days run forwards on one page of the tagger and backwards on the next."""
    door = Door(b"a key of thirty-two bytes, really", ZONE)
    run = runs.open_run(db, source="app", kind="file", now=MONDAY)
    places = [number if number // 256 % 2 else -number for number in range(size)]
    items = [
        Feedback(
            external_id=str(number),
            text=f"A entrega atrasou {number} dias, mas o produto é ótimo",
            published_at=MONDAY - timedelta(days=place % DAYS),
        )
        for number, place in enumerate(places)
    ]
    save_page(db, run, items, None, door=door, now=MONDAY)


def test_two_taggers_tag_everything_once(house: House) -> None:
    size = 700
    db = open_database(house.url)
    fill(db, size)
    series.refresh(db)
    both = house.twice("annotate --json", "+ouvidor.storage.annotations:claim")
    told = [json.loads(each.out) for each in both]
    assert [each.code for each in both] == [0, 0]
    assert sum(each["tagged"] for each in told) == size
    assert min(each["tagged"] for each in told) > 0
    assert annotations.pending(db) == 0
    with db.read() as connection:
        tagged = connection.execute(select(t.annotation.c.feedback_id)).scalars().all()
        subject = (t.aspect.c.feedback_id, t.aspect.c.topic, t.aspect.c.touchpoint)
        subjects = connection.execute(select(*subject)).all()
    assert len(tagged) == size
    assert len(subjects) == len(set(subjects)) > 0
    counted = series.refresh(db)
    assert counted == DAYS
    db.close()


# SQLite has one writer at a time; many machines share a PostgreSQL.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_four_taggers_and_three_senders_beside_each_other_do_everything_once(house: House) -> None:
    size = 5 * 256
    db = open_database(house.url)
    fill(db, size)
    names = post(db)
    tagging = house.begin_many("annotate --json", "+ouvidor.storage.annotations:claim", 4)
    sending = house.begin_many("deliver --json", "+ouvidor.storage.outbox:claim", 3)
    taggers, senders = [[ended(each) for each in all_] for all_ in (tagging, sending)]
    assert {each.code for each in (*taggers, *senders)} == {0}
    tagged = [json.loads(each.out)["tagged"] for each in taggers]
    sent = [json.loads(each.out)["sent"] for each in senders]
    # Everybody had a part in it, and all parts together are the whole.
    assert (sum(tagged), sum(sent)) == (size, 40)
    assert min(*tagged, *sent) > 0
    assert annotations.pending(db) == 0
    assert sum(annotations.taggers(db).values()) == size
    assert set(house.postman.arrived.values()) == {1}
    assert {key.split()[1] for key in house.postman.arrived} == names
    assert series.astray(db) == 0
    db.close()


def _say() -> Annotation:
    aspect = Aspect(touchpoint="entrega", p=BAD)
    return Annotation(
        tagger="t",
        basis=Basis.TEXT,
        language="pt",
        p=BAD,
        stars=1.5,
        uncertain=False,
        aspects=(aspect,),
    )


def test_pages_of_many_days_saved_at_once_do_not_block_each_other(database_url: str) -> None:
    db = open_database(database_url)
    fill(db, 8 * 256)
    everything = annotations.claim(
        db, limit=8 * 256, now=MONDAY, worker="x:1:y", lease=timedelta(1)
    )
    pages = [everything[at : at + 256] for at in range(0, len(everything), 256)]
    start, kept = threading.Barrier(2), []

    def save(mine: list[Any]) -> None:
        for page in mine:
            start.wait(timeout=60)
            kept.append(annotations.save(db, [(each, _say()) for each in page], now=MONDAY))
            series.refresh(db)

    threads = [threading.Thread(target=save, args=(pages[odd::2],)) for odd in (0, 1)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert kept == [256] * 8
    db.close()


def test_a_count_never_overlooks_what_is_being_saved(database_url: str) -> None:
    """A tagger that saves while the days are counted marks them again, or is counted."""
    db = open_database(database_url)
    fill(db, 2)
    claimed = annotations.claim(db, limit=2, now=MONDAY, worker="x:1:y", lease=timedelta(1))
    counting = threading.Thread(target=series.refresh, args=(db,))
    with db.write() as connection:
        annotations._write(connection, [(each, _say()) for each in claimed], MONDAY)
        rows = connection.execute(select(t.feedback.c.source_id, t.feedback.c.day)).all()
        for row in rows:
            mark_dirty(connection, row.source_id, [row.day])
        counting.start()
        counting.join(timeout=2)  # it is let through, or it waits for us: either is right
    counting.join()
    series.refresh(db)
    with db.read() as connection:
        told = connection.execute(select(t.series.c.negatives).order_by(t.series.c.day)).scalars()
        assert sum(told) == 2 * len(claimed)  # the whole source, and the touchpoint
    db.close()


def test_an_edit_that_arrives_while_a_page_is_saved_is_tagged_again(database_url: str) -> None:
    db = open_database(database_url)
    fill(db, 1)
    [claimed] = annotations.claim(db, limit=1, now=MONDAY, worker="x:1:y", lease=timedelta(1))
    saving = threading.Thread(target=annotations.save, args=(db, [(claimed, _say())]))
    saving = threading.Thread(target=lambda: annotations.save(db, [(claimed, _say())], now=MONDAY))
    with db.write() as connection:
        edit = {"text": "Agora chegou", "content_hash": "other", "pending": True}
        connection.execute(update(t.feedback).values(edit))
        saving.start()
        saving.join(timeout=2)
    saving.join()
    assert annotations.pending(db) == 1
    db.close()


def test_two_readers_of_the_series_count_the_same_days_once(house: House) -> None:
    db = open_database(house.url)
    fill(db, 300)
    # Where both cannot be there at once, one waits at the door for the other: so be it.
    both = house.twice("scorecard --json", "-ouvidor.storage.series:_counted", patience=3)
    assert [each.code for each in both] == [0, 0]
    with db.read() as connection:
        totals = connection.execute(select(t.series.c.total)).scalars().all()
    assert sum(totals) == 300
    db.close()


# --- migrations ----------------------------------------------------------------------------------

NEXT = f"{int(HEAD) + 1:04}"
MIGRATION = f'''
"""One column more."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade() -> None:
    """Add it."""
    op.add_column("due", sa.Column("extra", sa.Text()))
'''


@pytest.fixture
def versions(tmp_path: Path) -> str:
    folder = tmp_path / "versions"
    folder.mkdir()
    (folder / f"{NEXT}.py").write_text(MIGRATION, encoding="utf-8")
    return str(folder)


def version(url: str) -> str | None:
    db = open_database(url)
    with db.read() as connection:
        found = schema_version(connection)
    db.close()
    return found


def test_two_that_find_an_empty_database_make_its_schema_once(house: House) -> None:
    both = house.twice("sources --json", "-ouvidor.storage.database:_migrate")
    assert [(each.code, each.err) for each in both] == [(0, ""), (0, "")]
    assert version(house.url) == HEAD


def test_two_of_the_next_release_migrate_once(house: House, versions: str) -> None:
    open_database(house.url).close()
    start = house.meeting("-ouvidor.storage.database:_migrate")
    words = [*start, *house.words("sources --json")]
    both = [house.start(words, OUVIDOR_TEST_VERSIONS=versions) for _ in range(2)]
    assert [ended(each).code for each in both] == [0, 0]
    # The program of today meets a database of tomorrow.
    today = ended(house.start(["-m", "ouvidor", *house.words("scorecard")]))
    assert today.code == 1
    assert f"was written by a newer Ouvidor (schema {NEXT})" in today.err
    assert "upgrade this program" in today.err


def test_a_reader_stays_whole_while_another_migrates(house: House, versions: str) -> None:
    db = open_database(house.url)
    fill(db, 3)
    alone = house.meeting("-ouvidor.storage.database:_migrate", patience=0)
    with db.read() as reader:
        before = reader.execute(select(t.due)).all()
        assert reader.execute(select(t.feedback.c.id)).all()
        words = [*alone, *house.words("sources --json")]
        migrating = house.start(words, OUVIDOR_TEST_VERSIONS=versions)
        if db.embedded:
            # The reader keeps its view, and nobody waits for it.
            assert ended(migrating).code == 0
            assert schema_version(reader) == HEAD
        assert reader.execute(select(t.due)).all() == before
    if not db.embedded:
        # PostgreSQL lets the reader end first.
        assert ended(migrating).code == 0
    with db.read() as reader:
        assert schema_version(reader) == NEXT
        assert len(reader.execute(select(t.feedback.c.id)).all()) == 3
    db.close()


def test_readers_in_a_loop_see_the_old_schema_or_a_sentence(house: House, versions: str) -> None:
    open_database(house.url).close()
    alone = house.meeting("-ouvidor.storage.database:_migrate", patience=0)
    words = [*alone, *house.words("sources --json")]
    migrating = house.start(words, OUVIDOR_TEST_VERSIONS=versions)
    search = ["-m", "ouvidor", *house.words("search entrega --json")]
    found = []
    while migrating.poll() is None:
        found.append(ended(house.start(search)))
    assert ended(migrating).code == 0
    found.append(ended(house.start(search)))
    assert {each.code for each in found} <= {0, 1}
    assert all("newer Ouvidor" in each.err for each in found if each.code == 1)
    assert found[-1].code == 1


def test_a_migration_waits_for_a_writer(house: House, versions: str) -> None:
    db = open_database(house.url)
    alone = house.meeting("-ouvidor.storage.database:_migrate", patience=0)
    words = [*alone, *house.words("sources --json")]
    with db.write() as connection:
        connection.execute(insert(t.due).values(name="x", due_at=datetime(2026, 1, 1, tzinfo=UTC)))
        migrating = house.start(words, OUVIDOR_TEST_VERSIONS=versions)
        while not list(Path(alone[1]).iterdir()):  # it stands before the migration
            assert migrating.poll() is None
    assert ended(migrating).code == 0
    with db.read() as connection:
        assert connection.execute(text("SELECT name, extra FROM due")).all() == [("x", None)]
    db.close()
