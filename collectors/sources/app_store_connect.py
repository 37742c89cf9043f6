"""App Store Connect: all written reviews of one's own app in every country, newest first.

Its ids are not those of the public feed (`app_store`): read an app through one of the two. The API
tells neither when a review was edited nor in which version or language it was written.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import AfterValidator, Field

from ...config import Secret, SecretValue
from ...storage.vocabulary import Feedback, Outcome, Reply
from .. import wire
from ..access import Signed, clock_off, signed
from ..collector import Answer, Ask, Collector, Options, Page, Place, Rejected, Trait, Trouble
from ..collector import WebAddress as Web
from ..countries import Territory, two_letters
from ..judge import clip
from ..paging import START, newest, onward, reached

AUDIENCE = "appstoreconnect-v1"
MOST = 200
"""Reviews on a page."""
BACK, LIFETIME = timedelta(seconds=60), timedelta(minutes=18)
"""A clock that runs a little ahead is forgiven; together they stay below Apple's 20 minutes."""
LONGEST_CURSOR = 2000

_APPLE = "Apple"
_DOCUMENT = {"data", "included", "links", "meta"}
_RESOURCE = {"type", "id", "attributes", "relationships", "links"}
_REVIEW = {"rating", "title", "body", "reviewerNickname", "createdDate", "territory"}
_RESPONSE = {"responseBody", "lastModifiedDate", "state"}
_LIMIT = re.compile(r"user-hour-lim:(\d+)")


def _app(value: str) -> str:
    if not re.fullmatch(r"[0-9]{3,20}", value, re.ASCII):
        raise ValueError(
            f"{value!r} is no app; write its Apple ID, the digits under App Information"
        )
    return value


def _key_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]{5,30}", value, re.ASCII):
        raise ValueError(
            f"{value!r} is no key id; copy it from App Store Connect (Users and Access > "
            "Integrations), it also stands in the name of the file: AuthKey_<key id>.p8"
        )
    return value


