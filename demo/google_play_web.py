"""Google Play's public pages: the request by which they load reviews, promised by nobody."""

from __future__ import annotations

import json
import re
import secrets
import zlib
from collections.abc import Sequence
from urllib.parse import unquote

from .feedback import Piece
from .google_play import PACKAGE, exact
from .wire import Answer, Request, Route, Service, World

PATH = "/_/PlayStoreUi/data/batchexecute"
RPC = "UsvDTd"
MOST = 150
FACE = "https://play-lh.example/a/"


class GooglePlayWeb(Service):
    """``POST`` of one form, answered with arrays in an array, as text, behind a guard.

    ``chunked`` answers in pieces with their lengths; ``circle`` gives the first page's token on
    every page; ``failing`` answers with an error frame inside a 200; ``size`` is the most reviews
    on a page. Paging works only with the cookie that the first page sets.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.chunked = self.circle = self.failing = False
        self.size = MOST
        self._cookie = secrets.token_urlsafe(24)
        self._places: dict[str, int] = {}

    def routes(self) -> Sequence[Route]:
        """One address for every question."""
        return (Route("POST", PATH, self._execute),)

    def _execute(self, request: Request) -> Answer:
        asked = _question(request.form().get("f.req", ""))
        if asked is None:
            return Answer(status=400, body=b"Error 400 (Bad Request)!!1", cacheable=False)
        package, wanted, token = asked
        if self.failing or package != PACKAGE:
            return self._framed(None, [3])
        if token and (self._cookie not in request.headers.get("cookie", "")):
            return self._framed(None, [3])
        if token and token not in self._places:
            return self._framed(None, [3])
        start = self._places.get(token or "", 0)
        pieces = self._pieces(request.one("hl", "en"))
        size = min(wanted, self.size)
        page = pieces[start : start + size]
        if not page:
            return self._framed([])
        tail: list[object] = []
        if self.circle or start + size < len(pieces):
            tail = [[None, self._token(size if self.circle else start + size)]]
        return self._framed([[_review(piece) for piece in page], *tail])

    def _token(self, place: int) -> str:
        """A token for a place; the same place has always the same one."""
        for token, known in self._places.items():
            if known == place:
                return token
        token = f"CtgB{secrets.token_urlsafe(60)}"
        self._places[token] = place
        return token

    def _pieces(self, language: str) -> list[Piece]:
        """Reviews with a comment in this language, changed last first."""
        short = language.partition("-")[0].partition("_")[0]
        pieces = [piece for piece in self.world.shown("play") if piece.text and piece.lang == short]
        return sorted(pieces, key=lambda piece: (piece.updated, piece.id), reverse=True)

    def _framed(self, payload: object, error: object = None) -> Answer:
        text = None if payload is None else _dumps(payload)
        result = ["wrb.fr", RPC, text, None, None, error, "generic"]
        rest = [["di", 33], ["af.httprm", 32, "-4216027241190152733", 17]]
        body = ")]}'\n\n"
        if self.chunked:
            for frames in ([result], rest, [["e", 4, None, None, 131]]):
                chunk = f"\n{_dumps(frames)}\n"
                body += f"{len(chunk)}{chunk}"
        else:
            body += _dumps([result, *rest])
        cookie = {"Set-Cookie": f"NID=511={self._cookie}; expires=Mon, 26-Apr-2027; path=/"}
        kind = "application/json; charset=utf-8"
        return Answer(type=kind, body=body.encode(), headers=cookie, cacheable=False)


def _question(form: str) -> tuple[str, int, str | None] | None:
    """Package, page size and token of a question; None for what is no question."""
    try:
        ((rpc, inner, *_),) = json.loads(form)[0]
        listing, app = json.loads(inner)[2:4]
        package, size, token = app[0], listing[2][0], listing[2][2]
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    newest = 2
    if rpc != RPC or listing[1] != newest or not isinstance(size, int) or size < 1:
        return None
    return (str(unquote(package)), size, token) if re.fullmatch(r"[\w.]+", str(package)) else None


def _review(piece: Piece) -> list[object]:
    """The seventeen places of a review; those that are empty have no known meaning."""
    moment = exact(piece.updated, piece.id)
    name = piece.author or "Um usuário do Google"
    face = [None, 2, None, [None, None, f"{FACE}{zlib.crc32(piece.id.encode())}"]]
    number = str(10**20 + zlib.crc32(name.encode()))
    answer: list[object] | None = None
    if piece.reply:
        told = exact(piece.reply.at, piece.id)
        answer = ["Tucumã Casa", piece.reply.text, _time(told.timestamp(), told.microsecond)]
    return [
        piece.id,
        [name, face],
        piece.stars,
        piece.title or None,
        piece.text,
        _time(moment.timestamp(), moment.microsecond),
        int(piece.details.get("up", "0")),
        answer,
        None,
        [number, name, None, [face, True], face],
        piece.details.get("version"),
        *(None, None, None, None, None),
        1,
    ]


def _time(seconds: float, microseconds: int) -> list[int]:
    return [int(seconds), microseconds * 1000]


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
