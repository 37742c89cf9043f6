"""A move that is killed in the middle: ``moving_child.py OLD NEW PAGE PAGES``."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime

from ouvidor.storage.database import open_database
from ouvidor.storage.moving import move

_, old, new, page, pages = sys.argv
left = int(pages)


def step(_rows: int) -> None:
    global left  # noqa: PLW0603 - the child counts its own pages
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)


move(
    open_database(old),
    open_database(new),
    now=datetime(2026, 10, 5, tzinfo=UTC),
    page=int(page),
    progress=step,
)
