"""One week as values: everything a digest says, and the one sentence that sums it up. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from gettext import NullTranslations
from itertools import pairwise
from statistics import NormalDist

from ..storage.vocabulary import AlertState, Outcome, Severity
from . import i18n
from .news import Accuracy, Corrected, Driver, SiteWeek, SurveyWeek, ThemeLine, TraitLine
from .praise import Praised
from .scorecard import Score, Scorecard, Telling
from .voices import Voice

WEEK = timedelta(days=7)
_FIRST = 3
_NAME = re.compile(r"(\d{4})-W(\d{2})")
_Z95 = NormalDist().inv_cdf(0.975)


class WeekError(ValueError):
    """No such week, or not yet; the text says how to write one."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole with its 95 % interval (Wilson, 1927); all None without a whole."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """From 0 to 1."""
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Low and high, from 0 to 1."""
        if not self.whole:
            return None
        p, n, z2 = self.part / self.whole, self.whole, _Z95**2
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        reach = _Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, centre - reach), min(1.0, centre + reach)


class Turn(StrEnum):
    """What a week did to an alert."""

    OPENED = "opened"
    GOES_ON = "goes_on"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """One alert as the digest lists it. ``source`` is '' for all sources."""

    id: int
    turn: Turn
    touchpoint: str
    source: str
    severity: Severity
    state: AlertState
    owner: str | None
    opened_on: date
    first_day: date
    last_day: date
    observed: int
    expected: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceWeek:
    """How well one source was read: whole days of 7, its last run, its last new feedback."""

    name: str
    observed_days: int
    outcome: Outcome | None
    message: str
    last_run_at: datetime | None
    last_new_at: datetime | None
    silent_days: int | None

    @property
    def trouble(self) -> bool:
        """Whether its numbers are not the whole story."""
        good = self.outcome is not None and self.outcome.good
        return self.observed_days < WEEK.days or not good


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the numbers rest on. Counts are feedback of the week.

    ``mismatches`` have stars and words that contradict each other; ``pending`` waits for the
    tagger and is in no number yet; ``corrected`` was set right by a person.
    """

    sources: tuple[SourceWeek, ...]
    languages: tuple[tuple[str, int], ...]
    taggers: tuple[str, ...]
    annotated: int
    uncertain: int
    pending: int
    corrected: int
    mismatches: int
    accuracy: Accuracy | None = None

    @property
    def troubled(self) -> int:
        """How many sources were not wholly read."""
        return sum(source.trouble for source in self.sources)

    @property
    def coverage(self) -> Share:
        """Whole days read among all days of all sources."""
        days = sum(source.observed_days for source in self.sources)
        return Share(days, len(self.sources) * WEEK.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """Public feedback (reviews, complaints) of the week, and how much of it got an answer."""

    public: int
    answered: int
    negative: int
    negative_answered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekPoint:
    """One week of the trend. ``observed`` is the share of source days read: 0 to 1."""

    since: date
    negatives: int
    mentions: int
    observed: float

    @property
    def missing(self) -> bool:
        """Nobody looked, and nothing was found: no number at all."""
        return not self.mentions and self.observed < 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """One week told to one subscriber: plain values, everything the mail says.

    ``touchpoints`` is empty for the whole journey, ``sources`` for all. ``share`` counts negative
    feedback among the tagged; ``before`` the same over the four weeks before. ``rehearsed`` alerts
    were found while the brand is in shadow and told to nobody. ``always`` says that the reader
    wants to be told of a week without news, too.
    """

    week: str
    since: date
    until: date
    brand: str
    locale: str
    zone: tzinfo
    subscriber: str
    touchpoints: tuple[str, ...]
    names: Mapping[str, str]
    total: int
    share: Share
    before: Share
    scorecard: Scorecard
    trend: tuple[WeekPoint, ...]
    alerts: tuple[AlertLine, ...]
    rehearsed: int
    voices: tuple[Voice, ...]
    replies: Replies
    trust: Trust
    sources: tuple[str, ...] = ()
    always: bool = False
    traits: Mapping[str, tuple[TraitLine, ...]] = field(default_factory=dict)
    drivers: tuple[Driver, ...] = ()
    themes: tuple[ThemeLine, ...] = ()
    praised: tuple[Praised, ...] = ()
    sites: tuple[SiteWeek, ...] = ()
    surveys: tuple[SurveyWeek, ...] = ()
    corrected: tuple[Corrected, ...] = ()

    @property
    def quoted(self) -> tuple[int, ...]:
        """Ids of all feedback whose words or names it bears."""
        themes = [each.feedback_id for theme in self.themes for each in theme.voices]
        named = [each for praised in self.praised for each in praised.feedback]
        voices = [each.feedback_id for each in self.voices]
        return tuple(dict.fromkeys([*voices, *themes, *named]))

    @property
    def first(self) -> tuple[Score, ...]:
        """What deserves attention first: gaps that are more than chance, by what they cost."""
        return tuple(each for each in self.scorecard.costliest if each.clear_gap)[:_FIRST]

    @property
    def risen(self) -> tuple[Score, ...]:
        """Touchpoints clearly better than in the four weeks before, the most improved first."""
        moved = [each for each in self.scorecard.scores if each.stands_out]
        risen = [each for each in moved if (each.change or 0.0) > 0]
        return tuple(sorted(risen, key=lambda each: -(each.change or 0.0)))

    @property
    def fallen(self) -> tuple[Score, ...]:
        """Touchpoints clearly worse than in the four weeks before, the worst decline first."""
        moved = [each for each in self.scorecard.scores if each.stands_out]
        fallen = [each for each in moved if (each.change or 0.0) < 0]
        return tuple(sorted(fallen, key=lambda each: each.change or 0.0))

    @property
    def headline(self) -> str:
        """The week in one sentence, by fixed rules, in the reader's language."""
        return headline(self, i18n.translator(self.locale))

    @property
    def nothing(self) -> str | None:
        """Why there is no mail, or None when there is something to say."""
        return nothing(self)


def parse_week(week: str) -> tuple[date, date]:
    """Monday and Sunday of ``2026-W47``; raises WeekError."""
    match = _NAME.fullmatch(week)
    try:
        if match:
            monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
            return monday, monday + timedelta(days=6)
    except ValueError:
        pass
    raise WeekError(f"{week!r} is no ISO week; write one like '2026-W47'")


def week_name(day: date) -> str:
    """The ISO week of a day: ``2026-W47``."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def last_complete_week(now: datetime, zone: tzinfo) -> str:
    """The ISO week before the one that ``now`` is in, in the brand's zone."""
    return week_name(now.astimezone(zone).date() - WEEK)


def nothing(digest: Digest) -> str | None:
    """Why this week needs no mail; a week that nobody watched is news, not silence."""
    if not digest.trust.sources:
        return "no source is configured"
    if digest.always or digest.alerts or digest.trust.pending or digest.corrected:
        return None
    watched = digest.trust.coverage.value == 1
    if not watched and not digest.touchpoints:
        return None
    if not digest.total:
        return "nobody wrote, and every source was read" if watched else None
    if digest.touchpoints and not any(score.mentions for score in digest.scorecard.scores):
        return "nobody spoke of this subscriber's touchpoints" if watched else None
    return None


def headline(digest: Digest, words: NullTranslations) -> str:
    """The first rule that fits; worse news comes first."""
    scores = digest.scorecard.scores
    told = [score for score in scores if score.telling is Telling.TOLD]
    for rule in (_blind, _alerts, _no_numbers, _moved):
        if sentence := rule(digest, words):
            return sentence
    if short := [score for score in digest.scorecard.costliest if score.clear_gap]:
        return _gap(short[0], digest.locale, words)
    if not told:
        return words.gettext("Too few comments to tell how any touchpoint is doing.")
    if len(told) < len(scores):
        return words.gettext("No touchpoint with enough comments is clearly below its target.")
    return words.gettext("No touchpoint is clearly below its target.")


def _blind(digest: Digest, words: NullTranslations) -> str | None:
    if digest.total or digest.trust.coverage.part:
        return None
    return words.gettext("Nobody was listening: no source was read on any whole day.")


def _no_numbers(digest: Digest, words: NullTranslations) -> str | None:
    if digest.total:
        return None
    if digest.trust.coverage.value == 1:
        return words.gettext("Nobody wrote this week, and every source was read.")
    return words.gettext("No comment was found, but not every source was read on every day.")


def _alerts(digest: Digest, words: NullTranslations) -> str | None:
    active = [alert for alert in digest.alerts if alert.turn is not Turn.CLOSED]
    if not active:
        return None
    worst = max(active, key=lambda alert: (alert.severity.rank, alert.observed - alert.expected))
    values = {
        "touchpoint": digest.names.get(worst.touchpoint, worst.touchpoint),
        "observed": i18n.format_number(worst.observed, digest.locale),
        "expected": i18n.format_number(worst.expected, digest.locale),
        "others": i18n.format_number(len(active) - 1, digest.locale),
    }
    if len(active) == 1:
        text = words.gettext(
            "%(touchpoint)s has an open alert: %(observed)s negative comments, "
            "about %(expected)s expected."
        )
    else:
        text = words.ngettext(
            "%(touchpoint)s has an open alert (%(observed)s negative comments, about "
            "%(expected)s expected), and there is %(others)s more alert open.",
            "%(touchpoint)s has an open alert (%(observed)s negative comments, about "
            "%(expected)s expected), and there are %(others)s more alerts open.",
            len(active) - 1,
        )
    return text % values


def _moved(digest: Digest, words: NullTranslations) -> str | None:
    moved = [score for score in digest.scorecard.scores if score.stands_out]
    falls = sorted(moved, key=lambda score: score.change or 0.0)
    if not falls:
        return None
    fell = (falls[0].change or 0.0) < 0
    score = falls[0] if fell else falls[-1]
    text = (
        words.gettext(
            "%(touchpoint)s fell to %(score)s of 5; the four weeks before had %(before)s."
        )
        if fell
        else words.gettext(
            "%(touchpoint)s rose to %(score)s of 5; the four weeks before had %(before)s."
        )
    )
    return text % {
        "touchpoint": score.name,
        "score": i18n.format_score(score.score or 0.0, digest.locale),
        "before": i18n.format_score(score.previous or 0.0, digest.locale),
    }


def _gap(score: Score, locale: str, words: NullTranslations) -> str:
    text = words.gettext(
        "%(touchpoint)s costs most: %(score)s of 5 against a target of %(target)s, "
        "with %(negatives)s negative mentions."
    )
    return text % {
        "touchpoint": score.name,
        "score": i18n.format_score(score.score or 0.0, locale),
        "target": i18n.format_score(score.target, locale),
        "negatives": i18n.format_number(score.negatives, locale),
    }


def segments(score: Score) -> tuple[tuple[str, float], ...]:
    """A score's bar from 1 to 5 as pieces (track, band, dot, goal) with widths in per cent."""
    spans: Sequence[tuple[str, float, float]] = [
        ("dot", _place(score.score) - 1.7, _place(score.score) + 1.7),
        ("goal", _place(score.target) - 0.5, _place(score.target) + 0.5),
        ("band", _place(score.low), _place(score.high)),
    ]
    edges = sorted({0.0, 100.0, *(min(100.0, max(0.0, x)) for _, *ends in spans for x in ends)})
    pieces: list[tuple[str, float]] = []
    for start, end in pairwise(edges):
        middle = (start + end) / 2
        kind = next((kind for kind, low, high in spans if low <= middle <= high), "track")
        width = end - start
        if pieces and pieces[-1][0] == kind:
            width += pieces.pop()[1]
        pieces.append((kind, width))
    return tuple(pieces)


def _place(value: float | None) -> float:
    return ((value or 1.0) - 1) * 25
