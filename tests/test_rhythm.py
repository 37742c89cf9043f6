"""When a source is read again: every so many hours, by cron, through changes of time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ouvidor.config import Config, ConfigError, parse
from ouvidor.rhythm import by_cron, longest, rhythm

HOUR = timedelta(hours=1)
NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)


def config(source: str = "", schedule: str = "", brand: str = "Loja") -> Config:
    return parse(
        f'[brand]\nname = "{brand}"\n[sources.a]\nkind = "file"\npath = "a.csv"\n{source}'
        f"[schedule]\n{schedule}"
    )


def test_every_so_many_hours_and_a_little_later() -> None:
    chosen = rhythm(config(), "a")
    found = chosen.again(NOW, True)
    assert NOW + 6 * HOUR <= found <= NOW + 6 * HOUR + timedelta(minutes=5)
    assert found == chosen.again(NOW, True)  # a date can be told beforehand
    # Other houses and other moments are spread otherwise.
    others = {rhythm(config(brand=f"Loja {n}"), "a").again(NOW, True) for n in range(20)}
    assert len(others) == 20


def test_what_is_read_often_is_spread_little() -> None:
    chosen = rhythm(config("every_hours = 0.1\n"), "a")
    for minute in range(60):
        now = NOW + timedelta(minutes=minute)
        assert now + 0.1 * HOUR <= chosen.again(now, True) <= now + 0.11 * HOUR


def test_no_jitter_is_none() -> None:
    assert rhythm(config("", "jitter_minutes = 0\n"), "a").again(NOW, True) == NOW + 6 * HOUR


def test_what_went_wrong_comes_again_within_the_hour() -> None:
    assert rhythm(config(), "a").again(NOW, False) == NOW + HOUR
    often = rhythm(config("every_hours = 0.5\n"), "a")
    assert often.again(NOW, False) <= NOW + 0.55 * HOUR
    assert rhythm(config('cron = "0 3 1 * *"\n'), "a").again(NOW, False) == NOW + HOUR


@pytest.mark.parametrize(
    ("line", "zone", "after", "dates"),
    [
        ("30 6 * * *", "America/Sao_Paulo", "2026-10-05T15:00Z", ["2026-10-06T09:30Z"]),
        # Cron's week begins on Sunday: 1 is a Monday, 0 and 7 are Sundays.
        ("0 8 * * 1", "UTC", "2026-10-05T08:00Z", ["2026-10-12T08:00Z"]),
        ("0 8 * * 7", "UTC", "2026-10-05T08:00Z", ["2026-10-11T08:00Z"]),
        ("0 8 * * 1-5", "UTC", "2026-10-09T08:00Z", ["2026-10-12T08:00Z", "2026-10-13T08:00Z"]),
        ("0 8 * * sat,sun", "UTC", "2026-10-05T08:00Z", ["2026-10-10T08:00Z", "2026-10-11T08:00Z"]),
        # Berlin's clocks go back on 25 October 2026: the hour that comes twice counts once.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00Z",
            ["2026-10-25T00:30Z", "2026-10-26T01:30Z"],
        ),
        # They go forward on 28 March 2027: the hour that is skipped is met an hour later.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2027-03-27T12:00Z",
            ["2027-03-28T01:30Z", "2027-03-29T00:30Z"],
        ),
        # Santiago skips midnight: no day is left out.
        (
            "0 0 * * *",
            "America/Santiago",
            "2026-09-05T12:00Z",
            ["2026-09-06T04:00Z", "2026-09-07T03:00Z"],
        ),
    ],
)
def test_cron_is_read_in_the_brands_zone(
    line: str, zone: str, after: str, dates: list[str]
) -> None:
    following = by_cron(line, ZoneInfo(zone), "here")
    moment, found = datetime.fromisoformat(after), []
    for _ in dates:
        moment = following(moment)
        found.append(moment)
    assert found == [datetime.fromisoformat(each) for each in dates]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Santiago", "Asia/Beirut", "UTC"])
@pytest.mark.parametrize("line", ["0 2 * * *", "30 23 * * *", "0 0 * * *"])
def test_whatever_the_clocks_do_once_a_day_is_once_a_day(line: str, zone: str) -> None:
    following, where = by_cron(line, ZoneInfo(zone), "here"), ZoneInfo(zone)
    moment, days = datetime(2026, 1, 1, tzinfo=UTC), []
    for _ in range(400):
        moment = following(moment)
        # A tick at any time before agrees.
        assert following(moment - timedelta(seconds=1)) == moment
        days.append(moment.astimezone(where).date())
    assert days == [days[0] + timedelta(days=n) for n in range(400)]


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Europe/Berlin", 24), ("Europe/Berlin", 176), ("America/Santiago", -27), ("UTC", 0)],
)
def test_an_hourly_line_never_stands_still(zone: str, day: int) -> None:
    following = by_cron("0 * * * *", ZoneInfo(zone), "here")
    moment = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=day)
    for _ in range(48):
        after = following(moment)
        assert HOUR <= after - moment <= 2 * HOUR
        moment = after


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("often", "sources.a.cron: 'often' is no line of cron"),
        ("61 * * * *", "write five fields (minute, hour, day, month, weekday) like"),
        ("0 8 * * xyz", "is no line of cron"),
        ("0 8 * *", "is no line of cron"),
        ("0 0 31 2 *", "names a day that never comes"),
        ("0 8 1 * 1", "names days of the month and of the week; leave one of them '*'"),
    ],
)
def test_a_line_that_is_none_is_told(line: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as told:
        rhythm(config(f'cron = "{line}"\n'), "a")
    assert sentence in str(told.value)


def test_a_source_has_one_rhythm() -> None:
    with pytest.raises(ConfigError, match="every_hours and cron say two things; keep one"):
        config('cron = "0 8 * * *"\nevery_hours = 3\n')


@pytest.mark.parametrize(
    ("source", "days"),
    [
        ("", 0.25),
        ("every_hours = 48\n", 2),
        ('cron = "0 8 * * mon-fri"\n', 3),
        ('cron = "0 8 1 * *"\n', 31),
    ],
)
def test_the_longest_pause_is_known(source: str, days: float) -> None:
    found = longest(config(source), "a", NOW)
    assert abs(found - timedelta(days=days)) < 2 * HOUR


@pytest.mark.parametrize("line", ["30 0 * * *", "0 6 * * mon,thu", "15 2 1 * *"])
def test_a_date_is_the_same_whatever_was_asked_before(line: str) -> None:
    zone, draw = ZoneInfo("America/Sao_Paulo"), random.Random(line)  # noqa: S311 - no secret
    remembers = by_cron(line, zone, "here")
    # Over both changes of the clock, the one that skips midnight among them.
    begin = datetime(2015, 2, 20, tzinfo=UTC)
    for _ in range(200):
        begin += timedelta(minutes=draw.randint(0, 3000))
        moment = begin - timedelta(minutes=draw.randint(0, 3000))
        anew = by_cron.__wrapped__(line, zone, "here")
        found = remembers(moment)
        assert found == anew(moment)
        assert remembers(found - timedelta(microseconds=1)) == found
        assert remembers(found) == anew(found) > found
