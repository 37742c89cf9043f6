"""Where personal data stands in a text: e-mail addresses, documents, cards, plates, phones.

Check digits come from python-stdnum, phone numbers from phonenumbers. Where digits alone cannot
tell, the word beside them does: ``pedido 11987654321`` is an order, ``zap 11987654321`` a phone.

Every rule looks at a bounded piece of text, never across another number or a bracket: so the
work grows with the length, and what was masked once is found to be clean the second time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
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
    found = re.sub(r"\s?[(\[]?\b(?:arroba|at)\b[)\]]?\s?", "@", found.casefold())
    return re.sub(r"\s", "", re.sub(r"\s?\(?\bponto\b\)?\s?|,", ".", found))


def _plain(found: str) -> str:
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", found)).upper()


_AT = ("@", "arroba", "(at", "[at")
# Bounded on both sides, so that a megabyte without a blank is read once.
_EMAIL = re.compile(
    r"(?<!\w)\w[\w.+%'-]{0,63}(?:@(?:[\w-]{2,63}\.){1,5}[^\W\d_]{2,24}\b(?!\[\w{2,5}:)|"
    r"(?:\s?(?:[(\[]at[)\]]|\(?\barroba\b\)?)\s?|\s?@\s)[\w-]{2,63}"
    r"(?:\s?(?:[.,]|\(?\bponto\b\)?)\s?(?:com?|con|net|org|gov|edu|br|es|ar|mx|pt)\b){1,3}|"
    r"\s?(?:@|\(at\)|\(?\barroba\b\)?)\s?"
    r"(?:gmail|hotmail|outlook|yahoo|icloud|live|msn|uol|bol|terra|globo|ig|proton(?:mail)?)\b"
    r"(?:\s?(?:[.,]|\bponto\b)\s?(?:com?|con|net|br|es|ar|mx|pt)\b){0,2})",
    re.IGNORECASE,
)


def emails(text: str) -> Iterator[Find]:
    """Each e-mail address, spelled-out ones of the large providers among them."""
    lower = text.lower()
    if any(sign in lower for sign in _AT):
        for match in _EMAIL.finditer(text):
            yield Find("email", *match.span())


_DASH = r"\-\u2010-\u2015\u2212"
_X = r"[\dA-Z]"
# A number, and what may be its first part: letters of a plate, a label glued to it; or a CNPJ,
# whose first digits may all be letters.
_START = re.compile(
    rf"(?<![^\W_])(?:(?P<firm>{_X})(?={_X}\.?{_X}{{3}}\.?{_X}{{3}}/)|"
    rf"(?:(?<!\])(?:placa|cnpj))?(?P<word>[^\W\d_]{{1,12}}(?:\s?[{_DASH}]\s?|\s)?)?\d)",
    re.IGNORECASE,
)

# The least that any of the kinds below needs, each from its first digit on (or a CNPJ's slash):
# seven digits with nothing but signs between them, a plus before one, fourteen characters of a
# CNPJ, a plate; or the name of what may be shorter or stand glued to it. Nearly all texts hold
# nothing of it.
_MAY_HOLD_NUMBER = re.compile(
    rf"[\d/](?:(?<=\d)(?:(?:[\s.,/()xX*{_DASH}]*\d){{6}}|(?<=\+\d)|(?<=\w{{12}}\d)\d|(?:"
    + "|".join(rf"(?<=(?<![^\W_ºª])[^\W\d_]{{3}}{gap}\d)" for gap in ("", r"\W", r"\W\W", r"\W{3}"))
    + r")\w\d\d)|(?<=/)\w{4}\W?\d\d)"
)
_DOCUMENTS = (
    *("rg", "cnh", "pis", "passaporte", "passport", "pasaporte", "dni", "nie", "rut", "curp"),
    *("ssn", "cuit", "cedula", "cédula", "eleitor"),
)
# Where the words of a document begin (not the "rg" in "cargo", but behind a number that is going to
# be masked), and what may be glued to others: each is looked for by itself, because a pattern of
# them all is ten times slower.
_NAMED = {name: re.compile(rf"{name}(?<![^\W\d]{name})") for name in _DOCUMENTS}
_NAMED |= {name: re.compile(name) for name in ("placa", "cnpj")}
_DIGITS = re.compile(r"\d+")
# A CNPJ may begin with letters: three of its characters before a slash, or thirteen and a digit.
_FIRM = re.compile(r"[/\d](?:(?<=\w{3}/)|(?<=\w{13}\d)(?<!\d{14}))")
_LEAD = 20
"""Characters that `_START` may have before its digit."""
_ZEROS = "0" * 6
_CONTEXT = 300
"""Characters before a number that are looked at: a list of five, and its label."""
_OPENED = re.compile(r"\(\s|\(?\+|\(")


# A moment that is the whole text, as payloads are full of: no kind below is written so.
_MOMENT = re.compile(
    r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
    r"(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)?)?",
    re.ASCII,
)


def numbers(text: str) -> Iterator[Find]:
    """Each number that is personal, from left to right."""
    if not _DIGITS.search(text) or _MOMENT.fullmatch(text):
        return iter(())
    if _named(text) or _FIRM.search(text):
        return scan(text)
    return _finds(text, _near_numbers(text))


def scan(text: str) -> Iterator[Find]:
    """What `numbers` gives, without its short cuts past what cannot be one."""
    return iter(()) if _MOMENT.fullmatch(text) else _finds(text, _START.finditer(text))


def _named(text: str) -> bool:
    """Whether a text may name a document; `casefold` leaves two forms of an i as they are."""
    folded = text.casefold()
    if not folded.isascii():
        folded = folded.replace("\u0307", "").replace("ı", "i")
    return any(name in folded and named.search(folded) for name, named in _NAMED.items())


def _near_numbers(text: str) -> Iterator[re.Match[str]]:
    """Those matches of `_START` whose digit may be the first of a number."""
    end = 0
    for run in _DIGITS.finditer(text):
        first = run.start()
        if _MAY_HOLD_NUMBER.match(text, first) and (
            at := _START.search(text, max(end, first - _LEAD), first + 1)
        ):
            yield at
        end = run.end()


def _finds(text: str, starts: Iterable[re.Match[str]]) -> Iterator[Find]:
    done, told = 0, ""
    for at in starts:
        for start in _starts(at):
            if start >= done and (found := _number_at(text, start, told, done)):
                kind, end = found
                if kind == "matter":
                    told += text[done:end]
                else:
                    yield Find(kind, start, end)
                    told += f"{text[done:start]}[{kind}:{_ZEROS}]"
                done, told = end, told[-_CONTEXT:]


def _starts(at: re.Match[str]) -> list[int]:
    """Where the number may begin: with the word before it, with a sign, with its first digit."""
    if at["firm"]:
        return [at.start()]
    digit = at.end() - 1
    opened = _OPENED.search(at.string, max(0, digit - 3), digit)
    return sorted(
        {at.start(), max(at.start("word"), at.start()), *(opened.span() if opened else ()), digit}
    )


def _number_at(text: str, start: int, told: str, done: int) -> tuple[str, int] | None:
    """The kind and end of the number here; what was found before `done` is masked in `told`."""
    for kind, shape, judge in _KINDS if _LEFT.match(text, start) else _KINDS[:1]:
        if match := shape.match(text, start):
            before = told + text[max(done, start - _CONTEXT) : start]
            if judge(match, _label(match, before[-_CONTEXT:])):
                return kind, match.end()
    return None


# What the word beside a number calls it; the nearest word before it wins.
_LABEL = re.compile(
    r"(?P<matter>#|\b(?:(?:pedido|encomenda|compra|protocolo?|chamado|atendimento|ocorr[eê]ncia|"
    r"sinistro|proposta|or[cç]amento|remessa|autoriza[cç][aã]o|medidor|ticket|fatura|"
    r"boleto|contrato|reserva|bilhete|voucher|cup[oõ]m|order|orden|ordem|case|objeto|modelo?|"
    r"lote|processo|nota|guia|agendamento|reclama[cç][aã]o|solicita[cç][aã]o|transa[cç][aã]o|"
    r"instala[cç][aã]o|pe[cç]a|barra|c[oó]digo|code)s?|ped|prot|postagem|reclame aqui|nf-?e?|"
    r"danfe|ap[oó]lice|matr[ií]cula|localizador|id|cod|nsu|rastre(?:io|amento)|tracking|sku|isbn|imei|renavam|chassi|"
    r"ref(?:er[eê]ncia)?|s[eé]rie|serial|ean|gtin|b\.?o|anatel|procon|fa|ip|norma|"
    r"(?:caso|(?-i:OS))(?=\W*n?\W*$))\b(?:\W{1,3}(?:de|do|da|n[uú]m(?:ero)?|number|nro?)\b)*)|"
    r"\b(?:(?P<phone>tel(?:ef\w+)?s?|fones?|cel(?:ular(?:es)?)?|what?s\w*|zap\w*|wpp|wts|"
    r"lig(?:a|ue|o)\w*|cham[ae][mr]?|llam\w+|conta[tc]to|phone|call|reach|m[oó]vil|telem[oó]vel|"
    r"tlm|msg|sms|fixo|residencial|linha|chip|retorn\w+|recados?|ddd|disc\w+|telegram|wats\w*)|(?P<number>n[uú]meros?|numbers?)|"
    r"(?P<cpf>c\.?p\.?fs?(?: na nota)?)|(?P<cnpj>cnpjs?|mei)|(?P<cep>c\.?e\.?ps?)|"
    r"(?P<card>cart(?:[aã]o|[oõ]es)|card|tarjeta|visa|master\w*|amex|elo|hiper\w*|cc)|"
    r"(?P<plate>placas?(?! de v| m[aã]e| sol)|(?:ve[ií]culo|carro|moto)s?|caminh[aã]o)|"
    rf"(?P<id>{'|'.join(_DOCUMENTS)}))\d?\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"[^\w\[\]]{0,3}(?:(?:(?:[eé]h?|esse|este|is|o|meu|my|mi|d[aoe])[^\w\[\]]{1,3}){0,4}"
    r"(?P<phone>tel(?:ef\w+)?|fone|cel(?:ular)?|what?s\w*|zap|wpp|phone|m[oó]vil)|"
    r"(?:[eé]h?|is|d[aoe]|of)[^\w\[\]]{1,3}(?:(?:o|meu|my)[^\w\[\]]{1,3})?"
    r"(?P<matter>pedido|protocolo|chamado|contrato|order|c[oó]digo))\b(?!\[)",
    re.IGNORECASE,
)
# Another number, but for a counter: "telefone 2: 3456-7890".
_CUT = re.compile(r"\w*\d(?![:)])|\w+\d[:)]\d|[\[\]]")
_JOINT = re.compile(r"\s?[,;/+&]\s?(?:(?:e|ou)\s)?|\s(?:e|ou|and|or|y|o)(?:\s[oa]s?)?\s")
_ITEM = re.compile(r"(?:\[[^\s\[\]]{1,20}\]|[^\s,;/\[\]]{1,40})$")
_NEAR = 3
"""Words that may stand between a label and its number."""
_SHARED = {"matter", "phone", "cep", "plate"}
"""Labels that hold for all numbers of a list."""
_LIST = 5
"""Numbers of one list that share the label before it."""


def _label(match: re.Match[str], before: str) -> str:
    """What the text calls this number: a word near before it, else a word after it, else ""."""
    label = _label_before(before)
    if label and label != "number":
        return label
    after = _AFTER.match(match.string, match.end())
    return (after and after.lastgroup) or label


@lru_cache(maxsize=1)  # each kind asks again for the same place
def _label_before(told: str) -> str:
    before, item = _before(told)
    label = ""
    for found in _LABEL.finditer(before):
        near = len(before[found.end() :].split()) <= _NEAR
        if not (label and found.lastgroup == "number"):
            label = (near and found.lastgroup) or ""
    if not item or label in _SHARED:
        return label
    return "phone" if item.startswith("[phone:") else ""


def _before(told: str) -> tuple[str, str]:
    """The words that lead to a number, and the last of a list's numbers that stands between."""
    end, last = len(told), ""
    for _ in range(_LIST):
        before = _CUT.split(told[max(0, end - 60) : end])[-1]
        if not _JOINT.fullmatch(before):
            return before, last
        item = _ITEM.search(told, max(0, end - len(before) - 40), end - len(before))
        end, last = (item.start(), last or item[0]) if item else (0, last or before)
    return "", last


