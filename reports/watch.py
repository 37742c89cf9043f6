"""The door of the watch: series become alerts, and alerts become messages.

Only whole, covered days are judged, up to yesterday in the brand's zone: a day that is still
running has fewer comments than it will have, and a guess at the rest would be no finding. The
whole past is judged again each time, so that corrections, late comments and days missed by a
stopped clock count; what was told already stands in the table ``alert``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta

import numpy as np
from sqlalchemy import Connection, func, select

from ..config import Config
from ..storage import alerts, arrivals, runs, series
from ..storage import annotations as tags
from ..storage import tables as t
from ..storage.alerts import SYSTEM, AlertRow
from ..storage.database import Database
from ..storage.vocabulary import AlertState, SeriesDay, Spike
from . import incident, spikes
from .alert_letter import Notice, Turn, evidence
from .herald import Herald, Told
from .incident import Member
from .lookout import ALL, Key, Lookout, Sight, build
from .spikes import Episode, Judged

HISTORY = timedelta(days=400)
"""How much past the expectation is learnt from; older days weigh nothing any more."""

LOOKBACK = 7
"""Days back on which an alert may still open: comments and labels come late, clocks stop."""

AGAIN = timedelta(days=14)
"""After so long people are told once more of what goes on and got no graver."""

QUIET = "quiet again"
CORRECTED = "the evidence is gone after corrections"
UNWATCHED = "the touchpoint is no longer configured"

_TAUGHT = timedelta(days=180)  # how long a dismissal is remembered
_MOST_LESSONS = 3
_RETAGGED = 0.1  # while more of what was said is another tagger's, the series mean nothing
_SPOKEN = timedelta(days=60)  # whose words say which tagger speaks

_DOUBT = 1.0  # a finding is taken back when it fell this far below what opens an alert
_FOUND = [each.name for each in fields(Spike) if each.name != "series"]


@dataclass(slots=True)
class Watched:
    """What one watch did, as alert ids. ``shadow`` are those opened without telling anybody.

    ``speaks_from`` is the first day whose findings are told; None before there is any history.
    ``held`` says that nothing was judged, because a new tagger is still going over the past.
    """

    opened: list[int] = field(default_factory=list)
    updated: list[int] = field(default_factory=list)
    resolved: list[int] = field(default_factory=list)
    retracted: list[int] = field(default_factory=list)
    shadow: list[int] = field(default_factory=list)
    speaks_from: date | None = None
    held: bool = False

    def __str__(self) -> str:
        told = (
            f"{len(self.opened)} opened ({len(self.shadow)} in shadow), {len(self.updated)} "
            f"updated, {len(self.resolved)} resolved, {len(self.retracted)} retracted"
        )
        if self.held:
            return (
                "Nothing was judged: a new tagger goes over the past; `ouvidor annotate` ends it."
            )
        since = f"; alerts speak from {self.speaks_from}" if self.speaks_from else ""
        return f"{told}{since}."


@dataclass(frozen=True, slots=True)
class _Opening:
    """An alert that is about to open; it may have to be silent."""

    key: Key
    spike: Spike
    notice: Notice
    silent: bool


@dataclass(slots=True)
class _Watch:
    """One watch under way; ``past`` are all alerts there are, ``openings`` those to come."""

    db: Database
    config: Config
    now: datetime
    lookout: Lookout
    herald: Herald
    shadow: bool
    past: Sequence[AlertRow]
    done: Watched
    openings: list[_Opening] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The row of the day that is watched."""
        return self.lookout.days - 1

    def follow(self, judged: Judged, opened: int) -> Episode:
        """What became of an alert that opened on a row."""
        return spikes.follow(judged, 0, opened, self.config.watch.quiet_days)

    def active(self, key: Key) -> bool:
        """Whether an alert of a key is open, or about to be."""
        opening = any(each.key == key for each in self.openings)
        return opening or any(_key(row) == key and row.state.active for row in self.past)

    @property
    def today(self) -> date:
        """The brand's day."""
        return self.now.astimezone(self.config.brand.zone).date()

    def silent(self, key: Key) -> bool:
        """Whether nobody is told about a key: the brand rehearses, or somebody muted it."""
        muted = any(
            row.muted_until and row.muted_until >= self.today for row in self.past if _kin(key, row)
        )
        return self.shadow or muted


