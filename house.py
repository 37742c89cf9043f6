"""What every verb stands in: the configuration, the database, the key and the clock.

Each is opened when it is first asked for, so that a verb pays only for what it uses.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .config import Config, ConfigError, Touchpoint, config_file, load, read_secret, unknown
from .storage import annotations as tags
from .storage import audit
from .storage.database import Database, open_database
from .storage.feedback import Door

if TYPE_CHECKING:
    from .nlp.tagger import Tagger
    from .nlp.touchpoints import Named
    from .storage.vocabulary import Topic

KEY_LENGTH = 32
"""Characters a key has at least."""


class House:
    """One installation as one verb sees it. ``moment`` stands for the clock when it is given."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self.moment: datetime | None = None

    def now(self) -> datetime:
        """The moment that counts: ``--now``, or the clock's, in UTC."""
        return self.moment or datetime.now(UTC)

    @cached_property
    def config(self) -> Config:
        """The configuration; raises ConfigError."""
        return load(self.file)

    @property
    def today(self) -> date:
        """The brand's day."""
        return self.now().astimezone(self.config.brand.zone).date()

    @cached_property
    def db(self) -> Database:
        """The database, migrated; raises StorageError."""
        return open_database(self.config.database_url)

    @cached_property
    def door(self) -> Door:
        """What feedback passes on its way in."""
        return Door(self.key, self.config.brand.zone)

    @cached_property
    def key(self) -> bytes:
        """The installation's key for pseudonyms; made on first need. Raises ConfigError."""
        return installation_key(self.config)

    @cached_property
    def tagger(self) -> Tagger:
        """The tagger of this journey; takes seconds to load."""
        from .nlp.tagger import Tagger

        return Tagger(
            touchpoints=journey(self.config),
            categories=categories(self.config),
            model=model(self.config),
        )

    @property
    def configured(self) -> bool:
        """Whether there is a configuration to speak of."""
        return config_file(self.file).exists()

    @cached_property
    def any_tagger(self) -> Tagger:
        """The tagger of this journey; without a configuration the shipped one."""
        if self.configured:
            return self.tagger
        from .nlp.tagger import Tagger

        return Tagger()

    def door_of(self, source: str) -> Door:
        """The door of one source, which may keep contacts."""
        return replace(self.door, contacts=bool(self.config.kept(source).keep_contacts))

    def note(self, what: str, *, into: Database | None = None, **about: Any) -> None:
        """Write down who did what, for `ouvidor audit`: ids, counts and names of our own only.

        At the time of this machine's own clock, whatever ``--now`` says.
        """
        audit.note(into or self.db, what, by=me(), at=datetime.now(UTC), about=about)

    def close(self) -> None:
        """Give the database back if it was opened."""
        if "db" in self.__dict__:
            self.db.close()


def journey(config: Config) -> list[Named]:
    """The configured touchpoints as the tagger reads them."""
    from .nlp.touchpoints import Named

    return [
        Named(key, each.topics, each.sources, each.examples, _words(each))
        for key, each in config.touchpoints.items()
    ]


def _words(touchpoint: Touchpoint) -> list[str]:
    return [each for each in (touchpoint.name, touchpoint.description) if each]


def categories(config: Config) -> dict[str, dict[str, Topic]]:
    """What each source's own categories mean: as its kind knows, or as the configuration says."""
    from .collectors.collector import kinds

    found = {
        name: {**getattr(kinds().get(source.kind), "categories", {}), **source.categories}
        for name, source in config.sources.items()
    }
    return {name: known for name, known in found.items() if known}


def adapted(config: Config) -> Path:
    """Where the weights lie, or would lie, that were adapted to this brand."""
    return config.path(config.tagger.folder)


def model(config: Config) -> Path:
    """The folder of the weights in force: the adapted ones where there are any."""
    from .nlp.heads import MODEL_FOLDER

    own = adapted(config)
    return own if own.exists() else MODEL_FOLDER


def untagged(db: Database, config: Config) -> int:
    """How much waits for the tagger, counting what an earlier tagger or journey said.

    The tagger is not loaded for that.
    """
    tags.mark_stale(db, tagger_version(config))
    return tags.pending(db)


def tagger_version(config: Config) -> str:
    """The version of the tagger of this journey, known without its weight."""
    from .nlp.categories import categories_version
    from .nlp.heads import Heads
    from .nlp.touchpoints import journey_version

    chosen = categories_version(categories(config))
    return f"{Heads.load(model(config)).version}+{journey_version(journey(config))}{chosen}"


def last_sunday(house: House) -> date:
    """The end of the last week that is over, in the brand's zone."""
    return last_week(house.today) + timedelta(days=6)


