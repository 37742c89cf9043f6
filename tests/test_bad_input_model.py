"""A cache of the model that is damaged, half made or too small, through the command line."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from bad_input import HEAD, NOW, ROWS, Shell, small_disk

pytestmark = pytest.mark.slow

COMMAND = ("annotate", "--now", NOW, "--json")


@pytest.fixture
def shell(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A house with two answers that wait for the tagger, and a cache of its own."""
    monkeypatch.setenv("OUVIDOR_CACHE", str(tmp_path / "cache"))
    shell.write("a.csv", HEAD + ROWS)
    assert shell("import", "a.csv", "--source", "pesquisa", "--now", NOW).code == 0
    return shell


def tagged(shell: Shell) -> list[tuple[str, str]]:
    return sorted((row["text"], row["sentiment"]) for row in shell("export", "--json").rows)


def untagged(shell: Shell) -> bool:
    return {sentiment for _, sentiment in tagged(shell)} == {None}


def folders(cache: Path) -> list[Path]:
    """The folders in a cache; one in the making has a dot in its name."""
    return [path for path in cache.glob("*") if path.is_dir()]


def whole(cache: Path) -> Path:
    """The model's folder, which is all there is."""
    [folder] = folders(cache)
    assert "." not in folder.name
    return folder


def alter(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 4096)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_a_damaged_cache_heals_itself(shell: Shell) -> None:
    cache = shell.folder / "cache"
    shell(*COMMAND).because(code=0)
    good = tagged(shell)
    weights = max(whole(cache).iterdir(), key=lambda path: path.stat().st_size)
    for path, damage in ((weights, alter), (weights.with_name("manifest.json"), empty)):
        before = path.read_bytes()
        damage(path)
        shell(*COMMAND, "--again").because(code=0)
        assert tagged(shell) == good
        assert path.read_bytes() == before
        whole(cache)


def test_a_conversion_that_was_killed_leaves_nothing_behind(shell: Shell) -> None:
    cache = shell.folder / "cache"
    with subprocess.Popen(
        [sys.executable, "-m", "ouvidor", *COMMAND], cwd=shell.folder, stdout=subprocess.DEVNULL
    ) as child:
        while not folders(cache):
            assert child.poll() is None
            time.sleep(0.01)
        child.kill()
    [left] = folders(cache)
    assert "." in left.name
    assert untagged(shell)
    shell(*COMMAND).because(code=0)
    assert not untagged(shell)
    whole(cache)


def test_a_disk_too_small_for_the_model(shell: Shell) -> None:
    with small_disk(shell.folder / "cache", "20m") as disk:
        shell(*COMMAND).because(
            f"the encoder's cache {disk.folder} cannot be used",
            "No space left on device",
            "free 300 MB there, or set OUVIDOR_CACHE to a folder that may be written",
        )
        assert folders(disk.folder) == []
        assert untagged(shell)
        disk.remount("size=300m")
        shell(*COMMAND).because(code=0)
        assert not untagged(shell)
