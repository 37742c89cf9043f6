"""Set aside: bad rows in a file beside, with their place and the reason."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from .collector import Rejected

_FORMULA = re.compile(r"^[\s\0\ufeff\u200b]*[=+\-@＝＋－＠|%]|^[\t\r\n]")


def safe(cell: str) -> str:
    """A cell that a spreadsheet shows and does not run."""
    return f"'{cell}" if _FORMULA.search(cell) else cell


class Aside:
    """Writes ``NAME.rejected.csv`` once there is something to write; replaced as a whole."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._file: Any = None
        self._columns: list[str] = []
        self._failed = ""

    def write(self, rejected: Sequence[Rejected]) -> None:
        """Add rows; a folder that may not be written costs the file, not the run."""
        if not rejected or self._failed:
            return
        try:
            self._write(rejected)
        except OSError as error:
            self._failed = f"{self.target.name} could not be written ({error.strerror})"

    def _write(self, rejected: Sequence[Rejected]) -> None:
        if self._file is None:
            self._open(rejected[0])
        for each in rejected:
            cells = [safe(each.cells.get(name, "")) for name in self._columns]
            csv.writer(self._file).writerow([each.where, each.reason, *cells])

    def _open(self, first: Rejected) -> None:
        self._file = NamedTemporaryFile(  # noqa: SIM115 - it lives as long as the run
            "w",
            encoding="utf-8-sig",  # with a mark, so that spreadsheets read the accents
            errors="backslashreplace",  # JSON can hold half a character
            newline="",
            dir=self.target.parent,
            prefix=f".{self.target.stem}",
            delete=False,
        )
        self._columns = list(first.cells)
        csv.writer(self._file).writerow(["row", "reason", *map(safe, self._columns)])

    def close(self, *, whole: bool) -> list[str]:
        """Put the file in its place; what there is to say about it.

        A file of an earlier run goes when a ``whole`` reading set nothing aside.
        """
        if self._file is not None:
            self._file.close()
            Path(self._file.name).replace(self.target)
        elif whole:
            self.target.unlink(missing_ok=True)
        if self._failed:
            return [self._failed]
        return [f"what was set aside stands in {self.target.name}"] if self._file else []
