"""Every kind of source, found by itself, against the clauses that bind its traits.

In SQLite and in PostgreSQL; which clause binds which kind stands in docs/adding-a-source.md.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest
from contract import suite
from sqlalchemy import create_engine, text

from ouvidor.collectors.collector import Trait, kinds

PURE = {1, 2, 3, 15}
QUICK = {"file"}
CASES = [
    # Before every commit one kind stands for all in what is the run's work; parsing is each one's.
    pytest.param(
        *(kind, fixture, clause),
        id=f"{fixture.name}-{clause}",
        marks=[] if fixture.name in QUICK or clause in PURE else [pytest.mark.slow],
    )
    for kind, collector in kinds().items()
    for fixture in suite.fixtures(kind)
    for clause in suite.bound(collector.traits)
]


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("houses")


@pytest.fixture(scope="module")
def server(postgresql: str) -> str:
    """One database of the server for all these houses, one after the other."""
    name = f"c{uuid.uuid4().hex}"
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    return postgresql.replace("/postgres?", f"/{name}?")


@pytest.mark.parametrize(("kind", "fixture", "clause"), CASES)
def test_the_contract(kind: str, fixture: Path, clause: int, houses: Path) -> None:
    with suite.kit(kind, fixture, houses / f"{fixture.name}-{clause}") as kit:
        suite.CLAUSES[clause](kit)


@pytest.mark.ordeal
@pytest.mark.parametrize(("kind", "fixture", "clause"), CASES)
def test_the_contract_on_postgresql(
    kind: str, fixture: Path, clause: int, houses: Path, server: str
) -> None:
    with suite.kit(kind, fixture, houses / f"{fixture.name}-{clause}-pg", server) as kit:
        assert not kit.db.embedded
        suite.CLAUSES[clause](kit)


def test_every_kind_has_a_fixture() -> None:
    assert [kind for kind in kinds() if not suite.fixtures(kind)] == []


def test_the_table_knows_every_trait_and_binds_every_clause() -> None:
    binds = suite.TABLE["binds"]
    assert set(binds) == {"every", *Trait}
    assert {clause for clauses in binds.values() for clause in clauses} == set(range(1, 16))
    assert set(suite.CLAUSES) == set(range(1, 16))


def test_the_documented_table_of_traits_is_that_of_the_kinds() -> None:
    told = Path(__file__).parents[1] / "docs" / "adding-a-source.md"
    table = suite.traits_table()
    sys.stdout.write(f"{table}\n")  # shown where it is not the documented one
    assert table in told.read_text(encoding="utf-8"), "put this table there"