def _is_matter(_: re.Match[str], __: str) -> bool:
    return True  # nothing else is so long


def _is_id(_: re.Match[str], label: str) -> bool:
    return label == "id"


def _is_cpf(match: re.Match[str], label: str) -> bool:
    if re.fullmatch(rf"\d{{3}}\.\d{{3}}\.\d{{3}}\s?[{_DASH}]\s?\d\d", match[0]):
        return True  # nothing else is written so, and a mistyped one is still somebody's
    digits = _plain(match[0])
    if label == "cpf" or label in {"matter", "phone", "card"} or _SERVICE.match(digits):
        return label == "cpf"
    return not match[0][1].isspace() and cpf.is_valid(digits)


def _is_cnpj(match: re.Match[str], label: str) -> bool:
    if re.search(rf"\d/\d{{3,4}}[{_DASH}]\d\d$|\..{{3}}\..{{3}}/.{{4}}[{_DASH}]\d\d$", match[0]):
        return True  # as with the CPF: no other number is written so
    return label == "cnpj" or (label != "matter" and cnpj.is_valid(_plain(match[0])))


# ISO/IEC 7812 ranges of the brands: Visa, Mastercard, Elo and Hipercard, Amex, Diners. One in
# ten order numbers passes the check digit.
_ISSUED = re.compile(
    r"4\d{15}|5[0-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|"
    r"6\d{15}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
)


