"""Google Play's own API: the reviews of an app that were written or changed within a week.

It shows only reviews with a comment, from production. Mere stars, and what is older, come with
the monthly reports (kind ``google_play_reports``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field

from ...storage.vocabulary import Feedback, Outcome, Reply
from ..collector import (
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
    Window,
)
from ..google_access import ServiceAccountKey, problem, refused_by_google, service_account
from ..google_play import Package, link, moment, stars, tag, text
from ..judge import clip
from ..paging import START, onward
from ..wire import changed, objects, read_object

SCOPE = "https://www.googleapis.com/auth/androidpublisher"
API = "Google Play Android Developer API"
MOST = 100
"""Reviews on one page."""

_LIST = {"reviews", "tokenPagination", "pageInfo"}
_REVIEW = {"reviewId", "authorName", "comments"}
_COMMENT = {"userComment", "developerComment"}
_USER = {
    *("text", "lastModified", "starRating", "reviewerLanguage", "device", "androidOsVersion"),
    *("appVersionCode", "appVersionName", "thumbsUpCount", "thumbsDownCount", "originalText"),
    "deviceMetadata",
}
_KEPT = {
    "version": "appVersionName",
    "version_code": "appVersionCode",
    "device": "device",
    "android": "androidOsVersion",
    "thumbs_up": "thumbsUpCount",
    "thumbs_down": "thumbsDownCount",
}


class GooglePlaySettings(Options):
    """One app. Its quota is 200 requests an hour: a run makes at most 180, and most make two."""

    base_url: WebAddress = "https://androidpublisher.googleapis.com"
    package: Package
    key: ServiceAccountKey
    token_url: WebAddress | None = None
    max_requests: int = Field(default=180, ge=1, le=100_000)


class GooglePlay(Collector[GooglePlaySettings]):
    """Reads the week from what was changed last on."""

    kind = "google_play"
    traits = frozenset({Trait.PAGED, Trait.NEWEST_FIRST, Trait.POLLED})
    reads = ("package",)
    Settings = GooglePlaySettings
    robots = False
    # A review that slipped between two pages while they moved is still shown three days later.
    reread_after = timedelta(days=3)
    window = Window(
        span=timedelta(days=7),
        mend="Google shows only the last 7 days of reviews, older ones come with the monthly CSV "
        "reports (a source of kind `google_play_reports`)",
    )

    def __init__(self, settings: GooglePlaySettings, place: Place) -> None:
        super().__init__(settings, place)
        self.access = service_account(settings.key, SCOPE, settings.token_url)

    def first(self, mark: Mapping[str, Any]) -> Ask:  # noqa: ARG002 - the top is read every time
        """What was changed last."""
        return self._page("", START)

    def probe(self) -> Ask:
        """One review."""
        return self._page("", START, size=1)

    def _page(self, token: str, step: Mapping[str, Any], size: int = MOST) -> Ask:
        query = {"maxResults": str(size)} | ({"token": token} if token else {})
        package = quote(self.settings.package, safe="")
        path = f"androidpublisher/v3/applications/{package}/reviews?{urlencode(query)}"
        return Ask(url=f"{self.settings.base_url}/{path}", step=step)

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:  # noqa: ARG002 - an answer says it all
        """The one page of an answer."""
        data = read_object(answer.body, API)
        if data and not _LIST & data.keys():
            raise changed(API, "there is no list of `reviews`")
        page = self._read(ask, data, objects(data, "reviews", API))
        try:
            following = self._following(ask, _next(data), page)
        except Trouble:
            yield page  # what came is kept, whatever became of the way on
            raise
        yield replace(page, next=following)

    def _following(self, ask: Ask, token: str, page: Page) -> Ask | None:
        """The request for the next page, if there is one; raises Trouble for a circle."""
        if not token:
            return None
        return self._page(token, onward(ask.step, token, [each.external_id for each in page.items]))

    def _read(self, ask: Ask, data: Mapping[str, Any], reviews: list[Any]) -> Page:
        items, rejected = [], []
        for place, review in enumerate(reviews, start=1):
            try:
                items.append(self._feedback(review))
            except ValueError as error:
                where = f"page {ask.step['page']}, review {place}"
                rejected.append(Rejected(where=where, reason=str(error)))
        seen = len(ask.step["ids"]) + len(items)
        return Page(
            items=items,
            rejected=rejected,
            unknown=_unknown(data, reviews),
            checkpoint={"page": ask.step["page"], "reviews": seen},
            empty=self._nothing(ask, data, reviews) and not _next(data),
        )

    def _nothing(self, ask: Ask, data: Mapping[str, Any], reviews: list[Any]) -> bool:
        """Whether Google says that there is nothing; raises Trouble where it also counts some."""
        if reviews or ask.step["ids"]:
            return False
        info = data.get("pageInfo")
        total = info.get("totalResults") if isinstance(info, dict) else 0
        if total:
            raise Trouble(
                Outcome.SUSPECT,
                f"Google counts {clip(total)} reviews and shows none; run it again later.",
            )
        return True

    def _feedback(self, review: object) -> Feedback:
        """One review; raises ValueError with the reason when it is none."""
        if not isinstance(review, dict):
            raise ValueError("it is no object")  # noqa: TRY004 - a bad item is a ValueError here
        number = text(review, "reviewId")
        user = _comment(review, "userComment")
        if not user:
            raise ValueError("it has no comment of a user")
        title, body = _words(user)
        note = stars(user.get("starRating"))
        changed = _time(user)
        return Feedback(
            external_id=number,
            title=title,
            text=body,
            stars=note,
            rating=str(note),
            rating_scale="1-5",
            language=tag(text(user, "reviewerLanguage")),
            published_at=changed,
            edited_at=changed,
            author=text(review, "authorName") or None,
            url=link(self.settings.package, number),
            reply=_reply(review),
            attributes=_attributes(user),
            raw=_raw(review),
        )

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:
        """What Google has against us."""
        if told := refused_by_google(answer, API):
            return told
        package, said = self.settings.package, problem(answer).message
        if answer.status == 403:  # noqa: PLR2004 - forbidden
            return Trouble(
                Outcome.BLOCKED,
                f"The service account may not read the reviews of {package} ({said or 403}); "
                "invite its address in the Play Console (Users and permissions) with the right "
                "to reply to reviews, and wait a day.",
            )
        if answer.status == 404:  # noqa: PLR2004 - unknown
            return Trouble(
                Outcome.MISCONFIGURED,
                f"Google Play knows no app {package} of this account ({said or 404}); mend "
                "`package` (what stands after `id=` in the app's address in the store).",
            )
        if answer.status == 400 and ask.step.get("tokens"):  # noqa: PLR2004 - a bad request
            return Trouble(
                Outcome.UNAVAILABLE,
                f"Google no longer accepts its own page token ({said or 400}); run it again.",
            )
        return None


def _next(data: Mapping[str, Any]) -> str:
    found = data.get("tokenPagination")
    token = found.get("nextPageToken") if isinstance(found, dict) else None
    return token if isinstance(token, str) else ""


def _comment(review: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The comment of this name; the list has no fixed order, and may hold only one."""
    comments = review.get("comments")
    for each in comments if isinstance(comments, list) else []:
        if isinstance(each, dict) and isinstance(each.get(name), dict):
            return dict(each[name])
    return {}


