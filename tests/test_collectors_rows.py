"""Tables in every shape a spreadsheet leaves them in."""

from __future__ import annotations

import gzip
import io
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from ouvidor.collectors.collector import Trouble
from ouvidor.collectors.rows import Layout, Row, open_table
from ouvidor.storage.vocabulary import Outcome

TEXT = "nota;comentario\r\n5;Ótimo, não atrasou\r\n1;Péssimo – ção\r\n"
ROWS = [
    {"nota": "5", "comentario": "Ótimo, não atrasou"},
    {"nota": "1", "comentario": "Péssimo – ção"},
]


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def table(path: Path, body: bytes, resources: ExitStack, **layout: str) -> list[Row]:
    path.write_bytes(body)
    return list(open_table(path, Layout(**layout), resources).rows)


def cells(rows: list[Row]) -> list[dict[str, str]]:
    return [dict(row.cells) for row in rows]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_the_encoding_is_found(encoding: str, tmp_path: Path, resources: ExitStack) -> None:
    assert cells(table(tmp_path / "a.csv", TEXT.encode(encoding), resources)) == ROWS


@pytest.mark.slow
def test_one_old_letter_at_the_end_of_a_long_file(tmp_path: Path, resources: ExitStack) -> None:
    body = b"texto\n" + b"plain words only\n" * 100_000 + "ação\n".encode("cp1252")
    assert table(tmp_path / "a.csv", body, resources)[-1].cells == {"texto": "ação"}


def test_a_wrong_encoding_is_said(tmp_path: Path, resources: ExitStack) -> None:
    with pytest.raises(Trouble, match=r"a\.csv is not in utf-8 .*'cp1252'") as trouble:
        table(tmp_path / "a.csv", TEXT.encode("cp1252"), resources, encoding="utf-8")
    assert trouble.value.outcome is Outcome.MISCONFIGURED


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str, tmp_path: Path, resources: ExitStack) -> None:
    body = f'nota{delimiter}texto\n5{delimiter}"a, b; c | d\te"\n4{delimiter}sim\n'
    assert cells(table(tmp_path / "a.csv", body.encode(), resources)) == [
        {"nota": "5", "texto": "a, b; c | d\te"},
        {"nota": "4", "texto": "sim"},
    ]


def test_one_column_needs_none(tmp_path: Path, resources: ExitStack) -> None:
    assert cells(table(tmp_path / "a.csv", b"texto\nbom dia\nruim\n", resources)) == [
        {"texto": "bom dia"},
        {"texto": "ruim"},
    ]


def test_line_breaks_and_quotes_in_a_cell(tmp_path: Path, resources: ExitStack) -> None:
    body = b'texto;nota\n"linha um\nlinha ""dois""";5\n\n;\nfim;1\n'
    rows = table(tmp_path / "a.csv", body, resources)
    assert [(row.number, row.cells["texto"]) for row in rows] == [
        (2, 'linha um\nlinha "dois"'),
        (5, "fim"),
    ]


def test_a_row_with_too_many_or_too_few_cells_is_flawed(
    tmp_path: Path, resources: ExitStack
) -> None:
    rows = table(tmp_path / "a.csv", b"a;b\n1;2\n1;2;3\n1\n", resources)
    assert [bool(row.flaw) for row in rows] == [False, True, True]


def test_a_monstrous_cell_costs_its_row_only(tmp_path: Path, resources: ExitStack) -> None:
    body = b"a;b\n1;" + b"x" * 2_000_000 + b"\n3;4\n"
    rows = table(tmp_path / "a.csv", body, resources)
    assert [bool(row.flaw) for row in rows] == [True, False]
    assert rows[-1].cells == {"a": "3", "b": "4"}


@pytest.mark.parametrize("opened", [gzip.compress, bytes])
def test_json_lines(opened: object, tmp_path: Path, resources: ExitStack) -> None:
    lines = rb"""{"id": 7, "n": {"nota": 4.0, "ok": true}, "t": "a\u2028b", "l": [1]}

{"id": null}
[1]
{"id": """
    assert callable(opened)
    rows = table(tmp_path / "a.jsonl", opened(lines), resources)
    assert [row.cells for row in rows] == [
        {"id": "7", "n.nota": "4", "n.ok": "true", "t": "a\u2028b", "l": "[1]"},
        {"id": ""},
        {},
        {},
    ]
    assert [(row.number, bool(row.flaw)) for row in rows] == [
        (1, False),
        (3, False),
        (4, True),
        (5, True),
    ]


