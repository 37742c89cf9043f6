"""The stand-ins for the complaint sites and Trustpilot, asked over real HTTP."""

from __future__ import annotations

import base64
import csv
import http.client
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from stdnum.br import cpf

from ouvidor.demo.cfpb import BASE, COMPANY
from ouvidor.demo.consumidor_files import LONG, NEIGHBOURS, SHORT
from ouvidor.demo.consumidor_gov_br import DATA_SET, LISTED, PAGE
from ouvidor.demo.feedback import MORE, read_feedback
from ouvidor.demo.server import Fault, StandIn
from ouvidor.demo.trustpilot import DOMAIN, TOKEN, UNIT

pytestmark = pytest.mark.slow

END = datetime(2026, 10, 26, 12, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 12, 12, tzinfo=UTC)
PIECES = read_feedback(MORE)
COMPLAINTS = [piece for piece in PIECES if piece.source == "reclame-aqui"]
OPEN = [piece for piece in PIECES if piece.source == "consumidor-gov"]
REVIEWS = [piece for piece in PIECES if piece.source == "trustpilot"]
TICKETS = "/api/ticket/v1/tickets"
UNITS = f"/v1/business-units/{UNIT}"


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Got:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if body is None else "POST", target, body, headers or {})
        response = connection.getresponse()
        return Got(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def basic(user: str, password: str) -> dict[str, str]:
    packed = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {packed}"}


@pytest.fixture
def brand() -> Iterator[StandIn]:
    with StandIn(END) as standin:
        # One test asks more than ten times a minute; the quota has a test of its own.
        standin.services.reclame_aqui.quota.calls = 1000
        yield standin


# --- Reclame Aqui --------------------------------------------------------------------------------


def desk(brand: StandIn) -> dict[str, str]:
    """The headers of a client that was let in."""
    keys = brand.keys
    url = f"{brand.url}/api/auth/oauth/token?grant_type=client_credentials"
    got = call(url, basic(keys.reclame_aqui_client_id, keys.reclame_aqui_client_secret), b"")
    return {"Authorization": f"Bearer {got.json['access_token']}"}


def tickets(brand: StandIn, **query: str) -> list[Any]:
    """Every ticket that the filters let through, fifty at a time."""
    headers, found, number = desk(brand), [], 1
    while True:
        asked = {"page[size]": "50", "page[number]": str(number), "sort[id]": "ASC"} | query
        page = call(f"{brand.url}{TICKETS}?{urlencode(asked)}", headers).json
        found += page["data"]
        if len(found) >= page["meta"]["total"]:
            return found
        number += 1


def test_the_token_tells_limit_and_licence(brand: StandIn) -> None:
    keys = brand.keys
    url = f"{brand.url}/api/auth/oauth/token?grant_type=client_credentials"
    good = basic(keys.reclame_aqui_client_id, keys.reclame_aqui_client_secret)
    got = call(url, good, b"").json
    assert got["expires_in"] == 3600
    assert {"rate_limit", "license_start_at", "license_end_at"} <= set(got)
    bad = call(url, basic(keys.reclame_aqui_client_id, "other"), b"")
    assert (bad.status, bad.json["code"], bad.json["success"]) == (401, 4010, False)
    assert call(url.replace("client_credentials", "password"), good, b"").json["code"] == 4000


def test_count_first_then_pages_of_fifty(brand: StandIn) -> None:
    count = call(f"{brand.url}{TICKETS}/count", desk(brand)).json
    found = tickets(brand)
    assert count == {"data": len(COMPLAINTS)} == {"data": 80}
    assert [ticket["id"] for ticket in found] == sorted({ticket["id"] for ticket in found})
    assert {ticket["source_external_id"] for ticket in found} == {p.id for p in COMPLAINTS}
    page = call(f"{brand.url}{TICKETS}", desk(brand)).json
    assert (len(page["data"]), page["meta"]["page"]) == (25, {"number": 1, "size": 25})
    after = call(f"{brand.url}{TICKETS}?{urlencode({'page[number]': 9})}", desk(brand)).json
    assert (after["data"], after["meta"]["total"]) == ([], 80)


def test_what_changed_since_is_a_filter(brand: StandIn) -> None:
    since = datetime(2026, 10, 18, 3, tzinfo=UTC)
    mark = {"last_modification_date[gte]": f"{since:%Y-%m-%dT%H:%M:%SZ}"}
    count = call(f"{brand.url}{TICKETS}/count?{urlencode(mark)}", desk(brand)).json["data"]
    found = tickets(brand, **mark)
    expected = {
        piece.id
        for each in COMPLAINTS
        if (piece := each.as_of(brand.now)) and piece.changed >= since
    }
    assert {ticket["source_external_id"] for ticket in found} == expected
    assert count == len(expected)
    older = [t for t in found if datetime.fromisoformat(t["creation_date"]) < since]
    assert 0 < len(older) < len(found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"source.name[eq]": "ReclameAqui"}, 80),
        ({"source.name[ne]": "ReclameAqui"}, 0),
        ({"creation_date[lt]": "2026-07-13T03:00:00Z"}, 3),
        ({"source_external_id[in]": f"{COMPLAINTS[0].id},{COMPLAINTS[5].id}"}, 2),
        ({"id[gt]": COMPLAINTS[77].details["ticket"]}, 2),
        ({"id[lte]": COMPLAINTS[1].details["ticket"], "id[nin]": "1"}, 2),
    ],
)
def test_filters(brand: StandIn, query: dict[str, str], expected: int) -> None:
    url = f"{brand.url}{TICKETS}/count?{urlencode(query)}"
    assert call(url, desk(brand)).json["data"] == expected


