"""Attacks that no other test tries: a source that sends us elsewhere, a log that is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from bad_input import Shell

from ouvidor.collectors import rows
from ouvidor.demo.server import Fault, StandIn

NOW = datetime.fromisoformat("2026-09-01T09:00-03:00")
KINDS = {
    "loja": 'kind = "app_store"\napp = "1590042871"\ncountry = "br"\n',
    "queixas": 'kind = "file"\npath = "files/reclamacoes.jsonl"\n',
}
PAGE = (Path(__file__).parent.parent / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_one() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    files = Path(__file__).parent.glob("test_*.py")
    known = {
        name
        for file in files
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) > 20
    assert named - known == set()


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


@pytest.fixture
def source() -> Iterator[StandIn]:
    with StandIn(NOW) as server:
        yield server


@pytest.fixture
def victim() -> Iterator[StandIn]:
    """Something inside the network that only this machine may reach."""
    with StandIn(NOW) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_source_cannot_send_us_into_the_network(
    shell: Shell, source: StandIn, victim: StandIn, name: str, status: int
) -> None:
    to = f"{victim.url}/latest/meta-data"
    source.faults = {
        "/": Fault(status=status, headers={"Location": to}),
        "/robots.txt": Fault(status=status, headers={"Location": f"{victim.url}/robots.txt"}),
    }
    shell.configure(f'[sources.{name}]\nbase_url = "{source.url}"\nretries = 0\n{KINDS[name]}')
    said = shell("collect", name, "--now", NOW.isoformat())
    said.because("which this source is not configured for; if that is right, set `base_url`")
    assert sum(source.requests.values()) > 0
    assert sum(victim.requests.values()) == 0
    assert shell.stored() == set()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,a"])
def test_only_the_web_is_asked(shell: Shell, where: str) -> None:
    shell.configure(f'[sources.loja]\nbase_url = "{where}"\n{KINDS["loja"]}')
    said = shell("collect", "loja", "--now", NOW.isoformat())
    assert said.code == 1
    assert "base_url" in said.out + said.err
    assert "root:" not in said.out + said.err
    assert shell.stored() == set()


@pytest.mark.slow
def test_a_page_that_refreshes_itself_leads_nowhere(
    shell: Shell, source: StandIn, victim: StandIn
) -> None:
    page = f'<html><head><meta http-equiv="refresh" content="0;url={victim.url}/x"></head></html>'
    source.faults = {"/": Fault(body=page.encode()), "/robots.txt": Fault(body=b"")}
    shell.configure(f'[sources.loja]\nbase_url = "{source.url}"\nretries = 0\n{KINDS["loja"]}')
    shell("collect", "loja", "--now", NOW.isoformat()).because("an HTML page instead of data")
    assert sum(victim.requests.values()) == 0


SECRETS = {
    "SMTP_PASSWORD": "open-sesame-of-the-mail",
    "CHAT_URL": "json://127.0.0.1:9/token-of-the-chat-room",
    "OUVIDOR_KEY": "a key of thirty-two bytes, really",
}
SECRETIVE = """
[mail]
host = "127.0.0.1"
port = 9
tls = "none"
user = "voz"
password = { env = "SMTP_PASSWORD" }
sender = "voz@example.com"
[chat.equipe]
url = { env = "CHAT_URL" }
[schedule]
collect_every_hours = 1
"""


def test_a_workbook_is_no_bomb(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_MOST_UNPACKED", 10_000_000)
    file = shell.folder / "a.xlsx"
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"\0" * 10_000_001)
    assert file.stat().st_size < 20_000
    said = shell("import", "a.xlsx", "--source", "a", "--now", NOW.isoformat())
    said.because("unpacks to more than", "export it as CSV")
    assert shell.stored() == set()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc here")
def test_no_secret_stands_in_the_process_list_the_log_or_the_database(
    shell: Shell, source: StandIn
) -> None:
    hanging = f'[sources.queixas]\nbase_url = "{source.url}"\nretries = 0\n{KINDS["queixas"]}'
    shell.configure(hanging + SECRETIVE)
    source.faults = {"/files": Fault(delay=3600)}
    command = [sys.executable, "-m", "ouvidor", "serve"]
    with subprocess.Popen(
        command,
        cwd=shell.folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **SECRETS},
    ) as program:
        while not source.requests["/files/reclamacoes.jsonl"]:
            assert program.poll() is None
        listed = [line for line in _process_list() if "ouvidor" in line]
        program.terminate()
        _, log = program.communicate(timeout=60)
    assert any("collect queixas" in line for line in listed), listed
    kept = b"".join(path.read_bytes() for path in shell.folder.glob("ouvidor.db*")).decode(
        "utf-8", "replace"
    )
    everywhere = "\n".join([*listed, log, kept])
    assert [name for name, secret in SECRETS.items() if secret in everywhere] == []


def _process_list() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found
