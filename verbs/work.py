"""The verbs that do the work: collect, import, annotate, and everything together.

Each is one step that may be run twice. With ``--json`` each says what it did in one document.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from .. import console, health, scheduler
from ..children import Children
from ..config import Config, ConfigError, Source, check_name
from ..house import (
    House,
    categories,
    clock,
    journey,
    known,
    last_sunday,
    model,
    opened,
    tagger_version,
    untagged,
)
from ..journal import Journal
from ..scheduler import Did, Timetable
from ..storage import annotations as tags
from ..storage import studies, workers
from ..storage.vocabulary import Kind, Outcome
from .status import standing

if TYPE_CHECKING:
    from ..nlp.annotate import Annotated
    from ..nlp.bulk import Job

DONE, PROBLEM, INTERRUPTED = 0, 1, 130
UNSUBSCRIBE = "/unsubscribe"
"""Where `serve --http` answers who wants no digest any more."""

BEATS = 4
"""Ticks of the clock that may be missed before `serve` no longer counts as alive."""

FIGURES = ("new", "changed", "unchanged", "pages", "rejected")


@click.command("collect")
@click.argument("names", metavar="[SOURCE]...", nargs=-1)
@click.option("--full", is_flag=True, help="Read everything there is, known or not.")
@opened
@clock
@console.as_json
def collect_verb(house: House, names: Sequence[str], *, full: bool, as_json: bool) -> int:
    """Run collectors now: those named, or all that are enabled."""
    sources = house.config.sources
    if not sources:
        raise ConfigError("sources: none is configured; add a [sources.NAME] table")
    chosen = [known(name, sources, "source") for name in dict.fromkeys(names)]
    chosen = chosen or [name for name, source in sources.items() if source.enabled]
    house.door, house.db  # noqa: B018 - key and schema are made here, not by two children at once
    if len(chosen) == 1:
        name = chosen[0]
        row = _collect_here(house, name, sources[name], full=full, others=sources)
        return _tell_runs([row], as_json=as_json)
    return _tell_runs(_collect_apart(house, chosen, full=full), as_json=as_json)


def _collect_here(
    house: House,
    name: str,
    source: Source,
    *,
    full: bool,
    others: Mapping[str, Source] | None = None,
) -> dict[str, Any]:
    """One source in this process; what is to be told of its run."""
    from ..collectors.run import run_source

    report = run_source(
        house.db,
        name,
        source,
        door=house.door_of(name),
        now=house.now(),
        full=full,
        folder=house.config.folder,
        others=others,
    )
    return {"source": name} | dict(console.plain(report))


def _collect_apart(house: House, names: Sequence[str], *, full: bool) -> list[dict[str, Any]]:
    """Each source in a process of its own, some at a time."""
    more = ["--json", *(["--full"] if full else []), *_replay(house)]
    commands = {name: [*_common(house), "collect", name, *more] for name in names}

    def tell(done: Did) -> None:
        row = run_row(done.duty, done)
        console.say(f"{row['source']}: {row['outcome']}, {row['new']} new")

    found = scheduler.side_by_side(house.config, house.db, commands, moment=house.moment, tell=tell)
    return [run_row(done.duty, done) for done in found]


def run_row(name: str, done: Did) -> dict[str, Any]:
    """What a child told of its run; a child that died before it could is a partial run."""
    empty: dict[str, Any] = {"outcome": Outcome.PARTIAL.value} | dict.fromkeys(FIGURES, 0)
    told = {key: done.report.get(key, value) for key, value in empty.items()}
    return {"source": name, **told, "message": done.message}


def _common(house: House) -> list[str]:
    return [] if house.file is None else ["--config", str(house.file)]


def _replay(house: House) -> list[str]:
    return [] if house.moment is None else ["--now", house.moment.isoformat()]


def _tell_runs(rows: Iterable[Mapping[str, Any]], *, as_json: bool) -> int:
    rows = list(rows)
    stopped = any(row.get("stopped") for row in rows)
    shown = [{key: value for key, value in row.items() if key != "stopped"} for row in rows]
    if as_json:
        console.emit_each(shown)
    else:
        heads = ("source", "outcome", "new", "changed", "message")
        cells = [[row.get(head) for head in heads] for row in shown]
        console.table(heads, cells, right="new changed")
        for row in shown:
            # What the table cuts is told whole, and so is the mend of every problem.
            if not Outcome(row["outcome"]).good or console.cell(row["message"]) != row["message"]:
                console.say(f"{row['source']}: {row['message']}")
    if stopped:
        return INTERRUPTED
    good = all(Outcome(row["outcome"]).good for row in shown)
    return DONE if good else PROBLEM


@click.command("hints")
@click.argument("name", metavar="SOURCE")
@opened
@clock
@console.as_json
def hints_verb(house: House, name: str, *, as_json: bool) -> int:
    """Take what a source's message queue holds; `serve` then reads the source at once."""
    from ..collectors.collector import Trouble
    from ..collectors.hints import hints

    source = house.config.sources[known(name, house.config.sources, "source")]
    zone, folder = house.config.brand.zone, house.config.folder
    try:
        found = hints(name, source, zone=zone, folder=folder, now=house.now())
    except Trouble as trouble:
        raise ConfigError(trouble.sentence) from trouble
    console.tell({"source": name, "hints": found}, f"{found} hints.", as_json=as_json)
    return DONE


