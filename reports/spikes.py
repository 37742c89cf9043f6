"""Finds spikes of negative feedback in daily counts, within a budget of false alarms.

Pure: days in, findings out. `watch` stores them, `ouvidor spikes` prints them, the benchmark
measures them; all three read the one score per series and day that ``judge`` gives.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ..storage.vocabulary import Severity, Spike
from .baseline import MOST, WINDOWS, Bools, Floats, Ints, Panel, Scan, scan

QUIET_DAYS = 7
"""Quiet observed days after which an alert is over."""

HOLD = 2.0
"""The score of newer days alone (a chance of one in a hundred) that keeps an open alert alive."""

FLOOR = 3.2
"""No budget buys more than about one false alarm a year and series."""

_MIDDLE, _DECADE = 3.4, 1.85  # measured, with a margin: see benchmarks/spikes

LESSON = _DECADE * math.log10(2)
"""What a needless alert teaches: the next one about the same has to be half as likely by chance."""

_CHUNK = 512  # series judged together; bounds the memory
_LONGEST = 20 * 366
_Z5 = 1.645  # the 5 % quantile of the normal law
_LEAST_RATIO = 1.1
_LEAST = 1e-9
_LEVELS = ((Severity.CRITICAL, 3.0, 15.0), (Severity.WARNING, 2.0, 5.0))


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one series. ``total`` is None where nobody knows it."""

    date: date
    negatives: int
    total: int | None
    observed: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """Days × series: the best window that ends on each day.

    ``score`` is -log10 of its chance, nan where there is no opinion; ``length`` is its length in
    days; the figures are its own. ``evidence`` holds the score of every window (days × windows ×
    series).
    """

    score: Floats
    length: Ints
    observed: Floats
    expected: Floats
    variance: Floats
    evidence: Floats

    def at(self, day: int, column: int) -> tuple[float, float, float]:
        """Observed, expected and variance of the best window that ends on this day."""
        return (
            float(self.observed[day, column]),
            float(self.expected[day, column]),
            float(self.variance[day, column]),
        )

    def newer(self, day: int, column: int, after: int) -> float:
        """The score of the best window that ends on this day and begins after another one."""
        lengths = sum(length <= day - after for length in WINDOWS)
        return float(self.evidence[day, :lengths, column].max(initial=0.0))


def judge(scanned: Scan) -> Judged:
    """The best window of every day: its score is the score of the day."""
    evidence = scanned.evidence()
    evidence[least_ratio(scanned.observed, scanned.expected, scanned.variance) < _LEAST_RATIO] = 0
    best = evidence.argmax(axis=1)[:, None, :]

    def chosen(values: Floats) -> Floats:
        picked: Floats = np.take_along_axis(values, best, axis=1)[:, 0, :]
        return picked

    return Judged(
        score=np.where(scanned.judged, chosen(evidence), np.nan),
        length=np.array(WINDOWS)[best[:, 0, :]],
        observed=chosen(scanned.observed),
        expected=chosen(scanned.expected),
        variance=chosen(scanned.variance),
        evidence=evidence,
    )


def least_ratio(observed: Floats, expected: Floats, variance: Floats) -> Floats:
    """The lower 5 % bound of how many times more came than expected."""
    expected = np.maximum(expected, _LEAST)
    spread = np.sqrt(variance / (expected * np.maximum(observed, 1)))
    bound: Floats = observed / expected * np.exp(-_Z5 * spread)
    return bound


def severity(observed: float, expected: float, variance: float) -> Severity:
    """How much it hurts: from the sure part of the effect and the excess, never from the chance."""
    ratio = float(least_ratio(*(np.array(each) for each in (observed, expected, variance))))
    for level, times, excess in _LEVELS:
        if ratio >= times and observed - expected >= excess:
            return level
    return Severity.NOTICE


def threshold(budget_per_month: float, series: int) -> float:
    """The score that ``series`` series reach by chance ``budget_per_month`` times a month.

    Raises ValueError for a budget that is not above zero.
    """
    if not (budget_per_month > 0 and math.isfinite(budget_per_month)):
        raise ValueError(f"a budget of {budget_per_month} false alarms a month; give one above 0")
    yearly = 12 * budget_per_month / max(series, 1)
    return max(FLOOR, _MIDDLE - _DECADE * math.log10(yearly))


def chance(score: float, series: int) -> float:
    """How often a month ``series`` series reach this score by chance."""
    yearly: float = 10 ** ((_MIDDLE - score) / _DECADE)
    return yearly * max(series, 1) / 12


