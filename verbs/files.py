"""The verbs that read and write files; classify, spikes and eval need no database."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

import click

from .. import console
from ..config import EVAL_FILE
from ..house import House, adapted, clock, opened
from ..storage import audit, privacy, runs
from ..storage import lessons as stored
from ..storage import search as finding
from ..storage.search import Found, Held, Wanted
from ..storage.vocabulary import Spike
from .read import feedback_row, shown_row, wanted, wanting

STDIN = "-"
PSEUDONYM = re.compile(r"p-[0-9a-f]{16}")

FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


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
def named(name: str) -> Iterator[None]:
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

    def __init__(self, lines: Iterable[str], *, mend: str = "mend that line") -> None:
        self.flaw = ""
        self._lines, self._mend = lines, mend

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, text in enumerate(self._lines, 1):
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except ValueError as error:
                self.flaw = f"line {number}: not valid JSON ({error}); {self._mend}"
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
@click.argument("file", type=FILE, default=STDIN)
@click.option("--lines", "plain", is_flag=True, help="Each line is a text; its number is the id.")
@click.option("--json", is_flag=True, expose_value=False, help="What it writes anyway.")
@opened
def classify_verb(house: House, file: str, *, plain: bool) -> None:
    """Tag JSON Lines {"id","text","title"?,"stars"?,"lang"?}; JSON Lines out, in the same order."""
    from ..nlp.classify import classify

    with reading(file) as lines, named(file):
        if plain:
            said = ((number, line.strip()) for number, line in enumerate(lines, 1))
            texts = ({"id": number, "text": text} for number, text in said if text)
            console.emit_each(classify(house.any_tagger, texts))
            return
        rows = JsonLines(lines, mend="mend that line, or say --lines if each line is a text")
        console.emit_each(classify(house.any_tagger, rows))
        rows.check()


@click.command("spikes")
@click.argument("file", type=FILE, default=STDIN)
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
    from ..reports.spikes import detect, read_csv

    with named(file):
        with reading(file) as lines:
            series = read_csv(lines)
        console.emit_each(spike_row(spike) for spike in detect(series, budget_per_month=budget))


def spike_row(spike: Spike) -> dict[str, Any]:
    """A finding as JSON shows it."""
    row: dict[str, Any] = console.plain(spike)
    row["from"], row["to"] = row.pop("first_day"), row.pop("last_day")
    return row


@click.command("eval")
@click.argument("gold", type=FILE, required=False)
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="A page with pictures."
)
@opened
@console.as_json
def eval_verb(house: House, gold: str | None, *, page: Path | None, as_json: bool) -> None:
    """Measure the tagger on labelled JSON Lines, or without a file on people's corrections."""
    from ..nlp.evaluate import evaluate

    if gold is None:
        found = evaluate(_corrected(house), house.tagger)
        if adapted(house.config).exists():
            console.say("The adapted tagger learnt from these: it looks better here than it is.")
        if not found.n:
            raise click.ClickException(
                "nobody has corrected anything yet; use `ouvidor review`, or name a labelled file."
            )
    else:
        with reading(gold) as lines, named(gold):
            rows = JsonLines(lines)
            found = evaluate(rows, house.any_tagger)
            rows.check()
            if not (found.sentiment or found.stars or found.topics or found.touchpoints):
                message = (
                    f"none of its {found.n} rows has a label; give them sentiment, stars, topics "
                    "or touchpoints"
                )
                raise ValueError(message)
    if house.configured:
        with console.writing(house.config.path(EVAL_FILE)) as file:
            file.write(console.dumps(found) + "\n")
    if page is not None:
        from ..reports import evaluation

        told = console.plain(found)
        source = "people's corrections" if gold is None else "stdin" if gold == STDIN else gold
        with console.writing(page) as file:
            file.write(evaluation.page(told, source=source))
        console.say(f"The page lies in {page}.")
    if as_json:
        console.emit(found)
        return
    _print_evaluation(console.plain(found))


