"""The wire format of Google's own pages: ``batchexecute``, JSON inside JSON behind a guard. Pure.

An answer is one list of frames, or with ``rt=c`` several, each behind its length. A frame of kind
``wrb.fr`` carries the result as text; an error comes as a frame too, inside a 200.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from ..storage.vocabulary import Outcome
from .collector import Trouble
from .google_play import cut, loads
from .judge import clip

_GUARD = ")]}'"
_LENGTH = re.compile(r"\s*[0-9]{1,9}\r?\n")
_BLANK = re.compile(r"\s*")
_CALL = 7
"""Places in a frame that carries a result."""


def form(call: str, arguments: object) -> bytes:
    """The form that asks for one call."""
    inner = json.dumps(arguments, separators=(",", ":"))
    frames = json.dumps([[[call, inner, None, "generic"]]], separators=(",", ":"))
    return urlencode({"f.req": frames}).encode()


def result(body: bytes, call: str) -> Any:
    """What the call gave back, None where it gave nothing; raises Trouble.

    The lengths of chunks are not trusted: they count characters, and others say bytes.
    """
    frames = [frame for chunk in _chunks(body) for frame in chunk if isinstance(frame, list)]
    for frame in frames:
        if frame[:2] == ["wrb.fr", call] and len(frame) >= _CALL:
            return _payload(frame)
    if failed := next((frame for frame in frames if frame[:1] == ["er"]), None):
        raise _error([part for part in failed[1:] if part is not None])
    raise _changed(f"there is no answer to {call}")


def _chunks(body: bytes) -> Iterator[list[Any]]:
    """The lists of frames, one after another."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _changed("it is not UTF-8") from error
    if not text.startswith(_GUARD):
        raise _changed(f"it does not begin with {_GUARD}")
    place, decoder = len(_GUARD), json.JSONDecoder()
    while place < len(text):
        length = _LENGTH.match(text, place)
        start = _BLANK.match(text, length.end() if length else place)
        place = start.end() if start else place
        if place >= len(text) and not length:
            return
        try:
            chunk, place = decoder.raw_decode(text, place)
        except RecursionError as error:
            raise _changed("it is nested too deep") from error
        except ValueError as error:
            raise (cut() if text[place : place + 1] in ("", "[") else _changed("")) from error
        if not isinstance(chunk, list):
            raise _changed("a chunk is no list")
        yield chunk


def _payload(frame: list[Any]) -> Any:
    if isinstance(frame[2], str):
        return loads(frame[2].encode("utf-8", "surrogatepass"))
    if frame[2] is None and frame[5]:
        raise _error(frame[5])
    if frame[2] is None:
        return None
    raise _changed("the result is no text")


def _error(told: object) -> Trouble:
    return Trouble(
        Outcome.UNAVAILABLE,
        f"Google answered with an error inside a 200 ({clip(told)}): it refuses this request for "
        "now, or knows no such app; check `package`, or run it again later.",
    )


def _changed(what: str) -> Trouble:
    why = f" ({what})" if what else ""
    return Trouble(
        Outcome.LAYOUT_CHANGED,
        f"Google's answer has a layout new to this version{why}; update this program, or use the "
        "official API.",
    )