def _key(row: AlertRow) -> Key:
    return Key(row.touchpoint, row.source)


def watch(db: Database, config: Config, *, now: datetime) -> Watched:
    """Open, update, resolve and retract alerts; their messages share the transaction."""
    done = Watched()
    past = alerts.listing(db)
    _let_go(db, config, past, done, now)
    yesterday = now.astimezone(config.brand.zone).date() - timedelta(days=1)
    rows = _rows(db, config, until=yesterday)
    covered = min((row.day for row in rows if row.observed), default=None)
    spoken = tags.voice_since(db, since=yesterday - _SPOKEN)
    done.held = bool(spoken and spoken[1] > _RETAGGED)
    lookout = None if done.held else _lookout(db, config, rows, past=past)
    if covered is None or lookout is None:
        return done
    done.speaks_from = covered + timedelta(days=config.watch.shadow_days)
    herald = Herald(db, config, now, lookout)
    shadow = yesterday < done.speaks_from
    run = _Watch(db, config, now, lookout, herald, shadow, past, done)
    # A clock that was set back, or a replayed past: what is known of later days is left alone.
    ahead = {row.touchpoint for row in past if row.last_day > yesterday}
    for row in past:
        if row.state.active and row.touchpoint in config.touchpoints.keys() - ahead:
            _follow(run, row)
    run.past = alerts.listing(db)
    for key in lookout.keys:
        if key.touchpoint not in ahead:
            _look(run, key)
    if run.openings:
        _open(run)
    return done


def _rows(db: Database, config: Config, *, until: date) -> list[SeriesDay]:
    """The series from the first day anything is known, at most ``HISTORY`` back."""
    with db.read() as connection:
        covered = connection.execute(select(func.min(t.coverage.c.day))).scalar()
    first = min((day for day in (series.first_day(db), covered) if day), default=None)
    if first is None or first > until:
        return []
    since = max(first, until - HISTORY)
    return series.daily(db, since=since, until=until, touchpoints=list(config.touchpoints))


def _lookout(
    db: Database, config: Config, rows: Sequence[SeriesDay], past: Sequence[AlertRow] = ()
) -> Lookout | None:
    if not rows:
        return None
    zone, until = config.brand.zone, max(row.day for row in rows)
    spoken = tags.voice_since(db, since=until - _SPOKEN)
    joined = {
        status.name: status.joined_at.astimezone(zone).date() if status.joined_at else None
        for status in runs.statuses(db)
    }
    return build(
        rows,
        touchpoints=list(config.touchpoints),
        joined=joined,
        budget_per_month=config.watch.false_alarms_per_month,
        complete=arrivals.completeness(db, until=until, zone=zone),
        lessons=_lessons(past, until),
        rebased=spoken[0].astimezone(zone).date() if spoken else None,
    )


def _lessons(past: Sequence[AlertRow], until: date) -> dict[Key, int]:
    """How many alerts of each key people found needless; bounded, so that none goes deaf."""
    found = Counter(
        _key(row)
        for row in past
        if row.lesson and row.lesson.needless and row.last_day >= until - _TAUGHT
    )
    return {key: min(count, _MOST_LESSONS) for key, count in found.items()}


def _let_go(
    db: Database, config: Config, past: Sequence[AlertRow], done: Watched, now: datetime
) -> None:
    """Close what nobody watches any more."""
    for row in past:
        if row.state.active and row.touchpoint not in config.touchpoints:
            state = AlertState.RESOLVED
            alerts.close(db, row.id, state=state, by=SYSTEM, reason=UNWATCHED, now=now)
            done.resolved.append(row.id)


