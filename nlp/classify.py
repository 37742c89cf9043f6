"""Texts without a database: objects in, objects out, in the same order and as they come."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from ..storage.vocabulary import Kind, Untagged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..storage.vocabulary import Annotation, Distribution
    from .tagger import Tagger

Object = dict[str, Any]

_CHUNK = 128
_DIGITS = 4
_MOST_STARS = 5


class ClassifyError(ValueError):
    """An object cannot be classified; the text says which one, and the mend."""


def classify(tagger: Tagger, objects: Iterable[Mapping[str, Any]]) -> Iterator[Object]:
    """One result per object, read and written in chunks.

    In: ``id``, ``text`` and perhaps ``title``, ``stars``, ``lang``. Out: ``id``, ``lang``,
    ``sentiment``, ``p``, ``stars`` (expected, 1–5, or None), ``uncertain``, ``topics``,
    ``aspects`` (``span`` in characters of title and text joined by a line break) and ``model``.
    Raises ClassifyError at the first object that is none, when all before it are out.
    """
    numbered = enumerate(objects, start=1)
    while chunk := list(islice(numbered, _CHUNK)):
        good, flaw = _readable(chunk)
        annotations = tagger.tag([item for _, item in good])
        for (name, _), annotation in zip(good, annotations, strict=True):
            yield _result(name, annotation)
        if flaw is not None:
            raise flaw


def _readable(
    chunk: list[tuple[int, Mapping[str, Any]]],
) -> tuple[list[tuple[object, Untagged]], ClassifyError | None]:
    """The (id, item) pairs up to the first flaw, and that flaw."""
    good = []
    for number, row in chunk:
        try:
            good.append(untagged(number, row))
        except ClassifyError as flaw:
            return good, flaw
    return good, None


def untagged(number: int, row: Mapping[str, Any]) -> tuple[object, Untagged]:
    """(id, item for the tagger) of the object with this number; raises ClassifyError."""
    if not isinstance(row, dict):
        raise ClassifyError(f'object {number}: no JSON object; write {{"id": 1, "text": "…"}}')
    if "id" not in row:
        raise ClassifyError(f"object {number}: 'id' is missing; give every object one")
    for name in ("text", "title", "lang"):
        if not isinstance(row.get(name, None if name == "text" else ""), str | None):
            raise ClassifyError(f"object {number}: {name!r} is no text; mend it")
    if row.get("text") is None:
        raise ClassifyError(f"object {number}: 'text' is missing; give it one, perhaps empty")
    item = Untagged(
        id=number,
        source="",
        kind=Kind.REVIEW,
        title=row.get("title") or "",
        text=row["text"],
        stars=_stars(number, row.get("stars")),
        language=row.get("lang"),
        category=None,
        content_hash="",
    )
    return row["id"], item


def _stars(number: int, value: object) -> int | None:
    if value is None:
        return None
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if not whole or not 1 <= int(value) <= _MOST_STARS:  # type: ignore[call-overload]
        raise ClassifyError(f"object {number}: 'stars' is {value!r}; give 1 to 5, or leave it out")
    return int(value)  # type: ignore[call-overload,no-any-return]


def _result(name: object, annotation: Annotation) -> Object:
    return {
        "id": name,
        "lang": annotation.language,
        "sentiment": annotation.p.sentiment.value,
        "p": _rounded(annotation.p),
        "stars": None if annotation.stars is None else round(annotation.stars, 2),
        "uncertain": annotation.uncertain,
        "topics": [
            {"topic": topic.value, "p": round(p, _DIGITS)}
            for topic, p in sorted(annotation.topics.items(), key=lambda pair: -pair[1])
        ],
        "aspects": [
            {
                "topic": aspect.topic.value,
                "sentiment": aspect.p.sentiment.value,
                "p": _rounded(aspect.p),
                "span": None if aspect.span is None else list(aspect.span),
            }
            for aspect in annotation.aspects
            if aspect.topic is not None
        ],
        "model": annotation.tagger,
    }


def _rounded(p: Distribution) -> dict[str, float]:
    return {
        "negative": round(p.negative, _DIGITS),
        "neutral": round(p.neutral, _DIGITS),
        "positive": round(p.positive, _DIGITS),
    }
