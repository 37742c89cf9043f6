"""The digest's phrases in the reader's language, the same for HTML and plain text. Pure.

They are plain strings: the HTML template escapes them like any other value. (Shared template
macros would not do: Jinja marks what a macro of a ``.txt`` template returns as safe in HTML.)
"""

from __future__ import annotations

from collections.abc import Mapping

from ..storage.vocabulary import AlertState, Outcome, Severity, Stage
from . import i18n
from .i18n import mark
from .more_phrases import MorePhrases
from .scorecard import TOO_FEW, Score, Telling
from .voices import Role, Voice
from .week import WEEK, AlertLine, Digest, Replies, Share, SourceWeek, Trust, Turn, WeekPoint

_ROUND = 10
"""From here on an expected number is told whole."""

_STAGES = {
    Stage.BEFORE: mark("Before the purchase"),
    Stage.DURING: mark("During the purchase"),
    Stage.AFTER: mark("After the purchase"),
}
_SEVERITIES = {
    Severity.NOTICE: mark("notice"),
    Severity.WARNING: mark("warning"),
    Severity.CRITICAL: mark("critical"),
}
_ROLES = {
    Role.WORST: mark("Among the worst"),
    Role.TYPICAL: mark("Typical"),
    Role.PRAISE: mark("Praise"),
    Role.MISMATCH: mark("Stars against words"),
}
_OUTCOMES = {
    None: mark("never read to the end"),
    Outcome.COMPLETE: mark("last reading complete"),
    Outcome.CAPPED: mark("last reading cut short by the source's own limit"),
    Outcome.PARTIAL: mark("last reading broke off"),
    Outcome.RATE_LIMITED: mark("the source asked us to slow down"),
    Outcome.BLOCKED: mark("the source refused us"),
    Outcome.LAYOUT_CHANGED: mark("the source changed its layout"),
    Outcome.UNAVAILABLE: mark("the source did not answer"),
    Outcome.MISCONFIGURED: mark("the source is not configured well"),
    Outcome.SUSPECT: mark("last reading suspect: empty without proof"),
}
_MOST_LANGUAGES = 6
_ON_TARGET = 0.05


