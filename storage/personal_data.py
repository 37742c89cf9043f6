"""Where personal data stands in a text: e-mail addresses, documents, cards, plates, phones.

Check digits come from python-stdnum, phone numbers from phonenumbers. Where digits alone cannot
tell, the word beside them does: ``pedido 11987654321`` is an order, ``zap 11987654321`` a phone.

Every rule looks at a bounded piece of text, never across another number or a bracket: so the
work grows with the length, and what was masked once is found to be clean the second time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberType as Type
from stdnum import luhn
from stdnum.br import cnpj, cpf


class Find(NamedTuple):
    """One find: ``text[start:end]`` is of this kind."""

    kind: str
    start: int
    end: int


def same(kind: str, found: str) -> str:
    """What is the same in every way of writing one number or address."""
    if kind == "phone":
        return _phone(found)[0]
    if kind != "email":
        return _plain(found)
    found = re.sub(r"\s?\(?\b(?:arroba|at)\b\)?\s?", "@", found.casefold())
    return re.sub(r"\s", "", re.sub(r"\s?\bponto\b\s?|,", ".", found))


def _plain(found: str) -> str:
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", found)).upper()


_MAY_HOLD_EMAIL = re.compile(r"@|arroba|\(at", re.IGNORECASE)
# Bounded on both sides, so that a megabyte without a blank is read once.
_EMAIL = re.compile(
    r"(?<!\w)\w[\w.+%'-]{0,63}(?:@(?:[\w-]{2,63}\.){1,5}[^\W\d_]{2,24}\b|"
    r"\s?(?:@|\(at\)|\(?\barroba\b\)?)\s?"
    r"(?:gmail|hotmail|outlook|yahoo|icloud|live|msn|uol|bol|terra|globo|ig|proton(?:mail)?)\b"
    r"(?:\s?(?:[.,]|\bponto\b)\s?(?:com?|con|net|br|es|ar|mx|pt)\b){0,2})",
    re.IGNORECASE,
)


def emails(text: str) -> Iterator[Find]:
    """Each e-mail address, spelled-out ones of the large providers among them."""
    if _MAY_HOLD_EMAIL.search(text):
        for match in _EMAIL.finditer(text):
            yield Find("email", *match.span())


# A number, and the word that may be its first part: a plate's letters, a label glued to it.
_START = re.compile(r"(?<!\w)([^\W\d_]{1,12}[ -]?)?\d")


def numbers(text: str) -> Iterator[Find]:
    """Each number that is personal, from left to right."""
    done = 0
    for at in _START.finditer(text):
        digit = at.end() - 1
        lead = digit - 1 if digit and text[digit - 1] in "+(" else digit
        for start in sorted({at.start(), lead, digit}):
            if start >= done and (found := _number_at(text, start)):
                kind, done = found
                if kind != "matter":
                    yield Find(kind, start, done)


def _number_at(text: str, start: int) -> tuple[str, int] | None:
    for kind, shape, judge in _KINDS:
        if (match := shape.match(text, start)) and judge(match):
            return kind, match.end()
    return None


# What the word beside a number calls it; the nearest word before it wins.
_LABEL = re.compile(
    r"(?P<matter>#|\b(?:(?:pedido|encomenda|compra|protocolo?|chamado|atendimento|ticket|fatura|"
    r"boleto|contrato|reserva|bilhete|voucher|cup[oõ]m|order|orden|ordem|case|objeto|modelo?|"
    r"lote|processo|nota|guia|agendamento|reclama[cç][aã]o|solicita[cç][aã]o|transa[cç][aã]o|"
    r"instala[cç][aã]o|pe[cç]a|barra|c[oó]digo|code)s?|ped|prot|postagem|reclame aqui|nf-?e?|"
    r"danfe|ap[oó]lice|matr[ií]cula|localizador|id|cod|nsu|rastre(?:io|amento)|tracking|sku|"
    r"ref(?:er[eê]ncia)?|s[eé]rie|serial|ean|gtin|b\.?o|anatel|procon|fa|ip|norma|"
    r"(?:caso|(?-i:OS))(?=\W*n?\W*$))\b(?:\W{1,3}(?:de|do|da|n[uú]m(?:ero)?|number|nro?)\b)*)|"
    r"\b(?:(?P<phone>tel(?:ef\w+)?s?|fones?|cel(?:ular(?:es)?)?|what?s\w*|zap\w*|wpp|wts|"
    r"lig(?:a|ue|o)\w*|cham[ae][mr]?|llam\w+|conta[tc]to|phone|call|reach|m[oó]vil|telem[oó]vel|"
    r"tlm|msg|sms|fixo|residencial|linha|chip|retorn\w+)|(?P<number>n[uú]meros?|numbers?)|"
    r"(?P<cpf>c\.?p\.?f(?: na nota)?)|(?P<cnpj>cnpj|mei)|(?P<cep>cep)|"
    r"(?P<card>cart[aã]o|card|tarjeta|visa|master\w*|amex|elo|hiper\w*|cc)|"
    r"(?P<plate>placas?(?! de v| m[aã]e| sol)|ve[ií]culo|carro|moto|caminh[aã]o)|"
    r"(?P<id>rg|cnh|pis|passaporte|passport|pasaporte|dni|nie|rut|curp|ssn|cuit|c[eé]dula|"
    r"eleitor))\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"[^\w\[\]]{0,3}(?:(?:(?:[eé]h?|esse|este|is|o|meu|my|mi|d[aoe])[^\w\[\]]{1,3}){0,4}"
    r"(?P<phone>tel(?:ef\w+)?|fone|cel(?:ular)?|what?s\w*|zap|wpp|phone|m[oó]vil)|"
    r"(?:[eé]h?|is|d[aoe]|of)[^\w\[\]]{1,3}(?:(?:o|meu|my)[^\w\[\]]{1,3})?"
    r"(?P<matter>pedido|protocolo|chamado|contrato|order|c[oó]digo))\b(?!\[)",
    re.IGNORECASE,
)
_CUT = re.compile(r"\w*\d|[\[\]]")
_JOINT = re.compile(r"\s?[,;/]\s?|\s(?:e|ou|and|or|y|o)\s")
_ITEM = re.compile(r"(?:\[[^\s\[\]]{1,20}\]|[^\s,;/\[\]]{1,40})$")
_NEAR = 3
"""Words that may stand between a label and its number."""
_LIST = 5
"""Numbers of one list that share the label before it."""


def _label(match: re.Match[str]) -> str:
    """What the text calls this number: a word near before it, else a word after it, else ""."""
    label = _label_before(match.string, match.start())
    if label and label != "number":
        return label
    after = _AFTER.match(match.string, match.end())
    return (after and after.lastgroup) or label


@lru_cache(maxsize=1)  # each kind asks again for the same place
def _label_before(text: str, start: int) -> str:
    before, listed = _before(text, start)
    label = ""
    for found in _LABEL.finditer(before):
        near = len(before[found.end() :].split()) <= _NEAR
        if not (label and found.lastgroup == "number"):
            label = (near and found.lastgroup) or ""
    return label if label == "matter" or not listed else ""


def _before(text: str, end: int) -> tuple[str, bool]:
    """The words that lead to a number, and whether other numbers of a list stand between."""
    for hops in range(_LIST):
        before = _CUT.split(text[max(0, end - 60) : end])[-1]
        if not _JOINT.fullmatch(before):
            return before, hops > 0
        item = _ITEM.search(text, max(0, end - len(before) - 40), end - len(before))
        end = item.start() if item else 0
    return "", True


def _is_id(match: re.Match[str]) -> bool:
    return _label(match) == "id"


def _is_cpf(match: re.Match[str]) -> bool:
    if re.fullmatch(rf"\d{{3}}\.\d{{3}}\.\d{{3}}[{_DASH}]\d\d", match[0]):
        return True  # nothing else is written so, and a mistyped one is still somebody's
    digits, label = _plain(match[0]), _label(match)
    if label == "cpf" or label in {"matter", "phone", "card"} or _SERVICE.match(digits):
        return label == "cpf"
    return cpf.is_valid(digits)


def _is_cnpj(match: re.Match[str]) -> bool:
    if re.search(r"/\w{4}\W\d\d$", match[0]):
        return True  # as with the CPF: no other number is written so
    label = _label(match)
    return label == "cnpj" or (label != "matter" and cnpj.is_valid(_plain(match[0])))


# ISO/IEC 7812 ranges of the brands: Visa, Mastercard, Elo and Hipercard, Amex, Diners. One in
# ten order numbers passes the check digit.
_ISSUED = re.compile(
    r"4\d{15}|5[0-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|"
    r"6\d{15}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
)


def _is_card(match: re.Match[str]) -> bool:
    digits, label = _plain(match[0]), _label(match)
    issued = _ISSUED.fullmatch(digits) is not None and luhn.is_valid(digits)
    return label == "card" or (issued and (label != "matter" or not match[0].isdigit()))


def _is_cep(match: re.Match[str]) -> bool:
    label = _label(match)
    written = re.fullmatch(rf"\d\d\.?\d{{3}}[{_DASH}]\d{{3}}", match[0]) is not None
    return label == "cep" or (written and label != "matter")


_VEHICLE = re.compile(
    r"(?<![\w\]])(?:placas?(?! de v| m[aã]e| sol)|carro|moto(?:boy|rista)?|ve[ií]culo|caminh[aã]o|"
    r"entregador|uber|van|frota|estacionamento|vistoria|detran|multa)\b",
    re.IGNORECASE,
)
_NO_PLATE = re.compile(
    r"(?:cpf|cep|tel|cel|zap|gtx|rtx|por|que|dos|das|com|uma|uns|mil|ano|at[eé]|pra|sem|s[aã]o|"
    r"n[aã]o|the|for)\W?\d|"
    r".{3}\s(?:19|20)\d\d$",
    re.IGNORECASE,
)


def _is_plate(match: re.Match[str]) -> bool:
    """Called so; or of the Mercosul shape; or of the old one in a text about vehicles."""
    if _NO_PLATE.match(match[0]):
        return False
    label = _label(match)
    if label in {"plate", "matter"}:
        return label == "plate"
    mercosul = match[0].isupper() and match[0][-3].isalpha()
    return mercosul or (" " not in match[0] and _about_vehicles(match.string))


@lru_cache(maxsize=1)
def _about_vehicles(text: str) -> bool:
    return _VEHICLE.search(text) is not None


_SERVICE = re.compile(r"0[358]00")
_PERSONAL = {Type.MOBILE, Type.FIXED_LINE, Type.FIXED_LINE_OR_MOBILE, Type.VOIP}
_LANDLINE, _MOBILE = 8, 9
"""Digits of a Brazilian number without its area code."""
_YEARS = re.compile(r"(?:19|20)\d\d\D(?:19|20)\d\d")


def _is_phone(match: re.Match[str]) -> bool:
    """A person's number: service numbers (0800, 4004) and what is called an order are none."""
    label, (value, kind) = _label(match), _phone(match[0])
    if label == "matter" or _YEARS.fullmatch(match[0]):
        return False
    called = label in {"phone", "number"} or match[0][0] == "+"
    local = value[5:] if len(value) == len("+55") + 2 + _LANDLINE else value
    if len(local) == _LANDLINE and _phone(local)[1] == Type.SHARED_COST:
        return False  # 4004 and the like, in front of which many write an area code
    if len(value) == _LANDLINE:
        return called
    if len(value) == _MOBILE:
        return called or re.fullmatch(r"9\D?\d{4}\D\d{4}", match[0]) is not None
    return kind in _PERSONAL or (called and kind == Type.UNKNOWN)


