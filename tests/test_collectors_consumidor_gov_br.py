"""consumidor.gov.br: files of every layout, folders, archives, the list, and its stand-in."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from stored import stored_in

from ouvidor.collectors.collector import Answer, Page, Place, Trouble, settings_for
from ouvidor.collectors.intake import flaw
from ouvidor.collectors.run import RunReport, prove, run_source
from ouvidor.collectors.sources.consumidor_gov_br import ConsumidorGovBr, publication
from ouvidor.config import ConfigError, Source
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Feedback, Outcome

ZONE = ZoneInfo("America/Sao_Paulo")
END = datetime(2026, 10, 26, 12, tzinfo=UTC)
BRAND = "Loja Jatobá"
PLAIN = {
    "Região": "SE",
    "UF": "RJ",
    "Cidade": "São Gonçalo",
    "Sexo": "F",
    "Faixa Etária": "entre 31 a 40 anos",
    "Data Finalização": "2026-08-21",
    "Tempo Resposta": "3",
    "Nome Fantasia": BRAND,
    "Área": "Demais Produtos ",
    "Assunto": "Móveis, colchões; estofados",
    "Grupo Problema": "Entrega do Produto",
    "Problema": "Não entrega / demora na entrega",
    "Como Comprou Contratou": "Internet",
    "Procurou Empresa": "S",
    "Respondida": "S",
    "Situação": "Finalizada avaliada",
    "Avaliação Reclamação": "Resolvida",
    "Nota do Consumidor": "5",
}


def table(*rows: Mapping[str, str], without: str = "") -> str:
    merged = [PLAIN | row for row in rows]
    columns = [name for row in merged for name in row if name != without]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(dict.fromkeys(columns)), delimiter=";", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(merged)
    return out.getvalue()


def collector(folder: Path, **options: object) -> ConsumidorGovBr:
    source = Source(kind="consumidor_gov_br", options={"company": BRAND, "path": "."} | options)
    place = Place(name="cg", zone=ZONE, folder=folder)
    return ConsumidorGovBr(settings_for("cg", source), place)  # type: ignore[arg-type]


def walk(folder: Path, mark: Mapping[str, Any] | None = None, **options: object) -> list[Page]:
    reader, pages = collector(folder, **options), []
    ask = reader.first(mark or {})
    while ask is not None:
        pages += reader.parse(ask, Answer(path=ask.path), mark or {})
        ask = pages[-1].next  # type: ignore[assignment]
    return pages


def items(pages: list[Page]) -> list[Feedback]:
    return [item for page in pages for item in page.items]


def read(folder: Path, data: bytes, name: str = "basecompleta2026-08.csv") -> list[Page]:
    (folder / name).write_bytes(data)
    return walk(folder)


def test_a_row_as_it_is(tmp_path: Path) -> None:
    row = {"Data Abertura": "01/08/2026", "Data Resposta": "04/08/2026"}
    (item,) = items(read(tmp_path, table(row).encode("utf-8-sig")))
    assert flaw(item, END) is None
    assert (item.kind.value, item.title, item.text) == ("complaint", "", "")
    assert (item.stars, item.rating, item.rating_scale) == (5, "5", "1-5")
    assert item.published_at == datetime(2026, 8, 1, 3, tzinfo=UTC)
    assert item.category == "Entrega do Produto"
    told = item.attributes
    assert told["area"] == "Demais Produtos"
    assert (told["answered"], told["resolved"], told["evaluated"]) == ("true", "true", "true")
    assert (told["finished_on"], told["publication"]) == ("2026-08-21", "2026-08")
    assert told["subject"] == "Móveis, colchões; estofados"


@pytest.mark.parametrize(
    ("verdict", "situation", "note", "told"),
    [
        ("Não Avaliada", "Finalizada não avaliada", "", ("not_evaluated", "false", None, None)),
        (
            "Não Avaliada",
            "Finalizada não avaliada",
            "Não avaliada",
            ("not_evaluated", "false", None, None),
        ),
        ("Resolvida", "Finalizada avaliada", "1", ("resolved", "true", "true", 1)),
        ("Não Resolvida", "Finalizada avaliada", "3", ("not_resolved", "true", "false", 3)),
        ("", "Cancelada", "", ("cancelled", "false", None, None)),
        ("", "Encerrada", "", ("closed", "false", None, None)),
    ],
)
def test_verdicts(
    tmp_path: Path, verdict: str, situation: str, note: str, told: tuple[object, ...]
) -> None:
    row = {
        "Avaliação Reclamação": verdict,
        "Situação": situation,
        "Nota do Consumidor": note,
        "Respondida": "N",
    }
    (item,) = items(read(tmp_path, table(row).encode()))
    found = item.attributes
    assert (found["status"], found["evaluated"], found.get("resolved"), item.stars) == told
    assert found["answered"] == "false"
    assert flaw(item, END) is None  # the category alone is worth keeping


def test_what_nobody_knows_is_counted(tmp_path: Path) -> None:
    row = {"Situação": "Suspensa", "Avaliação Reclamação": "Talvez", "Nova": "1"}
    (page,) = read(tmp_path, table(row).encode())
    assert page.unknown == {"Nova": 1, "Situação Suspensa": 1, "Avaliação Talvez": 1}


@pytest.mark.parametrize(
    "data",
    [
        table({}).encode("latin-1"),
        table({}).encode("cp1252"),
        table({}).encode("utf-8-sig"),
        table({}).encode(),
        table({}).encode("utf-16"),
        table({}).encode().decode("latin-1").encode(),
        table({}).replace(";", "\t").replace("colchões\t", "colchões;").encode(),
        table({"Nome Fantasia": " loja  JATOBÁ "}).encode(),
        table({"Data Finalização": "21/08/2026"}).encode(),
        table({"Cidade": "S?o Gon?alo"}).encode(),
        table({"Segmento de Mercado": "Varejo", "Gestor": "Procon"}).encode(),
        ("Reclamações finalizadas\r\n\r\n" + table({})).encode(),
    ],
)
def test_every_way_of_writing_a_month_is_one_complaint(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "other").mkdir()
    (known,) = items(read(tmp_path / "other", table({}).encode()))
    (item,) = items(read(tmp_path, data, "finalizadas_2026-08.csv"))
    assert item.external_id == known.external_id
    assert item.category == known.category
    assert (item.stars, item.published_at) == (known.stars, known.published_at)


def test_a_name_whose_letters_were_lost_is_ours_and_a_longer_one_is_not(tmp_path: Path) -> None:
    rows = [{"Nome Fantasia": name} for name in ("Loja Jatob?", "Loja Jatobá Prime", "Loja Jatob")]
    assert len(items(read(tmp_path, table(*rows).encode()))) == 1


def test_equal_rows_are_two_complaints_and_a_new_one_moves_nobody(tmp_path: Path) -> None:
    other = {"Cidade": "Niterói"}
    before = items(read(tmp_path, table({}, {}, other).encode()))
    ids = {item.external_id for item in before}
    assert len(ids) == 3
    added = {"Cidade": "Olinda"}
    after = items(read(tmp_path, table(added, {}, other, {}).encode()))
    assert ids < {item.external_id for item in after}
    rated = items(read(tmp_path, table({}, {"Nota do Consumidor": "1"}, other).encode()))
    assert {item.external_id for item in rated} == ids


def test_the_same_row_in_another_month_is_another_complaint(tmp_path: Path) -> None:
    (tmp_path / "basecompleta2026-07.csv").write_bytes(table({}).encode())
    found = items(read(tmp_path, table({}).encode()))
    assert len({item.external_id for item in found}) == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("basecompleta2026-08.csv", "2026-08"),
        ("basecompleta2026-08.zip", "2026-08"),
        ("finalizadas_2026-08 (1).csv", "2026-08"),
        ("Finalizadas_08.2026.csv", "2026-08"),
        ("finalizadas_202608.csv", "2026-08"),
        ("basecompleta2026-08-parte1.csv", "basecompleta2026-08-parte1"),
        ("base 2025.csv", "base-2025"),
        ("", "file"),
    ],
)
def test_publications(name: str, told: str) -> None:
    assert publication(name) == told


def test_of_two_files_of_a_month_the_fuller_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "finalizadas_2026-08.csv").write_bytes(table({}).encode())
    row = {"Data Abertura": "01/08/2026"}
    pages = read(tmp_path, table(row).encode())
    (item,) = items(pages)
    assert item.published_at == datetime(2026, 8, 1, 3, tzinfo=UTC)
    assert "finalizadas_2026-08.csv: another file of the same month was read" in pages[-1].notes


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "basecompleta2026-07.csv").write_bytes(table({}).encode())
    pages = read(tmp_path, table({}, {}).encode())
    mark = pages[-1].checkpoint
    (quiet,) = walk(tmp_path, mark)
    assert (quiet.unchanged, quiet.items) == (True, ())
    (tmp_path / "basecompleta2026-07.csv").write_bytes(table({}, {"UF": "SP"}).encode())
    again = walk(tmp_path, mark)
    assert len(items(again)) == 2
    assert len(items(walk(tmp_path))) == 4


def test_a_month_is_covered_as_far_as_its_complaints_can_have_ended(tmp_path: Path) -> None:
    for month in ("2026-03", "2026-06", "2026-07"):
        (tmp_path / f"basecompleta{month}.csv").write_bytes(
            table({"Data Abertura": "01/07/2026"}).encode()
        )
    pages = read(tmp_path, table({"Data Abertura": "01/08/2026"}).encode())
    june = datetime(2026, 6, 1, tzinfo=ZONE)
    assert pages[-1].covered == (june, datetime(2026, 7, 18, tzinfo=ZONE))
    assert pages[-1].notes == ["no file was read for 2026-04, 2026-05"]


def test_the_short_layout_covers_its_month(tmp_path: Path) -> None:
    pages = read(tmp_path, table({}).encode(), "finalizadas_2026-07.csv")
    july = datetime(2026, 7, 1, tzinfo=ZONE)
    assert pages[-1].covered == (july, datetime(2026, 8, 1, tzinfo=ZONE))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"Data Finalização": "31/02/2026"}, "Data Finalização: '31/02/2026' is no date"),
        ({"Data Finalização": ""}, "no date"),
        ({"Nota do Consumidor": "7"}, "outside the scale 1-5"),
        ({"Nota do Consumidor": "ótima"}, "is no note"),
    ],
)
def test_a_bad_row_is_set_aside(tmp_path: Path, row: dict[str, str], reason: str) -> None:
    (page,) = read(tmp_path, table(row, {}).encode())
    assert len(page.items) == 1
    assert page.rejected[0].where == "row 2"
    assert reason in page.rejected[0].reason


def test_a_broken_row_is_ours_where_our_name_stands_in_it(tmp_path: Path) -> None:
    text = table({}) + f"SE;RJ;{BRAND}\r\nSE;RJ;Banco\r\n"
    (page,) = read(tmp_path, text.encode())
    assert [each.where for each in page.rejected] == ["row 3"]
    assert page.unknown == {"rows of others that cannot be read": 1}


def packed(*names: str, text: str = "", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name in names:
            archive.writestr(name, text or table({}))
    return out.getvalue()


def with_method(data: bytes, method: int) -> bytes:
    """The archive with another method of packing written into its two headers."""
    local, central = data.index(b"PK\x03\x04") + 8, data.index(b"PK\x01\x02") + 10
    changed = bytearray(data)
    changed[local] = changed[central] = method
    return bytes(changed)


def test_archives(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (known,) = items(read(tmp_path / "other", table({}).encode()))
    pages = read(tmp_path, packed("pasta/basecompleta2026-08.csv"), "basecompleta2026-08.zip")
    assert [item.external_id for item in items(pages)] == [known.external_id]


def test_an_archive_of_many_months(tmp_path: Path) -> None:
    names = ("basecompleta2026-07.csv", "basecompleta2026-08.csv", "leia-me.pdf")
    pages = read(tmp_path, packed(*names), "tudo.zip")
    assert {item.attributes["publication"] for item in items(pages)} == {"2026-07", "2026-08"}


@pytest.mark.parametrize(
    ("data", "outcome", "sentence"),
    [
        (with_method(packed("a.csv"), 9), "misconfigured", "packed with Deflate64, .*7-Zip can"),
        (with_method(packed("a.csv"), 98), "misconfigured", "packed with method 98"),
        (packed("basecompleta2026-05.7z"), "misconfigured", r"holds another archive \(base"),
        (packed("leia-me.pdf"), "misconfigured", "holds no table"),
        (b"7z\xbc\xaf\x27\x1c rest", "misconfigured", "is a 7z archive"),
        (packed("a.csv")[:-30], "partial", "damaged archive"),
        (packed("a.csv").replace(b"PK\x03\x04", b"PK\x03\x05"), "partial", "damaged archive"),
        (b"", "suspect", "is empty"),
        (b"Nome;Total\r\na;1\r\n", "misconfigured", "no header"),
        (table({}, without="Nome Fantasia").encode(), "misconfigured", "no column 'Nome Fantasia'"),
        (table({}, without="Data Finalização").encode(), "misconfigured", "'Data Finalização'"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_after_the_others_were_read(
    tmp_path: Path, data: bytes, outcome: str, sentence: str
) -> None:
    (tmp_path / "basecompleta2026-06.zip").write_bytes(data)
    (tmp_path / "basecompleta2026-05.csv").write_bytes(table({}).encode())
    reader, found = collector(tmp_path), []
    (tmp_path / "basecompleta2026-07.csv").write_bytes(table({}).encode())

    def reading() -> None:
        ask = reader.first({})
        while ask is not None:
            for page in reader.parse(ask, Answer(path=ask.path), {}):
                found.append(page)  # noqa: PERF402 - what came before the trouble is kept
            ask = found[-1].next

    with pytest.raises(Trouble, match=sentence) as trouble:
        reading()
    assert trouble.value.outcome.value == outcome
    assert len(items(found)) == 2
    assert set(found[-1].checkpoint["files"]) == {"2026-05", "2026-07"}  # type: ignore[call-overload]


def test_a_company_nobody_complains_about(tmp_path: Path) -> None:
    (tmp_path / "basecompleta2026-08.csv").write_bytes(
        table({"Nome Fantasia": "Lojas Jatobá "}).encode()
    )
    with pytest.raises(Trouble, match="did you mean 'Lojas Jatobá'") as trouble:
        walk(tmp_path)
    assert trouble.value.outcome is Outcome.MISCONFIGURED
    with pytest.raises(Trouble, match="None of 1 complaints is about 'Zebra'") as trouble:
        walk(tmp_path, company="Zebra")
    assert trouble.value.outcome is Outcome.SUSPECT
    (page,) = walk(tmp_path, {"files": {}, "had": True})
    assert page.empty
    assert len(items(walk(tmp_path, company=["Zebra", "lojas jatoba"]))) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"company": []}, r"sources\.cg\.company"),
        ({"company": "x"}, r"sources\.cg\.company"),
        ({"since": "2026"}, "'2026' is no month; write one like '2025-01'"),
        ({"urls": ["dados"]}, "'dados' is no web address"),
        ({"urls": ["https://x.example/a.csv"]}, "`path` and `urls` are two ways"),
    ],
)
def test_each_wrong_option_has_its_sentence(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        collector(tmp_path, **options)


@pytest.mark.parametrize(
    ("path", "sentence"), [("nowhere", "does not exist; mend `path`"), (".", "holds no CSV or ZIP")]
)
def test_a_folder_without_files(tmp_path: Path, path: str, sentence: str) -> None:
    with pytest.raises(Trouble, match=sentence):
        collector(tmp_path, path=path).first({})


def test_since_leaves_old_months_out(tmp_path: Path) -> None:
    (tmp_path / "basecompleta2024-07.csv").write_bytes(table({}).encode())
    (tmp_path / "basecompleta2026-08.csv").write_bytes(table({}).encode())
    assert len(items(walk(tmp_path, since="2025-01"))) == 1
    with pytest.raises(Trouble, match="No file is of 2027-01 or later"):
        walk(tmp_path, since="2027-01")


def test_the_mark_stays_small_however_many_months(tmp_path: Path) -> None:
    for year in range(2010, 2030):
        for month in range(1, 13):
            path = tmp_path / f"basecompleta{year}-{month:02}.csv"
            path.write_bytes(table({}).encode())
    assert len(json.dumps(walk(tmp_path)[-1].checkpoint)) < 3600


def test_real_rows(corpus: Path, tmp_path: Path) -> None:
    (path,) = (corpus / "recordings" / "consumidor_gov_br").glob("basecompleta-*.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        companies = {row["Nome Fantasia"].strip() for row in csv.DictReader(file, delimiter=";")}
    pages = walk(tmp_path, path=str(path), company=sorted(companies))
    found = items(pages)
    assert (len(found), [page.rejected for page in pages]) == (5, [[]])
    assert [page.unknown for page in pages] == [{}]
    assert Counter(item.stars for item in found) == {None: 4, 1: 1}
    assert {item.attributes["status"] for item in found} == {"not_evaluated", "not_resolved"}
    assert all(item.published_at and item.published_at.year == 2025 for item in found)
    assert all(flaw(item, END) is None for item in found)
    assert len(items(walk(tmp_path, path=str(path), company="serasa experian"))) == 1


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def survives(folder: Path, data: bytes, name: str) -> None:
    for path in folder.iterdir():
        path.unlink()
    with suppress(Trouble):
        for item in items(read(folder, data, name)):
            assert item.external_id


@FUZZ
@given(data=st.binary(max_size=300), name=st.sampled_from(["a2026-08.csv", "a2026-08.zip"]))
def test_any_bytes(tmp_path: Path, data: bytes, name: str) -> None:
    survives(tmp_path, data, name)


@FUZZ
@given(place=st.integers(0, 10_000), piece=st.binary(max_size=6), zipped=st.booleans())
def test_any_mutation_of_a_good_file(
    tmp_path: Path, place: int, piece: bytes, zipped: object
) -> None:
    data = packed("a.csv") if zipped else table({}, {"Nota do Consumidor": "2"}).encode()
    place %= len(data)
    name = "a2026-08.zip" if zipped else "a2026-08.csv"
    survives(tmp_path, data[:place] + piece + data[place + len(piece) :], name)


@FUZZ
@given(cells=st.dictionaries(st.sampled_from(sorted(PLAIN)), st.text(max_size=12), max_size=4))
def test_any_cells(tmp_path: Path, cells: dict[str, str]) -> None:
    survives(tmp_path, table(cells).encode("utf-8", "replace"), "a2026-08.csv")


def test_a_megabyte_is_fast(tmp_path: Path) -> None:
    data = table(*[{"Cidade": f"Cidade {n}"} for n in range(5000)]).encode()
    assert len(data) > 1_000_000
    began = time.process_time()
    assert len(items(read(tmp_path, data))) == 5000
    assert time.process_time() - began < 5


# --- Against the stand-in ------------------------------------------------------------------------


class House:
    """A database and the stand-in it listens to."""

    def __init__(self, brand: StandIn, door: Door, folder: Path) -> None:
        self.brand, self.door, self.folder = brand, door, folder
        self.db = open_database(stored_in(folder, "cg.db"))

    def collect(self, **options: object) -> RunReport:
        table_of = {"company": "Tucumã Casa", "retries": 0} | options
        return run_source(
            self.db,
            "cg",
            Source(kind="consumidor_gov_br", base_url=self.brand.url, options=table_of),
            door=self.door,
            now=self.brand.now,
            folder=self.folder,
        )


@pytest.fixture
def house(door: Door, tmp_path: Path) -> Iterator[House]:
    with StandIn(datetime(2026, 8, 6, 12, tzinfo=UTC)) as brand:
        made = House(brand, door, tmp_path)
        yield made
        made.db.close()


def stored(db: Database) -> set[tuple[object, ...]]:
    columns = (t.feedback.c.external_id, t.feedback.c.stars, t.feedback.c.category)
    with db.read() as connection:
        return {tuple(row) for row in connection.execute(select(*columns))}


def test_a_folder_is_read_in_one_run_and_each_file_keeps_its_bad_rows(
    door: Door, tmp_path: Path
) -> None:
    folder = tmp_path / "dados"
    folder.mkdir()
    bad = {"Nota do Consumidor": "7"}
    for month in ("07", "08"):
        (folder / f"basecompleta2026-{month}.csv").write_bytes(table({}, bad).encode())
    db = open_database(stored_in(tmp_path, "cg.db"))
    source = Source(kind="consumidor_gov_br", options={"company": BRAND, "path": "dados"})
    assert prove("cg", source, zone=ZONE, folder=tmp_path, now=END) == "the file is there"
    aside = ["basecompleta2026-07.rejected.csv", "basecompleta2026-08.rejected.csv"]
    for day, new in enumerate((2, 0)):
        now = END + timedelta(days=day)
        report = run_source(db, "cg", source, door=door, now=now, folder=tmp_path)
        assert (report.outcome, report.new) == (Outcome.COMPLETE, new), report
        assert sorted(path.name for path in folder.glob("*.rejected.csv")) == aside
    (folder / "basecompleta2026-07.csv").write_bytes(table({}, {"UF": "SP"}).encode())
    report = run_source(db, "cg", source, door=door, now=END + timedelta(days=2), folder=tmp_path)
    assert (report.outcome, report.new, report.unchanged) == (Outcome.COMPLETE, 1, 1)
    assert [path.name for path in folder.glob("*.rejected.csv")] == aside[1:]
    db.close()


@pytest.mark.slow
def test_month_by_month_is_the_same_as_all_at_once(
    house: House, door: Door, tmp_path: Path
) -> None:
    for day in ("2026-08-06", "2026-08-22", "2026-09-06", "2026-10-06", "2026-11-06", "2026-12-06"):
        house.brand.now = datetime.fromisoformat(f"{day}T12:00:00+00:00")
        report = house.collect()
        assert (report.outcome, report.rejected, report.changed) == (Outcome.COMPLETE, 0, 0), report
        assert report.new > 0
        again = house.collect()
        assert (again.outcome, again.new, again.pages) == (Outcome.COMPLETE, 0, 1)
        assert "Nothing has changed" in again.message
    (tmp_path / "fresh").mkdir()
    fresh = House(house.brand, door, tmp_path / "fresh")
    fresh.collect()
    assert stored(fresh.db) == stored(house.db)
    assert len(stored(fresh.db)) == 40
    fresh.db.close()
    with house.db.read() as connection:
        days = connection.execute(select(t.coverage.c.day)).scalars().all()
    assert max(days) < house.brand.now.date() - timedelta(days=45)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(status=403), Outcome.BLOCKED),
        (Fault(status=429, headers={"Retry-After": "900"}), Outcome.RATE_LIMITED),
        (Fault(status=502), Outcome.UNAVAILABLE),
        (Fault(truncate=100), Outcome.UNAVAILABLE),
        (Fault(body=b""), Outcome.SUSPECT),
        (Fault(body=b"<html>captcha</html>"), Outcome.BLOCKED),
        (Fault(status=404), Outcome.MISCONFIGURED),
    ],
)
@pytest.mark.parametrize("path", ["/api/3/", "/dataset/"])
def test_a_fault_has_its_outcome_and_passes(
    house: House, fault: Fault, outcome: Outcome, path: str
) -> None:
    house.collect()
    before = stored(house.db)
    house.brand.now = END
    house.brand.faults = {path: fault}
    assert house.collect().outcome is outcome
    assert stored(house.db) == before
    house.brand.faults = {}
    assert house.collect().outcome is Outcome.COMPLETE
    assert stored(house.db) > before
