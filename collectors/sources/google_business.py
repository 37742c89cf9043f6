"""Google Business Profile: the reviews of one's own places, newest edit first.

The old v4 API is the only one that has them. A review carries no language, and Google may have put
its translation before or after what the person wrote; only what the person wrote is kept. Google
tells nobody that a review was taken away: a reading of everything notes how many are missing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, Field, model_validator

from ...config import SecretValue
from ...storage.vocabulary import Feedback, Outcome, Reply
from .. import wire
from ..collector import Answer, Ask, Collector, Options, Page, Place, Rejected, Trait, Trouble
from ..collector import WebAddress as Web
from ..google_access import TOKEN_URL, ServiceAccountKey, problem, refresh_token, refused_by_google
from ..paging import START, newest, onward, reached

API = "Business Profile API"
MOST, MOST_AT_ONCE = 50, 200
"""Reviews on a page: of one place, and of several."""
LONGEST_TOKEN = 2000
STARS = {"ONE": 1, "TWO": 2, "THREE": 3, "FOUR": 4, "FIVE": 5}
UNSPECIFIED = "STAR_RATING_UNSPECIFIED"

_NAME = re.compile(r"(?:accounts/[^/]+/)?(locations/[^/]+/reviews/[^/]+)")
_PLACE = re.compile(r"(?:accounts/[^/]+/)?locations/([^/]+)")
_TRANSLATED = re.compile(r"\(Translated by Google\)")
_ORIGINAL = re.compile(r"\s\(Original\)\s")
_LIST = {"reviews", "averageRating", "totalReviewCount", "nextPageToken"}
_BATCH = {"locationReviews", "nextPageToken"}
_REVIEW = {
    *("name", "reviewId", "reviewer", "starRating", "comment", "createTime", "updateTime"),
    *("reviewReply", "reviewReplyUrl", "reviewMediaItems"),
}
_REPLY = {"comment", "updateTime", "reviewReplyState", "policyViolation"}


def _digits(value: str, what: str, where: str) -> str:
    number = value.strip().removeprefix("accounts/").removeprefix("locations/")
    if not re.fullmatch(r"[0-9]{1,30}", number, re.ASCII):
        raise ValueError(f"{value!r} is no {what}; {where}")
    return number


def _account(value: str) -> str:
    if value == "-":
        return value
    return _digits(value, "account", "write its digits, or '-' for whichever the owner has")


def _location(value: str) -> str:
    where = (
        "write the digits after 'locations/' that the Business Information API lists, or the "
        "profile's Business Profile ID (under its advanced settings)"
    )
    return _digits(value, "location", where)


def _once(values: list[str]) -> list[str]:
    if twice := [value for value, times in Counter(values).items() if times > 1]:
        raise ValueError(f"the location {twice[0]} stands here twice; name each only once")
    return values


def _subscription(value: str) -> str:
    if not re.fullmatch(r"projects/[\w.:-]{1,100}/subscriptions/[\w.~+%-]{3,255}", value, re.ASCII):
        raise ValueError(
            f"{value!r} is no subscription; write it like "
            "'projects/my-project/subscriptions/reviews'"
        )
    return value


class GoogleBusinessSettings(Options):
    """The places of one account, and the owner's consent: an OAuth client and a refresh token.

    ``subscription`` is one of Pub/Sub to the topic that Google tells of new reviews, read with the
    service account ``pubsub_key``: what comes there hastens the next run.
    """

    # No delay of its own: a second between two requests is a fifth of the 300 a minute allowed.
    base_url: Web = "https://mybusiness.googleapis.com"
    token_url: Web = TOKEN_URL
    account: Annotated[str, AfterValidator(_account)] = "-"
    locations: Annotated[
        list[Annotated[str, AfterValidator(_location)]],
        Field(min_length=1, max_length=MOST_AT_ONCE),
        AfterValidator(_once),
    ]
    client_id: SecretValue
    client_secret: SecretValue
    refresh_token: SecretValue
    subscription: Annotated[str, AfterValidator(_subscription)] | None = None
    pubsub_key: ServiceAccountKey | None = None
    pubsub_url: Web = "https://pubsub.googleapis.com"
    max_requests: int = Field(default=2000, ge=1, le=100_000)

    @model_validator(mode="after")
    def _hinted(self) -> GoogleBusinessSettings:
        if (self.subscription is None) != (self.pubsub_key is None):
            raise ValueError("subscription and pubsub_key go together; set both or neither")
        return self


class GoogleBusiness(Collector[GoogleBusinessSettings]):
    """Lists each place by itself, newest edit first; reads everything of several places at once."""

    kind = "google_business"
    traits = frozenset({Trait.PAGED, Trait.NEWEST_FIRST, Trait.POLLED, Trait.WHOLE_LIST})
    reads = ("locations",)
    Settings = GoogleBusinessSettings
    part_of = "location"
    robots = False
    # A reply to an old review does not move it to the top, and a removal is not told at all.
    reread_after = timedelta(days=1)

    def __init__(self, settings: GoogleBusinessSettings, place: Place) -> None:
        super().__init__(settings, place)
        self.access = refresh_token(
            settings.client_id, settings.client_secret, settings.refresh_token, settings.token_url
        )

    def first(self, mark: Mapping[str, Any]) -> Ask:
        """Each place's newest; everything where there is no mark, from where it was broken off."""
        if not mark:
            return self._everything()
        token = mark.get("token")
        if not isinstance(token, str):
            return self._list(0, START)
        # What came since the beginning lies on top and is read at the end, up to `until`.
        ask = self._everything(onward(START, token, ()) | {"until": mark.get("top")}, token)
        return replace(ask, instead=self._everything())

    def parts(self) -> Sequence[str]:
        """The places."""
        return self.settings.locations

    def probe(self) -> Ask:
        """One review of the first place."""
        return self._list(0, START, size=1)

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        """The one page of an answer."""
        data = wire.read_object(answer.body, "Google")
        if not data.keys() & (_LIST | _BATCH) and data:
            raise wire.changed("Google", "there are no reviews where they used to be")
        yield self._batched(ask, data, mark) if ask.body else self._listed(ask, data, mark)

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:
        """What Google has against us, in words that name the mend."""
        told = problem(answer)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            return _over_quota(answer, told.message)
        if shared := refused_by_google(answer, API):
            return shared
        if answer.status == HTTPStatus.FORBIDDEN:
            return Trouble(
                Outcome.BLOCKED,
                f"Google does not show the reviews of {self._whose(ask)} ({told.message}); the "
                "place has to be verified, and whoever agreed has to own or manage it.",
            )
        if answer.status == HTTPStatus.NOT_FOUND:
            return Trouble(
                Outcome.MISCONFIGURED,
                f"Google knows no {self._whose(ask)} in account {self.settings.account}; mend "
                "`account` or `locations`.",
            )
        if answer.status == HTTPStatus.BAD_REQUEST:
            return Trouble(
                Outcome.MISCONFIGURED,
                f"Google does not take the request for {self._whose(ask)} ({told.message}); mend "
                "`account` or `locations`, or run it again where a page token has run out.",
            )
        return None

    def _whose(self, ask: Ask) -> str:
        if ask.body:
            return f"the {len(self.settings.locations)} locations"
        return f"location {self.settings.locations[ask.step.get('place', 0)]}"

    def _everything(self, step: Mapping[str, Any] = START, token: str = "") -> Ask:
        """All there is: of one place by its list, of several at once, in whatever order."""
        step = {**step, "whole": True}
        if len(self.settings.locations) == 1:
            return self._list(0, step, token)
        return self._batch(step, token)

    def _list(
        self, place: int, step: Mapping[str, Any], token: str = "", *, size: int = MOST
    ) -> Ask:
        account, location = self.settings.account, self.settings.locations[place]
        query = {"pageSize": size, "orderBy": "update_time desc"}
        query |= {"pageToken": token} if token else {}
        path = f"/v4/accounts/{account}/locations/{location}/reviews"
        return Ask(
            url=f"{self.settings.base_url}{path}?{urlencode(query)}",
            step={**step, "place": place},
            part=location,
        )

    def _batch(self, step: Mapping[str, Any], token: str) -> Ask:
        account = self.settings.account
        names = [f"accounts/{account}/locations/{number}" for number in self.settings.locations]
        asked = {"locationNames": names, "pageSize": MOST_AT_ONCE, "orderBy": "update_time desc"}
        asked |= {"pageToken": token} if token else {}
        return Ask(
            url=f"{self.settings.base_url}/v4/accounts/{account}/locations:batchGetReviews",
            headers={"Content-Type": "application/json"},
            body=json.dumps(asked).encode(),
            step=step,
            # Google does not say that several places come in one order: no page joins anything.
            part=f"page {step['page']}",
        )

    def _batched(self, ask: Ask, data: wire.Object, mark: Mapping[str, Any]) -> Page:
        reviews, page = [], ask.step["page"]
        for each in wire.objects(data, "locationReviews", "Google"):
            entry = each if isinstance(each, dict) else {}
            found = _PLACE.fullmatch(str(entry.get("name") or ""))
            reviews.append((found[1] if found else "", entry.get("review")))
        items, rejected, unknown = _read(reviews, f"page {page}")
        unknown += wire.unknown(data, _BATCH)
        return self._page(ask, data, mark, Page(items=items, rejected=rejected, unknown=unknown))

    def _listed(self, ask: Ask, data: wire.Object, mark: Mapping[str, Any]) -> Page:
        location = self.settings.locations[ask.step["place"]]
        reviews = [(location, each) for each in wire.objects(data, "reviews", "Google")]
        where = f"location {location}, page {ask.step['page']}"
        items, rejected, unknown = _read(reviews, where)
        unknown += wire.unknown(data, _LIST)
        return self._page(ask, data, mark, Page(items=items, rejected=rejected, unknown=unknown))

    def _page(self, ask: Ask, data: wire.Object, mark: Mapping[str, Any], page: Page) -> Page:
        """The page with what comes next and what is to be remembered."""
        token = data.get("nextPageToken") or ""
        if not isinstance(token, str):
            raise wire.changed("Google", "`nextPageToken` is no text")
        here = bool(page.items or page.rejected)
        step = {
            **ask.step,
            "top": ask.step.get("top") or newest(item.edited_at for item in page.items),
            "shown": here or bool(ask.step.get("shown")),
        }
        following = self._further(step, page, token)
        if following is None and not step["shown"] and mark.get("shown"):
            raise Trouble(
                Outcome.SUSPECT,
                "Google showed reviews before and shows none now; nothing was deleted here, look "
                "at the profile and run it again later.",
            )
        return replace(
            page,
            next=following,
            beyond=self._next_place(step),
            empty=not here and not token,
            checkpoint=_checkpoint(
                following, token, shown=step["shown"] or bool(mark.get("shown"))
            ),
        )

    def _further(self, step: Mapping[str, Any], page: Page, token: str) -> Ask | None:
        """The next page, the next place, or what came since a broken reading began."""
        place = step.get("place")
        times = [item.edited_at for item in page.items]
        if token and not reached(times, step.get("back_to")):
            onto = {**step, **onward(step, token, [item.external_id for item in page.items])}
            return self._batch(onto, token) if place is None else self._list(place, onto, token)
        if step.get("whole"):
            until = step.get("until")
            return self._list(0, {**START, "back_to": until, "shown": True}) if until else None
        return self._next_place(step)

    def _next_place(self, step: Mapping[str, Any]) -> Ask | None:
        """The first page of the next place, where they are listed one by one."""
        following = step.get("place", 0) + 1
        if step.get("whole") or following >= len(self.settings.locations):
            return None
        return self._list(
            following, {**START, "back_to": step.get("back_to"), "shown": step.get("shown")}
        )


