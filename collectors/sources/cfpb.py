"""Complaints about a company in the CFPB's database (United States), through its public search.

The data is CC0 and the search needs no key. Nothing says when a complaint was changed: the
company's answer comes weeks later, narratives may be withdrawn, and a complaint is shown only once
the company has answered or after 15 days. So each run reads once more what was received since the
last one and ``window_days`` before. A narrative that is no longer shown stays as it was stored.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, Field

from ...storage.vocabulary import Feedback, Kind, Outcome, Reply, Topic
from .. import wire
from ..collector import (
    Answer,
    Ask,
    Collector,
    Options,
    Page,
    Rejected,
    Trait,
    Trouble,
    WebAddress,
)
from ..judge import clip

MOST = 100
"""Complaints on a page."""

_WHO = "The CFPB"
_PATH = "/data-research/consumer-complaints/search/api/v1/"
_DETAIL = "https://www.consumerfinance.gov/data-research/consumer-complaints/search/detail"
_NOON = time(17, tzinfo=UTC)
"""Noon in the East: the database knows days, and writes every one of them so."""
_SILENT = "chooses not to provide a public response"
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:T.{0,40})?")
_ANSWER = {"took", "timed_out", "_shards", "hits", "aggregations", "_meta"}
_HIT = {"_index", "_type", "_id", "_score", "_source", "sort", "highlight"}
CATEGORIES = MappingProxyType(
    {
        "Advertising and marketing, including promotional offers": Topic.ADVERTISING_COMMUNICATION,
        "Attempts to collect debt not owed": Topic.BILLING_PAYMENT,
        "Charged fees or interest you didn't expect": Topic.PRICE_VALUE,
        "Closing an account": Topic.CONTRACT_CANCELLATION,
        "Closing your account": Topic.CONTRACT_CANCELLATION,
        "Fees or interest": Topic.PRICE_VALUE,
        "Fraud or scam": Topic.SECURITY_FRAUD,
        "Problem when making payments": Topic.BILLING_PAYMENT,
        "Problem with a purchase shown on your statement": Topic.BILLING_PAYMENT,
        "Problem with customer service": Topic.CUSTOMER_SUPPORT,
        "Trouble during payment process": Topic.BILLING_PAYMENT,
        "Unauthorized transactions or other transaction problem": Topic.SECURITY_FRAUD,
        "Unexpected or other fees": Topic.PRICE_VALUE,
    }
)
"""Issues that are about one thing, whatever the product."""
_COUNTED = {
    "sub_product": "sub_product",
    "sub_issue": "sub_issue",
    "company_response": "status",
    "timely": "timely",
    "submitted_via": "submitted_via",
    "state": "state",
    "tags": "tags",
}
"""Field of the database → attribute."""
_COMPLAINT = _COUNTED.keys() | {
    *("complaint_id", "date_received", "date_sent_to_company", "product", "issue", "company"),
    *("company_public_response", "complaint_what_happened", "has_narrative", "zip_code"),
    *("consumer_consent_provided", "consumer_disputed", "date_indexed"),
}


def _company(value: str) -> str:
    told = value.strip()
    if not told or len(told) > 200:  # noqa: PLR2004 - the API's own limit
        raise ValueError(
            f"{clip(value)!r} is no company; write its name as the database has it, like "
            "'EQUIFAX, INC.'"
        )
    return told


class CfpbSettings(Options):
    """One company under the database's own name for it. ``since`` bounds the past."""

    base_url: WebAddress = "https://www.consumerfinance.gov"
    company: Annotated[str, AfterValidator(_company)]
    since: date | None = None
    window_days: int = Field(default=90, ge=7, le=3650)
    # Twenty searches a minute for whoever has no key, which is everybody.
    delay: float | None = Field(default=3.1, ge=0, le=3600)


