"""Names go where they can be nothing else, and nowhere else."""

from __future__ import annotations

import json
from datetime import datetime
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ouvidor.storage import privacy, runs, search
from ouvidor.storage.database import Database
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.person_names import MARK, unnamed
from ouvidor.storage.vocabulary import Feedback, Reply

HERS = "Zuleide Tatu"


@pytest.mark.parametrize(
    ("text", "author", "left"),
    [
        # the author as the source gives her
        ("Sou ZULEIDE  TATU e espero", HERS, "Sou [name] e espero"),
        ("Meu nome é Zuleide e espero", HERS, "Meu nome é [name] e espero"),
        ("Não veio.\nZuleide T.", "Zuleide T.", "Não veio.\n[name]."),
        ("não veio\nzuleide", HERS, "não veio\n[name]"),
        ("Péssimo. maria clara souza", "Maria Clara Souza", "Péssimo. [name]"),
        # a greeting and a farewell, in three languages
        ("Olá, Maria! Sentimos muito.", "", "Olá, [name]! Sentimos muito."),
        ("Olá Zuleide, sentimos muito.", HERS, "Olá [name], sentimos muito."),
        ("Prezada Sra. Ana Paula de Souza, bom dia", "", "Prezada Sra. [name], bom dia"),
        ("Boa tarde, João. Att, Pedro", "", "Boa tarde, [name]. Att, [name]"),
        (
            "Atenciosamente,\nJoão Xavantino\nEquipe Tucumã",
            "",
            "Atenciosamente,\n[name]\nEquipe Tucumã",
        ),
        ("Hola Lucía, gracias. Saludos, Martín Paz", "", "Hola [name], gracias. Saludos, [name]"),
        (
            "Hi John, sorry. Best regards, Mary Poppins",
            "",
            "Hi [name], sorry. Best regards, [name]",
        ),
        ("Att, Carla Equipe Tucumã", "", "Att, [name] Equipe Tucumã"),
        ("Me chamo Karina Gomes e recebi", "", "Me chamo [name] e recebi"),
    ],
)
def test_a_name_goes(text: str, author: str, left: str) -> None:
    assert unnamed(text, author) == left
    assert unnamed(left, author) == left


@pytest.mark.parametrize(
    ("text", "author"),
    [
        ("Comprei uma rosa e um sol de pano", "Rosa Sol"),
        ("Muito bom", "muito bom"),
        ("Olá, boa tarde! Att, Equipe Tucumã", ""),
        ("Att. Tucumã Casa", ""),
        ("Fui à loja da Maria, na rua João Pessoa", ""),
        ("A consulta foi at James Cook Hospital", ""),
        ("o nosso querido Nicolas Cage", ""),
        ("Cliente satisfeito. Olá, Cliente!", "Cliente"),
        ("A Google user said: hi Google", "A Google user"),
        ("sou a maior fã, obrigada!", ""),
        ("Olá, tudo bem?", ""),
    ],
)
def test_what_is_no_name_stays(text: str, author: str) -> None:
    assert unnamed(text, author) == text


def test_those_who_answered_go_wherever_they_are_named() -> None:
    text = "Falei com Berenice Prado e com Bento."
    assert unnamed(text, HERS, ("Berenice Prado",)) == "Falei com [name] e com Bento."


def test_nobody_is_named_in_what_is_stored(db: Database, door: Door, now: datetime) -> None:
    text = "Meu nome é Zuleide Tatu. Nada veio."
    answer = "Olá, Zuleide! Falei com Berenice Prado. Att, João Pereira"
    item = Feedback(
        external_id="1",
        title="Zuleide Tatu espera",
        text=text,
        author=HERS,
        people=["Berenice Prado"],
        reply=Reply(text=answer),
        attributes={"comentario_final": "Obrigada, Zuleide Tatu"},
        raw=json.dumps({"text": text, "reply": answer, "by": HERS}, ensure_ascii=False),
    )
    run = runs.open_run(db, source="queixas", kind="file", now=now)
    save_page(db, run, [item], None, door=door, now=now)
    (held,) = search.held(db, privacy.pseudonym(HERS, door.key), key=door.key)
    everything = f"{held} {held.payloads}"
    names = ("Zuleide", "Tatu", "Berenice", "Prado", "João", "Pereira")
    assert [name for name in names if name in everything] == []
    found = held.shown.feedback
    assert found.text == "Meu nome é [name]. Nada veio."
    assert found.reply_text == "Olá, [name]! Falei com [name]. Att, [name]"
    assert json.loads(held.payloads[0])["by"] == privacy.pseudonym(HERS, door.key)


@given(
    st.text()
    | st.lists(st.sampled_from(["Olá", ", ", "Maria", " ", "Att", "\n", "Zuleide", "de", "."])).map(
        "".join
    ),
    st.sampled_from(["", HERS, "Maria", "x", "…", "Maria (Zuleide)"]),
)
def test_twice_is_once(text: str, author: str) -> None:
    once = unnamed(text, author)
    assert unnamed(once, author) == once
    assert once == text or MARK in once


@pytest.mark.parametrize("unit", ["Olá, Maria ", "Maria ", "Att, ", "Zuleide Tatu ", "a", "\n"])
def test_time_grows_with_length(unit: str) -> None:
    def took(count: int) -> float:
        started = perf_counter()
        unnamed.__wrapped__(unit * count, HERS)
        return perf_counter() - started

    few = min(took(2_000) for _ in range(3))
    assert took(20_000) < 40 * few + 0.5