def _checkpoint(following: Ask | None, token: str, *, shown: bool) -> dict[str, object]:
    """Whether there was anything, and where a reading of everything can be gone on with."""
    found: dict[str, object] = {"shown": shown}
    step = following.step if following else {}
    top = step.get("until") or step.get("top")
    if token and top and step.get("whole") and len(token) <= LONGEST_TOKEN:
        found |= {"token": token, "top": top}
    return found


def _read(
    reviews: Sequence[tuple[str, object]], where: str
) -> tuple[list[Feedback], list[Rejected], Counter[str]]:
    """The reviews of a page, those that cannot be read, and the fields nobody knows."""
    items: list[Feedback] = []
    rejected: list[Rejected] = []
    unknown: Counter[str] = Counter()
    for number, (location, review) in enumerate(reviews, start=1):
        try:
            data = wire.mapping(review, "review")
            items.append(_feedback(data, location))
            unknown += wire.unknown(data, _REVIEW)
            unknown += wire.unknown(wire.mapping(data.get("reviewReply"), "reviewReply"), _REPLY)
        except ValueError as error:
            rejected.append(Rejected(where=f"{where}, review {number}", reason=str(error)))
    return items, rejected, unknown


def _feedback(data: Mapping[str, Any], location: str) -> Feedback:
    """One review; raises ValueError with the reason when it is none."""
    identity = _identity(data, location)
    stars = _stars(wire.text(data, "starRating"))
    reviewer = wire.mapping(data.get("reviewer"), "reviewer")
    created, updated = wire.moment(data, "createTime"), wire.moment(data, "updateTime")
    return Feedback(
        external_id=identity,
        text=original(wire.text(data, "comment")),
        stars=stars,
        rating=str(stars) if stars else None,
        rating_scale="1-5" if stars else None,
        published_at=created or updated,
        edited_at=updated or created,
        author=None if reviewer.get("isAnonymous") else wire.text(reviewer, "displayName") or None,
        url=wire.web_link(data, "reviewReplyUrl"),
        reply=_reply(wire.mapping(data.get("reviewReply"), "reviewReply")),
        attributes=_attributes(data, identity),
        raw=json.dumps({k: v for k, v in data.items() if k != "reviewer"}, ensure_ascii=False),
    )


