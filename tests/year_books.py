"""The books of the simulated year: what had to happen, counted without the house's own code.

Slots are found by looking at the clock on the wall of each zone, half hour by half hour; the plan
says what went wrong. What the house did stands in its tables, and both have to agree.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from histories.world import State
from sqlalchemy import select
from year_house import (
    CRON_DAY,
    CRON_NIGHT,
    CRON_WEEK,
    EVERY,
    READERS,
    SENDER,
    ZONES,
    Year,
    reader,
    rhythm_of,
)
from year_world import BEGIN, DAY, HOUR, Life

from ouvidor.storage import series, upkeep
from ouvidor.storage import tables as t

BRAND = ZoneInfo(ZONES[0])
HALF = HOUR / 2
LEASE = timedelta(minutes=10)
"""How long the claim of a dead house holds a source: nobody renews it any more."""
AT_ONCE = timedelta(seconds=30)
"""Later than that a slot was not met, but made up for."""
LAG = timedelta(days=16)
"""What comes up nowhere is seen when everything is read again: once a week, at the next turn."""
WALLS = {CRON_NIGHT: ({6, 2}, 0.5), CRON_DAY: ({0, 3}, 6), CRON_WEEK: ({0}, 6)}
"""What the lines of cron say: on which weekdays, from Monday on, and when."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Kept(NamedTuple):
    """A slot and when it was kept."""

    slot: datetime
    at: datetime

    @property
    def late(self) -> bool:
        return self.at - self.slot > AT_ONCE


def walls(zone: str, days: set[int], clock: float, until: datetime) -> Iterator[datetime]:
    """Each moment at which a clock on a wall first shows an hour, on some weekdays."""
    place, moment, last = ZoneInfo(zone), BEGIN - 2 * DAY, None
    moment = moment.replace(minute=0)
    while moment < until:
        local = moment.astimezone(place)
        shown = local.hour + local.minute / 60
        if local.weekday() in days and shown >= clock and local.date() != last:
            last = local.date()
            yield moment
        moment += HALF


# --- sources ----------------------------------------------------------------------------------


def source_slots(year: Year, name: str, started: Sequence[datetime]) -> list[Kept]:
    """Every slot of a source, and the tick at which it had to be kept; asserts that it was.

    A slot is kept at the first tick that finds it due: then comes the next date, or after an hour
    another try. Where the house died in the midst of a tick, it or the next one may have done it.
    """
    cron, end = rhythm_of(name), year.plan.end
    days, clock = WALLS.get(cron, (set(), 0))
    walled = list(walls(ZONES[0], days, clock, end + 15 * DAY))
    strikes = {at: each for each, at in year.struck if each.duty == f"collect:{name}"}
    hand = {at for who, at in year.by_hand if who == name}
    left = [each for each in started if each not in hand]
    assert len(hand) + len(left) == len(started), (name, hand)
    slot, held, kept = BEGIN, BEGIN - DAY, []

    def following(now: datetime, *, well: bool) -> datetime:
        after = now + timedelta(hours=EVERY) if not cron else walled[bisect_left(walled, now)]
        if cron and after == now:
            after = walled[bisect_left(walled, now) + 1]
        return after if well else min(after, now + HOUR)

    for tick in year.ticks:
        if slot > tick.at or held >= tick.at:
            continue
        strike = strikes.get(tick.at)
        how = strike.how if strike else ""
        if tick.died and not how and (not left or left[0] != tick.at):
            continue  # the house died before it came to this one
        if how == "house died before":
            held = tick.at + LEASE
            continue
        if strike and strike.how == "disk full" and strike.count == 1:
            slot = following(tick.at, well=False)  # there was not even room to begin
            continue
        assert left, f"{name}: the slot of {slot} was missed at {tick.at}"
        found = left.pop(0)
        assert found == tick.at, f"{name}: the slot of {slot} was due at {tick.at}, read at {found}"
        kept.append(Kept(slot, found))
        if how == "house died after":
            held = tick.at + LEASE
            continue
        well = not (how in {"killed", "disk full"} or year.plan.fault(name, tick.at))
        slot = following(tick.at, well=well)
    assert not left, f"{name}: {len(left)} runs that nobody asked for: {left[:3]}"
    return kept


