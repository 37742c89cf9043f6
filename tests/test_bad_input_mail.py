"""Mail servers that are down, slow, picky or gone in the middle, through the command line."""

from __future__ import annotations

import asyncio
import email
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from bad_input import HEAD, NOW, ROWS, Said, Shell

from ouvidor.config import Mail

pytestmark = pytest.mark.slow

PEOPLE = ("ana", "bento", "carla")
START = datetime.fromisoformat(NOW)


async def take() -> str:
    return "250 taken"


async def take_slowly() -> str:
    await asyncio.sleep(0.2)
    return "250 taken"


async def hang_up() -> None:
    return None


async def fall_silent() -> None:
    await asyncio.sleep(3600)  # ends with the connection


class Box:
    """A mail server's rules: what it says to an address, and to a mail once it has it whole."""

    def __init__(
        self,
        *,
        rcpt: Mapping[str, str] | None = None,
        data: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        self.rcpt, self.data = rcpt or {}, data or take
        self.taken: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd looks for this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _opts: object
    ) -> str:
        answer = self.rcpt.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.taken.append(envelope)
        answer = await self.data()
        if answer is None:
            assert server.transport is not None
            server.transport.abort()
        return answer or "421 gone"

    @property
    def recipients(self) -> list[str]:
        return sorted(envelope.rcpt_tos[0].partition("@")[0] for envelope in self.taken)

    @property
    def ids(self) -> list[str]:
        contents = [bytes(envelope.content or b"") for envelope in self.taken]
        return [email.message_from_bytes(content)["Message-ID"] for content in contents]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(box: Box, port: int) -> Iterator[None]:
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


@pytest.fixture
def port(shell: Shell) -> int:
    """Three digests wait in the outbox for a server at this port of loopback."""
    port = free_port()
    readers = "".join(f'[subscribers.{name}]\naddress = "{name}@example.com"\n' for name in PEOPLE)
    shell.configure(
        f'[mail]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\ntimeout = 0.5\n'
        f'sender = "ouvidor@loja.example"\n{readers}'
    )
    shell.write("a.csv", HEAD + ROWS)
    assert shell("import", "a.csv", "--source", "pesquisa", "--now", NOW).code == 0
    assert shell("digest", "--now", NOW).code == 0
    return port


def deliver(shell: Shell, after: timedelta = timedelta()) -> tuple[Said, tuple[int, int, int]]:
    """One drain, and how many were sent, failed and wait still."""
    said = shell("deliver", "--json", "--now", (START + after).isoformat())
    done = json.loads(said.out)
    return said, (done["sent"], done["failed"], done["waiting"])


def the_rest_leaves(shell: Shell, port: int, names: tuple[str, ...], after: timedelta) -> Box:
    """Once the server is well again the same command sends what waits, once."""
    box = Box()
    with serving(box, port):
        said, counts = deliver(shell, after)
        assert (said.code, counts[0], counts[2]) == (0, len(names), 0), said
        assert deliver(shell, after + timedelta(days=1))[1] == (0, 0, 0)
    assert box.recipients == list(names)
    return box


def test_a_server_that_is_down(shell: Shell, port: int) -> None:
    said, counts = deliver(shell)
    said.because(
        f"the mail server 127.0.0.1:{port} cannot be used (Connection refused)",
        "check mail.host and mail.port, or wait until it is up again",
    )
    assert counts == (0, 0, 3)
    the_rest_leaves(shell, port, PEOPLE, timedelta(minutes=10))


def test_a_server_that_says_nothing(shell: Shell, port: int) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        said, counts = deliver(shell)
    said.because(
        "cannot be used (Connection unexpectedly closed: timed out)",
        "check mail.host and mail.port, or wait until",
    )
    assert counts == (0, 0, 3)
    the_rest_leaves(shell, port, PEOPLE, timedelta(minutes=10))


def test_nobody_waits_for_a_mail_server_for_ever() -> None:
    settings = Mail(host="smtp.example.com", sender="ouvidor@example.com")
    assert 10 <= settings.timeout <= 60


def test_a_server_that_is_slow_but_alive_is_waited_for(shell: Shell, port: int) -> None:
    box = Box(data=take_slowly)
    with serving(box, port):
        said, counts = deliver(shell)
    assert (said.code, counts) == (0, (3, 0, 0))
    assert box.recipients == list(PEOPLE)


def test_one_of_three_addresses_is_refused_for_ever(shell: Shell, port: int) -> None:
    box = Box(rcpt={"bento@example.com": "550 5.1.1 no such user"})
    with serving(box, port):
        said, counts = deliver(shell)
    said.because(
        "digest:bento:2026-W40: bento@example.com: 550 5.1.1 no such user; this address is swi",
        "mend it in",
    )
    assert counts == (2, 1, 0)
    assert box.recipients == ["ana", "carla"]
    the_rest_leaves(shell, port, (), timedelta(minutes=10))


def test_one_of_three_addresses_is_refused_for_now(shell: Shell, port: int) -> None:
    box = Box(rcpt={"bento@example.com": "452 4.2.2 mailbox full"})
    with serving(box, port):
        said, counts = deliver(shell)
    said.because("bento@example.com: 452 4.2.2 mailbox full", "tried again")
    assert counts == (2, 0, 1)
    assert box.recipients == ["ana", "carla"]
    the_rest_leaves(shell, port, ("bento",), timedelta(minutes=10))


@pytest.mark.parametrize("how", [hang_up, fall_silent])
def test_a_server_that_goes_after_the_last_byte(
    shell: Shell, port: int, how: Callable[[], Awaitable[None]]
) -> None:
    """Nobody can tell whether it arrived: once more under the same Message-ID, then it rests."""
    box = Box(data=how)
    with serving(box, port):
        said, counts = deliver(shell)
    said.because(
        "digest:ana:2026-W40: the connection was lost after the last byte",
        "it may have arrived; it is sent once more under the same Message-ID",
    )
    assert counts == (0, 0, 3)
    assert box.recipients == list(PEOPLE)
    again = the_rest_leaves(shell, port, PEOPLE, timedelta(minutes=10))
    assert sorted(again.ids) == sorted(box.ids)


def test_what_is_lost_twice_after_the_last_byte_rests(shell: Shell, port: int) -> None:
    box = Box(data=hang_up)
    with serving(box, port):
        deliver(shell)
        said, counts = deliver(shell, timedelta(minutes=10))
        assert counts == (0, 3, 0)
        said.because("unknown: twice the connection was lost after the last byte", "ask the reader")
        assert deliver(shell, timedelta(days=1))[1] == (0, 0, 0)
    assert len(box.ids) == 6
    assert len(set(box.ids)) == 3