def installation_key(config: Config) -> bytes:
    """``$OUVIDOR_KEY`` (or ``_FILE``), else the key file, written on first need."""
    if "OUVIDOR_KEY" in os.environ or "OUVIDOR_KEY_FILE" in os.environ:
        try:
            return _long_enough(read_secret("OUVIDOR_KEY"), "OUVIDOR_KEY")
        except ValueError as error:
            raise ConfigError(f"OUVIDOR_KEY: {error}") from error
    path = config.path(config.privacy.key_file)
    try:
        if not path.exists():
            _write_key(path)
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"privacy.key_file: {path} cannot be read or written ({_short(error)}); "
            "mend its rights or its folder, or set OUVIDOR_KEY"
        ) from error
    return _long_enough(text, f"privacy.key_file: {path}")


def _short(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is no text"


def _write_key(path: Path) -> None:
    """A new key that appears whole or not at all, whoever else writes one now."""
    handle, name = tempfile.mkstemp(dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
        os.link(name, path)
    except FileExistsError:
        return
    finally:
        Path(name).unlink()


def _long_enough(text: str, where: str) -> bytes:
    key = text.strip().encode()
    if len(key) < KEY_LENGTH:
        raise ConfigError(
            f"{where} holds {len(key)} characters, a key needs {KEY_LENGTH}; restore it from a "
            "backup, or remove it for a new one (which cuts the tie to all earlier pseudonyms)"
        )
    return key


def house(context: click.Context) -> House:
    """The House of a command line."""
    found = context.find_object(House)
    if found is None:
        raise RuntimeError("a verb was called without a House")
    return found


def opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--config`` and hand it the House."""

    def choose(context: click.Context, _: click.Parameter, value: Path | None) -> None:
        if value is not None:
            house(context).file = value

    option = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        expose_value=False,
        callback=choose,
        help="The configuration (default: $OUVIDOR_CONFIG, else ./ouvidor.toml).",
    )
    return option(click.pass_obj(function))


def moment(_context: click.Context, _: click.Parameter, value: str | None) -> datetime | None:
    """An ISO 8601 time with its offset, in UTC; for an option's ``callback``."""
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is no time; write one like 2026-11-16T09:00-03:00."
        ) from error
    if parsed.tzinfo is None:
        raise click.BadParameter(f"{value!r} has no offset; add one, such as -03:00 or Z.")
    return parsed.astimezone(UTC)


def clock(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--now``."""

    def choose(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            house(context).moment = moment(context, parameter, value)

    return click.option(
        "--now",
        metavar="ISO-TIME",
        expose_value=False,
        callback=choose,
        help="Act as if it were this moment (with its offset).",
    )(function)


def day(_context: click.Context, _: click.Parameter, value: str | None) -> date | None:
    """A day, YYYY-MM-DD; for an option's ``callback``."""
    try:
        return date.fromisoformat(value) if value is not None else None
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no day; write one like 2026-11-16.") from error


def week(_context: click.Context, _: click.Parameter, value: str | None) -> date | None:
    """The Monday of an ISO week, 2026-W46; for an option's ``callback``."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{4})-W(\d{2})", value, re.ASCII)
    try:
        if found:
            return date.fromisocalendar(int(found[1]), int(found[2]), 1)
    except ValueError:
        pass
    raise click.BadParameter(f"{value!r} is no ISO week; write one like 2026-W46.")


def day_option(name: str, words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes a day."""
    return click.option(name, metavar="DATE", callback=day, help=words)


def week_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--week``, as its Monday."""
    words = "An ISO week, such as 2026-W46 (default: the last complete one)."
    return click.option("--week", metavar="WEEK", callback=week, help=words)(function)


def last_week(today: date) -> date:
    """The Monday of the last week that is over."""
    return today - timedelta(days=today.weekday() + 7)


def week_name(monday: date) -> str:
    """2026-W46."""
    year, week, _ = monday.isocalendar()
    return f"{year}-W{week:02}"


def ordered(since: date | None, until: date | None) -> None:
    """Refuse a span that ends before it begins."""
    if since and until and since > until:
        raise click.UsageError(f"--since {since} lies after --until {until}; swap them.")


def known(name: str, names: Iterable[str], what: str) -> str:
    """The name, if it is one of those; raises click.BadParameter with the likeliest one."""
    names = list(names)
    if name not in names:
        rest = unknown(name, names).removeprefix("which ")
        raise click.BadParameter(f"{what} {name!r} {rest}.")
    return name


def me() -> str:
    """Who types: a name for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
