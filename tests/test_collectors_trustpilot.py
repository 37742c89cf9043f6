"""Trustpilot: its shapes, its refusals, and the stand-in's idea of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_house import ZONE, House
from sqlalchemy import select

from ouvidor.collectors.collector import Answer, Page, Place, Trouble, settings_for
from ouvidor.collectors.sources.trustpilot import MOST, Trustpilot
from ouvidor.config import ConfigError, Source
from ouvidor.demo.keys import keys
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

PLACE = Place(name="tp", zone=ZONE, folder=Path())
UNIT, DOMAIN = "61f0c2a9b7d4e80012ab34cd", "tucumacasa.example"
LIST = f"/v1/business-units/{UNIT}/reviews"
PRIVATE = f"/v1/private/business-units/{UNIT}/reviews"
FIND = "/v1/business-units/find"
TOKEN = "/v1/oauth/oauth-business-users-for-applications/accesstoken"
END = datetime(2026, 10, 25, 15, tzinfo=UTC)
OWNER: dict[str, Any] = {"secret": {"env": "TP_SECRET"}}


@pytest.fixture(autouse=True)
def _keys(environment: Callable[[str, str], None]) -> None:
    environment("TP_KEY", keys().trustpilot_api_key)
    environment("TP_SECRET", keys().trustpilot_secret)


def source(**options: object) -> Source:
    table: dict[str, object] = {
        "business_unit": UNIT,
        "api_key": {"env": "TP_KEY"},
        "delay": 0,
        "retries": 0,
    }
    table = {name: value for name, value in (table | options).items() if value is not None}
    return Source(kind="trustpilot", options=table)


def collector(**options: object) -> Trustpilot:
    return Trustpilot(settings_for("tp", source(**options)), PLACE)  # type: ignore[arg-type]


def review(number: int = 1, **changes: Any) -> dict[str, Any]:
    plain = {
        "id": f"66f0a1b2c3d4e5f6{number:08x}",
        "stars": 4,
        "title": "Gostei",
        "text": "Gostei do sofá.",
        "language": "pt",
        "createdAt": "2026-09-01T10:47:32.807Z",
        "updatedAt": None,
        "companyReply": None,
        "consumer": {"id": "507f1f77bcf86cd799439011", "displayName": "Zuleide Sabugosa"},
    }
    return {name: value for name, value in (plain | changes).items() if value is not ...}


def listed(*reviews: object, **more: Any) -> bytes:
    return json.dumps({"links": [], "reviews": reviews} | more).encode()


def read(body: bytes, *, mark: Mapping[str, Any] | None = None, **options: object) -> Page:
    reader = collector(**options)
    ask = reader.first({})
    (page,) = reader.parse(ask, Answer(url=ask.url, body=body), mark or {})
    return page


def test_one_review_as_it_is() -> None:
    (item,) = read(listed(review(referralEmail="z@example.com", referenceId="77-1"))).items
    assert (item.external_id, item.title) == ("66f0a1b2c3d4e5f600000001", "Gostei")
    assert (item.text, item.language) == ("Gostei do sofá.", "pt")
    assert (item.stars, item.rating, item.rating_scale) == (4, "4", "1-5")
    assert item.published_at == datetime(2026, 9, 1, 10, 47, 32, 807000, tzinfo=UTC)
    assert item.edited_at == item.published_at
    assert (item.author, item.reply) == ("Zuleide Sabugosa", None)
    assert item.url == "https://www.trustpilot.com/reviews/66f0a1b2c3d4e5f600000001"
    for personal in ("Zuleide", "507f1f77", "z@example.com", "77-1"):
        assert personal not in item.raw + str(item.attributes)


def test_an_edit_has_its_own_time() -> None:
    (item,) = read(listed(review(updatedAt="2026-09-05T00:00:00Z"))).items
    assert item.published_at == datetime(2026, 9, 1, 10, 47, 32, 807000, tzinfo=UTC)
    assert item.edited_at == datetime(2026, 9, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created", "updated", "at"),
    [
        ("2026-09-03T00:00:00Z", None, datetime(2026, 9, 3, tzinfo=UTC)),
        ("2026-09-03T00:00:00", "2026-09-04T13:37:00", datetime(2026, 9, 4, 13, 37, tzinfo=UTC)),
        (None, None, None),
    ],
)
def test_a_reply_has_the_time_of_its_latest_wording(
    created: str | None, updated: str | None, at: datetime | None
) -> None:
    told = {"text": "Obrigada!", "createdAt": created, "updatedAt": updated}
    (item,) = read(listed(review(companyReply=told))).items
    assert item.reply is not None
    assert (item.reply.text, item.reply.at) == ("Obrigada!", at)


@pytest.mark.parametrize("reply", [..., None, {}, {"text": " "}])
def test_a_reply_may_be_absent_null_or_empty(reply: object) -> None:
    (item,) = read(listed(review(companyReply=reply))).items
    assert item.reply is None


def test_what_else_is_worth_counting_by() -> None:
    more = {
        "isVerified": True,
        "numberOfLikes": 3,
        "status": "active",
        "experiencedAt": "2026-08-30T00:00:00.000Z",
        "location": {"id": "43f51215", "name": "Recife"},
        "reportData": {"source": "Trustpilot", "reasons": ["spam"], "reviewVisibility": "hidden"},
        "mood": "good",
    }
    page = read(listed(review(**more), total=1))
    assert page.items[0].attributes == {
        "experienced_on": "2026-08-30",
        "verified": "true",
        "likes": "3",
        "location": "Recife",
        "status": "active",
        "reported": "spam",
        "visibility": "hidden",
    }
    assert page.unknown == {"mood": 1, "total": 1}


@pytest.mark.parametrize("language", ["", None, "not a language", ...])
def test_a_language_that_is_none_costs_no_review(language: object) -> None:
    (item,) = read(listed(review(language=language))).items
    assert item.language is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (review(id=...), "it has no id"),
        (review(id=7), "`id` is no text"),
        (review(stars=0), "'0' is no number of stars from 1 to 5"),
        (review(stars=True), "'True' is no number of stars"),
        (review(stars="4"), "'4' is no number of stars"),
        (review(createdAt="yesterday"), "`createdAt` is no time: 'yesterday'"),
        (review(companyReply="thanks"), "`companyReply` is no object"),
        (review(consumer=[]), "`consumer` is no object"),
        ("a review", "`review` is no object"),
    ],
)
def test_what_cannot_be_read_is_set_aside(bad: object, reason: str) -> None:
    page = read(listed(review(9), bad))
    assert len(page.items) == 1
    (told,) = page.rejected
    assert told.where == "page 1, review 2"
    assert told.reason.replace('"', "'").startswith(reason) or reason in told.reason


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"links": []}', Outcome.LAYOUT_CHANGED),
        (b'{"reviews": {}}', Outcome.LAYOUT_CHANGED),
        (b"[]", Outcome.LAYOUT_CHANGED),
        (b"words", Outcome.LAYOUT_CHANGED),
        (b"\xff\xfe\x00", Outcome.LAYOUT_CHANGED),
        (b"[" * 100_000, Outcome.LAYOUT_CHANGED),
        (b'{"reviews": [{', Outcome.UNAVAILABLE),
        (b'{"fault": {"faultstring": "later"}}', Outcome.UNAVAILABLE),
    ],
)
def test_what_is_no_list_has_an_outcome(body: bytes, outcome: Outcome) -> None:
    with pytest.raises(Trouble) as trouble:
        read(body)
    assert trouble.value.outcome is outcome
    assert trouble.value.sentence.endswith(".")


def test_a_list_that_never_ends_is_found_out() -> None:
    reader = collector()
    ask = reader.first({})
    body = listed(review(1), review(2))
    (page,) = reader.parse(ask, Answer(body=body), {})
    assert page.next is not None
    with pytest.raises(Trouble, match=r"page 2 is the page before it once more"):
        list(reader.parse(page.next, Answer(body=body), {}))


def test_a_page_of_nothing_but_a_repeated_row_is_no_circle() -> None:
    reader = collector()
    (page,) = reader.parse(reader.first({}), Answer(body=listed(review(1), review(2))), {})
    assert page.next is not None
    (second,) = reader.parse(page.next, Answer(body=listed(review(2))), {})
    assert second.next is not None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"business_unit": "Tucumã Casa"}, r"sources\.tp\.business_unit: 'Tucumã Casa' is no"),
        ({"business_unit": "https://x.example"}, "its domain as it stands in"),
        ({"business_unit": "tucumacasa"}, "is no business unit; write its 24-digit id"),
        ({"business_unit": None}, r"sources\.tp\.business_unit: this key is missing"),
        ({"api_key": "abc"}, "a secret never stands in this file"),
        ({"secret": {"env": "NOWHERE"}}, "neither NOWHERE nor NOWHERE_FILE"),
    ],
)
def test_each_wrong_option_has_its_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        collector(**options)


@given(body=st.binary(max_size=300))
def test_any_bytes_are_values_or_trouble(body: bytes) -> None:
    _read_or_trouble(body)


TOLD = {"text": "Obrigada!", "createdAt": "2026-09-03T00:00:00Z", "updatedAt": None}
REPORT = {"source": "Trustpilot", "reasons": ["spam"]}
GOOD = [
    listed(review(companyReply=TOLD), review(2, reportData=REPORT, location={"name": "Recife"})),
    json.dumps({"id": UNIT, "displayName": "Tucumã Casa"}).encode(),
]
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just([]) | st.just({})


@settings(deadline=None)
@given(good=st.sampled_from(GOOD), at=st.floats(0, 1), byte=st.binary(max_size=3))
def test_any_mutation_is_values_or_trouble(good: bytes, at: float, byte: bytes) -> None:
    place = int(at * len(good))
    _read_or_trouble(good[:place] + byte + good[place + 1 :])


@settings(deadline=None)
@given(good=st.sampled_from(GOOD), data=st.data(), value=VALUES)
def test_any_other_value_is_values_or_trouble(
    good: bytes, data: st.DataObject, value: object
) -> None:
    document = json.loads(good)
    spot: Any = document
    while isinstance(spot, dict | list) and spot:
        key = data.draw(st.sampled_from(list(spot) if isinstance(spot, dict) else range(len(spot))))
        if data.draw(st.booleans()):
            spot[key] = value
            break
        spot = spot[key]
    _read_or_trouble(json.dumps(document).encode())


def _read_or_trouble(body: bytes) -> None:
    for unit in (UNIT, DOMAIN):
        reader = collector(business_unit=unit)
        ask = reader.first({})
        with suppress(Trouble):
            list(reader.parse(ask, Answer(url=ask.url, body=body), {}))
        reader.refusal(ask, Answer(url=ask.url, status=401, body=body))


def test_a_megabyte_is_read() -> None:
    many = listed(*[review(number, text="x" * 300) for number in range(2000)])
    assert len(many) > 1_000_000
    assert len(read(many).items) == 2000


def test_the_documented_body(corpus: Path) -> None:
    """Placeholders stand in it for ids and stars; its shape is the documentation's."""
    folder = corpus / "recordings" / "trustpilot"
    body = json.loads((folder / "api_public_reviews_docs_shape.json").read_bytes())
    told = read(json.dumps(body).encode())
    assert [each.reason for each in told.rejected] == ["`id` is no text"]
    body["reviews"][0] |= {"id": "507f191e810c19729de860ea", "stars": 5, "text": "Fine."}
    page = read(json.dumps(body).encode())
    (item,) = page.items
    assert (page.rejected, page.unknown) == ([], {})
    assert item.reply is not None
    assert (item.reply.text, item.reply.at) == (
        "This is our reply.",
        datetime(2013, 9, 7, 13, 37, tzinfo=UTC),
    )
    assert item.attributes["reported"] == "sensitiveInformation, consumerIsCompetitor"
    assert "John Doe" not in item.raw


