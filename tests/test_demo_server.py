from __future__ import annotations

import csv
import http.client
import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from defusedxml import ElementTree

from ouvidor.demo.apple import APP
from ouvidor.demo.feedback import ZONE, read_feedback
from ouvidor.demo.server import Fault, StandIn

END = datetime(2026, 10, 26, 12, tzinfo=UTC)
PIECES = read_feedback()
BR = [piece for piece in PIECES if piece.source == "app-br"]
ATOM = "{http://www.w3.org/2005/Atom}"
IM = "{http://itunes.apple.com/rss}"


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def feed(self) -> dict[str, Any]:
        feed: dict[str, Any] = json.loads(self.body)["feed"]
        return feed


def get(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> Got:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(method, parts.path, headers=headers or {})
        response = connection.getresponse()
        return Got(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def page(brand: StandIn, number: int = 1, country: str = "br", style: str = "json") -> Got:
    options = f"page={number}/id={APP}/sortby=mostrecent"
    return get(f"{brand.url}/{country}/rss/customerreviews/{options}/{style}")


@pytest.fixture
def brand() -> Iterator[StandIn]:
    with StandIn(END) as standin:
        yield standin


def test_the_feed_wraps_every_scalar_as_apple_does(brand: StandIn) -> None:
    feed = page(brand).feed
    entry = feed["entry"][0]
    assert set(feed) >= {"author", "entry", "updated", "rights", "title", "icon", "link", "id"}
    labels = ("id", "title", "content", "updated", "im:rating", "im:version", "im:voteSum")
    assert all(isinstance(entry[name]["label"], str) for name in (*labels, "im:voteCount"))
    assert entry["content"]["attributes"] == {"type": "text"}
    assert entry["author"]["uri"]["label"].rpartition("id")[2].isdecimal()
    assert entry["im:contentType"]["attributes"]["term"] == "Application"
    assert entry["link"]["attributes"]["rel"] == "related"


def test_pages_hold_fifty_and_together_everything_newest_first(brand: StandIn) -> None:
    pages = [page(brand, number).feed.get("entry", []) for number in range(1, 7)]
    assert [len(entries) for entries in pages] == [50, 50, 50, 50, 10, 0]
    entries = [entry for entries in pages for entry in entries]
    assert {entry["id"]["label"] for entry in entries} == {piece.id for piece in BR}
    times = [datetime.fromisoformat(entry["updated"]["label"]) for entry in entries]
    assert times == sorted(times, reverse=True)
    assert {entry["updated"]["label"][-6:] for entry in entries} == {"-07:00"}


def test_both_ways_of_writing_the_address_answer(brand: StandIn) -> None:
    other = f"{brand.url}/br/rss/customerreviews/id={APP}/sortBy=mostRecent/page=2/json"
    assert get(other).feed["entry"] == page(brand, 2).feed["entry"]
    bare = f"{brand.url}/br/rss/customerreviews/id={APP}/json"
    assert get(bare).feed["entry"] == page(brand, 1).feed["entry"]


def test_the_most_helpful_come_first_when_asked_for(brand: StandIn) -> None:
    url = f"{brand.url}/br/rss/customerreviews/page=1/id={APP}/sortby=mosthelpful/json"
    votes = [int(entry["im:voteSum"]["label"]) for entry in get(url).feed["entry"]]
    assert votes == sorted(votes, reverse=True)
    assert votes[0] > 0


def test_the_links_of_the_json_feed_lead_to_xml(brand: StandIn) -> None:
    links = {each["attributes"]["rel"]: each["attributes"] for each in page(brand, 2).feed["link"]}
    assert "/page=3/" in links["next"]["href"]
    assert "/page=1/" in links["previous"]["href"]
    assert "/page=5/" in links["last"]["href"]
    turns = [links[rel]["href"] for rel in ("first", "last", "previous", "next")]
    assert all("/xml?urlDesc=" in href and href.endswith("/json") for href in turns)
    assert get(links["next"]["href"]).headers["Content-Type"].startswith("application/xml")


def test_the_xml_feed_says_the_same(brand: StandIn) -> None:
    root = ElementTree.fromstring(page(brand, style="xml").body)
    entries = page(brand).feed["entry"]
    found = root.findall(f"{ATOM}entry")
    assert len(found) == 50
    for element, entry in zip(found, entries, strict=True):
        plain, html = element.findall(f"{ATOM}content")
        assert (plain.get("type"), html.get("type")) == ("text", "html")
        assert plain.text == entry["content"]["label"]
        assert html.text.startswith("<table")
        for name in ("updated", "id", "title"):
            assert element.findtext(f"{ATOM}{name}") == entry[name]["label"]
        for name in ("rating", "version", "voteSum", "voteCount"):
            assert element.findtext(f"{IM}{name}") == entry[f"im:{name}"]["label"]
        assert element.findtext(f"{ATOM}author/{ATOM}name") == entry["author"]["name"]["label"]


def test_hostile_letters_survive_both_formats() -> None:
    text, title = 'a < b & "c" <script>alert(1)</script> ]]>\n=1+1', "<b>&amp;</b>"
    odd = replace(BR[0], text=text, title=title, author="O'Neil & <Cia>")
    with StandIn(END, feedback=[odd]) as brand:
        entry = page(brand).feed["entry"]
        element = ElementTree.fromstring(page(brand, style="xml").body).find(f"{ATOM}entry")
    assert (entry["content"]["label"], entry["title"]["label"]) == (text, title)
    assert element.findtext(f"{ATOM}content") == text
    assert element.findtext(f"{ATOM}title") == title
    assert element.findtext(f"{ATOM}author/{ATOM}name") == "O'Neil & <Cia>"


def test_a_single_review_is_an_object_and_none_is_no_key() -> None:
    with StandIn(END, feedback=BR[:1]) as brand:
        assert page(brand).feed["entry"]["id"]["label"] == BR[0].id
        brand.now = BR[0].at - timedelta(seconds=1)
        assert "entry" not in page(brand).feed


def test_an_unknown_app_or_storefront_is_an_empty_feed(brand: StandIn) -> None:
    other = f"{brand.url}/br/rss/customerreviews/page=1/id=1/sortby=mostrecent/json"
    assert get(other).status == 200
    assert "entry" not in get(other).feed
    assert "entry" not in page(brand, country="jp").feed


def test_storefronts_are_apart(brand: StandIn) -> None:
    ids = {entry["id"]["label"] for entry in page(brand, country="us").feed["entry"]}
    assert ids <= {piece.id for piece in PIECES if piece.source == "app-us"}
    assert len(ids) == 50


@pytest.mark.parametrize("number", [11, 0])
def test_beyond_the_tenth_page_is_a_bad_request(brand: StandIn, number: int) -> None:
    assert page(brand, number).status == 400
    assert page(brand, 10).status == 200


def test_no_more_than_five_hundred_are_shown() -> None:
    many = [replace(BR[0], id=str(number)) for number in range(620)]
    with StandIn(END, feedback=many) as brand:
        sizes = [len(page(brand, number).feed["entry"]) for number in range(1, 11)]
        links = {each["attributes"]["rel"]: each["attributes"] for each in page(brand).feed["link"]}
    assert sum(sizes) == 500
    assert "/page=10/" in links["last"]["href"]


def test_time_moves_when_asked(brand: StandIn) -> None:
    brand.now = datetime(2026, 7, 20, 12, tzinfo=UTC)
    early = {entry["id"]["label"] for entry in page(brand).feed["entry"]}
    assert early == {piece.id for piece in BR if piece.at <= brand.now}
    brand.now += timedelta(days=7)
    later = {entry["id"]["label"] for entry in page(brand).feed["entry"]}
    assert early < later


def test_an_edited_old_review_jumps_to_the_top_with_its_old_id(brand: StandIn) -> None:
    (piece,) = [piece for piece in BR if piece.edits]
    (edit,) = piece.edits
    brand.now = edit.at - timedelta(seconds=1)
    before = page(brand).feed["entry"]
    brand.now = edit.at
    after = page(brand).feed["entry"]
    old = next(entry for entry in before if entry["id"]["label"] == piece.id)
    assert (old["im:rating"]["label"], old["content"]["label"]) == ("1", piece.text)
    assert before[0]["id"]["label"] != piece.id
    assert after[0]["id"]["label"] == piece.id
    assert (after[0]["im:rating"]["label"], after[0]["content"]["label"]) == ("4", edit.text)
    assert int(after[0]["id"]["label"]) < int(after[1]["id"]["label"])


def test_the_survey_is_a_brazilian_spreadsheet(brand: StandIn) -> None:
    got = get(f"{brand.url}/files/pesquisa.csv")
    assert got.body.startswith(b"\xef\xbb\xbf")
    rows = list(
        csv.DictReader(io.StringIO(got.body.decode("utf-8-sig"), newline=""), delimiter=";")
    )
    expected = [piece for piece in PIECES if piece.source == "pesquisa"]
    assert list(rows[0]) == ["id_resposta", "data", "nota", "comentario", "idioma", "loja", "autor"]
    assert [row["comentario"] for row in rows] == [piece.text for piece in expected]
    times = [datetime.strptime(row["data"], "%d/%m/%Y %H:%M").replace(tzinfo=ZONE) for row in rows]
    assert times == [piece.at for piece in expected]
    assert any(";" in row["comentario"] for row in rows)
    assert any("\n" in row["comentario"] for row in rows)
    assert {row["loja"] for row in rows} == {"Online", "Recife", "Curitiba"}


def test_the_stores_are_tab_separated(brand: StandIn) -> None:
    text = get(f"{brand.url}/files/lojas.tsv").body.decode()
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t"))
    expected = [piece for piece in PIECES if piece.source == "lojas"]
    assert [(row["id"], int(row["estrelas"]), row["comentario"]) for row in rows] == [
        (piece.id, piece.stars, piece.text) for piece in expected
    ]
    assert [datetime.fromisoformat(row["data"]) for row in rows] == [each.at for each in expected]
    assert {row["loja"] for row in rows} == {"Recife", "Curitiba"}


def test_complaints_get_their_reply_when_it_was_written(brand: StandIn) -> None:
    piece = next(each for each in PIECES if each.reply and each.incident)
    assert piece.reply
    url = f"{brand.url}/files/reclamacoes.jsonl"

    def complaint() -> dict[str, Any]:
        rows = [json.loads(line) for line in get(url).body.splitlines()]
        found: dict[str, Any] = next(row for row in rows if row["id"] == piece.id)
        return found

    brand.now = piece.reply.at - timedelta(seconds=1)
    waiting = complaint()
    brand.now = piece.reply.at
    answered = complaint()
    assert (waiting["status"], waiting["resposta"]) == ("Não respondida", None)
    assert (answered["status"], answered["resposta"]["texto"]) == ("Respondida", piece.reply.text)
    assert answered["texto"] == piece.text
    assert "estrelas" not in answered


@pytest.mark.parametrize("name", ["pesquisa.csv", "lojas.tsv", "reclamacoes.jsonl"])
def test_a_file_before_its_first_row_is_only_a_head(brand: StandIn, name: str) -> None:
    brand.now = datetime(2026, 7, 1, tzinfo=UTC)
    got = get(f"{brand.url}/files/{name}")
    assert got.status == 200
    assert len(got.body.splitlines()) == (0 if name.endswith("jsonl") else 1)


@pytest.mark.parametrize(
    "path", ["/files/pesquisa.csv", f"/br/rss/customerreviews/page=1/id={APP}/json"]
)
def test_what_did_not_change_is_not_sent_again(brand: StandIn, path: str) -> None:
    first = get(brand.url + path)
    again = get(brand.url + path, {"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert brand.answers[path, 304] == 1
    brand.now = datetime(2026, 10, 20, 12, tzinfo=UTC)
    changed = get(brand.url + path, {"If-None-Match": first.headers["ETag"]})
    assert changed.status == 200
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_a_files_date_is_its_last_change(brand: StandIn) -> None:
    url = f"{brand.url}/files/lojas.tsv"
    first = get(url)
    stamp = first.headers["Last-Modified"]
    last = max(piece.at for piece in PIECES if piece.source == "lojas")
    assert parsedate_to_datetime(stamp) == last.replace(microsecond=0)
    assert get(url, {"If-Modified-Since": stamp}).status == 304
    assert get(url, {"If-Modified-Since": "Mon, 06 Jul 2026 00:00:00 GMT"}).status == 200


def test_manners(brand: StandIn) -> None:
    assert get(f"{brand.url}/robots.txt").body.startswith(b"User-agent: *\n")
    assert get(f"{brand.url}/nothing/here").status == 404
    assert get(f"{brand.url}/robots.txt", method="POST").status == 501


def test_requests_are_counted(brand: StandIn) -> None:
    page(brand)
    page(brand)
    page(brand, 11)
    path = f"/br/rss/customerreviews/page=1/id={APP}/sortby=mostrecent/json"
    assert brand.requests[path] == brand.answers[path, 200] == 2
    assert sum(brand.requests.values()) == 3
    assert sum(times for (_, status), times in brand.answers.items() if status == 400) == 1


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_fault_answers_with_its_status_and_headers(brand: StandIn, status: int) -> None:
    brand.faults["/br/"] = Fault(status=status, headers={"Retry-After": "120"})
    got = page(brand)
    assert (got.status, got.headers["Retry-After"]) == (status, "120")
    assert "feed" not in got.body.decode()
    assert page(brand, country="mx").status == 200


def test_a_fault_passes_after_its_times(brand: StandIn) -> None:
    brand.faults["/files/"] = Fault(status=503, times=2)
    url = f"{brand.url}/files/lojas.tsv"
    assert [get(url).status for _ in range(3)] == [503, 503, 200]
    assert brand.faults == {}


def test_the_longest_prefix_wins(brand: StandIn) -> None:
    brand.faults = {"/": Fault(status=500), "/files/lojas": Fault(status=403)}
    assert get(f"{brand.url}/files/lojas.tsv").status == 403
    assert get(f"{brand.url}/files/pesquisa.csv").status == 500


def test_a_wall_or_an_error_may_hide_inside_a_200(brand: StandIn) -> None:
    wall = b"<html><title>Just a moment...</title></html>"
    brand.faults["/mx/"] = Fault(body=wall, headers={"Content-Type": "text/html"})
    got = page(brand, country="mx")
    assert (got.status, got.body, got.headers["Content-Type"]) == (200, wall, "text/html")


def test_a_body_may_break_off(brand: StandIn) -> None:
    brand.faults["/br/"] = Fault(truncate=700)
    with pytest.raises(http.client.IncompleteRead) as caught:
        page(brand)
    assert len(caught.value.partial) == 700


def test_a_slow_answer_is_the_real_one(brand: StandIn) -> None:
    brand.faults["/br/"] = Fault(delay=0.05, times=1)
    assert len(page(brand).feed["entry"]) == 50


def test_a_hang_ends_when_the_stand_in_closes() -> None:
    with StandIn(END) as brand:
        brand.faults["/"] = Fault(delay=3600)
        parts = urlsplit(brand.url)
        hanging = socket.create_connection((parts.hostname, parts.port), timeout=20)
        hanging.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        arrived = threading.Event()
        while not brand.requests["/robots.txt"]:
            arrived.wait(0.01)
    with hanging:
        assert hanging.recv(100) == b""
    assert brand.answers == {}


@pytest.mark.slow
def test_it_can_be_run_by_hand() -> None:
    command = [sys.executable, "-m", "ouvidor.demo.server", "--now", "2026-10-11T12:00:00-03:00"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        got = get(f"{url}/files/lojas.tsv")
        process.terminate()
    shown = [piece for piece in PIECES if piece.source == "lojas"]
    expected = sum(piece.at <= datetime(2026, 10, 11, 15, tzinfo=UTC) for piece in shown)
    assert len(got.body.splitlines()) == expected + 1
