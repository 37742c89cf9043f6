"""What stands in deploy/ fits the program: its verbs, its variables, its addresses."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from ouvidor.cli import VERBS, app
from ouvidor.collectors.collector import settings_for
from ouvidor.config import parse
from ouvidor.health import address

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "ouvidor.service").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
IMAGE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def understood(words: list[str]) -> None:
    """The program takes this command line; nothing runs."""
    with app.make_context("ouvidor", list(words), resilient_parsing=False) as context:
        name, command, rest = app.resolve_command(context, list(context._protected_args))
        assert command is not None
        command.make_context(name, [*rest, *context.args], parent=context).close()


def started() -> dict[str, list[str]]:
    (line,) = re.findall(r"^ExecStart=\S+/ouvidor (.+)$", UNIT, re.MULTILINE)
    (listed,) = re.findall(r"^CMD (\[.+\])$", IMAGE, re.MULTILINE)
    return {"unit": shlex.split(line), "image": yaml.safe_load(listed)}


@pytest.mark.parametrize("where", ["unit", "image"])
def test_the_command_is_one_of_ours_and_listens_at_home_only(where: str) -> None:
    words = started()[where]
    assert words[0] in VERBS
    understood(words)
    assert address(words[words.index("--http") + 1])[0] == "127.0.0.1"


def test_the_supervisors_ask_where_the_program_answers() -> None:
    port = address(started()["image"][-1])[1]
    assert f"http://127.0.0.1:{port}/health" in IMAGE


def test_no_password_stands_in_the_files() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service["environment"].items():
            if any(word in name for word in ("PASSWORD", "URL", "KEY")):
                assert name.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert {each["file"].split("/")[1] for each in COMPOSE["secrets"].values()} == {"secrets"}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {"deploy/secrets", "deploy/data", "**/*.key", ".git"} <= set(ignored)


def test_nobody_runs_as_root() -> None:
    assert re.search(r"^USER ouvidor$", IMAGE, re.MULTILINE)
    assert re.search(r"^User=ouvidor$", UNIT, re.MULTILINE)
    assert COMPOSE["services"]["ouvidor"]["cap_drop"] == ["ALL"]


def test_the_image_is_built_from_what_is_there() -> None:
    """No daemon builds it here: what its steps name is looked up in the tree."""
    copied = re.findall(r"^COPY (?!--from)(\S+) ", IMAGE, re.MULTILINE)
    assert copied == ["constraints.txt", "."]
    assert all((ROOT / name).exists() for name in copied)
    torch = re.search(r"^ARG TORCH=(\S+)$", IMAGE, re.MULTILINE)
    assert torch
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"TORCH ?= {torch[1]}\n" in makefile
    constrained = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in constrained if line.startswith("torch==")] in ([], [torch[1]])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (python,) = set(re.findall(r"^FROM python:([\d.]+)-slim", IMAGE, re.MULTILINE))
    assert SpecifierSet(project["project"]["requires-python"]).contains(python)


def test_the_image_leaves_out_nothing_that_is_packaged() -> None:
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tool = project["tool"]["setuptools"]
    folders = [ROOT.joinpath(*name.split(".")[1:]) for name in tool["packages"]]
    files = [path for folder in folders for path in folder.glob("*.py")]
    for package, globs in tool["package-data"].items():
        folder = ROOT.joinpath(*package.split(".")[1:])
        files += [path for each in globs for path in folder.glob(each)]
    files += [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    assert len(files) > 100
    for path in files:
        parts = path.relative_to(ROOT).parts
        whole = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        for pattern in patterns:
            bare = pattern.removeprefix("**/")
            names = [*whole, *parts] if bare != pattern else whole
            assert not any(fnmatchcase(name, bare) for name in names), (path, pattern)


def test_the_image_may_write_where_the_program_writes() -> None:
    """Its root is read-only: database, key, model and turns lie in the volume."""
    (volume,) = re.findall(r"^VOLUME (\S+)$", IMAGE, re.MULTILINE)
    for name in ("OUVIDOR_CONFIG", "OUVIDOR_CACHE"):
        (where,) = re.findall(rf"{name}=(\S+)", IMAGE)
        assert where.startswith(f"{volume}/")
    service = COMPOSE["services"]["ouvidor"]
    assert service["read_only"] is True
    assert [each.partition(":")[2] for each in service["volumes"]] == [volume]
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - the container's own, in memory


def test_the_parts_of_compose_fit_each_other() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        named = [each.partition(":")[0] for each in service.get("volumes", [])]
        assert {each for each in named if not each.startswith(".")} <= set(COMPOSE["volumes"] or {})
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[other]
    build = services["ouvidor"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    # The parent gives its children four seconds each time; the supervisors give it more.
    assert services["ouvidor"]["stop_grace_period"] == "60s"
    assert re.search(r"^TimeoutStopSec=60$", UNIT, re.MULTILINE)


def commands() -> list[str]:
    """Every command of ours in the page for operators."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    parts = [
        part.strip()
        for block in blocks
        for line in block.splitlines()
        for part in line.partition("  #")[0].split("&&")
    ]
    ours = [re.fullmatch(r"(?:OUVIDOR_\w+=\S+ )?(?:\S+/)?ouvidor (.+)", part) for part in parts]
    return [each[1] for each in ours if each]


def test_the_page_shows_commands() -> None:
    assert len(commands()) > 15


@pytest.mark.parametrize("command", dict.fromkeys(commands()))
def test_the_commands_of_the_page_are_understood(command: str) -> None:
    understood(shlex.split(command))


def test_the_tables_of_the_page_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUVIDOR_MAIL_PASSWORD", "a secret")
    tables = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    config = parse('[brand]\nname = "Loja"\n' + "".join(tables))
    assert settings_for("app-br", config.sources["app-br"])
    assert config.mail
    assert config.operator


@pytest.mark.slow
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed here")
    # Verified with a program that is there, for ours is installed elsewhere.
    unit = tmp_path / "ouvidor.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Failed to initialize manager" in done.stderr:
        pytest.skip(f"systemd-analyze cannot work here: {done.stderr.strip()}")
    said = [line for line in done.stderr.splitlines() if "ouvidor.service" in line]
    assert (done.returncode, said) == (0, [])
