"""The verb ``alerts``: the open matters, their history, and what people do about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import click

from .. import console
from ..config import check_address
from ..house import House, clock, day_option, me, opened
from ..storage import alerts, series
from ..storage import annotations as tags
from ..storage import search as finding
from ..storage.alerts import AlertEvent, AlertRow, Lesson
from ..storage.database import StorageError
from ..storage.vocabulary import AlertState, Sentiment, joined_text

QUOTES = "quotes"
MOST_DOUBTED = 100
ACTIVE = [state for state in AlertState if state.active]


class Listing(click.Group):
    """Without a verb of its own it lists: ``alerts --json`` is ``alerts list --json``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``list`` before options that are its own."""
        asked = not args or (args[0].startswith("-") and args[0] not in {"-h", "--help"})
        return super().parse_args(ctx, ["list", *args] if asked else args)


@click.group("alerts", cls=Listing)
def alerts_verb() -> None:
    """List alerts (the default), show one, and say what is done about it."""


@alerts_verb.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in AlertState]),
    help="Only in this state (default: open and acknowledged). May be repeated.",
)
@click.option("--all", "everything", is_flag=True, help="Closed ones, too.")
@opened
@console.as_json
def list_verb(house: House, *, states: Sequence[str], everything: bool, as_json: bool) -> None:
    """List alerts, the newest first."""
    chosen = None if everything else [AlertState(state) for state in states] or ACTIVE
    found = alerts.listing(house.db, states=chosen)
    if as_json:
        console.emit_each(found)
        return
    if not found:
        console.say("No alerts." if everything else "No open alerts; --all shows closed ones.")
        return
    heads = "id state severity touchpoint source since to observed expected owner incident"
    table = [_cells(each) for each in found]
    console.table(heads.split(), table, right="id observed expected incident")


def _cells(alert: AlertRow) -> list[object]:
    state = f"{alert.state} (shadow)" if alert.shadow else alert.state.value
    where = alert.source or "all"
    days = [alert.first_day, alert.last_day]
    figures = [alert.observed, f"{alert.expected:.1f}", alert.owner, alert.incident]
    return [alert.id, state, alert.severity.value, alert.touchpoint, where, *days, *figures]


def _number(function: Any) -> Any:
    return click.argument("alert_id", metavar="ID", type=int)(function)


def _by(function: Any) -> Any:
    return click.option("--by", default=me, help="Who does it (default: you).")(function)


def _note(function: Any) -> Any:
    return click.option("--note", "--reason", default="", help="Why, or what was done.")(function)


@alerts_verb.command("show")
@_number
@opened
@clock
@console.as_json
def show_verb(house: House, alert_id: int, *, as_json: bool) -> None:
    """Show one alert with its evidence and history."""
    alert, events = alerts.get(house.db, alert_id), alerts.history(house.db, alert_id)
    if as_json:
        console.emit(console.plain(alert) | {"history": events})
    else:
        _print(house, alert, events)


def _print(house: House, alert: AlertRow, events: Sequence[AlertEvent]) -> None:
    where = alert.source or "all sources"
    shadow = ", in shadow: nobody was told" if alert.shadow else ""
    if alert.muted_until and alert.muted_until >= house.today:
        shadow += f", muted until {alert.muted_until}"
    if alert.incident:
        shadow += f", part of incident {alert.incident}"
    console.out(f"Alert {alert.id}: {alert.touchpoint} ({where})", "bold")
    console.out(f"{alert.state}, {alert.severity}{shadow}; owner {alert.owner or 'nobody'}")
    console.out(
        f"{alert.observed} negative from {alert.first_day} to {alert.last_day}, "
        f"{alert.expected:.1f} expected{_share(alert)}"
    )
    for name, value in alert.evidence.items():
        if name == QUOTES and isinstance(value, list):
            _print_quotes(house, value)
        elif name != alerts.LIFE:
            _print_evidence(name, value)
    for event in events:
        note = f": {event.note}" if event.note else ""
        console.out(f"{console.cell(event.at)} {event.by} {event.what}{note}")


def _share(alert: AlertRow) -> str:
    if alert.share is None or alert.expected_share is None:
        return ""
    return f"; {alert.share:.0%} of all instead of {alert.expected_share:.0%}"


def _print_quotes(house: House, quoted: Sequence[Any]) -> None:
    """Quotes stand as ids, so that an erased text is erased everywhere."""
    for each in quoted:
        number = each["feedback_id"] if isinstance(each, dict) else each
        try:
            found = finding.show(house.db, number).feedback
        except StorageError:
            continue
        text = console.excerpt(joined_text(found.title, found.text), 300)
        console.out(f"“{text}” ({found.source}, {found.day}, feedback {found.id})")


def _print_evidence(name: str, value: Any) -> None:
    """Evidence is JSON made by the watch: a list becomes lines, everything else one line."""
    words = name.replace("_", " ")
    if isinstance(value, list) and value:
        console.out(f"{words}:")
        for each in value:
            console.out(f"  {console.excerpt(_words(each), 300)}")
    elif value:
        console.out(f"{words}: {_words(value)}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return " · ".join(f"{name} {_words(each)}" for name, each in value.items() if each)
    if isinstance(value, list):
        return ", ".join(_words(each) for each in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@alerts_verb.command("ack")
@_number
@_note
@_by
@opened
@clock
def ack_verb(house: House, alert_id: int, *, note: str, by: str) -> None:
    """Say that you have seen it and take care."""
    alerts.acknowledge(house.db, alert_id, by=by, note=note, now=house.now())
    house.note("alert ack", alert=alert_id)
    console.say(f"Alert {alert_id} is acknowledged.")


@alerts_verb.command("assign")
@_number
@click.argument("owner", metavar="ADDRESS")
@_by
@opened
@clock
def assign_verb(house: House, alert_id: int, owner: str, *, by: str) -> None:
    """Give it to somebody, by mail address."""
    try:
        check_address(owner)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    alerts.assign(house.db, alert_id, owner=owner, by=by, now=house.now())
    house.note("alert assign", alert=alert_id)
    console.say(f"Alert {alert_id} belongs to {owner}.")


@alerts_verb.command("resolve")
@_number
@_note
@_by
@opened
@clock
def resolve_verb(house: House, alert_id: int, *, note: str, by: str) -> None:
    """Close it: what was wrong is mended."""
    state = AlertState.RESOLVED
    alerts.close(house.db, alert_id, state=state, by=by, reason=note, now=house.now())
    house.note("alert resolve", alert=alert_id)
    console.say(f"Alert {alert_id} is resolved.")


@alerts_verb.command("dismiss")
@_number
@click.option(
    "--reason",
    "lesson",
    type=click.Choice([lesson.value for lesson in Lesson]),
    help="Why: the next alert about the same needs more evidence, or people check the tags.",
)
@click.option("--of", "duplicate_of", type=int, metavar="ID", help="The alert it is a double of.")
@click.option("--note", default="", help="In your own words.")
@_by
@opened
@clock
def dismiss_verb(
    house: House,
    alert_id: int,
    *,
    lesson: str | None,
    duplicate_of: int | None,
    note: str,
    by: str,
) -> None:
    """Close it: nothing was wrong."""
    if duplicate_of and lesson not in {None, Lesson.DUPLICATE.value}:
        raise click.UsageError("--of belongs to --reason duplicate.")
    why = Lesson.DUPLICATE if duplicate_of else Lesson(lesson) if lesson else None
    alerts.dismiss(
        house.db,
        alert_id,
        lesson=why,
        by=by,
        note=note,
        now=house.now(),
        duplicate_of=duplicate_of,
    )
    house.note("alert dismiss", alert=alert_id, reason=why and why.value)
    console.say(f"Alert {alert_id} is dismissed.{_learnt(house, alert_id, why)}")


def _learnt(house: House, alert_id: int, lesson: Lesson | None) -> str:
    """What follows from the reason; wrong tags go to the people's queue."""
    if lesson is not Lesson.WRONG_TAG:
        needless = " The next one about the same needs more evidence."
        return needless if lesson and lesson.needless else ""
    alert = alerts.get(house.db, alert_id)
    told = series.quotes(
        house.db,
        touchpoint=alert.touchpoint,
        source=alert.source or None,
        since=alert.first_day,
        until=alert.last_day,
        sentiment=Sentiment.NEGATIVE,
        limit=MOST_DOUBTED,
    )
    count = tags.doubt(house.db, [each.feedback_id for each in told])
    return f" {count} pieces went to the queue; `ouvidor review` shows it."


