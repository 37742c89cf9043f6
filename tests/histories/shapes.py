"""The kinds of source whose histories are told, and how each shows a world.

A further kind is one entry in ``SHAPES``: its name in ``ouvidor.toml``, its options, a function
that renders a world as its wire format, and what may happen to it. What its paging cannot see is
told too: ``blind`` are the events that an incremental reading misses until everything is read
again, ``shaky`` those that, in the midst of a reading, make an item slip between two pages. After
them the store may lag until the next whole reading; without them it never may.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import ModuleType
from typing import Any

from histories import apis, paging
from histories.world import Item, State, What, World

from ouvidor.collectors.collector import Collector
from ouvidor.collectors.sources import cfpb
from ouvidor.collectors.sources.app_store import AppStore
from ouvidor.collectors.sources.file import File
from ouvidor.config import Secret
from ouvidor.demo.keys import keys

Answer = bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one kind shows a world: ``answer(world, name, size, reach)`` renders what is asked for.

    ``thorough``: every reading sees everything that has changed. ``web``: over HTTP, else from the
    disk. ``cap``: no more than ``reach`` pages are shown. ``bumps``: an edit moves an item to the
    newest. ``doubts``: a source without anything may be taken for a broken one. ``stars``: it has
    some. ``window``: how long an item is shown after its last edit. ``most``: the module whose page
    size counts.
    """

    kind: type[Collector[Any]]
    answer: Callable[[World, str, int, int], Answer]
    options: Mapping[str, Any] = field(default_factory=dict)
    carries: frozenset[What] = frozenset(What)
    blind: frozenset[What] = frozenset()
    shaky: frozenset[What] = frozenset()
    thorough: bool = False
    web: bool = False
    cap: bool = False
    bumps: bool = True
    doubts: bool = False
    stars: bool = True
    window: timedelta | None = None
    most: ModuleType | None = None
    sized: bool = False
    """Whether the option ``size`` tells the page size."""
    weight: int = 10
    """Its share of the histories, beside that of the others."""

    def told(self, state: State) -> State:
        """As much of a state as this kind tells."""
        return state if self.stars else state._replace(stars=None)


# --- Apple's feed -----------------------------------------------------------------------------


