"""The door through which a reader leaves the weekly digest: the page behind ``unsubscribe_page``.

Looking at it changes nothing (mail programs and scanners open every address); a POST ends the
digest at once, whoever sends it (RFC 8058): the signed token says whose it is.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple

from ..config import Config
from ..storage import readers
from ..storage.database import Database
from . import mail, render


class Page(NamedTuple):
    """What is shown; ``ended`` says that a digest ended just now."""

    status: HTTPStatus
    html: str
    ended: bool = False


def answer(db: Database, config: Config, token: str, *, now: datetime, asked: bool) -> Page:
    """The page for the holder of a token; ``asked`` says that the digest is to end."""
    key = config.mail.unsubscribe_key if config.mail else None
    reader = mail.unsubscriber(token, key) if key else None
    if reader is None:
        return _page(config, "unknown", None, HTTPStatus.NOT_FOUND)
    if asked:
        known = reader in config.subscribers
        fresh = readers.end(db, reader, now=now, by="the reader", known=known)
        return _page(config, "ended", reader)._replace(ended=fresh)
    return _page(config, "ended" if reader in readers.ended(db) else "ask", reader)


def trouble(config: Config) -> Page:
    """What is shown when the database cannot be asked."""
    return _page(config, "trouble", None, HTTPStatus.SERVICE_UNAVAILABLE)


def _page(
    config: Config, what: str, reader: str | None, status: HTTPStatus = HTTPStatus.OK
) -> Page:
    known = config.subscribers.get(reader or "")
    locale = (known.locale if known else None) or config.brand.locale
    values = {"what": what, "brand": config.brand.name, "alerts": _alerts(config, reader)}
    return Page(status, render.localised("leaving.html", locale, values))


def _alerts(config: Config, reader: str | None) -> bool:
    """Whether other mail of ours still comes to this reader."""
    known = config.subscribers.get(reader or "")
    address = known.address if known else reader
    owners = {touchpoint.owner for touchpoint in config.touchpoints.values()}
    operator = config.operator.address if config.operator else None
    return bool(known and known.alerts) or address in {*owners, operator} - {None}
