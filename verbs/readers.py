"""The verbs about who reads: everybody who gets mail, and who gets the digest no more.

A reader ends the digest with one click where there is a page for it, and else by a mail to whoever
runs the house, who types `ouvidor unsubscribe` then.
"""

from __future__ import annotations

from typing import Any

import click

from .. import console
from ..config import Config, check_address
from ..house import House, known, me, opened
from ..storage import readers


@click.command("subscribers")
@opened
@console.as_json
def subscribers_verb(house: House, *, as_json: bool) -> None:
    """Show who gets the digest and the alerts, who ended the digest, and whom no mail reaches."""
    rows = _rows(house)
    if as_json:
        console.emit_each(rows)
        return
    if not rows:
        console.say("Nobody subscribes; add a [subscribers.NAME] table.")
        return
    heads = ("name", "address", "digest", "alerts", "refused_at")
    console.table(heads, [_cells(row) for row in rows])


def _rows(house: House) -> list[dict[str, Any]]:
    ended, refused = readers.ended(house.db), readers.refusals(house.db)
    rows = [
        {
            "name": name,
            "address": each.address,
            "digest": each.digest and name not in ended,
            "alerts": each.alerts,
            "ended_at": ended.get(name),
            "refused_at": refused.get(each.address),
        }
        for name, each in house.config.subscribers.items()
    ]
    strangers = [each for each in ended if each not in house.config.subscribers]
    return rows + [
        {
            "name": None,
            "address": each,
            "digest": False,
            "alerts": False,
            "ended_at": ended[each],
            "refused_at": refused.get(each),
        }
        for each in strangers
    ]


def _cells(row: dict[str, Any]) -> list[object]:
    told = f"ended {console.cell(row['ended_at'])}" if row["ended_at"] else row["digest"]
    return [row["name"], row["address"], told, row["alerts"], row["refused_at"]]


@click.command("unsubscribe")
@click.argument("reader", metavar="NAME|ADDRESS")
@opened
@console.as_json
def unsubscribe_verb(house: House, reader: str, *, as_json: bool) -> None:
    """End the weekly digest of a reader, who asked for it; alerts are left as they are."""
    name = _name(house.config, reader)
    by, is_known = me(), name in house.config.subscribers
    done = readers.end(house.db, name, now=house.now(), by=by, known=is_known)
    sentence = f"{reader} gets no weekly digest any more."
    if not done:
        sentence = f"{reader} had ended the weekly digest already."
    console.tell({"reader": name, "ended": done}, sentence, as_json=as_json)


@click.command("subscribe")
@click.argument("reader", metavar="NAME|ADDRESS")
@opened
@console.as_json
def subscribe_verb(house: House, reader: str, *, as_json: bool) -> None:
    """Give a reader the digest again that was ended, and try an address again that was refused."""
    name = _name(house.config, reader)
    found = house.config.subscribers.get(name)
    by, address = me(), found.address if found else name
    done = readers.resume(house.db, name, now=house.now(), by=by, known=found is not None)
    tried = readers.accept(house.db, address)
    sentences = [
        f"{reader} gets the weekly digest again." if done else "",
        f"{address} was refused by a mail server; it is tried again." if tried else "",
    ]
    if not (done or tried):
        sentences = [f"{reader} had neither ended the digest nor been refused; nothing changed."]
    if found and not found.digest:
        sentences.append(f"[subscribers.{name}] says digest = false; take that line away.")
    told = {"reader": name, "resumed": done, "accepted": tried}
    console.tell(told, " ".join(filter(None, sentences)), as_json=as_json)


def _name(config: Config, reader: str) -> str:
    """The name that a reader's digest goes by: the table's, or of one without a table the address.

    Raises click.BadParameter for a name that nobody has.
    """
    named = {each.address: name for name, each in config.subscribers.items()}
    if reader in config.subscribers or reader in named:
        return named.get(reader, reader)
    try:
        return check_address(reader)
    except ValueError:
        return known(reader, config.subscribers, "subscriber")