def _issuer(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", value, re.ASCII):
        raise ValueError(
            f"{value!r} is no issuer id; copy it from App Store Connect (Users and Access > "
            "Integrations), or leave it out for an individual key"
        )
    return value


def _private_key(value: Secret) -> Secret:
    if "PRIVATE KEY-----" not in value:
        raise ValueError(
            "this is no private key; name the .p8 file as it was downloaded, with its BEGIN and "
            "END lines, in the variable that ends in _FILE"
        )
    try:
        signed({}, value, "ES256", {})
    except Trouble as error:
        raise ValueError(
            "this private key cannot sign with ES256; name the .p8 file of an App Store Connect "
            "key as it was downloaded"
        ) from error
    return value


class AppStoreConnectSettings(Options):
    """One app, in all territories or in those named, and the key of the API."""

    # No delay of its own: with a second between two requests an hour has less than the 3,500.
    base_url: Web = "https://api.appstoreconnect.apple.com"
    app: Annotated[str, AfterValidator(_app)]
    territories: list[Territory] = Field(default=[])
    key_id: Annotated[str, AfterValidator(_key_id)]
    issuer: Annotated[str, AfterValidator(_issuer)] | None = None
    private_key: Annotated[SecretValue, AfterValidator(_private_key)]
    max_requests: int = Field(default=2000, ge=1, le=100_000)


class AppStoreConnect(Collector[AppStoreConnectSettings]):
    """Reads the list from its newest review on."""

    kind = "app_store_connect"
    traits = frozenset({Trait.PAGED, Trait.NEWEST_FIRST, Trait.POLLED, Trait.WHOLE_LIST})
    reads = ("app", "territories")
    Settings = AppStoreConnectSettings
    part_of = "country"
    robots = False
    # An old review that is edited or answered need not move to the top.
    reread_after = timedelta(days=1)

    def __init__(self, settings: AppStoreConnectSettings, place: Place) -> None:
        super().__init__(settings, place)
        self.access: Signed = Signed(self._sign, LIFETIME)

    def first(self, mark: Mapping[str, Any]) -> Ask:
        """The newest; of a reading of everything that was broken off what it had not yet read."""
        top = self._page({**START, "whole": not mark})
        cursor = mark.get("cursor")
        if not isinstance(cursor, str):
            return top
        # What came since the beginning lies on top and is read at the end, up to `until`.
        step = onward(START, cursor, ()) | {"whole": True, "until": mark.get("top")}
        return replace(
            self._page(step, cursor=cursor), instead=self._page({**START, "whole": True})
        )

    def probe(self) -> Ask:
        """One review."""
        return self._page(START, limit="1")

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        """The one page of an answer."""
        data = wire.read_object(answer.body, _APPLE)
        if not isinstance(data.get("data"), list):
            raise wire.changed(_APPLE, "there is no list `data`")
        page = self._read(data, ask.step["page"])
        following = self._further(ask.step, page, self._next_link(data))
        if not page.items and not page.rejected:
            page = self._nothing(ask, page, mark)
        shown = bool(page.items or page.rejected or mark.get("shown"))
        yield replace(page, next=following, checkpoint=_checkpoint(following, shown=shown))

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:  # noqa: ARG002 - the app is known
        """What Apple has against us, in words that name the mend."""
        code, told = _error(answer.body)
        refused, off = Outcome.BLOCKED, clock_off(answer, self.access.used_at)
        key = (
            f"Apple refuses the key ({told}){off}; check `key_id`, `issuer`, the key file and this "
            "machine's clock (NTP), or whether the key was revoked."
        )
        app = (
            f"Apple knows no app {self.settings.app} in this account ({told}); mend `app`, or use "
            "a key of the account that owns it."
        )
        request = f"Apple does not take the request ({told}); mend `app` or `territories`."
        sentences: dict[int, tuple[Outcome, str]] = {
            HTTPStatus.UNAUTHORIZED: (refused, key),
            HTTPStatus.FORBIDDEN: (refused, _forbidden(code, told)),
            HTTPStatus.TOO_MANY_REQUESTS: (Outcome.RATE_LIMITED, _too_many(answer)),
            HTTPStatus.NOT_FOUND: (Outcome.MISCONFIGURED, app),
            HTTPStatus.BAD_REQUEST: (Outcome.MISCONFIGURED, request),
        }
        found = sentences.get(answer.status)
        return Trouble(*found) if found else None

    def _sign(self, now: datetime) -> str:
        issued = int((now - BACK).timestamp())
        claims = {
            "iat": issued,
            "exp": issued + int((BACK + LIFETIME).total_seconds()),
            "aud": AUDIENCE,
        }
        # An individual key has no issuer but its user.
        claims |= {"iss": self.settings.issuer} if self.settings.issuer else {"sub": "user"}
        headers = {"kid": self.settings.key_id, "typ": "JWT"}
        return signed(claims, self.settings.private_key, "ES256", headers)

    def _page(self, step: Mapping[str, Any], *, cursor: str = "", limit: str = str(MOST)) -> Ask:
        query = {"sort": "-createdDate", "include": "response", "limit": limit}
        if self.settings.territories:
            query["filter[territory]"] = ",".join(self.settings.territories)
        query |= {"cursor": cursor} if cursor else {}
        path = f"/v1/apps/{self.settings.app}/customerReviews"
        return Ask(url=f"{self.settings.base_url}{path}?{urlencode(query)}", step=step)

    def _next_link(self, data: Mapping[str, Any]) -> str:
        """The address of the next page, or ""; the key is sent nowhere but to our own host."""
        links = data.get("links")
        link = links.get("next") if isinstance(links, dict) else None
        if link is None:
            return ""
        if not isinstance(link, str):
            raise wire.changed(_APPLE, "`links.next` is no text")
        try:
            ours, theirs = urlsplit(self.settings.base_url), urlsplit(link)
        except ValueError as error:
            raise wire.changed(_APPLE, "`links.next` is no address") from error
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"The next page lies on {clip(theirs.netloc or link)} and not on {ours.netloc}, "
                "where this key may be sent; if that is right, set `base_url` to it.",
            )
        return link

    def _further(self, step: Mapping[str, Any], page: Page, link: str) -> Ask | None:
        """The next page, or what came since a reading began that was broken off."""
        times = [item.published_at for item in page.items]
        top = step.get("top") or newest(times)
        if link and not reached(times, step.get("back_to")):
            onto = onward(step, link, [item.external_id for item in page.items])
            return Ask(url=link, step={**step, **onto, "top": top})
        if step.get("whole") and (until := step.get("until")):
            return self._page({**START, "back_to": until})
        return None

    def _nothing(self, ask: Ask, page: Page, mark: Mapping[str, Any]) -> Page:
        """An empty list is the truth where there was nothing before."""
        if ask.step["page"] > 1 or not mark.get("shown"):
            return replace(page, empty=True)
        raise Trouble(
            Outcome.SUSPECT,
            f"Apple showed reviews of app {self.settings.app} before and shows none now; nothing "
            "was deleted here, run it again later.",
        )

    def _read(self, data: wire.Object, number: int) -> Page:
        items: list[Feedback] = []
        rejected: list[Rejected] = []
        unknown = wire.unknown(data, _DOCUMENT)
        responses = _responses(data)
        for place, each in enumerate(data["data"], start=1):
            try:
                items.append(self._feedback(wire.mapping(each, "review"), responses, unknown))
            except ValueError as error:
                where = f"page {number}, review {place}"
                rejected.append(Rejected(where=where, reason=str(error)))
        return Page(items=items, rejected=rejected, unknown=unknown)

    def _feedback(
        self,
        review: Mapping[str, Any],
        responses: Mapping[str, Mapping[str, Any]],
        unknown: Counter[str],
    ) -> Feedback:
        """One review; raises ValueError with the reason when it is none."""
        attributes = wire.mapping(review.get("attributes"), "attributes")
        identity = wire.text(review, "id")
        if review.get("type") != "customerReviews" or not identity:
            raise ValueError("it is no customer review with an id")
        rating = attributes.get("rating")
        if not isinstance(rating, int) or isinstance(rating, bool) or rating not in range(1, 6):
            raise ValueError(f"{clip(rating)!r} is no rating from 1 to 5")
        created = wire.moment(attributes, "createdDate")
        linked = _linked(review)
        response = responses.get(linked, {})
        if linked and not response:
            unknown["a response that is not included"] += 1
        told = wire.mapping(response.get("attributes"), "attributes")
        answer, territory = wire.text(told, "responseBody"), wire.text(attributes, "territory")
        found = Feedback(
            external_id=identity,
            title=wire.text(attributes, "title"),
            text=wire.text(attributes, "body"),
            stars=rating,
            rating=str(rating),
            rating_scale="1-5",
            published_at=created,
            edited_at=created,
            author=wire.text(attributes, "reviewerNickname") or None,
            url=_store_page(self.settings.app, territory),
            reply=Reply(text=answer, at=wire.moment(told, "lastModifiedDate")) if answer else None,
            attributes=_counted(territory, wire.text(told, "state")),
            raw=_raw(review, attributes, response),
        )
        unknown.update(wire.unknown(review, _RESOURCE) + wire.unknown(attributes, _REVIEW))
        unknown.update(wire.unknown(told, _RESPONSE))
        return found


