"""The timetable: what the clock does at 03:00 a person can type at noon.

Two ticks ask the database "is anything due?": one collects, one annotates, watches, builds digests
and delivers. Each duty runs as a child process, so that a leak, a hang or a crash stays its own.
``python scheduler.py`` does what ``ouvidor serve`` does.
"""

from __future__ import annotations

if __name__ == "__main__":
    # Run by its path it belongs to no package, and its folder would hide installed modules.
    import sys

    sys.path.pop(0)
    from ouvidor.cli import main

    sys.exit(main(["serve", *sys.argv[1:]]))

import json
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .children import Children, Closing, Ended
from .config import Config, Schedule, Subscriber
from .house import last_week, me, untagged, week_name
from .places import QUIET, Places
from .rhythm import rhythm
from .storage import audit, due, retention, runs, studies, workers
from .storage.database import Database, StorageError

_log = logging.getLogger(__name__)

TICK = timedelta(seconds=15)
RETRY = timedelta(minutes=15)
"""How long a duty that went wrong rests."""

ANNOTATE_EVERY, WATCH_EVERY, DELIVER_EVERY = (
    timedelta(minutes=2),
    timedelta(hours=1),
    timedelta(minutes=1),
)
CHAT = "chat/"
"""What the name of a chat begins with where subscribers are named, too."""

COLLECT, HINT = "collect:", "hint:"
HINT_EVERY, HINT_LIMIT = timedelta(minutes=5), timedelta(minutes=2)
"""How often a source's queue is asked whether there is anything new, and for how long."""

DIGEST = "digest:"
"""What the duty of each reader of the digest begins with."""

TIDY, TIDY_EVERY = "tidy", timedelta(days=1)
TIME_OVER = "it was ended because its time ran out (schedule.run_timeout_minutes)"
RUN = "run"
"""The name under which one `ouvidor run` keeps out another."""

MAKE_UP = timedelta(days=1)
"""A new subscriber gets last week's digest if its hour was less than this ago."""

_EARLIER = timedelta(hours=27)
"""By how much two zones differ at most, and an hour that a clock skips."""

_ROUND = timedelta(days=8)
"""More than lies between two hours of a reader."""

OVERTIME = timedelta(minutes=2)
"""What a source with `max_minutes` of its own may take to end after them."""

FORTNIGHT = timedelta(weeks=2)
LONGEST_MINUTES = 24 * 60
LONG = timedelta(hours=12)
"""The limit of annotate, watch, digest and deliver: they work as long as there is work."""

HELD, RENEWED = timedelta(minutes=10), timedelta(minutes=2)
"""How long a claim on them lasts, and how often it is renewed while its holder lives: what a host
held that lost its power is free ten minutes later."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def digest_slot(schedule: Schedule, zone: ZoneInfo, after: datetime) -> datetime:
    """The first moment after ``after`` when the digest is due in a zone, in UTC.

    Once a week whatever the clocks do: an hour that a change of time skips is met an hour later,
    one that comes twice the first time.
    """
    weekday = WEEKDAYS.index(schedule.digest_day)
    day = after.astimezone(zone).date()
    day += timedelta(days=(weekday - day.weekday()) % 7)
    slot = datetime.combine(day, time(schedule.digest_hour), tzinfo=zone).astimezone(UTC)
    if slot > after:
        return slot
    following = day + timedelta(weeks=1)
    return datetime.combine(following, time(schedule.digest_hour), tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Reader:
    """When a reader wants the digest, in the reader's own zone; the week told is the brand's."""

    schedule: Schedule
    zone: ZoneInfo
    brand: ZoneInfo

    def slot(self, after: datetime) -> datetime:
        """The first moment after ``after`` when this reader is told, in UTC.

        Where Monday comes earlier than to the brand, the brand's week is not over at the reader's
        hour: the digest waits for its end instead of telling a week that is long past.
        """
        moment = after - _EARLIER
        while True:
            moment = digest_slot(self.schedule, self.zone, moment)
            if (due_at := self._over(moment)) > after:
                return due_at

    def week(self, now: datetime) -> str:
        """The week that is told at the last hour up to ``now``: made up late, it is still that."""
        slot = self.slot(now - _ROUND)
        while (later := self.slot(slot)) <= now:
            slot = later
        return week_name(last_week(slot.astimezone(self.brand).date()))

    def _over(self, slot: datetime) -> datetime:
        brand = slot.astimezone(self.brand)
        if brand.isocalendar()[:2] >= slot.astimezone(self.zone).isocalendar()[:2]:
            return slot
        monday = brand.date() + timedelta(days=7 - brand.weekday())
        return datetime.combine(monday, time(), tzinfo=self.brand).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Did:
    """What came of one child: its exit code (None: its time ran out) and what it reported."""

    duty: str
    code: int | None
    report: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""

    @property
    def well(self) -> bool:
        """Whether it did what it should."""
        return self.code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something that is due again and again. ``wanted`` says whether there is anything to do."""

    name: str
    arguments: Sequence[str]
    limit: timedelta
    again: Callable[[datetime, bool], datetime]
    wanted: Callable[[], bool] = lambda: True


