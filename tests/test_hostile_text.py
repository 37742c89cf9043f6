"""Hostile texts go in by the real door and come out harmless at every place that shows them."""

from __future__ import annotations

import csv
import email
import email.policy
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hostile import HOSTILE, LONGEST_WORD, MEGABYTE
from sqlalchemy import func, select

from ouvidor.cli import main
from ouvidor.config import Config, Mail, load
from ouvidor.house import House
from ouvidor.reports import alert_letter, digest, explain, letter, mail
from ouvidor.reports.alert_chart import DayPoint
from ouvidor.reports.alert_letter import Notice, Turn
from ouvidor.reports.chat import send_chat
from ouvidor.reports.explain import Explanation, Part, Term
from ouvidor.reports.lookout import Gap, Key
from ouvidor.reports.render import Rendered
from ouvidor.reports.voices import Role, Voice, voice
from ouvidor.reports.week import Digest, WeekPoint
from ouvidor.storage import alerts, annotations, outbox, privacy, series
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
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
NOW = ("--now", "2026-10-05T15:00Z")
AT = datetime(2026, 10, 5, 15, tzinfo=UTC)
MONDAY, SUNDAY = date(2026, 9, 28), date(2026, 10, 4)
NAME = (
    "Entrega\r\nBcc: v@evil.example \x1b[31m<script>{{7*7}}</script>\u202e[x](http://evil.example)"
)
UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
CONFIGURATION = f"""
[brand]
name = {json.dumps(NAME)}
[touchpoints.entrega]
name = {json.dumps(NAME)}
stage = "after"
topics = ["delivery"]
owner = "bento@loja.example"
[subscribers.ana]
address = "ana@loja.example"
[mail]
host = "127.0.0.1"
sender = "ouvidor@loja.example"
[chat.sala]
url = {{ env = "SALA" }}
digest = true
"""
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Path:
    home = tmp_path / "casa"
    home.mkdir()
    (home / "ouvidor.toml").write_text(CONFIGURATION, encoding="utf-8")
    (home / "ouvidor.key").write_bytes(KEY)
    monkeypatch.chdir(home)
    monkeypatch.setenv("OUVIDOR_DATABASE_URL", database_url)
    monkeypatch.setenv("SALA", "json://127.0.0.1:9/none")
    return home


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], folder: Path) -> Say:
    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capsys.readouterr()

    return type_in


def row(number: int, key: str, text: str) -> dict[str, Any]:
    moment = datetime(2026, 9, 28, 12, tzinfo=UTC) + timedelta(hours=number % 150)
    return {
        "id": key,
        "title": f"Sobre {text[:300]}",
        "text": text,
        "author": text,
        "stars": 1,
        "published_at": moment.isoformat(),
        "url": f"https://loja.example/{number}",
        "campo\x1b[31m": text,
    }


def write(path: Path, texts: dict[str, str]) -> None:
    """JSON Lines as many programs write them: unpaired surrogates stand as escapes."""
    lines = [json.dumps(row(number, *each)) for number, each in enumerate(texts.items())]
    path.write_text("\n".join(lines), encoding="ascii")


@pytest.fixture
def db(say: Say, folder: Path, database_url: str) -> Iterator[Database]:
    """All hostile texts, imported by the real verb and judged as complaints about the delivery."""
    write(folder / "textos.jsonl", HOSTILE)
    code, out, err = say("import", "textos.jsonl", "--source", "textos", "--json", *NOW)
    told = json.loads(out)
    assert (code, told["new"], told["rejected"]) == (0, len(HOSTILE), 0), err
    assert not UNSAFE.search(out + err)
    found = open_database(database_url)
    judge(found)
    yield found
    found.close()


def judge(db: Database) -> None:
    waiting = annotations.claim(db, limit=500, now=AT, worker="h:1:x", lease=timedelta(hours=1))
    annotations.save(db, [(each, annotated(each)) for each in waiting], now=AT)


def annotated(item: Untagged) -> Annotation:
    p = Distribution(negative=0.8, neutral=0.1, positive=0.1)
    return Annotation(
        tagger="t1",
        basis=Basis.TEXT,
        language="pt",
        p=p,
        stars=1.5,
        uncertain=True,
        aspects=(Aspect(touchpoint="entrega", p=p, span=(0, min(40, len(item.text)))),),
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in text.splitlines()]


