"""Trustpilot: the reviews of one business unit through the official API, newest first.

The list is in the order of writing, so that an edit or a reply of an old review stays where it is:
once a day everything is read. Pages are counted from the top, so that rows come twice while others
arrive. With the application's secret the list for the unit's owner is read in place of the public
one; what it adds about people (e-mail, order) is dropped at the door, or kept sealed where the
configuration wants contacts.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, Field

from ...config import SecretValue
from ...storage.vocabulary import Feedback, Outcome, Reply
from .. import wire
from ..access import Key, Token
from ..collector import (
    Access,
    Answer,
    Ask,
    Collector,
    Options,
    Page,
    Place,
    Rejected,
    Trait,
    Trouble,
    WebAddress,
)
from ..judge import clip
from ..paging import newest, reached

MOST = 100
"""Reviews on a page."""

START: Mapping[str, Any] = {"page": 1}
_WHO = "Trustpilot"
_TOKEN = "/v1/oauth/oauth-business-users-for-applications/accesstoken"  # noqa: S105 - a path
_ID = re.compile(r"[0-9a-f]{24}")
_DOMAIN = re.compile(r"(?=.{4,253}$)[^\s/:@.]{1,63}(?:\.[^\s/:@.]{1,63})+")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_WITHOUT_OFFSET = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+")
_LIST = {"reviews", "links"}
_PERSONAL = {"consumer", "referralEmail", "referenceId"}
_REVIEW = _PERSONAL | {
    *("id", "stars", "title", "text", "language", "createdAt", "experiencedAt", "updatedAt"),
    *("numberOfLikes", "isVerified", "status", "companyReply", "businessUnit", "location"),
    *("countsTowardsTrustScore", "countsTowardsLocationTrustScore", "reportData", "links"),
    *("complianceLabels", "invitation", "businessUnitHistory", "reviewVerificationLevel", "tags"),
}
_REPLY = {"text", "createdAt", "updatedAt"}


def _unit(value: str) -> str:
    told = value.strip().lower()
    if not _ID.fullmatch(told) and not _DOMAIN.fullmatch(told):
        raise ValueError(
            f"{value!r} is no business unit; write its 24-digit id, or its domain as it stands in "
            "its Trustpilot page's address, like 'example.com'"
        )
    return told


class TrustpilotSettings(Options):
    """One business unit by id or domain. ``secret`` opens the owner's list of its reviews."""

    # No delay of its own: a second between two requests is a third of the 10,000 an hour allowed.
    base_url: WebAddress = "https://api.trustpilot.com"
    business_unit: Annotated[str, AfterValidator(_unit)]
    api_key: SecretValue
    secret: SecretValue | None = None
    max_requests: int = Field(default=2000, ge=1, le=100_000)


