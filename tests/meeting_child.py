"""Run one verb that meets others on its way: `meeting_child.py FOLDER COUNT POINT PATIENCE VERB`.

POINT is ``module:function`` or ``module:Class.function`` of the program. Its first call waits,
after it returned (``+module:…``) or before it begins (``-module:…``), until COUNT processes have
come there, or until PATIENCE seconds are over. Nothing of the program knows of it.

With ``OUVIDOR_TEST_VERSIONS`` set the program has one more migration: the one in that folder.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def meet(folder: Path, count: int, patience: float) -> None:
    """Say that we are here, and wait for the others."""
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + patience
    while len(list(folder.iterdir())) < count and time.monotonic() < until:
        time.sleep(0.01)


def meeting(original: Callable[..., Any], wait: Callable[[], None], *, after: bool) -> Any:
    """The function, with the meeting around its first call."""
    pending = [wait]

    def called(*arguments: Any, **named: Any) -> Any:
        waits = [pending.pop()] if pending else []
        for each in () if after else waits:
            each()
        result = original(*arguments, **named)
        for each in waits if after else ():
            each()
        return result

    return called


def install(point: str, wait: Callable[[], None]) -> None:
    module, _, path = point[1:].partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    setattr(owner, name, meeting(getattr(owner, name), wait, after=point[0] == "+"))


def one_more_migration(folder: str) -> None:
    """The program as its next release will be: one more version, and that is its head."""
    from ouvidor.storage import database, migrations

    original = migrations._config

    def config() -> Any:
        made = original()
        own = Path(migrations.__file__).parent / "versions"
        made.set_main_option("version_locations", f"{own}{os.pathsep}{folder}")
        return made

    migrations._config = config
    [newest] = Path(folder).glob("*.py")
    database.HEAD = newest.stem


def main() -> int:
    folder, count, point, patience, *words = sys.argv[1:]
    if versions := os.environ.get("OUVIDOR_TEST_VERSIONS"):
        one_more_migration(versions)
    install(point, lambda: meet(Path(folder), int(count), float(patience)))
    from ouvidor.cli import main as ouvidor

    return int(ouvidor(words) or 0)


if __name__ == "__main__":
    sys.exit(main())
