"""Cleaning that can be undone, clauses that lie where they say, windows that lose nothing."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ouvidor.nlp.text import clauses, clean, windows


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in clauses(text)]


def test_clean_leaves_a_plain_text_alone() -> None:
    cleaned = clean("Não gostei 👎\nmesmo")
    assert cleaned.text == "Não gostei 👎\nmesmo"
    assert cleaned.original((4, 10)) == (4, 10)


def test_clean_composes_accents_and_spans_find_their_way_back() -> None:
    text = "a\u0301gua e cafe\u0301 frio"
    cleaned = clean(text)
    assert cleaned.text == "água e café frio"
    start = cleaned.text.index("café")
    first, last = cleaned.original((start, start + 4))
    assert text[first:last] == "cafe\u0301"


def test_clean_composes_hangul_and_other_starters() -> None:
    text = "\u1112\u1161\u11ab \u09c7\u09be"
    cleaned = clean(text)
    assert cleaned.text == unicodedata.normalize("NFC", text)
    assert cleaned.original((0, 1)) == (0, 3)


@pytest.mark.parametrize("tag", ["<br>", "<BR/>", "</p>", "<b>", "<mask>", "<unk>", "<s>"])
def test_clean_reads_markup_as_blanks_in_its_place(tag: str) -> None:
    assert clean(f"bom{tag}dia").text == "bom" + " " * len(tag) + "dia"


@pytest.mark.parametrize("text", ["<3", "a < b > c", "<ótimo>", "<muito bom>", "p <b"])
def test_clean_leaves_what_is_no_markup(text: str) -> None:
    assert clean(text).text == text


def test_clean_replaces_control_characters_and_lone_surrogates() -> None:
    assert clean("a\x00b\x1bc\ud800d\te\n").text == "a b c\N{REPLACEMENT CHARACTER}d\te\n"


@given(st.text(max_size=60))
def test_clean_is_nfc_and_every_character_has_an_origin(text: str) -> None:
    cleaned = clean(text)
    assert unicodedata.is_normalized("NFC", cleaned.text)
    ends = [cleaned.original((at, at + 1)) for at in range(len(cleaned.text))]
    assert all(0 <= start < end <= len(text) for start, end in ends)
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "entrega rápida, mas o produto veio quebrado",
            ["entrega rápida", "mas o produto veio quebrado"],
        ),
        ("Bom só que caro", ["Bom", "só que caro"]),
        ("não gostei porem chegou bem", ["não gostei", "porem chegou bem"]),
        ("great phone but slow", ["great phone", "but slow"]),
        ("the bill was anything but bland", ["the bill was anything but bland"]),
        (
            "funciona muy bien.No gasta mucha luz,el vendedor amable!Gracias a todos",
            ["funciona muy bien", "No gasta mucha luz", "el vendedor amable", "Gracias a todos"],
        ),
        (
            "custa R$1.299,90 no site.com.br do Dr.House",
            ["custa R$1.299,90 no site.com.br do Dr.House"],
        ),
        ("rico, sin embargo caro", ["rico", "sin embargo caro"]),
        ("rápido aunque roto", ["rápido", "aunque roto"]),
        ("schnell, aber kaputt", ["schnell", "aber kaputt"]),
        ("bello però caro", ["bello", "però caro"]),
        ("très bien, mais trop cher", ["très bien", "mais trop cher"]),
        ("Ótimo. Recomendo!", ["Ótimo", "Recomendo"]),
        ("bom\nruim", ["bom", "ruim"]),
        ("R$ 1.500,00 por isso? Caro demais", ["R$ 1.500,00 por isso", "Caro demais"]),
        ("preço bom, entrega boa", ["preço bom", "entrega boa"]),
        ("bom, bonito, barato", ["bom, bonito, barato"]),
        ("mais caro e mais lento", ["mais caro e mais lento"]),
        ("Adorei! 😍", ["Adorei! 😍"]),
        ("👍", ["👍"]),
        ("...", ["..."]),
        (" \n ", []),
        ("", []),
    ],
)
def test_clauses(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


@given(st.text(alphabet="ab ,.!\n😡\u00e9mas-", max_size=80))
def test_clauses_are_in_order_apart_and_keep_every_word(text: str) -> None:
    spans = clauses(text)
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    kept = "".join(parts(text))
    letters = [char for char in text if char.isalnum()]
    assert [char for char in kept if char.isalnum()] == letters
    assert bool(spans) == bool(text.strip())


@given(
    st.integers(0, 3000),
    st.lists(st.integers(1, 2999), max_size=40, unique=True).map(sorted),
    st.integers(2, 300),
)
def test_windows_cover_every_token_once(length: int, starts: list[int], size: int) -> None:
    runs = windows(length, starts, size)
    assert [at for start, end in runs for at in range(start, end)] == list(range(length))
    assert all(0 < end - start <= size for start, end in runs)


def test_windows_end_where_a_clause_begins() -> None:
    assert windows(1000, [0, 5, 240, 300, 470, 900], 254) == [
        (0, 240),
        (240, 470),
        (470, 724),
        (724, 900),
        (900, 1000),
    ]
