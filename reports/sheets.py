"""Feedback as files that people and programs open: CSV, Excel, JSON Lines is the command line's.

Rows are written as they come, so that memory does not grow with them. What a customer wrote stays
text: no spreadsheet takes it for a formula.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from ..storage.search import Found

COLUMNS = tuple(each.name for each in fields(Found) if each.name != "attributes")

_FORMULA = re.compile(r"^[\s\ufeff\u200b]*[=+\-@＝＋－＠|%]|^[\t\r\n]")
_MOST_ROWS, _LONGEST = 1_048_576, 32_767
"""What a sheet and a cell of Excel hold."""
_AT_ONCE = 5_000


class SheetError(Exception):
    """The file cannot be written; the text says why and what to do."""


def cell(value: Any) -> str:
    """A cell of a CSV that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return f"'{text}" if _FORMULA.search(text) else text


def write_csv(found: Iterable[Found], file: TextIO) -> int:
    """Comma-separated, quoted as RFC 4180 has it; how many rows."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    count = 0
    for each in found:
        writer.writerow([cell(getattr(each, name)) for name in COLUMNS])
        count += 1
    return count


def write_xlsx(found: Iterable[Found], path: Path) -> int:
    """A workbook of one sheet, times in UTC; how many rows. Raises SheetError past its limits."""
    from openpyxl import Workbook  # type: ignore[import-untyped]  # ships no types

    book = Workbook(write_only=True)
    sheet = book.create_sheet("feedback")
    sheet.freeze_panes = "A2"
    sheet.append(list(COLUMNS))
    count = 0
    for each in found:
        if count + 2 > _MOST_ROWS:
            raise SheetError(
                f"An Excel sheet holds {_MOST_ROWS - 1:,} rows and there are more; narrow the "
                "choice with --since or --source, or export CSV."
            )
        sheet.append([_excel(sheet, getattr(each, name)) for name in COLUMNS])
        count += 1
    book.save(path)
    return count


def _excel(sheet: Any, value: Any) -> Any:
    from openpyxl.cell import WriteOnlyCell  # type: ignore[import-untyped]  # same
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # type: ignore[import-untyped]  # same

    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)  # Excel knows no time zones
    if value is None or isinstance(value, bool | int | float | date):
        return value
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    text = ILLEGAL_CHARACTERS_RE.sub("", text)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 1]}…"
    shown = WriteOnlyCell(sheet, text)
    shown.data_type = "s"  # whatever it begins with
    return shown


def write_parquet(found: Iterable[Found], path: Path) -> int:
    """Columns for programs, `attributes` as a map; how many rows. Raises SheetError."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # ships no types
        from pyarrow import parquet
    except ImportError as error:
        raise SheetError(
            "Parquet needs pyarrow, which is not installed; run: pip install 'ouvidor[parquet]'"
        ) from error

    schema = _schema(pa)
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in _groups(found):
            count += len(rows)
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return count


def _groups(found: Iterable[Found]) -> Iterator[list[dict[str, Any]]]:
    left = iter(found)
    while part := list(islice(left, _AT_ONCE)):
        yield [_plain(each) for each in part]


def _plain(each: Found) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(each, name) for name in COLUMNS}
    row["sentiment"] = None if each.sentiment is None else each.sentiment.value
    row["touchpoints"] = list(each.touchpoints)
    row["attributes"] = sorted(each.attributes.items())
    return row


def _schema(arrow: Any) -> Any:
    """The types of the columns, the same in every file."""
    text, moment, number = arrow.string(), arrow.timestamp("us", tz="UTC"), arrow.float64()
    special: Mapping[str, Any] = {
        "id": arrow.int64(),
        "day": arrow.date32(),
        "stars": arrow.int8(),
        "uncertain": arrow.bool_(),
        "touchpoints": arrow.list_(text),
        **dict.fromkeys(("published_at", "edited_at", "first_seen_at", "reply_at"), moment),
        **dict.fromkeys(("p_negative", "p_neutral", "p_positive", "expected_stars"), number),
    }
    columns = [(name, special.get(name, text)) for name in COLUMNS]
    return arrow.schema([*columns, ("attributes", arrow.map_(text, text))])
