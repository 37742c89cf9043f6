"""An alert's change is put into words for everyone who has to hear of it.

Called from inside the watch's transactions: a message stands in the outbox when, and only when,
the change it tells of is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial

import numpy as np
from sqlalchemy import Connection

from ..config import Config
from ..storage import alerts, outbox, series
from ..storage.alerts import SYSTEM
from ..storage.database import Database
from ..storage.vocabulary import Spike
from . import alert_letter, explain, mail, spikes
from .alert_chart import DayPoint
from .alert_letter import Notice, Turn
from .delivery_errors import Permanent
from .explain import Explanation
from .lookout import USUAL_DAYS, Key, Lookout
from .spikes import Judged

GAP_DAYS = 7
"""Days before a finding whose missing days are told with it."""

_CHART_DAYS = 56
_MOST_QUOTES = 2000


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
        told = turn in {Turn.OPENED, Turn.ESCALATED}
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

    def tell(self, connection: Connection, notice: Notice, owner: str | None) -> None:
        """Put the messages beside the alert's change; refused addresses are left out."""
        letter = cache(partial(alert_letter.write, notice))  # once a language, not once a reader
        for address, locale in self._readers(notice, owner).items():
            if outbox.refused(connection, address):
                continue
            rendered, images = letter(locale)
            key = _message_key(notice, address)
            try:
                body = mail.compose(
                    rendered,
                    key=key,
                    recipient=address,
                    brand=notice.brand,
                    locale=locale,
                    now=self.now,
                    settings=self.config.mail,
                    images=images,
                )
            except Permanent as error:
                alerts.note_event(
                    connection, notice.alert, at=self.now, by=SYSTEM, what="untold", note=str(error)
                )
                continue
            self._put(connection, notice, "mail", address, rendered.subject, body)
        for name, locale in self._chats(notice).items():
            rendered = alert_letter.words(notice, locale)
            self._put(
                connection, notice, "chat", name, rendered.subject, rendered.text.encode("utf-8")
            )

    def _put(
        self,
        connection: Connection,
        notice: Notice,
        channel: str,
        recipient: str,
        subject: str,
        body: bytes,
    ) -> None:
        reader = recipient if channel == "mail" else f"{channel}/{recipient}"
        outbox.put(
            connection,
            key=_message_key(notice, reader),
            channel=channel,
            recipient=recipient,
            subject=subject,
            body=body,
            now=self.now,
            quoted=[voice.feedback_id for voice in notice.why.voices],
        )

    def _readers(self, notice: Notice, owner: str | None) -> Mapping[str, str]:
        """Address and locale of everyone who hears of it by mail: the owner and subscribers."""
        usual = self.config.brand.locale
        readers = {owner: usual} if owner else {}
        for subscriber in self.config.subscribers.values():
            about = not subscriber.touchpoints or notice.key.touchpoint in subscriber.touchpoints
            if (subscriber.alerts and about) or subscriber.address == owner:
                readers[subscriber.address] = subscriber.locale or usual
        return readers

    def _chats(self, notice: Notice) -> Mapping[str, str]:
        return {
            name: chat.locale or self.config.brand.locale
            for name, chat in self.config.chat.items()
            if chat.alerts and (not chat.touchpoints or notice.key.touchpoint in chat.touchpoints)
        }


def _message_key(notice: Notice, reader: str) -> str:
    what = notice.turn.value
    if notice.turn is Turn.ESCALATED:
        what = f"{what}-{notice.severity.value}"
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
