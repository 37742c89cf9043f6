"""The clock goes back, the model is damaged, two versions of the program meet on one database."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from faults import truth
from faults.kills import LEASE, at_a_point
from faults.score import Score
from faults.stores import _over, _paused, _released
from faults.world import STEPS, World, later

from ouvidor.nlp.encoder import NAME, cache_folder
from ouvidor.nlp.engine import _FORMAT, _fingerprint
from ouvidor.nlp.heads import DESCRIPTION, MODEL_FOLDER, WEIGHTS, Heads
from ouvidor.storage.database import HEAD

HOUR = timedelta(hours=1)
_ANNOTATE = next(step for step in STEPS if step.name == "annotate")


def clock_back(world: World, count: int, chance: random.Random) -> Score:
    """Killed at nine, tried again at eight (here or on another machine), and at nine again."""
    score = Score(f"clock back by an hour, {world.house.name}")
    for number in range(count):
        step = STEPS[number % len(STEPS)]
        world.back_to(step)
        struck = at_a_point(world, step, chance) if chance.random() < 0.7 else False
        if not struck:
            score.heard(world.run(step), "never")
        elsewhere = {"host": "another-machine"} if chance.random() < 0.3 else {}
        # Elsewhere a lease that ends in an hour is not over yet: that is said, and nothing is lost.
        score.heard(world.run(step, now=later(step, -HOUR), **elsewhere), "is reading this source")
        truth.in_between(world, score.found)
        score.heard(world.run(step, now=later(step, LEASE), **elsewhere), "never")
        score.rounds += 1
        score.struck += 1
        truth.at_rest(world, step, score.found, allowed=struck if step.name == "deliver" else 0)
    return score


# --- the model ------------------------------------------------------------------------------------


def damaged_model(world: World, count: int, chance: random.Random) -> Score:
    """The weights, or the graph in the cache, are damaged: healed, or a sentence and no tag."""
    score = Score("corrupted model file")
    for number in range(count):
        world.back_to(_ANNOTATE)
        # The graph is made anew in seconds, so most rounds damage the weights.
        damage = _graph if number % 4 == 3 else _weights
        settings, environment, file = damage(world, chance)
        good = file.read_bytes()
        _HARMS[number % len(_HARMS)](file, chance)
        ended = world.run(_ANNOTATE, settings=settings, environment=environment)
        score.heard(ended, "is damaged", "cannot be read", "cannot be used")
        score.rounds += 1
        score.struck += ended.code == 1 or file.read_bytes() == good
        truth.in_between(world, score.found)
        file.write_bytes(good)
        score.heard(world.run(_ANNOTATE, settings=settings, environment=environment), "never")
        truth.at_rest(world, _ANNOTATE, score.found)
    return score


def _weights(world: World, chance: random.Random) -> tuple[str, dict[str, str], Path]:
    """Weights of the installation's own: a copy of those that are shipped."""
    folder = world.folder / "ouvidor.model"
    folder.mkdir(exist_ok=True)
    for name in (WEIGHTS, DESCRIPTION):
        shutil.copyfile(MODEL_FOLDER / name, folder / name)
    settings = world.folder / "adapted.toml"
    plain = (world.folder / "ouvidor.toml").read_text(encoding="utf-8")
    settings.write_text(f'{plain}\n[tagger]\nfolder = "{folder}"\n', encoding="utf-8")
    return settings.name, {}, folder / chance.choice((WEIGHTS, WEIGHTS, DESCRIPTION))


def _graph(world: World, _chance: random.Random) -> tuple[str, dict[str, str], Path]:
    """A cache of its own, with the graph that is in the user's."""
    heads = Heads.load()
    name = f"{NAME}-int8-{_FORMAT}-{_fingerprint(heads.layers, heads.adapter)}"
    cache = world.folder / "cache"
    if not cache.exists():
        shutil.copytree(cache_folder() / name, cache / name)
    return "ouvidor.toml", {"OUVIDOR_CACHE": str(cache)}, cache / name / "encoder.onnx"


def _flipped(file: Path, chance: random.Random) -> None:
    """One byte is another: of a text file, one that breaks its form."""
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 0x80
    file.write_bytes(content)


def _cut(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randrange(file.stat().st_size))


def _overwritten(file: Path, chance: random.Random) -> None:
    with file.open("r+b") as opened:
        opened.seek(chance.randrange(max(file.stat().st_size - 4096, 1)))
        opened.write(chance.randbytes(4096))


_HARMS: tuple[Callable[[Path, random.Random], None], ...] = (_flipped, _cut, _overwritten)

# --- two versions ---------------------------------------------------------------------------------

_NEXT = f"{int(HEAD) + 1:04}"
_MIGRATION = f'''
"""A column more in each of the busiest tables."""

import sqlalchemy as sa
from alembic import op

revision = "{_NEXT}"
down_revision = "{HEAD}"


def upgrade() -> None:
    """Add them."""
    for table in ("due", "feedback", "message", "run"):
        op.add_column(table, sa.Column("extra", sa.Text()))
'''
PATIENT = 1.5
"""Seconds a migration has before the old program, which it may wait for, is let go on."""


def two_versions(world: World, count: int, chance: random.Random) -> Score:
    """The next release migrates while this one is in the middle of a verb."""
    score = Score(f"two versions at once, {world.house.name}")
    folder = world.folder / "versions"
    folder.mkdir()
    (folder / f"{_NEXT}.py").write_text(_MIGRATION, encoding="utf-8")
    busy = [step for step in STEPS if "write:after" in world.tallies[step.name]]
    for number in range(count):
        step = busy[number % len(busy)]
        world.back_to(step)
        child = _paused(world, step, chance, ("write:after",))
        newer = world.start(step, verb="db migrate", now=None, versions=str(folder))
        newer.wait(PATIENT)
        _released(world)
        score.heard(child.ended(), "newer Ouvidor")
        score.heard(newer.ended(), "never")
        _over(world)
        refused = world.run(step)
        score.heard(refused, "was written by a newer Ouvidor")
        score.rounds += 1
        score.struck += refused.code == 1
        truth.in_between(world, score.found)
        score.heard(world.run(step, versions=str(folder)), "never")
        truth.at_rest(world, step, score.found)
    shutil.rmtree(folder)
    return score