def _linked(review: Mapping[str, Any]) -> str:
    """The id of the review's response, or ""."""
    relations = wire.mapping(review.get("relationships"), "relationships")
    response = wire.mapping(relations.get("response"), "relationships.response")
    return wire.text(wire.mapping(response.get("data"), "relationships.response.data"), "id")


def _responses(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    included = [each for each in wire.objects(data, "included", _APPLE) if isinstance(each, dict)]
    return {
        each["id"]: each
        for each in included
        if each.get("type") == "customerReviewResponses" and isinstance(each.get("id"), str)
    }


def _store_page(app: str, territory: str) -> str | None:
    """The app's reviews in the store of a country; a single review has no address."""
    country = two_letters(territory)
    return (
        f"https://apps.apple.com/{country.lower()}/app/id{app}?see-all=reviews" if country else None
    )


def _counted(territory: str, state: str) -> dict[str, str]:
    found = {"country": two_letters(territory) or territory, "reply_state": state}
    return {name: value for name, value in found.items() if value}


def _raw(
    review: Mapping[str, Any], attributes: Mapping[str, Any], response: Mapping[str, Any]
) -> str:
    """The payload without the person, and the response that belongs to it."""
    kept = {name: value for name, value in attributes.items() if name != "reviewerNickname"}
    found = {**review, "attributes": kept} | ({"response": response} if response else {})
    return json.dumps(found, ensure_ascii=False)


def _checkpoint(following: Ask | None, *, shown: bool) -> dict[str, object]:
    """Whether there was anything, and where a reading of everything can be gone on with."""
    found: dict[str, object] = {"shown": shown}
    step = following.step if following else {}
    top = step.get("until") or step.get("top")
    cursors = parse_qs(urlsplit(following.url).query).get("cursor", []) if following else []
    if cursors and top and step.get("whole") and len(cursors[0]) <= LONGEST_CURSOR:
        found |= {"cursor": cursors[0], "top": top}
    return found


def _error(body: bytes) -> tuple[str, str]:
    """The code and the words of a refusal, both of which may be empty."""
    try:
        error = json.loads(body)["errors"][0]
        code, words = error.get("code"), error.get("detail") or error.get("title")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return "", "no reason given"
    return clip(code or ""), clip(words or code or "no reason given")


def _forbidden(code: str, told: str) -> str:
    if "AGREEMENTS" in code:
        return (
            "Apple shows nothing while an agreement is unsigned; the account holder has to sign it "
            "in App Store Connect (Business), then run it again."
        )
    return (
        f"Apple does not let this key read reviews ({told}); give it the role Customer Support, "
        "App Manager or Admin in App Store Connect (Users and Access)."
    )


def _too_many(answer: Answer) -> str:
    found = _LIMIT.search(answer.headers.get("x-rate-limit", ""))
    limit = f" of {found[1]} requests" if found else ""
    return (
        f"This key's hour{limit} is used up (429), perhaps by other programs; the next run goes "
        "on, raise `delay` if it happens again."
    )
