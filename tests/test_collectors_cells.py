"""Times and stars as people write them in tables."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ouvidor.collectors.cells import parse_scale, parse_stars, parse_time

BRAZIL = ZoneInfo("America/Sao_Paulo")
NOON = datetime(2026, 10, 11, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "cell",
    [
        "2026-10-11T12:00:00-03:00",
        "2026-10-11T15:00:00Z",
        "2026-10-11 15:00:00 UTC",
        "2026-10-11T15:00:00.000000000+00:00",
        "2026-10-11 12:00",
        "11/10/2026 12:00",
        "11/10/2026 12:00:00",
        "11/10/26 12:00",
        "11/10/2026, 12:00",
        "11/10/2026 às 12h00",
        "11.10.2026 12:00",
        "11-10-2026 12:00 PM",
        " 11/10/2026 12:00 ",
        "1791730800",
        "1791730800.0",
        "1791730800000",
    ],
)
def test_one_moment_in_many_hands(cell: str) -> None:
    assert parse_time(cell, BRAZIL) == NOON


def test_a_date_is_the_start_of_the_brands_day() -> None:
    start = datetime(2026, 10, 11, 3, tzinfo=UTC)
    assert [parse_time(cell, BRAZIL) for cell in ("2026-10-11", "11/10/2026", "20261011")] == [
        start
    ] * 3


def test_the_month_first_only_when_told() -> None:
    assert parse_time("10/11/2026 12:00", BRAZIL, order="mdy") == NOON
    assert parse_time("10/11/2026 12:00", BRAZIL) == datetime(2026, 11, 10, 15, tzinfo=UTC)
    with pytest.raises(ValueError, match="no date"):
        parse_time("10/31/2026", BRAZIL)


def test_a_form_of_ones_own() -> None:
    assert parse_time("11 Oct 2026 12h", BRAZIL, form="%d %b %Y %Hh") == NOON
    with pytest.raises(ValueError, match="no date"):
        parse_time("2026-10-11", BRAZIL, form="%d/%m/%Y")


@pytest.mark.parametrize("cell", ["", "   "])
def test_a_blank_cell_is_no_time(cell: str) -> None:
    assert parse_time(cell, BRAZIL) is None


@pytest.mark.parametrize(
    "cell",
    [
        "ontem",
        "20225-09-14T04:24:23-07:00",
        "31/13/2026",
        "2026-02-30",
        "99/99/9999",
        "12",
        "45231.5",
    ],
)
def test_what_is_no_time_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="no date"):
        parse_time(cell, BRAZIL)


@pytest.mark.parametrize(
    ("cell", "stars", "note"),
    [
        ("4", 4, "4"),
        ("4,0", 4, "4"),
        ("4.5", 5, "4.5"),
        ("3.4", 3, "3.4"),
        ("5 estrelas", 5, "5"),
        ("1 estrela", 1, "1"),
        ("2 stars", 2, "2"),
        ("4/5", 4, "4"),
        ("4 de 5", 4, "4"),
        ("3 out of 5", 3, "3"),
        ("★★★★", 4, "4"),
        ("★★★☆☆", 3, "3"),
        ("⭐⭐", 2, "2"),
    ],
)
def test_stars(cell: str, stars: int, note: str) -> None:
    assert parse_stars(cell) == (stars, note, "1-5")


@pytest.mark.parametrize(
    ("cell", "scale", "stars"),
    [
        ("0", "0-10", 1),
        ("3", "0-10", 2),
        ("5", "0-10", 3),
        ("8", "0-10", 4),
        ("9", "0-10", 5),
        ("10", "0-10", 5),
        ("1", "1-7", 1),
        ("4", "1-7", 3),
        ("100", "0-100", 5),
        ("8/10", "1-5", 4),
    ],
)
def test_another_scale_is_spread_over_five_stars(cell: str, scale: str, stars: int) -> None:
    found = parse_stars(cell, scale)
    assert found is not None
    assert (found[0], found[1]) == (stars, cell.partition("/")[0])
    assert found[2] == ("0-10" if "/" in cell else scale)


@pytest.mark.parametrize("cell", ["", " ", "-", "N/A", "sem nota", "null"])
def test_no_note(cell: str) -> None:
    assert parse_stars(cell) is None


@pytest.mark.parametrize("cell", ["9", "0", "-1", "ótimo", "4 4", "1e3"])
def test_a_note_outside_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="note"):
        parse_stars(cell)


@pytest.mark.parametrize("scale", ["10", "5-1", "3-3", "um a cinco", ""])
def test_a_scale_needs_two_ends(scale: str) -> None:
    with pytest.raises(ValueError, match="'0-10'"):
        parse_scale(scale)
