"""What happens in the process that one verb gets: it may die, wait or be led astray at a point.

Nothing of the program knows of it: the points are wrapped around its own functions from outside.
A point is passed many times; the Plan says at which passing something happens:

``statement:before|after`` a statement of SQL, ``write:before|after`` the end of a writing
transaction, ``http:after`` an answer of a source, ``smtp:before|after`` bytes to the mail server,
``mail:after`` a mail that the server has taken.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POINTS = (
    *("statement:before", "statement:after", "write:before", "write:after"),
    *("http:after", "smtp:before", "smtp:after", "mail:after"),
)
PAGE = 8
"""Pieces of feedback the tagger takes at a time here: several pages in each round."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One verb, and what befalls it. ``output`` gets ``.out`` and ``.err``.

    At the ``count``-th passing of ``point`` the process dies, or, with ``pause``, says so by the
    file ``{pause}.here`` and waits for the file ``pause``. ``tally`` is where to write how often
    each point was passed, ``host`` the name of another machine, ``mute_names`` the look-up from
    which on the resolver fails, ``versions`` a folder with one more migration.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    output: str
    point: str = ""
    count: int = 0
    pause: str = ""
    tally: str = ""
    host: str = ""
    mute_names: int | None = None
    versions: str = ""
    sabotage: str = ""


@dataclass
class Points:
    """Counts the passings of this process and does what was planned."""

    plan: Plan
    passed: Counter[str] = field(default_factory=Counter)

    def __call__(self, point: str) -> None:
        self.passed[point] += 1
        if point == self.plan.point and self.passed[point] == self.plan.count:
            self._strike()

    def _strike(self) -> None:
        if not self.plan.pause:
            os.kill(os.getpid(), signal.SIGKILL)
        Path(f"{self.plan.pause}.here").touch()
        while not Path(self.plan.pause).exists():
            time.sleep(0.01)


def _around_statements(points: Points) -> None:
    from sqlalchemy import Engine, event

    for moment in ("before", "after"):

        def passed(*_: Any, at: str = moment) -> None:
            points(f"statement:{at}")

        event.listen(Engine, f"{moment}_cursor_execute", passed)


def _around_writes(points: Points) -> None:
    from ouvidor.storage.database import Database

    original = Database.write

    @contextmanager
    def write(self: Database) -> Iterator[Any]:
        with original(self) as connection:
            yield connection
            points("write:before")
        points("write:after")

    Database.write = write  # type: ignore[method-assign]


def _around_answers(points: Points) -> None:
    from ouvidor.collectors import web

    original = web._Fetcher._once

    async def once(self: Any, *arguments: Any) -> Any:
        answer = await original(self, *arguments)
        points("http:after")
        return answer

    web._Fetcher._once = once  # type: ignore[method-assign]


def _around_mails(points: Points) -> None:
    from ouvidor.reports import mail

    send, data = smtplib.SMTP.send, mail._data

    def sent(self: smtplib.SMTP, *arguments: Any) -> None:
        points("smtp:before")
        send(self, *arguments)
        points("smtp:after")

    def taken(*arguments: Any) -> str:
        answer = data(*arguments)
        points("mail:after")
        return answer

    smtplib.SMTP.send = sent  # type: ignore[method-assign]
    mail._data = taken


def _small_pages() -> None:
    from ouvidor.nlp import annotate

    annotate.annotate.__kwdefaults__["page"] = PAGE


def _a_process_of_its_own(plan: Plan) -> None:
    """Forked processes share what is drawn at import; another machine has another name."""
    import secrets

    from ouvidor.storage import workers

    workers._BOOT = secrets.token_hex(4)
    if plan.host:
        socket.gethostname = lambda: plan.host


def _names(plan: Plan) -> None:
    """The resolver knows this machine, until it knows nothing any more."""
    lookups = iter(range(1_000_000))

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        if plan.mute_names is not None and next(lookups) >= plan.mute_names:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        known = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port or 0)))
        if host not in {"localhost", "127.0.0.1", b"localhost", b"127.0.0.1"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [known]

    socket.getaddrinfo = getaddrinfo


def _speak_into(output: str) -> None:
    for number, tail in ((1, "out"), (2, "err")):
        handle = os.open(f"{output}.{tail}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
        os.close(handle)


def live(plan: Plan) -> None:
    """The whole life of the process; the exit code is the program's."""
    _speak_into(plan.output)
    os.environ.update(plan.environment)
    os.chdir(plan.folder)
    points = Points(plan)
    _a_process_of_its_own(plan)
    _names(plan)
    _small_pages()
    if plan.versions:
        from meeting_child import one_more_migration

        one_more_migration(plan.versions)
    if plan.sabotage:
        from faults.sabotage import SABOTEURS

        SABOTEURS[plan.sabotage].patch()
    for wrap in (_around_statements, _around_writes, _around_answers, _around_mails):
        wrap(points)
    sys.exit(_main(plan, points))


def _main(plan: Plan, points: Points) -> int:
    from ouvidor.cli import main

    run: Callable[[Sequence[str]], int] = main
    code = run(plan.words)
    if plan.tally:
        Path(plan.tally).write_text(json.dumps(points.passed), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    return code
