"""Google Business Profile: the reviews of the two stores, in the old v4 API that still has them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .feedback import Piece
from .google import BUSINESS, Google, problem
from .wire import Answer, Quota, Refused, Request, Route, Service, World, cursor, place, reply

ACCOUNT = "109876543210987654321"
LOCATIONS = {"google-recife": "6394460000000000817", "google-curitiba": "6394460000000000413"}
NAMES = {"google-recife": "Tucumã Casa Recife", "google-curitiba": "Tucumã Casa Curitiba"}
STARS = ("STAR_RATING_UNSPECIFIED", "ONE", "TWO", "THREE", "FOUR", "FIVE")
MOST, MOST_AT_ONCE = 50, 200
ORDERS = ("rating", "rating desc", "update_time desc")
FRACTIONS = (0, 3, 6, 9)


class GoogleBusiness(Service):
    """Accounts, locations and their reviews.

    ``approved`` switches the quota of none that a project has before its access was granted;
    ``verified`` the refusal of a location that is not.
    """

    def __init__(self, world: World, google: Google) -> None:
        super().__init__(world)
        self.google = google
        self.approved = True
        self.verified = True
        self.quota = Quota(300, timedelta(minutes=1))

    def routes(self) -> Sequence[Route]:
        """From the account down to the single review."""
        account = r"/v4/accounts/(?P<account>[^/:]+)"
        location = rf"{account}/locations/(?P<location>[^/:]+)"
        return (
            Route("GET", r"/v1/accounts", self._accounts),
            Route("GET", r"/v1/accounts/(?P<account>[^/:]+)/locations", self._locations),
            Route("GET", rf"{location}/reviews", self._list),
            Route("GET", rf"{location}/reviews/(?P<review>[^/:]+)", self._one),
            Route("POST", rf"{account}/locations:batchGetReviews", self._batch),
        )

    def _accounts(self, request: Request) -> Answer:
        self._admit(request)
        account = {
            "name": f"accounts/{ACCOUNT}",
            "accountName": "Tucumã Casa",
            "type": "LOCATION_GROUP",
            "role": "PRIMARY_OWNER",
            "verificationState": "VERIFIED",
        }
        return reply({"accounts": [account]})

    def _locations(self, request: Request, account: str) -> Answer:
        self._admit(request, account)
        if not request.one("readMask"):
            raise Refused(problem(400, "readMask is required."))
        places = [
            {"name": f"locations/{number}", "title": NAMES[source], "languageCode": "pt-BR"}
            for source, number in LOCATIONS.items()
        ]
        return reply({"locations": places, "totalSize": len(places)})

    def _list(self, request: Request, account: str, location: str) -> Answer:
        self._admit(request, account)
        pieces = self._of(location)
        bad = problem(400, "pageSize, pageToken or orderBy is not valid.")
        size = request.number("pageSize", MOST, bad)
        start = place(request.one("pageToken"), bad)
        if not 1 <= size <= MOST:
            raise Refused(bad)
        ordered = _ordered(pieces, request.one("orderBy"), bad)
        page = ordered[start : start + size]
        if not page:
            return reply({})
        known = [piece.stars for piece in pieces if piece.stars]
        body: dict[str, object] = {
            "reviews": [_review(account, location, piece) for piece in page],
            "averageRating": round(sum(known) / len(known), 1),
            "totalReviewCount": len(pieces),
        }
        if start + size < len(pieces):
            body["nextPageToken"] = cursor(start + size)
        return reply(body)

    def _one(self, request: Request, account: str, location: str, review: str) -> Answer:
        self._admit(request, account)
        for piece in self._of(location):
            if piece.id == review:
                return reply(_review(account, location, piece))
        raise Refused(problem(404, "Requested entity was not found."))

    def _batch(self, request: Request, account: str) -> Answer:
        self._admit(request, account)
        bad = problem(400, "Request contains an invalid argument.")
        asked = _asked(request, bad)
        names = asked.get("locationNames")
        if not isinstance(names, list) or not 1 <= len(names) <= MOST_AT_ONCE:
            raise Refused(bad)
        pairs = [(name, piece) for name in names for piece in self._named(account, name, bad)]
        if asked.get("ignoreRatingOnlyReviews"):
            pairs = [(name, piece) for name, piece in pairs if piece.text]
        pairs.sort(key=lambda pair: (pair[1].updated, pair[1].id), reverse=True)
        size = asked.get("pageSize", MOST_AT_ONCE)
        if not isinstance(size, int) or not 1 <= size <= MOST_AT_ONCE:
            raise Refused(bad)
        start = place(str(asked.get("pageToken") or ""), bad)
        body: dict[str, object] = {}
        if page := pairs[start : start + size]:
            body["locationReviews"] = [
                {"name": name, "review": _review(account, name.rpartition("/")[2], piece)}
                for name, piece in page
            ]
        if start + size < len(pairs):
            body["nextPageToken"] = cursor(start + size)
        return reply(body)

    def _admit(self, request: Request, account: str = ACCOUNT) -> None:
        self.google.admit(request, BUSINESS)
        # A project waits for its access with a quota of nought.
        calls = self.quota.take(ACCOUNT, self.world.moment()) if self.approved else None
        if calls is None:
            raise Refused(problem(429, "Quota exceeded for requests per minute and project."))
        if account not in {ACCOUNT, "-"}:
            raise Refused(problem(403, "The caller does not have permission"))

    def _of(self, location: str) -> list[Piece]:
        for source, number in LOCATIONS.items():
            if number == location:
                if not self.verified:
                    raise Refused(problem(403, "The location is not verified."))
                return self.world.shown(source)
        raise Refused(problem(404, "Requested entity was not found."))

    def _named(self, account: str, name: object, bad: Answer) -> list[Piece]:
        start, _, location = str(name).rpartition("/")
        if start != f"accounts/{account}/locations":
            raise Refused(bad)
        return self._of(location)


def _asked(request: Request, bad: Answer) -> dict[str, Any]:
    try:
        asked = json.loads(request.body or b"{}")
    except ValueError:
        raise Refused(bad) from None
    if not isinstance(asked, dict):
        raise Refused(bad)
    return asked


def _ordered(pieces: Sequence[Piece], order: str, bad: Answer) -> list[Piece]:
    if order and order not in ORDERS:
        raise Refused(bad)
    newest = sorted(pieces, key=lambda piece: (piece.updated, piece.id), reverse=True)
    if order.startswith("rating"):
        newest.sort(key=lambda piece: piece.stars or 0, reverse=order.endswith("desc"))
    return newest


def _review(account: str, location: str, piece: Piece) -> dict[str, object]:
    """One review; what is missing has no key, or null where Google writes it so."""
    anonymous = not piece.author
    reviewer: dict[str, object] = {"displayName": piece.author or "Um usuário do Google"}
    if anonymous:
        reviewer["isAnonymous"] = True
    else:
        photo = zlib.crc32(piece.author.encode())
        reviewer["profilePhotoUrl"] = f"https://lh3.example/a/{photo:08x}=s120-c-rp-mo"
    review: dict[str, object] = {
        "reviewId": piece.id,
        "reviewer": reviewer,
        "starRating": STARS[piece.stars or 0],
    }
    if piece.text:
        review["comment"] = _comment(piece)
    review["createTime"] = _time(piece.at, piece.id)
    review["updateTime"] = _time(piece.updated, piece.id)
    if piece.reply:
        told = {"comment": piece.reply.text, "updateTime": _time(piece.reply.at, piece.id)}
        review["reviewReply"] = told | {"reviewReplyState": "APPROVED"}
    elif zlib.crc32(piece.id.encode()) % 2:
        review["reviewReply"] = None
    review["name"] = f"accounts/{account}/locations/{location}/reviews/{piece.id}"
    return review


def _comment(piece: Piece) -> str:
    """The text, with Google's translation before or after it where there is one."""
    translated = piece.details.get("translated")
    if not translated or piece.updated != piece.at:
        return piece.text
    if piece.details.get("order") == "original first":
        return f"{piece.text}\n\n(Translated by Google)\n{translated}"
    return f"(Translated by Google) {translated}\n\n(Original)\n{piece.text}"


def _time(moment: datetime, key: str) -> str:
    """RFC 3339 with as many digits after the second as this review happens to have."""
    digits = FRACTIONS[zlib.crc32(key.encode()) % len(FRACTIONS)]
    fraction = f".{zlib.crc32(key[::-1].encode()):010d}"[: digits + 1] if digits else ""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
