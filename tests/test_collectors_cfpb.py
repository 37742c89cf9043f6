"""The CFPB's complaints: their shapes, what is refused, and the stand-in's idea of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_house import ZONE, House
from sqlalchemy import select

from ouvidor.collectors.collector import Answer, Ask, Page, Place, Trouble, settings_for
from ouvidor.collectors.run import run_source
from ouvidor.collectors.sources.cfpb import Cfpb
from ouvidor.config import ConfigError, Source
from ouvidor.demo.cfpb import BASE, COMPANY
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Kind, Outcome

PLACE = Place(name="cfpb", zone=ZONE, folder=Path())
END = datetime(2026, 10, 25, 15, tzinfo=UTC)
SILENT = (
    "Company has responded to the consumer and the CFPB and chooses not to provide a public "
    "response"
)


def source(**options: object) -> Source:
    table: dict[str, object] = {"company": COMPANY, "delay": 0, "retries": 0}
    table = {name: value for name, value in (table | options).items() if value is not None}
    return Source(kind="cfpb", options=table)


def collector(**options: object) -> Cfpb:
    return Cfpb(settings_for("cfpb", source(**options)), PLACE)  # type: ignore[arg-type]


def complaint(number: int = 1, **changes: Any) -> dict[str, Any]:
    plain = {
        "complaint_id": str(22_500_000 + number),
        "date_received": "2026-07-07T12:00:00-05:00",
        "date_sent_to_company": "2026-07-08T12:00:00-05:00",
        "product": "Credit card",
        "sub_product": "Store credit card",
        "issue": "Fees or interest",
        "sub_issue": None,
        "company": COMPANY,
        "company_response": "In progress",
        "company_public_response": None,
        "complaint_what_happened": "They charged me {$35.00} on XX/XX/2026.",
        "state": "OH",
        "zip_code": "432XX",
        "tags": None,
        "submitted_via": "Web",
        "timely": "Yes",
    }
    told = {name: value for name, value in (plain | changes).items() if value is not ...}
    return {"_id": str(number), "_source": told, "sort": [1_783_443_600_000 + number, str(number)]}


def listed(*hits: object, total: object = None, **more: Any) -> bytes:
    value = len(hits) if total is None else total
    found = {"total": {"value": value, "relation": "eq"}, "hits": hits}
    return json.dumps({"took": 1, "timed_out": False, "hits": found} | more).encode()


def read(body: bytes, *, mark: Mapping[str, Any] | None = None, **options: object) -> Page:
    reader = collector(**options)
    ask = reader.first(mark or {})
    (page,) = reader.parse(ask, Answer(url=ask.url, body=body), mark or {})
    return page


def query(ask: Ask | None) -> dict[str, str]:
    assert ask is not None
    return {name: value[0] for name, value in parse_qs(urlsplit(ask.url).query).items()}


def test_one_complaint_as_it_is() -> None:
    (item,) = read(listed(complaint())).items
    assert (item.external_id, item.kind) == ("22500001", Kind.COMPLAINT)
    assert (item.text, item.title) == ("They charged me {$35.00} on XX/XX/2026.", "")
    assert (item.stars, item.rating, item.author, item.reply) == (None, None, None, None)
    assert item.category == "Credit card / Fees or interest"
    assert item.published_at == datetime(2026, 7, 7, 17, tzinfo=UTC)
    assert item.url is not None
    assert item.url.endswith("/search/detail/22500001")
    assert item.attributes == {
        "sub_product": "Store credit card",
        "status": "In progress",
        "timely": "Yes",
        "submitted_via": "Web",
        "state": "OH",
        "sent_on": "2026-07-08",
    }
    assert "432XX" not in item.raw
    assert not item.text_withheld


@pytest.mark.parametrize(
    "told",
    ["2026-07-07T12:00:00-05:00", "2026-07-07T12:00:00", "2026-07-07", "2026-07-07T00:00:00Z"],
)
def test_a_day_is_the_day_it_says(told: str) -> None:
    (item,) = read(listed(complaint(date_received=told))).items
    assert item.published_at == datetime(2026, 7, 7, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("public", "reply"),
    [
        (None, None),
        ("", None),
        (SILENT, None),
        ("Company disputes the facts", "Company disputes the facts"),
    ],
)
def test_a_public_response_is_the_reply(public: str | None, reply: str | None) -> None:
    (item,) = read(listed(complaint(company_public_response=public))).items
    assert (item.reply.text if item.reply else None) == reply


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (complaint(complaint_id=...), "it has no complaint id"),
        (complaint(complaint_id=True), "it has no complaint id"),
        (complaint(complaint_id="../1"), "it has no complaint id"),
        (complaint(date_received="July"), "`date_received` is no day: 'July'"),
        (complaint(date_received="2026-02-30"), "`date_received` is no day: '2026-02-30'"),
        (complaint(product=7), "`product` is no text"),
        ({"_source": []}, "`_source` is no object"),
        ("a complaint", "`complaint` is no object"),
    ],
)
def test_what_cannot_be_read_is_set_aside(bad: object, reason: str) -> None:
    page = read(listed(complaint(9), bad))
    assert len(page.items) == 1
    (told,) = page.rejected
    assert (told.where, told.reason) == ("page 1, complaint 2", reason)


def test_fields_nobody_knows_are_counted() -> None:
    page = read(listed(complaint(mood="calm"), more=1))
    assert page.unknown == {"mood": 1, "more": 1}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"took": 1}', Outcome.LAYOUT_CHANGED),
        (b'{"hits": {"hits": {}, "total": 1}}', Outcome.LAYOUT_CHANGED),
        (listed(complaint(), total="many"), Outcome.LAYOUT_CHANGED),
        (b"[]", Outcome.LAYOUT_CHANGED),
        (b"words", Outcome.LAYOUT_CHANGED),
        (b"[" * 100_000, Outcome.LAYOUT_CHANGED),
        (b'{"hits": {', Outcome.UNAVAILABLE),
        (b'{"error": {"type": "search_phase_execution_exception"}}', Outcome.UNAVAILABLE),
        (listed(complaint(), timed_out=True), Outcome.UNAVAILABLE),
        (listed(complaint(), _shards={"failed": 1}), Outcome.UNAVAILABLE),
        (listed(complaint(company="PELICAN BAY BANK, N.A.")), Outcome.LAYOUT_CHANGED),
        (listed(total=3), Outcome.UNAVAILABLE),
        (listed({"_source": complaint()["_source"]}, total=3), Outcome.LAYOUT_CHANGED),
        (listed(), Outcome.MISCONFIGURED),
    ],
)
def test_what_is_no_list_has_an_outcome(body: bytes, outcome: Outcome) -> None:
    with pytest.raises(Trouble) as trouble:
        read(body)
    assert trouble.value.outcome is outcome
    assert trouble.value.sentence.endswith(".")


def test_what_the_database_says_of_itself_is_noted() -> None:
    page = read(listed(complaint(), _meta={"is_data_stale": True, "has_data_issue": False}))
    assert page.notes == ["the CFPB says that its data is not up to date"]


def test_a_page_begins_behind_the_one_before() -> None:
    page = read(listed(complaint(1), complaint(2), total=9))
    told = query(page.next)
    assert told["search_after"] == "1783443600002_2"
    assert (told["frm"], told["size"], told["sort"]) == ("100", "100", "created_date_asc")
    assert page.checkpoint == {"seen": True, "after": "1783443600002_2", "shown": 2}


def test_a_list_that_goes_in_a_circle_is_found_out() -> None:
    reader = collector()
    body = listed(complaint(1), complaint(2), total=9)
    (page,) = reader.parse(reader.first({}), Answer(body=body), {})
    assert page.next is not None
    with pytest.raises(Trouble, match="goes in a circle: page 2"):
        list(reader.parse(page.next, Answer(body=body), {}))


@pytest.mark.parametrize(
    ("mark", "options", "since"),
    [
        ({}, {}, None),
        ({}, {"since": "2026-01-01"}, "2026-01-01"),
        ({"known": "2026-10-01"}, {}, "2026-07-03"),
        ({"known": "2026-10-01"}, {"window_days": 30}, "2026-09-01"),
        ({"known": "2026-10-01"}, {"since": "2026-08-01"}, "2026-08-01"),
        ({"known": "2026-10-01", "after": "5_6"}, {}, "2026-07-03"),
    ],
)
def test_a_window_is_read_once_more(
    mark: dict[str, Any], options: dict[str, Any], since: str | None
) -> None:
    assert query(collector(**options).first(mark)).get("date_received_min") == since


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"company": " "}, r"sources\.cfpb\.company: '' is no company; write its name as"),
        ({"company": "x" * 201}, "is no company"),
        ({"company": None}, r"sources\.cfpb\.company: this key is missing"),
        ({"since": "soon"}, r"sources\.cfpb\.since"),
        ({"window_days": 1}, r"sources\.cfpb\.window_days"),
    ],
)
def test_each_wrong_option_has_its_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        collector(**options)


@given(body=st.binary(max_size=300))
def test_any_bytes_are_values_or_trouble(body: bytes) -> None:
    _read_or_trouble(body)


GOOD = [
    listed(complaint(), complaint(2, company_public_response="No."), _meta={"license": "CC0"}),
    listed(complaint(), total=7),
    listed(),
]
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just([]) | st.just({})


@settings(deadline=None)
@given(good=st.sampled_from(GOOD), at=st.floats(0, 1), byte=st.binary(max_size=3))
def test_any_mutation_is_values_or_trouble(good: bytes, at: float, byte: bytes) -> None:
    place = int(at * len(good))
    _read_or_trouble(good[:place] + byte + good[place + 1 :])


@settings(deadline=None)
@given(good=st.sampled_from(GOOD), data=st.data(), value=VALUES)
def test_any_other_value_is_values_or_trouble(
    good: bytes, data: st.DataObject, value: object
) -> None:
    document = json.loads(good)
    spot: Any = document
    while isinstance(spot, dict | list) and spot:
        key = data.draw(st.sampled_from(list(spot) if isinstance(spot, dict) else range(len(spot))))
        if data.draw(st.booleans()):
            spot[key] = value
            break
        spot = spot[key]
    _read_or_trouble(json.dumps(document).encode())


def _read_or_trouble(body: bytes) -> None:
    reader = collector()
    for mark in ({}, {"seen": True, "known": "2026-10-01", "after": "5_6", "shown": 1}):
        ask = reader.first(mark)
        with suppress(Trouble):
            list(reader.parse(ask, Answer(url=ask.url, body=body), mark))
        reader.refusal(ask, Answer(url=ask.url, status=400, body=body))


def test_a_megabyte_is_read() -> None:
    many = listed(*[complaint(number, complaint_what_happened="x" * 600) for number in range(1000)])
    assert len(many) > 1_000_000
    assert len(read(many, mark={}).items) == 1000


@pytest.mark.parametrize("name", ["search_page1.json", "search_list_response.json"])
def test_the_recorded_lists(corpus: Path, name: str) -> None:
    body = json.loads((corpus / "recordings" / "cfpb_ccdb" / name).read_bytes())
    points = body["_meta"]["break_points"]["2"]
    for hit in body["hits"]["hits"]:
        hit["_source"]["company"] = COMPANY
    page = read(json.dumps(body).encode())
    assert (len(page.items), page.rejected, page.unknown, page.notes) == (25, [], {}, [])
    assert all(item.category and item.published_at for item in page.items)
    assert query(page.next)["search_after"] == f"{points[0]}_{points[1]}"


def test_the_recorded_document(corpus: Path) -> None:
    path = corpus / "recordings" / "cfpb_ccdb" / "document_response.json"
    (item,) = read(path.read_bytes(), company="JPMorgan Chase & Co.").items
    assert item.published_at == datetime(2017, 3, 4, 17, tzinfo=UTC)
    assert item.reply is not None
    assert item.reply.text == "Company acknowledges the complaint"
    assert item.attributes["tags"] == "Older American"


@pytest.fixture
def house(door: Door, tmp_path: Path) -> Iterator[House]:
    with StandIn(END) as brand:
        brand.services.cfpb.searches.calls = 1000
        made = House(brand, door, tmp_path, source)
        yield made
        made.db.close()


def test_check_asks_for_one_complaint(house: House) -> None:
    assert house.check() == "answers, 1 on its first page"
    assert house.brand.requests == {BASE: 1}


def test_a_company_that_nobody_knows_is_told(house: House) -> None:
    with pytest.raises(Trouble, match="has no complaint about a company 'TUCUMA'; write") as told:
        house.check(company="TUCUMA")
    assert told.value.outcome is Outcome.MISCONFIGURED
    assert house.collect(company="TUCUMA").outcome is Outcome.MISCONFIGURED
    # Where only some days are asked for, it is asked whether there are any others.
    assert house.collect(company="TUCUMA", since="2026-10-20").outcome is Outcome.MISCONFIGURED


def test_a_known_company_may_have_nothing_to_show(house: House) -> None:
    report = house.collect(since="2026-10-25")
    assert (report.outcome, report.new) == (Outcome.COMPLETE, 0)
    assert "there is nothing" in report.message
    report = house.collect(since="2026-10-25")
    assert (report.outcome, report.new) == (Outcome.COMPLETE, 0)


@pytest.mark.slow
def test_week_by_week_is_the_same_as_all_at_once(house: House) -> None:
    house.brand.services.cfpb.narratives_until = END + timedelta(days=1)
    for weeks in range(14, -1, -2):
        house.brand.now = END - timedelta(weeks=weeks)
        report = house.collect()
        assert (report.outcome, report.rejected) == (Outcome.COMPLETE, 0), report
    assert house.stored() == house.fresh()
    told = {piece.id for piece in house.brand.shown("cfpb")}
    assert {row[0] for row in house.stored()} <= told
    assert len(house.stored()) > 20
    again = house.collect(full=True)
    assert (again.new, again.changed) == (0, 0)


def test_withdrawn_narratives_stay(house: House) -> None:
    until = house.brand.services.cfpb.narratives_until
    house.brand.now = until - timedelta(hours=1)
    house.collect()
    before = {row[0]: row[1] for row in house.stored()}
    assert sum(bool(text) for text in before.values()) > 2
    house.brand.now = until + timedelta(hours=1)
    report = house.collect()
    assert report.outcome is Outcome.COMPLETE
    after = {row[0]: row[1] for row in house.stored()}
    assert {number: after[number] for number in before} == before
    with house.db.read() as connection:
        assert connection.execute(select(t.revision)).all() == []
    house.brand.now = END
    house.collect()
    assert {row[0]: row[1] for row in house.stored()}.items() >= before.items()
    # What came after the withdrawal has no text to keep.
    later = {row[0]: row[1] for row in house.stored() if row[0] not in before}
    assert set(later.values()) == {""}


def test_an_answer_that_comes_weeks_later_is_found(house: House) -> None:
    house.brand.now = END - timedelta(weeks=8)
    house.collect()
    early = statuses(house)
    assert "In progress" in early.values()
    house.brand.now = END
    house.collect()
    late = statuses(house)
    assert all(late[number] != "In progress" for number in early)


def statuses(house: House) -> dict[str, str]:
    columns = (t.feedback.c.external_id, t.feedback.c.attributes)
    with house.db.read() as connection:
        return {row[0]: row[1]["status"] for row in connection.execute(select(*columns))}


def long_history(house: House, *, many: int = 250) -> None:
    """Enough complaints for several pages, four a day."""
    (piece, *_) = [each for each in house.brand.feedback if each.source == "cfpb"]
    at = END - timedelta(days=100)
    told = [at + timedelta(days=number // 4) for number in range(many)]
    house.brand.feedback = tuple(
        replace(
            piece,
            id=str(22_600_000 + number),
            at=day,
            updated=day,
            details={**piece.details, "sent": day.date().isoformat()},
        )
        for number, day in enumerate(told)
    )


@pytest.mark.slow
def test_a_reading_goes_on_where_it_was_broken_off(house: House) -> None:
    long_history(house)
    report = house.collect(max_requests=2)
    assert report.outcome is Outcome.PARTIAL
    assert len(house.stored()) == 200
    assert house.mark()["after"]
    report = house.collect()
    assert (report.outcome, report.new) == (Outcome.COMPLETE, 50)
    assert house.mark() == {"seen": True, "known": END.date().isoformat()}
    assert house.collect().new == 0


@pytest.mark.slow
def test_a_run_asks_for_no_more_than_the_window(house: House) -> None:
    long_history(house)
    house.collect()
    asked = house.brand.requests[BASE]
    report = house.collect(window_days=90)
    assert report.unchanged < 250
    assert house.brand.requests[BASE] - asked <= 3


def test_a_request_that_is_not_taken_is_told(house: House) -> None:
    house.brand.faults = {BASE: Fault(status=400, body=b'{"company": ["Not valid."]}')}
    with pytest.raises(Trouble, match=r"not take the request .company: \[" r'"Not valid') as told:
        house.check()
    assert told.value.outcome is Outcome.MISCONFIGURED


def test_the_quota_is_told(house: House) -> None:
    house.brand.services.cfpb.searches.calls = 0
    assert house.collect(patience=0).outcome is Outcome.RATE_LIMITED


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(status=429, headers={"Retry-After": "900"}), Outcome.RATE_LIMITED),
        (Fault(status=429), Outcome.RATE_LIMITED),
        (Fault(status=502), Outcome.UNAVAILABLE),
        (Fault(status=403), Outcome.BLOCKED),
        (Fault(body=b'{"error": "oops"}'), Outcome.UNAVAILABLE),
        (Fault(body=b"<html>captcha</html>"), Outcome.BLOCKED),
        (Fault(body=b""), Outcome.SUSPECT),
        (Fault(body=listed()), Outcome.SUSPECT),
        (Fault(truncate=100), Outcome.UNAVAILABLE),
    ],
)
def test_a_fault_has_its_outcome_and_passes(house: House, fault: Fault, outcome: Outcome) -> None:
    house.brand.now = END - timedelta(days=21)
    house.collect()
    before = house.stored()
    house.brand.now = END
    house.brand.faults = {BASE: fault}
    assert house.collect().outcome is outcome
    assert house.stored() == before
    house.brand.faults = {}
    assert house.collect().outcome is Outcome.COMPLETE
    assert len(house.stored()) > len(before)


COLUMNS = {
    "id": "Complaint ID",
    "published_at": "Date received",
    "text": "Consumer complaint narrative",
    "category": "Issue",
    "reply": "Company public response",
}
"""How the export is told to the kind that reads files."""


def exported(path: str, **options: object) -> Source:
    table = {"path": path, "columns": COLUMNS, "feedback_kind": "complaint", "date_order": "mdy"}
    return Source(kind="file", options=table | options)


def test_the_export_is_read_as_a_file(house: House) -> None:
    house.collect()
    path = f"{BASE}?{urlencode({'company': COMPANY, 'format': 'csv'})}"
    db = house.anew()
    report = run_source(
        db,
        "export",
        exported(path, base_url=house.brand.url),
        door=house.door,
        now=house.brand.now,
        folder=house.folder,
    )
    assert (report.outcome, report.rejected) == (Outcome.COMPLETE, 0)
    assert {row[0] for row in house.stored(db)} == {row[0] for row in house.stored()}
    db.close()


def test_the_recorded_export_is_read_as_a_file(corpus: Path, house: House) -> None:
    folder = corpus / "recordings" / "cfpb_ccdb"
    report = run_source(
        house.db,
        "export",
        exported("csv_2020_18col_real_rows.csv"),
        door=house.door,
        now=house.brand.now,
        folder=folder,
    )
    assert (report.outcome, report.new, report.rejected) == (Outcome.COMPLETE, 19, 0)
