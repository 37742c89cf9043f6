"""Collector: what every kind of source declares, and the values it takes and gives.

A collector is pure: bytes in, values out. It says what to ask for first and turns each answer into
pages of Feedback; asking, storing and judging are the run's.
"""

from __future__ import annotations

import difflib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..config import ConfigError, Source, explain
from ..storage.vocabulary import Feedback, Outcome, Topic
from . import sources


class Trait(StrEnum):
    """What a kind of source is like; the contract's clauses are bound to these."""

    PAGED = "paged"
    """Read page by page, each page committed before the next is asked for."""
    NEWEST_FIRST = "newest_first"
    """Newest first: a page that holds nothing unsettled has joined known ground."""
    CAPPED = "capped"
    """Shows only so much, however much there is."""
    POLLED = "polled"
    """Asked again and again over the network."""
    PUSHED = "pushed"
    """Sends by itself; a run reads what has arrived."""
    WHOLE_FILE = "whole_file"
    """Every reading starts at the first row; the file may have been replaced."""
    WHOLE_LIST = "whole_list"
    """A full reading shows all there is: what it shows no more was taken away there."""


class Trouble(Exception):  # noqa: N818 - the word of the house; it names a way to end, not a bug
    """A source that cannot be read: the outcome, and one sentence that names the mend."""

    def __init__(self, outcome: Outcome, sentence: str) -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.sentence = sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What to read next: an address, or a file of this machine.

    ``step`` is the collector's own note for when the answer comes. ``conditional`` says that
    "not modified since the last joined run" would answer for the whole source. ``headers`` and
    ``body`` may hold a secret and are shown nowhere; ``body`` is sent with a POST. ``part`` names
    the part of the source that this belongs to: known ground is joined in each by itself.
    ``instead`` is what to ask for where this is no longer known (an old page token).
    """

    url: str = ""
    path: Path | None = None
    step: Mapping[str, Any] = field(default_factory=dict)
    conditional: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    part: str = ""
    instead: Ask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. Header names are in lower case; a whole file comes as ``path``."""

    url: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Something that could not be read, set aside: where it stood, why, and its cells."""

    where: str
    reason: str
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A source that shows only what was written or changed within the last ``span``.

    ``mend`` is the part of a sentence that says where the older ones are to be had.
    """

    span: timedelta
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a source, stored in one transaction with its ``checkpoint``.

    ``where`` names the place of each item (a row) and ``cells`` what stood there, for the operator
    who gets it back when it is not fit to be stored. ``unknown`` counts fields the parser does not
    know, ``repeated`` rows that stand in a file once more. ``next`` is None where nothing more is
    to be asked for; an answer may hold many pages, and the last one's counts. ``beyond`` is what to
    ask for next where known ground was joined: the source's next part. ``empty`` is the proof that
    the source says itself that there is nothing, ``unchanged`` that it says nothing has changed
    since the mark; ``capped`` says that it shows no more than this. ``covered`` is the span that a
    whole file knows completely, where that is not the one from its oldest to its newest feedback.
    """

    items: Sequence[Feedback] = ()
    where: Sequence[str] = ()
    cells: Sequence[Mapping[str, str]] = ()
    rejected: Sequence[Rejected] = ()
    repeated: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)
    checkpoint: Mapping[str, object] = field(default_factory=dict)
    next: Ask | None = None
    beyond: Ask | None = None
    empty: bool = False
    unchanged: bool = False
    capped: bool = False
    covered: tuple[datetime, datetime] | None = None
    notes: Sequence[str] = ()


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{value!r} is no web address; write one like 'https://example.com'")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "an address holds no user and password; leave what stands before the @ out"
        )
    return value.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web_address)]


class Options(BaseModel):
    """The options every source has: the manners of asking. Times are in seconds.

    No single wait is longer than a run's lease (five minutes), or others would take it for dead.

    ``contact`` (a mail or web address of the operator) goes into the User-Agent.
    ``private_network`` says that a name of the public web may lead into one's own network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    base_url: WebAddress | None = None
    delay: float | None = Field(default=None, ge=0, le=3600)
    timeout: float = Field(default=30, gt=0, le=240)
    retries: int = Field(default=2, ge=0, le=10)
    backoff: float = Field(default=2, ge=0, le=600)
    patience: float = Field(default=60, ge=0, le=240)
    contact: str = Field(default="", max_length=200, pattern=r"^[\x21-\x7e]*$")
    private_network: bool = False
    max_requests: int = Field(default=500, ge=1, le=100_000)
    max_minutes: float = Field(default=25, gt=0, le=24 * 60)
    max_megabytes: float = Field(default=64, gt=0, le=2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a source stands: its name, the brand's zone, the configuration's folder."""

    name: str
    zone: ZoneInfo
    folder: Path


S = TypeVar("S", bound=Options)


class Access(ABC):
    """How an API lets us in. It lives as long as one run; what it holds is written nowhere."""

    def ask(self, now: datetime) -> Ask | None:  # noqa: ARG002 - what others need
        """What to ask for a token, or None while one is fresh or none is needed."""
        return None

    def keep(self, answer: Answer, now: datetime) -> None:  # noqa: B027 - most keep nothing
        """Keep the token in the answer, whatever its status; raises Trouble without one."""

    @abstractmethod
    def headers(self, now: datetime) -> Mapping[str, str]:
        """What goes with every request."""

    def drop(self) -> bool:
        """Forget a token that was refused; whether asking for another can help."""
        return False


class Collector(ABC, Generic[S]):
    """Reads one kind of source. One file in ``sources/`` defines one subclass."""

    kind: ClassVar[str]
    traits: ClassVar[frozenset[Trait]]
    Settings: ClassVar[type[Options]]
    reads: ClassVar[Sequence[str]] = ()
    """The settings that say what is read: two sources that agree in all of them (lists: that have
    something in common) are one, and would count everything twice."""
    version: ClassVar[int] = 1
    """The version of the checkpoint; one of another version is not read."""
    reread_after: ClassVar[timedelta | None] = None
    """How long incremental runs may go on before everything is read once more."""
    robots: ClassVar[bool] = True
    """Whether robots.txt is obeyed: on public pages; an official API has terms of its own."""
    window: ClassVar[Window | None] = None
    """How far back the source shows anything, where it shows only what is new."""
    categories: ClassVar[Mapping[str, Topic]] = MappingProxyType({})
    """Which topic the source's own categories are about; the configuration may say otherwise."""
    part_of: ClassVar[str] = ""
    """The attribute that names a part of the source (a country, a place) that may fall silent by
    itself."""
    access: Access | None = None
    """How the source lets us in, set by the constructor of a kind that needs it."""
    started: datetime | None = None
    """When this run began, set by the run: where a source that is asked "since when" goes on."""

    def __init__(self, settings: S, place: Place) -> None:
        self.settings = settings
        self.place = place

    @abstractmethod
    def first(self, mark: Mapping[str, Any]) -> Ask:
        """What to ask for first; ``mark`` is the last checkpoint's value.

        It is empty where there is none, and where everything is to be read once more.
        """

    @abstractmethod
    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        """The pages in one answer of status 200, lazily; raises Trouble. Uses nothing else."""

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:  # noqa: ARG002 - few need them
        """What an answer of another status says in this source's own words, or None.

        Without it the status alone decides (`judge.check`).
        """
        return None

    def parts(self) -> Sequence[str]:
        """The parts (see `part_of`) that the configuration names: one that never speaks is told."""
        return ()

    def probe(self) -> Ask:
        """The cheapest request that proves the options and the credentials; for `check`."""
        return self.first({})


@cache
def kinds() -> Mapping[str, type[Collector[Any]]]:
    """Every kind of source, found by itself in ``sources/``."""
    found: dict[str, type[Collector[Any]]] = {}
    for module in pkgutil.iter_modules(sources.__path__, f"{sources.__name__}."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Collector) and hasattr(value, "kind"):
                found[value.kind] = value
    return dict(sorted(found.items()))


def kind_of(name: str, source: Source) -> type[Collector[Any]]:
    """The collector of a configured source; raises ConfigError."""
    known = kinds()
    if source.kind in known:
        return known[source.kind]
    close = difflib.get_close_matches(source.kind, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"sources.{name}.kind: {source.kind!r} is no kind of source; {hint}"
        f"Known: {', '.join(known)}"
    )


def settings_for(name: str, source: Source) -> Options:
    """The validated settings of a configured source; raises ConfigError with the key path."""
    model = kind_of(name, source).Settings
    table = dict(source.options)
    if source.base_url is not None:
        table["base_url"] = source.base_url
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise ConfigError(explain(error, model, prefix=f"sources.{name}")) from error


def refuse_twin(name: str, others: Mapping[str, Source]) -> None:
    """Raise ConfigError where a source that stands before this one reads the same."""
    mine = _place(name, others[name])
    for other, source in others.items():
        if other == name:
            return
        if not source.enabled or source.kind != others[name].kind or not mine:
            continue
        try:
            theirs = _place(other, source)
        except ConfigError:
            continue  # that one is told when its turn comes
        if all(map(_common, mine.values(), theirs.values())):
            same = ", ".join(each for each in mine if each != "base_url") or "base_url"
            raise ConfigError(
                f"sources.{name}: it reads the same as sources.{other} ({same}), and everything "
                "would count twice; remove one of them, or disable it"
            )


def _place(name: str, source: Source) -> dict[str, Any]:
    settings, reads = settings_for(name, source), kind_of(name, source).reads
    return {each: getattr(settings, each) for each in ("base_url", *reads)} if reads else {}


def _common(one: object, other: object) -> bool:
    """Whether two settings mean the same, at least in part; an empty list means everything."""
    if isinstance(one, list) and isinstance(other, list):
        return not (one and other) or any(each in other for each in one)
    return one == other