def _corrected(house: House) -> Iterator[dict[str, Any]]:
    """What people judged, as labelled rows."""
    for told in stored.told(house.db, most=stored.corrected(house.db)):
        yield {
            "text": told.text,
            "lang": told.language,
            "stars": told.stars,
            "sentiment": told.sentiment,
            "touchpoints": {name: said is not None for name, said in told.touchpoints.items()},
        }


def _print_evaluation(told: dict[str, Any]) -> None:
    curve = told.pop("coverage")
    for name, value in told.items():
        if value or not isinstance(value, dict | list):
            _print_measure(name, value)
    if curve:
        surest = min(curve, key=lambda each: abs(each["share"] - _SUREST))
        console.out(f"accuracy of the surest 80 %: {console.cell(surest['accuracy'])}")


_SUREST = 0.8


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


def _write_lines(rows: Iterable[Any], file: TextIO) -> int:
    count = 0
    for row in rows:
        file.write(console.dumps(row) + "\n")
        count += 1
    return count


_FORMS = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".xlsx": "xlsx"}
_FORMS |= {".parquet": "parquet", ".pq": "parquet"}
_BINARY = {"xlsx", "parquet"}


@click.command("export")
@wanting
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "xlsx", "jsonl", "parquet"]),
    help="Default: by the name of --out, else csv.",
)
@click.option("--json", "form", flag_value="jsonl", help="The same as --format jsonl.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: stdout.")
@click.option("--query", default="", help="Only what holds these words.")
@opened
def export_verb(
    house: House, *, form: str | None, out: Path | None, query: str, **chosen: Any
) -> None:
    """Write feedback out as CSV, Excel (safe against formulas), JSON Lines or Parquet."""
    form = form or _FORMS.get(out.suffix if out else "", "csv")
    if out is None and form in _BINARY:
        raise click.UsageError(f"{form} is no text; name a file with --out.")
    found = finding.search(house.db, wanted(house, words=query, **chosen))
    # Words that are searched for may be somebody's name: only that there were some is noted.
    narrowed = [name for name, value in {"query": query, **chosen}.items() if value]
    house.note("export", form=form, by=narrowed)
    count = _export(found, form, out)
    console.say(f"{count} pieces of feedback written{f' to {out}' if out else ''}.")


def _export(found: Iterable[Found], form: str, out: Path | None) -> int:
    from ..reports import sheets

    if out is not None and form in _BINARY:
        write = sheets.write_xlsx if form == "xlsx" else sheets.write_parquet
        try:
            with console.whole(out) as part:
                return write(found, part)
        except sheets.SheetError as error:
            raise click.ClickException(str(error)) from error
    with nullcontext(sys.stdout) if out is None else console.writing(out) as file:
        if form == "csv":
            return sheets.write_csv(found, file)
        return _write_lines((feedback_row(each) for each in found), file)


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
    house.note("person export", **audit.ids([each.id for each in _of(house, name)]))
    count = 0
    for each in finding.held(house.db, name, key=house.key):
        console.emit(_held_row(each))
        count += 1
    console.say(f"{count} pieces of feedback by {name}.")


def _held_row(held: Held) -> dict[str, Any]:
    rest = {each.name: getattr(held, each.name) for each in fields(held) if each.name != "shown"}
    return shown_row(held.shown) | rest


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
    house.note("person forget", **audit.ids([each.id for each in found]))
    count = finding.forget(house.db, name, now=house.now())
    _warn_of_return(house, found)
    console.say(f"{count} pieces of feedback by {name} are erased.")


def _warn_of_return(house: House, found: Sequence[Found]) -> None:
    """What is erased here still stands at its source, and the next run may bring it back."""
    names = {status.name for status in runs.statuses(house.db)} & set(house.config.sources)
    again = sorted({each.source for each in found} & names)
    if again:
        console.say(
            f"Still configured: {', '.join(again)}. What stands there now is left out from here "
            "on; what is edited under a new id or written anew may be read again: have it removed "
            "there, too."
        )
