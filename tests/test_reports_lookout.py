from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ouvidor.reports import lookout as looking
from ouvidor.reports.lookout import Key, Lookout
from ouvidor.storage.vocabulary import SeriesDay

FIRST = date(2026, 5, 4)
DAYS = 120
SOURCES = ("loja", "site", "app")


def rows(seed: int = 1, spike: int = 0) -> Iterator[SeriesDay]:
    rng = np.random.default_rng(seed)
    for source in SOURCES:
        for step in range(DAYS):
            bad, good = int(rng.poisson(3)), int(rng.poisson(8))
            bad += spike if source == "loja" and step >= DAYS - 2 else 0
            for touchpoint in ("", "delivery"):
                yield SeriesDay(
                    touchpoint=touchpoint,
                    source=source,
                    day=FIRST + timedelta(days=step),
                    negatives=bad,
                    mentions=bad + good,
                    total=bad + good,
                    score_sum=0.0,
                    score_squares=0.0,
                    observed=True,
                )


def built(some: Sequence[SeriesDay], **more: object) -> Lookout:
    made = looking.build(
        some,
        touchpoints=["delivery"],
        joined=dict.fromkeys(SOURCES, FIRST),
        budget_per_month=1.0,
        **more,  # type: ignore[arg-type]  # a test's shorthand
    )
    assert made is not None
    return made


@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_the_order_of_rows_and_sources_changes_nothing(seed: int) -> None:
    plain = list(rows(spike=12))
    shuffled = [plain[place] for place in np.random.default_rng(seed).permutation(len(plain))]
    one, two = built(plain), built(shuffled)
    assert one.columns == two.columns
    for key, members in one.keys.items():
        assert two.keys[key] == members
        scores = [each.judge(members).score for each in (one, two)]
        assert np.array_equal(*scores, equal_nan=True)


def test_a_day_that_is_half_there_is_expected_to_bring_half() -> None:
    whole, half = built(list(rows())), built(list(rows()), complete={"loja": (0.5, 0.8)})
    place = whole.columns.index(Key("delivery", "loja"))
    ratio = half.scanned.expected[-1, 0] / whole.scanned.expected[-1, 0]
    # The volume of the day counts as well: half of it makes a busier day than it seemed.
    assert ratio[place] < 0.95
    assert [ratio[other] for other in range(3) if other != place] == [1, 1]
    assert np.array_equal(half.scanned.expected[:-2], whole.scanned.expected[:-2])


def test_what_a_new_tagger_says_of_the_past_opens_nothing() -> None:
    some = list(rows(spike=15))
    key = Key("delivery", "")
    until = FIRST + timedelta(days=DAYS - 1)
    scores = {
        rebased: built(some, rebased=rebased)
        .judge(built(some).keys[key], backfill=False)
        .score[-1, 0]
        for rebased in (None, until - timedelta(days=30), until + timedelta(days=1))
    }
    assert scores[None] == scores[until - timedelta(days=30)] > 4
    assert scores[until + timedelta(days=1)] == 0


def test_a_lesson_raises_only_its_own_key() -> None:
    some, key = list(rows()), Key("delivery", "")
    plain, taught = built(some), built(some, lessons={key: 2})
    assert taught.limits(key)[-1] > plain.limits(key)[-1]
    other = Key("delivery", "loja")
    assert taught.limits(other)[-1] == pytest.approx(plain.limits(other)[-1])
    assert taught.chance < plain.chance
