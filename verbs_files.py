"""The verbs that read and write files; classify, spikes and eval need no database."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, TextIO

import click

from . import console
from .house import House, clock, opened
from .storage import privacy, runs
from .storage import search as finding
from .storage.search import Found, Wanted
from .storage.vocabulary import Spike
from .verbs_read import feedback_row, shown_row, wanted, wanting

STDIN = "-"
PSEUDONYM = re.compile(r"p-[0-9a-f]{16}")

_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


@contextmanager
def reading(name: str) -> Iterator[TextIO]:
    """The lines of a UTF-8 file, or of stdin for ``-``; a mark at its start is left out."""
    if name == STDIN:
        reconfigure: Callable[..., None] | None = getattr(sys.stdin, "reconfigure", None)
        if reconfigure:
            reconfigure(encoding="utf-8-sig", errors="strict")
        yield sys.stdin
        return
    with Path(name).open(encoding="utf-8-sig", newline="") as file:
        yield file


@contextmanager
def _named(name: str) -> Iterator[None]:
    """What is wrong in a file becomes one sentence that names it."""
    where = "stdin" if name == STDIN else name
    try:
        yield
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError) or isinstance(error.__cause__, UnicodeDecodeError):
            raise click.ClickException(f"{where} is no UTF-8 text; save it as UTF-8.") from error
        raise click.ClickException(f"{where}: {error}.") from error


class JsonLines:
    """The objects of JSON Lines, up to the first line that is none; ``flaw`` says which one."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.flaw = ""
        self._lines = lines

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, text in enumerate(self._lines, 1):
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except ValueError as error:
                self.flaw = f"line {number}: not valid JSON ({error}); mend that line"
                return
            if not isinstance(value, dict):
                self.flaw = f'line {number}: no JSON object; write one like {{"text": "…"}}'
                return
            yield value

    def check(self) -> None:
        """Raise ValueError with the flaw, once everything before it is done."""
        if self.flaw:
            raise ValueError(self.flaw)


@click.command("classify")
@click.argument("file", type=_FILE, default=STDIN)
@click.option("--json", is_flag=True, expose_value=False, help="What it writes anyway.")
def classify_verb(file: str) -> None:
    """Tag JSON Lines {"id","text","title"?,"stars"?,"lang"?}; JSON Lines out, in the same order."""
    from .nlp.classify import classify
    from .nlp.tagger import Tagger

    with reading(file) as lines, _named(file):
        rows = JsonLines(lines)
        console.emit_each(classify(Tagger(), rows))
        rows.check()


@click.command("spikes")
@click.argument("file", type=_FILE, default=STDIN)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True, max=1000),
    default=1.0,
    show_default=True,
    help="False alarms a month that the team accepts over all series.",
)
@click.option("--json", is_flag=True, expose_value=False, help="What it writes anyway.")
def spikes_verb(file: str, *, budget: float) -> None:
    """Find negative spikes in a CSV series,date,negatives,total,observed; JSON Lines out."""
    from .reports.spikes import detect, read_csv

    with _named(file):
        with reading(file) as lines:
            series = read_csv(lines)
        console.emit_each(spike_row(spike) for spike in detect(series, budget_per_month=budget))


def spike_row(spike: Spike) -> dict[str, Any]:
    """A finding as JSON shows it."""
    row: dict[str, Any] = console.plain(spike)
    row["from"], row["to"] = row.pop("first_day"), row.pop("last_day")
    return row


@click.command("eval")
@click.argument("gold", type=_FILE)
@console.as_json
def eval_verb(gold: str, *, as_json: bool) -> None:
    """Measure accuracy, macro-F1 and calibration per language and topic on a labelled file."""
    from .nlp.evaluate import evaluate
    from .nlp.tagger import Tagger

    with reading(gold) as lines, _named(gold):
        rows = JsonLines(lines)
        found = evaluate(rows, Tagger())
        rows.check()
    if as_json:
        console.emit(found)
        return
    for name, value in console.plain(found).items():
        _print_measure(name, value)