@lru_cache(maxsize=64)
def _phone(found: str) -> tuple[str, int]:
    """The number as +55… (digits only where the area code is missing) and its type."""
    digits = re.sub(r"\D", "", unicodedata.normalize("NFKC", found))
    if not _SERVICE.match(digits):
        digits = digits.lstrip("0")
    if found[0] == "+" or (digits.startswith("55") and len(digits) > _MOBILE + 2):
        digits = f"+{digits}"
    try:
        number = phonenumbers.parse(digits, "BR")
    except phonenumbers.NumberParseException:
        return digits, Type.UNKNOWN
    if digits[0] == "+" or len(digits) > _MOBILE:
        digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return digits, phonenumbers.number_type(number)


_DASH = r"\-\u2010-\u2015\u2212"
_GAP = rf"[\s./{_DASH}]"
_X = r"[\dA-Z]"
_AREA = r"(?:0 (?:xx)? )?[1-9]\d"
# One pair of edges for all numbers: what a neighbour keeps from being found, its mask keeps too.
_LEFT = (
    rf"(?:(?<!\w)|(?<=cpf)|(?<=cnpj)|(?<=cep)|(?<=tel)|(?<=cel)|(?<=zap)|(?<=[^\W\d])(?=\())"
    rf"(?<![\d\]][.{_DASH}])(?!(?<=\])\D)(?:(?<![^\W\d]/)|(?<=wa\.me/))"
)
_RIGHT = rf"(?![^\W\d]*\d|[^\W\d]+\[|[.{_DASH}]\d)"


