"""Google Play's public pages: guard, frames and chunks; off unless accepted in words."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import stored_in

from ouvidor.collectors.batchexecute import result
from ouvidor.collectors.collector import Answer, Page, Place, Trouble, settings_for
from ouvidor.collectors.run import RunReport, run_source
from ouvidor.collectors.sources.google_play_web import ACCEPT, CALL, GooglePlayWeb
from ouvidor.config import ConfigError, Source
from ouvidor.demo.google_play import PACKAGE
from ouvidor.demo.google_play_web import PATH
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

PLACE = Place(name="web", zone=ZoneInfo("America/Sao_Paulo"), folder=Path())
MOMENT = datetime(2026, 10, 26, 12, tzinfo=UTC)


def source(**options: object) -> Source:
    table = {"package": PACKAGE, "country": "br", "language": "pt", "accept": ACCEPT}
    table |= {"retries": 0, "backoff": 0, "delay": 0}  # type: ignore[dict-item]
    return Source(kind="google_play_web", options=table | options)


def collector(**options: object) -> GooglePlayWeb:
    return GooglePlayWeb(settings_for("web", source(**options)), PLACE)  # type: ignore[arg-type]


def review(number: str = "1", **changes: Any) -> list[Any]:
    plain: list[Any] = [number, ["Zuleide", None], 4, None, "Gostei", [1791212412, 77000000], 3]
    plain += [None, None, ["110479454368781213656", "Zuleide"], "5.2.0", *[None] * 5, 1]
    for place, value in changes.items():
        plain[int(place[1:])] = value
    return plain


def frames(payload: object, error: object = None, call: str = CALL) -> list[Any]:
    text = None if payload is None else json.dumps(payload)
    return [["wrb.fr", call, text, None, None, error, "generic"], ["di", 5]]


def body(payload: object, **more: Any) -> bytes:
    return b")]}'\n\n" + json.dumps(frames(payload, **more)).encode()


def read(data: bytes, *, cookie: str = "", **step: Any) -> Page:
    reader = collector()
    ask = reader.first({})
    ask = replace(ask, step={**ask.step, **step})
    headers = {"set-cookie": cookie} if cookie else {}
    (page,) = reader.parse(ask, Answer(url=ask.url, headers=headers, body=data), {})
    return page


def test_one_review_as_it_is() -> None:
    told = ["Loja", "Obrigado", [1791212500, 0]]
    (item,) = read(body([[review(_3="Bom", _7=told)]])).items
    moment = datetime(2026, 10, 5, 15, 0, 12, 77000, tzinfo=UTC)
    assert (item.external_id, item.title, item.text, item.stars) == ("1", "Bom", "Gostei", 4)
    assert (item.published_at, item.edited_at, item.language) == (moment, moment, "pt")
    assert item.reply is not None
    assert item.reply.text == "Obrigado"
    assert item.reply.at == datetime(2026, 10, 5, 15, 1, 40, tzinfo=UTC)
    assert item.attributes == {"country": "BR", "version": "5.2.0", "thumbs_up": "3"}
    assert item.author == "Zuleide"
    assert "Zuleide" not in item.raw
    assert "110479454368781213656" not in item.raw


@pytest.mark.parametrize(
    "changes",
    [{"_2": 0}, {"_2": "5"}, {"_5": None}, {"_5": ["x"]}, {"_0": None}, {"_0": ""}, {"_5": [1.5]}],
)
def test_a_bad_review_is_set_aside(changes: dict[str, Any]) -> None:
    page = read(body([[review(**changes), [], "x", review("2")]]))
    assert [item.external_id for item in page.items] == ["2"]
    assert len(page.rejected) == 3


def test_chunks_are_read_whatever_their_lengths_count() -> None:
    first = json.dumps(frames([[review(_4="ótimo 😀")]])[:1], ensure_ascii=False)
    for length in (len(first), len(first.encode()), 1):
        text = f')]}}\'\n\n{length}\n{first}\n26\n[["e",4,null,null,131]]\n'
        (item,) = read(text.encode()).items
        assert item.text == "ótimo 😀"


@pytest.mark.parametrize(
    ("data", "outcome", "sentence"),
    [
        (body(None, error=[3]), Outcome.UNAVAILABLE, "error inside a 200"),
        (b')]}\'\n\n[["er",null,null,null,null,400,null,null,null,3]]', Outcome.UNAVAILABLE, "400"),
        (body([]), Outcome.SUSPECT, "does not say that there is none"),
        (body(None), Outcome.SUSPECT, "does not say that there is none"),
        (body([[review()]], call="other"), Outcome.LAYOUT_CHANGED, "no answer to UsvDTd"),
        (body({"reviews": []}), Outcome.LAYOUT_CHANGED, "no list"),
        (body([{"x": 1}]), Outcome.LAYOUT_CHANGED, "no list"),
        (b"[[1]]", Outcome.LAYOUT_CHANGED, "does not begin with"),
        (b")]}'\n\n" + b"[" * 100_000, Outcome.LAYOUT_CHANGED, "nested too deep"),
        (b")]}'\n\n{}", Outcome.LAYOUT_CHANGED, "a chunk is no list"),
        (b")]}'\n\nnope", Outcome.LAYOUT_CHANGED, "new to this version"),
        (body([[review()]])[:-40], Outcome.UNAVAILABLE, "broke off"),
        (b")]}'\n\n57\n", Outcome.UNAVAILABLE, "broke off"),
        (b"\xff", Outcome.LAYOUT_CHANGED, "UTF-8"),
    ],
)
def test_what_holds_no_reviews_has_an_outcome(data: bytes, outcome: Outcome, sentence: str) -> None:
    with pytest.raises(Trouble) as trouble:
        read(data)
    assert (trouble.value.outcome, sentence in trouble.value.sentence) == (outcome, True), (
        trouble.value
    )


def test_the_cookie_goes_along_and_only_there() -> None:
    cookie = "OTZ=1; path=/, NID=511=abc-_; expires=Mon, 26-Apr-2027; HttpOnly"
    page = read(body([[review()], [None, "next"]]), cookie=cookie)
    assert page.next is not None
    assert page.next.headers["Cookie"] == "NID=511=abc-_"
    assert "abc-_" not in repr(page)
    assert "abc-_" not in json.dumps(dict(page.checkpoint))


def test_a_page_in_the_middle_without_reviews_is_suspect() -> None:
    with pytest.raises(Trouble, match="Page 2 came without a review"):
        read(body([]), page=2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"accept": ""}, 'write accept = "I accept that Google\'s terms may forbid this"'),
        ({"accept": "yes"}, 'for your own app use kind = "google_play"'),
        ({"country": "uk"}, "'uk' is no country"),
        ({"language": "brasileiro"}, "'brasileiro' is no language"),
        ({"language": "pt-XX"}, "is no language"),
        ({"package": "../x"}, "is no app"),
    ],
)
def test_a_bad_option_names_its_mend(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings_for("web", source(**options))
    assert sentence in str(error.value)


def test_it_is_off_by_itself() -> None:
    table = {"package": PACKAGE, "country": "br", "language": "pt"}
    with pytest.raises(ConfigError, match="terms may forbid"):
        settings_for("web", Source(kind="google_play_web", options=table))


def recording(name: str) -> bytes:
    folder = Path(os.environ.get("OUVIDOR_CORPUS", ""), "recordings", "google_play_web")
    if "OUVIDOR_CORPUS" not in os.environ or not folder.is_dir():
        pytest.skip("OUVIDOR_CORPUS names no folder of real recordings")
    return (folder / name).read_bytes()


def test_a_real_page() -> None:
    page = read(recording("translate-initial.txt"))
    assert (len(page.items), page.rejected, page.unknown) == (150, [], {})
    assert len({item.external_id for item in page.items}) == 150
    assert sum(item.reply is not None for item in page.items) == 42
    assert sum(bool(item.title) for item in page.items) == 1
    times = [item.edited_at for item in page.items if item.edited_at]
    assert times == sorted(times, reverse=True)
    assert times[0] == datetime.fromtimestamp(1783346124, UTC) + timedelta(milliseconds=77)
    assert page.next is not None
    for item in page.items:
        said = f"{item.text} {item.reply.text if item.reply else ''}"
        assert item.author
        assert item.author in said or json.dumps(item.author, ensure_ascii=False) not in item.raw


def test_chunks_as_somebody_else_wrote_them() -> None:
    data = recording("synthetic-batch-chunked.txt")
    assert result(data, "rpcChunk") == [["suggestion-one"], ["suggestion-two"]]


GOOD = body([[review(), review("2")], [None, "next"]])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=8),
    max_leaves=24,
)


@pytest.mark.slow
@given(st.binary(max_size=300), st.integers(0, len(GOOD) - 1), st.binary(max_size=4), JSON)
@settings(max_examples=200, deadline=None)
def test_anything_is_values_or_a_named_end(noise: bytes, at: int, put: bytes, value: Any) -> None:
    mutated = GOOD[:at] + put + GOOD[at + len(put) :]
    for data in (noise, b")]}'" + noise, mutated, body(value), body([[value, review(_5=value)]])):
        with suppress(Trouble):
            assert isinstance(read(data), Page)


class House:
    """A database and the stand-in it listens to."""

    def __init__(self, brand: StandIn, door: Door, folder: Path) -> None:
        self.brand, self.door, self.folder = brand, door, folder
        self.db: Database = open_database(stored_in(folder, "house.db"))

    def collect(self, *, full: bool = False, **options: object) -> RunReport:
        return run_source(
            self.db,
            "web",
            source(**options).model_copy(update={"base_url": self.brand.url}),
            door=self.door,
            now=self.brand.now,
            folder=self.folder,
            full=full,
        )

    def count(self) -> int:
        with self.db.read() as connection:
            return len(connection.execute(t.feedback.select()).all())


@pytest.fixture
def house(door: Door, tmp_path: Path) -> Iterator[House]:
    with StandIn(MOMENT) as brand:
        made = House(brand, door, tmp_path)
        yield made
        made.db.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_every_page_with_its_cookie(chunked: bool, house: House) -> None:  # noqa: FBT001 - a parameter of a test
    standin = house.brand.services.google_play_web
    standin.size, standin.chunked = 20, chunked
    told = [each for each in house.brand.shown("play") if each.text and each.lang == "pt"]
    report = house.collect()
    assert (report.outcome, report.new) == (Outcome.COMPLETE, len(told)), report
    assert report.pages == -(-len(told) // 20) > 2
    again = house.collect()
    assert (again.outcome, again.new, again.pages) == (Outcome.COMPLETE, 0, 2)


@pytest.mark.slow
def test_week_by_week_is_the_same_as_all_at_once(house: House) -> None:
    house.brand.services.google_play_web.size = 10
    for weeks in range(8, -1, -1):
        house.brand.now = MOMENT - timedelta(weeks=weeks)
        report = house.collect()
        assert report.outcome is Outcome.COMPLETE, report
    before = house.count()
    full = house.collect(full=True)
    assert (full.new, full.changed, house.count()) == (0, 0, before)


def test_a_cap_of_pages_is_told(house: House) -> None:
    house.brand.services.google_play_web.size = 10
    report = house.collect(max_pages=2)
    assert (report.outcome, report.new) == (Outcome.CAPPED, 20)


@pytest.mark.parametrize(
    ("fault", "outcome", "sentence"),
    [
        (Fault(status=403), Outcome.BLOCKED, "does not let this machine"),
        (
            Fault(status=302, headers={"Location": "https://www.google.com/sorry/index"}),
            Outcome.BLOCKED,
            "does not let this machine",
        ),
        (Fault(status=429), Outcome.RATE_LIMITED, "429"),
        (Fault(status=500), Outcome.UNAVAILABLE, "out of order"),
        (Fault(truncate=200), Outcome.UNAVAILABLE, "broke off"),
        (Fault(body=b"<html>unusual traffic</html>"), Outcome.BLOCKED, "bot wall"),
    ],
)
def test_a_fault_has_its_outcome_and_passes(
    fault: Fault, outcome: Outcome, sentence: str, house: House
) -> None:
    house.brand.faults[PATH] = fault
    report = house.collect()
    assert (report.outcome, sentence in report.message) == (outcome, True), report
    house.brand.faults.clear()
    assert house.collect().outcome is Outcome.COMPLETE


def test_tokens_that_cycle_end_with_a_name(house: House) -> None:
    standin = house.brand.services.google_play_web
    standin.size, standin.circle = 10, True
    report = house.collect()
    assert (report.outcome, report.new) == (Outcome.UNAVAILABLE, 20)
    assert "in a circle" in report.message
    standin.circle = False
    assert house.collect().outcome is Outcome.COMPLETE


def test_an_error_inside_a_200_is_no_end(house: House) -> None:
    house.brand.services.google_play_web.failing = True
    report = house.collect()
    assert (report.outcome, report.new) == (Outcome.UNAVAILABLE, 0)


def test_robots_are_obeyed(house: House) -> None:
    house.brand.faults["/robots.txt"] = Fault(body=b"User-agent: *\nDisallow: /_/\n")
    report = house.collect()
    assert report.outcome is Outcome.BLOCKED
    assert "robots.txt" in report.message
    assert house.brand.requests[PATH] == 0
