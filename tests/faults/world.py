"""A stand-in brand, a mail server, and an installation that can be put back to any stage."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

from aiosmtpd.controller import UnixSocketController
from faults import zygote
from faults.child import Plan
from faults.installation import Installation
from faults.relay import Relay

from ouvidor.demo.feedback import Piece, read_feedback
from ouvidor.demo.server import StandIn
from ouvidor.storage.database import Database, unprepared

BEFORE = datetime.fromisoformat("2026-10-11T21:00:00-03:00")
DURING = datetime.fromisoformat("2026-10-19T09:00:00-03:00")
SOURCES = ("app-br", "reclamacoes")
KEY = "a key of thirty-two bytes, really"
SENDER = "ouvidor@tucuma.example"
HASTY = "hasty.toml"
"""The same installation with little patience, for servers that say nothing."""

READERS = ("ana", "bento", "carla", "davi", "elisa", "flora")
_PEOPLE = "".join(
    f'[subscribers.{name}]\naddress = "{name}@tucuma.example"\nlocale = "{locale}"\n'
    for name, locale in zip(READERS, ("pt-BR", "es", "pt-BR", "es", "pt-BR", "es"), strict=True)
)
_SETTINGS = """
[brand]
name = "Tucumã Casa"
locale = "pt-BR"
time_zone = "America/Sao_Paulo"

[sources.app-br]
kind = "app_store"
app = "1590042871"
country = "br"
base_url = "http://localhost:{web}"
delay = 0
{manners}

[sources.reclamacoes]
kind = "file"
path = "files/reclamacoes.jsonl"
base_url = "http://localhost:{web}"
feedback_kind = "complaint"
delay = 0
{manners}
columns = {{ id = "id", published_at = "criado_em", title = "titulo", text = "texto", \
category = "categoria", author = "autor", reply = "resposta.texto", reply_at = "resposta.em" }}

[touchpoints.checkout]
name = "Pagamento"
stage = "during"
topics = ["online_shopping", "billing_payment"]
owner = "bento@tucuma.example"
examples = ["A tela de pagamento trava.", "Paguei e o pedido não apareceu."]

[touchpoints.entrega]
name = "Entrega"
stage = "after"
topics = ["delivery", "packaging_condition"]
owner = "ana@tucuma.example"

[touchpoints.atendimento]
name = "Atendimento"
stage = "after"
topics = ["customer_support"]

[watch]
false_alarms_per_month = 12

[mail]
host = "localhost"
port = {mail}
tls = "none"
sender = "{sender}"
{patience}

