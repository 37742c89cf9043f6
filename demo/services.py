"""All the stand-in's APIs together."""

from __future__ import annotations

from collections.abc import Iterator

from .app_store_connect import AppStoreConnect
from .cfpb import Cfpb
from .consumidor_gov_br import ConsumidorGovBr
from .google import Google
from .google_business import GoogleBusiness
from .google_play import GooglePlay
from .google_play_reports import GooglePlayReports
from .google_play_web import GooglePlayWeb
from .reclame_aqui import ReclameAqui
from .trustpilot import Trustpilot
from .wire import Answer, Request, Service, World


class Services:
    """One attribute for each API, so that a test may turn its switches."""

    def __init__(self, world: World) -> None:
        self.google = Google(world)
        self.app_store_connect = AppStoreConnect(world)
        self.google_play = GooglePlay(world, self.google)
        self.google_play_reports = GooglePlayReports(world, self.google)
        self.google_play_web = GooglePlayWeb(world)
        self.google_business = GoogleBusiness(world, self.google)
        self.reclame_aqui = ReclameAqui(world)
        self.consumidor_gov_br = ConsumidorGovBr(world)
        self.cfpb = Cfpb(world)
        self.trustpilot = Trustpilot(world)

    def __iter__(self) -> Iterator[Service]:
        return iter(vars(self).values())

    def answer(self, request: Request) -> Answer | None:
        """The answer of the API that the path belongs to; None where there is none."""
        answers = (service.answer(request) for service in self)
        return next((answer for answer in answers if answer is not None), None)
