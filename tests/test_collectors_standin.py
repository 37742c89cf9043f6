"""The collectors against the stand-in brand: a stranger's idea of the same wire formats."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from sqlalchemy import select
from stored import stored_in

from ouvidor.collectors.run import RunReport, run_source
from ouvidor.config import Source
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

pytestmark = pytest.mark.slow

END = datetime(2026, 10, 11, 15, tzinfo=UTC)
MOMENTS = [END - timedelta(days=7 * weeks) for weeks in range(7, -1, -1)]
APP = {"app": "1590042871", "retries": 0}
SOURCES = {
    "json": Source(kind="app_store", options=APP | {"country": "br"}),
    "xml": Source(kind="app_store", options=APP | {"country": "mx", "format": "xml"}),
    "lines": Source(
        kind="file",
        options={
            "path": "files/reclamacoes.jsonl",
            "feedback_kind": "complaint",
            "columns": {"id": "id", "text": "texto", "published_at": "criado_em"},
        },
    ),
}


class House:
    """A database and the stand-in it listens to."""

    def __init__(self, brand: StandIn, door: Door, folder: Path) -> None:
        self.brand, self.door, self.folder = brand, door, folder
        self.db = self.anew()

    def anew(self) -> Database:
        name = f"{len(list(self.folder.glob('*.db')))}.db"
        return open_database(stored_in(self.folder, name))

    def collect(self, name: str, *, db: Database | None = None, full: bool = False) -> RunReport:
        source = SOURCES[name].model_copy(update={"base_url": self.brand.url})
        return run_source(
            db or self.db,
            name,
            source,
            door=self.door,
            now=self.brand.now,
            folder=self.folder,
            full=full,
        )


@pytest.fixture
def house(door: Door, tmp_path: Path) -> Iterator[House]:
    with StandIn(MOMENTS[0]) as brand:
        made = House(brand, door, tmp_path)
        yield made
        made.db.close()


def stored(db: Database) -> set[tuple[object, ...]]:
    columns = (t.feedback.c.external_id, t.feedback.c.text, t.feedback.c.stars)
    with db.read() as connection:
        return {tuple(row) for row in connection.execute(select(*columns))}


@pytest.mark.parametrize("name", SOURCES)
def test_week_by_week_is_the_same_as_all_at_once(name: str, house: House) -> None:
    for moment in MOMENTS:
        house.brand.now = moment
        report = house.collect(name)
        assert report.outcome is Outcome.COMPLETE, report
        assert report.rejected == 0
    fresh = house.anew()
    house.collect(name, db=fresh, full=True)
    found = stored(fresh)
    assert len(found) > 30
    assert stored(house.db) == found
    fresh.close()
    again = house.collect(name, full=True)
    assert (again.new, again.changed) == (0, 0)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(status=HTTPStatus.FORBIDDEN), Outcome.BLOCKED),
        (
            Fault(status=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": "900"}),
            Outcome.RATE_LIMITED,
        ),
        (Fault(status=HTTPStatus.BAD_GATEWAY), Outcome.UNAVAILABLE),
        (Fault(body=b"<html>captcha</html>"), Outcome.BLOCKED),
        (Fault(body=b""), Outcome.SUSPECT),
        (Fault(truncate=100), Outcome.UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("name", SOURCES)
def test_a_fault_has_its_outcome_and_passes(
    name: str, fault: Fault, outcome: Outcome, house: House
) -> None:
    house.collect(name)
    before = stored(house.db)
    house.brand.now = MOMENTS[2]
    house.brand.faults = {"/": fault, "/robots.txt": Fault(body=b"", status=HTTPStatus.OK)}
    assert house.collect(name).outcome is outcome
    assert stored(house.db) == before
    house.brand.faults = {}
    assert house.collect(name).outcome is Outcome.COMPLETE
    assert stored(house.db) > before