def runs_of(year: Year) -> dict[str, list[datetime]]:
    """When the runs of each source began, in their order."""
    query = select(t.source.c.name, t.run.c.started_at).join_from(t.run, t.source)
    found: dict[str, list[datetime]] = {name: [] for name in year.lives}
    with year.db.read() as connection:
        for name, started in connection.execute(query.order_by(t.run.c.id)):
            found[name].append(started)
    return found


# --- digests ----------------------------------------------------------------------------------


def digest_slots(number: int, until: datetime) -> list[tuple[datetime, str]]:
    """When one reader is to be told, and of which week of the brand's."""
    table = reader(number)
    day = WEEKDAYS.index(table.get("digest_day", "monday"))
    slots = walls(table["time_zone"], {day}, table.get("digest_hour", 8), until + DAY)
    place, found = ZoneInfo(table["time_zone"]), []
    for slot in slots:
        moment = slot
        while _week(moment.astimezone(BRAND)) < _week(slot.astimezone(place)):
            moment += HALF  # the brand's week is not over
        if BEGIN - DAY < moment < until:
            found.append((moment, "{}-W{:02}".format(*_week(moment.astimezone(BRAND) - 7 * DAY))))
    return found


def _week(moment: datetime) -> tuple[int, int]:
    return moment.isocalendar()[:2]


class Told(NamedTuple):
    """The digests of a year: slots that were met and made up for, and what did not come once."""

    met: int
    made_up: int
    losses: int
    doubles: int


def digests(year: Year) -> Told:
    """Each reader was told of each week at its hour, once, and it arrived once."""
    with year.db.read() as connection:
        columns = t.message.c["key", "recipient", "state", "created_at"]
        messages = {
            row.key: row
            for row in connection.execute(select(*columns).where(t.message.c.channel == "mail"))
        }
    arrived = dict(year.post.postman.arrived)
    ticks = [tick.at for tick in year.ticks]
    troubled = {at for each, at in year.struck if each.duty == "digest"}
    expected, late, losses, doubles = 0, 0, 0, 0
    for number in range(READERS):
        for slot, week in digest_slots(number, ticks[-1]):
            key = f"digest:r{number:02}:{week}"
            message = messages.pop(key, None)
            assert message is not None, f"{key} of {slot} was never written"
            first = next(place for place, at in enumerate(ticks) if at >= slot)
            allowed = [ticks[first]]
            if year.ticks[first].died or ticks[first] in troubled:
                allowed += [at for at in ticks[first:] if at <= ticks[first] + HOUR]
            assert message.created_at in allowed, (key, slot, message.created_at)
            expected += 1
            late += message.created_at - slot > AT_ONCE
            mark = f"<{sha256(key.encode()).hexdigest()[:32]}@{SENDER.partition('@')[2]}>"
            times = arrived.pop((mark, message.recipient), 0)
            losses, doubles = losses + (times == 0), doubles + max(0, times - 1)
    others = [key for key in messages if key.startswith("digest:")]
    assert not others, f"digests of no slot: {others[:3]}"
    doubles += sum(times - 1 for times in arrived.values())
    losses += len(messages) - len(arrived)
    return Told(expected - late, late, losses, doubles)


# --- what is stored ---------------------------------------------------------------------------

_ROWS = select(
    t.feedback.c.external_id, t.feedback.c.text, t.feedback.c.stars, t.feedback.c.reply_text
).join_from(t.feedback, t.source)
_JOINED = select(t.run.c.started_at).join_from(t.run, t.source).where(t.run.c.joined)
_COVERED = select(t.coverage.c.since, t.coverage.c.until).join_from(t.coverage, t.source)


class Truth(NamedTuple):
    """One source against its world: items it ever showed, those stored, and those in a gap."""

    ever: int
    stored: int
    gaps: int


