"""What passes between the stand-in server and the APIs it stands in for."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qs, unquote

from .feedback import Piece

JSON = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response before it goes out; a ``cacheable`` 200 gets an ETag and honours one."""

    status: int = HTTPStatus.OK
    type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cacheable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: ``path`` as it was sent, header names in lower case, ``base`` our own URL."""

    method: str
    path: str
    base: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def one(self, name: str, otherwise: str = "") -> str:
        """The last value of a query parameter."""
        return self.query[name][-1] if name in self.query else otherwise

    def number(self, name: str, otherwise: int, refusal: Answer) -> int:
        """A query parameter as a whole number; anything else is refused."""
        value = self.one(name, str(otherwise))
        if not value.isdecimal():
            raise Refused(refusal)
        return int(value)

    def bearer(self) -> str:
        """The token of the Authorization header, or an empty string."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.casefold() == "bearer" else ""

    def basic(self) -> tuple[str, str]:
        """User and password of the Authorization header, or two empty strings."""
        scheme, _, packed = self.headers.get("authorization", "").partition(" ")
        if scheme.casefold() != "basic":
            return "", ""
        try:
            user, _, password = base64.b64decode(packed, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password

    def form(self) -> dict[str, str]:
        """The fields of a form in the body; of repeated ones the last."""
        fields = parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return {name: values[-1] for name, values in fields.items()}


class Refused(Exception):  # noqa: N818 (it is an answer on its way out, not a fault of ours)
    """Leaves a handler early with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class World(Protocol):
    """What a service may ask of the stand-in."""

    now: datetime

    def moment(self) -> datetime:
        """``now`` plus the time that really went by: the clock of tokens and quotas."""
        ...

    def shown(self, source: str | None) -> list[Piece]:
        """The source's pieces as they stand at ``now``, oldest first."""
        ...

    def told(self, source: str) -> list[Piece]:
        """The source's pieces with all that will become of them, whatever the time."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path pattern, and who answers; named groups become arguments, decoded."""

    method: str
    pattern: str
    handler: Callable[..., Answer]


class Service(ABC):
    """One API of the outside world."""

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """What it answers."""

    def answer(self, request: Request) -> Answer | None:
        """Its answer; None where the path is not one of its own."""
        for route in self.routes():
            found = re.fullmatch(route.pattern, request.path)
            if found and route.method == request.method:
                parts = {name: unquote(value) for name, value in found.groupdict().items()}
                try:
                    return route.handler(request, **parts)
                except Refused as refusal:
                    return refusal.answer
        return None


class Quota:
    """At most ``calls`` within any ``window``, counted for each caller by itself."""

    def __init__(self, calls: int, window: timedelta) -> None:
        self.calls = calls
        self.window = window
        self._taken: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self._lock = threading.Lock()

    def take(self, caller: str, at: datetime) -> int | None:
        """How many calls are left after this one; None when it was one too many."""
        with self._lock:
            taken = self._taken[caller]
            # The stand-in's time may also be set back.
            while taken and not at - self.window < taken[0] <= at:
                taken.popleft()
            if len(taken) >= self.calls:
                return None
            taken.append(at)
            return self.calls - len(taken)

    def wait(self, caller: str, at: datetime) -> int:
        """Whole seconds until the next call is let through, at least 1."""
        with self._lock:
            taken = self._taken[caller]
            left = (taken[0] + self.window - at).total_seconds() if taken else 0.0
        return max(1, int(left) + 1)


def reply(
    value: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Answer:
    """A JSON answer."""
    body = json.dumps(value, ensure_ascii=False, indent=2).encode()
    return Answer(status=status, type=JSON, body=body, headers=headers or {}, cacheable=False)


def cursor(place: int) -> str:
    """A page token that looks like nothing in particular."""
    return base64.urlsafe_b64encode(f"at:{place}".encode()).decode().rstrip("=")


def place(token: str, refusal: Answer) -> int:
    """Where a page token points; 0 for none. A token that we never gave is refused."""
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Refused(refusal) from None
    found = re.fullmatch(r"at:(\d+)", text)
    if not found:
        raise Refused(refusal)
    return int(found[1])
