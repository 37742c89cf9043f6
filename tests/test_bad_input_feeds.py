"""Sources that misbehave on the wire, through the command line."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Event, Thread

import pytest
from bad_input import Said, Shell

from ouvidor.collectors.collector import Options
from ouvidor.demo.server import Fault, StandIn

pytestmark = pytest.mark.slow

FIRST = datetime.fromisoformat("2026-09-01T09:00-03:00")
AFTER = FIRST + timedelta(weeks=4)
HTML = b"<!doctype html><html><body>Voltamos em breve</body></html>"
WALL = b"<html><body>Please solve this captcha</body></html>"
KINDS = {
    "loja": 'kind = "app_store"\napp = "1590042871"\ncountry = "br"\n',
    "queixas": 'kind = "file"\npath = "files/reclamacoes.jsonl"\n'
    '[sources.queixas.columns]\nid = "id"\ntext = "texto"\npublished_at = "criado_em"\n',
}


@pytest.fixture
def brand() -> Iterator[StandIn]:
    with StandIn(FIRST) as server:
        yield server


IMPATIENT = 0.5
"""Seconds, where an answer never comes; nowhere else, for a busy machine is slow too."""


def configure(shell: Shell, url: str, name: str, timeout: float = 30) -> None:
    manners = f'base_url = "{url}"\nretries = 0\ntimeout = {timeout}\n'
    shell.configure(f"[sources.{name}]\n{manners}{KINDS[name]}")


def collect(shell: Shell, name: str, moment: datetime) -> Said:
    return shell("collect", name, "--now", moment.isoformat())


def strike(brand: StandIn, fault: Fault) -> None:
    """Every answer but that of robots.txt goes wrong."""
    brand.faults = {"/": fault, "/robots.txt": Fault(status=HTTPStatus.OK, body=b"")}


FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "401": (Fault(status=401), ("127.0.0.1 refused access (401)", "check the right to read")),
    "403": (Fault(status=403), ("127.0.0.1 refused access (403)", "or use its official API")),
    "429": (
        Fault(status=429, headers={"Retry-After": "900"}),
        ("too many requests (429) and asks to wait 900 s", "the next run goes on, raise `delay`"),
    ),
    "500": (Fault(status=500), ("127.0.0.1 is out of order (500)", "run it again later")),
    "an HTML page": (Fault(body=HTML), ("an HTML page instead of data", "mend `base_url`")),
    "a bot wall": (Fault(body=WALL), ("a bot wall (captcha)", "ask the source for access")),
    "nothing": (Fault(body=b""), ("200 with nothing in it", "run it again later")),
    "a truncated body": (Fault(truncate=100), ("broke off before its end", "next run reads it")),
    "silence": (
        Fault(delay=3600),
        ("did not answer within 0.5 s", "run it again later, or raise `timeout`"),
    ),
}


WITH_A_FILE = ("403", "an HTML page", "a truncated body", "silence")
PAIRS = [("loja", case) for case in FAULTS] + [("queixas", case) for case in WITH_A_FILE]


@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_a_source_in_trouble_is_named_with_the_mend_and_costs_nothing(
    shell: Shell, brand: StandIn, name: str, case: str
) -> None:
    fault, sentences = FAULTS[case]
    configure(shell, brand.url, name)
    assert collect(shell, name, FIRST).code == 0
    before = shell.stored()

    brand.now = AFTER
    if fault.delay:
        configure(shell, brand.url, name, IMPATIENT)
    strike(brand, fault)
    collect(shell, name, AFTER).because(f"{name}: ", *sentences)
    assert shell.stored() == before

    brand.faults = {}
    configure(shell, brand.url, name)
    assert collect(shell, name, AFTER).code == 0
    now = shell.stored()
    assert len(now) > len(before)
    fresh = shell.elsewhere("fresh")
    configure(fresh, brand.url, name)
    assert collect(fresh, name, AFTER).code == 0
    assert now == fresh.stored()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"errorMessage": "quota exceeded"}', "an error inside a 200: quota exceeded; run it"),
        (b'{"feed": {"error": {"label": "backend"}}}', "an error inside a 200:"),
        (b'{"feed": {"entry": [{"id": {"label": "1', "broke off before its end"),
        (b'{"reviews": []}', "has a new layout: there is no `feed` in it; update this program"),
    ],
)
def test_an_error_inside_a_200_is_an_error(
    shell: Shell, brand: StandIn, body: bytes, sentence: str
) -> None:
    configure(shell, brand.url, "loja")
    strike(brand, Fault(body=body))
    collect(shell, "loja", FIRST).because("loja: ", sentence)
    assert shell.stored() == set()
    brand.faults = {}
    assert collect(shell, "loja", FIRST).code == 0
    assert shell.stored()


def test_a_short_wait_that_a_source_asks_for_is_waited(shell: Shell, brand: StandIn) -> None:
    shell.configure(
        f'[sources.loja]\nbase_url = "{brand.url}"\nretries = 1\npatience = 5\n{KINDS["loja"]}'
    )
    brand.faults = {"/br/": Fault(status=429, headers={"Retry-After": "1"}, times=1)}
    assert collect(shell, "loja", FIRST).code == 0
    statuses = [status for path, status in brand.answers if path.startswith("/br/")]
    assert HTTPStatus.TOO_MANY_REQUESTS in statuses
    assert shell.stored()


@pytest.mark.parametrize(
    ("app", "sentences"),
    [
        ("999000111", ("Apple knows no app 999000111 in the store of BR", "mend `app` or")),
        ("minha-loja", ("sources.loja.app: 'minha-loja' is no app", "the digits after 'id'")),
    ],
)
def test_an_app_that_does_not_exist(
    shell: Shell, brand: StandIn, app: str, sentences: tuple[str, ...]
) -> None:
    table = KINDS["loja"].replace("1590042871", app)
    shell.configure(f'[sources.loja]\nbase_url = "{brand.url}"\n{table}')
    # What Apple's lookup says of an app it does not know.
    brand.faults = {"/lookup": Fault(body=b'{"resultCount": 0, "results": []}')}
    collect(shell, "loja", FIRST).because("loja: ", *sentences)
    configure(shell, brand.url, "loja")
    assert collect(shell, "loja", FIRST).code == 0
    assert shell.stored()


@contextmanager
def stalling() -> Iterator[str]:
    """A server that begins an answer and then says nothing more; its robots.txt is missing."""
    closing = Event()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if b"robots.txt" in connection.recv(65536):
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                return
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"feed": ')
            closing.wait()

    def listen() -> None:
        with suppress(OSError):
            while True:
                thread = Thread(target=talk, args=[listener.accept()[0]])
                thread.start()
                threads.append(thread)

    threads: list[Thread] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        waiter = Thread(target=listen)
        waiter.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    closing.set()
    for thread in [waiter, *threads]:
        thread.join()


def test_silence_in_the_middle_of_an_answer(shell: Shell, brand: StandIn) -> None:
    with stalling() as url:
        configure(shell, url, "loja", IMPATIENT)
        collect(shell, "loja", FIRST).because("did not answer within 0.5 s", "raise `timeout`")
    configure(shell, brand.url, "loja")
    assert collect(shell, "loja", FIRST).code == 0
    assert shell.stored()


def test_nobody_waits_a_minute_by_default() -> None:
    assert 10 <= Options().timeout <= 60
