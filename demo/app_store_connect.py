"""App Store Connect: the reviews of the brand's own app in all storefronts, as JSON:API."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from urllib.parse import urlencode
from uuid import uuid4

from .apple import APP, CUPERTINO
from .feedback import Piece, Reply
from .keys import keys
from .tokens import BadTokenError, fresh, verify, wall
from .wire import Answer, Quota, Refused, Request, Route, Service, World, cursor, place, reply

TERRITORIES = {"app-br": "BRA", "app-mx": "MEX", "app-us": "USA"}
AUDIENCE = "appstoreconnect-v1"
LONGEST = 20 * 60
"""Seconds a token may be good for."""
MOST, USUAL = 200, 50
"""Reviews on a page, at most and when nobody asks."""
PUBLISHING = timedelta(hours=24)
"""How long an answer waits before customers see it."""
SORTS = ("createdDate", "-createdDate", "rating", "-rating")


class AppStoreConnect(Service):
    """``/v1/apps/{id}/customerReviews`` and the single review.

    ``agreements`` and ``role`` switch the two sorts of 403; ``edits_move_date`` says whether an
    edited review gets a new createdDate (Apple does not tell).
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.agreements = True
        self.role = True
        self.edits_move_date = True
        self.quota = Quota(3500, timedelta(hours=1))

    def routes(self) -> Sequence[Route]:
        """Reviews are listed, read one by one, and asked for their answer."""
        one = r"/v1/customerReviews/(?P<review>[^/]+)"
        return (
            Route("GET", r"/v1/apps/(?P<app>[^/]+)/customerReviews", self._list),
            Route("GET", one, self._one),
            Route("GET", rf"{one}/response", self._response),
        )

    def answer(self, request: Request) -> Answer | None:
        """Every answer of this API tells what is left of the hour."""
        answer = super().answer(request)
        if answer is None or "X-Rate-Limit" in answer.headers:
            return answer
        headers = {**answer.headers, "X-Rate-Limit": self._left(self.quota.calls)}
        return Answer(
            status=answer.status,
            type=answer.type,
            body=answer.body,
            headers=headers,
            cacheable=False,
        )

    def _list(self, request: Request, app: str) -> Answer:
        left = self._admit(request)
        if app != APP:
            raise Refused(_missing("apps", app))
        pieces = self._chosen(request)
        limit = request.number("limit", USUAL, _bad("limit"))
        if not 1 <= limit <= MOST:
            raise Refused(_bad("limit"))
        start = place(request.one("cursor"), _bad("cursor"))
        page, end = pieces[start : start + limit], start + limit
        more = cursor(end) if end < len(pieces) else None
        paging = {"total": len(pieces), "limit": limit} | ({"nextCursor": more} if more else {})
        links = {"self": _address(request, {})}
        if more:
            links["next"] = _address(request, {"cursor": more, "limit": str(limit)})
        document: dict[str, object] = {
            "data": [self._review(request, piece) for piece in page],
            "links": links,
            "meta": {"paging": paging},
        }
        if included := self._included(request, page):
            document["included"] = included
        return reply(document, headers={"X-Rate-Limit": left})

    def _one(self, request: Request, review: str) -> Answer:
        left = self._admit(request)
        piece = self._find(review)
        document: dict[str, object] = {
            "data": self._review(request, piece),
            "links": {"self": _address(request, {})},
        }
        if included := self._included(request, [piece]):
            document["included"] = included
        return reply(document, headers={"X-Rate-Limit": left})

    def _response(self, request: Request, review: str) -> Answer:
        left = self._admit(request)
        piece = self._find(review)
        answered = self._answered(piece)
        data = self._told(request, piece, answered) if answered else None
        document = {"data": data, "links": {"self": _address(request, {})}}
        return reply(document, headers={"X-Rate-Limit": left})

    def _admit(self, request: Request) -> str:
        """Check token, agreements, role and quota; what the rate-limit header then says."""
        credentials = keys()
        moments = (self.world.moment(), wall())
        try:
            token = request.bearer()
            claims = verify(token, credentials.apple_private_key, credentials.apple_key_id)
            fresh(claims, moments, LONGEST)
        except BadTokenError as error:
            raise Refused(_unauthorized(str(error))) from error
        if claims.get("aud") != AUDIENCE or claims.get("iss") != credentials.apple_issuer:
            raise Refused(_unauthorized("issuer or audience is wrong"))
        left = self.quota.take(credentials.apple_key_id, self.world.moment())
        if left is None:
            title = "The request rate limit has been reached."
            headers = {"X-Rate-Limit": self._left(0)}
            raise Refused(_error(429, "RATE_LIMIT_EXCEEDED", title, title, headers=headers))
        if not self.agreements:
            code = "FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED"
            title = "A required agreement is missing or has expired."
            raise Refused(_error(403, code, title, "The account holder has to sign it."))
        if not self.role:
            title = "This request is forbidden for security reasons"
            raise Refused(_error(403, "FORBIDDEN_ERROR", title, "The key's role lacks access."))
        return self._left(left)

    def _left(self, calls: int) -> str:
        return f"user-hour-lim:{self.quota.calls};user-hour-rem:{calls};"

    def _chosen(self, request: Request) -> list[Piece]:
        """The reviews that the filters let through, in the order asked for."""
        territories = _several(request, "filter[territory]")
        ratings = _several(request, "filter[rating]")
        answered = request.one("exists[publishedResponse]")
        pieces = [
            piece
            for piece in self._all()
            if (not territories or TERRITORIES[piece.source] in territories)
            and (not ratings or str(piece.stars) in ratings)
            and (not answered or self._published(piece) is (answered == "true"))
        ]
        sort = request.one("sort")
        if sort and sort not in SORTS:
            raise Refused(_bad("sort"))
        if sort.endswith("rating"):
            pieces.sort(key=lambda piece: (piece.stars or 0, piece.id))
        else:
            pieces.sort(key=lambda piece: (self._created(piece), piece.id))
        return pieces[::-1] if sort.startswith("-") else pieces

    def _all(self) -> list[Piece]:
        return [piece for source in TERRITORIES for piece in self.world.shown(source)]

    def _find(self, review: str) -> Piece:
        for piece in self._all():
            if _opaque(piece) == review:
                return piece
        raise Refused(_missing("customerReviews", review))

    def _created(self, piece: Piece) -> datetime:
        return piece.updated if self.edits_move_date else piece.at

    def _answered(self, piece: Piece) -> Reply | None:
        answered = answers().get(piece.id)
        return answered if answered and answered.at <= self.world.now else None

    def _published(self, piece: Piece) -> bool:
        answered = self._answered(piece)
        return bool(answered and answered.at + PUBLISHING <= self.world.now)

    def _review(self, request: Request, piece: Piece) -> dict[str, object]:
        review = f"{request.base}/v1/customerReviews/{_opaque(piece)}"
        response: dict[str, object] = {
            "links": {
                "self": f"{review}/relationships/response",
                "related": f"{review}/response",
            }
        }
        if "response" in _several(request, "include"):
            linked = {"type": "customerReviewResponses", "id": _answer_id(piece)}
            response["data"] = linked if self._answered(piece) else None
        attributes = {
            "rating": piece.stars,
            "title": piece.title,
            "body": piece.text,
            "reviewerNickname": piece.author,
            "createdDate": _time(self._created(piece)),
            "territory": TERRITORIES[piece.source],
        }
        wanted = _several(request, "fields[customerReviews]")
        if wanted:
            attributes = {name: value for name, value in attributes.items() if name in wanted}
        return {
            "type": "customerReviews",
            "id": _opaque(piece),
            "attributes": attributes,
            "relationships": {"response": response},
            "links": {"self": review},
        }

    def _included(self, request: Request, page: Sequence[Piece]) -> list[dict[str, object]]:
        if "response" not in _several(request, "include"):
            return []
        pairs = ((piece, self._answered(piece)) for piece in page)
        return [self._told(request, piece, answered) for piece, answered in pairs if answered]

    def _told(self, request: Request, piece: Piece, answered: Reply) -> dict[str, object]:
        number = _answer_id(piece)
        return {
            "type": "customerReviewResponses",
            "id": number,
            "attributes": {
                "responseBody": answered.text,
                "lastModifiedDate": _time(answered.at),
                "state": "PUBLISHED" if self._published(piece) else "PENDING_PUBLISH",
            },
            "links": {"self": f"{request.base}/v1/customerReviewResponses/{number}"},
        }