class Trustpilot(Collector[TrustpilotSettings]):
    """Reads the list from its newest review on, up to the page that has nothing."""

    kind = "trustpilot"
    traits = frozenset({Trait.PAGED, Trait.NEWEST_FIRST, Trait.POLLED, Trait.WHOLE_LIST})
    reads = ("business_unit",)
    Settings = TrustpilotSettings
    part_of = "location"
    robots = False
    # Neither an edit nor a reply moves a review to the top. A review taken away while the list is
    # read moves those below it up: one that slips over a page's edge is found the day after.
    reread_after = timedelta(days=1)

    def __init__(self, settings: TrustpilotSettings, place: Place) -> None:
        super().__init__(settings, place)
        self.access: Access = Key({"apikey": settings.api_key})
        if settings.secret is not None:
            packed = base64.b64encode(f"{settings.api_key}:{settings.secret}".encode())
            self.access = Token(
                settings.base_url + _TOKEN,
                lambda _: {"grant_type": "client_credentials"},
                headers={"Authorization": f"Basic {packed.decode()}"},
                refused=_no_token,
            )

    def first(self, mark: Mapping[str, Any]) -> Ask:
        """The newest; of a reading of everything that was broken off what it had not yet read.

        A business unit that is named by its domain is looked for first.
        """
        step: dict[str, Any] = {**START, "whole": not mark}
        page = mark.get("page")
        if isinstance(page, int):
            # What came since the beginning lies on top and is read at the end, up to `until`.
            step |= {"page": page, "whole": True, "until": mark.get("top")}
        unit = mark.get("unit")
        if _ID.fullmatch(self.settings.business_unit):
            unit = self.settings.business_unit
        if isinstance(unit, str):
            return self._list({**step, "unit": unit})
        return self._find(step)

    def probe(self) -> Ask:
        """One review; or the business unit's id, where only its domain is known."""
        unit = self.settings.business_unit
        return self._list({**START, "unit": unit}, 1) if _ID.fullmatch(unit) else self._find(START)

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        """The one page of an answer."""
        data = wire.read_object(answer.body, _WHO)
        if "unit" not in ask.step:
            yield Page(next=self._list({**ask.step, "unit": _found(data)}))
            return
        if not isinstance(data.get("reviews"), list):
            raise wire.changed(_WHO, "there is no list `reviews`")
        page = _read(data, ask.step["page"])
        following = self._further(ask.step, page)
        if not page.items and not page.rejected:
            page = self._nothing(ask, page, mark)
        # Every listing ends with a page that has nothing.
        further = ask.step["page"] > 1 or "back_to" in ask.step
        shown = bool(page.items or page.rejected or further or mark.get("shown"))
        note = {"shown": shown, "unit": ask.step["unit"]}
        yield replace(page, next=following, checkpoint=note | _left(ask.step, following))

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:
        """What Trustpilot has against us, in words that name the mend."""
        told, unit = _told(answer.body), self.settings.business_unit
        forbidden = (
            f"Trustpilot does not let this application read {unit} ({told}); ask for access to its "
            "API in Trustpilot Business (Integrations), with an account of that company."
        )
        unknown = f"Trustpilot knows no business unit {unit} ({told}); mend `business_unit`."
        request = (
            f"Trustpilot does not take the request for page {ask.step['page']} of {unit} ({told}); "
            "mend `business_unit`."
        )
        sentences: dict[int, tuple[Outcome, str]] = {
            HTTPStatus.UNAUTHORIZED: (Outcome.BLOCKED, self._unauthorized(told)),
            HTTPStatus.FORBIDDEN: (Outcome.BLOCKED, forbidden),
            HTTPStatus.NOT_FOUND: (Outcome.MISCONFIGURED, unknown),
            HTTPStatus.BAD_REQUEST: (Outcome.MISCONFIGURED, request),
        }
        found = sentences.get(answer.status)
        return Trouble(*found) if found else None

    def _unauthorized(self, told: str) -> str:
        if self.settings.secret is not None:
            return (
                f"Trustpilot refuses the access token it gave ({told}); check `api_key` and "
                "`secret`, or whether the application was disabled."
            )
        return (
            f"Trustpilot refuses the API key ({told}); check `api_key` against the application in "
            "Trustpilot Business (Integrations > APIs)."
        )

    def _find(self, step: Mapping[str, Any]) -> Ask:
        query = urlencode({"name": self.settings.business_unit})
        return Ask(
            url=f"{self.settings.base_url}/v1/business-units/find?{query}",
            headers={"apikey": self.settings.api_key},
            step=step,
        )

    def _list(self, step: Mapping[str, Any], size: int = MOST) -> Ask:
        query = urlencode({"page": step["page"], "perPage": size, "orderBy": "createdat.desc"})
        private = "/private" if self.settings.secret is not None else ""
        path = f"/v1{private}/business-units/{step['unit']}/reviews"
        return Ask(url=f"{self.settings.base_url}{path}?{query}", step=step)

    def _further(self, step: Mapping[str, Any], page: Page) -> Ask | None:
        """The next page, or what came since a reading began that was broken off."""
        here = bool(page.items or page.rejected)
        times = [item.published_at for item in page.items]
        if here and not reached(times, step.get("back_to")):
            onto = {"page": step["page"] + 1, "ids": _other_ids(step, page)}
            return self._list({**step, **onto, "top": step.get("top") or newest(times)})
        if step.get("whole") and (until := step.get("until")):
            return self._list({**START, "unit": step["unit"], "back_to": until})
        return None

    def _nothing(self, ask: Ask, page: Page, mark: Mapping[str, Any]) -> Page:
        """An empty first page is the truth where there was nothing before."""
        if ask.step["page"] > 1 or "back_to" in ask.step or not mark.get("shown"):
            return replace(page, empty=True)
        raise Trouble(
            Outcome.SUSPECT,
            f"Trustpilot showed reviews of {self.settings.business_unit} before and shows none "
            "now; nothing was deleted here, run it again later.",
        )


def _found(data: Mapping[str, Any]) -> str:
    """The id in the answer about a business unit."""
    unit = data.get("id")
    if not isinstance(unit, str) or not _ID.fullmatch(unit):
        raise wire.changed(_WHO, "the business unit has no id")
    return unit


def _read(data: wire.Object, number: int) -> Page:
    """The reviews of a page, those that cannot be read, and the fields nobody knows."""
    items: list[Feedback] = []
    rejected: list[Rejected] = []
    unknown: Counter[str] = wire.unknown(data, _LIST)
    for place, each in enumerate(data["reviews"], start=1):
        try:
            review = wire.mapping(each, "review")
            items.append(_feedback(review))
            unknown += wire.unknown(review, _REVIEW)
            unknown += wire.unknown(wire.mapping(review.get("companyReply"), "reply"), _REPLY)
        except ValueError as error:
            where = f"page {number}, review {place}"
            rejected.append(Rejected(where=where, reason=str(error)))
    return Page(items=items, rejected=rejected, unknown=unknown)


