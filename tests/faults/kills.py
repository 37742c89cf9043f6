"""SIGKILL at random points and at random moments of every verb, once or several times running."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from datetime import timedelta

from faults import truth
from faults.score import Score
from faults.world import STEPS, Step, World

LEASE = timedelta(minutes=16)
"""Longer than any lease: then another machine may go on."""


def rounds(world: World, count: int, chance: random.Random, sabotage: str = "") -> Score:
    """So many rounds, each with one to three kills."""
    score = Score(f"SIGKILL, {world.house.name}")
    for number in range(count):
        step = STEPS[number % len(STEPS)]
        one_round(world, step, chance, score, sabotage=sabotage)
    return score


def one_round(
    world: World,
    step: Step,
    chance: random.Random,
    score: Score,
    *,
    sabotage: str = "",
    kill: Callable[[World, Step, random.Random, str], bool] | None = None,
) -> None:
    """Put back, kill, judge, try again, judge."""
    world.back_to(step)
    kill = kill or _kill
    struck = sum(kill(world, step, chance, sabotage) for _ in range(chance.choice((1, 1, 1, 2, 3))))
    score.rounds += 1
    score.struck += struck
    truth.in_between(world, score.found)
    # Every fourth time it is another machine that goes on, and only a lease tells it the end.
    elsewhere = {"host": "another-machine", "now": step.now + LEASE}
    score.heard(world.run(step, sabotage=sabotage, **(elsewhere if chance.random() < 0.25 else {})))
    truth.at_rest(world, step, score.found, allowed=struck if step.name == "deliver" else 0)


def _kill(world: World, step: Step, chance: random.Random, sabotage: str) -> bool:
    """Whether the process was killed; one that was quicker than its killer was not."""
    if chance.random() < 0.5:
        return at_a_point(world, step, chance, sabotage)
    return _at_a_moment(world, step, chance, sabotage) or at_a_point(world, step, chance, sabotage)


def at_a_point(
    world: World, step: Step, chance: random.Random, sabotage: str = "", points: str = ""
) -> bool:
    """Let the process kill itself at a random passing of a random point (of those so called)."""
    tally = world.tallies[step.name]
    point = chance.choice(sorted(name for name in tally if name.startswith(points)))
    count = chance.randint(1, tally[point])
    return world.run(step, point=point, count=count, sabotage=sabotage).killed


def _at_a_moment(world: World, step: Step, chance: random.Random, sabotage: str) -> bool:
    child = world.start(step, sabotage=sabotage)
    time.sleep(chance.uniform(0, world.seconds[step.name]))
    child.signal(signal.SIGKILL)
    return child.ended().killed
