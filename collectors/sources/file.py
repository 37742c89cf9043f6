"""A table somebody exported: CSV, TSV, JSON Lines or XLSX, on this machine or on the web.

Columns are mapped by the configuration, or by well-known names; what is not mapped is kept as an
attribute, except columns that name people. Bad rows are set aside, good ones are stored.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from ...storage.vocabulary import Feedback, Kind, Outcome, Reply
from .. import webhooks
from ..batches import batches
from ..cells import DEFAULT_SCALE, parse_scale, parse_stars, parse_time
from ..collector import Answer, Ask, Page, Place, Trouble
from ..columns import PERSONAL, fold, well_known
from ..judge import clip
from ..rows import Row, Table, open_table
from ..table_file import RowIds, TableFile, TableSettings

_SHOWN = 20
"""Columns that a sentence names."""

Column = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _scale(value: str) -> str:
    low, high = parse_scale(value)
    return f"{low:g}-{high:g}"


class Columns(BaseModel):
    """Which column of the table holds what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Column | None = None
    text: Column | None = None
    title: Column | None = None
    stars: Column | None = None
    published_at: Column | None = None
    edited_at: Column | None = None
    author: Column | None = None
    url: Column | None = None
    language: Column | None = None
    category: Column | None = None
    reply: Column | None = None
    reply_at: Column | None = None

    @property
    def mapped(self) -> dict[str, str]:
        """Field → column, for those that are set."""
        return {name: column for name, column in self if column is not None}


class FileSettings(TableSettings):
    """One file. ``scale`` is that of the notes; ``identity`` names the fields that make an id.

    With ``format`` "trustpilot" it holds bodies of Trustpilot's webhooks, or is a folder of them.
    """

    columns: Columns | None = None
    format: Literal["table", "trustpilot"] = "table"
    feedback_kind: Kind = Kind.SURVEY
    scale: Annotated[str, AfterValidator(_scale)] = DEFAULT_SCALE
    date_order: Literal["dmy", "mdy"] = "dmy"
    date_format: str = ""
    identity: list[str] = Field(default=["published_at", "author", "title", "text", "stars"])

    @property
    def kind(self) -> Kind:
        """What sort of feedback it is: as configured, else as its format says."""
        told = "feedback_kind" in self.model_fields_set or self.format == "table"
        return self.feedback_kind if told else Kind.REVIEW


class File(TableFile[FileSettings]):
    """Any table, its columns mapped by the configuration or found by their names."""

    kind = "file"
    reads = ("path", "columns", "feedback_kind")
    Settings = FileSettings

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:  # noqa: ARG002 - the path says it all
        """Pages of some hundred rows each."""
        if answer.path is None:
            raise ValueError("a whole file comes as a path")
        with ExitStack() as resources:
            table = self._table(answer.path, resources)
            mapped, notes = self._mapped(table, answer.path)
            reader = _RowReader(self.settings, self.place, mapped, resources)
            notes = [*table.notes, *notes]
            for batch in batches(iter(table.rows), reader.read, answer.path):
                rows = {"rows": batch.rows}
                yield batch.page(checkpoint=rows, notes=notes, empty=not batch.rows)

    def _table(self, path: Path, resources: ExitStack) -> Table:
        if self.settings.format == "trustpilot":
            return webhooks.trustpilot(path)
        return open_table(path, self.settings.layout(), resources)

    def _mapped(self, table: Table, path: Path) -> tuple[dict[str, str], list[str]]:
        """Field → column, and what has to be said about it; raises Trouble."""
        named = self.settings.columns.mapped if self.settings.columns else {}
        free = [column for column in table.columns if column not in named.values()]
        found = {name: column for name, column in well_known(free).items() if name not in named}
        mapped = named | found
        said = ", ".join(f"{name}={column}" for name, column in found.items())
        named_so = found and self.settings.format == "table"
        notes = [f"columns found by their names: {said}"] if named_so else []
        for name, column in mapped.items():
            if column not in table.columns:
                raise Trouble(Outcome.MISCONFIGURED, self._missing(name, column, table, path))
        if not {"text", "stars"} & mapped.keys():
            raise Trouble(Outcome.MISCONFIGURED, self._missing("text", "", table, path))
        if "text" not in mapped:
            why = self._missing("text", "", table, path).removesuffix(".")
            notes.insert(0, f"only stars were read, because {why}")
        return mapped, notes

    def _missing(self, name: str, column: str, table: Table, path: Path) -> str:
        close = difflib.get_close_matches(column, table.columns, n=1)
        hint = f"; did you mean {close[0]!r}? It has" if close else "; it has"
        what = f"no column {column!r}" if column else "no column known to hold the text"
        more = f" and {len(table.columns) - _SHOWN} more" if len(table.columns) > _SHOWN else ""
        return (
            f"{path.name} has {what}{hint}: {', '.join(map(clip, table.columns[:_SHOWN]))}{more}. "
            f'Set `{name} = "…"` under [sources.{self.place.name}.columns], or import it with '
            f"`--map {name}=…`."
        )


