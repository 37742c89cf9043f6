"""The stand-ins for App Store Connect and Google, asked over real HTTP."""

from __future__ import annotations

import base64
import csv
import http.client
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ouvidor.demo.apple import APP
from ouvidor.demo.feedback import MORE, read_feedback
from ouvidor.demo.google import BUSINESS, PUBLISHER, STORAGE
from ouvidor.demo.google_business import ACCOUNT, LOCATIONS
from ouvidor.demo.google_play import PACKAGE
from ouvidor.demo.google_play_reports import BUCKET
from ouvidor.demo.server import Fault, StandIn

pytestmark = pytest.mark.slow

END = datetime(2026, 10, 26, 12, tzinfo=UTC)
PIECES = read_feedback() + read_feedback(MORE)
APPLE = f"/v1/apps/{APP}/customerReviews"
PLAY = f"/androidpublisher/v3/applications/{PACKAGE}/reviews"
FILES = f"/storage/v1/b/{BUCKET}/o"
RECIFE = f"accounts/{ACCOUNT}/locations/{LOCATIONS['google-recife']}"
CURITIBA = f"accounts/{ACCOUNT}/locations/{LOCATIONS['google-curitiba']}"


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    url: str, token: str = "", *, form: dict[str, str] | None = None, asked: object = None
) -> Got:
    parts = urlsplit(url)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = urlencode(form).encode() if form is not None else None
    if asked is not None:
        body = json.dumps(asked).encode()
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if body is None else "POST", target, body, headers)
        response = connection.getresponse()
        return Got(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def packed(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@cache
def loaded(pem: str) -> object:
    return load_pem_private_key(pem.encode(), None)


def signed(pem: str, header: dict[str, str], claims: dict[str, Any]) -> str:
    key = loaded(pem)
    text = f"{packed(header)}.{packed(claims)}"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{packed(r.to_bytes(32) + s.to_bytes(32))}"
    assert isinstance(key, rsa.RSAPrivateKey)
    return f"{text}.{packed(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def apple(brand: StandIn, **changes: Any) -> str:
    keys = brand.keys
    now = int(brand.now.timestamp())
    claims = {
        "iss": keys.apple_issuer,
        "iat": now,
        "exp": now + 600,
        "aud": "appstoreconnect-v1",
    }
    header = {"alg": "ES256", "kid": keys.apple_key_id, "typ": "JWT"}
    return signed(keys.apple_private_key, header, claims | changes)


def assertion(brand: StandIn, asked: str, **changes: Any) -> str:
    account = brand.keys.service_account(brand.url)
    now = int(brand.now.timestamp())
    claims = {
        "iss": account["client_email"],
        "scope": asked,
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + 3600,
    }
    header = {"alg": "RS256", "kid": account["private_key_id"], "typ": "JWT"}
    return signed(account["private_key"], header, claims | changes)


def granted(brand: StandIn, assertion: str) -> Got:
    kind = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return call(f"{brand.url}/token", form={"grant_type": kind, "assertion": assertion})


def access(brand: StandIn, scope: str) -> str:
    token: str = granted(brand, assertion(brand, scope)).json["access_token"]
    return token


def refreshed(brand: StandIn, **changes: str) -> Got:
    form = {
        "grant_type": "refresh_token",
        "client_id": brand.keys.google_client_id,
        "client_secret": brand.keys.google_client_secret,
        "refresh_token": brand.keys.google_refresh_token,
    }
    return call(f"{brand.url}/token", form=form | changes)


def owner(brand: StandIn) -> str:
    token: str = refreshed(brand).json["access_token"]
    return token


@pytest.fixture
def brand() -> Iterator[StandIn]:
    with StandIn(END) as standin:
        yield standin


# --- App Store Connect ---------------------------------------------------------------------------


def apple_pages(brand: StandIn, query: str = "") -> list[Any]:
    token, url, pages = apple(brand), f"{brand.url}{APPLE}{query}", []
    while url:
        pages.append(call(url, token).json)
        url = pages[-1]["links"].get("next", "")
    return pages


def test_apple_lists_every_storefront_by_following_next(brand: StandIn) -> None:
    pages = apple_pages(brand, "?limit=100&sort=-createdDate")
    reviews = [review for page in pages for review in page["data"]]
    expected = [piece for piece in PIECES if piece.source.startswith("app-")]
    assert [len(page["data"]) for page in pages] == [100, 100, 100, 50]
    assert {page["meta"]["paging"]["total"] for page in pages} == {len(expected)}
    assert len({review["id"] for review in reviews}) == len(expected)
    assert {review["attributes"]["territory"] for review in reviews} == {"BRA", "MEX", "USA"}
    dates = [review["attributes"]["createdDate"] for review in reviews]
    times = [datetime.fromisoformat(each) for each in dates]
    assert times == sorted(times, reverse=True)
    assert {each[-6:] for each in dates} == {"-07:00"}
    # These ids cannot be joined with the public feed's.
    assert not {review["id"] for review in reviews} & {piece.id for piece in expected}


def test_apple_filters(brand: StandIn) -> None:
    pages = apple_pages(brand, "?filter[territory]=MEX,USA&filter[rating]=1&limit=200")
    found = [review["attributes"] for page in pages for review in page["data"]]
    expected = [p for p in PIECES if p.source in {"app-mx", "app-us"} and p.stars == 1]
    assert len(found) == len(expected)
    assert {each["rating"] for each in found} == {1}


def test_apple_includes_answers_only_when_asked(brand: StandIn) -> None:
    (page,) = apple_pages(brand, "?limit=200&filter[territory]=MEX")
    assert "included" not in page
    assert "data" not in page["data"][0]["relationships"]["response"]
    (page,) = apple_pages(brand, "?limit=200&filter[territory]=MEX&include=response")
    linked = [review["relationships"]["response"]["data"] for review in page["data"]]
    told = {each["id"] for each in page["included"]}
    assert {each["id"] for each in linked if each} == told
    assert None in linked
    assert len(told) == 2


def test_an_answer_waits_a_day_before_it_is_public(brand: StandIn) -> None:
    states = [
        each["attributes"]["state"]
        for page in apple_pages(brand, "?limit=200&include=response")
        for each in page.get("included", ())
    ]
    assert sorted(set(states)) == ["PENDING_PUBLISH", "PUBLISHED"]
    assert states.count("PENDING_PUBLISH") == 1
    public = apple_pages(brand, "?exists[publishedResponse]=true")
    assert public[0]["meta"]["paging"]["total"] == len(states) - 1


def test_apple_shows_an_edit_as_other_words(brand: StandIn) -> None:
    piece = next(each for each in PIECES if each.source == "app-br" and each.edits)
    (edit,) = piece.edits

    def shown() -> dict[str, Any]:
        pages = apple_pages(brand, "?limit=200")
        reviews = [review for page in pages for review in page["data"]]
        found = [r for r in reviews if r["attributes"]["reviewerNickname"] == piece.author]
        attributes: dict[str, Any] = found[0]["attributes"]
        return attributes

    after = shown()
    brand.services.app_store_connect.edits_move_date = False
    unmoved = shown()
    brand.now = edit.at - timedelta(seconds=1)
    before = shown()
    assert (before["rating"], after["rating"]) == (1, 4)
    assert after["body"] == unmoved["body"] == edit.text
    assert datetime.fromisoformat(after["createdDate"]) == edit.at
    assert unmoved["createdDate"] == before["createdDate"]


def test_one_review_and_its_answer(brand: StandIn) -> None:
    (page,) = apple_pages(brand, "?limit=200&filter[territory]=USA&include=response")
    linked = [r for r in page["data"] if r["relationships"]["response"]["data"]]
    url = linked[0]["links"]["self"]
    assert call(url, apple(brand)).json["data"]["id"] == linked[0]["id"]
    response = call(f"{url}/response", apple(brand)).json["data"]
    assert response["attributes"]["responseBody"].startswith("You are right")
    assert call(f"{brand.url}/v1/customerReviews/none", apple(brand)).status == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "appstoreconnect-v2"},
        {"iss": "somebody"},
        {"exp": 1_600_000_000, "iat": 1_599_999_000},
        {"exp": int(END.timestamp()) + 1300},
        {"exp": None},
    ],
    ids=["audience", "issuer", "expired", "good for too long", "without an end"],
)
def test_apple_refuses_a_bad_token(brand: StandIn, changes: dict[str, Any]) -> None:
    got = call(brand.url + APPLE, apple(brand, **changes))
    (error,) = got.json["errors"]
    assert (got.status, error["status"], error["code"]) == (401, "401", "NOT_AUTHORIZED")


