"""The judge: what an answer is worth, and how a run ended. Pure.

A crawler that finished proves nothing. Each way to fail has its own outcome, named by what mends
it; a run is complete only when what was read says so itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from ..storage.vocabulary import Outcome
from .collector import Answer, Page, Trait, Trouble, Window

_WALL = re.compile(
    rb"captcha|cf-chl|challenge-platform|are you (?:a )?(?:human|robot)|not a robot|"
    rb"unusual traffic|access denied|attention required|um rob\xc3\xb4|px-captcha|datadome",
    re.IGNORECASE,
)
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_HEAD = 65_536
_ERRORS = ("error", "errors", "errorMessage", "error_message", "fault", "failureType")
_CLIP = 120
MOST_FIELDS, MOST_PARTS = 40, 300
"""Fields and parts that a run keeps counts of."""


def clip(text: object) -> str:
    """A foreign text as part of a sentence of ours: one short line without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= _CLIP else line[: _CLIP - 1] + "…"


def error_inside(data: object) -> Trouble | None:
    """The error that an answer of status 200 carries, if it does."""
    if not isinstance(data, dict):
        return None
    for name in _ERRORS:
        if found := data.get(name):
            return Trouble(
                Outcome.UNAVAILABLE,
                f"The source answered with an error inside a 200: {clip(found)}; "
                "run it again later.",
            )
    return None


def wait_asked(answer: Answer, now: datetime) -> float | None:
    """The seconds that Retry-After asks for, or None."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def check(answer: Answer, now: datetime) -> None:
    """Raise Trouble unless the answer is a 200 that may hold what was asked for."""
    host = urlsplit(answer.url).hostname or "this machine"
    if answer.status != HTTPStatus.OK:
        raise _refusal(answer, host, now)
    if answer.path is not None:
        return
    head = answer.body[:_HEAD]
    if not head.strip():
        raise Trouble(
            Outcome.SUSPECT,
            f"{host} answered 200 with nothing in it, which proves nothing; run it again later.",
        )
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise _page_for_people(head, host)


def _page_for_people(head: bytes, host: str) -> Trouble:
    if _WALL.search(head):
        return Trouble(
            Outcome.BLOCKED,
            f"{host} shows a bot wall (captcha) instead of data; use its official API or an "
            "export, or ask the source for access.",
        )
    return Trouble(
        Outcome.LAYOUT_CHANGED,
        f"{host} answered with an HTML page instead of data; look at the address in a browser and "
        "mend `base_url`, or update this program.",
    )


def _refusal(answer: Answer, host: str, now: datetime) -> Trouble:
    status = answer.status
    if status in {401, 403, 407, 451}:
        return Trouble(
            Outcome.BLOCKED,
            f"{host} refused access ({status}); check the right to read this source, or use its "
            "official API or an export.",
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = wait_asked(answer, now)
        asks = f" and asks to wait {wait:.0f} s" if wait is not None else ""
        return Trouble(
            Outcome.RATE_LIMITED,
            f"{host} has had too many requests (429){asks}; the next run goes on, raise `delay` "
            "if it happens again.",
        )
    if 300 <= status < 400:  # noqa: PLR2004 - redirects
        to = clip(answer.headers.get("location", "an unnamed place"))
        return Trouble(
            Outcome.MISCONFIGURED,
            f"{host} sends us on to {to} ({status}), which this source is not configured for; if "
            "that is right, set `base_url` to it.",
        )
    if status >= 500 or status in {408, 425}:  # noqa: PLR2004 - the server's own failures
        return Trouble(
            Outcome.UNAVAILABLE, f"{host} is out of order ({status}); run it again later."
        )
    return Trouble(
        Outcome.MISCONFIGURED,
        f"{host} does not know this address ({status}); check the options and `base_url`.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a run ended; ``covered`` is the span of time now known completely, or None.

    ``joined`` says that everything between the last joined run and this one's start was read.
    """

    outcome: Outcome
    message: str
    joined: bool
    covered: tuple[datetime, datetime] | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Reading:
    """What one run has seen so far."""

    started: datetime
    first: bool
    since: datetime | None
    """When the last run that joined known ground began."""
    zone: ZoneInfo
    traits: frozenset[Trait] = frozenset()
    window: Window | None = None
    pages: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    repeated: int = 0
    cleaned: int = 0
    requests: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    ended: bool = False
    joined: bool = False
    capped: bool = False
    empty: bool = False
    not_modified: bool = False
    everything_since: datetime | None = None
    """When the reading began that has now shown all there is, or None."""
    span: tuple[datetime, datetime] | None = None
    """What a whole file says that it knows completely."""
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    fields: Counter[str] = field(default_factory=Counter)
    """How many items had a field; '' counts all of them."""
    brought: Counter[str] = field(default_factory=Counter)
    """New items by the part of the source that they are from."""
    trouble: Trouble | None = None

    @property
    def items(self) -> int:
        """How many were stored or found unchanged."""
        return self.new + self.changed + self.unchanged

    @property
    def shown(self) -> datetime | None:
        """From when on the window shows everything, where that is not all since the last run."""
        if self.window is None:
            return None
        shown = self.started - self.window.span
        return shown if self.since is None or self.since < shown else None

    def saw(self, moments: list[datetime]) -> None:
        """Remember how far back and forward the feedback reaches."""
        self.oldest = min([*moments, *([self.oldest] if self.oldest else [])], default=None)
        self.newest = max([*moments, *([self.newest] if self.newest else [])], default=None)

    def end(self, page: Page) -> None:
        """The source has nothing more to show."""
        self.ended = True
        self.capped = self.capped or page.capped
        self.empty = self.empty or page.empty
        self.not_modified = self.not_modified or (page.unchanged and not self.items)


