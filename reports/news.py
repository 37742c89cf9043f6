"""What a digest tells beside its scores: what moved, sites and surveys, corrections. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from statistics import NormalDist

from ..storage.studies import Posture
from .voices import Voice

ENOUGH = 10
"""Comments that a part of the whole needs on both sides before it is compared."""

NEARLY_ALL = 0.9
"""From this share of negatives on, as on a complaint site, a change of it tells nothing: in an
angry text only the greeting and the thanks in advance are not negative."""

MOST_DRIVERS = 4
_FALSE_MARKS = 0.05
_Z95 = NormalDist().inv_cdf(0.975)


class Dimension(StrEnum):
    """What comments can be told apart by."""

    SOURCE = "source"
    TOPIC = "topic"
    VERSION = "version"
    PLACE = "place"


@dataclass(frozen=True, slots=True)
class Tally:
    """Negative comments of some."""

    negatives: int = 0
    n: int = 0

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.negatives + other.negatives, self.n + other.n)

    def minus(self, other: Tally) -> Tally:
        """The rest."""
        return Tally(self.negatives - other.negatives, self.n - other.n)

    @property
    def share(self) -> float:
        """Negatives among all, from 0 to 1."""
        return self.negatives / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A part of the comments that got clearly worse or better.

    ``before`` are the four weeks before; where the part is new it is the rest of this week.
    ``extra`` is how many negatives there are more (or fewer) than at the share before.
    """

    dimension: Dimension
    value: str
    now: Tally
    before: Tally
    new: bool

    @property
    def extra(self) -> float:
        """Negatives beyond what the share before would have brought."""
        return self.now.negatives - self.now.n * self.before.share


Parts = Mapping[tuple[Dimension, str], Tally]


def drivers(now: Parts, before: Parts) -> list[Driver]:
    """What moved the share of negatives: at most a few, by how many negatives it makes.

    Two-sided test of two shares, 5 % over everything compared together (Holm, 1979).
    """
    compared = list(_compared(now, before))
    ranked = sorted(compared, key=lambda driver: (_chance(driver), driver.dimension, driver.value))
    clear = []
    for rank, driver in enumerate(ranked):
        if _chance(driver) > _FALSE_MARKS / (len(ranked) - rank):
            break
        clear.append(driver)
    clear.sort(key=lambda each: (-abs(each.extra), -each.extra, each.value))
    return list(_told_once(clear))[:MOST_DRIVERS]


def _told_once(clear: Sequence[Driver]) -> Iterator[Driver]:
    """One new part of a dimension: the others are what it is compared with."""
    told: set[Dimension] = set()
    for driver in clear:
        if not (driver.new and driver.dimension in told):
            yield driver
        told |= {driver.dimension} if driver.new else set()


def _compared(now: Parts, before: Parts) -> Iterator[Driver]:
    wholes: dict[Dimension, Tally] = {}
    for (dimension, _), tally in now.items():
        wholes[dimension] = wholes.get(dimension, Tally()).plus(tally)
    for (dimension, value), tally in now.items():
        past = before.get((dimension, value), Tally())
        # A topic is one of several in a text: the rest of the topics is no rest of the texts.
        new = past.n < ENOUGH and dimension is not Dimension.TOPIC
        other = wholes[dimension].minus(tally) if new else past
        enough = tally.n >= ENOUGH and other.n >= ENOUGH
        if enough and tally.plus(other).share < NEARLY_ALL:
            yield Driver(dimension=dimension, value=value, now=tally, before=other, new=new)


def _chance(driver: Driver) -> float:
    """How likely shares this far apart are when there is only one share."""
    now, before = driver.now, driver.before
    p = now.plus(before).share
    inverse = 1 / now.n + 1 / before.n
    error = math.sqrt(p * (1 - p) * inverse)
    # Yates (1934): without it a few comments beside a share of nearly all look like news.
    apart = max(0.0, abs(now.share - before.share) - inverse / 2)
    return math.erfc(apart / error / math.sqrt(2)) if error else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThemeLine:
    """An emerging theme with its quotes; the counts are texts, one a person."""

    phrase: str
    phrases: tuple[str, ...]
    now: int
    now_of: int
    before: int
    before_of: int
    negatives: int
    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraitLine:
    """A trait of the posture, scored 1 to 5 from four weeks of remarks; None with too few."""

    trait: str
    remarks: int
    shows: int
    score: float | None
    low: float | None
    high: float | None


