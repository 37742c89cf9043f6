"""Whatever befalls it, nothing is lost, doubled or left behind: every row of the fault suite.

Real processes, real HTTP, real SMTP, both databases. `make faults` prints the same as one table.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from faults import kills
from faults.installation import installation
from faults.sabotage import SABOTEURS
from faults.saboteurs import unnoticed
from faults.score import table
from faults.suite import FAULTS, KILLS, Fault
from faults.world import World, world

# Sockets of every kind: some of the servers here listen at a path of this machine.
pytestmark = [pytest.mark.ordeal, pytest.mark.timeout(1500), pytest.mark.enable_socket]

PART = 25
"""Rounds of killing in one test, so that two workers share them."""
PARTS = [(kind, part) for kind, rounds in KILLS.items() for part in range(rounds // PART)]


class Worlds:
    """A world on each database, made when it is first asked for."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self._made: dict[str, World] = {}

    def __getitem__(self, kind: str) -> World:
        if kind not in self._made:
            house = self.stack.enter_context(installation(kind))
            self._made[kind] = self.stack.enter_context(world(house))
        return self._made[kind]


@pytest.fixture(scope="session")
def worlds() -> Iterator[Worlds]:
    made = Worlds()
    with made.stack:
        yield made


@pytest.mark.parametrize(("kind", "part"), PARTS)
def test_killed_anywhere(worlds: Worlds, kind: str, part: int) -> None:
    score = kills.rounds(worlds[kind], PART, random.Random(part))  # noqa: S311 - a repeatable story, no secret
    assert score.well, table([score])
    assert score.struck >= score.rounds == PART


@pytest.mark.parametrize("fault", FAULTS[len(KILLS) :], ids=lambda fault: fault.name)
def test_nothing_is_lost(worlds: Worlds, fault: Fault) -> None:
    score = fault.happen(worlds[fault.kind], fault.rounds, random.Random(1))  # noqa: S311 - same
    if score.skipped:
        pytest.skip(score.skipped)
    assert score.well, table([score])
    assert score.rounds == fault.rounds
    assert score.struck >= score.rounds // 2


def test_the_suite_finds_broken_programs_out(worlds: Worlds) -> None:
    assert len(SABOTEURS) >= 8
    assert unnoticed(worlds["sqlite"], random.Random(1)) == []  # noqa: S311 - same
