"""The verbs that tell people: watch, digest and deliver.

Each is one step that may be run twice. With ``--json`` each says what it did in one document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import console
from ..config import LOCALES, Config, check_address
from ..house import House, clock, day_option, known, opened, ordered, week_name, week_option
from ..scheduler import CHAT
from ..storage import workers
from .files import spike_row
from .read import span_of

if TYPE_CHECKING:
    from ..reports.watch import Outlook

DONE, PROBLEM = 0, 1


@click.command("watch")
@click.option("--backtest", is_flag=True, help="Only say what would have fired over the past.")
@day_option("--since", "With --backtest: from this day …")
@day_option("--until", "… to this day.")
@opened
@clock
@console.as_json
def watch_verb(
    house: House, *, backtest: bool, since: date | None, until: date | None, as_json: bool
) -> None:
    """Open, update and resolve alerts; or say what would have fired."""
    from ..reports import vigil
    from ..reports import watch as watching

    if backtest:
        ordered(since, until)
        found = watching.backtest(house.db, house.config, since=since, until=until)
        seen = watching.outlook(house.db, house.config, until=until)
        _tell_spikes([spike_row(spike) for spike in found], as_json=as_json)
        if seen:
            _tell_outlook(seen, as_json=as_json)
        return
    if since or until:
        raise click.UsageError("--since and --until belong to --backtest.")
    vigil.vigil(house.db, house.config, now=house.now())
    done = watching.watch(house.db, house.config, now=house.now())
    if as_json:
        console.emit(done)
    else:
        console.out(str(done))


def _tell_spikes(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        console.emit_each(rows)
        return
    if not rows:
        console.say("Nothing would have fired.")
        return
    heads = (
        "detected_on",
        "series",
        "severity",
        "from",
        "to",
        "observed",
        "expected",
        "share",
        "expected_share",
    )
    console.table(
        heads,
        [[row[head] for head in heads] for row in rows],
        right="observed expected share expected_share",
    )


def _tell_outlook(seen: Outlook, *, as_json: bool) -> None:
    """How often chance alone fires, and how small a change of each series could be seen.

    The lines of JSON are findings and nothing else: with them this goes to the other stream.
    """
    console.say(
        f"{seen.series} series share the budget; by chance about "
        f"{seen.false_alarms_a_month:.2f} false alarms a month. The smallest change that could "
        "be seen, in negatives on days as busy as usual:"
    )
    if as_json:
        for sight in seen.sights:
            where = " @ ".join(filter(None, sight.key))
            console.say(
                f"{where}: {sight.least_in_a_day} in a day or {sight.least_in_a_week} in a week "
                f"(usual in a week: {sight.usual_in_a_week:.1f})"
            )
        return
    heads = ("touchpoint", "source", "usual_in_a_week", "least_in_a_day", "least_in_a_week")
    lines = [
        [
            sight.key.touchpoint,
            sight.key.source or "all",
            f"{sight.usual_in_a_week:.1f}",
            sight.least_in_a_day,
            sight.least_in_a_week,
        ]
        for sight in seen.sights
    ]
    console.table(heads, lines, right="usual_in_a_week least_in_a_day least_in_a_week")


@click.command("digest")
@week_option
@click.option(
    "--preview",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to this HTML file and send nothing.",
)
@click.option("--to", metavar="ADDRESS", help="Only to this address.")
@click.option(
    "--reader",
    "readers",
    multiple=True,
    metavar="NAME",
    help="Only for this subscriber, or chat/NAME. May be repeated.",
)
@click.option("--locale", type=click.Choice(LOCALES), help="In this language.")
@opened
@clock
@console.as_json
def digest_verb(
    house: House,
    *,
    week: date | None,
    preview: Path | None,
    to: str | None,
    readers: Sequence[str],
    locale: str | None,
    as_json: bool,
) -> None:
    """Build the digest of a week; one message per subscriber goes to the outbox."""
    from ..reports import digest as telling
    from ..reports import letter, paper

    name = week_name(span_of(house, week, None, None)[0])
    if preview is not None:
        built = telling.build(
            house.db,
            house.config,
            now=house.now(),
            week=name,
            subscriber=_subscriber(house.config, to) or next(iter(readers), ""),
            locale=locale,
        )
        with console.writing(preview) as file:
            file.write(letter.preview(built))
        document = {
            **telling.summary(built),
            "preview": str(preview),
            "digest": paper.document(built),
        }
        console.tell(document, built.headline, as_json=as_json)
        console.say(f"The digest of {name} lies in {preview}.")
        return
    if to:
        _address(to)
    config = _only(house.config, readers) if readers else house.config
    posted = telling.digest(house.db, config, now=house.now(), week=name, to=to, locale=locale)
    rows = [dict(console.plain(each)) for each in posted]
    if as_json:
        told = sum(row["skipped"] is None for row in rows)
        console.emit({"week": name, "told": told, "posted": rows})
    elif not rows:
        console.say("Nobody subscribes to the digest; add a [subscribers.NAME] table, or use --to.")
    else:
        heads = ("subscriber", "channel", "recipient", "week", "skipped")
        console.table(heads, [[row[head] for head in heads] for row in rows])


def _only(config: Config, readers: Sequence[str]) -> Config:
    """The configuration with some readers of the digest: NAME, or chat/NAME."""
    people = [known(each, config.subscribers, "subscriber") for each in readers if not _room(each)]
    rooms = [known(room, config.chat, "chat") for each in readers if (room := _room(each))]
    chosen = {
        "subscribers": {name: config.subscribers[name] for name in people},
        "chat": {name: config.chat[name] for name in rooms},
    }
    return config.model_copy(update=chosen)


def _room(reader: str) -> str | None:
    """NAME of a reader chat/NAME."""
    return reader.removeprefix(CHAT) if reader.startswith(CHAT) else None


def _subscriber(config: Config, address: str | None) -> str:
    """The subscriber with an address; a stranger sees the whole journey."""
    if address is None:
        return ""
    _address(address)
    return next((name for name, each in config.subscribers.items() if each.address == address), "")


def _address(value: str) -> None:
    try:
        check_address(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


@click.command("deliver")
@opened
@clock
@console.as_json
def deliver_verb(house: House, *, as_json: bool) -> int:
    """Send what waits in the outbox."""
    from ..reports.deliver import deliver

    done = deliver(house.db, house.config, now=house.now(), worker=workers.me())
    sentence = f"{done.sent} sent, {done.failed} failed, {done.waiting} still waiting."
    console.tell(console.plain(done), sentence, as_json=as_json)
    for trouble in done.problems:
        console.problem(trouble)
    return PROBLEM if done.problems else DONE