# An alert that is open.


def _follow(run: _Watch, row: AlertRow) -> None:
    """An open alert goes on, gets worse, comes to its end, or turns out to rest on nothing."""
    members = run.lookout.members(_key(row))
    if not members:
        _end(run, row, Turn.RETRACTED, None, None)
        return
    judged = run.lookout.judge(members)
    episode = run.follow(judged, max(run.lookout.index(row.detected_on), 0))
    if _rests_on_nothing(run, row, judged):
        _end(run, row, Turn.RETRACTED, judged, episode)
    elif episode.end is not None:
        _end(run, row, Turn.RESOLVED, judged, episode)
    else:
        _go_on(run, row, judged, episode)


def _rests_on_nothing(run: _Watch, row: AlertRow, judged: Judged) -> bool:
    """Whether the days that were alarming are so no more, by far; unobserved days prove nothing."""
    first, last = map(run.lookout.index, (row.detected_on, row.last_day))
    days = np.arange(max(first, 0), last + 1)
    scores, limits = judged.score[days, 0], run.lookout.limits(_key(row))[days]
    known = ~np.isnan(scores)
    return bool(known.any() and (scores[known] < limits[known] - _DOUBT).all())


def _go_on(run: _Watch, row: AlertRow, judged: Judged, episode: Episode) -> None:
    first = run.lookout.index(row.first_day)
    spike = run.lookout.spike(_key(row), first, judged, episode)
    worse = spike.severity.rank > row.severity.rank
    if not worse:
        spike = replace(spike, severity=row.severity)
    turn = _due(run, row, spike)
    same = (spike.last_day, spike.observed) == (row.last_day, row.observed)
    if same and not worse and turn is None:
        return
    notice = run.herald.notice(_key(row), spike, judged, turn or Turn.ESCALATED, episode.alarms)
    notice = replace(notice, alert=row.id)
    what = "escalated" if worse else "ongoing"
    with run.db.write() as connection:
        if not alerts.read(connection, row.id).state.active:
            return
        alerts.update_alert(
            connection, row.id, spike=spike, evidence=evidence(notice), now=run.now, what=what
        )
        if turn:
            alerts.mark_told(connection, row.id, severity=spike.severity, now=run.now)
            run.herald.tell(connection, [Told(notice, row.owner)])
    run.done.updated.append(row.id)


def _due(run: _Watch, row: AlertRow, spike: Spike) -> Turn | None:
    """What people have to hear of an alert that goes on, if anything."""
    if run.silent(_key(row)):
        return None
    if row.shadow:
        # The rehearsal, or the silence somebody asked for, is over while the matter is not.
        return Turn.OPENED
    if spike.severity.rank > row.told_severity.rank:
        return Turn.ESCALATED
    told = row.told_at.astimezone(run.config.brand.zone).date()
    fresh = run.now - row.told_at >= AGAIN and spike.last_day >= told
    return Turn.ONGOING if fresh else None


def _end(
    run: _Watch, row: AlertRow, turn: Turn, judged: Judged | None, episode: Episode | None
) -> None:
    """Close an alert; those who heard of it hear of its end."""
    # Without columns nothing is left of what was found.
    spike = Spike(series=row.touchpoint, **{each: getattr(row, each) for each in _FOUND})
    spike = replace(spike, observed=0)
    alarms = episode.alarms if episode else ()
    if judged and episode:
        now = run.lookout.spike(_key(row), run.lookout.index(row.first_day), judged, episode)
        spike = replace(now, severity=row.severity, score=row.score)
    notice = run.herald.notice(_key(row), spike, judged, turn, alarms)
    notice = replace(notice, alert=row.id)
    resolved = turn is Turn.RESOLVED
    state, reason = AlertState.RESOLVED, QUIET if resolved else CORRECTED
    with run.db.write() as connection:
        if not alerts.read(connection, row.id).state.active:
            return
        alerts.close_alert(connection, row.id, state=state, by=SYSTEM, reason=reason, now=run.now)
        if not row.shadow and not run.silent(_key(row)):
            run.herald.tell(connection, [Told(notice, row.owner)])
    (run.done.resolved if resolved else run.done.retracted).append(row.id)