class Phrases(MorePhrases):
    """Phrases of one locale."""

    def stage(self, stage: Stage) -> str:
        """A stage of the journey."""
        return self.gettext(_STAGES[stage])

    def severity(self, severity: Severity) -> str:
        """A severity in small letters."""
        return self.gettext(_SEVERITIES[severity])

    def mentions(self, score: Score) -> str:
        """``37 mentions, 24 negative``."""
        ngettext = self.ngettext
        mentions = ngettext("%(n)s mention", "%(n)s mentions", score.mentions)
        negative = ngettext("%(n)s negative", "%(n)s negative", score.negatives)
        return (
            f"{mentions % {'n': self._number(score.mentions)}}, "
            f"{negative % {'n': self._number(score.negatives)}}"
        )

    def untold(self, score: Score) -> str:
        """Why a touchpoint has no score, in words."""
        if score.telling is Telling.FEW:
            text = self.gettext("Too few to tell (%(mentions)s)")
            return text % {"mentions": self.mentions(score)}
        if score.telling is Telling.SILENT:
            return self.gettext("Nobody spoke of it; every source was read")
        return self.gettext("Not observed: no mention, and not every source was read")

    def interval(self, score: Score) -> str:
        """The 95 % interval of a score."""
        values = {"low": self._score(score.low), "high": self._score(score.high)}
        return self.gettext("95%% interval %(low)s to %(high)s") % values

    def change(self, score: Score) -> str:
        """The change, marked only when it is more than chance."""
        if score.change is None:
            return self.gettext("no earlier score to compare with")
        values = {"change": i18n.format_change(score.change, self.locale)}
        if not score.stands_out:
            return self.gettext("no clear change (%(change)s)") % values
        text = self.gettext("%(change)s against the four weeks before, more than chance") % values
        return f"{'▼' if score.change < 0 else '▲'} {text}"

    def goal(self, score: Score) -> str:
        """Target and gap, and the team's own note where there is one."""
        values = {"target": self._score(score.target), "gap": self._score(score.gap)}
        if score.clear_gap:
            text = self.gettext("target %(target)s: %(gap)s short")
        elif (score.gap or 0.0) > _ON_TARGET:
            text = self.gettext("target %(target)s: %(gap)s short, but within the interval")
        else:
            text = self.gettext("target %(target)s reached")
        return text % values

    def assessed(self, score: Score) -> str:
        """The team's own note beside the customers' score; empty without one."""
        if score.assessed is None:
            return ""
        return self.gettext("the team says %(score)s") % {"score": self._number(score.assessed)}

    def interval_of(self, share: Share) -> str:
        """The 95 % interval of a share; empty without a whole."""
        if share.interval is None:
            return ""
        low, high = (i18n.format_percent(each, self.locale) for each in share.interval)
        return self.gettext("95%% interval %(low)s to %(high)s") % {"low": low, "high": high}

    def before(self, share: Share) -> str:
        """The share of the four weeks before."""
        if share.value is None:
            return self.gettext("nothing to compare with")
        values = {
            "share": i18n.format_percent(share.value, self.locale),
            "n": self._number(share.whole),
        }
        return self.gettext("four weeks before: %(share)s of %(n)s") % values

    def point(self, point: WeekPoint) -> str:
        """One week of the trend in words."""
        if point.missing:
            return self.gettext("not read")
        values = {
            "negatives": self._number(point.negatives),
            "mentions": self._number(point.mentions),
            "share": i18n.format_percent(point.observed, self.locale),
        }
        if point.observed < 1:
            text = self.gettext("%(negatives)s negative of %(mentions)s (%(share)s of days read)")
        else:
            text = self.gettext("%(negatives)s negative of %(mentions)s")
        return text % values

    def trend(self, points: tuple[WeekPoint, ...]) -> str:
        """The whole picture as one line of text, for those who do not see it."""
        weeks = [f"{i18n.format_day(p.since, self.locale)}: {self.point(p)}" for p in points]
        text = self.gettext("Negative comments a week: %(weeks)s.")
        return text % {"weeks": "; ".join(weeks)}

    def alert(self, line: AlertLine) -> str:
        """What was found, its state and its owner."""
        found = self.gettext(
            "%(observed)s negative comments, about %(expected)s expected (%(days)s)."
        ) % {
            "observed": self._number(line.observed),
            "expected": self._number(line.expected, int(round(line.expected, 1) < _ROUND)),
            "days": i18n.format_span(line.first_day, line.last_day, self.locale),
        }
        return " ".join([found, self._turn(line), self._owner(line)]).strip()

    def _turn(self, line: AlertLine) -> str:
        if line.turn is Turn.CLOSED:
            dismissed = line.state is AlertState.DISMISSED
            text = self.gettext("Dismissed.") if dismissed else self.gettext("Resolved.")
            reason = self.gettext("Reason: %(reason)s") % {"reason": line.reason}
            return f"{text} {reason}" if line.reason else text
        if line.turn is Turn.OPENED:
            text = self.gettext("Opened this week.")
        else:
            day = i18n.format_day(line.opened_on, self.locale)
            # Some months are written with a full stop of their own.
            text = (self.gettext("Open since %(day)s.") % {"day": day}).replace("..", ".")
        seen = line.state is AlertState.ACKNOWLEDGED
        return " ".join([text, self.gettext("Somebody is on it.")]) if seen else text

    def _owner(self, line: AlertLine) -> str:
        if line.owner:
            return self.gettext("Owner: %(owner)s.") % {"owner": line.owner}
        return "" if line.turn is Turn.CLOSED else self.gettext("Nobody owns it yet.")

    def rehearsed(self, count: int) -> str:
        """Alerts of a brand that is still in shadow."""
        text = self.ngettext(
            "%(n)s finding in rehearsal was told to nobody: the watch is still learning.",
            "%(n)s findings in rehearsal were told to nobody: the watch is still learning.",
            count,
        )
        return text % {"n": self._number(count)}

    def byline(self, voice: Voice, names: Mapping[str, str]) -> str:
        """Why somebody is quoted, about what, with how many stars, where and when."""
        parts = [self.gettext(_ROLES[voice.role])] if voice.role in _ROLES else []
        if voice.touchpoint:
            parts.append(names.get(voice.touchpoint, voice.touchpoint))
        if voice.stars:
            text = self.ngettext("%(n)s star", "%(n)s stars", voice.stars)
            parts.append(text % {"n": self._number(voice.stars)})
        parts += [voice.source, i18n.format_date(voice.day, self.locale)]
        if voice.language.split("-")[0] != self.locale.split("-")[0]:
            parts.append(i18n.language_name(voice.language, self.locale))
        return " · ".join(parts)

    def replies(self, replies: Replies) -> str:
        """How much public feedback got a public answer."""
        return self.gettext(
            "%(answered)s of %(public)s public comments have a public answer; "
            "of the negative ones, %(negative_answered)s of %(negative)s."
        ) % {
            "answered": self._number(replies.answered),
            "public": self._number(replies.public),
            "negative_answered": self._number(replies.negative_answered),
            "negative": self._number(replies.negative),
        }

    def mismatches(self, count: int) -> str:
        """Stars against words."""
        if not count:
            return self.gettext("In no comment do the stars contradict the words.")
        text = self.ngettext(
            "In %(n)s comment the stars contradict the words.",
            "In %(n)s comments the stars contradict the words.",
            count,
        )
        return text % {"n": self._number(count)}

    def source(self, line: SourceWeek) -> str:
        """How well a source was read, and since when it is silent."""
        text = self.ngettext("%(n)s of 7 days read", "%(n)s of 7 days read", line.observed_days)
        parts = [text % {"n": self._number(line.observed_days)}]
        parts.append(self.gettext(_OUTCOMES[line.outcome]))
        if line.last_new_at is None:
            parts.append(self.gettext("never brought a comment"))
        elif (line.silent_days or 0) >= WEEK.days:
            days = line.silent_days or 0
            text = self.ngettext("silent for %(n)s day", "silent for %(n)s days", days)
            parts.append(text % {"n": self._number(days)})
        return "; ".join(parts)

    def coverage(self, trust: Trust) -> str:
        """All sources in one line."""
        trouble = trust.troubled
        if not trouble:
            text = self.ngettext(
                "%(n)s source, read on every day of the week.",
                "All %(n)s sources were read on every day of the week.",
                len(trust.sources),
            )
            return text % {"n": self._number(len(trust.sources))}
        text = self.ngettext(
            "%(n)s of %(all)s sources needs a look; its numbers may be too low.",
            "%(n)s of %(all)s sources need a look; their numbers may be too low.",
            trouble,
        )
        return text % {"n": self._number(trouble), "all": self._number(len(trust.sources))}

    def left_out(self, count: int) -> str:
        """Touchpoints that a mail has no room for."""
        text = self.ngettext(
            "%(n)s more touchpoint was mentioned less.",
            "%(n)s more touchpoints were mentioned less.",
            count,
        )
        return text % {"n": self._number(count)}

    def coverage_short(self, trust: Trust) -> str:
        """The days of all sources that were read."""
        values = {
            "read": self._number(trust.coverage.part),
            "all": self._number(trust.coverage.whole),
        }
        return self.gettext("%(read)s of %(all)s days read, over all sources") % values

    def more(self, count: int) -> str:
        """What a list leaves out."""
        text = self.ngettext("%(n)s more.", "%(n)s more.", count)
        return text % {"n": self._number(count)}

    def languages(self, trust: Trust) -> str:
        """The languages people wrote in, the most frequent first."""
        named = [
            f"{i18n.language_name(tag, self.locale)} {self._number(count)}"
            for tag, count in trust.languages[:_MOST_LANGUAGES]
        ]
        more = ", …" if len(trust.languages) > _MOST_LANGUAGES else ""
        text = self.gettext("Languages: %(languages)s.")
        return text % {"languages": ", ".join(named) + more} if named else ""

    def tagging(self, trust: Trust) -> str:
        """How sure the labels are, and who made them."""
        parts = [
            self.ngettext(
                "%(uncertain)s of %(n)s label is uncertain.",
                "%(uncertain)s of %(n)s labels are uncertain.",
                trust.annotated,
            )
            % {"uncertain": self._number(trust.uncertain), "n": self._number(trust.annotated)},
            self.ngettext("People corrected %(n)s.", "People corrected %(n)s.", trust.corrected)
            % {"n": self._number(trust.corrected)}
            if trust.corrected
            else self.gettext("Nobody corrected any."),
        ]
        if trust.pending:
            text = self.ngettext(
                "%(n)s comment waits for its label and is in no number yet.",
                "%(n)s comments wait for their labels and are in no number yet.",
                trust.pending,
            )
            parts.append(text % {"n": self._number(trust.pending)})
        return " ".join(parts)

    def taggers(self, trust: Trust) -> str:
        """The versions that set the labels."""
        text = self.gettext("Tagger: %(versions)s.")
        return text % {"versions": ", ".join(trust.taggers)} if trust.taggers else ""

    def method(self) -> str:
        """How to read a score."""
        return self.gettext(
            "1 means nothing as we want it, 5 all as we want it. The score is the mean of what "
            "the mentions express, pulled towards the journey's mean while they are few; below "
            "%(n)s mentions there is no score."
        ) % {"n": self._number(TOO_FEW)}

    def reason(self, digest: Digest) -> str:
        """Why the reader gets this mail and how to end it."""
        return self.gettext(
            "You get this as a reader of the weekly digest of %(brand)s. To end it, use your mail "
            "program's “unsubscribe” or ask whoever runs Ouvidor in your house."
        ) % {"brand": digest.brand}
