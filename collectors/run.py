"""The door: one run of one source. Open, read page by page, judge the outcome, close."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from ..config import ConfigError, Source
from ..storage import privacy, runs
from ..storage.database import Database
from ..storage.feedback import Door
from ..storage.vocabulary import Outcome
from . import bookmark as bookmarks
from . import judge, web
from .aside import Aside
from .collector import (
    Answer,
    Ask,
    Collector,
    Page,
    Place,
    Trait,
    Trouble,
    kind_of,
    refuse_twin,
    settings_for,
)
from .intake import Taken, filled, take
from .stop import Stop

logger = logging.getLogger(__name__)

_REASONS = 50
_EXAMPLES = 10
_NOT_KNOWN = {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
"""How an old page token is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How one run ended. ``stopped`` says that the process was asked to end."""

    outcome: Outcome
    message: str
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    pages: int = 0
    rejected: int = 0
    stopped: bool = False


def run_source(
    db: Database,
    name: str,
    source: Source,
    *,
    door: Door,
    now: datetime,
    full: bool = False,
    folder: Path,
    progress: Callable[[str], None] | None = None,
    others: Mapping[str, Source] | None = None,
) -> RunReport:
    """Read one source and say how it ended; a bad configuration is an outcome too.

    ``folder`` is where relative paths start; ``full`` reads everything there is, known or not;
    ``others`` are all configured sources, of which two that read the same are not both read.
    SIGTERM and SIGINT end it within seconds; what was committed stays. Raises RunInProgressError
    while another process reads the source, and StorageError when the database fails.
    """
    began = time.monotonic()

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - began)

    with Stop() as stop:
        run = runs.open_run(db, source=name, kind=source.kind, now=now)
        since = runs.last_joined_start(db, run.source_id)
        reading = judge.Reading(
            started=run.started_at, first=run.first, since=since, zone=door.zone
        )
        try:
            place = Place(name=name, zone=door.zone, folder=folder)
            collector = kind_of(name, source)(settings_for(name, source), place)
            if others is not None:
                refuse_twin(name, others)
        except ConfigError as error:
            reading.trouble = Trouble(Outcome.MISCONFIGURED, str(error))
        else:
            reading.traits = collector.traits
            reading.brought.update(dict.fromkeys(collector.parts(), 0))
            reading.window = collector.window
            with ExitStack() as resources:
                _Reader(
                    db=db,
                    run=run,
                    collector=collector,
                    reading=reading,
                    door=door,
                    clock=clock,
                    stop=stop,
                    full=full,
                    progress=progress,
                    resources=resources,
                ).attempt()
        _missed(db, run, reading)
        judgement = judge.verdict(reading)
        runs.close_run(db, run, _verdict(judgement), now=clock(), zone=door.zone)
    return _report(reading, judgement, stopped=bool(stop.asked))


def _missed(db: Database, run: runs.Run, reading: judge.Reading) -> None:
    """Note how many known ones a reading of everything did not show."""
    if reading.trouble or reading.rejected or reading.everything_since is None:
        return
    if gone := runs.not_seen_since(db, run.source_id, reading.everything_since):
        reading.notes.append(f"{gone} known before are no longer shown by the source")


def prove(name: str, source: Source, *, zone: ZoneInfo, folder: Path, now: datetime) -> str:
    """Ask the source its cheapest question and say what it answered; stores nothing.

    Raises ConfigError, or Trouble with the sentence that a run would end with.
    """
    place = Place(name=name, zone=zone, folder=folder)
    collector = kind_of(name, source)(settings_for(name, source), place)
    ask = collector.probe()
    if ask.path is not None:
        _local(ask.path, "")
        return "the file is there"

    async def asked(fetch: web.Fetch) -> Answer:
        answer = await _let_in(collector, ask, {}, fetch, lambda: now)
        _check(collector, ask, answer, now)
        return answer

    with Stop() as stop:
        answer = web.run(
            asked,
            collector.settings,
            ask.url,
            stop=stop,
            clock=lambda: now,
            robots=collector.robots,
        )
    if Trait.WHOLE_FILE in collector.traits and Trait.PAGED not in collector.traits:
        return "the file can be had"
    page = next(_parsed(collector, ask, answer, {}), Page())
    shown = len(page.items) + len(page.rejected)
    return f"answers, {shown} on its first page" if shown else "answers"


def _verdict(judgement: judge.Judgement) -> runs.Verdict:
    return runs.Verdict(
        outcome=judgement.outcome,
        message=judgement.message,
        joined=judgement.joined,
        covered=judgement.covered,
        details=judgement.details,
    )


def _report(reading: judge.Reading, judgement: judge.Judgement, *, stopped: bool) -> RunReport:
    return RunReport(
        outcome=judgement.outcome,
        message=judgement.message,
        new=reading.new,
        changed=reading.changed,
        unchanged=reading.unchanged,
        pages=reading.pages,
        rejected=reading.rejected,
        stopped=stopped,
    )


class _Reader:
    """One reading: asks, takes pages in, and stops where known ground is joined."""

    def __init__(
        self,
        *,
        db: Database,
        run: runs.Run,
        collector: Collector[Any],
        reading: judge.Reading,
        door: Door,
        clock: Callable[[], datetime],
        stop: Stop,
        full: bool,
        progress: Callable[[str], None] | None,
        resources: ExitStack,
    ) -> None:
        self._db, self._run, self._door = db, run, door
        self._collector, self._reading = collector, reading
        self._clock, self._stop, self._progress = clock, stop, progress
        self._resources = resources
        self._options = collector.settings
        self._bookmark = bookmarks.read(
            run.checkpoint,
            version=collector.version,
            options=self._options,
            joined_at=reading.since,
        )
        self._mark = self._bookmark.mark
        overdue = self._bookmark.overdue(run.started_at, collector.reread_after)
        # What was broken off is gone on with, whoever asked for it.
        self._full = full or run.first or overdue or self._bookmark.begun is not None
        self._start = self._mark
        if full or (overdue and not run.first and self._bookmark.begun is None):
            # Everything is read once more: from the start, and not from where the last run was.
            self._start = {}
            self._bookmark = replace(self._bookmark, begun=None)
        self._aside: Aside | None = None

    def attempt(self) -> None:
        """Read; whatever ends it early becomes the reading's trouble."""
        try:
            self._collector.started = self._run.started_at
            ask = self._collector.first(self._start)
            self._go(ask)
        except Trouble as trouble:
            self._reading.trouble = trouble
        except TimeoutError:
            self._reading.trouble = Trouble(
                Outcome.PARTIAL,
                f"The run took more than {self._options.max_minutes:g} minutes; run it again, or "
                "raise `max_minutes`.",
            )
        except asyncio.CancelledError:
            self._reading.trouble = Trouble(
                Outcome.PARTIAL,
                f"Stopped by {self._stop.asked or 'request'}; the next run goes on.",
            )
        finally:
            self._stop.calls(None)
            self._put_aside()

    def _go(self, ask: Ask) -> None:
        if ask.path is not None:
            asyncio.run(self._stoppable(ask))
            return
        web.run(
            lambda fetch: self._read(ask, fetch),
            self._options,
            ask.url,
            stop=self._stop,
            clock=self._clock,
            robots=self._collector.robots,
        )

    async def _stoppable(self, ask: Ask) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            self._stop.calls(lambda: loop.call_soon_threadsafe(task.cancel))
        await self._read(ask, None)

    async def _read(self, first: Ask, fetch: web.Fetch | None) -> None:
        async with asyncio.timeout(self._options.max_minutes * 60):
            ask: Ask | None = first
            part = first.part
            while ask is not None:
                if ask.part != part:
                    part, self._reading.joined = ask.part, False
                answer = await self._ask(ask, fetch)
                if answer.status in _NOT_KNOWN and ask.instead is not None:
                    ask = ask.instead
                    continue
                if answer.status == HTTPStatus.NOT_MODIFIED:
                    self._unmodified()
                    return
                _check(self._collector, ask, answer, self._clock())
                ask = await self._pages(ask, self._as_file(answer))

    async def _ask(self, ask: Ask, fetch: web.Fetch | None) -> Answer:
        self._reading.requests += 1
        conditional = ask.conditional and not self._full
        if ask.path is not None or fetch is None:
            return _local(ask.path or Path(), self._bookmark.etag if conditional else "")
        conditions = self._bookmark.conditions if conditional else {}
        return await _let_in(self._collector, ask, conditions, fetch, self._clock)

    def _as_file(self, answer: Answer) -> Answer:
        """A whole file is read from disk, wherever it came from."""
        if Trait.WHOLE_FILE not in self._collector.traits:
            return answer
        beside, path = self._collector.place.folder / self._run.source, answer.path
        if path is None:
            folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory()))
            path = folder / (PurePosixPath(answer.url.partition("?")[0]).name or "file")
            path.write_bytes(answer.body)
        else:
            beside = path.with_suffix("")
        self._put_beside(beside.with_name(f"{beside.name}.rejected.csv"))
        return replace(answer, path=path, body=b"")

    def _put_beside(self, target: Path) -> None:
        """Where bad rows go; a run may read many files, each to its end before the next."""
        if self._aside is not None and self._aside.target == target:
            return
        if self._aside is not None:
            self._reading.notes += self._aside.close(whole=True)
        self._aside = Aside(target)

    def _unmodified(self) -> None:
        """The source says that nothing has changed since the run that joined last."""
        self._reading.not_modified = True
        self._take(Page(checkpoint=self._mark))

    async def _pages(self, ask: Ask, answer: Answer) -> Ask | None:
        """Take the pages of one answer in; what to ask for next."""
        if ask.conditional:
            self._bookmark = self._bookmark.with_validators(answer)
        page = Page()
        for page in _parsed(self._collector, ask, answer, self._mark):
            known = self._reading.joined
            if page.items or page.rejected or page.checkpoint:
                self._note(page, self._take(page))
            if known and self._incremental:
                return page.beyond  # this was the overlap
            await asyncio.sleep(0)  # lets a request to stop through
        if page.next is None:
            self._reading.end(page)
            if self._full and Trait.WHOLE_LIST in self._collector.traits:
                self._reading.everything_since = self._bookmark.begun or self._run.started_at
        return page.next

    @property
    def _incremental(self) -> bool:
        return Trait.NEWEST_FIRST in self._collector.traits and not self._full

    def _take(self, page: Page) -> Taken:
        self._bookmark = replace(self._bookmark, mark=page.checkpoint)
        checkpoint = bookmarks.write(
            self._bookmark,
            version=self._collector.version,
            options=self._options,
            started=self._run.started_at,
            full=self._full,
        )
        return take(self._db, self._run, page, checkpoint, door=self._door, now=self._clock())

    def _note(self, page: Page, taken: Taken) -> None:
        """Count a page that was taken in."""
        reading, saved = self._reading, taken.saved
        reading.pages += 1
        reading.new += saved.new
        reading.changed += saved.changed
        reading.unchanged += saved.unchanged
        reading.rejected += len(taken.rejected)
        reading.repeated += page.repeated
        reading.cleaned += taken.cleaned
        reading.unknown.update(page.unknown)
        reading.notes += [note for note in page.notes if note not in reading.notes]
        self._tally(taken)
        reading.saw([item.published_at for item in taken.items if item.published_at])
        reading.span = page.covered or reading.span
        newest_first = Trait.NEWEST_FIRST in self._collector.traits
        reading.joined = reading.joined or (newest_first and taken.settled)
        self._set_aside(taken)
        logger.info("%s: page %d: %s", self._run.source, reading.pages, judge.counts(reading))
        if self._progress is not None:
            self._progress(judge.counts(reading))

    def _tally(self, taken: Taken) -> None:
        """Count the fields that were found, and what is new by the part that it is from."""
        part, reading = self._collector.part_of, self._reading
        reading.fields.update(name for item in taken.items for name in ("", *filled(item)))
        for item in taken.items:
            if part and (name := item.attributes.get(part)):
                reading.brought[name] += privacy.clean(item.external_id) in taken.saved.fresh

    def _set_aside(self, taken: Taken) -> None:
        reading = self._reading
        for told in taken.rejected:
            # A cell that slipped into the wrong column may be anything a person wrote.
            each = replace(told, reason=privacy.mask(told.reason, self._door.key))
            known = each.reason in reading.reasons or len(reading.reasons) < _REASONS
            reading.reasons[each.reason if known else "other reasons"] += 1
            if len(reading.examples) < _EXAMPLES:
                reading.examples.append(f"{each.where}: {each.reason}")
        if self._aside is not None:
            self._aside.write(taken.rejected)

    def _put_aside(self) -> None:
        if self._aside is not None:
            read = self._reading.ended and not self._reading.not_modified
            whole = read and self._reading.trouble is None
            self._reading.notes += self._aside.close(whole=whole)


