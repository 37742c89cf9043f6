"""Where a person is named in a text: the author, those who answered, whoever is greeted or signs.

A name is looked for where it can be nothing else: names that the source gives, as a whole; and
after a greeting, a farewell or "my name is", where it is one that the source gives or a common
given name. A name amid a sentence that nobody gave us stays: to guess it takes a model, and a wrong
guess tears a hole into a complaint.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from .common_names import FAMILY, GIVEN

MARK = "[name]"
"""What stands in the place of a name."""

_NOBODY = {
    *("cliente", "clientes", "consumidor", "consumidora", "usuario", "usuaria", "anonimo"),
    *("anonima", "user", "customer", "google", "anonymous", "app", "loja", "equipe"),
}
_TEAM = {
    *("equipe", "time", "loja", "lojas", "atendimento", "sac", "suporte", "central", "equipo"),
    *("team", "support", "customer", "gerente", "gerencia", "analista", "supervisor", "grupo"),
    *("supervisora", "relacionamento", "ouvidoria", "tienda", "store"),
}
"""Words that may follow a name and belong to none."""
_MOST = 5
"""Words of one name."""
_CUE = 48
"""Characters before a name in which its cue stands."""
_SHORTEST = 3

_WORD = r"[^\W\d_](?:[^\W\d_]|['’´-](?=[^\W\d_]))*"
_WORDS = re.compile(rf"(?<![\w\[]){_WORD}(?![\w\]])")
# The capitals of the languages we read: nearly all words of a text are passed by at once.
_CAPITAL = re.compile(r"[A-ZÀ-ÖØ-Þ][^\W\d_]+")
_NEXT = re.compile(rf"[ \t\u00a0]{{1,2}}(?:(?:d[aeo]s?|e|y|del)[ \t]{{1,2}})?(?P<word>{_WORD})")
_GREETING = (
    r"(?:(?:ol[aáà]|oi+e?|hola|hello|hi|hey|(?:bom|buen) d[ií]a|bo[an] (?:tarde|noite)|"
    r"buenos d[ií]as|buenas (?:tardes|noches)|good (?:morning|afternoon|evening)|obrigad[oa]|"
    r"gracias|thanks|thank you|valeu)|"
    # Amid a sentence these praise somebody: "nuestro querido …".
    r"(?:\A|(?<=[\n.!?])\s?)(?:dear|prezad[oa]|car[oa]|querid[oa]|estimad[oa]))"
    r"(?:\s?[(/][oa]s?\)?)?\s?(?:[,!.]\s?|\s)"
)
_CLOSING = (
    r"(?P<closing>(?:atte?|atenciosamente|cordialmente|respeitosamente|abra[cç]os?|abs|grat[oa]|"
    r"sauda[cç][oõ]es|cumprimentos|saludos?(?: cordial(?:es)?)?|atentamente|regards|sincerely|"
    r"yours|cheers)\s?(?:[.,:;!–—-]+\s{0,4}|\s{1,4}))"
)
_SAYING = (
    r"(?:meu nome (?:completo )?[eé]|me chamo|aqui (?:quem fala )?[eé](?: [oa])?|sou [oa]|"
    r"my name is|i am|i['’]m|this is|me llamo|mi nombre es|habla)\s"
)
_TITLE = r"(?:(?:sr|sra|srta|dr|dra|mr|mrs|ms|seu|dona|don|do[ñn]a|se[ñn]ora?|senhora?)\.?\s)?"
_BEFORE = re.compile(rf"(?<!\w)(?:{_GREETING}|{_CLOSING}|{_SAYING}){_TITLE}\Z", re.IGNORECASE)


@lru_cache(maxsize=64)  # a payload repeats what its feedback says
def unnamed(text: str, author: str = "", others: tuple[str, ...] = ()) -> str:
    """The text with `MARK` in the place of names.

    ``author`` is who wrote the feedback, ``others`` who else is named by the source; either may
    stand here as a whole. Doing it twice does it once.
    """
    if " " not in text and "\n" not in text:
        return text  # a word, a number, a date: no name with anything that leads to it
    people = _people(author, others)
    small = text.lower()
    told = any(word in small for word in people.words)
    if told:
        for name in people.names:
            text = _without(text, name)
        text = _unsigned(text, people.known)
    elif not any(_fold(word) in GIVEN for word in _CAPITAL.findall(text)):
        return text  # nearly every text
    return _cued(text, people.known if told else frozenset())


class _People(NamedTuple):
    """Who is named by the source: whole names, their words folded, and as they may stand."""

    names: tuple[tuple[str, ...], ...]
    known: frozenset[str]
    words: frozenset[str]


@lru_cache(maxsize=1024)
def _people(author: str, others: tuple[str, ...]) -> _People:
    names = tuple(name for each in (author, *others) if each and (name := _name(each)))
    words = {word for name in names for word in name}
    known = frozenset(fold for fold in map(_fold, words) if len(fold) >= _SHORTEST)
    # Of a whole name at least the first word has to stand there.
    return _People(names, known, known | {word.lower() for word in words})


@lru_cache(maxsize=4096)
def _fold(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(each for each in plain if not unicodedata.combining(each))


@lru_cache(maxsize=1024)
def _name(name: str) -> tuple[str, ...]:
    """The words of a name as a source gives it; none where it names nobody."""
    found = tuple(re.findall(_WORD, name))
    return () if {_fold(each) for each in found} & _NOBODY else found


def _without(text: str, name: tuple[str, ...]) -> str:
    """Without a name of several words; a nickname may be any words, a person's is in any case."""
    small = text.casefold()
    # A pattern made for each author costs more than the rest of the row: seldom, then.
    if len(name) == 1 or not all(word.casefold() in small for word in name):
        return text
    person = _fold(name[0]) in GIVEN
    if not person and not all(each[0].isupper() for each in name):
        return text
    pattern = "|".join(_spaced(form) for form in (name, [each.upper() for each in name]))
    flags = re.IGNORECASE if person else re.NOFLAG
    return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", MARK, text, flags=flags)


