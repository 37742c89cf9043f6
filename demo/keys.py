"""The stand-in's credentials: made afresh in each process, good for nothing else."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a collector needs to be let in. Private keys are PKCS #8 in PEM."""

    apple_issuer: str
    apple_key_id: str
    apple_private_key: str
    google_email: str
    google_key_id: str
    google_private_key: str
    google_client_id: str
    google_client_secret: str
    google_refresh_token: str
    reclame_aqui_client_id: str
    reclame_aqui_client_secret: str
    trustpilot_api_key: str
    trustpilot_secret: str

    def service_account(self, url: str) -> dict[str, str]:
        """The service account's JSON key as Google's console writes it, for the stand-in at url."""
        return {
            "type": "service_account",
            "project_id": "tucuma-casa",
            "private_key_id": self.google_key_id,
            "private_key": self.google_private_key,
            "client_email": self.google_email,
            "client_id": str(int(self.google_key_id[:16], 16)),
            "auth_uri": f"{url}/o/oauth2/auth",
            "token_uri": f"{url}/token",
            "universe_domain": "googleapis.com",
        }

    def write(self, folder: Path, url: str) -> dict[str, Path]:
        """Each credential in a file of its own under ``folder``; name → path."""
        folder.mkdir(parents=True, exist_ok=True)
        account = json.dumps(self.service_account(url), indent=2)
        contents = {
            "apple_issuer": self.apple_issuer,
            "apple_key_id": self.apple_key_id,
            "apple_private_key.p8": self.apple_private_key,
            "google_service_account.json": account,
            "google_client_id": self.google_client_id,
            "google_client_secret": self.google_client_secret,
            "google_refresh_token": self.google_refresh_token,
            "reclame_aqui_client_id": self.reclame_aqui_client_id,
            "reclame_aqui_client_secret": self.reclame_aqui_client_secret,
            "trustpilot_api_key": self.trustpilot_api_key,
            "trustpilot_secret": self.trustpilot_secret,
        }
        for name, content in contents.items():
            path = folder / name
            path.touch(mode=0o600)
            path.write_text(content, encoding="utf-8")
        return {name: folder / name for name in contents}


@cache
def keys() -> Keys:
    """This process's credentials, made when first asked for."""
    apple = ec.generate_private_key(ec.SECP256R1())
    google = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Keys(
        apple_issuer=str(uuid4()),
        apple_key_id=secrets.token_hex(5).upper(),
        apple_private_key=_pem(apple),
        google_email="leitor@tucuma-casa.iam.gserviceaccount.com",
        google_key_id=secrets.token_hex(20),
        google_private_key=_pem(google),
        google_client_id=f"{secrets.randbelow(10**12)}.apps.googleusercontent.com",
        google_client_secret=secrets.token_urlsafe(24),
        google_refresh_token=f"1//{secrets.token_urlsafe(48)}",
        reclame_aqui_client_id=secrets.token_hex(8),
        reclame_aqui_client_secret=secrets.token_urlsafe(24),
        trustpilot_api_key=secrets.token_urlsafe(24),
        trustpilot_secret=secrets.token_urlsafe(24),
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
