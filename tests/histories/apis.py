"""The paging of the official APIs: real collectors, their real wire formats, a world behind them.

Their answers lie in a folder (``Shelf``), so that ten thousand histories need no socket; what HTTP
itself can do to them is tried by the contract. Each server's half is written after the notes on the
API and shares nothing with the collector.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from histories.paging import after, token_of
from histories.world import Item, World

from ouvidor.collectors.collector import Answer, Ask, Collector, Page
from ouvidor.collectors.sources.cfpb import Cfpb
from ouvidor.collectors.sources.google_business import GoogleBusiness
from ouvidor.collectors.sources.google_play import GooglePlay
from ouvidor.collectors.sources.reclame_aqui import ReclameAqui

WEEK = timedelta(days=7)
"""How long Google Play shows a review after it was last changed."""
WORDS = {1: "ONE", 2: "TWO", 3: "THREE", 4: "FOUR", 5: "FIVE"}


class Shelf(Collector[Any]):
    """Finds the answer to each request in a folder, under the request's own address."""

    def __init__(self, settings: Any, place: Any) -> None:
        super().__init__(settings, place)
        self.access = None

    def first(self, mark: Mapping[str, Any]) -> Ask:
        return self._shelved(super().first(mark))  # type: ignore[safe-super]  # a collector follows

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        assert answer.path is not None
        answer = replace(answer, body=answer.path.read_bytes())
        for page in super().parse(ask, answer, mark):  # type: ignore[safe-super]  # same
            further = {"next": page.next, "beyond": page.beyond}
            yield replace(
                page, **{name: self._shelved(each) for name, each in further.items() if each}
            )

    def _shelved(self, ask: Ask) -> Ask:
        address = ask.url.removeprefix(self.settings.base_url).rpartition("/")[2]
        return replace(ask, path=self.place.folder / f"ask={quote(address, safe='')}")


class ShelvedBusiness(Shelf, GoogleBusiness):
    pass


class ShelvedPlay(Shelf, GooglePlay):
    pass


class ShelvedReclameAqui(Shelf, ReclameAqui):
    pass


class ShelvedCfpb(Shelf, Cfpb):
    pass


def _asked(name: str) -> tuple[str, dict[str, str]]:
    """What is asked for: the last part of the path, and the query."""
    path, _, query = unquote(name.removeprefix("ask=")).partition("?")
    return path, {key: values[0] for key, values in parse_qs(query).items()}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# --- Google: pages by token, what was changed last on top ---------------------------------------


def business(world: World, name: str, size: int, reach: int) -> bytes:
    """One place's reviews; all there is, however old."""
    ordered = world.newest_first()
    shown, token = _behind(ordered, _asked(name)[1].get("pageToken", ""), size)
    body = {"reviews": [_business_review(each) for each in shown], "averageRating": 3.1}
    body["totalReviewCount"] = len(ordered)
    return json.dumps(
        (body if ordered else {}) | ({"nextPageToken": token} if token else {})
    ).encode()


def _behind(ordered: list[Item], token: str, size: int) -> tuple[list[Item], str]:
    """The page behind a token, and the token of the next."""
    start = after(ordered, token, "newest")
    shown = ordered[start : start + size]
    return shown, token_of(shown[-1], serial=False) if start + size < len(ordered) else ""


def _business_review(item: Item) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": f"accounts/1/locations/7/reviews/{item.key}",
        "reviewId": item.key,
        "reviewer": {"displayName": "Alguém Inventado"},
        "starRating": WORDS[item.now.stars],
        "comment": item.now.text,
        "createTime": _written(item.born),
        "updateTime": _written(item.at),
    }
    if item.now.reply:
        found["reviewReply"] = {"comment": item.now.reply, "updateTime": _written(item.changed)}
    return found


def play(world: World, name: str, size: int, reach: int) -> bytes:
    """What was written or changed within a week."""
    ordered = [item for item in world.newest_first() if item.at >= world.clock - WEEK]
    shown, token = _behind(ordered, _asked(name)[1].get("token", ""), size)
    body: dict[str, Any] = {"reviews": [_play_review(each) for each in shown]} if shown else {}
    return json.dumps(
        body | ({"tokenPagination": {"nextPageToken": token}} if token else {})
    ).encode()


def _play_review(item: Item) -> dict[str, Any]:
    said = {
        "text": f"\t{item.now.text}",
        "lastModified": {"seconds": str(int(item.at.timestamp())), "nanos": 0},
        "starRating": item.now.stars,
    }
    comments = [{"userComment": said}]
    if item.now.reply:
        told = {"seconds": str(int(item.changed.timestamp())), "nanos": 0}
        comments.append({"developerComment": {"text": item.now.reply, "lastModified": told}})
    return {"reviewId": item.key, "authorName": "Alguém Inventado", "comments": comments}


# --- Reclame Aqui: a count, then numbered pages in the order of ids ------------------------------


def reclame_aqui(world: World, name: str, size: int, reach: int) -> bytes:
    """What was changed since a moment, counted or page by page."""
    path, query = _asked(name)
    found = sorted(world.items.values(), key=lambda item: int(item.key))
    if since := query.get("last_modification_date[gte]"):
        found = [item for item in found if item.changed >= datetime.fromisoformat(since)]
    if path == "count":
        return json.dumps({"success": True, "data": len(found)}).encode()
    start = (int(query["page[number]"]) - 1) * size
    tickets = [_ticket(item) for item in found[start : start + size]]
    return json.dumps({"data": tickets, "meta": {"total": len(found)}}).encode()


def _ticket(item: Item) -> dict[str, Any]:
    return {
        "id": int(item.key),
        "complaint_title": "",
        "complaint_content": item.now.text,
        "complaint_response_content": item.now.reply,
        "creation_date": _written(item.born) if item.dated else None,
        "last_modification_date": _written(item.changed),
        "ra_status": {"id": 6 if item.now.reply else 5, "name": ""},
        "customer": {"name": "Alguém Inventado"},
        "interactions": [],
    }


# --- the CFPB: behind the last one's place in the order of receipt -------------------------------


def cfpb(world: World, name: str, size: int, reach: int) -> bytes:
    """What was received since a day, behind a complaint; it knows days, and no hour."""
    _, query = _asked(name)
    ordered = sorted(world.items.values(), key=_received)
    if since := query.get("date_received_min"):
        ordered = [item for item in ordered if item.born.date().isoformat() >= since]
    total = len(ordered)
    if behind := query.get("search_after"):
        place = [int(each) for each in behind.split("_")]
        ordered = [item for item in ordered if _received(item) > place]
    hits = [_hit(item) for item in ordered[: min(size, int(query["size"]))]]
    return json.dumps({"hits": {"total": {"value": total}, "hits": hits}}).encode()


def _received(item: Item) -> list[int]:
    day = datetime.combine(item.born.date(), datetime.min.time(), tzinfo=UTC)
    return [int(day.timestamp() * 1000), int(item.key)]


def _hit(item: Item) -> dict[str, Any]:
    day, number = _received(item)
    told = {
        "complaint_id": item.key,
        "date_received": f"{item.born.date()}T12:00:00-05:00",
        "company": "EXAMPLE BANK",
        "product": "Mortgage",
        "complaint_what_happened": item.now.text,
        "company_public_response": item.now.reply or "",
    }
    return {"_id": item.key, "_source": told, "sort": [day, str(number)]}
