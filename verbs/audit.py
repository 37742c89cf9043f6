"""The verb ``audit``: who did what when, with what is personal or decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from .. import console
from ..config import MOST_DAYS
from ..house import House, opened
from ..storage import audit


@click.command("audit")
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    default=30,
    show_default=True,
    help="Of the last so many days.",
)
@opened
@console.as_json
def audit_verb(house: House, *, days: int, as_json: bool) -> None:
    """Say who did what when, the latest first: exports, contacts shown, decisions, retention.

    WHO is the user of the machine; ABOUT holds ids and counts, never a word that somebody wrote.
    """
    found = audit.entries(house.db, since=datetime.now(UTC) - timedelta(days=days))
    if as_json:
        console.emit_each(found)
        return
    rows = [[each.at, each.by, each.what, _about(each.about)] for each in found]
    if not rows:
        console.say(f"Nothing was noted in the last {days} days.")
        return
    console.table(["when", "who", "what", "about"], rows)


def _about(about: dict[str, Any]) -> str:
    said = {name: _words(value) for name, value in about.items() if value is not None}
    return ", ".join(f"{name} {value}" for name, value in said.items())


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