@cache
def answers() -> dict[str, Reply]:
    """The brand's answers in the App Store, by the piece they answer."""
    folder = resources.files(__package__)
    raw = json.loads((folder / "app-store-replies.json").read_text(encoding="utf-8"))
    return {
        number: Reply(at=datetime.fromisoformat(each["at"]), text=each["text"])
        for number, each in raw.items()
    }


def _opaque(piece: Piece) -> str:
    """An id that has nothing to do with the one in the public feed."""
    mixed = zlib.crc32(piece.id.encode())
    return f"00000191-be75-7003-{mixed >> 16:04x}-{mixed & 0xFFFF:04x}{len(piece.author):02x}000000"


def _answer_id(piece: Piece) -> str:
    return str(zlib.crc32(f"answer to {piece.id}".encode()))


def _time(moment: datetime) -> str:
    return moment.astimezone(CUPERTINO).isoformat(timespec="seconds")


def _several(request: Request, name: str) -> list[str]:
    return [value for value in request.one(name).split(",") if value]


def _address(request: Request, changes: Mapping[str, str]) -> str:
    values = {name: request.one(name) for name in request.query} | dict(changes)
    query = f"?{urlencode(values)}" if values else ""
    return f"{request.base}{request.path}{query}"


def _bad(parameter: str) -> Answer:
    title = "A parameter has an invalid value"
    source = {"parameter": parameter}
    return _error(400, "PARAMETER_ERROR.INVALID", title, f"'{parameter}' is not valid.", source)


def _missing(kind: str, number: str) -> Answer:
    detail = f"There is no resource of type '{kind}' with id '{number}'"
    return _error(404, "NOT_FOUND", "The specified resource does not exist", detail)


def _unauthorized(why: str) -> Answer:
    title = "Authentication credentials are missing or invalid."
    return _error(401, "NOT_AUTHORIZED", title, f"The bearer token was refused: {why}.")


def _error(
    status: int,
    code: str,
    title: str,
    detail: str,
    source: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    error: dict[str, object] = {
        "id": str(uuid4()),
        "status": str(status),
        "code": code,
        "title": title,
        "detail": detail,
    }
    return reply({"errors": [error | ({"source": source} if source else {})]}, status, headers)
