"""What befalls the database: it is gone and comes back, its disk is full, its bytes are damaged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults import truth
from faults.installation import Postgresql, Sqlite
from faults.kills import at_a_point
from faults.relay import Relay, Trouble
from faults.score import Score
from faults.world import STEPS, Step, World
from faults.zygote import Child

_GONE = ("does not answer", "cannot be opened", "does not exist", "disk error")
_PAGE = 4096
PROMPT = 30.0
"""Seconds within which a process ends that is asked to: ten as it is written, and a busy machine's
share."""


def _paused(world: World, step: Step, chance: random.Random, points: tuple[str, ...]) -> Child:
    """A process that waits at one of those points; `_released` lets it go on."""
    tally = {name: count for name, count in world.tallies[step.name].items() if name in points}
    point = chance.choice(sorted(tally))
    child = world.start(
        step, point=point, count=chance.randint(1, tally[point]), pause=str(world.folder / "pause")
    )
    while child.alive and not (world.folder / "pause.here").exists():
        time.sleep(0.01)
    return child


def _released(world: World) -> None:
    (world.folder / "pause").touch()


def _over(world: World) -> None:
    for name in ("pause", "pause.here"):
        (world.folder / name).unlink(missing_ok=True)


def gone_and_back(world: World, count: int, chance: random.Random) -> Score:
    """The server stops as by a power cut (the file's folder is away), in the middle of a verb."""
    score = Score(f"database gone and back, {world.house.name}")
    for number in range(count):
        step = STEPS[number % len(STEPS)]
        world.back_to(step)
        child = _paused(world, step, chance, ("statement:before", "statement:after"))
        world.house.go()
        try:
            _released(world)
            score.heard(child.ended(), *_GONE)
            again = world.run(step)
            score.heard(again, *_GONE)
            score.struck += again.code == 1
        finally:
            world.house.come()
            _over(world)
        _go_on(world, step, score, under_way=1)
    return score


def half_open(world: World, count: int, chance: random.Random) -> Score:
    """The server's machine says nothing any more: at the greeting, or in the middle of a verb."""
    score = Score(f"half-open connection, {world.house.name}")
    assert isinstance(world.house, Postgresql)
    with tempfile.TemporaryDirectory(prefix="ouvidor-relay-") as folder:
        url = f"{world.house.url.partition('?')[0]}?host={folder}&connect_timeout=2"
        with Relay(str(world.house.socket), f"{folder}/.s.PGSQL.5432") as relay:
            for number in range(count):
                step = STEPS[number % len(STEPS)]
                world.back_to(step)
                _through_silence(world, step, relay, url, chance, score)
                relay.heal()
                _go_on(world, step, score, under_way=1)
    return score


def _through_silence(
    world: World, step: Step, relay: Relay, url: str, chance: random.Random, score: Score
) -> None:
    after = chance.choice((0, chance.randint(500, 20_000)))
    before = relay.struck
    relay.trouble = lambda: Trouble("mute", after)
    child = world.start(step, environment={"OUVIDOR_DATABASE_URL": url})
    while child.alive and relay.struck == before:
        time.sleep(0.01)
    if after and not child.wait(1):
        # Whoever waits for a silent server can be asked to end, and `serve` asks.
        child.signal(signal.SIGTERM)
        if not child.wait(PROMPT):
            score.found.stuck.append(f"{step.name} did not end when it was asked to")
            child.signal(signal.SIGKILL)
    score.heard(child.ended(), *_GONE, "timeout")
    score.struck += relay.struck > before


def _go_on(world: World, step: Step, score: Score, *, under_way: int) -> None:
    """Judge, call the step again, judge; ``under_way`` mails may come twice."""
    score.rounds += 1
    truth.in_between(world, score.found)
    score.heard(world.run(step), "nothing of this is expected any more")
    truth.at_rest(world, step, score.found, allowed=under_way if step.name == "deliver" else 0)


# --- a full disk ----------------------------------------------------------------------------------


def disk_full(world: World, count: int, chance: random.Random) -> Score:
    """The disk is full, or will be after a few pages; then there is room again."""
    score = Score(f"disk full, {world.house.name}")
    assert isinstance(world.house, Sqlite)
    try:
        with _small_disk(world.house.folder) as folder:
            for number in range(count):
                step = STEPS[number % len(STEPS)]
                world.back_to(step)
                _fill(folder, room=chance.choice((0, 1, chance.randint(2, 60))) * _PAGE)
                ended = world.run(step)
                score.heard(ended, "disk is full", "No space left", "disk error")
                score.struck += ended.code == 1
                (folder / "filler").unlink()
                _go_on(world, step, score, under_way=1)
    except (OSError, subprocess.CalledProcessError) as error:
        score.skipped = f"no small disk can be mounted: {error}"
    return score


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _fill(folder: Path, room: int) -> None:
    """Take all the room but so many bytes."""
    disk = os.statvfs(folder)
    with (folder / "filler").open("wb") as file:
        file.write(bytes(max(disk.f_bavail * disk.f_frsize - room, 0)))


# --- damage ---------------------------------------------------------------------------------------


def damaged(world: World, count: int, chance: random.Random) -> Score:
    """The file is damaged at random: a clear sentence or a right answer, and a copy brings it back.

    The backup is as old as the step: what was told since is told again under its Message-ID.
    """
    score = Score("corrupted SQLite file")
    assert isinstance(world.house, Sqlite)
    for number in range(count):
        step = STEPS[number % len(STEPS)]
        world.back_to(step)
        score.heard(world.run(step, verb="db backup good.db", now=None))
        how = (_garbage, _cut, _zeroes, _words)[number % 4]
        how(world.house.file, chance)
        score.heard(world.run(step), "ouvidor db restore", "disk error", "cannot be opened")
        checked = world.run(step, verb="db check", now=None)
        told = checked.code == 0 or "ouvidor db restore" in checked.out
        if not checked.clear or not told:
            score.found.unclear.append(f"db check, {how.__name__}: {checked}")
        score.struck += checked.code == 1
        before = sum(world.post.arrived.values())
        score.heard(world.run(step, verb="db restore good.db --yes", now=None), "never")
        for left in world.house.folder.glob("*.damaged*"):
            left.unlink()
        _go_on(world, step, score, under_way=before)
    return score


def _garbage(file: Path, chance: random.Random) -> None:
    with file.open("r+b") as opened:
        pages = file.stat().st_size // _PAGE
        for _ in range(chance.randint(1, pages // 4)):
            opened.seek(chance.randrange(pages) * _PAGE)
            opened.write(chance.randbytes(_PAGE))


def _cut(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randint(1, file.stat().st_size - 1))


def _zeroes(file: Path, chance: random.Random) -> None:
    size = file.stat().st_size
    start = chance.randrange(size // 2)
    with file.open("r+b") as opened:
        opened.seek(start)
        opened.write(bytes(chance.randint(_PAGE, size // 2)))


def _words(file: Path, chance: random.Random) -> None:
    file.write_bytes(b"only words" * chance.randint(1, 5000))


def damaged_journal(world: World, count: int, chance: random.Random) -> Score:
    """A process is killed and the journal it leaves is damaged: the last commits may be undone."""
    score = Score("corrupted SQLite journal")
    assert isinstance(world.house, Sqlite)
    for number in range(count):
        step = STEPS[number % len(STEPS)]
        world.back_to(step)
        at_a_point(world, step, chance, points="write:after")
        journal = world.house.file.with_name(world.house.file.name + "-wal")
        if journal.exists() and (size := journal.stat().st_size):
            with journal.open("r+b") as opened:
                opened.seek(chance.randrange(size))
                opened.write(chance.randbytes(chance.randint(1, _PAGE)))
            score.struck += 1
        _go_on(world, step, score, under_way=sum(world.post.arrived.values()))
    return score