def test_every_text_is_stored_as_its_words(db: Database) -> None:
    with db.read() as connection:
        stored = {each.external_id: each for each in connection.execute(select(t.feedback))}
    assert stored.keys() == HOSTILE.keys()
    for key, text in HOSTILE.items():
        assert stored[key].text == privacy.told(text.strip(), KEY, text, ()), key
        assert not UNSAFE.search(stored[key].text + stored[key].title), key
        assert stored[key].author == privacy.pseudonym(text, KEY), key


def test_what_is_readable_in_a_text_is_kept(db: Database) -> None:
    """Harmless is not empty: letters, markup and emoji stay, letter by letter."""
    kept = ["html", "jinja", "family", "flags", "keycaps", "scripts", "ligatures", "sql", "formula"]
    with db.read() as connection:
        query = select(t.feedback.c.external_id, t.feedback.c.text)
        stored = {each.external_id: each.text for each in connection.execute(query)}
    for key in kept:
        assert stored[key] == HOSTILE[key].strip()


@pytest.mark.usefixtures("db")
def test_a_terminal_gets_no_commands_and_json_stays_json(say: Say) -> None:
    for verb in (["search"], ["review"]):
        code, out, err = say(*verb, "--limit", "500")
        assert code == 0
        assert not UNSAFE.search(out + err)
        assert len(out.splitlines()) == len(HOSTILE) + 1
        code, out, _ = say(*verb, "--limit", "500", "--json")
        assert (code, UNSAFE.search(out)) == (0, None)
        told = {each["external_id"]: each["text"] for each in lines(out)}
        assert told == {
            key: privacy.told(text.strip(), KEY, text, ()) for key, text in HOSTILE.items()
        }


def test_one_feedback_shown(say: Say, db: Database) -> None:
    with db.read() as connection:
        ids = connection.execute(select(t.feedback.c.id)).scalars().all()
    for number in ids:
        code, out, err = say("show", str(number))
        assert (code, err, UNSAFE.search(out)) == (0, "", None)
        code, out, _ = say("show", str(number), "--json")
        assert (code, UNSAFE.search(out)) == (0, None)
        assert json.loads(out)["feedback"]["id"] == number


@pytest.mark.slow
@pytest.mark.usefixtures("db")
def test_a_real_terminal_gets_no_escape_at_all() -> None:
    """The bytes that reach a pty; a dumb one gets none of ours either."""
    for verb in (["search", "--limit", "500"], ["show", "5"]):
        ours, theirs = os.openpty()
        env = {**os.environ, "TERM": "dumb", "COLUMNS": "120"}
        command = [sys.executable, "-m", "ouvidor", *verb]
        with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env) as child:
            os.close(theirs)
            shown = b""
            with io.FileIO(ours) as screen:
                while chunk := _read(screen):
                    shown += chunk
        assert child.returncode == 0
        assert len(shown) > 100
        assert not UNSAFE.search(shown.decode("utf-8").replace("\r\n", "\n"))