def test_a_complaint_lives_through_its_states(brand: StandIn) -> None:
    piece = next(
        p
        for p in COMPLAINTS
        if [step.kind for step in p.steps] == ["consumer", "company", "evaluation"]
        and p.steps[-1].details["resolved"] == "true"
    )
    assert piece.reply
    seen = []
    for moment in (piece.at, piece.reply.at, *(step.at for step in piece.steps)):
        brand.now = moment
        (ticket,) = tickets(brand, **{"source_external_id[eq]": piece.id})
        seen.append(ticket)
    states = [ticket["ra_status"]["id"] for ticket in seen]
    assert states == [5, 6, 7, 8, 18]
    assert [len(ticket["interactions"]) for ticket in seen] == [1, 2, 3, 4, 5]
    assert [ticket["rating"] for ticket in seen[:4]] == [None] * 4
    last = seen[-1]
    assert last["rating"] == piece.steps[-1].details["score"]
    assert isinstance(last["rating"], str)
    assert (last["resolved_issue"], last["ra_status"]["name"]) == (True, "Avaliado resolvido")
    assert last["consumer_consideration"] == piece.steps[-1].text
    changes = [datetime.fromisoformat(ticket["last_modification_date"]) for ticket in seen]
    assert changes == sorted(set(changes))
    assert changes[-1] == piece.steps[-1].at


def test_every_end_that_a_complaint_may_take(brand: StandIn) -> None:
    found = tickets(brand)
    states = Counter(ticket["ra_status"]["id"] for ticket in found)
    assert set(states) == {5, 6, 7, 8, 10, 12, 18, 19}
    gone = [ticket for ticket in found if not ticket["active"]]
    assert {ticket["ra_status"]["id"] for ticket in gone} == {12}
    assert len(gone) == 3
    assert all(ticket["frozen"] for ticket in found if ticket["ra_status"]["id"] == 10)
    scores = {ticket["rating"] for ticket in found if ticket["rating"] is not None}
    assert scores <= {str(score) for score in range(11)}
    assert {"0", "10"} <= scores
    moderation = {ticket["moderation"]["status"] for ticket in found if ticket["moderation"]}
    assert moderation == {"ACEITA", "NEGADA", "PENDENTE"}
    undecided = [t for t in found if t["moderation"] and t["moderation"]["status"] == "PENDENTE"]
    assert all(ticket["moderation"]["response_date"] is None for ticket in undecided)


def test_a_ticket_carries_invented_personal_data(brand: StandIn) -> None:
    customers = [ticket["customer"] for ticket in tickets(brand)]
    assert all(cpf.is_valid(each["cpf"][0]) for each in customers)
    assert all(each["email"][0].endswith("@example.com") for each in customers)
    assert all(each["phone_numbers"][0].startswith("(") for each in customers)
    assert len({each["cpf"][0] for each in customers}) == len(customers)


def test_the_site_edits_a_complaint(brand: StandIn) -> None:
    piece = next(p for p in COMPLAINTS if p.edits)
    (ticket,) = tickets(brand, **{"source_external_id[eq]": piece.id})
    assert ticket["complaint_content"].endswith("[Editado pelo Reclame Aqui]")


