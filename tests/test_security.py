"""Attacks that no other test tries: a source that sends us elsewhere, a log that is read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
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


OF_SOURCES = {
    "RA_ID": "client-id-of-the-complaints",
    "RA_SECRET": "secret/of+the-complaints==",
    "TP_KEY": "key-of-the-star-reviews",
    "TP_SECRET": "secret-of-the-star-reviews",
}
KEYED = """
[sources.queixas]
kind = "reclame_aqui"
base_url = "{url}"
client_id = {{ env = "RA_ID" }}
client_secret = {{ env = "RA_SECRET" }}
retries = 0
[sources.estrelas]
kind = "trustpilot"
base_url = "{url}"
business_unit = "46d6a890000064000500e0c3"
api_key = {{ env = "TP_KEY" }}
secret = {{ env = "TP_SECRET" }}
retries = 0
"""


class _Parrot(BaseHTTPRequestHandler):
    """Refuses everything, and says all of the question back: headers, body, and what they mean."""

    server: _Echo

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        basic = self.headers.get("Authorization", "").removeprefix("Basic ")
        with suppress(ValueError):
            sent += " " + b64decode(basic, validate=True).decode()
        told = " ".join([*self.headers.values(), sent])
        token = {"access_token": TOKEN, "expires_in": 600}
        granted = self.server.grants and "token" in self.path
        words = (
            token if granted else {"code": 4010, "message": told, "fault": {"faultstring": told}}
        )
        body = json.dumps(words).encode()
        self.send_response(200 if granted else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.asked += 1

    do_POST = do_GET  # noqa: N815 - the base class calls it so

    def log_message(self, *_: object) -> None:
        pass


TOKEN = "token-that-was-granted-and-nobody-shall-see"


class _Echo(ThreadingHTTPServer):
    def __init__(self, *, grants: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Parrot)
        self.grants, self.asked = grants, 0


@pytest.mark.slow
@pytest.mark.parametrize("grants", [False, True], ids=["refused", "let in"])
def test_a_source_that_says_our_secret_back_is_not_quoted(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, *, grants: bool
) -> None:
    """An error is shown, stored and logged: what it quotes of the question stays out of it."""
    for name, secret in OF_SOURCES.items():
        monkeypatch.setenv(name, secret)
    with _Echo(grants=grants) as echo:
        thread = Thread(target=echo.serve_forever, args=(0.01,))
        thread.start()
        shell.configure(KEYED.format(url=f"http://127.0.0.1:{echo.server_port}"))
        verbs = (["collect"], ["check"], ["sources"], ["sources", "--json"], ["doctor"])
        said = [shell(*verb) for verb in verbs]
        echo.shutdown()
        thread.join()
    assert echo.asked >= 4
    assert "***" in said[0].out + said[0].err
    kept = b"".join(path.read_bytes() for path in shell.folder.glob("ouvidor.db*"))
    everything = " ".join([kept.decode("latin-1"), *(each.out + each.err for each in said)])
    pair = f"{OF_SOURCES['RA_ID']}:{OF_SOURCES['RA_SECRET']}"
    key = os.environ["OUVIDOR_KEY"]
    hidden = [*OF_SOURCES.values(), TOKEN, b64encode(pair.encode()).decode(), key]
    assert [secret for secret in hidden if secret in everything] == []


def _process_list() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found
