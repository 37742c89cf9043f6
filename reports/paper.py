"""A digest as one JSON document: everything the mail says, and nothing it does not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Any

from .render import harmless, safe_link
from .week import Digest, Share

_LEFT_OUT = {"zone", "names"}


def document(digest: Digest) -> dict[str, Any]:
    """The digest as values that JSON knows.

    Days and moments are ISO 8601, durations hours, shares objects with ``part``, ``whole``,
    ``value`` and ``interval``; nothing is rounded. Quotes are cleaned as in the mail.
    """
    told: dict[str, Any] = {"headline": digest.headline} | _plain(digest)
    told["first"] = [score.touchpoint for score in digest.first]
    told["time_zone"] = str(digest.zone)
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, Share):
        names = ("part", "whole", "value", "interval")
        return {name: _plain(getattr(value, name)) for name in names}
    if is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else _single(value)


def _object(value: Any) -> dict[str, Any]:
    told = {each.name: getattr(value, each.name) for each in fields(value)}
    plain = {name: _plain(each) for name, each in told.items() if name not in _LEFT_OUT}
    return plain | ({"url": safe_link(told["url"])} if "url" in told else {})


def _single(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return value / timedelta(hours=1)
    if isinstance(value, str):
        return harmless(value)
    return value.isoformat() if isinstance(value, date) else value