def _is_card(match: re.Match[str], label: str) -> bool:
    digits = _plain(match[0])
    issued = _ISSUED.fullmatch(digits) is not None and luhn.is_valid(digits)
    return label == "card" or (issued and (label != "matter" or not match[0].isdigit()))


def _is_cep(match: re.Match[str], label: str) -> bool:
    written = re.fullmatch(rf"\d\d\.?\d{{3}}[{_DASH}]\d{{3}}", match[0]) is not None
    return label == "cep" or (written and label != "matter")


_VEHICLE = re.compile(
    r"(?<![\w\]])(?:placas?(?! de v| m[aã]e| sol)|carros?|moto(?:s|boy|rista|cicleta)?|"
    r"ve[ií]culos?|caminh(?:[aã]o|[oõ]es|onete)|[oô]nibus|autom[oó]ve(?:l|is)|oficina|renavam|"
    r"guincho|entregador|uber|van|frota|estacionamento|vistoria|detran|multa)\b(?!\[)",
    re.IGNORECASE,
)
_NO_PLATE = re.compile(
    r"(?:cpf|cep|tel|cel|zap|gtx|rtx|por|que|dos|das|com|uma|uns|mil|ano|at[eé]|pra|sem|s[aã]o|"
    r"n[aã]o|the|for)\W?\d|"
    r".{3}\s(?:19|20)\d\d$",
    re.IGNORECASE,
)


