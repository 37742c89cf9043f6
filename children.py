"""Child processes: started in a group of their own, ended on time, never left behind.

A child learns of its parent's death by the end of its stdin, which the parent holds open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

ASKED, ASKED_AGAIN = 3.0, 1.0
"""Seconds a child has after the first and after the second SIGTERM; then it is killed."""

_TAIL = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended. ``code`` is None when it was ended early, negative for a signal.

    ``why`` says what for where that was not its time.
    """

    code: int | None
    stdout: str
    stderr: str
    why: str = ""

    @property
    def last_words(self) -> str:
        """The last line it wrote to stderr, without our own mark of an error."""
        lines = self.stderr.strip().splitlines()
        return lines[-1].removeprefix("Error: ") if lines else ""


class Closing(Exception):  # noqa: N818 - no error: the house was asked to end
    """No child is started any more."""


class Children:
    """The children of this process; safe to use from several threads, one child each at a time.

    ``with Children() as children:`` leaves none behind.
    """

    def __init__(self) -> None:
        self._alive: dict[int, subprocess.Popen[str]] = {}  # by the thread that waits for it
        self._cut: dict[int, str] = {}
        self._lock = threading.Lock()
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def run(self, arguments: Sequence[str], *, limit: timedelta) -> Ended:
        """Run ``ouvidor ARGUMENTS`` to its end, or end it when ``limit`` is over.

        Raises Closing once ``end`` was called.
        """
        ours, theirs = os.pipe()
        try:
            child = self._start(arguments, ours)
        finally:
            os.close(ours)
        try:
            ended = _wait(child, limit)
        finally:
            with self._lock:
                del self._alive[threading.get_ident()]
                why = self._cut.pop(threading.get_ident(), "")
            _signal(child, signal.SIGKILL)
            os.close(theirs)
        return replace(ended, code=None, why=why) if why else ended

    def _start(self, arguments: Sequence[str], stdin: int) -> subprocess.Popen[str]:
        with self._lock:
            if self.closed:
                raise Closing
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments, no shell
                [sys.executable, "-m", __package__, "--child", *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self._alive[threading.get_ident()] = child
        return child

    def end(self) -> None:
        """Ask every child to end, insist, and kill what is left; start no more."""
        with self._lock:
            self.closed = True
        self._insist(lambda: list(self._alive.values()))

    def cut(self, thread: int, why: str) -> None:
        """End the child that another thread waits for; it reports ``why`` and no exit code."""
        with self._lock:
            child = self._alive.get(thread)
            if child is None:
                return
            self._cut[thread] = why
        self._insist(lambda: [each for each in self._alive.values() if each is child])

    def _insist(self, left: Callable[[], list[subprocess.Popen[str]]]) -> None:
        steps = ((signal.SIGTERM, ASKED), (signal.SIGTERM, ASKED_AGAIN), (signal.SIGKILL, 0.0))
        for number, patience in steps:
            with self._lock:
                for child in left():
                    _signal(child, number)
            until = time.monotonic() + patience
            while self._any(left) and time.monotonic() < until:
                time.sleep(0.02)
            if not self._any(left):
                return

    def _any(self, left: Callable[[], list[subprocess.Popen[str]]]) -> bool:
        with self._lock:
            return bool(left())


def _wait(child: subprocess.Popen[str], limit: timedelta) -> Ended:
    """Wait, ask, ask again, kill. What it wrote until then is kept."""
    patience = limit.total_seconds()
    steps = ((signal.SIGTERM, ASKED), (signal.SIGTERM, ASKED_AGAIN), (signal.SIGKILL, None))
    late = False
    for number, longer in steps:
        try:
            stdout, stderr = child.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            late = True
            _signal(child, number)
            patience = longer or ASKED
        else:
            return Ended(code=None if late else child.returncode, stdout=stdout, stderr=stderr)
    stdout, stderr = child.communicate()
    return Ended(code=None, stdout=stdout, stderr=stderr)


def _signal(child: subprocess.Popen[str], number: signal.Signals) -> None:
    """To the whole group: a child's own children go with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def end_with_parent() -> None:
    """In a child: end when the parent is gone, as if it had been asked to."""
    threading.Thread(target=_outlive_nobody, daemon=True, name="parent").start()


def _outlive_nobody() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    for patience in (ASKED, ASKED_AGAIN):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(patience)
    os._exit(1)
