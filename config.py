"""ouvidor.toml, the environment and ``*_FILE`` secrets, validated once.

Every error is one sentence that names the key path (the line for syntax errors) and the mend.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from .storage.retention import Limits
from .storage.vocabulary import Severity, Stage, Topic

DEFAULT_FILE = Path("ouvidor.toml")
EVAL_FILE = "eval.json"
"""Beside the configuration: the last result of ``ouvidor eval``, which the digest tells."""
LOCALES = ("pt-BR", "es", "en")
MOST_DAYS = 36_500
"""A hundred years: for ever, where a source is to keep what others do not."""


class ConfigError(Exception):
    """Something in the configuration is wrong; the text names the key and the mend."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        message = f"{name!r} is no time zone; write one like 'America/Sao_Paulo'"
        raise ValueError(message) from error
    return name


def check_name(value: str) -> str:
    """The value, if it can name a table; raises ValueError with the mend."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,62}", value, re.ASCII):
        message = f"{value!r} is no name; use small letters, digits, '-', '_' and '.'"
        raise ValueError(message)
    return value


def check_address(value: str) -> str:
    """The value, if it is a mail address; raises ValueError with the mend."""
    local, at, domain = value.rpartition("@")
    blank = any(char.isspace() or not char.isprintable() for char in value)
    foreign = not local.isascii() or any(char in value for char in "<>,;")
    if not (local and at and domain) or blank or foreign:
        message = f"{value!r} is no mail address; write one like 'ana@example.com'"
        raise ValueError(message)
    return value


def _database_url(value: str) -> str:
    try:
        url = make_url(value)
    except ArgumentError as error:
        message = "no database URL; write 'sqlite:///ouvidor.db' or 'postgresql://host/name'"
        raise ValueError(message) from error
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        message = f"{url.get_backend_name()!r} is not supported; use sqlite or postgresql"
        raise ValueError(message)
    return value


class Secret(str):
    """A value from the environment that no log or error may print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')"


def read_secret(name: str) -> Secret:
    """The secret in ``$NAME``, or in the file that ``$NAME_FILE`` names.

    Raises ValueError with the mend when neither is set or the file cannot be read.
    """
    if value := os.environ.get(name):
        return Secret(value)
    if not (path := os.environ.get(f"{name}_FILE")):
        message = f"the environment has neither {name} nor {name}_FILE; set one of them"
        raise ValueError(message)
    try:
        return Secret(Path(path).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        message = f"{name}_FILE names {path}, which cannot be read ({error}); mend the path"
        raise ValueError(message) from error


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, dict) and list(value) == ["env"] and isinstance(value["env"], str):
        return read_secret(value["env"])
    message = 'a secret never stands in this file; write { env = "NAME" } and set NAME or NAME_FILE'
    raise ValueError(message)


SecretValue = Annotated[Secret, BeforeValidator(_secret)]
"""A secret in the configuration: ``{ env = "NAME" }``, read from ``$NAME`` or ``$NAME_FILE``."""


PIECE = 12
"""Characters from which a part of a secret is kept out, too: a token in an address, a line of a
key."""
_APART = re.compile(r"""(?:\\n|[\s/:@?&="'{},\\])+""")