def thresholds(judged: Bools, budget_per_month: float) -> Floats:
    """The threshold of every day, from the number of series that had been judged by then."""
    counts = np.maximum.accumulate(judged, axis=0).sum(axis=1)
    levels = {count: threshold(budget_per_month, int(count)) for count in np.unique(counts)}
    return np.array([levels[count] for count in counts])


@dataclass(frozen=True, slots=True)
class Episode:
    """The days (rows) on which one alert alarms; ``end`` is the row it closes on, if it does."""

    alarms: tuple[int, ...]
    end: int | None

    @property
    def opened(self) -> int:
        """The first alarming day."""
        return self.alarms[0]

    @property
    def last(self) -> int:
        """The last alarming day."""
        return self.alarms[-1]


def follow(judged: Judged, column: int, opened: int, quiet_days: int = QUIET_DAYS) -> Episode:
    """What becomes of an alert that opens on a day.

    It alarms again when the days since its last alarm are evidence by themselves; it closes after
    enough quiet days. Days without opinion neither alarm nor count as quiet.
    """
    alarms, quiet = [opened], 0
    for day in np.flatnonzero(~np.isnan(judged.score[opened + 1 :, column])) + opened + 1:
        if judged.newer(int(day), column, alarms[-1]) >= HOLD:
            alarms.append(int(day))
            quiet = 0
        elif (quiet := quiet + 1) >= quiet_days:
            return Episode(tuple(alarms), int(day))
    return Episode(tuple(alarms), None)


def episodes(
    judged: Judged, column: int, limits: Floats, quiet_days: int = QUIET_DAYS
) -> Iterator[Episode]:
    """Every alert of one series: nothing is told twice, and no day alarms for two of them."""
    last, closed = -1, -1
    with np.errstate(invalid="ignore"):
        high = np.flatnonzero(judged.score[:, column] >= limits)
    for day in map(int, high):
        if day > closed and judged.newer(day, column, last) >= limits[day]:
            episode = follow(judged, column, day, quiet_days)
            last = episode.last
            closed = len(limits) if episode.end is None else episode.end
            yield episode


def detect(
    series: Mapping[str, Sequence[Day]], *, budget_per_month: float = 1.0
) -> Iterator[Spike]:
    """Notifications of all series by day: one when an alert opens, one when it gets more severe.

    The budget is spent over all series together. Raises ValueError where days contradict
    each other or span more than twenty years.
    """
    names = sorted(name for name, days in series.items() if days)
    if not names:
        threshold(budget_per_month, 1)
        return
    first, length = _span(series[name] for name in names)
    found: list[Spike] = []
    voices = _voices(series, names, first, length)
    limits = thresholds(voices, budget_per_month)
    for start in range(0, len(names), _CHUNK):
        some = names[start : start + _CHUNK]
        panel = panel_of([series[name] for name in some], first, length)
        judged = judge(scan(panel))
        for column, name in enumerate(some):
            found += _told(judged, column, name, first, limits, panel)
    yield from sorted(found, key=lambda spike: (spike.detected_on, spike.series))


def _voices(
    series: Mapping[str, Sequence[Day]], names: Sequence[str], first: date, length: int
) -> Bools:
    """Whether each series had been observed at all by each day: the budget is theirs to share."""
    seen = np.zeros((length, len(names)), bool)
    for column, name in enumerate(names):
        days = [(day.date - first).days for day in series[name] if day.observed]
        seen[days, column] = True
    return seen


def _told(
    judged: Judged, column: int, name: str, first: date, limits: Floats, panel: Panel
) -> Iterator[Spike]:
    """An alert's opening and its escalations."""
    for episode in episodes(judged, column, limits):
        told: Severity | None = None
        for day in episode.alarms:
            level = severity(*judged.at(day, column))
            if told is None or level.rank > told.rank:
                told = level
                yield _spike(judged, day, column, name, first, panel)


def _spike(judged: Judged, day: int, column: int, name: str, first: date, panel: Panel) -> Spike:
    observed, expected, variance = judged.at(day, column)
    since = max(day - int(judged.length[day, column]) + 1, 0)
    share, usual = shares(panel, column, since, day)
    return Spike(
        series=name,
        detected_on=first + timedelta(days=day),
        first_day=first + timedelta(days=since),
        last_day=first + timedelta(days=day),
        observed=round(observed),
        expected=round(expected, 2),
        share=share,
        expected_share=usual,
        severity=severity(observed, expected, variance),
        score=round(float(judged.score[day, column]), 2),
    )


