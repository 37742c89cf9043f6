"""The verbs for whoever keeps the house running: each source with its days, all in few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from .. import console
from ..house import House, clock, known, opened
from ..storage import alerts, outbox, pulse, runs
from ..storage import annotations as tags
from ..storage.runs import SourceStatus

if TYPE_CHECKING:
    from ..reports.silence import Concern

WELL, WORRY = 0, 1
MOST_DAYS = 400


@click.command("sources")
@click.argument("names", metavar="[SOURCE]...", nargs=-1)
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    help="Show the last so many days of each: observed, capped, blocked, suspect, partly, gap.",
)
@opened
@clock
@console.as_json
def sources_verb(house: House, names: Sequence[str], *, days: int | None, as_json: bool) -> None:
    """Show each source with its last run, outcome, coverage and silence."""
    found = {status.name: status for status in runs.statuses(house.db)}
    configured = house.config.sources
    every = [*configured, *(name for name in found if name not in configured)]
    chosen = [known(name, every, "source") for name in names] or every
    worries = _worries(house)
    rows = [_source(house, name, found.get(name), worries, days) for name in chosen]
    if as_json:
        console.emit_each(rows)
        return
    heads = ("source", "kind", "feedback", "last run", "outcome", "covered", "silence", "message")
    console.table(heads, [_source_cells(row) for row in rows], right="feedback")
    for row in rows if days else []:
        _print_days(row)
    for row in rows:
        _print_worries(row["concerns"])


def _worries(house: House) -> list[Concern]:
    from ..reports import vigil

    return vigil.concerns(house.db, house.config, now=house.now())


def _sentences(house: House, worries: Sequence[Concern]) -> list[dict[str, Any]]:
    """Worries as JSON shows them, each with its sentence in English."""
    from ..reports.vigil_letter import VigilPhrases

    say = VigilPhrases("en", house.config.brand.zone)
    told = ("source", "part", "field", "since")
    return [
        {"what": each.what.value}
        | {name: getattr(each, name) for name in told}
        | {"message": f"{say.name(each)} {say.what(each)}"}
        for each in worries
    ]


def _source(
    house: House,
    name: str,
    status: SourceStatus | None,
    worries: Sequence[Concern],
    days: int | None,
) -> dict[str, Any]:
    configured = house.config.sources.get(name)
    empty = dict.fromkeys(each.name for each in fields(SourceStatus))
    row = empty | {"name": name, "feedback": 0, "covered_days": 0, "running": False, "message": ""}
    if status:
        row |= {each.name: getattr(status, each.name) for each in fields(SourceStatus)}
    if configured:
        row["kind"] = configured.kind
    heard: datetime | None = row["last_new_at"]
    silent = (house.now() - heard).days if heard else None
    row |= {
        "configured": configured is not None,
        "enabled": configured is not None and configured.enabled,
        "silent_days": silent,
        "concerns": _sentences(house, [each for each in worries if each.source == name]),
    }
    return row | ({"days": _days(house, name, days)} if days else {})


def _days(house: House, name: str, count: int) -> list[dict[str, Any]]:
    since = house.today - timedelta(days=count - 1)
    # A run of yesterday may tell of a gap long before.
    past = pulse.past_runs(house.db, name, since=house.now() - timedelta(days=MOST_DAYS))
    zone = house.config.brand.zone
    found = pulse.days(house.db, name, past, since=since, until=house.today, zone=zone)
    return [{"day": day, "state": state.value} for day, state in found.items()]


def _source_cells(row: Mapping[str, Any]) -> list[object]:
    outcome = "running" if row["running"] else row["outcome"] or "never run"
    if row["configured"] and not row["enabled"]:
        outcome = f"{outcome} (disabled)"
    covered = f"{row['covered_days']} days to {row['last_covered_day'] or '–'}"
    heard = "never delivered" if row["silent_days"] is None else f"{row['silent_days']} days"
    message = row["message"] if row["configured"] else row["message"] or "not in the configuration"
    head = [row["name"], row["kind"], row["feedback"], row["last_run_at"]]
    return [*head, outcome, covered, heard, message]


def _print_days(row: Mapping[str, Any]) -> None:
    """The days of one source, those that follow each other in one state as one line."""
    console.out(f"\n{row['name']}", "bold")
    spans: list[list[Any]] = []
    for each in row["days"]:
        if spans and spans[-1][2] == each["state"]:
            spans[-1][1] = each["day"]
        else:
            spans.append([each["day"], each["day"], each["state"]])
    for first, last, state in spans:
        console.out(f"  {first}  {state}" if first == last else f"  {first} to {last}  {state}")


def _print_worries(worries: Sequence[Mapping[str, Any]]) -> None:
    for each in worries:
        console.say(each["message"])


def standing(house: House) -> dict[str, Any]:
    """What `status` tells; ``well`` says whether anything needs a look."""
    worries = _sentences(house, _worries(house))
    past = [each.last_run_at for each in runs.statuses(house.db, counted=False)]
    mail = outbox.counts(house.db)
    return {
        "well": not worries and not mail.get("failed"),
        "sources": sum(source.enabled for source in house.config.sources.values()),
        "last_run_at": max((at for at in past if at), default=None),
        "waiting_for_tagger": tags.pending(house.db),
        "open_alerts": len(alerts.active(house.db)),
        "messages": {state: mail.get(state, 0) for state in ("waiting", "sent", "failed")},
        "concerns": worries,
    }


@click.command("status")
@opened
@clock
@console.as_json
def status_verb(house: House, *, as_json: bool) -> int:
    """Say whether all is well: exit 0, or 1 with what needs a look."""
    row = standing(house)
    mail = row["messages"]
    if as_json:
        console.emit(row)
        return WELL if row["well"] else WORRY
    console.out(
        f"{house.config.brand.name}: {row['sources']} sources, last run "
        f"{console.cell(row['last_run_at'])}; {row['waiting_for_tagger']} pieces wait for the "
        f"tagger; {row['open_alerts']} alerts open."
    )
    console.out(
        f"Messages: {mail['waiting']} waiting, {mail['sent']} sent, {mail['failed']} failed."
    )
    _print_worries(row["concerns"])
    console.out("All is well." if row["well"] else "Something needs a look.")
    return WELL if row["well"] else WORRY
