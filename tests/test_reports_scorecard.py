"""What customers said becomes a score that knows how little it knows."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ouvidor.config import Touchpoint
from ouvidor.reports.scorecard import TOO_FEW, Score, Scorecard, Telling, scorecard
from ouvidor.storage.vocabulary import SeriesDay, Stage, Topic

MONDAY, SUNDAY = date(2026, 11, 16), date(2026, 11, 22)
BEFORE = MONDAY - timedelta(days=10)


def touchpoint(stage: Stage = Stage.AFTER, target: float = 4.0) -> Touchpoint:
    return Touchpoint(name="Any", stage=stage, topics=[Topic.DELIVERY], target=target)


def said(
    key: str,
    scores: list[float],
    *,
    day: date = MONDAY,
    negatives: int | None = None,
    observed: bool = True,
    source: str = "shop",
) -> SeriesDay:
    """One day of one touchpoint where each score was a mention."""
    return SeriesDay(
        touchpoint=key,
        source=source,
        day=day,
        negatives=sum(score < 2 for score in scores) if negatives is None else negatives,
        mentions=len(scores),
        total=len(scores),
        score_sum=sum(scores),
        score_squares=sum(score * score for score in scores),
        observed=observed,
    )


def card(rows: list[SeriesDay], **assessments: int) -> Scorecard:
    touchpoints = {row.touchpoint: touchpoint() for row in rows}
    return scorecard(rows, touchpoints, since=MONDAY, until=SUNDAY, assessments=assessments)


def one(rows: list[SeriesDay], key: str = "delivery") -> Score:
    [score] = [score for score in card(rows).scores if score.touchpoint == key]
    return score


def test_many_mentions_speak_for_themselves() -> None:
    rows = [said("delivery", [1.0, 5.0] * 1000), said("app", [5.0] * 2000)]
    assert one(rows).score == pytest.approx(3.0, abs=0.02)
    assert one(rows, "app").score == pytest.approx(5.0, abs=0.02)


def test_few_mentions_are_pulled_towards_the_journey() -> None:
    journey = [said("app", [4.0, 5.0] * 300), said("shop", [3.5, 5.0] * 300)]
    small = one([*journey, said("delivery", [1.0] * 6 + [3.0] * 6)]).score
    large = one([*journey, said("delivery", [1.0] * 600 + [3.0] * 600)]).score
    assert small is not None
    assert large is not None
    assert 2.0 < large < small < 4.4


def test_a_journey_of_one_touchpoint_has_its_own_mean() -> None:
    assert one([said("delivery", [1.0, 3.0, 5.0, 5.0] * 5)]).score == pytest.approx(3.5)


def test_more_mentions_narrow_the_interval() -> None:
    def width(times: int) -> float:
        score = one([said("delivery", [1.0, 5.0] * times), said("app", [3.0, 5.0] * 50)])
        assert score.low is not None
        assert score.high is not None
        return score.high - score.low

    assert width(200) < width(50) < width(10)


def test_below_the_floor_there_is_no_score() -> None:
    nine, ten = (one([said("delivery", [1.0] * n)]) for n in (TOO_FEW - 1, TOO_FEW))
    assert (nine.telling, nine.score, nine.low, nine.gap, nine.cost) == (
        Telling.FEW, None, None, None, 0,
    )  # fmt: skip
    assert nine.mentions == TOO_FEW - 1
    assert ten.telling is Telling.TOLD
    assert ten.score is not None


def test_no_mention_is_silence_only_where_somebody_listened() -> None:
    silent = [said("delivery", [], day=MONDAY + timedelta(days=n)) for n in range(7)]
    assert one(silent).telling is Telling.SILENT
    gap = [*silent[:6], said("delivery", [], day=SUNDAY, observed=False)]
    assert one(gap).telling is Telling.UNOBSERVED
    assert one([said("delivery", [], day=BEFORE)]).telling is Telling.UNOBSERVED


def test_a_day_nobody_read_is_no_zero() -> None:
    rows = [said("delivery", [1.0, 2.0, 5.0] * 8), said("app", [4.0] * 20)]
    missing = said("delivery", [], day=SUNDAY, observed=False)
    assert one([*rows, missing]) == one(rows)


def test_what_lies_outside_the_week_does_not_count() -> None:
    rows = [said("delivery", [5.0] * 20), said("app", [3.0] * 20)]
    outside = [
        said("delivery", [1.0] * 99, day=SUNDAY + timedelta(days=1)),
        said("delivery", [1.0] * 99, day=MONDAY - timedelta(days=29)),
    ]
    assert one(rows + outside) == one(rows)


def test_a_fall_that_is_more_than_chance_is_marked() -> None:
    rows = [
        said("delivery", [1.0] * 40 + [5.0] * 20),
        said("delivery", [1.0] * 40 + [5.0] * 160, day=BEFORE),
        said("app", [1.0, 5.0] * 30),
        said("app", [1.0, 5.0] * 100, day=BEFORE),
    ]
    fell, stayed = one(rows), one(rows, "app")
    assert fell.stands_out
    assert fell.change is not None
    assert fell.score is not None
    assert fell.previous is not None
    assert fell.change == pytest.approx(fell.score - fell.previous)
    assert fell.change < -1
    assert not stayed.stands_out


def test_without_enough_on_both_sides_there_is_no_change() -> None:
    rows = [said("delivery", [1.0] * 30), said("delivery", [5.0] * 9, day=BEFORE)]
    assert one(rows).change is None
    assert not one(rows).stands_out


def test_gaps_are_ranked_by_what_they_cost() -> None:
    rows = [
        said("loud", [1.0] * 60 + [5.0] * 60),
        said("bad", [1.0] * 20),
        said("fine", [5.0] * 100),
    ]
    found = card(rows)
    assert [score.touchpoint for score in found.costliest] == ["loud", "bad"]
    loud = found.costliest[0]
    assert loud.gap is not None
    assert loud.cost == pytest.approx(loud.gap * 60)
    [fine] = [score for score in found.scores if score.touchpoint == "fine"]
    assert fine.gap is not None
    assert fine.gap < 0
    assert fine.cost == 0


def test_a_gap_is_clear_when_the_whole_interval_falls_short() -> None:
    assert one([said("delivery", [1.0] * 50)]).clear_gap
    barely = one([said("delivery", [1.0, 5.0, 5.0, 5.0] * 3)])
    assert barely.high is not None
    assert barely.high > barely.target
    assert not barely.clear_gap


def test_the_teams_own_note_stands_beside() -> None:
    found = card([said("delivery", [5.0] * 12)], delivery=2)
    assert [score.assessed for score in found.scores] == [2]


def test_scores_come_in_the_order_of_the_journey() -> None:
    touchpoints = {
        "support": touchpoint(Stage.AFTER),
        "site": touchpoint(Stage.BEFORE),
        "shop": touchpoint(Stage.DURING),
        "refund": touchpoint(Stage.AFTER),
    }
    found = scorecard([], touchpoints, since=MONDAY, until=SUNDAY, assessments={})
    assert [s.touchpoint for s in found.scores] == ["site", "shop", "support", "refund"]


mentions = st.lists(st.floats(1, 5), max_size=40)


@given(st.lists(mentions, min_size=1, max_size=5), mentions)
def test_scores_stay_on_the_scale(weeks: list[list[float]], earlier: list[float]) -> None:
    rows = [said(f"t{n}", scores) for n, scores in enumerate(weeks)]
    rows.append(said("t0", earlier, day=BEFORE))
    for score in card(rows).scores:
        if score.telling is Telling.TOLD:
            assert score.low is not None
            assert score.score is not None
            assert score.high is not None
            assert 1 <= score.low <= score.score + 1e-9
            assert score.score - 1e-9 <= score.high <= 5


def simulated(rng: np.random.Generator) -> tuple[list[SeriesDay], dict[str, float]]:
    """A journey of eight touchpoints where nothing changed between the weeks."""
    rows, truth = [], {}
    for n in range(8):
        odds = rng.dirichlet([1, 0.5, 1])
        truth[f"t{n}"] = float(odds @ [1, 3, 5])
        for day, low, high in ((MONDAY, 10, 80), (BEFORE, 40, 320)):
            drawn = rng.choice([1.0, 3.0, 5.0], p=odds, size=int(rng.integers(low, high)))
            rows.append(said(f"t{n}", [float(each) for each in drawn], day=day))
    return rows, truth


def test_intervals_hold_the_truth_and_quiet_weeks_stay_quiet() -> None:
    rng = np.random.default_rng(20261116)
    inside, marked, weeks = [], 0, 300
    for _ in range(weeks):
        rows, truth = simulated(rng)
        scores = card(rows).scores
        inside += [(s.low or 9) <= truth[s.touchpoint] <= (s.high or 0) for s in scores]
        marked += any(score.stands_out for score in scores)
    assert 0.925 < np.mean(inside) < 0.965
    assert marked / weeks < 0.1