def secrets_in(value: object) -> Iterator[str]:
    """Every secret in a part of the configuration, and where one is only named."""
    if isinstance(value, Secret):
        yield str(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        variable = value.get("env")
        if isinstance(variable, str):
            with suppress(ValueError):  # what cannot be read cannot be told either
                yield str(read_secret(variable))
        for each in value.values():
            yield from secrets_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from secrets_in(each)


def pieces(secrets: Iterable[str]) -> list[str]:
    """Secrets and their longer parts, the longest first: what is to be shown nowhere."""
    whole = set(secrets)
    parts = {part for secret in whole for part in _APART.split(secret)}
    every = whole | {part for part in parts if len(part) >= PIECE}
    return sorted(every, key=len, reverse=True)


class Hours(NamedTuple):
    """A span of the day's clock; it may go over midnight."""

    start: time
    end: time

    def over_at(self, now: datetime, zone: ZoneInfo) -> datetime:
        """``now`` outside the span, else the moment at which it ends."""
        local = now.astimezone(zone)
        clock = local.time()
        night = self.start > self.end
        inside = (
            clock >= self.start or clock < self.end if night else self.start <= clock < self.end
        )
        if not inside:
            return now
        day = local.date() + timedelta(days=night and clock >= self.start)
        return datetime.combine(day, self.end, tzinfo=zone).astimezone(now.tzinfo)


def _hours(value: object) -> Hours:
    if isinstance(value, Hours):
        return value
    found = re.fullmatch(r"(\d\d:\d\d)\s*-\s*(\d\d:\d\d)", str(value).strip(), re.ASCII)
    try:
        hours = Hours(*map(time.fromisoformat, found.groups())) if found else None
    except ValueError:
        hours = None
    if hours is None or hours.start == hours.end:
        message = f"{value!r} are no hours; write them like '22:00-07:00'"
        raise ValueError(message)
    return hours


QuietHours = Annotated[Hours, BeforeValidator(_hours)]
"""Hours of the day in the configuration: ``"22:00-07:00"``."""

Name = Annotated[str, AfterValidator(check_name)]
Zone = Annotated[str, AfterValidator(_zone)]
Address = Annotated[str, AfterValidator(check_address)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Locale = Literal["pt-BR", "es", "en"]


class Table(BaseModel):
    """A table of the file: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Brand(Table):
    """What is listened for."""

    name: Line
    locale: Locale = "pt-BR"
    time_zone: Zone = "America/Sao_Paulo"

    @property
    def zone(self) -> ZoneInfo:
        """The zone that series days and ISO weeks are in."""
        return ZoneInfo(self.time_zone)


class DatabaseSettings(Table):
    """Where everything is remembered."""

    url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///ouvidor.db"


class Kept(Table):
    """How long what is personal is kept, in days, and whether contacts are kept at all.

    What a source does not say here is as ``[privacy]`` says; what that does not say is for ever.
    """

    raw_days: int | None = Field(default=None, ge=1, le=MOST_DAYS)
    text_days: int | None = Field(default=None, ge=90, le=MOST_DAYS)
    identity_days: int | None = Field(default=None, ge=1, le=MOST_DAYS)
    contact_days: int | None = Field(default=None, ge=1, le=MOST_DAYS)
    keep_contacts: bool | None = None


class Source(Table):
    """A configured place feedback comes from; its collector validates the options.

    ``categories`` says which topic the source's own categories are about; it is asked where a
    feedback has no text. ``privacy`` is what is kept of it otherwise than ``[privacy]`` says.
    ``every_hours`` or ``cron`` (five fields, read in the brand's zone) say when
    it is collected, where that is not as ``[schedule]`` says.
    """

    kind: Line
    enabled: bool = True
    every_hours: float | None = Field(default=None, ge=0.1, le=24 * 7)
    cron: Line | None = None
    base_url: str | None = None
    categories: dict[str, Topic] = Field(default_factory=dict)
    privacy: Kept = Kept()
    options: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, table: object) -> object:
        if not isinstance(table, dict) or "options" in table:
            return table
        names = ("kind", "enabled", "every_hours", "cron", "base_url", "categories", "privacy")
        own = {key: table[key] for key in names if key in table}
        return {**own, "options": {k: v for k, v in table.items() if k not in own}}

    @model_validator(mode="after")
    def _one_rhythm(self) -> Source:
        if self.every_hours is not None and self.cron is not None:
            message = "every_hours and cron say two things; keep one of them"
            raise ValueError(message)
        return self


class Trait(Table):
    """One trait of the posture a brand wants to show, with sentences for and against."""

    name: Line
    shows: list[Line] = Field(default_factory=list)
    contradicts: list[Line] = Field(default_factory=list)


class Touchpoint(Table):
    """A point of contact in the journey, mapped from topics, sources and examples.

    ``learnt`` says that the adapted tagger knows it from labels alone.
    """

    name: Line
    stage: Stage
    description: str = ""
    topics: list[Topic] = Field(default_factory=list)
    sources: list[Name] = Field(default_factory=list)
    examples: list[Line] = Field(default_factory=list)
    learnt: bool = False
    posture: list[Trait] = Field(default_factory=list)
    target: float = Field(default=4.0, ge=1, le=5)
    owner: Address | None = None

    @model_validator(mode="after")
    def _mapped(self) -> Touchpoint:
        if not (self.topics or self.sources or self.examples or self.learnt):
            message = (
                "nothing leads to this touchpoint; give it topics, sources or examples, or "
                "learnt = true where `ouvidor adapt` taught it"
            )
            raise ValueError(message)
        return self


Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Subscriber(Table):
    """Somebody who gets the digest or the alerts by mail.

    ``touchpoints`` and ``sources`` are what the reader wants to hear of (none: everything),
    ``digest_day`` and ``digest_hour`` when (none: as ``[schedule]`` says), ``when_nothing`` whether
    a week without news is told or passed over. Alerts below ``severity`` are not told; those
    below critical wait for the end of the ``quiet_hours``, which are in the reader's time zone.
    """

    address: Address
    locale: Locale | None = None
    time_zone: Zone | None = None
    touchpoints: list[Name] = Field(default_factory=list)
    sources: list[Name] = Field(default_factory=list)
    digest: bool = True
    digest_day: Weekday | None = None
    digest_hour: int | None = Field(default=None, ge=0, le=23)
    when_nothing: Literal["skip", "tell"] = "skip"
    alerts: bool = True
    severity: Severity = Severity.NOTICE
    quiet_hours: QuietHours | None = None


class TlsMode(StrEnum):
    """How the connection to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class Mail(Table):
    """The mail server that takes our messages."""

    host: Line
    port: int = Field(default=587, ge=1, le=65535)
    tls: TlsMode = TlsMode.STARTTLS
    user: str | None = None
    password: SecretValue | None = None
    sender: Address
    unsubscribe: Address | None = None
    unsubscribe_page: str | None = None
    unsubscribe_key: SecretValue | None = None
    timeout: float = Field(default=30, gt=0, le=300)

    @model_validator(mode="after")
    def _login(self) -> Mail:
        if (self.user is None) != (self.password is None):
            message = "user and password go together; set both or neither"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _one_click(self) -> Mail:
        """RFC 8058: an https page that knows from its address alone who ends what."""
        page = self.unsubscribe_page
        if page is not None and not re.fullmatch(r"https://[!-;=?-~]*\{token\}[!-;=?-~]*", page):
            message = "unsubscribe_page has to begin with https:// and to hold {token}, in ASCII"
            raise ValueError(message)
        if (page is None) != (self.unsubscribe_key is None):
            message = "unsubscribe_page and unsubscribe_key go together; set both or neither"
            raise ValueError(message)
        return self


class Chat(Table):
    """A chat room that gets alerts, by its Apprise URL (which is a secret).

    ``private_network`` says that the name in it may lead into one's own network.
    """

    url: SecretValue
    private_network: bool = False
    locale: Locale | None = None
    touchpoints: list[Name] = Field(default_factory=list)
    sources: list[Name] = Field(default_factory=list)
    alerts: bool = True
    severity: Severity = Severity.NOTICE
    quiet_hours: QuietHours | None = None
    digest: bool = False


class Operator(Table):
    """Who keeps this installation running, and hears of sources that are silent or unread."""

    address: Address | None = None
    locale: Locale | None = None
    chat: list[Name] = Field(default_factory=list)


class Schedule(Table):
    """What the clock does under ``ouvidor serve``.

    ``jitter_minutes``: a source is read up to so much later than its date. ``at_once``: so many
    sources are read side by side.
    """

    collect_every_hours: float = Field(default=6, ge=0.1, le=24 * 7)
    jitter_minutes: float = Field(default=5, ge=0, le=24 * 60)
    at_once: int = Field(default=4, ge=1, le=64)
    digest_day: Weekday = "monday"
    digest_hour: int = Field(default=8, ge=0, le=23)
    run_timeout_minutes: float = Field(default=30, gt=0, le=24 * 60)

    @property
    def collect_every(self) -> timedelta:
        """Time between two runs of one source."""
        return timedelta(hours=self.collect_every_hours)


class Watch(Table):
    """How many false alarms the team accepts."""

    false_alarms_per_month: float = Field(default=1.0, gt=0, le=100)
    quiet_days: int = Field(default=7, ge=1, le=60)
    shadow_days: int = Field(default=28, ge=0, le=365)


class TaggerSettings(Table):
    """Where the weights lie that ``ouvidor adapt`` made from the brand's own feedback."""

    folder: Path = Path("ouvidor.model")


class Privacy(Kept):
    """The key that turns people into pseudonyms, what is kept of them, and for how long.

    Words are kept 90 days at least: the watch compares with what was said two months ago.
    """

    key_file: Path = Path("ouvidor.key")
    raw_days: int = Field(default=180, ge=1, le=MOST_DAYS)
    contact_days: int = Field(default=90, ge=1, le=MOST_DAYS)
    keep_contacts: bool = False
    audit_days: int = Field(default=730, ge=30, le=MOST_DAYS)
    mail_days: int = Field(default=90, ge=1, le=MOST_DAYS)


class Config(Table):
    """The whole file."""

    brand: Brand
    database: DatabaseSettings = DatabaseSettings()
    sources: dict[Name, Source] = Field(default_factory=dict)
    touchpoints: dict[Name, Touchpoint] = Field(default_factory=dict)
    subscribers: dict[Name, Subscriber] = Field(default_factory=dict)
    operator: Operator | None = None
    mail: Mail | None = None
    chat: dict[Name, Chat] = Field(default_factory=dict)
    schedule: Schedule = Schedule()
    watch: Watch = Watch()
    tagger: TaggerSettings = TaggerSettings()
    privacy: Privacy = Privacy()
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        for where, names, known in self._references():
            for name in names:
                if name not in known:
                    message = f"{where} names {name!r}, {unknown(name, known)}"
                    raise ValueError(message)
        return self

    def _references(self) -> Iterable[tuple[str, list[str], Mapping[str, object]]]:
        for key, touchpoint in self.touchpoints.items():
            yield f"touchpoints.{key}.sources", touchpoint.sources, self.sources
        for key, subscriber in self.subscribers.items():
            yield f"subscribers.{key}.touchpoints", subscriber.touchpoints, self.touchpoints
            yield f"subscribers.{key}.sources", subscriber.sources, self.sources
        if self.operator:
            yield "operator.chat", self.operator.chat, self.chat
        for key, chat in self.chat.items():
            yield f"chat.{key}.touchpoints", chat.touchpoints, self.touchpoints
            yield f"chat.{key}.sources", chat.sources, self.sources

    def path(self, relative: Path | str) -> Path:
        """A path of the file, seen from the file's own folder."""
        return (self.folder / relative).expanduser()

    def kept(self, source: str) -> Kept:
        """What is kept of a source: its own word first; one that is not configured has none."""
        own = self.sources[source].privacy if source in self.sources else Kept()
        said = {name: getattr(own, name) for name in Kept.model_fields}
        return Kept(
            **{
                name: getattr(self.privacy, name) if value is None else value
                for name, value in said.items()
            }
        )

    def limits(self, source: str) -> Limits:
        """How long a source's things are kept; contacts that are not wanted go at once."""
        kept = self.kept(source)
        return Limits(
            payloads=_days(kept.raw_days),
            texts=_days(kept.text_days),
            identities=_days(kept.identity_days),
            contacts=_days(kept.contact_days) if kept.keep_contacts else timedelta(),
        )

    @property
    def database_url(self) -> str:
        """``$OUVIDOR_DATABASE_URL`` (or ``_FILE``) before the file's own URL.

        A relative SQLite path is seen from the file's folder.
        """
        if "OUVIDOR_DATABASE_URL" in os.environ or "OUVIDOR_DATABASE_URL_FILE" in os.environ:
            return _checked_environment_url()
        url = make_url(self.database.url)
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            url = url.set(database=str(self.path(str(url.database)).resolve()))
        return url.render_as_string(hide_password=False)


def _days(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(days=count)


def _checked_environment_url() -> str:
    try:
        return _database_url(read_secret("OUVIDOR_DATABASE_URL"))
    except ValueError as error:
        raise ConfigError(f"OUVIDOR_DATABASE_URL: {error}") from error


def unknown(name: str, known: Iterable[str]) -> str:
    """The rest of a sentence about a name nobody knows: the likeliest one, and all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? Known" if close else "known"
    return f"which is unknown; {hint}: {', '.join(names) or 'none yet'}"


def _model_at(model: type[BaseModel] | None, path: tuple[object, ...]) -> type[BaseModel] | None:
    """The model that owns the last key of a path, to name the keys it knows."""
    for step in path[:-1]:
        field = model.model_fields.get(str(step)) if model else None
        if field is None:
            continue
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        models = [each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)]
        model = models[0] if models else None
    return model


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """The first error of pydantic as one sentence: key path, what is wrong, the mend."""
    first = error.errors(include_url=False)[0]
    path = tuple(step for step in first["loc"] if step != "[key]")
    name = ".".join([prefix, *map(str, path)] if prefix else map(str, path))
    last = str(path[-1]) if path else ""
    kind = first["type"]
    if kind == "extra_forbidden":
        owner = _model_at(model, path)
        rest = unknown(last, owner.model_fields if owner else []).removeprefix("which ")
        return f"{name}: the key {last!r} {rest}"
    if kind == "missing":
        return f"{name}: this key is missing; add it"
    if kind == "enum" and "Topic" not in name and {"topics", "categories"} & set(path):
        return f"{name}: {first['input']!r} is no topic; known topics: {', '.join(Topic)}"
    if kind in {"value_error", "assertion_error"}:
        text = str(first["msg"]).partition(", ")[2]
        return f"{name}: {text}" if name else text
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return (
            f"{name}: this has to be a table, not {first['input']!r}; write [{name}] and its keys"
        )
    found = "" if "password" in name or "url" in name else f", not {first['input']!r}"
    return f"{name}: {str(first['msg'])[0].lower()}{str(first['msg'])[1:]}{found}; mend this value"


def parse(text: str, *, folder: Path = Path(), name: str = "ouvidor.toml") -> Config:
    """A configuration from the text of a file; raises ConfigError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}; mend that line") from error
    if "folder" in data:
        raise ConfigError(f"{name}: folder: the key 'folder' is unknown; remove it")
    try:
        return Config(**data, folder=folder)
    except ValidationError as error:
        raise ConfigError(f"{name}: {explain(error, Config)}") from error


def config_file(path: Path | None = None) -> Path:
    """Where the configuration is: ``path``, ``$OUVIDOR_CONFIG`` or ``./ouvidor.toml``."""
    return path or Path(os.environ.get("OUVIDOR_CONFIG") or DEFAULT_FILE)


def load(path: Path | None = None) -> Config:
    """The configuration in ``path``, ``$OUVIDOR_CONFIG`` or ``./ouvidor.toml``."""
    path = config_file(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = f"{path}: no such file; write one with `ouvidor init` or name one with --config"
        raise ConfigError(message) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read ({error}); it has to be a UTF-8 text file you may read"
        raise ConfigError(message) from error
    return parse(text, folder=path.resolve().parent, name=str(path))
