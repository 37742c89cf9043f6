"""Google Play's monthly review reports in Cloud Storage: the whole history, in UTF-16."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

from .feedback import Piece
from .google import STORAGE, Google, problem
from .google_play import PACKAGE, exact
from .wire import Answer, Refused, Request, Route, Service, World, cursor, place, reply

BUCKET = "pubsite_prod_rev_01723409987654321098"
CONSOLE = "http://play.google.com/console/developers/5512340987612345678/app/4970012345678901234"
HEAD = (
    "Package Name",
    "App Version Code",
    "App Version Name",
    "Reviewer Language",
    "Device",
    "Review Submit Date and Time",
    "Review Submit Millis Since Epoch",
    "Review Last Update Date and Time",
    "Review Last Update Millis Since Epoch",
    "Star Rating",
    "Review Title",
    "Review Text",
    "Developer Reply Date and Time",
    "Developer Reply Millis Since Epoch",
    "Developer Reply Text",
    "Review Link",
)
MOST = 1000


@dataclass(frozen=True, slots=True)
class Object:
    """One file of the bucket."""

    name: str
    body: bytes
    created: datetime
    updated: datetime


class GooglePlayReports(Service):
    """The JSON API of Cloud Storage for one bucket; ``permitted`` switches the 403.

    Files are made anew every midnight (UTC): what was said today comes tomorrow.
    """

    def __init__(self, world: World, google: Google) -> None:
        super().__init__(world)
        self.google = google
        self.permitted = True

    def routes(self) -> Sequence[Route]:
        """Objects are listed, described and downloaded."""
        listed = r"/storage/v1/b/(?P<bucket>[^/]+)/o"
        return (
            Route("GET", listed, self._list),
            Route("GET", rf"{listed}/(?P<name>[^/]+)", self._object),
            Route("GET", rf"/download{listed}/(?P<name>[^/]+)", self._object),
        )

    def _list(self, request: Request, bucket: str) -> Answer:
        self._admit(request, bucket, "storage.objects.list")
        prefix = request.one("prefix")
        objects = [each for each in self._objects() if each.name.startswith(prefix)]
        bad = problem(400, "maxResults or pageToken is not valid.")
        size = min(request.number("maxResults", MOST, bad), MOST)
        start = place(request.one("pageToken"), bad)
        if not size:
            raise Refused(bad)
        page = objects[start : start + size]
        body: dict[str, object] = {"kind": "storage#objects"}
        if start + size < len(objects):
            body["nextPageToken"] = cursor(start + size)
        if page:
            body["items"] = [_description(request.base, each) for each in page]
        return reply(body)

    def _object(self, request: Request, bucket: str, name: str) -> Answer:
        self._admit(request, bucket, "storage.objects.get")
        found = next((each for each in self._objects() if each.name == name), None)
        if found is None:
            raise Refused(problem(404, f"No such object: {bucket}/{name}"))
        if request.one("alt") != "media":
            return reply(_description(request.base, found))
        headers = {"x-goog-generation": _generation(found), "x-goog-hash": f"md5={_md5(found)}"}
        return Answer(type="text/csv; charset=utf-16le", body=found.body, headers=headers)

    def _admit(self, request: Request, bucket: str, right: str) -> None:
        self.google.admit(request, *STORAGE)
        if bucket != BUCKET:
            raise Refused(problem(404, "The specified bucket does not exist."))
        if not self.permitted:
            message = f"The account does not have {right} access to the Cloud Storage bucket."
            raise Refused(problem(403, message))

    def _objects(self) -> list[Object]:
        """The files there are, in the order of their names."""
        now = self.world.now.astimezone(UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        pieces = [piece for piece in self.world.told("play") if piece.at <= midnight]
        last = (midnight - timedelta(seconds=1)).date()
        return [_file(pieces, month, midnight) for month in _months(pieces, last)]


def _file(pieces: Sequence[Piece], month: date, midnight: datetime) -> Object:
    """One month: each review in the last form that it took within it."""
    after = _next(month)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for piece in pieces:
        writer.writerows(_rows(piece, month, midnight))
    # The bucket's files begin with a byte order mark.
    body = b"\xff\xfe" + out.getvalue().encode("utf-16-le")
    created = datetime(month.year, month.month, 1, tzinfo=UTC) + timedelta(days=1)
    # The month before is still made anew: answers may come late.
    updated = min(midnight, datetime(after.year, after.month, 1, tzinfo=UTC) + timedelta(days=31))
    name = f"reviews/reviews_{PACKAGE}_{month:%Y%m}.csv"
    return Object(name=name, body=body, created=created, updated=updated)


def _rows(piece: Piece, month: date, midnight: datetime) -> Iterator[list[str]]:
    """The piece's row in this month's file, if it has one."""
    after = _next(month)
    end = datetime(after.year, after.month, 1, tzinfo=UTC) - timedelta(microseconds=1)
    shown, latest = piece.as_of(min(end, midnight)), piece.as_of(midnight)
    if shown is None or shown.updated.astimezone(UTC).date() < month:
        return
    details = piece.details
    answered = latest.reply if latest else None
    yield [
        PACKAGE,
        details.get("code", ""),
        details.get("version", ""),
        piece.lang,
        details.get("device", ""),
        *_times(exact(shown.at, piece.id)),
        *_times(exact(shown.updated, piece.id)),
        str(shown.stars),
        shown.title,
        shown.text,
        *(_times(exact(answered.at, piece.id)) if answered else ("", "")),
        answered.text if answered else "",
        _link(piece) if shown.text else "",
    ]


def _times(moment: datetime) -> tuple[str, str]:
    stamp = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return stamp, str(int(moment.timestamp()) * 1000 + moment.microsecond // 1000)


def _link(piece: Piece) -> str:
    """Where the console shows the review; its id stands nowhere else."""
    number = quote(piece.id, safe="")
    return f"{CONSOLE}/user-feedback/review-details?reviewId={number}&corpus=PUBLIC_REVIEWS"


def _months(pieces: Sequence[Piece], last: date) -> Iterator[date]:
    """The months from the first piece to the last day, each by its first day."""
    month = min((piece.at.astimezone(UTC).date().replace(day=1) for piece in pieces), default=None)
    if month is None:
        return
    while month <= last:
        yield month
        month = _next(month)


def _next(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def _description(base: str, each: Object) -> dict[str, object]:
    path = f"storage/v1/b/{BUCKET}/o/{quote(each.name, safe='')}"
    generation = _generation(each)
    return {
        "kind": "storage#object",
        "id": f"{BUCKET}/{each.name}/{generation}",
        "selfLink": f"{base}/{path}",
        "mediaLink": f"{base}/download/{path}?generation={generation}&alt=media",
        "name": each.name,
        "bucket": BUCKET,
        "generation": generation,
        "metageneration": "1",
        "contentType": "text/csv; charset=utf-16le",
        "storageClass": "STANDARD",
        "size": str(len(each.body)),
        "md5Hash": _md5(each),
        "etag": base64.b64encode(generation.encode()).decode(),
        "timeCreated": _stamp(each.created),
        "updated": _stamp(each.updated),
    }


def _generation(each: Object) -> str:
    return str(int(each.updated.timestamp()) * 1_000_000)


def _md5(each: Object) -> str:
    digest = hashlib.md5(each.body, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
