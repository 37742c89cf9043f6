"""An alert becomes a mail or a chat message in the reader's language. Pure.

The phrases are plain strings, the same for HTML and plain text; the HTML template escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from ..storage.vocabulary import Severity, Spike
from . import alert_chart, charts, i18n
from .alert_chart import DayPoint
from .explain import SOURCE, STARS, Explanation, Part, Term
from .i18n import mark
from .incident import Incident, Member
from .lookout import Gap, Key
from .phrases import Phrases
from .render import Rendered, render
from .voices import Voice

_IMAGES = {"days-light@ouvidor": charts.LIGHT, "days-dark@ouvidor": charts.DARK}
_LONG = 24  # months after which years are easier to grasp
_LONGEST = 10  # years after which the number says nothing more
_GAPS = 5
_SIBLINGS = 6
_DIMENSIONS = {
    SOURCE: mark("source"),
    "version": mark("version"),
    "country": mark("country"),
    "store": mark("store"),
    "city": mark("city"),
    "state": mark("state"),
    "product": mark("product"),
}


class Turn(StrEnum):
    """What happened to the alert that the message tells."""

    OPENED = "opened"
    ESCALATED = "escalated"
    ONGOING = "ongoing"
    RESOLVED = "resolved"
    RETRACTED = "retracted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """All that a message about an alert tells, before it has a language.

    ``touchpoint`` is the name people gave it, ``key`` what the house calls it and its source.
    ``times`` is the lower 5 % bound of how many times more came than expected; ``by_chance`` how
    often a month the brand's series reach such a score by chance, of the ``budget`` the team
    accepts. ``late`` says that the days were already past when they were first alarming.
    """

    turn: Turn
    alert: int
    brand: str
    key: Key
    touchpoint: str
    severity: Severity
    found: Spike
    times: float
    by_chance: float
    budget: float
    series: int
    late: bool
    quiet_days: int
    why: Explanation
    gaps: tuple[Gap, ...]
    days: tuple[DayPoint, ...]
    incident: Incident | None = None

    @property
    def gravity(self) -> tuple[int, float]:
        """The graver, the higher: severity before excess."""
        return self.severity.rank, self.found.observed - self.found.expected

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.turn in {Turn.RESOLVED, Turn.RETRACTED}


class AlertPhrases(Phrases):
    """The alert's phrases of one locale."""

    def name(self, notice: Notice) -> str:
        """``Delivery`` or ``Delivery · reclamacoes``."""
        source = notice.key.source
        return f"{notice.touchpoint} · {source}" if source else notice.touchpoint

    def _figures(self, found: Spike) -> dict[str, str]:
        return {
            "observed": self._number(found.observed),
            "expected": self._number(found.expected, 1),
            "days": i18n.format_span(found.first_day, found.last_day, self.locale),
        }

    def subject(self, notice: Notice) -> str:
        """One line: how grave, what, how much."""
        texts = {
            Turn.OPENED: self.gettext(
                "%(severity)s: %(name)s, %(observed)s negative comments, "
                "about %(expected)s expected"
            ),
            Turn.ESCALATED: self.gettext(
                "Now %(severity)s: %(name)s, %(observed)s negative comments, "
                "about %(expected)s expected"
            ),
            Turn.ONGOING: self.gettext(
                "Still %(severity)s: %(name)s, %(observed)s negative comments, "
                "about %(expected)s expected"
            ),
            Turn.RESOLVED: self.gettext("%(name)s is back to normal"),
            Turn.RETRACTED: self.gettext("%(name)s: the alert is withdrawn"),
        }
        values = {"severity": self.severity(notice.severity), "name": self.name(notice)}
        text = texts[notice.turn] % (values | self._figures(notice.found))
        return text[:1].upper() + text[1:]

    def what(self, notice: Notice) -> str:
        """What came, when, and what was expected; or why there is nothing left to do."""
        texts = {
            Turn.RESOLVED: self.ngettext(
                "%(n)s observed day without alarm: this alert is resolved. It was about "
                "%(observed)s negative comments (%(days)s), about %(expected)s expected.",
                "%(n)s observed days without alarm: this alert is resolved. It was about "
                "%(observed)s negative comments (%(days)s), about %(expected)s expected.",
                notice.quiet_days,
            ),
            Turn.RETRACTED: self.gettext(
                "Corrected labels or withdrawn comments took the evidence away. What is left: "
                "%(observed)s negative (%(days)s), about %(expected)s expected."
            ),
        }
        opened = self.gettext(
            "%(observed)s negative comments (%(days)s), about %(expected)s expected."
        )
        values = {"n": self._number(notice.quiet_days)} | self._figures(notice.found)
        return texts.get(notice.turn, opened) % values

    def effect(self, notice: Notice) -> str:
        """The part of the effect that is sure, and the share of all comments."""
        text = self.gettext("At least %(times)s times the usual (95%% sure).")
        parts = [text % {"times": self._number(notice.times, 1)}]
        share, usual = notice.found.share, notice.found.expected_share
        if share is not None and usual is not None:
            text = self.gettext("Share of all comments: %(share)s, usually %(usual)s.")
            shown = (self._percent(each) for each in (share, usual))
            parts.append(text % dict(zip(("share", "usual"), shown, strict=True)))
        return " ".join(parts)

    def _percent(self, share: float) -> str:
        return i18n.format_percent(share, self.locale)

    def chance(self, notice: Notice) -> str:
        """How often chance alone does this, against what the team accepts."""
        chance = self.ngettext(
            "By chance alone such a run comes %(often)s over the %(n)s series watched.",
            "By chance alone such a run comes %(often)s over the %(n)s series watched.",
            notice.series,
        )
        budget = self.ngettext(
            "The team accepts %(budget)s false alarm a month; this finding uses %(part)s of that.",
            "The team accepts %(budget)s false alarms a month; this finding uses %(part)s of that.",
            1 if notice.budget == 1 else 2,
        )
        part = notice.by_chance / notice.budget
        least = i18n.format_percent(0.01, self.locale)
        return f"{chance} {budget}" % {
            "often": self._often(1 / notice.by_chance),
            "n": self._number(notice.series),
            "budget": self._number(notice.budget, 0 if notice.budget.is_integer() else 1),
            "part": f"< {least}" if part < 0.01 else self._percent(min(part, 1.0)),  # noqa: PLR2004 - one per cent
        }

    def _often(self, months: float) -> str:
        years = months / 12
        if years > _LONGEST:
            text = self.gettext("less than once in %(n)s years")
            return text % {"n": self._number(_LONGEST)}
        if months >= _LONG:
            return self.gettext("about once in %(n)s years") % {"n": self._number(years)}
        whole = max(round(months), 1)
        text = self.ngettext("about once a month", "about once in %(n)s months", whole)
        return text % {"n": self._number(whole)}

    def together(self, incident: Incident) -> str:
        """Which alerts belong to the same incident, and what they have in common."""
        stage = self.stage(incident.stage) if incident.stage else ""
        node = incident.touchpoint or incident.source or stage
        text = self.gettext("Part of one incident (%(node)s); also alarming: %(others)s.")
        if not node:
            text = self.gettext(
                "Part of one incident of the whole brand; also alarming: %(others)s."
            )
        others = [self._other(each) for each in incident.members[:_SIBLINGS]]
        rest = len(incident.members) - _SIBLINGS
        shown = "; ".join(others + ([self.more(rest).rstrip(".")] if rest > 0 else []))
        return text % {"node": node, "others": shown}

    def _other(self, member: Member) -> str:
        text = self.gettext(
            "%(name)s (alert %(n)s: %(observed)s negative comments, about %(expected)s expected)"
        )
        source = member.key.source
        return text % {
            "name": f"{member.touchpoint} · {source}" if source else member.touchpoint,
            "n": str(member.alert),
            "observed": self._number(member.observed),
            "expected": self._number(member.expected, 1),
        }

    def late(self, notice: Notice) -> str:
        """That a past day alarms only now: comments and labels may come late."""
        if not notice.late:
            return ""
        day = i18n.format_date(notice.found.detected_on, self.locale)
        return self.gettext("Found late: the first alarming day was %(day)s.") % {"day": day}

    def mute_example(self, notice: Notice) -> str:
        """A week after what was found, as the command takes it."""
        return _iso(notice.found.last_day + timedelta(days=7))

    def part(self, part: Part) -> str:
        """``version 5.2.0: 12 negative comments, about 1.5 expected; 83 % of the excess``."""
        text = self.gettext(
            "%(what)s: %(observed)s negative comments, about %(expected)s expected; "
            "%(share)s of the excess"
        )
        return text % {
            "what": self._carrier(part),
            "observed": self._number(part.observed),
            "expected": self._number(part.expected, 1),
            "share": self._percent(part.share),
        }

    def _carrier(self, part: Part) -> str:
        if part.dimension == STARS and part.value.isdecimal():
            number = int(part.value)
            return self.ngettext("%(n)s star", "%(n)s stars", number) % {"n": number}
        known = _DIMENSIONS.get(part.dimension)
        return f"{self.gettext(known) if known else part.dimension} {part.value}"

    def term(self, term: Term) -> str:
        """``“pix”: in 12 of 20 negative comments, before in 1 of 56``."""
        text = self.gettext(
            "“%(word)s”: in %(now)s of %(all)s negative comments, before in %(before)s of %(old)s"
        )
        return text % {
            "word": term.text,
            "now": self._number(term.now),
            "all": self._number(term.now_of),
            "before": self._number(term.before),
            "old": self._number(term.before_of),
        }

    def voice(self, voice: Voice) -> str:
        """Where, when, with how many stars."""
        return self.byline(voice, {})

    def gaps(self, gaps: Sequence[Gap]) -> list[str]:
        """What was not observed around the finding."""
        if not gaps:
            return [self.gettext("Every source was read on every one of these days.")]
        lines = [
            self.gettext("%(source)s was not read: %(days)s")
            % {
                "source": gap.source,
                "days": i18n.format_span(gap.since, gap.until, self.locale),
            }
            for gap in gaps[:_GAPS]
        ]
        return lines + ([self.more(len(gaps) - _GAPS)] if len(gaps) > _GAPS else [])

    def picture(self, days: Sequence[DayPoint]) -> str:
        """The picture in words, for those who do not see it."""
        shown = [
            f"{i18n.format_day(point.day, self.locale)}: "
            + (self.gettext("not read") if point.negatives is None else str(point.negatives))
            for point in days[-14:]
        ]
        title = self.gettext("Negative comments a day")
        return f"{title}. {'; '.join(shown)}."

    def why_you(self, notice: Notice) -> str:
        """Why the reader gets this and how to end it."""
        return self.gettext(
            "You get this because alerts of %(brand)s about %(touchpoint)s are told to you. To end "
            "it, use your mail program's “unsubscribe” or ask whoever runs Ouvidor in your house."
        ) % {"brand": notice.brand, "touchpoint": notice.touchpoint}


