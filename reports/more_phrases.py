"""The phrases of what moved, of complaint sites and surveys, and of corrections. Pure.

Beside ``phrases``, whose ``Phrases`` they become part of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from ..storage.vocabulary import Topic
from . import i18n
from .i18n import mark
from .news import (
    Accuracy,
    Corrected,
    Dimension,
    Driver,
    Question,
    SiteWeek,
    SurveyWeek,
    ThemeLine,
    TraitLine,
)
from .praise import Praised
from .scorecard import Score
from .week import Share

_MOST_SCORES = 4
"""Scores that a correction spells out, those that changed most."""

_DIMENSIONS = {
    Dimension.SOURCE: mark("Source %(value)s"),
    Dimension.TOPIC: mark("Topic “%(value)s”"),
    Dimension.VERSION: mark("Version %(value)s"),
    Dimension.PLACE: mark("Place %(value)s"),
}
_TOPICS = {
    Topic.PRODUCT_QUALITY: mark("product quality"),
    Topic.AS_DESCRIBED: mark("as described"),
    Topic.PRICE_VALUE: mark("price and value"),
    Topic.DELIVERY: mark("delivery"),
    Topic.PACKAGING_CONDITION: mark("packaging and condition"),
    Topic.AVAILABILITY: mark("availability"),
    Topic.RETURNS_REFUND: mark("returns and refunds"),
    Topic.BILLING_PAYMENT: mark("billing and payment"),
    Topic.ONLINE_SHOPPING: mark("online shopping"),
    Topic.APP_STABILITY: mark("app stability"),
    Topic.APP_USABILITY: mark("app usability"),
    Topic.FEATURE_REQUEST: mark("wishes for the app"),
    Topic.LOGIN_ACCOUNT: mark("login and account"),
    Topic.CUSTOMER_SUPPORT: mark("customer support"),
    Topic.STAFF_SERVICE: mark("staff"),
    Topic.PREMISES: mark("premises"),
    Topic.ADVERTISING_COMMUNICATION: mark("advertising and communication"),
    Topic.SECURITY_FRAUD: mark("security and fraud"),
    Topic.CONTRACT_CANCELLATION: mark("contract and cancellation"),
    Topic.INSTALLATION_REPAIR: mark("installation and repair"),
    Topic.SERVICE_OUTAGE: mark("outages"),
    Topic.LOYALTY_PROMOTIONS: mark("loyalty and promotions"),
    Topic.BRAND_GENERAL: mark("the brand in general"),
}
_TWO_DAYS = timedelta(days=2)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_MOST_PHRASES = 4
_MOST_LANGUAGES = 6


class MorePhrases:
    """Phrases of one locale."""

    def __init__(self, locale: str) -> None:
        self.locale = locale
        words = i18n.translator(locale)
        self.gettext: Callable[[str], str] = words.gettext
        self.ngettext: Callable[[str, str, int], str] = words.ngettext

    def _number(self, value: float, decimals: int = 0) -> str:
        return i18n.format_number(value, self.locale, decimals)

    def _percent(self, share: float) -> str:
        return i18n.format_percent(share, self.locale)

    def _score(self, value: float | None) -> str:
        return "–" if value is None else i18n.format_score(value, self.locale)

    def first(self, score: Score) -> str:
        """Why a touchpoint deserves attention first."""
        text = self.gettext(
            "%(gap)s short of the target of %(target)s; %(negatives)s of %(mentions)s mentions "
            "are negative"
        )
        return text % {
            "gap": self._score(score.gap),
            "target": self._score(score.target),
            "negatives": self._number(score.negatives),
            "mentions": self._number(score.mentions),
        }

    def changes(self, scores: tuple[Score, ...]) -> str:
        """Touchpoints with their changes in one line."""
        return i18n.format_list(
            [
                f"{each.name} ({i18n.format_change(each.change or 0.0, self.locale)})"
                for each in scores
            ],
            self.locale,
        )

    def driver(self, driver: Driver) -> str:
        """A part of the comments that got clearly worse or better."""
        values = {
            "what": self._part(driver),
            "share": self._percent(driver.now.share),
            "n": self._number(driver.now.n),
            "before": self._percent(driver.before.share),
            "m": self._number(driver.before.n),
        }
        if driver.new:
            text = self.gettext(
                "%(what)s: %(share)s negative of %(n)s; new, the others have %(before)s of %(m)s"
            )
        else:
            text = self.gettext(
                "%(what)s: %(share)s negative of %(n)s; four weeks before %(before)s of %(m)s"
            )
        return f"{'▼' if driver.extra > 0 else '▲'} {text % values}"

    def _part(self, driver: Driver) -> str:
        value = driver.value
        if driver.dimension is Dimension.TOPIC and value in list(Topic):
            value = self.gettext(_TOPICS[Topic(value)])
        return self.gettext(_DIMENSIONS[driver.dimension]) % {"value": value}

    def theme(self, theme: ThemeLine) -> str:
        """How many use a new phrase now, and how many did before."""
        text = self.gettext(
            "%(now)s of %(now_of)s people in four weeks, %(before)s of %(before_of)s in the twelve "
            "weeks before; %(negatives)s of the %(now)s negative"
        )
        told = text % {
            "now": self._number(theme.now),
            "now_of": self._number(theme.now_of),
            "before": self._number(theme.before),
            "before_of": self._number(theme.before_of),
            "negatives": self._number(theme.negatives),
        }
        others = [f"“{each}”" for each in theme.phrases if each != theme.phrase][:_MOST_PHRASES]
        if not others:
            return told
        also = self.gettext("together with %(phrases)s")
        return f"{told}; {also % {'phrases': i18n.format_list(others, self.locale)}}"

    def praised(self, praised: Praised) -> str:
        """A first name, and how often it was praised."""
        text = self.ngettext("%(name)s, %(n)s time", "%(name)s, %(n)s times", praised.times)
        return text % {"name": praised.name, "n": self._number(praised.times)}

    def trait(self, line: TraitLine) -> str:
        """One trait of the posture."""
        values = {
            "trait": line.trait,
            "shows": self._number(line.shows),
            "n": self._number(line.remarks),
        }
        if line.score is None:
            text = self.gettext("“%(trait)s”: too few remarks to tell (%(n)s in four weeks)")
            return text % values
        text = self.gettext(
            "“%(trait)s”: %(score)s of 5 (95%% interval %(low)s to %(high)s); %(shows)s of %(n)s "
            "remarks of four weeks show it"
        )
        scores = {"score": line.score, "low": line.low, "high": line.high}
        return text % (values | {name: self._score(value) for name, value in scores.items()})

    def site(self, site: SiteWeek) -> list[str]:
        """What happened at a complaint site: what came, what was answered, how it was judged."""
        return [
            each for each in (self._came(site), self._replied(site), self._judged(site)) if each
        ]

    def _came(self, site: SiteWeek) -> str:
        if not site.tells:
            text = self.ngettext(
                "%(n)s new complaint; the source does not say what was answered",
                "%(n)s new complaints; the source does not say what was answered",
                site.came,
            )
            return text % {"n": self._number(site.came)}
        text = self.ngettext(
            "%(n)s new complaint; answered so far: %(answered)s",
            "%(n)s new complaints; answered so far: %(answered)s",
            site.came,
        )
        return text % {"n": self._number(site.came), "answered": self._number(site.came_answered)}

    def due(self, site: SiteWeek) -> str:
        """Complaints that wait for an answer; empty when none does."""
        if not site.due:
            return ""
        text = self.ngettext(
            "%(n)s complaint waits for an answer, the oldest for %(time)s",
            "%(n)s complaints wait for an answer, the oldest for %(time)s",
            site.due,
        )
        days = timedelta(days=site.oldest_days or 0)
        return text % {"n": self._number(site.due), "time": self._time(days)}

    def _replied(self, site: SiteWeek) -> str:
        if site.median is None:
            if not site.tells:
                return ""
            return self.gettext("None was answered this week")
        text = self.ngettext(
            "%(n)s was answered this week, after %(time)s",
            "%(n)s were answered this week, half of them within %(time)s",
            site.replied,
        )
        return text % {"n": self._number(site.replied), "time": self._time(site.median)}

    def _judged(self, site: SiteWeek) -> str:
        if not site.judged:
            return ""
        text = self.ngettext(
            "%(n)s was judged by its writer", "%(n)s were judged by their writers", site.judged
        )
        parts = [text % {"n": self._number(site.judged)}]
        for count, of, label in (
            (site.resolved, site.resolved_of, self.gettext("resolved: %(n)s of %(of)s")),
            (
                site.returning,
                site.returning_of,
                self.gettext("would do business again: %(n)s of %(of)s"),
            ),
        ):
            if of:
                parts.append(label % {"n": self._number(count), "of": self._number(of)})
        if site.score is not None:
            text = self.gettext("mean note %(score)s of 10 (%(n)s)")
            values = {"score": self._score(site.score), "n": self._number(site.scored)}
            parts.append(text % values)
        return "; ".join(parts)

    def _time(self, time: timedelta) -> str:
        if time < _TWO_DAYS and time % _DAY:
            hours = round(time / _HOUR)
            return self.ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": self._number(hours)}
        days = round(time / _DAY)
        return self.ngettext("%(n)s day", "%(n)s days", days) % {"n": self._number(days)}

    def survey(self, survey: SurveyWeek) -> str:
        """NPS or CSAT of one source, with its interval and the weeks before."""
        if survey.question is Question.NPS:
            text = self.ngettext(
                "NPS %(value)s from %(n)s answer", "NPS %(value)s from %(n)s answers", survey.n
            )
            parts = [text % {"value": self._nps(survey.value), "n": self._number(survey.n)}]
            low, high = survey.interval or (0.0, 0.0)
            bounds = {"low": self._nps(low), "high": self._nps(high)}
        else:
            text = self.gettext("CSAT %(value)s satisfied (%(good)s of %(n)s)")
            numbers = {"good": self._number(survey.good), "n": self._number(survey.n)}
            parts = [text % (numbers | {"value": self._percent(survey.value or 0.0)})]
            low, high = Share(survey.good, survey.n).interval or (0.0, 0.0)
            bounds = {"low": self._percent(low), "high": self._percent(high)}
        parts.append(self.gettext("95%% interval %(low)s to %(high)s") % bounds)
        if survey.previous is not None:
            nps = survey.question is Question.NPS
            value = self._nps(survey.previous) if nps else self._percent(survey.previous)
            text = self.ngettext(
                "four weeks before: %(value)s from %(n)s answer",
                "four weeks before: %(value)s from %(n)s answers",
                survey.before_n,
            )
            parts.append(text % {"value": value, "n": self._number(survey.before_n)})
        return "; ".join(parts)

    def _nps(self, value: float | None) -> str:
        return ("+" if round(value or 0.0) > 0 else "") + self._number(value or 0.0)

    def corrected(self, told: Corrected, names: Mapping[str, str]) -> str:
        """What an earlier digest said, and what it would say now."""
        text = self.gettext(
            "Week %(week)s: %(told)s comments then, %(now)s now; %(told_negative)s negative then, "
            "%(negative)s now."
        )
        told_now = text % {
            "week": told.week[-2:].lstrip("0"),
            "told": self._number(told.told_total),
            "now": self._number(told.total),
            "told_negative": self._number(told.told_negative),
            "negative": self._number(told.negative),
        }
        scores = [
            f"{names.get(key, key)} {self._score(then)} → {self._score(now)}"
            for key, then, now in told.scores[:_MOST_SCORES]
        ]
        parts = [told_now, *(["; ".join(scores) + "."] if scores else [])]
        if left := len(told.scores) - len(scores):
            text = self.ngettext("%(n)s more.", "%(n)s more.", left)
            parts.append(text % {"n": self._number(left)})
        return " ".join(parts)

    def accuracy(self, measured: Accuracy | None) -> str:
        """How often the tagger is right, where somebody measured it."""
        if measured is None:
            return self.gettext("How often the labels are right here was not measured yet.")
        if measured.other:
            text = self.gettext(
                "An earlier version of the tagger was right in %(share)s of %(n)s texts that "
                "people labelled%(languages)s."
            )
        else:
            text = self.gettext(
                "The tagger was right in %(share)s of %(n)s texts that people "
                "labelled%(languages)s."
            )
        named = [
            f"{i18n.language_name(language, self.locale)} {self._percent(share)}"
            for language, _, share in measured.languages[:_MOST_LANGUAGES]
        ]
        return text % {
            "share": self._percent(measured.accuracy),
            "n": self._number(measured.n),
            "languages": f" ({', '.join(named)})" if named else "",
        }
