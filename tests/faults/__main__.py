"""`python -m faults` (from `tests`): every fault, one table; exit code 1 when anything was lost.

Two installations are tormented at the same time, one on each database.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from faults import zygote
from faults.installation import installation
from faults.sabotage import SABOTEURS
from faults.saboteurs import unnoticed
from faults.score import Score, table
from faults.suite import FAULTS, KILLS, Fault
from faults.world import world


def _all_on(kind: str, faults: list[Fault], seed: int) -> tuple[list[Score], list[str]]:
    """Everything that befalls the installation on one kind of database."""
    with installation(kind) as house, world(house) as place:
        scores = []
        for fault in faults:
            scores.append(fault.happen(place, fault.rounds, random.Random(seed)))  # noqa: S311 - a repeatable story, no secret
            _say(f"{scores[-1].fault}: {'well' if scores[-1].well else 'NOT WELL'}")
        missed = unnoticed(place, random.Random(seed)) if kind == "sqlite" else []  # noqa: S311 - same
        return scores, missed


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def main() -> int:
    """Parse, torment, print."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=sum(KILLS.values()), help="of SIGKILL")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose name holds it")
    options = parser.parse_args()
    faults = [
        replace(fault, rounds=options.rounds // len(KILLS)) if fault in FAULTS[:2] else fault
        for fault in FAULTS
        if options.only in fault.name
    ]
    began = time.monotonic()
    zygote.begin()
    with ThreadPoolExecutor(len(KILLS)) as pool:
        under_way = [
            pool.submit(_all_on, kind, mine, options.seed)
            for kind in KILLS
            if (mine := [fault for fault in faults if fault.kind == kind])
        ]
        done = [each.result() for each in under_way]
    scores = [score for found, _ in done for score in found]
    missed = [name for _, names in done for name in names]
    minutes = (time.monotonic() - began) / 60
    caught = f"{len(SABOTEURS) - len(missed)} of {len(SABOTEURS)}"
    sys.stdout.write(f"{table(scores)}\n")
    sys.stdout.write(
        f"{caught} broken programs found out; seed {options.seed}, {minutes:.0f} min\n"
    )
    sys.stdout.writelines(f"not found out: it {name}\n" for name in missed)
    return 1 if missed or not all(score.well for score in scores) else 0


if __name__ == "__main__":
    sys.exit(main())
