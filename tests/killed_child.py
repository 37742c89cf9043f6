"""Run one verb and die by SIGKILL at a named point: `killed_child.py POINT COUNT VERB…`.

POINT is ``commit:before`` or ``commit:after`` (the COUNT-th writing transaction of this process),
or ``sent:after`` (the COUNT-th mail that the server has taken). Nothing of the program knows of it:
the points are wrapped around its own functions from outside.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    def __init__(self, count: int) -> None:
        self.left = count

    def hit(self) -> bool:
        self.left -= 1
        return self.left == 0


def around_commits(countdown: Countdown, *, before: bool) -> None:
    from ouvidor.storage.database import Database

    original = Database.write

    @contextmanager
    def write(self: Database) -> Iterator[Any]:
        with original(self) as connection:
            yield connection
            last = countdown.hit()
            if last and before:
                die()
        if last:
            die()

    Database.write = write  # type: ignore[method-assign]


def after_mails(countdown: Countdown) -> None:
    from ouvidor.reports import mail

    original: Callable[..., str] = mail._data

    def data(*arguments: Any) -> str:
        answer = original(*arguments)
        if countdown.hit():
            die()
        return answer

    mail._data = data


def main() -> int:
    point, count, *words = sys.argv[1:]
    countdown = Countdown(int(count))
    if point == "sent:after":
        after_mails(countdown)
    else:
        around_commits(countdown, before=point == "commit:before")
    from ouvidor.cli import main as ouvidor

    sys.argv = ["ouvidor", *words]
    return int(ouvidor() or 0)


if __name__ == "__main__":
    sys.exit(main())
