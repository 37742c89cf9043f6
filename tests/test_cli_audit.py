"""Contacts that a source's API gives, and the book of who did what: through the program itself."""

from __future__ import annotations

import csv
import getpass
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unicodedata import category

import pytest
from bad_input import BRAND, Said, Shell
from hostile import HOSTILE
from sqlalchemy import update
from stored import asked, stored_in
from test_collectors_reclame_aqui import END
from test_storage_retention import judged

from ouvidor.children import Children
from ouvidor.config import load, parse
from ouvidor.demo.server import StandIn
from ouvidor.scheduler import TIDY, Timetable
from ouvidor.storage import alerts, annotations, audit, contacts, due, privacy
from ouvidor.storage import tables as t
from ouvidor.storage.database import open_database
from ouvidor.storage.vocabulary import Severity, Spike

KEY = "a key of thirty-two bytes, really"
SOURCE = """
[sources.ra]
kind = "reclame_aqui"
base_url = "{url}"
client_id = {{ env = "RA_ID" }}
client_secret = {{ env = "RA_SECRET" }}
delay = 0
retries = 0
"""
NAME = "Zuleide Tatu"


@pytest.fixture
def brand(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Reclame Aqui with the complaints of its first weeks."""
    with StandIn(END - timedelta(weeks=6)) as server:
        server.services.reclame_aqui.quota.calls = 1000
        monkeypatch.setenv("RA_ID", server.keys.reclame_aqui_client_id)
        monkeypatch.setenv("RA_SECRET", server.keys.reclame_aqui_client_secret)
        yield server


def collect(shell: Shell, brand: StandIn, more: str = "", *arguments: str) -> None:
    shell.configure(SOURCE.format(url=brand.url) + more)
    said = shell("collect", "ra", "--now", brand.now.isoformat(), *arguments)
    assert said.code == 0, said


def noted(shell: Shell) -> list[tuple[str, dict[str, Any]]]:
    """What was noted, the oldest first; by nobody but us."""
    rows = shell("audit", "--json", "--days", "36500").rows
    assert {row["by"] for row in rows} <= {getpass.getuser()}
    return [(row["what"], row["about"]) for row in reversed(rows)]


def people(brand: StandIn) -> list[str]:
    """Every document, address and telephone of the stand-in's consumers."""
    details = [each.details for each in brand.feedback if "cpf" in each.details]
    found = {
        value for each in details for name in ("cpf", "email", "phone") for value in [each[name]]
    }
    assert len(found) > 30
    return sorted(found)


def files(shell: Shell) -> str:
    return b"".join(path.read_bytes() for path in shell.folder.glob("ouvidor.db*")).decode(
        "latin-1"
    )


@pytest.mark.slow
def test_contacts_are_dropped_at_the_door(shell: Shell, brand: StandIn) -> None:
    collect(shell, brand)
    everything = files(shell) + shell("export", "--json").out
    assert [each for each in people(brand) if each in everything] == []
    said = shell("show", "1", "--contact")
    said.because("No contact is kept of it", "keep_contacts = true", code=0)
    assert noted(shell)[-1] == ("contact shown", {"feedback": 1})


@pytest.mark.slow
def test_contacts_are_kept_sealed_and_shown_on_request(
    shell: Shell, brand: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect(shell, brand, "[privacy]\nkeep_contacts = true\n")
    plain = shell("show", "1").out + shell("export", "--json").out + files(shell)
    assert [each for each in people(brand) if each in plain] == []

    (shown,) = shell("show", "1", "--contact", "--json").rows
    contact = shown["contact"]
    piece = next(each for each in brand.feedback if each.details.get("email") == contact["email"])
    assert contact == {
        "name": piece.author,
        "email": piece.details["email"],
        "phone": piece.details["phone"],
        "document": piece.details["cpf"],
    }
    assert f"email: {contact['email']}" in shell("show", "1", "--contact").out

    told = [
        json.loads(line) for line in shell("person", "export", contact["name"]).out.splitlines()
    ]
    assert contact in [each["contact"] for each in told]

    monkeypatch.setenv("OUVIDOR_KEY", "another key of thirty-two bytes!!")
    said = shell("show", "1", "--contact")
    said.because("The contact of feedback 1 does not open", "privacy.key_file or OUVIDOR_KEY")
    assert contact["email"] not in said.out + said.err
    monkeypatch.setenv("OUVIDOR_KEY", KEY)

    assert shell("person", "forget", contact["name"]).code == 0
    ids = {number for (number,) in asked(shell.folder, "SELECT feedback_id FROM contact")}
    assert 1 not in ids
    assert ids


@pytest.mark.slow
def test_a_source_may_keep_what_others_do_not(shell: Shell, brand: StandIn) -> None:
    collect(shell, brand, "[sources.ra.privacy]\nkeep_contacts = true\n")
    assert shell("show", "1", "--contact", "--json").rows[0]["contact"]
    # Wanted no longer, they go with the next day's tidying, and the series stays.
    shell.configure(SOURCE.format(url=brand.url))
    tidy(shell, brand.now + timedelta(days=2))
    assert shell("show", "1", "--contact", "--json").rows[0]["contact"] is None
    (tidied,) = [about for what, about in noted(shell) if what == "retention"]
    assert tidied["contacts"] > 20


def tidy(shell: Shell, now: datetime) -> None:
    """What `run` and `serve` do once a day, without the rest."""
    config = load(shell.folder / "ouvidor.toml")
    with closing(open_database(config.database_url)) as db:
        due.first_due(db, TIDY, now)
        tell: list[object] = []
        Timetable(config, db, Children(), file=None, moment=now, tell=tell.append)._tidy()


def read(shell: Shell, more: str = "") -> None:
    """Three answers of hers, read from a file."""
    rows = [[f"c-{n}", "2026-10-01", 1, f"Não veio {n}", NAME] for n in range(3)]
    with (shell.folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "data", "nota", "comentario", "autor"], *rows])
    shell.configure(more)
    assert shell("import", "a.csv", "--source", "a", "--now", "2026-10-05T09:00-03:00").code == 0