def _feedback(data: Mapping[str, Any]) -> Feedback:
    """One review; raises ValueError with the reason when it is none."""
    identity = wire.text(data, "id")
    if not identity:
        raise ValueError("it has no id")
    stars = data.get("stars")
    if not isinstance(stars, int) or isinstance(stars, bool) or stars not in range(1, 6):
        raise ValueError(f"{clip(stars)!r} is no number of stars from 1 to 5")
    created, updated = _moment(data, "createdAt"), _moment(data, "updatedAt")
    language = wire.text(data, "language")
    known = bool(_ID.fullmatch(identity))
    return Feedback(
        external_id=identity,
        title=wire.text(data, "title"),
        text=wire.text(data, "text"),
        stars=stars,
        rating=str(stars),
        rating_scale="1-5",
        language=language if _LANGUAGE.fullmatch(language) else None,
        published_at=created or updated,
        edited_at=updated or created,
        author=wire.text(wire.mapping(data.get("consumer"), "consumer"), "displayName") or None,
        url=f"https://www.trustpilot.com/reviews/{identity}" if known else None,
        reply=_reply(wire.mapping(data.get("companyReply"), "companyReply")),
        attributes=_attributes(data),
        contact=_contact(data),
        raw=json.dumps({k: v for k, v in data.items() if k not in _PERSONAL}, ensure_ascii=False),
    )


def _contact(data: Mapping[str, Any]) -> dict[str, str]:
    """What an invitation knows of the author: the address it went to and the order it was about."""
    invitation = wire.mapping(data.get("invitation"), "invitation")
    found = {
        "name": wire.text(wire.mapping(data.get("consumer"), "consumer"), "displayName"),
        "email": wire.text(data, "referralEmail") or wire.text(invitation, "referralEmail"),
        "order": wire.text(data, "referenceId") or wire.text(invitation, "referenceId"),
    }
    reached = found["email"] or found["order"]
    return {name: value for name, value in found.items() if value} if reached else {}


def _moment(data: Mapping[str, Any], name: str) -> datetime | None:
    """A time; the documentation writes some of them without an offset, which means UTC."""
    value = wire.text(data, name)
    return wire.moment({name: f"{value}Z" if _WITHOUT_OFFSET.fullmatch(value) else value}, name)


def _reply(data: Mapping[str, Any]) -> Reply | None:
    """The company's answer with the time of its latest wording."""
    told = wire.text(data, "text")
    if not told:
        return None
    return Reply(text=told, at=_moment(data, "updatedAt") or _moment(data, "createdAt"))


def _attributes(data: Mapping[str, Any]) -> dict[str, str]:
    """What else is worth counting by."""
    experienced = _moment(data, "experiencedAt")
    verified, likes = data.get("isVerified"), data.get("numberOfLikes")
    report = wire.mapping(data.get("reportData"), "reportData")
    reasons = [each for each in wire.objects(report, "reasons", _WHO) if isinstance(each, str)]
    found = {
        "experienced_on": experienced.date().isoformat() if experienced else "",
        "verified": str(verified).lower() if isinstance(verified, bool) else "",
        "verification": wire.text(data, "reviewVerificationLevel"),
        "likes": str(likes) if isinstance(likes, int) and likes else "",
        "location": wire.text(wire.mapping(data.get("location"), "location"), "name"),
        "status": wire.text(data, "status"),
        "reported": ", ".join(reasons) or wire.text(report, "source"),
        "visibility": wire.text(report, "reviewVisibility"),
    }
    return {name: value for name, value in found.items() if value}


def _other_ids(step: Mapping[str, Any], page: Page) -> list[str]:
    """What a page held; raises Trouble when it is just what the page before it held.

    Some rows come again where others have arrived above them; all of them only in a circle.
    """
    ids = [item.external_id for item in page.items]
    if ids and ids == step.get("ids"):
        raise Trouble(
            Outcome.UNAVAILABLE,
            f"Trustpilot's list goes in a circle: page {step['page']} is the page before it once "
            "more; run it again later.",
        )
    return ids


def _left(step: Mapping[str, Any], following: Ask | None) -> dict[str, object]:
    """Where a reading of everything can be gone on with: at the page it has read last.

    Meanwhile rows move down where others arrive; they move up only where one was taken away.
    """
    further = following.step if following else {}
    top = further.get("until") or further.get("top")
    return {"page": step["page"], "top": top} if top and further.get("whole") else {}


def _told(body: bytes) -> str:
    """Trustpilot's own words, or that there are none."""
    try:
        data = json.loads(body)
        fault = data.get("fault")
        words = fault.get("faultstring") if isinstance(fault, dict) else data.get("message")
    except (ValueError, AttributeError, RecursionError):
        words = None
    return clip(words or "no reason given")


def _no_token(answer: Answer, data: Mapping[str, Any]) -> Trouble | None:  # noqa: ARG001 - its words
    if answer.status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return None
    return Trouble(
        Outcome.BLOCKED,
        f"Trustpilot gives this application no access token ({_told(answer.body)}); check "
        "`api_key` and `secret`, or leave `secret` out to read the public reviews.",
    )