{people}
"""


@dataclass(frozen=True)
class Step:
    """A verb, the moment it is called at, and what was read before it."""

    name: str
    verb: str
    now: datetime
    read: dict[str, datetime | None]
    """Until when each source was read before this step; None is never."""

    @property
    def source(self) -> str | None:
        """The source that this step reads."""
        return self.verb.split()[1] if self.verb.startswith("collect ") else None


_NEVER: dict[str, datetime | None] = dict.fromkeys(SOURCES)
_THEN: dict[str, datetime | None] = dict.fromkeys(SOURCES, BEFORE)
_NOW: dict[str, datetime | None] = dict.fromkeys(SOURCES, DURING)
STEPS = (
    Step("first", "collect app-br", BEFORE, _NEVER),
    Step("collect", "collect app-br", DURING, _THEN),
    Step("file", "collect reclamacoes", DURING, _THEN | {"app-br": DURING}),
    Step("annotate", "annotate", DURING, _NOW),
    Step("watch", "watch", DURING, _NOW),
    Step("digest", "digest", DURING, _NOW),
    Step("deliver", "deliver", DURING, _NOW),
)


@dataclass
class Post:
    """A mail server's other end: what arrived, by Message-ID and address, and how it answers.

    Of so many of the mails that were taken (``share``) the connection is dropped before the answer.
    """

    arrived: Counter[tuple[str, str]] = field(default_factory=Counter)
    share: float = 0.0
    dropped: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - no secret

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        mail = message_from_bytes(envelope.content)
        self.arrived[str(mail["Message-ID"]), str(mail["To"])] += 1
        if self.chance.random() < self.share:
            self.dropped += 1
            server.transport.abort()
        return "250 taken"


@dataclass
class World:
    """Everything one fault needs. ``states`` and ``tallies`` are by the name of a step."""

    folder: Path
    brand: StandIn
    post: Post
    web: Relay
    mail: Relay
    house: Installation
    environment: dict[str, str]
    states: dict[str, Any] = field(default_factory=dict)
    tallies: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def plan(self, step: Step, *, settings: str = "ouvidor.toml", **more: Any) -> Plan:
        """The plan of a step; ``now`` and ``verb`` may be others."""
        now = more.pop("now", step.now)
        verb = more.pop("verb", step.verb)
        words = [*verb.split(), "--config", str(self.folder / settings)]
        words += ["--now", now.isoformat()] if now else []
        environment = self.environment | more.pop("environment", {})
        output = str(self.folder / f"said-{threading.get_ident()}-{time.monotonic_ns()}")
        return Plan(
            words=words, environment=environment, folder=str(self.folder), output=output, **more
        )

    def start(self, step: Step, **more: Any) -> zygote.Child:
        """Begin a step."""
        self.brand.now = step.now
        return zygote.start(self.plan(step, **more))

    def run(self, step: Step, **more: Any) -> zygote.Ended:
        """A step from its beginning to its end, whatever that is."""
        ended = self.start(step, **more).ended()
        for left in self.folder.glob("said-*"):
            left.unlink()
        return ended

    def back_to(self, step: Step) -> None:
        """Everything as it stood before the step."""
        self.house.back_to(f"before_{step.name}")
        self.post.arrived.clear()
        self.brand.now = step.now

    @contextmanager
    def open(self) -> Iterator[Database]:
        """The database, as any other program sees it."""
        with closing(unprepared(self.house.url)) as db:
            yield db

    def settings(self) -> None:
        """Write both configurations."""
        places = {"web": self.web.port, "mail": self.mail.port, "sender": SENDER, "people": _PEOPLE}
        plain = _SETTINGS.format(**places, manners="retries = 2\nbackoff = 0", patience="")
        hasty = _SETTINGS.format(
            **places, manners="retries = 0\ntimeout = 0.6", patience="timeout = 0.6"
        )
        (self.folder / "ouvidor.toml").write_text(plain, encoding="utf-8")
        (self.folder / HASTY).write_text(hasty, encoding="utf-8")


@contextmanager
def world(house: Installation) -> Iterator[World]:
    """A world around an empty installation, with a whole life lived once undisturbed."""
    folder = Path(tempfile.mkdtemp(prefix="ouvidor-faults-"))
    post = Post()
    place = str(folder / "smtp")
    controller = UnixSocketController(post, unix_socket=place)
    controller.start()
    try:
        with (
            StandIn(BEFORE, feedback=_pieces()) as brand,
            Relay(int(brand.url.rpartition(":")[2])) as web,
            Relay(place) as mail,
        ):
            environment = {"OUVIDOR_DATABASE_URL": house.url, "OUVIDOR_KEY": KEY}
            made = World(folder, brand, post, web, mail, house, environment)
            made.settings()
            _live_once(made)
            yield made
    finally:
        controller.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _pieces() -> list[Piece]:
    """What two sources of the stand-in brand show; its incident is five times as loud in one."""
    pieces = read_feedback(SOURCES)
    loud = [piece for piece in pieces if piece.incident and piece.source == "reclamacoes"]
    return [*pieces, *(replace(each, id=f"{each.id}-{n}") for each in loud for n in range(4))]


def _live_once(world: World) -> None:
    """The database before and after every step, how long it took, and what points it passed."""
    from faults.truth import state

    first, later = STEPS[0], STEPS[1:]
    _step(world, first)
    for verb in ("collect reclamacoes", "annotate", "watch"):
        _well(world.run(first, verb=verb))
    for step in later:
        _step(world, step)
    for step in STEPS:
        assert world.tallies[step.name], step
    world.states["mails"] = dict(world.post.arrived)
    assert world.states["mails"], state


def _step(world: World, step: Step) -> None:
    from faults.truth import state

    tally = world.folder / "tally.json"
    world.house.keep(f"before_{step.name}")
    began = time.monotonic()
    _well(world.run(step, tally=str(tally)))
    world.seconds[step.name] = time.monotonic() - began
    world.tallies[step.name] = json.loads(tally.read_text(encoding="utf-8"))
    world.states[step.name] = state(world)


def _well(ended: zygote.Ended) -> None:
    assert ended.code == 0, ended


def later(step: Step, by: timedelta) -> datetime:
    """A moment after the step's."""
    return step.now + by
