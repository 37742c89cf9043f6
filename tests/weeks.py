"""A brand whose sources are read and tagged as a test says, and what people said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from ouvidor.config import Config, parse
from ouvidor.storage import annotations, feedback, runs
from ouvidor.storage.database import Database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import (
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Feedback,
    Kind,
    Outcome,
    Reply,
    Sentiment,
    Topic,
)

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
WEEK = "2026-W40"
MONDAY = date(2026, 9, 28)
START = datetime(2026, 9, 28, 3, tzinfo=UTC)
"""Midnight of that Monday in São Paulo."""

BAD, GOOD = Sentiment.NEGATIVE, Sentiment.POSITIVE
TOML = """
[brand]
name = "Casa Aurora"
locale = "en"

[sources.shop]
kind = "file"

[touchpoints.delivery]
name = "Delivery"
stage = "after"
topics = ["delivery"]
owner = "ana@aurora.example"

[touchpoints.app]
name = "App"
stage = "before"
topics = ["app_stability"]

[subscribers.carla]
address = "carla@aurora.example"

[subscribers.ana]
address = "ana@aurora.example"
locale = "pt-BR"
touchpoints = ["delivery"]

[subscribers.bento]
address = "bento@aurora.example"
digest = false
"""
MAIL = '[mail]\nhost = "127.0.0.1"\nsender = "ouvidor@aurora.example"\n'


@dataclass(frozen=True)
class Said:
    """What somebody said, and what the tagger made of it."""

    text: str
    sentiment: Sentiment = BAD
    about: str | None = "delivery"
    stars: int | None = None
    hours: float = 12
    reply: str | None = None
    url: str | None = None
    kind: Kind = Kind.REVIEW
    language: str = "en"
    sure: bool = True
    span: tuple[int, int] | None = None
    topic: Topic | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    rating: tuple[str, str] | None = None
    author: str | None = None
    id: str | None = None


@dataclass
class World:
    """A brand whose sources are read and tagged as a test says."""

    db: Database
    door: Door
    config: Config = field(default_factory=lambda: parse(TOML + MAIL))
    number: int = 0

    def collect(
        self,
        *said: Said,
        source: str = "shop",
        days: float = 8,
        since: datetime = START,
        outcome: Outcome = Outcome.COMPLETE,
        at: datetime = NOW,
    ) -> None:
        """One run of a source that reads ``days`` days from ``since``."""
        run = runs.open_run(self.db, source=source, kind="file", now=NOW - timedelta(days=60))
        items = [self._item(each) for each in said]
        feedback.save_page(self.db, run, items, None, door=self.door, now=at)
        covered = (since, since + timedelta(days=days)) if days else None
        verdict = runs.Verdict(outcome=outcome, message="", joined=True, covered=covered)
        runs.close_run(self.db, run, verdict, now=at, zone=self.door.zone)
        self._annotate(said)

    def configure(self, more: str) -> None:
        """Add something to the configuration."""
        self.config = parse(TOML + MAIL + more)

    def _item(self, said: Said) -> Feedback:
        self.number += 1
        return Feedback(
            external_id=said.id or f"id-{self.number}",
            kind=said.kind,
            text=said.text,
            stars=said.stars,
            published_at=START + timedelta(hours=said.hours),
            author=said.author or f"person {self.number}",
            rating=said.rating[0] if said.rating else None,
            rating_scale=said.rating[1] if said.rating else None,
            attributes=said.attributes,
            url=said.url,
            reply=Reply(text=said.reply) if said.reply else None,
        )

    def _annotate(self, said: tuple[Said, ...]) -> None:
        claimed = annotations.claim(
            self.db, limit=9999, now=NOW, worker="elsewhere:1:a", lease=timedelta(minutes=5)
        )
        told = zip(claimed, said, strict=True)
        annotations.save(self.db, [(each, annotation(what)) for each, what in told], now=NOW)


def annotation(said: Said) -> Annotation:
    p = Distribution.certain(said.sentiment)
    aspects = (Aspect(touchpoint=said.about, p=p, span=said.span),) if said.about else ()
    aspects += (Aspect(topic=said.topic, p=p),) if said.topic else ()
    return Annotation(
        tagger="tagger 1",
        basis=Basis.TEXT,
        language=said.language,
        p=p,
        stars=None,
        uncertain=not said.sure,
        aspects=aspects,
    )


def crowd(bad: int, good: int, about: str = "delivery", hours: float = 30) -> list[Said]:
    """Many voices; every text is somebody's own."""
    sentiments = [BAD] * bad + [GOOD] * good
    words = {BAD: "It came late and broken", GOOD: "All is well and quick"}
    return [
        Said(f"{words[each]}, order {n} of {about} {hours}", each, about, hours=hours + n / 9)
        for n, each in enumerate(sentiments)
    ]
