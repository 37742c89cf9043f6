"""What Google says when it gives no token, in sentences that name the mend."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ouvidor.collectors.collector import Answer, Trouble
from ouvidor.collectors.google_access import (
    check_key,
    problem,
    refresh_token,
    refused_by_google,
    service_account,
)
from ouvidor.config import Secret
from ouvidor.demo.keys import keys
from ouvidor.storage.vocabulary import Outcome

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
ACCOUNT = keys().service_account("http://127.0.0.1:9")
CURVE = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


def account(**changes: Any) -> str:
    return json.dumps({k: v for k, v in (ACCOUNT | changes).items() if v is not None})


def refused(access: Any, status: int, body: object, **headers: str) -> Trouble:
    access.ask(NOW)
    with pytest.raises(Trouble) as trouble:
        access.keep(Answer(status=status, headers=headers, body=json.dumps(body).encode()), NOW)
    assert trouble.value.sentence.endswith(".")
    return trouble.value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (ACCOUNT["private_key"], "only the private key"),
        ("/etc/ouvidor/play.json", "a path and not a key"),
        ("not json", "this is no JSON"),
        ("[" * 100_000, "this is no JSON"),
        ("[]", "no service account's key"),
        (json.dumps({"installed": {"client_id": "x"}}), "file of an OAuth client"),
        (account(type="authorized_user"), "is for authorized_user"),
        (account(type=None), "not for a service account"),
        (account(private_key=None), "lacks private_key"),
        (account(client_email="", private_key=7), "lacks client_email and private_key"),
        (account(private_key="-----BEGIN PRIVATE KEY-----\nx"), "cannot be read"),
        (account(private_key=CURVE), "no RSA key"),
    ],
)
def test_a_wrong_key_file_is_told_without_quoting_it(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        check_key(Secret(text))
    assert "BEGIN" not in str(error.value)
    assert "Add key > JSON" in str(error.value) or "_FILE" in str(error.value)


def test_the_right_key_asks_where_it_says() -> None:
    ask = service_account(check_key(Secret(account())), "scope").ask(NOW)
    assert ask is not None
    assert ask.url == "http://127.0.0.1:9/token"
    assert b"assertion=" in (ask.body or b"")
    other = service_account(account(), "scope", "https://tokens.example/t").ask(NOW)
    assert other is not None
    assert other.url == "https://tokens.example/t"


CLOCK = {
    "error": "invalid_grant",
    "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
    "reasonable timeframe. Check your iat and exp values in the JWT claim.",
}


@pytest.mark.parametrize(
    ("date", "told"),
    [
        ("Mon, 05 Oct 2026 13:00:00 GMT", "clock is 120 minutes ahead of theirs"),
        ("Mon, 05 Oct 2026 15:30:00 GMT", "clock is 30 minutes behind theirs"),
        ("Mon, 05 Oct 2026 15:00:10 GMT", "because of its time; set"),
        ("no date", "because of its time; set"),
        ("", "because of its time; set"),
    ],
)
def test_a_clock_that_is_off_is_measured(date: str, told: str) -> None:
    trouble = refused(service_account(account(), "s"), 400, CLOCK, date=date)
    assert trouble.outcome is Outcome.BLOCKED
    assert told in trouble.sentence
    assert "NTP" in trouble.sentence


@pytest.mark.parametrize(
    ("error", "description", "sentence"),
    [
        ("invalid_grant", "Invalid JWT Signature.", "does not accept the key"),
        ("invalid_grant", "Invalid grant: account not found", "deleted or disabled"),
        ("disabled_client", "The OAuth client was disabled.", "deleted or disabled"),
        ("invalid_scope", "Empty or missing scope", "enable the API"),
        ("unauthorized_client", "Client is unauthorized", "enable the API"),
    ],
)
def test_a_refused_account(error: str, description: str, sentence: str) -> None:
    body = {"error": error, "error_description": description}
    trouble = refused(service_account(account(), "s"), 400, body)
    assert trouble.outcome is Outcome.BLOCKED
    assert sentence in trouble.sentence
    assert ACCOUNT["client_email"] in trouble.sentence


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("invalid_grant", "expired or was revoked"),
        ("invalid_client", "does not know this OAuth client"),
        ("unauthorized_client", "another OAuth client"),
        ("admin_policy_enforced", "administrator"),
    ],
)
def test_a_refused_owner(error: str, sentence: str) -> None:
    trouble = refused(refresh_token("id", "hush", "1//hush"), 400, {"error": error})
    assert trouble.outcome is Outcome.BLOCKED
    assert sentence in trouble.sentence
    assert "hush" not in trouble.sentence


def test_an_ailing_token_service_is_no_fault_of_the_key() -> None:
    assert refused(service_account(account(), "s"), 503, {}).outcome is Outcome.UNAVAILABLE
    assert refused(refresh_token("a", "b", "c"), 429, {}).outcome is Outcome.RATE_LIMITED


def error(status: int, *, reason: str = "", details: str = "") -> Answer:
    body = {
        "error": {
            "code": status,
            "message": "told",
            "status": "PERMISSION_DENIED",
            "errors": [{"reason": reason}],
            "details": [{"reason": details}, "x"],
        }
    }
    return Answer(status=status, body=json.dumps(body).encode())


@pytest.mark.parametrize(
    ("answer", "outcome", "sentence"),
    [
        (error(403, reason="accessNotConfigured"), Outcome.BLOCKED, "not enabled"),
        (error(403, details="SERVICE_DISABLED"), Outcome.BLOCKED, "not enabled"),
        (error(403, reason="insufficientPermissions"), Outcome.BLOCKED, "scope missing"),
        (error(403, reason="userRateLimitExceeded"), Outcome.RATE_LIMITED, "too many requests"),
        (error(401), Outcome.BLOCKED, "refused the access token"),
    ],
)
def test_what_every_api_of_google_says_alike(
    answer: Answer, outcome: Outcome, sentence: str
) -> None:
    told = refused_by_google(answer, "Some API")
    assert told is not None
    assert told.outcome is outcome
    assert sentence in told.sentence


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error": 3}', b"[" * 100_000, b"\xff"])
def test_an_error_that_says_nothing_says_nothing(body: bytes) -> None:
    assert problem(Answer(status=403, body=body)).reasons == frozenset()
    assert refused_by_google(Answer(status=403, body=body), "Some API") is None
