"""A history lived through: real runs into a real database, and what has to hold after each."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self
from zoneinfo import ZoneInfo

import pytest
from contract import suite
from histories.drawing import Crash, History, Turn
from histories.shapes import SHAPES, Shape
from histories.world import Event, State, World
from sqlalchemy import Connection, func, select
from sqlalchemy import event as sqlalchemy_event

from ouvidor.collectors import batches
from ouvidor.collectors.collector import Trait, kinds
from ouvidor.collectors.run import RunReport, run_source
from ouvidor.config import Source
from ouvidor.storage import annotations, series
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Annotation, Aspect, Basis, Distribution, Outcome, Sentiment

ZONE = ZoneInfo("America/Sao_Paulo")
DOOR = Door(b"a key of thirty-two bytes, really", ZONE)
NAME = "source"
MANNERS = {"retries": 0, "backoff": 0, "delay": 0, "timeout": 20, "max_requests": 60}


_DOUBTS = {Outcome.SUSPECT, Outcome.COMPLETE, Outcome.MISCONFIGURED}
"""What a source that shows nothing at all may be taken for."""
_STORED = select(
    t.feedback.c.external_id, t.feedback.c.text, t.feedback.c.stars, t.feedback.c.reply_text
).join_from(t.feedback, t.source)
_JOINED = select(func.max(t.run.c.started_at)).join_from(t.run, t.source).where(t.run.c.joined)
_COVERED = select(t.coverage.c.since, t.coverage.c.until).join_from(t.coverage, t.source)
_COUNTS = select(t.run.c.new, t.run.c.changed).join_from(t.run, t.source)
_REVISIONS = (
    select(t.feedback.c.external_id, t.revision.c.text, t.revision.c.stars, t.revision.c.reply_text)
    .join_from(t.revision, t.feedback)
    .join(t.source, t.source.c.id == t.feedback.c.source_id)
    .order_by(t.revision.c.id)
)
_SERIES = select(t.series)


class Known(NamedTuple):
    """What the house knows: items, the start of the last joined run, the covered spans."""

    stored: Mapping[str, State]
    joined: datetime | None
    spans: Sequence[Any]


class Killed(Exception):  # noqa: N818 - it is no error: it is the end of a process
    """The process died here."""


class Mortal(Database):
    """A database whose process dies before or after a writing transaction, once told to."""

    crash: ClassVar[Crash | None] = None
    done: ClassVar[int] = 0

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            yield connection
            Mortal.done += 1
            dies = self.crash is not None and self.crash.count == Mortal.done
            if self.crash and dies and self.crash.before:
                raise Killed
        if dies:
            raise Killed


@contextmanager
def _mortal(crash: Crash | None) -> Iterator[None]:
    Mortal.crash, Mortal.done = crash, 0
    try:
        yield
    finally:
        Mortal.crash = None


class Leaf(type(Path())):  # type: ignore[misc]  # the concrete class of this system
    """An answer that lies in a folder: it is written at the moment somebody looks for it."""

    show: ClassVar[Any] = None

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        if "=" in self.name:
            Leaf.show(self)
        return super().stat(follow_symlinks=follow_symlinks)


class Loopback(suite.Host):
    """The web server of every world that is read over HTTP."""

    def __init__(self) -> None:
        super().__init__({})
        self.life: Life | None = None

    def _page(self, request: BaseHTTPRequestHandler) -> None:
        assert self.life is not None
        body = self.life.answer(request.path.lstrip("/"))
        if body is None:
            self._send(request, 404, b"not found", {})
            return
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == etag:
            self._send(request, 304, b"", {"ETag": etag})
        else:
            self._send(request, 200, body, {"ETag": etag})


def _in_no_hurry(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


class House:
    """One database and one web server for many histories, one after the other."""

    def __init__(self, url: str, folder: Path) -> None:
        self.db = Mortal(open_database(url).engine)
        if self.db.embedded:  # nobody pulls the plug here
            sqlalchemy_event.listen(self.db.engine, "connect", _in_no_hurry)
            self.db.engine.dispose()
        self.folder = folder
        self.host = Loopback()
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        for shape in SHAPES.values():
            self._patch.setitem(kinds(), shape.kind.kind, shape.kind)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._patch.undo()
        self.host.close()
        self.db.close()

    def sweep(self) -> None:
        """Empty every table."""
        with self.db.write() as connection:
            for table in reversed(t.metadata.sorted_tables):
                connection.exec_driver_sql(f"DELETE FROM {table.name}")


def live(house: House, history: History) -> None:
    """Live one history, and a last quiet run a week later that must know everything."""
    house.sweep()
    with tempfile.TemporaryDirectory(dir=house.folder) as folder:
        life = Life(house, history, Path(folder))
        for turn in history.turns:
            life.turn(turn)
        life.end()
        life.compare_series()


class Life:
    """A source between two runs: its world, and what the house may be expected to know of it."""

    def __init__(self, house: House, history: History, folder: Path, name: str = NAME) -> None:
        self.house, self.history, self.folder, self.name = house, history, folder, name
        self._ours = t.source.c.name == name
        self.shape: Shape = SHAPES[history.shape]
        self.world = World(bumps=self.shape.bumps)
        self.world.begin(history.start)
        self.lagging = False
        """Something happened that only a quiet reading of everything can see."""
        self.ended_well = True
        self.known = Known({}, None, [])
        self._written = 0
        self._asked = self._pages = 0
        self._turn = Turn(0)

    # --- the source's side ----------------------------------------------------------------------

    def answer(self, name: str) -> bytes | None:
        """What the source answers at this moment."""
        return self.shape.answer(self.world, name, self.history.size, self.history.reach)

    def _show(self, leaf: Path) -> None:
        """Write the answer that lies in a folder; its age changes with its words."""
        fault = self._turn.fault
        body: bytes | None
        body = self.answer(leaf.name)
        if fault is not None and self._asked >= fault.at:
            body = None if fault.how in {"gone", "403", "429"} else b"<html>"
        self._asked += 1
        self._write(leaf, body)

    def _write(self, path: Path, body: bytes | None) -> None:
        plain = Path(path)
        if body is None:
            plain.unlink(missing_ok=True)
        elif not plain.exists() or plain.read_bytes() != body:
            self._written += 1
            beside = plain.with_name("beside")
            beside.write_bytes(body)
            os.utime(beside, (self._written, self._written))
            beside.replace(plain)

    def _export(self) -> None:
        """The whole file, as it is now."""
        if "path" in self.shape.options:
            broken = self._turn.fault is not None and self._turn.fault.at == 0
            how = self._turn.fault.how if self._turn.fault and broken else ""
            body = {"": self.answer(""), "gone": None, "empty": b""}.get(how, b"<html>\n")
            self._write(self.folder / str(self.shape.options["path"]), body)

    def _happen(self, events: tuple[Event, ...], unseen: frozenset[Any]) -> None:
        for event in events:
            self.world.happen(event)
            self.lagging = self.lagging or event.what in unseen
        self._export()

    def _page_taken(self, _counts: str) -> None:
        """After a page was stored and before the next is asked for, the world goes on."""
        if self._pages < len(self._turn.during):
            self._happen(self._turn.during[self._pages], self.shape.blind | self.shape.shaky)
        self._pages += 1

    # --- one run --------------------------------------------------------------------------------

    def turn(self, turn: Turn) -> None:
        """Let things happen, run, and see that nothing is lost or claimed that is not so."""
        self.world.clock += timedelta(minutes=turn.minutes)
        self._turn, self._asked, self._pages = turn, 0, 0
        self._happen(turn.before, self.shape.blind)
        joined, began = self.known.joined, self.world.clock
        report = self._read()
        self.known = self._look()
        if report is not None and not report.outcome.good:
            assert self.known.joined == joined, "a run that did not end well moved the watermark"
        if turn.quiet:
            self._judge_quiet(report, gap=began - joined if joined else timedelta(0))
        self._judge_ledger(began)
        self.ended_well = report is not None and report.outcome.good
        if self.history.tagged:
            self._tag()

    def _read(self) -> RunReport | None:
        """One run; None when its process died."""
        house, turn = self.house, self._turn
        house.host.life = self
        house.host.show(Path(), _web_fault(turn))
        Leaf.show = self._show
        with _mortal(turn.crash), pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "PAGE", self.history.size)
            if self.shape.most:
                patch.setattr(self.shape.most, "MOST", self.history.size)
            try:
                return run_source(
                    house.db,
                    self.name,
                    self._source(),
                    door=DOOR,
                    now=self.world.clock,
                    full=turn.full,
                    folder=Leaf(self.folder),
                    progress=self._page_taken,
                )
            except Killed:
                return None

    def _source(self) -> Source:
        options = MANNERS | self.shape.options
        options |= {"size": self.history.size} if self.shape.sized else {}
        options |= {"max_pages": self.history.reach} if self.shape.cap else {}
        url = self.house.host.url if self.shape.web else None
        return Source(kind=self.shape.kind.kind, base_url=url, options=options)

    def _tag(self) -> None:
        """What the tagger would do, by the stars alone."""
        db, now = self.house.db, self.world.clock
        claimed = annotations.claim(
            db, limit=500, now=now, worker="t:1:0", lease=timedelta(minutes=1)
        )
        annotations.save(db, [(each, _annotation(each.stars or 3)) for each in claimed], now=now)

    def end(self) -> None:
        """A last quiet run a week later, which must know everything."""
        if not self.ended_well:
            self.turn(Turn(minutes=15))
        # Where nothing is ever read once more by itself, a person asks for it.
        asked = self.shape.kind.reread_after is None and not self.shape.thorough
        self.turn(Turn(minutes=9 * 24 * 60, full=asked))
        assert not self.lagging or not self.world.items
        self.judge_the_past()

    # --- what has to hold -----------------------------------------------------------------------

    def _look(self) -> Known:
        """What the house knows now."""
        with self.house.db.read() as connection:
            rows = connection.execute(_STORED.where(self._ours)).all()
            joined = connection.execute(_JOINED.where(self._ours)).scalar()
            spans = [tuple(row) for row in connection.execute(_COVERED.where(self._ours))]
        found = {_key(row[0]): State(*row[1:]) for row in rows}
        assert len(found) == len(rows), "an item is stored twice"
        return Known(found, joined, spans)

    def _judge_quiet(self, report: RunReport | None, gap: timedelta) -> None:
        """A run that nothing disturbed ends well, and knows all that the source shows.

        ``gap`` is how long nothing was joined; a window that is shorter is told.
        """
        assert report is not None
        if not self.world.items and self.shape.doubts:
            assert report.outcome in _DOUBTS, report
            return
        shown = self._shown()
        hidden = len(self.world.items) > len(shown)
        assert report.outcome.good, report
        missed = self.shape.window is not None and gap > self.shape.window
        if missed or (self.shape.window and not hidden):
            assert (report.outcome is Outcome.CAPPED) == missed, report
        assert hidden or missed or report.outcome is Outcome.COMPLETE, report
        whole = self._turn.full or self._is_reread()
        if self.shape.thorough or whole:
            self.lagging = False
        if not self.lagging:
            assert {key: self.known.stored.get(key) for key in shown} == shown
        if whole and self.ended_well and Trait.WHOLE_LIST in self.shape.kind.traits:
            gone = len(self.known.stored.keys() - self.world.items.keys())
            told = f"{gone} known before are no longer shown" in report.message
            assert told == bool(gone), (gone, report)

    def _is_reread(self) -> bool:
        """Whether this run read everything from its start; after a broken one it goes on there."""
        after = self.shape.kind.reread_after
        passed = timedelta(minutes=self._turn.minutes)
        return after is not None and self.ended_well and passed > after

    def _shown(self) -> dict[str, State]:
        """The truth: the latest state of all that the source shows."""
        items = self.world.newest_first()
        if self.shape.cap:
            items = items[: self.history.size * self.history.reach]
        if self.shape.window:
            items = [item for item in items if item.at >= self.world.clock - self.shape.window]
        return {item.key: self.shape.told(item.now) for item in items}

    def _judge_ledger(self, began: datetime) -> None:
        """What the ledger calls covered is in the store."""
        spans = self.known.spans
        assert all(until <= began for _, until in spans), "covered beyond the start"
        if self.lagging or not spans:
            return
        shown = self._shown()
        for item in self.world.items.values():
            timely = item.key in shown or not item.late
            past = self.shape.window is not None and item.key not in shown
            seen = item.at if past else item.changed
            if timely and any(since <= seen < until for since, until in spans):
                found, real = self.known.stored.get(item.key), self.shape.told(item.now)
                if past and found:  # a reply to what is no longer shown cannot be seen
                    found, real = found._replace(reply=None), real._replace(reply=None)
                assert found == real, f"{item.key} is covered and not stored"

    def judge_the_past(self) -> None:
        """Nothing is invented, no edit went unrecorded, the runs counted what they stored."""
        with self.house.db.read() as connection:
            counts = connection.execute(_COUNTS.where(self._ours)).all()
            told = self._told(connection)
        assert set(told) <= set(self.world.ever), "something was invented"
        for key, states in told.items():
            real = [self.shape.told(state) for state in self.world.ever[key].states]
            assert _in_order(states, real), (key, states)
        assert sum(new for new, _ in counts) == len(told), "something that was stored is gone"
        assert sum(changed for _, changed in counts) == sum(len(s) - 1 for s in told.values())

    def _told(self, connection: Connection) -> Mapping[str, list[State]]:
        """The states of each item that the house remembers, in their order."""
        told: dict[str, list[State]] = {}
        for key, *state in connection.execute(_REVISIONS.where(self._ours)):
            told.setdefault(_key(key), []).append(State(*state))
        for key, now in self.known.stored.items():
            told.setdefault(key, []).append(now)
        return told

    def compare_series(self) -> None:
        """The series that grew with the history are those of a count from the raw tables."""
        series.refresh(self.house.db)
        grown = self._series()
        series.rebuild(self.house.db)
        assert grown == self._series()

    def _series(self) -> list[tuple[Any, ...]]:
        with self.house.db.read() as connection:
            return sorted(tuple(row) for row in connection.execute(_SERIES))


def _web_fault(turn: Turn) -> suite.Fault | None:
    if turn.fault is None:
        return None
    at, how = turn.fault
    if how.isdigit():
        return suite.Fault(status=int(how), at=at)
    body = {"wall": suite.CAPTCHA, "empty": b" \n", "gone": b""}.get(how, b'{"items": []}')
    return suite.Fault(status=404 if how == "gone" else 200, body=body, cut=how == "cut", at=at)


def _key(external_id: str) -> str:
    """The item's own key, whatever a kind puts before it."""
    return external_id.rpartition("/")[2]


def _annotation(stars: int) -> Annotation:
    p = Distribution.certain(list(Sentiment)[(stars > 2) + (stars > 3)])
    return Annotation(
        tagger="stars",
        basis=Basis.STARS,
        language="pt",
        p=p,
        stars=float(stars),
        uncertain=False,
        aspects=(Aspect(touchpoint="delivery" if stars % 2 else "app", p=p),),
    )


def _in_order(found: list[State], real: list[State]) -> bool:
    """Whether the states really were, one after the other, though some may have gone unseen."""
    rest = iter(real)
    return all(each in rest for each in found)
