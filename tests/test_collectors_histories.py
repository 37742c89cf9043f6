"""Random histories: people write and edit while a source is read, and everything else fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import takewhile
from math import ceil
from typing import Any
from zlib import crc32

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from stored import databases_on

pytest.register_assert_rewrite("histories.life")

from histories.apis import (  # noqa: E402 - after the rewrite
    ShelvedBusiness,
    ShelvedCfpb,
    ShelvedPlay,
    ShelvedReclameAqui,
)
from histories.drawing import Crash, History, Turn, histories  # noqa: E402 - after the rewrite
from histories.life import House, live  # noqa: E402 - same
from histories.paging import ChangeLog, NewestFeed, OldestFeed, Window  # noqa: E402 - same
from histories.shapes import SHAPES  # noqa: E402 - same
from histories.world import Event, What  # noqa: E402 - same

from ouvidor.collectors.collector import Answer, Ask, Collector, Page, kinds  # noqa: E402 - same
from ouvidor.collectors.sources.app_store import AppStore  # noqa: E402 - same

Mark = Mapping[str, Any]
SHRUNK = (Phase.generate, Phase.shrink)


def prove(
    house: House, name: str, count: int, *, seed: int = 0, phases: Sequence[Phase] = SHRUNK
) -> None:
    """``count`` histories of a kind hold, the same ones every time; one that does not is shrunk."""

    @hypothesis.seed(crc32(name.encode()) + seed)
    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(histories(name))
    def holds(history: History) -> None:
        live(house, history)

    holds()


def share(name: str, total: int) -> int:
    """How many of ``total`` histories are of this kind, by its weight."""
    return ceil(total * SHAPES[name].weight / sum(shape.weight for shape in SHAPES.values()))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with House(f"sqlite:///{folder / 'ouvidor.db'}", folder) as house:
        yield house


@pytest.fixture(scope="module")
def big_house(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("h")
    with databases_on(postgresql) as make, House(make(), folder) as house:
        yield house


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_no_history_loses_or_invents(house: House, name: str) -> None:
    prove(house, name, share(name, 290))


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_no_history_does_on_postgresql(big_house: House, name: str) -> None:
    prove(big_house, name, share(name, 10), seed=1)


@pytest.mark.ordeal
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SHAPES)
def test_none_of_ten_thousand_does(house: House, name: str) -> None:
    prove(house, name, share(name, 9800), seed=2)


@pytest.mark.ordeal
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SHAPES)
def test_none_of_many_does_on_postgresql(big_house: House, name: str) -> None:
    prove(big_house, name, share(name, 200), seed=3)


# --- histories that were lost once ------------------------------------------------------------


def new(wait: int = 60) -> Event:
    return Event(What.NEW, 0, wait)


LOST_ONCE = {
    # Saved again with the same words, an old item stands on top of one that nobody has read.
    "the unchanged on top": History(
        "app_store",
        size=1,
        reach=2,
        turns=(Turn(15, (new(),)), Turn(15, (new(), new(), Event(What.BACK, 0, 60)))),
    ),
    # A reading of everything went on where the last run was, and what came late stayed unread.
    "the late one before the mark": History(
        "a window of dates",
        size=2,
        reach=10,
        turns=(Turn(15, (new(), new())), Turn(15, (Event(What.LATE, 0, 60),))),
    ),
    # Changed ones came in before the page that was read last, and it looked like a circle for ever.
    "a page that moved down": History(
        "reclame_aqui, changes with an overlap",
        size=1,
        reach=10,
        turns=(Turn(15), Turn(15, during=((), (Event(What.BACK, 0, 1),)))),
        start=9,
    ),
    "a whole reading that died": History(
        "a window of dates",
        size=1,
        reach=10,
        turns=(
            Turn(15, (new(), new(), new())),
            Turn(15, (Event(What.LATE, 0, 60), new())),
            Turn(9 * 24 * 60, crash=Crash(3, before=False)),
        ),
    ),
}


@pytest.mark.parametrize("name", LOST_ONCE)
def test_what_was_lost_once_is_kept(house: House, name: str) -> None:
    live(house, LOST_ONCE[name])


def test_a_whole_reading_begins_anew_and_goes_on_where_it_died(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks: list[Mark] = []

    class Watched(Window):
        def first(self, mark: Mark) -> Ask:
            marks.append(mark)
            return super().first(mark)

    monkeypatch.setitem(kinds(), Watched.kind, Watched)
    written = (new(), new(), new())
    died = Turn(9 * 24 * 60, crash=Crash(3, before=False))
    turns = (Turn(15, written), died, Turn(15), Turn(15, full=True))
    live(house, History("a window of dates", size=2, reach=10, turns=turns))
    begins = [bool(mark) for mark in marks]
    assert begins == [False, False, True, False, False]


# --- the property is worth what it rejects ----------------------------------------------------


class StopsAtTheKnown(NewestFeed):
    """What a plain incremental reader does: it stops at the first id it has seen."""

    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        known = set(mark.get("ids", []))
        for page in super().parse(ask, answer, mark):
            fresh = list(takewhile(lambda item: item.external_id not in known, page.items))
            ids = sorted(known | {item.external_id for item in page.items})
            further = page.next if len(fresh) == len(page.items) else None
            yield replace(page, items=fresh, next=further, checkpoint={"ids": ids}, empty=True)


class NaiveWatermark(NewestFeed):
    """Remembers the newest date and reads what is newer still."""

    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        newest = mark.get("newest", "")
        for page in super().parse(ask, answer, mark):
            dates = {item.external_id: str(item.published_at or "") for item in page.items}
            fresh = [item for item in page.items if dates[item.external_id] > newest]
            further = page.next if len(fresh) == len(page.items) else None
            checkpoint = {"newest": max([newest, *dates.values()])}
            yield replace(page, items=fresh, next=further, checkpoint=checkpoint, empty=True)


class TrustsTheFirstPage(OldestFeed):
    """Takes an unchanged first page for an unchanged source, though the new comes last."""

    def whole(self, place: Mark) -> bool:
        return place == self.begins[self.settings.paging]


class PromisesFirst(ChangeLog):
    """Keeps its place before it has stored what is there."""

    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        for page in super().parse(ask, answer, mark):
            yield replace(page, items=())
            yield replace(page, empty=True)


class LeavesTheSecondOut(Window):
    """Asks for what is dated after the newest it knows, and not for that very second."""

    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        for page in super().parse(ask, answer, mark):
            dates = [str(item.published_at or "") for item in page.items]
            known = str(mark.get("since", "")).replace("T", " ")
            fresh = [item for item, date in zip(page.items, dates, strict=True) if date != known]
            yield replace(page, items=fresh, empty=True)


class NamesByWords(OldestFeed):
    """Makes a new item of every edit."""

    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        for page in super().parse(ask, answer, mark):
            items = [replace(each, external_id=each.text) for each in page.items]
            yield replace(page, items=items)


class KnowsNoCap(AppStore):
    """Calls it complete where the source shows no more."""

    def parse(self, ask: Ask, answer: Answer, mark: Mark) -> Iterator[Page]:
        for page in super().parse(ask, answer, mark):
            yield replace(page, capped=False)


class ForgetsTheTop(ShelvedBusiness):
    """Goes on with a broken reading of everything, and never looks at what came meanwhile."""

    def first(self, mark: Mark) -> Ask:
        ask = super().first(mark)
        return replace(ask, step={**ask.step, "until": None})


class KnowsNoWindow(ShelvedPlay):
    """Does not know that Google shows a week and no more."""

    window = None


class LeavesTheRest(ShelvedReclameAqui):
    """Takes a reading that was broken off for one that was done."""

    def first(self, mark: Mark) -> Ask:
        return super().first({"known": mark.get("next") or mark.get("known")})


class NeverLooksBack(ShelvedCfpb):
    """Reads what was received since the last run, as if nothing could be answered later."""

    def _since(self, step: Mark) -> date | None:
        whole = step.get("proof") or not step.get("known")
        return None if whole else date.fromisoformat(step["known"])


SABOTEURS: list[tuple[str, type[Collector[Any]]]] = [
    ("newest, by page", StopsAtTheKnown),
    ("newest, by token", NaiveWatermark),
    ("oldest, by page", TrustsTheFirstPage),
    ("changes since a token", PromisesFirst),
    ("a window of dates", LeavesTheSecondOut),
    ("oldest, by token", NamesByWords),
    ("app_store", KnowsNoCap),
    ("google_business, the whole list", ForgetsTheTop),
    ("google_play, a week by token", KnowsNoWindow),
    ("reclame_aqui, changes with an overlap", LeavesTheRest),
    ("cfpb, behind the last", NeverLooksBack),
]


@pytest.mark.ordeal
@pytest.mark.parametrize(("name", "saboteur"), SABOTEURS)
def test_the_property_finds(
    house: House,
    name: str,
    saboteur: type[Collector[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(kinds(), saboteur.kind, saboteur)
    with pytest.raises(AssertionError):
        prove(house, name, 300, phases=[Phase.generate])
