"""Hints that something is new: a message queue is asked, and what it says only hastens a run.

Google tells a Pub/Sub topic of new and edited reviews, at least once and in any order, and never of
deletions. So the list stays the truth, and a hint that is lost costs some hours and nothing else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ..config import ConfigError, Source
from . import judge, web, wire
from .collector import Access, Answer, Ask, Place, kind_of, settings_for
from .google_access import service_account
from .sources.google_business import GoogleBusinessSettings
from .stop import Stop

SCOPE = "https://www.googleapis.com/auth/pubsub"
MOST = 1000
"""Messages that are taken at once."""
_JSON = {"Content-Type": "application/json"}
_WHO = "Google Pub/Sub"


def hints(name: str, source: Source, *, zone: ZoneInfo, folder: Path, now: datetime) -> int:
    """Take what the source's subscription holds; how many messages were about its places.

    Raises ConfigError where the source has none, and Trouble with the sentence of the mend.
    """
    place = Place(name=name, zone=zone, folder=folder)
    settings = kind_of(name, source)(settings_for(name, source), place).settings
    if not isinstance(settings, GoogleBusinessSettings) or settings.pubsub_key is None:
        raise ConfigError(
            f"sources.{name}.subscription: this source has none; add it with its `pubsub_key`"
        )
    access = service_account(settings.pubsub_key, SCOPE, settings.token_url)

    async def taken(fetch: web.Fetch) -> int:
        found = await _asked(fetch, access, settings, "pull", {"maxMessages": MOST}, now)
        received = wire.objects(found, "receivedMessages", _WHO)
        if tickets := [each["ackId"] for each in received if "ackId" in each]:
            await _asked(fetch, access, settings, "acknowledge", {"ackIds": tickets}, now)
        return sum(place in settings.locations for place in _places(received))

    with Stop() as stop:
        return web.run(
            taken, settings, settings.pubsub_url, stop=stop, clock=lambda: now, robots=False
        )


async def _asked(
    fetch: web.Fetch,
    access: Access,
    settings: GoogleBusinessSettings,
    verb: str,
    told: Mapping[str, object],
    now: datetime,
) -> wire.Object:
    if token := access.ask(now):
        access.keep(await fetch(token, {}), now)
    ask = Ask(
        url=f"{settings.pubsub_url}/v1/{settings.subscription}:{verb}",
        headers=_JSON,
        body=json.dumps(told).encode(),
    )
    answer: Answer = await fetch(ask, access.headers(now))
    judge.check(answer, now)
    return wire.read_object(answer.body, _WHO)


def _places(received: list[Any]) -> Iterator[str]:
    """The place that each message is about; one that nobody can read is about none."""
    for each in received:
        try:
            data = json.loads(base64.b64decode(each["message"]["data"]))
            yield str(data["location_name"]).rpartition("/")[2]
        except (ValueError, KeyError, TypeError):
            yield ""
