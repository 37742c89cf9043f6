"""Who of the team customers praise by name: the first name alone, from what stands beside it. Pure.

Names are not looked up in any list: a capitalised word counts when a word for somebody who serves
stands before it, or thanks, or when the sentence says that this person helped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MOST_NAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Praised:
    """Somebody of the team whom customers praised, by first name alone."""

    name: str
    times: int
    url: str | None
    feedback: tuple[int, ...]


_NAME = r"(?P<name>[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ]{2,14})(?![\w-])"
_JOBS = (
    "atendente|vendedora?|consultora?|gerente|montadora?|entregadora?|instaladora?|técnic[oa]|"
    "funcionári[oa]|colaboradora?|moç[oa]|rapaz|caixa|encargad[oa]|asesora?|emplead[oa]|"
    "repartidora?|dependienta?|chic[oa]|salesman|saleswoman|manager|assistant|clerk|cashier|"
    "technician|driver|fitter|agent|rep"
)
_CALLED = "named|called|chamad[oa]|de nome|llamad[oa]"
_THANKS = r"graças\s+(?:ao|à|a)|obrigad[oa],?|gracias\s+a|gracias,?|thanks\s+to|thank\s+you,?"
_HELPED_BY = (
    r"me\s+atendeu|me\s+ajudou|atendid[oa]\s+pel[oa]|ajudad[oa]\s+pel[oa]|me\s+atendió|"
    r"me\s+ayudó|atendid[oa]\s+por|served\s+by|helped\s+by"
)
_HELPED = "me\\s+atendeu|me\\s+ajudou|foi|resolveu|explicou|me\\s+atendió|me\\s+ayudó|fue|resolvió"
_WAS = (
    r"was\s+(?:so\s+|very\s+)?(?:great|kind|helpful|wonderful|lovely|patient|amazing)|"
    r"helped\s+(?:me|us)|served\s+(?:me|us)"
)
_ARTICLE = r"(?:(?i:o|a|ao|à|la|el)\s+)?"
_PATTERNS = [
    re.compile(cue)
    for cue in (
        rf"\b(?i:{_JOBS})\s+(?:(?i:{_CALLED})\s+)?{_NAME}",
        rf"\b(?i:{_THANKS})\s+{_ARTICLE}{_NAME}",
        rf"\b(?i:{_HELPED_BY})\s+{_ARTICLE}{_NAME}",
        rf"(?i:\b[oa]|\bla|\bel)\s+{_NAME}\s+(?i:{_HELPED})\b",
        rf"\b{_NAME}\s+(?i:{_WAS})",
    )
]
_OTHER_WORDS = (
    "deus dios god loja tienda store shop produto producto product equipe equipo team empresa "
    "marca site sitio app aplicativo atendimento atención todos todas tudo todo everyone they "
    "she he it staff service delivery entrega muito muy pela pelo por para the this that who you "
    "everything instagram facebook google whatsapp natal navidad christmas black compra "
    "experiência experiencia minha meu nossa"
)
_NO_NAMES = frozenset(_OTHER_WORDS.split())


def names_in(text: str, brand: str) -> set[str]:
    """First names of those who served the writer."""
    found = {match["name"] for pattern in _PATTERNS for match in pattern.finditer(text)}
    return {name for name in found if name.lower() not in _NO_NAMES} - set(brand.split())


def praised(told: Iterable[tuple[int, str, str | None]], brand: str) -> list[Praised]:
    """The names in praise (id, text, link), the most praised first; a text counts once."""
    found: dict[str, list[tuple[int, str | None]]] = {}
    for feedback_id, text, url in told:
        for name in names_in(text, brand):
            found.setdefault(name, []).append((feedback_id, url))
    lines = [
        Praised(
            name=name,
            times=len(said),
            url=next((url for _, url in said if url), None),
            feedback=tuple(feedback_id for feedback_id, _ in said),
        )
        for name, said in found.items()
    ]
    return sorted(lines, key=lambda each: (-each.times, each.name))[:MOST_NAMES]
