"""The rows of Google Play's monthly review reports, by the names in their header. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from ..storage.vocabulary import Feedback, Outcome, Reply
from .cells import parse_time
from .collector import Trouble
from .columns import fold
from .google_play import link, stars, tag
from .judge import clip
from .rows import Row, Table

_FIELDS = {
    "package": "Package Name",
    "version_code": "App Version Code",
    "version": "App Version Name",
    "language": "Reviewer Language",
    "device": "Device",
    "submitted": "Review Submit Date and Time",
    "submitted_ms": "Review Submit Millis Since Epoch",
    "updated": "Review Last Update Date and Time",
    "updated_ms": "Review Last Update Millis Since Epoch",
    "stars": "Star Rating",
    "title": "Review Title",
    "text": "Review Text",
    "replied": "Developer Reply Date and Time",
    "replied_ms": "Developer Reply Millis Since Epoch",
    "reply": "Developer Reply Text",
    "link": "Review Link",
}
_BY_NAME = {fold(header): name for name, header in _FIELDS.items()}
_NEEDED = ("stars", "text", "link")
_KEPT = ("version", "version_code", "device")
_ID = re.compile(r"(?:[?&#:]reviewid=|ReviewPlace:(?:[^#]*&)?id=)([^&#\s]+)", re.IGNORECASE)
_MILLIS = re.compile(r"[0-9]{1,14}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC = ZoneInfo("UTC")


def mapped(table: Table, name: str) -> dict[str, str]:
    """Field → column, by the header; raises Trouble where it is no report's."""
    named = {column: _BY_NAME.get(fold(column)) for column in table.columns}
    found = {field: column for column, field in named.items() if field is not None}
    times = {"submitted", "submitted_ms", "updated", "updated_ms"} & found.keys()
    missing = [_FIELDS[field] for field in _NEEDED if field not in found]
    missing += [] if times else [_FIELDS["submitted_ms"]]
    if missing:
        raise Trouble(
            Outcome.LAYOUT_CHANGED,
            f"{name} is no review report of Google Play: it has no column "
            f"{', '.join(map(repr, missing))}; it has {', '.join(map(clip, table.columns[:20]))}. "
            "Name the file as it was downloaded, or update this program.",
        )
    return found


class RowReader:
    """Turns the rows of one report into Feedback."""

    def __init__(self, package: str, columns: Mapping[str, str]) -> None:
        self._package, self._columns = package, columns
        self._known = set(columns.values())
        self.latest: datetime | None = None
        """The last change that was read."""
        self.unknown: Counter[str] = Counter()
        """How many cells stood under headers that nobody knows."""

    def read(self, row: Row) -> Feedback:
        """One review; raises ValueError with the reason when it is none."""
        self.unknown.update(k for k, v in row.cells.items() if k not in self._known and v.strip())
        item = self._feedback(row.cells)
        self.latest = max(filter(None, (self.latest, item.edited_at)), default=None)
        return item

    def _feedback(self, cells: Mapping[str, str]) -> Feedback:
        def cell(name: str) -> str:
            return cells.get(self._columns.get(name, ""), "").strip()

        package = cell("package")
        if package and package != self._package:
            raise ValueError(f"it is of another app ({package[:60]!r})")
        submitted = _time(cell("submitted_ms"), cell("submitted"))
        updated = _time(cell("updated_ms"), cell("updated")) or submitted
        if updated is None:
            raise ValueError("it has no time")
        note = stars(_number(cell("stars")))
        number = _id(cell("link"))
        reply = cell("reply")
        replied = _time(cell("replied_ms"), cell("replied"))
        return Feedback(
            external_id=number or self._rating_id(cell),
            title=cell("title"),
            text=cell("text"),
            stars=note,
            rating=str(note),
            rating_scale="1-5",
            language=tag(cell("language")),
            published_at=submitted or updated,
            edited_at=updated,
            url=_url(cell("link"), self._package, number),
            reply=Reply(text=reply, at=replied) if reply else None,
            attributes={name: cell(name) for name in _KEPT if cell(name)},
            raw=json.dumps({k: v for k, v in cells.items() if v}, ensure_ascii=False),
        )

    def _rating_id(self, cell: Any) -> str:
        """The identity of mere stars, which have no id: app, moment, device and language."""
        fields = [self._package, cell("submitted_ms") or cell("submitted")]
        told = json.dumps([*fields, cell("device"), cell("language")])
        return f"rating-{hashlib.sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _number(cell: str) -> object:
    return int(cell) if re.fullmatch(r"[0-9]{1,3}", cell) else cell


def _time(millis: str, written: str) -> datetime | None:
    """The exact moment, or the one written out, in UTC; None where there is neither."""
    if _MILLIS.fullmatch(millis):
        return _EPOCH + timedelta(milliseconds=int(millis))
    return parse_time(written or millis, _UTC)


def _id(address: str) -> str:
    """The review's id, which stands nowhere but in its link; empty where there is no link."""
    if not address:
        return ""
    found = _ID.search(address)
    if found is None:
        raise ValueError("its link holds no review id")
    return unquote(found[1])


def _url(address: str, package: str, number: str) -> str | None:
    if address.startswith(("https://", "http://")):
        return address
    return link(package, number) if number else None