def did(duty: str, ended: Ended) -> Did:
    """Read a child's report: the last line of its stdout, one JSON document."""
    report: Any = None
    if lines := ended.stdout.strip().splitlines():
        try:
            report = json.loads(lines[-1])
        except ValueError:
            report = None
    if not isinstance(report, dict):
        report = {}
    message = str(report.get("message", "")) or ended.last_words
    if ended.code is None:
        message = ended.why or TIME_OVER
    elif ended.code < 0 and not message:
        message = f"it was killed ({signal.Signals(-ended.code).name})"
    return Did(duty=duty, code=ended.code, report=report, message=message)


def time_out(config: Config, source: str) -> timedelta:
    """How long one run of a source may take: its own `max_minutes`, or as the schedule says."""
    own = config.sources[source].options.get("max_minutes")
    if isinstance(own, int | float) and 0 < own <= LONGEST_MINUTES:
        return timedelta(minutes=own) + OVERTIME
    return timedelta(minutes=config.schedule.run_timeout_minutes)


def places(config: Config, db: Database, children: Children, moment: datetime | None) -> Places:
    """Places for the children that collect; ``moment`` is their frozen clock, if they have one."""

    def silent(source: str, seconds: float) -> bool:
        heard = runs.silent_since(db, source)
        # A frozen clock goes on from its moment while a child runs.
        now = moment + timedelta(seconds=seconds) if moment else datetime.now(UTC)
        return heard is None or now - heard > timedelta(seconds=QUIET)

    return Places(children, config.schedule.at_once, silent=silent)


def in_turn(db: Database, names: Iterable[str]) -> list[str]:
    """The sources in their order, but those whose last run went wrong after the others."""
    names = list(names)
    bad = {
        each.name
        for each in runs.statuses(db, names, counted=False)
        if each.outcome and not each.outcome.good
    }
    return sorted(names, key=bad.__contains__)


def side_by_side(
    config: Config,
    db: Database,
    commands: Mapping[str, Sequence[str]],
    *,
    moment: datetime | None,
    tell: Callable[[Did], None],
) -> list[Did]:
    """Run one command per source, some at a time; what came of them, in the order of commands.

    ``tell`` hears of each when it ends.
    """
    children = Children()
    room = places(config, db, children, moment)

    def one(name: str) -> Did | None:
        try:
            with room.of(name):
                done = did(name, children.run(commands[name], limit=time_out(config, name)))
        except Closing:
            return None
        tell(done)
        return done

    with ThreadPoolExecutor(max(1, len(commands))) as pool, children:
        found = [pool.submit(one, name) for name in in_turn(db, commands)]
        ended = {done.duty: done for done in (each.result() for each in found) if done}
    return [ended[name] for name in commands if name in ended]


class RunInProgressError(Exception):
    """Another `ouvidor run` does all that is due."""


