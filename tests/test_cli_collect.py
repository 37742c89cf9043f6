"""collect and import: in this process, and side by side in children that may hang or die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ouvidor.children import Children, Closing, Ended
from ouvidor.cli import main
from ouvidor.demo.server import Fault, StandIn
from ouvidor.scheduler import did

Say = Callable[..., tuple[int, str, str]]
NOW = ("--now", "2026-10-12T09:00-03:00")
BRAND = '[brand]\nname = "Loja"\n'
ROWS = "id,data,nota,comentario\n1,2026-10-01,5,Ótimo\n2,2026-10-02,1,Péssimo\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ouvidor.toml").write_text(BRAND)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], folder: Path) -> Say:
    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


@pytest.fixture
def brand() -> Iterator[StandIn]:
    with StandIn(datetime.fromisoformat("2026-10-12T09:00-03:00")) as server:
        yield server


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def file_source(name: str, path: str, base_url: str = "") -> str:
    where = f'base_url = "{base_url}"\n' if base_url else ""
    return f'[sources.{name}]\nkind = "file"\npath = "{path}"\n{where}'


def test_one_source_is_read_here(say: Say, folder: Path) -> None:
    (folder / "ouvidor.toml").write_text(BRAND + file_source("pesquisa", "a.csv"))
    (folder / "a.csv").write_text(ROWS)
    code, out, _ = say("collect", "--json", *NOW)
    [row] = rows(out)
    assert code == 0
    assert (row["source"], row["outcome"], row["new"]) == ("pesquisa", "complete", 2)
    code, out, _ = say("collect", "pesquisa", *NOW)
    assert code == 0
    assert "pesquisa  complete" in out


def test_a_source_in_trouble_makes_it_1(say: Say, folder: Path) -> None:
    (folder / "ouvidor.toml").write_text(BRAND + file_source("pesquisa", "none.csv"))
    code, out, _ = say("collect", "--json", *NOW)
    assert code == 1
    assert rows(out)[0]["outcome"] == "misconfigured"


@pytest.mark.parametrize(
    ("names", "code", "sentence"),
    [([], 1, "add a [sources.NAME] table"), (["ap"], 1, "add a [sources.NAME] table")],
)
def test_nothing_to_collect(say: Say, names: list[str], code: int, sentence: str) -> None:
    found, _, err = say("collect", *names)
    assert found == code
    assert sentence in err


def test_a_name_nobody_knows(say: Say, folder: Path) -> None:
    (folder / "ouvidor.toml").write_text(BRAND + file_source("pesquisa", "a.csv"))
    code, _, err = say("collect", "pesqisa")
    assert code == 2
    assert "did you mean 'pesquisa'?" in err


@pytest.mark.slow
def test_several_sources_are_read_side_by_side(say: Say, folder: Path, brand: StandIn) -> None:
    sources = [file_source(name, f"{name}.csv") for name in ("a", "b", "c")]
    hanging = file_source("hangs", "files/pesquisa.csv", brand.url)
    hasty = "[schedule]\nrun_timeout_minutes = 0.25\n"
    (folder / "ouvidor.toml").write_text(BRAND + hasty + "".join([*sources, hanging]))
    (folder / "a.csv").write_text(ROWS)
    (folder / "b.csv").write_text("nothing,known\n1,2\n")
    (folder / "c.csv").write_text(ROWS)
    brand.faults["/files"] = Fault(delay=3600)
    code, out, _ = say("collect", "--json", *NOW)
    found = {row["source"]: row for row in rows(out)}
    assert code == 1
    assert list(found) == ["a", "b", "c", "hangs"]
    assert {name: row["outcome"] for name, row in found.items()} == {
        "a": "complete",
        "b": "misconfigured",
        "c": "complete",
        "hangs": "partial",
    }
    assert found["a"]["new"] == found["c"]["new"] == 2
    assert "run_timeout_minutes" in found["hangs"]["message"]
    _, out, _ = say("sources", "--json", *NOW)
    assert {row["name"]: row["running"] for row in rows(out)}["hangs"] is False


def test_a_file_of_a_new_source_is_imported(say: Say, folder: Path) -> None:
    table = folder / "export.csv"
    table.write_text("chave;quando;palavras;autor\n1;01/10/2026;Muito bom;Ana\n2;x;Ruim;Bia\n")
    maps = ["--map", "id=chave", "--map", "published_at=quando", "--map", "text=palavras"]
    code, out, _ = say(
        "import", str(table), "--source", "antigo", *maps, "--kind", "complaint", "--json", *NOW
    )
    [row] = rows(out)
    assert (row["new"], row["rejected"]) == (1, 1)
    assert code == (0 if row["outcome"] in {"complete", "capped"} else 1)
    [found] = rows(say("search", "--json")[1])
    assert (found["source"], found["kind"], found["day"]) == ("antigo", "complaint", "2026-10-01")
    _, out, _ = say("sources", "--json", *NOW)
    [status] = rows(out)
    assert (status["name"], status["kind"], status["configured"]) == ("antigo", "file", False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--source", "Antigo"], "is no name"),
        (["--source", "x", "--map", "text"], "text=comentario"),
        (["--source", "x", "--set", "scale"], "NAME=VALUE"),
        (["--source", "loja"], "is configured as kind 'app_store'"),
    ],
)
def test_an_import_that_cannot_be(
    say: Say, folder: Path, arguments: list[str], sentence: str
) -> None:
    (folder / "ouvidor.toml").write_text(BRAND + '[sources.loja]\nkind = "app_store"\n')
    (folder / "a.csv").write_text(ROWS)
    code, _, err = say("import", "a.csv", *arguments, *NOW)
    assert code == 2
    assert sentence in err


def test_an_import_takes_any_option_of_a_file_source(say: Say, folder: Path) -> None:
    (folder / "a.csv").write_text("id,data,nps,comentario\n1,10/02/2026,10,Ótimo\n")
    more = ["--set", "date_order=mdy", "--set", "scale=0-10"]
    code, _, _ = say("import", "a.csv", "--source", "x", *more, *NOW)
    assert code == 0
    [found] = rows(say("search", "--json")[1])
    assert (found["day"], found["stars"]) == ("2026-10-02", 5)
    code, out, _ = say("import", "a.csv", "--source", "x", "--set", "scal=0-10", "--json", *NOW)
    assert code == 1
    assert "did you mean 'scale'?" in rows(out)[0]["message"]


def ended(code: int | None, stdout: str = "", stderr: str = "") -> Ended:
    return Ended(code=code, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize(
    ("end", "well", "message"),
    [
        (ended(0, '{"message": "3 new"}\n'), True, "3 new"),
        (ended(1, '{"message": "nothing there"}\n'), False, "nothing there"),
        (ended(1, "", "Error: mend the path.\n"), False, "mend the path."),
        (ended(-9), False, "it was killed (SIGKILL)"),
        (ended(None, "", "words"), False, "its time ran out"),
        (ended(1, "no json"), False, ""),
        (ended(0, "5"), True, ""),
    ],
)
def test_what_came_of_a_child(end: Ended, well: bool, message: str) -> None:  # noqa: FBT001 - a parameter of the table
    found = did("duty", end)
    assert found.well is well
    assert message in found.message


@pytest.mark.slow
def test_a_child_that_outlives_its_time_is_ended(folder: Path, brand: StandIn) -> None:
    (folder / "ouvidor.toml").write_text(BRAND + file_source("h", "files/pesquisa.csv", brand.url))
    brand.faults["/files"] = Fault(delay=3600)
    with Children() as children:
        found = children.run(["collect", "h", "--json"], limit=timedelta(seconds=4))
    assert found.code is None
    with pytest.raises(Closing):
        children.run(["--version"], limit=timedelta(seconds=4))


@pytest.mark.slow
def test_children_end_when_they_are_asked(folder: Path, brand: StandIn) -> None:
    (folder / "ouvidor.toml").write_text(BRAND + file_source("h", "files/pesquisa.csv", brand.url))
    brand.faults["/files"] = Fault(delay=3600)
    children = Children()
    found: list[Ended] = []

    def run() -> None:
        found.append(children.run(["collect", "h", "--json"], limit=timedelta(hours=1)))

    thread = threading.Thread(target=run)
    thread.start()
    while not brand.requests["/files/pesquisa.csv"]:
        thread.join(0.05)
    children.end()
    thread.join(10)
    assert not thread.is_alive()
    assert json.loads(found[0].stdout)["outcome"] == "partial"


@pytest.mark.slow
def test_a_child_ends_with_its_parent(folder: Path, brand: StandIn) -> None:
    (folder / "ouvidor.toml").write_text(BRAND + file_source("h", "files/pesquisa.csv", brand.url))
    brand.faults["/files"] = Fault(delay=3600)
    ours, theirs = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "ouvidor", "--child", "collect", "h", "--json"],
        stdin=ours,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(ours)
    while not brand.requests["/files/pesquisa.csv"]:
        assert child.poll() is None
    os.close(theirs)  # what the kernel does when the parent dies
    out, _ = child.communicate(timeout=30)
    assert json.loads(out)["outcome"] == "partial"


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "count"), [("collect", 1), ("collect", 2), ("run", 2)])
def test_ctrl_c_is_130_and_loses_nothing(
    folder: Path, brand: StandIn, verb: str, count: int
) -> None:
    hanging = file_source("h", "files/pesquisa.csv", brand.url)
    local = file_source("a", "a.csv") if count == 2 else ""
    (folder / "ouvidor.toml").write_text(BRAND + local + hanging)
    (folder / "a.csv").write_text(ROWS)
    brand.faults["/files"] = Fault(delay=3600)
    program = subprocess.Popen(
        [sys.executable, "-m", "ouvidor", verb],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not brand.requests["/files/pesquisa.csv"]:
        assert program.poll() is None
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "Traceback" not in err
    brand.faults.clear()
    assert main(["collect", "h"]) == 0
