"""Apple's public customer-reviews feed, as the stand-in writes it: JSON and Atom XML.

The oddities are the real feed's own: every scalar in ``{"label": …}``, one entry as an object
instead of a list, no ``entry`` at all when there is none, paging links of the JSON feed that lead
to XML, times with Cupertino's offset, two ``content`` elements in XML.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

from .feedback import Piece

APP = "1590042871"
"""The App Store id of the stand-in brand's app."""
STOREFRONTS = {"br": "app-br", "mx": "app-mx", "us": "app-us"}
PAGE_SIZE = 50
LAST_PAGE = 10
CUPERTINO = ZoneInfo("America/Los_Angeles")
LANGUAGES = {"br": "pt", "mx": "es", "us": "en"}
TITLES = {"pt": "Avaliações dos clientes", "es": "Reseñas de clientes", "en": "Customer Reviews"}
CATEGORIES = {"pt": "Aplicativo", "es": "Aplicación", "en": "Application"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the feed of one app in one storefront; ``number`` counts from 1."""

    base: str
    country: str
    app: str
    number: int
    sort: str
    style: str
    entries: Sequence[Piece]
    pages: int
    updated: datetime

    @property
    def lang(self) -> str:
        """The storefront's language, which need not be the reviews'."""
        return LANGUAGES.get(self.country, "en")

    @property
    def address(self) -> str:
        """The feed's own name of this page."""
        return f"{self.base}/{self.country}/rss{self._tail(self.style)}"

    def links(self) -> list[dict[str, str]]:
        """The links of the feed; all but the first two lead to XML, whatever was asked for."""
        numbers = {
            "first": 1,
            "last": max(self.pages, 1),
            "previous": max(self.number - 1, 1),
            "next": min(self.number + 1, max(self.pages, 1)),
        }
        grouping = f"{self.base}/WebObjects/MZStore.woa/wa/viewGrouping?cc={self.country}&id=38"
        return [
            {"rel": "alternate", "type": "text/html", "href": grouping},
            {"rel": "self", "href": self.address},
            *({"rel": rel, "href": self._xml_page(number)} for rel, number in numbers.items()),
        ]

    def _tail(self, style: str) -> str:
        return f"/customerreviews/id={self.app}/sortBy={self.sort}/page={self.number}/{style}"

    def _xml_page(self, number: int) -> str:
        place = f"{self.base}/{self.country}/rss/customerreviews/page={number}/id={self.app}"
        return f"{place}/sortby={self.sort.lower()}/xml?urlDesc={self._tail(self.style)}"


def turn(pieces: Sequence[Piece], sort: str, number: int) -> tuple[list[Piece], int]:
    """The entries of one page, and how many pages there are; nothing beyond the tenth page."""
    newest = sorted(pieces, key=lambda piece: (piece.updated, piece.id), reverse=True)
    if sort == "mostHelpful":
        newest.sort(key=lambda piece: int(_votes(piece)[0]), reverse=True)
    start = (number - 1) * PAGE_SIZE
    return newest[start : start + PAGE_SIZE], min(-(-len(newest) // PAGE_SIZE), LAST_PAGE)


def feed_json(page: Page) -> bytes:
    """The page as Apple's JSON."""
    feed: dict[str, object] = {
        "author": {"name": _label("iTunes Store"), "uri": _label(f"{page.base}/{page.country}/")}
    }
    entries = [_entry(page, piece) for piece in page.entries]
    if entries:
        feed["entry"] = entries if len(entries) > 1 else entries[0]
    feed |= {
        "updated": _label(_time(page.updated)),
        "rights": _label("Copyright 2008 Apple Inc."),
        "title": _label(f"iTunes Store: {TITLES[page.lang]}"),
        "icon": _label(f"{page.base}/favicon.ico"),
        "link": [{"attributes": link} for link in page.links()],
        "id": _label(page.address),
    }
    return json.dumps({"feed": feed}, ensure_ascii=False).encode()


def feed_xml(page: Page) -> bytes:
    """The page as Atom."""
    names = {
        "xmlns:im": "http://itunes.apple.com/rss",
        "xmlns": "http://www.w3.org/2005/Atom",
        "xml:lang": page.lang,
    }
    author = _element("name", "iTunes Store") + _element("uri", f"{page.base}/{page.country}/")
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f"<feed {_attributes(names)}>",
        _element("id", page.address),
        _element("title", f"iTunes Store: {TITLES[page.lang]}"),
        _element("updated", _time(page.updated)),
        *(f"<link {_attributes(link)}/>" for link in page.links()),
        _element("icon", f"{page.base}/favicon.ico"),
        f"<author>{author}</author>",
        _element("rights", "Copyright 2008 Apple Inc."),
        *(_xml_entry(page, piece) for piece in page.entries),
        "</feed>",
    ]
    return "\n".join(lines).encode()


def _entry(page: Page, piece: Piece) -> dict[str, object]:
    votes, voters = _votes(piece)
    return {
        "author": {
            "uri": _label(_profile(page, piece)),
            "name": _label(piece.author),
            "label": "",
        },
        "updated": _label(_time(piece.updated)),
        "im:rating": _label(str(piece.stars)),
        "im:version": _label(piece.details["version"]),
        "id": _label(piece.id),
        "title": _label(piece.title),
        "content": {"label": piece.text, "attributes": {"type": "text"}},
        "link": {"attributes": {"rel": "related", "href": _review(page)}},
        "im:voteSum": _label(votes),
        "im:contentType": {
            "attributes": {"term": "Application", "label": CATEGORIES[page.lang]},
        },
        "im:voteCount": _label(voters),
    }


def _xml_entry(page: Page, piece: Piece) -> str:
    votes, voters = _votes(piece)
    shown = "<br/>".join(escape(piece.text, quote=False).splitlines())
    html = f"<table><tr><td><b>{escape(piece.title)}</b><br/>{shown}</td></tr></table>"
    category = {"term": "Application", "label": CATEGORIES[page.lang]}
    author = _element("name", piece.author) + _element("uri", _profile(page, piece))
    return "\n".join(
        [
            "<entry>",
            _element("updated", _time(piece.updated)),
            _element("id", piece.id),
            _element("title", piece.title),
            f'<content type="text">{escape(piece.text, quote=False)}</content>',
            f"<im:contentType {_attributes(category)}/>",
            _element("im:voteSum", votes) + _element("im:voteCount", voters),
            _element("im:rating", str(piece.stars)),
            _element("im:version", piece.details["version"]),
            f"<author>{author}</author>",
            f"<link {_attributes({'rel': 'related', 'href': _review(page)})}/>",
            f'<content type="html">{escape(html, quote=False)}</content>',
            "</entry>",
        ]
    )


def _label(value: str) -> dict[str, str]:
    return {"label": value}


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text, quote=False)}</{name}>"


def _attributes(values: dict[str, str]) -> str:
    return " ".join(f"{name}={quoteattr(value)}" for name, value in values.items())


def _time(moment: datetime) -> str:
    return moment.astimezone(CUPERTINO).isoformat(timespec="seconds")


def _votes(piece: Piece) -> tuple[str, str]:
    """Net helpful votes and how many voted."""
    return piece.details.get("votes", "0"), piece.details.get("voters", "0")


def _profile(page: Page, piece: Piece) -> str:
    return f"{page.base}/{page.country}/reviews/id{zlib.crc32(piece.author.encode())}"


def _review(page: Page) -> str:
    return f"{page.base}/{page.country}/review?id={page.app}&type=Purple%20Software"