def test_the_texts_people_really_write(corpus: Path) -> None:
    """The public page's objects, moved into the API's names."""
    folder = corpus / "recordings" / "trustpilot"
    rows = json.loads((folder / "nextdata_reviews_keytrade_2025-03_sample.json").read_bytes())
    page = read(listed(*map(_as_api, rows)))
    assert page.rejected == []
    assert len(page.items) == len(rows)
    assert sum(item.edited_at != item.published_at for item in page.items) == sum(
        row["dates"]["updatedDate"] is not None for row in rows
    )
    answered = [item.reply for item in page.items if item.reply]
    assert len(answered) == sum(row["reply"] is not None for row in rows)
    assert all(reply.at for reply in answered)


def _as_api(row: Mapping[str, Any]) -> dict[str, Any]:
    dates, reply = row["dates"], row["reply"]
    told = reply and {
        "text": reply["message"],
        "createdAt": reply["publishedDate"],
        "updatedAt": reply["updatedDate"],
    }
    return {
        "id": row["id"],
        "stars": row["rating"],
        "title": row["title"],
        "text": row["text"],
        "language": row["language"],
        "createdAt": dates["publishedDate"],
        "updatedAt": dates["updatedDate"],
        "experiencedAt": dates["experiencedDate"],
        "consumer": row["consumer"],
        "companyReply": told,
    }