def _shape(*patterns: str) -> re.Pattern[str]:
    """Patterns between the edges; a blank in them stands for a gap that may be missing."""
    return re.compile(
        f"{_LEFT}(?:{'|'.join(patterns).replace(' ', f'{_GAP}?')}){_RIGHT}", re.IGNORECASE
    )


_KINDS = (
    # Access keys of invoices (44 digits in fours) and payment slips (47 digits) are no cards.
    ("matter", re.compile(r"(?:\d{4}[ .]?){10}\d{4}(?!\d)|(?:\d{5}\.?\d{5,6} ){3}\d \d{14}"), bool),
    ("id", _shape(r"[A-Z]{0,4}-?\d[\dA-Z.-]{3,16}\d-?[A-Z]?(?!\w)", r"\d{4} \d{4} \d{4}"), _is_id),
    ("cpf", _shape(r"\d{3} \d{3} \d{3} \d\d"), _is_cpf),
    (
        "cnpj",
        _shape(
            rf"{_X}{{2}}\.{_X}{{3}}\.{_X}{{3}}/{_X}{{4}}[{_DASH}]\d\d",
            rf"{_X}{{12}}\d\d",
            r"\d\d \d{3} \d{3} \d{4} \d\d",
        ),
        _is_cnpj,
    ),
    ("card", _shape(r"\d{4} \d{4} \d{4} \d{4}", r"3\d{3} \d{6} \d{4,5}"), _is_card),
    ("cep", _shape(rf"\d\d\.?\d{{3}}[{_DASH}]\d{{3}}", r"\d\d(?: \d){6}"), _is_cep),
    ("plate", _shape(r"[A-Z]{3}[\s-]?(?:\d[A-Z]\d\d|\d{4})"), _is_plate),
    (
        "phone",
        _shape(
            rf"(?:\+?0?55 )?(?:(?:\({_AREA}\)|{_AREA}){_GAP}{{0,3}})?"
            r"(?:9 \d \d\d \d|[2-9]\d{3}) \d\d \d\d",
            rf"\+\d{{1,3}} (?:\(\d{{1,4}}\){_GAP}{{0,2}})?\d(?: \d){{5,11}}",
            r"(?:\(\d{3}\)|\d{3}) \d{3} \d{3,4}",
        ),
        _is_phone,
    ),
)
