"""Rows of a table: CSV, TSV, JSON Lines or XLSX, gzipped or not, in whatever encoding.

A file is read as a stream; nothing here holds more than a row and a sample.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import dropwhile
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import BadZipFile, ZipFile

from ..storage.vocabulary import Outcome
from .collector import Trouble

_SAMPLE = 262_144
_CHUNK = 1_048_576
_LONGEST_CELL = 1_048_576
_LOOK = 100
_DELIMITERS = ";,\t|"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MOST_UNPACKED = 4 * 1024**3
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_MANY = 0.05
"""The share of NUL bytes that only UTF-16 has, and of control characters that no text has."""
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number as a spreadsheet counts it, and its cells by column, or what is wrong."""

    number: int
    cells: Mapping[str, str]
    flaw: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How to read a file; None is found out.

    ``header`` tells whether a row is the one that names the columns, where titles stand above it.
    """

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    header: Callable[[Sequence[str]], bool] = any


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns and the rows under them; ``notes`` says what had to be guessed."""

    columns: Sequence[str]
    rows: Iterator[Row]
    notes: Sequence[str] = ()


def open_table(path: Path, layout: Layout, resources: ExitStack) -> Table:
    """The table in a file, closed with ``resources``; raises Trouble with one sentence."""
    if path.is_dir():
        raise _wrong(f"{path} is a folder; name one file in it")
    try:
        head = _head(path, resources)
        return _open(path, head, layout, resources)
    except PermissionError as error:
        raise _wrong(f"{path} may not be read by this user; change its rights") from error
    except FileNotFoundError as error:
        raise _wrong(f"{path} does not exist; mend `path`") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise broken_off(path) from error


def _wrong(sentence: str) -> Trouble:
    return Trouble(Outcome.MISCONFIGURED, f"{sentence}.")


def broken_off(path: Path) -> Trouble:
    """A file that ends too early."""
    return Trouble(
        Outcome.PARTIAL, f"{path.name} breaks off before its end; get a whole copy and run again."
    )