def _identity(data: Mapping[str, Any], location: str) -> str:
    """Place and review: the account is written in more than one way, so it is left out."""
    if found := _NAME.fullmatch(wire.text(data, "name")):
        return found[1]
    if (review := wire.text(data, "reviewId")) and location:
        return f"locations/{location}/reviews/{review}"
    raise ValueError("the review has neither name nor id")


def _stars(word: str) -> int | None:
    if word in STARS:
        return STARS[word]
    if word in {"", UNSPECIFIED}:
        return None
    raise ValueError(f"{word[:40]!r} is no number of stars")


def _reply(data: Mapping[str, Any]) -> Reply | None:
    """The owner's answer, unless Google has refused to show it."""
    text = original(wire.text(data, "comment"))
    if not text or wire.text(data, "reviewReplyState") == "REJECTED":
        return None
    return Reply(text=text, at=wire.moment(data, "updateTime"))


def _attributes(data: Mapping[str, Any], identity: str) -> dict[str, str]:
    media = data.get("reviewMediaItems")
    reply = wire.mapping(data.get("reviewReply"), "reviewReply")
    found = {
        "location": identity.split("/")[1],
        "media": str(len(media)) if isinstance(media, list) and media else "",
        "reply_state": wire.text(reply, "reviewReplyState"),
    }
    return {name: value for name, value in found.items() if value}


