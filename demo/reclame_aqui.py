"""The API that Reclame Aqui sells to the companies complained about (HugMe)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from .feedback import Piece
from .keys import keys
from .reclame_aqui_ticket import COMPANY, number, ticket
from .wire import Answer, Quota, Refused, Request, Route, Service, World, reply

USUAL, MOST = 25, 50
FILTER = re.compile(r"(?P<field>[a-z_.]+)\[(?P<test>eq|gt|gte|lt|lte|ne|in|nin)\]")
FIELDS = (
    "id",
    "source_external_id",
    "company.id",
    "source.name",
    "creation_date",
    "last_modification_date",
)
SORTS = ("id", "creation_date", "last_modification_date")


class ReclameAqui(Service):
    """``/api/auth`` and ``/api/ticket/v1``: ten calls a minute, the token's included.

    ``maintenance`` and ``licensed`` switch the codes 5030 and 4030.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.maintenance = False
        self.licensed = True
        self.lifetime = timedelta(hours=1)
        self.quota = Quota(10, timedelta(minutes=1))
        self._tokens: dict[str, datetime] = {}

    def routes(self) -> Sequence[Route]:
        """Token, availability, count, tickets."""
        tickets = "/api/ticket/v1/tickets"
        return (
            Route("POST", "/api/auth/oauth/token", self._token),
            Route("GET", "/api/auth/availability", self._available),
            Route("GET", "/api/ticket/availability", self._available),
            Route("GET", f"{tickets}/count", self._count),
            Route("GET", tickets, self._list),
        )

    def expire(self) -> None:
        """Forget every access token given so far."""
        self._tokens.clear()

    def _token(self, request: Request) -> Answer:
        self._spend()
        credentials = keys()
        known = (credentials.reclame_aqui_client_id, credentials.reclame_aqui_client_secret)
        if request.basic() != known:
            raise Refused(_error(4010, "Client id or secret is wrong"))
        if request.one("grant_type") != "client_credentials":
            raise Refused(_error(4000, "grant_type must be client_credentials"))
        access = secrets.token_hex(20)
        self._tokens[access] = self.world.moment() + self.lifetime
        return reply(
            {
                "access_token": access,
                "token_type": "bearer",
                "expires_in": int(self.lifetime.total_seconds()),
                "scope": "read write",
                "rate_limit": self.quota.calls,
                "license_start_at": "2026-01-01T00:00:00Z",
                "license_end_at": "2026-12-31T23:59:59Z",
            }
        )

    def _available(self, _: Request) -> Answer:
        self._spend()
        return reply({"data": {"available": True}})

    def _count(self, request: Request) -> Answer:
        self._admit(request)
        return reply({"data": len(self._chosen(request))})

    def _list(self, request: Request) -> Answer:
        self._admit(request)
        bad = _error(4000, f"page[size] must be from 1 to {MOST}, page[number] from 1")
        size = request.number("page[size]", USUAL, bad)
        turn = request.number("page[number]", 1, bad)
        if not 1 <= size <= MOST or turn < 1:
            raise Refused(bad)
        pieces = self._chosen(request)
        page = pieces[(turn - 1) * size : turn * size]
        meta = {"page": {"number": turn, "size": size}, "total": len(pieces)}
        return reply({"data": [ticket(piece) for piece in page], "meta": meta})

    def _spend(self) -> None:
        if self.quota.take("client", self.world.moment()) is None:
            raise Refused(_error(4290, f"More than {self.quota.calls} calls a minute"))
        if self.maintenance:
            raise Refused(_error(5030, "The API is under maintenance"))

    def _admit(self, request: Request) -> None:
        self._spend()
        until = self._tokens.get(request.bearer())
        if until is None or self.world.moment() >= until:
            raise Refused(_error(4010, "The access token is missing, unknown or has expired"))
        if not self.licensed:
            raise Refused(_error(4030, "The licence does not cover this resource"))

    def _chosen(self, request: Request) -> list[Piece]:
        """The tickets that every filter lets through, in the order asked for."""
        pieces = self.world.shown("reclame-aqui")
        sort, backwards = "id", False
        for name in request.query:
            value = request.one(name)
            if found := FILTER.fullmatch(name):
                if found["field"] not in FIELDS:
                    raise Refused(_error(4220, f"There is no filter {found['field']}"))
                pieces = [
                    each for each in pieces if _fits(each, found["field"], found["test"], value)
                ]
            elif name.startswith("sort["):
                sort, backwards = name[5:].rstrip("]"), value.casefold() == "desc"
        if sort not in SORTS:
            raise Refused(_error(4220, f"There is no order by {sort}"))
        return sorted(
            pieces, key=lambda each: (_field(each, sort), number(each)), reverse=backwards
        )


def _fits(piece: Piece, field: str, test: str, value: str) -> bool:
    known = _field(piece, field)
    if test in {"in", "nin"}:
        return (str(known) in value.split(",")) is (test == "in")
    wanted = _wanted(field, value)
    # Numbers and times are each other's equals only among themselves.
    order = (known > wanted) - (known < wanted)  # type: ignore[operator]  # one field, one type
    return {
        "eq": order == 0,
        "ne": order != 0,
        "gt": order > 0,
        "gte": order >= 0,
        "lt": order < 0,
        "lte": order <= 0,
    }[test]


def _field(piece: Piece, field: str) -> int | str | datetime:
    values: dict[str, int | str | datetime] = {
        "id": number(piece),
        "source_external_id": piece.id,
        "company.id": COMPANY["companyId"],
        "source.name": "ReclameAqui",
        "creation_date": piece.at,
        "last_modification_date": piece.changed,
    }
    return values[field]


def _wanted(field: str, value: str) -> int | str | datetime:
    try:
        if field == "id":
            return int(value)
        if field.endswith("_date"):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        raise Refused(_error(4220, f"{value!r} is no value for {field}")) from None
    return value


def _error(code: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error whose first three digits are the status of HTTP."""
    body = {"message": message, "code": code, "success": False}
    return reply(body, code // 10, headers)
