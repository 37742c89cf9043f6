"""The outbox is drained over real SMTP: nothing is lost, nothing sent twice without need."""

from __future__ import annotations

import email
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Barrier, Thread

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import select

from ouvidor.config import Config, parse
from ouvidor.reports import mail
from ouvidor.reports.deliver import LEASE, PAUSE, TRIES, Delivered, deliver
from ouvidor.reports.render import Rendered
from ouvidor.storage import outbox
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database

WORKER = "elsewhere:1:a"
WEEK = "2026-W40"


class Box:
    """A mailbox; what ``answer`` says to a recipient (None: hang up) is what the sender hears."""

    def __init__(self, answer: Callable[[str], str | None] | None = None) -> None:
        self.answer = answer or (lambda _recipient: "250 taken")
        self.taken: list[Envelope] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.taken.append(envelope)
        answer = self.answer(envelope.rcpt_tos[0])
        if answer is None:
            assert server.transport is not None
            server.transport.abort()
        return answer or "421 gone"

    @property
    def recipients(self) -> list[str]:
        return [envelope.rcpt_tos[0] for envelope in self.taken]

    @property
    def ids(self) -> list[str]:
        contents = [bytes(envelope.content or b"") for envelope in self.taken]
        return [email.message_from_bytes(content)["Message-ID"] for content in contents]


@contextmanager
def serving(box: Box) -> Iterator[Config]:
    """A real SMTP server on loopback; gives a configuration that sends there."""
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield configured(port)
    finally:
        controller.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def written(port: int | None, more: str = "") -> str:
    table = f"""
        [mail]
        host = "127.0.0.1"
        port = {port}
        tls = "none"
        sender = "ouvidor@aurora.example"
        timeout = 5
    """
    return '[brand]\nname = "Casa Aurora"\n' + (table if port else "") + more


def configured(port: int | None, more: str = "") -> Config:
    return parse(written(port, more))


def put(db: Database, now: datetime, *names: str, settings: Config | None = None) -> None:
    """One finished mail for each name."""
    for name in names:
        key = f"digest:{name}:{WEEK}"
        body = mail.compose(
            Rendered("A semana", f"Olá, {name}", "<p>Olá</p>"),
            key=key,
            recipient=f"{name}@example.com",
            brand="Casa Aurora",
            locale="pt-BR",
            now=now,
            settings=settings.mail if settings else None,
        )
        with db.write() as connection:
            outbox.put(
                connection,
                key=key,
                channel="mail",
                recipient=f"{name}@example.com",
                subject="A semana",
                body=body,
                now=now,
            )


def results(db: Database) -> list[tuple[str, str]]:
    with db.read() as connection:
        rows = connection.execute(select(t.delivery).order_by(t.delivery.c.id))
        return [(row.result, row.detail) for row in rows]


def test_sent_once(db: Database, now: datetime) -> None:
    box = Box()
    put(db, now, "ana", "bento")
    with serving(box) as config:
        assert deliver(db, config, now=now, worker=WORKER) == Delivered(sent=2)
        assert deliver(db, config, now=now, worker=WORKER) == Delivered()
    assert box.recipients == ["ana@example.com", "bento@example.com"]
    assert results(db) == [("sent", "250 taken"), ("sent", "250 taken")]


def test_what_is_sent_is_what_was_finished(db: Database, now: datetime) -> None:
    box = Box()
    with serving(box) as config:
        put(db, now, "ana", settings=config)
        stored = outbox.bodies(db, [f"digest:ana:{WEEK}"])
        deliver(db, config, now=now, worker=WORKER)
    assert [envelope.content for envelope in box.taken] == list(stored.values())


def test_what_is_not_due_waits(db: Database, now: datetime) -> None:
    put(db, now + timedelta(hours=1), "ana")
    box = Box()
    with serving(box) as config:
        assert deliver(db, config, now=now, worker=WORKER) == Delivered(waiting=1)
    assert box.taken == []


