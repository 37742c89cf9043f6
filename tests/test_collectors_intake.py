"""The door in: what is fit to be stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from ouvidor.collectors.collector import Page
from ouvidor.collectors.intake import flaw, take
from ouvidor.storage import runs
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Checkpoint, Feedback, Reply

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)


def feedback(**changes: Any) -> Feedback:
    return Feedback(**({"external_id": "1", "text": "Bom", "stars": 5} | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stars": None},
        {"text": ""},
        {"text": "", "stars": None, "rating": "8"},
        {"text": "", "stars": None, "category": "Cobrança"},
        {"language": "pt-BR"},
        {"published_at": NOW + timedelta(hours=20)},
        {"published_at": NOW.astimezone()},
        {"text": "sino \x07 aqui"},
    ],
)
def test_fit(changes: dict[str, Any]) -> None:
    assert flaw(feedback(**changes), NOW) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"external_id": " "}, "it has no id"),
        ({"external_id": "a\x00b"}, "control characters"),
        ({"external_id": "x" * 501}, "too long"),
        ({"stars": 0}, "0 stars are not 1 to 5"),
        ({"stars": 6}, "6 stars"),
        ({"stars": True}, "True stars"),
        ({"text": " ", "stars": None}, "neither text nor stars"),
        ({"text": "x" * 100_001}, "longer than"),
        ({"language": "Português"}, "no language tag"),
        ({"published_at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - that is the flaw
        ({"published_at": NOW + timedelta(days=2)}, "in the future"),
        ({"edited_at": datetime(1970, 1, 1, tzinfo=UTC)}, "before 1990"),
        ({"reply": Reply(text="x", at=NOW + timedelta(days=9))}, "reply_at lies in the future"),
    ],
)
def test_unfit(changes: dict[str, Any], reason: str) -> None:
    found = flaw(feedback(**changes), NOW)
    assert found is not None
    assert reason in found


def test_a_page_goes_in_with_its_checkpoint(db: Database, door: Door) -> None:
    run = runs.open_run(db, source="app", kind="app_store", now=NOW)
    items = [
        feedback(),
        feedback(external_id="2", stars=9),
        feedback(external_id="3", text="\x07é"),
    ]
    page = Page(items=items, where=["row 2", "row 3", "row 4"], cells=[{}, {"nota": "9"}, {}])
    checkpoint = Checkpoint(version=1, value={"page": 1})
    taken = take(db, run, page, checkpoint, door=door, now=NOW)
    (rejected,) = taken.rejected
    assert (rejected.where, rejected.reason, rejected.cells) == (
        "row 3",
        "9 stars are not 1 to 5",
        {"nota": "9"},
    )
    assert (taken.saved.new, taken.cleaned, taken.settled) == (2, 1, False)
    with db.read() as connection:
        stored = connection.execute(select(t.checkpoint.c.value)).scalar_one()
        counted = connection.execute(select(t.run.c.rejected)).scalar_one()
    assert (stored, counted) == ({"page": 1}, 1)


def test_a_checkpoint_is_small(db: Database, door: Door) -> None:
    run = runs.open_run(db, source="app", kind="app_store", now=NOW)
    fat = Checkpoint(version=1, value={"seen": ["x" * 100] * 50})
    with pytest.raises(ValueError, match="keep it small"):
        take(db, run, Page(items=[feedback()]), fat, door=door, now=NOW)
    with db.read() as connection:
        assert connection.execute(select(t.feedback)).all() == []