def shares(
    panel: Panel, column: int, since: int, until: int, *, before: int = 56
) -> tuple[float | None, float | None]:
    """The share of negatives in a span of days and in the days before it; None if unknown."""
    return (
        _share(panel, column, since, until + 1),
        _share(panel, column, max(since - before, 0), since),
    )


def _share(panel: Panel, column: int, start: int, stop: int) -> float | None:
    negatives = panel.negatives[start:stop, column]
    total = negatives + panel.others[start:stop, column]
    known = ~np.isnan(total)
    if not total[known].sum():
        return None
    return round(float(negatives[known].sum() / total[known].sum()), 4)


def _span(many: Iterable[Sequence[Day]]) -> tuple[date, int]:
    dates = [day.date for days in many for day in days]
    length = (max(dates) - min(dates)).days + 1
    if length > _LONGEST:
        raise ValueError(
            f"the days span {min(dates)} to {max(dates)}; at most 20 years can be judged, "
            "so mend the dates or leave the oldest out"
        )
    return min(dates), length


def panel_of(many: Sequence[Sequence[Day]], first: date, length: int) -> Panel:
    """The days of several series as arrays; days that are not given were not observed."""
    negatives = np.full((length, len(many)), np.nan)
    others = np.full((length, len(many)), np.nan)
    for column, days in enumerate(many):
        for day in days:
            if not day.observed:
                continue
            row = (day.date - first).days
            if not np.isnan(negatives[row, column]):
                raise ValueError(f"{day.date} stands twice in one series; keep one of the two")
            negatives[row, column] = min(day.negatives, MOST)
            if day.total is not None:
                others[row, column] = min(max(day.total - day.negatives, 0), MOST)
    weekdays = (first.weekday() + np.arange(length)) % 7
    return Panel(negatives, others, np.repeat(weekdays[:, None], len(many), axis=1))


COLUMNS = ("series", "date", "negatives", "total", "observed")
"""The header of the file that ``read_csv`` reads."""


def read_csv(lines: Iterable[str]) -> dict[str, list[Day]]:
    """The series of a CSV file with the columns ``COLUMNS``, in the order of their first line.

    An empty ``total`` is unknown; on a day with ``observed`` 0 the counts are ignored. Raises
    ValueError with the line number and the mend.
    """
    reader = csv.reader(lines, strict=True)
    series: dict[str, dict[date, Day]] = {}
    try:
        places = _header(next(reader, []))
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            name, day = _row(row, places)
            if series.setdefault(name, {}).setdefault(day.date, day) is not day:
                _twice(name, day)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"line {max(reader.line_num, 1)}: {error}") from error
    return {name: [days[day] for day in sorted(days)] for name, days in series.items()}


def _twice(name: str, day: Day) -> None:
    raise ValueError(f"{day.date} stands twice in {name!r}; keep one of the two")


def _header(row: Sequence[str]) -> dict[str, int]:
    names = [cell.strip().lstrip("\ufeff").lower() for cell in row]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"the header lacks {', '.join(missing)}; the first line has to be {','.join(COLUMNS)}"
        )
    return {name: names.index(name) for name in COLUMNS}


def _row(row: Sequence[str], places: Mapping[str, int]) -> tuple[str, Day]:
    if len(row) <= max(places.values()):
        raise ValueError(f"{len(row)} columns where the header has more; complete the line")
    cells = {name: row[place].strip() for name, place in places.items()}
    if cells["observed"] not in {"0", "1"}:
        raise ValueError(f"observed is {cells['observed']!r}; write 1 (somebody looked) or 0")
    if not cells["series"]:
        raise ValueError("the series has no name; write one")
    day = _date(cells["date"])
    if cells["observed"] == "0":
        return cells["series"], Day(day, 0, None, False)
    negatives = _count("negatives", cells["negatives"])
    total = _count("total", cells["total"]) if cells["total"] else None
    if total is not None and negatives > total:
        raise ValueError(f"{negatives} negatives of a total of {total}; mend one of the two")
    return cells["series"], Day(day, negatives, total, True)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date; write one like 2026-11-22") from error


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:  # noqa: PLR2004 - what an int64 holds
        raise ValueError(f"{name} is {text[:40]!r}; write a whole number of 0 or more")
    return int(text)