def _read(screen: io.FileIO) -> bytes:
    try:
        return screen.read(65536) or b""
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_an_export_holds_no_formula(say: Say, folder: Path, db: Database) -> None:
    import openpyxl  # type: ignore[import-untyped]  # has no types

    assert say("export", "--out", "tudo.csv")[0] == 0
    with (folder / "tudo.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(HOSTILE)
    assert {key for each in table for key in each} >= {"text", "title", "author"}
    book = openpyxl.Workbook()
    for each in table:
        for cell in each.values():
            assert not re.match(r"[\s\ufeff\u200b]*[=+@＝＋＠|%-]", cell), cell
            assert not UNSAFE.search(cell)
        # What a spreadsheet makes of it: openpyxl takes a cell that begins with = for a formula.
        book.active.append([cell[:32_000] for cell in each.values()])
    kinds = {cell.data_type for cells in book.active.iter_rows() for cell in cells}
    assert kinds <= {"s", "n"}
    assert say("export", "--out", "tudo.jsonl")[0] == 0
    told = lines((folder / "tudo.jsonl").read_text(encoding="utf-8"))
    assert {each["external_id"] for each in told} == HOSTILE.keys()
    assert db.embedded or len(told) == len(HOSTILE)


class Skeleton(HTMLParser):
    """The elements and attributes of a page, without the breaks that only text brings."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements = Counter[tuple[str, tuple[str, ...]]]()
        self.links = Counter[str]()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links.update(value or "" for name, value in attrs if name in {"href", "src"})
        if tag not in {"br", "wbr"}:
            self.elements[tag, tuple(sorted(name for name, _ in attrs))] += 1

    def handle_comment(self, data: str) -> None:
        self.elements["comment", (data[:20],)] += 1

    def unknown_decl(self, data: str) -> None:
        self.elements["declaration", (data[:20],)] += 1


def same_page(made: Rendered, plain: Rendered) -> None:
    """Whatever was said, the page is built of the same parts and links the same places."""
    ours, theirs = Skeleton(made.html), Skeleton(plain.html)
    assert ours.elements == theirs.elements
    assert ours.links == theirs.links
    assert not re.search(r"</?mj-", made.html)
    assert not UNSAFE.search(made.html + made.text + made.subject)
    assert "\n" not in made.subject
    assert "evil.example" not in "".join(ours.links)


def voices(db: Database) -> tuple[Voice, ...]:
    found = series.quotes(db, since=MONDAY, until=SUNDAY)
    told = [voice(each, Role.WORST, "entrega") for each in found]
    assert len(told) == len(HOSTILE)
    return tuple(each for each in told if each is not None)


def plain(each: Voice) -> Voice:
    return replace(each, excerpt=replace(each.excerpt, text="nada", before=False, after=False))


def harmless_names(built: Digest) -> Digest:
    card = built.scorecard
    scores = tuple(replace(score, name="Entrega") for score in card.scores)
    names = dict.fromkeys(built.names, "Entrega")
    return replace(built, brand="Loja", names=names, scorecard=replace(card, scores=scores))


def test_a_digest_of_hostile_voices_is_built_like_any_other(db: Database) -> None:
    configuration = load()
    built = digest.build(db, configuration, now=AT, week="2026-W40")
    for each in voices(db):
        hostile = replace(built, voices=(each,))
        calm = replace(harmless_names(built), voices=(plain(each),))
        same_page(letter.words(hostile), letter.words(calm))


def own_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(">")]


def test_a_customer_cannot_speak_in_our_voice(db: Database) -> None:
    """In the text part every line of a customer is marked as a quote."""
    built = digest.build(db, load(), now=AT, week="2026-W40")
    for each in voices(db):
        text = letter.words(replace(built, voices=(each,))).text
        calm = letter.words(replace(built, voices=(plain(each),))).text
        assert own_lines(text) == own_lines(calm)


def parsed(body: bytes) -> EmailMessage:
    message = email.message_from_bytes(body, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk() if part.defects] == []
    return message


HEADERS = {
    "From", "Message-ID", "List-Unsubscribe", "To", "Subject", "Date", "Auto-Submitted",
    "X-Auto-Response-Suppress", "MIME-Version", "Content-Type", "Content-Language",
}  # fmt: skip


def check_mail(body: bytes) -> None:
    message = parsed(body)
    assert set(message.keys()) == HEADERS
    assert len(message.keys()) == len(HEADERS)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", "".join(map(str, message.values())))
    assert [part.get_content_type() for part in message.walk()][:3] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
    ]
    assert all(len(line) <= 998 for line in body.split(b"\r\n"))


def compose(rendered: Rendered, configuration: Config) -> bytes:
    return mail.compose(
        rendered,
        key="digest:ana:2026-W40",
        recipient="ana@loja.example",
        brand=configuration.brand.name,
        locale="pt-BR",
        now=AT,
        settings=configuration.mail,
        images={"trend-light@ouvidor": b"\x89PNG not really"},
    )


@pytest.mark.parametrize("key", HOSTILE)
def test_no_header_comes_from_a_name(key: str) -> None:
    """Brand, subject and body hostile at once; a sender that is one line of ASCII."""
    text = HOSTILE[key]
    settings = Mail(host="127.0.0.1", sender="ouvidor@loja.example")
    rendered = Rendered(subject=text[:400], text=privacy.clean(text) or "-", html="<p>x</p>")
    body = mail.compose(
        rendered,
        key=f"digest:{key}:2026-W40",
        recipient="ana@loja.example",
        brand=text[:200],
        locale="pt-BR",
        now=AT,
        settings=settings,
        images={"trend@ouvidor": b"\x89PNG not really"},
    )
    check_mail(body)
    assert parsed(body)["From"].addresses[0].addr_spec == "ouvidor@loja.example"


def test_the_digest_in_the_outbox_is_a_sound_mail(say: Say, db: Database) -> None:
    assert say("digest", "--week", "2026-W40", *NOW)[0] == 0
    with db.read() as connection:
        found = connection.execute(select(t.message.c.channel, t.message.c.body)).all()
    (body,) = [each.body for each in found if each.channel == "mail"]
    check_mail(body)
    html = parsed(body).get_body(("html",))
    assert html is not None
    assert "<script" not in html.get_content()


def notice(key: str, said: tuple[Voice, ...] = ()) -> Notice:
    """An alert, each of its strings as bad as it gets."""
    text = HOSTILE[key]
    spike = Spike(
        series="entrega",
        detected_on=SUNDAY,
        first_day=MONDAY,
        last_day=SUNDAY,
        observed=len(HOSTILE),
        expected=3.3,
        share=0.4,
        expected_share=0.12,
        severity=Severity.WARNING,
        score=6.1,
    )
    part = Part(dimension=text, value=text, observed=9, expected=1.0, share=0.8)
    term = Term(text=text, now=9, now_of=9, before=0, before_of=9, z=4.0)
    return Notice(
        turn=Turn.OPENED,
        alert=17,
        brand=NAME,
        key=Key("entrega", ""),
        touchpoint=text,
        severity=Severity.WARNING,
        found=spike,
        times=2.4,
        by_chance=0.02,
        budget=1.0,
        series=12,
        late=False,
        quiet_days=7,
        why=Explanation(parts=(part,), terms=(term,), voices=said),
        gaps=(Gap(source=text, since=MONDAY, until=SUNDAY),),
        days=(DayPoint(day=SUNDAY, negatives=9, expected=1.0, high=3.0, alarming=True),),
    )


def quiet(made: Notice) -> Notice:
    why = replace(
        made.why,
        parts=tuple(replace(part, dimension="x", value="x") for part in made.why.parts),
        terms=tuple(replace(term, text="x") for term in made.why.terms),
        voices=tuple(plain(each) for each in made.why.voices),
    )
    gaps = tuple(replace(gap, source="x") for gap in made.gaps)
    return replace(made, brand="Loja", touchpoint="x", why=why, gaps=gaps)


def test_an_alert_of_hostile_words_is_built_like_any_other(db: Database) -> None:
    configuration = load()
    for key, said in zip(HOSTILE, voices(db), strict=True):
        made = notice(key, (said,))
        rendered = alert_letter.words(made, "pt-BR")
        same_page(rendered, alert_letter.words(quiet(made), "pt-BR"))
        check_mail(compose(rendered, configuration))


def test_an_alert_is_shown_harmlessly(say: Say, db: Database) -> None:
    whole = explain.explain(
        series.quotes(db, touchpoint="entrega", since=MONDAY, until=SUNDAY), [], expected=3.3
    )
    told = [notice(key).why for key in HOSTILE]
    parts = tuple(why.parts[0] for why in told)
    terms = tuple(why.terms[0] for why in told)
    made = replace(notice("csi"), why=replace(whole, parts=parts, terms=terms))
    evidence = privacy.clean_all(alert_letter.evidence(made))  # as it is when it was stored before
    with db.write() as connection:
        number = alerts.open_alert(
            connection,
            spike=made.found,
            touchpoint="entrega",
            source="",
            owner=None,
            shadow=False,
            evidence=evidence,
            now=AT,
        )
    code, out, _ = say("alerts", "show", str(number))
    assert (code, UNSAFE.search(out)) == (0, None)
    assert len(out.splitlines()) < 2 * len(HOSTILE) + 20
    code, out, _ = say("alerts", "show", str(number), "--json")
    assert (code, UNSAFE.search(out)) == (0, None)
    assert len(json.loads(out)["evidence"]["words"]) == len(HOSTILE)


def test_pictures_take_no_words() -> None:
    """What matplotlib draws are numbers and dates: no ``$…$`` of a stranger reaches it."""
    for kind in (WeekPoint, DayPoint):
        hints = get_type_hints(kind)
        assert {hints[each.name] for each in fields(kind)} <= {
            date, int, float, bool, int | None,
        }  # fmt: skip


class Room(HTTPServer):
    """A chat service on loopback that keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Room

    def do_POST(self) -> None:
        self.server.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        answer = b'{"ok": true}' if "bot" in self.path else b"ok"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """Stands in for every service: their addresses are turned to this machine."""
    from apprise.plugins.discord import NotifyDiscord
    from apprise.plugins.slack import NotifySlack
    from apprise.plugins.telegram import NotifyTelegram

    with Room() as server:
        here = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(NotifySlack, "webhook_url", f"{here}/services")
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"{here}/webhooks")
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"{here}/bot")
        for service in (NotifySlack, NotifyDiscord, NotifyTelegram):
            monkeypatch.setattr(service, "request_rate_per_sec", 0)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


