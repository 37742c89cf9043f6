"""Reclame Aqui's API: the life of a complaint, its errors, its watermark, and its stand-in."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from stored import stored_in

from ouvidor.collectors.bookmark import fingerprint
from ouvidor.collectors.collector import Answer, Ask, Page, Place, Trouble, settings_for
from ouvidor.collectors.complaints import facts, plain, score, state, unnamed
from ouvidor.collectors.intake import flaw
from ouvidor.collectors.run import RunReport, prove, run_source
from ouvidor.collectors.sources.reclame_aqui import ReclameAqui
from ouvidor.config import ConfigError, Source
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

ZONE = ZoneInfo("America/Sao_Paulo")
PLACE = Place(name="ra", zone=ZONE, folder=Path())
END = datetime(2026, 10, 26, 15, tzinfo=UTC)
TICKETS = "/api/ticket/v1/tickets"
SECRETS = {"client_id": {"env": "RA_ID"}, "client_secret": {"env": "RA_SECRET"}}


@pytest.fixture(autouse=True)
def credentials(environment: Callable[[str, str], None]) -> None:
    environment("RA_ID", "an-id")
    environment("RA_SECRET", "a-secret")


def collector(**options: object) -> ReclameAqui:
    made = settings_for("ra", Source(kind="reclame_aqui", options=SECRETS | options))
    return ReclameAqui(made, PLACE)  # type: ignore[arg-type]


def said(kind: int, message: str, at: str, **more: object) -> dict[str, Any]:
    return {
        "ticket_interaction_type_id": kind,
        "ticket_interaction_name": "Resposta",
        "message": message,
        "privacy": False,
        "creation_date": at,
        "details": [],
        **more,
    }


def ticket(**changes: Any) -> dict[str, Any]:
    """A ticket as the API writes one that nobody has touched: "no" everywhere, a note of -1."""
    plain_ticket = {
        "id": 48100001,
        "source_external_id": "170000001",
        "source": {"id": 1, "name": "ReclameAQUI"},
        "complaint_title": "Não chegou",
        "complaint_content": "Comprei e não chegou.",
        "complaint_response_content": None,
        "complaint_response_date": None,
        "creation_date": "2026-04-14T10:05:10.000Z",
        "last_modification_date": "2026-04-14T10:06:00.000Z",
        "customer": {
            "name": "Zuleide Tatu",
            "cpf": ["52998224725"],
            "email": ["z@example.org"],
            "phone_numbers": ["11987654321"],
            "city": [{"id": 1, "name": "Olinda"}],
            "state": [{"id": 2, "name": "Pernambuco", "fs": "PE"}],
        },
        "company": {"id": 90417, "name": "Loja"},
        "ra_status": {"id": 5, "name": "Não respondido"},
        "hugme_status": {"id": 21, "name": "Novo"},
        "moderation": {"user": {"id": -1, "name": None}, "status": None, "reason": None},
        "resolved_issue": False,
        "back_doing_business": False,
        "rating": "-1",
        "rating_date": None,
        "ra_reason": "Outros",
        "ra_feeling": None,
        "categories": [],
        "frozen": False,
        "active": True,
        "interactions": [said(1, "Comprei e não chegou.", "2026-04-14T10:05:10.000Z")],
    }
    return plain_ticket | changes


def body(*tickets: object, total: int | None = None, page: int = 1) -> bytes:
    meta = {"page": {"number": page, "size": 50}, "total": len(tickets) if total is None else total}
    return json.dumps({"data": tickets, "meta": meta}, ensure_ascii=False).encode()


def asked(page: int = 1, **step: object) -> Ask:
    return Ask(url="https://app.hugme.com.br/", step={"page": page, **step})


def read(data: bytes, *, mark: Mapping[str, Any] | None = None, **step: Any) -> Page:
    (found,) = collector().parse(asked(**step), Answer(body=data), mark or {})
    return found


def one(**changes: Any) -> Any:
    page = read(body(ticket(**changes)))
    assert page.rejected == []
    (item,) = page.items
    assert flaw(item, END) is None
    return item


def test_an_untouched_complaint_is_neither_judged_nor_refused() -> None:
    item = one()
    assert (item.external_id, item.rating, item.stars, item.reply) == ("48100001", None, None, None)
    assert item.published_at == datetime(2026, 4, 14, 10, 5, 10, tzinfo=UTC)
    assert item.category == "Outros"
    told = item.attributes
    assert (told["status"], told["answered"], told["evaluated"]) == (
        "not_answered",
        "false",
        "false",
    )
    # The API says false before anybody was asked.
    assert not {"resolved", "would_return", "score"} & told.keys()
    assert (told["city"], told["state"], told["complaint_id"]) == ("Olinda", "PE", "170000001")


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ({"id": 5}, "not_answered"),
        ({"id": 6}, "answered"),
        ({"id": 7}, "consumer_replied"),
        ({"id": 8}, "company_replied"),
        ({"id": 9}, "evaluated"),
        ({"id": 10}, "frozen"),
        ({"id": 12}, "deactivated"),
        ({"id": 13}, "inactive"),
        ({"id": 18}, "resolved"),
        ({"id": 19}, "not_resolved"),
        ({"id": 20}, "replied"),
        ({"name": "Réplica do consumidor"}, "consumer_replied"),
        ({"id": 77, "name": "Em mediação"}, "em_mediacao"),
    ],
)
def test_each_state_has_its_name(status: dict[str, Any], name: str) -> None:
    assert one(ra_status=status).attributes["status"] == name


def test_a_state_nobody_knows_is_counted() -> None:
    page = read(body(ticket(ra_status={"id": 77, "name": "Em mediação"}, novo=1)))
    assert page.unknown == {"novo": 1, "ra_status 77": 1}


def test_the_whole_life() -> None:
    answer = "Olá, Zuleide! Sai amanhã."
    item = one(
        ra_status={"id": 18, "name": "Avaliado Resolvido"},
        rating="8",
        rating_date="2026-05-09T10:00:00.000Z",
        resolved_issue=True,
        back_doing_business=False,
        consumer_consideration="Demorou.<br/>Mas veio.",
        complaint_response_content=answer,
        complaint_response_date="2026-05-01T13:00:00.000Z",
        ra={"replicas_count": 2},
        moderation={"status": "Negada", "reason": 4, "user": {"name": "Berenice"}},
        frozen=True,
        active=False,
        interactions=[
            said(2, answer, "2026-05-01T13:00:01.000Z", responsible_id=7),
            said(2, "Não saiu.", "2026-05-02T13:00:00.000Z", customer_id="9"),
            said(3, "CPF?", "2026-05-02T14:00:00.000Z", privacy="true"),
            said(2, "Remarcado.", "2026-05-03T13:00:00.000Z", responsible_id=7),
        ],
    )
    assert (item.rating, item.rating_scale, item.stars) == ("8", "0-10", None)
    assert item.reply.text == "Olá, [name]! Sai amanhã."
    assert item.reply.at == datetime(2026, 5, 1, 13, 0, 1, tzinfo=UTC)
    told = item.attributes
    assert {name: told[name] for name in ("resolved", "would_return", "score", "evaluated")} == {
        "resolved": "true",
        "would_return": "false",
        "score": "8",
        "evaluated": "true",
    }
    assert told["answered_at"] == "2026-05-01T13:00:00+00:00"
    assert told["evaluated_at"] == "2026-05-09T10:00:00+00:00"
    assert told["final_comment"] == "Demorou.\nMas veio."
    assert (told["consumer_replies"], told["company_replies"]) == ("2", "2")
    assert (told["moderation"], told["frozen"], told["deactivated"]) == ("denied", "true", "true")


def test_nobody_is_in_the_payload() -> None:
    item = one(
        complaint_content="Sou Zuleide  Tatu e espero.",
        complaint_response_content="ZULEIDE, desculpe.",
        historical=[{"user": {"email": "berenice@loja.example"}}],
        extra_data={"cpf": "52998224725"},
        interactions=[
            said(2, "Zuleide, desculpe.", "2026-05-01T13:00:00Z", responsible_name="Berenice"),
            said(6, "meu telefone é 11987654321", "2026-05-01T13:00:00Z", privacy=True),
            {"details": [{"ticket_detail_type_id": 8, "value": "203.0.113.7"}]},
        ],
        unheard_of="Zuleide",
    )
    for secret in ("uleide", "ULEIDE", "52998", "98765", "example.org", "erenice", "203.0.113"):
        assert secret not in item.raw, secret
        assert secret not in json.dumps(dict(item.attributes)), secret
    assert item.text == "Sou [name] e espero."
    assert item.author == "Zuleide Tatu"


def test_a_first_name_that_is_a_word_stays_in_the_complaint() -> None:
    assert unnamed("Comprei uma rosa. Rosa Lima", "Rosa Lima") == "Comprei uma rosa. [name]"
    assert unnamed("Rosa, a rosa sai", "Rosa Lima", by_brand=True) == "[name], a rosa sai"
    assert unnamed("Cliente, o cliente espera", "Cliente", by_brand=True).count("liente") == 2


def test_the_link_leads_to_the_public_page() -> None:
    detail = {"ticket_detail_type_id": 25, "value": "Zz1Yy2Xx3Ww4Vv5U"}
    given_ticket = ticket(interactions=[{"details": [detail]}])
    reader = collector(company_page="loja-jatoba")
    (page,) = reader.parse(asked(), Answer(body=body(given_ticket)), {})
    (item,) = page.items
    assert item.url == ("https://www.reclameaqui.com.br/loja-jatoba/nao-chegou_Zz1Yy2Xx3Ww4Vv5U/")
    assert item.attributes["complaint_id"] == "Zz1Yy2Xx3Ww4Vv5U"
    assert one(interactions=[{"details": [detail]}]).url is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "no id"),
        ({"id": True}, "no id"),
        ({"id": " "}, "no id"),
        ({"rating": "11"}, "none from 0 to 10"),
        ({"rating": "ótimo"}, "none from 0 to 10"),
        ({"creation_date": "14 de maio"}, "`creation_date` is no time"),
        ({"creation_date": 5}, "`creation_date` is no time"),
        ({"rating_date": "20266-01-01"}, "`rating_date` is no time"),
    ],
)
def test_a_bad_ticket_is_set_aside(change: dict[str, Any], reason: str) -> None:
    page = read(body(ticket(**change), ticket(id=2), "no ticket"))
    assert [item.external_id for item in page.items] == ["2"]
    assert page.rejected[0].where == "page 1, ticket 1"
    assert reason in page.rejected[0].reason
    assert page.rejected[1].reason == "it is no ticket"


@pytest.mark.parametrize(
    ("told", "note"),
    [("0", "0"), (10, "10"), ("7,5", "7.5"), ("8.0", "8"), ("-1", None), ("", None)],
)
def test_scores(told: object, note: str | None) -> None:
    assert score(told) == note


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("a<br/>b<br />c&quot;d&quot;", 'a\nb\nc"d"'),
        ("1 < 2 <3 & R&D", "1 < 2 <3 & R&D"),
        ("um\n\rdois\r\ntrês", "um\ndois\ntrês"),
        ("<b>já</b> [Editado pelo Reclame Aqui]", "já [Editado pelo Reclame Aqui]"),
    ],
)
def test_text_loses_markup_and_nothing_else(written: str, text: str) -> None:
    assert plain(written) == text


def test_before_the_judgement_there_is_no_verdict() -> None:
    assert "resolved" not in facts("answered", resolved=False, would_return=False)
    assert facts("not_resolved")["resolved"] == "false"
    assert state(None, "Avaliado Não Resolvido") == "not_resolved"


# --- Asking --------------------------------------------------------------------------------------


def query(ask: Ask | None) -> dict[str, str]:
    assert ask is not None
    return {name: values[0] for name, values in parse_qs(urlsplit(ask.url).query).items()}


def test_the_count_comes_first_and_the_order_is_by_id() -> None:
    reader = collector(company=90417, since="2026-01-01")
    ask = reader.first({})
    assert urlsplit(ask.url).path == f"{TICKETS}/count"
    filters = {"company.id[eq]": "90417", "creation_date[gte]": "2026-01-01T03:00:00.000Z"}
    assert query(ask) == filters
    (page,) = reader.parse(ask, Answer(body=b'{"data": 3}'), {})
    assert query(page.next) == filters | {
        "page[size]": "50",
        "page[number]": "1",
        "sort[id]": "ASC",
    }


def test_what_changed_since_the_last_reading_began_and_a_day_more() -> None:
    reader = collector()
    reader.started = END
    ask = reader.first({"known": "2026-10-20T15:00:00+00:00", "tickets": 9})
    assert query(ask) == {"last_modification_date[gte]": "2026-10-19T15:00:00.000Z"}
    (quiet,) = reader.parse(ask, Answer(body=b'{"data": 0}'), {"tickets": 9})
    assert quiet.unchanged
    assert quiet.checkpoint == {"known": END.isoformat(), "tickets": 9}


def test_a_reading_that_was_broken_off_goes_on_and_catches_up() -> None:
    reader = collector()
    reader.started = END
    (counted,) = reader.parse(reader.first({}), Answer(body=b'{"data": 3}'), {})
    assert counted.next is not None
    (page,) = reader.parse(counted.next, Answer(body=body(ticket(), total=3)), {})
    later = collector()
    later.started = END + timedelta(hours=1)
    ask = later.first(page.checkpoint)
    assert query(ask)["page[number]"] == "2"
    last = [ticket(id=2), ticket(id=3)]
    (end,) = later.parse(ask, Answer(body=body(*last, total=3)), page.checkpoint)
    assert end.checkpoint == {"known": END.isoformat(), "tickets": 3}
    # The first page may have changed meanwhile.
    assert query(end.next) == {
        "last_modification_date[gte]": (END - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    }


def test_a_list_that_shrinks_while_it_is_read_is_read_again() -> None:
    pages = collector().parse(
        asked(2, total=60, seen=50),
        Answer(body=body(*[ticket(id=n) for n in range(9)], total=59)),
        {},
    )
    page = next(pages)
    assert len(page.items) == 9
    assert page.checkpoint == {"page": 0}
    with pytest.raises(Trouble, match="taken away") as trouble:
        next(pages)
    assert trouble.value.outcome is Outcome.PARTIAL


@pytest.mark.parametrize(
    ("data", "step", "outcome", "sentence"),
    [
        (body(ticket(), total=9), {"top": "48100001", "seen": 1}, "layout_changed", "begins like"),
        (body(total=9), {}, "suspect", "came empty"),
        (b'{"data": {}}', {}, "layout_changed", "no list"),
        (b'{"tickets": []}', {}, "layout_changed", "no `data`"),
        (b"[]", {}, "layout_changed", "no `data`"),
        (b"{", {}, "layout_changed", "no `data`"),
        (b'{"data": -1}', {"page": 0}, "layout_changed", "the count is"),
        (b'{"data": 0}', {"page": 0}, "suspect", "where there were 4 before"),
    ],
)
def test_what_is_no_list_has_an_outcome(
    data: bytes, step: dict[str, Any], outcome: str, sentence: str
) -> None:
    with pytest.raises(Trouble, match=sentence) as trouble:
        read(data, mark={"tickets": 4}, **step)
    assert trouble.value.outcome.value == outcome


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (4000, Outcome.MISCONFIGURED),
        (4010, Outcome.BLOCKED),
        (4030, Outcome.BLOCKED),
        (4040, Outcome.MISCONFIGURED),
        (4090, Outcome.UNAVAILABLE),
        (4091, Outcome.UNAVAILABLE),
        (4220, Outcome.MISCONFIGURED),
        (4290, Outcome.RATE_LIMITED),
        (5000, Outcome.UNAVAILABLE),
        (5030, Outcome.UNAVAILABLE),
        (9999, Outcome.UNAVAILABLE),
    ],
)
def test_each_code_has_its_sentence(code: int, outcome: Outcome) -> None:
    data = json.dumps({"message": "não", "code": code, "success": False}).encode()
    with pytest.raises(Trouble) as inside_a_200:
        read(data)
    refused = collector().refusal(asked(), Answer(status=code // 10, body=data))
    for trouble in (inside_a_200.value, refused):
        assert trouble is not None
        assert trouble.outcome is outcome
        assert f"({code}: não)." in trouble.sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"company": "loja jatobá"}, r"sources\.ra\.company.*'90417'"),
        ({"company_page": "https://www"}, r"sources\.ra\.company_page: .* like 'tucuma-casa'"),
        ({"since": "ontem"}, r"sources\.ra\.since"),
        ({"client_id": "plain"}, "a secret never stands in this file"),
        ({"client_secret": {"env": "NOT_SET"}}, "neither NOT_SET nor NOT_SET_FILE"),
        ({"overlap_hours": -1}, r"sources\.ra\.overlap_hours"),
    ],
)
def test_each_wrong_option_has_its_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        collector(**options)


def test_a_new_secret_is_no_new_source(environment: Callable[[str, str], None]) -> None:
    before = fingerprint(collector().settings)
    environment("RA_SECRET", "another")
    assert fingerprint(collector().settings) == before
    assert fingerprint(collector(company=1).settings) != before


# --- Anything at all -----------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def survives(data: bytes, page: int = 1) -> None:
    with suppress(Trouble):
        for found in collector().parse(asked(page), Answer(body=data), {}):
            assert all(item.external_id for item in found.items)


@FUZZ
@given(st.binary(max_size=200), st.sampled_from([0, 1]))
def test_any_bytes(data: bytes, page: int) -> None:
    survives(data, page)


@FUZZ
@given(st.data())
def test_any_mutation_of_a_good_ticket(data: st.DataObject) -> None:
    mutant: Any = copy.deepcopy(
        ticket(
            rating="8",
            complaint_response_content="Oi",
            interactions=[said(2, "Oi", "2026-05-01T13:00:00Z")],
        )
    )
    inside = mutant
    name = data.draw(st.sampled_from(sorted(mutant)))
    if isinstance(mutant[name], dict) and data.draw(st.booleans()):
        inside, name = mutant[name], data.draw(st.sampled_from(sorted(mutant[name])))
    elif name == "interactions" and data.draw(st.booleans()):
        inside = mutant["interactions"][0]
        name = data.draw(st.sampled_from(sorted(inside)))
    inside[name] = data.draw(json_values)
    page = read(body(mutant))
    assert len(page.items) + len(page.rejected) == 1


def test_a_megabyte_is_fast() -> None:
    text = "Olá &amp; <br/>" * 60
    data = body(*[ticket(id=n, complaint_content=text) for n in range(500)])
    assert len(data) > 1_000_000
    began = time.process_time()
    assert len(read(data).items) == 500
    assert time.process_time() - began < 5


# --- Against the stand-in ------------------------------------------------------------------------


class House:
    """A database and the stand-in it listens to."""

    def __init__(self, brand: StandIn, door: Door, folder: Path) -> None:
        self.brand, self.door, self.folder = brand, door, folder
        self.db = open_database(stored_in(folder, "ra.db"))

    def collect(self, **options: object) -> RunReport:
        return run_source(
            self.db,
            "ra",
            self.source(**options),
            door=self.door,
            now=self.brand.now,
            folder=self.folder,
        )

    def source(self, **options: object) -> Source:
        table = {**SECRETS, "delay": 0, "retries": 0, "backoff": 0} | options
        return Source(kind="reclame_aqui", base_url=self.brand.url, options=table)

    def prove(self, **options: object) -> str:
        return prove(
            "ra", self.source(**options), zone=ZONE, folder=self.folder, now=self.brand.now
        )


@pytest.fixture
def house(door: Door, tmp_path: Path, environment: Callable[[str, str], None]) -> Iterator[House]:
    with StandIn(END - timedelta(weeks=6)) as brand:
        brand.services.reclame_aqui.quota.calls = 1000
        environment("RA_ID", brand.keys.reclame_aqui_client_id)
        environment("RA_SECRET", brand.keys.reclame_aqui_client_secret)
        made = House(brand, door, tmp_path)
        yield made
        made.db.close()


def stored(db: Database) -> dict[str, tuple[object, ...]]:
    columns = (t.feedback.c.text, t.feedback.c.rating, t.feedback.c.attributes)
    with db.read() as connection:
        return {
            row[0]: (row[1], row[2], json.dumps(row[3], sort_keys=True))
            for row in connection.execute(select(t.feedback.c.external_id, *columns))
        }


@pytest.mark.slow
def test_week_by_week_is_the_same_as_all_at_once(house: House, door: Door, tmp_path: Path) -> None:
    for weeks in range(6, -1, -1):
        house.brand.now = END - timedelta(weeks=weeks)
        report = house.collect()
        assert (report.outcome, report.rejected) == (Outcome.COMPLETE, 0), report
    (tmp_path / "fresh").mkdir()
    fresh = House(house.brand, door, tmp_path / "fresh")
    fresh.collect()
    assert stored(house.db) == stored(fresh.db)
    assert len(stored(fresh.db)) == 80
    fresh.db.close()
    with house.db.read() as connection:
        people = connection.execute(select(t.feedback.c.author)).scalars()
        assert all(str(each).startswith("p-") for each in people)


@pytest.mark.slow
def test_a_quiet_day_costs_one_question(house: House) -> None:
    house.collect(overlap_hours=0)
    house.brand.now += timedelta(minutes=1)
    house.brand.requests.clear()
    report = house.collect(overlap_hours=0)
    assert (report.outcome, report.new) == (Outcome.COMPLETE, 0)
    assert "Nothing has changed" in report.message
    paths = [path for path in house.brand.requests if path.startswith("/api")]
    assert paths == ["/api/auth/oauth/token", f"{TICKETS}/count"]


@pytest.mark.slow
def test_a_token_that_ends_in_the_middle_is_renewed(house: House) -> None:
    house.brand.faults[TICKETS] = Fault(status=401, body=b'{"code": 4010}', times=1)
    assert house.collect().outcome is Outcome.COMPLETE
    assert house.brand.requests["/api/auth/oauth/token"] == 2


@pytest.mark.slow
def test_what_the_account_lacks_is_said(
    house: House, environment: Callable[[str, str], None]
) -> None:
    assert house.prove() == "answers"
    desk = house.brand.services.reclame_aqui
    desk.licensed = False
    with pytest.raises(Trouble, match="the licence does not cover this") as trouble:
        house.prove()
    assert trouble.value.outcome is Outcome.BLOCKED
    desk.licensed, desk.maintenance = True, True
    report = house.collect()
    assert (report.outcome, "being maintained" in report.message) == (Outcome.UNAVAILABLE, True)
    desk.maintenance = False
    report = house.collect(company=404)
    assert report.outcome is Outcome.MISCONFIGURED
    assert "no complaint about company 404" in report.message
    desk.quota.calls = 1
    house.brand.now += timedelta(minutes=2)
    report = house.collect()
    assert (report.outcome, "ten calls a minute" in report.message) == (
        Outcome.RATE_LIMITED,
        True,
    )
    desk.quota.calls = 1000
    environment("RA_SECRET", "a wrong one")
    report = house.collect()
    assert report.outcome is Outcome.BLOCKED
    assert "check client id and secret" in report.message
    assert "a wrong one" not in report.message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(status=429, headers={"Retry-After": "900"}), Outcome.RATE_LIMITED),
        (Fault(status=429), Outcome.RATE_LIMITED),
        (Fault(status=502), Outcome.UNAVAILABLE),
        (Fault(truncate=40), Outcome.UNAVAILABLE),
        (Fault(body=b'{"message": "x", "code": 5000, "success": false}'), Outcome.UNAVAILABLE),
        (Fault(body=b"<html>captcha</html>"), Outcome.BLOCKED),
        (Fault(body=b'{"data": "many"}'), Outcome.LAYOUT_CHANGED),
    ],
)
def test_a_fault_has_its_outcome_and_passes(house: House, fault: Fault, outcome: Outcome) -> None:
    house.collect()
    before = stored(house.db)
    house.brand.now += timedelta(weeks=2)
    house.brand.faults = {TICKETS: fault}
    assert house.collect().outcome is outcome
    assert stored(house.db) == before
    house.brand.faults = {}
    assert house.collect().outcome is Outcome.COMPLETE
    assert len(stored(house.db)) > len(before)
