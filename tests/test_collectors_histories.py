"""Random histories: people write and edit while the feed is read, and the network fails."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from contract import suite

from ouvidor.collectors.collector import Answer, Ask, Page, kinds
from ouvidor.collectors.sources.app_store import AppStore
from ouvidor.storage.vocabulary import Outcome

PAGE = 4
MOST = 36


class World(suite.Host):
    """A feed that lives: each request may find it changed."""

    def __init__(self, seed: int) -> None:
        super().__init__({})
        self.dice = random.Random(seed)  # noqa: S311 - a history is drawn, nothing is secret
        self.clock = datetime(2026, 9, 1, tzinfo=UTC)
        self.reviews: dict[str, dict[str, Any]] = {}
        self.failing = self.restless = 0.0
        for _ in range(self.dice.randint(1, 14)):
            self.write()

    def write(self) -> None:
        if len(self.reviews) < MOST:
            self._put(str(1000 + len(self.reviews)))

    def edit(self) -> None:
        self._put(self.dice.choice(list(self.reviews)))

    def _put(self, key: str) -> None:
        self.clock += timedelta(minutes=1)
        text = f"{key} às {self.clock:%H:%M:%S}"
        self.reviews[key] = {"at": self.clock, "text": text, "stars": self.dice.randint(1, 5)}

    def step(self) -> None:
        for _ in range(self.dice.choice([0, 0, 1, 2, 6])):
            self.write()
        for _ in range(self.dice.choice([0, 0, 1, 3])):
            self.edit()

    def _page(self, request: BaseHTTPRequestHandler) -> None:
        if self.dice.random() < self.failing:
            self._send(request, self.dice.choice([429, 500, 403]), b"no", {})
            return
        match = re.search(r"page=(\d+)/", request.path)
        assert match is not None
        body = self._body(int(match[1]))
        etag = f'"{hash(body)}"'
        if request.headers.get("If-None-Match") == etag:
            self._send(request, 304, b"", {})
        else:
            self._send(request, 200, body, {"ETag": etag})
        if self.dice.random() < self.restless:
            self.step()

    def _body(self, page: int) -> bytes:
        ordered = sorted(self.reviews.items(), key=lambda pair: pair[1]["at"], reverse=True)
        last = -(-len(ordered) // PAGE)
        link = {"attributes": {"rel": "last", "href": f"https://x/page={last}/id=1/json"}}
        entries = [_entry(key, review) for key, review in ordered[(page - 1) * PAGE : page * PAGE]]
        feed = {"title": {"label": "x"}, "link": [link]} | ({"entry": entries} if entries else {})
        return json.dumps({"feed": feed}).encode()

    def truth(self) -> dict[str, tuple[str, str, int]]:
        return {key: ("t", found["text"], found["stars"]) for key, found in self.reviews.items()}


def _entry(key: str, review: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": {"label": key},
        "title": {"label": "t"},
        "updated": {"label": review["at"].isoformat()},
        "im:rating": {"label": str(review["stars"])},
        "content": {"label": review["text"], "attributes": {"type": "text"}},
    }


def live(seed: int, folder: Path) -> None:
    """One history: restless and failing at first, then two quiet runs that must know it all."""
    world = World(seed)
    kit = suite.Kit("app_store", suite.HERE / "app_store", folder, world)
    try:
        for _ in range(world.dice.randint(2, 6)):
            world.failing, world.restless = world.dice.choice([0, 0.3]), world.dice.choice([0, 0.4])
            kit.run(max_pages=10)
            world.step()
        world.failing = world.restless = 0.0
        reports = [kit.run(max_pages=10) for _ in range(2)]
        assert [report.outcome for report in reports] == [Outcome.COMPLETE] * 2
        assert kit.rows() == world.truth(), f"history {seed}"
    finally:
        kit.db.close()
        world.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_no_history_loses_a_review_or_an_edit(seed: int, tmp_path: Path) -> None:
    live(seed, tmp_path / "house")


class StopsAtTheKnown(AppStore):
    """What a plain incremental reader does: it stops at the first id it has seen."""

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        known = set(mark.get("ids", []))
        for page in super().parse(ask, answer, mark):
            fresh = list(takewhile(lambda item: item.external_id not in known, page.items))
            ids = sorted(known | {item.external_id for item in page.items})
            further = page.next if len(fresh) == len(page.items) else None
            yield replace(page, items=fresh, next=further, checkpoint={"ids": ids}, empty=True)


@pytest.mark.slow
def test_a_plain_incremental_reader_does_lose_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kinds(), "app_store", StopsAtTheKnown)
    lost = 0
    for seed in range(4):
        with suppress(AssertionError):
            live(seed, tmp_path / str(seed))
            continue
        lost += 1
    assert lost


@pytest.mark.ordeal
@pytest.mark.parametrize("seed", range(1000, 1300))
def test_none_of_many_histories_does(seed: int, tmp_path: Path) -> None:
    live(seed, tmp_path / "house")
