"""The open data of consumidor.gov.br: a file a month about every company, without texts or ids."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus

from .consumidor_files import MONTHS, Month, closed, listed, written
from .feedback import ZONE, Piece
from .wire import Answer, Refused, Request, Route, Service, reply

PAGE = "/pages/dadosabertos/externo"
LISTED = "/pages/publicacao/externo"
DATA_SET = "reclamacoes-do-consumidor-gov-br"


class ConsumidorGovBr(Service):
    """The site's own list and downloads (with its session cookie) and the ministry's mirror."""

    def routes(self) -> Sequence[Route]:
        """Two ways to the same files."""
        mirrored = rf"/dataset/{DATA_SET}/resource/(?P<code>[^/]+)/download/[^/]+"
        return (
            Route("GET", PAGE, self._page),
            Route("GET", rf"{LISTED}/publicacoes\.json", self._list),
            Route("GET", rf"{LISTED}/(?P<code>[^/]+)/download", self._download),
            Route("GET", "/api/3/action/package_show", self._package),
            Route("GET", mirrored, self._download),
        )

    def _page(self, _: Request) -> Answer:
        body = "<!DOCTYPE html><html lang='pt-BR'><h1>Dados abertos</h1></html>"
        session = f"JSESSIONID={zlib.crc32(body.encode()):08x}.demo; Path=/; HttpOnly"
        return Answer(
            type="text/html; charset=UTF-8",
            body=body.encode(),
            headers={"Set-Cookie": session},
            cacheable=False,
        )

    def _list(self, request: Request) -> Answer:
        if "JSESSIONID=" not in request.headers.get("cookie", ""):
            body = b"<!DOCTYPE html><html><h1>Acesso negado</h1></html>"
            raise Refused(
                Answer(status=HTTPStatus.FORBIDDEN, type="text/html; charset=UTF-8", body=body)
            )
        if request.one("indicadorTipoPublicacao") != "2":
            return reply([])
        return reply(
            [
                {
                    "codigo": month.code,
                    "titulo": f"Reclamações finalizadas - {month.first:%m/%Y}",
                    "nomeArquivo": month.name,
                    "dataPublicacao": f"{self._modified(month).astimezone(ZONE):%d/%m/%Y}",
                    "tamanhoArquivo": len(written(month, self._rows(month))),
                }
                for month in reversed(self._published())
            ]
        )

    def _package(self, request: Request) -> Answer:
        help_text = f"{request.base}/api/3/action/help_show?name=package_show"
        if request.one("id") != DATA_SET:
            error = {"__type": "Not Found Error", "message": "Não encontrado"}
            return reply({"help": help_text, "success": False, "error": error}, 404)
        months = self._published()
        resources = [
            self._resource(request.base, place, month) for place, month in enumerate(months)
        ]
        result = {
            "id": "a1b4c2d0-5c4f-4c1e-9d52-0d8f7a3a6b17",
            "name": DATA_SET,
            "title": "Reclamações do Consumidor.gov.br",
            "license_id": "cc-by",
            "num_resources": len(resources),
            "state": "active",
            "resources": resources,
        }
        return reply({"help": help_text, "success": True, "result": result})

    def _resource(self, base: str, place: int, month: Month) -> dict[str, object]:
        address = f"{base}/dataset/{DATA_SET}/resource/{month.code}/download/{month.name}"
        return {
            "id": month.code,
            "name": month.name,
            "url": address,
            "format": "ZIP" if month.zipped else "CSV",
            "mimetype": _type(month),
            "size": len(written(month, self._rows(month))),
            "position": place,
            "created": f"{month.published:%Y-%m-%dT%H:%M:%S}",
            "last_modified": f"{self._modified(month).astimezone(ZONE):%Y-%m-%dT%H:%M:%S}",
            "state": "active",
        }

    def _download(self, request: Request, code: str) -> Answer:
        for month in self._published():
            if month.code == code:
                headers = {
                    "Content-Disposition": f'attachment; filename="{month.name}"',
                    "Last-Modified": format_datetime(self._modified(month), usegmt=True),
                }
                body = written(month, self._rows(month))
                return Answer(type=_type(month), body=body, headers=headers)
        return Answer(status=HTTPStatus.NOT_FOUND, body=f"{request.path} not found\n".encode())

    def _published(self) -> list[Month]:
        return [month for month in MONTHS if month.published <= self.world.now]

    def _modified(self, month: Month) -> datetime:
        """When the file was last put there: a month may be published anew with rows added."""
        late = [listed(piece) for piece in self._rows(month)]
        return max([month.published, *(moment for moment in late if moment)]).astimezone(UTC)

    def _rows(self, month: Month) -> list[Piece]:
        """The brand's complaints that the file has by now."""
        return [
            piece
            for piece in self.world.told("consumidor-gov")
            if closed(piece).replace(day=1) == month.first
            and (listed(piece) or month.published) <= self.world.now
        ]


def _type(month: Month) -> str:
    return "application/zip" if month.zipped else "text/csv"