def _is_plate(match: re.Match[str], label: str) -> bool:
    """Called so; or of the Mercosul shape; or of the old one in a text about vehicles."""
    if _NO_PLATE.match(match[0]):
        return False
    if label in {"plate", "matter"}:
        return label == "plate"
    mercosul = match[0].isupper() and match[0][-3].isalpha()
    return mercosul or (" " not in match[0] and _about_vehicles(match.string))


@lru_cache(maxsize=1)
def _about_vehicles(text: str) -> bool:
    return _VEHICLE.search(text) is not None


_SERVICE = re.compile(r"0[3589]00")
_PERSONAL = {Type.MOBILE, Type.FIXED_LINE, Type.FIXED_LINE_OR_MOBILE, Type.VOIP}
_LANDLINE, _MOBILE = 8, 9
"""Digits of a Brazilian number without its area code."""
_WRITTEN = re.compile(r"\+|\(\s?0?\d\d\s?\)")
"""How only a telephone begins, though it be a mistyped one."""
_DAY = re.compile(r"20[0-3]\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])")
_YEARS = re.compile(r"(?:19|20)\d\d\D(?:(?:19|20)\d\d|\d\d/\d\d)")


def _is_phone(match: re.Match[str], label: str) -> bool:
    """A person's number: service numbers (0800, 4004) and what is called an order are none."""
    value, kind = _phone(match[0])
    if label == "matter" or _YEARS.fullmatch(match[0]):
        return False
    if _SERVICE.match(value) or _DAY.fullmatch(match[0]):
        return False
    called = label in {"phone", "number"} or _WRITTEN.match(match[0]) is not None
    local = value[5:] if len(value) == len("+55") + 2 + _LANDLINE else value
    if len(local) == _LANDLINE and _phone(local)[1] == Type.SHARED_COST:
        return False  # 4004 and the like, in front of which many write an area code
    if len(value) == _LANDLINE:
        return called
    if len(value) == _MOBILE:
        return called or re.fullmatch(r"9\D?\d{4}\D\d{4}", match[0]) is not None
    return kind in _PERSONAL or (called and kind == Type.UNKNOWN)


def _is_called_phone(match: re.Match[str], label: str) -> bool:
    """A mobile number in odd groups, which may as well be a row of short numbers."""
    return label == "phone" and _is_phone(match, label)


@lru_cache(maxsize=64)
def _phone(found: str) -> tuple[str, int]:
    """The number as +55… (digits only where the area code is missing) and its type."""
    digits = re.sub(r"\D", "", unicodedata.normalize("NFKC", found))
    if not _SERVICE.match(digits):
        digits = re.sub(r"^0[1-9]\d(?=[1-9]\d{9,10}$)", "", digits).lstrip("0")  # 0, the carrier
    if found[0] == "+" or (digits.startswith("55") and len(digits) > _MOBILE + 2):
        digits = f"+{digits}"
    try:
        number = phonenumbers.parse(digits, "BR")
    except phonenumbers.NumberParseException:
        return digits, Type.UNKNOWN
    if digits[0] == "+" or len(digits) > _MOBILE:
        digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return digits, phonenumbers.number_type(number)


