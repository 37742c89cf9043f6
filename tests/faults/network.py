"""What befalls the network: no names, half-open and slow connections, mail dropped once taken."""

from __future__ import annotations

import random
from datetime import timedelta

from faults import truth
from faults.relay import Relay, Trouble
from faults.score import Score
from faults.world import HASTY, STEPS, Step, World, later

_READING = [step for step in STEPS if step.source]
_DELIVER = STEPS[-1]
PAUSE = timedelta(minutes=10)
"""Longer than what waits for a mail server waits."""


def names_gone(world: World, count: int, chance: random.Random) -> Score:
    """The resolver fails from some look-up on, for a round."""
    score = Score("DNS gone")
    for number in range(count):
        step = (*_READING, _DELIVER)[number % (len(_READING) + 1)]
        world.back_to(step)
        ended = world.run(step, mute_names=chance.choice((0, 0, 1, 2, 3)), settings=HASTY)
        score.heard(ended, "No machine is called localhost", "Temporary failure in name resolution")
        score.struck += ended.code == 1
        _go_on(world, step, score, allowed=0)
    return score


def sources(world: World, count: int, chance: random.Random) -> Score:
    """The source's server says nothing, drips, or cuts: at the first request or a later one."""
    score = Score("slow and half-open sources")
    for number in range(count):
        step = _READING[number % len(_READING)]
        world.back_to(step)
        # A request is short, an answer is long.
        most = {"up": 150, "down": 20_000}
        _strike(world.web, chance, most, first=chance.choice((0, 0, 1, 2)))
        before = world.web.struck
        ended = world.run(step, settings=HASTY)
        score.heard(ended, "did not answer within", "broke off", "could not be reached", "partial")
        score.struck += world.web.struck > before
        world.web.heal()
        _go_on(world, step, score, allowed=0)
    return score


def mail_servers(world: World, count: int, chance: random.Random) -> Score:
    """The mail server says nothing, drips, or cuts, before, in and after a mail."""
    score = Score("slow and half-open mail server")
    for _ in range(count):
        world.back_to(_DELIVER)
        most = {"up": 60_000, "down": 250}
        _strike(world.mail, chance, most, first=chance.choice((0, 0, 1, 3)))
        before = world.mail.struck
        score.heard(world.run(_DELIVER, settings=HASTY), *_MAIL)
        struck = world.mail.struck - before
        score.struck += struck
        world.mail.heal()
        _go_on(world, _DELIVER, score, allowed=struck)
    return score


_MAIL = ("cannot be used", "after the last byte", "it waits and is tried again")


def _strike(relay: Relay, chance: random.Random, most: dict[str, int], *, first: int) -> None:
    """Trouble from the ``first`` connection on, within the ``most`` bytes of either side."""
    connections = iter(range(1_000_000))
    then = chance.choice(("mute", "drip", "cut"))
    side = chance.choice(("up", "down"))
    after = chance.choice((0, chance.randint(1, 100), chance.randint(1, most[side])))
    trouble = Trouble(then, after, side)
    relay.trouble = lambda: trouble if next(connections) >= first else None


def dropped_mail(world: World, count: int, chance: random.Random) -> Score:
    """The mail server takes a mail and drops the connection before it says so."""
    score = Score("SMTP accepts, then drops")
    for _ in range(count):
        world.back_to(_DELIVER)
        world.post.share, world.post.dropped = chance.uniform(0.2, 1), 0
        score.heard(world.run(_DELIVER), *_MAIL)
        struck = world.post.dropped
        world.post.share = 0.0
        score.struck += struck
        _go_on(world, _DELIVER, score, allowed=struck)
    return score


def _go_on(world: World, step: Step, score: Score, *, allowed: int) -> None:
    score.rounds += 1
    truth.in_between(world, score.found)
    now = later(step, PAUSE) if step is _DELIVER else step.now
    score.heard(world.run(step, now=now), "nothing of this is expected any more")
    truth.at_rest(world, step, score.found, allowed=allowed)
