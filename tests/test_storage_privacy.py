"""What is masked and what survives, on hand-written snippets and on texts made to break it.

The rules were made on the development set; the held-out set was written before them and looked
at once, the fresh set was written after them, and the chats after all, as people write on a
telephone, then the strangers, in all the ways that numbers are written; the misses of both were
mended. The passers-by came after that and changed nothing.

The snippets lie in tests/privacy: the first column names the kinds that the text is about, marks
in the second say what must go, ``⟦cpf:529.982.247-25⟧``; all else must stay, letter by letter.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ouvidor.storage import personal_data
from ouvidor.storage.privacy import clean, mask, mask_payload, pseudonym, token

KEY = b"a key of thirty-two bytes, really"
SNIPPETS = Path(__file__).parent / "privacy"
SETS = ("development", "heldout", "fresh", "chats", "strangers", "passersby")
PERSONAL = {"cpf", "cnpj", "phone", "email", "cep", "card", "plate", "id"}
MARK = re.compile(r"⟦(\w+):([^⟧]*)⟧")
TOKEN = re.compile(r"\[(?:cpf|cnpj|phone|email|cep|card|plate|id):[0-9a-f]{6}\]")


def snippets(name: str) -> list[tuple[list[str], str]]:
    lines = (SNIPPETS / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return [(kinds.split(), text.replace("\\n", "\n")) for kinds, text in rows]


def stand_in(kind: str, value: str) -> str:
    return f"[{kind}:{token(kind + personal_data.same(kind, value), KEY, 6)}]"


class Score:
    """Right and all of: the marks by kind, the masks set, the texts with something to keep."""

    def __init__(self, *names: str) -> None:
        self.caught, self.marked = Counter[str](), Counter[str]()
        self.survived, self.kept = Counter[str](), Counter[str]()
        self.wrong_masks = self.masks = 0
        self.misses: list[str] = []
        for kinds, text in [snippet for name in names for snippet in snippets(name)]:
            self._add(kinds, text)

    def _add(self, kinds: list[str], text: str) -> None:
        masked = mask(MARK.sub(r"\2", text), KEY)
        expected = [stand_in(*mark) for mark in MARK.findall(text)]
        for (kind, _), each in zip(MARK.findall(text), expected, strict=True):
            self.marked[kind] += 1
            self.caught[kind] += each in masked
        found = TOKEN.findall(masked)
        self.masks += len(found)
        self.wrong_masks += len([each for each in found if each not in expected])
        pieces = [re.escape(piece) for piece in MARK.sub("\0", text).split("\0")]
        intact = re.fullmatch(".+?".join(pieces), masked, re.DOTALL) is not None
        for kind in [kind for kind in kinds if kind not in PERSONAL]:
            self.kept[kind] += 1
            self.survived[kind] += intact
        if not intact or masked != re.sub(MARK, lambda mark: stand_in(*mark.groups()), text):
            self.misses.append(f"{text} → {masked}")

    def __str__(self) -> str:
        kinds = [f"{kind} {self.caught[kind]}/{self.marked[kind]}" for kind in self.marked]
        kinds += [f"{kind} {self.survived[kind]}/{self.kept[kind]}" for kind in self.kept]
        right = self.masks - self.wrong_masks
        return "\n".join([", ".join(kinds), f"masks right {right}/{self.masks}", *self.misses])


def test_personal_data_goes_and_all_else_stays() -> None:
    for name in SETS:
        print(f"\n{name}: {Score(name)}")  # noqa: T201 - the figures of docs/privacy.md: pytest -s
    score = Score(*SETS)

    assert all(score.caught[kind] >= 0.99 * score.marked[kind] for kind in PERSONAL), str(score)
    assert score.masks - score.wrong_masks >= 0.99 * score.masks, str(score)
    assert score.survived.total() >= 0.99 * score.kept.total(), str(score)


def test_the_snippets_are_many_and_none_stands_twice() -> None:
    texts = [text for name in SETS for _, text in snippets(name)]

    assert len(texts) >= 600
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", SETS)
def test_masking_twice_masks_once_on_the_snippets(name: str) -> None:
    for _, text in snippets(name):
        once = mask(MARK.sub(r"\2", text), KEY)
        assert mask(once, KEY) == once


@pytest.mark.parametrize(
    ("kind", "ways"),
    [
        ("cpf", ["cpf 529.982.247-25", "52998224725", "529 982 247 25", "529.982.247/25"]),
        ("cnpj", ["11.222.333/0001-81", "cnpj 11222333000181", "11 222 333 0001 81"]),
        ("cnpj", ["12.ABC.345/01DE-35", "cnpj 12abc34501de35"]),
        (
            "phone",
            ["(11) 98765-4321", "+55 11 98765 4321", "zap 11987654321", "tel 0xx11 9.8765-4321"],
        ),
        (
            "email",
            ["Ana.Lima@Gmail.com", "ana.lima arroba gmail ponto com", "ana.lima @ gmail,com"],
        ),
        ("cep", ["01310-100", "cep 01310100", "cep 01.310-100"]),
        ("card", ["4111 1111 1111 1111", "cartão 4111111111111111", "4111-1111-1111-1111"]),
        ("plate", ["placa ABC-1234", "placa abc1234"]),
    ],
)
def test_one_number_has_one_token_however_it_is_written(kind: str, ways: list[str]) -> None:
    tokens = {tuple(TOKEN.findall(mask(way, KEY))) for way in ways}

    assert len(tokens) == 1
    assert next(iter(tokens))[0].startswith(f"[{kind}:")


def test_a_token_tells_numbers_and_installations_apart() -> None:
    assert mask("52998224725", KEY) != mask("11144477735", KEY)
    assert mask("52998224725", KEY) != mask("52998224725", b"another key")
    assert mask("ana.b@correio.example", KEY) != mask("anab@correio.example", KEY)


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("pedido 11987654321", True),
        ("zap 11987654321", False),
        ("fiz o pedido, meu zap é 11987654321", False),
        ("protocolos 1133445566, 1133445577 e 1133445588", True),
        ("1133445566 é o protocolo", True),
        ("34567890 é meu telefone", False),
        ("placa de vídeo RTX-4090 queimou", True),
        ("carro RTF-4090 na vaga", False),
        ("liguei (11) 4004-1234", True),
        ("liguei (11) 3456-1234", False),
    ],
)
def test_the_word_beside_a_number_decides(text: str, *, stays: bool) -> None:
    assert (mask(text, KEY) == text) is stays


ATOMS = st.sampled_from(
    [
        *("pedido", "cpf", "zap", "tel", "cep ", "placa", "carro", "rg", "cartao", "numero", "é o"),
        *("11987654321", "529.982.247-25", "52998224725", "11 98765-4321", "3456-7890", "01310100"),
        *("ABC1D23", "abc-1234", "12.ABC.345/01DE-35", "12345678Z", "4111 1111 1111 1111", "+55"),
        *("+34 612 345 678", "[phone:123456]", "ana@correio.example", "ana @ gmail", "4004-1234"),
        *("3524 0812 3456 7800 0190 5500 1000 0012 3411 2345 6789", "0800 722 3210", "wa.me/"),
        *("(", ")", "-", ".", ",", "/", " e ", " ", ":", "\n", "#", "[", "]", "x", "1", "55", "\0"),
        *("do pedido", "@gmail.com", "arroba", "\u0301", "\u200d", "pis ", "PİS", "pıs", "dni:"),
        *("ABCDEFGH1234", "AB.CDE.FGH/IJKL-12", "2026-03-04", "10x", "20", "c", "_", "\u00ba"),
    ]
)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(st.lists(ATOMS, max_size=10).map("".join) | st.text(max_size=60))
def test_masking_twice_masks_once(text: str) -> None:
    once = mask(text, KEY)
    assert mask(once, KEY) == once


EVERY = [MARK.sub(r"\2", text) for name in SETS for _, text in snippets(name)]
SIGNS = st.text(alphabet=" .,-/()+*xX_:ºª[]\n–1580aAbcnpj", max_size=3)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """A snippet, or a piece of one, with something cut out or put in at up to four places."""
    text = draw(st.sampled_from(EVERY))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.sampled_from((0, 0, 1, 2, 20)))
        text = text[:start] + draw(SIGNS) + text[end:]
    return text


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(mutations() | st.lists(ATOMS, max_size=6).map("".join))
def test_the_short_cut_past_a_text_misses_nothing(text: str) -> None:
    assert list(personal_data.numbers(text)) == list(personal_data.scan(text))


@pytest.mark.parametrize(
    "text",
    [
        # What stands behind a number stands behind a mask later on: there a word may begin.
        "3456-7890pis 11abc-1234",
        "52998224725PİS 55RG11.222.333-4",
        # The letters of a CNPJ, which has two digits at its end and no more.
        "cobrado por AB.CDE.FGH/IJKL-12",
        "cobrado por ABCDEFGHIJKL12 ontem",
        "a placa-abc 1234 e o pedido 4471-882, 10x de 20, zap 3456-7890",
    ],
)
def test_the_short_cut_knows_where_a_number_begins(text: str) -> None:
    assert list(personal_data.numbers(text)) == list(personal_data.scan(text))


def test_no_day_is_a_number_of_a_person() -> None:
    day, last = date(1900, 1, 1), date(2099, 12, 31)
    days = [(day + timedelta(days=n)).isoformat() for n in range(0, (last - day).days + 1, 3)]
    assert [text for text in days if list(personal_data.scan(text))] == []


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2099, 12, 31)),  # noqa: DTZ001 - hypothesis wants them so
    st.sampled_from(["", "Z", "+00:00", "-03:00", "+05:30"]),
    st.sampled_from("T "),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
)
def test_no_moment_is_a_number_of_a_person(
    moment: datetime, zone: str, between: str, exact: str
) -> None:
    text = moment.isoformat(between, exact) + zone
    assert list(personal_data.scan(text)) == list(personal_data.numbers(text)) == []


def test_the_short_cut_takes_what_holds_nothing() -> None:
    personal = [text for text in EVERY if list(personal_data.scan(text))]
    assert len(personal) >= 400
    assert [text for text in personal if not list(personal_data.numbers(text))] == []


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(mutations())
def test_masking_a_changed_snippet_twice_masks_once(text: str) -> None:
    once = mask(text, KEY)
    assert mask(once, KEY) == once


@given(st.text(alphabet=st.characters(exclude_categories=["Nd"], exclude_characters="@")))
def test_a_text_without_digit_and_address_is_only_cleaned(text: str) -> None:
    if "arroba" not in text.lower():
        assert mask(text, KEY) == clean(text)


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_what_is_clean_stays_so_and_can_be_stored(text: str) -> None:
    once = clean(text)

    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once.encode("utf-8").decode("utf-8") == once
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", once)


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("um\r\ndois\rtrês\u2028quatro\x85", "um\ndois\ntrês\nquatro\n"),
        ("só\ttab", "só\ttab"),
        ("\ud800x\udfff", "x"),
        ("\ud83d\ude00", "😀"),
        ("\u202eoãdep\u202c \u2066x\u2069", "oãdep x"),
        ("a\u200bb\ufeffc\u00add", "abcd"),
        ("cafe\u0301", "café"),
        (
            "👩🏽\u200d🚀 👨\u200d👩\u200d👧 🇧🇷 1\ufe0f\u20e3",
            "👩🏽\u200d🚀 👨\u200d👩\u200d👧 🇧🇷 1\ufe0f\u20e3",
        ),
        ("x" + "\u0335" * 500, "x" + "\u0335" * 30),
        ("h\u0321\u0335ello", "h\u0335\u0321ello"),
    ],
)
def test_cleaning(dirty: str, cleaned: str) -> None:
    assert clean(dirty) == cleaned


def test_hidden_breaks_hide_no_number() -> None:
    assert mask("cpf 529\u200b.982.\u2060247-25", KEY) == mask("cpf 529.982.247-25", KEY)
    assert mask("\u202a+55 11 98765\u20114321\u202c", KEY) == mask("+5511987654321", KEY)


def test_an_author_has_one_pseudonym_and_no_name() -> None:
    assert pseudonym("José da Silva", KEY) == pseudonym("  jose\u0301 DA silva\x00 ", KEY)
    assert pseudonym("José", KEY) != pseudonym("José", b"another key")
    assert re.fullmatch(r"p-[0-9a-f]{16}", pseudonym("José", KEY))


def test_a_json_payload_stays_json_without_person() -> None:
    told = {
        "id": "11987654321",
        "reviewId": 52998224725,
        "at": 1723987654321,
        "author": {"name": "José", "mail": "josé@correio.example"},
        "lines": ['"zap\n11987654321"', "José e Josélia", None, True, 4.5],
    }
    for raw in (json.dumps(told), json.dumps(told, ensure_ascii=False)):
        masked = json.loads(mask_payload(raw, KEY, "José"))
        name = pseudonym("José", KEY)
        assert masked == {
            "id": "11987654321",
            "reviewId": 52998224725,
            "at": 1723987654321,
            "author": {"name": name, "mail": stand_in("email", "josé@correio.example")},
            "lines": [
                f'"zap\n{stand_in("phone", "11987654321")}"',
                f"{name} e Josélia",
                None,
                True,
                4.5,
            ],
        }


def test_an_author_known_by_an_address_is_the_pseudonym_in_the_payload() -> None:
    raw = json.dumps({"by": "ana@correio.example", "said": "eu, ana@correio.example"})
    assert json.loads(mask_payload(raw, KEY, "ana@correio.example")) == {
        "by": pseudonym("ana@correio.example", KEY),
        "said": f"eu, {stand_in('email', 'ana@correio.example')}",
    }


def test_another_payload_is_masked_as_text() -> None:
    raw = "<by>Ana &amp; Bia</by><tel>11 98765-4321</tel>"
    name = pseudonym("Ana & Bia", KEY)
    assert mask_payload(raw, KEY, "Ana & Bia") == (
        f"<by>{name}</by><tel>{stand_in('phone', '11987654321')}</tel>"
    )
    assert "98765" not in mask_payload("[" * 100_000 + "11 98765-4321", KEY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | ATOMS | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON)
def test_any_json_payload_stays_json(value: object) -> None:
    once = mask_payload(json.dumps(value), KEY, "Ana")

    assert type(json.loads(once)) is type(value)
    assert mask_payload(once, KEY, "Ana") == once


HOSTILE = ["a", "1", "1 ", "1,", "a.", "@", "a@b-", "11987654321 ", "zap11987654321", "ABC-1234 "]
HOSTILE += ["a1", "[cpf:123456]", "(", "\u0301\u0323", "\ud800", "pedido ", "ana@correio.example "]


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", HOSTILE)
def test_a_megabyte_of_anything_is_masked_in_time(unit: str) -> None:
    masked = mask(unit * (1_000_000 // len(unit)), KEY)

    assert "11987654321 " not in masked
    assert "ana@correio.example" not in masked
