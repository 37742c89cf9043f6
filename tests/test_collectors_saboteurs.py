"""Deliberately broken collectors: the contract is worth what it rejects."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from contract import suite

from ouvidor.collectors.collector import Answer, Ask, Collector, Page, Trait, Trouble, kinds
from ouvidor.collectors.sources.app_store import AppStore
from ouvidor.collectors.sources.file import File
from ouvidor.storage.vocabulary import Feedback

pytestmark = pytest.mark.slow

Mark = Mapping[str, Any]


class Tampered(AppStore):
    """A sound collector whose pages somebody changes."""

    def change(self, page: Page, mark: Mark) -> Page:  # noqa: ARG002 - for those who use it
        return replace(page, items=[self.spoil(item) for item in page.items])

    def spoil(self, item: Feedback) -> Feedback:
        return item

    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        for page in super().parse(ask, answer, mark):
            yield self.change(page, mark)


class HashesIds(Tampered):
    def spoil(self, item: Feedback) -> Feedback:
        return replace(item, external_id=str(hash(item.text)))


class KnowsOnePerson(Tampered):
    def spoil(self, item: Feedback) -> Feedback:
        return replace(item, external_id="1001")


class NumbersRows(File):
    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        for page in super().parse(ask, answer, mark):
            items = [replace(item, external_id=str(n)) for n, item in enumerate(page.items)]
            yield replace(page, items=items)


class ForgetsZones(Tampered):
    def spoil(self, item: Feedback) -> Feedback:
        moment = item.published_at
        return replace(item, published_at=moment.replace(tzinfo=None) if moment else None)


class HidesTheUnknown(Tampered):
    def change(self, page: Page, mark: Mark) -> Page:  # noqa: ARG002 - the signature
        return replace(page, unknown={})


class DropsTheBad(Tampered):
    def change(self, page: Page, mark: Mark) -> Page:  # noqa: ARG002 - the signature
        return replace(page, rejected=[])


class Tidies(Tampered):
    def spoil(self, item: Feedback) -> Feedback:
        return replace(item, text=" ".join(item.text.split()))


class LeavesMarkup(Tampered):
    def spoil(self, item: Feedback) -> Feedback:
        return replace(item, text=item.text.replace("&", "&amp;"))


class TellsNames(Tampered):
    def spoil(self, item: Feedback) -> Feedback:
        return replace(item, attributes={**item.attributes, "who": item.author or ""})


class NeverTheSame(Tampered):
    numbers = count()

    def spoil(self, item: Feedback) -> Feedback:
        return replace(item, title=f"{item.title} {next(self.numbers)}")


class PromisesFirst(Tampered):
    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        for page in super().parse(ask, answer, mark):
            yield replace(page, items=[])
            yield replace(page, checkpoint={})


class NaiveWatermark(Tampered):
    """Remembers the newest and reads only what is newer still."""

    newest = ""

    def change(self, page: Page, mark: Mark) -> Page:
        times = [item.published_at.isoformat() for item in page.items if item.published_at]
        self.newest = max([*times, self.newest, str(mark.get("newest", ""))])
        kept = [
            item
            for item in page.items
            if item.published_at and item.published_at.isoformat() > mark.get("newest", "")
        ]
        further = page.next if len(kept) == len(page.items) else None
        return replace(
            page, items=kept, next=further, checkpoint={"newest": self.newest}, empty=not kept
        )


class StopsAtTheKnown(Tampered):
    """Remembers ids and stops at the first one it knows."""

    seen: tuple[str, ...] = ()

    def change(self, page: Page, mark: Mark) -> Page:
        known = mark.get("ids", [])
        kept: list[Feedback] = []
        for item in page.items:
            if item.external_id in known:
                break
            kept.append(item)
        self.seen += tuple(item.external_id for item in page.items)
        further = page.next if len(kept) == len(page.items) else None
        return replace(
            page, items=kept, next=further, checkpoint={"ids": [*known, *self.seen]}, empty=not kept
        )


class SeesNoFurther(Tampered):
    """Is content with the top of the first page once it has read everything."""

    def change(self, page: Page, mark: Mark) -> Page:
        return replace(page, items=page.items[:1], next=None) if mark else page


class ReadsItAll(AppStore):
    traits = frozenset({Trait.PAGED, Trait.POLLED})

    def first(self, mark: Mark) -> Ask:
        return replace(super().first(mark), conditional=False)


class KnowsNoCap(Tampered):
    def change(self, page: Page, mark: Mark) -> Page:  # noqa: ARG002 - the signature
        return replace(page, capped=False)


class Swallows(AppStore):
    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        try:
            yield from super().parse(ask, answer, mark)
        except Trouble:
            yield Page(empty=True, checkpoint={"reviews": 0})


class BelievesInNothing(Tampered):
    def change(self, page: Page, mark: Mark) -> Page:  # noqa: ARG002 - the signature
        if page.items:
            return page
        return Page(empty=True, checkpoint={"reviews": 0})


class AsksTwice(Tampered):
    asked: frozenset[str] = frozenset()

    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        again = ask.url not in self.asked
        self.asked |= {ask.url}
        for page in super().parse(ask, answer, mark):
            yield replace(page, next=ask) if again else page


class NeverEnds(Tampered):
    def change(self, page: Page, mark: Mark) -> Page:
        return replace(page, next=page.next or self.first(mark))


class LooksAtTheClock(Tampered):
    def spoil(self, item: Feedback) -> Feedback:
        return replace(item, edited_at=datetime.now(UTC))


class GoesOnline(Tampered):
    def spoil(self, item: Feedback) -> Feedback:
        with socket.create_connection(("127.0.0.1", 9), timeout=1):
            return item


class RemembersPeople(Tampered):
    def change(self, page: Page, mark: Mark) -> Page:  # noqa: ARG002 - the signature
        return replace(page, checkpoint={"last": page.items[0].author if page.items else ""})


SABOTEURS: list[tuple[int, type[Collector[Any]]]] = [
    (1, HashesIds),
    (1, KnowsOnePerson),
    (1, NumbersRows),
    (2, ForgetsZones),
    (2, HidesTheUnknown),
    (2, DropsTheBad),
    (3, Tidies),
    (3, LeavesMarkup),
    (3, TellsNames),
    (4, NeverTheSame),
    (4, NaiveWatermark),
    (5, PromisesFirst),
    (6, NaiveWatermark),
    (7, NaiveWatermark),
    (8, StopsAtTheKnown),
    (8, SeesNoFurther),
    (9, SeesNoFurther),
    (9, ReadsItAll),
    (10, KnowsNoCap),
    (11, Swallows),
    (12, BelievesInNothing),
    (13, AsksTwice),
    (14, NeverEnds),
    (15, LooksAtTheClock),
    (15, GoesOnline),
    (15, RemembersPeople),
]


@pytest.mark.parametrize(("clause", "saboteur"), SABOTEURS)
def test_the_contract_rejects(
    clause: int,
    saboteur: type[Collector[Any]],
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(kinds(), saboteur.kind, saboteur)
    fixture = suite.fixtures(saboteur.kind)[0]
    server = "" if database_url.startswith("sqlite") else database_url
    with (
        suite.kit(saboteur.kind, fixture, tmp_path / "house", server) as kit,
        pytest.raises(AssertionError),
    ):
        suite.CLAUSES[clause](kit)


def test_every_clause_has_a_saboteur() -> None:
    assert {clause for clause, _ in SABOTEURS} == set(suite.CLAUSES)
    assert json.loads(json.dumps(sorted(suite.CLAUSES))) == list(range(1, 16))
