"""The suite must be able to fail: each broken program has to be found out, in its own column."""

from __future__ import annotations

import random

from faults.kills import one_round
from faults.sabotage import SABOTEURS
from faults.score import Score
from faults.world import STEPS, Step, World

TRIES = 6
"""Kills that a broken program is given to show itself."""


def unnoticed(world: World, chance: random.Random) -> list[str]:
    """The broken programs that the suite took for sound ones; there must be none."""
    return [name for name in SABOTEURS if not _found_out(world, name, chance)]


def _found_out(world: World, name: str, chance: random.Random) -> bool:
    saboteur = SABOTEURS[name]
    step = next(each for each in STEPS if each.name == saboteur.step)

    def kill(world: World, step: Step, chance: random.Random, sabotage: str) -> bool:
        count = chance.randint(1, world.tallies[step.name][saboteur.point])
        return world.run(step, point=saboteur.point, count=count, sabotage=sabotage).killed

    for _ in range(TRIES):
        score = Score(name)
        one_round(world, step, chance, score, sabotage=name, kill=kill)
        if getattr(score.found, saboteur.column):
            return True
    return False
