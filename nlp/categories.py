"""A source's own categories as topics: all there is to know where feedback comes without text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from ..storage.vocabulary import Topic

Categories = Mapping[str, Mapping[str, Topic]]
"""Source → its own category → topic."""

_BETWEEN = " / "


def topic_of(known: Mapping[str, Topic], category: str | None) -> Topic | None:
    """The topic of a category: of the whole, else of its narrowest part ("product / issue")."""
    if not category:
        return None
    parts = [category, *reversed(category.split(_BETWEEN))]
    return next((known[part] for part in parts if part in known), None)


def categories_version(categories: Categories) -> str:
    """What is added to the tagger's version: nothing where there are no categories."""
    told = {source: dict(sorted(known.items())) for source, known in categories.items() if known}
    if not told:
        return ""
    packed = json.dumps(told, sort_keys=True).encode()
    return f".{hashlib.sha256(packed).hexdigest()[:6]}"