SERVICES = {
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "telegram": "tgram://123456789:abcdefghijklmnopqrstuvwxyz012345678/42/",
    "json": "json://127.0.0.1:{port}/",
    "mattermost": "mmost://127.0.0.1:{port}/3ccdd113474722377935511fc85d3dd4",
}
LIVE = re.compile(
    r"<!|<@\w|<https?:|<a\b|<at>|(?<!\w)@(?:here|channel|everyone|all|todos)\b|\]\(http",
    re.IGNORECASE,
)


def words_in(value: Any) -> Iterator[str]:
    """Every string of a JSON value that carries our words."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in {"text", "title", "message", "content"} and isinstance(each, str):
                yield each
            else:
                yield from words_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from words_in(each)


@pytest.mark.parametrize("service", SERVICES)
def test_a_chat_obeys_no_customer(room: Room, service: str) -> None:
    url = SERVICES[service].format(port=room.server_port)
    for key in ("slack", "mention", "markdown", "teams", "html", "percent", "braces", "link"):
        text = HOSTILE[key]
        body = f"Entrega em alta\n\n> {text}\nhttps://loja.example/a_b?c=1&d=2\n"
        send_chat(url, f"Alerta {text}", body, private_network=True)
        payload = json.loads(room.got[-1])
        told = "\n".join(words_in(payload))
        assert not LIVE.search(told), (key, told)
        assert "Entrega em alta" in told
        # Not a word is lost on the way.
        shown = told.replace("\u200b", "").replace("&lt;", "<").replace("&gt;", ">")
        shown = shown.replace("&amp;", "&")
        assert text.split("\n")[0] in shown, key
        assert "https://loja.example/a_b?c=1&d=2" in shown
        quoted = re.search(r"(?m)^(?:>|&gt;).*", told)
        assert quoted is not None
        assert "://" not in quoted[0]


def test_telegram_gets_sound_html(room: Room) -> None:
    """It refuses a message with a stray ``<``: the alert would never arrive."""
    for text in HOSTILE.values():
        clean = privacy.clean(text)[:500]
        body = f"> {clean}\n1 < 2 & 3 > 2"
        send_chat(SERVICES["telegram"], "Alerta", body, private_network=True)
        told = json.loads(room.got[-1])
        assert told["parse_mode"] == "HTML"
        assert not re.search(r"<(?!/?b>)|&(?!(?:amp|lt|gt|quot|#\d+|nbsp|emsp);)", told["text"])


def test_the_digest_reaches_a_chat_whole(
    say: Say, room: Room, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALA", f"json://127.0.0.1:{room.server_port}/")
    assert say("digest", "--week", "2026-W40", "--reader", "chat/sala", *NOW)[0] == 0
    assert outbox.counts(db) == {"waiting": 1}
    code, out, err = say("deliver", "--json", *NOW)
    assert (code, err, json.loads(out)["sent"]) == (0, "", 1)
    told = "\n".join(words_in(json.loads(room.got[0])))
    assert not LIVE.search(told)
    assert not UNSAFE.search(told)
    assert "Entrega" in told


def test_a_word_without_end_breaks_neither_digest_nor_terminal(
    say: Say, folder: Path, database_url: str
) -> None:
    write(folder / "longos.jsonl", {"inteiro": LONGEST_WORD[:-6], "demais": MEGABYTE})
    rows = [json.loads(line) for line in (folder / "longos.jsonl").read_text().splitlines()]
    for each in rows:
        each["title"] = ""
    (folder / "longos.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="ascii")
    code, out, _ = say("import", "longos.jsonl", "--source", "longos", *NOW)
    assert code == 0
    assert "longer than 100000 char" in out
    aside = (folder / "longos.rejected.csv").read_text(encoding="utf-8-sig")
    assert MEGABYTE in aside
    db = open_database(database_url)
    judge(db)
    for verb in (["search"], ["show", "1"], ["review"]):
        code, out, _ = say(*verb)
        assert code == 0
    assert max(len(line) for line in say("search")[1].splitlines()) < 300
    assert say("digest", "--week", "2026-W40", *NOW)[0] == 0
    with db.read() as connection:
        found = connection.execute(select(t.message.c.channel, t.message.c.body)).all()
    db.close()
    (body,) = [each.body for each in found if each.channel == "mail"]
    html = parsed(body).get_body(("html",))
    assert html is not None
    assert len(html.get_content().encode()) < 100_000
    assert "aaaaaaaaaa" in html.get_content()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_is_set_aside_is_no_formula_and_no_trap(say: Say, folder: Path, form: str) -> None:
    """Bad rows go back to the operator as they came, in a file that a spreadsheet only shows."""
    bad = [{"id": str(n), "stars": "9", "text": text} for n, text in enumerate(HOSTILE.values())]
    good = {"id": "bom", "stars": "1", "text": "bom"}
    path = folder / f"mau.{form}"
    if form == "csv":
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.DictWriter(file, ["id", "stars", "text"])
            writer.writeheader()
            writer.writerows([*bad, good])
    else:
        path.write_text("\n".join(map(json.dumps, [*bad, good])), encoding="ascii")
    code, out, err = say("import", path.name, "--source", "mau", "--json", *NOW)
    assert (code, json.loads(out)["rejected"]) == (0, len(HOSTILE)), out + err
    with (folder / "mau.rejected.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(HOSTILE)
    for each in table:
        assert not re.match(r"[\s\ufeff\u200b\0]*[=+@＝＋＠|%-]|[\t\r\n]", each["text"]), each


def test_hostile_ids_are_one_row_or_set_aside(say: Say, folder: Path, database_url: str) -> None:
    """Ids that differ only in what the door takes away are one."""
    ids = ["a", "a\u200b", "\ufeffa", "cafe\u0301", "café", "x\ud800", "x", *HOSTILE.values()]
    rows = [{"id": each, "text": f"texto {n}", "stars": 2} for n, each in enumerate(ids)]
    (folder / "ids.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="ascii")
    told = [
        json.loads(say("import", "ids.jsonl", "--source", "ids", "--json", *NOW)[1])
        for _ in range(2)
    ]
    assert {each["outcome"] for each in told} == {"complete"}
    assert told[0]["new"] > 40
    assert (told[1]["new"], told[1]["changed"]) == (0, 0)
    db = open_database(database_url)
    with db.read() as connection:
        assert (
            connection.execute(select(func.count()).select_from(t.feedback)).scalar_one()
            == (told[0]["new"])
        )
        stored = connection.execute(select(t.feedback.c.external_id)).scalars().all()
    db.close()
    assert {"a", "café", "x"} <= set(stored)
    assert not any(UNSAFE.search(each) for each in stored)


def test_columns_and_files_may_be_called_anything(
    say: Say, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Names of columns and files stand in messages, in the run's row and in the log."""
    caplog.set_level(logging.DEBUG)
    columns = [text.strip()[:200] for text in HOSTILE.values() if text.strip()]
    record = {"texto": "bom", "nota": "1"} | dict.fromkeys(columns, "valor")
    name = "mau\x1b[31m\n\u202enome=1.jsonl"
    (folder / name).write_text(json.dumps(record) + '\n{"texto": "x", "nota": "9"}\n')
    broken = os.fsdecode(b"nem\xff\x1b\ntexto.jsonl")
    (folder / broken).write_text("")
    code, out, err = say("import", broken, "--source", "nomes", *NOW)
    assert (code, UNSAFE.search(out + err)) == (1, None)
    assert len(err.splitlines()) == 1
    code, out, err = say("import", name, "--source", "nomes", *NOW)
    assert (code, UNSAFE.search(out + err)) == (0, None)
    code, out, err = say("import", name, "--source", "nomes", "--map", "text=nada", *NOW)
    assert code == 1
    assert not UNSAFE.search(out + err)
    assert len(err.splitlines()) == 1
    for verb in (["sources"], ["sources", "--json"], ["search", "--json"], ["export", "--json"]):
        code, out, err = say(*verb)
        assert (code, UNSAFE.search(out + err)) == (0, None)
    ours = [each for each in caplog.records if each.name.startswith("ouvidor")]
    assert ours
    assert not any("\n" in each.getMessage() for each in ours)
    code, _, err = say("import", f"{name}.nein", "--source", "nomes")
    assert (code, UNSAFE.search(err)) == (2, None)


