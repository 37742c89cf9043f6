"""Apple's public feed of App Store reviews: JSON or XML, newest first, at most 500 per country.

The feed is known for its shapes: a single entry is no list, the app itself may come first, old
JSON has no dates, its `next` link leads to the XML, and an app with thousands of reviews may
answer with none for hours. Page addresses are therefore built here, the page count is read from
the `last` link, and an empty feed is believed only when Apple's own lookup agrees.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ...storage.vocabulary import Feedback, Outcome
from ..apple_feed import read_feed
from ..collector import Answer, Ask, Collector, Options, Page, Rejected, Trait, Trouble, WebAddress
from ..countries import Country

MOST_PAGES = 10
FULL_PAGE = 50
MANY_RATINGS = 50
"""With so many ratings an app has written reviews; fewer may well all be mere stars."""

_FORMS = (
    "{base}/{country}/rss/customerreviews/page={page}/id={app}/sortby=mostrecent/{style}",
    "{base}/{country}/rss/customerreviews/id={app}/sortBy=mostRecent/page={page}/{style}",
)
_LOOKUP = "{base}/lookup?id={app}&country={country}"
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_KNOWN = {
    *("author", "im:version", "im:rating", "id", "title", "content", "link", "updated"),
    *("im:voteSum", "im:voteCount", "im:contentType"),
}


def _app(value: str) -> str:
    if not re.fullmatch(r"[0-9]{3,20}", value, re.ASCII):
        raise ValueError(
            f"{value!r} is no app; write the digits after 'id' in the app's address in the store"
        )
    return value


class AppStoreSettings(Options):
    """One app in one country's store."""

    base_url: WebAddress = "https://itunes.apple.com"
    app: Annotated[str, AfterValidator(_app)]
    country: Country
    format: Literal["json", "xml"] = "json"
    max_pages: int = Field(default=MOST_PAGES, ge=1, le=MOST_PAGES)


class AppStore(Collector[AppStoreSettings]):
    """Reads the feed from its first page on."""

    kind = "app_store"
    traits = frozenset({Trait.PAGED, Trait.NEWEST_FIRST, Trait.CAPPED, Trait.POLLED})
    reads = ("app", "country")
    Settings = AppStoreSettings
    # A review that slipped between two pages while they moved is found a week later at most.
    reread_after = timedelta(days=7)

    def first(self, mark: Mapping[str, Any]) -> Ask:  # noqa: ARG002 - the top is read every time
        """The first page; "not modified" there means that nothing came and nothing was edited."""
        return self._page(1, form=0, seen=0, conditional=True)

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        """The one page of an answer."""
        if ask.step.get("lookup"):
            yield self._believed(answer, mark)
            return
        entries, last = read_feed(answer.body)
        reviews = [entry for entry in entries if not _is_app(entry)]
        yield self._read(ask, reviews, last) if reviews else self._nothing(ask, last)

    def _page(self, page: int, *, form: int, seen: int, conditional: bool = False) -> Ask:
        url = _FORMS[form].format(
            base=self.settings.base_url,
            country=self.settings.country,
            app=self.settings.app,
            style=self.settings.format,
            page=page,
        )
        step = {"page": page, "form": form, "seen": seen}
        return Ask(url=url, step=step, conditional=conditional)

    def _read(self, ask: Ask, reviews: list[dict[str, Any]], last: int | None) -> Page:
        items, rejected = [], []
        for place, entry in enumerate(reviews, start=1):
            try:
                items.append(self._feedback(entry))
            except ValueError as error:
                where = f"page {ask.step['page']}, entry {place}"
                rejected.append(Rejected(where=where, reason=str(error)))
        page, seen = ask.step["page"], ask.step["seen"] + len(items)
        more = page < last if last is not None else len(reviews) >= FULL_PAGE
        full = len(reviews) >= FULL_PAGE
        top = page >= self.settings.max_pages
        following = self._page(page + 1, form=ask.step["form"], seen=seen)
        return Page(
            items=items,
            rejected=rejected,
            unknown=Counter(name for entry in reviews for name in entry if name not in _KNOWN),
            checkpoint={"reviews": seen, "page": page, "pages": last},
            next=None if top or not more else following,
            capped=top and (more or (full and page == MOST_PAGES)),
        )

    def _nothing(self, ask: Ask, last: int | None) -> Page:
        """No review on this page: the end, or one more look before it is believed."""
        page, form, seen = ask.step["page"], ask.step["form"], ask.step["seen"]
        if seen and last is None:
            return Page(checkpoint={"reviews": seen, "page": page, "pages": page - 1})
        if form + 1 < len(_FORMS):
            return Page(next=self._page(page, form=form + 1, seen=seen))
        if seen:
            raise Trouble(
                Outcome.SUSPECT,
                f"Page {page} of {last} came without a review though pages before it had some; "
                "Apple's feed does so at times: run it again later.",
            )
        url = _LOOKUP.format(
            base=self.settings.base_url, app=self.settings.app, country=self.settings.country
        )
        return Page(next=Ask(url=url, step={"lookup": True}))

    def _believed(self, answer: Answer, mark: Mapping[str, Any]) -> Page:
        """Whether an empty feed is the truth, by Apple's lookup of the app."""
        app, country = self.settings.app, self.settings.country.upper()
        if had := mark.get("reviews"):
            raise Trouble(
                Outcome.SUSPECT,
                f"The feed showed {had} reviews before and none now; Apple's feed does so at "
                "times: nothing was deleted here, run it again later.",
            )
        found = _lookup(answer.body)
        if found is None:
            raise Trouble(
                Outcome.SUSPECT,
                "The feed is empty and Apple's lookup does not say whether the app exists; "
                "check `app` and `country`, or run it again later.",
            )
        if found < 0:
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"Apple knows no app {app} in the store of {country}; mend `app` or `country` "
                "(the digits after 'id' in the app's address in the store).",
            )
        if found >= MANY_RATINGS:
            raise Trouble(
                Outcome.SUSPECT,
                f"The feed is empty though Apple counts {found} ratings of app {app} in {country}; "
                "Apple's feed does so at times: run it again later.",
            )
        return Page(empty=True, checkpoint={"reviews": 0, "page": 1, "pages": 0})

    def _feedback(self, entry: Mapping[str, Any]) -> Feedback:
        """One review; raises ValueError with the reason when it is none."""
        updated = _time(entry)
        return Feedback(
            external_id=_text(entry, "id"),
            title=_text(entry, "title"),
            text=_content(entry),
            stars=_stars(entry),
            published_at=updated,
            edited_at=updated,
            author=_author(entry),
            url=_link(entry),
            attributes=self._attributes(entry),
            raw=_raw(entry),
        )

    def _attributes(self, entry: Mapping[str, Any]) -> dict[str, str]:
        found = {
            "country": self.settings.country.upper(),
            "version": _text(entry, "im:version"),
            "votes": _text(entry, "im:voteSum"),
            "vote_count": _text(entry, "im:voteCount"),
        }
        return {name: value for name, value in found.items() if value}