def test_ten_calls_a_minute(brand: StandIn) -> None:
    brand.services.reclame_aqui.quota.calls = 10
    headers = desk(brand)
    codes = [call(f"{brand.url}{TICKETS}/count", headers).status for _ in range(10)]
    assert codes == [200] * 9 + [429]
    assert call(f"{brand.url}{TICKETS}", headers).json["code"] == 4290
    brand.now += timedelta(minutes=1)
    assert call(f"{brand.url}{TICKETS}/count", headers).status == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("page[size]=51", 4000),
        ("page[number]=0", 4000),
        ("page[size]=many", 4000),
        ("customer.cpf[eq]=1", 4220),
        ("creation_date[gte]=yesterday", 4220),
        ("sort[rating]=ASC", 4220),
    ],
)
def test_reclame_aqui_refuses_a_bad_query(brand: StandIn, query: str, code: int) -> None:
    got = call(f"{brand.url}{TICKETS}?{query}", desk(brand))
    assert (got.status, got.json["code"], got.json["success"]) == (code // 10, code, False)


def test_reclame_aqui_refuses_strangers_and_rests(brand: StandIn) -> None:
    url, service = f"{brand.url}{TICKETS}", brand.services.reclame_aqui
    assert call(url).json["code"] == 4010
    headers = desk(brand)
    assert call(f"{brand.url}/api/ticket/availability", headers).status == 200
    service.licensed = False
    assert call(url, headers).json["code"] == 4030
    service.maintenance = True
    assert (call(url, headers).status, call(url, headers).json["code"]) == (503, 5030)
    service.maintenance, service.licensed = False, True
    assert call(url, headers).status == 200
    service.expire()
    assert call(url, headers).json["code"] == 4010


# --- consumidor.gov.br ---------------------------------------------------------------------------


def package(brand: StandIn) -> dict[str, dict[str, Any]]:
    """The mirror's resources by the name of the file."""
    got = call(f"{brand.url}/api/3/action/package_show?id={DATA_SET}").json
    assert got["success"]
    return {each["name"]: each for each in got["result"]["resources"]}


def rows(body: bytes, encoding: str) -> list[dict[str, str]]:
    text = io.StringIO(body.decode(encoding), newline="")
    return list(csv.DictReader(text, delimiter=";"))


def own(table: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in table if row["Nome Fantasia"].strip() == "Tucumã Casa"]


def closed_in(month: str) -> int:
    return sum(piece.details["closed"].startswith(month) for piece in OPEN)


def test_a_file_appears_in_the_month_after(brand: StandIn) -> None:
    assert len(package(brand)) == 3
    brand.now = datetime(2026, 8, 5, 11, 59, tzinfo=UTC)
    assert package(brand) == {}
    brand.now = datetime(2026, 8, 5, 12, tzinfo=UTC)
    assert list(package(brand)) == ["finalizadas_2026-07.csv"]
    brand.now = NOVEMBER
    assert len(package(brand)) == 4


def test_the_short_layout_in_latin_1(brand: StandIn) -> None:
    got = call(package(brand)["finalizadas_2026-07.csv"]["url"])
    table = rows(got.body, "latin-1")
    assert list(table[0]) == SHORT
    assert len(SHORT) == 19
    assert len(table) == closed_in("2026-07") + NEIGHBOURS
    assert len(own(table)) == closed_in("2026-07") > 0
    assert {row["Data Finalização"][2] for row in table} == {"/"}
    with pytest.raises(UnicodeDecodeError):
        got.body.decode()


def test_the_long_layout_with_a_mark_and_two_sorts_of_dates(brand: StandIn) -> None:
    got = call(package(brand)["basecompleta2026-08.csv"]["url"])
    assert got.body.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in got.body
    table = rows(got.body, "utf-8-sig")
    assert list(table[0]) == LONG
    assert len(LONG) == 30
    for row in table:
        datetime.strptime(row["Data Abertura"], "%d/%m/%Y").replace(tzinfo=UTC)
        datetime.strptime(row["Data Finalização"], "%Y-%m-%d").replace(tzinfo=UTC)
    assert any(row["Cidade"] == "S?o Gon?alo" for row in table)
    assert any(row["Região"] == "S " for row in table)
    assert any("," in row["Assunto"] for row in table)
    assert any(";" in row["Assunto"] for row in table)


def test_a_month_may_come_zipped(brand: StandIn) -> None:
    got = call(package(brand)["basecompleta2026-09.zip"]["url"])
    assert got.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.body)) as archive:
        (name,) = archive.namelist()
        table = rows(archive.read(name), "utf-8-sig")
    assert name == "basecompleta2026-09.csv"
    assert len(own(table)) == closed_in("2026-09")