@pytest.mark.parametrize("form", ["utf-8", "utf-16"])
def test_a_csv_brings_no_other_trouble(say: Say, folder: Path, form: str) -> None:
    texts = {key: text.encode("utf-8", "replace").decode() for key, text in HOSTILE.items()}
    with (folder / "textos.csv").open("w", encoding=form, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "texto", "nota", "data", "outro"])
        for number, (key, text) in enumerate(texts.items()):
            writer.writerow([key, text, 1, f"2026-09-{1 + number % 28:02}", text])
    code, out, err = say("import", "textos.csv", "--source", "csv", "--json", *NOW)
    assert (code, json.loads(out)["new"]) == (0, len(texts)), out + err
    told = {each["external_id"]: each["text"] for each in lines(say("export", "--json")[1])}
    for key, text in texts.items():
        assert told[key] == privacy.mask(text.strip(), KEY), key


def test_a_command_line_is_hostile_too(say: Say) -> None:
    for text in HOSTILE.values():
        word = text.replace("\0", "").encode("utf-8", "replace").decode()[:2000]
        for verb in (["search", "--", word], ["search", f"--source={word}"], ["show", word]):
            code, out, err = say(*verb)
            assert code in {0, 1, 2}
            assert not UNSAFE.search(out + err)
            assert "should not have happened" not in err


@pytest.mark.slow
def test_the_real_tagger_reads_them_all(
    say: Say, folder: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder / "textos.jsonl", HOSTILE | {"inteiro": LONGEST_WORD[:20_000]})
    assert say("import", "textos.jsonl", "--source", "textos", *NOW)[0] == 0
    tagger = House().tagger
    db = open_database(database_url)
    waiting: Sequence[Untagged] = annotations.claim(
        db, limit=500, now=AT, worker="h:1:x", lease=timedelta(hours=1)
    )
    judged = list(zip(waiting, tagger.tag(waiting), strict=True))
    annotations.save(db, judged, now=AT)
    db.close()
    assert len(judged) == len(HOSTILE) + 1
    for untagged, found in judged:
        assert 0.99 < found.p.negative + found.p.neutral + found.p.positive < 1.01
        for aspect in found.aspects:
            assert aspect.span is None or aspect.span[1] <= len(untagged.title + untagged.text) + 1
    assert not any("\n" in each.getMessage() for each in caplog.records)
    code, out, _ = say("search", "--limit", "500", "--json")
    assert (code, len(lines(out))) == (0, len(HOSTILE) + 1)
