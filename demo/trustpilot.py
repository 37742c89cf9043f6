"""Trustpilot's API for one business unit: the public reviews, and the private ones."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from .feedback import Piece
from .keys import keys
from .wire import Answer, Quota, Refused, Request, Route, Service, World, reply

UNIT = "61f0c2a9b7d4e80012ab34cd"
DOMAIN = "tucumacasa.example"
USUAL, MOST = 20, 100
TOKEN = "/v1/oauth/oauth-business-users-for-applications/accesstoken"  # noqa: S105 (an address)


class Trustpilot(Service):
    """Pages are counted from the newest, so that rows repeat when reviews arrive meanwhile."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.lifetime = timedelta(hours=100)
        self.quota = Quota(833, timedelta(minutes=5))
        self._tokens: dict[str, datetime] = {}

    def routes(self) -> Sequence[Route]:
        """Find the unit, describe it, list its reviews for anybody and for its owner."""
        unit = r"/business-units/(?P<unit>[0-9a-f]{24})"
        return (
            Route("POST", TOKEN, self._token),
            Route("GET", r"/v1/business-units/find", self._find),
            Route("GET", rf"/v1{unit}", self._unit),
            Route("GET", rf"/v1{unit}/reviews", self._public),
            Route("GET", rf"/v1/private{unit}/reviews", self._private),
        )

    def expire(self) -> None:
        """Forget every access token given so far."""
        self._tokens.clear()

    def _token(self, request: Request) -> Answer:
        self._spend()
        credentials = keys()
        if request.basic() != (credentials.trustpilot_api_key, credentials.trustpilot_secret):
            raise Refused(_fault("Client credentials are invalid", "oauth.v2.InvalidClient"))
        kind = request.form().get("grant_type")
        if kind != "client_credentials":
            fault = _fault("Unsupported grant type", "oauth.v2.UnsupportedGrantType", 400)
            raise Refused(fault)
        access = secrets.token_urlsafe(24)
        moment = self.world.moment()
        self._tokens[access] = moment + self.lifetime
        return reply(
            {
                "access_token": access,
                "token_type": "BearerToken",
                "expires_in": str(int(self.lifetime.total_seconds()) - 1),
                "issued_at": str(int(moment.timestamp() * 1000)),
                "status": "approved",
            }
        )

    def _find(self, request: Request) -> Answer:
        self._admit(request)
        if request.one("name") != DOMAIN:
            raise Refused(_missing())
        return reply(_described(self._newest()))

    def _unit(self, request: Request, unit: str) -> Answer:
        self._admit(request)
        if unit != UNIT:
            raise Refused(_missing())
        return reply(_described(self._newest()))

    def _public(self, request: Request, unit: str) -> Answer:
        self._admit(request)
        page = self._page(request, unit)
        return reply({"links": [], "reviews": [_review(request.base, each) for each in page]})

    def _private(self, request: Request, unit: str) -> Answer:
        self._spend()
        until = self._tokens.get(request.bearer())
        if until is None or self.world.moment() >= until:
            raise Refused(_fault("Access Token expired", "keymanagement.service.access_token"))
        page = self._page(request, unit)
        reviews = [_review(request.base, each) | _owners(each) for each in page]
        return reply({"links": [], "reviews": reviews})

    def _admit(self, request: Request) -> None:
        self._spend()
        key = request.headers.get("apikey") or request.one("apikey")
        if key != keys().trustpilot_api_key:
            raise Refused(_fault("Invalid ApiKey", "oauth.v2.InvalidApiKey"))

    def _spend(self) -> None:
        at = self.world.moment()
        if self.quota.take("key", at) is None:
            wait = str(self.quota.wait("key", at))
            fault = _fault("Rate limit quota violation", "policies.ratelimit.QuotaViolation", 429)
            raise Refused(
                Answer(status=429, type=fault.type, body=fault.body, headers={"Retry-After": wait})
            )

    def _page(self, request: Request, unit: str) -> Sequence[Piece]:
        if unit != UNIT:
            raise Refused(_missing())
        bad = reply({"message": "page and perPage must be positive", "errorCode": 1000}, 400)
        number, size = request.number("page", 1, bad), request.number("perPage", USUAL, bad)
        if number < 1 or not 1 <= size <= MOST:
            raise Refused(bad)
        stars, language = request.one("stars"), request.one("language")
        pieces = [
            piece
            for piece in self._newest()
            if (not stars or str(piece.stars) in stars.split(","))
            and (not language or piece.lang == language)
        ]
        if request.one("orderBy") == "createdat.asc":
            pieces.reverse()
        return pieces[(number - 1) * size : number * size]

    def _newest(self) -> list[Piece]:
        """By the time of writing; an edit does not move a review."""
        return self.world.shown("trustpilot")[::-1]


def _review(base: str, piece: Piece) -> dict[str, object]:
    answered = piece.reply
    own = f"{base}/v1/reviews/{piece.id}"
    return {
        "id": piece.id,
        "stars": piece.stars,
        "title": piece.title,
        "text": piece.text,
        "language": piece.lang,
        "createdAt": _time(piece.at),
        "experiencedAt": _time(datetime.fromisoformat(piece.details["experienced"])),
        "updatedAt": _time(piece.updated) if piece.updated != piece.at else None,
        "numberOfLikes": int(piece.details.get("likes", "0")),
        "isVerified": piece.details.get("verified") == "true",
        "status": "active",
        "companyReply": {
            "text": answered.text,
            "createdAt": _time(answered.at),
            "updatedAt": None,
        }
        if answered
        else None,
        "consumer": {
            "id": f"{zlib.crc32(piece.author.encode()):024x}",
            "displayName": piece.author,
            "displayLocation": piece.details.get("from"),
            "numberOfReviews": 1 + zlib.crc32(piece.id.encode()) % 9,
            "links": [],
        },
        "businessUnit": {
            "id": UNIT,
            "identifyingName": DOMAIN,
            "displayName": "Tucumã Casa",
            "links": [],
        },
        "location": None,
        "countsTowardsTrustScore": True,
        "countsTowardsLocationTrustScore": None,
        "reportData": None,
        "complianceLabels": [],
        "invitation": None,
        "businessUnitHistory": [],
        "reviewVerificationLevel": "verified" if "verified" in piece.details else "not-verified",
        "links": [{"href": own, "method": "GET", "rel": "self"}],
    }


def _owners(piece: Piece) -> dict[str, object]:
    """What only the unit's owner is shown, personal data among it."""
    return {
        "referralEmail": piece.details.get("email"),
        "referenceId": piece.details.get("order"),
        "tags": [],
    }


def _described(pieces: Sequence[Piece]) -> dict[str, object]:
    stars = [piece.stars for piece in pieces if piece.stars]
    score = round(sum(stars) / len(stars), 1) if stars else 0
    return {
        "id": UNIT,
        "displayName": "Tucumã Casa",
        "name": {"identifying": DOMAIN, "referring": [DOMAIN]},
        "websiteUrl": f"https://{DOMAIN}",
        "country": "BR",
        "score": {"stars": round(score), "trustScore": score},
        "numberOfReviews": {"total": len(pieces), "usedForTrustScoreCalculation": len(pieces)},
        "status": "active",
        "links": [],
    }


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def _fault(text: str, code: str, status: int = 401) -> Answer:
    return reply({"fault": {"faultstring": text, "detail": {"errorcode": code}}}, status)


def _missing() -> Answer:
    return reply({"message": "Business unit not found", "errorCode": 1002}, 404)
