"""The page behind one click: looking changes nothing, sending ends the digest, whoever sends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import html5lib
import pytest
from bad_input import Shell
from sqlalchemy import select
from stored import stored_in
from weeks import NOW, START, TOML, WEEK, World, crowd

from ouvidor.config import LOCALES, parse
from ouvidor.health import LOOPBACK, Health
from ouvidor.reports import leaving, mail
from ouvidor.reports.digest import digest
from ouvidor.storage import audit, outbox, readers
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door

KEY = "a key that nobody knows"
CLICK = "List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MAIL = (
    '[mail]\nhost = "127.0.0.1"\nsender = "ouvidor@aurora.example"\n'
    'unsubscribe_page = "https://aurora.example/unsubscribe?token={token}"\n'
    'unsubscribe_key = { env = "UNSUBSCRIBE" }\n'
)


@pytest.fixture
def world(tmp_path: Path, door: Door, environment: Callable[[str, str], None]) -> Iterator[World]:
    environment("UNSUBSCRIBE", KEY)
    database = open_database(stored_in(tmp_path))
    yield World(database, door, parse(TOML + MAIL))
    database.close()


@pytest.fixture
def anywhere(db: Database, door: Door, environment: Callable[[str, str], None]) -> World:
    """A world on SQLite and one on PostgreSQL."""
    environment("UNSUBSCRIBE", KEY)
    return World(db, door, parse(TOML + MAIL))


@contextmanager
def answering(world: World) -> Iterator[str]:
    def page(asked: Mapping[str, str], sent: bool) -> tuple[HTTPStatus, str]:  # noqa: FBT001 - as health calls it
        found = leaving.answer(world.db, world.config, asked.get("token", ""), now=NOW, asked=sent)
        return found.status, found.html

    where, ready = (LOOPBACK, 0), {"well": True}
    pages = {"/unsubscribe": page}
    with Health(where, alive=lambda: True, ready=lambda: ready, pages=pages) as server:
        yield server.url


def ask(
    url: str, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, str, Mapping[str, str]]:
    where = urlsplit(url)
    with closing(http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)) as asked:
        asked.request(method, path, body=body, headers=headers or FORM)
        answer = asked.getresponse()
        return answer.status, answer.read().decode(), dict(answer.headers)


def path(reader: str, key: str = KEY) -> str:
    return f"/unsubscribe?token={mail.unsubscribe_token(reader, key)}"


def test_looking_changes_nothing_and_one_click_ends_it(world: World) -> None:
    world.collect(*crowd(4, 9))
    with answering(world) as url:
        for method in ("GET", "HEAD"):
            status, page, headers = ask(url, path("ana"), method)
            assert status == 200
            assert headers["Content-Type"] == "text/html; charset=utf-8"
            assert headers["Cache-Control"] == "no-store"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert ('<form method="post">' in page) == (method == "GET")
        assert readers.ended(world.db) == {}
        status, page, _ = ask(url, path("ana"), "POST", CLICK)
        assert (status, "<form" in page) == (200, False)
        assert readers.ended(world.db) == {"ana": NOW}
        # Twice is once, and whoever looks now is told that it has ended.
        assert ask(url, path("ana"), "POST", CLICK)[:2] == (200, page)
        assert ask(url, path("ana"))[:2] == (200, page)
    [entry] = audit.entries(world.db, since=NOW - timedelta(days=1))
    assert (entry.by, entry.what, entry.about) == ("the reader", "digest ended", {"reader": "ana"})
    carla, ana = digest(world.db, world.config, now=NOW)
    assert carla.skipped is None
    assert ana.skipped == readers.ENDED
    [alone] = digest(world.db, world.config, now=NOW, to="ana@aurora.example")
    assert alone.skipped == readers.ENDED


def test_the_address_in_the_mail_is_the_address_of_the_page(world: World) -> None:
    world.collect(*crowd(4, 9))
    [carla, _] = digest(world.db, world.config, now=NOW)
    body = outbox.bodies(world.db, [carla.key])[carla.key].decode("ascii")
    [address] = [line for line in body.splitlines() if "https://" in line and "token=" in line]
    where = urlsplit(address.partition("<")[2].partition(">")[0])
    with answering(world) as url:
        assert ask(url, f"{where.path}?{where.query}", "POST", CLICK)[0] == 200
    assert set(readers.ended(world.db)) == {"carla"}


def test_what_waits_is_taken_back_and_told_when_the_reader_returns(anywhere: World) -> None:
    db, config = anywhere.db, anywhere.config
    anywhere.collect(*crowd(4, 9))
    digest(db, config, now=NOW)
    assert readers.end(db, "ana", now=NOW, by="the reader")
    assert not readers.end(db, "ana", now=NOW, by="the reader")
    with db.read() as connection:
        keys = connection.execute(select(t.message.c.key)).scalars().all()
    assert keys == [f"digest:carla:{WEEK}"]
    assert [each.skipped for each in digest(db, config, now=NOW)][1] == readers.ENDED
    assert readers.resume(db, "ana", now=NOW, by="carla")
    assert not readers.resume(db, "ana", now=NOW, by="carla")
    assert [each.skipped for each in digest(db, config, now=NOW)] == [
        "this week was told already",
        None,
    ]


def test_what_is_being_sent_this_moment_arrives(anywhere: World) -> None:
    db = anywhere.db
    anywhere.collect(*crowd(4, 9))
    digest(db, anywhere.config, now=NOW, to="ana@aurora.example")
    lease = timedelta(minutes=5)
    [message] = outbox.claim(db, limit=1, now=NOW, worker="elsewhere:1:a", lease=lease)
    readers.end(db, "ana", now=NOW, by="the reader")
    outbox.mark_sent(db, message, now=NOW)
    assert outbox.counts(db) == {"sent": 1}


def test_a_digest_built_while_its_reader_leaves_is_held_back(world: World) -> None:
    from ouvidor.reports import digest as building

    world.collect(*crowd(4, 9))
    gathered = building.Gathered(world.db, world.config, now=NOW, week=WEEK)
    built = gathered.digest("ana")
    readers.end(world.db, "ana", now=NOW, by="the reader")
    reader = building._Reader("ana", "mail", "ana@aurora.example")
    assert building._post(world.db, gathered, built, reader, NOW).skipped == readers.ENDED
    assert outbox.counts(world.db) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        "/unsubscribe",
        "/unsubscribe?token=",
        "/unsubscribe?token=616e61-00000000000000000000000000000000",
        path("ana", "another key"),
        path("ana")[:-1],
        path("ana") + "&token=x",
        "/unsubscribe?token=%ff%00%3Cscript%3E",
        "/unsubscribe?" + "&".join(f"a{n}=1" for n in range(40)) + "&" + path("ana")[13:],
    ],
)
def test_an_address_that_was_made_up_or_cut_ends_nothing(world: World, wrong: str) -> None:
    with answering(world) as url:
        for method in ("GET", "POST"):
            status, page, _ = ask(url, wrong, method)
            assert status == 404
            assert "This address does not work." in page
            assert "<script" not in page
    assert readers.ended(world.db) == {}


def test_without_a_key_no_token_is_good(world: World) -> None:
    world.configure("")
    found = leaving.answer(
        world.db, world.config, mail.unsubscribe_token("ana", KEY), now=NOW, asked=True
    )
    assert found.status == 404


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (None, {}),
        (
            "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
            {"Content-Type": "multipart/form-data; boundary=b"},
        ),
        ("x" * 100_000, FORM),
        ("", {"Content-Length": "-1"}),
        ("", {"Content-Length": "x"}),
    ],
)
def test_whatever_is_sent_with_it_one_click_is_one_click(
    world: World, body: str | None, headers: dict[str, str]
) -> None:
    with answering(world) as url:
        try:
            assert ask(url, path("ana"), "POST", body, **headers)[0] == 200
        except ConnectionError:  # it sent more than we read, and was hung up on
            assert body is not None
            assert len(body) > 50_000
    assert set(readers.ended(world.db)) == {"ana"}


def test_who_sends_nothing_of_what_was_announced_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ouvidor import health

    monkeypatch.setattr(health._Handler, "timeout", 0.2)
    with answering(world) as url:
        where = urlsplit(url)
        with socket.create_connection((str(where.hostname), where.port or 0), 60) as caller:
            caller.sendall(f"POST {path('ana')} HTTP/1.1\r\nContent-Length: 9999\r\n\r\n".encode())
            assert caller.recv(1) == b""
        assert ask(url, "/health")[0] == 200
        assert ask(url, "/health", "POST", CLICK)[0] == 501


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("alerts", [True, False])
def test_the_page_in_the_readers_language(world: World, locale: str, *, alerts: bool) -> None:
    ana = world.config.subscribers["ana"].model_copy(update={"locale": locale, "alerts": alerts})
    ana = ana.model_copy(update={"address": "ana@other.example"})
    brand = world.config.brand.model_copy(update={"name": "<b>Casa & Cia</b>"})
    subscribers = {"ana": ana}
    world.config = world.config.model_copy(update={"subscribers": subscribers, "brand": brand})
    token = mail.unsubscribe_token("ana", KEY)
    words = {"pt-BR": "Os alertas continuam", "es": "Las alertas te siguen", "en": "Alerts still"}
    first = leaving.answer(world.db, world.config, token, now=NOW, asked=False)
    last = leaving.answer(world.db, world.config, token, now=NOW, asked=True)
    assert (first.ended, last.ended) == (False, True)
    for page in (first.html, last.html, leaving.trouble(world.config).html):
        html5lib.HTMLParser(strict=True).parse(page)  # raises at the first error
        assert "<b>" not in page
    for page in (first.html, last.html):
        assert f'lang="{locale}"' in page
        assert "&lt;b&gt;Casa &amp; Cia&lt;/b&gt;" in page
        assert (words[locale] in page) == alerts
        assert "ana@" not in page


def test_who_owns_a_touchpoint_still_hears_of_it(world: World) -> None:
    ana = world.config.subscribers["ana"].model_copy(update={"alerts": False, "locale": "en"})
    world.config = world.config.model_copy(update={"subscribers": {"ana": ana}})
    token = mail.unsubscribe_token("ana", KEY)
    page = leaving.answer(world.db, world.config, token, now=NOW, asked=False).html
    assert "Alerts still come to you" in page


def test_the_database_may_be_away(world: World) -> None:
    page = leaving.trouble(world.config)
    assert page.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "Nothing was changed." in page.html


# --- The verbs -----------------------------------------------------------------------------------


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.setenv("UNSUBSCRIBE", KEY)
    found = Shell(tmp_path, capsys, monkeypatch)
    found.configure(
        '[subscribers.ana]\naddress = "ana@example.com"\n'
        '[subscribers.bia]\naddress = "bia@example.com"\ndigest = false\n'
        '[mail]\nhost = "127.0.0.1"\nsender = "o@example.com"\n'
        'unsubscribe_page = "https://example.com/unsubscribe?token={token}"\n'
        'unsubscribe_key = { env = "UNSUBSCRIBE" }\n'
    )
    return found


def test_a_reader_ends_and_comes_back(shell: Shell) -> None:
    said = shell("unsubscribe", "ana@example.com")
    assert (said.code, said.out) == (0, "ana@example.com gets no weekly digest any more.\n")
    assert shell("unsubscribe", "ana").out == "ana had ended the weekly digest already.\n"
    assert shell("unsubscribe", "x@other.example").code == 0
    ana, bia, other = shell("subscribers", "--json").rows
    assert (ana["name"], ana["digest"], ana["alerts"]) == ("ana", False, True)
    assert ana["ended_at"]
    assert (bia["digest"], bia["ended_at"]) == (False, None)
    assert (other["name"], other["address"]) == (None, "x@other.example")
    assert "ended 20" in shell("subscribers").out
    assert shell("subscribe", "ana").out == "ana gets the weekly digest again.\n"
    assert "nothing changed" in shell("subscribe", "ana").out
    assert "says digest = false" in shell("subscribe", "bia").out
    assert shell("subscribers", "--json").rows[0]["digest"] is True
    whats = [(row["what"], row["about"]["reader"]) for row in shell("audit", "--json").rows]
    assert whats == [
        ("digest resumed", "ana"),
        ("digest ended", "one by address"),
        ("digest ended", "ana"),
    ]
    shell("unsubscribe", "anna").because("did you mean 'ana'", code=2)


def test_an_address_that_was_refused_is_tried_again(shell: Shell) -> None:
    shell("subscribers")
    database = open_database(stored_in(shell.folder))
    with database.write() as connection:
        values = {"recipient": "ana@example.com", "at": START, "detail": "550 5.1.1"}
        connection.execute(t.refusal.insert().values(values))
    [ana, _] = shell("subscribers", "--json").rows
    assert (ana["digest"], ana["ended_at"]) == (True, None)
    assert ana["refused_at"] == START.isoformat()
    assert "it is tried again" in shell("subscribe", "ana").out
    assert readers.refusals(database) == {}
    database.close()


@pytest.mark.slow
def test_serve_answers_one_click(shell: Shell) -> None:
    command = [sys.executable, "-m", "ouvidor", "serve", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=shell.folder, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr is not None
            url = json.loads(child.stderr.readline())["url"]
            assert ask(url, path("ana"))[0] == 200
            assert ask(url, path("ana"), "POST", CLICK)[0] == 200
            child.send_signal(signal.SIGTERM)
            lines = [json.loads(line) for line in child.stderr]
        finally:
            child.kill()
    assert [row["digest"] for row in shell("subscribers", "--json").rows] == [False, False]
    [told] = [line for line in lines if line["event"] == "unsubscribed"]
    assert "ana" not in json.dumps(told)
