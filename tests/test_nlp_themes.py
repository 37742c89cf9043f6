"""Emerging themes and posture: what grew, grouped by meaning; what shows a trait."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ouvidor.config import Trait
from ouvidor.nlp.posture import posture
from ouvidor.nlp.themes import FEWEST, emerging
from ouvidor.storage.studies import Remark, Told
from ouvidor.storage.vocabulary import Distribution, Sentiment

Floats = NDArray[np.float32]
OLD = ["o tecido veio macio e bonito", "a entrega foi rápida e cuidadosa", "gostei muito da cor"]


def told(number: int, text: str, author: str | None = None) -> Told:
    return Told(
        feedback_id=number,
        source="loja",
        author=author or f"p{number}",
        language="pt",
        text=text,
        negative="travou" in text,
        touchpoints=frozenset({"app"} if "travou" in text else ()),
    )


def apart(phrases: Sequence[str]) -> Floats:
    """No two phrases mean the same."""
    return np.eye(len(phrases), dtype=np.float32)


def texts(first: int, count: int, phrase: str | None = None) -> list[Told]:
    made = [OLD[n % 3] + (f", {phrase}" if phrase else "") for n in range(count)]
    return [told(first + n, f"{text} caso {chr(97 + n % 26)}{n}") for n, text in enumerate(made)]


PAST = texts(1000, 200)


def test_a_phrase_that_many_use_now_and_nobody_did_is_a_theme() -> None:
    [theme] = emerging([*texts(0, 60), *texts(60, 12, "o boleto travou")], PAST, apart)
    assert "boleto" in theme.phrase
    assert (theme.now, theme.now_of, theme.before, theme.before_of) == (12, 72, 0, 200)
    assert (theme.negatives, theme.touchpoint, theme.sources) == (12, "app", ("loja",))
    assert set(theme.quotes) <= set(range(60, 72))


def test_what_was_always_said_is_no_theme() -> None:
    assert emerging(texts(0, 60), PAST, apart) == []


def test_few_people_and_one_who_repeats_are_no_theme() -> None:
    few = texts(60, FEWEST - 1, "o boleto travou")
    assert emerging([*texts(0, 60), *few], PAST, apart) == []
    one = [told(60 + n, f"o boleto travou {'x' * n}", "p") for n in range(20)]
    assert emerging([*texts(0, 60), *one], PAST, apart) == []


def test_without_a_past_nothing_is_new() -> None:
    assert emerging(texts(0, 60, "o boleto travou"), [], apart) == []
    assert emerging([], [], apart) == []


@pytest.mark.parametrize("same", [True, False])
def test_phrases_that_mean_the_same_are_one_theme(same: bool) -> None:  # noqa: FBT001 - a case
    now = [*texts(0, 60), *texts(60, 18, "boleto"), *texts(80, 18, "fatura")]

    def embed(phrases: Sequence[str]) -> Floats:
        return np.ones((len(phrases), 1), np.float32) if same else apart(phrases)

    found = emerging(now, PAST, embed)
    assert len(found) == (1 if same else 2)
    assert sum(theme.now for theme in found) == 36


class Reader:
    """Sentences as points: how much they are about the trait, and on which side."""

    def vectors(self, sentences: Sequence[str]) -> tuple[Floats, Floats]:
        sides = np.array([[s.count("+") - s.count("-"), 1.0] for s in sentences], np.float32)
        about = np.array([[1.0, 0.0] if "t" in s else [0.0, 1.0] for s in sentences], np.float32)
        return sides, about

    def same_subject(self, cosines: Floats) -> Floats:
        return cosines


def remark(words: str, sentiment: Sentiment) -> Remark:
    return Remark(feedback_id=1, words=words, p=Distribution.certain(sentiment))


def test_remarks_show_or_contradict_a_trait_and_others_do_not_count() -> None:
    trait = Trait(name="Quick", shows=["t+"], contradicts=["t-"])
    said = [
        remark("t+", Sentiment.POSITIVE),
        remark("t-", Sentiment.NEGATIVE),
        remark("t", Sentiment.NEUTRAL),
        remark("a dear price", Sentiment.NEGATIVE),
    ]
    [found] = posture("delivery", [trait], said, Reader())
    assert (found.remarks, found.shows) == (3, 1)
    assert found.score_sum == pytest.approx(9.0, abs=0.01)  # nearly 5, nearly 1, and 3


def test_a_trait_without_sentences_is_not_judged() -> None:
    said = [remark("t+", Sentiment.POSITIVE)]
    assert posture("delivery", [Trait(name="Quick")], said, Reader()) == []
    assert posture("delivery", [Trait(name="Quick", shows=["t+"])], [], Reader()) == []
