"""An alert's change is put into words for everyone who has to hear of it.

Called from inside the watch's transactions: a message stands in the outbox when, and only when,
the change it tells of is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection

from ..config import Chat, Config, Hours, Subscriber
from ..storage import alerts, outbox, series
from ..storage.alerts import SYSTEM
from ..storage.database import Database
from ..storage.vocabulary import Severity, Spike
from . import alert_letter, explain, mail, spikes
from .alert_chart import DayPoint
from .alert_letter import Notice, Turn
from .delivery_errors import Permanent
from .explain import Explanation
from .lookout import USUAL_DAYS, Key, Lookout
from .render import Rendered
from .spikes import Judged

GAP_DAYS = 7
"""Days before a finding whose missing days are told with it."""

_CHART_DAYS = 56
_MOST_QUOTES = 2000


MAIL, CHAT = "mail", "chat"


class Told(NamedTuple):
    """A notice, and the owner of its alert."""

    notice: Notice
    owner: str | None


class Reader(NamedTuple):
    """Somebody who hears of an alert: a mail address, or the name of a chat."""

    channel: str
    name: str
    locale: str
    zone: ZoneInfo
    quiet: Hours | None

    def __str__(self) -> str:
        return self.name if self.channel == MAIL else f"{self.channel}/{self.name}"


@dataclass(frozen=True, slots=True)
class Herald:
    """Writes and addresses the messages of one watch."""

    db: Database
    config: Config
    now: datetime
    lookout: Lookout

    def notice(
        self, key: Key, spike: Spike, judged: Judged | None, turn: Turn, alarms: Sequence[int] = ()
    ) -> Notice:
        """All there is to tell; ``judged`` is None where the key has no columns left.

        ``alarms`` are the rows on which the alert alarmed.
        """
        lookout, limits = self.lookout, self.config.watch
        first, last = lookout.index(spike.first_day), lookout.index(spike.last_day)
        told = turn not in {Turn.RESOLVED, Turn.RETRACTED}
        return Notice(
            turn=turn,
            alert=0,
            brand=self.config.brand.name,
            key=key,
            touchpoint=self.config.touchpoints[key.touchpoint].name,
            severity=spike.severity,
            found=spike,
            times=_times(judged, first, last) if judged else 1.0,
            by_chance=spikes.chance(spike.score, lookout.judged_keys),
            budget=limits.false_alarms_per_month,
            series=lookout.judged_keys,
            late=turn is Turn.OPENED and bool(alarms) and alarms[0] < lookout.days - 1,
            quiet_days=limits.quiet_days,
            why=self._why(key, spike) if told else Explanation(parts=(), terms=(), voices=()),
            gaps=tuple(lookout.gaps(key, first - GAP_DAYS, lookout.days - 1)),
            days=tuple(_days(lookout, key, alarms)) if judged else (),
        )

    def _why(self, key: Key, spike: Spike) -> Explanation:
        look = partial(
            series.quotes,
            self.db,
            touchpoint=key.touchpoint,
            source=key.source or None,
            limit=_MOST_QUOTES,
        )
        before = spike.first_day - timedelta(days=USUAL_DAYS)
        return explain.explain(
            look(since=spike.first_day, until=spike.last_day),
            look(since=before, until=spike.first_day - timedelta(days=1)),
            expected=spike.expected,
        )

    def tell(self, connection: Connection, told: Sequence[Told]) -> None:
        """Put the messages beside the alerts' change; refused addresses are left out.

        Who has to hear of several alerts at once gets one message, about the gravest; it names
        the others. The end of an alert is told to those who heard of it.
        """
        written = cache(alert_letter.write)  # once a language, not once a reader
        mine: dict[Reader, Notice] = {}
        for each in sorted(told, key=lambda one: one.notice.gravity):
            mine |= dict.fromkeys(self._readers(connection, each), each.notice)
        for reader, notice in mine.items():
            if reader.channel == CHAT:
                rendered = alert_letter.words(notice, reader.locale)
                self._put(connection, notice, reader, rendered.subject, rendered.text.encode())
            elif not outbox.refused(connection, reader.name):
                self._mail(connection, notice, reader, *written(notice, reader.locale))

    def _mail(
        self,
        connection: Connection,
        notice: Notice,
        reader: Reader,
        rendered: Rendered,
        images: Mapping[str, bytes],
    ) -> None:
        try:
            body = mail.compose(
                rendered,
                key=_message_key(notice, reader),
                recipient=reader.name,
                brand=notice.brand,
                locale=reader.locale,
                now=self.now,
                settings=self.config.mail,
                images=images,
            )
        except Permanent as error:
            alerts.note_event(
                connection, notice.alert, at=self.now, by=SYSTEM, what="untold", note=str(error)
            )
            return
        self._put(connection, notice, reader, rendered.subject, body)

    def _put(
        self, connection: Connection, notice: Notice, reader: Reader, subject: str, body: bytes
    ) -> None:
        quiet = None if notice.severity is Severity.CRITICAL else reader.quiet
        outbox.put(
            connection,
            key=_message_key(notice, reader),
            channel=reader.channel,
            recipient=reader.name,
            subject=subject,
            body=body,
            now=self.now,
            due_at=quiet.over_at(self.now, reader.zone) if quiet else self.now,
            quoted=[voice.feedback_id for voice in notice.why.voices],
        )

    def _readers(self, connection: Connection, told: Told) -> set[Reader]:
        """Everyone who hears of it: the owner, subscribers and chats, each with their filters."""
        found = {*self._by_mail(told), *self._chats(told.notice)}
        if not told.notice.over:
            return found
        keys = outbox.keys(connection, f"alert:{told.notice.alert}:")
        return {each for each in found if any(key.endswith(f":{each}") for key in keys)}

    def _by_mail(self, told: Told) -> Iterator[Reader]:
        usual, zone = self.config.brand.locale, self.config.brand.zone
        addresses = set()
        for each in self.config.subscribers.values():
            owns = each.address == told.owner
            if owns or (each.alerts and self._wanted(told.notice, each)):
                own = ZoneInfo(each.time_zone) if each.time_zone else zone
                addresses.add(each.address)
                yield Reader(MAIL, each.address, each.locale or usual, own, each.quiet_hours)
        if told.owner and told.owner not in addresses:
            yield Reader(MAIL, told.owner, usual, zone, None)

    def _chats(self, notice: Notice) -> Iterator[Reader]:
        usual, zone = self.config.brand.locale, self.config.brand.zone
        for name, each in self.config.chat.items():
            if each.alerts and self._wanted(notice, each):
                yield Reader(CHAT, name, each.locale or usual, zone, each.quiet_hours)

    def _wanted(self, notice: Notice, wish: Subscriber | Chat) -> bool:
        """Whether an alert passes a reader's filters."""
        about = not wish.touchpoints or notice.key.touchpoint in wish.touchpoints
        here = not wish.sources or self.lookout.sources(notice.key) & set(wish.sources)
        return bool(about and here and notice.severity.rank >= wish.severity.rank)


