"""Google's token endpoint, and what its APIs have in common."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from .keys import keys
from .tokens import BadTokenError, fresh, verify, wall
from .wire import Answer, Refused, Request, Route, Service, World, reply

REAL = "https://oauth2.googleapis.com/token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = "https://www.googleapis.com/auth/"
BUSINESS = f"{SCOPES}business.manage"
PUBLISHER = f"{SCOPES}androidpublisher"
STORAGE = (f"{SCOPES}devstorage.read_only", f"{SCOPES}devstorage.full_control")
EVERYTHING = f"{SCOPES}cloud-platform"
REASONS = {
    400: ("INVALID_ARGUMENT", "badRequest"),
    401: ("UNAUTHENTICATED", "authError"),
    403: ("PERMISSION_DENIED", "forbidden"),
    404: ("NOT_FOUND", "notFound"),
    429: ("RESOURCE_EXHAUSTED", "rateLimitExceeded"),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What an access token is good for, and until when."""

    scopes: frozenset[str]
    until: datetime


class Google(Service):
    """``POST /token``: the service account's signed request, and the owner's refresh token.

    ``revoked`` answers both with ``invalid_grant``; ``lifetime`` is that of an access token.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.revoked = False
        self.lifetime = timedelta(hours=1)
        self._grants: dict[str, Grant] = {}

    def routes(self) -> Sequence[Route]:
        """One address for every grant."""
        return (Route("POST", "/token", self._token),)

    def admit(self, request: Request, *scopes: str) -> None:
        """Refuse a request whose token is unknown, expired or good for none of the scopes."""
        grant = self._grants.get(request.bearer() or request.one("access_token"))
        if grant is None or self.world.moment() >= grant.until:
            raise Refused(problem(401, "The access token is missing, unknown or has expired."))
        if not grant.scopes & {*scopes, EVERYTHING}:
            raise Refused(problem(403, "The token's scopes do not cover this call."))

    def expire(self) -> None:
        """Forget every access token given so far."""
        self._grants.clear()

    def _token(self, request: Request) -> Answer:
        form = request.form()
        kind = form.get("grant_type", "")
        if kind == JWT_BEARER:
            return self._signed(request, form.get("assertion", ""))
        if kind == "refresh_token":
            return self._refreshed(form)
        return _refusal("unsupported_grant_type", f"Invalid grant_type: {kind}")

    def _signed(self, request: Request, assertion: str) -> Answer:
        credentials = keys()
        try:
            claims = verify(assertion, credentials.google_private_key, credentials.google_key_id)
            fresh(claims, (self.world.moment(), wall()), 3600)
        except BadTokenError as error:
            return _refusal("invalid_grant", f"The signed request was refused: {error}.")
        if claims.get("iss") != credentials.google_email or self.revoked:
            return _refusal("invalid_grant", "The account is not known.")
        if claims.get("aud") not in {REAL, f"{request.base}/token"}:
            return _refusal("invalid_grant", "The audience is not this endpoint.")
        scopes = frozenset(str(claims.get("scope", "")).split())
        if not scopes:
            return _refusal("invalid_scope", "No scope was asked for.")
        return self._granted(scopes)

    def _refreshed(self, form: dict[str, str]) -> Answer:
        credentials = keys()
        client = (form.get("client_id"), form.get("client_secret"))
        if client != (credentials.google_client_id, credentials.google_client_secret):
            return _refusal("invalid_client", "The OAuth client is not known.", 401)
        if form.get("refresh_token") != credentials.google_refresh_token or self.revoked:
            return _refusal("invalid_grant", "Token has been expired or revoked.")
        return self._granted(frozenset({BUSINESS}), scope=BUSINESS)

    def _granted(self, scopes: frozenset[str], **more: str) -> Answer:
        access = f"ya29.{secrets.token_urlsafe(48)}"
        self._grants[access] = Grant(scopes, self.world.moment() + self.lifetime)
        seconds = max(0, int(self.lifetime.total_seconds()) - 1)
        return reply(
            {"access_token": access, "expires_in": seconds, "token_type": "Bearer", **more}
        )


def problem(status: int, message: str) -> Answer:
    """An error as Google's APIs write it."""
    name, reason = REASONS[status]
    each = {"message": message, "domain": "global", "reason": reason}
    error = {"code": status, "message": message, "status": name, "errors": [each]}
    return reply({"error": error}, status)


def _refusal(error: str, description: str, status: int = HTTPStatus.BAD_REQUEST) -> Answer:
    return reply({"error": error, "error_description": description}, status)
