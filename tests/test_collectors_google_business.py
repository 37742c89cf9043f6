"""Google Business Profile: its shapes, its refusals, and the stand-in's idea of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_house import ZONE, House

from ouvidor.collectors.collector import Answer, Page, Place, Trouble, settings_for
from ouvidor.collectors.sources.google_business import GoogleBusiness, original
from ouvidor.config import ConfigError, Source
from ouvidor.demo.keys import keys
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

PLACE = Place(name="places", zone=ZONE, folder=Path())
ACCOUNT = "109876543210987654321"
RECIFE, CURITIBA = "6394460000000000817", "6394460000000000413"
LIST = f"/v4/accounts/{ACCOUNT}/locations/{RECIFE}/reviews"
BATCH = f"/v4/accounts/{ACCOUNT}/locations:batchGetReviews"
END = datetime(2026, 10, 25, 15, tzinfo=UTC)
BOTH = [RECIFE, CURITIBA]


@pytest.fixture(autouse=True)
def _keys(environment: Callable[[str, str], None]) -> None:
    environment("GB_CLIENT", keys().google_client_id)
    environment("GB_SECRET", keys().google_client_secret)
    environment("GB_TOKEN", keys().google_refresh_token)


def source(**options: object) -> Source:
    table: dict[str, object] = {
        "account": ACCOUNT,
        "locations": [RECIFE],
        "client_id": {"env": "GB_CLIENT"},
        "client_secret": {"env": "GB_SECRET"},
        "refresh_token": {"env": "GB_TOKEN"},
        "retries": 0,
    }
    table = {name: value for name, value in (table | options).items() if value is not None}
    return Source(kind="google_business", options=table)


def collector(**options: object) -> GoogleBusiness:
    return GoogleBusiness(settings_for("places", source(**options)), PLACE)  # type: ignore[arg-type]


def review(number: int = 1, **changes: Any) -> dict[str, Any]:
    plain = {
        "name": f"accounts/{ACCOUNT}/locations/{RECIFE}/reviews/r{number}",
        "reviewId": f"r{number}",
        "reviewer": {"displayName": "Zuleide Sabugosa", "profilePhotoUrl": "https://x.example/a"},
        "starRating": "FOUR",
        "comment": "Gostei.",
        "createTime": "2026-09-01T10:47:32.807Z",
        "updateTime": "2026-09-02T10:47:32Z",
    }
    return {name: value for name, value in (plain | changes).items() if value is not ...}


def listed(*reviews: object, **more: Any) -> bytes:
    return json.dumps({"reviews": reviews, "totalReviewCount": len(reviews)} | more).encode()


def batched(*pairs: tuple[str, object], **more: Any) -> bytes:
    entries = [{"name": f"accounts/-/locations/{place}", "review": each} for place, each in pairs]
    return json.dumps({"locationReviews": entries} | more).encode()


def read(body: bytes, *, mark: Mapping[str, Any] | None = None, **options: object) -> Page:
    reader = collector(**options)
    ask = reader.first({})
    (page,) = reader.parse(ask, Answer(url=ask.url, body=body), mark or {})
    return page


def test_one_review_as_it_is() -> None:
    (item,) = read(listed(review())).items
    assert (item.external_id, item.text) == (f"locations/{RECIFE}/reviews/r1", "Gostei.")
    assert (item.stars, item.rating, item.rating_scale) == (4, "4", "1-5")
    assert item.published_at == datetime(2026, 9, 1, 10, 47, 32, 807000, tzinfo=UTC)
    assert item.edited_at == datetime(2026, 9, 2, 10, 47, 32, tzinfo=UTC)
    assert (item.author, item.reply, item.url) == ("Zuleide Sabugosa", None, None)
    assert item.attributes == {"location": RECIFE}
    assert "Zuleide" not in item.raw
    assert "x.example" not in item.raw


@pytest.mark.parametrize(
    ("word", "stars"),
    [("ONE", 1), ("FIVE", 5), ("STAR_RATING_UNSPECIFIED", None), (..., None), (None, None)],
)
def test_stars_are_words(word: object, stars: int | None) -> None:
    (item,) = read(listed(review(starRating=word))).items
    assert (item.stars, item.rating) == (stars, str(stars) if stars else None)


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        ("(Translated by Google) Good.\n\n(Original)\nBom.", "Bom."),
        ("(Translated by Google)Good.\n\n(Original)\nBom.\n\nMuito.", "Bom.\n\nMuito."),
        ("Bom.\n\nMuito.\n\n(Translated by Google)\nGood.", "Bom.\n\nMuito."),
        ("(Translated by Google) Good. (Original) Bom.", "Bom."),
        ("(Translated by Google) Good.", "Good."),
        ("(Original) é melhor que a cópia", "(Original) é melhor que a cópia"),
        ("Translated by Google, dizem", "Translated by Google, dizem"),
        ("", ""),
    ],
)
def test_what_the_person_wrote_is_kept_and_the_translation_is_not(comment: str, text: str) -> None:
    assert original(comment) == text
    (item,) = read(listed(review(comment=comment))).items
    assert item.text == text
    assert json.loads(item.raw)["comment"] == comment


@pytest.mark.parametrize("reply", [..., None, {}, {"comment": "  "}])
def test_a_reply_may_be_absent_null_or_empty(reply: object) -> None:
    (item,) = read(listed(review(reviewReply=reply))).items
    assert item.reply is None


@pytest.mark.parametrize("state", ["APPROVED", "PENDING", "REJECTED"])
def test_a_reply_has_its_time_and_state(state: str) -> None:
    told = {
        "comment": "(Translated by Google) Thanks!\n\n(Original)\nObrigada!",
        "updateTime": "2026-09-03T00:00:00.123456789Z",
        "reviewReplyState": state,
    }
    (item,) = read(listed(review(reviewReply=told))).items
    assert item.attributes["reply_state"] == state
    if state == "REJECTED":
        assert item.reply is None
        return
    assert item.reply is not None
    assert item.reply.text == "Obrigada!"
    assert item.reply.at == datetime(2026, 9, 3, 0, 0, 0, 123456, tzinfo=UTC)


def test_an_anonymous_reviewer_has_no_name() -> None:
    reviewer = {"displayName": "Um usuário do Google", "isAnonymous": True}
    (item,) = read(listed(review(reviewer=reviewer))).items
    assert item.author is None
    assert read(listed(review(reviewer=None))).items[0].author is None


def test_the_account_is_no_part_of_the_identity() -> None:
    name = f"accounts/-/locations/{RECIFE}/reviews/r1"
    assert read(listed(review(name=name))).items == [
        replace(read(listed(review())).items[0], raw=read(listed(review(name=name))).items[0].raw)
    ]
    (item,) = read(listed(review(name=...))).items
    assert item.external_id == f"locations/{RECIFE}/reviews/r1"


def test_link_and_pictures() -> None:
    link = "https://business.google.com/reviews/r1"
    (item,) = read(listed(review(reviewReplyUrl=link, reviewMediaItems=[{}, {}]))).items
    assert (item.url, item.attributes["media"]) == (link, "2")
    (item,) = read(listed(review(reviewReplyUrl="javascript:x"))).items
    assert item.url is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"starRating": "SIX"}, "'SIX' is no number of stars"),
        ({"starRating": 5}, "`starRating` is no text"),
        ({"createTime": "yesterday"}, "`createTime` is no time"),
        ({"updateTime": "2026-09-01T10:47:32"}, "`updateTime` has no offset"),
        ({"comment": ["x"]}, "`comment` is no text"),
        ({"reviewReply": "x"}, "`reviewReply` is no object"),
        ({"reviewer": []}, "`reviewer` is no object"),
        ({"name": ..., "reviewId": ...}, "neither name nor id"),
    ],
)
def test_a_bad_review_is_set_aside_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    page = read(listed(review(**changes), review(2)))
    assert [item.external_id for item in page.items] == [f"locations/{RECIFE}/reviews/r2"]
    (rejected,) = page.rejected
    assert rejected.where == f"location {RECIFE}, page 1, review 1"
    assert reason in rejected.reason


def test_unknown_fields_are_counted() -> None:
    told = {"comment": "x", "tone": "warm"}
    page = read(listed(review(mood="glad", reviewReply=told), surprise=1))
    assert page.unknown == {"mood": 1, "tone": 1, "surprise": 1}


def test_several_places_are_read_at_once_and_then_one_by_one() -> None:
    reader = collector(locations=BOTH)
    ask = reader.first({})
    assert ask.body is not None
    assert ask.url.endswith(BATCH)
    asked = json.loads(ask.body)
    assert (len(asked["locationNames"]), asked["pageSize"]) == (2, 200)
    bare = review(name=..., reviewId="r9")
    body = batched((RECIFE, review()), (CURITIBA, bare), nextPageToken="p2")
    (page,) = reader.parse(ask, Answer(body=body), {})
    assert [item.attributes["location"] for item in page.items] == BOTH
    assert page.next is not None
    assert page.next.body is not None
    assert json.loads(page.next.body)["pageToken"] == "p2"
    assert page.next.part != ask.part
    ask = reader.first({"shown": True})
    assert ask.url.partition("?")[0].endswith(LIST)
    (page,) = reader.parse(ask, Answer(body=listed(review())), {})
    assert page.next is not None
    assert page.beyond is not None
    assert CURITIBA in page.next.url
    assert (page.next.url, page.next.part) == (page.beyond.url, CURITIBA)


def test_no_review_is_the_truth_where_there_was_none_before() -> None:
    assert read(b"{}").empty
    assert read(b"{}", locations=BOTH).empty
    with pytest.raises(Trouble, match="showed reviews before and shows none now") as trouble:
        read(b"{}", mark={"shown": True})
    assert trouble.value.outcome is Outcome.SUSPECT
    reader = collector(locations=BOTH)
    ask = reader.first({"shown": True})
    (page,) = reader.parse(ask, Answer(body=b"{}"), {"shown": True})
    assert page.next is not None  # the other place may have some


def test_a_circle_of_tokens_is_found_out() -> None:
    reader = collector()
    ask = reader.first({})
    body = listed(review(), nextPageToken="again")
    (page,) = reader.parse(ask, Answer(body=body), {})
    assert page.next is not None
    with pytest.raises(Trouble, match="goes in a circle"):
        list(reader.parse(page.next, Answer(body=body), {}))


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"reviews": {}}', Outcome.LAYOUT_CHANGED),
        (b'{"items": []}', Outcome.LAYOUT_CHANGED),
        (b'{"reviews": [], "nextPageToken": 7}', Outcome.LAYOUT_CHANGED),
        (b"[]", Outcome.LAYOUT_CHANGED),
        (b"words", Outcome.LAYOUT_CHANGED),
        (b"\xff\xfe\x00", Outcome.LAYOUT_CHANGED),
        (b"[" * 100_000, Outcome.LAYOUT_CHANGED),
        (b'{"reviews": [{', Outcome.UNAVAILABLE),
        (b'{"error": {"code": 500, "message": "later"}}', Outcome.UNAVAILABLE),
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
        ({"account": "mine"}, r"sources\.places\.account: 'mine' is no account; write its digits"),
        ({"locations": ["recife"]}, "'recife' is no location; write the digits"),
        ({"locations": []}, r"sources\.places\.locations"),
        ({"locations": [RECIFE, f"locations/{RECIFE}"]}, f"location {RECIFE} stands here twice"),
        ({"refresh_token": "1//abc"}, "a secret never stands in this file"),
        ({"client_secret": {"env": "NOWHERE"}}, "neither NOWHERE nor NOWHERE_FILE"),
        ({"client_id": None}, r"sources\.places\.client_id: this key is missing"),
    ],
)
def test_each_wrong_option_has_its_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        collector(**options)


@given(body=st.binary(max_size=300))
def test_any_bytes_are_values_or_trouble(body: bytes) -> None:
    _read_or_trouble(body)


TOLD = {"comment": "Obrigada!", "updateTime": "2026-09-03T00:00:00Z"}
GOOD = [listed(review(reviewReply=TOLD), review(2)), batched((RECIFE, review()), (CURITIBA, {}))]
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
    for places in ([RECIFE], BOTH):
        reader = collector(locations=places)
        ask = reader.first({})
        with suppress(Trouble):
            list(reader.parse(ask, Answer(url=ask.url, body=body), {}))


def test_the_recorded_list(corpus: Path) -> None:
    folder = corpus / "recordings" / "google_business"
    page = read((folder / "review_list_response.json").read_bytes())
    first, second = page.items
    # The recording's author copied one review: two states of one id.
    assert first.external_id == second.external_id
    assert first.external_id.startswith("locations/6394464039148850881/reviews/AbFvOqm")
    assert (first.text, first.stars, second.reply) == ("Awesome service!", 5, None)
    assert first.published_at == datetime(2021, 3, 2, 10, 47, 32, 807000, tzinfo=UTC)
    assert first.reply is not None
    assert first.reply.at == datetime(2021, 3, 2, 11, 3, 45, 142000, tzinfo=UTC)
    assert (page.rejected, page.unknown) == ([], {})
    one = json.loads((folder / "review_detail_response.json").read_bytes())
    assert read(listed(one)).items[0] == replace(first, raw=read(listed(one)).items[0].raw)


@pytest.fixture
def house(door: Door, tmp_path: Path) -> Iterator[House]:
    with StandIn(END) as brand:

        def told(**options: object) -> Source:
            return source(**{"token_url": f"{brand.url}/token"} | options)

        made = House(brand, door, tmp_path, told)
        yield made
        made.db.close()


def test_check_asks_for_one_review(house: House) -> None:
    assert house.check() == "answers, 1 on its first page"
    assert house.brand.requests == {"/token": 1, LIST: 1}


@pytest.mark.slow
@pytest.mark.parametrize("places", [[RECIFE], BOTH])
def test_week_by_week_is_the_same_as_all_at_once(house: House, places: list[str]) -> None:
    for weeks in range(14, -1, -2):
        house.brand.now = END - timedelta(weeks=weeks)
        report = house.collect(locations=places)
        assert (report.outcome, report.rejected) == (Outcome.COMPLETE, 0), report
    db = house.anew()
    house.collect(db=db, locations=places)
    # What its writer took away meanwhile stays, and all else is the same.
    gone = {row[0] for row in house.stored() - house.stored(db)}
    away = {piece.id for piece in house.brand.feedback if piece.gone}
    assert {str(name).rpartition("/")[2] for name in gone} <= away
    assert house.stored(db) <= house.stored()
    assert len(house.stored()) > 40 * len(places)
    db.close()
    again = house.collect(full=True, locations=places)
    assert (again.new, again.changed) == (0, 0)


def test_the_stored_text_is_no_translation(house: House) -> None:
    house.collect(locations=BOTH)
    texts = {
        piece.text
        for source in ("google-recife", "google-curitiba")
        for piece in house.brand.shown(source)
    }
    assert {row[1] for row in house.stored()} <= {text.strip() for text in texts}
    assert not any("Translated by Google" in str(row) for row in house.stored())


def test_incremental_runs_ask_once_per_place(house: House) -> None:
    house.brand.now = END - timedelta(hours=12)
    house.collect(locations=BOTH)
    assert house.brand.requests[BATCH] == 1
    asked = sum(house.brand.requests.values())
    house.brand.now = END
    assert house.collect(locations=BOTH).outcome is Outcome.COMPLETE
    assert sum(house.brand.requests.values()) - asked == 1 + len(BOTH)


@pytest.mark.slow
def test_news_of_the_last_place_are_found_behind_known_ground(house: House) -> None:
    house.brand.now = END - timedelta(hours=20)
    house.collect(locations=BOTH)
    known = len(house.stored())
    (piece, *_) = [each for each in house.brand.feedback if each.source == "google-curitiba"]
    at = END - timedelta(hours=1)
    new = replace(piece, id="quite-new", at=at, updated=at, edits=(), reply=None, gone=None)
    house.brand.feedback = (*house.brand.feedback, new)
    house.brand.now = END
    assert house.collect(locations=BOTH).new >= 1
    assert any("quite-new" in str(row[0]) for row in house.stored())
    assert len(house.stored()) > known


def long_history(house: House, *, many: int = 420) -> None:
    """Enough reviews for several pages, two hours apart."""
    (piece, *_) = [each for each in house.brand.feedback if each.source == "google-recife"]
    others = [each for each in house.brand.feedback if not each.source.startswith("google")]
    plain = replace(piece, edits=(), reply=None, gone=None, details={})
    times = [END - timedelta(hours=2 * number) for number in range(many)]
    pieces = [
        replace(plain, id=f"n{number}", at=at, updated=at, text=f"Texto {number}.")
        for number, at in enumerate(times)
    ]
    split = [replace(each, source="google-curitiba") for each in pieces[::2]]
    house.brand.feedback = (*others, *pieces[1::2], *split)


@pytest.mark.slow
@pytest.mark.parametrize("places", [[RECIFE], BOTH])
def test_the_first_reading_goes_on_where_it_was_broken_off(house: House, places: list[str]) -> None:
    long_history(house)
    house.brand.now = END - timedelta(days=1)
    report = house.collect(max_requests=2, locations=places)  # one of them is for the token
    assert report.outcome is Outcome.PARTIAL
    assert house.mark()["token"]
    house.brand.now = END
    report = house.collect(locations=places)
    assert report.outcome is Outcome.COMPLETE
    assert len(house.stored()) == 210 * len(places)
    assert report.new < len(house.stored())
    assert house.collect(locations=places).new == 0


def test_a_page_token_that_has_run_out_begins_anew(house: House) -> None:
    long_history(house)
    house.collect(max_requests=2)
    house.mark(token="gone")
    assert house.collect().outcome is Outcome.COMPLETE
    assert len(house.stored()) == 210


def test_what_is_gone_is_counted_by_a_full_reading(house: House) -> None:
    house.collect()
    known = len(house.stored())
    kept = house.brand.shown("google-recife")[::2]
    house.brand.feedback = tuple(replace(piece, gone=None) for piece in kept)
    house.brand.now += timedelta(days=2)
    report = house.collect()
    assert report.outcome is Outcome.COMPLETE
    gone = known - len(kept)
    assert f"{gone} known before are no longer shown by the source" in report.message
    assert len(house.stored()) == known
    house.brand.now += timedelta(hours=2)
    assert "no longer shown" not in house.collect().message  # an incremental run cannot know


def test_a_token_that_has_expired_is_renewed(house: House) -> None:
    house.brand.services.google.lifetime = timedelta(0)
    assert house.collect().outcome is Outcome.BLOCKED  # renewed once, and refused again
    assert house.brand.requests["/token"] == 2
    house.brand.services.google.lifetime = timedelta(hours=1)
    house.brand.faults = {LIST: Fault(status=401, times=1)}
    assert house.collect().outcome is Outcome.COMPLETE
    assert house.brand.requests["/token"] == 4


Break = Callable[[House], object]


def revoked(house: House) -> None:
    house.brand.services.google.revoked = True


def unverified(house: House) -> None:
    house.brand.services.google_business.verified = False


def unapproved(house: House) -> None:
    house.brand.services.google_business.approved = False


def no_quota(house: House) -> None:
    """As Google writes the refusal of a project that was never approved."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED"}
    detail = info | {"metadata": {"quota_limit_value": "0"}}
    error = {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}
    body = json.dumps({"error": error | {"details": [detail]}}).encode()
    house.brand.faults = {"/v4/": Fault(status=429, body=body)}