def test_ratings_and_verdicts(brand: StandIn) -> None:
    brand.now = NOVEMBER
    resources = package(brand)
    names = ("basecompleta2026-08.csv", "basecompleta2026-10.csv")
    table = [row for name in names for row in rows(call(resources[name]["url"]).body, "utf-8-sig")]
    verdicts = {row["Avaliação Reclamação"] for row in table}
    assert verdicts == {"Resolvida", "Não Resolvida", "Não Avaliada"}
    silent = [row for row in table if row["Avaliação Reclamação"] == "Não Avaliada"]
    assert {row["Nota do Consumidor"] for row in silent} == {""}
    assert {row["Situação"] for row in silent} == {"Finalizada não avaliada"}
    blanks = {row["Nome Fantasia"] for row in own(table)}
    assert blanks == {"Tucumã Casa", "Tucumã Casa "}
    assert any(row["Respondida"] == "N" and not row["Data Resposta"] for row in table)


def test_two_people_may_say_the_very_same(brand: StandIn) -> None:
    table = own(rows(call(package(brand)["basecompleta2026-08.csv"]["url"]).body, "utf-8-sig"))
    times = Counter(tuple(row.values()) for row in table)
    assert max(times.values()) == 2
    assert not any("id" in name.casefold().split() for name in LONG)


def test_a_month_is_published_anew_with_a_row_more(brand: StandIn) -> None:
    brand.now = datetime(2026, 8, 20, 12, tzinfo=UTC)
    before = package(brand)["finalizadas_2026-07.csv"]
    first = call(before["url"])
    brand.now += timedelta(days=7)
    after = package(brand)["finalizadas_2026-07.csv"]
    again = call(after["url"])
    assert after["url"] == before["url"]
    assert before["last_modified"] < after["last_modified"] == "2026-08-21T09:00:00"
    assert len(rows(again.body, "latin-1")) == len(rows(first.body, "latin-1")) + 1
    same = {"If-None-Match": again.headers["ETag"]}
    assert call(after["url"], same).status == 304
    assert call(after["url"], {"If-None-Match": first.headers["ETag"]}).status == 200


def test_the_sites_own_list_wants_its_cookie(brand: StandIn) -> None:
    url = f"{brand.url}{LISTED}/publicacoes.json?indicadorTipoPublicacao=2"
    assert call(url).status == 403
    cookie = call(brand.url + PAGE).headers["Set-Cookie"].partition(";")[0]
    listed = call(url, {"Cookie": cookie}).json
    assert [each["nomeArquivo"] for each in listed] == list(package(brand))[::-1]
    assert listed[-1]["dataPublicacao"] == "21/08/2026"
    got = call(f"{brand.url}{LISTED}/{listed[0]['codigo']}/download")
    assert len(got.body) == listed[0]["tamanhoArquivo"]
    assert call(f"{brand.url}{LISTED}/none/download").status == 404
    assert call(f"{brand.url}/api/3/action/package_show?id=x").json["success"] is False


def test_the_incident_reaches_the_open_data_in_november(brand: StandIn) -> None:
    brand.now = NOVEMBER
    table = own(rows(call(package(brand)["basecompleta2026-10.csv"]["url"]).body, "utf-8-sig"))
    problem = [row for row in table if row["Problema"].startswith("Pagamento não reconhecido")]
    assert len(problem) >= 3
    assert all(row["Mês Abertura"] == "10" for row in problem)


# --- CFPB ----------------------------------------------------------------------------------------


def search(brand: StandIn, **query: str) -> Any:
    asked = {"sort": "created_date_desc", "no_aggs": "true"} | query
    return call(f"{brand.url}{BASE}?{urlencode(asked)}").json


