"""Apple's feed in every shape it has been seen in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ouvidor.collectors.collector import Answer, Ask, Page, Place, Trouble, settings_for
from ouvidor.collectors.sources.app_store import AppStore
from ouvidor.config import ConfigError, Source
from ouvidor.storage.vocabulary import Outcome

PLACE = Place(name="app", zone=ZoneInfo("America/Sao_Paulo"), folder=Path())


def collector(**options: object) -> AppStore:
    table = {"app": "900000001", "country": "br"} | options
    settings = settings_for("app", Source(kind="app_store", options=table))
    return AppStore(settings, PLACE)  # type: ignore[arg-type]


def label(text: str) -> dict[str, str]:
    return {"label": text}


def entry(**changes: Any) -> dict[str, Any]:
    plain = {
        "author": {
            "uri": label("https://itunes.apple.com/br/reviews/id1"),
            "name": label("Zuleide"),
        },
        "updated": label("2026-09-14T04:24:23-07:00"),
        "im:rating": label("4"),
        "im:version": label("5.2.0"),
        "id": label("1001"),
        "title": label("Bom"),
        "content": {"label": "Gostei.", "attributes": {"type": "text"}},
        "link": {
            "attributes": {"rel": "related", "href": "https://itunes.apple.com/br/review?id=9"}
        },
        "im:voteSum": label("-3"),
        "im:voteCount": label("5"),
    }
    return {name: value for name, value in (plain | changes).items() if value is not None}


def feed(entries: object, last: int | None = 1) -> bytes:
    href = (
        f"https://itunes.apple.com/br/rss/customerreviews/page={last}/id=9/sortby=mostrecent/xml?x"
    )
    links = [{"attributes": {"rel": "next", "href": "https://elsewhere.example/page=2/xml"}}]
    links += [{"attributes": {"rel": "last", "href": href}}] if last else []
    body: dict[str, Any] = {"title": label("Avaliações"), "link": links}
    if entries is not None:
        body["entry"] = entries
    return json.dumps({"feed": body}).encode()


def read(
    body: bytes, *, page: int = 1, mark: Mapping[str, Any] | None = None, **options: object
) -> Page:
    reader = collector(**options)
    ask = reader.first({})
    ask = replace(ask, step={**ask.step, "page": page})
    (found,) = reader.parse(ask, Answer(url=ask.url, body=body), mark or {})
    return found


def test_one_review_as_it_is() -> None:
    (item,) = read(feed([entry()])).items
    moment = datetime(2026, 9, 14, 11, 24, 23, tzinfo=UTC)
    assert (item.external_id, item.title, item.text, item.stars) == ("1001", "Bom", "Gostei.", 4)
    assert (item.published_at, item.edited_at, item.language) == (moment, moment, None)
    assert (item.author, item.url) == ("Zuleide", "https://itunes.apple.com/br/review?id=9")
    assert item.attributes == {
        "country": "BR",
        "version": "5.2.0",
        "votes": "-3",
        "vote_count": "5",
    }
    assert "Zuleide" not in item.raw
    assert "reviews/id1" not in item.raw


@pytest.mark.parametrize("shape", [entry(), [entry()]])
def test_a_single_entry_may_be_no_list(shape: object) -> None:
    assert len(read(feed(shape)).items) == 1


def test_the_app_itself_may_come_first() -> None:
    app = {"im:name": label("Loja"), "im:price": label("Grátis"), "id": label("9")}
    page = read(feed([app, entry()]))
    assert ([item.external_id for item in page.items], page.rejected) == (["1001"], [])


def test_old_json_has_no_dates() -> None:
    (item,) = read(feed([entry(updated=None)])).items
    assert (item.published_at, item.edited_at) == (None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"updated": label("20225-09-14T04:24:23-07:00")}, "`updated` is no time"),
        ({"updated": label("2026-09-14T04:24:23")}, "`updated` has no offset"),
        ({"im:rating": label("9")}, "no rating from 1 to 5"),
        ({"im:rating": None}, "no rating from 1 to 5"),
        ({"content": None}, "no text"),
    ],
)
def test_a_bad_entry_is_set_aside_with_its_reason(change: dict[str, Any], reason: str) -> None:
    page = read(feed([entry(**change), entry(id=label("1002"))]))
    assert [item.external_id for item in page.items] == ["1002"]
    (rejected,) = page.rejected
    assert rejected.where == "page 1, entry 1"
    assert reason in rejected.reason


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("preço &amp; prazo", "preço & prazo"),
        ("&gt;&lt; &#39;ok&#39; &#x1F600;", ">< 'ok' 😀"),
        ("eu&para ela, R&D, AT&T", "eu&para ela, R&D, AT&T"),
        ("linha\n\noutra 😡 «ç»", "linha\n\noutra 😡 «ç»"),
    ],
)
def test_entities_that_were_left_in_are_decoded(written: str, read_as: str) -> None:
    content = {"label": written, "attributes": {"type": "text"}}
    (item,) = read(feed([entry(content=content)])).items
    assert item.text == read_as


def test_unknown_fields_are_counted() -> None:
    page = read(feed([entry(**{"im:new": label("1")}), entry(id=label("2"))]))
    assert page.unknown == {"im:new": 1}


def test_pages_are_addressed_here_and_never_by_the_feed() -> None:
    page = read(feed([entry()], last=3))
    assert page.next is not None
    assert page.next.url == (
        "https://itunes.apple.com/br/rss/customerreviews/page=2/id=900000001/sortby=mostrecent/json"
    )
    assert read(feed([entry()], last=3), page=3).next is None


def test_without_a_last_link_a_page_that_is_not_full_ends_the_feed() -> None:
    full = [entry(id=label(str(n))) for n in range(50)]
    assert read(feed(full, last=None)).next is not None
    assert read(feed(full[:49], last=None)).next is None


def test_the_cap_is_the_tenth_full_page() -> None:
    full = [entry(id=label(str(n))) for n in range(50)]
    assert read(feed(full, last=10), page=10).capped
    assert not read(feed(full[:49], last=10), page=10).capped
    assert read(feed([entry()], last=3), page=2, max_pages=2).capped
    assert not read(feed([entry()], last=2), page=2, max_pages=2).capped


def walk(bodies: Mapping[str, bytes], mark: Mapping[str, Any] | None = None) -> list[Page]:
    """The pages a run would see, by what each address answers with."""
    reader = collector()
    ask: Ask | None = reader.first({})
    pages: list[Page] = []
    while ask is not None:
        body = next(body for part, body in bodies.items() if part in ask.url)
        pages += reader.parse(ask, Answer(url=ask.url, body=body), mark or {})
        ask = pages[-1].next
    return pages


def lookup(count: int, ratings: int = 0) -> bytes:
    results = [{"trackName": "Loja", "userRatingCount": ratings}] * count
    return json.dumps({"resultCount": count, "results": results}).encode()


def test_an_empty_feed_is_asked_for_in_its_other_form() -> None:
    pages = walk({"sortby=mostrecent": feed(None), "sortBy=mostRecent": feed([entry()])})
    assert [len(page.items) for page in pages] == [0, 1]


def test_an_empty_feed_of_an_app_without_ratings_is_the_truth() -> None:
    *_, last = walk({"customerreviews": feed(None), "lookup": lookup(1)})
    assert last.empty


@pytest.mark.parametrize(
    ("answer", "mark", "outcome", "sentence"),
    [
        (lookup(0), {}, Outcome.MISCONFIGURED, "knows no app 900000001 in the store of BR"),
        (lookup(1, 5000), {}, Outcome.SUSPECT, "counts 5000 ratings"),
        (b"<html>", {}, Outcome.SUSPECT, "does not say whether the app exists"),
        (lookup(1), {"reviews": 120}, Outcome.SUSPECT, "120 reviews before and none now"),
    ],
)
def test_an_empty_feed_is_not_believed(
    answer: bytes, mark: Mapping[str, Any], outcome: Outcome, sentence: str
) -> None:
    with pytest.raises(Trouble, match=sentence) as trouble:
        walk({"customerreviews": feed(None), "lookup": answer}, mark)
    assert trouble.value.outcome is outcome


def test_a_hole_in_the_middle_is_suspect() -> None:
    with pytest.raises(Trouble, match="Page 2 of 3 came without a review"):
        walk({"page=1/": feed([entry()], last=3), "page=2": feed(None, last=3)})


def test_the_end_without_a_last_link_may_be_an_empty_page() -> None:
    full = [entry(id=label(str(n))) for n in range(50)]
    pages = walk({"page=1/": feed(full, last=None), "page=2": feed(None, last=None)})
    assert [len(page.items) for page in pages] == [50, 0]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"feed": {"title": {"label": "x"}, "reviews": [{}]}}', Outcome.LAYOUT_CHANGED),
        (b'{"reviews": []}', Outcome.LAYOUT_CHANGED),
        (b'{"feed": []}', Outcome.LAYOUT_CHANGED),
        (b'{"feed": {"entry": ["x"]}}', Outcome.LAYOUT_CHANGED),
        (b"plain words", Outcome.LAYOUT_CHANGED),
        (b"\xff\xfe\x00", Outcome.LAYOUT_CHANGED),
        (b"[" * 100_000, Outcome.LAYOUT_CHANGED),
        (b'{"errors": [{"title": "quota"}]}', Outcome.UNAVAILABLE),
        (b'{"feed": {"entry": [', Outcome.UNAVAILABLE),
        (b"<feed><entry>", Outcome.UNAVAILABLE),
        (b"<rss></rss>", Outcome.LAYOUT_CHANGED),
        (b"<error>quota</error>", Outcome.UNAVAILABLE),
        (
            b'<!DOCTYPE f [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><feed>&b;</feed>',
            Outcome.LAYOUT_CHANGED,
        ),
    ],
)
def test_what_is_no_feed_has_an_outcome(body: bytes, outcome: Outcome) -> None:
    with pytest.raises(Trouble) as trouble:
        read(body)
    assert trouble.value.outcome is outcome
    assert trouble.value.sentence.endswith(".")


def test_xml_with_two_contents_and_a_stray_control_character() -> None:
    body = """<?xml version="1.0" encoding="utf-8"?>
    <feed xmlns:im="http://itunes.apple.com/rss" xmlns="http://www.w3.org/2005/Atom" xml:lang="pt">
    <title>x</title><entry><updated>2026-09-14T04:24:23-07:00</updated><id>7</id><title>T</title>
    <content type="html">&lt;b&gt;tabela&lt;/b&gt;</content>
    <content type="text">bom \x08 &amp;gt; ótimo</content><im:rating>5</im:rating>
    <author><name>Ana &amp; Zé</name><uri>https://x/id5</uri></author></entry></feed>"""
    (item,) = read(body.encode(), format="xml").items
    assert (item.text, item.stars, item.author) == ("bom  > ótimo", 5, "Ana & Zé")
    assert "Zé" not in item.raw
    assert "tabela" not in item.raw


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"app": "loja"}, r"sources\.app\.app: "),
        ({"country": "brasil"}, r"sources\.app\.country: 'brasil' is no country; .* like 'br'"),
        ({"country": "xx"}, "'xx' is no country"),
        ({"country": "eu"}, "'eu' is no country"),
        ({"format": "csv"}, r"sources\.app\.format"),
        ({"max_pages": 11}, r"sources\.app\.max_pages"),
        ({"contry": "br"}, "the key 'contry' is unknown; did you mean 'country'"),
        ({"base_url": "itunes"}, r"sources\.app\.base_url: 'itunes' is no web address"),
    ],
)
def test_each_wrong_option_has_its_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        collector(**options)