def verdict(reading: Reading) -> Judgement:
    """How the run ended, by what was read and not by how the crawler felt about it."""
    trouble = reading.trouble or _doubt(reading)
    if trouble is not None:
        message = trouble.sentence
        if reading.pages:
            message = f"{message} Kept: {counts(reading)}."
        return Judgement(
            outcome=trouble.outcome, message=message, joined=False, details=_details(reading)
        )
    missed = reading.shown is not None and reading.since is not None
    capped = missed or (reading.capped and not reading.joined)
    covered = _covered(reading, capped=capped)
    return Judgement(
        outcome=Outcome.CAPPED if capped else Outcome.COMPLETE,
        message=_message(reading, capped=capped),
        joined=True,
        covered=covered,
        details=_details(reading) | _gap(reading, capped=capped),
    )


def _doubt(reading: Reading) -> Trouble | None:
    """What is wrong with a reading in which nothing failed."""
    if reading.not_modified or reading.joined:
        return None
    if not reading.ended:
        return Trouble(Outcome.PARTIAL, "The reading ended early; run it again.")
    if reading.rejected and not reading.items:
        file = Trait.WHOLE_FILE in reading.traits
        reason = reading.reasons.most_common(1)[0][0]
        mend = "mend the columns or the file" if file else "update this program"
        return Trouble(
            Outcome.MISCONFIGURED if file else Outcome.LAYOUT_CHANGED,
            f"Not one of {reading.rejected} could be read ({reason}); {mend}.",
        )
    if not reading.items and not reading.empty:
        return Trouble(
            Outcome.SUSPECT,
            "The source showed nothing and did not say that there is nothing; run it again later.",
        )
    return None


def counts(reading: Reading) -> str:
    """What was read, in a few words."""
    text = f"{reading.new} new, {reading.changed} changed, {reading.unchanged} unchanged"
    text += f", {reading.repeated} repeated" if reading.repeated else ""
    return f"{text}, {reading.rejected} set aside" if reading.rejected else text


def _message(reading: Reading, *, capped: bool) -> str:
    if reading.not_modified:
        parts = ["Nothing has changed since the last run"]
    elif not reading.items:
        parts = ["The source says that there is nothing"]
    else:
        parts = [counts(reading)]
    if reading.window is not None and reading.shown is not None:
        parts.append(reading.window.mend)
    elif capped:
        parts.append("the source shows no more than this, what is older was not seen")
    if reading.rejected:
        parts.append(f"most often because {reading.reasons.most_common(1)[0][0]}")
    return "; ".join([*parts, *reading.notes]) + "."


def _covered(reading: Reading, *, capped: bool) -> tuple[datetime, datetime] | None:
    """The span of time that is now known completely, or None."""
    if Trait.WHOLE_FILE in reading.traits:
        return _told_by_file(reading) if reading.span else _days_of_file(reading)
    since = reading.since
    if reading.shown is not None and not reading.capped:
        since = reading.shown
    elif reading.first or since is None or capped:
        since = _first_seen(reading, capped=capped)
    if since is None or since >= reading.started:
        return None
    return since, reading.started


def _first_seen(reading: Reading, *, capped: bool) -> datetime | None:
    """From when on a first or a capped run knows everything."""
    if reading.oldest is None:
        empty = reading.empty and not reading.items
        return _day_start(reading.started, reading.zone) if empty else None
    if capped:
        # Others may have written in the very second of the oldest that is shown.
        return reading.oldest + timedelta(seconds=1)
    return _day_start(reading.oldest, reading.zone)


def _day_start(moment: datetime, zone: ZoneInfo) -> datetime:
    return datetime.combine(moment.astimezone(zone).date(), time.min, tzinfo=zone)


def _told_by_file(reading: Reading) -> tuple[datetime, datetime] | None:
    """What a file says of itself, as far as that is past."""
    if reading.span is None:
        return None
    since, until = reading.span[0], min(reading.span[1], reading.started)
    return (since, until) if since < until else None


def _days_of_file(reading: Reading) -> tuple[datetime, datetime] | None:
    if reading.oldest is None or reading.newest is None:
        return None
    since = _day_start(reading.oldest, reading.zone)
    last = reading.newest.astimezone(reading.zone).date() + timedelta(days=1)
    until = min(datetime.combine(last, time.min, tzinfo=reading.zone), reading.started)
    return (since, until) if since < until else None


def _gap(reading: Reading, *, capped: bool) -> dict[str, object]:
    until = reading.shown if reading.shown and not reading.capped else reading.oldest
    if not capped or until is None:
        return {}
    since = reading.since.isoformat() if reading.since else None
    return {"gap": {"since": since, "until": until.isoformat()}}


def _details(reading: Reading) -> dict[str, object]:
    found: dict[str, object] = {
        "requests": reading.requests,
        "rejected": dict(reading.reasons.most_common(20)),
        "examples": reading.examples,
        "unknown_fields": dict(reading.unknown.most_common(20)),
        "control_characters": reading.cleaned,
        "repeated": reading.repeated,
        "notes": reading.notes,
        "fields": dict(reading.fields.most_common(MOST_FIELDS)),
        "brought": dict(reading.brought.most_common(MOST_PARTS)),
    }
    return {name: value for name, value in found.items() if value}
