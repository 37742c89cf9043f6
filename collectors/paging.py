"""Paging by tokens: what is carried from page to page so that a circle is found out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ..storage.vocabulary import Outcome
from .collector import Trouble

START: Mapping[str, Any] = {"page": 1, "tokens": (), "ids": frozenset()}
"""The step of a listing's first page."""


def onward(step: Mapping[str, Any], token: str, ids: Collection[str]) -> dict[str, Any]:
    """The step of the page behind ``token``, after a page that held ``ids``.

    Raises Trouble when the listing goes in a circle: a token that came before, or a page that has
    nothing which was not on an earlier one.
    """
    again = token in step["tokens"]
    if again or (ids and step["ids"].issuperset(ids)):
        what = "a page token it had given before" if again else "only what earlier pages had"
        raise Trouble(
            Outcome.UNAVAILABLE,
            f"The listing goes in a circle: page {step['page']} came with {what}; run it again "
            "later.",
        )
    return {
        "page": step["page"] + 1,
        "tokens": (*step["tokens"], token),
        "ids": step["ids"] | frozenset(ids),
    }


def newest(moments: Iterable[datetime | None]) -> str | None:
    """The latest of some moments, as a step keeps it; None where there is none."""
    times = [moment for moment in moments if moment]
    return max(times).astimezone(UTC).isoformat() if times else None


def reached(moments: Iterable[datetime | None], back_to: str | None) -> bool:
    """Whether a page goes back beyond a moment that a step kept."""
    times = [moment for moment in moments if moment]
    return bool(back_to and times and min(times) < datetime.fromisoformat(back_to))
