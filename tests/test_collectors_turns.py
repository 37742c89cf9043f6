"""Turns at a host: real processes that ask the same server, counted where they arrive."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest
from bad_input import Shell

from ouvidor.collectors.collector import Trouble
from ouvidor.collectors.turns import Turns
from ouvidor.demo.server import StandIn
from ouvidor.demo.wire import Answer, Request
from ouvidor.storage.vocabulary import Outcome

NOW = datetime.fromisoformat("2026-10-12T09:00-03:00")
DELAY = 0.2
HARDLY = 0.5
"""A busy machine notes the first one late: a share of the time between all of them is certain."""


class Counting(StandIn):
    """A stand-in that notes when each request came, and how many were there at once."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.times: list[float] = []
        self.here = self.most = 0
        self._noting = threading.Lock()

    def respond(self, request: Request) -> Answer:
        with self._noting:
            self.times.append(time.monotonic())
            self.here += 1
            self.most = max(self.most, self.here)
        try:
            time.sleep(0.02)  # long enough for another one to come beside it
            return super().respond(request)
        finally:
            with self._noting:
                self.here -= 1

    @property
    def rate(self) -> float:
        """Requests a second, from the first to the last."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.setenv("OUVIDOR_CACHE", str(tmp_path / "cache"))
    return Shell(tmp_path, capsys, monkeypatch)


def sources(url: str, delay: float | None) -> str:
    manners = f'base_url = "{url}"\n' + (f"delay = {delay}\n" if delay is not None else "")
    return "".join(
        f'[sources.{country}]\nkind = "app_store"\napp = "1590042871"\ncountry = "{country}"\n'
        + manners
        for country in ("br", "mx", "us")
    )


@pytest.mark.ordeal
def test_three_sources_of_one_host_are_one_polite_guest(shell: Shell) -> None:
    with Counting() as brand:
        shell.configure(sources(brand.url, DELAY))
        said = shell("collect", "--json", "--now", NOW.isoformat())
    assert said.code == 0, said
    assert [row["outcome"] for row in said.rows] == ["complete"] * 3
    assert len(brand.times) >= 9
    assert brand.most == 1
    assert brand.rate <= 1 / (DELAY * HARDLY)


@pytest.mark.ordeal
def test_without_a_delay_nobody_waits_for_a_turn(shell: Shell) -> None:
    with Counting() as brand:
        shell.configure(sources(brand.url, None))
        assert shell("collect", "--json", "--now", NOW.isoformat()).code == 0
    assert not (shell.folder / "cache" / "hosts").exists()


HOLDER = """
import asyncio, sys
from ouvidor.collectors.turns import Turns

async def hold():
    async with Turns(0.01).at(sys.argv[1]):
        print("mine", flush=True)
        await asyncio.sleep(3600)

asyncio.run(hold())
"""


def take(turns: Turns, url: str) -> None:
    async def once() -> None:
        async with turns.at(url):
            pass

    asyncio.run(once())


def test_a_turn_that_does_not_come_is_told_and_a_dead_one_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUVIDOR_CACHE", str(tmp_path))
    url = "https://user:secret@Loja.example:8443/a?token=x"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(
            Trouble, match=r"kept loja.example:8443 busy for 0.1 s; the next"
        ) as told:
            take(Turns(0.01, wait=0.1), url)
        assert told.value.outcome is Outcome.PARTIAL
        take(Turns(0.01, wait=0.1), "https://loja.example/")  # another port is another host
        holder.send_signal(signal.SIGKILL)
    take(Turns(0.01, wait=60), url)
    names = sorted(path.name for path in (tmp_path / "hosts").iterdir())
    assert names == ["loja.example.turn", "loja.example_8443.turn"]


def test_a_clock_that_was_turned_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUVIDOR_CACHE", str(tmp_path))
    take(Turns(0.01), "https://loja.example/")
    [file] = (tmp_path / "hosts").iterdir()
    for shift in (3600, -3600):
        os.utime(file, (time.time() + shift, time.time() + shift))
        take(Turns(1800, wait=0), "https://loja.example/")


def test_turns_that_cannot_be_kept_name_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("OUVIDOR_CACHE", str(tmp_path / "cache"))
    with pytest.raises(Trouble, match="set OUVIDOR_CACHE to a folder that may be written"):
        take(Turns(1), "https://loja.example/")


def test_a_name_of_a_host_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUVIDOR_CACHE", str(tmp_path / "cache"))
    take(Turns(1), f"https://..%2f..%2f{'a' * 500}/")
    [kept] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept.parent == tmp_path / "cache" / "hosts"
    assert json.dumps(kept.name).isascii()