class Timetable:
    """What is due, and doing it.

    ``file`` is the configuration's path for the children, ``moment`` a frozen clock or None,
    ``tell`` hears of everything that was done.
    """

    def __init__(
        self,
        config: Config,
        db: Database,
        children: Children,
        *,
        file: Path | None,
        moment: datetime | None,
        tell: Callable[[Did], None],
    ) -> None:
        self.config = config
        self.db = db
        self.children = children
        self.tell = tell
        self.moment = moment
        self.me = workers.me()
        self._places = places(config, db, children, moment)
        self._threads = ThreadPoolExecutor(max(1, len(config.sources)))
        self._reading: dict[str, Future[Did | None]] = {}
        self._beginning = threading.Lock()
        self._common = [] if file is None else ["--config", str(file)]
        self._replay = [] if moment is None else ["--now", moment.isoformat()]

    def now(self) -> datetime:
        """The moment that counts."""
        return self.moment or datetime.now(UTC)

    def announce(self) -> None:
        """Make every duty of the configuration known; those known already keep their dates."""
        now = self.now()
        duties = [*self.collecting(), *self.hinting(), *self.working()]
        for name in [*(duty.name for duty in duties), TIDY]:
            due.first_due(self.db, name, now)
        for name, reader in self._readers().items():
            due.first_due(self.db, DIGEST + name, reader.slot(now - MAKE_UP))

    def collecting(self) -> list[Duty]:
        """One duty per enabled source; raises ConfigError where a line of cron is none."""
        return [
            Duty(
                name=f"{COLLECT}{name}",
                arguments=self._verb("collect", name, "--json"),
                limit=time_out(self.config, name),
                again=rhythm(self.config, name).again,
            )
            for name, source in self.config.sources.items()
            if source.enabled
        ]

    def hinting(self) -> list[Duty]:
        """One duty per enabled source that is told of what is new."""
        return [
            Duty(
                name=f"{HINT}{name}",
                arguments=self._verb("hints", name, "--json"),
                limit=HINT_LIMIT,
                again=_every(HINT_EVERY),
            )
            for name, source in self.config.sources.items()
            if source.enabled and source.options.get("subscription")
        ]

    def working(self) -> list[Duty]:
        """Tagging and watching."""
        annotate = Duty(
            name="annotate",
            arguments=self._verb("annotate", "--json"),
            limit=LONG,
            again=_every(ANNOTATE_EVERY),
            wanted=self._to_read,
        )
        watch = Duty(
            name="watch",
            arguments=self._verb("watch", "--json"),
            limit=LONG,
            again=_every(WATCH_EVERY),
        )
        deliver = Duty(
            name="deliver",
            arguments=self._verb("deliver", "--json"),
            limit=LONG,
            again=_every(DELIVER_EVERY),
            wanted=lambda: due.mail_waits(self.db, self.now()),
        )
        return [annotate, watch, deliver]

    def _to_read(self) -> bool:
        """Whether a text waits for the tagger, or the week that is over for its study."""
        if untagged(self.db, self.config) > 0:
            return True
        today = self.now().astimezone(self.config.brand.zone).date()
        return studies.wanted(self.db, today - timedelta(days=today.weekday() + 1))

    def digests(self) -> list[Duty]:
        """One duty per reader of the digest, at the reader's own hour."""
        return [
            Duty(
                name=DIGEST + name,
                arguments=("--reader", name),
                limit=LONG,
                again=_weekly(reader),
            )
            for name, reader in self._readers().items()
        ]

    def _tell_readers(self) -> list[Did]:
        """Build the digest for every reader whose own hour has come.

        One child for all of them: a week is looked up once, however many read it.
        """
        duties = {duty.name: duty for duty in self.digests()}
        now, readers = self.now(), self._readers()
        weeks: dict[str, list[Duty]] = {}
        claimed = due.claim_all(self.db, duties, now=now, lease=HELD, worker=self.me)
        for name in claimed:
            week = readers[name.removeprefix(DIGEST)].week(now)
            weeks.setdefault(week, []).append(duties[name])
        with self._holding(claimed):
            told = [self._tell_week(week, chosen) for week, chosen in weeks.items()]
        return [each for each in told if each]

    @contextmanager
    def _holding(self, names: Sequence[str]) -> Iterator[None]:
        """Renew our claims on duties as long as the block takes."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(RENEWED.total_seconds()):
                try:
                    due.renew(self.db, names, until=self.now() + HELD, worker=self.me)
                except StorageError as error:
                    _log.warning("claims could not be renewed: %s", error)

        renewing = threading.Thread(target=renew, name="claims", daemon=True)
        if names:
            renewing.start()
        try:
            yield
        finally:
            ended.set()
            if names:
                renewing.join()

    def _tell_week(self, week: str, duties: Sequence[Duty]) -> Did | None:
        readers = [word for duty in duties for word in duty.arguments]
        words = self._verb("digest", "--week", week, *readers, "--json")
        found = self._run("digest", words, LONG)
        now = self.now()
        again = {duty.name: duty.again(now, found.well) if found else None for duty in duties}
        due.settle_all(self.db, again, worker=self.me)
        if found:
            self.tell(found)
        return found

    def _readers(self) -> dict[str, Reader]:
        brand, schedule = self.config.brand.zone, self.config.schedule
        people = {
            name: Reader(
                _own(schedule, reader),
                ZoneInfo(reader.time_zone) if reader.time_zone else brand,
                brand,
            )
            for name, reader in self.config.subscribers.items()
            if reader.digest
        }
        chats = [CHAT + name for name, chat in self.config.chat.items() if chat.digest]
        return people | dict.fromkeys(chats, Reader(schedule, brand, brand))

    def _verb(self, verb: str, *arguments: str) -> list[str]:
        return [*self._common, verb, *arguments, *self._replay]

    def collect(self) -> list[Did]:
        """Run every collector that is due, some at a time; returns when all of them have ended."""
        try:
            return [done for each in self.begin() if (done := each.result())]
        except (KeyboardInterrupt, SystemExit):
            self.close()
            raise

    def close(self) -> None:
        """End every child and wait for what is told of it; nothing is collected any more."""
        self.children.end()
        with self._beginning:
            self._threads.shutdown()

    def begin(self) -> list[Future[Did | None]]:
        """Start whatever is due to be collected and is not at work already; waits for nothing.

        The longest overdue first, but those whose last run went wrong after the others.
        """
        self._mend_dates()
        hints = {duty.name.removeprefix(HINT): duty for duty in self.hinting()}
        duties = {duty.name.removeprefix(COLLECT): duty for duty in self.collecting()}
        rows = [*(duty.name for duty in hints.values()), *(duty.name for duty in duties.values())]
        ready = due.ready(self.db, rows, self.now())
        known = dict.fromkeys(name.partition(":")[2] for name in ready)
        free = [name for name in known if name not in self._reading or self._reading[name].done()]
        names = in_turn(self.db, free) if free else []
        with self._beginning:
            if self.children.closed:
                return []
            begun = {
                name: self._threads.submit(self._read, name, duties[name], hints.get(name))
                for name in names
            }
        self._reading |= begun
        return list(begun.values())

    def _read(self, name: str, duty: Duty, hint: Duty | None) -> Did | None:
        """Ask a source whether anything is new, where it says so, and read it when it is due."""
        try:
            with self._places.of(name):
                told = self._do(hint) if hint else None
                if told and told.report.get("hints"):
                    due.hasten(self.db, duty.name, self.now())
                done = self._do(duty)
        except Closing:
            return None
        if done and (done.report.get("new") or done.report.get("changed")):
            due.hasten(self.db, "annotate", self.now())
        return done

    def _mend_dates(self) -> None:
        """A date farther away than two rounds is from a clock that was wrong, or another rhythm."""
        now = self.now()
        dates = due.later_than(self.db, now)
        told = any(name.startswith(DIGEST) and at > now + FORTNIGHT for name, at in dates.items())
        digests = self.digests() if told else []
        for duty in [*self.collecting(), *self.hinting(), *self.working(), *digests]:
            if duty.name in dates:
                following = duty.again(now, True)
                if dates[duty.name] > duty.again(following, True):
                    due.hasten(self.db, duty.name, following)
        due.hasten(self.db, TIDY, now + TIDY_EVERY)

    def work(self) -> list[Did]:
        """Everything else that is due, in the order in which one feeds the next."""
        annotate, watch, deliver = self.working()
        tagged = self._do(annotate)
        if tagged and tagged.report.get("tagged"):
            due.hasten(self.db, "watch", self.now())
        found = [tagged, self._do(watch)]
        if self._has_read():
            found += self._tell_readers()
        found.append(self._do(deliver))
        self._tidy()
        return [each for each in found if each]

    def _has_read(self) -> bool:
        """Whether every source was read once: a house on its first day has no week to tell.

        Both ticks start together, and a digest of nothing would be told instead of the first one.
        """
        names = {name for name, source in self.config.sources.items() if source.enabled}
        return runs.read_before(self.db) >= names

    def _tidy(self) -> None:
        """Once a day: what was promised not to be kept goes."""
        now = self.now()
        if not due.claim_due(self.db, TIDY, now=now, lease=HELD, worker=self.me):
            return
        with self._holding([TIDY]):
            done = retention.tidy(
                self.db,
                limits=self.config.limits,
                audit_kept=timedelta(days=self.config.privacy.audit_days),
                mail_kept=timedelta(days=self.config.privacy.mail_days),
                now=now,
            )
        audit.note(self.db, "retention", by=me(), at=now, about=done.counts())
        due.done(self.db, TIDY, next_at=now + TIDY_EVERY, worker=self.me)

    def once(self) -> list[Did]:
        """Everything that is due, once. A person who asks need not wait for the next tick.

        Raises RunInProgressError beside another one: two would share the sources between them, and
        the quicker one would tell the week from half of what was read.
        """
        self._take_all()
        try:
            with self._holding([RUN]):
                self.announce()
                for duty in self.working():
                    due.hasten(self.db, duty.name, self.now())
                return [*self.collect(), *self.work()]
        finally:
            due.release(self.db, RUN, worker=self.me)

    def _take_all(self) -> None:
        now = self.now()
        due.first_due(self.db, RUN, now)
        due.hasten(self.db, RUN, now)
        if not due.claim_due(self.db, RUN, now=now, lease=HELD, worker=self.me):
            holder = due.holder(self.db, RUN) or "it has just ended"
            raise RunInProgressError(
                f"another `ouvidor run` ({holder}) is at work on this installation, so this one "
                "did nothing; wait for it or end it."
            )

    def _do(self, duty: Duty) -> Did | None:
        """One duty if it is due, free and wanted; None when it was not done."""
        if not due.claim_due(self.db, duty.name, now=self.now(), lease=HELD, worker=self.me):
            return None
        with self._holding([duty.name]):
            return self._done(duty)

    def _done(self, duty: Duty) -> Did | None:
        """A duty that is ours; None when it was not done."""
        if not duty.wanted():
            next_at = duty.again(self.now(), True)
            due.done(self.db, duty.name, next_at=next_at, worker=self.me)
            return None
        found = self._run(duty.name, duty.arguments, duty.limit)
        if found is None:
            due.release(self.db, duty.name, worker=self.me)
            return None
        next_at = duty.again(self.now(), found.well)
        due.done(self.db, duty.name, next_at=next_at, worker=self.me)
        self.tell(found)
        return found

    def _run(self, name: str, arguments: Sequence[str], limit: timedelta) -> Did | None:
        """A child to its end; None when our own end cut it short, and what it did stays due."""
        try:
            found = did(name, self.children.run(arguments, limit=limit))
        except Closing:
            return None
        return None if self.children.closed else found


def _every(period: timedelta) -> Callable[[datetime, bool], datetime]:
    return lambda now, well: now + (period if well else max(period, RETRY))


def _own(schedule: Schedule, reader: Subscriber) -> Schedule:
    """The schedule with the reader's own day and hour, where there are any."""
    own = {"digest_day": reader.digest_day, "digest_hour": reader.digest_hour}
    return schedule.model_copy(update={k: v for k, v in own.items() if v is not None})


