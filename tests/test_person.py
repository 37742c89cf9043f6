"""A person asks: everything stored about them is given out; once erased, nothing is left."""

from __future__ import annotations

import csv
import email
import email.policy
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from sqlalchemy import MetaData, select
from sqlalchemy.engine import make_url

from ouvidor.cli import main
from ouvidor.storage import alerts, annotations, outbox, privacy, search, series
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, StorageError, open_database
from ouvidor.storage.vocabulary import (
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Severity,
    Spike,
    Untagged,
)

pytestmark = pytest.mark.slow

KEY = b"k" * 64
AT = datetime(2026, 10, 5, 15, tzinfo=UTC)
NOW = ("--now", "2026-10-05T15:00Z")
NAME = "Maria Aparecida do Rosário"
THEIRS = [
    "xilofone",
    "furta-cor",
    "Zacarias",
    "maria-aparecida",
    "calhambeque",
    "Rosário",
    "gérbera",
]
"""Words that nobody else wrote: in a text, its earlier state, an attribute, an id, a reply."""
CONFIGURATION = """
[brand]
name = "Loja"
[sources.loja]
kind = "file"
path = "loja.csv"
[touchpoints.entrega]
name = "Entrega"
stage = "after"
topics = ["delivery"]
[subscribers.ana]
address = "ana@loja.example"
[mail]
host = "127.0.0.1"
sender = "ouvidor@loja.example"
"""
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Path:
    (tmp_path / "ouvidor.toml").write_text(CONFIGURATION)
    (tmp_path / "ouvidor.key").write_bytes(KEY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUVIDOR_DATABASE_URL", database_url)
    write(tmp_path, "O calhambeque da entrega não veio")
    return tmp_path


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], folder: Path) -> Say:  # it stands in the folder
    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