def test_without_a_mail_server_messages_wait_and_somebody_is_told(
    db: Database, now: datetime
) -> None:
    put(db, now, "ana")
    done = deliver(db, configured(None), now=now, worker=WORKER)
    assert (done.sent, done.failed, done.waiting) == (0, 0, 1)
    assert done.problems == ("no mail server is configured; add a [mail] table",)
    assert results(db) == []
    assert deliver(db, configured(None), now=now, worker=WORKER).problems == done.problems

    box = Box()
    with serving(box) as config:
        later = now + PAUSE + timedelta(seconds=5)
        assert deliver(db, config, now=later, worker=WORKER).sent == 1
    assert box.ids == [mail.message_id(f"digest:ana:{WEEK}", "ouvidor@aurora.example")]


def test_without_anything_waiting_there_is_no_problem(db: Database, now: datetime) -> None:
    assert deliver(db, configured(None), now=now, worker=WORKER) == Delivered()


def test_a_busy_mailbox_is_tried_again_later(db: Database, now: datetime) -> None:
    answers = iter(["451 4.7.1 greylisted", "250 taken"])
    box = Box(lambda _recipient: next(answers))
    put(db, now, "ana")
    with serving(box) as config:
        first = deliver(db, config, now=now, worker=WORKER)
        assert (first.sent, first.waiting) == (0, 1)
        assert "greylisted" in first.problems[0]
        assert deliver(db, config, now=now + timedelta(seconds=30), worker=WORKER).sent == 0
        assert deliver(db, config, now=now + timedelta(seconds=90), worker=WORKER).sent == 1
    assert box.ids[0] == box.ids[1]


def test_one_bad_address_is_switched_off_and_the_others_get_theirs(
    db: Database, now: datetime
) -> None:
    class Picky(Box):
        async def handle_RCPT(  # noqa: N802 - aiosmtpd looks for this name
            self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _opts: object
        ) -> str:
            if address.startswith("ghost"):
                return "550 5.1.1 no such user"
            envelope.rcpt_tos.append(address)
            return "250 OK"

    box = Picky()
    put(db, now, "ana", "ghost", "bento")
    with serving(box) as config:
        done = deliver(db, config, now=now, worker=WORKER)
    assert (done.sent, done.failed, done.waiting) == (2, 1, 0)
    assert "no such user" in done.problems[0]
    assert box.recipients == ["ana@example.com", "bento@example.com"]
    with db.read() as connection:
        assert outbox.refused(connection, "ghost@example.com")
        assert not outbox.refused(connection, "ana@example.com")


def test_a_connection_lost_after_the_last_byte_is_tried_once_more(
    db: Database, now: datetime
) -> None:
    box = Box(lambda _recipient: None)
    put(db, now, "ana")
    with serving(box) as config:
        assert deliver(db, config, now=now, worker=WORKER).waiting == 1
        again = deliver(db, config, now=now + timedelta(minutes=2), worker=WORKER)
        rest = deliver(db, config, now=now + timedelta(days=1), worker=WORKER)
    assert (again.failed, again.waiting) == (1, 0)
    assert rest == Delivered()
    assert len(box.taken) == 2
    assert box.ids[0] == box.ids[1]
    with db.read() as connection:
        assert not outbox.refused(connection, "ana@example.com")


def test_it_gives_up_after_days_of_trying(db: Database, now: datetime) -> None:
    box = Box(lambda _recipient: "451 4.2.0 busy")
    put(db, now, "ana")
    with serving(box) as config:
        for day in range(TRIES + 5):
            deliver(db, config, now=now + timedelta(days=day), worker=WORKER)
    assert len(box.taken) == TRIES
    assert results(db)[-1][0] == "failed"
    assert outbox.counts(db) == {"failed": 1}


def test_a_server_that_is_down_fails_nobody_and_is_asked_once(db: Database, now: datetime) -> None:
    put(db, now, "ana", "bento", "carla")
    config = configured(free_port())
    for day in range(TRIES + 5):
        done = deliver(db, config, now=now + timedelta(days=day), worker=WORKER)
        assert (done.sent, done.failed, done.waiting) == (0, 0, 3)
        assert len(done.problems) == 1
        assert "cannot be used" in done.problems[0]
    assert len(results(db)) == TRIES + 5