class _RowReader:
    """Turns rows into Feedback, and remembers which ids it has given out."""

    def __init__(
        self, settings: FileSettings, place: Place, mapped: Mapping[str, str], resources: ExitStack
    ) -> None:
        self._settings = settings
        self._zone = place.zone
        self._mapped = mapped
        self._identity = [mapped.get(name, name) for name in settings.identity]
        self._ids = RowIds(resources)

    def read(self, row: Row) -> Feedback:
        """One row as Feedback; raises ValueError with the reason when it is none."""
        return self._feedback(row.cells)

    def _cell(self, cells: Mapping[str, str], name: str) -> str:
        return cells.get(self._mapped.get(name, ""), "").strip()

    def _feedback(self, cells: Mapping[str, str]) -> Feedback:
        note = parse_stars(self._cell(cells, "stars"), self._settings.scale)
        stars, rating, scale = note or (None, None, None)
        reply = self._cell(cells, "reply")
        url = self._cell(cells, "url")
        return Feedback(
            external_id=self._id(cells),
            kind=self._settings.kind,
            title=self._cell(cells, "title"),
            text=self._cell(cells, "text"),
            stars=stars,
            rating=rating,
            rating_scale=scale,
            language=language(self._cell(cells, "language")),
            category=self._cell(cells, "category") or None,
            published_at=self._time(cells, "published_at"),
            edited_at=self._time(cells, "edited_at"),
            author=self._cell(cells, "author") or None,
            url=url if url.startswith(("https://", "http://")) else None,
            reply=Reply(text=reply, at=self._time(cells, "reply_at")) if reply else None,
            attributes=self._attributes(cells),
            raw=self._raw(cells),
        )

    def _time(self, cells: Mapping[str, str], name: str) -> datetime | None:
        try:
            return parse_time(
                self._cell(cells, name),
                self._zone,
                order=self._settings.date_order,
                form=self._settings.date_format,
            )
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error

    def _id(self, cells: Mapping[str, str]) -> str:
        """The row's own id; without one, a digest, and a number for each further equal row."""
        if "id" in self._mapped:
            return self._ids.own(self._cell(cells, "id"), cells)
        return self._ids.of([cells.get(column, "").strip() for column in self._identity])

    def _kept(self, cells: Mapping[str, str]) -> dict[str, str]:
        """The row without the columns that name people."""
        author = self._mapped.get("author")
        mapped = set(self._mapped.values())
        return {
            name: value
            for name, value in cells.items()
            if value.strip() and name != author and (name in mapped or fold(name) not in PERSONAL)
        }

    def _attributes(self, cells: Mapping[str, str]) -> dict[str, str]:
        mapped = set(self._mapped.values())
        return {k: v.strip() for k, v in self._kept(cells).items() if k not in mapped}

    def _raw(self, cells: Mapping[str, str]) -> str:
        return json.dumps(self._kept(cells), ensure_ascii=False)


_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def language(cell: str) -> str | None:
    """A language tag, or None for what is none."""
    first, *rest = cell.replace("_", "-").split("-")
    tag = "-".join([first.lower(), *rest])
    return tag if _LANGUAGE.fullmatch(tag) else None