def write(folder: Path, first: str) -> None:
    """Eight weeks of answers; three of them are hers, one in the week told before."""
    header = ["id", "comentario", "nota", "data", "autor", "url", "vendedor", "resposta"]
    rows = [
        ["maria-aparecida-1", first, 1, "2026-09-30", NAME, "https://x.example/u/maria-aparecida"],
        ["maria-aparecida-2", "Pedi furta-cor, entrega cinza", 1, "2026-09-30", NAME.upper(), ""],
        ["maria-aparecida-3", "xilofone xilofone na entrega", 1, "2026-09-23", f" {NAME}", ""],
    ]
    hers = [[*row, "Zacarias", "Cara gérbera, pedimos desculpas"] for row in rows]
    others = [
        [f"c-{n}", f"A entrega atrasou {n} dias", 1 + n % 2, date(2026, 8, 10) + timedelta(days=n)]
        for n in range(56)
    ]
    with (folder / "loja.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([header, *hers])
        writer.writerows([*row, f"Cliente {row[0]}", "", "Centro", ""] for row in others)


def annotated(item: Untagged) -> Annotation:
    worst = item.text.count("xilofone") + item.text.count("furta-cor")
    p = Distribution(negative=0.9, neutral=0.05, positive=0.05)
    p = p if worst else Distribution(negative=0.8, neutral=0.1, positive=0.1)
    aspect = Aspect(touchpoint="entrega", p=p, span=(0, 9))
    return Annotation(
        tagger="t1",
        basis=Basis.TEXT,
        language="pt",
        p=p,
        stars=1.5,
        uncertain=False,
        aspects=(aspect,),
    )


def judge(db: Database) -> None:
    waiting = annotations.claim(db, limit=500, now=AT, worker="h:1:x", lease=timedelta(hours=1))
    annotations.save(db, [(each, annotated(each)) for each in waiting], now=AT)


@pytest.fixture
def db(say: Say, folder: Path, database_url: str) -> Iterator[Database]:
    """A house that has told of her everywhere: mails sent and waiting, an alert, a correction."""
    assert say("collect", "loja", *NOW)[0] == 0
    write(folder, "O xilofone da entrega não veio")
    code, out, _ = say("collect", "loja", "--json", *NOW)
    assert (code, json.loads(out)["changed"]) == (0, 1)
    found = open_database(database_url)
    judge(found)
    note = ["--note", "fala do xilofone", "--by", "bento"]
    assert say("correct", "1", "--touchpoint", "entrega=negative", *note, *NOW)[0] == 0
    assert say("digest", "--week", "2026-W39", *NOW)[0] == 0
    (sent,) = outbox.claim(found, limit=9, now=AT, worker="h:1:x", lease=timedelta(minutes=5))
    outbox.mark_sent(found, sent, now=AT)
    assert say("digest", "--week", "2026-W40", *NOW)[0] == 0
    alarm(found)
    yield found
    found.close()


def alarm(db: Database) -> None:
    spike = Spike(
        series="entrega",
        detected_on=date(2026, 9, 30),
        first_day=date(2026, 9, 30),
        last_day=date(2026, 9, 30),
        observed=3,
        expected=0.5,
        share=None,
        expected_share=None,
        severity=Severity.WARNING,
        score=7.0,
    )
    words = [{"word": "xilofone", "now": 2}, {"word": "entrega atrasou", "now": 9}]
    parts = [
        {"what": "vendedor", "value": "Zacarias", "observed": 2},
        {"what": "vendedor", "value": "Centro", "observed": 5},
    ]
    evidence = {"quotes": [1, 2, 20], "words": words, "parts": parts, "late": False}
    with db.write() as connection:
        alerts.open_alert(
            connection,
            spike=spike,
            touchpoint="entrega",
            source="",
            owner=None,
            shadow=False,
            evidence=evidence,
            now=AT,
        )
        for reader, state in (("bento", "waiting"), ("carla", "sent")):
            outbox.put(
                connection,
                key=f"alert:1:opened:{reader}",
                channel="mail",
                recipient=f"{reader}@loja.example",
                subject="Entrega: o xilofone",
                body="> O xilofone da entrega não veio".encode(),
                now=AT,
                quoted=[1, 20],
            )
            connection.execute(
                t.message.update().where(t.message.c.key.endswith(reader)).values(state=state)
            )


def readable(value: object) -> Iterator[str]:
    """All that a value can be read as: text, JSON, unpacked bytes, the parts of a mail."""
    if isinstance(value, bytes):
        if value.startswith(b"\x28\xb5\x2f\xfd"):
            value = zstandard.decompress(value)
        yield value.decode("utf-8", "replace")
        for part in email.message_from_bytes(value, policy=email.policy.SMTP).walk():
            if part.get_content_maintype() == "text":
                yield part.get_content()
    elif isinstance(value, dict | list):
        yield json.dumps(value, ensure_ascii=False)
    elif value is not None:
        yield str(value)


def everything(db: Database) -> str:
    """Every value of every row of every table there is, whoever made it."""
    found = MetaData()
    found.reflect(db.engine)
    assert found.tables.keys() >= t.metadata.tables.keys()
    with db.read() as connection:
        return "\n".join(
            text
            for table in found.sorted_tables
            for row in connection.execute(select(t.metadata.tables.get(table.name, table)))
            for value in row
            for text in readable(value)
        )


def left_in(text: str) -> list[str]:
    pseudonym = privacy.pseudonym(NAME, KEY)
    return [word for word in [*THEIRS, pseudonym] if word.casefold() in text.casefold()]


def files_of(db: Database) -> bytes:
    """The raw bytes of SQLite's files."""
    path = Path(make_url(str(db.engine.url)).database or "")
    found = [each for each in path.parent.iterdir() if each.name.startswith(path.name)]
    assert path in found
    return b"".join(each.read_bytes() for each in found)


def test_she_gets_everything(say: Say, db: Database) -> None:
    code, out, err = say("person", "export", NAME)
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, len(told)) == (0, 3)
    assert "3 pieces" in err
    # Her name was never stored; all that was stands in what she gets.
    assert set(THEIRS) - set(left_in(out)) == {"Rosário"}
    whole = next(row for row in told if row["feedback"]["external_id"] == "maria-aparecida-1")
    assert [each["text"] for each in whole["revisions"]] == ["O calhambeque da entrega não veio"]
    assert {"rating", "edited_at", "reply_at"} <= whole["revisions"][0].keys()
    payloads = [json.loads(each) for each in whole["payloads"]]
    assert {each["comentario"].split()[1] for each in payloads} == {"calhambeque", "xilofone"}
    assert whole["annotation"]["aspects"]
    assert whole["corrections"][0]["note"] == "fala do xilofone"
    assert {"alert:1:opened:bento", "alert:1:opened:carla"} <= set(whole["messages"])
    assert whole["alerts"] == [1]
    assert {"category", "rating_scale", "last_seen_at"} <= whole["stored"].keys()
    assert db.embedded or told


