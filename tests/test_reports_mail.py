"""A finished mail is valid, repeatable and safe; a real server on loopback takes it or not."""

from __future__ import annotations

import email
import email.policy
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from threading import Thread

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ouvidor.config import Mail, Secret, TlsMode
from ouvidor.reports import mail
from ouvidor.reports.delivery_errors import Permanent, RetryLater, Unknown
from ouvidor.reports.render import Rendered

NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
KEY = "digest:ana:2026-W47"
ANA = "ana@example.com"
RENDERED = Rendered(
    subject="Casa Aurora, semana 47: Entrega caiu",
    text="Olá, Ana.\n.ponto no começo da linha\n" + "x" * 1200 + "\n",
    html="<!doctype html><html><body><p>Olá 🙂</p><img src='cid:trend@x' alt='t'></body></html>",
)


def settings(port: int = 25, **more: object) -> Mail:
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "tls": TlsMode.NONE,
        "sender": "ouvidor@aurora.example",
        "timeout": 5,
    }
    return Mail.model_validate(values | more)


def compose(
    rendered: Rendered = RENDERED, *, sender: Mail | None = None, brand: str = "Casa Aurora"
) -> bytes:
    return mail.compose(
        rendered,
        key=KEY,
        recipient=ANA,
        brand=brand,
        locale="pt-BR",
        now=NOW,
        settings=sender,
        images={"trend@x": b"\x89PNG not really"},
    )


def parsed(body: bytes) -> EmailMessage:
    message = email.message_from_bytes(body, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk() if part.defects] == []
    return message


def test_headers() -> None:
    message = parsed(compose(sender=settings()))
    assert message["From"].addresses[0].addr_spec == "ouvidor@aurora.example"
    assert message["From"].addresses[0].display_name == "Casa Aurora · Ouvidor"
    assert message["To"] == ANA
    assert message["Subject"] == RENDERED.subject
    assert message["Date"].datetime == NOW
    assert message["Content-Language"] == "pt-BR"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["List-Unsubscribe"] == "<mailto:ouvidor@aurora.example?subject=unsubscribe>"
    assert message["Message-ID"].endswith("@aurora.example>")
    assert [len(message.get_all(name)) for name in ("From", "To", "Message-ID")] == [1, 1, 1]


def test_the_unsubscribe_address_of_the_configuration() -> None:
    message = parsed(compose(sender=settings(unsubscribe="sair@aurora.example")))
    assert message["List-Unsubscribe"] == "<mailto:sair@aurora.example?subject=unsubscribe>"


def test_parts() -> None:
    message = parsed(compose(sender=settings()))
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content() == RENDERED.text.replace("\n", "\r\n")
    assert "Olá 🙂" in html.get_content()
    [picture] = [part for part in message.walk() if part.get_content_maintype() == "image"]
    assert picture["Content-ID"] == "<trend@x>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_content() == b"\x89PNG not really"


def test_the_bytes_pass_every_server() -> None:
    body = compose(sender=settings())
    assert body.isascii()
    assert b"\n" not in body.replace(b"\r\n", b"")
    assert max(len(line) for line in body.split(b"\r\n")) <= 998


def test_the_same_mail_is_the_same_bytes() -> None:
    assert compose(sender=settings()) == compose(sender=settings())


