"""The search API of the CFPB's complaint database: public, without a key, OpenSearch inside."""

from __future__ import annotations

import csv
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from .feedback import FIRST_DAY, LAST_DAY, Piece
from .wire import Answer, Quota, Refused, Request, Route, Service, World, reply

BASE = "/data-research/consumer-complaints/search/api/v1/"
COMPANY = "TUCUMA HOME CREDIT, LLC"
"""The lender behind the brand's store card in the United States."""
OTHER = "PELICAN BAY BANK, N.A."
EASTERN = ZoneInfo("America/New_York")
USUAL, MOST, DEEPEST = 25, 100, 10_000
EXPORT = {
    "Date received": "date_received",
    "Product": "product",
    "Sub-product": "sub_product",
    "Issue": "issue",
    "Sub-issue": "sub_issue",
    "Consumer complaint narrative": "complaint_what_happened",
    "Company public response": "company_public_response",
    "Company": "company",
    "State": "state",
    "ZIP code": "zip_code",
    "Tags": "tags",
    "Submitted via": "submitted_via",
    "Date sent to company": "date_sent_to_company",
    "Company response to consumer": "company_response",
    "Timely response?": "timely",
    "Complaint ID": "complaint_id",
}
"""Column of the CSV → field."""
EXACT = (
    "company",
    "company_response",
    "issue",
    "product",
    "state",
    "submitted_via",
    "tags",
    "timely",
    "zip_code",
)
"""Fields that a parameter of the same name must equal."""


class Hit(NamedTuple):
    """One complaint under what it is sorted by: milliseconds and id."""

    ms: int
    number: str
    source: dict[str, str | None]


class Cfpb(Service):
    """Search, single document and CSV; ``narratives_until`` is when the texts were withdrawn."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.narratives_until = datetime(2026, 8, 18, tzinfo=EASTERN)
        self.searches = Quota(20, timedelta(minutes=1))
        self.exports = Quota(2, timedelta(minutes=1))
        self.documents = Quota(5, timedelta(minutes=1))

    def routes(self) -> Sequence[Route]:
        """The list and the single complaint."""
        return (
            Route("GET", BASE, self._search),
            Route("GET", rf"{BASE}(?P<number>\d+)", self._document),
        )

    def _search(self, request: Request) -> Answer:
        exported = request.one("format") == "csv"
        self._spend(self.exports if exported else self.searches)
        hits = self._found(request)
        if exported:
            return _csv(hits)
        size = request.number("size", USUAL, _invalid("size"))
        if not 1 <= size <= MOST:
            raise Refused(_invalid("size"))
        start = _start(request, hits)
        body: dict[str, object] = {
            "took": 12,
            "timed_out": False,
            "_shards": {"total": 5, "successful": 5, "skipped": 0, "failed": 0},
            "hits": {
                "total": {"value": len(hits), "relation": "eq"},
                "max_score": None,
                "hits": [_hit(hit) for hit in hits[start : start + size]],
            },
        }
        if request.one("no_aggs") != "true":
            body["aggregations"] = _aggregations(hits)
        body["_meta"] = self._meta(hits, size)
        return reply(body)

    def _document(self, _: Request, number: str) -> Answer:
        self._spend(self.documents)
        hits = [_hit(hit) for hit in self._hits() if hit.number == number]
        total = {"value": len(hits), "relation": "eq"}
        return reply({"hits": {"total": total, "hits": hits}})

    def _spend(self, quota: Quota) -> None:
        at = self.world.moment()
        if quota.take("anonymous", at) is None:
            seconds = quota.wait("anonymous", at)
            told = {"detail": f"Request was throttled. Expected available in {seconds} seconds."}
            raise Refused(reply(told, 429, {"Retry-After": str(seconds)}))

    def _hits(self) -> list[Hit]:
        """Everything in the database by now, newest first."""
        told = self.world.now < self.narratives_until
        brand = [_source(piece, told=told) for piece in self.world.shown("cfpb")]
        shown = [each for each in brand if _listed(each, self.world.now)]
        shown += [each for each in _others() if _listed(each, self.world.now)]
        return sorted((_sortable(each) for each in shown), key=lambda hit: hit[:2], reverse=True)

    def _found(self, request: Request) -> list[Hit]:
        hits = self._hits()
        for name in EXACT:
            if wanted := request.query.get(name):
                hits = [hit for hit in hits if hit.source[name] in wanted]
        since, until = request.one("date_received_min"), request.one("date_received_max")
        hits = [
            hit
            for hit in hits
            if _day(since) <= (hit.source["date_received"] or "")[:10] < _day(until, "9")
        ]
        narrated = request.one("has_narrative")
        if narrated:
            wanted_told = narrated in {"true", "yes"}
            hits = [hit for hit in hits if (hit.source["has_narrative"] == "true") is wanted_told]
        if term := request.one("search_term").casefold():
            hits = [hit for hit in hits if term in str(hit.source).casefold()]
        return hits[::-1] if request.one("sort") == "created_date_asc" else hits

    def _meta(self, hits: Sequence[Hit], size: int) -> dict[str, object]:
        points = range(size, len(hits), size)
        return {
            "license": "CC0",
            "last_updated": _noon(self.world.now.astimezone(EASTERN).date()),
            "last_indexed": _noon(self.world.now.astimezone(EASTERN).date()),
            "total_record_count": len(self._hits()),
            "is_data_stale": False,
            "has_data_issue": False,
            # Page → the last complaint before it.
            "break_points": {
                str(page): [hits[point - 1].ms, hits[point - 1].number]
                for page, point in enumerate(points, 2)
            },
        }


def _source(piece: Piece, *, told: bool) -> dict[str, str | None]:
    """The brand's complaint as the database holds it; dates are noons, with one fixed offset."""
    details = piece.details
    response = [step.text for step in piece.steps if step.kind == "response"]
    narrative = piece.text if told else ""
    return {
        "complaint_id": piece.id,
        "date_received": _noon(piece.at.astimezone(EASTERN).date()),
        "date_sent_to_company": _noon(date.fromisoformat(details["sent"])),
        "product": details["product"],
        "sub_product": details.get("sub_product"),
        "issue": details["issue"],
        "sub_issue": details.get("sub_issue"),
        "company": COMPANY,
        "company_response": response[-1] if response else "In progress",
        "company_public_response": details.get("public"),
        "complaint_what_happened": narrative,
        "has_narrative": "true" if narrative else "false",
        "state": details["state"],
        "zip_code": details["zip"],
        "tags": details.get("tags"),
        "submitted_via": details.get("via", "Web"),
        "timely": details.get("timely", "Yes"),
    }


