"""The verb `doctor`: enough for a bug report, nothing of anybody."""

from __future__ import annotations

import json
import platform
import re
from contextlib import closing
from pathlib import Path

import pytest
from bad_input import Shell
from filled import SECRET, fill
from sqlalchemy import update

from ouvidor.storage import tables as t
from ouvidor.storage.database import HEAD, open_database

CONFIGURATION = """
[brand]
name = "Padaria Segredo"
time_zone = "America/Recife"
[operator]
address = "joana.segredo@example.com"
chat = ["sala-segredo"]
[mail]
host = "smtp.segredo.example"
port = 2525
tls = "none"
user = "usuario-segredo"
password = { env = "SENHA_SEGREDO" }
sender = "voz@segredo.example"
[chat.sala-segredo]
url = { env = "CHAT_SEGREDO" }
[sources.loja-segredo]
kind = "google_play"
package = "br.com.segredo"
key = { env = "CONTA_SEGREDO" }
base_url = "http://interno.segredo.example"
[sources.pesquisa-segredo]
kind = "file"
path = "/srv/segredo/respostas.csv"
enabled = false
date_order = "dmy"
opcao_segredo = "valor segredo"
[sources.pesquisa-segredo.columns]
text = "coluna segredo"
[sources.estranha]
kind = "tipo_segredo"
[touchpoints.balcao-segredo]
name = "Balcão Segredo"
stage = "during"
topics = ["premises"]
examples = ["frase segredo"]
owner = "bento.segredo@example.com"
[subscribers.carla-segredo]
address = "carla@segredo.example"
severity = "critical"
digest_hour = 9
"""


@pytest.fixture
def shell(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in ("SENHA_SEGREDO", "CHAT_SEGREDO", "CONTA_SEGREDO"):
        monkeypatch.setenv(name, "um segredo de verdade")
    (tmp_path / "ouvidor.toml").write_text(CONFIGURATION)
    return shell


def test_nothing_of_a_filled_house_is_told(
    shell: Shell, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUVIDOR_DATABASE_URL", database_url)
    with closing(open_database(database_url)) as db:
        fill(db)
        with db.write() as connection:
            names = {1: "loja-segredo", 2: "pesquisa-segredo"}
            for number, name in names.items():
                renamed = update(t.source).where(t.source.c.id == number)
                connection.execute(renamed.values(name=name, kind="file"))
            connection.execute(update(t.run).where(t.run.c.id == 1).values(outcome="blocked"))
    plain, machine = shell("doctor"), shell("doctor", "--json")
    (report,) = machine.rows
    for said in (plain, machine):
        assert said.code == 0
        text = (said.out + said.err).casefold()
        forbidden = [
            *("segredo", "padaria", "recife", "estranha", "joana", "bento", "carla", "sala"),
            *SECRET.casefold().split(),
            *(str(shell.folder), str(Path.home()), "tmp", platform.node(), "example.com", "@"),
        ]
        assert [word for word in forbidden if word.casefold() in text] == []
    # What a report is asked for is there.
    assert report["program"]["schema"] == HEAD
    assert re.fullmatch(r"\d+\.\d+\.\d+", report["machine"]["python"])
    assert report["database"]["schema"] == HEAD
    assert report["database"]["rows"] == {each.name: 7 for each in t.metadata.sorted_tables}
    assert [each["kind"] for each in report["sources"]] == ["google_play", "file", "text"]
    assert report["sources"][0]["runs"] == {"blocked": 1}
    assert report["sources"][1]["runs"] == {"text": 1}
    assert report["work"]["messages"]["sent"] == 7
    assert re.fullmatch(r"[\w.-]+\.[0-9a-f]{8}", report["model"]["version"])


def test_the_configuration_keeps_its_shape(shell: Shell) -> None:
    (report,) = shell("doctor", "--json").rows
    shape = report["configuration"]
    mail = shape["mail"]
    assert (mail["host"], mail["port"], mail["tls"]) == ("text", 2525, "none")
    assert mail["password"] == "secret"
    assert shape["chat"]["1"]["url"] == "secret"
    assert shape["touchpoints"]["1"]["topics"] == ["premises"]
    assert shape["touchpoints"]["1"]["examples"] == ["text"]
    assert shape["touchpoints"]["1"]["stage"] == "during"
    assert shape["subscribers"]["1"]["severity"] == "critical"
    assert shape["subscribers"]["1"]["digest_hour"] == 9
    play, file, strange = shape["sources"].values()
    assert play["options"]["key"] == "secret"
    assert file["enabled"] is False
    assert file["options"]["path"] == "text"
    assert file["options"]["date_order"] == "dmy"
    assert strange["kind"] == "text"


@pytest.mark.sqlite
def test_nothing_is_made_and_nothing_is_needed(shell: Shell) -> None:
    (report,) = shell("doctor", "--json").rows
    assert report["database"] == {"kind": "sqlite", "exists": False}
    assert {path.name for path in shell.folder.iterdir()} == {"ouvidor.toml"}
    (shell.folder / "ouvidor.toml").unlink()
    (bare,) = shell("doctor", "--json").rows
    assert bare["configuration"] == bare["database"] == {"problem": "ConfigError"}
    assert bare["program"]["ouvidor"]


@pytest.mark.sqlite
def test_a_damaged_house_can_be_told_of(shell: Shell) -> None:
    (shell.folder / "ouvidor.db").write_bytes(b"um segredo " * 1000)
    said = shell("doctor", "--json")
    assert said.code == 0
    assert json.loads(said.out)["database"] == {"problem": "StorageError"}
    assert "segredo" not in said.out + said.err