def test_the_message_id_is_the_keys_and_the_senders() -> None:
    ids = [
        mail.message_id(KEY, "ouvidor@aurora.example"),
        mail.message_id(KEY, "ouvidor@aurora.example"),
        mail.message_id("digest:ana:2026-W48", "ouvidor@aurora.example"),
        mail.message_id(KEY, "ouvidor@other.example"),
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_mail_written_before_there_was_a_server_is_sealed_later() -> None:
    early = compose(sender=None)
    assert parsed(early)["From"] is None
    late = mail.seal(early, key=KEY, brand="Casa Aurora", settings=settings())
    assert late == compose(sender=settings())
    assert mail.seal(late, key=KEY, brand="Other", settings=settings(sender="x@y.example")) == late


@pytest.mark.parametrize(
    "poison",
    [
        "Oi\r\nBcc: victim@example.com",
        "Oi\nBcc: victim@example.com",
        "Oi\x00\x0b\x85Bcc: victim@example.com",
        "Oi\u2028Bcc: victim@example.com",
        '"><victim@example.com>, "',
    ],
)
def test_no_header_can_be_injected(poison: str) -> None:
    body = compose(Rendered(poison, "text", "<p>html</p>"), sender=settings(), brand=poison)
    message = parsed(body)
    assert message["Bcc"] is None
    assert [address.addr_spec for address in message["To"].addresses] == [ANA]
    assert [a.addr_spec for a in message["From"].addresses] == ["ouvidor@aurora.example"]
    assert message["Subject"].startswith(("Oi", '">'))


def test_an_address_with_an_international_domain_is_written_in_ascii() -> None:
    assert mail.ascii_address("ana@loja-são.example") == "ana@xn--loja-so-2wa.example"
    with pytest.raises(Permanent, match="ASCII"):
        mail.ascii_address("joão@loja.example")


class Box:
    """A mailbox that takes everything, or answers what it is told to."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.taken: list[Envelope] = []

    async def handle_MAIL(  # noqa: N802 - aiosmtpd looks for this name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        envelope.mail_from = address
        return self.answers.get("mail", "250 OK")

    async def handle_RCPT(  # noqa: N802 - see above
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answers.get("rcpt", "250 OK")

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - see above
        self.taken.append(envelope)
        return self.answers.get("data", "250 taken")


@contextmanager
def serving(box: Box, **options: object) -> Iterator[int]:
    """A real SMTP server on loopback; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    controller = Controller(box, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


def test_sent_as_it_was_written() -> None:
    box, body = Box(), compose(sender=settings())
    with serving(box) as port:
        assert mail.send(settings(port), ANA, body) == "250 taken"
    [envelope] = box.taken
    assert envelope.mail_from == "ouvidor@aurora.example"
    assert envelope.rcpt_tos == [ANA]
    assert envelope.content == body


def test_a_line_that_begins_with_a_dot_survives() -> None:
    box, body = Box(), b"Subject: x\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n"
    with serving(box) as port:
        mail.send(settings(port), ANA, body)
    assert box.taken[0].content == body


@pytest.mark.parametrize(
    ("answers", "refuse"),
    [
        ({"rcpt": "550 5.1.1 no such user"}, True),
        ({"rcpt": "550 no such user"}, True),
        ({"rcpt": "550 5.7.1 relaying denied"}, False),
        ({"rcpt": "552 5.2.2 mailbox full"}, False),
        ({"data": "554 5.7.1 looks like spam"}, False),
    ],
)
def test_permanent_and_whose_fault(answers: dict[str, str], *, refuse: bool) -> None:
    with serving(Box(**answers)) as port, pytest.raises(Permanent) as error:
        mail.send(settings(port), ANA, compose(sender=settings()))
    assert error.value.refuse is refuse
    assert next(iter(answers.values()))[:3] in str(error.value)


@pytest.mark.parametrize(
    ("answers", "everyone"),
    [
        ({"rcpt": "451 4.7.1 greylisted"}, False),
        ({"rcpt": "421 closing"}, True),
        ({"data": "452 4.3.1 no space"}, False),
        ({"mail": "550 5.7.1 not your domain"}, True),
    ],
)
def test_retry_and_for_whom(answers: dict[str, str], *, everyone: bool) -> None:
    with serving(Box(**answers)) as port, pytest.raises(RetryLater) as error:
        mail.send(settings(port), ANA, compose(sender=settings()))
    assert error.value.everyone is everyone


def test_a_server_that_is_down_is_everybodys_trouble() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RetryLater, match="cannot be used") as error:
            mail.send(settings(taken.getsockname()[1]), ANA, b"x")
    assert error.value.everyone


def reader(connection: socket.socket) -> Callable[[bytes], None]:
    """Reads until some bytes came."""
    seen = bytearray()

    def until(end: bytes) -> None:
        while end not in seen:
            if not (more := connection.recv(65536)):
                return
            seen.extend(more)
        seen.clear()

    return until


@contextmanager
def breaking(*, after_the_dot: bool) -> Iterator[int]:
    """A server that hangs up at DATA or after the last byte."""

    def talk() -> None:
        connection, _ = listener.accept()
        with connection:
            until = reader(connection)
            connection.sendall(b"220 hello\r\n")
            for _ in ("EHLO", "MAIL", "RCPT"):
                until(b"\r\n")
                connection.sendall(b"250 OK\r\n")
            until(b"\r\n")
            if after_the_dot:
                connection.sendall(b"354 go\r\n")
                until(b"\r\n.\r\n")

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = Thread(target=talk)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_lost_after_the_last_byte_nobody_knows() -> None:
    with breaking(after_the_dot=True) as port, pytest.raises(Unknown, match="may have arrived"):
        mail.send(settings(port), ANA, compose(sender=settings()))


def test_lost_before_the_last_byte_it_did_not_leave() -> None:
    with breaking(after_the_dot=False) as port, pytest.raises(RetryLater, match="broke off"):
        mail.send(settings(port), ANA, compose(sender=settings()))


def test_a_server_that_says_nothing_times_out() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(RetryLater, match="timed out"):
            mail.send(settings(port, timeout=0.2), ANA, b"x")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that no authority signed, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def context(certificate: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


def test_starttls_with_a_certificate_that_proves_itself(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    box = Box()
    with serving(box, tls_context=context(certificate), require_starttls=True) as port:
        mail.send(settings(port, tls=TlsMode.STARTTLS), ANA, compose(sender=settings()))
    assert len(box.taken) == 1


def test_starttls_refuses_a_stranger(certificate: Path) -> None:
    box = Box()
    with (
        serving(box, tls_context=context(certificate)) as port,
        pytest.raises(RetryLater, match="could not prove who it is") as error,
    ):
        mail.send(settings(port, tls=TlsMode.STARTTLS), ANA, compose(sender=settings()))
    assert error.value.everyone
    assert box.taken == []


def test_starttls_never_falls_back_to_clear_text() -> None:
    box = Box()
    with serving(box) as port, pytest.raises(RetryLater, match="STARTTLS"):
        mail.send(settings(port, tls=TlsMode.STARTTLS), ANA, compose(sender=settings()))
    assert box.taken == []


def test_tls_from_the_first_byte(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    box = Box()
    with serving(box, ssl_context=context(certificate)) as port:
        mail.send(settings(port, tls=TlsMode.TLS), ANA, compose(sender=settings()))
    assert len(box.taken) == 1


def login(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword
) -> AuthResult:
    return AuthResult(success=data.password == b"right", handled=False)


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_login(password: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    box = Box()
    options = {"authenticator": login, "auth_required": True, "tls_context": context(certificate)}
    with serving(box, **options) as port:
        account = settings(port, tls=TlsMode.STARTTLS, user="ouvidor", password=Secret(password))
        if password == "right":
            mail.send(account, ANA, compose(sender=settings()))
        else:
            with pytest.raises(RetryLater, match=r"mail\.user") as error:
                mail.send(account, ANA, compose(sender=settings()))
            assert error.value.everyone
            assert password not in str(error.value)
    assert len(box.taken) == (password == "right")
