"""A contact is sealed for one feedback under one installation's key, and opens for nobody else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from ouvidor.storage import contacts, runs
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, StorageError
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import Feedback

KEY = b"a key of thirty-two bytes, really"
CONTACT = {"name": "Zuleide Tatu", "email": "z@example.org", "document": "52998224725"}
ZONE = ZoneInfo("America/Sao_Paulo")


def keep(db: Database, now: datetime, contact: dict[str, str], *, wanted: bool) -> None:
    run = runs.open_run(db, source="queixas", kind="file", now=now)
    item = Feedback(external_id="1", text="Não veio", contact=contact)
    save_page(db, run, [item], None, door=Door(KEY, ZONE, contacts=wanted), now=now)
    with db.write() as connection:
        connection.execute(t.run.update().values(finished_at=now))


def test_nothing_is_kept_unless_it_is_wanted(db: Database, now: datetime) -> None:
    keep(db, now, CONTACT, wanted=False)
    assert contacts.read(db, 1, key=KEY) is None
    keep(db, now, CONTACT, wanted=True)
    assert contacts.read(db, 1, key=KEY) == CONTACT


def test_the_latest_contact_stays_and_none_takes_none_away(db: Database, now: datetime) -> None:
    keep(db, now, CONTACT, wanted=True)
    keep(db, now, {"email": "novo@example.org"}, wanted=True)
    keep(db, now, {}, wanted=True)
    assert contacts.read(db, 1, key=KEY) == {"email": "novo@example.org"}


def test_nobody_reads_it_in_the_file(db: Database, now: datetime, tmp_path: Path) -> None:
    keep(db, now, CONTACT, wanted=True)
    with db.read() as connection:
        stored = b"".join(connection.execute(select(t.contact.c.sealed)).scalars())
    raw = stored + b"".join(path.read_bytes() for path in tmp_path.glob("ouvidor.db*"))
    assert [value for value in CONTACT.values() if value.encode() in raw] == []


@given(st.dictionaries(st.text(), st.text(), min_size=1), st.integers(1, 2**40))
def test_any_contact_comes_back_as_it_was(contact: dict[str, str], number: int) -> None:
    contact = {k: v for k, v in contact.items() if (k + v).isprintable()}
    sealed = contacts.seal(contact, number, key=KEY)
    assert contacts.unseal(sealed, number, key=KEY) == contact
    assert sealed != contacts.seal(contact, number, key=KEY)


def test_another_key_another_feedback_or_a_changed_byte_opens_nothing() -> None:
    sealed = contacts.seal(CONTACT, 7, key=KEY)
    for number, key in ((8, KEY), (7, b"another key of thirty-two bytes!")):
        with pytest.raises(StorageError, match=r"put back the key .*privacy\.key_file"):
            contacts.unseal(sealed, number, key=key)
    for place in range(len(sealed)):
        spoilt = bytearray(sealed)
        spoilt[place] ^= 1
        with pytest.raises(StorageError, match="does not open"):
            contacts.unseal(bytes(spoilt), 7, key=KEY)
    for length in range(30):
        with pytest.raises(StorageError, match="does not open"):
            contacts.unseal(sealed[:length], 7, key=KEY)