def _is_app(entry: Mapping[str, Any]) -> bool:
    """Feeds of 2018 begin with the app itself."""
    return "im:rating" not in entry and ("im:name" in entry or "im:price" in entry)


def _label(value: object) -> str:
    label = value.get("label", "") if isinstance(value, dict) else value
    return label if isinstance(label, str) else "" if label is None else str(label)


def _decoded(text: str) -> str:
    """Entities that Apple left in; only whole ones, for people write a bare & too."""
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def _text(entry: Mapping[str, Any], name: str) -> str:
    return _decoded(_label(entry.get(name))).strip()


def _content(entry: Mapping[str, Any]) -> str:
    content = entry.get("content")
    for each in content if isinstance(content, list) else [content]:
        kind = (each.get("attributes") or {}).get("type", "text") if isinstance(each, dict) else ""
        if kind == "text":
            return _decoded(_label(each)).strip()
    raise ValueError("the entry has no text")


def _stars(entry: Mapping[str, Any]) -> int:
    label = _text(entry, "im:rating")
    if label not in {"1", "2", "3", "4", "5"}:
        raise ValueError(f"{label[:20]!r} is no rating from 1 to 5")
    return int(label)


def _time(entry: Mapping[str, Any]) -> datetime | None:
    """The last edit, in UTC; the JSON of 2018 to 2020 has none."""
    label = _text(entry, "updated")
    if not label:
        return None
    try:
        moment = datetime.fromisoformat(label)
    except ValueError as error:
        raise ValueError(f"`updated` is no time: {label[:40]!r}") from error
    if moment.tzinfo is None:
        raise ValueError(f"`updated` has no offset: {label[:40]!r}")
    return moment.astimezone(UTC)


def _author(entry: Mapping[str, Any]) -> str | None:
    author = entry.get("author")
    return _text(author, "name") or None if isinstance(author, dict) else None


def _link(entry: Mapping[str, Any]) -> str | None:
    links = entry.get("link")
    for link in links if isinstance(links, list) else [links]:
        attributes = link.get("attributes") if isinstance(link, dict) else None
        href = attributes.get("href") if isinstance(attributes, dict) else None
        if isinstance(href, str) and href.startswith(("https://", "http://")):
            return href
    return None


def _raw(entry: Mapping[str, Any]) -> str:
    """The payload without the person: the author is kept as a pseudonym only."""
    return json.dumps({k: v for k, v in entry.items() if k != "author"}, ensure_ascii=False)


def _lookup(body: bytes) -> int | None:
    """How many ratings Apple counts; −1 for an unknown app, None when the answer does not say."""
    try:
        data = json.loads(body)
        count, results = data["resultCount"], data["results"]
        return int(results[0].get("userRatingCount") or 0) if count else -1
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None