def test_apple_verifies_the_signature(brand: StandIn) -> None:
    good = apple(brand)
    head, body, signature = good.split(".")
    other = packed(json.loads(base64.urlsafe_b64decode(body + "==")) | {"exp": 2})
    tampered = f"{head}.{other}.{signature}"
    unsigned = f"{packed({'alg': 'none'})}.{body}."
    assert call(brand.url + APPLE, good).status == 200
    for token in ("", "x.y.z", "good", tampered, unsigned):
        assert call(brand.url + APPLE, token).status == 401


def test_a_token_signed_by_the_real_clock_is_good_too(brand: StandIn) -> None:
    now = int(datetime.now(UTC).timestamp())
    assert call(brand.url + APPLE, apple(brand, iat=now, exp=now + 600)).status == 200


def test_apple_says_when_an_agreement_is_missing(brand: StandIn) -> None:
    brand.services.app_store_connect.agreements = False
    got = call(brand.url + APPLE, apple(brand))
    code = "FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED"
    assert (got.status, got.json["errors"][0]["code"]) == (403, code)
    brand.services.app_store_connect.agreements = True
    brand.services.app_store_connect.role = False
    got = call(brand.url + APPLE, apple(brand))
    assert (got.status, got.json["errors"][0]["code"]) == (403, "FORBIDDEN_ERROR")


