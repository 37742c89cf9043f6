"""What every test of bad input asks for: a sentence, an exit code, no trace, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NOW = "2026-10-05T09:00-03:00"
LATER = "2026-10-05T10:00-03:00"
BRAND = '[brand]\nname = "Loja"\n'
HEAD = "id,data,nota,comentario\n"
ROWS = "1,2026-10-01,5,Ótimo\n2,2026-10-02,1,Péssimo\n"
MORE = "3,2026-10-03,2,Atrasou\n4,2026-10-04,4,Bom\n"


@dataclass(frozen=True)
class Said:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def because(self, *sentences: str, code: int = 1) -> None:
        """It ended with this code, and each of the words stood on stderr."""
        assert self.code == code, self
        for sentence in sentences:
            assert sentence in self.err, self


class Shell:
    """Types commands in a folder: in this process, or in one of their own with ``apart``."""

    def __init__(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.folder, self._capsys, self._monkeypatch = folder, capsys, monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.delenv("OUVIDOR_CONFIG", raising=False)
        # The same people and numbers become the same tokens in every house.
        monkeypatch.setenv("OUVIDOR_KEY", "a key of thirty-two bytes, really")
        self.configure()

    def elsewhere(self, name: str) -> Shell:
        """A shell in a new folder below this one: another house."""
        folder = self.folder / name
        folder.mkdir()
        return Shell(folder, self._capsys, self._monkeypatch)

    def configure(self, more: str = "") -> None:
        (self.folder / "ouvidor.toml").write_text(BRAND + more)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def __call__(self, *arguments: str) -> Said:
        from ouvidor.cli import main

        code = main(arguments)
        return checked(Said(code, *self._capsys.readouterr()))

    def apart(self, *arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "ouvidor", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, **environment},
        )
        return checked(Said(done.returncode, done.stdout or "", done.stderr))

    def stored(self) -> set[tuple[str, str, str, int | None]]:
        """All there is: source, id, text and stars of every feedback."""
        said = self("export", "--json")
        assert said.code == 0
        names = ("source", "external_id", "text", "stars")
        return {tuple(row[name] for name in names) for row in said.rows}  # type: ignore[misc]


def checked(said: Said) -> Said:
    for trace in ("Traceback", "should not have happened", "Exception ignored"):
        assert trace not in said.err, said.err
    return said


def texts(stored: set[tuple[str, str, str, int | None]]) -> set[str]:
    return {text for _, _, text, _ in stored}


class Disk:
    """A small disk of its own: it can be full, grow, and be write-protected."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Take all the room that is left."""
        with suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink()

    def remount(self, *options: str) -> None:
        command = ["mount", "-o", ",".join(["remount", *options]), str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Disk]:
    """A tmpfs of so many bytes; skips where none may be mounted."""
    folder.mkdir()
    command: Sequence[str] = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
