from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

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


@pytest.mark.slow
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


@pytest.mark.slow
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


STORY = calm(150, 4)
STORY[110:116] = [22, 30, 28, 26, 24, 20]


def of(counts: Sequence[int | None], start: date = START) -> list[Day]:
    return [
        Day(start + timedelta(days=step), count or 0, None, count is not None)
        for step, count in enumerate(counts)
    ]


@pytest.mark.slow
@given(st.permutations(["loja", "site", "app"]), st.integers(0, 2**32))
@settings(max_examples=6, deadline=None)
def test_the_order_of_series_and_a_replay_change_nothing(order: list[str], seed: int) -> None:
    lines = {name: of(calm(120, 3, seed + place)) for place, name in enumerate(sorted(order))}
    lines["site"] = of(STORY[20:140])
    once = list(detect(lines, budget_per_month=1))
    again = list(detect({name: lines[name] for name in order}, budget_per_month=1))
    assert once == again
    shuffled = {name: list(reversed(one)) for name, one in lines.items()}
    assert list(detect(shuffled, budget_per_month=1)) == once
    assert once


@pytest.mark.slow
@given(st.integers(60, 109), st.integers(1, 14))
@settings(max_examples=6, deadline=None)
def test_unobserved_days_before_a_spike_neither_hide_nor_double_it(at: int, length: int) -> None:
    # Whole weeks, so that every day keeps its weekday.
    gap = [None] * (7 * length)
    (plain, *_) = list(detect({"one": of(STORY)}, budget_per_month=1))
    told = list(detect({"one": of([*STORY[:at], *gap, *STORY[at:]])}, budget_per_month=1))
    opened = [spike for spike in told if spike.severity.rank <= told[0].severity.rank]
    assert len(opened) == 1
    late = told[0].detected_on - plain.detected_on - timedelta(days=len(gap))
    assert timedelta(0) <= late <= timedelta(days=1)


@pytest.mark.slow
@given(st.integers(-400, 400))
@settings(max_examples=6, deadline=None)
def test_weeks_earlier_or_later_the_same_is_found(weeks: int) -> None:
    shift = timedelta(days=7 * weeks)
    plain = list(detect({"one": of(STORY)}, budget_per_month=1))
    moved = list(detect({"one": of(STORY, START + shift)}, budget_per_month=1))
    assert [spike.detected_on - shift for spike in moved] == [each.detected_on for each in plain]
    assert [spike.score for spike in moved] == [each.score for each in plain]


@pytest.mark.slow
@given(st.integers(0, 2**32), st.floats(0.3, 20), st.integers(1, 6))
@settings(max_examples=6, deadline=None)
def test_an_alert_never_tells_the_same_twice(seed: int, mean: float, times: int) -> None:
    counts = calm(160, mean, seed)
    for day in range(60, 130):
        counts[day] *= times
    told = found(counts)
    for one, two in pairwise(told):
        # Told again means graver, or newer days after the alert had been over.
        graver = two.severity.rank > one.severity.rank
        assert graver or two.detected_on - one.detected_on > timedelta(days=spikes.QUIET_DAYS)
        assert two.detected_on > one.detected_on


@pytest.mark.slow
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 10**15]), st.integers(1, 400))
@settings(max_examples=6, deadline=None)
def test_series_without_news_say_nothing(seed: int, level: int, length: int) -> None:
    holes = np.random.default_rng(seed).random(length) < 0.2
    assert found([None if hole else level for hole in holes]) == []


@pytest.mark.slow
@given(st.integers(10, 15), st.integers(20, 90))
@settings(max_examples=6, deadline=None)
def test_astronomical_counts_are_found_and_stay_finite(power: int, at: int) -> None:
    counts = [10**power] * 100
    counts[at] = 9 * 10 ** (power + 1)
    told = found(counts)
    big = counts[at] > baseline.MOST * 2
    assert told or big
    for spike in told:
        assert np.isfinite([spike.score, spike.expected]).all()
        assert spike.detected_on == START + timedelta(days=at)


def test_late_feedback_is_no_calm_and_no_storm() -> None:
    """Half of the newest day has come: it is judged as half a day, and learnt as a whole one."""
    size, rng = 40, np.random.default_rng(3)
    stream, half, whole = baseline.Stream(size), np.full(size, 0.5), np.ones(size)
    none, day = np.full(size, np.nan), np.zeros(size, int)
    last = np.zeros(size)
    for step in range(120):
        if step:
            stream.amend(0, last, none, whole)
        last = rng.poisson(8, size).astype(float)
        seen = np.floor(last / 2)
        observed, expected, *_ = stream.advance(seen, none, day + step % 7, half)
    assert expected[0].mean() == pytest.approx(4, rel=0.1)
    assert expected[-1].mean() == pytest.approx(6.5 * 8, rel=0.05)
    assert observed[-1].mean() == pytest.approx(6.5 * 8, rel=0.05)
    with pytest.raises(ValueError, match="only the last 7 days"):
        stream.amend(8, last, none, whole)
