"""Signed web tokens, verified for real: ES256 and RS256."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

COORDINATE = 32
"""Bytes of one of the two numbers of an ES256 signature."""


class BadTokenError(ValueError):
    """Why a token is not accepted."""


def verify(token: str, private_key: str, key_id: str) -> dict[str, Any]:
    """The claims of a token signed with our key; BadTokenError says what is wrong with others."""
    try:
        head, body, signature = token.split(".")
        header, claims = json.loads(_bytes(head)), json.loads(_bytes(body))
        raw = _bytes(signature)
    except (ValueError, binascii.Error) as error:
        raise BadTokenError("it is no signed web token") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadTokenError("its header or its claims are no object")
    if header.get("kid", key_id) != key_id:
        raise BadTokenError("the key is not known")
    _check(header.get("alg"), private_key, raw, f"{head}.{body}".encode())
    return claims


def fresh(claims: dict[str, Any], moments: Iterable[datetime], longest: int) -> None:
    """Refuse claims that are good at none of the moments, or for more than ``longest`` seconds."""
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        raise BadTokenError("iat or exp is missing")
    if expires - issued > longest:
        raise BadTokenError("it is good for too long")
    # A minute of tolerance, as clocks differ.
    if not any(issued - 60 <= moment.timestamp() < expires for moment in moments):
        raise BadTokenError("it has expired or is not valid yet")


def wall() -> datetime:
    """The real time. A replay signs by the stand-in's clock or by this one; both are accepted."""
    return datetime.now(UTC)


@cache
def _public(private_key: str) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    """The other half of our key; reading an RSA key takes a tenth of a second."""
    key = load_pem_private_key(private_key.encode(), password=None)
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return key.public_key()
    raise TypeError(f"{type(key).__name__} is no key of ours")


def _check(algorithm: object, private_key: str, raw: bytes, signed: bytes) -> None:
    key = _public(private_key)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm == "ES256":
            if len(raw) != 2 * COORDINATE:
                raise BadTokenError("the signature has the wrong length")
            numbers = (int.from_bytes(raw[:COORDINATE]), int.from_bytes(raw[COORDINATE:]))
            der = encode_dss_signature(*numbers)
            key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm == "RS256":
            key.verify(raw, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise BadTokenError("the algorithm is not the one agreed on")
    except InvalidSignature as error:
        raise BadTokenError("the signature is not ours") from error


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
