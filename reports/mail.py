"""A rendered mail becomes RFC 5322 bytes, and bytes reach a mail server.

The outbox keeps the finished bytes. Sender, Message-ID and unsubscribe address come from the
``[mail]`` table; a message written before there was one gets them when it is sent (``seal``).
The Message-ID derives from the outbox key, so a message sent twice is one to its reader's mailbox.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache

from ..config import Mail, TlsMode
from .delivery_errors import Permanent, RetryLater, Unknown
from .render import Rendered, harmless

# Mail programs cut what is longer; folding makes no line longer than 76 characters.
_POLICY = SMTP.clone(max_line_length=76, cte_type="7bit")
_TEMPORARY = range(400, 500)
_SERVICE_CLOSING = 421
_START = 354
_OK = range(200, 300)
_UNKNOWN_USER = {550, 551, 553}


def compose(
    rendered: Rendered,
    *,
    key: str,
    recipient: str,
    brand: str,
    locale: str,
    now: datetime,
    settings: Mail | None,
    images: Mapping[str, bytes] | None = None,
) -> bytes:
    """The finished bytes of a mail: text, HTML and its pictures (``name`` is ``cid:name``).

    Raises Permanent when the recipient's address cannot be written in a header.
    """
    headers = EmailMessage(policy=_POLICY)
    headers["To"] = Address(addr_spec=ascii_address(recipient))
    headers["Subject"] = one_line(rendered.subject)
    headers["Date"] = format_datetime(now)
    headers["Auto-Submitted"] = "auto-generated"
    headers["X-Auto-Response-Suppress"] = "All"
    content = _content(rendered.text, rendered.html, locale, tuple((images or {}).items()))
    body = _head(headers) + content
    return seal(body, key=key, brand=brand, settings=settings) if settings else body


def _head(headers: EmailMessage) -> bytes:
    return headers.as_bytes().rstrip(b"\r\n") + b"\r\n"


@lru_cache(maxsize=8)
def _content(text: str, html: str, locale: str, images: tuple[tuple[str, bytes], ...]) -> bytes:
    """The parts of a mail with their headers: many readers get the same, so it is written once."""
    message = EmailMessage(policy=_POLICY)
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    page = message.get_body(("html",))
    for name, png in images:
        # The policy gives an EmailMessage, which mypy cannot see.
        page.add_related(png, "image", "png", cid=f"<{name}>", disposition="inline")  # type: ignore[union-attr]
    # Boundaries from what stands between them, not from chance: the same mail is the same bytes.
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{_digest(text + html)}_{number}")
    # Setting a content clears every content header before it.
    message["Content-Language"] = locale
    return message.as_bytes()


def seal(body: bytes, *, key: str, brand: str, settings: Mail) -> bytes:
    """The bytes with their sender's headers; bytes that have them stay as they are."""
    if re.search(rb"^From:", body.partition(b"\r\n\r\n")[0], re.MULTILINE | re.IGNORECASE):
        return body
    sender = ascii_address(settings.sender)
    headers = EmailMessage(policy=_POLICY)
    headers["From"] = Address(display_name=one_line(f"{brand} · Ouvidor"), addr_spec=sender)
    headers["Message-ID"] = message_id(key, sender)
    # Written by hand: the library would encode an address that is longer than a line, and no mail
    # program decodes it there.
    ways = "".join(f"{name}: {value}\r\n" for name, value in _ways_out(key, settings).items())
    return _head(headers) + ways.encode("ascii") + body


