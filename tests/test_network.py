"""Nobody sends us into the network: neither a redirect, nor a name, nor a name that changes."""

from __future__ import annotations

import http.server
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import pytest
from bad_input import Shell

from ouvidor import network
from ouvidor.demo.server import StandIn
from ouvidor.reports.chat import send_chat
from ouvidor.reports.delivery_errors import Permanent

NOW = datetime.fromisoformat("2026-09-01T09:00-03:00")
APP = 'kind = "app_store"\napp = "1590042871"\ncountry = "br"\nretries = 0\n'
INSIDE = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1"),  # noqa: S104 - an address to refuse
    *("::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "what is no address"),
)
ODD = (
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.0.0.1.example.com",
    "api.example.com",
)
OWN = (
    "127.0.0.1",
    "[::1]",
    "10.0.0.7",
    "localhost",
    "a.localhost",
    "db",
    "crm.internal",
    "crm.corp.",
)


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_of_ones_own_network(address: str) -> None:
    assert network.inside(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_an_address_of_the_public_internet(address: str) -> None:
    assert not network.inside(address)


def test_only_what_says_where_it_leads_may_lead_inside() -> None:
    assert [host for host in OWN if not network.named(host)] == []
    assert [host for host in ODD if network.named(host)] == []


@pytest.fixture
def inner() -> Iterator[StandIn]:
    """Something inside the network that only this machine may reach."""
    with StandIn(NOW) as server:
        yield server


class Names:
    """A name server in our hands: each name leads to what it is told, one answer after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, list[str]] = {}
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, port: int, *more: object, **named: object) -> list[object]:
        if host not in self.answers:
            return list(self._real(host, port, *more, **named))  # type: ignore[arg-type]
        answers = self.answers[host]
        address = answers[min(self.asked[host], len(answers) - 1)]
        self.asked[host] += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def port_of(server: StandIn) -> str:
    return server.url.rpartition(":")[2]


@pytest.mark.ordeal
@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001"])
def test_another_way_to_write_an_address_leads_nowhere(
    shell: Shell, inner: StandIn, host: str
) -> None:
    """No name server is asked for these: the machine itself takes them for 127.0.0.1."""
    shell.configure(f'[sources.loja]\nbase_url = "http://{host}:{port_of(inner)}"\n{APP}')
    said = shell("collect", "loja", "--now", NOW.isoformat())
    said.because("leads to 127.0.0.1", "private_network = true")
    assert sum(inner.requests.values()) == 0


@pytest.mark.ordeal
def test_a_name_of_the_web_may_not_lead_inside(shell: Shell, inner: StandIn, names: Names) -> None:
    names.answers["feed.example.com"] = ["127.0.0.1"]
    table = f'[sources.loja]\nbase_url = "http://feed.example.com:{port_of(inner)}"\n{APP}'
    shell.configure(table)
    said = shell("collect", "loja", "--now", NOW.isoformat())
    said.because("feed.example.com", "inside a network of one's own", "private_network = true")
    assert sum(inner.requests.values()) == 0
    shell.configure(table + "private_network = true\n")
    assert shell("collect", "loja", "--now", NOW.isoformat()).code == 0
    assert sum(inner.requests.values()) > 0


@pytest.mark.ordeal
def test_a_name_that_changes_is_looked_at_each_time(
    shell: Shell, inner: StandIn, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public at first, inside when it comes to the feed."""
    names.answers["feed.example.com"] = ["127.0.0.1", "127.0.0.1", "10.0.0.5"]
    real = network.inside
    monkeypatch.setattr(network, "inside", lambda address: address != "127.0.0.1" and real(address))
    shell.configure(f'[sources.loja]\nbase_url = "http://feed.example.com:{port_of(inner)}"\n{APP}')
    said = shell("collect", "loja", "--now", NOW.isoformat())
    said.because("leads to 10.0.0.5")
    assert names.asked["feed.example.com"] == 3
    assert sum(inner.requests.values()) == 2


class Room(http.server.HTTPServer):
    """A chat room on loopback that counts what comes, and sends it on where it is told."""

    def __init__(self, on: str = "") -> None:
        self.on, self.got = on, 0
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Room

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got += 1
        self.send_response(307 if self.server.on else 200)
        if self.server.on:
            self.send_header("Location", self.server.on)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def rooms() -> Iterator[tuple[Room, Room, Room]]:
    """One that sends on to the next, and so on to the last."""
    last = Room()
    middle = Room(f"http://127.0.0.1:{last.server_port}/x")
    first = Room(f"http://127.0.0.1:{middle.server_port}/x")
    threads = [
        threading.Thread(target=each.serve_forever, args=(0.01,)) for each in (first, middle, last)
    ]
    for thread in threads:
        thread.start()
    yield first, middle, last
    for each, thread in zip((first, middle, last), threads, strict=True):
        each.shutdown()
        thread.join()
        each.server_close()


def test_a_chat_follows_no_redirect(rooms: tuple[Room, Room, Room]) -> None:
    for asked in ("", "?redirect=yes"):
        with pytest.raises(Permanent, match="307"):
            send_chat(f"json://127.0.0.1:{rooms[0].server_port}/a{asked}", "subject", "body")
    assert [room.got for room in rooms] == [2, 0, 0]


def test_a_chats_name_may_not_lead_inside(rooms: tuple[Room, Room, Room], names: Names) -> None:
    *_, last = rooms
    names.answers["chat.example.com"] = ["127.0.0.1"]
    url = f"json://chat.example.com:{last.server_port}/token"
    with pytest.raises(Permanent, match="private_network = true") as error:
        send_chat(url, "subject", "body")
    assert "token" not in str(error.value)
    assert last.got == 0
    send_chat(url, "subject", "body", private_network=True)
    assert last.got == 1
    send_chat(f"json://127.0.0.1:{last.server_port}/token", "subject", "body")
    assert last.got == 2


def test_a_password_in_an_address_is_refused_without_showing_it(shell: Shell) -> None:
    shell.configure(f'[sources.loja]\nbase_url = "https://ana:sesame@feed.example.com"\n{APP}')
    said = shell("collect", "loja", "--now", NOW.isoformat())
    said.because("base_url: an address holds no user and password")
    assert "sesame" not in said.out + said.err