def _message_key(notice: Notice, reader: Reader) -> str:
    what = notice.turn.value
    if notice.turn is Turn.ESCALATED:
        what = f"{what}-{notice.severity.value}"
    if notice.turn is Turn.ONGOING:
        what = f"{what}-{notice.found.last_day}"
    return f"alert:{notice.alert}:{what}:{reader}"


def _times(judged: Judged, first: int, last: int) -> float:
    """The surest effect of the days: the largest lower bound among their best windows."""
    bounds = spikes.least_ratio(
        judged.observed[first : last + 1, 0],
        judged.expected[first : last + 1, 0],
        judged.variance[first : last + 1, 0],
    )
    return float(bounds.max(initial=1.0))


def _days(lookout: Lookout, key: Key, alarms: Sequence[int]) -> Iterator[DayPoint]:
    """The last eight weeks of a key for its picture."""
    members = list(lookout.members(key))
    for row in range(max(lookout.days - _CHART_DAYS, 0), lookout.days):
        counts = lookout.panel.negatives[row, members]
        expected = float(lookout.scanned.expected[row, 0, members].sum())
        spread = float(lookout.scanned.variance[row, 0, members].sum()) ** 0.5
        yield DayPoint(
            day=lookout.day(row),
            negatives=None if np.isnan(counts).all() else int(np.nansum(counts)),
            expected=expected,
            high=expected + 2 * spread,
            alarming=row in alarms,
        )
