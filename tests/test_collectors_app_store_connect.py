"""App Store Connect: its shapes, its refusals, and the stand-in's idea of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_house import ZONE, House

from ouvidor.collectors.collector import Answer, Page, Place, Trouble, settings_for
from ouvidor.collectors.sources.app_store_connect import AppStoreConnect
from ouvidor.config import ConfigError, Source
from ouvidor.demo.keys import keys
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

PLACE = Place(name="app", zone=ZONE, folder=Path())
LIST = "/v1/apps/1590042871/customerReviews"
END = datetime(2026, 10, 25, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _key(environment: Callable[[str, str], None]) -> None:
    environment("ASC_KEY", keys().apple_private_key)


def source(**options: object) -> Source:
    table = {
        "app": "1590042871",
        "key_id": keys().apple_key_id,
        "issuer": keys().apple_issuer,
        "private_key": {"env": "ASC_KEY"},
        "retries": 0,
    }
    table = {name: value for name, value in (table | options).items() if value is not None}
    return Source(kind="app_store_connect", options=table)


def collector(**options: object) -> AppStoreConnect:
    return AppStoreConnect(settings_for("app", source(**options)), PLACE)  # type: ignore[arg-type]


def review(number: int = 1, response: str | None = None, **changes: Any) -> dict[str, Any]:
    plain = {
        "rating": 4,
        "title": "Bom",
        "body": "Gostei.",
        "reviewerNickname": "Zuleide",
        "createdDate": "2026-03-08T13:22:08-07:00",
        "territory": "BRA",
    }
    linked = {"type": "customerReviewResponses", "id": response} if response else None
    return {
        "type": "customerReviews",
        "id": f"00000191-be75-{number:04}",
        "attributes": {k: v for k, v in (plain | changes).items() if v is not None},
        "relationships": {"response": {"data": linked}},
    }


def document(*reviews: object, **more: Any) -> bytes:
    links = {"self": "https://api.appstoreconnect.apple.com/v1/x"}
    return json.dumps({"data": list(reviews), "links": links} | more).encode()


def read(body: bytes, *, mark: Mapping[str, Any] | None = None, **options: object) -> Page:
    reader = collector(**options)
    ask = reader.first({})
    (page,) = reader.parse(ask, Answer(url=ask.url, body=body), mark or {})
    return page


def answered(state: str, **changes: Any) -> dict[str, Any]:
    told = {
        "responseBody": "Obrigada!",
        "lastModifiedDate": "2026-03-09T10:00:00-07:00",
        "state": state,
    }
    return {"type": "customerReviewResponses", "id": "r-1", "attributes": told | changes}


def test_one_review_as_it_is() -> None:
    (item,) = read(document(review())).items
    moment = datetime(2026, 3, 8, 20, 22, 8, tzinfo=UTC)
    assert (item.external_id, item.title, item.text) == ("00000191-be75-0001", "Bom", "Gostei.")
    assert (item.stars, item.rating, item.rating_scale) == (4, "4", "1-5")
    assert (item.published_at, item.edited_at, item.reply) == (moment, moment, None)
    assert (item.author, item.attributes) == ("Zuleide", {"country": "BR"})
    assert item.url == "https://apps.apple.com/br/app/id1590042871?see-all=reviews"
    assert "Zuleide" not in item.raw


@pytest.mark.parametrize("state", ["PENDING_PUBLISH", "PUBLISHED"])
def test_the_reply_is_kept_with_its_time_and_state(state: str) -> None:
    (item,) = read(document(review(response="r-1"), included=[answered(state)])).items
    assert item.reply is not None
    assert (item.reply.text, item.reply.at) == (
        "Obrigada!",
        datetime(2026, 3, 9, 17, tzinfo=UTC),
    )
    assert item.attributes["reply_state"] == state
    assert "Obrigada!" in item.raw


def test_a_response_that_is_not_included_is_counted() -> None:
    page = read(document(review(response="r-9"), included=[answered("PUBLISHED")]))
    assert page.items[0].reply is None
    assert page.unknown == {"a response that is not included": 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rating": 6}, "'6' is no rating"),
        ({"rating": True}, "no rating"),
        ({"rating": "4"}, "no rating"),
        ({"rating": None}, "no rating"),
        ({"createdDate": "yesterday"}, "`createdDate` is no time"),
        ({"createdDate": "2026-03-08T13:22:08"}, "`createdDate` has no offset"),
        ({"createdDate": "0001-01-01T00:00:00+05:00"}, "`createdDate` is no time"),
        ({"body": 7}, "`body` is no text"),
    ],
)
def test_a_bad_review_is_set_aside_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    page = read(document(review(**changes), review(2)))
    assert [item.external_id for item in page.items] == ["00000191-be75-0002"]
    (rejected,) = page.rejected
    assert rejected.where == "page 1, review 1"
    assert reason in rejected.reason


@pytest.mark.parametrize("each", ["x", None, {"type": "apps", "id": "1"}, {"id": ""}])
def test_what_is_no_review_is_set_aside(each: object) -> None:
    assert len(read(document(each, review())).rejected) == 1


def test_unknown_fields_are_counted() -> None:
    page = read(document(review(mood="glad"), surprise=1, included=[]))
    assert page.unknown == {"mood": 1, "surprise": 1}


def test_the_next_page_is_the_link_as_it_stands() -> None:
    link = "https://api.appstoreconnect.apple.com/v1/apps/1/customerReviews?cursor=Mg&limit=200"
    page = read(document(review(), links={"next": link}))
    assert page.next is not None
    assert page.next.url == link
    assert page.checkpoint["cursor"] == "Mg"
    assert read(document(review(), links={})).next is None


@pytest.mark.parametrize(
    ("link", "outcome"),
    [
        ("https://elsewhere.example/v1/apps?cursor=x", Outcome.MISCONFIGURED),
        ("http://api.appstoreconnect.apple.com/v1", Outcome.MISCONFIGURED),
        ("https://api.appstoreconnect.apple.com@evil.example/v1", Outcome.MISCONFIGURED),
        ("/v1/apps?cursor=x", Outcome.MISCONFIGURED),
        ("https://[", Outcome.LAYOUT_CHANGED),
        ({"href": "x"}, Outcome.LAYOUT_CHANGED),
    ],
)
def test_the_key_is_sent_to_no_other_host(link: object, outcome: Outcome) -> None:
    with pytest.raises(Trouble) as trouble:
        read(document(review(), links={"next": link}))
    assert trouble.value.outcome is outcome


def test_a_circle_of_links_is_found_out() -> None:
    reader = collector()
    ask = reader.first({})
    link = f"{ask.url}&cursor=again"
    body = document(review(), links={"next": link})
    (page,) = reader.parse(ask, Answer(url=ask.url, body=body), {})
    assert page.next is not None
    with pytest.raises(Trouble, match="goes in a circle"):
        list(reader.parse(page.next, Answer(url=link, body=body), {}))


def test_an_empty_list_is_the_truth_where_there_was_nothing_before() -> None:
    assert read(document()).empty
    with pytest.raises(Trouble, match="showed reviews of app 1590042871 before") as trouble:
        read(document(), mark={"shown": True})
    assert trouble.value.outcome is Outcome.SUSPECT


def test_territories_are_asked_for_and_pages_are_full() -> None:
    url = collector(territories=["BRA", "mex"]).first({}).url
    assert "filter%5Bterritory%5D=BRA%2CMEX" in url
    assert "limit=200" in url
    assert "include=response" in url
    assert "sort=-createdDate" in url


def test_a_reading_that_was_broken_off_is_gone_on_with_and_topped_up() -> None:
    reader = collector()
    ask = reader.first({"shown": True, "cursor": "Mg", "top": "2026-03-01T00:00:00+00:00"})
    assert "cursor=Mg" in ask.url
    assert ask.instead is not None
    assert ask.instead.url == reader.first({}).url
    (page,) = reader.parse(ask, Answer(url=ask.url, body=document(review())), {})
    assert page.next is not None
    assert page.next.url == reader.first({}).url
    old = review(2, createdDate="2026-02-01T00:00:00Z")
    more = {"next": f"{page.next.url}&cursor=Mw"}
    newer, older = document(review(3), links=more), document(review(3), old, links=more)
    (top,) = reader.parse(page.next, Answer(body=newer), {})
    assert top.next is not None
    (end,) = reader.parse(page.next, Answer(body=older), {})
    assert end.next is None
    assert "cursor" not in end.checkpoint


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"data": {}}', Outcome.LAYOUT_CHANGED),
        (b'{"reviews": []}', Outcome.LAYOUT_CHANGED),
        (b'{"data": [], "included": 7}', Outcome.LAYOUT_CHANGED),
        (b"[]", Outcome.LAYOUT_CHANGED),
        (b"words", Outcome.LAYOUT_CHANGED),
        (b"\xff\xfe\x00", Outcome.LAYOUT_CHANGED),
        (b"[" * 100_000, Outcome.LAYOUT_CHANGED),
        (b'{"data": [' + b"9" * 5000, Outcome.UNAVAILABLE),
        (b'{"data": [{', Outcome.UNAVAILABLE),
        (b'{"errors": [{"title": "later"}]}', Outcome.UNAVAILABLE),
    ],
)
def test_what_is_no_list_has_an_outcome(body: bytes, outcome: Outcome) -> None:
    with pytest.raises(Trouble) as trouble:
        read(body)
    assert trouble.value.outcome is outcome
    assert trouble.value.sentence.endswith(".")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"app": "loja"}, r"sources\.app\.app: 'loja' is no app"),
        ({"territories": ["BR"]}, "'BR' is no territory; .* like 'BRA'"),
        ({"territories": ["XXX"]}, "'XXX' is no territory"),
        ({"key_id": "AuthKey_2X9.p8"}, "is no key id"),
        ({"issuer": "me"}, "'me' is no issuer id"),
        ({"private_key": "-----BEGIN"}, r"a secret never stands in this file"),
        ({"private_key": {"env": "NOWHERE"}}, "neither NOWHERE nor NOWHERE_FILE"),
        ({"private_key": {"env": "WORDS"}}, "this is no private key; name the .p8 file"),
        ({"private_key": {"env": "RSA"}}, "cannot sign with ES256"),
        ({"private_key": None}, r"sources\.app\.private_key: this key is missing"),
    ],
)
def test_each_wrong_option_has_its_sentence(
    options: dict[str, Any], sentence: str, environment: Callable[[str, str], None]
) -> None:
    environment("WORDS", "the wrong file")
    environment("RSA", keys().google_private_key)
    with pytest.raises(ConfigError, match=sentence) as error:
        collector(**options)
    assert "MII" not in str(error.value)


def test_the_token_is_short_lived_and_forgives_a_clock() -> None:
    moment = datetime(2026, 10, 5, 15, tzinfo=UTC)
    token = collector().access.headers(moment)["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] <= 20 * 60
    assert claims["iat"] < moment.timestamp() < claims["exp"]
    assert (claims["aud"], claims["iss"]) == ("appstoreconnect-v1", keys().apple_issuer)
    assert jwt.get_unverified_header(token)["kid"] == keys().apple_key_id


def test_an_individual_key_has_no_issuer() -> None:
    header = collector(issuer=None).access.headers(END)["Authorization"]
    claims = jwt.decode(header.removeprefix("Bearer "), options={"verify_signature": False})
    assert claims["sub"] == "user"
    assert "iss" not in claims


@given(body=st.binary(max_size=300))
def test_any_bytes_are_values_or_trouble(body: bytes) -> None:
    _read_or_trouble(body)


GOOD = document(review(response="r-1"), review(2), included=[answered("PUBLISHED")])
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just([]) | st.just({})


@settings(deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), byte=st.binary(max_size=3), cut=st.integers(0, 9))
def test_any_mutation_is_values_or_trouble(at: int, byte: bytes, cut: int) -> None:
    _read_or_trouble(GOOD[:at] + byte + GOOD[at + cut :])


@settings(deadline=None)
@given(data=st.data(), value=VALUES)
def test_any_other_value_is_values_or_trouble(data: st.DataObject, value: object) -> None:
    document = json.loads(GOOD)
    spot: Any = document
    while isinstance(spot, dict | list) and spot:
        key = data.draw(st.sampled_from(list(spot) if isinstance(spot, dict) else range(len(spot))))
        if data.draw(st.booleans()):
            spot[key] = value
            break
        spot = spot[key]
    _read_or_trouble(json.dumps(document).encode())


def _read_or_trouble(body: bytes) -> None:
    reader = collector()
    ask = reader.first({})
    with suppress(Trouble):
        list(reader.parse(ask, Answer(url=ask.url, body=body), {}))


def test_the_recorded_page(corpus: Path) -> None:
    (path,) = (corpus / "recordings" / "apple_appstoreconnect").glob("customerReviews_*")
    page = read(path.read_bytes(), app="6740145520")
    first, second = page.items
    assert (first.stars, first.published_at) == (5, datetime(2026, 3, 8, 20, 22, 8, tzinfo=UTC))
    assert first.reply is not None
    assert (first.attributes["reply_state"], first.attributes["country"]) == (
        "PENDING_PUBLISH",
        "ES",
    )
    assert (second.stars, second.reply, second.attributes) == (2, None, {"country": "MX"})
    assert (page.rejected, page.unknown, page.next) == ([], {}, None)


def test_every_territory_of_the_specification_is_one(corpus: Path) -> None:
    path = corpus / "recordings/apple_appstoreconnect/openapi_customer_reviews_subset.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    parameters = spec["paths"]["/v1/apps/{id}/customerReviews"]["get"]["parameters"]
    (codes,) = (each["schema"] for each in parameters if each["name"] == "filter[territory]")
    # ANT was dissolved into three countries in 2010.
    collector(territories=[code for code in codes["items"]["enum"] if code != "ANT"])


@pytest.fixture
def house(door: Door, tmp_path: Path) -> Iterator[House]:
    with StandIn(END) as brand:
        made = House(brand, door, tmp_path, source)
        yield made
        made.db.close()


@pytest.mark.slow
def test_check_asks_for_one_review(house: House) -> None:
    assert house.check() == "answers, 1 on its first page"
    assert house.brand.requests[LIST] == 1
    assert house.brand.requests["/robots.txt"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("moves", [True, False])
def test_week_by_week_is_the_same_as_all_at_once(house: House, *, moves: bool) -> None:
    house.brand.services.app_store_connect.edits_move_date = moves
    for weeks in range(14, -1, -2):
        house.brand.now = END - timedelta(weeks=weeks)
        report = house.collect()
        assert (report.outcome, report.rejected) == (Outcome.COMPLETE, 0), report
    assert len(house.stored()) > 200
    assert house.stored() == house.fresh()
    again = house.collect(full=True)
    assert (again.new, again.changed) == (0, 0)


@pytest.mark.slow
def test_the_first_reading_goes_on_where_it_was_broken_off(house: House) -> None:
    house.brand.now = END - timedelta(days=1)
    report = house.collect(max_requests=1)
    assert (report.outcome, report.new) == (Outcome.PARTIAL, 200)
    house.brand.now = END
    asked = house.brand.requests[LIST]
    report = house.collect()
    assert report.outcome is Outcome.COMPLETE
    assert house.brand.requests[LIST] - asked == 2
    assert house.stored() == house.fresh()


def test_a_cursor_that_has_run_out_begins_anew(house: House) -> None:
    house.collect(max_requests=1)
    house.mark(cursor="gone")
    report = house.collect()
    assert report.outcome is Outcome.COMPLETE
    assert len(house.stored()) == report.new + report.unchanged


def test_what_is_gone_is_counted_by_a_full_reading(house: House) -> None:
    house.collect()
    kept = [piece for piece in house.brand.feedback if piece.source != "app-us"]
    gone = len(house.stored())
    house.brand.feedback = tuple(kept)
    house.brand.now += timedelta(days=2)
    report = house.collect()
    gone -= report.changed + report.unchanged
    assert gone > 0
    assert f"{gone} known before are no longer shown by the source" in report.message
    assert len(house.stored()) > report.unchanged


def test_an_edit_without_a_date_is_one_revision(house: House) -> None:
    house.brand.services.app_store_connect.edits_move_date = False
    house.collect()
    first, *others = house.brand.feedback
    edited = replace(first, text="Mudei de ideia: é ruim.", stars=1)
    house.brand.feedback = (edited, *others)
    house.brand.now += timedelta(days=2)
    assert house.collect().changed >= 1
    assert any(row[1] == "Mudei de ideia: é ruim." for row in house.stored())


Break = Callable[[House], object]


def unsigned(house: House) -> None:
    house.brand.services.app_store_connect.agreements = False


def no_role(house: House) -> None:
    house.brand.services.app_store_connect.role = False


def used_up(house: House) -> None:
    house.brand.services.app_store_connect.quota.calls = 0


@pytest.mark.parametrize(
    ("breaks", "options", "outcome", "sentence"),
    [
        (unsigned, {}, Outcome.BLOCKED, "an agreement is unsigned; the account holder"),
        (no_role, {}, Outcome.BLOCKED, "give it the role Customer Support"),
        (used_up, {}, Outcome.RATE_LIMITED, "hour of 0 requests is used up"),
        (id, {"key_id": "ABCDEFGHIJ"}, Outcome.BLOCKED, "refuses the key .* check `key_id`"),
        (id, {"issuer": f"{0:08}-0000-0000-0000-{0:012}"}, Outcome.BLOCKED, "refuses the key"),
        (id, {"app": "999999999"}, Outcome.MISCONFIGURED, "no app 999999999 in this account"),
    ],
)
def test_each_refusal_has_its_sentence(
    house: House, breaks: Break, options: dict[str, Any], outcome: Outcome, sentence: str
) -> None:
    breaks(house)
    with pytest.raises(Trouble, match=sentence) as trouble:
        house.check(**options)
    assert trouble.value.outcome is outcome
    report = house.collect(**options)
    assert (report.outcome, report.message) == (outcome, trouble.value.sentence)


def test_a_clock_that_is_wrong_is_told(house: House) -> None:
    date = {"Date": "Sun, 25 Oct 2026 14:00:00 GMT"}
    reader = collector()
    reader.access.headers(END)
    told = reader.refusal(
        reader.probe(), Answer(status=401, headers={"date": date["Date"]}, body=b"{}")
    )
    assert told is not None
    assert "this machine's clock is 60 minutes ahead of theirs" in told.sentence
    assert house.brand.requests == {}


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(status=429, headers={"Retry-After": "900"}), Outcome.RATE_LIMITED),
        (Fault(status=429), Outcome.RATE_LIMITED),
        (Fault(status=502), Outcome.UNAVAILABLE),
        (Fault(body=b'{"errors": [{"status": "500", "title": "oops"}]}'), Outcome.UNAVAILABLE),
        (Fault(body=b"<html>captcha</html>"), Outcome.BLOCKED),
        (Fault(body=b""), Outcome.SUSPECT),
        (Fault(truncate=100), Outcome.UNAVAILABLE),
    ],
)
def test_a_fault_has_its_outcome_and_passes(house: House, fault: Fault, outcome: Outcome) -> None:
    house.brand.now = END - timedelta(days=7)
    house.collect()
    before = house.stored()
    house.brand.now = END
    house.brand.faults = {"/v1/": fault}
    assert house.collect().outcome is outcome
    assert house.stored() == before
    house.brand.faults = {}
    assert house.collect().outcome is Outcome.COMPLETE
    assert len(house.stored()) > len(before)


@pytest.mark.slow
def test_an_incremental_run_asks_twice_at_most(house: House) -> None:
    house.collect()
    asked = house.brand.requests[LIST]
    house.brand.now += timedelta(hours=1)
    assert house.collect().outcome is Outcome.COMPLETE
    assert house.brand.requests[LIST] - asked <= 2