def _spaced(words: Sequence[str]) -> str:
    return r"[\s.]{1,4}".join(map(re.escape, words))


def _unsigned(text: str, known: frozenset[str]) -> str:
    """Without a last line that is nothing but a known name."""
    head, line, tail = text.rstrip().rpartition("\n")
    words = re.findall(_WORD, tail) if line and len(tail) < _CUE else []
    if words and all(_fold(each) in known for each in words):
        return f"{head}{line}{MARK}"
    return text


def _cued(text: str, known: frozenset[str]) -> str:
    """Without the names that a greeting, a farewell or an introduction leads to."""
    parts, done = [], 0
    for start, end in _finds(text, known):
        parts += [text[done:start], MARK]
        done = end
    return "".join([*parts, text[done:]]) if parts else text


def _finds(text: str, known: frozenset[str]) -> Iterator[tuple[int, int]]:
    done = 0
    for word in _WORDS.finditer(text):
        folded = _fold(word[0])
        named = folded in known or (folded in GIVEN and word[0][0].isupper())
        if not named or word.start() < done:
            continue
        if cue := _BEFORE.search(text, max(done, word.start() - _CUE), word.start()):
            done = _end(text, word.end(), known, signing=cue["closing"] is not None)
            yield word.start(), done


def _end(text: str, end: int, known: frozenset[str], *, signing: bool) -> int:
    """Where a name ends; under a farewell every capital word of the line belongs to it."""
    for _ in range(_MOST):
        following = _NEXT.match(text, end)
        if following is None:
            break
        word = following["word"]
        folded = _fold(word)
        capital = word[0].isupper() and (signing or folded in FAMILY or folded in GIVEN)
        if folded in _TEAM or not (folded in known or capital):
            break
        end = following.end()
    return end