def _others() -> list[dict[str, str | None]]:
    """Another company's complaints, one every other day."""
    days = (LAST_DAY - FIRST_DAY).days
    return [_other(FIRST_DAY + timedelta(days=day), day) for day in range(0, days, 2)]


def _other(day: date, number: int) -> dict[str, str | None]:
    return {
        "complaint_id": str(22_400_000 + number * 997),
        "date_received": _noon(day),
        "date_sent_to_company": _noon(day + timedelta(days=1)),
        "product": "Checking or savings account",
        "sub_product": "Checking account",
        "issue": "Managing an account",
        "sub_issue": None,
        "company": OTHER,
        "company_response": "Closed with explanation",
        "company_public_response": None,
        "complaint_what_happened": "",
        "has_narrative": "false",
        "state": "FL",
        "zip_code": f"{33000 + zlib.crc32(str(number).encode()) % 900}",
        "tags": None,
        "submitted_via": "Web",
        "timely": "Yes",
    }


def _listed(source: dict[str, str | None], now: datetime) -> bool:
    """A complaint appears the day after it was sent to the company."""
    sent = datetime.fromisoformat(source["date_sent_to_company"] or "")
    return sent + timedelta(days=1) <= now


def _noon(day: date) -> str:
    return f"{day.isoformat()}T12:00:00-05:00"


def _day(text: str, otherwise: str = "") -> str:
    if not text:
        return otherwise
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Refused(_invalid("date_received")) from None


def _sortable(source: dict[str, str | None]) -> Hit:
    received = datetime.fromisoformat(source["date_received"] or "").astimezone(UTC)
    return Hit(int(received.timestamp() * 1000), source["complaint_id"] or "", source)


def _hit(hit: Hit) -> dict[str, object]:
    return {
        "_index": "complaint-public-v1",
        "_id": hit.number,
        "_score": None,
        "_source": hit.source | {"has_narrative": hit.source["has_narrative"] == "true"},
        "sort": [hit.ms, hit.number],
    }


def _start(request: Request, hits: Sequence[Hit]) -> int:
    """The first hit of the page; ``search_after`` needs ``frm`` beside it and outweighs it."""
    start = request.number("frm", 0, _invalid("frm"))
    if start > DEEPEST:
        raise Refused(_invalid("frm"))
    if not (after := request.one("search_after")):
        return start
    ms, _, number = after.partition("_")
    if not ms.isdecimal() or not number or "frm" not in request.query:
        raise Refused(_invalid("search_after"))
    mark = (int(ms), number)
    rising = request.one("sort") == "created_date_asc"
    return sum(hit[:2] <= mark if rising else hit[:2] >= mark for hit in hits)


def _aggregations(hits: Sequence[Hit]) -> dict[str, object]:
    return {
        name: {
            "doc_count": len(hits),
            name: {
                "doc_count_error_upper_bound": 0,
                "sum_other_doc_count": 0,
                "buckets": [
                    {"key": key, "doc_count": count}
                    for key, count in Counter(hit.source[name] for hit in hits).most_common()
                    if key is not None
                ],
            },
        }
        for name in ("product", "issue", "company_response", "state", "submitted_via", "timely")
    }


def _csv(hits: Sequence[Hit]) -> Answer:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(EXPORT)
    for hit in hits:
        cells = {name: hit.source[field] or "" for name, field in EXPORT.items()}
        for name in ("Date received", "Date sent to company"):
            cells[name] = date.fromisoformat(cells[name][:10]).strftime("%m/%d/%y")
        writer.writerow(cells.values())
    named = {"Content-Disposition": 'attachment; filename="complaints.csv"'}
    return Answer(type="text/csv", body=out.getvalue().encode(), headers=named, cacheable=False)


def _invalid(name: str) -> Answer:
    return reply({name: ["This value is not valid."]}, 400)