def _stream(path: Path, resources: ExitStack) -> BinaryIO:
    """The bytes of a file, unpacked."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        return cast("BinaryIO", resources.enter_context(gzip.open(path, "rb")))
    return resources.enter_context(path.open("rb"))


def _head(path: Path, resources: ExitStack) -> bytes:
    return _stream(path, resources).read(_SAMPLE)


def _open(path: Path, head: bytes, layout: Layout, resources: ExitStack) -> Table:
    if not head.strip():
        raise Trouble(
            Outcome.SUSPECT,
            f"{path.name} is empty; even an export of nothing has a header: export it again.",
        )
    if head.startswith(_OLD_EXCEL):
        raise _wrong(f"{path.name} is an Excel file of the old kind; save it as .xlsx or CSV")
    if head.startswith(b"PK"):
        return _workbook(path, layout, resources)
    if head.startswith(b"%PDF"):
        raise _wrong(f"{path.name} is a PDF; export it as CSV, XLSX or JSON Lines")
    encoding, notes = _encoding(path, head, layout.encoding, resources)
    text = io.TextIOWrapper(
        _stream(path, resources), encoding=encoding, errors="replace", newline=""
    )
    resources.enter_context(closing(text))
    start = head.decode(encoding, "replace").lstrip("\ufeff \t\r\n")[:1]
    if start == "[":
        raise _wrong(
            f"{path.name} is one JSON list; write one object per line (`jq -c '.[]'` does)"
        )
    if start == "{":
        return _json_lines(text, notes, path)
    return _delimited(text, head.decode(encoding, "replace"), layout, notes, path)


def _encoding(
    path: Path, head: bytes, wished: str | None, resources: ExitStack
) -> tuple[str, list[str]]:
    """The encoding of a file: as wished, by its mark, UTF-8 if all of it is, else a good guess."""
    if wished is not None:
        bad = first_bad(path, wished, resources)
        if bad is not None:
            raise _wrong(
                f"{path.name} is not in {wished} (byte {bad}); leave `encoding` out to have it "
                "found, or set it to 'cp1252'"
            )
        return wished, []
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, []
    if head.count(0) > _MANY * len(head):
        nulls = Counter(place % 2 for place, byte in enumerate(head) if not byte)
        return ("utf-16-le" if nulls[1] >= nulls[0] else "utf-16-be"), []
    if len(head) - len(head.translate(None, _CONTROL)) > _MANY * len(head):
        raise _wrong(f"{path.name} is no text; export it as CSV, XLSX or JSON Lines")
    bad = first_bad(path, "utf-8", resources)
    if bad is None:
        return "utf-8", []
    guess = _guess(path, bad, resources)
    return guess, [f"read as {guess} (set `encoding` if letters look wrong)"]


def first_bad(path: Path, encoding: str, resources: ExitStack) -> int | None:
    """About where a file stops being in an encoding, or None when all of it is."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    stream, done = _stream(path, resources), 0
    while chunk := stream.read(_CHUNK):
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return done + error.start
        done += len(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return done
    return None


def _guess(path: Path, bad: int, resources: ExitStack) -> str:
    """The likeliest of the encodings that spreadsheets in our languages write."""
    from charset_normalizer import from_bytes

    stream = _stream(path, resources)
    stream.seek(max(0, bad - _SAMPLE // 8))
    known = ["cp1252", "cp850", "mac_roman"]
    best = from_bytes(stream.read(_SAMPLE // 4), cp_isolation=known).best()
    return best.encoding if best is not None and best.encoding in known else "cp1252"


def _header(rows: Iterator[Sequence[Any]], layout: Layout) -> Sequence[Any]:
    """The row that names the columns; rows are taken up to it. Empty where there is none."""
    for _, row in zip(range(_LOOK), rows, strict=False):
        if layout.header(["" if cell is None else str(cell) for cell in row]):
            return row
    return ()


def _named(header: Sequence[object], path: Path) -> list[str]:
    """Column names; a blank one stays blank and is not read."""
    names = [str(name).strip() if name is not None else "" for name in header]
    if not any(names):
        raise _wrong(f"{path.name} has no header; its first row has to name the columns")
    double = sorted(name for name, count in Counter(names).items() if name and count > 1)
    if double:
        raise _wrong(
            f"{path.name} has two columns named {', '.join(map(repr, double))}; rename one of them"
        )
    return names


def _delimited(
    text: io.TextIOWrapper, sample: str, layout: Layout, notes: list[str], path: Path
) -> Table:
    delimiter = layout.delimiter or _delimiter(sample)
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(text, delimiter=delimiter)
    rows = enumerate(_split(reader), start=1)
    header = _header((cells for _, cells in rows if isinstance(cells, list)), layout)
    names = _named([cell.removeprefix("\ufeff") for cell in header], path)
    return Table([name for name in names if name], _csv_rows(rows, names), notes)


def _delimiter(sample: str) -> str:
    """The one that splits the first rows into most columns, the same number in each."""
    lines = sample.splitlines(keepends=True)
    lines = lines[: min(_LOOK, max(1, len(lines) - 1))]
    # A title above the table splits into nothing.
    lines = list(dropwhile(lambda line: not any(each in line for each in _DELIMITERS), lines))

    def score(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        width = widths[0] if widths else 1
        return (widths.count(width) / len(widths) if width > 1 else 0, width)

    return max(_DELIMITERS, key=score)


def _split(reader: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _csv_rows(
    rows: Iterator[tuple[int, list[str] | csv.Error]], names: Sequence[str]
) -> Iterator[Row]:
    for number, cells in rows:
        if isinstance(cells, csv.Error):
            yield Row(number, {}, f"it cannot be split into cells ({cells})")
        elif len(cells) != len(names) and any(cell.strip() for cell in cells):
            yield Row(number, _under(names, cells), "it has not as many cells as the header")
        elif any(cell.strip() for cell in cells):
            yield Row(number, _under(names, cells))


def _under(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    return {name: cell for name, cell in zip(names, cells, strict=False) if name}


def _json_lines(text: io.TextIOWrapper, notes: list[str], path: Path) -> Table:
    """Objects, one a line; the columns are those of the first lines."""
    rows = _json_rows(text)
    first = [row for _, row in zip(range(_LOOK), rows, strict=False)]
    names = list(dict.fromkeys(name for row in first for name in row.cells))
    if not names:
        raise _wrong(f"{path.name} has no JSON object in its first lines; write one per line")

    def all_rows() -> Iterator[Row]:
        yield from first
        yield from rows

    return Table(names, all_rows(), notes)


def _json_rows(text: io.TextIOWrapper) -> Iterator[Row]:
    for number, line in enumerate(text, start=1):
        if not line.strip("\ufeff \t\r\n"):
            continue
        try:
            value = json.loads(line.lstrip("\ufeff"))
            cells = dict(_flat(value)) if isinstance(value, dict) else None
        except (ValueError, RecursionError):
            yield Row(number, {}, "it is no valid JSON")
            continue
        if cells is None:
            yield Row(number, {}, "it is no JSON object")
        else:
            yield Row(number, cells)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(inner)


def _plain(value: object) -> str:
    """A value as the cell of a table."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime() | date():
            return value.isoformat()
        case float() if value.is_integer():
            return str(int(value))
        case list() | tuple():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def _workbook(path: Path, layout: Layout, resources: ExitStack) -> Table:
    import openpyxl  # type: ignore[import-untyped]  # has no types

    stream = _stream(path, resources)
    _not_a_bomb(stream, path)
    # AttributeError: openpyxl 3.1 stumbles over sheets that are charts when it only reads.
    harms = (BadZipFile, KeyError, ValueError, OSError, AttributeError)
    with _unharmed(path, *harms), warnings.catch_warnings():
        # What openpyxl leaves out (styles, drop-downs) is nothing that is read here.
        warnings.simplefilter("ignore")
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
    resources.enter_context(closing(book))
    sheets = {each.title: each for each in book.worksheets}
    if not sheets:
        raise _wrong(f"{path.name} has no sheet with rows in it; save it again")
    if layout.sheet is not None and layout.sheet not in sheets:
        raise _wrong(f"{path.name} has no sheet {layout.sheet!r}; it has {', '.join(sheets)}")
    sheet = sheets[layout.sheet] if layout.sheet else book.worksheets[0]
    sheet.reset_dimensions()  # some exporters write a wrong size, and rows would be cut
    notes = [] if len(book.worksheets) == 1 else [f"read the sheet {sheet.title!r}"]
    rows = enumerate(sheet.iter_rows(values_only=True), start=1)
    with _unharmed(path):
        header = _header((cells for _, cells in rows), layout)
    names = _named(header, path)
    return Table([name for name in names if name], _sheet_rows(rows, names), notes)


@contextmanager
def _unharmed(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """RuntimeError is how `zipfile` says that a part has a password or a strange compression."""
    harms: tuple[type[Exception], ...] = (RuntimeError, *errors)
    try:
        yield
    except harms as error:
        raise _wrong(
            f"{path.name} is a ZIP archive, or a workbook that is damaged or has a password; "
            "unpack it, or save it as .xlsx again without charts, or as CSV"
        ) from error


def _not_a_bomb(stream: BinaryIO, path: Path) -> None:
    with suppress(BadZipFile), ZipFile(stream) as archive:
        if sum(part.file_size for part in archive.infolist()) > _MOST_UNPACKED:
            raise _wrong(f"{path.name} unpacks to more than 4 GB; export it as CSV")
    stream.seek(0)


def _sheet_rows(
    rows: Iterator[tuple[int, tuple[object, ...]]], names: Sequence[str]
) -> Iterator[Row]:
    for number, values in rows:
        cells = [_plain(value) for value in values]
        if any(cell.strip() for cell in cells):
            cells += [""] * (len(names) - len(cells))
            yield Row(number, _under(names, cells))
