"""Google Play's public pages: reviews of any app, by the request that the pages make themselves.

Nobody promises this format, and Google's terms may forbid reading it: it is off unless the
configuration accepts that in words. For your own app there are `google_play` and
`google_play_reports`; this one is for competitors and trials.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, Field

from ...storage.vocabulary import Feedback, Outcome, Reply
from ..batchexecute import form, result
from ..collector import Answer, Ask, Collector, Options, Page, Rejected, Trait, Trouble, WebAddress
from ..countries import Country, Language
from ..google_play import Package, link, moment, stars
from ..paging import START, onward

ACCEPT = "I accept that Google's terms may forbid this"
CALL = "UsvDTd"
NEWEST, SIZE = 2, 150
_PATH = "_/PlayStoreUi/data/batchexecute"
_ID, _WHO, _STARS, _TITLE, _TEXT, _TIME, _UP, _REPLY = range(8)
_PERSON, _VERSION, _CRITERIA = 9, 10, 12
_KNOWN = {*range(8), _PERSON, _VERSION, _CRITERIA, 14, 16}
"""Places of a review that have been seen filled."""
_NID = re.compile(r"(?:^|[,;\s])NID=([A-Za-z0-9_=.~+/-]{1,2000})")


def _accepted(value: str) -> str:
    if value != ACCEPT:
        raise ValueError(
            "this kind reads Google's public pages, which its terms may forbid; if you take that "
            f'upon you, write accept = "{ACCEPT}"; for your own app use kind = "google_play"'
        )
    return value


class GooglePlayWebSettings(Options):
    """One app as one country's store shows it in one language; others need a source each.

    Nobody names a quota; five seconds between two requests is slower than a person scrolls.
    """

    base_url: WebAddress = "https://play.google.com"
    accept: Annotated[str, AfterValidator(_accepted)] = Field(default="", validate_default=True)
    package: Package
    country: Country
    language: Language
    delay: float | None = Field(default=5, ge=0, le=3600)
    max_pages: int = Field(default=20, ge=1, le=500)


class GooglePlayWeb(Collector[GooglePlayWebSettings]):
    """Reads from the newest review on."""

    kind = "google_play_web"
    reads = ("package", "country", "language")
    traits = frozenset({Trait.PAGED, Trait.NEWEST_FIRST, Trait.CAPPED, Trait.POLLED})
    Settings = GooglePlayWebSettings
    # A review that slipped between two pages while they moved is found a week later at most.
    reread_after = timedelta(days=7)

    def first(self, mark: Mapping[str, Any]) -> Ask:  # noqa: ARG002 - the top is read every time
        """What was changed last."""
        return self._page(None, START, cookie="")

    def _page(self, token: str | None, step: Mapping[str, Any], *, cookie: str) -> Ask:
        own = self.settings
        sorting = [2, NEWEST, [SIZE, None, token], None, []]
        arguments = [None, None, sorting, [own.package, 7]]
        query = urlencode({"hl": own.language, "gl": own.country})
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        return Ask(
            url=f"{own.base_url}/{_PATH}?{query}",
            step=step,
            headers=headers | ({"Cookie": cookie} if cookie else {}),
            body=form(CALL, arguments),
        )

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:  # noqa: ARG002 - an answer says it all
        """The one page of an answer."""
        found = result(answer.body, CALL)
        if not isinstance(found, list | None):
            raise _changed("the result is no list")
        reviews = (found[0] if found else None) or []
        if not isinstance(reviews, list):
            raise _changed("the reviews are no list")
        if not reviews:
            raise self._nothing(ask)
        token = _token(found or [])
        page = self._read(ask, reviews, more=bool(token))
        try:
            following = self._following(ask, token, page, cookie=_cookie(ask, answer))
        except Trouble:
            yield page  # what came is kept, whatever became of the way on
            raise
        yield replace(page, next=following)

    def _following(self, ask: Ask, token: str, page: Page, *, cookie: str) -> Ask | None:
        """The request for the next page, if there is one; raises Trouble for a circle."""
        if not token or page.capped:
            return None
        step = onward(ask.step, token, [each.external_id for each in page.items])
        return self._page(token, step, cookie=cookie)

    def _nothing(self, ask: Ask) -> Trouble:
        """Neither an app without reviews nor one that is unknown says so."""
        page, own = ask.step["page"], self.settings
        if page > 1:
            return Trouble(
                Outcome.SUSPECT,
                f"Page {page} came without a review though the one before it promised more; run "
                "it again later.",
            )
        return Trouble(
            Outcome.SUSPECT,
            f"Google shows no review of {own.package} for {own.country.upper()} in "
            f"{own.language}, and does not say that there is none; look at the app's page in a "
            "browser, check `package` and `language`, or run it again later.",
        )

    def _read(self, ask: Ask, reviews: list[Any], *, more: bool) -> Page:
        items, rejected = [], []
        page = ask.step["page"]
        for place, review in enumerate(reviews, start=1):
            try:
                items.append(self._feedback(review))
            except ValueError as error:
                rejected.append(Rejected(where=f"page {page}, review {place}", reason=str(error)))
        return Page(
            items=items,
            rejected=rejected,
            unknown=_unknown(reviews),
            checkpoint={"page": page, "reviews": len(ask.step["ids"]) + len(items)},
            capped=more and page >= self.settings.max_pages,
        )

    def _feedback(self, review: object) -> Feedback:
        """One review; raises ValueError with the reason when it is none."""
        if not isinstance(review, list) or len(review) <= _UP:
            raise ValueError("it is no list of a review's fields")
        number, written = review[_ID], review[_TEXT]
        if not isinstance(number, str) or not number:
            raise ValueError("it has no id")
        note = stars(review[_STARS])
        changed = _moment(review[_TIME])
        return Feedback(
            external_id=number,
            title=_text(review[_TITLE]),
            text=_text(written),
            stars=note,
            rating=str(note),
            rating_scale="1-5",
            language=self.settings.language,
            published_at=changed,
            edited_at=changed,
            author=_text(_at(review, _WHO, 0)) or None,
            url=link(self.settings.package, number),
            reply=_reply(_at(review, _REPLY)),
            attributes=self._attributes(review),
            raw=_raw(review),
        )

    def _attributes(self, review: list[Any]) -> dict[str, str]:
        found = {
            "country": self.settings.country.upper(),
            "version": _text(_at(review, _VERSION)),
            "thumbs_up": _text(review[_UP]),
        }
        return {name: value for name, value in found.items() if value}

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:  # noqa: ARG002 - the status says it all
        """What Google has against us."""
        asked_to_prove = "/sorry/" in answer.headers.get("location", "")
        if answer.status == 403 or asked_to_prove:  # noqa: PLR2004 - forbidden
            return Trouble(
                Outcome.BLOCKED,
                f"Google does not let this machine read its public pages ({answer.status}); use "
                "the official API for your own app, or raise `delay` and run it later.",
            )
        return None


def _changed(what: str) -> Trouble:
    return Trouble(
        Outcome.LAYOUT_CHANGED,
        f"The reviews have a layout new to this version ({what}); update this program, or use the "
        "official API.",
    )


def _at(value: object, *places: int) -> Any:
    """What stands at a place in lists within lists, or None."""
    for place in places:
        if not isinstance(value, list) or len(value) <= place:
            return None
        value = value[place]
    return value


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()


def _moment(value: object) -> Any:
    return moment(_at(value, 0), _at(value, 1))


def _reply(value: object) -> Reply | None:
    words = _text(_at(value, 1))
    at = _at(value, 2)
    return Reply(text=words, at=_moment(at) if at else None) if words else None


def _token(found: list[Any]) -> str:
    """The token of the next page, empty on the last."""
    return _text(_at(found, 1, 1))


def _cookie(ask: Ask, answer: Answer) -> str:
    """The cookie that paging needs: it lives as long as the run and is written nowhere."""
    given = _NID.search(answer.headers.get("set-cookie", ""))
    return f"NID={given[1]}" if given else ask.headers.get("Cookie", "")


def _raw(review: list[Any]) -> str:
    """The payload without the person: name, picture and account number."""
    kept = [None if place in {_WHO, _PERSON} else value for place, value in enumerate(review)]
    return json.dumps(kept, ensure_ascii=False)


def _unknown(reviews: list[Any]) -> Counter[str]:
    """Filled places that nobody knows."""
    return Counter(
        f"[{place}]"
        for review in reviews
        if isinstance(review, list)
        for place, value in enumerate(review)
        if value is not None and place not in _KNOWN
    )