def _ways_out(key: str, settings: Mail) -> dict[str, str]:
    """One click to end the weekly digest where there is a page for it (RFC 8058), else a mail."""
    address = ascii_address(settings.unsubscribe or settings.sender)
    by_mail = f"<mailto:{address}?subject=unsubscribe>"
    kind, _, rest = key.partition(":")
    if settings.unsubscribe_page is None or settings.unsubscribe_key is None or kind != "digest":
        return {"List-Unsubscribe": by_mail}
    token = unsubscribe_token(rest.rpartition(":")[0], settings.unsubscribe_key)
    page = settings.unsubscribe_page.replace("{token}", token)
    return {
        "List-Unsubscribe": f"<{page}>,\r\n {by_mail}",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def unsubscribe_token(subscriber: str, key: str) -> str:
    """Who ends the digest, in a form that nobody makes up and that an address can hold."""
    proof = hmac.new(key.encode("utf-8"), subscriber.encode("utf-8"), hashlib.sha256)
    return f"{subscriber.encode('utf-8').hex()}-{proof.hexdigest()[:32]}"


def unsubscriber(token: str, key: str) -> str | None:
    """The subscriber of a token that was made with this key; None for any other."""
    name, _, _ = token.partition("-")
    try:
        subscriber = bytes.fromhex(name).decode("utf-8")
    except (ValueError, UnicodeDecodeError):
        return None
    made = unsubscribe_token(subscriber, key)
    same = hmac.compare_digest(made.encode("utf-8"), token.encode("utf-8", "replace"))
    return subscriber if same else None


def message_id(key: str, sender: str) -> str:
    """The same for the same outbox key and the sender's domain."""
    return f"<{_digest(key)}@{sender.rpartition('@')[2]}>"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8")).hexdigest()[:32]


def one_line(text: str) -> str:
    """Text that fits a header: no line break, no control character, also none in code.

    ``=?utf-8?q?=0A?=`` is a line break for Python's header classes, which decode what they are
    given; a mark of no width leaves it the text it was.
    """
    return " ".join(harmless(text).split()).replace("=?", "=\u200b?")


def ascii_address(address: str) -> str:
    """A mail address every server takes: the domain in its ASCII form.

    Raises Permanent when the part before the @ is not ASCII, which few servers take.
    """
    local, _, domain = address.rpartition("@")
    try:
        plain = f"{local}@{domain.encode('idna').decode('ascii')}"
        Address(addr_spec=plain.encode("ascii").decode("ascii"))
    except (UnicodeError, ValueError, IndexError) as error:
        raise Permanent(
            f"{one_line(address)}: this address cannot be written in ASCII; use another one"
        ) from error
    return plain


def send(settings: Mail, recipient: str, body: bytes) -> str:
    """Hand a finished mail to the server; returns the server's answer.

    Raises RetryLater when it certainly was not taken and may be later, Permanent when it never
    will be, and Unknown when the connection was lost after the last byte.
    """
    with connection(settings) as smtp:
        _envelope(smtp, settings, recipient)
        return _data(smtp, body)


@contextmanager
def connection(settings: Mail) -> Iterator[smtplib.SMTP]:
    """A session with the mail server, logged in; raises RetryLater with the mend."""
    where = f"the mail server {settings.host}:{settings.port}"
    try:
        smtp = _connected(settings)
    except smtplib.SMTPAuthenticationError as error:
        raise RetryLater(
            f"{where} refused the login ({_said(error.smtp_error)}); "
            "mend mail.user and its password",
            everyone=True,
        ) from error
    except ssl.SSLError as error:
        raise RetryLater(
            f"{where} could not prove who it is ({error}); "
            "mend its certificate, mail.host or mail.tls",
            everyone=True,
        ) from error
    except (OSError, smtplib.SMTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RetryLater(
            f"{where} cannot be used ({reason}); check mail.host and mail.port, or wait until it "
            "is up again",
            everyone=True,
        ) from error
    try:
        yield smtp
    except (OSError, smtplib.SMTPException) as error:
        raise RetryLater(f"{where} broke off: {error or type(error).__name__}") from error
    finally:
        _quit(smtp)


def _connected(settings: Mail) -> smtplib.SMTP:
    smtp: smtplib.SMTP
    if settings.tls is TlsMode.TLS:
        context = ssl.create_default_context()
        smtp = smtplib.SMTP_SSL(
            settings.host, settings.port, timeout=settings.timeout, context=context
        )
    else:
        smtp = smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout)
    try:
        if settings.tls is TlsMode.STARTTLS:
            smtp.starttls(context=ssl.create_default_context())
        if settings.user is not None and settings.password is not None:
            smtp.login(settings.user, settings.password)
        smtp.ehlo_or_helo_if_needed()
    except BaseException:
        smtp.close()
        raise
    return smtp


def _quit(smtp: smtplib.SMTP) -> None:
    """Say goodbye; whether the server hears it changes nothing about the message."""
    try:
        smtp.quit()
    except (OSError, smtplib.SMTPException):
        smtp.close()


def _envelope(smtp: smtplib.SMTP, settings: Mail, recipient: str) -> None:
    code, answer = smtp.mail(ascii_address(settings.sender))
    if code not in _OK:
        raise RetryLater(
            f"the mail server refused the sender {settings.sender} ({code} {_said(answer)}); "
            "mend mail.sender",
            everyone=True,
        )
    code, answer = smtp.rcpt(ascii_address(recipient))
    if code in _OK:
        return
    text = f"{recipient}: {code} {_said(answer)}"
    if code in _TEMPORARY:
        raise RetryLater(text, everyone=code == _SERVICE_CLOSING)
    raise Permanent(text, refuse=_nobody_there(code, _said(answer)))


def _nobody_there(code: int, answer: str) -> bool:
    """Whether the refusal is about the mailbox, not about us or its free space (RFC 3463)."""
    if status := re.match(r"5\.(\d{1,3})\.\d{1,3}\b", answer):
        return status[1] == "1"
    return code in _UNKNOWN_USER


def _data(smtp: smtplib.SMTP, body: bytes) -> str:
    code, answer = smtp.docmd("DATA")
    if code == _START:
        # Until the final dot is out the server must not take the message (RFC 5321, 4.1.1.4).
        smtp.send(_stuffed(body))
        try:
            code, answer = smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise Unknown(
                f"the connection was lost after the last byte ({error}); it may have arrived"
            ) from error
    if code in _OK:
        return f"{code} {_said(answer)}"
    if code in _TEMPORARY:
        raise RetryLater(f"{code} {_said(answer)}", everyone=code == _SERVICE_CLOSING)
    raise Permanent(f"the mail server refused the message: {code} {_said(answer)}")


def _stuffed(body: bytes) -> bytes:
    """The bytes as DATA wants them: CRLF ends, leading dots doubled, the final dot."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", body).removesuffix(b"\r\n")
    return re.sub(rb"(?m)^\.", b"..", lines) + b"\r\n.\r\n"


def _said(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return one_line(text)[:300]
