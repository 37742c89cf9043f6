"""Languages of real-looking texts, and the honesty to say that nobody can tell."""

from __future__ import annotations

import pytest

from ouvidor.nlp.language import LANGUAGES, identify
from ouvidor.storage.vocabulary import UNKNOWN_LANGUAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("O produto chegou quebrado e ninguém responde", "pt"),
        ("El paquete llegó roto y nadie contesta", "es"),
        ("The parcel was broken and nobody answers", "en"),
        ("Le colis est arrivé cassé et personne ne répond", "fr"),
        ("Das Paket kam kaputt an und niemand antwortet", "de"),
        ("Il pacco è arrivato rotto e nessuno risponde", "it"),
        ("とても良いです", "ja"),
        ("很好用", "zh"),
        ("ดีมาก", "th"),
        ("Очень плохой сервис", "ru"),
    ],
)
def test_plain_texts(text: str, expected: str) -> None:
    language, confidence = identify(text)
    assert language == expected
    assert 0.5 <= confidence <= 1


@pytest.mark.parametrize(
    "text", ["", "   ", "👍👍", "12345 !!!", "https://example.com/a", "@ana #top"]
)
def test_nothing_to_read_is_unknown(text: str) -> None:
    assert identify(text, hint="pt-BR") == (UNKNOWN_LANGUAGE, 0.0)


def test_the_hint_decides_where_the_text_leaves_a_doubt() -> None:
    assert identify("top")[0] == UNKNOWN_LANGUAGE
    assert identify("top", hint="pt_BR")[0] == "pt"
    assert identify("Entrega rápida", hint="pt")[0] == "pt"
    assert identify("Entrega rápida", hint="es")[0] == "es"


def test_the_hint_does_not_overrule_plain_words() -> None:
    assert identify("The delivery was late and nobody answers the phone", hint="pt")[0] == "en"


def test_an_unknown_hint_does_no_harm() -> None:
    assert identify("O produto chegou quebrado", hint="xx-Klingon")[0] == "pt"


def test_a_very_long_text_is_quick_and_known() -> None:
    assert identify("muito bom o produto " * 50_000)[0] == "pt"


def test_no_language_is_listed_twice() -> None:
    assert len(set(LANGUAGES)) == len(LANGUAGES)


def test_half_a_character_does_not_break_the_detector() -> None:
    text = "O produto chegou \ud800 quebrado \udfff e ninguém responde"
    assert identify(text)[0] == "pt"
