"""Bodies of Trustpilot's webhooks, from a file or a drop folder, through the door."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from stored import stored_in

from ouvidor.cli import main
from ouvidor.collectors.run import RunReport, run_source
from ouvidor.config import Source
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

DOOR = Door(b"k" * 32, ZoneInfo("America/Sao_Paulo"))
NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)


def event(what: str = "created", **more: Any) -> dict[str, Any]:
    data = {
        "id": "5f0c1b2a3d4e5f6071829304",
        "language": "pt",
        "link": "https://www.trustpilot.com/reviews/5f0c1b2a3d4e5f6071829304",
        "stars": 2,
        "title": "Demora",
        "text": "Ninguém responde, meu CPF 529.982.247-25 já foi três vezes.",
        "createdAt": "2026-10-01T10:00:00.000Z",
        "isVerified": True,
        "consumer": {"id": "77", "name": "Ana Lima"},
        "referenceId": "4471-882",
    }
    return {"eventName": f"service-review-{what}", "version": "1", "eventData": data | more}


def body(*events: dict[str, Any]) -> str:
    return json.dumps({"events": list(events)}, ensure_ascii=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path


def read(db: Database, folder: Path, path: str = "drop") -> RunReport:
    source = Source(kind="file", options={"path": path, "format": "trustpilot"})
    return run_source(db, "tp", source, door=DOOR, now=NOW, folder=folder)


def stored(db: Database) -> list[Any]:
    with db.read() as connection:
        return list(connection.execute(select(t.feedback).order_by(t.feedback.c.external_id)))


def test_a_folder_of_bodies_is_read_and_what_comes_later_too(db: Database, folder: Path) -> None:
    (folder / "drop" / "1.json").write_text(body(event(), event(id="b", stars=5)))
    assert (read(db, folder).outcome, read(db, folder).new) == (Outcome.COMPLETE, 0)
    later = event("updated", stars=4, updatedAt="2026-10-03T10:00:00Z")
    (folder / "drop" / "2.json").write_text(body(later))
    report = read(db, folder)
    assert (report.new, report.changed) == (0, 1)
    first = stored(db)[0]
    assert (first.stars, first.kind, first.language) == (4, "review", "pt")
    assert first.attributes == {"verified": "true", "reference": "4471-882"}
    assert "529.982" not in first.text
    assert "Ana" not in str(first)
    assert first.url.endswith("9304")


def test_bodies_may_come_twice_and_in_any_order(db: Database, folder: Path) -> None:
    new = event("updated", stars=4, updatedAt="2026-10-03T10:00:00Z")
    old = event("updated", stars=1, updatedAt="2026-10-02T10:00:00Z")
    lines = [body(new), body(old), body(event()), "", body(new)]
    (folder / "all.json").write_text("\n".join(lines))
    report = read(db, folder, "all.json")
    assert (report.new, report.rejected) == (1, 0)
    assert stored(db)[0].stars == 4


def test_what_was_deleted_is_not_read_and_said(db: Database, folder: Path) -> None:
    reply = {"text": "Já resolvemos.", "createdAt": "2026-10-02T12:00:00Z"}
    bodies = body(event(), event(id="b", companyReply=reply), event("deleted"))
    (folder / "all.json").write_text(bodies)
    report = read(db, folder, "all.json")
    (kept,) = stored(db)
    assert (kept.external_id, kept.reply_text) == ("b", "Já resolvemos.")
    assert "1 were deleted at Trustpilot" in report.message


def test_what_is_no_review_is_counted_or_set_aside(db: Database, folder: Path) -> None:
    other = {"eventName": "product-review-created", "eventData": {"id": "x"}}
    bodies = body(event(), other, event(id=""), event(id="c", stars=9))
    (folder / "all.json").write_text(bodies)
    report = read(db, folder, "all.json")
    assert (report.new, report.rejected) == (1, 2)
    assert "1 events product-review-created are none of a review" in report.message


@pytest.mark.parametrize("text", ["", "[]", "{}", "no", '{"events": 1}', "[" * 100_000, "\xff"])
def test_what_is_no_webhook_is_said(db: Database, folder: Path, text: str) -> None:
    (folder / "x.json").write_text(text, encoding="latin-1")
    report = read(db, folder, "x.json")
    assert report.outcome is Outcome.MISCONFIGURED
    assert "x.json holds no bodies of Trustpilot's webhooks" in report.message


def test_import_takes_a_file_of_bodies(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "ouvidor.toml").write_text('[brand]\nname = "Loja"\n')
    (folder / "bodies.json").write_text(body(event()))
    asked = ["import", "bodies.json", "--source", "tp", "--format", "trustpilot"]
    assert main([*asked, "--now", NOW.isoformat()]) == 0
    db = open_database(stored_in(folder))
    assert [row.kind for row in stored(db)] == ["review"]
    db.close()
