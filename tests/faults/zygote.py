"""Real processes in a tenth of a second: one process has imported the program, each verb is forked.

A fork is a process like any other: it has its own database connections, event loop and threads,
and SIGKILL takes it as it takes any other. Only the imports are shared.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from faults.child import Plan, live

KILLED = -signal.SIGKILL
PATIENCE = 240.0
"""Seconds after which a verb counts as hung: much more than any takes."""

# Threads that wait for each other crawl where several processes share few cores.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.code == KILLED

    @property
    def clear(self) -> bool:
        """Whether it was killed, or ended as promised: no trace, no sentence for the unforeseen."""
        traces = ("Traceback", "should not have happened", "Exception ignored")
        told = self.code not in {1, 2} or bool((self.err + self.out).strip())
        promised = self.code in {0, 1, 130, 143, KILLED}
        return promised and told and not any(trace in self.err for trace in traces)


class HungError(Exception):
    """A process did not end."""


class Child:
    """A verb at work."""

    def __init__(self, process: ForkServerProcess, output: str) -> None:
        self._process, self._output = process, output

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is there still."""
        if self.alive and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        self._process.join(seconds)
        return not self.alive

    def ended(self) -> Ended:
        """How it ended; raises HungError, and leaves nothing behind."""
        if not self.wait(PATIENCE):
            self._process.kill()
            self._process.join()
            raise HungError(Path(f"{self._output}.err").read_text(encoding="utf-8"))
        said = [Path(f"{self._output}.{tail}") for tail in ("out", "err")]
        out, err = (each.read_text(encoding="utf-8") if each.exists() else "" for each in said)
        return Ended(self._process.exitcode or 0, out, err)


@contextmanager
def _with(environment: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@cache
def begin() -> None:
    """The one process of this process that is forked; it ends with us."""
    forkserver.set_forkserver_preload(["faults.preload"])
    with _with(_ENVIRONMENT):
        forkserver.ensure_running()


def start(plan: Plan) -> Child:
    """Start one verb."""
    begin()
    process = get_context("forkserver").Process(target=live, args=(plan,), daemon=True)
    process.start()
    return Child(process, plan.output)
