"""How Google's APIs let us in, and what they say when they do not.

A service account signs its own request for a token (RFC 7523); an owner who once agreed in the
browser left a refresh token. Both end in a token that lives an hour.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator

from ..config import Secret, SecretValue
from ..storage.vocabulary import Outcome
from .access import Token, clock_off, signed
from .collector import Access, Answer, Trouble
from .judge import clip

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = timedelta(hours=1)
"""The longest that Google lets a signed request live."""

_HOW = (
    "make one in the Google Cloud console (IAM > Service accounts > Keys > Add key > JSON) and "
    "name the file as it was downloaded"
)
_CLOCK = re.compile(r"\b(?:iat|exp)\b|timeframe|not valid yet", re.IGNORECASE)


def check_key(value: Secret) -> Secret:
    """The value, if it is a service account's JSON key; raises ValueError with the mend."""
    _account(value)
    return value


ServiceAccountKey = Annotated[SecretValue, AfterValidator(check_key)]
"""A service account's key file in the configuration: ``{ env = "NAME" }`` with NAME_FILE set."""


def _account(key_json: str) -> Mapping[str, str]:
    """The fields of a key file; raises ValueError, whose sentence quotes nothing of it."""
    try:
        data = json.loads(key_json)
    except (ValueError, RecursionError) as error:
        raise ValueError(_no_json(key_json)) from error
    if not isinstance(data, dict):
        raise ValueError(f"this JSON is no service account's key; {_HOW}")  # noqa: TRY004 - pydantic's way
    if "installed" in data or "web" in data:
        raise ValueError(
            f"this is the file of an OAuth client, not a service account's key; {_HOW}"
        )
    if data.get("type") != "service_account":
        kind = clip(data.get("type") or "nothing that it names")
        raise ValueError(f"this key file is for {kind}, not for a service account; {_HOW}")
    wanted = ("client_email", "private_key")
    missing = [name for name in wanted if not isinstance(data.get(name), str) or not data[name]]
    if missing:
        raise ValueError(f"the service account's key lacks {' and '.join(missing)}; {_HOW}")
    _check_private(data["private_key"])
    return {name: value for name, value in data.items() if isinstance(value, str)}


def _no_json(text: str) -> str:
    if text.lstrip().startswith("-----BEGIN"):
        return f"this is only the private key, not the service account's whole JSON; {_HOW}"
    if text.strip().endswith(".json") and "\n" not in text.strip():
        return "this is a path and not a key; put the path into the variable that ends in _FILE"
    return f"this is no JSON, so no service account's key; {_HOW}"


def _check_private(pem: str) -> None:
    try:
        key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(
            f"the private key inside the service account's key cannot be read; {_HOW}"
        ) from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"the private key inside is no RSA key; {_HOW}")  # noqa: TRY004 - same


def service_account(key_json: str, scope: str, token_url: str | None = None) -> Access:
    """A service account's way in; ``token_url`` goes before the one that its key names.

    Raises ValueError with the mend when the key is none; `ServiceAccountKey` has checked it.
    """
    account = _account(key_json)
    url = token_url or account.get("token_uri") or TOKEN_URL
    asked: list[datetime] = []

    def form(now: datetime) -> Mapping[str, str]:
        asked[:] = [now]
        issued = int(now.timestamp())
        claims = {
            "iss": account["client_email"],
            "scope": scope,
            "aud": url,
            "iat": issued,
            "exp": issued + int(LIFETIME.total_seconds()),
        }
        key_id = account.get("private_key_id")
        headers = {"kid": key_id} if key_id else {}
        assertion = signed(claims, account["private_key"], "RS256", headers)
        return {"grant_type": JWT_BEARER, "assertion": assertion}

    def refused(answer: Answer, data: Mapping[str, Any]) -> Trouble | None:
        return _account_refused(answer, data, account["client_email"], asked[-1] if asked else None)

    return Token(url, form, refused=refused)


def _account_refused(
    answer: Answer, data: Mapping[str, Any], email: str, asked: datetime | None
) -> Trouble | None:
    """What Google's token endpoint has against a service account, or None for its own faults."""
    error, told = data.get("error"), clip(data.get("error_description") or "")
    if error == "invalid_grant" and _CLOCK.search(told):
        return _blocked(
            f"Google refused the signed request because of its time{clock_off(answer, asked)}; set "
            "this machine's clock (NTP) and run it again"
        )
    if error == "invalid_grant" and "signature" in told.casefold():
        return _blocked(
            f"Google does not accept the key of {email} (invalid signature): it was deleted or "
            "belongs to another account; make a new key and name its file"
        )
    if error in {"invalid_grant", "invalid_client", "disabled_client", "deleted_client"}:
        return _blocked(
            f"Google gives {email} no access ({clip(error)}: {told}): the service account was "
            "deleted or disabled, or its key revoked; look it up in the Google Cloud console and "
            "make a new key"
        )
    if error in {"invalid_scope", "unauthorized_client", "access_denied"}:
        return _blocked(
            f"Google does not let {email} ask for this scope ({clip(error)}: {told}); enable the "
            "API in its Cloud project and give the account its rights"
        )
    return None


