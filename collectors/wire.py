"""The JSON of official APIs: one object in, the values of its fields out. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from ..storage.vocabulary import Outcome
from .collector import Trouble
from .judge import clip, error_inside

Object = dict[str, Any]


def read_object(body: bytes, source: str) -> Object:
    """The object in an answer; raises Trouble, also for an error inside a 200.

    ``source`` is how sentences call who answered.
    """
    try:
        data = json.loads(body.decode("utf-8-sig"), strict=False)
    except UnicodeDecodeError as error:
        raise changed(source, "it is not UTF-8") from error
    except RecursionError as error:
        raise changed(source, "it is nested too deep") from error
    except ValueError as error:
        if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
            raise Trouble(
                Outcome.UNAVAILABLE,
                f"The answer of {source} broke off before its end; the next run reads it again.",
            ) from error
        raise changed(source, "it is not JSON") from error
    if not isinstance(data, dict):
        raise changed(source, "it is no object")
    if told := error_inside(data):
        raise told
    return data


def changed(source: str, what: str) -> Trouble:
    """The answer is not in the shape that this version reads."""
    return Trouble(
        Outcome.LAYOUT_CHANGED,
        f"{source} answered in a new layout: {what}; update this program.",
    )


def objects(data: Mapping[str, Any], name: str, source: str) -> list[Any]:
    """The list under a name, empty where there is none; raises Trouble when it is no list."""
    found = data.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise changed(source, f"`{name}` is no list")
    return found


def mapping(value: object, name: str) -> Mapping[str, Any]:
    """An object that may be absent or null; raises ValueError when it is something else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"`{name}` is no object")  # noqa: TRY004 - a bad item, not a bug
    return value


def text(data: Mapping[str, Any], name: str) -> str:
    """A text that may be absent or null; raises ValueError when it is something else."""
    value = data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is no text")  # noqa: TRY004 - a bad item, not a bug
    return value.strip()


def moment(data: Mapping[str, Any], name: str) -> datetime | None:
    """An RFC 3339 time in UTC, or None; raises ValueError when it is none or has no offset."""
    value = text(data, name)
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"`{name}` is no time: {clip(value[:40])!r}") from error
    raise ValueError(f"`{name}` has no offset: {clip(value[:40])!r}")


def web_link(data: Mapping[str, Any], name: str) -> str | None:
    """A web address, or None where there is none."""
    value = data.get(name)
    safe = isinstance(value, str) and value.startswith(("https://", "http://"))
    return str(value) if safe else None


def unknown(data: Mapping[str, Any], known: Collection[str]) -> Counter[str]:
    """The fields that this version does not know."""
    return Counter([name for name in data if name not in known])
