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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .children import Children, Closing, Ended
from .config import Config, Schedule, Subscriber
from .house import untagged
from .storage import due, retention, runs, studies, workers
from .storage.database import Database

PARALLEL = 2
"""Collectors that run at the same time."""

TICK = timedelta(seconds=15)
RETRY = timedelta(minutes=15)
"""How long a duty that went wrong rests."""

COLLECT_RETRY = timedelta(hours=1)
ANNOTATE_EVERY, WATCH_EVERY, DELIVER_EVERY = (
    timedelta(minutes=2),
    timedelta(hours=1),
    timedelta(minutes=1),
)
CHAT = "chat/"
"""What the name of a chat begins with where subscribers are named, too."""

HINT = "hint:"
HINT_EVERY, HINT_LIMIT = timedelta(minutes=5), timedelta(minutes=2)
"""How often a source's queue is asked whether there is anything new, and for how long."""

TIDY = "tidy"
RUN = "run"
"""The name under which one `ouvidor run` keeps out another."""

MAKE_UP = timedelta(days=1)
"""A new subscriber gets last week's digest if its hour was less than this ago."""

_EARLIER = timedelta(hours=27)
"""By how much two zones differ at most, and an hour that a clock skips."""

LEASE_MARGIN = timedelta(minutes=5)
LONG = timedelta(hours=12)
"""The limit of annotate, watch, digest and deliver: they work as long as there is work."""

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
        message = "it was ended because its time ran out (schedule.run_timeout_minutes)"
    elif ended.code < 0 and not message:
        message = f"it was killed ({signal.Signals(-ended.code).name})"
    return Did(duty=duty, code=ended.code, report=report, message=message)


def side_by_side(
    children: Children, commands: Mapping[str, Sequence[str]], limit: timedelta
) -> Iterable[Did]:
    """Run named commands, a few at a time; what came of them, in their order."""

    def one(name: str) -> Did:
        return did(name, children.run(commands[name], limit=limit))

    with ThreadPoolExecutor(PARALLEL) as pool, children:
        yield from pool.map(one, commands)


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
            due.first_due(self.db, f"digest:{name}", reader.slot(now - MAKE_UP))

    def collecting(self) -> list[Duty]:
        """One duty per enabled source."""
        every = self.config.schedule.collect_every
        minutes = self.config.schedule.run_timeout_minutes
        return [
            Duty(
                name=f"collect:{name}",
                arguments=self._verb("collect", name, "--json"),
                limit=timedelta(minutes=minutes),
                again=lambda now, well: now + (every if well else min(every, COLLECT_RETRY)),
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
                name=f"digest:{name}",
                arguments=self._verb("digest", "--reader", name, "--json"),
                limit=LONG,
                again=_weekly(reader),
            )
            for name, reader in self._readers().items()
        ]

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
        """Run every collector that is due, a few at a time."""
        for duty in self.hinting():
            told = self._do(duty)
            if told and told.report.get("hints"):
                due.hasten(self.db, f"collect:{duty.name.removeprefix(HINT)}", self.now())
        with ThreadPoolExecutor(PARALLEL) as pool:
            try:
                found = [each for each in pool.map(self._do, self.collecting()) if each]
            except (KeyboardInterrupt, SystemExit):
                self.children.end()  # the pool waits for them
                raise
        if any(each.report.get("new") or each.report.get("changed") for each in found):
            due.hasten(self.db, "annotate", self.now())
        return found

    def work(self) -> list[Did]:
        """Everything else that is due, in the order in which one feeds the next."""
        annotate, watch, deliver = self.working()
        tagged = self._do(annotate)
        if tagged and tagged.report.get("tagged"):
            due.hasten(self.db, "watch", self.now())
        found = [tagged, self._do(watch)]
        if self._has_read():
            found += [self._do(duty) for duty in self.digests()]
        found.append(self._do(deliver))
        self._tidy()
        return [each for each in found if each]

    def _has_read(self) -> bool:
        """Whether every source was read once: a house on its first day has no week to tell.

        Both ticks start together, and a digest of nothing would be told instead of the first one.
        """
        names = [name for name, source in self.config.sources.items() if source.enabled]
        known = runs.statuses(self.db, names, counted=False)
        return {each.name for each in known if each.outcome} >= set(names)

    def _tidy(self) -> None:
        """Once a day: what was promised not to be kept goes."""
        now = self.now()
        if not due.claim_due(self.db, TIDY, now=now, lease=LEASE_MARGIN, worker=self.me):
            return
        before = now - timedelta(days=self.config.privacy.raw_days)
        retention.drop_payloads(self.db, before=before)
        due.done(self.db, TIDY, next_at=now + timedelta(days=1), worker=self.me)

    def once(self) -> list[Did]:
        """Everything that is due, once. A person who asks need not wait for the next tick.

        Raises RunInProgressError beside another one: two would share the sources between them, and
        the quicker one would tell the week from half of what was read.
        """
        self._take_all()
        try:
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
        lease = LONG + LEASE_MARGIN
        if not due.claim_due(self.db, RUN, now=now, lease=lease, worker=self.me):
            holder = due.holder(self.db, RUN) or "it has just ended"
            raise RunInProgressError(
                f"another `ouvidor run` ({holder}) is at work on this installation, so this one "
                "did nothing; wait for it or end it."
            )

    def _do(self, duty: Duty) -> Did | None:
        """One duty if it is due, free and wanted; None when it was not done."""
        lease = duty.limit + LEASE_MARGIN
        claimed = due.claim_due(self.db, duty.name, now=self.now(), lease=lease, worker=self.me)
        if not claimed:
            return None
        try:
            if not duty.wanted():
                next_at = duty.again(self.now(), True)
                due.done(self.db, duty.name, next_at=next_at, worker=self.me)
                return None
            found = did(duty.name, self.children.run(duty.arguments, limit=duty.limit))
        except Closing:
            found = None
        if found is None or self.children.closed:
            # It was cut short by our own end: it stays due.
            due.release(self.db, duty.name, worker=self.me)
            return None
        next_at = duty.again(self.now(), found.well)
        due.done(self.db, duty.name, next_at=next_at, worker=self.me)
        self.tell(found)
        return found


def _every(period: timedelta) -> Callable[[datetime, bool], datetime]:
    return lambda now, well: now + (period if well else max(period, RETRY))


def _own(schedule: Schedule, reader: Subscriber) -> Schedule:
    """The schedule with the reader's own day and hour, where there are any."""
    own = {"digest_day": reader.digest_day, "digest_hour": reader.digest_hour}
    return schedule.model_copy(update={k: v for k, v in own.items() if v is not None})


def _weekly(reader: Reader) -> Callable[[datetime, bool], datetime]:
    return lambda now, well: reader.slot(now) if well else now + RETRY


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
    for tick in (beat, timetable.collect, timetable.work):
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
        timetable.children.end()
        clock.shutdown(wait=True)
        for number, handler in before.items():
            signal.signal(number, handler)
    return asked[0] if asked else 0