# A key without an open alert.


def _look(run: _Watch, key: Key) -> None:
    """Open an alert where the last days ask for one."""
    if run.active(key) or (key.source and run.active(Key(key.touchpoint, ALL))):
        return
    members = run.lookout.keys[key]
    judged = run.lookout.judge(members, after=_closed(run, key), backfill=False)
    detected = _opening(run, key, judged)
    if detected is None:
        return
    if not key.source and not _more_than_its_parts(run, key, detected):
        return
    episode = run.follow(judged, detected)
    if episode.end is None:
        first = detected - int(judged.length[detected, 0]) + 1
        spike = run.lookout.spike(key, first, judged, episode)
        notice = run.herald.notice(key, spike, judged, Turn.OPENED, episode.alarms)
        run.openings.append(_Opening(key, spike, notice, run.silent(key)))


def _opening(run: _Watch, key: Key, judged: Judged) -> int | None:
    """The first row of the last days on which an alert has to open."""
    with np.errstate(invalid="ignore"):
        high = np.flatnonzero(judged.score[:, 0] >= run.lookout.limits(key))
    return next((int(day) for day in high if day > run.last - LOOKBACK), None)


def _kin(key: Key, row: AlertRow) -> bool:
    """Whether an alert told about this key: itself, or the touchpoint over all its sources."""
    return row.touchpoint == key.touchpoint and row.source in {key.source, ALL}


def _by_person(row: AlertRow) -> bool:
    return not row.state.active and row.reason not in {QUIET, CORRECTED, UNWATCHED}


def _closed(run: _Watch, key: Key) -> int:
    """The row up to which the days are told and done: a new alert needs newer evidence."""
    rows = [-1]
    for row in run.past:
        if not _kin(key, row) or row.closed_at is None:
            continue
        if row.state is AlertState.DISMISSED:
            rows.append(_dismissed(run, row, key))
        else:
            day = row.closed_at.astimezone(run.config.brand.zone).date()
            rows.append(run.lookout.index(day if _by_person(row) else row.last_day))
    return max(rows)


def _dismissed(run: _Watch, row: AlertRow, key: Key) -> int:
    """The last row of what somebody dismissed: as long as it goes on, unless it gets graver."""
    end = run.lookout.index(row.last_day)
    members = run.lookout.members(_key(row))
    if end < 0 or not members:
        return end
    judged = run.lookout.judge(members)
    alarms = run.follow(judged, end).alarms
    worst = max((spikes.severity(*judged.at(day, 0)).rank for day in alarms[1:]), default=-1)
    # A part is not compared with the whole: alone it always looks graver.
    graver = _key(row) == key and worst > row.severity.rank
    return end if graver else alarms[-1]


def _more_than_its_parts(run: _Watch, key: Key, detected: int) -> bool:
    """Whether the touchpoint alarms even without the sources somebody was told about already."""
    recent = run.now - timedelta(days=LOOKBACK)
    told = {
        row.source
        for row in run.past
        if row.touchpoint == key.touchpoint
        and (row.state.active or (_by_person(row) and (row.closed_at or run.now) >= recent))
    }
    members = run.lookout.keys[key]
    rest = [place for place in members if run.lookout.columns[place].source not in told]
    if not rest or len(rest) == len(members):
        return bool(rest)
    judged = run.lookout.judge(rest, after=_closed(run, key), backfill=False)
    return bool(judged.score[detected, 0] >= run.lookout.limits(key)[detected])