def disabled(house: House) -> None:
    detail = {"reason": "SERVICE_DISABLED"}
    error = {"code": 403, "message": "not used before", "details": [detail]}
    body = json.dumps({"error": error}).encode()
    house.brand.faults = {"/v4/": Fault(status=403, body=body)}


@pytest.mark.parametrize(
    ("breaks", "options", "outcome", "sentence"),
    [
        (revoked, {}, Outcome.BLOCKED, "expired or was revoked"),
        (unverified, {}, Outcome.BLOCKED, "has to be verified, and whoever agreed"),
        (unapproved, {}, Outcome.RATE_LIMITED, "If it never worked, .* a quota of 0"),
        (id, {"account": "1"}, Outcome.BLOCKED, "does not show the reviews of location"),
        (id, {"locations": ["77"]}, Outcome.MISCONFIGURED, "knows no location 77 in account"),
        (id, {"locations": ["77", RECIFE]}, Outcome.MISCONFIGURED, "knows no "),
        (id, {"client_id": {"env": "GB_SECRET"}}, Outcome.BLOCKED, "does not know this OAuth"),
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
    assert report.outcome is outcome
    for secret in (keys().google_refresh_token, keys().google_client_secret):
        assert secret not in report.message


@pytest.mark.parametrize(
    ("breaks", "outcome", "sentence"),
    [
        (no_quota, Outcome.BLOCKED, "quota for the Business Profile API is 0 .* apply for access"),
        (disabled, Outcome.BLOCKED, "Business Profile API is not enabled"),
    ],
)
def test_refusals_as_google_writes_them(breaks: Break, outcome: Outcome, sentence: str) -> None:
    class Brand:
        faults: Mapping[str, Fault] = {}

    class Broken:
        brand = Brand()

    breaks(Broken())  # type: ignore[arg-type]
    (fault,) = Broken.brand.faults.values()
    reader = collector()
    told = reader.refusal(reader.probe(), Answer(status=fault.status, body=fault.body or b""))
    assert told is not None
    assert told.outcome is outcome
    with pytest.raises(Trouble, match=sentence):
        raise told


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(status=429, headers={"Retry-After": "900"}), Outcome.RATE_LIMITED),
        (Fault(status=502), Outcome.UNAVAILABLE),
        (Fault(body=b'{"error": {"code": 503, "message": "oops"}}'), Outcome.UNAVAILABLE),
        (Fault(body=b"<html>captcha</html>"), Outcome.BLOCKED),
        (Fault(body=b""), Outcome.SUSPECT),
        (Fault(body=b"{}"), Outcome.SUSPECT),
        (Fault(truncate=100), Outcome.UNAVAILABLE),
    ],
)
def test_a_fault_has_its_outcome_and_passes(house: House, fault: Fault, outcome: Outcome) -> None:
    house.brand.now = END - timedelta(days=21)
    house.collect()
    before = house.stored()
    house.brand.now = END
    house.brand.faults = {"/v4/": fault}
    assert house.collect().outcome is outcome
    assert house.stored() == before
    house.brand.faults = {}
    assert house.collect().outcome is Outcome.COMPLETE
    assert len(house.stored()) > len(before)


