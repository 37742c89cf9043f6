"""The verb ``demo``: sixteen weeks of an invented brand, read from a server on loopback.

The last two weeks pass day by day (collect, tag, watch), so that the alert opens as it would have;
then the digest of the last week is built.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import click

from .. import console
from ..config import Mail
from ..demo.configuration import configuration
from ..demo.feedback import LAST_DAY, ZONE
from ..demo.server import StandIn
from ..house import House, week_name
from ..storage import alerts, outbox, runs, workers
from ..storage.alerts import AlertRow

DAYS = 14
"""Days that pass one by one after the first run."""

AT = clock_time(6)
"""When each day's run begins: the day before is over."""

_OURS = ("ouvidor.toml", "ouvidor.db", "ouvidor.db-wal", "ouvidor.db-shm", "ouvidor.key")
_MARK = "ouvidor.demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the demo leaves behind."""

    folder: Path
    digest_html: Path
    digest_eml: Path
    headline: str
    feedback: int
    seconds: float
    alerts: Sequence[AlertRow]


@click.command("demo")
@click.option(
    "--keep",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Leave everything in this folder (default: a new temporary one).",
)
@console.as_json
@click.pass_obj
def demo_verb(house: House, folder: Path | None, *, as_json: bool) -> None:
    """Show the whole cycle on a stand-in brand, offline; takes about a minute."""
    began = time.monotonic()
    folder = (folder or Path(tempfile.mkdtemp(prefix="ouvidor-demo-"))).resolve()
    _make_room(folder)
    house.file = folder / "ouvidor.toml"
    with StandIn(next(_moments())) as brand:
        (folder / "ouvidor.toml").write_text(configuration(brand.url, folder), encoding="utf-8")
        _hand_over(brand, folder / "keys")
        for moment in _moments():
            brand.now = moment
            _pass_day(house, moment)
    shown = _tell_week(house, folder, began)
    if as_json:
        console.emit(shown)
    else:
        _print(house, shown)


def _hand_over(brand: StandIn, folder: Path) -> None:
    """The stand-in's keys, where an operator puts theirs: in files that the environment names."""
    for name, path in brand.keys.write(folder, brand.url).items():
        os.environ[f"OUVIDOR_DEMO_{name.partition('.')[0].upper()}_FILE"] = str(path)


def _make_room(folder: Path) -> None:
    """An empty place: what an earlier demo left goes, anything else stays and is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    present = folder / "ouvidor.toml"
    if present.exists() and _MARK not in present.read_text(encoding="utf-8"):
        raise click.ClickException(
            f"{present} is a configuration of your own; name another folder with --keep."
        )
    for name in _OURS if present.exists() else ():
        (folder / name).unlink(missing_ok=True)
    if (folder / "ouvidor.db").exists():
        raise click.ClickException(
            f"{folder / 'ouvidor.db'} is a database of your own; name another folder with --keep."
        )


def _moments() -> Iterator[datetime]:
    """The morning after the first fourteen weeks, and each morning up to the end."""
    last = datetime.combine(LAST_DAY + timedelta(days=1), AT, tzinfo=ZONE)
    return (last - timedelta(days=back) for back in range(DAYS, -1, -1))


def _pass_day(house: House, moment: datetime) -> None:
    """Collect what was public at this moment, tag it, watch."""
    from ..nlp.annotate import annotate
    from ..reports.watch import watch

    house.moment = moment
    new = _collect(house, moment)
    tagged = annotate(house.db, house.tagger, now=house.now, worker=workers.me())
    watched = watch(house.db, house.config, now=moment)
    turns = {name: len(getattr(watched, name)) for name in ("opened", "updated", "resolved")}
    told = ", ".join(f"{count} {name}" for name, count in turns.items() if count) or "nothing"
    console.say(f"{moment:%Y-%m-%d}  {new:4} new, {tagged.tagged:4} tagged; alerts: {told}")


def _collect(house: House, moment: datetime) -> int:
    """Read every source in this process (ninety children would take minutes); what is new."""
    from ..collectors.run import run_source

    new = 0
    for name, source in house.config.sources.items():
        folder = house.config.folder
        done = run_source(house.db, name, source, door=house.door, now=moment, folder=folder)
        if done.stopped:
            raise KeyboardInterrupt
        if not done.outcome.good:
            raise click.ClickException(f"{name} could not be read: {done.message}")
        new += done.new
    return new


def _tell_week(house: House, folder: Path, began: float) -> Shown:
    """Build the digest of the last week, as a page and as the mail itself."""
    from ..reports import digest, letter, mail

    week = week_name(LAST_DAY)
    built = digest.build(house.db, house.config, now=house.now(), week=week)
    page, letter_file = folder / "digest.html", folder / "digest.eml"
    page.write_text(letter.preview(built), encoding="utf-8")
    [posted, *_] = digest.digest(house.db, house.config, now=house.now(), week=week)
    body = outbox.bodies(house.db, [posted.key])[posted.key]
    sender = Mail(host="localhost", sender="ouvidor@tucuma.example")
    brand = house.config.brand.name
    letter_file.write_bytes(mail.seal(body, key=posted.key, brand=brand, settings=sender))
    return Shown(
        folder=folder,
        digest_html=page,
        digest_eml=letter_file,
        headline=built.headline,
        feedback=sum(status.feedback for status in runs.statuses(house.db)),
        seconds=round(time.monotonic() - began, 1),
        alerts=alerts.listing(house.db),
    )


def _print(house: House, shown: Shown) -> None:
    heads = ("source", "kind", "feedback", "outcome", "covered days")
    rows: list[Any] = [
        [each.name, each.kind, each.feedback, each.outcome, each.covered_days]
        for each in runs.statuses(house.db)
    ]
    console.table(heads, rows, right="feedback")
    console.out()
    for alert in shown.alerts:
        name = house.config.touchpoints[alert.touchpoint].name
        console.out(
            f"Alert {alert.id} ({alert.severity}), detected on {alert.detected_on}: {name}, "
            f"{alert.observed} negative from {alert.first_day} to {alert.last_day}, "
            f"{alert.expected:.1f} expected; owner {alert.owner or 'nobody'}",
            "bold",
        )
    console.out(f"{house.config.brand.name}: {shown.headline}")
    console.out(f"\n{shown.feedback} pieces of feedback in {shown.seconds:.0f} s. Look at:")
    console.out(f"  {shown.digest_html}")
    console.out(f"  {shown.digest_eml}")
    later = f"--config {shown.folder / 'ouvidor.toml'}"
    console.out(f"  ouvidor scorecard {later} --now {house.now().isoformat()}")