CHILD = """
import sys
from datetime import datetime
from ouvidor.config import parse
from ouvidor.reports.deliver import deliver
from ouvidor.storage import workers
from ouvidor.storage.database import open_database

url, toml, now = sys.argv[1:]
deliver(open_database(url), parse(toml), now=datetime.fromisoformat(now), worker=workers.me())
"""


def test_killed_between_send_and_mark(db: Database, database_url: str, now: datetime) -> None:
    """The server has the mail, the sender never heard so: the same mail goes out again."""
    children: list[subprocess.Popen[bytes]] = []

    def kill(_recipient: str) -> str:
        if children:
            os.kill(children.pop().pid, signal.SIGKILL)
        return "250 taken"

    box = Box(kill)
    put(db, now, "ana")
    with serving(box) as config:
        assert config.mail is not None
        toml = written(config.mail.port)
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, database_url, toml, now.isoformat()]
        ) as child:
            children.append(child)
            assert child.wait() == -signal.SIGKILL
        assert outbox.counts(db) == {"waiting": 1}
        # The dead sender was on this host: its lease is void at once.
        assert deliver(db, config, now=now, worker=WORKER).sent == 1
    assert len(box.taken) == 2
    assert box.ids[0] == box.ids[1]
    assert box.taken[0].content == box.taken[1].content


def test_the_lease_of_a_sender_elsewhere_is_respected_until_it_ends(
    db: Database, now: datetime
) -> None:
    box = Box()
    put(db, now, "ana")
    outbox.claim(db, limit=1, now=now, worker="elsewhere:9:z", lease=LEASE)
    with serving(box) as config:
        assert deliver(db, config, now=now + LEASE / 2, worker=WORKER).sent == 0
        assert deliver(db, config, now=now + 2 * LEASE, worker=WORKER).sent == 1


def test_two_senders_at_once_send_each_mail_once(
    db: Database, database_url: str, now: datetime
) -> None:
    box, names = Box(), [f"reader{n}" for n in range(12)]
    put(db, now, *names)
    start, done = Barrier(2), []

    def drain(worker: str) -> None:
        own = open_database(database_url)
        start.wait()
        done.append(deliver(own, config, now=now, worker=worker))
        own.close()

    with serving(box) as config:
        threads = [Thread(target=drain, args=[f"elsewhere:{n}:x"]) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(box.recipients) == sorted(f"{name}@example.com" for name in names)
    assert sum(each.sent for each in done) == len(names)


class Room(BaseHTTPRequestHandler):
    """A chat service that keeps what it is told."""

    heard: list[dict[str, str]]

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.heard.append(json.loads(self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Be quiet."""


@pytest.fixture
def chat(environment: Callable[[str, str], None]) -> Iterator[list[dict[str, str]]]:
    heard: list[dict[str, str]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Here", (Room,), {"heard": heard}))
    environment("CHAT_URL", f"json://127.0.0.1:{server.server_port}/")
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield heard
    server.shutdown()
    thread.join()
    server.server_close()


CHAT = '[chat.team]\nurl = { env = "CHAT_URL" }\n'


def put_chat(db: Database, now: datetime, name: str) -> None:
    with db.write() as connection:
        outbox.put(
            connection,
            key=f"alert:1:opened:{name}",
            channel="chat",
            recipient=name,
            subject="Entrega piorou",
            body=b"24 negativos, 9 esperados",
            now=now,
        )


def test_a_chat_is_told_even_while_the_mail_server_is_down(
    db: Database, now: datetime, chat: list[dict[str, str]]
) -> None:
    put(db, now, "ana", "bento")
    put_chat(db, now, "team")
    done = deliver(db, configured(free_port(), CHAT), now=now, worker=WORKER)
    assert (done.sent, done.failed, done.waiting) == (1, 0, 2)
    [message] = chat
    assert message["title"] == "Entrega piorou"
    assert message["message"] == "24 negativos, 9 esperados"


def test_a_chat_that_left_the_configuration_fails(db: Database, now: datetime) -> None:
    put_chat(db, now, "gone")
    done = deliver(db, configured(None), now=now, worker=WORKER)
    assert (done.failed, done.waiting) == (1, 0)
    assert "no such chat is configured" in done.problems[0]