@pytest.fixture
def house(door: Door, tmp_path: Path) -> Iterator[House]:
    with StandIn(END) as brand:
        made = House(brand, door, tmp_path, source)
        yield made
        made.db.close()


@pytest.mark.parametrize(
    ("options", "asked", "told"),
    [
        ({}, {LIST: 1}, "answers, 1 on its first page"),
        ({"business_unit": DOMAIN}, {FIND: 1}, "answers"),
        (OWNER, {TOKEN: 1, PRIVATE: 1}, "answers, 1 on its first page"),
    ],
)
def test_check_asks_once(
    house: House, options: dict[str, Any], asked: dict[str, int], told: str
) -> None:
    assert house.check(**options) == told
    assert house.brand.requests == asked


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"business_unit": DOMAIN}, OWNER])
def test_week_by_week_is_the_same_as_all_at_once(house: House, options: dict[str, Any]) -> None:
    for weeks in range(14, -1, -2):
        house.brand.now = END - timedelta(weeks=weeks)
        report = house.collect(**options)
        assert (report.outcome, report.rejected) == (Outcome.COMPLETE, 0), report
    db = house.anew()
    house.collect(db=db, **options)
    assert house.stored(db) == house.stored()
    assert len(house.stored()) == len(house.brand.shown("trustpilot"))
    db.close()
    again = house.collect(full=True, **options)
    assert (again.new, again.changed) == (0, 0)


