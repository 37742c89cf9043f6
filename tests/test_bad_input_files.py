"""Files that are not what they should be, through the command line."""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_input import BRAND, HEAD, LATER, MORE, NOW, ROWS, Shell, texts

GOOD = (HEAD + ROWS + MORE).encode()


LATIN = (HEAD + ROWS + MORE).encode("cp1252")
NOISE = bytes(range(256)) * 40
NAMELESS = "numero,quando\n1,2026-10-01\n"
LEGACY = b"\xd0\xcf\x11\xe0" + b"\x00" * 600
CASES = {
    "empty": (b"", [], "export.csv is empty", "export it again"),
    "blank": (b" \r\n\n", [], "export.csv is empty", "export it again"),
    "empty in gzip": (gzip.compress(b""), [], "export.csv is empty", "export it again"),
    "another encoding than told": (
        LATIN,
        ["--set", "encoding=utf-8"],
        "export.csv is not in utf-8 (byte 39)",
        "leave `encoding` out to have it found",
    ),
    "no such encoding": (
        GOOD,
        ["--set", "encoding=klingon"],
        "'klingon' is no encoding",
        "write one like 'utf-8'",
    ),
    "no text at all": (NOISE, [], "export.csv is no text", "export it as CSV, XLSX or JSON Lines"),
    "an old workbook": (LEGACY, [], "Excel file of the old kind", "save it as .xlsx or CSV"),
    "no known column": (
        NAMELESS.encode(),
        [],
        "no column known to hold the text; it has: numero, quando",
        "import it with `--map text=…`",
    ),
    "a column that is not there": (
        GOOD,
        ["--map", "text=comentaro"],
        "has no column 'comentaro'; did you mean 'comentario'?",
        "--map text=…",
    ),
    "cut in gzip": (gzip.compress(GOOD)[:-30], [], "breaks off before its end", "get a whole copy"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_named_with_its_mend_and_costs_nothing(shell: Shell, case: str) -> None:
    content, options, *sentences = CASES[case]
    shell.write("export.csv", HEAD + ROWS)
    assert shell("import", "export.csv", "--source", "pesquisa", "--now", NOW).code == 0
    before = shell.stored()
    assert len(before) == 2

    shell.write("export.csv", content)
    command = ("import", "export.csv", "--source", "pesquisa", "--now", LATER)
    shell(*command, *options).because("pesquisa: ", *sentences)
    assert shell.stored() == before

    shell.write("export.csv", GOOD)
    assert shell(*command).code == 0
    assert texts(shell.stored()) == {"Ótimo", "Péssimo", "Atrasou", "Bom"}


def test_a_file_that_is_not_there_is_wrong_usage(shell: Shell) -> None:
    shell("import", "gone.csv", "--source", "x").because("'gone.csv' does not exist", code=2)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-le", "utf-8-sig"])
def test_an_encoding_nobody_told_is_found(shell: Shell, encoding: str) -> None:
    shell.write("export.csv", (HEAD + ROWS + MORE).encode(encoding))
    assert shell("import", "export.csv", "--source", "pesquisa", "--now", NOW).code == 0
    assert texts(shell.stored()) == {"Ótimo", "Péssimo", "Atrasou", "Bom"}


def test_an_encoding_found_wrong_is_said_and_mended(shell: Shell) -> None:
    shell.write("export.csv", (HEAD + ROWS).encode("mac_roman"))
    command = ("import", "export.csv", "--source", "pesquisa", "--now", NOW)
    shell(*command).because("read as cp1252 (set `encoding` if letters look wrong)", code=0)
    assert shell(*command, "--set", "encoding=mac_roman").code == 0
    assert texts(shell.stored()) == {"Ótimo", "Péssimo"}


def test_a_stray_nul_costs_itself_only(shell: Shell) -> None:
    shell.write("export.csv", GOOD.replace(b"Atrasou", b"Atra\x00sou"))
    assert shell("import", "export.csv", "--source", "pesquisa", "--now", NOW).code == 0
    assert texts(shell.stored()) == {"Ótimo", "Péssimo", "Atrasou", "Bom"}


def test_stars_without_text_are_kept_and_the_text_may_follow(shell: Shell) -> None:
    shell.write("export.csv", GOOD.replace(b"comentario", b"desabafo"))
    command = ("import", "export.csv", "--source", "pesquisa", "--now", NOW)
    shell(*command).because(
        "only stars were read, because export.csv has no column known to hold the text",
        "it has: id, data, nota, desabafo",
        "--map text=…",
        code=0,
    )
    assert texts(shell.stored()) == {""}
    assert shell(*command, "--map", "text=desabafo").code == 0
    assert texts(shell.stored()) == {"Ótimo", "Péssimo", "Atrasou", "Bom"}


def test_a_year_of_five_digits_is_set_aside_until_it_is_mended(shell: Shell) -> None:
    odd = "5,20225-09-14,1,Tarde\n6,14/09/20225,1,Cedo\n7,2225-10-01,3,Longe\n"
    path = shell.write("export.csv", HEAD + ROWS + odd)
    command = ("import", "export.csv", "--source", "pesquisa", "--now", NOW)
    shell(*command).because(
        "2 new, 0 changed, 0 unchanged, 3 set aside",
        "'20225-09-14' is no date: its year has too many digits; mend that row",
        "what was set aside stands in export.rejected.csv",
        code=0,
    )
    assert texts(shell.stored()) == {"Ótimo", "Péssimo"}
    with path.with_name("export.rejected.csv").open(encoding="utf-8-sig", newline="") as file:
        aside = list(csv.DictReader(file))
    assert [row["comentario"] for row in aside] == ["Tarde", "Cedo", "Longe"]
    assert [row["reason"].partition(":")[0] for row in aside] == [
        "published_at",
        "published_at",
        "published_at lies in the future",
    ]

    shell.write("export.csv", HEAD + ROWS + "5,2025-09-14,1,Tarde\n6,14/09/2025,1,Cedo\n")
    assert shell(*command).code == 0
    assert texts(shell.stored()) == {"Ótimo", "Péssimo", "Tarde", "Cedo"}
    assert not path.with_name("export.rejected.csv").exists()


def written(path: Path, count: int) -> Path:
    """A table of so many answers of about 3,000 characters, packed."""
    words = "Chegou antes do prazo e bem embalado. " * 75
    lines: Iterator[str] = (
        f"{number},2026-10-0{1 + number % 4},{1 + number % 5},{number} {words}\n"
        for number in range(count)
    )
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as file:
        file.write(HEAD)
        file.writelines(lines)
    return path


def peak(folder: Path, path: Path) -> int:
    """Kilobytes that importing a file takes at most, in a process and a house of its own."""
    folder.mkdir()
    (folder / "ouvidor.toml").write_text(BRAND)
    command = [sys.executable, "-m", "ouvidor", "import", str(path), "--source", "x", "--now", NOW]
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return used.ru_maxrss


@pytest.mark.ordeal
def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """Held in memory the long one would add 100 MB; `benchmarks/rows.py` does ten million."""
    few = peak(tmp_path / "few", written(tmp_path / "few.csv.gz", 1_000))
    many = peak(tmp_path / "many", written(tmp_path / "many.csv.gz", 12_000))
    assert many < 1.25 * few
