"""Every kind of source, found by itself, against the clauses that bind its traits."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract import suite

from ouvidor.collectors.collector import Trait, kinds

PURE = {1, 2, 3, 15}
QUICK = {"app_store", "file"}
CASES = [
    # Before every commit two kinds stand for all in what is the run's work; parsing is each one's.
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


@pytest.mark.parametrize(
    ("kind", "fixture", "clause"),
    CASES,
)
def test_the_contract(kind: str, fixture: Path, clause: int, houses: Path) -> None:
    with suite.kit(kind, fixture, houses / f"{fixture.name}-{clause}") as kit:
        suite.CLAUSES[clause](kit)


def test_every_kind_has_a_fixture() -> None:
    assert [kind for kind in kinds() if not suite.fixtures(kind)] == []


def test_the_table_knows_every_trait_and_binds_every_clause() -> None:
    binds = suite.TABLE["binds"]
    assert set(binds) == {"every", *Trait}
    assert {clause for clauses in binds.values() for clause in clauses} == set(range(1, 16))
    assert set(suite.CLAUSES) == set(range(1, 16))
