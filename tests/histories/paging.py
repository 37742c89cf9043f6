"""A feed with every style of paging, and a collector that reads it as the contract asks.

The server's half (``answer``) renders a world; the collector's half knows only the bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

from histories.world import Item, World

from ouvidor.collectors.collector import Answer, Ask, Collector, Options, Page, Trait
from ouvidor.storage.vocabulary import Feedback, Reply

# --- the server's half ------------------------------------------------------------------------


def entry(item: Item) -> dict[str, Any]:
    """One item as the feed writes it; ``sorted_at`` is there even where no date is shown."""
    return {
        "id": item.key,
        **item.now._asdict(),
        "date": item.at.isoformat() if item.dated else None,
        "sorted_at": item.at.isoformat(),
    }


def token_of(item: Item, serial: bool) -> str:  # noqa: FBT001 - which of two clocks
    place = [item.serial] if serial else [item.at.isoformat(), item.tie]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place(token: str) -> list[Any]:
    return list(json.loads(base64.urlsafe_b64decode(token))) if token else []


def answer(world: World, name: str, order: str, size: int) -> bytes:
    """The feed's answer to the query ``name``, like ``page=2`` or ``token=WzFd``."""
    query = dict(parse_qsl(name, keep_blank_values=True))
    ordered = {
        "newest": world.newest_first,
        "oldest": world.oldest_first,
        "changed": world.as_changed,
    }[order]()
    if "token" in query:
        start = after(ordered, query["token"], order)
    elif "offset" in query:
        start = int(query["offset"])
    else:
        if "since" in query:
            since = datetime.fromisoformat(query["since"] or "2000-01-01T00:00:00Z")
            ordered = [item for item in ordered if item.at >= since]
        start = (int(query["page"]) - 1) * size
    shown = ordered[max(0, start - world.echo) : start + size]
    body = {"items": [entry(item) for item in shown], "total": len(ordered)}
    if "token" in query:
        body["more"] = start + size < len(ordered)
        body["token"] = token_of(shown[-1], order == "changed") if shown else query["token"]
    return json.dumps(body).encode()


def after(ordered: list[Item], token: str, order: str) -> int:
    """How many stand before or at the place that a token names, whatever became of its item."""
    if not (place := _place(token)):
        return 0
    if order == "changed":
        return sum([item.serial] <= place for item in ordered)
    known = [[item.at.isoformat(), item.tie] for item in ordered]
    return sum(each >= place if order == "newest" else each <= place for each in known)


# --- the reader's half ------------------------------------------------------------------------


class FeedSettings(Options):
    """``paging``: page=1, offset=0, token= (keyset) or since=&page=1 (a window of dates)."""

    size: int
    paging: Literal["page", "offset", "token", "window"]


class Feed(Collector[FeedSettings]):
    """Reads a feed from the web or, with no ``base_url``, answers that lie in a folder."""

    Settings = FeedSettings
    reread_after = timedelta(days=7)
    begins: Mapping[str, Mapping[str, Any]] = {
        "page": {"page": 1},
        "offset": {"offset": 0},
        "token": {"token": ""},
        "window": {"since": "", "page": 1},
    }

    def first(self, mark: Mapping[str, Any]) -> Ask:  # noqa: ARG002 - read from its top
        return self.ask(self.begins[self.settings.paging])

    def ask(self, place: Mapping[str, Any]) -> Ask:
        name = urlencode(place)
        if self.settings.base_url is None:
            return Ask(path=self.place.folder / name, step=place, conditional=self.whole(place))
        url = f"{self.settings.base_url}/{name}"
        return Ask(url=url, step=place, conditional=self.whole(place))

    def whole(self, place: Mapping[str, Any]) -> bool:
        """Whether an unchanged answer here says that all is unchanged: the newest page does."""
        newest = Trait.NEWEST_FIRST in self.traits
        return newest and place == self.begins[self.settings.paging]

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:  # noqa: ARG002 - signature
        body = answer.path.read_bytes() if answer.path else answer.body
        data = json.loads(body)
        following = self.following(ask.step, data)
        yield Page(
            items=[feedback(each) for each in data["items"]],
            checkpoint=self.checkpoint(ask.step, data),
            next=self.ask(following) if following else None,
            empty=not data["items"],
        )

    def checkpoint(self, step: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - for those who go on where they were
        return {"total": data["total"]}

    def following(
        self, step: Mapping[str, Any], data: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        size = self.settings.size
        if "token" in step:
            return {"token": data["token"]} if data["more"] else None
        if "offset" in step:
            place = step["offset"] + size
            return {"offset": place} if place < data["total"] else None
        return {"page": step["page"] + 1} if step["page"] * size < data["total"] else None


class NewestFeed(Feed):
    """The newest on top; known ground ends the run."""

    kind = "newest_feed"
    traits = frozenset({Trait.PAGED, Trait.NEWEST_FIRST, Trait.POLLED})


class OldestFeed(Feed):
    """The oldest first: the new is at the end, so that all of it is read every time."""

    kind = "oldest_feed"
    traits = frozenset({Trait.PAGED, Trait.POLLED})


class ChangeLog(OldestFeed):
    """What changed since a token that is kept: each run goes on where the one before was."""

    kind = "change_log"

    def first(self, mark: Mapping[str, Any]) -> Ask:
        return self.ask({"token": mark.get("token", "")})

    def checkpoint(self, step: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - signature
        return {"token": data["token"]}


class Window(OldestFeed):
    """What is dated since the newest that was read, that very second included."""

    kind = "window_feed"

    def first(self, mark: Mapping[str, Any]) -> Ask:
        return self.ask({"since": mark.get("since", ""), "page": 1})

    def checkpoint(self, step: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
        return {"since": self._reached(step, data)}

    def following(
        self, step: Mapping[str, Any], data: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        if step["page"] * self.settings.size >= data["total"]:
            return None
        reached = self._reached(step, data)
        if reached == step["since"]:
            return {"since": reached, "page": step["page"] + 1}
        return {"since": reached, "page": 1}

    def _reached(self, step: Mapping[str, Any], data: Mapping[str, Any]) -> str:
        return str(data["items"][-1]["sorted_at"] if data["items"] else step["since"])


def feedback(found: Mapping[str, Any]) -> Feedback:
    moment = datetime.fromisoformat(found["date"]) if found["date"] else None
    return Feedback(
        external_id=found["id"],
        text=found["text"],
        stars=found["stars"],
        reply=Reply(text=found["reply"]) if found["reply"] else None,
        published_at=moment,
        edited_at=moment,
        raw=json.dumps(found),
    )
