"""Programs that are broken on purpose: each of them must be found out by the suite.

A saboteur changes the program inside one child, as a careless hand might change its source.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


def _marks_before_it_sends() -> None:
    from ouvidor.reports import deliver
    from ouvidor.storage import outbox

    original = deliver._one

    def one(drain: Any, message: Any) -> None:
        outbox.mark_sent(drain.db, message, now=drain.clock())
        original(drain, message)

    deliver._one = one


def _another_id_each_time() -> None:
    from ouvidor.reports import mail

    original = mail.send

    def send(settings: Any, recipient: str, body: bytes) -> str:
        fresh = f"Message-ID: <{secrets.token_hex(8)}@tucuma.example>".encode()
        return original(settings, recipient, re.sub(rb"(?im)^message-id:[^\r\n]*", fresh, body))

    mail.send = send


def _drops_the_first_mail() -> None:
    from ouvidor.storage import outbox

    original, first = outbox.put, [True]

    def put(connection: Any, **message: Any) -> bool:
        return True if first and first.pop() else original(connection, **message)

    outbox.put = put


def _bookmark_before_the_rows() -> None:
    """The ledger says "read to its end" as soon as a run begins."""
    from sqlalchemy import update

    from ouvidor.storage import runs
    from ouvidor.storage import tables as t

    original = runs.open_run

    def open_run(db: Any, **how: Any) -> Any:
        run = original(db, **how)
        with db.write() as connection:
            connection.execute(update(t.run).where(t.run.c.id == run.id).values(joined=True))
        return run

    runs.open_run = open_run


def _covers_before_it_reads() -> None:
    from ouvidor.storage import runs

    original = runs.open_run

    def open_run(db: Any, **how: Any) -> Any:
        run = original(db, **how)
        with db.write() as connection:
            from zoneinfo import ZoneInfo

            week = (how["now"] - timedelta(days=7), how["now"])
            runs._cover(connection, run.source_id, week, ZoneInfo("America/Sao_Paulo"))
        return run

    runs.open_run = open_run


def _forgets_the_days() -> None:
    from ouvidor.storage import annotations

    annotations._count_again = lambda _connection, _rows: None


def _leaves_claims() -> None:
    from ouvidor.storage import annotations, due, outbox

    for module in (annotations, due, outbox):
        module.release_dead = lambda _connection, _table: None


def _edits_without_trace() -> None:
    """The new words are written over the old ones."""
    from sqlalchemy import delete

    from ouvidor.storage import feedback
    from ouvidor.storage import tables as t

    original = feedback._revise

    def revise(connection: Any, *arguments: Any) -> None:
        original(connection, *arguments)
        connection.execute(delete(t.revision))

    feedback._revise = revise


@dataclass(frozen=True)
class Saboteur:
    """A broken program: what is wrong with it, the step that shows it, and where it dies."""

    patch: Callable[[], None]
    step: str
    point: str
    column: str


SABOTEURS = {
    "marks a mail as sent before it sends it": Saboteur(
        _marks_before_it_sends, "deliver", "smtp:before", "lost"
    ),
    "gives a mail another Message-ID each time": Saboteur(
        _another_id_each_time, "deliver", "mail:after", "doubled"
    ),
    "says that all was read when it begins": Saboteur(
        _bookmark_before_the_rows, "collect", "statement:after", "lost"
    ),
    "covers the days before it reads them": Saboteur(
        _covers_before_it_reads, "collect", "statement:after", "lost"
    ),
    "takes a digest for put that is not": Saboteur(
        _drops_the_first_mail, "digest", "write:after", "orphans"
    ),
    "does not count the days again": Saboteur(
        _forgets_the_days, "annotate", "write:after", "astray"
    ),
    "leaves the claims of the dead": Saboteur(_leaves_claims, "annotate", "write:after", "stuck"),
    "keeps no revision of an edit": Saboteur(
        _edits_without_trace, "collect", "write:after", "lost"
    ),
}
