from __future__ import annotations

from datetime import date
from typing import Any

from ouvidor.reports.explain import explain, parts, speakers, terms
from ouvidor.storage.series import Quote
from ouvidor.storage.vocabulary import Distribution, Sentiment

_IDS = iter(range(1, 10**6))


def said(text: str, sentiment: Sentiment = Sentiment.NEGATIVE, **more: Any) -> Quote:
    number = next(_IDS)
    values: dict[str, Any] = {
        "feedback_id": number,
        "source": "app-br",
        "kind": "review",
        "day": date(2026, 10, 20),
        "published_at": None,
        "title": "",
        "text": text,
        "stars": 1,
        "language": "pt",
        "url": f"https://example.com/{number}",
        "author": f"p-{number}",
        "attributes": {"version": "5.1.0"},
        "p": Distribution.certain(sentiment),
        "sentiment": sentiment,
        "span": None,
        "uncertain": False,
    }
    return Quote(**(values | more))


OLD = [
    said("o app trava na tela de busca e não volta mais"),
    said("demora para abrir e o login falha toda hora"),
    said("não gostei da nova tela do app, muito confusa"),
    said("o app fecha sozinho quando olho as fotos"),
    said("não consigo trocar a senha do app"),
    said("travou na busca de novo, o app é lento"),
    said("cupom não funciona no app"),
    said("app lento demais e com muita propaganda"),
] * 2
NEW = [
    said(
        "paguei com pix e o pedido não aparece, o app comeu meu dinheiro",
        attributes={"version": "5.2.0"},
    ),
    said("pix cobrado e nada do pedido no app", attributes={"version": "5.2.0"}),
    said("fiz o pix, o app travou e o pedido sumiu", attributes={"version": "5.2.0"}),
    said("o pix saiu da conta e o pedido não existe", attributes={"version": "5.2.0"}),
    said("cobraram o pix duas vezes e nenhum pedido", attributes={"version": "5.2.0"}),
    said("pix debitado, pedido não criado. E agora?", attributes={"version": "5.2.0"}),
    said("o app trava na busca", stars=2),
]
GOOD = [
    said("adoro o app, comprei com cupom e chegou rápido", Sentiment.POSITIVE, stars=5),
    said("app ótimo, o pedido chegou antes", Sentiment.POSITIVE, stars=5),
    said("muito bom, não tenho queixa do app", Sentiment.POSITIVE, stars=5),
]  # fmt: skip


def test_the_new_version_and_the_new_words_carry_the_excess() -> None:
    told = explain([*NEW, *GOOD], OLD, expected=1.5)
    assert (told.parts[0].dimension, told.parts[0].value) == ("version", "5.2.0")
    assert told.parts[0].observed == 6
    assert told.parts[0].share > 0.9
    assert not any(part.dimension == "source" for part in told.parts)
    words = [term.text for term in told.terms]
    assert any("pix" in word for word in words)
    assert not {"app", "não", "que"} & set(words)
    assert len(told.voices) == 3
    assert all("pix" in one.excerpt.text for one in told.voices[:2])


def test_the_source_that_carries_it_is_named() -> None:
    now = [said("atraso na entrega", source="reclamacoes") for _ in range(9)] + [said("atrasou")]
    before = [said("demorou", source=name) for name in ("reclamacoes", "app-br") for _ in range(10)]
    (part,) = [one for one in parts(now, before, expected=2.0) if one.dimension == "source"]
    assert (part.value, part.observed) == ("reclamacoes", 9)
    assert 0.8 < part.share <= 1
    assert part.expected == 1.0


def test_no_excess_no_parts_and_nothing_from_nothing() -> None:
    assert parts(NEW, OLD, expected=20) == []
    assert terms([], []) == []
    assert list(speakers([], [])) == []
    told = explain([], [], expected=0.5)
    assert (told.parts, told.terms, told.voices) == ((), (), ())


def test_words_everybody_always_uses_are_no_terms() -> None:
    always = [said(f"the app is the worst {word}") for word in ("abc", "def", "ghi", "jkl", "mno")]
    assert terms(always, always * 5) == []


def test_a_pair_of_words_takes_the_place_of_its_halves() -> None:
    now = [
        said(f"carrinho vazio outra vez {word}") for word in ("um", "dois", "tres", "zeta", "ecos")
    ]
    found = [term.text for term in terms(now, OLD)]
    assert "carrinho vazio" in found
    assert not {"carrinho", "vazio"} & set(found)


def test_what_the_same_texts_say_is_told_twice_at_most() -> None:
    now = [said(f"galpão fantasma extraviou encomenda {word}") for word in ("um", "dois", "tres")]
    assert 1 <= len(terms(now, OLD)) <= 2


def test_masks_are_no_words() -> None:
    now = [said(f"liguei [phone:a1b2c{n}] e nada resolvido {n}") for n in range(6)]
    assert not any("phone" in term.text or "a1b2" in term.text for term in terms(now, OLD))


def test_voices_differ_in_person_and_words_and_are_verbatim() -> None:
    twice = said("pix cobrado e nada do pedido no app", author="p-1")
    again = said("pix cobrado e nada do pedido no app", author="p-2")
    other = said("Mandei mensagem pelo chat, ninguém respondeu até hoje.", author="p-1")
    far = said("O comprovante do pix não foi aceito pelo suporte.", author="p-3")
    told = list(speakers([twice, again, other, far], ["pix", "pedido"]))
    assert len(told) == 2
    texts = {one.excerpt.text for one in told}
    assert twice.text in texts
    assert far.text in texts
    assert all(one.url for one in told)