def _weekly(reader: Reader) -> Callable[[datetime, bool], datetime]:
    return lambda now, well: reader.slot(now) if well else now + RETRY


def _complained(ended: Future[Did | None], complain: Callable[[Exception], None]) -> None:
    error = ended.exception()
    if isinstance(error, Exception):
        complain(error)


def serve(
    timetable: Timetable,
    *,
    complain: Callable[[Exception], None],
    beat: Callable[[], None] = lambda: None,
) -> int:
    """Keep doing what is due until SIGINT or SIGTERM; returns the signal's number.

    ``complain`` hears of what went wrong in a tick; the next tick tries again. ``beat`` is called
    at every tick of the clock, however long the work of the last one takes.
    """
    from apscheduler.schedulers.background import (  # type: ignore[import-untyped] # it has none
        BackgroundScheduler,
    )

    asked: list[int] = []
    stop = threading.Event()

    def end(number: int, _frame: object) -> None:
        asked.append(number)
        stop.set()

    def guarded(tick: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                tick()
            except Exception as error:  # noqa: BLE001 - one bad tick must not end the house
                complain(error)

        return run

    # A tick that is skipped because the last one still works is no news.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    timetable.announce()
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    clock = BackgroundScheduler(
        timezone=UTC,
        # A late tick is run, not dropped; ticks that were missed are run once.
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )

    def collect() -> None:
        for each in timetable.begin():
            each.add_done_callback(lambda ended: _complained(ended, complain))

    for tick in (beat, collect, timetable.work):
        clock.add_job(
            guarded(tick),
            "interval",
            seconds=TICK.total_seconds(),
            next_run_time=datetime.now(UTC),
        )
    clock.start()
    try:
        stop.wait()
    finally:
        timetable.close()
        clock.shutdown(wait=True)
        for number, handler in before.items():
            signal.signal(number, handler)
    return asked[0] if asked else 0
