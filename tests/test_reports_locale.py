"""Every word a reader meets is translated, compiled and committed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.mofile import read_mo

from ouvidor.config import LOCALES
from ouvidor.reports import i18n

PLACEHOLDER = re.compile(r"%\(\w+\)s|%%")
locales = pytest.mark.parametrize("locale", LOCALES)


def test_every_locale_of_the_configuration_has_a_catalog() -> None:
    assert tuple(i18n.FOLDERS) == LOCALES


@locales
def test_every_message_is_translated(locale: str) -> None:
    catalog = i18n.read_catalog(locale)
    used = {message.id for message in i18n.extracted() if message.id}
    known = {message.id for message in catalog if message.id}
    assert len(used) > 50
    assert used == known, "run `python -m ouvidor.reports.i18n` and commit what it writes"
    assert list(i18n.waiting(catalog)) == []


@locales
def test_the_compiled_catalog_matches_the_one_people_edit(locale: str) -> None:
    path = i18n.po_path(locale)
    assert path.with_suffix(".mo").read_bytes() == i18n.compiled(i18n.read_catalog(locale))
    with path.with_suffix(".mo").open("rb") as file:
        assert len(read_mo(file)) == len(i18n.read_catalog(locale))


@locales
def test_translations_keep_the_placeholders(locale: str) -> None:
    for message in i18n.read_catalog(locale):
        if message.id:
            sources = message.id if isinstance(message.id, tuple) else (message.id,)
            wanted = {frozenset(PLACEHOLDER.findall(source)) for source in sources}
            forms = message.string if isinstance(message.string, tuple) else (message.string,)
            for form in forms:
                assert frozenset(PLACEHOLDER.findall(str(form))) in wanted, message.id


@locales
def test_no_translation_breaks_markup(locale: str) -> None:
    for message in i18n.read_catalog(locale):
        assert not re.search(r"[<>&]", str(message.string)) or not message.id


def calls(path: Path) -> Iterator[tuple[str, ...]]:
    """The literal messages of every gettext call of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            count = {"gettext": 1, "mark": 1, "ngettext": 2}.get(name, 0)
            literals = [arg.value for arg in node.args[:count] if isinstance(arg, ast.Constant)]
            if literals:
                yield tuple(str(literal) for literal in literals)


def test_no_message_hides_from_the_extraction() -> None:
    # Babel does not look into f-strings, and a message there would stay English for ever.
    used = {
        message.id if isinstance(message.id, tuple) else (message.id,)
        for message in i18n.extracted()
    }
    hidden = [
        (path.name, found)
        for path in sorted(i18n.ROOM.glob("*.py"))
        for found in calls(path)
        if found not in used
    ]
    assert hidden == []


def test_plural_forms() -> None:
    text = ("%(n)s mention", "%(n)s mentions")
    shown = {
        locale: [i18n.translator(locale).ngettext(*text, n) % {"n": n} for n in (0, 1, 2)]
        for locale in LOCALES
    }
    assert shown == {
        "pt-BR": ["0 menção", "1 menção", "2 menções"],
        "es": ["0 menciones", "1 mención", "2 menciones"],
        "en": ["0 mentions", "1 mention", "2 mentions"],
    }


def test_numbers_as_people_write_them() -> None:
    assert i18n.format_number(12345.6, "pt-BR", 1) == "12.345,6"
    assert i18n.format_number(-0.04, "en", 1) == "0.0"
    assert i18n.format_score(2.44, "es") == "2,4"
    assert i18n.format_percent(0.237, "pt-BR") == "24%"
    assert [i18n.format_change(x, "pt-BR") for x in (0.61, -0.61, 0.04, -0.04)] == [
        "+0,6", "−0,6", "0,0", "0,0",
    ]  # fmt: skip


def test_dates_as_people_write_them() -> None:
    monday, sunday = date(2026, 11, 16), date(2026, 11, 22)
    assert i18n.format_date(monday, "pt-BR") == "16 de nov. de 2026"
    assert i18n.format_day(monday, "en") == "Nov 16"
    assert (
        re.sub(r"\s+", " ", i18n.format_span(monday, sunday, "pt-BR")) == "16 – 22 de nov. de 2026"
    )
    noon = datetime(2026, 11, 16, 15, tzinfo=UTC)
    assert "12:00" in i18n.format_moment(noon, "pt-BR", ZoneInfo("America/Sao_Paulo"))


def test_languages_by_name() -> None:
    assert i18n.language_name("pt-BR", "en") == "Portuguese"
    assert i18n.language_name("es", "pt-BR") == "espanhol"
    assert i18n.language_name("xx-unknown", "en") == "xx-unknown"


def test_an_unknown_locale_is_refused() -> None:
    with pytest.raises(KeyError):
        i18n.translator("fr")
