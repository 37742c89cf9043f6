"""Personal data found and masked at the door. Pure: text and key in, text out.

Detection stands on kept libraries: check digits from python-stdnum, phone numbers from
phonenumbers. What names a matter and not a person (order and protocol numbers, prices, dates)
stays readable, because a complaint is joined by it.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import phonenumbers
from stdnum import luhn
from stdnum.br import cnpj, cpf

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
# Overrides and isolates turn the text around them; plain marks (LRM, RLM) do no harm.
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


class _Find(NamedTuple):
    start: int
    end: int
    what: str


def clean(text: str) -> str:
    """NFC, without control characters, unpaired surrogates and direction overrides."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", _TURNING.sub("", _CONTROL.sub("", text)))


def token(value: str, key: bytes, length: int = 8) -> str:
    """A keyed token: equal values get equal tokens in one installation, and in no other."""
    return hmac.new(key, value.encode("utf-8", "replace"), sha256).hexdigest()[:length]


def pseudonym(author: str, key: bytes) -> str:
    """What stands for an author, in every table and payload."""
    return "p-" + token("author:" + clean(author).strip().casefold(), key, 16)


def mask(text: str, key: bytes) -> str:
    """The text with personal data replaced by ``[kind:token]`` and control characters removed.

    Kinds: cpf, cnpj, card, email, phone, cep, plate. The token is keyed, so that two mentions of
    one number can still be joined.
    """
    text = clean(text)
    for find in sorted(_finds(text), key=lambda each: each.start, reverse=True):
        value = re.sub(r"\W", "", text[find.start : find.end]).casefold()
        stand_in = f"[{find.what}:{token(find.what + value, key, 6)}]"
        text = text[: find.start] + stand_in + text[find.end :]
    return text


def _finds(text: str) -> list[_Find]:
    """What was found, without overlaps: the earlier detector wins."""
    found: list[_Find] = []
    for detector in _DETECTORS:
        for find in detector(text):
            if all(find.end <= other.start or find.start >= other.end for other in found):
                found.append(find)
    return found


_EMAIL = re.compile(r"[\w.+%-]+\s?@\s?[\w-]+(?:\.[\w-]+)+", re.ASCII | re.IGNORECASE)
_PLATE = re.compile(r"\b[A-Z]{3}[ -]?(?:\d[A-Z]\d{2}|\d{4})\b", re.IGNORECASE)
_CEP = re.compile(r"(?<![\d.,-])\d{2}\.?\d{3}-\d{3}(?![\d-])")
_BARE_CEP = re.compile(r"\bcep\W{0,3}(\d{8})\b", re.IGNORECASE)
_DIGITS = re.compile(r"(?<![\w])\d(?:[\s./-]?\d){10,18}(?![\w])")
_PHONE_SHAPES = re.compile(
    r"(?<![\w.,/-])(?:\+?55[\s.-]?)?(?:\(?0?[1-9]\d\)?[\s.-]?)?(?:9[\s.-]?\d{4}|[2-5]\d{3})[\s.-]?\d{4}"
    r"(?![\w-]|[.,/]\d)"
)
_ABOUT_ORDER = re.compile(
    r"(?:pedido|protocolo|protocol|order|orden|compra|nota(?: fiscal)?|nf-?e?|ticket|chamado|"
    r"rastreio|rastreamento|tracking|c[oó]digo|n[uú]mero|n[ºo°]\.?|sku|ref|boleto|#)\W{0,12}(?:n[ºo°]\.?|"
    r"n[uú]mero|do pedido|de|da|do)?\W{0,4}$",
    re.IGNORECASE,
)
_ABOUT_PHONE = re.compile(
    r"(?:tel(?:efone)?|fone|cel(?:ular)?|whats(?:app)?|zap|wpp|liga(?:r|ram)?|phone|call|contato|"
    r"n[uú]mero)\W{0,12}(?:[ée]|is|no|para o|pro|me no)?\W{0,4}$",
    re.IGNORECASE,
)


def _about(pattern: re.Pattern[str], text: str, start: int) -> bool:
    return pattern.search(text, max(0, start - 40), start) is not None


def _emails(text: str) -> Iterator[_Find]:
    for match in _EMAIL.finditer(text):
        yield _Find(*match.span(), "email")


# ISO/IEC 7812 ranges of the brands: Visa, Mastercard, Elo and Hipercard, Amex, Diners.
_CARD = re.compile(
    r"4\d{12}|4\d{15}|5[0-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|"
    r"6\d{15}|6\d{18}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
)


def _documents(text: str) -> Iterator[_Find]:
    for match in _DIGITS.finditer(text):
        what = _document(re.sub(r"\D", "", match[0]))
        # One in ten order numbers passes a card's check digit: what is called one is one.
        if what == "card" and _about(_ABOUT_ORDER, text, match.start()):
            continue
        if what:
            yield _Find(*match.span(), what)


@lru_cache(maxsize=4096)
def _document(digits: str) -> str | None:
    if cpf.is_valid(digits):
        return "cpf"
    if cnpj.is_valid(digits):
        return "cnpj"
    return "card" if _CARD.fullmatch(digits) and luhn.is_valid(digits) else None


def _phones(text: str) -> Iterator[_Find]:
    for match in _PHONE_SHAPES.finditer(text):
        if _is_phone(text, match):
            yield _Find(*match.span(), "phone")
    for found in phonenumbers.PhoneNumberMatcher(text, "BR"):
        raw = text[found.start : found.end]
        if raw.startswith("+") and not _about(_ABOUT_ORDER, text, found.start):
            yield _Find(found.start, found.end, "phone")


_LOCAL = (8, 9)
"""Digits of a Brazilian number without its area code: landline, mobile."""

_WITH_COUNTRY = 12
"""Digits of 55, area code and a landline number."""


def _is_phone(text: str, match: re.Match[str]) -> bool:
    """A Brazilian number, and not an order number that looks like one."""
    digits = re.sub(r"\D", "", match[0])
    called = _about(_ABOUT_PHONE, text, match.start())
    if _about(_ABOUT_ORDER, text, match.start()) and not called:
        return False
    if len(digits) in _LOCAL:
        written = bool(re.search(r"[\s().+-]", match[0]))
        return called or (len(digits) == max(_LOCAL) and written)
    if match[0].startswith("+") or (digits.startswith("55") and len(digits) >= _WITH_COUNTRY):
        digits = f"+{digits}"
    return phonenumbers.is_valid_number(phonenumbers.parse(digits, "BR"))


def _ceps(text: str) -> Iterator[_Find]:
    for match in _CEP.finditer(text):
        if not _about(_ABOUT_ORDER, text, match.start()):
            yield _Find(*match.span(), "cep")
    for match in _BARE_CEP.finditer(text):
        yield _Find(*match.span(1), "cep")


def _plates(text: str) -> Iterator[_Find]:
    for match in _PLATE.finditer(text):
        mercosul = match[0][4 if match[0][3] in " -" else 3 :][1].isalpha()
        named = re.search(
            r"(?:placa|carro|moto|ve[ií]culo)\W+(?:\w+\W+){0,2}$",
            text[: match.start()],
            re.IGNORECASE,
        )
        if (
            (mercosul and match[0][:3].isupper())
            or named
            or (match[0][:3].isupper() and match[0][3] == "-")
        ):
            yield _Find(*match.span(), "plate")


_DETECTORS: tuple[Callable[[str], Iterator[_Find]], ...] = (
    _emails,
    _documents,
    _ceps,
    _phones,
    _plates,
)
