"""The door: claim what is untagged, tag it in pages, save it with the tagger's version.

Once a week it also studies the week that is over: emerging themes, and the posture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from ..storage import annotations as tags
from ..storage import studies
from .posture import posture
from .themes import emerging

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..storage.database import Database
    from .posture import Trait
    from .tagger import Tagger

LEASE = timedelta(minutes=10)
"""How long a page may take before another worker may take it over."""


MOST_TEXTS = 20_000
"""Texts of the month, and of the past, that a study reads; of more, every second or third."""
MOST_REMARKS = 400
"""Remarks about one touchpoint that its posture is judged by: the latest."""


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
    return _drain(db, tagger, now, worker, limit=limit, page=page, progress=progress)


def annotate_block(
    db: Database,
    tagger: Tagger,
    block: range,
    *,
    since: datetime | None,
    now: Callable[[], datetime],
    worker: str,
    page: int = 256,
) -> Annotated:
    """Tag what waits among these ids, and what was tagged before ``since`` or by another tagger.

    A block may be done twice, also after somebody was killed in the middle of it: what is saved
    stays saved, and claims in the name of ``worker`` are taken over.
    """
    tags.request_block(db, block, tagger=tagger.version, since=since)
    return _drain(db, tagger, now, worker, block=block, page=page)


def _drain(
    db: Database,
    tagger: Tagger,
    now: Callable[[], datetime],
    worker: str,
    *,
    page: int,
    limit: int | None = None,
    block: range | None = None,
    progress: Callable[[int], None] | None = None,
) -> Annotated:
    tagged = uncertain = 0
    while limit is None or tagged < limit:
        size = page if limit is None else min(page, limit - tagged)
        claimed = tags.claim(db, limit=size, now=now(), worker=worker, lease=LEASE, block=block)
        if not claimed:
            break
        said = tagger.tag(claimed)
        tags.save(db, list(zip(claimed, said, strict=True)), now=now())
        tagged += len(claimed)
        uncertain += sum(annotation.uncertain for annotation in said)
        if progress:
            progress(len(claimed))
    return Annotated(tagged=tagged, uncertain=uncertain)


def study(
    db: Database,
    tagger: Tagger,
    *,
    sunday: date,
    postures: Mapping[str, Sequence[Trait]],
    now: datetime,
) -> int:
    """Study the four weeks up to a Sunday; returns how many themes emerged.

    ``postures`` holds the traits by touchpoint. Done again, it replaces what was found before.
    """
    month = sunday - studies.MONTH
    known = studies.known_before(db, month - studies.MONTH)
    told = studies.texts(db, after=month, until=sunday, most=MOST_TEXTS)
    before = studies.texts(db, after=month - studies.PAST, until=month, most=MOST_TEXTS)
    themes = emerging(
        [each for each in told if each.source in known],
        [each for each in before if each.source in known],
        lambda phrases: tagger.vectors(phrases)[1],
    )
    judged = [
        found
        for touchpoint, traits in postures.items()
        if traits
        for found in posture(touchpoint, traits, _remarks(db, touchpoint, sunday), tagger)
    ]
    studies.save(
        db,
        sunday - timedelta(days=6),
        tagger=tagger.version,
        themes=themes,
        postures=judged,
        now=now,
    )
    return len(themes)


def _remarks(db: Database, touchpoint: str, sunday: date) -> list[studies.Remark]:
    after = sunday - studies.MONTH
    return studies.remarks(db, touchpoint, after=after, until=sunday, most=MOST_REMARKS)