@pytest.mark.slow
def test_what_the_owner_is_shown_of_people_is_kept_nowhere(house: House) -> None:
    pieces = house.brand.shown("trustpilot")
    personal = [piece.details["email"] for piece in pieces if "email" in piece.details]
    assert personal
    house.collect(**OWNER)
    with house.db.read() as connection:
        bodies = connection.execute(select(t.payload.c.body)).scalars()
        stored = "\n".join(zstandard.decompress(body).decode() for body in bodies)
        stored += "\n".join(str(row) for row in connection.execute(select(t.feedback)))
        stored += "\n".join(str(row) for row in connection.execute(select(t.checkpoint)))
    assert "reviewVerificationLevel" in stored
    for secret in [*personal, keys().trustpilot_api_key, keys().trustpilot_secret]:
        assert secret not in stored


def long_history(house: House, *, many: int = 250) -> None:
    """Enough reviews for several pages, two hours apart."""
    (piece, *_) = [each for each in house.brand.feedback if each.source == "trustpilot"]
    plain = replace(piece, edits=(), reply=None, gone=None)
    times = [END - timedelta(hours=2 * number) for number in range(many)]
    house.brand.feedback = tuple(
        replace(plain, id=f"{number:024x}", at=at, updated=at, text=f"Texto {number}.")
        for number, at in enumerate(times)
    )


def test_incremental_runs_ask_twice(house: House) -> None:
    long_history(house)
    house.brand.now = END - timedelta(hours=5)
    house.collect(business_unit=DOMAIN)
    asked = dict(house.brand.requests)
    assert asked == {FIND: 1, LIST: 4}
    house.brand.now = END
    report = house.collect(business_unit=DOMAIN)
    assert (report.outcome, report.new) == (Outcome.COMPLETE, 3)
    # The first page brings news, the second joins known ground, the third is the overlap.
    assert dict(house.brand.requests) == {FIND: 1, LIST: 7}


@pytest.mark.slow
def test_the_first_reading_goes_on_where_it_was_broken_off(house: House) -> None:
    long_history(house)
    house.brand.now = END - timedelta(hours=30)
    report = house.collect(max_requests=2)
    assert report.outcome is Outcome.PARTIAL
    assert house.mark()["page"] == 2
    house.brand.now = END
    report = house.collect()
    assert report.outcome is Outcome.COMPLETE
    assert len(house.stored()) == 250
    assert report.new == 250 - 2 * MOST
    assert "page" not in house.mark()
    assert house.collect().new == 0


def test_rows_that_come_twice_are_stored_once(house: House) -> None:
    """Reviews that arrive between two pages push the last rows of one onto the next."""
    long_history(house)
    reader = collector()
    ids = [piece.id for piece in house.brand.shown("trustpilot")[::-1]]
    ask, seen = reader.first({}), set[str]()
    for start in (0, MOST - 20, 2 * MOST - 40):  # twenty arrive before each further page
        body = listed(
            *[review(number) | {"id": ids[number]} for number in range(start, 250)][:MOST]
        )
        (page,) = reader.parse(ask, Answer(body=body), {})
        seen |= {item.external_id for item in page.items}
        assert page.next is not None
        ask = page.next
    assert seen == set(ids)


