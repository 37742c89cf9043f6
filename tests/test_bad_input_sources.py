"""Wrong credentials, names and rights: each its sentence and its outcome, the others go on.

Ten sources in one house, read by one command; the stand-ins check what the real ones check.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from bad_input import Shell

from ouvidor.demo.keys import keys
from ouvidor.demo.server import StandIn

NOW = datetime.fromisoformat("2026-10-12T09:00-03:00")
UNIT = "61f0c2a9b7d4e80012ab34cd"
AHEAD = timedelta(hours=3)

SOURCES = """
[sources.fine]
kind = "app_store"
base_url = "{well}"
app = "1590042871"
country = "br"

[sources.nowhere]
kind = "app_store"
base_url = "{well}"
app = "1590042871"
country = "xx"

[sources.twin]
kind = "app_store"
base_url = "{well}"
app = "1590042871"
country = "BR"

[sources.skewed]
kind = "app_store_connect"
base_url = "{ahead}"
app = "1590042871"
key_id = "{key_id}"
issuer = "{issuer}"
private_key = {{ env = "APPLE_KEY" }}

[sources.wrong-key]
kind = "app_store_connect"
base_url = "{well}"
app = "1590042871"
key_id = "{key_id}"
issuer = "{issuer}"
private_key = {{ env = "NOT_A_KEY" }}

[sources.expired]
kind = "trustpilot"
base_url = "{broken}"
business_unit = "{unit}"
api_key = {{ env = "TRUSTPILOT_KEY" }}
secret = {{ env = "TRUSTPILOT_SECRET" }}

[sources.revoked]
kind = "google_business"
base_url = "{broken}"
token_url = "{broken}/token"
account = "109876543210987654321"
locations = ["6394460000000000817"]
client_id = {{ env = "GOOGLE_ID" }}
client_secret = {{ env = "GOOGLE_SECRET" }}
refresh_token = {{ env = "GOOGLE_TOKEN" }}

[sources.bucket]
kind = "google_play_reports"
base_url = "{well}"
package = "br.com.tucumacasa.app"
bucket = "pubsite_prod_rev_01723409987654321098"
key = {{ env = "GOOGLE_ACCOUNT" }}

[sources.company]
kind = "reclame_aqui"
base_url = "{well}"
company = 404
delay = 0
client_id = {{ env = "RA_ID" }}
client_secret = {{ env = "RA_SECRET" }}

[sources.last]
kind = "file"
path = "last.csv"
"""

EXPECTED = {
    "fine": ("complete", ""),
    "nowhere": ("misconfigured", "'xx' is no country"),
    "twin": ("misconfigured", "it reads the same as sources.fine (app, country), and everything"),
    "skewed": ("blocked", "minutes behind theirs; check `key_id`"),
    "wrong-key": ("misconfigured", "this is no private key; name the .p8 file"),
    "expired": ("blocked", "Trustpilot refuses the access token it gave"),
    "revoked": ("blocked", "expired or was revoked"),
    "bucket": ("blocked", "may not read the bucket pubsite_prod_rev_01723409987654321098"),
    "company": ("misconfigured", "no complaint about company 404"),
    "last": ("complete", ""),
}


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    ours = keys()
    with ExitStack() as stack:
        well, broken = (stack.enter_context(StandIn(NOW)) for _ in range(2))
        ahead = stack.enter_context(StandIn(NOW + AHEAD))
        well.services.google_play_reports.permitted = False
        broken.services.google.revoked = True
        broken.services.trustpilot.lifetime = timedelta()
        found = Shell(tmp_path, capsys, monkeypatch)
        found.configure(
            SOURCES.format(
                well=well.url,
                broken=broken.url,
                ahead=ahead.url,
                unit=UNIT,
                key_id=ours.apple_key_id,
                issuer=ours.apple_issuer,
            )
        )
        found.write("last.csv", "id,data,nota,comentario\n1,2026-10-01,5,Bom\n")
        account = json.dumps(ours.service_account(well.url))
        wrong = found.write("wrong.p8", "not a key at all\n")
        monkeypatch.setenv("NOT_A_KEY_FILE", str(wrong))
        for name, value in {
            "APPLE_KEY": ours.apple_private_key,
            "TRUSTPILOT_KEY": ours.trustpilot_api_key,
            "TRUSTPILOT_SECRET": ours.trustpilot_secret,
            "GOOGLE_ID": ours.google_client_id,
            "GOOGLE_SECRET": ours.google_client_secret,
            "GOOGLE_TOKEN": ours.google_refresh_token,
            "GOOGLE_ACCOUNT": account,
            "RA_ID": ours.reclame_aqui_client_id,
            "RA_SECRET": ours.reclame_aqui_client_secret,
        }.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.mark.ordeal
def test_each_wrong_source_has_its_sentence_and_the_others_go_on(shell: Shell) -> None:
    said = shell("collect", "--json", "--now", NOW.isoformat())
    assert said.code == 1
    rows = {row["source"]: row for row in said.rows}
    assert list(rows) == list(EXPECTED)
    found = {name: (row["outcome"], row["message"]) for name, row in rows.items()}
    for name, (outcome, sentence) in EXPECTED.items():
        assert found[name][0] == outcome, found[name]
        assert sentence in found[name][1], found[name]
    assert rows["fine"]["new"] > 0
    assert rows["last"]["new"] == 1
    # The same is kept for whoever asks later, and no secret in it.
    later = shell("sources", "--json", "--now", NOW.isoformat())
    kept = {row["name"]: (row["outcome"], row["message"]) for row in later.rows}
    assert kept == found
    for secret in (keys().google_refresh_token, keys().trustpilot_secret, "not a key at all"):
        assert secret not in said.out + said.err + later.out


@pytest.mark.ordeal
def test_check_says_of_each_what_a_run_would_say(shell: Shell) -> None:
    said = shell("check", "--json", "--now", NOW.isoformat())
    assert said.code == 1
    found = {row["what"].removeprefix("source "): row for row in said.rows}
    for name, (outcome, sentence) in EXPECTED.items():
        assert found[name]["ok"] is (outcome == "complete"), found[name]
        assert sentence in found[name]["message"], found[name]
    assert found["database"]["ok"]


def test_a_line_of_cron_that_is_none_is_told_by_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    shell.configure('[sources.a]\nkind = "file"\npath = "a.csv"\ncron = "at noon"\n')
    [row] = [row for row in shell("check", "--offline", "--json").rows if row["what"] == "source a"]
    assert not row["ok"]
    assert "sources.a.cron: 'at noon' is no line of cron" in row["message"]