def _open(run: _Watch) -> None:
    """Open what is to be opened at once: alerts about the same days are told as one incident."""
    told: list[Told] = []
    with run.db.write() as connection:
        for each in run.openings:
            owner = run.config.touchpoints[each.key.touchpoint].owner
            alert_id = alerts.open_alert(
                connection,
                spike=each.spike,
                touchpoint=each.key.touchpoint,
                source=each.key.source,
                owner=owner,
                shadow=each.silent,
                evidence=evidence(each.notice),
                now=run.now,
            )
            if alert_id is None:
                continue
            run.done.opened.append(alert_id)
            if each.silent:
                run.done.shadow.append(alert_id)
            else:
                told.append(Told(replace(each.notice, alert=alert_id), owner))
        _tell_together(run, connection, told)


def _tell_together(run: _Watch, connection: Connection, told: Sequence[Told]) -> None:
    standing = [
        _member(run, _key(row), row.id, row, row.incident)
        for row in run.past
        if row.state.active and not row.shadow and row.touchpoint in run.config.touchpoints
    ]
    new = [_member(run, each.notice.key, each.notice.alert, each.notice.found) for each in told]
    group = incident.gathered(new, standing)
    for member in group.members if group else ():
        alerts.join_incident(connection, member.alert, group.leader if group else 0, now=run.now)
    for each in told:
        alerts.mark_told(connection, each.notice.alert, severity=each.notice.severity, now=run.now)
    if group:
        told = [
            each._replace(notice=replace(each.notice, incident=group.beside(each.notice.alert)))
            for each in told
        ]
    run.herald.tell(connection, told)


def _member(
    run: _Watch, key: Key, alert: int, found: AlertRow | Spike, leader: int | None = None
) -> Member:
    touchpoint = run.config.touchpoints[key.touchpoint]
    return Member(
        alert=alert,
        key=key,
        touchpoint=touchpoint.name,
        stage=touchpoint.stage,
        sources=run.lookout.sources(key),
        severity=found.severity,
        observed=found.observed,
        expected=found.expected,
        first_day=found.first_day,
        last_day=found.last_day,
        incident=leader,
    )


# The past, replayed.


def backtest(
    db: Database, config: Config, *, since: date | None = None, until: date | None = None
) -> list[Spike]:
    """What would have fired over the stored past, back-filled days included.

    ``until`` is the last day that counts; without it the last whole one known.
    """
    lookout = _known_past(db, config, until)
    if lookout is None:
        return []
    found: list[Spike] = []
    told: dict[str, list[tuple[int, int]]] = {}
    for key, members in lookout.keys.items():
        judged = lookout.judge(members)
        for episode in spikes.episodes(judged, 0, lookout.limits(key), config.watch.quiet_days):
            whole = told.setdefault(key.touchpoint, [])
            opened, end = episode.opened, episode.last
            if key.source and any(start <= end and opened <= stop for start, stop in whole):
                continue
            if not key.source:
                whole.append((opened, end))
            first = opened - int(judged.length[opened, 0]) + 1
            found.append(lookout.spike(key, first, judged, episode))
    chosen = [spike for spike in found if since is None or spike.detected_on >= since]
    return sorted(chosen, key=lambda spike: (spike.detected_on, spike.series))


def _known_past(db: Database, config: Config, until: date | None) -> Lookout | None:
    with db.read() as connection:
        query = select(func.max(t.coverage.c.day)).where(t.coverage.c.whole)
        last = until or connection.execute(query).scalar()
    return _lookout(db, config, _rows(db, config, until=last)) if last else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the watch can see: the budget, how it is spent, and the smallest changes."""

    series: int
    false_alarms_a_month: float
    sights: tuple[Sight, ...]


def outlook(db: Database, config: Config, *, until: date | None = None) -> Outlook | None:
    """How often an alert comes by chance, and the smallest change each key could show.

    None while there is no covered day or nothing speaks of a touchpoint.
    """
    lookout = _known_past(db, config, until)
    if lookout is None:
        return None
    return Outlook(
        series=lookout.judged_keys,
        false_alarms_a_month=round(lookout.chance, 3),
        sights=tuple(lookout.sights()),
    )