def test_every_column_about_her_is_given_out(say: Say, db: Database) -> None:
    """Whatever a table gets for a column tomorrow stands in the export, or is named here."""
    inner = {
        "id", "source_id", "folded", "run_id", "settled", "pending", "claimed_by",
        "claimed_until",
    }  # fmt: skip
    row = json.loads(say("person", "export", NAME)[1].splitlines()[0])
    given = row["feedback"].keys() | row["stored"].keys()
    assert set(t.feedback.c.keys()) - inner <= given
    assert db.embedded or row


def test_nothing_of_her_is_left(
    say: Say, folder: Path, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = everything(db)
    assert set(THEIRS) - set(left_in(before)) == {"Rosário"}
    if db.embedded:
        assert b"xilofone" in files_of(db)

    code, out, err = say("person", "forget", NAME, *NOW)

    assert (code, out) == (0, "")
    assert "3 pieces" in err
    assert left_in(everything(db)) == []
    if db.embedded:
        raw = files_of(db)
        assert [word for word in THEIRS if word.encode() in raw] == []
        assert privacy.pseudonym(NAME, KEY).encode() not in raw
    assert left_in(caplog.text) == []
    for verb in (["search", "--json"], ["export"], ["alerts", "show", "1", "--json"]):
        code, out, _ = say(*verb)
        assert (code, left_in(out)) == (0, [])
    assert say("person", "export", NAME)[1] == ""
    ours = [each for each in folder.iterdir() if each.suffix in {".csv", ".html", ".txt"}]
    assert [each.name for each in ours] == ["loja.csv"]


def test_what_others_wrote_stays(say: Say, db: Database) -> None:
    say("person", "forget", NAME, *NOW)
    (alert,) = alerts.listing(db)
    assert alert.evidence["quotes"] == [20]
    assert [each["word"] for each in alert.evidence["words"]] == ["entrega atrasou"]
    assert [each["value"] for each in alert.evidence["parts"]] == ["Centro"]
    assert len(list(search.search(db, search.Wanted()))) == 56
    with db.read() as connection:
        found = {each.key: each for each in connection.execute(select(t.message))}
    # A mail that has left is a line without words, one about an alert that waits never leaves.
    states = {key: (each.state, each.body, each.subject) for key, each in found.items()}
    assert states == {
        "digest:ana:2026-W39": ("sent", b"", ""),
        "alert:1:opened:bento": ("failed", b"", ""),
        "alert:1:opened:carla": ("sent", b"", ""),
    }
    # The digest that waited is written again, by those who are left.
    assert say("digest", "--week", "2026-W40", *NOW)[0] == 0
    body = outbox.bodies(db, ["digest:ana:2026-W40"])["digest:ana:2026-W40"]
    told = "\n".join(readable(body))
    assert left_in(told) == []
    assert "A entrega atrasou" in told


def days(db: Database) -> dict[tuple[str, date], tuple[int, int, int]]:
    rows = series.daily(
        db, since=date(2026, 8, 1), until=date(2026, 10, 4), touchpoints=["entrega"]
    )
    return {
        (row.touchpoint, row.day): (row.negatives, row.mentions, row.total)
        for row in rows
        if row.total or row.mentions
    }


def test_the_days_are_counted_again(say: Say, db: Database) -> None:
    before = days(db)
    say("person", "forget", NAME, *NOW)
    after = days(db)
    with db.write() as connection:
        connection.execute(t.series.delete())
        sources = connection.execute(select(t.source.c.id)).scalars().all()
        rebuilt = [{"source_id": each, "day": day} for each in sources for _, day in before]
        connection.execute(
            t.dirty_day.insert(), [dict(each) for each in {tuple(row.items()) for row in rebuilt}]
        )
    assert days(db) == after
    lost = {key: before[key][2] - after.get(key, (0, 0, 0))[2] for key in before}
    assert {key: count for key, count in lost.items() if count} == {
        ("", date(2026, 9, 30)): 2,
        ("", date(2026, 9, 23)): 1,
        ("entrega", date(2026, 9, 30)): 2,
        ("entrega", date(2026, 9, 23)): 1,
    }


@pytest.mark.parametrize("text", ["O xilofone da entrega não veio", "O xilofone veio quebrado"])
def test_the_source_does_not_bring_her_back(
    say: Say, folder: Path, db: Database, text: str
) -> None:
    """What still stands there, edited or not, is not stored again; others' are."""
    assert "may be read again" in say("person", "forget", NAME, *NOW)[2]
    write(folder, text)
    with (folder / "loja.csv").open("a", encoding="utf-8", newline="") as file:
        file.write("c-99,A entrega chegou,5,2026-10-01,Outra pessoa,,Centro,\r\n")
    code, out, _ = say("collect", "loja", "--full", "--json", *NOW)
    told = json.loads(out)
    assert (code, told["outcome"], told["new"], told["changed"]) == (0, "complete", 1, 0)
    assert left_in(everything(db)) == []
    assert say("person", "export", NAME)[1] == ""


def test_a_digest_on_its_way_out_is_not_taken_back(say: Say, db: Database) -> None:
    """Its sender holds the bytes: it may mark it, and nobody sends a second one."""
    (leased,) = [
        each
        for each in outbox.claim(db, limit=9, now=AT, worker="h:1:x", lease=timedelta(minutes=5))
        if each.key == "digest:ana:2026-W40"
    ]
    say("person", "forget", NAME, *NOW)
    outbox.mark_sent(db, leased, now=AT)
    assert left_in(everything(db)) == []
    assert say("digest", "--week", "2026-W40", *NOW)[0] == 0
    later = AT + timedelta(hours=1)
    waiting = outbox.claim(db, limit=9, now=later, worker="h:1:x", lease=timedelta(minutes=5))
    assert waiting == []


@pytest.mark.sqlite
def test_a_reader_that_holds_the_file_is_named(tmp_path: Path, now: datetime) -> None:
    """The rows are gone at once; their bytes go as soon as the file is free."""
    path = tmp_path / "ouvidor.db"
    db = open_database(f"sqlite:///{path}?timeout=0.1")
    with db.write() as connection:
        source = {"name": "loja", "kind": "file", "created_at": now}
        connection.execute(t.source.insert().values(source))
        run = {"source_id": 1, "started_at": now, "worker": "x", "lease_until": now, "first": True}
        connection.execute(t.run.insert().values(run))
        row: dict[str, Any] = dict.fromkeys(("first_seen_at", "last_seen_at", "changed_at"), now)
        row |= dict.fromkeys(("title", "text", "folded", "content_hash"), "xilofone")
        row |= {"source_id": 1, "run_id": 1, "external_id": "1", "kind": "review", "author": "p-1"}
        connection.execute(t.feedback.insert().values(row))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM feedback").fetchall()
        with pytest.raises(StorageError, match="may still hold their bytes"):
            search.forget(db, "p-1", now=now)
        assert list(search.search(db, search.Wanted())) == []
    assert b"xilofone" in files_of(db)
    assert search.forget(db, "p-1", now=now) == 0
    assert b"xilofone" not in files_of(db)
    db.close()
