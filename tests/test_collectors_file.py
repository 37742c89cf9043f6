"""A file as a source: mapped, stored, set aside, read again."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from stored import stored_in

from ouvidor.collectors.collector import settings_for
from ouvidor.collectors.columns import fold, well_known
from ouvidor.collectors.run import RunReport, run_source
from ouvidor.collectors.sources.file import language
from ouvidor.config import ConfigError, Source
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

HEAD = "data;nome;nota;comentario;loja\n"
ROWS = (
    "02/10/2026 09:10;Zuleide;5;Muito bom;Centro\n"
    "03/10/2026 14:25;Praxedes;1;Fila enorme;Praia\n"
    "04/10/2026 18:00;Ondina;3;Ok;Centro\n"
)

Collect = Callable[..., RunReport]


@pytest.fixture
def house(tmp_path: Path) -> Any:
    database = open_database(stored_in(tmp_path, "house.db"))
    yield database
    database.close()


@pytest.fixture
def collect(house: Database, tmp_path: Path, door: Door, now: datetime) -> Collect:
    moments = iter(now + timedelta(hours=n) for n in range(100))

    def run(body: str | bytes | None = None, *, full: bool = False, **options: Any) -> RunReport:
        options = {"path": "pesquisa.csv"} | options
        if body is not None:
            content = body.encode() if isinstance(body, str) else body
            (tmp_path / options["path"]).write_bytes(content)
        source = Source(kind="file", options=options)
        return run_source(
            house, "pesquisa", source, door=door, now=next(moments), folder=tmp_path, full=full
        )

    return run


def rows(house: Database) -> list[Any]:
    with house.read() as connection:
        return list(connection.execute(select(t.feedback).order_by(t.feedback.c.id)))


def test_columns_are_found_by_their_names_and_said(collect: Collect, house: Database) -> None:
    report = collect(HEAD + ROWS)
    assert report == RunReport(
        outcome=Outcome.COMPLETE,
        message="3 new, 0 changed, 0 unchanged; columns found by their names: text=comentario, "
        "stars=nota, published_at=data, author=nome.",
        new=3,
        pages=1,
    )
    first = rows(house)[0]
    assert (first.text, first.stars, first.kind) == ("Muito bom", 5, "survey")
    assert first.published_at == datetime(2026, 10, 2, 12, 10, tzinfo=UTC)
    assert first.attributes == {"loja": "Centro"}
    assert first.author.startswith("p-")


def test_a_named_column_wins_and_the_rest_is_found(collect: Collect, house: Database) -> None:
    body = "comentario;disse;data;id\nlixo;Bom;02/10/2026 09:10;7\n"
    report = collect(body, columns={"text": "disse"})
    assert "columns found by their names: id=id, published_at=data" in report.message
    (row,) = rows(house)
    assert (row.text, row.external_id) == ("Bom", "7")
    assert row.published_at == datetime(2026, 10, 2, 12, 10, tzinfo=UTC)


def test_columns_as_configured(collect: Collect, house: Database) -> None:
    body = "codigo\tquando\tnps\tdisse\tcanal\tresposta\n7\t1790730800\t9\tBom\tloja\tObrigado!\n"
    columns = {"id": "codigo", "text": "disse", "stars": "nps", "published_at": "quando"}
    collect(
        body,
        columns=columns | {"category": "canal", "reply": "resposta"},
        scale="0-10",
        feedback_kind="complaint",
    )
    (row,) = rows(house)
    assert (row.external_id, row.stars, row.rating, row.rating_scale) == ("7", 5, "9", "0-10")
    assert (row.category, row.reply_text, row.kind) == ("loja", "Obrigado!", "complaint")
    assert row.published_at == datetime(2026, 9, 30, 1, 13, 20, tzinfo=UTC)


def test_the_same_file_is_not_read_twice(collect: Collect) -> None:
    collect(HEAD + ROWS)
    again = collect()
    assert (again.outcome, again.pages) == (Outcome.COMPLETE, 0)
    assert again.message == "Nothing has changed since the last run."
    full = collect(full=True)
    assert (full.new, full.changed, full.unchanged) == (0, 0, 3)


def test_other_options_read_the_same_file_again(collect: Collect) -> None:
    collect(HEAD + ROWS)
    assert collect(date_order="dmy", delay=3).pages == 0
    assert collect(feedback_kind="review").pages == 1


def test_equal_rows_without_an_id_are_two_people(collect: Collect) -> None:
    body = HEAD + "02/10/2026 09:10;;5;Bom;Centro\n" * 3
    assert collect(body).new == 3
    assert (again := collect(full=True)).unchanged == 3
    assert again.new == 0
    more = collect(HEAD + "03/10/2026 10:00;;1;Novo;Praia\n" + body.removeprefix(HEAD))
    assert (more.new, more.unchanged) == (1, 3)


def test_an_id_that_comes_twice_is_set_aside(collect: Collect) -> None:
    report = collect("id,texto\n1,um\n2,dois\n1,outra vez\n,sem id\n")
    assert (report.new, report.rejected) == (2, 2)
    assert collect(full=True).changed == 0


def test_bad_rows_are_set_aside_in_a_file_and_good_ones_stored(
    collect: Collect, tmp_path: Path
) -> None:
    bad = (
        "31/13/2026;Ana;4;=cmd();Centro\n04/10/2026;Zé;9;Nota alta;Praia\n05/10/2046;X;1;Futuro;P\n"
    )
    report = collect(HEAD + ROWS + bad + "01/10/2026;Y;;;Centro\n")
    assert (report.outcome, report.new, report.rejected) == (Outcome.COMPLETE, 3, 4)
    assert "what was set aside stands in pesquisa.rejected.csv" in report.message
    with (tmp_path / "pesquisa.rejected.csv").open(encoding="utf-8-sig", newline="") as file:
        aside = list(csv.DictReader(file))
    assert [row["row"] for row in aside] == ["row 5", "row 6", "row 7", "row 8"]
    assert [row["reason"].partition(":")[0] for row in aside] == [
        "published_at",
        "the note 9 lies outside the scale 1-5; mend it or set `scale`",
        "published_at lies in the future",
        "it has neither text nor stars",
    ]
    assert aside[0]["comentario"] == "'=cmd()"
    assert aside[2]["comentario"] == "Futuro"
    assert collect(HEAD + ROWS).rejected == 0
    assert not (tmp_path / "pesquisa.rejected.csv").exists()


def test_nothing_readable_is_misconfigured(collect: Collect) -> None:
    report = collect(HEAD + "02/10/2026;Ana;muito;bom;Centro\n")
    assert (report.outcome, report.new) == (Outcome.MISCONFIGURED, 0)
    assert report.message.startswith("Not one of 1 could be read ('muito' is no note)")


def test_columns_that_name_people_are_not_kept(collect: Collect, house: Database) -> None:
    columns = {"text": "comentario"}
    body = "comentario;Nome;E-mail;cpf;turno\nBom;Zuleide Tramontina;z@example.org;123;manhã\n"
    collect(body, columns=columns)
    (row,) = rows(house)
    assert row.attributes == {"turno": "manhã"}


@pytest.mark.parametrize(
    ("body", "options", "outcome", "sentence"),
    [
        ("a;b\n1;2\n", {}, "misconfigured", "pesquisa.csv has no column known to hold the text"),
        (
            HEAD + ROWS,
            {"columns": {"text": "comentário"}},
            "misconfigured",
            "'comentário'; did you mean 'comentario'? It has: data, nome, nota, comentario, loja.",
        ),
        ("loja,bairro\nCentro,Sul\n", {}, "misconfigured", "Set `text = "),
        ("", {}, "suspect", "pesquisa.csv is empty"),
        (None, {"path": "none.csv"}, "misconfigured", "none.csv does not exist; mend `path`"),
        (None, {"path": "."}, "misconfigured", "is a folder; name one file in it"),
    ],
)
def test_each_mistake_has_its_sentence(
    body: str | None, options: dict[str, Any], outcome: str, sentence: str, collect: Collect
) -> None:
    report = collect(body, **options)
    assert report.outcome.value == outcome
    assert sentence in report.message
    assert report.message.endswith(".")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(collect: Collect, tmp_path: Path) -> None:
    (tmp_path / "pesquisa.csv").write_text(HEAD + ROWS)
    (tmp_path / "pesquisa.csv").chmod(0)
    assert "may not be read by this user" in collect().message


def test_an_export_of_nothing_is_complete(collect: Collect) -> None:
    report = collect(HEAD)
    assert (report.outcome, report.new) == (Outcome.COMPLETE, 0)


def test_many_pages_and_a_number_for_each_row(collect: Collect, house: Database) -> None:
    body = HEAD + "".join(
        f"0{1 + n % 4}/10/2026 10:00;p{n};{1 + n % 5};Frase {n};Centro\n" for n in range(1203)
    )
    report = collect(body)
    assert (report.new, report.pages) == (1203, 3)
    with house.read() as connection:
        mark = connection.execute(select(t.checkpoint.c.value)).scalar_one()["mark"]
    assert mark == {"rows": 1203}


def test_the_days_between_first_and_last_row_are_covered(
    collect: Collect, house: Database, now: datetime
) -> None:
    collect(HEAD + ROWS)
    with house.read() as connection:
        covered = list(connection.execute(select(t.coverage).order_by(t.coverage.c.day)))
    assert [row.day for row in covered] == [date(2026, 10, day) for day in (2, 3, 4)]
    assert all(row.whole for row in covered)
    assert covered[-1].until == datetime(2026, 10, 5, 3, tzinfo=UTC)
    collect(HEAD + ROWS + "05/10/2026 11:00;Bento;4;Hoje;Centro\n")
    with house.read() as connection:
        until = connection.execute(select(t.coverage.c.until)).scalars().all()
    assert max(until) == now + timedelta(hours=1)


def test_json_lines_in_the_shape_of_an_api(collect: Collect, house: Database) -> None:
    lines = [
        {
            "id": 1,
            "comment": "Bom",
            "rating": 5,
            "created_at": "2026-10-01T10:00:00Z",
            "lang": "pt_BR",
        },
        {
            "id": 2,
            "comment": "Malo",
            "rating": 1,
            "created_at": "2026-10-02T10:00:00Z",
            "lang": "Español",
        },
    ]
    collect("\n".join(map(json.dumps, lines)), path="lojas.jsonl")
    one, two = rows(house)
    assert (one.external_id, one.language, two.language) == ("1", "pt-BR", None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "sources.pesquisa.path: this key is missing; add it"),
        ({"scale": "10"}, "sources.pesquisa.scale: '10' is no scale"),
        ({"encoding": "klingon"}, "'klingon' is no encoding"),
        ({"columns": {"texto": "x"}}, "sources.pesquisa.columns.texto: the key 'texto' is"),
        ({"delimiter": ";;"}, "sources.pesquisa.delimiter: "),
        ({"feedback_kind": "rant"}, "sources.pesquisa.feedback_kind: "),
    ],
)
def test_each_wrong_option_has_its_sentence(options: dict[str, Any], sentence: str) -> None:
    table = options if not options else {"path": "a.csv"} | options
    with pytest.raises(ConfigError) as error:
        settings_for("pesquisa", Source(kind="file", options=table))
    assert str(error.value).startswith(sentence) or sentence in str(error.value)


def test_names_are_folded() -> None:
    assert [fold(name) for name in ("Data da Avaliação", "reviewText", "E-mail", "created_at")] == [
        "data da avaliacao",
        "review text",
        "e mail",
        "created at",
    ]


def test_a_column_serves_one_field_only() -> None:
    assert well_known(["Avaliação", "Nota", "Data", "Data da resposta", "Resposta"]) == {
        "text": "Avaliação",
        "stars": "Nota",
        "published_at": "Data",
        "reply": "Resposta",
    }


@pytest.mark.parametrize(
    ("cell", "tag"), [("PT", "pt"), ("pt_BR", "pt-BR"), ("es-419", "es-419"), ("Português", None)]
)
def test_language_tags(cell: str, tag: str | None) -> None:
    assert language(cell) == tag