class Cfpb(Collector[CfpbSettings]):
    """Reads in the order of receipt, each page from behind the last complaint of the one before."""

    kind = "cfpb"
    traits = frozenset({Trait.PAGED, Trait.POLLED, Trait.WHOLE_LIST})
    reads = ("company",)
    Settings = CfpbSettings
    categories = CATEGORIES
    robots = False

    def first(self, mark: Mapping[str, Any]) -> Ask:
        """What was received lately; or the rest of a reading that was broken off."""
        now = self.started.date().isoformat() if self.started else None
        step = {"page": 1, "shown": 0, "known": mark.get("known"), "begun": now}
        if isinstance(mark.get("after"), str):
            kept = {name: mark.get(name) for name in ("after", "begun")}
            step |= {
                **kept,
                "page": 2,
                "shown": mark.get("shown") or 0,
                "resumed": True,
                "now": now,
            }
        return self._search(step)

    def probe(self) -> Ask:
        """One complaint, of whatever time."""
        return self._search({"page": 1, "shown": 0, "whole": True}, size=1)

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        """The one page of an answer."""
        data = wire.read_object(answer.body, _WHO)
        step, (hits, total) = ask.step, _hits(data)
        _whole(data)
        if total == 0:
            yield self._nothing(step, mark)
            return
        if step.get("proof"):
            known = bool(step.get("known"))
            yield Page(empty=not known, unchanged=known, checkpoint=_done(step, seen=True))
            return
        page = self._read(hits, step["page"])
        unknown = wire.unknown(data, _ANSWER) + Counter(page.unknown)
        page = replace(page, unknown=unknown, notes=_notes(data))
        shown = step["shown"] + len(hits)
        if hits and (len(hits) >= MOST or shown < total):
            step = {**step, "page": step["page"] + 1, "shown": shown, "after": _after(hits, step)}
            yield replace(page, next=self._search(step), checkpoint=_note(step))
            return
        if shown < total and not step.get("resumed"):
            raise Trouble(
                Outcome.UNAVAILABLE,
                f"The CFPB's list ended after {shown} of {total} complaints; the next run goes on.",
            )
        done, following = _done(step, seen=True), None
        if step.get("resumed") and step.get("begun"):
            # What an earlier run has read may have changed since it was broken off.
            again = {"page": 1, "shown": 0, "known": step["begun"], "begun": step["now"]}
            following = self._search(again)
        yield replace(page, unchanged=not hits, checkpoint=done, next=following)

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:  # noqa: ARG002 - all alike
        """What the search has against the request."""
        if answer.status != HTTPStatus.BAD_REQUEST:
            return None
        return Trouble(
            Outcome.MISCONFIGURED,
            f"The CFPB does not take the request ({_told(answer.body)}); mend `company` or "
            "`since`.",
        )

    def _search(self, step: Mapping[str, Any], size: int = MOST) -> Ask:
        query = {"company": self.settings.company, "sort": "created_date_asc", "size": str(size)}
        query |= {"no_aggs": "true", "no_highlight": "true"}
        if since := self._since(step):
            query["date_received_min"] = since.isoformat()
        if after := step.get("after"):
            # `frm` has to be there; where the page begins is said by `search_after` alone.
            query |= {"page": "2", "frm": str(size), "search_after": after}
        return Ask(url=f"{self.settings.base_url}{_PATH}?{urlencode(query)}", step=step)

    def _since(self, step: Mapping[str, Any]) -> date | None:
        """The first day that is asked for."""
        bounds = [] if self.settings.since is None else [self.settings.since]
        if known := step.get("known"):
            bounds.append(date.fromisoformat(known) - timedelta(days=self.settings.window_days))
        return None if step.get("proof") or step.get("whole") else max(bounds, default=None)

    def _nothing(self, step: Mapping[str, Any], mark: Mapping[str, Any]) -> Page:
        """No complaint at all; where only some days were asked for, whether there are others."""
        if self._since(step):
            step = {**step, "proof": True, "after": None}
            return Page(next=self._search(step, size=1))
        if mark.get("seen"):
            raise Trouble(
                Outcome.SUSPECT,
                f"The CFPB showed complaints about {self.settings.company} before and shows none "
                "now; nothing was deleted here, run it again later.",
            )
        raise Trouble(
            Outcome.MISCONFIGURED,
            f"The CFPB's database has no complaint about a company {self.settings.company!r}; "
            "write `company` as it stands there (search for it at consumerfinance.gov, with "
            "commas and full stops).",
        )

    def _read(self, hits: list[Any], number: int) -> Page:
        items: list[Feedback] = []
        rejected: list[Rejected] = []
        unknown: Counter[str] = Counter()
        for place, each in enumerate(hits, start=1):
            try:
                hit = wire.mapping(each, "complaint")
                told = wire.mapping(hit.get("_source"), "_source")
                items.append(_feedback(told))
                unknown.update(wire.unknown(hit, _HIT))
                unknown.update(wire.unknown(told, _COMPLAINT))
            except ValueError as error:
                where = f"page {number}, complaint {place}"
                rejected.append(Rejected(where=where, reason=str(error)))
                continue
            if told.get("company") and not self._ours(told["company"]):
                raise wire.changed(_WHO, "there are other companies than the one asked for")
        return Page(items=items, rejected=rejected, unknown=unknown)

    def _ours(self, company: object) -> bool:
        return str(company).strip().casefold() == self.settings.company.casefold()


