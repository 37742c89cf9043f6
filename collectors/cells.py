"""Times and stars as people write them in tables. Pure: a cell in, a value out, or ValueError."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_EPOCH = re.compile(r"(\d{10}|\d{13})(?:\.\d+)?")
_MILLISECONDS = 13
_DAYS = re.compile(
    r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})"
    r"(?:[ T,]+(?:às\s+)?(\d{1,2})[:h](\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(am|pm)?)?",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"(\.\d{6})\d+")
_LONG_YEAR = re.compile(r"\d{5,}[/.-]\d{1,2}[/.-]\d{1,2}.*|\d{1,2}[/.-]\d{1,2}[/.-]\d{5,}.*")
_UNIVERSAL = re.compile(r" ?(?:UTC|GMT)$")
_NOON = 12
_CENTURY = 100


def parse_time(cell: str, zone: ZoneInfo, *, order: str = "dmy", form: str = "") -> datetime | None:
    """A moment in UTC, or None for a blank cell; a time without a zone is in ``zone``.

    Knows ISO 8601, dates with the day (or the month) first, seconds and milliseconds since 1970,
    or exactly ``form`` (strptime). Raises ValueError with the reason.
    """
    cell = cell.strip()
    if not cell:
        return None
    try:
        moment = datetime.strptime(cell, form) if form else _guess(cell, order)  # noqa: DTZ007 - the zone follows below
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        if _LONG_YEAR.fullmatch(cell):
            raise ValueError(
                f"{cell[:40]!r} is no date: its year has too many digits; mend that row"
            ) from error
        raise ValueError(
            f"{cell[:40]!r} is no date this reader knows; set `date_format` or `date_order`"
        ) from error


def _guess(cell: str, order: str) -> datetime:
    if match := _EPOCH.fullmatch(cell):
        seconds = float(cell) / (1000 if len(match[1]) == _MILLISECONDS else 1)
        return datetime.fromtimestamp(seconds, UTC)
    if match := _DAYS.fullmatch(cell):
        return _numbers(match, order)
    return datetime.fromisoformat(_UNIVERSAL.sub("+00:00", _FRACTION.sub(r"\1", cell)))


def _numbers(match: re.Match[str], order: str) -> datetime:
    first, second, year = (int(match[n]) for n in (1, 2, 3))
    day, month = (second, first) if order == "mdy" else (first, second)
    hour, minute, second = (int(match[n] or 0) for n in (4, 5, 6))
    if match[7]:
        hour = hour % _NOON + (_NOON if match[7].lower() == "pm" else 0)
    year += 2000 if year < _CENTURY else 0
    return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the caller knows the zone


_NOTHING = {"", "-", "--", "n/a", "na", "null", "none", "nan", "sem nota", "sin nota"}
_NUMBER = re.compile(
    r"(-?\d+(?:[.,]\d+)?)\s*"
    r"(?:(?:/|de|of|out of)\s*(\d+))?\s*"
    r"(?:estrelas?|estrellas?|stars?|pontos?|puntos?|points?)?",
    re.IGNORECASE,
)
DEFAULT_SCALE = "1-5"
_TOP = 5


def parse_scale(scale: str) -> tuple[float, float]:
    """Lowest and highest note of ``"0-10"``; raises ValueError."""
    match = re.fullmatch(r"\s*(\d+)\s*(?:-|–|\.\.|a|to)\s*(\d+)\s*", scale)
    if not match or int(match[1]) >= int(match[2]):
        raise ValueError(f"{scale!r} is no scale; write lowest and highest note, like '0-10'")
    return float(match[1]), float(match[2])


def parse_stars(cell: str, scale: str = DEFAULT_SCALE) -> tuple[int, str, str] | None:
    """Stars 1–5, the note as written, and its scale; None for a blank cell.

    A note on another scale is spread evenly over the five stars, halves going up. Raises
    ValueError with the reason.
    """
    cell = cell.strip()
    if cell.casefold() in _NOTHING:
        return None
    if drawn := cell.count("★") + cell.count("⭐"):
        note, scale = str(drawn), DEFAULT_SCALE
    else:
        note, scale = _note(cell, scale)
    low, high = parse_scale(scale)
    value = float(note)
    if not low <= value <= high:
        raise ValueError(f"the note {note} lies outside the scale {scale}; mend it or set `scale`")
    stars = value if scale == DEFAULT_SCALE else 1 + 4 * (value - low) / (high - low)
    return min(_TOP, math.floor(stars + 0.5)), note, scale


def _note(cell: str, scale: str) -> tuple[str, str]:
    match = _NUMBER.fullmatch(cell)
    if not match:
        raise ValueError(f"{cell[:40]!r} is no note")
    note = match[1].replace(",", ".")
    if "." in note:
        note = note.rstrip("0").rstrip(".")
    if match[2] and scale == DEFAULT_SCALE and int(match[2]) != _TOP:
        scale = f"0-{match[2]}"
    return note, scale