def test_every_deed_with_personal_data_is_noted(shell: Shell) -> None:
    read(shell)
    assert noted(shell) == []
    alias = privacy.pseudonym(NAME, KEY.encode())
    deeds = {
        ("export", "--query", "veio", "--source", "a"): (
            "export",
            {"form": "csv", "by": ["query", "source"]},
        ),
        ("person", "export", NAME): ("person export", {"count": 3, "feedback": [1, 2, 3]}),
        ("db", "rebuild"): ("db rebuild", {"days": 1}),
        ("person", "forget", alias): ("person forget", {"count": 3, "feedback": [1, 2, 3]}),
    }
    for typed, deed in deeds.items():
        assert shell(*typed).code == 0, typed
        assert noted(shell)[-1] == deed
    assert len(noted(shell)) == len(deeds)
    # Neither her name nor what joins her to it, nor a word that anybody searched for.
    everything = shell("audit").out + shell("audit", "--json").out
    assert [word for word in (NAME, "Zuleide", alias, "veio") if word in everything] == []


def test_each_decision_about_an_alert_is_noted(shell: Shell) -> None:
    read(shell)
    day = date(2026, 10, 1)
    spike = Spike(
        series="entrega",
        detected_on=day,
        first_day=day,
        last_day=day,
        observed=3,
        expected=0.5,
        share=None,
        expected_share=None,
        severity=Severity.WARNING,
        score=7.0,
    )
    with closing(open_database(stored_in(shell.folder))) as db:
        for touchpoint in ("entrega", "loja"):
            with db.write() as connection:
                alerts.open_alert(
                    connection,
                    spike=spike,
                    touchpoint=touchpoint,
                    source="",
                    owner=None,
                    shadow=False,
                    evidence={},
                    now=datetime.now(UTC),
                )
    deeds = {
        ("ack", "1", "--note", "xilofone"): {},
        ("assign", "1", "ana@loja.example"): {},
        ("comment", "1", "xilofone"): {},
        ("mute", "1", "--until", "2099-01-01"): {"until": "2099-01-01"},
        ("unmute", "1"): {},
        ("dismiss", "1", "--reason", "expected", "--note", "xilofone"): {"reason": "expected"},
        ("resolve", "2"): {},
    }
    for (verb, number, *rest), more in deeds.items():
        assert shell("alerts", verb, number, *rest).code == 0, verb
        assert noted(shell)[-1] == (f"alert {verb}", {"alert": int(number), **more})
    everything = shell("audit").out
    assert [word for word in ("xilofone", "ana@loja.example") if word in everything] == []


@pytest.mark.slow
def test_what_the_tagger_is_taught_is_noted(shell: Shell) -> None:
    read(shell, '[touchpoints.entrega]\nname = "Entrega"\nstage = "after"\ntopics = ["delivery"]\n')
    with closing(open_database(stored_in(shell.folder))) as db:
        at = datetime.now(UTC)
        waiting = annotations.claim(db, limit=9, now=at, worker="h:1:x", lease=timedelta(hours=1))
        annotations.save(db, [(each, judged(each)) for each in waiting], now=at)
    assert shell("correct", "2", "--sentiment", "positive", "--note", "xilofone").code == 0
    assert shell("assess", "entrega", "4").code == 0
    assert shell("adapt", "--undo").code == 0
    assert noted(shell) == [
        ("correct", {"feedback": 2}),
        ("assess", {"touchpoint": "entrega", "score": 4}),
        ("adapt undo", {}),
    ]


