"""A file of many rows through ``ouvidor import``: rows/s and peak memory, which must stay flat.

Run: python benchmarks/rows.py [rows …] (default: 100000 1000000; ten million take an hour or less)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NOW = "2026-10-05T09:00-03:00"
WORDS = (
    "O produto chegou antes do prazo e bem embalado, só que a cor não era a do site. "
    "Falei com o atendimento no chat e resolveram em dois dias, pedido 4471-882."
)


def write(path: Path, count: int) -> None:
    """Answers of about 150 characters, a line each; never more than one line in memory."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,data,nota,cliente,comentario\n")
        for number in range(count):
            day = 1 + number % 28
            file.write(
                f'r{number},2026-09-{day:02},{1 + number % 5},cliente {number},"{WORDS} {number}"\n'
            )


def measure(folder: Path, count: int) -> None:
    """One line: rows/s, and the peak memory of the process that read them."""
    table = folder / "rows.csv"
    write(table, count)
    (folder / "ouvidor.toml").write_text('[brand]\nname = "Loja"\n')
    command = [sys.executable, "-m", "ouvidor", "import", str(table), "--source", "x", "--now", NOW]
    start = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    err = child.stderr.read() if child.stderr else ""
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0 or f"{count} new" not in err:
        raise SystemExit(f"the import ended with {child.returncode}: {err}")
    size = sum(path.stat().st_size for path in folder.glob("ouvidor.db*")) / 1e6
    print(
        f"{count:>10,} rows ({table.stat().st_size / 1e6:,.0f} MB)   "
        f"{count / seconds:>7,.0f} rows/s   peak {used.ru_maxrss // 1024} MB   "
        f"database {size:,.0f} MB"
    )


def main() -> None:
    """The sizes asked for, each in a house of its own."""
    for count in map(int, sys.argv[1:] or ["100000", "1000000"]):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), count)


if __name__ == "__main__":
    main()
