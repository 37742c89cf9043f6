"""Stop: how a run learns that its process is asked to end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

GRACE = 1.5
"""Seconds a crawl has to end by itself once asked; then it is left behind."""
LAST = 10.0
"""Seconds after a signal when the process ends whatever it waits for, such as a database server
that says nothing any more. What it had committed stays; the next run goes on."""


class Stop:
    """Turns SIGTERM and SIGINT into an orderly end while the ``with`` block runs.

    A second signal changes nothing: the end is near already. Outside the main thread signals
    cannot be caught; there ``ask`` is the only way.
    """

    def __init__(self) -> None:
        self.asked = ""
        self._end: Callable[[], object] | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._last: threading.Timer | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._last is not None:
            self._last.cancel()

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        if self._last is None:
            self._last = threading.Timer(LAST, os._exit, (128 + number,))
            self._last.daemon = True
            self._last.start()
        self.ask(signal.Signals(number).name)

    def ask(self, why: str) -> None:
        """End the run; ``why`` goes into its message."""
        self.asked = self.asked or why
        if self._end is not None:
            self._end()

    def calls(self, end: Callable[[], object] | None) -> None:
        """Call ``end`` when asked to stop, at once if that was before."""
        self._end = end
        if self.asked and end is not None:
            end()
