"""Google Play's own API: its shapes, its window of a week, and the stand-in's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import stored_in

from ouvidor.collectors.collector import Answer, Ask, Page, Place, Trouble, settings_for
from ouvidor.collectors.run import RunReport, prove, run_source
from ouvidor.collectors.sources.google_play import GooglePlay
from ouvidor.config import ConfigError, Source
from ouvidor.demo.google_play import PACKAGE
from ouvidor.demo.keys import keys
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

ZONE = ZoneInfo("America/Sao_Paulo")
PLACE = Place(name="play", zone=ZONE, folder=Path())
REVIEWS = f"/androidpublisher/v3/applications/{PACKAGE}/reviews"
MOMENT = datetime(2026, 10, 19, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    account = json.dumps(keys().service_account("http://127.0.0.1:9"))
    monkeypatch.setenv("PLAY_KEY", account)


def source(**options: object) -> Source:
    table = {"package": PACKAGE, "key": {"env": "PLAY_KEY"}, "retries": 0, "backoff": 0}
    return Source(kind="google_play", options=table | options)


def collector(**options: object) -> GooglePlay:
    return GooglePlay(settings_for("play", source(**options)), PLACE)  # type: ignore[arg-type]


@cache
def plain() -> GooglePlay:
    """The one that only parses: reading a key takes a tenth of a second."""
    return collector()


def review(number: str = "1", **changes: Any) -> dict[str, Any]:
    user = {
        "text": "Bom\tGostei muito",
        "lastModified": {"seconds": "1791212412", "nanos": 77000000},
        "starRating": 4,
    }
    comment = {k: v for k, v in (user | changes).items() if v is not None}
    return {"reviewId": number, "authorName": "Zuleide", "comments": [{"userComment": comment}]}


def read(data: object, **step: Any) -> Page:
    reader = plain()
    ask = reader.first({})
    ask = replace(ask, step={**ask.step, **step})
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    (page,) = reader.parse(ask, Answer(url=ask.url, body=body), {})
    return page


def test_one_review_as_it_is() -> None:
    told = {"developerComment": {"text": "Obrigado", "lastModified": {"seconds": "1791212500"}}}
    one = review(appVersionName="5.2.0", reviewerLanguage="pt_BR", thumbsUpCount=3)
    one["comments"].insert(0, told)
    (item,) = read({"reviews": [one]}).items
    moment = datetime(2026, 10, 5, 15, 0, 12, 77000, tzinfo=UTC)
    assert (item.title, item.text, item.stars) == ("Bom", "Gostei muito", 4)
    assert (item.rating, item.rating_scale, item.language) == ("4", "1-5", "pt-BR")
    assert (item.published_at, item.edited_at) == (moment, moment)
    assert item.reply is not None
    assert (item.reply.text, item.reply.at) == (
        "Obrigado",
        moment.replace(second=0, minute=1, microsecond=0) + timedelta(seconds=40),
    )
    assert item.url == f"https://play.google.com/store/apps/details?id={PACKAGE}&reviewId=1"
    assert item.attributes == {"version": "5.2.0", "thumbs_up": "3"}
    assert item.author == "Zuleide"
    assert "Zuleide" not in item.raw


@pytest.mark.parametrize(
    ("text", "title", "body"),
    [
        ("\tBun", "", "Bun"),
        ("sem tab", "", "sem tab"),
        ("Um\tdois\ttrês", "Um", "dois\ttrês"),
        ("Só título\t", "Só título", ""),
    ],
)
def test_a_tab_parts_title_and_text(text: str, title: str, body: str) -> None:
    (item,) = read({"reviews": [review(text=text)]}).items
    assert (item.title, item.text) == (title, body)


def test_a_translation_is_never_the_original() -> None:
    (item,) = read({"reviews": [review(text="Best\tapp", originalText="Beste\tApp")]}).items
    assert (item.title, item.text) == ("Beste", "App")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"starRating": 0}, "no rating from 1 to 5"),
        ({"starRating": True}, "no rating from 1 to 5"),
        ({"starRating": None}, "no rating from 1 to 5"),
        ({"text": None}, "has no text"),
        ({"lastModified": None}, "has no time"),
        ({"lastModified": {"seconds": "1e9"}}, "no seconds since 1970"),
        ({"lastModified": {"seconds": "999999999999999"}}, "beyond all calendars"),
    ],
)
def test_a_bad_review_is_set_aside(changes: dict[str, Any], reason: str) -> None:
    page = read({"reviews": [review(**changes), "x", {"reviewId": "9"}, review("2")]})
    assert [item.external_id for item in page.items] == ["2"]
    assert reason in page.rejected[0].reason
    assert page.rejected[0].where == "page 1, review 1"
    assert len(page.rejected) == 3


def test_an_empty_object_is_googles_word_that_there_is_nothing() -> None:
    assert read({}).empty
    assert read({"tokenPagination": {}}).empty
    assert not read({"tokenPagination": {"nextPageToken": "x"}}).empty


def test_a_count_without_reviews_is_suspect() -> None:
    with pytest.raises(Trouble, match="counts 40 reviews and shows none") as trouble:
        read({"pageInfo": {"totalResults": 40}})
    assert trouble.value.outcome is Outcome.SUSPECT


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"tokens": ("x",)}, "a page token it had given before"),
        ({"ids": frozenset({"1", "2"})}, "only what earlier pages had"),
    ],
)
def test_a_circle_of_tokens_ends(step: Mapping[str, Any], told: str) -> None:
    data = {"reviews": [review()], "tokenPagination": {"nextPageToken": "x"}}
    with pytest.raises(Trouble, match=told) as trouble:
        read(data, **step)
    assert trouble.value.outcome is Outcome.UNAVAILABLE


def test_unknown_fields_are_counted_at_every_level() -> None:
    one = review(mood="x")
    one |= {"badge": 1}
    one["comments"].append({"botComment": {}})
    unknown = read({"reviews": [one], "more": 1}).unknown
    assert unknown == {"mood": 1, "badge": 1, "botComment": 1, "more": 1}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"package": "loja"}, r"sources\.play\.package: 'loja' is no app; .* after `id="),
        ({"key": "hush"}, "a secret never stands in this file"),
        ({"key": {"env": "NOBODY"}}, "NOBODY nor NOBODY_FILE"),
        ({"paket": "x"}, "the key 'paket' is unknown; did you mean 'package'"),
    ],
)
def test_a_bad_option_names_its_mend(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as error:
        settings_for("play", source(**options))
    assert "hush" not in str(error.value)


def test_a_wrong_key_file_is_told_when_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "client.json"
    wrong.write_text('{"installed": {"client_secret": "hush"}}')
    monkeypatch.delenv("PLAY_KEY")
    monkeypatch.setenv("PLAY_KEY_FILE", str(wrong))
    with pytest.raises(ConfigError, match="file of an OAuth client") as error:
        settings_for("play", source())
    assert "hush" not in str(error.value)


def recordings(name: str) -> bytes:
    folder = Path(os.environ.get("OUVIDOR_CORPUS", ""), "recordings", "google_play_api")
    if "OUVIDOR_CORPUS" not in os.environ or not folder.is_dir():
        pytest.skip("OUVIDOR_CORPUS names no folder of real recordings")
    return (folder / name).read_bytes()


def test_the_samples_of_the_documentation() -> None:
    page = read(recordings("docs_list.json"))
    assert [(item.stars, item.title) for item in page.items] == [(5, ""), (5, "")]
    assert page.items[1].reply is not None
    assert page.items[1].attributes["product"] == "E5333 (Xperia™ C4 Dual)"
    assert page.unknown == {}
    assert page.next is not None
    assert page.next.url.endswith("?maxResults=100&token=12334566")
    (item,) = read({"reviews": [json.loads(recordings("docs_translated.json"))]}).items
    assert item.text == "Dies ist die beste App überhaupt!"


GOOD = json.dumps({"reviews": [review(), review("2")], "pageInfo": {"totalResults": 2}}).encode()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["reviews", "comments", "userComment", "lastModified", "seconds", "text"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_values_or_a_named_end(body: bytes) -> None:
    values_or_trouble(body)


@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=4), JSON)
@settings(max_examples=200, deadline=None)
def test_any_mutation_is_values_or_a_named_end(at: int, put: bytes, value: object) -> None:
    values_or_trouble(GOOD[:at] + put + GOOD[at + len(put) :])
    values_or_trouble(json.dumps({"reviews": [review(lastModified=value), value]}).encode())
    values_or_trouble(json.dumps({"reviews": [{"comments": value}], "pageInfo": value}).encode())


def values_or_trouble(body: bytes) -> None:
    with suppress(Trouble):
        assert isinstance(read(body), Page)


class House:
    """A database and the stand-in it listens to."""

    def __init__(self, brand: StandIn, door: Door, folder: Path) -> None:
        self.brand, self.door, self.folder = brand, door, folder
        self.db: Database = open_database(stored_in(folder, "house.db"))

    def options(self, **options: object) -> Source:
        return source(**options).model_copy(update={"base_url": self.brand.url})

    def collect(self, *, full: bool = False, **options: object) -> RunReport:
        return run_source(
            self.db,
            "play",
            self.options(**options),
            door=self.door,
            now=self.brand.now,
            folder=self.folder,
            full=full,
        )

    def prove(self, **options: object) -> str:
        return prove(
            "play", self.options(**options), zone=ZONE, folder=self.folder, now=self.brand.now
        )

    def covered(self) -> list[Any]:
        with self.db.read() as connection:
            return list(connection.execute(t.coverage.select().order_by(t.coverage.c.day)))

    def details(self) -> Any:
        with self.db.read() as connection:
            query = t.run.select().order_by(t.run.c.id.desc()).limit(1)
            return connection.execute(query).one().details


@pytest.fixture
def house(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with StandIn(MOMENT) as brand:
        monkeypatch.setenv("PLAY_KEY", json.dumps(brand.keys.service_account(brand.url)))
        made = House(brand, door, tmp_path)
        yield made
        made.db.close()


def count(db: Database) -> int:
    with db.read() as connection:
        return len(connection.execute(t.feedback.select()).all())


@pytest.mark.slow
def test_week_by_week_nothing_is_lost(house: House) -> None:
    for days in range(0, 22, 3):
        house.brand.now = MOMENT - timedelta(days=21 - days)
        report = house.collect()
        assert report.outcome is Outcome.COMPLETE, report
        assert report.rejected == 0
    since = MOMENT - timedelta(days=28)
    told = [
        piece
        for piece in house.brand.shown("play")
        if piece.text and since <= piece.updated <= MOMENT
    ]
    assert count(house.db) >= len(told) > 20


def test_a_first_run_says_that_only_a_week_is_shown(house: House) -> None:
    report = house.collect()
    assert report.outcome is Outcome.COMPLETE
    assert "google_play_reports" in report.message
    assert min(row.since for row in house.covered()) == MOMENT - timedelta(days=7)


def test_a_gap_of_more_than_a_week_is_capped_and_names_the_cure(house: House) -> None:
    house.collect()
    house.brand.now = MOMENT + timedelta(days=6, hours=23)
    assert house.collect().outcome is Outcome.COMPLETE
    house.brand.now += timedelta(days=7, hours=1)
    report = house.collect()
    assert report.outcome is Outcome.CAPPED
    assert "monthly CSV reports" in report.message
    until = house.brand.now - timedelta(days=7)
    assert house.details()["gap"]["until"] == until.isoformat()
    house.brand.now += timedelta(days=1)
    assert house.collect().outcome is Outcome.COMPLETE


def test_pages_are_followed_by_their_tokens(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ouvidor.collectors.sources.google_play.MOST", 5)
    monkeypatch.setattr(GooglePlay._page, "__defaults__", (5,))
    report = house.collect()
    assert report.outcome is Outcome.COMPLETE
    assert report.pages > 1


def test_an_expired_token_is_renewed(house: House) -> None:
    house.brand.services.google.lifetime = timedelta(seconds=-1)
    house.brand.faults[REVIEWS] = Fault(status=401, body=b"{}", times=1)
    house.brand.services.google.lifetime = timedelta(hours=1)
    assert house.collect().outcome is Outcome.COMPLETE
    assert house.brand.requests["/token"] == 2


def test_a_token_that_ages_within_a_run_is_renewed(house: House) -> None:
    house.brand.services.google.lifetime = timedelta(seconds=62)
    assert house.collect().outcome is Outcome.COMPLETE


def body(status: int, reason: str) -> bytes:
    error = {"code": status, "message": "told", "errors": [{"reason": reason}]}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("fault", "outcome", "sentence"),
    [
        (Fault(status=401), Outcome.BLOCKED, "refused the access token"),
        (Fault(status=403, body=body(403, "accessNotConfigured")), Outcome.BLOCKED, "not enabled"),
        (Fault(status=403, body=body(403, "quotaExceeded")), Outcome.RATE_LIMITED, "too many"),
        (Fault(status=403, body=body(403, "forbidden")), Outcome.BLOCKED, "invite its address"),
        (Fault(status=404, body=body(404, "notFound")), Outcome.MISCONFIGURED, "knows no app"),
        (Fault(status=429), Outcome.RATE_LIMITED, "429"),
        (Fault(status=429, headers={"Retry-After": "900"}), Outcome.RATE_LIMITED, "900 s"),
        (Fault(status=500), Outcome.UNAVAILABLE, "out of order"),
        (Fault(truncate=100), Outcome.UNAVAILABLE, "broke off"),
        (Fault(body=b'{"reviews": [{"review'), Outcome.UNAVAILABLE, "broke off"),
        (Fault(body=body(200, "x")), Outcome.UNAVAILABLE, "error inside a 200"),
        (Fault(body=b'{"feedback": []}'), Outcome.LAYOUT_CHANGED, "`reviews`"),
        (
            Fault(
                body=json.dumps(
                    {"reviews": [review()], "tokenPagination": {"nextPageToken": "x"}}
                ).encode()
            ),
            Outcome.UNAVAILABLE,
            "in a circle",
        ),
    ],
)
def test_a_fault_has_its_outcome_and_passes(
    fault: Fault, outcome: Outcome, sentence: str, house: House
) -> None:
    house.brand.faults[REVIEWS] = fault
    report = house.collect()
    assert (report.outcome, sentence in report.message) == (outcome, True), report
    house.brand.faults.clear()
    assert house.collect().outcome is Outcome.COMPLETE
    assert count(house.db) > 3


def test_what_is_missing_in_the_account_is_said_by_check(house: House) -> None:
    assert house.prove() == "answers, 1 on its first page"
    house.brand.services.google_play.permitted = False
    with pytest.raises(Trouble, match="invite its address in the Play Console"):
        house.prove()
    house.brand.services.google_play.permitted = True
    with pytest.raises(Trouble, match=r"knows no app br\.com\.nobody"):
        house.prove(package="br.com.nobody")
    house.brand.services.google_play.quota.calls = 0
    with pytest.raises(Trouble, match="429"):
        house.prove()
    house.brand.services.google.revoked = True
    with pytest.raises(Trouble, match="deleted or disabled, or its key revoked") as trouble:
        house.prove()
    assert trouble.value.outcome is Outcome.BLOCKED


def test_no_secret_is_left_in_the_house(house: House) -> None:
    house.collect()
    house.brand.services.google.revoked = True
    house.collect()
    stored = b"".join(path.read_bytes() for path in house.folder.iterdir())
    for secret in ("BEGIN PRIVATE", "ya29.", house.brand.keys.google_private_key[60:100]):
        assert secret.encode() not in stored


def test_no_page_is_too_large_to_ask_for() -> None:
    ask: Ask = collector().probe()
    assert ask.url.endswith("/reviews?maxResults=1")
