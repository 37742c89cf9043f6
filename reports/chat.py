"""Sends a message to a chat service by its Apprise URL, which is a secret.

The only file that imports apprise, and only when a chat is used. Apprise answers yes or no and
puts the reason into its log: the reason is read there, so that a refused message is not tried for
days and a busy server is not taken for a refusal.

A chat reads markup where we write text: what customers wrote must call nobody, link nowhere and
break no message (Telegram refuses one with a stray ``<``).
"""

from __future__ import annotations

import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from .. import network
from .delivery_errors import Permanent, RetryLater, Unknown

if TYPE_CHECKING:
    import apprise

_STATUS = re.compile(r"error[=:\s]+(\d{3})\b")
_BUSY = frozenset({408, 425, 429})
_SERVER_ERROR = 500
# What the HTTP library says when the request never reached anybody.
_NEVER_LEFT = (
    "NewConnectionError",
    "ConnectTimeout",
    "NameResolutionError",
    "Connection refused",
    "SSLError",
    "ProxyError",
    "throttl",
)
_LOST = (
    "Read timed out",
    "ReadTimeout",
    "RemoteDisconnected",
    "Connection aborted",
    "reset by peer",
)


def validate(url: str) -> None:
    """Raise ValueError with a sentence when no chat service understands the URL."""
    _service(url)


_LIVE = re.compile(r"(?<=<)(?=\S)|(?<=(?<!\w)@)(?=\w)|(?<=\])(?=\()|(?<=\()(?=https?:)")
_QUOTE = re.compile(r"^>.*", re.MULTILINE)
_UNSEEN = "\u200b"


def inert(text: str) -> str:
    """The text with nothing in it that a chat would obey; it looks the same.

    A mark of no width parts ``<!channel>``, ``@here`` and ``[words](address)``, and addresses in
    a customer's words (lines that begin with ``>``); our own addresses stay links.
    """
    text = _LIVE.sub(_UNSEEN, text)
    return _QUOTE.sub(lambda line: line[0].replace("://", f":{_UNSEEN}//"), text)


def send_chat(url: str, subject: str, body: str, *, private_network: bool = False) -> None:
    """Send a subject and a plain text.

    A name of the public web that leads into one's own network is refused when it is connected to,
    unless ``private_network``. Raises RetryLater, Permanent or Unknown; the sentences never hold
    the URL.
    """
    try:
        service = _service(url)
    except ValueError as error:
        raise Permanent(str(error)) from error
    from apprise import NotifyFormat

    log = io.StringIO()
    outside = not (
        private_network or network.named(getattr(service, "host", "") or "") or network.proxies()
    )
    with _listening(log), _outside(only=outside) as refused:
        # Said to be text, it is escaped by the rules of each service.
        sent = service.notify(title=inert(subject), body=inert(body), body_format=NotifyFormat.TEXT)
    if refused:
        raise Permanent(
            "the chat's host leads into a network of one's own and was not connected to; if that "
            "is right, set private_network = true in this chat"
        )
    if not sent:
        _raise(type(service).__name__.removeprefix("Notify"), log.getvalue())


def _service(url: str) -> apprise.NotifyBase:
    import apprise

    with _listening(io.StringIO()), warnings.catch_warnings():
        # Its own plugins import modules that Python is about to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        scheme = url.partition("://")[0]
        shown = f"{scheme}://…" if re.fullmatch(r"[a-z0-9+.-]{1,20}", scheme) else "the value"
        raise ValueError(
            f"{shown} is no chat address that Apprise understands; "
            "see https://github.com/caronc/apprise/wiki for the form of each service"
        )
    # One message is one message: a text that is too long is cut, not sent in pieces.
    service.overflow_mode = apprise.OverflowMode.TRUNCATE
    # A message goes where the configuration says, and nowhere else.
    service.redirects = False
    return service


class _listening:  # noqa: N801 - read as a phrase: with _listening(log)
    """Apprise's log goes into ``log`` and nowhere else: it prints whole URLs."""

    def __init__(self, log: io.StringIO) -> None:
        self._handler = logging.StreamHandler(log)
        self._logger = logging.getLogger("apprise")

    def __enter__(self) -> None:
        self._before = self._logger.level, self._logger.propagate
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        self._logger.addHandler(self._handler)

    def __exit__(self, *_error: object) -> None:
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._before[0])
        self._logger.propagate = self._before[1]


_refused: ContextVar[list[str] | None] = ContextVar("refused", default=None)
"""Where connections into one's own network are noted while they are refused; else None."""


@contextmanager
def _outside(*, only: bool) -> Iterator[list[str]]:
    """Refuse connections into one's own network, as they are made; which ones, is told."""
    refused: list[str] = []
    if only:
        _watch()
    token = _refused.set(refused if only else None)
    try:
        yield refused
    finally:
        _refused.reset(token)


@cache
def _watch() -> None:
    """Look at every connection that Python makes: a library has no better place to be asked at."""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "socket.connect" or (refused := _refused.get()) is None:
            return
        address = arguments[1]
        if isinstance(address, tuple) and network.inside(str(address[0])):
            refused.append(str(address[0]))
            raise ConnectionRefusedError("this address lies inside a network of one's own")

    sys.addaudithook(look)


def _raise(name: str, log: str) -> None:
    status = _STATUS.search(log)
    code = int(status.group(1)) if status else 0
    if code in _BUSY or code >= _SERVER_ERROR:
        raise RetryLater(f"the {name} service answered {code}; it may take the message later")
    if code:
        raise Permanent(
            f"the {name} service refused the message with {code}; check the address of the chat"
        )
    if any(sign in log for sign in _LOST):
        raise Unknown(f"the {name} service took the message and did not answer")
    if any(sign in log for sign in _NEVER_LEFT):
        raise RetryLater(f"the {name} service cannot be reached; it may take the message later")
    raise Unknown(f"the {name} service failed and did not say why")