def original(comment: str) -> str:
    """What the person wrote, without the translation that Google puts before or after it."""
    marks = list(_TRANSLATED.finditer(comment))
    if not marks:
        return comment
    before = comment[: marks[-1].start()].strip()
    if before and marks[0].start() > 0:
        return before
    translation = comment[marks[0].end() :]
    kept = _ORIGINAL.split(translation, maxsplit=1)
    return kept[-1].strip() or kept[0].strip()


def _over_quota(answer: Answer, message: str) -> Trouble:
    """Too many requests, or none allowed at all before Google has approved the project."""
    mend = (
        "a project that was never approved has a quota of 0: apply for access to the Business "
        "Profile APIs with its project number"
    )
    if _limit(answer) == "0":
        return Trouble(
            Outcome.BLOCKED, f"The Cloud project's quota for the {API} is 0 ({message}); {mend}."
        )
    return Trouble(
        Outcome.RATE_LIMITED,
        f"The {API} has had too many requests ({message or 'no reason given'}); the next run goes "
        f"on. If it never worked, {mend}.",
    )


def _limit(answer: Answer) -> str:
    """The quota that a refusal names, or nothing."""
    try:
        details = json.loads(answer.body)["error"]["details"]
        limits = [each.get("metadata", {}).get("quota_limit_value") for each in details]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
    return next((str(limit) for limit in limits if limit is not None), "")