def _hits(data: Mapping[str, Any]) -> tuple[list[Any], int]:
    """The complaints of an answer, and how many there are in all."""
    found = data.get("hits")
    if not isinstance(found, dict) or not isinstance(found.get("hits"), list):
        raise wire.changed(_WHO, "there is no list `hits`")
    total = found.get("total")
    value = total.get("value") if isinstance(total, dict) else total
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise wire.changed(_WHO, "`total` is no number")
    return found["hits"], max(value, len(found["hits"]))


def _whole(data: Mapping[str, Any]) -> None:
    """Raise Trouble where the search gave up on a part of the database, still with a 200."""
    shards = data.get("_shards")
    failed = shards.get("failed") if isinstance(shards, dict) else 0
    if data.get("timed_out") or failed:
        raise Trouble(
            Outcome.UNAVAILABLE,
            "The CFPB's search gave only a part of its answer (it timed out, or a part of the "
            "index failed); run it again later.",
        )


def _notes(data: Mapping[str, Any]) -> list[str]:
    """What the database says of its own state."""
    meta = data.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    found = {
        "is_data_stale": "the CFPB says that its data is not up to date",
        "has_data_issue": "the CFPB says that there is a problem with its data",
    }
    return [note for name, note in found.items() if meta.get(name) is True]


def _after(hits: list[Any], step: Mapping[str, Any]) -> str:
    """What the next page begins behind: the last complaint's place in the order."""
    last = hits[-1].get("sort") if isinstance(hits[-1], dict) else None
    match last:
        case [int(ms), str() | int() as number] if re.fullmatch(r"\w{1,40}", str(number)):
            after = f"{ms}_{number}"
        case _:
            raise wire.changed(_WHO, "the last complaint of a page has no place in the order")
    before = step.get("after")
    if before and (after == before or ms < int(before.partition("_")[0])):
        raise Trouble(
            Outcome.UNAVAILABLE,
            f"The CFPB's list goes in a circle: page {step['page']} ends before it begins; run it "
            "again later.",
        )
    return after


def _note(step: Mapping[str, Any]) -> dict[str, object]:
    """What the next run needs to go on with this reading."""
    kept = ("known", "begun", "after", "shown")
    return {"seen": True} | {name: step[name] for name in kept if step.get(name) is not None}


def _done(step: Mapping[str, Any], *, seen: bool) -> dict[str, object]:
    """A reading to its end: what was received before it began is known, but for the window."""
    known = step.get("begun") or step.get("known")
    return {"seen": seen} | ({"known": known} if known else {})


def _feedback(data: Mapping[str, Any]) -> Feedback:
    """One complaint; raises ValueError with the reason when it is none."""
    number = data.get("complaint_id")
    identity = str(number).strip() if isinstance(number, str | int) else ""
    if not re.fullmatch(r"[0-9]{1,20}", identity, re.ASCII):
        raise ValueError("it has no complaint id")
    narrative = wire.text(data, "complaint_what_happened")
    public = wire.text(data, "company_public_response")
    about = [wire.text(data, name) for name in ("product", "issue")]
    sent = _day(data, "date_sent_to_company")
    attributes = {name: wire.text(data, field) for field, name in _COUNTED.items()}
    attributes["sent_on"] = sent.date().isoformat() if sent else ""
    return Feedback(
        external_id=identity,
        kind=Kind.COMPLAINT,
        text=narrative,
        text_withheld=not narrative,
        category=" / ".join(filter(None, about)) or None,
        published_at=_day(data, "date_received"),
        url=f"{_DETAIL}/{identity}",
        reply=Reply(text=public) if public and _SILENT not in public else None,
        attributes={name: value for name, value in attributes.items() if value},
        # With the day and the trouble a ZIP code may be enough to know somebody by.
        raw=json.dumps({k: v for k, v in data.items() if k != "zip_code"}, ensure_ascii=False),
    )


def _day(data: Mapping[str, Any], name: str) -> datetime | None:
    """A day, whatever time and offset stand behind it; raises ValueError when it is none."""
    value = wire.text(data, name)
    if not value:
        return None
    try:
        if found := _DAY.fullmatch(value):
            return datetime.combine(date.fromisoformat(found[1]), _NOON)
    except ValueError as error:
        raise ValueError(f"`{name}` is no day: {clip(value[:40])!r}") from error
    raise ValueError(f"`{name}` is no day: {clip(value[:40])!r}")


def _told(body: bytes) -> str:
    """The API's own words: the first that it says of each parameter."""
    try:
        data = json.loads(body)
        words = "; ".join(f"{name}: {json.dumps(value)}" for name, value in data.items())
    except (ValueError, AttributeError, RecursionError):
        words = ""
    return clip(words or "no reason given")
