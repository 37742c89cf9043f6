"""The house keeps its own promises: packaging, imports, no trace of the machine it grew on."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("this is no git checkout, so nothing says which files belong to the project")
    return [ROOT / name for name in listing.stdout.splitlines()]


def texts() -> list[tuple[Path, str]]:
    binary = {".png", ".mo", ".safetensors", ".xlsx", ".gz"}
    chosen = [path for path in tracked() if path.suffix not in binary and path.is_file()]
    return [(path, path.read_text(encoding="utf-8", errors="replace")) for path in chosen]


def test_every_package_of_the_tree_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    found = {
        ".".join(["ouvidor", *path.parent.relative_to(ROOT).parts])
        for path in tracked()
        if path.name == "__init__.py" and "tests" not in path.parts
    }
    assert found <= listed


def test_no_path_of_a_machine_and_no_registry() -> None:
    forbidden = re.compile(
        r"/(?:home|root|work|Users)/\w+|index-url\s*[=h]|extra-index|/simple/?\""
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts()
        if path != Path(__file__)
        for match in forbidden.finditer(text)
    ]
    assert not found


def test_every_dependency_is_constrained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    constrained = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    names = {re.split(r"[\[<>=]", each)[0].lower() for each in wanted}
    assert names <= constrained


def test_nothing_loads_pickles() -> None:
    pickled = re.compile(
        r"^\s*(?:import|from) (?:pickle|joblib|dill|marshal)\b|torch\.load\(", re.MULTILINE
    )
    assert not [path for path, text in texts() if path.suffix == ".py" and pickled.search(text)]


@pytest.mark.slow
def test_the_wheel_holds_one_package(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ouvidor"}
    assert not [name for name in names if "/tests/" in name]
