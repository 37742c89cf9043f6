"""The export of HugMe: columns by their names, titles above them, every form of a date."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl  # type: ignore[import-untyped]  # has no types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ouvidor.collectors.collector import Answer, Ask, Page, Place, Trouble, settings_for
from ouvidor.collectors.intake import flaw
from ouvidor.collectors.sources.reclame_aqui_export import ReclameAquiExport
from ouvidor.config import ConfigError, Source

NOW = datetime(2026, 10, 26, 12, tzinfo=UTC)
PLAIN: Mapping[str, Any] = {
    "Id HugMe": "48100001",
    "Id Origem": "170000001",
    "Data Reclamação": "14/09/2026 09:18",
    "Status RA": "Não respondido",
    "Nome": "Zuleide Tatu",
    "CPF/CNPJ": "529.982.247-25",
    "Email": "z@example.org",
    "Título": "Não chegou",
    "Texto da Reclamação": "Comprei e não chegou.",
    "Resposta da empresa": "",
    "Data de Resposta": "",
    "Seu problema foi resolvido?": "",
    "Voltaria a fazer negócio?": "",
    "Nota": "",
}
TITLES = [[" "], ["Dados do Reclame Aqui"], []]


def grid(*rows: Mapping[str, Any]) -> list[list[Any]]:
    merged = [{**PLAIN, **row} for row in rows]
    columns = list(dict.fromkeys(name for row in merged for name in row))
    return [columns, *([row.get(name, "") for name in columns] for row in merged)]


def written(rows: Sequence[Sequence[Any]], delimiter: str = ";") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode("utf-8-sig")


def workbook(rows: Sequence[Sequence[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def collector(**options: object) -> ReclameAquiExport:
    source = Source(kind="reclame_aqui_export", options={"path": "hugme.csv"} | options)
    place = Place(name="rx", zone=ZoneInfo("America/Manaus"), folder=Path())
    return ReclameAquiExport(settings_for("rx", source), place)  # type: ignore[arg-type]


def read(folder: Path, data: bytes, name: str = "hugme.csv") -> list[Page]:
    path = folder / name
    path.write_bytes(data)
    return list(collector().parse(Ask(path=path), Answer(path=path), {}))


def one(folder: Path, **row: Any) -> Any:
    cells = {name.replace("_", " "): value for name, value in row.items()}
    (page,) = read(folder, written(grid(cells)))
    assert page.rejected == []
    (item,) = page.items
    assert flaw(item, NOW) is None
    return item


def test_a_complaint_as_it_is(tmp_path: Path) -> None:
    item = one(tmp_path)
    assert (item.external_id, item.title) == ("48100001", "Não chegou")
    # Reclame Aqui's own zone, whatever the brand's.
    assert item.published_at == datetime(2026, 9, 14, 12, 18, tzinfo=UTC)
    assert item.edited_at is None
    assert item.attributes == {
        "status": "not_answered",
        "answered": "false",
        "evaluated": "false",
        "complaint_id": "170000001",
    }
    for secret in ("Zuleide", "529", "example"):
        assert secret not in item.raw


def test_the_whole_life(tmp_path: Path) -> None:
    item = one(
        tmp_path,
        **{
            "Status RA": "Avaliado Não Resolvido",
            "Resposta da empresa": "Olá, Zuleide!<br/>Sai amanhã.",
            "Data de Resposta": "2026-09-15 10:00:30",
            "Data Avaliacao": "25/09/2026 07:00",
            "Seu problema foi resolvido?": "Não",
            "Voltaria a fazer negócio?": "Não",
            "Nota": "0",
            "Consideração Consumidor": "Nunca saiu.",
            "Réplicas na reclamação RA": "2",
            "Congelado?": "Não",
            "Data de Desativação RA": "26/09/2026",
            "Moderação status": "Aceita",
        },
    )
    assert (item.rating, item.rating_scale, item.stars) == ("0", "0-10", None)
    assert item.reply.text == "Olá, [name]!\nSai amanhã."
    assert item.reply.at == datetime(2026, 9, 15, 13, 0, 30, tzinfo=UTC)
    assert item.edited_at == datetime(2026, 9, 26, 3, tzinfo=UTC)
    assert item.attributes == {
        "status": "not_resolved",
        "answered": "true",
        "answered_at": "2026-09-15T13:00:30+00:00",
        "evaluated": "true",
        "evaluated_at": "2026-09-25T10:00:00+00:00",
        "resolved": "false",
        "would_return": "false",
        "score": "0",
        "final_comment": "Nunca saiu.",
        "deactivated": "true",
        "moderation": "accepted",
        "consumer_replies": "2",
        "complaint_id": "170000001",
    }


@pytest.mark.parametrize(
    "cell",
    [
        "14/09/2026 09:18",
        "14/09/2026 09:18:00",
        "2026-09-14 09:18",
        "2026-09-14T12:18:00Z",
        "46279.3875",
    ],
)
def test_every_form_of_a_date(tmp_path: Path, cell: str) -> None:
    item = one(tmp_path, **{"Data Reclamação": cell})
    assert item.published_at == datetime(2026, 9, 14, 12, 18, tzinfo=UTC)


@pytest.mark.parametrize("titles", [[], TITLES, [["Base Completa"]], [["Origem"]]])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_titles_may_stand_above_the_columns(
    tmp_path: Path, titles: list[list[str]], delimiter: str
) -> None:
    (page,) = read(tmp_path, written([*titles, *grid({})], delimiter))
    assert [item.external_id for item in page.items] == ["48100001"]


@pytest.mark.parametrize("titles", [[], TITLES])
def test_a_workbook_says_the_same(tmp_path: Path, titles: list[list[str]]) -> None:
    row = {"Data Reclamação": datetime(2026, 9, 14, 9, 18), "Id HugMe": 48100001, "Nota": 8}  # noqa: DTZ001 - a spreadsheet's
    (page,) = read(tmp_path, workbook([*titles, *grid(row)]), "hugme.xlsx")
    (item,) = page.items
    assert (item.external_id, item.rating) == ("48100001", "8")
    assert item.published_at == datetime(2026, 9, 14, 12, 18, tzinfo=UTC)


def test_without_hugmes_id_the_sites_own_or_what_nobody_changes(tmp_path: Path) -> None:
    names = grid({})[0]
    rows = [
        [cell for name, cell in zip(names, row, strict=True) if name != "Id HugMe"]
        for row in grid({})
    ]
    (page,) = read(tmp_path, written(rows))
    assert [item.external_id for item in page.items] == ["170000001"]
    bare = [row[1:] for row in rows]
    edited = [bare[0], [*bare[1][:1], "Respondido", *bare[1][2:]]]
    ids = {read(tmp_path, written(each))[0].items[0].external_id for each in (bare, edited)}
    assert len(ids) == 1
    (page,) = read(tmp_path, written([*bare, bare[1]]))
    assert len({item.external_id for item in page.items}) == 2


def test_what_nobody_knows_is_counted(tmp_path: Path) -> None:
    (page,) = read(tmp_path, written(grid({"Status RA": "Em mediação", "Novo": "1"})))
    unknown = {"CPF/CNPJ": 1, "Email": 1, "Novo": 1, "status Em mediação": 1}
    assert page.unknown == unknown
    assert page.items[0].attributes["status"] == "em_mediacao"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"Id HugMe": "2", "Data Reclamação": "31/02/2026"},
            "published_at: '31/02/2026' is no date",
        ),
        ({"Nota": "11"}, "none from 0 to 10"),
        ({"Id HugMe": ""}, "no id"),
        ({"Nota": "9"}, "stands in an earlier row"),
    ],
)
def test_a_bad_row_is_set_aside(tmp_path: Path, row: dict[str, str], reason: str) -> None:
    (page,) = read(tmp_path, written([*TITLES, *grid({}, row)]))
    assert len(page.items) == 1
    assert page.rejected[0].where == "row 6"
    assert reason in page.rejected[0].reason


def test_a_row_that_stands_there_twice_is_counted_and_not_set_aside(tmp_path: Path) -> None:
    (page,) = read(tmp_path, written([*TITLES, *grid({}, {}, {})]))
    assert (len(page.items), page.rejected, page.repeated) == (1, [], 2)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([["Nome", "Total"], ["Ana", "1"]], "no header"),
        ([["Nome", "Nota", "Título"], ["Ana", "1", "x"]], "no column 'Data Reclamação'"),
        ([["Nome", "Nota", "Data"], ["Ana", "1", "x"]], "no column 'Texto da Reclamação'"),
    ],
)
def test_what_is_no_export_is_said(tmp_path: Path, rows: list[list[str]], sentence: str) -> None:
    with pytest.raises(Trouble, match=sentence):
        read(tmp_path, written(rows))


def test_each_wrong_option_has_its_sentence() -> None:
    with pytest.raises(ConfigError, match="'utf-88' is no encoding"):
        collector(encoding="utf-88")
    with pytest.raises(ConfigError, match=r"sources\.rx\.path"):
        collector(path=" ")


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def survives(folder: Path, data: bytes) -> None:
    with suppress(Trouble):
        for page in read(folder, data):
            assert all(item.external_id for item in page.items)


@FUZZ
@given(data=st.binary(max_size=300))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    survives(tmp_path, data)


@FUZZ
@given(place=st.integers(0, 10_000), piece=st.binary(max_size=6), book=st.booleans())
def test_any_mutation_of_a_good_file(
    tmp_path: Path, place: int, piece: bytes, book: object
) -> None:
    rows = [*TITLES, *grid({"Nota": "8"})]
    data = workbook(rows) if book else written(rows)
    place %= len(data)
    survives(tmp_path, data[:place] + piece + data[place + len(piece) :])


@FUZZ
@given(cells=st.dictionaries(st.sampled_from(sorted(PLAIN)), st.text(max_size=12), max_size=4))
def test_any_cells(tmp_path: Path, cells: dict[str, str]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";").writerows(grid(cells))
    survives(tmp_path, out.getvalue().encode("utf-8", "replace"))


def test_a_megabyte_is_fast(tmp_path: Path) -> None:
    text = "Olá &amp; <br/>" * 40
    data = written(grid(*[{"Id HugMe": str(n), "Texto da Reclamação": text} for n in range(2000)]))
    assert len(data) > 1_000_000
    began = time.process_time()
    assert sum(len(page.items) for page in read(tmp_path, data)) == 2000
    assert time.process_time() - began < 5
