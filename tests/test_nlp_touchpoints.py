"""The journey: topics lead to touchpoints, examples decide who gets a shared one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ouvidor.nlp.heads import Similarity
from ouvidor.nlp.touchpoints import Journey, Named, journey_version
from ouvidor.storage.vocabulary import Topic

SIZE = 4
SPACE = Similarity(
    columns=slice(0, SIZE),
    centre=np.zeros(SIZE, np.float32),
    projection=np.eye(SIZE, dtype=np.float32),
    slope=20.0,
    offset=-10.0,
)
WORDS = ["north", "east", "south", "west"]


def embed(sentences: Sequence[str]) -> NDArray[np.float32]:
    """Each word is a direction of its own."""
    return np.stack([np.eye(SIZE, dtype=np.float32)[WORDS.index(word)] for word in sentences])


def journey(*touchpoints: Named) -> Journey:
    return Journey(touchpoints, SPACE, embed)


def test_a_topic_leads_to_its_touchpoint() -> None:
    shop = journey(Named("door", topics=[Topic.DELIVERY]), Named("till", topics=[Topic.PREMISES]))
    found = shop.mentions(embed(["north"]), [{Topic.DELIVERY: 0.8, Topic.PRODUCT_QUALITY: 0.9}])
    assert found == [{"door": pytest.approx(0.8)}]


def test_the_strongest_topic_counts_and_counts_once() -> None:
    one = journey(Named("box", topics=[Topic.DELIVERY, Topic.PACKAGING_CONDITION]))
    found = one.mentions(embed(["north"]), [{Topic.DELIVERY: 0.6, Topic.PACKAGING_CONDITION: 0.9}])
    assert found == [{"box": pytest.approx(0.9)}]


def test_a_shared_topic_goes_to_the_first_configured() -> None:
    twins = journey(
        Named("app", topics=[Topic.LOGIN_ACCOUNT]), Named("site", topics=[Topic.LOGIN_ACCOUNT])
    )
    assert twins.mentions(embed(["north"]), [{Topic.LOGIN_ACCOUNT: 0.7}]) == [
        {"app": pytest.approx(0.7)}
    ]


def test_examples_decide_about_a_shared_topic_when_one_is_clearly_nearer() -> None:
    twins = journey(
        Named("app", topics=[Topic.LOGIN_ACCOUNT], examples=["north"]),
        Named("site", topics=[Topic.LOGIN_ACCOUNT], examples=["east", "south"]),
    )
    near_site, near_none = twins.mentions(
        embed(["east", "west"]), [{Topic.LOGIN_ACCOUNT: 0.7}, {Topic.LOGIN_ACCOUNT: 0.7}]
    )
    assert list(near_site) == ["site"]
    assert list(near_none) == ["app"]


def test_examples_alone_make_a_touchpoint() -> None:
    window = journey(Named("window", examples=["north", "east"]))
    like, unlike = window.mentions(embed(["east", "west"]), [{}, {}])
    # The middle of two directions lies at a cosine of √½ from each: 1 / (1 + exp(10 - 20·√½)).
    assert like == {"window": pytest.approx(0.984, abs=1e-3)}
    assert unlike == {}


def test_a_clause_goes_to_the_nearest_examples_alone() -> None:
    corner = journey(Named("a", examples=["north", "east"]), Named("b", examples=["north"]))
    assert [[*found] for found in corner.mentions(embed(["north", "east"]), [{}, {}])] == [
        ["b"],
        ["a"],
    ]


def test_its_name_and_description_count_beside_examples_and_not_without() -> None:
    bare = journey(Named("a", examples=["north"]))
    told = journey(Named("a", examples=["north"], words=["east"]))
    assert [*bare.mentions(embed(["east"]), [{}])[0]] == []
    assert [*told.mentions(embed(["east"]), [{}])[0]] == ["a"]
    named = journey(Named("a", words=["north"]))
    assert named.mentions(embed(["north"]), [{}]) == [{}]


def test_three_examples_say_how_near_is_near() -> None:
    """Alike they ask for more than their middle at a cosine of .7 is."""
    loose, tight = Named("a", examples=["north", "east"]), Named("a", examples=["north"] * 3)
    aslant = np.asarray([[0.8, 0.6, 0.0, 0.0]], np.float32)
    assert [*journey(loose).mentions(aslant, [{}])[0]] == ["a"]
    assert [*journey(Named("a", examples=["north"])).mentions(aslant, [{}])[0]] == ["a"]
    assert [*journey(tight).mentions(aslant, [{}])[0]] == []


def test_a_clause_that_holds_the_name_need_not_come_as_near() -> None:
    """But near it must be, and all words of the name have to stand there."""
    tight = journey(Named("a", examples=["north"] * 3, words=["north"]))
    aslant, away = np.asarray([[0.8, 0.6, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], np.float32)
    topics: list[dict[Topic, float]] = [{}, {}, {}]
    clauses = ["Ao NÓRTH do lago", "northern lights", "north"]
    found = tight.mentions(np.stack([aslant, aslant, away]), topics, clauses)
    assert [[*each] for each in found] == [["a"], [], []]


def test_sources_and_bare_topics() -> None:
    shop = journey(
        Named("store", topics=[Topic.PREMISES], sources=["google"]),
        Named("staff", topics=[Topic.STAFF_SERVICE], sources=["google", "survey"]),
    )
    assert shop.of_source("google") == ["store", "staff"]
    assert shop.of_source("play") == []
    assert shop.of_topics({Topic.STAFF_SERVICE: 1.0}) == ["staff"]


def test_an_empty_journey_and_no_clauses() -> None:
    assert journey().mentions(embed(["north"]), [{Topic.DELIVERY: 1.0}]) == [{}]
    assert (
        journey(Named("a", examples=["north"])).mentions(np.zeros((0, SIZE), np.float32), []) == []
    )


def test_the_version_follows_everything_that_changes_annotations() -> None:
    base = Named("a", topics=[Topic.DELIVERY], sources=["s"], examples=["north"])
    versions = {
        journey_version([base]),
        journey_version([]),
        journey_version([Named("b", base.topics, base.sources, base.examples)]),
        journey_version([Named("a", [Topic.PREMISES], base.sources, base.examples)]),
        journey_version([Named("a", base.topics, ["t"], base.examples)]),
        journey_version([Named("a", base.topics, base.sources, ["east"])]),
        journey_version([Named("a", base.topics, base.sources, base.examples, ["its name"])]),
    }
    assert len(versions) == 7
    assert journey_version([base]) == journey_version(
        [Named("a", (Topic.DELIVERY,), ("s",), ("north",))]
    )