@alerts_verb.command("comment")
@_number
@click.argument("text", metavar="TEXT")
@_by
@opened
@clock
def comment_verb(house: House, alert_id: int, text: str, *, by: str) -> None:
    """Write a line into its history."""
    if not text.strip():
        raise click.BadParameter("the comment is empty; write what you want to say.")
    alerts.comment(house.db, alert_id, text=text, by=by, now=house.now())
    house.note("alert comment", alert=alert_id)
    console.say(f"Alert {alert_id} has your comment.")


@alerts_verb.command("mute")
@_number
@day_option("--until", "The last day of silence.")
@_note
@_by
@opened
@clock
def mute_verb(house: House, alert_id: int, *, until: date | None, note: str, by: str) -> None:
    """Tell nobody about its touchpoint (and source) up to a day; findings are kept."""
    if until is None:
        raise click.UsageError("--until is missing; name the last day of silence.")
    if until < house.today:
        raise click.BadParameter(f"{until} is over; name today or a later day.")
    alerts.mute(house.db, alert_id, until=until, by=by, note=note, now=house.now())
    house.note("alert mute", alert=alert_id, until=until.isoformat())
    console.say(f"Nobody is told about the matter of alert {alert_id} until {until}.")


@alerts_verb.command("unmute")
@_number
@_note
@_by
@opened
@clock
def unmute_verb(house: House, alert_id: int, *, note: str, by: str) -> None:
    """End the silence before its day."""
    alerts.mute(house.db, alert_id, until=None, by=by, note=note, now=house.now())
    house.note("alert unmute", alert=alert_id)
    console.say(f"Alert {alert_id} speaks again.")
