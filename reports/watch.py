"""The door of the watch: series become alerts, and alerts become messages.

Only whole, covered days are judged, up to yesterday in the brand's zone: a day that is still
running has fewer comments than it will have, and a guess at the rest would be no finding. The
whole past is judged again each time, so that corrections, late comments and days missed by a
stopped clock count; what was told already stands in the table ``alert``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta

import numpy as np
from sqlalchemy import func, select, update

from ..config import Config
from ..storage import alerts, runs, series
from ..storage import tables as t
from ..storage.alerts import SYSTEM, AlertRow
from ..storage.database import Database
from ..storage.vocabulary import AlertState, SeriesDay, Spike
from . import spikes
from .alert_letter import Notice, Turn, evidence
from .herald import Herald
from .lookout import ALL, Key, Lookout, Sight, build
from .spikes import Episode, Judged

HISTORY = timedelta(days=400)
"""How much past the expectation is learnt from; older days weigh nothing any more."""

LOOKBACK = 7
"""Days back on which an alert may still open: comments and labels come late, clocks stop."""

QUIET = "quiet again"
CORRECTED = "the evidence is gone after corrections"
UNWATCHED = "the touchpoint is no longer configured"

_DOUBT = 1.0  # a finding is taken back when it fell this far below what opens an alert
_FOUND = [each.name for each in fields(Spike) if each.name != "series"]


@dataclass(slots=True)
class Watched:
    """What one watch did, as alert ids. ``shadow`` are those opened without telling anybody.

    ``speaks_from`` is the first day whose findings are told; None before there is any history.
    """

    opened: list[int] = field(default_factory=list)
    updated: list[int] = field(default_factory=list)
    resolved: list[int] = field(default_factory=list)
    retracted: list[int] = field(default_factory=list)
    shadow: list[int] = field(default_factory=list)
    speaks_from: date | None = None

    def __str__(self) -> str:
        told = (
            f"{len(self.opened)} opened ({len(self.shadow)} in shadow), {len(self.updated)} "
            f"updated, {len(self.resolved)} resolved, {len(self.retracted)} retracted"
        )
        since = f"; alerts speak from {self.speaks_from}" if self.speaks_from else ""
        return f"{told}{since}."


@dataclass(slots=True)
class _Watch:
    """One watch under way; ``past`` are all alerts there are."""

    db: Database
    config: Config
    now: datetime
    lookout: Lookout
    herald: Herald
    shadow: bool
    past: Sequence[AlertRow]
    done: Watched

    @property
    def last(self) -> int:
        """The row of the day that is watched."""
        return self.lookout.days - 1

    def follow(self, judged: Judged, opened: int) -> Episode:
        """What became of an alert that opened on a row."""
        return spikes.follow(judged, 0, opened, self.config.watch.quiet_days)

    def active(self, key: Key) -> AlertRow | None:
        """The open alert of a key."""
        return next((row for row in self.past if _key(row) == key and row.state.active), None)


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
    lookout = _lookout(db, config, rows)
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
    for key in lookout.keys:
        run.past = alerts.listing(db)
        if key.touchpoint not in ahead:
            _look(run, key)
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


def _lookout(db: Database, config: Config, rows: Sequence[SeriesDay]) -> Lookout | None:
    zone = config.brand.zone
    joined = {
        status.name: status.joined_at.astimezone(zone).date() if status.joined_at else None
        for status in runs.statuses(db)
    }
    return build(
        rows,
        touchpoints=list(config.touchpoints),
        joined=joined,
        budget_per_month=config.watch.false_alarms_per_month,
    )


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
    # The rehearsal may be over while the matter is not: then it is told.
    speaks = row.shadow and not run.shadow
    same = (spike.last_day, spike.observed) == (row.last_day, row.observed)
    if same and not worse and not speaks:
        return
    turn = Turn.OPENED if speaks else Turn.ESCALATED
    notice = run.herald.notice(_key(row), spike, judged, turn, episode.alarms)
    notice = replace(notice, alert=row.id)
    what = "escalated" if worse else "ongoing"
    with run.db.write() as connection:
        if not alerts.read(connection, row.id).state.active:
            return
        alerts.update_alert(
            connection, row.id, spike=spike, evidence=evidence(notice), now=run.now, what=what
        )
        if speaks:
            connection.execute(update(t.alert).where(t.alert.c.id == row.id).values(shadow=False))
        if speaks or (worse and not row.shadow):
            run.herald.tell(connection, notice, row.owner)
    run.done.updated.append(row.id)


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
        if not row.shadow:
            run.herald.tell(connection, notice, row.owner)
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
        _open(run, key, spike, run.herald.notice(key, spike, judged, Turn.OPENED, episode.alarms))


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


def _open(run: _Watch, key: Key, spike: Spike, notice: Notice) -> None:
    owner = run.config.touchpoints[key.touchpoint].owner
    with run.db.write() as connection:
        alert_id = alerts.open_alert(
            connection,
            spike=spike,
            touchpoint=key.touchpoint,
            source=key.source,
            owner=owner,
            shadow=run.shadow,
            evidence=evidence(notice),
            now=run.now,
        )
        if alert_id is None:
            return
        if not run.shadow:
            run.herald.tell(connection, replace(notice, alert=alert_id), owner)
    run.done.opened.append(alert_id)
    if run.shadow:
        run.done.shadow.append(alert_id)


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