@pytest.mark.slow
def test_an_old_edit_is_found_within_a_day(house: House) -> None:
    long_history(house, many=350)
    house.brand.now = END - timedelta(hours=1)
    house.collect()
    *newer, oldest = house.brand.feedback
    edited = replace(oldest, text="Mudei de ideia.", updated=END - timedelta(hours=30))
    house.brand.feedback = (*newer, edited)
    house.brand.now = END
    assert house.collect().changed == 0
    house.brand.now = END + timedelta(days=1)
    assert house.collect().changed == 1


def test_what_is_gone_is_counted_by_a_full_reading(house: House) -> None:
    house.collect()
    known = len(house.stored())
    house.brand.feedback = tuple(house.brand.shown("trustpilot")[::2])
    house.brand.now += timedelta(days=2)
    report = house.collect()
    gone = known - len(house.brand.feedback)
    assert f"{gone} known before are no longer shown by the source" in report.message
    assert len(house.stored()) == known


def test_a_token_that_has_expired_is_renewed(house: House) -> None:
    house.collect(**OWNER)
    assert house.brand.requests[TOKEN] == 1
    house.brand.faults = {PRIVATE: Fault(status=401, times=1)}
    assert house.collect(**OWNER).outcome is Outcome.COMPLETE
    assert house.brand.requests[TOKEN] == 3


@pytest.mark.parametrize(
    ("options", "outcome", "sentence"),
    [
        ({"api_key": {"env": "TP_SECRET"}}, Outcome.BLOCKED, "refuses the API key .Invalid ApiKey"),
        (
            {"api_key": {"env": "TP_SECRET"}, **OWNER},
            Outcome.BLOCKED,
            "no access token .Client credentials are invalid.; check `api_key` and `secret`",
        ),
        ({"business_unit": "0" * 24}, Outcome.MISCONFIGURED, "knows no business unit 0000"),
        ({"business_unit": "nobody.example"}, Outcome.MISCONFIGURED, "unit nobody.example .Busi"),
    ],
)
def test_each_refusal_has_its_sentence(
    house: House, options: dict[str, Any], outcome: Outcome, sentence: str
) -> None:
    with pytest.raises(Trouble, match=sentence) as trouble:
        house.check(**options)
    assert trouble.value.outcome is outcome
    report = house.collect(**options)
    assert report.outcome is outcome
    for secret in (keys().trustpilot_api_key, keys().trustpilot_secret):
        assert secret not in report.message


@pytest.mark.parametrize(
    ("status", "body", "options", "sentence"),
    [
        (401, b"{}", OWNER, "refuses the access token it gave .no reason given"),
        (403, b'{"message": "no right"}', {}, "does not let this application read .*no right"),
        (400, b'{"message": "page"}', {}, "does not take the request for page 1"),
        (404, b"\xff", {}, "knows no business unit"),
    ],
)
def test_further_refusals(status: int, body: bytes, options: dict[str, Any], sentence: str) -> None:
    reader = collector(**options)
    told = reader.refusal(reader.first({}), Answer(status=status, body=body))
    assert told is not None
    with pytest.raises(Trouble, match=sentence):
        raise told


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(status=429, headers={"Retry-After": "900"}), Outcome.RATE_LIMITED),
        (Fault(status=429), Outcome.RATE_LIMITED),
        (Fault(status=502), Outcome.UNAVAILABLE),
        (Fault(body=b'{"fault": {"faultstring": "oops"}}'), Outcome.UNAVAILABLE),
        (Fault(body=b"<html>captcha</html>"), Outcome.BLOCKED),
        (Fault(body=b""), Outcome.SUSPECT),
        (Fault(body=b'{"links": [], "reviews": []}'), Outcome.SUSPECT),
        (Fault(truncate=100), Outcome.UNAVAILABLE),
    ],
)
def test_a_fault_has_its_outcome_and_passes(house: House, fault: Fault, outcome: Outcome) -> None:
    house.brand.now = END - timedelta(days=21)
    house.collect()
    before = house.stored()
    house.brand.now = END
    house.brand.faults = {LIST: fault}
    assert house.collect().outcome is outcome
    assert house.stored() == before
    house.brand.faults = {}
    assert house.collect().outcome is Outcome.COMPLETE
    assert len(house.stored()) > len(before)


def test_the_quota_is_told(house: House) -> None:
    house.brand.services.trustpilot.quota.calls = 1
    report = house.collect(patience=0)
    assert report.outcome is Outcome.RATE_LIMITED
    house.brand.services.trustpilot.quota.calls = 100
    assert house.collect().outcome is Outcome.COMPLETE
