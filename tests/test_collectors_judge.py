"""The judge: what an answer is worth, and how a run ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ouvidor.collectors.collector import Answer, Page, Trait, Trouble
from ouvidor.collectors.judge import Reading, check, clip, verdict, wait_asked
from ouvidor.storage.vocabulary import Outcome

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
FEED = frozenset({Trait.NEWEST_FIRST, Trait.CAPPED})
FILE = frozenset({Trait.WHOLE_FILE})


def reading(**facts: Any) -> Reading:
    plain = {
        "started": NOW,
        "first": False,
        "since": NOW - timedelta(days=1),
        "zone": ZoneInfo("America/Sao_Paulo"),
        "traits": FEED,
    }
    return Reading(**(plain | facts))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("Mon, 05 Oct 2026 15:01:00 GMT", 60),
        ("Mon, 05 Oct 2026 14:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert wait_asked(Answer(headers={"retry-after": value}), NOW) == seconds


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"<html><body>solve the captcha</body></html>", Outcome.BLOCKED),
        (b"\xef\xbb\xbf <!-- x --> <!DOCTYPE html><p>Just a moment</p> cf-chl", Outcome.BLOCKED),
        ("<html>Confirme que você não é um robô</html>".encode(), Outcome.BLOCKED),
        (b"<HTML><title>Maintenance</title></HTML>", Outcome.LAYOUT_CHANGED),
        (b"", Outcome.SUSPECT),
        (b" \r\n", Outcome.SUSPECT),
    ],
)
def test_a_200_that_is_none(body: bytes, outcome: Outcome) -> None:
    with pytest.raises(Trouble) as trouble:
        check(Answer(url="https://example.com/feed", body=body), NOW)
    assert trouble.value.outcome is outcome
    assert trouble.value.sentence.startswith("example.com ")


def test_data_that_speaks_of_captchas_is_data() -> None:
    check(Answer(url="https://example.com", body=b'{"text": "the captcha is annoying"}'), NOW)


def test_a_foreign_text_is_one_short_line() -> None:
    assert clip("a\n\x1b[31mb" + "c" * 200) == ("a [31mb" + "c" * 112 + "…")
    assert len(clip("x" * 500)) == 120


def test_a_first_run_covers_from_the_day_of_the_oldest() -> None:
    facts = reading(first=True, since=None, ended=True, new=3, oldest=NOW - timedelta(days=3))
    found = verdict(facts)
    assert (found.outcome, found.joined) == (Outcome.COMPLETE, True)
    assert found.covered == (datetime(2026, 10, 2, 3, tzinfo=UTC), NOW)


def test_a_later_run_covers_from_the_start_of_the_one_before() -> None:
    found = verdict(reading(joined=True, unchanged=50, oldest=NOW - timedelta(days=90)))
    assert found.covered == (NOW - timedelta(days=1), NOW)


def test_a_capped_run_covers_what_it_saw_and_tells_the_gap() -> None:
    oldest = NOW - timedelta(hours=5)
    found = verdict(reading(ended=True, capped=True, new=500, oldest=oldest))
    assert (found.outcome, found.joined) == (Outcome.CAPPED, True)
    assert found.covered == (oldest + timedelta(seconds=1), NOW)
    since = (NOW - timedelta(days=1)).isoformat()
    assert found.details["gap"] == {"since": since, "until": oldest.isoformat()}


def test_a_capped_run_that_joined_is_complete() -> None:
    facts = reading(ended=True, capped=True, joined=True, unchanged=500, oldest=NOW)
    assert verdict(facts).outcome is Outcome.COMPLETE


def test_not_modified_is_complete_up_to_now() -> None:
    found = verdict(reading(not_modified=True))
    assert (found.outcome, found.covered) == (Outcome.COMPLETE, (NOW - timedelta(days=1), NOW))


def test_without_dates_a_first_run_covers_nothing() -> None:
    assert verdict(reading(first=True, since=None, ended=True, new=3)).covered is None


def test_said_to_be_empty_covers_today() -> None:
    found = verdict(reading(first=True, since=None, ended=True, empty=True))
    assert (found.outcome, found.message) == (
        Outcome.COMPLETE,
        "The source says that there is nothing.",
    )
    assert found.covered == (datetime(2026, 10, 5, 3, tzinfo=UTC), NOW)


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({"ended": True}, Outcome.SUSPECT),
        ({"new": 4}, Outcome.PARTIAL),
        ({"ended": True, "rejected": 4}, Outcome.LAYOUT_CHANGED),
        ({"ended": True, "rejected": 4, "traits": FILE}, Outcome.MISCONFIGURED),
        ({"joined": True, "trouble": Trouble(Outcome.BLOCKED, "Refused.")}, Outcome.BLOCKED),
    ],
)
def test_what_proves_nothing_joins_and_covers_nothing(
    facts: dict[str, Any], outcome: Outcome
) -> None:
    made = reading(**facts)
    made.reasons.update({"it has no id": made.rejected})
    found = verdict(made)
    assert (found.outcome, found.joined, found.covered) == (outcome, False, None)
    assert found.message.endswith(".")


def test_what_was_kept_is_told() -> None:
    facts = reading(pages=2, new=8, unchanged=1, trouble=Trouble(Outcome.BLOCKED, "Refused."))
    assert verdict(facts).message == "Refused. Kept: 8 new, 0 changed, 1 unchanged."


def test_a_file_covers_its_own_days_and_not_the_future() -> None:
    old = NOW - timedelta(days=400)
    past = reading(traits=FILE, ended=True, new=2, oldest=old, newest=old + timedelta(days=1))
    assert verdict(past).covered == (
        datetime(2025, 8, 31, 3, tzinfo=UTC),
        datetime(2025, 9, 2, 3, tzinfo=UTC),
    )
    today = reading(traits=FILE, ended=True, new=2, oldest=NOW, newest=NOW)
    assert verdict(today).covered == (datetime(2026, 10, 5, 3, tzinfo=UTC), NOW)


def test_the_last_page_of_many_ends_the_reading() -> None:
    made = reading()
    made.end(Page(capped=True, empty=False))
    made.end(Page())
    assert (made.ended, made.capped, made.empty) == (True, True, False)