def test_search_after_leads_through_everything(brand: StandIn) -> None:
    found, after, page, total = [], {}, 1, None
    while True:
        body = search(brand, size="25", **after)
        found += [hit["_id"] for hit in body["hits"]["hits"]]
        total = body["hits"]["total"]["value"]
        page += 1
        if str(page) not in body["_meta"]["break_points"]:
            break
        ms, number = body["_meta"]["break_points"][str(page)]
        after = {"search_after": f"{ms}_{number}", "frm": str((page - 1) * 25)}
    assert len(found) == len(set(found)) == total
    assert total == body["_meta"]["total_record_count"] > 70


def test_only_the_brands_lender(brand: StandIn) -> None:
    body = search(brand, company=COMPANY, size="100")
    hits = body["hits"]["hits"]
    expected = {piece.id for piece in PIECES if piece.source == "cfpb"}
    assert {hit["_id"] for hit in hits} == expected
    received = [hit["_source"]["date_received"] for hit in hits]
    assert received == sorted(received, reverse=True)
    assert {each[10:] for each in received} == {"T12:00:00-05:00"}
    assert hits[0]["sort"][1] == hits[0]["_id"]
    window = {"date_received_min": "2026-09-14", "date_received_max": "2026-09-21"}
    sale = search(brand, company=COMPANY, **window)
    assert 0 < sale["hits"]["total"]["value"] < len(expected)


def test_an_answer_comes_later_and_no_date_tells(brand: StandIn) -> None:
    piece = next(p for p in PIECES if p.source == "cfpb" and p.steps)
    (step,) = piece.steps

    def shown() -> dict[str, Any]:
        (hit,) = [h for h in search(brand, size="100")["hits"]["hits"] if h["_id"] == piece.id]
        source: dict[str, Any] = hit["_source"]
        return source

    brand.now = step.at - timedelta(minutes=1)
    before = shown()
    brand.now = step.at
    after = shown()
    assert (before["company_response"], after["company_response"]) == ("In progress", step.text)
    assert {name for name in after if after[name] != before[name]} == {"company_response"}


def test_the_texts_were_withdrawn_in_august(brand: StandIn) -> None:
    brand.now = datetime(2026, 8, 17, 12, tzinfo=UTC)
    before = search(brand, company=COMPANY, has_narrative="yes", size="100")["hits"]["hits"]
    assert len(before) > 3
    assert all(hit["_source"]["complaint_what_happened"] for hit in before)
    brand.now = datetime(2026, 8, 19, 12, tzinfo=UTC)
    after = search(brand, company=COMPANY, size="100")["hits"]["hits"]
    assert len(after) >= len(before)
    assert {hit["_source"]["complaint_what_happened"] for hit in after} == {""}


def test_one_complaint_and_the_table(brand: StandIn) -> None:
    piece = next(p for p in PIECES if p.source == "cfpb")
    (hit,) = call(f"{brand.url}{BASE}{piece.id}").json["hits"]["hits"]
    assert hit["_source"]["complaint_id"] == piece.id
    got = call(f"{brand.url}{BASE}?format=csv&company={COMPANY.replace(' ', '+')}")
    table = list(csv.DictReader(io.StringIO(got.body.decode(), newline="")))
    assert len(table) == 25
    assert len(table[0]) == 16


def test_twenty_searches_a_minute(brand: StandIn) -> None:
    statuses = [call(f"{brand.url}{BASE}?size=1").status for _ in range(21)]
    assert statuses == [200] * 20 + [429]
    got = call(f"{brand.url}{BASE}?size=1")
    assert 1 <= int(got.headers["Retry-After"]) <= 60
    brand.now += timedelta(minutes=1)
    assert call(f"{brand.url}{BASE}?size=1").status == 200


@pytest.mark.parametrize(
    "query", ["size=101", "size=0", "frm=10001", "search_after=1_1", "date_received_min=never"]
)
def test_the_cfpb_refuses_a_bad_query(brand: StandIn, query: str) -> None:
    assert call(f"{brand.url}{BASE}?{query}").status == 400


# --- Trustpilot ----------------------------------------------------------------------------------