def workbook(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    del book["Sheet"]
    body = io.BytesIO()
    book.save(body)
    book.close()
    return body.getvalue()


def test_a_workbook_of_charts_alone(tmp_path: Path, resources: ExitStack) -> None:
    book = openpyxl.Workbook()
    book.create_chartsheet("Chart")
    del book["Sheet"]
    body = io.BytesIO()
    book.save(body)
    with pytest.raises(Trouble, match="without charts, or as CSV"):
        table(tmp_path / "a.xlsx", body.getvalue(), resources)


def test_a_workbook_without_a_sheet(tmp_path: Path, resources: ExitStack) -> None:
    """As a damaged list of sheets leaves it."""
    whole, body = zipfile.ZipFile(io.BytesIO(workbook(Um=[["x"]]))), io.BytesIO()
    with zipfile.ZipFile(body, "w") as part:
        for name in whole.namelist():
            part.writestr(name, re.sub(rb"<sheet [^>]*/>", b"", whole.read(name)))
    with pytest.raises(Trouble, match=r"a\.xlsx has no sheet with rows"):
        table(tmp_path / "a.xlsx", body.getvalue(), resources)


def test_a_workbook(tmp_path: Path, resources: ExitStack) -> None:
    body = workbook(
        Respostas=[
            [],
            ["Data", "Nota", "Texto", None],
            [datetime(2026, 10, 11, 12), 4.0, "bom"],  # noqa: DTZ001 - a workbook has no zones
            [None, None, None],
            [None, 10, "=1+1"],
        ],
        Outra=[["x"], ["y"]],
    )
    rows = table(tmp_path / "a.xlsx", body, resources)
    assert [(row.number, row.cells) for row in rows] == [
        (3, {"Data": "2026-10-11T12:00:00", "Nota": "4", "Texto": "bom"}),
        (5, {"Data": "", "Nota": "10", "Texto": ""}),
    ]


def test_a_sheet_by_name(tmp_path: Path, resources: ExitStack) -> None:
    body = workbook(Um=[["a"], ["1"]], Dois=[["b"], ["2"]])
    assert cells(table(tmp_path / "a.xlsx", body, resources, sheet="Dois")) == [{"b": "2"}]
    with pytest.raises(Trouble, match="no sheet 'Três'; it has Um, Dois"):
        table(tmp_path / "a.xlsx", body, resources, sheet="Três")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", r"a\.csv is empty"),
        (b" \n\n", r"a\.csv is empty"),
        (b"a;a;b\n1;2;3\n", "two columns named 'a'"),
        (b";;\n;;\n", "no header"),
        (b"[{}]", "one object per line"),
        (b"{}\n", "no JSON object"),
        (b"PK\x03\x04 no workbook", "ZIP archive"),
        (b"\xd0\xcf\x11\xe0old", "old kind"),
        (b"%PDF-1.7", "PDF"),
        (gzip.compress(TEXT.encode() * 500, mtime=0)[:60], "breaks off"),
    ],
)
def test_each_bad_file_has_its_sentence(
    body: bytes, sentence: str, tmp_path: Path, resources: ExitStack
) -> None:
    with pytest.raises(Trouble, match=sentence) as trouble:
        table(tmp_path / "a.csv", body, resources)
    assert trouble.value.sentence.endswith(".")


def test_a_folder_and_a_missing_file(tmp_path: Path, resources: ExitStack) -> None:
    with pytest.raises(Trouble, match="is a folder"):
        open_table(tmp_path, Layout(), resources)
    with pytest.raises(Trouble, match="does not exist"):
        open_table(tmp_path / "none.csv", Layout(), resources)


@pytest.mark.slow
def test_a_long_file_is_not_held_in_memory(tmp_path: Path, resources: ExitStack) -> None:
    path = tmp_path / "long.csv"
    with path.open("wb") as file:
        file.write(b"nota;texto\n")
        for _ in range(8):
            file.write(b"5;uma frase de tamanho comum sobre a entrega\n" * 5_000)
    tracemalloc.start()
    rows = sum(1 for _ in open_table(path, Layout(), resources).rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 40_000
    assert peak < 8_000_000  # the rows alone would take twice that
