"""What `serve` says of itself: sentences for a person at a terminal, JSON Lines for a machine.

Nothing personal and no secret stands in a line for a machine: it is kept and sent elsewhere.
"""

from __future__ import annotations

import re
import secrets as random
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TextIO

from sqlalchemy.engine import make_url

from . import console
from .config import Config, pieces, secrets_in
from .storage import privacy


class Journal:
    """Writes events to a stream, one line each; safe to use from several threads.

    ``config`` is where the secrets are known from.
    """

    def __init__(
        self,
        config: Config,
        *,
        now: Callable[[], datetime],
        stream: TextIO | None = None,
    ) -> None:
        self._stream = stream or sys.stderr
        self._now = now
        # Numbers of people are joined by nobody in a log: each process has tokens of its own.
        self._mask = random.token_bytes(32)
        self._hidden = re.compile("|".join(map(re.escape, hidden(config))) or r"(?!)")
        self._lock = threading.Lock()
        self.human = self._stream.isatty()

    def say(self, event: str, sentence: str, *, level: str = "info", **fields: Any) -> None:
        """One event: its sentence on a terminal, its fields and the sentence elsewhere."""
        if self.human:
            console.say(sentence)
            return
        line = {"time": self._now().isoformat(timespec="milliseconds"), "level": level}
        line |= {"event": event, **fields, "message": sentence}
        text = console.dumps({name: self.harmless(value) for name, value in line.items()})
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()

    def did(self, duty: str, report: Mapping[str, Any], *, well: bool, sentence: str) -> None:
        """A duty such as ``collect:NAME``, ``annotate`` or ``digest`` was done."""
        event, _, name = duty.partition(":")
        fields: dict[str, Any] = {"ok": well}
        if name:
            fields["source"] = name
        if isinstance(outcome := report.get("outcome"), str):
            fields["outcome"] = outcome
        fields |= {name: each for name, each in report.items() if isinstance(each, int | float)}
        if self.human:
            sentence = f"{console.cell(self._now())} {sentence}"
        self.say(event, sentence, level="info" if well else "warning", **fields)

    def fault(self, error: Exception) -> None:
        """Something went wrong that the next tick tries again."""
        if self.human:
            console.problem(console.explain(error))
        else:
            self.say("fault", console.explain(error), level="error", error=type(error).__name__)

    def harmless(self, value: Any) -> Any:
        """A value without secrets and personal data, on one line."""
        if not isinstance(value, str):
            return value
        return privacy.mask(self._hidden.sub("***", console.line(value)), self._mask)


def hidden(config: Config) -> list[str]:
    """Every secret this configuration leads to, and its longer parts; the longest first."""
    whole = [secret for secret in secrets_in(config) if secret]
    if password := make_url(config.database_url).password:
        whole.append(password)
    return pieces(whole)
