from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ouvidor.reports import baseline, spikes
from ouvidor.reports.spikes import Day, detect, read_csv, threshold
from ouvidor.storage.vocabulary import Severity, Spike

START = date(2026, 1, 5)


def days(negatives: Sequence[int | None], totals: Sequence[int] | None = None) -> list[Day]:
    return [
        Day(
            START + timedelta(days=step),
            count or 0,
            totals[step] if totals is not None else None,
            count is not None,
        )
        for step, count in enumerate(negatives)
    ]


def calm(length: int, mean: float, seed: int = 7) -> list[int]:
    return [int(count) for count in np.random.default_rng(seed).poisson(mean, length)]


def found(negatives: Sequence[int | None], totals: Sequence[int] | None = None) -> list[Spike]:
    return list(detect({"one": days(negatives, totals)}, budget_per_month=1))


def test_a_clear_spike_is_told_once_with_its_figures() -> None:
    counts = calm(100, 2)
    counts[90] = 14
    (spike,) = found(counts)
    assert spike.series == "one"
    assert spike.detected_on == spike.last_day == START + timedelta(days=90)
    assert spike.first_day <= spike.detected_on
    assert spike.observed >= 14
    assert 1 < spike.expected < 4
    assert spike.severity is Severity.WARNING
    assert spike.score > threshold(1, 1)
    assert spike.share is None
    assert spike.expected_share is None


def test_a_growing_spike_escalates_without_a_second_opening() -> None:
    counts = calm(120, 4)
    counts[100:108] = [13, 12, 14, 30, 45, 60, 60, 50]
    told = found(counts)
    ranks = [spike.severity.rank for spike in told]
    assert ranks == sorted(set(ranks))
    assert told[-1].severity is Severity.CRITICAL


def test_a_surge_of_everything_is_no_spike_but_a_risen_share_is() -> None:
    negatives, totals = calm(150, 5), [count + 45 for count in calm(150, 5)]
    more = list(negatives)
    more[130:135] = [17, 16, 18, 17, 16]
    busy = list(totals)
    busy[130:135] = [170, 165, 175, 170, 165]
    assert found(more, busy) == []
    (spike, *_) = found(more, [max(pair) for pair in zip(totals, more, strict=True)])
    assert spike.share is not None
    assert spike.expected_share is not None
    assert spike.share > 2 * spike.expected_share


def test_where_everything_is_negative_the_count_decides() -> None:
    counts = calm(150, 5)
    counts[140:143] = [25, 30, 28]
    assert len(found(counts, counts)) == 1


def test_an_alert_stays_one_through_unobserved_days_and_closes_after_quiet_ones() -> None:
    burst: list[int | None] = [20, 22, 21]
    gap: list[int | None] = [None] * 10
    rest: list[int | None] = [*calm(60, 2)]
    past: list[int | None] = [*calm(90, 2)]
    assert len(found([*past, *burst, *gap, *burst, *rest])) == 1
    assert len(found([*past, *burst, *rest, *burst])) == 2


def test_too_few_items_say_nothing() -> None:
    assert found([0] * 200 + [2]) == []
    assert found([0] * 200 + [3]) != []


def test_young_series_are_silent() -> None:
    assert found([1, 1, 1, 50, 50, 50, 50]) == []
    assert found([None] * 100 + [50]) == []


def test_more_series_share_the_budget() -> None:
    assert threshold(1, 300) > threshold(1, 30) > threshold(10, 30) >= spikes.FLOOR
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="give one above 0"):
            threshold(wrong, 3)


def test_a_small_rise_of_large_numbers_is_no_news() -> None:
    rng = np.random.default_rng(3)
    counts = [int(count) for count in rng.poisson(100_000, 120)]
    counts[110:117] = [106_000] * 7
    assert found(counts) == []


def test_severity_follows_the_effect_not_the_chance() -> None:
    assert spikes.severity(12_000, 10_000, 15_000) is Severity.NOTICE
    assert spikes.severity(12, 3, 5) is Severity.WARNING
    assert spikes.severity(40, 5, 8) is Severity.CRITICAL


