"""Our own corpus of customer phrases, and reviews composed from them with known spans.

``corpus/LANGUAGE.jsonl`` holds phrases that each say one thing of one topic; ``other_*.jsonl``
whole texts that are hard to read (irony, negation, "but"); ``whole_*.jsonl`` reviews as shops
and stores get them; ``posts.jsonl`` short posts about anything; ``gold_*.jsonl`` reviews that are
never trained on. Pure but for reading these files.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, cast

from ...storage.vocabulary import Sentiment, Topic

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent / "corpus"
LANGUAGES = ("de", "en", "es", "fr", "it", "pt")
WHOLE_LANGUAGES = LANGUAGES
GOLD_LANGUAGES = ("en", "es", "pt")


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a customer would say of one topic, in one mood."""

    topic: Topic
    sentiment: Sentiment
    text: str


@dataclass(frozen=True, slots=True)
class Post:
    """A short post about anything, with its mood; nobody looked for topics."""

    text: str
    lang: str
    sentiment: Sentiment


class Said(TypedDict):
    """One aspect of a row; ``span`` is [start, end) in characters of the row's text."""

    topic: str
    sentiment: str
    span: list[int]


class Row(TypedDict):
    """A review; ``sentiment`` and ``stars`` (1–5) are None where the text leaves them open."""

    text: str
    lang: str
    sentiment: str | None
    stars: int | None
    topics: list[str]
    aspects: list[Said]


class _Piece(NamedTuple):
    """A stretch of a review: a phrase, or what stands between phrases."""

    text: str
    phrase: Phrase | None = None


@dataclass(frozen=True, slots=True)
class _Speech:
    """The small words of a language that hold a review together."""

    contrast: tuple[str, ...]
    addition: tuple[str, ...]
    greeting: tuple[str, ...]
    closing: tuple[str, ...]
    chat: dict[str, str]


_SPEECH = {
    "pt": _Speech(
        (", mas ", " mas ", ", porém ", " só que ", ", só que ", ". No entanto, ", ". Mas "),
        (" e ", ", e ", ". Além disso, ", ". E "),
        ("Bom dia! ", "Boa tarde, ", "Olá, ", "Oi ", "Gente, ", "Pessoal, "),
        (" Obrigada.", " obg", " Att.", " Abraços!", " É isso."),
        {"não": "n", "que": "q", "você": "vc", "porque": "pq", "também": "tb", "muito": "mt"},
    ),
    "es": _Speech(
        (", pero ", " pero ", ", aunque ", ". Sin embargo, ", ". Pero "),
        (" y ", ", y ", ". Además, ", ". Y "),
        ("Buenos días. ", "Hola, ", "Buenas, ", "A ver, ", "Gente, "),
        (" Gracias.", " Saludos!", " Un saludo.", " Eso es todo."),
        {"que": "q", "porque": "xq", "por": "x", "también": "tb", "mucho": "mxo"},
    ),
    "en": _Speech(
        (", but ", " but ", ", though ", ". However, ", ". But "),
        (" and ", ", and ", ". Also, ", ". And "),
        ("Hi, ", "Hello! ", "Hey guys, ", "So, ", "Honestly: "),
        (" Thanks.", " cheers", " That's all.", " Regards, J."),
        {"you": "u", "are": "r", "because": "cos", "people": "ppl", "please": "pls"},
    ),
    "fr": _Speech(
        (", mais ", " mais ", ". Par contre, ", ". Mais "),
        (" et ", ", et ", ". En plus, "),
        ("Bonjour, ", "Bonsoir. ", "Salut, ", "Alors, "),
        (" Merci.", " Cordialement", " Voilà."),
        {"quand": "qd", "beaucoup": "bcp", "pour": "pr", "vous": "vs"},
    ),
    "de": _Speech(
        (", aber ", " aber ", ". Allerdings: ", ". Aber "),
        (" und ", ", und ", ". Außerdem: "),
        ("Hallo, ", "Guten Tag. ", "Moin, ", "Also: "),
        (" Danke.", " Grüße", " LG"),
        {"nicht": "nich", "und": "u.", "vielleicht": "vllt"},
    ),
    "it": _Speech(
        (", ma ", " ma ", ", però ", ". Tuttavia, ", ". Ma "),
        (" e ", ", e ", ". Inoltre, "),
        ("Buongiorno, ", "Salve. ", "Ciao, ", "Allora, "),
        (" Grazie.", " Saluti", " Tutto qui."),
        {"che": "ke", "non": "nn", "perché": "xké", "comunque": "cmq"},
    ),
}
_BREAKS = (". ", ". ", ". ", "! ", "... ", "\n", "; ", ", ", " ", " - ")
_OPEN_BREAKS = (" ", "\n")
_EMOJI = {
    Sentiment.NEGATIVE: (" 😡", " 👎", " 😞", " 🤦"),
    Sentiment.NEUTRAL: (" 🤔", " 😐"),
    Sentiment.POSITIVE: (" 😍", " 👏👏", " ❤️", " 👍"),
}
_STARS = {Sentiment.NEGATIVE: (1, 1, 2), Sentiment.NEUTRAL: (None,), Sentiment.POSITIVE: (5, 5, 4)}
_OPPOSITE = {Sentiment.NEGATIVE, Sentiment.POSITIVE}
_CLEAR = 0.75
_TYPO = 0.09
_LONG_WORD = 4


