"""The door out: drains the outbox.

A message is leased, sent, and marked, one at a time. A sender that dies before it marks leaves the
lease behind; the next one sends the same bytes with the same Message-ID. What waits for something
that is missing (no mail server configured, a server that is down) waits without being tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from ..config import Config
from ..storage import outbox
from ..storage import tables as t
from ..storage.database import Database
from ..storage.outbox import Waiting
from . import mail
from .delivery_errors import Permanent, RetryLater, Unknown

LEASE = timedelta(minutes=15)
"""At least this long, and longer than any one send: each step of SMTP may take its time-out."""

_STEPS = 12

BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(hours=6)
TRIES = 20
"""With the backoff above about three days; then the message has failed. What keeps everybody's
mail from leaving (a server that is down, a wrong password) fails none."""

PAUSE = timedelta(minutes=5)
"""How long messages wait that nobody could send now."""

_UNKNOWN = "unknown: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one drain did. ``waiting`` counts all that still waits; ``problems`` say why."""

    sent: int = 0
    failed: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class _Drain:
    """One drain under way; ``closed`` names channels (and chats) that cannot be used now."""

    db: Database
    config: Config
    clock: Callable[[], datetime]
    closed: dict[str, str]
    done: Delivered


def deliver(db: Database, config: Config, *, now: datetime, worker: str) -> Delivered:
    """Send everything that is due; ``worker`` is this process (``storage.workers.me()``)."""
    started = time.monotonic()
    closed = {} if config.mail else {"mail": "no mail server is configured; add a [mail] table"}

    def clock() -> datetime:
        # A long drain must not take leases that have ended already.
        return now + timedelta(seconds=time.monotonic() - started)

    drain = _Drain(db, config, clock, closed, Delivered())
    lease = max(LEASE, timedelta(seconds=_STEPS * (config.mail.timeout if config.mail else 0)))
    while claimed := outbox.claim(db, limit=1, now=clock(), worker=worker, lease=lease):
        _one(drain, claimed[0])
    return replace(
        drain.done,
        waiting=outbox.counts(db).get("waiting", 0),
        problems=(*drain.done.problems, *_blocking(drain)),
    )


def _blocking(drain: _Drain) -> tuple[str, ...]:
    """Closed channels matter only where something waits for them."""
    query = select(t.message.c.channel, t.message.c.recipient).where(t.message.c.state == "waiting")
    with drain.db.read() as connection:
        waiting = {_way(row.channel, row.recipient) for row in connection.execute(query.distinct())}
    return tuple(why for way, why in drain.closed.items() if way in waiting)


def _way(channel: str, recipient: str) -> str:
    return channel if channel == "mail" else f"{channel}:{recipient}"


def _one(drain: _Drain, message: Waiting) -> None:
    """Send one claimed message and mark what became of it."""
    if _way(message.channel, message.recipient) in drain.closed:
        _hand_back(drain, message)
        return
    try:
        answer = _send(drain.config, message)
    except RetryLater as error:
        _later(drain, message, error)
    except Permanent as error:
        _failed(drain, message, str(error), refuse=error.refuse)
    except Unknown as error:
        _unknown(drain, message, error)
    else:
        outbox.mark_sent(drain.db, message, now=drain.clock(), detail=answer)
        drain.done = replace(drain.done, sent=drain.done.sent + 1)


def _send(config: Config, message: Waiting) -> str:
    if message.channel == "mail" and config.mail:
        body = mail.seal(
            message.body, key=message.key, brand=config.brand.name, settings=config.mail
        )
        return mail.send(config.mail, message.recipient, body)
    chat = config.chat.get(message.recipient)
    if message.channel != "chat" or chat is None:
        raise Permanent(f"{message.recipient}: no such {message.channel} is configured any more")
    # Imported here: a house without chats does not pay for Apprise.
    from .chat import send_chat

    text = message.body.decode("utf-8")
    send_chat(chat.url, message.subject, text, private_network=chat.private_network)
    return ""


def _later(drain: _Drain, message: Waiting, error: RetryLater) -> None:
    if error.everyone:
        drain.closed[_way(message.channel, message.recipient)] = str(error)
    elif message.attempts >= TRIES:
        _failed(drain, message, f"given up after {message.attempts} attempts: {error}")
        return
    wait = min(LONGEST_BACKOFF, BACKOFF * 2 ** (message.attempts - 1))
    now = drain.clock()
    outbox.mark_retry(drain.db, message, now=now, next_at=now + wait, detail=str(error))
    if not error.everyone:
        _problem(drain, message, f"{error}; it waits and is tried again")


def _unknown(drain: _Drain, message: Waiting, error: Unknown) -> None:
    """Sent perhaps: once more under the same Message-ID, then it rests."""
    query = select(func.count()).where(
        t.delivery.c.message_id == message.id, t.delivery.c.detail.startswith(_UNKNOWN)
    )
    with drain.db.read() as connection:
        before = connection.execute(query).scalar_one()
    if before:
        _failed(drain, message, f"{_UNKNOWN}twice {error}", mend="ask the reader before anything")
        return
    now = drain.clock()
    detail = f"{_UNKNOWN}{error}"
    outbox.mark_retry(drain.db, message, now=now, next_at=now + BACKOFF, detail=detail)
    _problem(drain, message, f"{error}; it is sent once more under the same Message-ID")


def _failed(
    drain: _Drain, message: Waiting, detail: str, *, refuse: bool = False, mend: str = ""
) -> None:
    outbox.mark_failed(drain.db, message, now=drain.clock(), detail=detail, refuse=refuse)
    drain.done = replace(drain.done, failed=drain.done.failed + 1)
    if refuse:
        mend = "this address is switched off; mend it in the configuration"
    _problem(drain, message, f"{detail}; {mend or 'this message is given up'}")


def _problem(drain: _Drain, message: Waiting, detail: str) -> None:
    drain.done = replace(drain.done, problems=(*drain.done.problems, f"{message.key}: {detail}"))


def _hand_back(drain: _Drain, message: Waiting) -> None:
    """Give a claim back untried; it is due again after a pause."""
    with drain.db.write() as connection:
        connection.execute(
            update(t.message)
            .where(t.message.c.id == message.id)
            .values(
                claimed_by=None,
                claimed_until=None,
                attempts=t.message.c.attempts - 1,
                due_at=drain.clock() + PAUSE,
            )
        )