def test_what_was_refused_is_no_deed(shell: Shell) -> None:
    read(shell)
    shell("show", "99", "--contact").because("There is no feedback 99")
    shell("alerts", "ack", "7").because("no alert 7")
    shell("export", "--source", "nowhere").because("nowhere", code=2)
    assert noted(shell) == []


@pytest.mark.sqlite
def test_a_copy_put_back_and_a_move_are_noted(shell: Shell) -> None:
    read(shell)
    assert shell("db", "backup", "copy.db").code == 0
    assert shell("db", "restore", "copy.db", "--yes").code == 0
    assert noted(shell) == [("db restore", {"count": 3})]
    assert shell("db", "move", "sqlite:///new.db").code == 0
    assert noted(shell) == [("db restore", {"count": 3})]  # the old one is only read
    shell.configure('[database]\nurl = "sqlite:///new.db"\n')
    assert [what for what, _ in noted(shell)] == ["db restore", "db move"]


def test_the_time_is_the_machines_own(shell: Shell) -> None:
    read(shell)
    assert shell("audit", "--days", "1").err == "Nothing was noted in the last 1 days.\n"
    before = datetime.now(UTC)
    assert shell("db", "rebuild").code == 0
    (row,) = shell("audit", "--json").rows
    assert before <= datetime.fromisoformat(row["at"]) <= datetime.now(UTC)


def test_old_deeds_are_shown_on_request(shell: Shell) -> None:
    read(shell)
    with closing(open_database(stored_in(shell.folder))) as db:
        for days in (1, 40, 400):
            at = datetime.now(UTC) - timedelta(days=days)
            audit.note(db, "export", by="ana", at=at, about={"form": f"f{days}"})
    for days, count in {"2": 1, "50": 2, "500": 3}.items():
        assert len(shell("audit", "--json", "--days", days).rows) == count


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_user_name_forges_no_line(shell: Shell, text: str) -> None:
    """Whoever names users of a machine might mean it badly, too."""
    with closing(open_database(stored_in(shell.folder))) as db:
        at = datetime.now(UTC)
        clean = privacy.clean(text)
        for by in (clean, "ana"):
            audit.note(db, "export", by=by, at=at, about={"source": clean})
        with db.write() as connection:
            connection.execute(update(t.audit).where(t.audit.c.id == 1).values(what=clean))
    said = shell("audit")
    assert said.code == 0
    assert "\x1b" not in said.out
    assert [row["by"] for row in shell("audit", "--json").rows] == ["ana", clean]


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_contact_is_only_text(shell: Shell, text: str) -> None:
    read(shell)
    told = {"email": text.encode("utf-8", "replace").decode()}
    url = stored_in(shell.folder)
    with closing(open_database(url)) as db, db.write() as connection:
        contacts.keep(connection, [(1, told)], key=KEY.encode())
    said = shell("show", "1", "--contact")
    assert said.code == 0
    assert [each for each in said.out if category(each) == "Cc" and each != "\n"] == []


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("[privacy]\ntext_days = 30\n", "privacy.text_days"),
        ("[privacy]\nraw_days = 0\n", "privacy.raw_days"),
        ('[privacy]\nkeep_contacts = "perhaps"\n', "privacy.keep_contacts"),
        ("[privacy]\naudit_days = 7\n", "privacy.audit_days"),
        (
            '[sources.a]\nkind = "file"\n[sources.a.privacy]\nraw_day = 3\n',
            "did you mean 'raw_days'",
        ),
        ('[sources.a]\nkind = "file"\nprivacy = 3\n', "[sources.a.privacy]"),
        ('[sources.a]\nkind = "file"\n[sources.a.privacy]\nkey_file = "x"\n', "key_file"),
    ],
)
def test_each_wrong_key_has_its_sentence(shell: Shell, table: str, sentence: str) -> None:
    shell.configure(table)
    said: Said = shell("audit")
    said.because(sentence)


def test_a_source_says_first_how_long_it_is_kept() -> None:
    config = parse(
        BRAND + "[privacy]\ntext_days = 400\ncontact_days = 10\nkeep_contacts = true\n"
        '[sources.a]\nkind = "file"\n[sources.a.privacy]\ntext_days = 100\nkeep_contacts = false\n'
        '[sources.b]\nkind = "file"\n'
    )
    day = timedelta(days=1)
    assert config.limits("a").texts == 100 * day
    assert config.limits("a").contacts == timedelta()
    assert (config.limits("b").texts, config.limits("b").contacts) == (400 * day, 10 * day)
    assert config.limits("gone") == config.limits("b")
    assert config.limits("b").identities is None
    assert config.limits("a").payloads == 180 * day
