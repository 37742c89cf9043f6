"""What passes the door: cleaned, masked, under a pseudonym. Pure: text and key in, text out.

What names a matter and not a person (order and protocol numbers, prices, dates) stays readable,
because a complaint is joined by it; `personal_data` tells the one from the other.
"""

from __future__ import annotations

import hmac
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

from . import personal_data
from .person_names import unnamed
from .personal_data import Find

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Bidirectional overrides and isolates turn the text around them; plain marks (LRM, RLM) do no
# harm and joiners (ZWJ, ZWNJ) spell emoji and Persian. The rest here is invisible or control.
_CONTROL = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


_ODD = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)


def clean(text: str) -> str:
    """NFC, without control characters, unpaired surrogates, direction overrides, hidden breaks."""
    if not _ODD.search(text):  # nearly every text: the rest below costs ten times as much
        if text.isascii():
            return text
        if not _PILE.search(text):
            return unicodedata.normalize("NFC", text)
    if _SURROGATE.search(text):  # pairs become the character they mean, lone ones go
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    text = _CONTROL.sub("", _LINE_ENDS.sub("\n", text))
    if text.isascii():
        return text
    return _thinned(unicodedata.normalize("NFC", _thinned(text, _PILED)), _MARKS)


def clean_all(value: Any) -> Any:
    """A JSON value whose texts and keys are clean."""
    if isinstance(value, Mapping):
        return {clean(str(key)): clean_all(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean_all(each) for each in value]
    return clean(value) if isinstance(value, str) else value


_PILE = re.compile(r"[^\w\s\x00-\x7f]{31,}")
_MARKS = 30
"""Accents on one letter that stay, as Unicode's stream-safe text allows."""
_PILED = 256
"""Accents on one letter that are put in order first: that takes the square of their number."""


def _thinned(text: str, limit: int) -> str:
    def thin(pile: re.Match[str]) -> str:
        kept, marks = [], 0
        for each in pile[0]:
            marks = marks + 1 if unicodedata.combining(each) else 0
            if marks <= limit:
                kept.append(each)
        return "".join(kept)

    return _PILE.sub(thin, text)


def token(value: str, key: bytes, length: int = 8) -> str:
    """A keyed token: equal values get equal tokens in one installation, and in no other."""
    return hmac.digest(key, value.encode("utf-8", "replace"), "sha256").hex()[:length]


@lru_cache(maxsize=64)  # a feedback and its payload name one author
def pseudonym(author: str, key: bytes) -> str:
    """What stands for an author, in every table and payload."""
    return "p-" + token("author:" + clean(author).strip().casefold(), key, 16)


@lru_cache(maxsize=64)  # a payload repeats what its feedback says
def mask(text: str, key: bytes) -> str:
    """The text with personal data replaced by ``[kind:token]`` and control characters removed.

    Kinds: email, id (a document called by its name), cpf, cnpj, card, cep, plate, phone. One
    number written in two ways has one token. Masking what was masked changes nothing.
    """
    text = clean(text)
    text = _replaced(text, personal_data.emails(text), key)
    return _replaced(text, personal_data.numbers(text), key)


@lru_cache(maxsize=64)  # as above
def told(text: str, key: bytes, author: str, people: tuple[str, ...]) -> str:
    """The text masked, without the names of its author, of others and of whoever is greeted."""
    return unnamed(mask(text, key), author, people)


def _replaced(text: str, finds: Iterable[Find], key: bytes) -> str:
    parts, done = [], 0
    for kind, start, end in finds:
        value = personal_data.same(kind, text[start:end])
        parts += [text[done:start], f"[{kind}:{token(kind + value, key, 6)}]"]
        done = end
    return "".join([*parts, text[done:]])


_ID = re.compile(r"(?:\b|_)id$|I[dD]$")


def mask_payload(
    raw: str, key: bytes, author: str | None = None, people: Sequence[str] = ()
) -> str:
    """A raw payload behind the same filter: JSON stays JSON, the author becomes the pseudonym.

    In JSON every string is masked by itself, escapes decoded; numbers, the names of fields and ids
    stay, because a payload is kept to be read again by a mended parser. ``people`` are others whom
    the source names.
    """
    tell = _teller(key, author or "", tuple(people))
    try:
        return _JSON(_masked(json.loads(raw), tell))
    except (ValueError, RecursionError):  # no JSON, or nested too deeply to be an honest one
        return tell(raw)


_JSON = json.JSONEncoder(ensure_ascii=False).encode


@lru_cache(maxsize=1024)  # a source has few names for its fields
def _name(name: str) -> tuple[str, bool]:
    """The clean name of a field, and whether it holds an id."""
    return clean(name), _ID.search(name) is not None


def _masked(value: Any, tell: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return tell(value)
    if isinstance(value, dict):
        masked = {}
        for name, each in value.items():
            plain, is_id = _name(name)
            masked[plain] = clean_all(each) if is_id else _masked(each, tell)
        return masked
    if isinstance(value, list):
        return [_masked(each, tell) for each in value]
    return value


def _teller(key: bytes, author: str, people: tuple[str, ...]) -> Callable[[str], str]:
    """What makes of one string of a payload the string that is kept."""
    name = clean(author).strip()
    forms = {name, escape(name)} if name else set()

    def tell(text: str) -> str:
        if text in forms:
            return pseudonym(name, key)
        value = masked = mask(text, key)
        for form in forms:
            if form in value:
                value = _renamed(value, form, pseudonym(name, key))
        same = value is masked  # and then the feedback itself may have said it
        return told(text, key, author, people) if same else unnamed(value, author, people)

    return tell


def _renamed(text: str, name: str, alias: str) -> str:
    """The text with a name replaced where it stands as a word of its own.

    By hand, because a pattern made for each author costs more than the rest of the row.
    """
    parts, done = [], 0
    while (at := text.find(name, done)) >= 0:
        end = at + len(name)
        free = not (_in_word(text[at - 1 : at]) or _in_word(text[end : end + 1]))
        parts += [text[done:at], alias if free else name]
        done = end
    return "".join([*parts, text[done:]])


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"