def _words(user: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text; a translation is never taken for the original."""
    written = user.get("originalText") or user.get("text")
    if not isinstance(written, str):
        raise ValueError("its comment has no text")  # noqa: TRY004 - same
    title, tab, body = written.partition("\t")
    return (title.strip(), body.strip()) if tab else ("", written.strip())


def _time(comment: Mapping[str, Any]) -> Any:
    told = comment.get("lastModified")
    if not isinstance(told, dict):
        raise ValueError("its comment has no time")  # noqa: TRY004 - same
    return moment(told.get("seconds"), told.get("nanos"))


def _reply(review: Mapping[str, Any]) -> Reply | None:
    told = _comment(review, "developerComment")
    words = text(told, "text")
    return Reply(text=words, at=_time(told) if "lastModified" in told else None) if words else None


def _attributes(user: Mapping[str, Any]) -> dict[str, str]:
    found = {name: text(user, key) for name, key in _KEPT.items()}
    about = user.get("deviceMetadata")
    if isinstance(about, dict):
        found |= {"product": text(about, "productName"), "maker": text(about, "manufacturer")}
    return {name: value for name, value in found.items() if value}


def _raw(review: Mapping[str, Any]) -> str:
    """The payload without the person: the author is kept as a pseudonym only."""
    return json.dumps({k: v for k, v in review.items() if k != "authorName"}, ensure_ascii=False)


def _unknown(data: Mapping[str, Any], reviews: list[Any]) -> Counter[str]:
    """Fields that nobody knows, at every level."""
    found = Counter(name for name in data if name not in _LIST)
    for review in reviews:
        if isinstance(review, dict):
            found.update(name for name in review if name not in _REVIEW)
            comments = review.get("comments")
            for each in comments if isinstance(comments, list) else []:
                if isinstance(each, dict):
                    found.update(name for name in each if name not in _COMMENT)
            found.update(name for name in _comment(review, "userComment") if name not in _USER)
    return found