async def _let_in(
    collector: Collector[Any],
    ask: Ask,
    conditions: Mapping[str, str],
    fetch: web.Fetch,
    clock: Callable[[], datetime],
) -> Answer:
    """The answer to a request that carries what the source lets in; a stale token is renewed."""
    access = collector.access
    if access is None:
        return await fetch(ask, conditions)
    for last in (False, True):
        if token := access.ask(clock()):
            access.keep(await fetch(token, {}), clock())
        answer = await fetch(ask, {**access.headers(clock()), **conditions})
        if last or answer.status != HTTPStatus.UNAUTHORIZED or not access.drop():
            break
    return answer


def _check(collector: Collector[Any], ask: Ask, answer: Answer, now: datetime) -> None:
    """Raise Trouble unless this may hold what was asked for; the source's own words go first."""
    if answer.status != HTTPStatus.OK and (told := collector.refusal(ask, answer)):
        raise told
    judge.check(answer, now)


def _parsed(
    collector: Collector[Any], ask: Ask, answer: Answer, mark: Mapping[str, Any]
) -> Iterator[Page]:
    """The pages of an answer; a surprise in a parser is a changed layout and not a crash."""
    try:
        yield from collector.parse(ask, answer, mark)
    except Trouble:
        raise
    except Exception as error:
        # Its words may quote a review, so only its kind and its place are told.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"
        raise Trouble(
            Outcome.LAYOUT_CHANGED,
            f"The answer could not be read ({where}): its layout is new to this version; update "
            "this program.",
        ) from error


def _local(path: Path, known: str) -> Answer:
    """A file of this machine as an answer; its size and age stand for an ETag."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    etag = f"{found.st_size}-{found.st_mtime_ns}"
    status = HTTPStatus.NOT_MODIFIED if known == etag else HTTPStatus.OK
    return Answer(status=status, headers={"etag": etag}, path=path)


def _unreadable(path: Path, error: OSError) -> Trouble:
    if isinstance(error, PermissionError):
        what = "may not be read by this user; change its rights"
    elif isinstance(error, FileNotFoundError):
        what = "does not exist; mend `path` (it starts at the folder of the configuration)"
    else:
        what = f"cannot be read ({error.strerror}); mend `path`"
    return Trouble(Outcome.MISCONFIGURED, f"{path} {what}.")
