"""One run from end to end on loopback, and what ends it early."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from contract import suite
from sqlalchemy import select
from stored import stored_in

from ouvidor.collectors import manners
from ouvidor.collectors.collector import Options, kinds
from ouvidor.collectors.run import run_source
from ouvidor.config import Source
from ouvidor.storage import tables as t
from ouvidor.storage.runs import RunInProgressError, open_run
from ouvidor.storage.vocabulary import Outcome


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Any]:
    with suite.kit("app_store", suite.HERE / "app_store", tmp_path / "house") as made:
        yield made


def test_kinds_are_found_by_themselves() -> None:
    assert {"app_store", "file"} <= set(kinds())
    assert list(kinds()) == sorted(kinds())


def test_a_wrong_configuration_is_an_outcome_too(kit: Any) -> None:
    source = Source(kind="app_store", options={"app": "x", "country": "br"})
    report = run_source(kit.db, "source", source, door=kit.door, now=suite.START, folder=kit.folder)
    assert report.outcome is Outcome.MISCONFIGURED
    assert report.message.startswith("sources.source.app: ")
    with kit.db.read() as connection:
        assert connection.execute(select(t.run.c.finished_at)).scalar_one() is not None


def test_nothing_new_costs_one_request_and_proves_the_day(kit: Any) -> None:
    kit.show("first")
    kit.run()
    kit.show("first")
    report = kit.run()
    assert (report.outcome, report.message) == (
        Outcome.COMPLETE,
        "Nothing has changed since the last run.",
    )
    assert len(kit.host.asked) == 1
    assert max(row.until for row in kit.covered()) == kit.at


def test_not_modified_is_not_believed_after_a_run_that_failed(kit: Any) -> None:
    kit.show("first", suite.Fault(status=500, at=1))
    assert kit.run().new == 4
    kit.show("first")
    report = kit.run()
    assert (report.outcome, report.new, report.unchanged) == (Outcome.COMPLETE, 7, 4)


def test_an_old_validator_is_not_believed_after_a_later_failure(kit: Any) -> None:
    kit.show("first")
    kit.run()
    kit.show("edited", suite.Fault(status=500, at=1))
    kit.run()
    kit.show("edited")
    report = kit.run()
    assert report.outcome is Outcome.COMPLETE
    assert len(kit.host.asked) > 1


def test_everything_is_read_again_after_a_week(kit: Any) -> None:
    kit.show("first")
    kit.run()
    kit.at += timedelta(days=6)
    kit.show("first")
    assert kit.run().pages == 0
    kit.at += timedelta(days=1)
    kit.show("first")
    assert kit.run().pages == 3
    kit.show("first")
    assert kit.run().pages == 0


def test_another_app_is_another_beginning(kit: Any) -> None:
    kit.show("first")
    kit.run()
    kit.show("first")
    report = kit.run(app="900000002")
    assert (report.outcome, len(kit.host.asked)) == (Outcome.MISCONFIGURED, 1)


def test_days_of_an_incremental_run_follow_one_another(kit: Any) -> None:
    kit.show("first")
    kit.run()
    kit.at += timedelta(days=2)
    kit.show("later")
    kit.run()
    days = [row.day for row in kit.covered()]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
    assert [row.day for row in kit.covered() if not row.whole] == [days[-1]]


def test_two_runs_of_one_source_exclude_each_other(kit: Any) -> None:
    open_run(kit.db, source="source", kind="app_store", now=suite.START)
    with pytest.raises(RunInProgressError):
        run_source(
            kit.db, "source", kit.source(), door=kit.door, now=suite.START, folder=kit.folder
        )


def test_a_wait_that_is_too_long_is_not_waited(kit: Any) -> None:
    kit.show("first", suite.Fault(status=503, headers={"Retry-After": "3600"}))
    began = time.monotonic()
    report = kit.run(retries=3, patience=1)
    assert (report.outcome, len(kit.host.asked)) == (Outcome.UNAVAILABLE, 1)
    assert time.monotonic() - began < 60


def test_a_hiccup_is_asked_again(kit: Any) -> None:
    kit.show("first", suite.Fault(cut=True, at=1))
    report = kit.run(retries=1, backoff=0.01)
    assert (report.outcome, report.new) == (Outcome.COMPLETE, 11)


def test_too_many_requests_of_our_own_end_a_run(kit: Any) -> None:
    kit.show("first")
    report = kit.run(max_requests=2)
    assert (report.outcome, report.pages) == (Outcome.PARTIAL, 2)
    assert "`max_requests`" in report.message


def test_manners() -> None:
    options = Options(contact="mailto:cx@example.com")
    settings = manners.scrapy_settings(options, "https://example.com/x")
    assert settings["ROBOTSTXT_OBEY"]
    assert settings["CONCURRENT_REQUESTS_PER_DOMAIN"] == 1
    assert settings["DOWNLOAD_DELAY"] == manners.DELAY
    assert settings["DOWNLOAD_VERIFY_CERTIFICATES"]
    assert settings["USER_AGENT"].endswith("(+mailto:cx@example.com)")
    for door in ("REMOTE_CONTROL_ENABLED", "TELNETCONSOLE_ENABLED", "COOKIES_ENABLED"):
        assert settings[door] is False
    assert manners.scrapy_settings(Options(), "http://127.0.0.1:1/")["DOWNLOAD_DELAY"] == 0
    assert manners.scrapy_settings(Options(delay=9), "http://localhost/")["DOWNLOAD_DELAY"] == 9


def test_a_name_that_leads_nowhere(kit: Any) -> None:
    source = Source(
        kind="app_store",
        base_url="http://nowhere.invalid",
        options={"app": "900000001", "country": "br", "retries": 0, "delay": 0},
    )
    report = run_source(kit.db, "source", source, door=kit.door, now=suite.START, folder=kit.folder)
    assert report.outcome is Outcome.UNAVAILABLE
    assert report.message.startswith("No machine is called nowhere.invalid")


def test_nothing_of_a_review_reaches_the_log(kit: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    kit.show("first")
    kit.run()
    assert "source: page 1: 4 new, 0 changed, 0 unchanged" in caplog.text
    for word in ("Zuleide", "rastreio", "529.982"):
        assert word not in caplog.text


CHILD = """
import json, sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo
from ouvidor.collectors.run import run_source
from ouvidor.config import Source
from ouvidor.storage.database import open_database
from ouvidor.storage.feedback import Door