@cache
def phrases(lang: str) -> tuple[Phrase, ...]:
    """All phrases of one of ``LANGUAGES``, in the order of the file."""
    return tuple(
        Phrase(Topic(raw["topic"]), Sentiment(raw["sentiment"]), raw["text"])
        for raw in _read(lang, LANGUAGES, f"{lang}.jsonl")
    )


@cache
def _drawers(lang: str) -> dict[tuple[Topic, Sentiment], list[Phrase]]:
    """The phrases by topic and sentiment."""
    drawers: dict[tuple[Topic, Sentiment], list[Phrase]] = {}
    for phrase in phrases(lang):
        drawers.setdefault((phrase.topic, phrase.sentiment), []).append(phrase)
    return drawers


def others(lang: str) -> list[Row]:
    """The hard whole texts of one of ``LANGUAGES``; without stars."""
    return [_whole(raw, lang) for raw in _read(lang, LANGUAGES, f"other_{lang}.jsonl")]


def wholes(lang: str) -> list[Row]:
    """The reviews of one of ``WHOLE_LANGUAGES``, with stars and every aspect that they name."""
    return [_whole(raw, lang) for raw in _read(lang, WHOLE_LANGUAGES, f"whole_{lang}.jsonl")]


@cache
def posts() -> tuple[Post, ...]:
    """All posts, in the order of the file."""
    lines = (FOLDER / "posts.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(
        Post(raw["text"], raw["lang"], Sentiment(raw["sentiment"]))
        for raw in map(json.loads, lines)
    )


def gold(lang: str) -> list[Row]:
    """The test reviews of one of ``GOLD_LANGUAGES``. Never train on them."""
    return [_whole(raw, lang) for raw in _read(lang, GOLD_LANGUAGES, f"gold_{lang}.jsonl")]


def _read(lang: str, known: Sequence[str], name: str) -> list[dict[str, Any]]:
    if lang not in known:
        raise ValueError(f"no such phrases in language {lang!r}: take one of {', '.join(known)}")
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _whole(raw: dict[str, Any], lang: str) -> Row:
    text = raw["text"]
    aspects: list[Said] = []
    for said in raw.get("aspects", ()):
        start = text.index(said["text"])
        span = [start, start + len(said["text"])]
        aspects.append({"topic": said["topic"], "sentiment": said["sentiment"], "span": span})
    return {
        "text": text,
        "lang": lang,
        "sentiment": raw["sentiment"],
        "stars": raw.get("stars"),
        "topics": _unique(aspects),
        "aspects": aspects,
    }


def _unique(aspects: Sequence[Said]) -> list[str]:
    return list(dict.fromkeys(said["topic"] for said in aspects))


def compose(rng: random.Random, lang: str, count: int, *, noise: float = 0.45) -> list[Row]:
    """``count`` reviews of one to four phrases, each of its own topic; same seed, same rows.

    ``noise`` is the share written carelessly: no capitals or accents, typos, chat spelling.
    """
    return [_review(rng, lang, noise) for _ in range(count)]


def _review(rng: random.Random, lang: str, noise: float) -> Row:
    chosen = _choose(rng, _drawers(lang))
    pieces = _assemble(rng, _SPEECH[lang], chosen, lowers=lang != "de")
    if rng.random() < noise:
        pieces = _careless(rng, _SPEECH[lang], pieces, _manner(rng))
    text = ""
    aspects: list[Said] = []
    for part, phrase in pieces:
        if phrase:
            span = [len(text), len(text) + len(part)]
            said = {"topic": phrase.topic.value, "sentiment": phrase.sentiment.value}
            aspects.append({"topic": said["topic"], "sentiment": said["sentiment"], "span": span})
        text += part
    mood = _overall(chosen)
    return {
        "text": text,
        "lang": lang,
        "sentiment": mood.value if mood else None,
        "stars": rng.choice(_STARS[mood]) if mood else None,
        "topics": _unique(aspects),
        "aspects": aspects,
    }


def _choose(
    rng: random.Random, drawers: Mapping[tuple[Topic, Sentiment], Sequence[Phrase]]
) -> list[Phrase]:
    """Phrases of different topics; half of the reviews are of one mood, as most real ones are."""
    size = rng.choices((1, 2, 3, 4), (40, 35, 18, 7))[0]
    mood = rng.choice(list(Sentiment)) if rng.random() < 0.5 else None  # noqa: PLR2004 - the half above
    return [
        rng.choice(drawers[topic, mood or rng.choice(list(Sentiment))])
        for topic in rng.sample(list(Topic), size)
    ]


