"""All that befalls an installation, as one list: by the command and by the ordeal alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from faults import kills, network, others, stores
from faults.score import Score
from faults.world import World

Rounds = Callable[[World, int, random.Random], Score]


@dataclass(frozen=True)
class Fault:
    """One row: what happens, on which database, and how often."""

    happen: Rounds
    kind: str
    rounds: int

    @property
    def name(self) -> str:
        return f"{self.happen.__name__}, {self.kind}"


KILLS = {"sqlite": 100, "postgresql": 100}
FAULTS = (
    *(Fault(kills.rounds, kind, count) for kind, count in KILLS.items()),
    Fault(stores.gone_and_back, "sqlite", 7),
    Fault(stores.gone_and_back, "postgresql", 7),
    Fault(stores.half_open, "postgresql", 7),
    Fault(stores.disk_full, "sqlite", 7),
    Fault(stores.damaged, "sqlite", 8),
    Fault(stores.damaged_journal, "sqlite", 7),
    Fault(network.names_gone, "sqlite", 4),
    Fault(network.sources, "sqlite", 9),
    Fault(network.mail_servers, "sqlite", 6),
    Fault(network.dropped_mail, "sqlite", 4),
    Fault(others.clock_back, "sqlite", 7),
    Fault(others.clock_back, "postgresql", 7),
    Fault(others.damaged_model, "sqlite", 4),
    Fault(others.two_versions, "sqlite", 6),
    Fault(others.two_versions, "postgresql", 6),
)
