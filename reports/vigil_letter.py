"""Worries about the sources become a mail or a chat message in the operator's language. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from . import i18n
from .phrases import Phrases
from .render import Rendered, render
from .silence import Concern, What, concern


class News(NamedTuple):
    """New worries, and the keys of those that are over."""

    new: Sequence[Concern]
    over: Sequence[str]


class VigilPhrases(Phrases):
    """The operator's phrases of one locale; moments are told in the brand's zone."""

    def __init__(self, locale: str, zone: ZoneInfo) -> None:
        super().__init__(locale)
        self.zone = zone

    def subject(self, news: News) -> str:
        """What it is about: the one source, or how many."""
        names = {each.source for each in [*news.new, *map(concern, news.over)]}
        count = len(names)
        if count == 1:
            one = self.gettext("%(source)s needs a look")
            if not news.new:
                one = self.gettext("%(source)s is well again")
            return one % {"source": min(names)}
        text = self.ngettext("%(n)s source needs a look", "%(n)s sources need a look", count)
        if not news.new:
            text = self.ngettext(
                "%(n)s source is well again", "%(n)s sources are well again", count
            )
        return text % {"n": self._number(count)}

    def name(self, found: Concern) -> str:
        """``shops · 6394460000000000817``."""
        return f"{found.source} · {found.part}" if found.part else found.source

    def what(self, found: Concern) -> str:
        """What is wrong, since when, and what may be done."""
        since = i18n.format_moment(found.since, self.locale, self.zone) if found.since else ""
        if found.what is What.UNREAD:
            text = (
                self.gettext("has not been read to the end since %(since)s.")
                if since
                else self.gettext("has never been read to the end.")
            )
            return f"{text % {'since': since}} {found.why}".strip()
        if found.what is What.NEVER:
            return self.gettext(
                "is read without trouble and has never brought anything; check what it is "
                "configured for."
            )
        if found.what is What.SILENT:
            days = max(1, round(found.usual.total_seconds() / 86_400)) if found.usual else 1
            text = self.ngettext(
                "has brought nothing new since %(since)s; a silence of up to %(n)s day is usual "
                "there. It is read without trouble: look whether it still shows everything.",
                "has brought nothing new since %(since)s; a silence of up to %(n)s days is usual "
                "there. It is read without trouble: look whether it still shows everything.",
                days,
            )
            return text % {"since": since, "n": self._number(days)}
        text = self.ngettext(
            "“%(field)s” was found until %(since)s and not in the %(n)s run since: the source may "
            "have changed its layout.",
            "“%(field)s” was found until %(since)s and in none of the %(n)s runs since: the source "
            "may have changed its layout.",
            found.runs,
        )
        return text % {"field": found.field, "since": since, "n": self._number(found.runs)}

    def over(self, key: str) -> str:
        """What is well again."""
        found = concern(key)
        texts = {
            What.UNREAD: self.gettext("is read to the end again."),
            What.NEVER: self.gettext("has brought its first feedback."),
            What.SILENT: self.gettext("brings feedback again."),
            What.FIELD: self.gettext("“%(field)s” is found again."),
        }
        return f"{self.name(found)}: {texts[found.what] % {'field': found.field}}"

    def why_you(self, brand: str) -> str:
        """Why the reader gets this."""
        return self.gettext(
            "You get this because [operator] in the configuration of %(brand)s names you."
        ) % {"brand": brand}


def write(brand: str, news: News, locale: str, zone: ZoneInfo) -> Rendered:
    """The message's words."""
    values = {"brand": brand, "news": news, "say": VigilPhrases(locale, zone)}
    return render("vigil", locale, values)
