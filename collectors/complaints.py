"""What Reclame Aqui says about a complaint, as values: states, scores, plain text. Pure.

The API and the export of HugMe say the same in two ways; both end in the attributes that
``facts`` writes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from .cells import parse_time
from .columns import fold

ZONE = ZoneInfo("America/Sao_Paulo")
"""The zone of the site's own times where they come without an offset."""
SCALE = "0-10"
_MOST = 10

STATES: Mapping[int, str] = {
    5: "not_answered",
    6: "answered",
    7: "consumer_replied",
    8: "company_replied",
    9: "evaluated",
    10: "frozen",
    12: "deactivated",
    13: "inactive",
    18: "resolved",
    19: "not_resolved",
    20: "replied",
}
"""The site's number of a state → its name here."""

_WORDS = {
    "not_answered": "nao respondido, nao respondida, pendente, pending",
    "answered": "respondido, respondida, answered",
    "consumer_replied": "replica consumidor, replica do consumidor",
    "company_replied": "replica empresa, replica da empresa",
    "replied": "replica, em replica",
    "evaluated": "avaliado, avaliada, evaluated",
    "resolved": "avaliado resolvido, avaliada resolvida, resolvido, resolvida, solved",
    "not_resolved": "avaliado nao resolvido, avaliada nao resolvida, nao resolvido, nao resolvida",
    "frozen": "congelado, congelada",
    "deactivated": "desativado pelo consumidor, desativada pelo consumidor, desativado, desativada",
    "inactive": "inativo, inativa, inativa no ra, inativa no reclameaqui, inativa no reclame aqui",
    "in_moderation": "em moderacao",
}
_STATES_BY_WORD = {word: name for name, words in _WORDS.items() for word in words.split(", ")}

GONE = {"deactivated", "inactive"}
"""States in which the site no longer shows a complaint."""

_DECISIONS = {
    "accepted": "aceita, aceito, aprovada, aprovado, deferida, deferido",
    "denied": "negada, negado, recusada, recusado, indeferida, indeferido",
    "pending": "pendente, em analise, solicitada, solicitado, aguardando",
}
_DECISIONS_BY_WORD = {
    word: name for name, words in _DECISIONS.items() for word in words.split(", ")
}

_ANSWERED = {"answered", "consumer_replied", "company_replied", "replied"}
_EVALUATED = {"evaluated", "resolved", "not_resolved"}
_BREAK = re.compile(r"<br\s*/?>|</p\s*>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:p|b|i|u|em|strong|span|div)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_SHORTEST_NAME = 3
_NOBODY = {"cliente", "consumidor", "consumidora", "usuario", "usuaria", "anonimo", "anonima"}
_YES = {"sim", "s", "yes", "true", "1", "resolvido", "resolvida"}
_NO = {"nao", "n", "no", "false", "0", "nao resolvido", "nao resolvida"}


def state(number: object, word: object) -> str:
    """The name of a state by the site's number, else by its word; an unknown one as it is."""
    if isinstance(number, int) and number in STATES:
        return STATES[number]
    told = fold(word) if isinstance(word, str) else ""
    return _STATES_BY_WORD.get(told, told.replace(" ", "_"))


def decision(word: object) -> str:
    """What became of a request to moderate: accepted, denied, pending, or the word itself."""
    told = fold(word) if isinstance(word, str) else ""
    return _DECISIONS_BY_WORD.get(told, told.replace(" ", "_"))


def known_state(name: str) -> bool:
    """Whether this reader knows what a state means."""
    return name in _WORDS


def score(value: object) -> str | None:
    """The consumer's final note from 0 to 10, or None before there is one (blank, -1).

    Raises ValueError for anything else.
    """
    told = "" if value is None else str(value).strip().replace(",", ".")
    if told in {"", "-", "-1", "-1.0"}:
        return None
    if not re.fullmatch(r"\d{1,2}(?:\.\d{1,2})?", told) or float(told) > _MOST:
        raise ValueError(f"the score {told[:20]!r} is none from 0 to 10")
    return f"{float(told):g}"


def plain(value: object) -> str:
    """A text without the markup that the site's forms leave in it, entities decoded."""
    if not isinstance(value, str):
        return ""
    text = _TAG.sub("", _BREAK.sub("\n", value))
    text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return text.replace("\n\r", "\n").replace("\r\n", "\n").replace("\r", "\n").strip()


def moment(value: object) -> datetime | None:
    """A time of the site in UTC, or None where there is none; raises ValueError."""
    return parse_time(value, ZONE) if isinstance(value, str) else None


def yes(value: object) -> bool | None:
    """A yes or no in whatever way it is said; None for neither."""
    told = value if isinstance(value, str) else str(value) if isinstance(value, bool) else ""
    word = fold(told)
    return True if word in _YES else False if word in _NO else None


def unnamed(text: str, name: str, *, by_brand: bool = False) -> str:
    """The text without the consumer's whole name; the brand greets with the first name alone."""
    words = name.split()
    forms = [r"\s+".join(map(re.escape, words))] if len(words) > 1 else []
    if by_brand and words and len(words[0]) >= _SHORTEST_NAME and fold(words[0]) not in _NOBODY:
        # A first name may also be a word: only one written like a name is meant.
        forms += [rf"(?-i:{re.escape(form)})" for form in {words[0].title(), words[0].upper()}]
    for form in forms:
        text = re.sub(rf"(?<!\w)(?i:{form})(?!\w)", "[name]", text)
    return text


def facts(
    status: str,
    *,
    answered_at: datetime | None = None,
    replied: bool = False,
    rating: str | None = None,
    evaluated_at: datetime | None = None,
    resolved: bool | None = None,
    would_return: bool | None = None,
    **more: object,
) -> dict[str, str]:
    """The life of a complaint as attributes; ``more`` is added as it is.

    ``status`` is one of the names above. ``answered`` and ``evaluated`` are always there;
    ``answered_at``, ``evaluated_at``, ``resolved``, ``would_return`` and ``score`` (0–10) only
    once they are known: before the consumer has judged, the site says "no" to everything.
    """
    judged = rating is not None or evaluated_at is not None or status in _EVALUATED
    if status in {"resolved", "not_resolved"}:
        resolved = status == "resolved"
    found = {
        "status": status,
        "answered": replied or answered_at is not None or status in _ANSWERED,
        "answered_at": answered_at,
        "evaluated": judged,
        "evaluated_at": evaluated_at,
        "resolved": resolved if judged else None,
        "would_return": would_return if judged else None,
        "score": rating,
    }
    return dict(_written(found | more))


def _written(found: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if isinstance(value, bool):
            yield name, "true" if value else "false"
        elif isinstance(value, datetime):
            yield name, value.isoformat()
        elif value not in (None, ""):
            yield name, str(value).strip()