def refresh_token(
    client_id: str, client_secret: str, refresh_token: str, token_url: str | None = None
) -> Access:
    """The way in that an owner once agreed to in the browser."""
    fields = {
        "grant_type": "refresh_token",
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": refresh_token,
    }
    return Token(token_url or TOKEN_URL, lambda _now: fields, refused=_owner_refused)


def _owner_refused(answer: Answer, data: Mapping[str, Any]) -> Trouble | None:  # noqa: ARG001 - a `Refused`
    """What Google's token endpoint has against a refresh token, or None for its own faults."""
    error, told = data.get("error"), clip(data.get("error_description") or "")
    if error == "invalid_grant":
        return _blocked(
            f"Google says that the refresh token has expired or was revoked ({told}): the owner "
            "withdrew it, changed the password, or the consent screen is still in test (where "
            "tokens live 7 days); publish it, let the owner agree once more and store the new token"
        )
    if error in {"invalid_client", "deleted_client", "disabled_client"}:
        return _blocked(
            f"Google does not know this OAuth client ({clip(error)}: {told}); copy `client_id` and "
            "`client_secret` from the Google Cloud console (APIs & Services > Credentials)"
        )
    if error == "unauthorized_client":
        return _blocked(
            "The refresh token belongs to another OAuth client (unauthorized_client); use the "
            "client that the owner agreed to"
        )
    if error in {"invalid_scope", "access_denied", "admin_policy_enforced", "invalid_rapt"}:
        return _blocked(
            f"Google or the owner's organisation forbids this access ({clip(error)}: {told}); let "
            "its administrator allow the app and the owner agree once more"
        )
    return None


def _blocked(sentence: str) -> Trouble:
    return Trouble(Outcome.BLOCKED, f"{sentence}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as Google's APIs write it; everything may be empty."""

    status: int
    code: str = ""
    """Like ``PERMISSION_DENIED``."""
    reasons: frozenset[str] = field(default_factory=frozenset)
    """Like ``rateLimitExceeded`` (old) or ``SERVICE_DISABLED`` (new)."""
    message: str = ""


def problem(answer: Answer) -> Problem:
    """The error in an answer, as far as it tells one."""
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        data = None
    error = data.get("error") if isinstance(data, dict) else None
    if not isinstance(error, dict):
        return Problem(status=answer.status)
    lists = [error.get(name) for name in ("errors", "details")]
    each = [part for found in lists if isinstance(found, list) for part in found]
    reasons = {part.get("reason") for part in each if isinstance(part, dict)}
    return Problem(
        status=answer.status,
        code=clip(error.get("status") or ""),
        reasons=frozenset(reason for reason in reasons if isinstance(reason, str)),
        message=clip(error.get("message") or ""),
    )


_DISABLED = {"accessNotConfigured", "SERVICE_DISABLED", "API_DISABLED"}
_SCOPE = {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "insufficientScopes"}
_LIMITS = {
    *("rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"),
    "RATE_LIMIT_EXCEEDED",
}


def refused_by_google(answer: Answer, api: str) -> Trouble | None:
    """What every API of Google's says alike: disabled, wrong scope, over a limit; else None."""
    found = problem(answer)
    if found.status == HTTPStatus.UNAUTHORIZED:
        return _blocked(
            f"Google refused the access token ({found.message or 'unauthenticated'}); check the "
            "key and this machine's clock"
        )
    if found.status != HTTPStatus.FORBIDDEN:
        return None
    if found.reasons & _DISABLED:
        return _blocked(
            f"The {api} is not enabled in the key's Cloud project; enable it in the Google Cloud "
            "console (APIs & Services) and wait a few minutes"
        )
    if found.reasons & _SCOPE:
        return _blocked(
            f"The access token was not given for the {api} (scope missing); make the credentials "
            "anew with its scope"
        )
    if found.reasons & _LIMITS:
        return Trouble(
            Outcome.RATE_LIMITED,
            f"The {api} has had too many requests ({found.message or 'over the limit'}); the next "
            "run goes on, raise `delay` if it happens again.",
        )
    return None