def test_apples_hour_runs_out_and_begins_again() -> None:
    seconds = [0.0]
    with StandIn(END, clock=lambda: seconds[0]) as brand:
        brand.services.app_store_connect.quota.calls = 2
        url = brand.url + APPLE
        left = [call(url, apple(brand)).headers["X-Rate-Limit"] for _ in range(2)]
        refused = call(url, apple(brand))
        seconds[0] = 3601
        again = call(url, apple(brand, iat=END.timestamp() + 3600, exp=END.timestamp() + 3700))
    assert left == [f"user-hour-lim:2;user-hour-rem:{n};" for n in (1, 0)]
    assert refused.json["errors"][0]["code"] == "RATE_LIMIT_EXCEEDED"
    assert (refused.status, refused.headers["X-Rate-Limit"]) == (429, left[1])
    assert again.status == 200


@pytest.mark.parametrize("query", ["limit=201", "limit=0", "limit=x", "sort=title", "cursor=%C3"])
def test_apple_refuses_a_bad_parameter(brand: StandIn, query: str) -> None:
    got = call(f"{brand.url}{APPLE}?{query}", apple(brand))
    (error,) = got.json["errors"]
    assert (got.status, error["source"]) == (400, {"parameter": query.partition("=")[0]})


def test_an_unknown_app_is_not_found(brand: StandIn) -> None:
    got = call(f"{brand.url}/v1/apps/1/customerReviews", apple(brand))
    assert (got.status, got.json["errors"][0]["code"]) == (404, "NOT_FOUND")


# --- Google's tokens -----------------------------------------------------------------------------