def test_a_megabyte_is_read() -> None:
    comment = "(Translated by Google) " * 45_000
    assert len(read(listed(review(comment=comment))).items) == 1
    many = listed(*[review(number, comment="x" * 300) for number in range(1500)])
    assert len(many) > 900_000
    assert len(read(many).items) == 1500


@pytest.mark.parametrize("told", [None, "²", "soon", -1, 0, 10**30, "nan", True, [], "3599"])
def test_a_token_of_any_lifetime_is_kept(told: object) -> None:
    access = collector().access
    assert access is not None
    body = json.dumps({"access_token": "t", "expires_in": told}).encode()
    access.keep(Answer(body=body), END)
    assert access.headers(END) == {"Authorization": "Bearer t"}
    assert access.ask(END + timedelta(days=1)) is not None


@pytest.mark.slow
def test_a_full_reading_that_was_broken_off_is_gone_on_with(house: House) -> None:
    long_history(house)
    house.brand.now = END - timedelta(hours=3)
    house.collect()
    house.brand.now += timedelta(minutes=10)
    assert house.collect(full=True, max_requests=2).outcome is Outcome.PARTIAL
    assert house.mark()["token"]
    house.brand.now = END
    report = house.collect()
    assert (report.outcome, report.new) == (Outcome.COMPLETE, 1)
    assert house.mark() == {"shown": True}
    assert len(house.stored()) == 210
