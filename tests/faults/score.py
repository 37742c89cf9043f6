"""The table: what befell how often, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from faults.truth import Findings
from faults.zygote import Ended

HEADS = ("fault", "rounds", "struck", "lost", "double", "stuck", "orphans", "series", "unclear")
SHOWN = 5


@dataclass
class Score:
    """One row. ``struck`` counts the faults that really happened."""

    fault: str
    rounds: int = 0
    struck: int = 0
    found: Findings = field(default_factory=Findings)
    skipped: str = ""

    @property
    def well(self) -> bool:
        """Whether nothing was lost, doubled or left behind."""
        return not self.found.all

    def heard(self, ended: Ended, *sentences: str) -> None:
        """Every end is one that was promised; one of the sentences stands there where it failed."""
        told = ended.code != 1 or not sentences or any(each in ended.err for each in sentences)
        if not ended.clear or not told:
            self.found.unclear.append(f"exit {ended.code}: {ended.err[-1500:] or 'not a word'}")

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as it is printed."""
        if self.skipped:
            return (self.fault, self.skipped)
        each = self.found
        groups = (each.lost, each.doubled, each.stuck, each.orphans, each.astray, each.unclear)
        return (self.fault, str(self.rounds), str(self.struck), *(str(len(g)) for g in groups))


def table(scores: Sequence[Score]) -> str:
    """All rows, and below them what was found."""
    counted = [score.cells for score in scores if not score.skipped]
    rows = [HEADS, *counted]
    wide = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = ["  ".join(_cell(row, n, wide) for n in range(len(HEADS))).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in wide))
    lines += [
        f"{score.fault}: not possible here ({score.skipped})" for score in scores if score.skipped
    ]
    lines.append(_sum(scores))
    for score in scores:
        lines += [f"{score.fault}: {each}" for each in score.found.all[:SHOWN]]
    return "\n".join(lines)


def _cell(row: Sequence[str], number: int, wide: Sequence[int]) -> str:
    return row[number].rjust(wide[number]) if number else row[number].ljust(wide[number])


def _sum(scores: Sequence[Score]) -> str:
    rounds, struck = (sum(getattr(s, name) for s in scores) for name in ("rounds", "struck"))
    lost = sum(len(score.found.lost) for score in scores)
    doubled = sum(len(score.found.doubled) for score in scores)
    again = sum(score.found.repeated for score in scores)
    return (
        f"{rounds} rounds, {struck} faults struck: {lost} losses, {doubled} doubles; {again} mails "
        "came twice under one Message-ID, where SMTP cannot know."
    )
