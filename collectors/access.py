"""Ways to be let in by an official API: a key, a token of our own signing, a token asked for.

Tokens live in memory for one run. Signing is PyJWT's (RFC 7519).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import jwt

from ..storage.vocabulary import Outcome
from .collector import Access, Answer, Ask, Trouble
from .judge import clip

EARLY = timedelta(seconds=60)
"""How long before its end a token is renewed."""
SKEW = timedelta(minutes=5)
"""How far two clocks may differ before it is worth a word."""

Refused = Callable[[Answer, Mapping[str, Any]], Trouble | None]


class Key(Access):
    """The same headers with every request."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def headers(self, now: datetime) -> Mapping[str, str]:  # noqa: ARG002 - a key does not age
        """The key."""
        return self._headers


class Signed(Access):
    """A token that we sign ourselves and that is sent as it is."""

    def __init__(self, sign: Callable[[datetime], str], lifetime: timedelta) -> None:
        self._sign, self._lifetime = sign, lifetime
        self._token, self._until = "", None
        self.used_at = None

    _until: datetime | None
    used_at: datetime | None
    """When it was last sent, by this machine's clock."""

    def headers(self, now: datetime) -> Mapping[str, str]:
        """The token, signed anew shortly before it ends."""
        self.used_at = now
        if self._until is None or now >= self._until - EARLY:
            self._token, self._until = self._sign(now), now + self._lifetime
        return {"Authorization": f"Bearer {self._token}"}


class Token(Access):
    """A token that is asked for with a form (OAuth 2, RFC 6749) and renewed before its end.

    ``form`` gives the fields at a moment; ``headers`` go with the asking; ``refused`` reads the
    source's own words when there is no token, its JSON being empty where it was none.
    """

    def __init__(
        self,
        url: str,
        form: Callable[[datetime], Mapping[str, str]],
        *,
        headers: Mapping[str, str] | None = None,
        refused: Refused | None = None,
    ) -> None:
        self._url, self._form, self._refused = url, form, refused
        self._sent = {"Content-Type": "application/x-www-form-urlencoded"} | dict(headers or {})
        self._token = ""
        self._until: datetime | None = None

    def ask(self, now: datetime) -> Ask | None:
        """The request for a token, unless one is fresh."""
        if self._token and self._until is not None and now < self._until:
            return None
        body = urlencode(self._form(now)).encode()
        return Ask(url=self._url, headers=self._sent, body=body)

    def keep(self, answer: Answer, now: datetime) -> None:
        """Keep the token; raises Trouble with the mend when there is none."""
        try:
            data = json.loads(answer.body)
        except ValueError:
            data = {}
        data = data if isinstance(data, dict) else {}
        token, lifetime = data.get("access_token"), data.get("expires_in")
        if answer.status == HTTPStatus.OK and isinstance(token, str) and token:
            self._token = token
            self._until = now + max(_lifetime(lifetime) - EARLY, timedelta(seconds=1))
            return
        raise (self._refused and self._refused(answer, data)) or _no_token(answer, data)

    def headers(self, now: datetime) -> Mapping[str, str]:  # noqa: ARG002 - `ask` has renewed it
        """The token."""
        return {"Authorization": f"Bearer {self._token}"}

    def drop(self) -> bool:
        """Ask for another one next time."""
        self._token, self._until = "", None
        return True


def _lifetime(told: object) -> timedelta:
    """How long a token lives by the source's own word; ten minutes where it says nothing clear."""
    try:
        seconds = float(str(told))
    except ValueError:
        seconds = 0.0
    return timedelta(seconds=min(seconds, 86_400.0) if seconds > 0 else 600.0)


def _no_token(answer: Answer, data: Mapping[str, Any]) -> Trouble:
    told = clip(data.get("error_description") or data.get("error") or "no reason given")
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Trouble(
            Outcome.UNAVAILABLE,
            f"The service that gives out tokens is out of order ({answer.status}); "
            "run it again later.",
        )
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Trouble(
            Outcome.RATE_LIMITED,
            "Too many tokens were asked for (429); the next run goes on.",
        )
    return Trouble(
        Outcome.BLOCKED,
        f"The source gave no access token ({answer.status}: {told}); check the credentials.",
    )


def clock_off(answer: Answer, asked: datetime | None) -> str:
    """How far this machine's clock is off by the answer's own date, as the end of a sentence."""
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return ""
    off = (asked - theirs.replace(tzinfo=theirs.tzinfo or UTC)) if asked else timedelta()
    if abs(off) < SKEW:
        return ""
    where = "ahead of" if off > timedelta() else "behind"
    return f": this machine's clock is {abs(off) // timedelta(minutes=1)} minutes {where} theirs"


def signed(claims: Mapping[str, Any], key: str, algorithm: str, headers: Mapping[str, str]) -> str:
    """A JSON Web Token; raises Trouble when the key is none of this algorithm."""
    try:
        return jwt.encode(dict(claims), key, algorithm=algorithm, headers=dict(headers))
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise Trouble(
            Outcome.MISCONFIGURED,
            f"The private key cannot sign with {algorithm}; name the key file as it was "
            "downloaded, with its BEGIN and END lines.",
        ) from error
