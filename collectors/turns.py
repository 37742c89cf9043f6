"""Turns: the processes of this machine ask one host one by one, with the delay between them.

Each source is read by a process of its own, and many sources may lie on one host. A lock file per
host keeps the turns; a process that dies gives its turn back, whatever it was doing.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs
from filelock import FileLock, Timeout

from ..storage.vocabulary import Outcome
from .collector import Trouble

WAIT = 120.0
"""Seconds to wait for a turn; more would look like a run that hangs."""

STEP = 0.05
"""Seconds after which a host that is busy is looked at again."""


def folder() -> Path:
    """Where the turns are kept: ``hosts`` in ``$OUVIDOR_CACHE``, or in this user's cache folder."""
    cache = os.environ.get("OUVIDOR_CACHE")
    return Path(cache or platformdirs.user_cache_dir("ouvidor", appauthor=False)) / "hosts"


class Turns:
    """The turns of one process at any host, ``delay`` seconds after whoever was there before."""

    def __init__(self, delay: float, wait: float = WAIT) -> None:
        self._delay, self._wait = delay, wait
        self._known: set[Path] = set()

    @asynccontextmanager
    async def at(self, url: str) -> AsyncIterator[None]:
        """A turn for the block, at once where nobody is to be waited for (a delay of 0).

        Raises Trouble when it does not come in time, or the turns cannot be kept.
        """
        if not self._delay:
            yield
            return
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
        path = _file(host)
        lock = FileLock(path, mode=0o600, thread_local=False)
        await self._taken(lock, path, host)
        try:
            path.touch()
            yield
            if path not in self._known:  # the first request asks for robots.txt before itself
                path.touch()
                self._known.add(path)
        finally:
            lock.release()

    async def _taken(self, lock: FileLock, path: Path, host: str) -> None:
        until = time.monotonic() + self._wait
        while True:
            pause = self._pause(path)
            if not pause and _free(lock, host):
                if not (pause := self._pause(path)):
                    return
                lock.release()  # somebody was here just now
            if time.monotonic() > until:
                raise Trouble(
                    Outcome.PARTIAL,
                    f"Other runs of this machine kept {host} busy for {self._wait:g} s; the next "
                    "run goes on.",
                )
            await asyncio.sleep(pause or STEP)

    def _pause(self, path: Path) -> float:
        """Seconds until the delay is over; a clock that was turned makes it no longer."""
        try:
            last = path.stat().st_mtime
        except OSError:  # nobody was here yet; what is worse is told by the lock
            return 0.0
        return min(max(self._delay - abs(time.time() - last), 0.0), self._delay)


def _file(host: str) -> Path:
    name = re.sub(r"[^a-z0-9.-]", "_", host)[:200]
    return folder() / f"{name}.turn"


def _free(lock: FileLock, host: str) -> bool:
    """Whether the turn was taken; raises Trouble where no turns can be kept."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        raise Trouble(
            Outcome.UNAVAILABLE,
            f"The turns at {host} cannot be kept in {folder()} ({error.strerror}); give this user "
            "the right to write there, or set OUVIDOR_CACHE to a folder that may be written.",
        ) from error
    return True