def trait_line(found: Posture) -> TraitLine:
    """The mean of the remarks' scores, and its 95 % interval."""
    n = found.remarks
    if n < ENOUGH:
        score = low = high = None
    else:
        score = found.score_sum / n
        variance = max(0.0, found.score_squares - found.score_sum * score) / (n - 1)
        reach = _Z95 * math.sqrt(variance / n)
        low, high = max(1.0, score - reach), min(5.0, score + reach)
    return TraitLine(
        trait=found.trait, remarks=n, shows=found.shows, score=score, low=low, high=high
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteWeek:
    """One complaint site. Counts are complaints; ``tells`` says that it shows answers at all.

    ``came`` were published in the week. ``due`` wait for an answer, whatever their week, the oldest
    since ``oldest_days``. ``replied`` got their first answer in the week, after ``median`` days.
    ``judged`` were judged by their writers in the week: ``resolved`` of those who said so,
    ``returning`` (would do business again), ``scored`` with a mean note of ``score`` (0–10).
    """

    source: str
    came: int
    came_answered: int
    tells: bool
    due: int
    oldest_days: int | None
    replied: int
    median: timedelta | None
    judged: int
    resolved: int
    resolved_of: int
    returning: int
    returning_of: int
    scored: int
    score: float | None

    @property
    def quiet(self) -> bool:
        """Nothing came, nothing was done, nothing waits."""
        return not (self.came or self.due or self.replied or self.judged)


class Question(StrEnum):
    """What a survey asked."""

    NPS = "nps"
    CSAT = "csat"


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyWeek:
    """Answers of one source to a question of its own; ``before`` are the four weeks before.

    ``good`` and ``bad`` are promoters (9–10) and detractors (0–6) of NPS; of CSAT ``good`` gave 4
    or 5 of 5.
    """

    source: str
    question: Question
    n: int
    good: int
    bad: int
    before_n: int
    before_good: int
    before_bad: int

    @property
    def value(self) -> float | None:
        """NPS from −100 to 100; CSAT as a share from 0 to 1."""
        return self._value(self.n, self.good, self.bad)

    @property
    def previous(self) -> float | None:
        """The same of the four weeks before."""
        return self._value(self.before_n, self.before_good, self.before_bad)

    def _value(self, n: int, good: int, bad: int) -> float | None:
        if not n:
            return None
        return 100 * (good - bad) / n if self.question is Question.NPS else good / n

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of NPS, from the variance of its +1, 0 and −1; of CSAT see ``week.Share``."""
        if not self.n or self.question is Question.CSAT:
            return None
        mean = (self.good - self.bad) / self.n
        # With half an answer more of each kind, so that a handful of equal ones is no certainty.
        n, good, bad = self.n + 1.5, self.good + 0.5, self.bad + 0.5
        reach = _Z95 * math.sqrt(((good + bad) / n - ((good - bad) / n) ** 2) / self.n)
        return max(-100.0, 100 * (mean - reach)), min(100.0, 100 * (mean + reach))


def survey(
    source: str, question: Question, now: Sequence[tuple[str, int]], then: Sequence[tuple[str, int]]
) -> SurveyWeek | None:
    """Answers as written, each with how often; None when nobody answered this week."""
    n, good, bad = _answers(question, now)
    before_n, before_good, before_bad = _answers(question, then)
    if not n:
        return None
    return SurveyWeek(
        source=source,
        question=question,
        n=n,
        good=good,
        bad=bad,
        before_n=before_n,
        before_good=before_good,
        before_bad=before_bad,
    )


_RANGES = {Question.NPS: (0, 6, 9, 10), Question.CSAT: (1, 2, 4, 5)}


def _answers(question: Question, told: Sequence[tuple[str, int]]) -> tuple[int, int, int]:
    low, bad_to, good_from, high = _RANGES[question]
    n = good = bad = 0
    for written, count in told:
        try:
            value = float(written.replace(",", "."))
        except ValueError:
            continue
        if low <= value <= high:
            n += count
            good += count * (value >= good_from)
            bad += count * (value <= bad_to)
    return n, good, bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What was told of an earlier week and is otherwise now, because comments came late or changed.

    ``scores`` holds (touchpoint's id, told, now), the largest change first; None where there are
    too few to tell.
    """

    week: str
    told_total: int
    total: int
    told_negative: int
    negative: int
    scores: tuple[tuple[str, float | None, float | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How often the tagger was right on texts labelled by people, as `ouvidor eval` measured.

    ``languages`` holds (language, texts, share right); ``other`` says that another version did it.
    """

    model: str
    n: int
    accuracy: float
    macro_f1: float | None
    languages: tuple[tuple[str, int, float], ...]
    other: bool
