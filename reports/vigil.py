"""The door of the vigil: what the operator is told about the sources, once and once more when over.

What is worth a worry is counted anew each time from the runs; which of it was told stands in the
keys of the outbox, so that there is nothing else to keep in step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..config import Config
from ..rhythm import longest
from ..storage import outbox, pulse
from ..storage.database import Database
from . import mail, vigil_letter
from .delivery_errors import Permanent
from .herald import CHAT, MAIL, Reader
from .silence import Concern, concern, judge
from .vigil_letter import News

LOOKBACK = timedelta(days=400)
MOST = 15
"""Changes in one message; the rest comes with the next."""


def concerns(db: Database, config: Config, *, now: datetime) -> list[Concern]:
    """All there is to worry about now, source by source."""
    found: list[Concern] = []
    for name, source in config.sources.items():
        if source.enabled:
            runs = pulse.past_runs(db, name, since=now - LOOKBACK)
            found += judge(name, runs, now=now, every=longest(config, name, now))
    return found


def vigil(db: Database, config: Config, *, now: datetime) -> list[Concern]:
    """Tell the operator what is new and what is over; returns all there is to worry about."""
    found = concerns(db, config, now=now)
    watched = {name for name, source in config.sources.items() if source.enabled}
    for reader in _readers(config):
        with db.write() as connection:
            if reader.channel == CHAT or not outbox.refused(connection, reader.name):
                _tell(connection, config, reader, _news(connection, reader, found, watched), now)
    return found


def _readers(config: Config) -> Iterator[Reader]:
    operator, zone = config.operator, config.brand.zone
    if operator is None:
        return
    locale = operator.locale or config.brand.locale
    if operator.address:
        yield Reader(MAIL, operator.address, locale, zone, None)
    for name in operator.chat:
        yield Reader(CHAT, name, config.chat[name].locale or locale, zone, None)


def _news(
    connection: Connection, reader: Reader, found: Sequence[Concern], watched: Collection[str]
) -> News:
    """What this reader has not been told yet."""
    prefix = _prefix(reader)
    told = told_so_far(outbox.keys(connection, prefix), prefix)
    new = [each for each in found if each.key not in told][:MOST]
    lapsed = sorted(told - {each.key for each in found})
    over = [key for key in lapsed if concern(key).source in watched]
    return News(new, over[: MOST - len(new)])


def _prefix(reader: Reader) -> str:
    return f"vigil:{reader}:"


def _tell(
    connection: Connection, config: Config, reader: Reader, news: News, now: datetime
) -> None:
    if not (news.new or news.over):
        return
    changes = [f"+{each.key}" for each in news.new] + [f"-{key}" for key in news.over]
    key = f"{_prefix(reader)}{' '.join(changes)}"
    rendered = vigil_letter.write(config.brand.name, news, reader.locale, reader.zone)
    body = rendered.text.encode()
    if reader.channel == MAIL:
        try:
            body = mail.compose(
                rendered,
                key=key,
                recipient=reader.name,
                brand=config.brand.name,
                locale=reader.locale,
                now=now,
                settings=config.mail,
            )
        except Permanent:
            return  # `ouvidor status` shows it all the same
    outbox.put(
        connection,
        key=key,
        channel=reader.channel,
        recipient=reader.name,
        subject=rendered.subject,
        body=body,
        now=now,
    )


def told_so_far(keys: Sequence[str], prefix: str) -> set[str]:
    """The worries that were told and not yet told to be over, by the keys of all messages."""
    changes = [change for key in keys for change in key.removeprefix(prefix).split(" ")]
    over = {change[1:] for change in changes if change.startswith("-")}
    return {change[1:] for change in changes if change.startswith("+")} - over