def source_truth(year: Year, life: Life) -> Truth:
    """What a source shows is stored in its latest state, and what the ledger covers is, too."""
    ours = t.source.c.name == life.name
    with year.db.read() as connection:
        rows = connection.execute(_ROWS.where(ours)).all()
        joined = connection.execute(_JOINED.where(ours).order_by(t.run.c.id)).scalars().all()
        spans = connection.execute(_COVERED.where(ours)).all()
    stored = {row[0].rpartition("/")[2]: State(*row[1:]) for row in rows}
    assert len(stored) == len(rows), f"{life.name}: something is stored twice"
    world, last = life.world, max(joined)
    assert set(stored) <= set(world.ever), f"{life.name}: something was invented"
    for item in life.shown(last):
        seen = item.changed < (last if life.shape.thorough else last - LAG)
        assert not seen or stored.get(item.key) == life.shape.told(item.now), (life.name, item)
    gaps = 0
    for item in world.ever.values():
        covered = any(since <= item.born < until for since, until in spans)
        assert item.key in stored or not covered, f"{life.name}: {item.key} is covered, not stored"
        gaps += item.key not in stored and item.born < last
    return Truth(len(world.ever), len(stored), gaps)


def monthly(year: Year) -> None:
    """What has to hold at any calm moment."""
    for proof in upkeep.check(year.url):
        assert proof.ok, proof
    _nothing_stuck(year)
    for life in year.lives.values():
        source_truth(year, life)


def _nothing_stuck(year: Year) -> None:
    """No lease outlives its holder, no run stands open, no claim is left."""
    with year.db.read() as connection:
        held = select(t.due.c.name).where(t.due.c.claimed_by.is_not(None))
        assert connection.execute(held).all() == []
        open_runs = select(t.run.c.id, t.run.c.started_at).where(t.run.c.finished_at.is_(None))
        assert connection.execute(open_runs).all() == []
        for table in (t.feedback, t.message):
            claimed = select(table.c.id).where(table.c.claimed_by.is_not(None))
            assert connection.execute(claimed).all() == []
        pending = select(t.feedback.c.id).where(t.feedback.c.pending)
        assert connection.execute(pending).all() == []


def series_as_counted_anew(year: Year) -> None:
    """The series that grew in a year are those of a count from the raw tables."""
    series.refresh(year.db)
    grown = _series(year)
    series.rebuild(year.db)
    assert len(grown) > 0
    assert grown == _series(year)


def _series(year: Year) -> list[Any]:
    with year.db.read() as connection:
        rows = connection.execute(select(t.series)).all()
    return sorted((*row[:6], pytest.approx(row[6]), pytest.approx(row[7])) for row in rows)


# --- the table --------------------------------------------------------------------------------


class Balance(NamedTuple):
    """What the year came to."""

    days: int
    sources: int
    runs: int
    met: int
    made_up: int
    told: Told
    feedback: int
    gaps: int
    faults: Counter[str]


def balance(year: Year) -> Balance:
    """Close the books: every slot, every digest, every piece of feedback; raises at the first that
    does not agree."""
    started = runs_of(year)
    kept = [each for name in year.lives for each in source_slots(year, name, started[name])]
    late = sum(each.late for each in kept)
    truths = [source_truth(year, life) for life in year.lives.values()]
    well = {"well", "not well"}
    return Balance(
        days=round(year.plan.days),
        sources=len(year.lives),
        runs=sum(map(len, started.values())),
        met=len(kept) - late,
        made_up=late,
        told=digests(year),
        feedback=sum(truth.stored for truth in truths),
        gaps=sum(truth.gaps for truth in truths),
        faults=Counter({how: n for how, n in year.seen.items() if n and how not in well}),
    )


def printed(name: str, found: Balance, year: Year) -> str:
    """A short table that the docs can quote."""
    told = found.told
    faults = ", ".join(f"{n} {how}" for how, n in sorted(found.faults.items()))
    grown = [f"{q.grown / q.feedback:.0f}" if q.feedback else "-" for q in year.quarters]
    held = [f"{q.memory:.0f}" for q in year.quarters]
    rows = [
        ("database", name),
        (
            "days, sources, readers",
            f"{found.days}, {found.sources}, {READERS} in {len(ZONES)} zones",
        ),
        ("runs (ticks of the clock)", f"{found.runs} ({len(year.ticks)})"),
        ("slots of sources", f"{found.met} met, {found.made_up} made up once"),
        ("slots of digests", f"{told.met} met, {told.made_up} made up once"),
        ("mails", f"{told.losses} lost, {told.doubles} double"),
        ("feedback", f"{found.feedback} stored once, {found.gaps} in gaps that the ledger names"),
        ("faults", faults),
        ("bytes per feedback, by quarter", " ".join(grown)),
        ("memory in MiB, by quarter", " ".join(held)),
    ]
    return "\n".join(f"{what:32} {value}" for what, value in rows)