def _apple(world: World, name: str, size: int, reach: int) -> bytes:
    match = re.search(r"page=(\d+)/", name)
    if match is None:
        return b'{"resultCount": 1, "results": [{"userRatingCount": 3}]}'
    ordered, page = world.newest_first(), int(match[1])
    last = max(1, -(-len(ordered) // size))
    start = (page - 1) * size
    found = [_apple_entry(each) for each in ordered[max(0, start - world.echo) : page * size]]
    link = {"attributes": {"rel": "last", "href": f"https://x/page={last}/id=1/json"}}
    feed = {"title": {"label": "x"}, "link": [link]} | ({"entry": found} if found else {})
    return json.dumps({"feed": feed}).encode()


def _apple_entry(item: Item) -> dict[str, Any]:
    return {
        "id": {"label": item.key},
        "title": {"label": ""},
        "updated": {"label": item.at.isoformat() if item.dated else ""},
        "im:rating": {"label": str(item.now.stars)},
        "content": {"label": item.now.text, "attributes": {"type": "text"}},
    }


# --- a file -----------------------------------------------------------------------------------

_COLUMNS = {
    "id": "id",
    "text": "text",
    "stars": "stars",
    "published_at": "born",
    "edited_at": "edited",
    "reply": "reply",
}


def _table(world: World, name: str, size: int, reach: int) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS.values())
    rows = world.any_order()
    for item in rows + rows[: int(world.echo)]:
        dates = [item.born.isoformat(), item.changed.isoformat()] if item.dated else ["", ""]
        row = [item.key, item.now.text, item.now.stars, *dates, item.now.reply or ""]
        writer.writerow(row)
    return out.getvalue().encode()


# --- every style of paging --------------------------------------------------------------------


def _feed(kind: type[paging.Feed], style: str, order: str, **told: Any) -> Shape:
    def answer(world: World, name: str, size: int, reach: int) -> bytes:
        return paging.answer(world, name, order, size)

    return Shape(kind=kind, answer=answer, options={"paging": style}, sized=True, **told)


_BURIED = frozenset({What.LATE, What.REPLY, What.SHUFFLE})
"""What changes below the top of a feed and does not come up."""
_MOVES = frozenset({What.EDIT, What.BACK})
_PULLS = _BURIED | {What.DELETE}
"""What pulls items up, from a page not yet read to one that was."""

_DATED = frozenset(What) - {What.UNDATED, What.ECHO}
"""What happens to a source that dates all it shows and whose pages begin behind an item."""
_ACCOUNT = Secret(json.dumps(keys().service_account("https://host.example")))
_OAUTH = {name: Secret("x") for name in ("client_id", "client_secret", "refresh_token")}

newest = partial(_feed, paging.NewestFeed, order="newest", blind=_BURIED, shaky=_PULLS)
oldest = partial(_feed, paging.OldestFeed, order="oldest", shaky=_PULLS | _MOVES, thorough=True)

SHAPES: Mapping[str, Shape] = {
    "app_store": Shape(
        kind=AppStore,
        answer=_apple,
        options={"app": "900000001", "country": "br"},
        carries=frozenset(What) - {What.REPLY},
        blind=_PULLS,
        shaky=_PULLS,
        web=True,
        cap=True,
        doubts=True,
        weight=3,
    ),
    "file": Shape(
        kind=File,
        answer=_table,
        options={"path": "export.csv", "columns": _COLUMNS, "feedback_kind": "review"},
        thorough=True,
        bumps=False,
        weight=12,
    ),
    "newest, by page": newest(style="page"),
    "newest, by page, on the web": newest(style="page", web=True, weight=1),
    "newest, by offset": newest(style="offset"),
    "newest, by token": newest(style="token"),
    "newest published, by page": _feed(
        paging.NewestFeed,
        "page",
        "newest",
        blind=_BURIED | _MOVES,
        shaky=_PULLS | _MOVES,
        bumps=False,
    ),
    "oldest, by page": oldest(style="page"),
    "oldest, by offset, on the web": oldest(style="offset", web=True, weight=1),
    "oldest, by token": oldest(style="token"),
    "changes since a token": _feed(paging.ChangeLog, "token", "changed", thorough=True),
    "a window of dates": _feed(
        paging.Window, "window", "oldest", blind=_BURIED, shaky=_PULLS | _MOVES
    ),
    "google_business, the whole list": Shape(
        kind=apis.ShelvedBusiness,
        answer=apis.business,
        options=_OAUTH | {"locations": ["7"]},
        carries=_DATED,
        blind=_BURIED,
        shaky=_PULLS,
        doubts=True,
    ),
    "google_play, a week by token": Shape(
        kind=apis.ShelvedPlay,
        answer=apis.play,
        options={"package": "com.example.app", "key": _ACCOUNT},
        carries=_DATED,
        blind=_BURIED,
        shaky=_PULLS,
        window=apis.WEEK,
    ),
    "reclame_aqui, changes with an overlap": Shape(
        kind=apis.ShelvedReclameAqui,
        answer=apis.reclame_aqui,
        options={"client_id": Secret("x"), "client_secret": Secret("y")},
        # What is taken down there stays readable, as deactivated.
        carries=frozenset(What) - {What.ECHO, What.SHUFFLE, What.DELETE},
        thorough=True,
        bumps=False,
        doubts=True,
        stars=False,
    ),
    "cfpb, behind the last": Shape(
        kind=apis.ShelvedCfpb,
        answer=apis.cfpb,
        options={"company": "EXAMPLE BANK"},
        carries=_DATED - {What.SHUFFLE},
        thorough=True,
        bumps=False,
        doubts=True,
        stars=False,
        most=cfpb,
    ),
    "cfpb, a window of a week": Shape(
        kind=apis.ShelvedCfpb,
        answer=apis.cfpb,
        options={"company": "EXAMPLE BANK", "window_days": 7},
        carries=_DATED - {What.SHUFFLE},
        blind=frozenset({What.EDIT, What.BACK, What.REPLY}),
        bumps=False,
        doubts=True,
        stars=False,
        most=cfpb,
        weight=5,
    ),
}
