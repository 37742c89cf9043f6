"""The door: claim what is untagged, tag it in pages, save it with the tagger's version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..storage import annotations as tags

if TYPE_CHECKING:
    from ..storage.database import Database
    from .tagger import Tagger

LEASE = timedelta(minutes=10)
"""How long a page may take before another worker may take it over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """What one call tagged."""

    tagged: int
    uncertain: int


def annotate(
    db: Database,
    tagger: Tagger,
    *,
    now: Callable[[], datetime],
    worker: str,
    limit: int | None = None,
    page: int = 256,
    progress: Callable[[int], None] | None = None,
) -> Annotated:
    """Tag until nothing waits, or ``limit`` pieces of feedback; memory does not grow with them.

    What another tagger or another journey said is asked for again first. A page that fails stays
    pending; pages before it are kept.
    """
    tags.mark_stale(db, tagger.version)
    tagged = uncertain = 0
    while limit is None or tagged < limit:
        size = page if limit is None else min(page, limit - tagged)
        claimed = tags.claim(db, limit=size, now=now(), worker=worker, lease=LEASE)
        if not claimed:
            break
        said = tagger.tag(claimed)
        tags.save(db, list(zip(claimed, said, strict=True)), now=now())
        tagged += len(claimed)
        uncertain += sum(annotation.uncertain for annotation in said)
        if progress:
            progress(len(claimed))
    return Annotated(tagged=tagged, uncertain=uncertain)
