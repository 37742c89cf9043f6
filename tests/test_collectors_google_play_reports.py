"""Google Play's monthly reports: UTF-16 tables in a folder or a bucket."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import stored_in

from ouvidor.collectors.collector import Answer, Page, Place, Trouble, settings_for
from ouvidor.collectors.google_play_months import Report, state_of
from ouvidor.collectors.run import RunReport, prove, run_source
from ouvidor.collectors.sources.google_play_reports import GooglePlayReports
from ouvidor.config import ConfigError, Source
from ouvidor.demo.google_play import PACKAGE
from ouvidor.demo.google_play_reports import BUCKET, HEAD
from ouvidor.demo.keys import keys
from ouvidor.demo.server import Fault, StandIn
from ouvidor.storage import tables as t
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

ZONE = ZoneInfo("America/Sao_Paulo")
MOMENT = datetime(2026, 10, 26, 12, tzinfo=UTC)
CONSOLE = "http://play.google.com/console/developers/1/app/2/user-feedback/review-details?reviewId="
PLAIN = {
    "Package Name": PACKAGE,
    "App Version Code": "520",
    "App Version Name": "5.2.0",
    "Reviewer Language": "pt",
    "Device": "a14",
    "Review Submit Date and Time": "2026-08-05T14:40:32Z",
    "Review Submit Millis Since Epoch": "1785940832542",
    "Review Last Update Date and Time": "2026-08-05T14:40:32Z",
    "Review Last Update Millis Since Epoch": "1785940832542",
    "Star Rating": "4",
    "Review Text": "Linha\numa, e duas",
    "Review Link": f"{CONSOLE}gp%3AAOqp-1&corpus=PUBLIC_REVIEWS",
}


def sheet(*rows: Mapping[str, str], head: tuple[str, ...] = HEAD) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, head, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return b"\xff\xfe" + out.getvalue().encode("utf-16-le")


def named(month: str) -> str:
    return f"reviews_{PACKAGE}_{month}.csv"


def source(**options: object) -> Source:
    table: dict[str, object] = {"package": PACKAGE, "retries": 0, "backoff": 0}
    return Source(kind="google_play_reports", options=table | options)


def collector(folder: Path, **options: object) -> GooglePlayReports:
    place = Place(name="reports", zone=ZONE, folder=folder)
    return GooglePlayReports(settings_for("reports", source(**options)), place)  # type: ignore[arg-type]


def read(folder: Path, data: bytes) -> list[Page]:
    path = folder / named("202608")
    path.write_bytes(data)
    reader = collector(folder, path=path.name)
    ask = reader.first({})
    return list(reader.parse(ask, Answer(path=path), {}))


def test_one_row_as_it_is(tmp_path: Path) -> None:
    replied = {
        "Developer Reply Millis Since Epoch": "1785950000000",
        "Developer Reply Text": "Obrigado",
        "Review Title": "Bom",
    }
    (page,) = read(tmp_path, sheet(PLAIN | replied))
    (item,) = page.items
    moment = datetime(2026, 8, 5, 14, 40, 32, 542000, tzinfo=UTC)
    assert (item.external_id, item.title, item.text) == ("gp:AOqp-1", "Bom", "Linha\numa, e duas")
    assert (item.stars, item.rating, item.rating_scale, item.language) == (4, "4", "1-5", "pt")
    assert (item.published_at, item.edited_at) == (moment, moment)
    assert item.reply is not None
    assert item.reply.at == datetime(2026, 8, 5, 17, 13, 20, tzinfo=UTC)
    assert item.url == PLAIN["Review Link"]
    assert item.attributes == {"version": "5.2.0", "version_code": "520", "device": "a14"}
    assert page.where == ["202608 row 2"]


def test_mere_stars_have_an_identity_of_their_own(tmp_path: Path) -> None:
    bare = PLAIN | {"Review Text": "", "Review Link": ""}
    other = bare | {"Device": "e7"}
    (page,) = read(tmp_path, sheet(bare, other, bare))
    first, second, again = (item.external_id for item in page.items)
    assert first.startswith("rating-")
    assert first == again != second


@pytest.mark.parametrize(
    ("link", "number"),
    [
        (
            f"{CONSOLE}d2b07a18-68e9-4b8f-8042-4102a5082454&corpus=X",
            "d2b07a18-68e9-4b8f-8042-4102a5082454",
        ),
        (f"{CONSOLE}gp%3AAOqpTO", "gp:AOqpTO"),
        ("https://play.google.com/apps/publish#ReviewPlace:id=gp:AOqp&x=1", "gp:AOqp"),
        (
            "https://play.google.com/apps/publish?a=1#ReviewDetailsPlace:p=com.x&reviewid=gp:A",
            "gp:A",
        ),
    ],
)
def test_the_id_stands_in_the_link(link: str, number: str, tmp_path: Path) -> None:
    (page,) = read(tmp_path, sheet(PLAIN | {"Review Link": link}))
    assert [item.external_id for item in page.items] == [number]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Star Rating": "9"}, "no rating from 1 to 5"),
        ({"Star Rating": ""}, "no rating from 1 to 5"),
        ({"Review Link": "https://play.google.com/x"}, "no review id"),
        ({"Package Name": "com.other.app"}, "of another app"),
        (
            {name: "" for name in HEAD if "Submit" in name or "Update" in name},
            "it has no time",
        ),
        (
            {"Review Submit Millis Since Epoch": "x", "Review Submit Date and Time": "ontem"},
            "is no date",
        ),
    ],
)
def test_a_bad_row_is_set_aside(change: dict[str, str], reason: str, tmp_path: Path) -> None:
    (page,) = read(tmp_path, sheet(PLAIN | change, PLAIN))
    assert len(page.items) == 1
    (rejected,) = page.rejected
    assert reason in rejected.reason
    assert rejected.where == "202608 row 2"


def test_older_layouts_lack_columns_and_newer_ones_have_more(tmp_path: Path) -> None:
    lacking = {"App Version Code", "Reviewer Language", "Review Submit Millis Since Epoch"}
    head = (*(name for name in HEAD if name not in lacking), "Sentiment")
    (page,) = read(tmp_path, sheet(PLAIN | {"Sentiment": "x"}, head=head))
    (item,) = page.items
    assert item.published_at == datetime(2026, 8, 5, 14, 40, 32, tzinfo=UTC)
    assert (item.language, page.unknown) == (None, {"Sentiment": 1})


@pytest.mark.parametrize(
    ("data", "outcome", "sentence"),
    [
        (
            sheet(PLAIN, head=("Package Name", "Review Text")),
            Outcome.LAYOUT_CHANGED,
            "'Star Rating'",
        ),
        (b"", Outcome.SUSPECT, "is empty"),
        (b"%PDF-1.7", Outcome.MISCONFIGURED, "is a PDF"),
    ],
)
def test_what_is_no_report_has_an_outcome(
    data: bytes, outcome: Outcome, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(Trouble, match=sentence) as trouble:
        read(tmp_path, data)
    assert trouble.value.outcome is outcome


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    (page,) = read(tmp_path, sheet())
    assert page.empty


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "set `path` or `bucket`"),
        ({"path": "x", "bucket": "pubsite_prod_rev_1"}, "set `path` or `bucket`"),
        ({"bucket": "pubsite_prod_rev_1"}, "a bucket needs `key`"),
        ({"bucket": "A bucket"}, "is no bucket; copy the Cloud Storage address"),
        ({"path": "x", "package": "loja"}, "is no app"),
    ],
)
def test_a_bad_option_names_its_mend(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        settings_for("reports", source(**options))


def test_a_bucket_may_be_given_as_the_console_copies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", json.dumps(keys().service_account("http://127.0.0.1:9")))
    table = {"bucket": f"gs://{BUCKET}/reviews/", "key": {"env": "KEY"}}
    found = settings_for("reports", source(**table))
    assert getattr(found, "bucket", "") == BUCKET


def test_months_are_covered_as_far_as_they_hang_together() -> None:
    months = ["202511", "202602", "202603"]
    reports = [Report(name=named(month), version="1") for month in months]
    state = state_of(reports, {})
    for _ in months:
        state = state.read(datetime(2026, 3, 14, 9, tzinfo=UTC))
    assert state.covered == (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 15, tzinfo=UTC))
    assert state.notes == ["there is no report of 2025-12"]
    assert state_of(reports, state.mark).left == []
    assert state_of([Report(name="x.csv", version="1")], {}).covered is None


def test_a_checkpoint_of_twenty_years_is_small() -> None:
    reports = [
        Report(name=named(f"{2010 + n // 12}{n % 12 + 1:02}"), version="1") for n in range(240)
    ]
    state = state_of(reports, {})
    while state.left:
        state = state.read(None)
    assert len(json.dumps(state.mark)) < 3600


def recording(name: str) -> bytes:
    folder = Path(os.environ.get("OUVIDOR_CORPUS", ""), "recordings", "google_play_csv")
    if "OUVIDOR_CORPUS" not in os.environ or not folder.is_dir():
        pytest.skip("OUVIDOR_CORPUS names no folder of real recordings")
    return (folder / name).read_bytes()


@pytest.mark.parametrize("encoding", ["utf8", "utf16"])
def test_real_rows(encoding: str, tmp_path: Path) -> None:
    app = "com.biblegamesproject.didacticjesusgame"
    path = tmp_path / f"reviews_{app}_202511.csv"
    path.write_bytes(recording(f"reviews_{app}_202511.excerpt.{encoding}.csv"))
    reader = collector(tmp_path, path=".", package=app)
    (page,) = reader.parse(reader.first({}), Answer(path=path), {})
    plain, edited = page.items
    assert (page.rejected, page.unknown) == ([], {})
    assert plain.external_id == "d2b07a18-68e9-4b8f-8042-4102a5082454"
    assert plain.reply is not None
    assert "version" not in plain.attributes
    assert edited.published_at == datetime(2025, 8, 12, 13, 44, 12, 725000, tzinfo=UTC)
    assert edited.edited_at == datetime(2025, 11, 13, 14, 53, 59, 590000, tzinfo=UTC)
    assert edited.text.endswith("。\nThank you for your reply.")


def test_a_real_row_of_mere_stars(tmp_path: Path) -> None:
    path = tmp_path / "reviews_com.biblegames.eden_202609.csv"
    path.write_bytes(recording("reviews_com.biblegames.eden_rating_only.utf8.csv"))
    reader = collector(tmp_path, path="*.csv", package="com.biblegames.eden")
    (page,) = reader.parse(reader.first({}), Answer(path=path), {})
    (item,) = page.items
    assert (item.stars, item.text, item.url) == (5, "", None)
    assert item.external_id.startswith("rating-")


GOOD = sheet(PLAIN, PLAIN | {"Review Link": f"{CONSOLE}2"})


@given(st.binary(max_size=300), st.integers(0, len(GOOD) - 1), st.binary(max_size=6))
@settings(max_examples=60, deadline=None)
def test_anything_is_rows_or_a_named_end(noise: bytes, at: int, put: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for data in (noise, GOOD[:at] + put + GOOD[at + len(put) :], GOOD[:at]):
            with suppress(Trouble):
                assert all(isinstance(page, Page) for page in read(Path(folder), data))


@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["kind", "items", "nextPageToken"]),
        st.sampled_from(["storage#objects", [{"name": "x"}], [1], {}, None, 7]),
    ).map(lambda value: json.dumps(value).encode())
)
@settings(max_examples=100, deadline=None)
def test_any_list_of_objects_is_a_page_or_a_named_end(body: bytes) -> None:
    reader = collector(Path(), path="x")
    ask = reader._listing(
        "", {"page": 1, "tokens": (), "ids": frozenset(), "found": (), "mark": {}}
    )
    with suppress(Trouble):
        assert all(isinstance(page, Page) for page in reader.parse(ask, Answer(body=body), {}))


class House:
    """A database and where its reports come from."""

    def __init__(self, brand: StandIn, door: Door, folder: Path) -> None:
        self.brand, self.door, self.folder = brand, door, folder
        self.db: Database = open_database(stored_in(folder, "house.db"))

    def options(self, **options: object) -> Source:
        if "path" in options:
            return source(**options)
        table = {"bucket": BUCKET, "key": {"env": "REPORTS_KEY"}} | options
        return source(**table).model_copy(update={"base_url": self.brand.url})

    def collect(self, *, full: bool = False, **options: object) -> RunReport:
        return run_source(
            self.db,
            "reports",
            self.options(**options),
            door=self.door,
            now=self.brand.now,
            folder=self.folder,
            full=full,
        )

    def prove(self, **options: object) -> str:
        made = self.options(**options)
        return prove("reports", made, zone=ZONE, folder=self.folder, now=self.brand.now)

    def rows(self) -> dict[str, Any]:
        with self.db.read() as connection:
            return {row.external_id: row for row in connection.execute(t.feedback.select())}

    def covered(self) -> list[Any]:
        with self.db.read() as connection:
            return list(connection.execute(t.coverage.select().order_by(t.coverage.c.day)))


@pytest.fixture
def house(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with StandIn(MOMENT) as brand:
        monkeypatch.setenv("REPORTS_KEY", json.dumps(brand.keys.service_account(brand.url)))
        made = House(brand, door, tmp_path)
        yield made
        made.db.close()


def test_the_whole_history_from_the_bucket(house: House) -> None:
    report = house.collect()
    assert (report.outcome, report.rejected) == (Outcome.COMPLETE, 0), report
    midnight = MOMENT.replace(hour=0)
    told = [piece for piece in house.brand.told("play") if piece.at <= midnight]
    rows = house.rows()
    assert len(rows) == len(told) > 100
    assert sum(number.startswith("rating-") for number in rows) == sum(not p.text for p in told)
    covered = house.covered()
    assert min(row.since for row in covered) <= datetime(2026, 7, 2, tzinfo=UTC)
    assert max(row.until for row in covered) <= MOMENT
    again = house.collect()
    assert (again.outcome, again.new, again.changed) == (Outcome.COMPLETE, 0, 0)
    assert "Nothing has changed" in again.message
    full = house.collect(full=True)
    assert (full.new, full.changed) == (0, 0), full


@pytest.mark.slow
def test_day_by_day_only_what_is_new_is_downloaded(house: House) -> None:
    house.brand.now = MOMENT - timedelta(days=40)
    house.collect()
    for day in range(39, -1, -3):
        house.brand.now = MOMENT - timedelta(days=day)
        report = house.collect()
        assert report.outcome is Outcome.COMPLETE, report
    july = next(path for path in house.brand.requests if path.endswith("_202607.csv"))
    assert house.brand.requests[july] <= 3
    before = {number: (row.text, row.stars) for number, row in house.rows().items()}
    full = house.collect(full=True)
    assert (full.new, full.changed) == (0, 0)
    assert before == {number: (row.text, row.stars) for number, row in house.rows().items()}


def files(path: str) -> str:
    return f"/storage/v1/b/{BUCKET}/o{path}"


@pytest.mark.parametrize(
    ("prefix", "fault", "outcome", "sentence"),
    [
        ("", Fault(status=401), Outcome.BLOCKED, "refused the access token"),
        ("", Fault(status=403), Outcome.BLOCKED, "download bulk reports"),
        ("", Fault(status=404), Outcome.MISCONFIGURED, "There is no bucket"),
        ("", Fault(status=429, headers={"Retry-After": "900"}), Outcome.RATE_LIMITED, "900 s"),
        ("", Fault(status=500), Outcome.UNAVAILABLE, "out of order"),
        ("", Fault(body=b'{"items": 3}'), Outcome.LAYOUT_CHANGED, "no list of objects"),
        ("", Fault(body=b'{"kind": "storage#objects"}'), Outcome.MISCONFIGURED, "no review report"),
        ("", Fault(body=b'{"error": {"code": 503}}'), Outcome.UNAVAILABLE, "inside a 200"),
        ("/reviews", Fault(truncate=400), Outcome.UNAVAILABLE, "broke off"),
        ("/reviews", Fault(status=403), Outcome.BLOCKED, "download bulk reports"),
        ("/reviews", Fault(body=sheet(head=("A", "B"))), Outcome.LAYOUT_CHANGED, "no column"),
    ],
)
def test_a_fault_has_its_outcome_and_passes(
    prefix: str, fault: Fault, outcome: Outcome, sentence: str, house: House
) -> None:
    house.brand.faults[files(prefix)] = fault
    report = house.collect()
    assert (report.outcome, sentence in report.message) == (outcome, True), report
    house.brand.faults.clear()
    assert house.collect().outcome is Outcome.COMPLETE
    assert len(house.rows()) > 100


def test_what_is_missing_in_the_account_is_said_by_check(house: House) -> None:
    assert house.prove() == "answers"
    with pytest.raises(Trouble, match="There is no bucket"):
        house.prove(bucket="pubsite_prod_rev_000")
    with pytest.raises(Trouble, match=r"no review report of br\.com\.nobody"):
        house.prove(package="br.com.nobody")
    house.brand.services.google_play_reports.permitted = False
    with pytest.raises(Trouble, match="download bulk reports"):
        house.prove()


def test_a_list_in_a_circle_ends(house: House) -> None:
    body = {"kind": "storage#objects", "items": [], "nextPageToken": "x"}
    house.brand.faults[files("")] = Fault(body=json.dumps(body).encode())
    report = house.collect()
    assert report.outcome is Outcome.UNAVAILABLE
    assert "in a circle" in report.message


def test_a_folder_is_read_month_by_month_and_an_edit_wins(house: House) -> None:
    folder = house.folder / "reports"
    folder.mkdir()
    later = {
        "Review Last Update Millis Since Epoch": "1789000000000",
        "Review Text": "Mudei de ideia",
        "Star Rating": "1",
    }
    (folder / named("202608")).write_bytes(sheet(PLAIN))
    (folder / named("202609")).write_bytes(sheet(PLAIN | later))
    (folder / "reviews_com.other.app_202609.csv").write_bytes(sheet(head=("A",)))
    report = house.collect(path="reports")
    assert (report.outcome, report.new, report.changed) == (Outcome.COMPLETE, 1, 1), report
    (row,) = house.rows().values()
    assert (row.text, row.stars) == ("Mudei de ideia", 1)
    assert row.published_at.isoformat().startswith("2026-08-05T14:40:32.542")
    again = house.collect(path="reports")
    assert (again.outcome, again.pages) == (Outcome.COMPLETE, 1)
    assert "Nothing has changed" in again.message
    full = house.collect(path="reports/*.csv", full=True)
    assert (full.new, full.changed) == (0, 0), full


def test_bad_rows_of_each_file_stand_beside_it(house: House) -> None:
    for month in ("202608", "202609"):
        bad = PLAIN | {"Star Rating": "9"}
        (house.folder / named(month)).write_bytes(sheet(PLAIN, bad))
    report = house.collect(path="reviews_*")
    assert (report.outcome, report.rejected) == (Outcome.COMPLETE, 2), report
    beside = [
        house.folder / f"{Path(named(month)).stem}.rejected.csv" for month in ("202608", "202609")
    ]
    assert all("no rating" in path.read_text(encoding="utf-8-sig") for path in beside)
    house.collect(path="reviews_*")
    assert all(path.exists() for path in beside)


@pytest.mark.parametrize("path", ["nothing", "reports", "no*.csv"])
def test_a_place_without_reports_names_the_mend(path: str, house: House) -> None:
    (house.folder / "reports").mkdir()
    report = house.collect(path=path)
    assert report.outcome is Outcome.MISCONFIGURED
    assert "`path`" in report.message
