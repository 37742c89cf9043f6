"""How to reach whoever wrote a feedback, sealed: read by nobody who has the database alone.

AES-256-GCM under a key that HKDF derives from the installation's. A seal belongs to one feedback:
moved to another one it opens no longer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache

from sqlalchemy import Connection, select

from . import tables as t
from .database import Database, StorageError, upsert

_VERSION = b"\x01"
_NONCE = 12


@lru_cache(maxsize=4)
def _derived(key: bytes) -> bytes:
    # Imported here: only who keeps contacts pays for it.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ouvidor contact 1").derive(key)


def seal(contact: Mapping[str, str], feedback_id: int, *, key: bytes) -> bytes:
    """A contact that only this installation's key opens, for this feedback."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE)
    said = json.dumps(dict(contact), ensure_ascii=False).encode("utf-8")
    sealed = AESGCM(_derived(key)).encrypt(nonce, said, _VERSION + _bound(feedback_id))
    return _VERSION + nonce + sealed


def _bound(feedback_id: int) -> bytes:
    return b"feedback %d" % feedback_id


def unseal(sealed: bytes, feedback_id: int, *, key: bytes) -> dict[str, str]:
    """What `seal` was given; raises StorageError under another key or of another feedback."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = len(_VERSION)
    nonce, rest = sealed[head : head + _NONCE], sealed[head + _NONCE :]
    try:
        # The version is bound to the seal: one that was changed opens nothing.
        said = AESGCM(_derived(key)).decrypt(nonce, rest, sealed[:head] + _bound(feedback_id))
    except (InvalidTag, ValueError) as error:
        raise StorageError(
            f"The contact of feedback {feedback_id} does not open with this installation's key; "
            "put back the key it was sealed with (privacy.key_file or OUVIDOR_KEY)."
        ) from error
    found: dict[str, str] = json.loads(said)
    return found


def keep(
    connection: Connection, contacts: Sequence[tuple[int, Mapping[str, str]]], *, key: bytes
) -> None:
    """Seal contacts for their feedback, in the caller's transaction; the latest one stays."""
    rows = [{"feedback_id": each, "sealed": seal(told, each, key=key)} for each, told in contacts]
    if not rows:
        return
    statement = upsert(connection, t.contact)
    latest = {"sealed": statement.excluded.sealed}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["feedback_id"], set_=latest), rows
    )


def read(db: Database, feedback_id: int, *, key: bytes) -> dict[str, str] | None:
    """The contact of a feedback, or None; raises StorageError under another key."""
    query = select(t.contact.c.sealed).where(t.contact.c.feedback_id == feedback_id)
    with db.read() as connection:
        sealed = connection.execute(query).scalar()
    return None if sealed is None else unseal(bytes(sealed), feedback_id, key=key)
