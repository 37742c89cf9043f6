"""What the three ways to Google Play's reviews have in common. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator

from ..storage.vocabulary import Outcome
from .collector import Trouble

STORE = "https://play.google.com/store/apps/details"
_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _package(value: str) -> str:
    if len(value) > 150 or not _PACKAGE.fullmatch(value):  # noqa: PLR2004 - Google's own limit
        raise ValueError(
            f"{value[:60]!r} is no app; write its package, which stands after `id=` in the app's "
            "address in the store, like 'br.com.example.app'"
        )
    return value


Package = Annotated[str, AfterValidator(_package)]
"""An app on Google Play: its application id."""


def link(package: str, review: str) -> str:
    """The review in the store."""
    return f"{STORE}?{urlencode({'id': package, 'reviewId': review})}"


def loads(body: bytes) -> Any:
    """The JSON in an answer; raises Trouble where there is none, or only its beginning."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except RecursionError as error:
        raise _no_json("it is nested too deep") from error
    except UnicodeDecodeError as error:
        raise _no_json("it is not UTF-8") from error
    except ValueError as error:
        if body.lstrip()[:1] in (b"{", b"["):
            raise cut() from error
        raise _no_json("it is not JSON") from error


def cut() -> Trouble:
    """An answer that breaks off."""
    return Trouble(
        Outcome.UNAVAILABLE,
        "The answer broke off before its end; the next run reads it again.",
    )


def _no_json(what: str) -> Trouble:
    return Trouble(
        Outcome.LAYOUT_CHANGED,
        f"The answer cannot be read ({what}); check `base_url`, or update this program.",
    )


def text(fields: Mapping[str, Any], name: str) -> str:
    """A field as text, empty where it is missing or no plain value."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def stars(value: object) -> int:
    """Stars 1 to 5; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in range(1, 6):
        raise ValueError(f"{str(value)[:20]!r} is no rating from 1 to 5")
    return value


def moment(seconds: object, nanos: object) -> datetime:
    """A moment in UTC from seconds (Google writes them as text) and, if any, nanoseconds."""
    whole = str(seconds)
    if isinstance(seconds, bool | float) or not _WHOLE.fullmatch(whole):
        raise ValueError(f"{whole[:40]!r} are no seconds since 1970")
    part = nanos if isinstance(nanos, int) and 0 <= nanos < 1_000_000_000 else 0  # noqa: PLR2004 - a second
    try:
        return _EPOCH + timedelta(seconds=int(whole), microseconds=part // 1000)
    except OverflowError as error:
        raise ValueError(f"{whole[:40]!r} seconds since 1970 lie beyond all calendars") from error


def tag(language: str) -> str | None:
    """A language tag from ``pt_BR``, or None for what is none."""
    first, *rest = language.replace("_", "-").split("-")
    found = "-".join([first.lower(), *rest])
    return found if _LANGUAGE.fullmatch(found) else None