def _pairs(_context: click.Context, _: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, equals, column in pairs:
        if not (name and equals and column):
            raise click.BadParameter(f"{name!r}; write NAME=VALUE, such as text=comentario.")
    return {name: column for name, _, column in pairs}


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", required=True, help="Which source it is from; a new name is made known.")
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="FIELD=COLUMN",
    callback=_pairs,
    help="Which column holds text, title, id, stars, published_at … May be repeated.",
)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    help="What sort of feedback it is (default: survey).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "trustpilot"]),
    help="trustpilot: bodies of its webhooks, one a file or a line (default: a table).",
)
@click.option(
    "--set",
    "more",
    multiple=True,
    metavar="OPTION=VALUE",
    callback=_pairs,
    help="Any other option of a file source, such as date_order=mdy. May be repeated.",
)
@opened
@clock
@console.as_json
def import_verb(
    house: House,
    file: Path,
    *,
    source: str,
    columns: dict[str, str],
    kind: str | None,
    form: str | None,
    more: dict[str, str],
    as_json: bool,
) -> int:
    """Read feedback from a CSV, TSV, JSON Lines or XLSX file (or one of them gzipped)."""
    more |= {"feedback_kind": kind} if kind else {}
    more |= {"format": form} if form else {}
    chosen = _file_source(house.config, source, file, columns, more)
    return _tell_runs([_collect_here(house, source, chosen, full=True)], as_json=as_json)


def _file_source(
    config: Config, name: str, file: Path, columns: Mapping[str, str], more: Mapping[str, str]
) -> Source:
    """The source as configured, or a new one of kind ``file``, that reads this file."""
    try:
        check_name(name)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    configured = config.sources.get(name)
    if configured and configured.kind != "file":
        raise click.BadParameter(
            f"{name!r} is configured as kind {configured.kind!r} and reads no file; "
            "choose another name."
        )
    options: dict[str, Any] = dict(configured.options) if configured else {}
    options |= {**more, "path": str(file.resolve())}
    if columns:
        options["columns"] = {**options.get("columns", {}), **columns}
    return Source(kind="file", options=options)


@click.command("annotate")
@click.option("--limit", type=click.IntRange(min=1), help="Tag at most so many.")
@click.option("--again", is_flag=True, help="Tag everything again.")
@click.option(
    "--ray",
    "cluster",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Tag millions with Ray Data, on this machine or on the cluster at ADDRESS.",
)
@click.option("--workers", "many", type=click.IntRange(min=1), help="How many, with --ray.")
@opened
@clock
@console.as_json
def annotate_verb(
    house: House,
    *,
    limit: int | None,
    again: bool,
    cluster: str | None,
    many: int | None,
    as_json: bool,
) -> None:
    """Tag what is untagged; once a week study the week that is over."""
    from ..nlp.annotate import study

    if cluster is None and many is not None:
        raise click.UsageError("--workers goes with --ray; add --ray, or leave it away.")
    if cluster is not None and limit is not None:
        raise click.UsageError("--limit does not go with --ray; leave one of them away.")
    if cluster is None:
        done = _tag_here(house, limit, again=again)
    else:
        done = _tag_in_bulk(house, cluster, many, again=again)
    waiting = tags.pending(house.db)
    if not waiting and (again or studies.wanted(house.db, last_sunday(house))):
        themes = study(
            house.db,
            house.tagger,
            sunday=last_sunday(house),
            postures={key: each.posture for key, each in house.config.touchpoints.items()},
            now=house.now(),
        )
        console.say(f"Studied the week up to {last_sunday(house)}: {themes} emerging themes.")
    sentence = f"{done.tagged} tagged, {done.uncertain} uncertain, {waiting} still waiting."
    console.tell({**console.plain(done), "waiting": waiting}, sentence, as_json=as_json)


def _tag_here(house: House, limit: int | None, *, again: bool) -> Annotated:
    from ..nlp.annotate import Annotated, annotate

    if again:
        house.note("annotate again")
        tags.request_again(house.db)
    waiting = untagged(house.db, house.config)
    if not waiting:
        return Annotated(tagged=0, uncertain=0)
    with console.progress("tagging", min(waiting, limit or waiting)) as step:
        return annotate(
            house.db,
            house.tagger,
            now=house.now,
            worker=workers.me(),
            limit=limit,
            progress=step,
        )


def _tag_in_bulk(house: House, cluster: str, many: int | None, *, again: bool) -> Annotated:
    from ..nlp import bulk

    bulk.refuse(house.db)
    if again:
        house.note("annotate again")
    now = house.now()
    since = tags.begin_again(house.db, now) if again else None
    if since and since < now:
        console.say(f"Going on with what was asked for at {console.cell(since)}.")
    with console.progress("gone through", len(tags.ids(house.db))) as step:
        done = bulk.annotate_all(
            house.db, _job(house, since), address=cluster, workers=many, progress=step
        )
    if again:
        tags.end_again(house.db)
    return done