_GAP = rf"(?:\s{{1,2}}(?:[./{_DASH}]\s{{0,2}})?|[./{_DASH}]\s{{0,2}})"
_CODE = r"(?:0 (?:xx|\*\*)? |0[1-9]\d[\s/-])?[1-9]\d"
_AREA = rf"(?:(?:\(\s?{_CODE}\s?\)|{_CODE}\s?\)?){_GAP}{{0,3}})?"
_ABROAD = r"(?:\+?0{0,2}55 |\(\+?55\) )?"
_GLUED = (
    "cpf cnpj cep tel cel zap fone whats sapp wpp pix ular contato cartao cartão card placa ddd"
)
_GLUE = [f"(?<={word}{sign})" for word in _GLUED.split() for sign in ("", "_")]
_SLASHED = [f"(?<={word}/)" for word in [*_GLUED.split(), "wa.me"]]
# One pair of edges for all numbers: what a neighbour keeps from being found, its mask keeps too.
_LEFT = re.compile(
    rf"(?:(?<![^\W_ºª])(?<![^\W_]_|\]_)|{'|'.join(_GLUE)}|(?<=(?<![^\s(,;:])rg)|(?<=[^\W\d])(?=\())"
    rf"(?<![\d\]][.{_DASH}])(?!(?<=\])\D)(?:(?<![^\W\d]/|\]/)|{'|'.join(_SLASHED)})",
    re.IGNORECASE,
)
_RIGHT = rf"(?![^\W\d]*\d|[^\W\d]+\[|[.{_DASH}](?:\d|\[\w{{2,5}}:))"


def _shape(*patterns: str) -> re.Pattern[str]:
    """Patterns between the edges; a blank in them stands for a gap that may be missing."""
    return re.compile(f"(?:{'|'.join(patterns).replace(' ', f'{_GAP}?')}){_RIGHT}", re.IGNORECASE)


_KINDS = (
    # Access keys of invoices (44 digits in fours) and payment slips (47 digits) are no cards.
    (
        "matter",
        re.compile(r"(?:\d{4}[ .]?){10}\d{4}(?!\d)|(?:\d{5}\.?\d{5,6} ){3}\d \d{14}"),
        _is_matter,
    ),
    ("id", _shape(r"[A-Z]{0,4}-?\d[\dA-Z.-]{3,16}\d-?[A-Z]?(?!\w)", r"\d{4} \d{4} \d{4}"), _is_id),
    (
        "cpf",
        _shape(r"\d{3} \d{3} \d{3} \d{1,3}", r"\d{3}(?:,\d{3}){2} \d\d", r"\d(?:\s\d){10}"),
        _is_cpf,
    ),
    (
        "cnpj",
        _shape(
            rf"{_X}{{2}}\.?{_X}{{3}}\.?{_X}{{3}}/{_X}{{4}}[{_DASH}]?\d\d",
            rf"\d{{2,3}}\.?\d{{3}}\.?\d{{3}}/\d{{3,4}}[{_DASH}]\d\d",
            rf"{_X}{{12}}\d\d",
            r"\d\d \d{3} \d{3} \d{4} \d\d",
        ),
        _is_cnpj,
    ),
    ("card", _shape(r"\d{4} \d{4} \d{4} \d{4}", r"3\d{3} \d{6} \d{4,5}"), _is_card),
    ("cep", _shape(r"\d\d(?: \d){5,6}"), _is_cep),
    ("plate", _shape(r"[A-Z]{3}(?:\s?[-\u2013]\s?|\s)?(?:\d[A-Z]\d\d|\d{4})"), _is_plate),
    (
        "phone",
        _shape(
            rf"{_ABROAD}{_AREA}(?:9 \d \d\d \d|[2-9]\d{{3}}) \d\d \d\d",
            rf"\+\d{{1,3}} (?:\(\d{{1,4}}\){_GAP}{{0,2}})?\d(?: \d){{5,11}}",
            r"(?:\(\d{3}\)|\d{3}) \d{3} \d{3,4}",
        ),
        _is_phone,
    ),
    ("phone", _shape(rf"{_ABROAD}{_AREA}9(?:\s?\d){{8}}"), _is_called_phone),
)
