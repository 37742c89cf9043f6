"""The verbs before the first run: init writes a configuration, check proves one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources
from pathlib import Path

import click

from .. import console
from ..config import ConfigError
from ..house import House, clock, opened
from ..rhythm import rhythm
from ..storage import alerts, runs, series
from ..storage import annotations as tags
from ..storage.database import HEAD

CONFIGURATION, SAMPLE = "ouvidor.toml", "sample.csv"


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@clock
@click.pass_obj
def init_verb(house: House, folder: Path) -> None:
    """Write a commented ouvidor.toml (and a sample to try it with) and say the next command."""
    for name in (CONFIGURATION, SAMPLE):
        if (folder / name).exists():
            raise click.ClickException(
                f"{folder / name} is there already; nothing was written. Name another folder, "
                "or remove it first."
            )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIGURATION).write_text(_packaged("example.toml"), encoding="utf-8")
    (folder / SAMPLE).write_text(sample(house), encoding="utf-8")
    console.out(f"{folder / CONFIGURATION} is written. Make it yours, then:")
    if folder != Path():
        console.out(f"  cd {folder}")
    console.out("  ouvidor check      # proves it, line by line")
    console.out("  ouvidor collect && ouvidor annotate")
    console.out("  ouvidor scorecard")


def _packaged(name: str) -> str:
    return resources.files("ouvidor").joinpath(name).read_text(encoding="utf-8")


def sample(house: House) -> str:
    """The sample's answers, its days counted back from today."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    rows = csv.reader(_packaged("example.csv").splitlines())
    writer.writerow("data" if head == "dias" else head for head in next(rows))
    for number, days, *rest in rows:
        day = house.now().date() - timedelta(days=int(days))
        writer.writerow([number, day.isoformat(), *rest])
    return out.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of `check`."""

    what: str
    ok: bool
    message: str


def _try(what: str, prove: Callable[[], str]) -> Finding:
    """One proof: its sentence, or what is wrong and the mend."""
    try:
        return Finding(what=what, ok=True, message=prove())
    except Exception as error:  # noqa: BLE001 - every problem is a line, and the next is proved too
        return Finding(what=what, ok=False, message=console.explain(error))


@click.command("check")
@click.option("--offline", is_flag=True, help="Leave the network alone: no mail server.")
@opened
@clock
@console.as_json
def check_verb(house: House, *, offline: bool, as_json: bool) -> int:
    """Prove configuration, secrets, database, model, mail and chat addresses, one line each."""
    found = []
    for finding in _findings(house, offline=offline):
        found.append(finding)
        if as_json:
            console.emit(finding)
        else:
            mark, style = ("ok     ", "green") if finding.ok else ("problem", "bold red")
            console.out(f"{mark}  {finding.what}: {finding.message}", style)
    return 0 if all(finding.ok for finding in found) else 1


def _findings(house: House, *, offline: bool) -> Iterator[Finding]:
    configuration = _try("configuration", lambda: _configuration(house))
    yield configuration
    if not configuration.ok:
        return
    for name in house.config.sources:
        yield _try(f"source {name}", lambda name=name: _source(house, name, offline=offline))  # type: ignore[misc] # mypy cannot infer a lambda with a default
    yield _try("key", lambda: _key(house))
    database = _try("database", lambda: _database(house))
    yield database
    yield _try("model", lambda: _model(house))
    if house.config.mail:
        yield _try("mail", lambda: _mail(house, offline=offline))
    else:
        yield Finding(what="mail", ok=True, message="not configured; messages wait in the outbox")
    for name in house.config.chat:
        yield _try(f"chat {name}", lambda name=name: _chat(house, name))  # type: ignore[misc] # same
    if database.ok:
        yield _try("watch", lambda: _watch(house))


def _configuration(house: House) -> str:
    config = house.config
    return (
        f"{config.brand.name}: {len(config.sources)} sources, "
        f"{len(config.touchpoints)} touchpoints, {len(config.subscribers)} subscribers"
    )


def _source(house: House, name: str, *, offline: bool) -> str:
    from ..collectors.collector import Trouble, refuse_twin, settings_for
    from ..collectors.run import prove

    source = house.config.sources[name]
    settings_for(name, source)
    rhythm(house.config, name)
    if source.enabled:
        refuse_twin(name, house.config.sources)
    if offline or not source.enabled:
        return f"{source.kind}, settings fit{'' if source.enabled else ' (disabled)'}"
    zone, folder = house.config.brand.zone, house.config.folder
    try:
        answer = prove(name, source, zone=zone, folder=folder, now=house.now())
    except Trouble as trouble:
        raise ConfigError(trouble.sentence) from trouble
    return f"{source.kind}, {answer}"


def _key(house: House) -> str:
    return f"{len(house.key)} characters"


def _database(house: House) -> str:
    stored = sum(status.feedback for status in runs.statuses(house.db))
    where = house.db.engine.url.render_as_string(hide_password=True)
    return f"{where}, schema {HEAD}, {stored} pieces of feedback"


def _model(house: House) -> str:
    return f"{house.tagger.version} loads"


def _mail(house: House, *, offline: bool) -> str:
    from ..reports import mail

    settings = house.config.mail
    if settings is None:
        return "not configured"
    where = f"{settings.host}:{settings.port} ({settings.tls})"
    if offline:
        return f"{where}, not tried"
    with mail.connection(settings):
        pass
    return f"{where} answers{' and takes the login' if settings.user else ''}; nothing was sent"


def _chat(house: House, name: str) -> str:
    from ..reports import chat

    try:
        chat.validate(house.config.chat[name].url)
    except ValueError as error:
        raise ConfigError(f"chat.{name}.url: {error}") from error
    return "the address is one that Apprise understands; nothing was sent"


def _first_covered(house: House) -> date | None:
    first = series.first_day(house.db)
    if first is None:
        return None
    days = series.daily(house.db, since=first, until=house.today, touchpoints=[])
    return min((day.day for day in days if day.observed), default=None)


def _watch(house: House) -> str:
    waiting = tags.pending(house.db)
    covered = _first_covered(house)
    if covered is None:
        days = house.config.watch.shadow_days
        return f"will speak {days} days after the first day that a source covers wholly"
    speaks = covered + timedelta(days=house.config.watch.shadow_days)
    active = len(alerts.active(house.db))
    tense = "speaks since" if speaks <= house.today else "will speak from"
    return f"{tense} {speaks}; {active} alerts open, {waiting} pieces wait for the tagger"