@given(st.integers(0, 10**18), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_a_constant_series_never_alerts(level: int, length: int) -> None:
    assert found([level] * length, [level * 3] * length) == []


def test_all_missing_one_day_and_nothing() -> None:
    assert found([None] * 400) == []
    assert found([10**15]) == []
    assert list(detect({}, budget_per_month=1)) == []
    assert list(detect({"empty": []}, budget_per_month=1)) == []


@given(st.lists(st.one_of(st.none(), st.integers(0, 10**17)), max_size=120))
@settings(max_examples=30, deadline=None)
def test_any_history_gives_sound_figures_and_the_same_twice(counts: list[int | None]) -> None:
    told = found(counts)
    assert told == found(counts)
    for spike in told:
        assert spike.first_day <= spike.last_day == spike.detected_on
        assert spike.observed >= 3
        assert spike.observed - spike.expected >= 2
        assert np.isfinite(spike.score)
        assert counts[(spike.detected_on - START).days] is not None


@given(st.integers(0, 2**32), st.floats(0.2, 30), st.lists(st.integers(0, 119), max_size=40))
@settings(max_examples=8, deadline=None)
def test_unobserved_days_open_nothing(seed: int, mean: float, lost: list[int]) -> None:
    full: list[int | None] = [*calm(120, mean, seed)]
    holes = [None if step in lost else count for step, count in enumerate(full)]
    told = {spike.detected_on for spike in found(holes)}
    assert not told & {START + timedelta(days=step) for step in lost}
    # What a hole reveals is at most as surprising as a small change of the baseline allows.
    if not found(full):
        assert all(spike.score < threshold(1, 1) + 1.5 for spike in found(holes))


@given(st.integers(0, 2**32), st.integers(60, 110))
@settings(max_examples=8, deadline=None)
def test_the_past_does_not_depend_on_the_future(seed: int, cut: int) -> None:
    counts: list[int | None] = [*calm(120, 3, seed)]
    counts[90:93] = [15, 14, 16]
    until = START + timedelta(days=cut - 1)
    assert found(counts[:cut]) == [one for one in found(counts) if one.detected_on <= until]


def test_no_flapping_around_the_threshold() -> None:
    counts = [*calm(90, 3, 11), *[9, 3, 9, 2] * 4]
    told = found(counts)
    assert len({spike.severity for spike in told}) == len(told) <= 2


def test_groups_are_judged_on_what_their_observed_members_should_bring() -> None:
    rng = np.random.default_rng(6)
    counts = rng.poisson(6, (120, 3)).astype(float)
    counts[:60, 2] = np.nan  # a source that joins later
    counts[100:110, 0] = np.nan  # a source that is down for a while
    weekday = np.repeat((np.arange(120) % 7)[:, None], 3, axis=1)
    scanned = baseline.scan(baseline.Panel(counts, np.full_like(counts, np.nan), weekday))
    whole = spikes.judge(scanned.grouped([[0, 1, 2]]))
    assert np.nanmax(whole.score) < threshold(1, 4)
    counts[115:, :] += 6
    again = baseline.scan(baseline.Panel(counts, np.full_like(counts, np.nan), weekday))
    parts, whole = spikes.judge(again), spikes.judge(again.grouped([[0, 1, 2]]))
    assert whole.score[-1, 0] > np.max(parts.score[-1])


def test_read_csv_orders_days_and_leaves_unknown_totals_open() -> None:
    text = (
        "\ufeffSeries, date,negatives,total,observed,note\n"
        "b,2026-01-02,3,,1,x\n\na,2026-01-03,1,9,1,\na,2026-01-01,,,0,\n"
    )
    assert read_csv(io.StringIO(text)) == {
        "b": [Day(date(2026, 1, 2), 3, None, True)],
        "a": [Day(date(2026, 1, 1), 0, None, False), Day(date(2026, 1, 3), 1, 9, True)],
    }


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a,2026-13-01,1,2,1", "line 2: '2026-13-01' is no date"),
        ("a,2026-01-01,-1,2,1", "line 2: negatives is '-1'"),
        ("a,2026-01-01,5,2,1", "line 2: 5 negatives of a total of 2"),
        ("a,2026-01-01,x,2,1", "line 2: negatives is 'x'"),
        ("a,2026-01-01,1,2.5,1", "line 2: total is '2.5'"),
        ("a,2026-01-01,1,2,yes", "line 2: observed is 'yes'"),
        (",2026-01-01,1,2,1", "line 2: the series has no name"),
        ("a,2026-01-01,1", "line 2: 3 columns where the header has more"),
        ("a,2026-01-01,1,2,1\na,2026-01-01,1,2,1", "line 3: 2026-01-01 stands twice"),
        ('a,"2026', "line 2: "),
    ],
)
def test_read_csv_names_line_and_mend(row: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="line") as caught:
        read_csv(io.StringIO(f"series,date,negatives,total,observed\n{row}\n"))
    assert str(caught.value).startswith(sentence)


def test_read_csv_wants_a_header() -> None:
    with pytest.raises(ValueError, match="line 1: the header lacks series, date"):
        read_csv(io.StringIO(""))


def test_a_span_of_centuries_is_refused() -> None:
    far = {"a": [Day(date(1, 1, 1), 1, None, True), Day(date(9999, 1, 1), 1, None, True)]}
    with pytest.raises(ValueError, match="at most 20 years"):
        list(detect(far, budget_per_month=1))
