"""The words every room shares: frozen values and enums, no behaviour beyond their own rules.

This module imports nothing from the project, so that every room may import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

UNKNOWN_LANGUAGE = "und"
"""BCP 47 tag for a text whose language nobody could tell."""


class Kind(StrEnum):
    """What sort of feedback a person left."""

    REVIEW = "review"
    COMPLAINT = "complaint"
    SURVEY = "survey"
    MESSAGE = "message"


class Outcome(StrEnum):
    """How one run of one source ended."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    CAPPED = "capped"
    RATE_LIMITED = "rate_limited"
    BLOCKED = "blocked"
    LAYOUT_CHANGED = "layout_changed"
    UNAVAILABLE = "unavailable"
    MISCONFIGURED = "misconfigured"
    SUSPECT = "suspect"

    @property
    def good(self) -> bool:
        """Whether the run read everything the source shows."""
        return self in (Outcome.COMPLETE, Outcome.CAPPED)


class Sentiment(StrEnum):
    """The three classes, in the order of every probability triple."""

    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"


class Stage(StrEnum):
    """Where in the journey a touchpoint lies."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Basis(StrEnum):
    """What an annotation rests on."""

    TEXT = "text"
    STARS = "stars"
    CATEGORY = "category"
    HUMAN = "human"


class AlertState(StrEnum):
    """The life of an alert."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"

    @property
    def active(self) -> bool:
        """Whether somebody still has to look at it."""
        return self in (AlertState.OPEN, AlertState.ACKNOWLEDGED)


class Severity(StrEnum):
    """How much it hurts, from the effect and never from the p-value; in rising order."""

    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Position in the rising order, from 0."""
        return list(Severity).index(self)


class Topic(StrEnum):
    """The built-in taxonomy. Ids are never reused."""

    PRODUCT_QUALITY = "product_quality"
    AS_DESCRIBED = "as_described"
    PRICE_VALUE = "price_value"
    DELIVERY = "delivery"
    PACKAGING_CONDITION = "packaging_condition"
    AVAILABILITY = "availability"
    RETURNS_REFUND = "returns_refund"
    BILLING_PAYMENT = "billing_payment"
    ONLINE_SHOPPING = "online_shopping"
    APP_STABILITY = "app_stability"
    APP_USABILITY = "app_usability"
    FEATURE_REQUEST = "feature_request"
    LOGIN_ACCOUNT = "login_account"
    CUSTOMER_SUPPORT = "customer_support"
    STAFF_SERVICE = "staff_service"
    PREMISES = "premises"
    ADVERTISING_COMMUNICATION = "advertising_communication"
    SECURITY_FRAUD = "security_fraud"
    CONTRACT_CANCELLATION = "contract_cancellation"
    INSTALLATION_REPAIR = "installation_repair"
    SERVICE_OUTAGE = "service_outage"
    LOYALTY_PROMOTIONS = "loyalty_promotions"
    BRAND_GENERAL = "brand_general"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the brand answered in public."""

    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One thing one person said, as a collector read it.

    ``external_id`` is the source's own id, or a SHA-256 of named fields where there is none.
    ``stars`` is 1–5 or None; ``rating`` and ``rating_scale`` keep what the source itself says
    (``"8"`` of ``"0-10"``). Times are aware and in UTC. ``author`` is the name or id as the
    source gives it: it becomes a keyed pseudonym at the door and is never stored as such.
    ``raw`` is the payload it was read from, ``attributes`` what else is worth counting by
    (``version``, ``country``, ``store`` …). ``text_withheld`` says that the source shows no text
    (any more): one that is stored stays. ``people`` are names of others that the source gives
    (who answered): they are masked and stored nowhere. ``contact`` is how an official API says that
    the author is reached (``name``, ``email``, ``phone``, ``document``, ``order``): dropped at the
    door, or kept sealed where the configuration says so.
    """

    external_id: str
    kind: Kind = Kind.REVIEW
    title: str = ""
    text: str = ""
    text_withheld: bool = False
    stars: int | None = None
    rating: str | None = None
    rating_scale: str | None = None
    language: str | None = None
    category: str | None = None
    published_at: datetime | None = None
    edited_at: datetime | None = None
    author: str | None = None
    url: str | None = None
    reply: Reply | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    people: Sequence[str] = field(default=(), repr=False)
    contact: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far a source has been read: a small, versioned JSON object that holds no secret."""

    version: int
    value: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Probabilities of the three sentiments; they add up to 1."""

    negative: float
    neutral: float
    positive: float

    @property
    def sentiment(self) -> Sentiment:
        """The likeliest class."""
        ranked = ((self.negative, Sentiment.NEGATIVE), (self.neutral, Sentiment.NEUTRAL))
        best = max(*ranked, (self.positive, Sentiment.POSITIVE), key=lambda pair: pair[0])
        return best[1]

    @property
    def score(self) -> float:
        """1·p₋ + 3·p₀ + 5·p₊, from 1 to 5."""
        return self.negative + 3 * self.neutral + 5 * self.positive

    @classmethod
    def certain(cls, sentiment: Sentiment) -> Distribution:
        """All the weight on one class."""
        return cls(**{each.value: float(each is sentiment) for each in Sentiment})


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """What a text says about one topic or one touchpoint, and where.

    Exactly one of ``topic`` and ``touchpoint`` is set. ``p_subject`` is the probability that the
    text speaks of it at all. ``span`` is a half-open range of characters of the annotated text
    (``Annotation.text_of``), or None when the evidence is not in the text (stars, source).
    """

    topic: Topic | None = None
    touchpoint: str | None = None
    p: Distribution
    p_subject: float = 1.0
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What a tagger with its version said of one feedback."""

    tagger: str
    basis: Basis
    language: str
    p: Distribution
    stars: float | None
    uncertain: bool
    topics: Mapping[Topic, float] = field(default_factory=dict)
    aspects: tuple[Aspect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Untagged:
    """One claimed feedback on its way to the tagger.

    ``content_hash`` travels along, so that an edit that arrives meanwhile is not marked as tagged.
    """

    id: int
    source: str
    kind: Kind
    title: str
    text: str
    stars: int | None
    language: str | None
    category: str | None
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesDay:
    """One day of one series. ``total`` is None where the source does not tell.

    ``negatives`` counts feedback with a negative aspect about the touchpoint, ``mentions`` with
    any aspect about it, ``total`` all feedback of that source and day. ``score_sum`` and
    ``score_squares`` add up the aspects' 1–5 scores and their squares. ``observed`` is coverage.
    """

    touchpoint: str
    source: str
    day: date
    negatives: int
    mentions: int
    total: int
    score_sum: float
    score_squares: float
    observed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """A finding in a series: an unlikely run of negatives from ``first_day`` to ``last_day``."""

    series: str
    detected_on: date
    first_day: date
    last_day: date
    observed: int
    expected: float
    share: float | None
    expected_share: float | None
    severity: Severity
    score: float


def joined_text(title: str, text: str) -> str:
    """The text a tagger reads and spans point into: title and body, one line break between.

    A title that the body merely repeats is left out.
    """
    title, text = title.strip(), text.strip()
    if not title or text.casefold().startswith(title.casefold()):
        return text
    return f"{title}\n{text}" if text else title
