"""A reading of everything that was broken off is gone on with, and counts from its beginning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ouvidor.collectors import bookmark as bookmarks
from ouvidor.collectors.bookmark import Bookmark
from ouvidor.collectors.collector import Options
from ouvidor.storage.vocabulary import Checkpoint

FIRST = datetime(2026, 10, 5, 15, tzinfo=UTC)
SECOND = FIRST + timedelta(hours=1)
OPTIONS = Options()


def written(bookmark: Bookmark, started: datetime, *, full: bool) -> Checkpoint:
    return bookmarks.write(bookmark, version=1, options=OPTIONS, started=started, full=full)


def read(checkpoint: Checkpoint, joined_at: datetime | None) -> Bookmark:
    return bookmarks.read(checkpoint, version=1, options=OPTIONS, joined_at=joined_at)


def test_a_whole_reading_that_was_broken_off_is_told() -> None:
    found = read(written(Bookmark(mark={"page": 3}), FIRST, full=True), joined_at=None)
    assert (found.mark, found.begun, found.full_at) == ({"page": 3}, FIRST, None)


def test_one_that_was_gone_on_with_counts_from_its_beginning() -> None:
    broken = read(written(Bookmark(mark={"page": 3}), FIRST, full=True), joined_at=None)
    found = read(written(broken, SECOND, full=True), joined_at=SECOND)
    assert (found.begun, found.full_at) == (None, FIRST)


def test_an_incremental_reading_that_was_broken_off_is_none() -> None:
    whole = read(written(Bookmark(mark={}), FIRST, full=True), joined_at=FIRST)
    found = read(written(whole, SECOND, full=False), joined_at=FIRST)
    assert (found.begun, found.full_at) == (None, FIRST)
