"""The bookmark: what one run leaves for the next, inside the Checkpoint. Pure.

Every page writes it, but what it promises (an ETag, "all was read on that day") holds only if the
run that wrote it went on to join known ground. It therefore carries the start of its run, and the
next run believes it only when that is the start of the last run that joined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..config import Secret
from ..storage.vocabulary import Checkpoint
from .collector import Answer, Options

_MANNERS = set(Options.model_fields) - {"base_url"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """``mark`` is the collector's own; ``etag`` and ``modified`` are the source's validators.

    ``full_at`` is the start of the last reading of everything that joined; ``begun`` that of one
    which was broken off and can be gone on with.
    """

    mark: Mapping[str, Any]
    etag: str = ""
    modified: str = ""
    full_at: datetime | None = None
    begun: datetime | None = None

    def overdue(self, now: datetime, after: timedelta | None) -> bool:
        """Whether everything should be read once more."""
        return after is not None and (self.full_at is None or now - self.full_at >= after)

    def with_validators(self, answer: Answer) -> Bookmark:
        """The same with the validators of an answer."""
        headers = answer.headers
        return replace(
            self, etag=headers.get("etag", ""), modified=headers.get("last-modified", "")
        )

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for changes only."""
        found = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in found.items() if value}


def fingerprint(options: Options) -> str:
    """Changes when the options change what is read, not when they change how politely."""
    # A renewed key opens the same door; and nothing of it belongs into a checkpoint.
    secrets = {name for name, value in options if isinstance(value, Secret)}
    text = options.model_dump_json(exclude=_MANNERS | secrets)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(
    checkpoint: Checkpoint | None, *, version: int, options: Options, joined_at: datetime | None
) -> Bookmark:
    """What the last run left, as far as it may be believed."""
    value = checkpoint.value if checkpoint and checkpoint.version == version else {}
    if not isinstance(value, Mapping) or value.get("of") != fingerprint(options):
        return Bookmark(mark={})
    mark = value.get("mark")
    mark = mark if isinstance(mark, Mapping) else {}
    full_at = _moment(value.get("full_at"))
    started = _moment(value.get("run"))
    begun = (_moment(value.get("begun")) or started) if value.get("full") else None
    if started is None or started != joined_at:
        return Bookmark(mark=mark, full_at=full_at, begun=begun)
    return Bookmark(
        mark=mark,
        etag=str(value.get("etag") or ""),
        modified=str(value.get("modified") or ""),
        full_at=begun or full_at,
    )


def write(
    bookmark: Bookmark, *, version: int, options: Options, started: datetime, full: bool
) -> Checkpoint:
    """The checkpoint of one page."""
    return Checkpoint(
        version=version,
        value={
            "of": fingerprint(options),
            "mark": dict(bookmark.mark),
            "etag": bookmark.etag[:200],
            "modified": bookmark.modified[:100],
            "run": started.isoformat(),
            "full": full,
            "begun": (bookmark.begun or started).isoformat() if full else None,
            "full_at": bookmark.full_at.isoformat() if bookmark.full_at else None,
        },
    )


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