def test_a_service_account_is_given_a_short_lived_token(brand: StandIn) -> None:
    got = granted(brand, assertion(brand, PUBLISHER)).json
    assert (got["token_type"], got["expires_in"]) == ("Bearer", 3599)
    url = brand.url + PLAY
    assert call(url, got["access_token"]).status == 200
    brand.now += timedelta(hours=1)
    late = call(url, got["access_token"])
    assert (late.status, late.json["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert call(url, access(brand, PUBLISHER)).status == 200


def test_the_real_audience_is_accepted_as_well(brand: StandIn) -> None:
    real = assertion(brand, PUBLISHER, aud="https://oauth2.googleapis.com/token")
    assert granted(brand, real).status == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "other@example.com"}, "invalid_grant"),
        ({"aud": "https://example.com/token"}, "invalid_grant"),
        ({"iat": 1_599_999_000, "exp": 1_600_000_000}, "invalid_grant"),
        ({"scope": ""}, "invalid_scope"),
    ],
)
def test_google_refuses_a_bad_assertion(
    brand: StandIn, changes: dict[str, Any], error: str
) -> None:
    got = granted(brand, assertion(brand, PUBLISHER, **changes))
    assert (got.status, got.json["error"]) == (400, error)


def test_google_verifies_the_signature(brand: StandIn) -> None:
    head, body, _ = assertion(brand, PUBLISHER).split(".")
    forged = signed(brand.keys.apple_private_key, {"alg": "ES256"}, {"iss": "x"})
    for bad in (f"{head}.{body}.{packed(b'0' * 256)}", forged, ""):
        assert granted(brand, bad).json["error"] == "invalid_grant"


def test_a_refresh_token_may_be_revoked(brand: StandIn) -> None:
    assert refreshed(brand).json["scope"] == BUSINESS
    assert refreshed(brand, refresh_token="other").json["error"] == "invalid_grant"
    wrong = refreshed(brand, client_secret="other")
    assert (wrong.status, wrong.json["error"]) == (401, "invalid_client")
    assert refreshed(brand, grant_type="magic").json["error"] == "unsupported_grant_type"
    brand.services.google.revoked = True
    got = refreshed(brand)
    assert (got.status, got.json["error"]) == (400, "invalid_grant")
    assert granted(brand, assertion(brand, PUBLISHER)).json["error"] == "invalid_grant"


