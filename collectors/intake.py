"""The door in: one page of Feedback and its Checkpoint, one transaction.

What is not fit to be stored is set aside with a reason; nothing is dropped in silence.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import compress
from operator import attrgetter

from ..storage import privacy
from ..storage.database import Database
from ..storage.feedback import Door, Saved, save_page
from ..storage.runs import Run
from ..storage.vocabulary import Checkpoint, Feedback
from .collector import Page, Rejected

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""How far a source's clock may run before ours."""
LONGEST = 100_000
LONGEST_ID = 500
CHECKPOINT_BYTES = 4096
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one page: counts, what was set aside, items that lost control characters."""

    saved: Saved
    items: tuple[Feedback, ...]
    rejected: tuple[Rejected, ...]
    cleaned: int

    @property
    def settled(self) -> bool:
        """Whether the whole page was there, in this state, when a run last joined."""
        saved = self.saved
        return saved.settled > 0 and saved.settled == saved.unchanged + saved.changed + saved.new


FIELDS = (
    *("title", "text", "language", "stars", "rating", "category", "published_at", "edited_at"),
    *("author", "url", "reply"),
)
_FIELDS = attrgetter(*FIELDS)


def filled(item: Feedback) -> Iterator[str]:
    """The names of an item's fields that hold something, attributes with a dot before them."""
    yield from compress(FIELDS, _FIELDS(item))
    yield from (f".{name}" for name, value in item.attributes.items() if value)


def flaw(item: Feedback, now: datetime) -> str | None:
    """Why an item is not fit to be stored, or None."""
    return next(_flaws(item, now), None)


def _flaws(item: Feedback, now: datetime) -> Iterator[str]:
    if not item.external_id.strip():
        yield "it has no id"
    if len(item.external_id) > LONGEST_ID or _CONTROL.search(item.external_id):
        yield "its id is too long or has control characters"
    if item.stars is not None and (isinstance(item.stars, bool) or item.stars not in range(1, 6)):
        yield f"{item.stars!r} stars are not 1 to 5"
    # Open data speaks by its category alone.
    said = (item.title.strip(), item.text.strip(), item.stars, item.rating, item.category)
    if not any(said):
        yield "it has neither text nor stars"
    if len(item.text) + len(item.title) > LONGEST:
        yield f"its text is longer than {LONGEST} characters"
    if item.language is not None and not _LANGUAGE.fullmatch(item.language):
        yield "its language is no language tag"
    reply_at = item.reply.at if item.reply else None
    times = {"published_at": item.published_at, "edited_at": item.edited_at, "reply_at": reply_at}
    for name, moment in times.items():
        if moment is not None:
            yield from _flaws_of_time(name, moment, now)


def _flaws_of_time(name: str, moment: datetime, now: datetime) -> Iterator[str]:
    if moment.tzinfo is None:
        yield f"{name} has no time zone"
    elif moment > now + AHEAD:
        yield f"{name} lies in the future"
    elif moment < EARLIEST:
        yield f"{name} lies before {EARLIEST.year}"


def take(
    db: Database,
    run: Run,
    page: Page,
    checkpoint: Checkpoint | None,
    *,
    door: Door,
    now: datetime,
) -> Taken:
    """Store a page and its checkpoint in one transaction; raises StorageError."""
    good, bad = [], list(page.rejected)
    for place, item in enumerate(page.items):
        if reason := flaw(item, now):
            where = page.where[place] if page.where else item.external_id[:40]
            cells = page.cells[place] if page.cells else {}
            bad.append(Rejected(where=where, reason=reason, cells=cells))
        else:
            good.append(item)
    if checkpoint is not None:
        _small(checkpoint.value)
    saved = save_page(db, run, good, checkpoint, door=door, now=now, rejected=len(bad))
    return Taken(
        saved=saved,
        items=tuple(good),
        rejected=tuple(bad),
        cleaned=sum(_dirty(item) for item in good),
    )


def _dirty(item: Feedback) -> bool:
    """Whether the door will take control characters out of it."""
    reply = item.reply.text if item.reply else ""
    text = f"{item.title}\n{item.text}\n{reply}".replace("\r\n", "\n").replace("\r", "\n")
    return len(privacy.clean(text)) != len(unicodedata.normalize("NFC", text))


def _small(value: Mapping[str, object]) -> None:
    size = len(json.dumps(value).encode())
    if size > CHECKPOINT_BYTES:
        raise ValueError(f"a checkpoint of {size} bytes is no checkpoint; keep it small")
