"""What is not kept for ever goes, to the byte; what was counted stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from alembic import command
from sqlalchemy import insert, select, text
from stored import stored_in

from ouvidor.storage import (
    annotations,
    audit,
    contacts,
    migrations,
    outbox,
    runs,
    search,
    series,
)
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database, unprepared
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.retention import Dropped, Limits, tidy
from ouvidor.storage.runs import Run, Verdict
from ouvidor.storage.vocabulary import (
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Feedback,
    Outcome,
    Reply,
    Untagged,
)

KEY = b"a key of thirty-two bytes, really"
DOOR = Door(KEY, ZoneInfo("America/Sao_Paulo"), contacts=True)
WRITTEN = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WORDS = ("xilofone", "calhambeque", "gérbera", "furta-cor", "zuleide@x.example")
NOTHING = Limits()


def complaint(number: int, words: str = "O calhambeque não veio") -> Feedback:
    return Feedback(
        external_id=str(number),
        title="xilofone",
        text=words,
        stars=1,
        published_at=WRITTEN,
        author="Zuleide Tatu",
        url=f"https://x.example/{number}",
        reply=Reply(text="Cara gérbera", at=WRITTEN),
        attributes={"loja": "Centro", "final_comment": "furta-cor " * 9},
        contact={"email": "zuleide@x.example"},
        raw='{"text": "O calhambeque não veio"}',
    )


def judged(item: Untagged) -> Annotation:
    p = Distribution(negative=0.9, neutral=0.05, positive=0.05)
    return Annotation(
        tagger="t1",
        basis=Basis.TEXT,
        language="pt",
        p=p,
        stars=1.0,
        uncertain=False,
        aspects=(Aspect(touchpoint="entrega", p=p, span=(0, 3)),),
    )


def read(db: Database, source: str, items: list[Feedback], now: datetime) -> Run:
    run = runs.open_run(db, source=source, kind="file", now=now)
    save_page(db, run, items, None, door=DOOR, now=now)
    verdict = Verdict(
        outcome=Outcome.COMPLETE, message="", joined=True, covered=(WRITTEN - DAY, now)
    )
    runs.close_run(db, run, verdict, now=now, zone=DOOR.zone)
    return run


@pytest.fixture
def house(db: Database) -> Iterator[Database]:
    """Two complaints of one source and one of another, tagged, corrected, told of in a mail."""
    read(db, "queixas", [complaint(1), complaint(2)], WRITTEN)
    read(db, "app", [complaint(3)], WRITTEN)
    read(db, "queixas", [complaint(1, "O calhambeque veio quebrado")], WRITTEN + DAY)
    claimed = annotations.claim(db, limit=9, now=WRITTEN, worker="h:1:x", lease=DAY)
    annotations.save(db, [(each, judged(each)) for each in claimed], now=WRITTEN)
    series.refresh(db)
    with db.write() as connection:
        connection.execute(
            insert(t.correction).values(
                feedback_id=1, at=WRITTEN, by="ana", touchpoints={}, note="diz xilofone"
            )
        )
        for key, quoted in (("digest:a:1", [1]), ("digest:a:2", [3])):
            outbox.put(
                connection,
                key=key,
                channel="mail",
                recipient="a@loja.example",
                subject="xilofone",
                body=b"> O calhambeque veio quebrado",
                now=WRITTEN,
                quoted=quoted,
            )
        connection.execute(t.message.update().values(state="sent", sent_at=WRITTEN))
    return db


def tidied(db: Database, now: datetime, **limits: Limits) -> Dropped:
    return tidy(
        db,
        limits=lambda name: limits.get(name, NOTHING),
        audit_kept=730 * DAY,
        mail_kept=50_000 * DAY,
        now=now,
    )


def counted(db: Database) -> list[tuple[object, ...]]:
    with db.read() as connection:
        return [tuple(row) for row in connection.execute(select(t.series).order_by(*t.series.c))]


def said_of(db: Database, feedback_id: int) -> str:
    """Every word that is left of one feedback, wherever it stands."""
    tables = (t.revision, t.payload, t.correction, t.contact)
    with db.read() as connection:
        own = connection.execute(select(t.feedback).where(t.feedback.c.id == feedback_id)).all()
        rows = [
            row
            for table in tables
            for row in connection.execute(
                select(table).where(table.c.feedback_id == feedback_id)
            ).all()
        ]
    return " ".join(map(str, [*own, *rows]))


def test_without_limits_nothing_goes(house: Database) -> None:
    before = [said_of(house, number) for number in (1, 2, 3)]
    assert tidied(house, WRITTEN + 40_000 * DAY).counts() == {}
    assert [said_of(house, number) for number in (1, 2, 3)] == before


def test_what_was_sent_long_ago_keeps_no_bytes(house: Database) -> None:
    def lengths(now: datetime) -> list[int]:
        tidy(house, limits=lambda _: NOTHING, audit_kept=730 * DAY, mail_kept=90 * DAY, now=now)
        with house.read() as connection:
            query = select(t.message.c.body, t.message.c.state).order_by(t.message.c.id)
            rows = connection.execute(query).all()
        assert {row.state for row in rows} == {"sent", "waiting"}
        return [len(row.body) for row in rows]

    with house.write() as connection:
        outbox.put(
            connection,
            key="digest:a:3",
            channel="mail",
            recipient="a@loja.example",
            subject="waits",
            body=b"waits",
            now=WRITTEN,
            quoted=[],
        )
    assert lengths(WRITTEN + 90 * DAY) == [29, 29, 5]
    assert lengths(WRITTEN + 91 * DAY) == [0, 0, 5]
    assert outbox.counts(house) == {"sent": 2, "waiting": 1}


def test_words_go_by_source_and_counts_stay(house: Database) -> None:
    before = counted(house)
    assert before
    done = tidied(house, WRITTEN + 100 * DAY, queixas=Limits(texts=90 * DAY))
    assert done.counts() == {"texts": 2, "messages": 1}
    assert [word for word in WORDS[:-1] for n in (1, 2) if word in said_of(house, n)] == []
    assert "calhambeque" in said_of(house, 3)
    series.rebuild(house)
    assert counted(house) == before
    found = search.show(house, 1)
    assert (found.feedback.text, found.feedback.reply_text, found.feedback.stars) == ("", "", 1)
    assert found.feedback.attributes == {"loja": "Centro"}
    assert (found.annotation and found.annotation.aspects[0].span) is None
    assert tidied(house, WRITTEN + 100 * DAY, queixas=Limits(texts=90 * DAY)).counts() == {}


def test_a_mail_that_quoted_it_loses_its_bytes(house: Database) -> None:
    tidied(house, WRITTEN + 100 * DAY, queixas=Limits(texts=90 * DAY))
    with house.read() as connection:
        told = {row.key: row for row in connection.execute(select(t.message))}
    assert (bytes(told["digest:a:1"].body), told["digest:a:1"].subject) == (b"", "")
    assert b"calhambeque" in bytes(told["digest:a:2"].body)


def test_words_count_from_their_last_edit(house: Database) -> None:
    """Number 1 was edited a day after the others."""
    done = tidied(house, WRITTEN + 90.5 * DAY, queixas=Limits(texts=90 * DAY))
    assert done.texts == 1
    assert "quebrado" in said_of(house, 1)


def test_what_lost_its_words_is_neither_stored_nor_tagged_again(house: Database) -> None:
    later = WRITTEN + 100 * DAY
    tidied(house, later, queixas=Limits(texts=90 * DAY))
    run = runs.open_run(house, source="queixas", kind="file", now=later)
    again = [complaint(1, "O calhambeque veio quebrado"), complaint(2)]
    saved = save_page(house, run, again, None, door=DOOR, now=later)
    assert (saved.new, saved.changed, saved.unchanged) == (0, 0, 2)
    assert search.show(house, 1).feedback.text == ""
    assert annotations.mark_stale(house, "t2") == 1
    assert annotations.request_again(house) == 1
    assert annotations.request_block(house, range(1, 9), tagger="t3", since=None) == 0
    edited = save_page(house, run, [complaint(1, "Enfim veio")], None, door=DOOR, now=later)
    assert edited.changed == 1
    assert search.show(house, 1).feedback.text == "Enfim veio"
    assert annotations.pending(house) == 2
    tidied(house, later + 10 * DAY, queixas=Limits(texts=90 * DAY))
    assert search.show(house, 1).feedback.text == "Enfim veio"
    tidied(house, later + 91 * DAY, queixas=Limits(texts=90 * DAY))
    assert search.show(house, 1).feedback.text == ""


def test_an_identity_goes_with_all_that_leads_to_it(house: Database) -> None:
    done = tidied(house, WRITTEN + 31 * DAY, queixas=Limits(identities=30 * DAY))
    assert done.identities == 2
    with house.read() as connection:
        rows = connection.execute(select(t.feedback).order_by(t.feedback.c.id)).all()
        kept = set(connection.execute(select(t.payload.c.feedback_id)).scalars())
        sealed = set(connection.execute(select(t.contact.c.feedback_id)).scalars())
    assert [(row.author is None, row.url is None) for row in rows] == [
        (True, True),
        (True, True),
        (False, False),
    ]
    assert (kept, sealed) == ({3}, {3})
    assert rows[0].text == "O calhambeque veio quebrado"


def test_contacts_go_after_their_time_or_at_once(house: Database) -> None:
    limits = {"queixas": Limits(contacts=30 * DAY), "app": Limits(contacts=timedelta())}
    assert tidied(house, WRITTEN + DAY, **limits).contacts == 1
    assert contacts.read(house, 3, key=KEY) is None
    assert contacts.read(house, 1, key=KEY) == {"email": "zuleide@x.example"}
    assert tidied(house, WRITTEN + 31 * DAY, **limits).contacts == 2


def test_payloads_go_by_source(house: Database) -> None:
    done = tidied(house, WRITTEN + 30.5 * DAY, queixas=Limits(payloads=30 * DAY))
    assert done.payloads == 2  # the edit's is a day younger
    assert "calhambeque" in said_of(house, 1)


def test_the_book_of_deeds_is_kept_so_long(house: Database) -> None:
    for age in (731, 729):
        at = WRITTEN + (731 - age) * DAY
        audit.note(house, "export", by="ana", at=at, about={"count": age})
    assert tidied(house, WRITTEN + 730 * DAY).counts() == {}
    done = tidied(house, WRITTEN + 731 * DAY)
    assert done.counts() == {"audit": 1}
    assert [each.about for each in audit.entries(house, since=WRITTEN)] == [{"count": 729}]


def test_no_byte_is_left_in_the_files(house: Database, tmp_path: Path) -> None:
    if not house.embedded:
        pytest.skip("a server keeps its files itself")

    def files() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.glob("ouvidor.db*")))

    assert all(word.encode() in files() for word in WORDS[:-1])
    every = Limits(texts=90 * DAY, identities=DAY, payloads=DAY)
    tidied(house, WRITTEN + 100 * DAY, queixas=every, app=replace(every))
    assert [word for word in WORDS if word.encode() in files()] == []


def test_many_go_a_slice_at_a_time(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ouvidor.storage.retention._SLICE", 3)
    read(db, "queixas", [complaint(number) for number in range(10)], WRITTEN)
    every = Limits(texts=90 * DAY, identities=DAY, payloads=DAY, contacts=DAY)
    done = tidied(db, WRITTEN + 100 * DAY, queixas=every)
    # What goes with words and identities needs no going of its own.
    assert done.counts() == {"texts": 10, "identities": 10}


@pytest.mark.sqlite
def test_a_house_of_the_schema_before_is_brought_along(tmp_path: Path) -> None:
    """What was stored under schema 0003 stays, and can lose its words like any other."""
    url = stored_in(tmp_path, "old.db")
    with closing(unprepared(url)) as old, old.write() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(
            text("INSERT INTO source (id, name, kind, created_at) VALUES (1, 'a', 'file', :at)"),
            {"at": WRITTEN.isoformat(" ")},
        )
        connection.execute(
            text(
                "INSERT INTO run (id, source_id, started_at, worker, lease_until, first, joined,"
                " message, pages, seen, new, changed, rejected, details)"
                " VALUES (1, 1, :at, 'h:1', :at, 1, 0, '', 0, 0, 0, 0, 0, '{}')"
            ),
            {"at": WRITTEN.isoformat(" ")},
        )
        connection.execute(
            text(
                "INSERT INTO feedback (id, source_id, external_id, kind, title, text, folded,"
                " first_seen_at, last_seen_at, changed_at, attributes, content_hash, run_id,"
                " settled, pending) VALUES (1, 1, '1', 'review', '', 'O xilofone', 'o xilofone',"
                " :at, :at, :at, '{}', 'x', 1, 0, 1)"
            ),
            {"at": WRITTEN.isoformat(" ")},
        )
    with closing(open_database(url)) as db:
        assert search.show(db, 1).feedback.text == "O xilofone"
        assert tidied(db, WRITTEN + 100 * DAY, a=Limits(texts=90 * DAY)).texts == 1
        assert search.show(db, 1).feedback.text == ""