def write(notice: Notice, locale: str) -> tuple[Rendered, dict[str, bytes]]:
    """The mail's words and its pictures by content id."""
    images = {
        name: alert_chart.draw(notice.days, locale, palette) for name, palette in _IMAGES.items()
    }
    return words(notice, locale), images


def words(notice: Notice, locale: str) -> Rendered:
    """The words alone; a chat takes subject and text."""
    values = {"notice": notice, "say": AlertPhrases(locale), "images": list(_IMAGES)}
    return render("alert", locale, values)


def evidence(notice: Notice) -> dict[str, Any]:
    """What is stored with the alert: JSON; quotes stand as ids, so that no words outlive theirs."""
    return {
        "times_at_least": round(notice.times, 2),
        "by_chance_a_month": float(f"{notice.by_chance:.3g}"),
        "series": notice.series,
        "late": notice.late,
        "parts": [
            {
                "what": part.dimension,
                "value": part.value,
                "observed": part.observed,
                "expected": part.expected,
                "share": part.share,
            }
            for part in notice.why.parts
        ],
        "words": [
            {"word": term.text, "now": term.now, "of": term.now_of, "before": term.before}
            for term in notice.why.terms
        ],
        "quotes": [voice.feedback_id for voice in notice.why.voices],
        "not_read": [
            {"source": gap.source, "from": _iso(gap.since), "to": _iso(gap.until)}
            for gap in notice.gaps
        ],
    }


def _iso(day: date) -> str:
    return day.isoformat()