def test_a_scope_opens_only_its_own_door(brand: StandIn) -> None:
    files = access(brand, STORAGE[0])
    assert call(brand.url + FILES, files).status == 200
    got = call(brand.url + PLAY, files)
    assert (got.status, got.json["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_tokens_may_be_forgotten(brand: StandIn) -> None:
    token = access(brand, PUBLISHER)
    brand.services.google.expire()
    assert call(brand.url + PLAY, token).status == 401


# --- Google Play, the API ------------------------------------------------------------------------


def play_pages(brand: StandIn, size: int = 10) -> list[Any]:
    token, pages, more = access(brand, PUBLISHER), [], ""
    while True:
        query = urlencode({"maxResults": size} | ({"token": more} if more else {}))
        pages.append(call(f"{brand.url}{PLAY}?{query}", token).json)
        more = pages[-1].get("tokenPagination", {}).get("nextPageToken", "")
        if not more:
            return pages


def user(review: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(c["userComment"] for c in review["comments"] if "userComment" in c)
    return found


def test_play_shows_one_week_changed_last_first(brand: StandIn) -> None:
    brand.now = datetime(2026, 9, 21, 12, tzinfo=UTC)
    pages = play_pages(brand, 5)
    reviews = [review for page in pages for review in page["reviews"]]
    shown = [piece for p in PIECES if p.source == "play" and (piece := p.as_of(brand.now))]
    since = brand.now - timedelta(days=7)
    expected = {piece.id for piece in shown if piece.text and piece.updated >= since}
    assert len(reviews) == len(expected) > 5
    assert {review["reviewId"] for review in reviews} == expected
    seconds = [user(review)["lastModified"]["seconds"] for review in reviews]
    assert all(isinstance(each, str) for each in seconds)
    assert [int(each) for each in seconds] == sorted(map(int, seconds), reverse=True)


def test_play_joins_title_and_text_by_a_tab(brand: StandIn) -> None:
    titled = next(p for p in PIECES if p.source == "play" and p.title == "Devolvam meu pix")
    brand.now = titled.at
    texts = {r["reviewId"]: user(r)["text"] for page in play_pages(brand) for r in page["reviews"]}
    assert texts[titled.id] == f"Devolvam meu pix\t{titled.text}"
    assert sum(text.startswith("\t") for text in texts.values()) > 3
    assert all(text.count("\t") == 1 for text in texts.values())


def test_play_shows_an_old_review_again_once_it_was_edited(brand: StandIn) -> None:
    piece = next(p for p in PIECES if p.source == "play" and p.edits and p.edits[0].at.day == 15)
    (edit,) = piece.edits
    brand.now = edit.at - timedelta(seconds=1)
    before = [r["reviewId"] for page in play_pages(brand) for r in page.get("reviews", ())]
    brand.now = edit.at + timedelta(seconds=1)
    first = play_pages(brand)[0]["reviews"][0]
    assert piece.id not in before
    assert (first["reviewId"], user(first)["starRating"]) == (piece.id, 3)
    assert user(first)["text"] == f"\t{edit.text}"


def test_play_gives_answers_devices_and_versions(brand: StandIn) -> None:
    seen = []
    for week in range(16):
        brand.now = END - timedelta(days=7 * week)
        seen += [review for page in play_pages(brand, 100) for review in page["reviews"]]
    told = [c["developerComment"] for r in seen for c in r["comments"] if "developerComment" in c]
    assert len(told) > 15
    assert all(each["text"] and each["lastModified"]["seconds"] for each in told)
    users = [user(review) for review in seen]
    assert {each["reviewerLanguage"] for each in users} == {"pt_BR", "es_MX", "en_US"}
    assert {each.get("appVersionName") for each in users} >= {"5.0.3", "5.2.0", None}
    assert any("device" not in each for each in users)
    assert any("authorName" not in review for review in seen)
    assert any("deviceMetadata" in each for each in users)


def test_play_with_nothing_to_show_is_an_empty_object(brand: StandIn) -> None:
    brand.now = datetime(2026, 6, 1, tzinfo=UTC)
    assert play_pages(brand) == [{}]


def test_plays_quota_is_two_hundred_an_hour(brand: StandIn) -> None:
    token = access(brand, PUBLISHER)
    brand.services.google_play.quota.calls = 3
    statuses = [call(brand.url + PLAY, token).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    got = call(brand.url + PLAY, token).json["error"]
    assert (got["status"], got["errors"][0]["reason"]) == (
        "RESOURCE_EXHAUSTED",
        "rateLimitExceeded",
    )


def test_play_refuses(brand: StandIn) -> None:
    token = access(brand, PUBLISHER)
    other = f"{brand.url}/androidpublisher/v3/applications/com.other/reviews"
    assert call(brand.url + PLAY).status == 401
    assert call(other, token).status == 404
    assert call(f"{brand.url}{PLAY}?token=nonsense", token).status == 400
    brand.services.google_play.permitted = False
    assert call(brand.url + PLAY, token).json["error"]["status"] == "PERMISSION_DENIED"


def test_play_shows_one_review_by_its_id(brand: StandIn) -> None:
    token = access(brand, PUBLISHER)
    wanted = play_pages(brand)[0]["reviews"][0]
    url = f"{brand.url}{PLAY}/{quote(wanted['reviewId'], safe='')}"
    assert call(url, token).json == wanted
    assert call(f"{brand.url}{PLAY}/none", token).status == 404


# --- Google Play, the reports --------------------------------------------------------------------


def reports(brand: StandIn) -> dict[str, list[dict[str, str]]]:
    """The rows of every month's file by the file's name."""
    token, found, more = access(brand, STORAGE[0]), {}, ""
    while True:
        query = urlencode({"prefix": "reviews/", "maxResults": 3, "pageToken": more})
        page = call(f"{brand.url}{FILES}?{query}", token).json
        for item in page.get("items", ()):
            got = call(f"{brand.url}{FILES}/{quote(item['name'], safe='')}?alt=media", token)
            assert got.body == call(item["mediaLink"], token).body
            assert got.body.startswith(b"\xff\xfe")
            assert str(len(got.body)) == item["size"]
            text = io.StringIO(got.body.decode("utf-16"), newline="")
            found[item["name"]] = list(csv.DictReader(text))
        more = page.get("nextPageToken", "")
        if not more:
            return found


def test_a_month_is_a_file(brand: StandIn) -> None:
    files = reports(brand)
    start = f"reviews/reviews_{PACKAGE}_2026"
    assert list(files) == [f"{start}{month:02d}.csv" for month in (7, 8, 9, 10)]
    rows = [row for each in files.values() for row in each]
    expected = [piece for piece in PIECES if piece.source == "play"]
    submitted = {row["Review Submit Millis Since Epoch"] for row in rows}
    assert len(submitted) == len(expected)
    assert any(row["Developer Reply Text"] for row in rows)
    assert {row["Reviewer Language"] for row in rows} == {"pt", "es", "en"}


def test_who_only_rates_has_no_link_and_an_id_stands_only_there(brand: StandIn) -> None:
    rows = [row for each in reports(brand).values() for row in each]
    silent = [row for row in rows if not row["Review Text"]]
    assert len(silent) == sum(p.source == "play" and not p.text for p in PIECES) > 5
    assert {row["Review Link"] for row in silent} == {""}
    ids = set()
    for row in rows:
        if row["Review Link"]:
            (number,) = parse_qs(urlsplit(row["Review Link"]).query)["reviewId"]
            ids.add(number)
    assert ids == {p.id for p in PIECES if p.source == "play" and p.text}
    assert any(number.startswith("gp:") for number in ids)


def test_an_edit_comes_again_in_a_later_month(brand: StandIn) -> None:
    piece = next(p for p in PIECES if p.source == "play" and p.edits and p.at.month == 9)
    (edit,) = piece.edits
    assert edit.at.month == 10
    rows = {
        name[-6:-4]: row
        for name, rows in reports(brand).items()
        for row in rows
        if quote(piece.id, safe="") in row["Review Link"]
    }
    assert sorted(rows) == ["09", "10"]
    assert (rows["09"]["Review Text"], rows["10"]["Review Text"]) == (piece.text, edit.text)
    old, new = (rows[month]["Review Last Update Millis Since Epoch"] for month in ("09", "10"))
    assert int(old) < int(new)
    assert old == rows["10"]["Review Submit Millis Since Epoch"]


def test_the_files_are_made_at_midnight(brand: StandIn) -> None:
    today = next(p for p in PIECES if p.source == "play" and p.at.hour in {12, 13, 14})
    brand.now = today.at + timedelta(minutes=1)
    stamps = {r["Review Submit Date and Time"] for rows in reports(brand).values() for r in rows}
    stamp = f"{today.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    brand.now += timedelta(days=1)
    later = {r["Review Submit Date and Time"] for rows in reports(brand).values() for r in rows}
    assert stamp not in stamps
    assert stamp in later


def test_an_empty_bucket_lists_no_items(brand: StandIn) -> None:
    token = access(brand, STORAGE[0])
    listed = call(f"{brand.url}{FILES}?prefix=earnings/", token).json
    assert listed == {"kind": "storage#objects"}


def test_the_bucket_refuses(brand: StandIn) -> None:
    token = access(brand, STORAGE[0])
    assert call(brand.url + FILES).status == 401
    assert call(f"{brand.url}/storage/v1/b/other/o", token).status == 404
    assert call(f"{brand.url}{FILES}/none?alt=media", token).status == 404
    brand.services.google_play_reports.permitted = False
    got = call(brand.url + FILES, token)
    assert (got.status, got.json["error"]["errors"][0]["reason"]) == (403, "forbidden")


# --- Google Business Profile ---------------------------------------------------------------------


def store_pages(brand: StandIn, location: str = RECIFE, query: str = "pageSize=20") -> list[Any]:
    token, pages, more = owner(brand), [], ""
    while True:
        url = f"{brand.url}/v4/{location}/reviews?{query}&pageToken={more}"
        pages.append(call(url, token).json)
        more = pages[-1].get("nextPageToken", "")
        if not more:
            return pages


def test_a_store_shows_all_its_reviews_updated_last_first(brand: StandIn) -> None:
    pages = store_pages(brand)
    reviews = [review for page in pages for review in page["reviews"]]
    expected = [piece for piece in PIECES if piece.source == "google-recife"]
    assert [len(page["reviews"]) for page in pages] == [20, 20, 5]
    assert {page["totalReviewCount"] for page in pages} == {45}
    assert {review["reviewId"] for review in reviews} == {piece.id for piece in expected}
    assert {review["starRating"] for review in reviews} == {"ONE", "TWO", "THREE", "FOUR", "FIVE"}
    assert sum("comment" not in review for review in reviews) == 6
    times = [datetime.fromisoformat(review["updateTime"]) for review in reviews]
    assert times == sorted(times, reverse=True)
    digits = {len(r["createTime"].partition(".")[2]) - 1 for r in reviews if "." in r["createTime"]}
    assert digits == {3, 6, 9}
    assert any("." not in review["createTime"] for review in reviews)


def test_a_stores_edit_bumps_the_review(brand: StandIn) -> None:
    piece = next(p for p in PIECES if p.source == "google-recife" and p.edits)
    brand.now = piece.edits[0].at + timedelta(seconds=1)
    first = store_pages(brand)[0]["reviews"][0]
    assert first["reviewId"] == piece.id
    assert first["updateTime"] > first["createTime"]
    assert (first["starRating"], first["comment"]) == ("FOUR", piece.edits[0].text)


def test_google_translates_before_or_after_the_original(brand: StandIn) -> None:
    pages = store_pages(brand, CURITIBA) + store_pages(brand)
    comments = [r["comment"] for page in pages for r in page["reviews"] if "comment" in r]
    marked = [comment for comment in comments if "(Translated by Google)" in comment]
    foreign = [p for p in PIECES if "google" in p.source and p.text and p.lang != "pt"]
    assert len(marked) == len(foreign)
    last = [each for each in marked if not each.startswith("(Translated by Google) ")]
    assert 0 < len(last) < len(marked)
    assert all("\n\n(Original)\n" in each for each in marked if each not in last)
    assert all(any(piece.text in each for each in marked) for piece in foreign)


def test_a_stores_answers_are_there_absent_or_null(brand: StandIn) -> None:
    reviews = [review for page in store_pages(brand) for review in page["reviews"]]
    assert any("reviewReply" not in review for review in reviews)
    assert any(review.get("reviewReply", "") is None for review in reviews)
    told = [review["reviewReply"] for review in reviews if review.get("reviewReply")]
    assert len(told) == sum(p.source == "google-recife" and bool(p.reply) for p in PIECES)


def test_a_review_may_vanish(brand: StandIn) -> None:
    piece = next(p for p in PIECES if p.gone and p.source == "google-curitiba")
    assert piece.gone
    one = f"{brand.url}/v4/{CURITIBA}/reviews/{piece.id}"
    brand.now = piece.gone - timedelta(seconds=1)
    there = call(one, owner(brand))
    brand.now = piece.gone
    got = call(one, owner(brand))
    assert there.json["reviewId"] == piece.id
    assert (got.status, got.json["error"]["status"]) == (404, "NOT_FOUND")
    reviews = [r["reviewId"] for page in store_pages(brand, CURITIBA) for r in page["reviews"]]
    assert piece.id not in reviews


def test_both_stores_in_one_call(brand: StandIn) -> None:
    token, found, more = owner(brand), [], ""
    url = f"{brand.url}/v4/accounts/{ACCOUNT}/locations:batchGetReviews"
    asked = {"locationNames": [RECIFE, CURITIBA], "pageSize": 50}
    while True:
        page = call(url, token, asked=asked | {"pageToken": more}).json
        found += page["locationReviews"]
        more = page.get("nextPageToken", "")
        if not more:
            break
    assert {each["name"] for each in found} == {RECIFE, CURITIBA}
    assert len({each["review"]["name"] for each in found}) == len(found) == 89
    times = [datetime.fromisoformat(each["review"]["updateTime"]) for each in found]
    whole = [each.replace(microsecond=0) for each in times]
    assert whole == sorted(whole, reverse=True)
    spoken = call(url, token, asked=asked | {"ignoreRatingOnlyReviews": True, "pageSize": 200})
    assert all("comment" in each["review"] for each in spoken.json["locationReviews"])
    assert call(url, token, asked={"locationNames": []}).status == 400


def test_accounts_and_locations_can_be_walked(brand: StandIn) -> None:
    token = owner(brand)
    (account,) = call(f"{brand.url}/v1/accounts", token).json["accounts"]
    url = f"{brand.url}/v1/{account['name']}/locations"
    assert call(url, token).status == 400
    places = call(f"{url}?readMask=name,title", token).json["locations"]
    assert {f"{account['name']}/{each['name']}" for each in places} == {RECIFE, CURITIBA}


def test_a_store_with_nothing_to_show_is_an_empty_object(brand: StandIn) -> None:
    brand.now = datetime(2026, 6, 1, tzinfo=UTC)
    assert store_pages(brand) == [{}]


def test_google_business_refuses(brand: StandIn) -> None:
    url = f"{brand.url}/v4/{RECIFE}/reviews"
    token = owner(brand)
    assert call(url).status == 401
    assert call(f"{brand.url}/v4/accounts/{ACCOUNT}/locations/1/reviews", token).status == 404
    assert call(f"{brand.url}/v4/accounts/1/locations/1/reviews", token).status == 403
    assert call(f"{url}?pageSize=51", token).status == 400
    assert call(f"{url}?orderBy=update_time", token).status == 400
    brand.services.google_business.verified = False
    assert call(url, token).status == 403
    brand.services.google_business.approved = False
    assert call(url, token).json["error"]["status"] == "RESOURCE_EXHAUSTED"


# --- All of them ---------------------------------------------------------------------------------


def test_a_fault_strikes_an_api_like_any_other_path(brand: StandIn) -> None:
    brand.faults["/token"] = Fault(status=503, times=1)
    assert refreshed(brand).status == 503
    assert refreshed(brand).status == 200
    brand.faults["/v1/apps/"] = Fault(body=b"<html>captcha</html>")
    assert call(brand.url + APPLE, apple(brand)).body == b"<html>captcha</html>"
    assert brand.answers["/token", 503] == 1


def test_credentials_can_be_written_for_a_collector(brand: StandIn, tmp_path: Path) -> None:
    paths = brand.keys.write(tmp_path / "keys", brand.url)
    assert {path.stat().st_mode & 0o777 for path in paths.values()} == {0o600}
    account = json.loads(paths["google_service_account.json"].read_text())
    assert account["token_uri"] == f"{brand.url}/token"
    assert paths["apple_private_key.p8"].read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert paths["trustpilot_api_key"].read_text() == brand.keys.trustpilot_api_key


def test_a_post_to_nobody_is_not_implemented(brand: StandIn) -> None:
    assert call(f"{brand.url}/robots.txt", form={}).status == 501
    assert call(f"{brand.url}{APPLE}", form={}).status == 501
