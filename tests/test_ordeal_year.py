"""A simulated year: forty sources, fifty readers in five time zones, and whatever can go wrong.

The clock is simulated, the rest is real: the timetable's own decisions, real collectors on loopback
and on disk, intake, watch, digest, outbox, SMTP. The tagger is one that knows the few sentences of
this world and speaks in the shipped one's name: seven thousand texts would cost the real one more
than a minute. Verbs run in this process except those that a plan kills or wants real; `watch` works
in full every second week and daily around an incident, because each reads the whole past, and its
other slots are kept without work. Run by its path it prints the table of the year alone.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

pytest.register_assert_rewrite("year_books")

import year_books as books  # noqa: E402 - after the rewrite
from year_house import InLine, Year  # noqa: E402 - same
from year_world import Fault, Plan, Strike, secrets  # noqa: E402 - same

from ouvidor import scheduler  # noqa: E402 - same
from ouvidor.nlp.heads import MODEL_FOLDER, Heads  # noqa: E402 - same
from ouvidor.reports import charts  # noqa: E402 - same

pytestmark = [pytest.mark.ordeal, pytest.mark.timeout(1200)]

YEAR = Plan(
    days=366,
    hush=352,
    faults=(
        Fault(("f00",), 41.5, 44.5, "gone"),
        Fault(("a00", "f03"), 42.5, 43.3, "gone"),
        Fault(("g00", "r00"), 46.5, 47.2, "503"),
        Fault(("a01", "c00"), 74.8, 75.3, "429"),
        Fault(("b00", "p00", "g00"), 95.8, 96.4, "layout"),
        Fault(("f01", "j04"), 101.6, 103, "layout"),
        Fault(("p01", "r00", "f02"), 241.6, 243.1, "503"),
    ),
    strikes=(
        Strike("collect:a00", 3, "real"),
        Strike("watch", 9, "real"),
        Strike("digest", 9, "real"),
        Strike("deliver", 9, "real"),
        Strike("collect:f05", 20, "killed", "commit:after", 1),
        Strike("collect:g00", 25, "killed", "commit:before", 2),
        Strike("collect:f01", 30, "disk full", count=2),
        Strike("collect:a01", 33, "disk full", count=1),
        Strike("collect:j00", 50, "house died before"),
        Strike("collect:r00", 52, "house died after"),
        Strike("digest", 110, "killed", "commit:before", 1),
        Strike("digest", 131, "house died after"),
        Strike("deliver", 138, "killed", "commit:after", 1),
        Strike("deliver", 145, "house died before"),
        Strike("annotate", 150, "disk full", count=2),
        Strike("watch", 160, "killed", "commit:before", 1),
        Strike("digest", 166, "disk full", count=3),
        Strike("collect:p00", 200, "killed", "commit:after", 2),
        Strike("collect:c00", 210, "house died after"),
        Strike("annotate", 220, "house died after"),
        Strike("watch", 222, "house died before"),
        Strike("collect:f10", 230, "disk full", count=3),
    ),
    sleeps=((58.7, 62.1), (180.5, 189.4), (290.2, 290.9)),
    backs=(140.6, 242.9, 320.0),
    mute=((82.8, 83.9),),
    grey=((152.5, 154.0),),
    incidents=((255, 261),),
)


DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
"""The smallest picture there is."""

WEEKS = Plan(
    days=16,
    hush=10,
    faults=(
        Fault(("a00", "f00"), 3.6, 5, "gone"),
        Fault(("p00", "b00"), 7.8, 8.2, "503"),
        Fault(("a00",), 14.8, 15.2, "429"),
    ),
    strikes=(
        Strike("collect:f05", 3, "killed", "commit:after", 1),
        Strike("collect:f02", 4, "disk full", count=2),
        Strike("digest", 4, "house died after"),
        Strike("collect:j00", 4.5, "house died before"),
        Strike("digest", 10, "killed", "commit:before", 1),
        Strike("deliver", 12, "house died before"),
    ),
    sleeps=((11.6, 13.2),),
    backs=(7.95,),
    mute=((4.8, 5.3),),
)


@contextmanager
def one_thread() -> Iterator[None]:
    """What the timetable hands to threads is done at once: verbs of one process share its clock.

    Digests bear a dot for their pictures (to draw them takes longer than all the rest of a digest),
    and the heads of the shipped model, whose version each tick asks for, are read once.
    """
    heads = Heads.load(MODEL_FOLDER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "trend", lambda *_: DOT)
        patch.setattr(Heads, "load", lambda *_: heads)
        patch.setattr(scheduler, "ThreadPoolExecutor", InLine)
        for name, value in secrets().items():
            patch.setenv(name, value)
        yield


def lived(url: str, folder: Path, plan: Plan, name: str) -> Year:
    """Live through a plan and close the books."""
    with one_thread():
        year = Year(url, folder, plan)
        try:
            year.live(lambda: books.monthly(year))
            books.monthly(year)
            books.series_as_counted_anew(year)
            found = books.balance(year)
            print("\n" + books.printed(name, found, year))  # noqa: T201 - for whoever reads the log
        finally:
            year.close()
    assert not found.told.losses
    assert not found.told.doubles
    return year


def test_a_year_passes(tmp_path: Path) -> None:
    year = lived(f"sqlite:///{tmp_path / 'ouvidor.db'}", tmp_path, YEAR, "SQLite")
    assert not year.to_come, "a strike that never came"
    second, last = year.quarters[1], year.quarters[3]
    assert last.grown / last.feedback <= 1.5 * second.grown / second.feedback
    assert last.memory <= 1.3 * second.memory


def test_some_weeks_pass_on_a_server(postgresql: str, tmp_path: Path) -> None:
    url = postgresql.replace("/postgres?", "/year?").replace("postgresql+psycopg", "postgresql")
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE year"))
    engine.dispose()
    year = lived(url, tmp_path, WEEKS, "PostgreSQL")
    assert not year.to_come, "a strike that never came"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        lived(f"sqlite:///{place}/ouvidor.db", Path(place), YEAR, "SQLite")
    sys.exit(0)
