"""Nobody waits long for a source that hangs: real children, half-open connections, real ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from bad_input import Shell
from sqlalchemy import update
from stored import stored_in

from ouvidor import places
from ouvidor.children import Children, Ended
from ouvidor.config import parse
from ouvidor.scheduler import Did, Timetable, in_turn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database

pytestmark = pytest.mark.ordeal

FOR_EVER = "timeout = 240\nretries = 10\n"


class HalfOpen:
    """A server that takes connections and never says a word; it notes who came and who left."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _listen(self) -> None:
        while True:
            try:
                caller = self._socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._hold, args=(caller,), daemon=True).start()

    def _hold(self, caller: socket.socket) -> None:
        self.came.release()
        with caller:
            try:
                while caller.recv(65536):
                    pass
            except OSError:
                pass
        self.left.release()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def silence() -> Iterator[HalfOpen]:
    server = HalfOpen()
    yield server
    server.close()


@pytest.fixture
def shell(shell: Shell) -> Shell:
    for name in ("good0", "good1", "good2", "fine", "zfine"):
        shell.write(f"{name}.csv", "id,data,nota,comentario\n1,2026-10-01,5,Bom\n")
    return shell


def hanging(name: str, server: HalfOpen) -> str:
    place = f'path = "{name}.csv"\nbase_url = "{server.url}"\n'
    return f'[sources.{name}]\nkind = "file"\n{place}{FOR_EVER}'


def good(name: str) -> str:
    return f'[sources.{name}]\nkind = "file"\npath = "{name}.csv"\n'


@contextmanager
def program(shell: Shell, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The real program; whatever is left of it goes."""
    command = [sys.executable, "-m", "ouvidor", *words]
    with subprocess.Popen(
        command, cwd=shell.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def test_good_sources_end_while_more_than_all_places_hang(shell: Shell, silence: HalfOpen) -> None:
    hang = [f"hang{n}" for n in range(3)]
    fine = [f"good{n}" for n in range(3)]
    tables = [hanging(name, silence) for name in hang] + [good(name) for name in fine]
    shell.configure("[schedule]\nat_once = 2\n" + "".join(tables))
    with program(shell, "collect", "--json") as collecting:
        assert collecting.stderr is not None
        told = [collecting.stderr.readline() for _ in fine]
        assert {line.partition(":")[0] for line in told} == set(fine)
        assert all("complete, 1 new" in line for line in told)
        assert collecting.poll() is None  # the others hang on
        collecting.send_signal(signal.SIGINT)
        collecting.communicate(timeout=60)
        assert collecting.returncode == 130
    for _ in hang:
        assert silence.left.acquire(timeout=60)


def test_serve_goes_on_beside_a_hanging_source_and_its_children_die_with_it(
    shell: Shell, silence: HalfOpen
) -> None:
    shell.configure(hanging("hang", silence) + good("fine"))
    with program(shell, "serve") as serving:
        lines = map(json.loads, serving.stderr or ())

        def read() -> None:
            assert next(line for line in lines if line["event"] == "collect")["source"] == "fine"

        read()
        assert silence.came.acquire(timeout=60)
        db = open_database(stored_in(shell.folder))
        with db.write() as connection:
            past = {"due_at": datetime(2026, 1, 1, tzinfo=UTC)}
            connection.execute(update(t.due).where(t.due.c.name == "collect:fine").values(past))
        db.close()
        read()  # at the next tick, though the first one's work is not done
        assert not silence.left.acquire(blocking=False)
        serving.send_signal(signal.SIGKILL)
        assert silence.left.acquire(timeout=60)  # the child went with its parent


@pytest.fixture
def house(shell: Shell) -> Iterator[Database]:
    database = open_database(stored_in(shell.folder))
    yield database
    database.close()


def test_where_too_many_hang_those_that_are_silent_longest_make_room(
    shell: Shell, silence: HalfOpen, house: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "PATIENCE", 1.0)
    monkeypatch.setattr(places, "QUIET", 3.0)
    monkeypatch.setattr("ouvidor.scheduler.QUIET", 3.0)
    hang = [f"hang{n}" for n in range(4)]
    tables = [hanging(name, silence) for name in hang] + [good("zfine")]
    text = '[brand]\nname = "Loja"\n[schedule]\nat_once = 1\n' + "".join(tables)
    (shell.folder / "ouvidor.toml").write_text(text)
    told: list[Did] = []
    fine = threading.Event()

    def tell(done: Did) -> None:
        told.append(done)
        if done.duty == "collect:zfine":
            fine.set()

    table = Timetable(
        parse(text, folder=shell.folder), house, Children(), file=None, moment=None, tell=tell
    )
    table.announce()
    futures: list[Future[Did | None]] = table.begin()
    assert fine.wait(240)
    assert table.begin() == []  # who is at work is not begun again
    before, last = told[:-1], told[-1]
    table.close()
    assert (last.duty, last.well) == ("collect:zfine", True)
    assert [done.duty for done in before] == ["collect:hang0", "collect:hang1"]
    for done in before:
        assert not done.well
        assert "silent for more than a minute while other sources waited" in done.message
    assert all(each.done() for each in futures)


def test_who_went_wrong_is_read_after_those_that_are_well(shell: Shell, house: Database) -> None:
    shell.configure(good("nowhere") + good("zfine"))
    shell("collect")
    names = ["nowhere", "new", "zfine"]
    assert in_turn(house, names) == ["new", "zfine", "nowhere"]
    shell.write("nowhere.csv", "id,data,nota,comentario\n1,2026-10-01,5,Bom\n")
    assert shell("collect", "nowhere").code == 0
    assert in_turn(house, names) == names


def test_a_child_that_no_longer_listens_is_killed_and_the_others_go_on(
    shell: Shell, silence: HalfOpen
) -> None:
    shell.configure(hanging("one", silence) + hanging("two", silence))
    children, found = Children(), dict[str, Ended]()

    def run(name: str) -> None:
        found[name] = children.run(["collect", name, "--json"], limit=timedelta(hours=1))

    threads = {name: threading.Thread(target=run, args=(name,)) for name in ("one", "two")}
    for each in threads.values():
        each.start()
        assert silence.came.acquire(timeout=120)
    stuck = threads["one"].ident
    assert stuck is not None
    os.kill(children._alive[stuck].pid, signal.SIGSTOP)  # it hears no SIGTERM any more
    children.cut(stuck, "it hung")
    threads["one"].join(60)
    assert (found["one"].code, found["one"].why) == (None, "it hung")
    assert found["one"].stdout == ""
    assert threads["two"].is_alive()
    children.end()
    threads["two"].join(60)
    assert json.loads(found["two"].stdout)["outcome"] == "partial"
