"""The monthly reports there are, and how far a run is with them. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

_REMEMBERED = 120
"""Reports whose versions are remembered: ten years."""
_MONTH = re.compile(r"_(?P<month>20\d\d(?:0[1-9]|1[0-2]))(?:\D|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One file: its name, what changes when it is made anew, and the month it is of, if it says."""

    name: str
    version: str

    @property
    def month(self) -> str:
        """Like ``202610``."""
        found = _MONTH.search(self.name)
        return found["month"] if found else ""

    @property
    def key(self) -> str:
        """What the checkpoint calls it."""
        return self.month or digest(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far a run is: all reports, those left to read, and the versions of those that were."""

    all: Sequence[Report]
    left: Sequence[Report]
    files: Mapping[str, str]
    until: datetime | None

    @property
    def mark(self) -> dict[str, object]:
        """The checkpoint."""
        until = self.until.isoformat() if self.until else None
        return {"files": dict(self.files), "until": until}

    def read(self, latest: datetime | None) -> State:
        """The same with its first report read; ``latest`` is the last change in it."""
        done, *left = self.left
        files = {**self.files, done.key: digest(done.version)}
        known = {report.key for report in self.all[-_REMEMBERED:]}
        newest = done == self.all[-1]
        return State(
            all=self.all,
            left=left,
            files={key: value for key, value in files.items() if key in known},
            until=latest if newest else self.until,
        )

    @property
    def _months(self) -> list[str]:
        """The months without a hole before the newest report, which is the last of them."""
        months = sorted({report.month for report in self.all})
        kept = months[-1:]
        for month in reversed(months[:-1]):
            if _after(month) != kept[0]:
                break
            kept.insert(0, month)
        return kept

    @property
    def covered(self) -> tuple[datetime, datetime] | None:
        """From the first month without a hole to the last day that the newest report tells of."""
        if not all(report.month for report in self.all) or self.until is None:
            return None
        first = datetime.strptime(self._months[0], "%Y%m").replace(tzinfo=UTC)
        last = datetime.combine(self.until.date(), time.min, tzinfo=UTC) + timedelta(days=1)
        return (first, last) if first < last else None

    @property
    def notes(self) -> list[str]:
        """A month that is missing between others."""
        months = {report.month for report in self.all if report.month}
        holes = sorted({_after(month) for month in months} - months)[:-1]
        return [f"there is no report of {hole[:4]}-{hole[4:]}" for hole in holes[-3:]]


def _after(month: str) -> str:
    year, number = int(month[:4] or 0), int(month[4:] or 0)
    return f"{year + 1}01" if number == 12 else f"{year}{number + 1:02}"  # noqa: PLR2004 - December


def state_of(reports: Sequence[Report], mark: Mapping[str, Any]) -> State:
    """What has to be read of these reports, after a run that left ``mark``."""
    told = mark.get("files")
    known = told if isinstance(told, dict) else {}
    until = mark.get("until")
    return State(
        all=reports,
        left=[each for each in reports if known.get(each.key) != digest(each.version)],
        files={each.key: known[each.key] for each in reports if each.key in known},
        until=datetime.fromisoformat(until) if isinstance(until, str) else None,
    )


def order(report: Report) -> tuple[str, str]:
    """By month, the oldest first."""
    return report.month, report.name


def digest(text: str) -> str:
    """A few letters that change with the text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
