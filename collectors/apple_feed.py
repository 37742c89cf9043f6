"""The wire format of Apple's feed: JSON or XML in, entries in the shape of the JSON out. Pure."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]  # has no types
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]  # has no types

from ..storage.vocabulary import Outcome
from .collector import Trouble
from .judge import error_inside

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NAMESPACE = re.compile(r"\{([^}]*)\}(.*)")
_APPLE = "http://itunes.apple.com/rss"
_FEED = {"author", "entry", "updated", "rights", "title", "icon", "link", "id"}

Entry = dict[str, Any]


def read_feed(body: bytes) -> tuple[list[Entry], int | None]:
    """Entries, and the number of pages the feed speaks of, if it does; raises Trouble."""
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start in b"<":
        return _from_xml(body)
    return _from_json(body)


def _from_json(body: bytes) -> tuple[list[Entry], int | None]:
    data = _loads(body)
    feed = data.get("feed") if isinstance(data, dict) else None
    if not isinstance(feed, dict):
        raise error_inside(data) or _changed("there is no `feed` in it")
    entries = _several(feed.get("entry"))
    links = [link.get("attributes") or {} for link in _several(feed.get("link"))]
    strange = [name for name in feed if name not in _FEED and isinstance(feed[name], list | dict)]
    if "entry" not in feed and (strange or not _FEED & feed.keys()):
        raise error_inside(feed) or _changed("the `feed` has no entries where they used to be")
    return entries, _last_page(links)


def _loads(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"), strict=False)
    except UnicodeDecodeError as error:
        raise _changed("it is not UTF-8") from error
    except json.JSONDecodeError as error:
        if body.lstrip()[:1] in (b"{", b"["):
            raise _cut() from error
        raise _changed("it is not JSON") from error
    except RecursionError as error:
        raise _changed("it is nested too deep") from error


def _from_xml(body: bytes) -> tuple[list[Entry], int | None]:
    try:
        root = fromstring(_CONTROL.sub(b"", body), forbid_dtd=True)
    except ParseError as error:
        raise (_changed("it is no valid XML") if b"</feed>" in body else _cut()) from error
    except (DefusedXmlException, ValueError) as error:
        raise _changed("it carries a document type") from error
    if _name(root.tag) != "feed":
        raise error_inside({root.tag: root.text}) or _changed(
            f"its root is <{_name(root.tag)}>, not <feed>"
        )
    children = [(_name(child.tag), child) for child in root]
    if strange := {name for name, _ in children} - _FEED:
        raise _changed(f"it has <{min(strange)}>")
    entries = [_entry(child) for name, child in children if name == "entry"]
    return entries, _last_page([dict(child.attrib) for name, child in children if name == "link"])


def _changed(what: str) -> Trouble:
    return Trouble(
        Outcome.LAYOUT_CHANGED,
        f"Apple's feed has a new layout: {what}; update this program, the other `format` may "
        "still work meanwhile.",
    )


def _cut() -> Trouble:
    return Trouble(
        Outcome.UNAVAILABLE,
        "The answer broke off before its end; the next run reads it again.",
    )


def _name(tag: str) -> str:
    match = _NAMESPACE.fullmatch(tag)
    if not match:
        return tag
    return f"im:{match[2]}" if match[1] == _APPLE else match[2]


def _entry(element: Element) -> Entry:
    """An XML entry in the shape of a JSON one."""
    entry: Entry = {}
    for child in element:
        name = _name(child.tag)
        if name == "content" and child.get("type") == "html":
            continue  # the same words once more, as a table
        if name == "author":
            entry[name] = {_name(part.tag): {"label": part.text or ""} for part in child}
        else:
            entry[name] = {"label": child.text or "", "attributes": dict(child.attrib)}
    return entry


def _several(value: object) -> list[Entry]:
    """One, many or none: the feed writes a single element without its list."""
    if value is None:
        return []
    many: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in many):
        raise _changed("an entry is no object")
    return many


def _last_page(links: list[Any]) -> int | None:
    for link in links:
        if isinstance(link, dict) and link.get("rel") == "last":
            match = re.search(r"/page=(\d{1,3})(?:/|$)", str(link.get("href", "")))
            return int(match[1]) if match else None
    return None