def _job(house: House, since: datetime | None) -> Job:
    from ..nlp.bulk import Job

    return Job(
        url=SecretStr(house.config.database_url),
        model=model(house.config),
        version=tagger_version(house.config),
        touchpoints=journey(house.config),
        categories=categories(house.config),
        since=since,
        moment=house.moment,
    )


def _timetable(house: House, children: Children, tell: Callable[[Did], None]) -> Timetable:
    house.door, house.db  # noqa: B018 - key and schema are made here, not by two children at once
    return Timetable(
        house.config, house.db, children, file=house.file, moment=house.moment, tell=tell
    )


@click.command("run")
@opened
@clock
@console.as_json
def run_verb(house: House, *, as_json: bool) -> int:
    """Do everything that is due, once: collect, annotate, watch, digest, deliver."""
    with Children() as children:
        found = _timetable(house, children, lambda done: console.say(_sentence(done))).once()
    rows = [{"duty": done.duty, "ok": done.well, **done.report} for done in found]
    if as_json:
        console.emit_each(rows)
    else:
        cells = [[done.duty, "ok" if done.well else "problem", _words(done)] for done in found]
        console.table(("duty", "result", "message"), cells)
    return DONE if all(done.well for done in found) else PROBLEM


def _words(done: Did) -> str:
    if done.message:
        return done.message
    figures = {key: value for key, value in done.report.items() if isinstance(value, int)}
    return ", ".join(f"{value} {key}" for key, value in figures.items() if value)


def _sentence(done: Did) -> str:
    words = _words(done)
    return f"{done.duty}: {'ok' if done.well else 'problem'}{f', {words}' if words else ''}"


def _listening(_context: click.Context, _: click.Parameter, value: str | None) -> Any:
    try:
        return None if value is None else health.address(value)
    except health.AddressError as error:
        raise click.BadParameter(f"{error}.") from error


@click.command("serve")
@click.option(
    "--http",
    metavar="HOST:PORT",
    callback=_listening,
    help="Answer /health, /ready and /unsubscribe there (without a HOST: on this machine only).",
)
@opened
def serve_verb(house: House, *, http: tuple[str, int] | None) -> int:
    """Keep doing everything that is due, until Ctrl-C or SIGTERM.

    On a terminal it says what it does in sentences, elsewhere in JSON Lines, both on stderr.
    """
    journal = Journal(house.config, now=house.now)
    heart = health.Heart(patience=BEATS * scheduler.TICK.total_seconds())

    def tell(done: Did) -> None:
        journal.did(done.duty, done.report, well=done.well, sentence=_sentence(done))

    with Children() as children, _answering(house, journal, heart, http):
        timetable = _timetable(house, children, tell)
        brand = house.config.brand.name
        journal.say("began", f"Listening for {brand}; Ctrl-C ends it.", pid=os.getpid())
        number = scheduler.serve(timetable, complain=journal.fault, beat=heart.beat)
    if not journal.human:
        journal.say("ended", "Asked to end; what was begun stays due.", signal=number)
    return INTERRUPTED if number == signal.SIGINT else DONE


@contextmanager
def _answering(
    house: House, journal: Journal, heart: health.Heart, where: tuple[str, int] | None
) -> Iterator[None]:
    if where is None:
        yield
        return
    ready = health.Kept(lambda: _readiness(house, journal))
    pages = {UNSUBSCRIBE: partial(_leaving, house, journal)} if _one_click(house.config) else {}
    try:
        server = health.Health(where, alive=lambda: heart.alive, ready=ready, pages=pages)
    except OSError as error:
        raise click.ClickException(
            f"--http {where[0]}:{where[1]}: {error.strerror}; name another HOST:PORT, or end what "
            "listens there."
        ) from error
    with server:
        paths = " and ".join(["/health", "/ready", *pages])
        journal.say("http", f"{server.url}{paths} answer.", url=server.url)
        yield


def _one_click(config: Config) -> bool:
    return config.mail is not None and config.mail.unsubscribe_key is not None


def _leaving(
    house: House,
    journal: Journal,
    asked: Mapping[str, str],
    sent: bool,  # noqa: FBT001 - as health calls it
) -> tuple[HTTPStatus, str]:
    """The page that ends a reader's digest; the log says that one ended, and not whose."""
    from ..reports import leaving

    try:
        page = leaving.answer(
            house.db, house.config, asked.get("token", ""), now=house.now(), asked=sent
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller may ask again
        journal.fault(error)
        page = leaving.trouble(house.config)
    if page.ended:
        journal.say("unsubscribed", "A reader ended the weekly digest; see `ouvidor subscribers`.")
    return page.status, page.html


def _readiness(house: House, journal: Journal) -> Mapping[str, Any]:
    """What `status` tells; nobody who asks over HTTP is told the address of a database."""
    try:
        return standing(house)
    except Exception as error:  # noqa: BLE001 - whatever it is, the house is not ready
        journal.fault(error)
        return {"well": False, "message": "the state cannot be read; the log says why"}
