"""What Trustpilot's webhooks send, as the rows of a table: one review a row, in its last state.

A receiver of one's own writes each body into a file of a folder, or all of them into one file, one
a line. Bodies come more than once and in any order; the time of an edit says which is the latest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..storage.vocabulary import Outcome
from .collector import Trouble
from .judge import clip
from .rows import Row, Table

COLUMNS = (
    *("id", "title", "text", "stars", "language", "published_at", "edited_at", "author", "url"),
    *("reply", "reply_at", "verified", "location", "reference"),
)
_DELETED = "deleted"
_REVIEW = "service-review-"


def trustpilot(path: Path) -> Table:
    """The reviews in a file of webhook bodies, or in all of a folder; raises Trouble."""
    rows: dict[str, Row] = {}
    flaws: list[Row] = []
    gone: set[str] = set()
    strange: dict[str, int] = {}
    for number, event in enumerate(_events(path), start=1):
        name = str(event.get("eventName") or "")
        data = event.get("eventData")
        if not name.startswith(_REVIEW):
            strange[name] = strange.get(name, 0) + 1
        elif not isinstance(data, dict) or not data.get("id"):
            flaws.append(Row(number, {}, "the event has no review with an id"))
        elif name.endswith(_DELETED):
            gone.add(str(data["id"]))
        else:
            row = Row(number, _cells(data))
            known = rows.get(row.cells["id"])
            if known is None or _age(known) <= _age(row):
                rows[row.cells["id"]] = row
    kept = [row for key, row in rows.items() if key not in gone]
    return Table(list(COLUMNS), iter([*kept, *flaws]), list(_notes(gone, strange)))


def _notes(gone: set[str], strange: Mapping[str, int]) -> Iterator[str]:
    if gone:
        yield f"{len(gone)} were deleted at Trustpilot and not read; one that is stored stays"
    for name, count in sorted(strange.items()):
        yield f"{count} events {clip(name) or 'without a name'} are none of a review"


def _age(row: Row) -> str:
    return row.cells["edited_at"] or row.cells["published_at"]


def _cells(data: Mapping[str, Any]) -> dict[str, str]:
    consumer, reply = _inner(data, "consumer"), _inner(data, "companyReply")
    found = {
        "id": data.get("id"),
        "title": data.get("title"),
        "text": data.get("text"),
        "stars": data.get("stars"),
        "language": data.get("language"),
        "published_at": data.get("createdAt"),
        "edited_at": data.get("updatedAt"),
        "author": consumer.get("name") or consumer.get("displayName"),
        "url": data.get("link"),
        "reply": reply.get("text"),
        "reply_at": reply.get("updatedAt") or reply.get("createdAt"),
        "verified": data.get("isVerified"),
        "location": _inner(data, "location").get("name"),
        "reference": data.get("referenceId"),
    }
    return {name: _text(value) for name, value in found.items()}


def _inner(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    files = sorted(path.glob("*.json*")) if path.is_dir() else [path]
    for file in files:
        for body in _bodies(file):
            events = body.get("events") if isinstance(body, dict) else None
            if not isinstance(events, list):
                raise _strange(file)
            yield from (each if isinstance(each, dict) else {} for each in events)


def _bodies(file: Path) -> Iterator[Any]:
    """The one body of a file, or those that stand in it one a line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        try:
            yield json.loads(text)
        except ValueError:
            yield from [json.loads(line) for line in text.splitlines() if line.strip()] or [None]
    except (ValueError, RecursionError, OSError) as error:
        raise _strange(file) from error


def _strange(file: Path) -> Trouble:
    return Trouble(
        Outcome.MISCONFIGURED,
        f"{file.name} holds no bodies of Trustpilot's webhooks (JSON with a list `events`, one "
        "body a file or a line); mend `path`, or leave `format` out.",
    )
