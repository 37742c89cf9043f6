"""The verbs that do the work: collect, import, annotate, and everything together.

Each is one step that may be run twice. With ``--json`` each says what it did in one document.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from .. import console, scheduler
from ..children import Children
from ..config import Config, ConfigError, Source, check_name
from ..house import House, clock, known, opened, untagged
from ..scheduler import Did, Timetable
from ..storage import annotations as tags
from ..storage import workers
from ..storage.vocabulary import Kind, Outcome

DONE, PROBLEM, INTERRUPTED = 0, 1, 130
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
        row = _collect_here(house, chosen[0], sources[chosen[0]], full=full)
        return _tell_runs([row], as_json=as_json)
    return _tell_runs(_collect_apart(house, chosen, full=full), as_json=as_json)


def _collect_here(house: House, name: str, source: Source, *, full: bool) -> dict[str, Any]:
    """One source in this process; what is to be told of its run."""
    from ..collectors.run import run_source

    report = run_source(
        house.db,
        name,
        source,
        door=house.door,
        now=house.now(),
        full=full,
        folder=house.config.folder,
    )
    return {"source": name} | dict(console.plain(report))


def _collect_apart(house: House, names: Sequence[str], *, full: bool) -> list[dict[str, Any]]:
    """Each source in a process of its own, a few at a time."""
    more = ["--json", *(["--full"] if full else []), *_replay(house)]
    commands = {name: [*_common(house), "collect", name, *more] for name in names}
    minutes = house.config.schedule.run_timeout_minutes
    told = []
    for done in scheduler.side_by_side(Children(), commands, timedelta(minutes=minutes)):
        row = run_row(done.duty, done)
        console.say(f"{row['source']}: {row['outcome']}, {row['new']} new")
        told.append(row)
    return told


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
    more: dict[str, str],
    as_json: bool,
) -> int:
    """Read feedback from a CSV, TSV, JSON Lines or XLSX file (or one of them gzipped)."""
    more |= {"feedback_kind": kind} if kind else {}
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
@opened
@clock
@console.as_json
def annotate_verb(house: House, *, limit: int | None, again: bool, as_json: bool) -> None:
    """Tag what is untagged."""
    from ..nlp.annotate import Annotated, annotate

    if again:
        tags.request_again(house.db)
    done = Annotated(tagged=0, uncertain=0)
    if waiting := untagged(house.db, house.config):
        with console.progress("tagging", min(waiting, limit or waiting)) as step:
            done = annotate(
                house.db,
                house.tagger,
                now=house.now,
                worker=workers.me(),
                limit=limit,
                progress=step,
            )
    waiting = tags.pending(house.db)
    sentence = f"{done.tagged} tagged, {done.uncertain} uncertain, {waiting} still waiting."
    console.tell({**console.plain(done), "waiting": waiting}, sentence, as_json=as_json)


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


@click.command("serve")
@opened
def serve_verb(house: House) -> int:
    """Keep doing everything that is due, until Ctrl-C or SIGTERM."""

    def tell(done: Did) -> None:
        console.say(f"{console.cell(house.now())} {_sentence(done)}")

    with Children() as children:
        timetable = _timetable(house, children, tell)
        console.say(f"Listening for {house.config.brand.name}; Ctrl-C ends it.")
        number = scheduler.serve(
            timetable, complain=lambda error: console.problem(console.explain(error))
        )
    return INTERRUPTED if number == signal.SIGINT else DONE