url, folder, now, options, stored = sys.argv[1:]
db = open_database(stored)
source = Source(kind="app_store", base_url=url, options=json.loads(options))
door = Door(b"a key of thirty-two bytes, really", ZoneInfo("America/Sao_Paulo"))
report = run_source(
    db, "source", source, door=door, now=datetime.fromisoformat(now), folder=Path(folder)
)
print(json.dumps([report.outcome, report.message, report.new, report.stopped]))
"""


class Children:
    """Real processes, each collecting once."""

    def __init__(self, kit: Any, folder: Path) -> None:
        self.kit, self.folder = kit, folder
        self.at = datetime(2026, 10, 5, 15, tzinfo=UTC)

    def start(self) -> subprocess.Popen[str]:
        self.at += timedelta(minutes=1)
        options = {"app": "900000001", "country": "br", "max_pages": 4, "retries": 0, "delay": 0}
        arguments = [self.kit.host.url, str(self.folder), self.at.isoformat(), json.dumps(options)]
        arguments.append(stored_in(self.folder, "child.db"))
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True
        )

    def result(self) -> Any:
        out, _ = self.start().communicate(timeout=60)
        return json.loads(out)

    def caught_at(self, request: int) -> subprocess.Popen[str]:
        """A child that hangs in its request number ``request``."""
        self.kit.show("first", suite.Fault(hang=True, at=request))
        child = self.start()
        deadline = time.monotonic() + 60
        while len(self.kit.host.asked) <= request and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.kit.host.asked) == request + 1
        return child


@pytest.fixture
def children(kit: Any, tmp_path: Path) -> Children:
    return Children(kit, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_a_run_closes_in_time_and_keeps_what_it_has(
    children: Children, number: signal.Signals
) -> None:
    child = children.caught_at(1)
    began = time.monotonic()
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert time.monotonic() - began < 5
    assert json.loads(out) == [
        "partial",
        f"Stopped by {number.name}; the next run goes on. Kept: 4 new, 0 changed, 0 unchanged.",
        4,
        True,
    ]
    children.kit.show("first")
    assert children.result()[0::2] == ["complete", 7]


@pytest.mark.slow
def test_killed_on_any_page_and_resumed_the_set_is_the_same(children: Children) -> None:
    for request in range(3):
        child = children.caught_at(request)
        child.kill()
        child.communicate(timeout=60)
    children.kit.show("first")
    outcome, _message, new, _stopped = children.result()
    assert (outcome, new) == ("complete", 3)
    children.kit.show("first")
    assert children.kit.run().new == 11
    database = suite.open_database(stored_in(children.folder, "child.db"))
    with database.read() as connection:
        columns = (t.feedback.c.external_id, t.feedback.c.text, t.feedback.c.stars)
        found = {tuple(row) for row in connection.execute(select(*columns))}
        ends = connection.execute(select(t.run.c.outcome).order_by(t.run.c.id)).scalars().all()
    database.close()
    assert found == {(key, text, stars) for key, (_, text, stars) in children.kit.rows().items()}
    assert ends == ["partial", "partial", "partial", "complete"]


@pytest.mark.slow
@pytest.mark.parametrize("style", ["json", "xml"])
def test_real_recordings_twice_through_the_whole_run(
    corpus: Path, kit: Any, style: str, tmp_path: Path
) -> None:
    (recording,) = (corpus / "recordings" / "apple_rss").glob(f"*.{style}")
    moment = tmp_path / "real"
    moment.mkdir()
    (moment / "1").write_bytes(recording.read_bytes().replace(b"page=8/", b"page=1/"))
    path = f"/jp/rss/customerreviews/page=1/id=1404176564/sortby=mostrecent/{style}"
    kit.host.routes = {path: "1"}
    kit.host.show(moment)
    first = kit.run(app="1404176564", country="jp", format=style)
    assert (first.outcome, first.new, first.rejected) == (Outcome.COMPLETE, 50, 0)
    again = kit.run(app="1404176564", country="jp", format=style, full=True)
    assert (again.outcome, again.new, again.changed) == (Outcome.COMPLETE, 0, 0)
    assert again.unchanged == 50


def test_a_run_keeps_counts_of_fields_and_of_the_parts_that_brought_something(
    tmp_path: Path,
) -> None:
    fixture = suite.HERE / "google_business"
    with suite.kit("google_business", fixture, tmp_path / "house") as kit:
        kit.show("first")
        report = kit.run()
        details = kit.details()
        assert details["fields"][""] == report.new > 0
        assert 0 < details["fields"]["stars"] <= report.new
        assert sum(details["brought"].values()) == report.new
        assert set(kit.told["source"]["locations"]) <= set(details["brought"])
        again = kit.run(full=True)
        assert again.new == 0
        assert sum(kit.details()["brought"].values()) == 0
