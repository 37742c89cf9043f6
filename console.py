"""What a person sees: tables, JSON, progress and sentences.

Results go to stdout, everything else to stderr. Whatever a stranger wrote is made harmless here:
no escape sequences, no control characters, no markup.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 10_000
"""Columns of a table that no terminal shows: nothing is cut on its way into a pipe."""

EXCERPT = 100
"""Characters of a text in a table; `show` and ``--json`` have all of it."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_SEQUENCE = re.compile(
    # colours, cursor
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    # titles, links
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class _Screen(Console):
    """A Rich console that leaves a closed pipe to ``main``."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _screen(*, error: bool = False) -> Console:
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return _Screen(stderr=error, width=width, markup=False, highlight=False, emoji=False)


def block(text: object) -> str:
    """A stranger's text without escape sequences and control characters; line breaks stay."""
    return _UNSEEN.sub("", _SEQUENCE.sub("", str(text)))


def line(text: object) -> str:
    """The same on one line."""
    return " ".join(block(text).split())


def excerpt(text: object, length: int = EXCERPT) -> str:
    """The beginning of a text, on one line."""
    whole = line(text)
    return whole if len(whole) <= length else whole[: length - 1].rstrip() + "…"


def out(text: str = "", style: str | None = None) -> None:
    """One harmless piece of the result."""
    _screen().print(Text(block(text), style=style or ""), soft_wrap=True)


def say(text: str) -> None:
    """One line of what goes on, to stderr; it stays one, whatever a stranger's name holds."""
    _screen(error=True).print(Text(line(text)), soft_wrap=True)


def problem(text: str) -> None:
    """What is wrong and its mend, to stderr."""
    screen = _screen(error=True)
    screen.print(Text("Error: ", style="bold red").append(line(text), "not bold"), soft_wrap=True)


def explain(error: Exception) -> str:
    """A sentence for the user. Ours carry one; for the unforeseen it says where the trace lies."""
    if any(kind.__module__.partition(".")[0] == __package__ for kind in type(error).__mro__):
        return str(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; free some space, or write elsewhere, and run it again."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; mend the path or its rights."
    name = _write_trace(error)
    return (
        f"This should not have happened: {type(error).__name__}. The trace is in {name}; "
        "send it along when you report this. What was finished before is kept."
    )


_traces: dict[str, str] = {}
"""Where each fault of this process was written: `serve` may meet the same one at every tick."""


def _write_trace(error: Exception) -> str:
    place = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    if place in _traces:
        return _traces[place]
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix=f"ouvidor-{stamp}-", suffix=".txt", delete=False
    ) as file:
        file.writelines(traceback.format_exception(error))
    _traces[place] = file.name
    return file.name


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A UTF-8 file that is there whole or not at all; an OSError names it."""
    with whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that is put in its place when it is whole; an OSError names it."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        # What fails while writing does not know its own name.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: str = "") -> None:
    """A table on stdout. ``right`` names the heads, by spaces, whose columns are numbers."""
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    numbers = right.split()
    for head in heads:
        grid.add_column(
            head,
            justify="right" if head in numbers else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        grid.add_row(*(Text(cell(value)) for value in row))
    _screen().print(grid)


def cell(value: object) -> str:
    """A value as it stands in a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, datetime):
        return value.isoformat(" ", "minutes")
    return excerpt(value)


def plain(value: Any) -> Any:
    """A value made of what JSON knows: dataclasses become objects, moments ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, PurePath) else value


def dumps(value: Any) -> str:
    """One line of JSON in UTF-8 that does no harm in a terminal either."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def emit(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(dumps(value) + "\n")


def tell(document: Mapping[str, Any], sentence: str, *, as_json: bool) -> None:
    """One document with ``--json``, else one sentence; both on stdout."""
    if as_json:
        emit(document)
    else:
        out(sentence)


def emit_each(values: Iterable[Any]) -> None:
    """JSON Lines on stdout, each as soon as it is known."""
    for value in values:
        emit(value)


def as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--json``."""
    words = "One JSON document on stdout, or JSON Lines for a list."
    return click.option("--json", "as_json", is_flag=True, help=words)(function)


def steady(streams: Sequence[TextIO]) -> None:
    """No text may fail for want of a character the terminal knows; pipes get UTF-8."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure and stream.isatty():
            reconfigure(errors="backslashreplace")
        elif reconfigure:
            reconfigure(encoding="utf-8", errors="backslashreplace")


@contextmanager
def progress(what: str, total: int, *, every: float = 10.0) -> Iterator[Callable[[int], None]]:
    """A function to call with what was done: a bar on a terminal, plain lines elsewhere.

    ``every`` is the least time in seconds between two plain lines.
    """
    yield from _bar(what, total) if sys.stderr.isatty() else _lines(what, total, every)


def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=_screen(error=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def _lines(what: str, total: int, every: float) -> Iterator[Callable[[int], None]]:
    done, last = 0, time.monotonic()

    def step(count: int) -> None:
        nonlocal done, last
        done += count
        if time.monotonic() - last >= every:
            last = time.monotonic()
            say(f"{what}: {done} of {total}")

    yield step
