"""Words, dates and numbers in the reader's language: pt-BR, es, en.

Messages are English in code and templates (``gettext("…")``, ``ngettext("…", "…", n)``, and
``mark("…")`` where the translation happens later); their translations live in
``locale/<locale>/LC_MESSAGES/ouvidor.po``. After adding or changing a message run

    python -m ouvidor.reports.i18n

It extracts from every module and template of this room, brings the three catalogs up to date
without losing what is translated, compiles them, and names what still waits for a translation.
Both files of a catalog are committed, so that a fresh clone and a wheel need no build step.
"""

from __future__ import annotations

import gettext as stdlib_gettext
import io
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, cast

from babel import Locale, dates, lists, numbers
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

DOMAIN = "ouvidor"
ROOM = Path(__file__).parent
LOCALE_DIR = ROOM / "locale"
FOLDERS = {"pt-BR": "pt_BR", "es": "es", "en": "en"}
"""The folder (and Babel's name) of each locale a configuration may name."""

MINUS = "\N{MINUS SIGN}"
# A catalog bears no clock: two runs over the same messages write the same bytes.
_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
_METHODS = [("**.py", "python"), ("templates/**", "jinja2")]
_OPTIONS = {"templates/**": {"silent": "false", "trimmed": "true"}}
_KEYWORDS = DEFAULT_KEYWORDS | {"mark": None}


def mark(message: str) -> str:
    """Mark a message for the catalogs where its translation happens later."""
    return message


@cache
def translator(locale: str) -> stdlib_gettext.NullTranslations:
    """The catalog of a locale such as ``pt-BR``; its ``gettext`` and ``ngettext`` translate.

    Raises KeyError for a locale without a catalog.
    """
    return stdlib_gettext.translation(DOMAIN, LOCALE_DIR, languages=[FOLDERS[locale]])


@cache
def _babel(locale: str) -> Locale:
    return Locale.parse(FOLDERS[locale])


def format_date(day: date, locale: str, style: str = "medium") -> str:
    """A day as people write it; ``style`` is short, medium, long, full or a CLDR pattern."""
    return dates.format_date(day, cast("Any", style), locale=_babel(locale))


def format_day(day: date, locale: str) -> str:
    """Day and month only: ``16 de nov.``."""
    return dates.format_skeleton("MMMd", day, locale=_babel(locale))


def format_short_day(day: date, locale: str) -> str:
    """Day and month in digits: ``16/11``."""
    return dates.format_skeleton("Md", day, locale=_babel(locale))


def format_span(since: date, until: date, locale: str) -> str:
    """Two days, both included, as one phrase: ``16 – 22 de nov. de 2026``."""
    return dates.format_interval(since, until, "yMMMd", locale=_babel(locale))


def format_moment(moment: datetime, locale: str, zone: tzinfo) -> str:
    """An aware moment in the reader's zone, to the minute."""
    return dates.format_datetime(moment, "short", tzinfo=zone, locale=_babel(locale))


def format_number(value: float, locale: str, decimals: int = 0) -> str:
    """A number with grouping and exactly ``decimals`` digits; a real minus sign."""
    pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
    rounded = round(value, decimals) + 0.0  # plus zero: no one reads "minus nothing"
    text = numbers.format_decimal(rounded, pattern, locale=_babel(locale))
    return text.replace("-", MINUS)


def format_score(value: float, locale: str) -> str:
    """A score from 1 to 5 with one decimal."""
    return format_number(value, locale, 1)


def format_change(value: float, locale: str) -> str:
    """A difference of scores, always signed: ``+0,4``, ``−0,6``, ``0,0``."""
    return ("+" if round(value, 1) > 0 else "") + format_number(value, locale, 1)


def format_percent(share: float, locale: str) -> str:
    """A share from 0 to 1 in whole per cent."""
    return numbers.format_percent(share, locale=_babel(locale))


def format_list(items: Sequence[str], locale: str) -> str:
    """``a, b e c``."""
    return lists.format_list(items, locale=_babel(locale))


def language_name(tag: str, locale: str) -> str:
    """The name of a BCP 47 language in the reader's language; the tag where none is known."""
    code = tag.replace("_", "-").split("-")[0].lower()
    return str(_babel(locale).languages.get(code, tag))


def extracted() -> Catalog:
    """Every message that code and templates of this room use."""
    catalog = Catalog(domain=DOMAIN, project="ouvidor", creation_date=_WRITTEN)
    found = extract_from_dir(
        ROOM,
        method_map=_METHODS,
        options_map=_OPTIONS,
        keywords=_KEYWORDS,
        comment_tags=["Translators:"],
        strip_comment_tags=True,
    )
    for _, _, message, comments, context in found:
        catalog.add(message, auto_comments=comments, context=context)
    return catalog


def po_path(locale: str) -> Path:
    """The catalog of a locale that people edit; the compiled one lies beside it."""
    return LOCALE_DIR / FOLDERS[locale] / "LC_MESSAGES" / f"{DOMAIN}.po"


def read_catalog(locale: str) -> Catalog:
    """The catalog as committed; an empty one when there is none yet."""
    path = po_path(locale)
    if not path.exists():
        return Catalog(locale=FOLDERS[locale], domain=DOMAIN, project="ouvidor")
    with path.open("rb") as file:
        return read_po(file, locale=FOLDERS[locale], domain=DOMAIN)


def compiled(catalog: Catalog) -> bytes:
    """The bytes that ``gettext`` reads."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def waiting(catalog: Catalog) -> Iterator[str]:
    """Messages without a (certain) translation."""
    for message in catalog:
        forms = message.string if isinstance(message.string, list | tuple) else (message.string,)
        if message.id and (message.fuzzy or not all(forms)):
            yield str(message.id)


def update() -> list[str]:
    """Extract, update and compile the catalogs; returns ``locale: message`` for each gap."""
    template = extracted()
    gaps = []
    for locale in FOLDERS:
        catalog = read_catalog(locale)
        catalog.update(template, no_fuzzy_matching=True)
        if locale == "en":
            _fill_english(catalog)
        _write(locale, catalog)
        gaps += [f"{locale}: {message}" for message in waiting(catalog)]
    return gaps


def _fill_english(catalog: Catalog) -> None:
    for message in catalog:
        if message.id:
            message.string = message.id


def _write(locale: str, catalog: Catalog) -> None:
    catalog.creation_date = catalog.revision_date = _WRITTEN
    catalog.header_comment = (
        f"# Ouvidor in {catalog.locale_identifier}.\n"
        "# Edit the msgstr lines, then run: python -m ouvidor.reports.i18n"
    )
    catalog.fuzzy = False
    path = po_path(locale)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    write_po(buffer, catalog, no_location=True, sort_output=True, ignore_obsolete=True, width=100)
    path.write_bytes(buffer.getvalue())
    path.with_suffix(".mo").write_bytes(compiled(catalog))


def main() -> int:
    """Update the catalogs; exit status 1 while a translation is missing."""
    gaps = update()
    for gap in gaps:
        sys.stderr.write(f"{gap}\n")
    return 1 if gaps else 0


if __name__ == "__main__":
    raise SystemExit(main())
