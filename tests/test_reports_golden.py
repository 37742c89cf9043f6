"""Hand-made weeks, word for word: the text and the JSON of the digest lie in ``golden/digest``.

After a change that is meant to change them: ``OUVIDOR_GOLDEN=write`` once, and read the difference.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from stored import stored_in
from weeks import BAD, GOOD, NOW, START, WEEK, Said, World, crowd

from ouvidor.reports import letter
from ouvidor.reports.digest import build, digest
from ouvidor.reports.paper import document
from ouvidor.storage import studies
from ouvidor.storage.database import open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Kind, Outcome, Sentiment, Topic

GOLDEN = Path(__file__).parent / "golden" / "digest"
NEXT = NOW + timedelta(weeks=1)


def nothing(world: World) -> None:
    """Watched, and nobody wrote."""
    world.collect()


def one(world: World) -> None:
    """One comment."""
    world.collect(Said("Two weeks late, and the chat does not answer.", stars=1))


def many(world: World) -> None:
    """Two thousand comments from two sources, after four weeks of others; complaints, NPS, CSAT."""
    past = START - timedelta(days=30)
    before = [each for day in range(-25, 0, 5) for each in crowd(20, 30, hours=24 * day)]
    world.collect(*before, since=past, days=40)
    world.collect(*crowd(500, 700), *crowd(150, 350, "app", hours=50))
    version = {"version": "5.2.0", "loja": "Recife"}
    app = [
        Said(
            f"The screen freezes when I pay {n}",
            BAD,
            "app",
            stars=1,
            hours=9,
            attributes=version,
            topic=Topic.APP_STABILITY,
        )
        for n in range(150)
    ]
    app += [
        Said(
            f"Works well for me {n}",
            GOOD,
            "app",
            stars=5,
            hours=9,
            attributes={"version": "5.1"},
            topic=Topic.APP_USABILITY,
        )
        for n in range(100)
    ]
    app += [
        Said(
            "The clerk Marta helped me, wonderful",
            GOOD,
            None,
            stars=5,
            hours=20 + n / 60,
            author=f"fan {n}",
        )
        for n in range(3)
    ]
    app += [
        Said(f"The worst purchase of my life, number {n}", BAD, "delivery", stars=5, hours=70)
        for n in range(2)
    ]
    world.collect(*app, source="app")
    world.collect(*complaints(), source="site", since=past, days=40)
    world.collect(*survey(), source="survey", since=past, days=40)
    studied(world)


def complaints() -> list[Said]:
    """A complaint site: one answered and judged, one answered late, one that waits."""
    made = {"kind": Kind.COMPLAINT, "about": "delivery"}
    judged = {
        "status": "resolved", "answered": "true", "answered_at": "2026-09-29T15:00:00+00:00",
        "evaluated": "true", "evaluated_at": "2026-10-01T12:00:00+00:00", "resolved": "true",
        "would_return": "false", "score": "7",
    }  # fmt: skip
    late = {"status": "answered", "answered": "true", "answered_at": "2026-10-02T03:00:00+00:00"}
    return [
        Said("My sofa never came and nobody calls", hours=12, attributes=judged, **made),
        Said("The table came with three legs", hours=-96, attributes=late, **made),
        Said(
            "I want my money back at once",
            hours=-240,
            attributes={"status": "not_answered", "answered": "false"},
            **made,
        ),
        Said("I took this complaint back", hours=1, attributes={"status": "deactivated"}, **made),
    ]


def survey() -> list[Said]:
    """NPS as a note from 0 to 10, and CSAT as an attribute."""
    notes = [10, 10, 9, 8, 7, 6, 0]
    rated = [
        Said(
            "", Sentiment.NEUTRAL, None, kind=Kind.SURVEY, rating=(str(note), "0-10"), hours=30 + n
        )
        for n, note in enumerate(notes)
    ]
    rated += [
        Said("", Sentiment.NEUTRAL, None, kind=Kind.SURVEY, hours=40 + n, attributes={"csat": note})
        for n, note in enumerate(["5", "4", "2", "no idea"])
    ]
    return [*rated, Said("", GOOD, None, kind=Kind.SURVEY, rating=("9", "0-10"), hours=-50)]


def studied(world: World) -> None:
    """What the weekly study would have found."""
    monday = build(world.db, world.config, now=NOW, week=WEEK).since
    ids = [
        each.feedback_id
        for each in studies.texts(
            world.db, after=monday - timedelta(days=1), until=monday + timedelta(days=6), most=9999
        )
        if "freezes" in each.text
    ]
    theme = studies.Theme(
        phrase="screen freezes", phrases=("screen freezes", "pay"), touchpoint="app",
        sources=("app",), now=150, now_of=1700, before=2, before_of=250, negatives=150,
        quotes=tuple(ids[:5]),
    )  # fmt: skip
    posture = studies.Posture(
        touchpoint="delivery", trait="Quick", remarks=40, shows=10, score_sum=88.0,
        score_squares=230.0,
    )  # fmt: skip
    studies.save(world.db, monday, tagger="tagger 1", themes=[theme], postures=[posture], now=NOW)


def praise(world: World) -> None:
    """Only praise."""
    world.collect(*crowd(0, 15), *crowd(0, 12, "app"))


def gap(world: World) -> None:
    """Half of the week was not read."""
    world.collect(*crowd(6, 6), days=4, outcome=Outcome.BLOCKED)


def edit(world: World) -> None:
    """Told, then one was edited and three came late: the next week says so."""
    world.collect(*crowd(9, 6), Said("It never came", id="edited"), since=START, days=15)
    digest(world.db, world.config, now=NOW)
    world.collect(
        Said("It came after all, well done", GOOD, id="edited"),
        *crowd(3, 0, hours=60),
        *crowd(2, 2, hours=200),
    )


def hostile(world: World) -> None:
    """Words that try to be markup, templates, headers and links."""
    world.collect(
        Said(
            "</mj-text><script>alert(1)</script> {{ 7*7 }} %(n)s\r\nBcc: victim \u202eevil",
            stars=1,
            url="javascript:alert(1)",
        ),
        Said("-- \n\nALERTS\n------\nAll is well. https://evil.example/ &lt;b&gt; \x1b[31m"),
        source="shop",
    )


def long_words(world: World) -> None:
    """One endless word, and one that is an address."""
    world.collect(Said("a" * 5000), Said("https://x.example/" + "b" * 3000), Said("ã" * 900))


def other_scripts(world: World) -> None:
    """From right to left, and without blanks."""
    world.collect(
        Said("الطلب وصل متأخراً جداً ولم يرد أحد على رسائلي", language="ar"),
        Said("המשלוח הגיע שבור לגמרי 100% ואין שירות", language="he"),
        Said("配送非常慢，包装破损，客服没有回应我的任何消息。", language="zh"),
        Said("とても良い店でした。また買います。ありがとうございます。", GOOD, language="ja"),
    )


Make = Callable[[World], None]
WEEKS: list[Make] = [
    nothing, one, many, praise, gap, edit, hostile, long_words, other_scripts,
]  # fmt: skip


@pytest.fixture
def world(tmp_path: Path, door: Door) -> Iterator[World]:
    database = open_database(stored_in(tmp_path))
    yield World(database, door)
    database.close()


def golden(name: str, told: str) -> str:
    """What is committed under a name, or what is told now when it is to be written."""
    path = GOLDEN / name
    if os.environ.get("OUVIDOR_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(told, encoding="utf-8")
    return path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("make", WEEKS, ids=[each.__name__ for each in WEEKS])
def test_a_hand_made_week_word_for_word(make: Make, world: World) -> None:
    make(world)
    if make is many:
        posture = '[[touchpoints.delivery.posture]]\nname = "Quick"\nshows = ["It came at once."]\n'
        world.configure(posture)
    now = NEXT if make is edit else NOW
    made = build(world.db, world.config, now=now, subscriber="carla")
    text = letter.words(made).text
    told = json.dumps(rounded(document(made)), ensure_ascii=False, indent=1) + "\n"
    assert text == golden(f"{make.__name__}.txt", text)
    assert told == golden(f"{make.__name__}.json", told)


def rounded(value: object) -> object:
    """Floating point differs in its last digits between machines."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def test_every_golden_file_is_a_week() -> None:
    names = {each.__name__ for each in WEEKS}
    assert {path.stem for path in GOLDEN.iterdir()} == names
