"""What every kind that reads a table from a file shares: its options, its rows, their own ids."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from .batches import Repeated, Tally
from .collector import Ask, Collector, Options, Trait
from .rows import Layout


def check_encoding(value: str) -> str:
    """The encoding's own name; raises ValueError with the mend."""
    try:
        return codecs.lookup(value).name
    except LookupError as error:
        raise ValueError(f"{value!r} is no encoding; write one like 'utf-8' or 'cp1252'") from error


class TableSettings(Options):
    """One file: CSV, TSV, JSON Lines or XLSX, on this machine or below ``base_url``."""

    path: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    encoding: Annotated[str, AfterValidator(check_encoding)] | None = None
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = None
    sheet: str | None = None
    max_minutes: float = Field(default=24 * 60, gt=0, le=24 * 60)
    max_megabytes: float = Field(default=512, gt=0, le=2048)

    def layout(self, **more: Any) -> Layout:
        """How the file is to be read."""
        return Layout(encoding=self.encoding, delimiter=self.delimiter, sheet=self.sheet, **more)


S = TypeVar("S", bound=TableSettings)


class TableFile(Collector[S]):
    """Reads the file from its first row to its last, every time it has changed."""

    traits = frozenset({Trait.WHOLE_FILE, Trait.POLLED})

    def first(self, mark: Mapping[str, Any]) -> Ask:  # noqa: ARG002 - the file is read from its top
        """The file, unless it has not changed."""
        if self.settings.base_url is not None:
            url = f"{self.settings.base_url}/{self.settings.path.lstrip('/')}"
            return Ask(url=url, conditional=True)
        path = (self.place.folder / self.settings.path).expanduser()
        return Ask(path=path, conditional=True)


class RowIds:
    """The ids of a table's rows, and which of them were given out."""

    def __init__(self, resources: ExitStack) -> None:
        self._given, self._rows = Tally(resources), Tally(resources)

    def own(self, told: str, cells: Mapping[str, str]) -> str:
        """The row's own id.

        Raises Repeated where the very same row came before, and ValueError where there is no id
        or another row has it.
        """
        if not told:
            raise ValueError("it has no id")
        again = self._rows.count(_digest(sorted(cells.items()))) > 1
        if self._given.count(told) > 1:
            raise Repeated if again else ValueError("its id stands in an earlier row")
        return told

    def of(self, fields: list[str]) -> str:
        """A digest of what a row says, and a number for each further one that says the same."""
        digest = _digest(fields)
        again = self._given.count(digest)
        return digest if again == 1 else f"{digest}-{again}"


def _digest(fields: object) -> str:
    told = json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()