def test_a_missing_app_and_an_unknown_kind() -> None:
    with pytest.raises(ConfigError, match=r"sources\.app\.app: this key is missing"):
        settings_for("app", Source(kind="app_store", options={"country": "br"}))
    with pytest.raises(ConfigError, match=r"kind: 'appstore' .* did you mean 'app_store'"):
        settings_for("app", Source(kind="appstore"))


def recording(corpus: Path, style: str) -> Page:
    (path,) = (corpus / "recordings" / "apple_rss").glob(f"*.{style}")
    return read(path.read_bytes(), country="jp", format=style)


def test_real_recordings_of_one_page_agree(corpus: Path) -> None:
    json_page, xml_page = recording(corpus, "json"), recording(corpus, "xml")
    by_json = {item.external_id: item for item in json_page.items}
    by_xml = {item.external_id: item for item in xml_page.items}
    shared = by_json.keys() & by_xml.keys()
    assert (len(by_json), len(by_xml), len(shared)) == (50, 50, 39)
    for each in shared:
        one, other = by_json[each], by_xml[each]
        assert (one.title, one.text, one.stars) == (other.title, other.text, other.stars)
        versions = [found.attributes["version"] for found in (one, other)]
        assert (one.author, versions[0]) == (other.author, versions[1])
    assert all(item.published_at is None for item in by_json.values())
    times = [item.published_at for item in xml_page.items if item.published_at]
    assert len(times) == 50
    assert times == sorted(times, reverse=True)
    assert (json_page.rejected, xml_page.rejected) == ([], [])
    assert (json_page.unknown, xml_page.unknown) == ({}, {})
    assert json_page.checkpoint["pages"] == 8
