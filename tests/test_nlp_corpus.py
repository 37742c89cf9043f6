"""Our own customer phrases: enough of each, none twice, spans exact, gold kept apart."""

from __future__ import annotations

import json
import random
import unicodedata
from collections import Counter
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

import pytest

from ouvidor.nlp.training import phrases
from ouvidor.storage.vocabulary import Sentiment, Topic

LEAST = {"pt": 14, "es": 12, "en": 12, "fr": 6, "de": 6, "it": 6}
LEAST_OTHERS = {"pt": 40, "es": 40, "en": 40, "fr": 15, "de": 15, "it": 15}
KINDS = {
    "off_topic",
    "question",
    "negation",
    "comparison",
    "but",
    "irony",
    "praise_in_complaint",
    "complaint_in_praise",
    "stars_only",
    "plain",
}


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a repeatable draw, no secret


def raw(name: str) -> list[dict[str, Any]]:
    lines = (phrases.FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def bare(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if char.isalnum()) or text


def without_accents(text: str) -> str:
    return bare("".join(c for c in unicodedata.normalize("NFD", text) if c.isascii()))


def test_every_file_is_of_a_known_language_and_read_by_someone() -> None:
    expected = {f"{lang}.jsonl" for lang in phrases.LANGUAGES}
    expected |= {f"other_{lang}.jsonl" for lang in phrases.LANGUAGES}
    expected |= {f"whole_{lang}.jsonl" for lang in phrases.WHOLE_LANGUAGES}
    expected |= {f"gold_{lang}.jsonl" for lang in phrases.GOLD_LANGUAGES}
    expected.add("posts.jsonl")
    assert {path.name for path in phrases.FOLDER.iterdir()} == expected


@pytest.mark.parametrize("lang", phrases.LANGUAGES)
def test_every_topic_and_mood_has_its_phrases(lang: str) -> None:
    counts = Counter((each.topic, each.sentiment) for each in phrases.phrases(lang))
    wanted = {(topic, mood) for topic in Topic for mood in Sentiment}
    assert {pair: counts[pair] for pair in wanted if counts[pair] < LEAST[lang]} == {}


def test_no_text_stands_twice_in_the_corpus_and_the_gold() -> None:
    names = sorted(path.name for path in phrases.FOLDER.iterdir())
    seen = Counter(bare(row["text"]) for name in names for row in raw(name))
    assert [text for text, times in seen.items() if times > 1] == []


def test_no_aspect_of_the_gold_is_a_phrase_of_the_corpus() -> None:
    trained = {bare(each.text) for lang in phrases.LANGUAGES for each in phrases.phrases(lang)}
    for lang in phrases.LANGUAGES:
        trained |= {bare(row["text"]) for row in raw(f"other_{lang}.jsonl")}
        trained |= {
            bare(said["text"])
            for row in raw(f"other_{lang}.jsonl")
            for said in row.get("aspects", ())
        }
    for lang in phrases.WHOLE_LANGUAGES:
        trained |= {bare(s["text"]) for row in raw(f"whole_{lang}.jsonl") for s in row["aspects"]}
    aspects = [
        said["text"]
        for lang in phrases.GOLD_LANGUAGES
        for row in raw(f"gold_{lang}.jsonl")
        for said in row["aspects"]
    ]
    # "Recomendo!" is everybody's.
    long = [text for text in aspects if len(text.split()) > 2]
    assert [text for text in long if bare(text) in trained] == []


@pytest.mark.parametrize("name", sorted(path.name for path in phrases.FOLDER.glob("*_*.jsonl")))
def test_every_aspect_lies_once_in_its_text(name: str) -> None:
    for row in raw(name):
        for said in row.get("aspects", ()):
            assert row["text"].count(said["text"]) == 1, said
            assert said["topic"] in set(Topic)
            assert said["sentiment"] in set(Sentiment)


@pytest.mark.parametrize("lang", phrases.LANGUAGES)
def test_the_hard_texts_are_of_every_kind(lang: str) -> None:
    rows = raw(f"other_{lang}.jsonl")
    assert len(rows) >= LEAST_OTHERS[lang]
    assert {row["kind"] for row in rows} == KINDS
    two_sided = {"comparison", "but", "praise_in_complaint", "complaint_in_praise"}
    assert all(row.get("aspects") for row in rows if row["kind"] in two_sided)
    assert not any(
        "aspects" in row for row in rows if row["kind"] in {"off_topic", "stars_only", "plain"}
    )
    assert {row["topic"] for row in rows} == {None}
    assert {row["sentiment"] for row in rows} == set(Sentiment)


@pytest.mark.parametrize("lang", phrases.GOLD_LANGUAGES)
def test_the_gold_covers_every_topic_and_agrees_with_itself(lang: str) -> None:
    rows = raw(f"gold_{lang}.jsonl")
    assert len(rows) >= 90
    counts = Counter(topic for row in rows for topic in row["topics"])
    assert {topic for topic in Topic if counts[topic] < 3} == set()
    stars = {"negative": {1, 2}, "neutral": {3}, "positive": {4, 5}}
    for row in rows:
        assert row["lang"] == lang
        assert row["stars"] in stars[row["sentiment"]], row["text"]
        assert set(row["topics"]) == {said["topic"] for said in row["aspects"]}, row["text"]


@pytest.mark.parametrize("lang", phrases.WHOLE_LANGUAGES)
def test_the_whole_reviews_agree_with_themselves(lang: str) -> None:
    rows = raw(f"whole_{lang}.jsonl")
    assert len(rows) >= 280
    stars = Counter(row["stars"] for row in rows)
    assert {star for star in range(1, 6) if stars[star] < len(rows) / 10} == set()
    for row in rows:
        assert row["lang"] == lang
        assert set(row["topics"]) == {said["topic"] for said in row["aspects"]}, row["text"]


@pytest.mark.parametrize("manner", ["small", "bare", "typos", "chat", "loud"])
def test_a_whole_review_written_carelessly_keeps_its_aspects(manner: str) -> None:
    for row in phrases.wholes("pt")[:80]:
        again = phrases.careless(seeded(4), row, manner)
        assert [each["topic"] for each in again["aspects"]] == [
            each["topic"] for each in row["aspects"]
        ]
        for before, after in zip(row["aspects"], again["aspects"], strict=True):
            said = without_accents(row["text"][slice(*before["span"])])
            seen = without_accents(again["text"][slice(*after["span"])])
            assert SequenceMatcher(None, said, seen).ratio() > 0.6, seen


def test_whole_texts_are_read_with_spans() -> None:
    first = phrases.gold("pt")[0]
    start, end = first["aspects"][0]["span"]
    assert first["text"][start:end] == raw("gold_pt.jsonl")[0]["aspects"][0]["text"]
    assert first["stars"] == 2
    joke = next(row for row in phrases.others("en") if row["text"] == "lol")
    assert (joke["topics"], joke["aspects"], joke["stars"]) == ([], [], None)


@pytest.mark.parametrize("lang", phrases.LANGUAGES)
def test_a_span_shows_its_phrase(lang: str) -> None:
    known = {bare(each.text): each for each in phrases.phrases(lang)}
    for row in phrases.compose(seeded(7), lang, 300, noise=0):
        for said in row["aspects"]:
            phrase = known[bare(row["text"][slice(*said["span"])])]
            assert said["topic"] == phrase.topic
            assert said["sentiment"] == phrase.sentiment


@pytest.mark.parametrize("lang", phrases.LANGUAGES)
def test_a_careless_span_still_shows_its_phrase(lang: str) -> None:
    known = phrases.phrases(lang)
    for row in phrases.compose(seeded(8), lang, 60, noise=1):
        for said in row["aspects"]:
            seen = without_accents(row["text"][slice(*said["span"])])
            alike = max(
                SequenceMatcher(None, seen, without_accents(each.text)).ratio()
                for each in known
                if (each.topic, each.sentiment) == (said["topic"], said["sentiment"])
            )
            assert alike > 0.75, seen


def test_spans_are_in_order_and_apart_and_topics_are_theirs() -> None:
    for row in phrases.compose(seeded(9), "pt", 300):
        spans = [said["span"] for said in row["aspects"]]
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        assert row["topics"] == [said["topic"] for said in row["aspects"]]


def test_the_whole_is_of_the_mood_that_three_in_four_share_or_of_none() -> None:
    open_rows = 0
    for row in phrases.compose(seeded(10), "en", 500):
        moods = Counter(said["sentiment"] for said in row["aspects"])
        mood, times = moods.most_common(1)[0]
        clear = times * 4 >= moods.total() * 3
        assert row["sentiment"] == (mood if clear else None)
        ranges = {"negative": (1, 2), "neutral": (None,), "positive": (4, 5), None: (None,)}
        assert row["stars"] in ranges[row["sentiment"]]
        open_rows += not clear
    assert 50 < open_rows < 250


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again = (phrases.compose(seeded(1), "es", 50) for _ in range(2))
    assert first == again
    assert phrases.compose(seeded(2), "es", 50) != first


def test_careless_writers_write_otherwise() -> None:
    neat = " ".join(row["text"] for row in phrases.compose(seeded(3), "pt", 200, noise=0))
    careless = " ".join(row["text"] for row in phrases.compose(seeded(3), "pt", 200, noise=1))
    assert sum(map(str.isupper, careless)) != sum(map(str.isupper, neat))
    assert careless.count("ã") < neat.count("ã")


def test_an_unknown_language_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'xx': take one of de, en, es, fr, it, pt"):
        phrases.compose(seeded(1), "xx", 1)
    with pytest.raises(ValueError, match=r"'de': take one of en, es, pt"):
        phrases.gold("de")
