"""The Google Play Developer API: what was written or changed within the last week."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from .feedback import Piece
from .google import PUBLISHER, Google, problem
from .wire import Answer, Quota, Refused, Request, Route, Service, World, cursor, place, reply

PACKAGE = "br.com.tucumacasa.app"
WINDOW = timedelta(days=7)
USUAL, MOST = 10, 100
DEVICES = {
    "a14": ("Galaxy A14", "Samsung", 4096),
    "a54x": ("Galaxy A54 5G", "Samsung", 6144),
    "m34x": ("Galaxy M34 5G", "Samsung", 6144),
    "fogos": ("moto g34 5G", "Motorola", 4096),
    "cancunf": ("moto g54 5G", "Motorola", 8192),
    "sky": ("Redmi 12 5G", "Xiaomi", 4096),
    "garnet": ("Redmi Note 13 Pro 5G", "Xiaomi", 8192),
    "tissot_sprout": ("Mi A1", "Xiaomi", 4096),
    "panther": ("Pixel 7", "Google", 8192),
    "e7": ("moto e7", "Motorola", 2048),
}
"""Code name → what it is sold as, who makes it, memory in MB."""


class GooglePlay(Service):
    """``/androidpublisher/v3/applications/{package}/reviews``; ``permitted`` switches the 403."""

    def __init__(self, world: World, google: Google) -> None:
        super().__init__(world)
        self.google = google
        self.permitted = True
        self.quota = Quota(200, timedelta(hours=1))

    def routes(self) -> Sequence[Route]:
        """Reviews are listed and read one by one."""
        listed = r"/androidpublisher/v3/applications/(?P<package>[^/]+)/reviews"
        return (
            Route("GET", listed, self._list),
            Route("GET", rf"{listed}/(?P<review>[^/]+)", self._one),
        )

    def _list(self, request: Request, package: str) -> Answer:
        self._admit(request, package)
        bad = problem(400, "maxResults or token is not valid.")
        size = min(request.number("maxResults", USUAL, bad), MOST)
        start = place(request.one("token"), bad) or request.number("startIndex", 0, bad)
        if not size:
            raise Refused(bad)
        pieces = self._recent()
        page = pieces[start : start + size]
        body: dict[str, object] = {}
        if page:
            body["reviews"] = [_review(piece) for piece in page]
            body["pageInfo"] = {
                "totalResults": len(pieces),
                "resultPerPage": len(page),
                "startIndex": start,
            }
        if start + size < len(pieces):
            body["tokenPagination"] = {"nextPageToken": cursor(start + size)}
        return reply(body)

    def _one(self, request: Request, package: str, review: str) -> Answer:
        self._admit(request, package)
        for piece in self._recent():
            if piece.id == review:
                return reply(_review(piece))
        raise Refused(problem(404, "The review is not known or older than a week."))

    def _admit(self, request: Request, package: str) -> None:
        self.google.admit(request, PUBLISHER)
        if package != PACKAGE:
            raise Refused(problem(404, f"Package not found: {package}."))
        if not self.permitted:
            raise Refused(problem(403, "The caller does not have permission"))
        if self.quota.take(package, self.world.moment()) is None:
            raise Refused(problem(429, "Quota exceeded: GET reviews per hour and application."))

    def _recent(self) -> list[Piece]:
        """Reviews with a comment, changed last first; who only rated is not listed."""
        since = self.world.now - WINDOW
        pieces = [
            piece for piece in self.world.shown("play") if piece.text and piece.updated >= since
        ]
        return sorted(pieces, key=lambda piece: (piece.updated, piece.id), reverse=True)


def exact(moment: datetime, key: str) -> datetime:
    """The moment with the invented milliseconds that API and export agree on."""
    return moment.replace(microsecond=zlib.crc32(key.encode()) % 1000 * 1000)


def _review(piece: Piece) -> dict[str, object]:
    user: dict[str, object] = {
        "text": f"{piece.title}\t{piece.text}",
        "lastModified": _time(exact(piece.updated, piece.id)),
        "starRating": piece.stars,
        "reviewerLanguage": piece.details["locale"],
        **_device(piece.details.get("device", "")),
    }
    if "android" in piece.details:
        user["androidOsVersion"] = int(piece.details["android"])
    if "code" in piece.details:
        user["appVersionCode"] = int(piece.details["code"])
    if "version" in piece.details:
        user["appVersionName"] = piece.details["version"]
    user["thumbsUpCount"] = int(piece.details.get("up", "0"))
    user["thumbsDownCount"] = int(piece.details.get("down", "0"))
    comments: list[dict[str, object]] = [{"userComment": user}]
    if piece.reply:
        told = {"text": piece.reply.text, "lastModified": _time(exact(piece.reply.at, piece.id))}
        comments.append({"developerComment": told})
    name = {"authorName": piece.author} if piece.author else {}
    return {"reviewId": piece.id, **name, "comments": comments}


def _device(name: str) -> dict[str, object]:
    if name not in DEVICES:
        return {}
    product, maker, memory = DEVICES[name]
    return {
        "device": name,
        "deviceMetadata": {
            "productName": f"{name} ({product})",
            "manufacturer": maker,
            "deviceClass": "FORM_FACTOR_PHONE",
            "screenWidthPx": 1080,
            "screenHeightPx": 2400,
            "nativePlatform": "ABI_ARM64_V8,ABI_ARM_V7,ABI_ARM",
            "screenDensityDpi": 420,
            "glEsVersion": 196610,
            "ramMb": memory,
        },
    }


def _time(moment: datetime) -> dict[str, object]:
    nanos = moment.microsecond * 1000
    return {"seconds": str(int(moment.timestamp()))} | ({"nanos": nanos} if nanos else {})