def _overall(chosen: Sequence[Phrase]) -> Sentiment | None:
    """The mood of at least three phrases in four; None where none weighs that much."""
    moods = [phrase.sentiment for phrase in chosen]
    clear = [mood for mood in Sentiment if moods.count(mood) >= _CLEAR * len(moods)]
    return clear[0] if clear else None


def _assemble(
    rng: random.Random, speech: _Speech, chosen: Sequence[Phrase], *, lowers: bool
) -> list[_Piece]:
    pieces = [_Piece(rng.choice(speech.greeting))] if rng.random() < 0.12 else []  # noqa: PLR2004 - one in eight
    for index, phrase in enumerate(chosen):
        if index:
            glue = _glue(rng, speech, chosen[index - 1], phrase)
            if glue.strip():
                pieces[-1] = pieces[-1]._replace(text=pieces[-1].text.rstrip(" .!…"))
            pieces.append(_Piece(glue))
        runs_on = bool(pieces) and _runs_on(pieces[-1].text)
        pieces.append(_Piece(_lowered(phrase.text) if lowers and runs_on else phrase.text, phrase))
    mood = _overall(chosen)
    if mood and rng.random() < 0.1:  # noqa: PLR2004 - one in ten
        pieces.append(_Piece(rng.choice(_EMOJI[mood])))
    if rng.random() < 0.08:  # noqa: PLR2004 - one in twelve
        pieces.append(_Piece(rng.choice(speech.closing)))
    return pieces


def _glue(rng: random.Random, speech: _Speech, before: Phrase, after: Phrase) -> str:
    if before.text.endswith("?"):
        return rng.choice(_OPEN_BREAKS)
    moods = {before.sentiment, after.sentiment}
    luck = rng.random()
    if moods == _OPPOSITE and luck < 0.7:  # noqa: PLR2004 - most of those who weigh say "but"
        return rng.choice(speech.contrast)
    if len(moods) == 1 and luck < 0.25:  # noqa: PLR2004 - and some pile up with "and"
        return rng.choice(speech.addition)
    return rng.choice(_BREAKS)


def _runs_on(text: str) -> bool:
    """Whether the sentence goes on after the text."""
    text = text.strip(" ")
    return bool(text) and (text[-1].isalpha() or text[-1] in ",;:")


def _lowered(text: str) -> str:
    """With a small first letter, unless the word is in capitals or the English "I"."""
    keeps = text[1:2].isupper() or text[:2] in {"I ", "I'"}
    return text if keeps else text[0].lower() + text[1:]


def careless(rng: random.Random, row: Row, manner: str | None = None) -> Row:
    """A whole review by a writer who cares little; its spans move with the words.

    ``manner`` is small, bare, typos, chat or loud; without it one is drawn.
    """
    cuts = sorted({0, len(row["text"]), *(at for said in row["aspects"] for at in said["span"])})
    pieces = [_Piece(row["text"][start:end]) for start, end in pairwise(cuts)]
    written = _careless(rng, _SPEECH[row["lang"]], pieces, manner or _manner(rng))
    lengths = accumulate((len(piece.text) for piece in written), initial=0)
    moved = dict(zip(cuts, lengths, strict=True))
    aspects = [{**said, "span": [moved[at] for at in said["span"]]} for said in row["aspects"]]
    text = "".join(piece.text for piece in written)
    return {**row, "text": text, "aspects": cast("list[Said]", aspects)}


def _manner(rng: random.Random) -> str:
    return rng.choices(("small", "bare", "typos", "chat", "loud"), (30, 30, 25, 10, 5))[0]


def _careless(
    rng: random.Random, speech: _Speech, pieces: Sequence[_Piece], manner: str
) -> list[_Piece]:
    """The same pieces by a writer who cares little, all in one manner."""

    def written(text: str) -> str:
        match manner:
            case "small":
                return text.lower()
            case "bare":
                return _bare(text.lower())
            case "typos":
                return " ".join(_mistyped(rng, word) for word in text.split(" "))
            case "chat":
                return " ".join(speech.chat.get(word, word) for word in text.lower().split(" "))
            case _:
                return text.upper()

    return [piece._replace(text=written(piece.text)) for piece in pieces]


def _bare(text: str) -> str:
    """Without accents."""
    parts = unicodedata.normalize("NFD", text)
    return "".join(char for char in parts if unicodedata.category(char) != "Mn")


def _mistyped(rng: random.Random, word: str) -> str:
    """Now and then two letters swapped, one lost or one doubled, never the first."""
    if len(word) < _LONG_WORD or not word.isalpha() or rng.random() > _TYPO:
        return word
    at = rng.randrange(1, len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    lost, doubled = word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]
    return rng.choice((swapped, lost, doubled))