def _print_measure(name: str, value: Any) -> None:
    if isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()) and value:
        heads = list(dict.fromkeys(key for each in value.values() for key in each))
        console.out(name.replace("_", " "), "bold")
        rows = [[key, *(each.get(head) for head in heads)] for key, each in value.items()]
        console.table(["", *heads], rows, right=" ".join(heads))
    elif isinstance(value, dict):
        for key, each in value.items():
            _print_measure(f"{name} {key}", each)
    else:
        console.out(f"{name.replace('_', ' ')}: {console.cell(value)}")


_FORMULA = re.compile(r"^[\s\ufeff\u200b]*[=+\-@＝＋－＠|%]|^[\t\r\n]")


def cell(value: Any) -> str:
    """A cell of a CSV that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return f"'{text}" if _FORMULA.search(text) else text


COLUMNS = tuple(each.name for each in fields(Found) if each.name != "attributes")


@contextmanager
def _writing(path: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that is there whole or not at all."""
    if path is None:
        yield sys.stdout
        return
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        yield file
    part.replace(path)


def _write_csv(found: Iterable[Found], file: TextIO) -> int:
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    count = 0
    for each in found:
        writer.writerow([cell(getattr(each, name)) for name in COLUMNS])
        count += 1
    return count


def _write_lines(rows: Iterable[Any], file: TextIO) -> int:
    count = 0
    for row in rows:
        file.write(console.dumps(row) + "\n")
        count += 1
    return count


@click.command("export")
@wanting
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="Default: by the name of --out, else csv.",
)
@click.option("--json", "form", flag_value="jsonl", help="The same as --format jsonl.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: stdout.")
@click.option("--query", default="", help="Only what holds these words.")
@opened
def export_verb(
    house: House, *, form: str | None, out: Path | None, query: str, **chosen: Any
) -> None:
    """Write feedback out as CSV (safe against formula injection) or JSON Lines."""
    named = out is not None and out.suffix in {".jsonl", ".json", ".ndjson"}
    form = form or ("jsonl" if named else "csv")
    found = finding.search(house.db, wanted(house, words=query, **chosen))
    with _writing(out) as file:
        if form == "csv":
            count = _write_csv(found, file)
        else:
            count = _write_lines((feedback_row(each) for each in found), file)
    console.say(f"{count} pieces of feedback written{f' to {out}' if out else ''}.")


@click.group("person")
def person_verb() -> None:
    """Give out or erase what is stored about one person (LGPD, GDPR).

    AUTHOR is a name as the source gives it, or a pseudonym p-….
    """


def _pseudonym(house: House, author: str) -> str:
    if PSEUDONYM.fullmatch(author):
        return author
    if not author.strip():
        raise click.BadParameter("AUTHOR is empty; give a name or a pseudonym.")
    return privacy.pseudonym(author, house.key)


def _of(house: House, pseudonym: str) -> Sequence[Found]:
    return list(finding.search(house.db, Wanted(author=pseudonym)))


@person_verb.command("export")
@click.argument("author")
@click.option("--json", is_flag=True, expose_value=False, help="What it writes anyway.")
@opened
def person_export_verb(house: House, author: str) -> None:
    """Write everything stored about a person as JSON Lines."""
    name = _pseudonym(house, author)
    found = _of(house, name)
    console.emit_each(shown_row(finding.show(house.db, each.id)) for each in found)
    console.say(f"{len(found)} pieces of feedback by {name}.")


@person_verb.command("forget")
@click.argument("author")
@click.option("--yes", is_flag=True, help="Do not ask.")
@opened
@clock
def person_forget_verb(house: House, author: str, *, yes: bool) -> None:
    """Erase everything stored about a person, for ever."""
    name = _pseudonym(house, author)
    found = _of(house, name)
    if found and not yes and sys.stdin.isatty():
        click.confirm(f"Erase {len(found)} pieces of feedback by {name}?", abort=True, err=True)
    count = finding.forget(house.db, name, now=house.now())
    _warn_of_return(house, found)
    console.say(f"{count} pieces of feedback by {name} are erased.")


def _warn_of_return(house: House, found: Sequence[Found]) -> None:
    """What is erased here still stands at its source, and the next run may bring it back."""
    names = {status.name for status in runs.statuses(house.db)} & set(house.config.sources)
    again = sorted({each.source for each in found} & names)
    if again:
        console.say(
            f"Still configured: {', '.join(again)}. What stands there may be read again; "
            "have it removed there, too."
        )