def test_trustpilot_finds_the_unit_and_lists_its_reviews(brand: StandIn) -> None:
    headers = {"apikey": brand.keys.trustpilot_api_key}
    unit = call(f"{brand.url}/v1/business-units/find?name={DOMAIN}", headers).json
    assert unit["id"] == UNIT
    assert call(brand.url + UNITS, headers).json["numberOfReviews"]["total"] == 24
    pages = [
        call(f"{brand.url}{UNITS}/reviews?page={n}&perPage=10", headers).json for n in (1, 2, 3, 4)
    ]
    reviews = [review for page in pages for review in page["reviews"]]
    expected = {piece.id for piece in REVIEWS if not piece.gone}
    assert [len(page["reviews"]) for page in pages] == [10, 10, 4, 0]
    assert {review["id"] for review in reviews} == expected
    times = [review["createdAt"] for review in reviews]
    assert times == sorted(times, reverse=True)
    assert sum(review["companyReply"] is not None for review in reviews) == 5


def test_pages_repeat_rows_when_new_ones_arrive(brand: StandIn) -> None:
    headers = {"apikey": brand.keys.trustpilot_api_key}
    newest = max(piece.at for piece in REVIEWS)
    brand.now = newest - timedelta(seconds=1)
    first = call(f"{brand.url}{UNITS}/reviews?perPage=5", headers).json["reviews"]
    brand.now = newest
    second = call(f"{brand.url}{UNITS}/reviews?perPage=5&page=2", headers).json["reviews"]
    assert {r["id"] for r in first} & {r["id"] for r in second} == {first[-1]["id"]}


def test_an_edit_moves_the_date_and_not_the_place(brand: StandIn) -> None:
    headers = {"apikey": brand.keys.trustpilot_api_key}
    piece = next(piece for piece in REVIEWS if piece.edits)
    (edit,) = piece.edits
    brand.now = edit.at - timedelta(seconds=1)
    url = f"{brand.url}{UNITS}/reviews?perPage=100"
    before = call(url, headers).json["reviews"]
    brand.now = edit.at
    after = call(url, headers).json["reviews"]
    (old,) = [review for review in before if review["id"] == piece.id]
    (new,) = [review for review in after if review["id"] == piece.id]
    assert (old["updatedAt"], old["stars"], new["stars"]) == (None, 2, 3)
    assert datetime.fromisoformat(new["updatedAt"]) == edit.at
    assert old["createdAt"] == new["createdAt"]
    dates = [review["createdAt"] for review in after]
    assert dates == sorted(dates, reverse=True)


def test_the_owner_sees_personal_data_with_a_token(brand: StandIn) -> None:
    keys = brand.keys
    private = f"{brand.url}{UNITS.replace('/v1/', '/v1/private/')}/reviews?perPage=100"
    assert call(private, {"apikey": keys.trustpilot_api_key}).status == 401
    client = basic(keys.trustpilot_api_key, keys.trustpilot_secret)
    form = b"grant_type=client_credentials"
    token = call(brand.url + TOKEN, client, form).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    reviews = call(private, headers).json["reviews"]
    assert any(review["referralEmail"] for review in reviews)
    assert any(review["referenceId"] for review in reviews)
    assert call(brand.url + TOKEN, basic("x", "y"), form).status == 401
    assert call(brand.url + TOKEN, client, b"grant_type=magic").status == 400
    brand.now += timedelta(hours=100)
    assert call(private, headers).status == 401


def test_trustpilot_refuses(brand: StandIn) -> None:
    headers = {"apikey": brand.keys.trustpilot_api_key}
    got = call(f"{brand.url}{UNITS}/reviews", {"apikey": "other"})
    assert (got.status, got.json["fault"]["faultstring"]) == (401, "Invalid ApiKey")
    assert call(f"{brand.url}{UNITS}/reviews?perPage=101", headers).status == 400
    assert call(f"{brand.url}/v1/business-units/{'0' * 24}/reviews", headers).status == 404
    assert call(f"{brand.url}/v1/business-units/find?name=other.example", headers).status == 404
    brand.services.trustpilot.quota.calls = 1
    late = call(f"{brand.url}{UNITS}/reviews", headers)
    assert late.status == 429
    assert int(late.headers["Retry-After"]) >= 1


# --- All of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [TICKETS, BASE, f"{UNITS}/reviews", "/api/3/action/package_show"])
def test_a_fault_strikes_by_prefix(brand: StandIn, path: str) -> None:
    brand.faults[path] = Fault(status=503, headers={"Retry-After": "30"}, times=1)
    got = call(brand.url + path)
    assert (got.status, got.headers["Retry-After"]) == (503, "30")
    assert call(brand.url + path).status != 503
    brand.faults[path] = Fault(truncate=5)
    with pytest.raises(http.client.IncompleteRead):
        call(brand.url + path)
