"""Countries and languages in the settings of a source, by their ISO codes. Pure."""

from __future__ import annotations

from typing import Annotated

from babel import Locale
from babel.core import get_global
from pydantic import AfterValidator

_NO_COUNTRIES = {"EU", "EZ", "UN", "QO", "XA", "XB", "ZZ"}
_COUNTRIES = {str(code) for code in Locale("en").territories if str(code).isalpha()} - _NO_COUNTRIES
_LANGUAGES = {str(code) for code in Locale("en").languages if len(str(code)) <= len("por")}


def _country(value: str) -> str:
    if value.upper() not in _COUNTRIES:
        raise ValueError(
            f"{value!r} is no country; write its two letters (ISO 3166-1 alpha-2), like 'br'"
        )
    return value.lower()


def _language(value: str) -> str:
    first, *rest = value.replace("_", "-").split("-")
    tag = "-".join([first.lower(), *(part.upper() for part in rest)])
    if first.lower() not in _LANGUAGES or (rest and rest[0].upper() not in _COUNTRIES) or rest[1:]:
        raise ValueError(f"{value!r} is no language; write one like 'pt' or 'pt-BR'")
    return tag


def two_letters(code: str) -> str:
    """The two capital letters of a country that is written with three, or ""."""
    # Kosovo has no code of its own in the standard; Apple writes it so.
    found = ["XK"] if code == "XKS" else get_global("territory_aliases").get(code, [])
    known = len(code) == len("BRA") and len(found) == 1 and found[0] in _COUNTRIES
    return str(found[0]) if known else ""


def _territory(value: str) -> str:
    if not two_letters(value.upper()):
        raise ValueError(
            f"{value!r} is no territory; write its three letters (ISO 3166-1 alpha-3), like 'BRA'"
        )
    return value.upper()


Country = Annotated[str, AfterValidator(_country)]
"""Two letters, small."""
Territory = Annotated[str, AfterValidator(_territory)]
"""Three letters, capital."""
Language = Annotated[str, AfterValidator(_language)]
"""Like ``pt`` or ``pt-BR``."""
