"""One week, gathered from real rows, told once to each reader."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, select
from stored import stored_in
from weeks import GOOD, MONDAY, NOW, START, TOML, WEEK, Said, World, crowd

from ouvidor.config import parse
from ouvidor.reports import digest as digests_of
from ouvidor.reports import letter
from ouvidor.reports.digest import build, digest
from ouvidor.reports.scorecard import Telling
from ouvidor.reports.voices import Role
from ouvidor.reports.week import (
    Share,
    Turn,
    WeekError,
    last_complete_week,
    parse_week,
    week_name,
)
from ouvidor.storage import alerts, annotations, digests, feedback, outbox, runs
from ouvidor.storage import tables as t
from ouvidor.storage.annotations import Correction
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import (
    AlertState,
    Feedback,
    Kind,
    Outcome,
    Severity,
    Spike,
)


@pytest.fixture
def world(tmp_path: Path, door: Door) -> Iterator[World]:
    database = open_database(stored_in(tmp_path))
    yield World(database, door)
    database.close()


@pytest.fixture
def anywhere(db: Database, door: Door) -> World:
    """A world on SQLite and one on PostgreSQL, for what depends on the SQL."""
    return World(db, door)


def text_of(world: World, **options: str) -> str:
    return letter.words(build(world.db, world.config, now=NOW, week=WEEK, **options)).text


def mails(db: Database) -> list[EmailMessage]:
    with db.read() as connection:
        bodies = connection.execute(select(t.message.c.body).order_by(t.message.c.id)).scalars()
        parsed = [email.message_from_bytes(body, policy=email.policy.SMTP) for body in bodies]
    return [each for each in parsed if isinstance(each, EmailMessage)]


# --- Tiny weeks ----------------------------------------------------------------------------------


def test_a_silent_week_that_was_watched_needs_no_mail(world: World) -> None:
    world.collect()
    [carla, ana] = digest(world.db, world.config, now=NOW)
    assert carla.skipped == "nobody wrote, and every source was read"
    assert ana.skipped == carla.skipped
    assert mails(world.db) == []
    told = digests.get(world.db, "carla", WEEK)
    assert told is not None
    assert told.skipped == carla.skipped


def test_a_week_nobody_watched_is_told(world: World) -> None:
    world.collect(days=0, outcome=Outcome.BLOCKED)
    posted = digest(world.db, world.config, now=NOW)
    assert [each.skipped for each in posted] == [None, None]
    text = " ".join(text_of(world).split())
    assert "Nobody was listening: no source was read on any whole day." in text
    assert "shop: 0 of 7 days read; the source refused us; never brought a comment" in text


def test_a_configured_source_that_never_ran_is_told(world: World) -> None:
    text = text_of(world)
    assert "shop: 0 of 7 days read; never read to the end" in text
    assert build(world.db, world.config, now=NOW).nothing is None


def test_without_any_source_there_is_nothing_to_say(db: Database) -> None:
    config = parse('[brand]\nname = "A"\n[subscribers.carla]\naddress = "carla@example.com"\n')
    [posted] = digest(db, config, now=NOW)
    assert posted.skipped == "no source is configured"


ONE = """\
Casa Aurora · Week 40 · Sep 28 – Oct 4, 2026

Too few comments to tell how any touchpoint is doing.

1 comment
100% negative (95% interval 21% to 100%; nothing to compare with)

ALERTS
------

None open, none closed this week.

THE JOURNEY
-----------

Before the purchase
* App
    Nobody spoke of it; every source was read

After the purchase
* Delivery
    Too few to tell (1 mention, 1 negative)

1 means nothing as we want it, 5 all as we want it. The score is the
mean of what the mentions express, pulled towards the journey's mean
while they are few; below 10 mentions there is no score.

EIGHT WEEKS
-----------

Aug 10: not read
Aug 17: not read
Aug 24: not read
Aug 31: not read
Sep 7: not read
Sep 14: not read
Sep 21: not read
Sep 28: 1 negative of 1

IN THEIR OWN WORDS
------------------

> Two weeks late, and the chat does not answer.
  Among the worst · Delivery · 1 star · shop · Sep 28, 2026
  https://shop.example/r/1

WHAT THESE NUMBERS REST ON
--------------------------

1 source, read on every day of the week.
  shop: 7 of 7 days read; last reading complete
Languages: English 1.
In no comment do the stars contradict the words.
0 of 1 public comments have a public answer; of the negative ones, 0 of
1.
0 of 1 label is uncertain. Nobody corrected any.
Tagger: tagger 1. How often the labels are right here was not measured
yet.

--
You get this as a reader of the weekly digest of Casa Aurora. To end it,
use your mail program's “unsubscribe” or ask whoever runs Ouvidor in
your house.
"""


def test_one_comment(world: World) -> None:
    late = "Two weeks late, and the chat does not answer."
    world.collect(Said(late, stars=1, url="https://shop.example/r/1"))
    assert text_of(world).replace("\u2009", " ") == ONE


def test_only_praise(world: World) -> None:
    world.collect(*crowd(0, 15), *crowd(0, 12, "app"))
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert made.headline == "No touchpoint is clearly below its target."
    assert made.share == Share(0, 27)
    assert {voice.role for voice in made.voices} == {Role.TYPICAL, Role.PRAISE}
    assert made.scorecard.costliest == ()


def test_a_gap_in_coverage_shows_everywhere(world: World) -> None:
    world.collect(*crowd(6, 6), days=4)
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert made.trust.coverage == Share(4, 7)
    assert made.trend[-1].observed == pytest.approx(4 / 7)
    [app] = [score for score in made.scorecard.scores if score.touchpoint == "app"]
    assert app.telling is Telling.UNOBSERVED
    text = letter.words(made).text
    assert "Not observed: no mention, and not every source was read" in text
    assert "Sep 28: 6 negative of 12 (57% of days read)" in text
    assert "1 of 1 sources needs a look" in text


def test_hostile_words_stay_words(world: World) -> None:
    poison = "</mj-text><script>alert(1)</script> {{ 7*7 }}\r\nBcc: victim \u202eevil"
    world.collect(Said(poison, stars=1))
    digest(world.db, world.config, now=NOW)
    for message in mails(world.db):
        html = message.get_body(("html",))
        assert html is not None
        page = html.get_content()
        assert "<script" not in page
        assert "&lt;/mj-text&gt;&lt;script&gt;alert(1)&lt;/script&gt; {{ 7*7 }}" in page
        assert message["Bcc"] is None
        assert "\u202e" not in page


# --- Numbers -------------------------------------------------------------------------------------


def test_numbers_come_from_the_rows(anywhere: World) -> None:
    anywhere.collect(
        Said("Late again, and nobody cares about it.", stars=5, reply="Sorry", sure=False),
        Said("Broken box, broken glass, no refund.", stars=1, language="pt"),
        Said("Lovely and quick, thank you all.", GOOD, stars=5),
        Said("Works well for me since the update.", GOOD, "app", kind=Kind.SURVEY),
        Said("Outside of this week, it does not count.", hours=-5),
    )
    made = build(anywhere.db, anywhere.config, now=NOW, week=WEEK)
    assert (made.total, made.share) == (4, Share(2, 4))
    assert made.before == Share(1, 1)
    assert made.trust.languages == (("en", 3), ("pt", 1))
    assert (made.trust.annotated, made.trust.uncertain, made.trust.mismatches) == (4, 1, 1)
    replies = made.replies
    assert (replies.public, replies.answered, replies.negative, replies.negative_answered) == (
        3, 1, 2, 1,
    )  # fmt: skip
    assert [(s.touchpoint, s.mentions, s.negatives) for s in made.scorecard.scores] == [
        ("app", 1, 0),
        ("delivery", 3, 2),
    ]


def test_what_waits_for_the_tagger_is_in_no_number(world: World) -> None:
    world.collect(Said("Tagged and counted as negative."))
    run = runs.open_run(world.db, source="shop", kind="file", now=NOW)
    late = Feedback(external_id="late", text="Untagged", published_at=START + timedelta(hours=9))
    feedback.save_page(world.db, run, [late], None, door=world.door, now=NOW)
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert (made.total, made.share, made.trust.pending) == (2, Share(1, 1), 1)


def test_a_correction_counts_and_is_counted(world: World) -> None:
    world.collect(Said("Late, but I was warned and it was fine."))
    with world.db.read() as connection:
        feedback_id = connection.execute(select(t.feedback.c.id)).scalar_one()
    annotations.correct(
        world.db,
        Correction(
            feedback_id=feedback_id,
            at=NOW,
            by="carla",
            sentiment=GOOD,
            touchpoints={"delivery": GOOD},
        ),
    )
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert (made.share, made.trust.corrected) == (Share(0, 1), 1)


def test_the_teams_assessment_is_the_one_of_that_week(world: World) -> None:
    world.collect(*crowd(5, 7))
    digests.assess(world.db, "delivery", 2, by="ana", note="", now=START)
    digests.assess(world.db, "delivery", 5, by="ana", note="", now=NOW)
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert [score.assessed for score in made.scorecard.scores] == [None, 2]


def test_a_fall_makes_the_headline(world: World) -> None:
    world.collect(
        *crowd(4, 60, hours=-300), *crowd(30, 10), since=START - timedelta(days=30), days=40
    )
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert made.headline.startswith("Delivery fell to 2.")
    assert "4.8" in made.headline


def test_the_costliest_gap_makes_the_headline(world: World) -> None:
    world.collect(*crowd(30, 10), *crowd(12, 0, "app"))
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert made.headline.startswith("Delivery costs most: ")
    assert "with 30 negative mentions." in made.headline


def test_any_span_of_days_can_be_scored(world: World) -> None:
    world.collect(*crowd(5, 7))
    card = digests_of.scores(
        world.db, world.config, since=MONDAY, until=MONDAY + timedelta(days=20)
    )
    assert [(score.touchpoint, score.mentions) for score in card.scores] == [
        ("app", 0),
        ("delivery", 12),
    ]


# --- Alerts --------------------------------------------------------------------------------------


def spike(severity: Severity = Severity.WARNING) -> Spike:
    return Spike(
        series="delivery",
        detected_on=MONDAY + timedelta(days=2),
        first_day=MONDAY,
        last_day=MONDAY + timedelta(days=2),
        observed=24,
        expected=9.2,
        share=0.5,
        expected_share=0.2,
        severity=severity,
        score=7,
    )


def opened(world: World, touchpoint: str, at: datetime, *, shadow: bool = False) -> int:
    with world.db.write() as connection:
        alert_id = alerts.open_alert(
            connection,
            spike=spike(Severity.CRITICAL if touchpoint == "delivery" else Severity.NOTICE),
            touchpoint=touchpoint,
            source="",
            owner="ana@aurora.example",
            shadow=shadow,
            evidence={},
            now=at,
        )
    assert alert_id is not None
    return alert_id


def test_alerts_opened_going_on_and_closed(anywhere: World) -> None:
    anywhere.collect()
    old = opened(anywhere, "app", START - timedelta(days=10))
    fresh = opened(anywhere, "delivery", START + timedelta(days=2))
    made = build(anywhere.db, anywhere.config, now=NOW, week=WEEK)
    assert [(line.id, line.turn) for line in made.alerts] == [
        (fresh, Turn.OPENED),
        (old, Turn.GOES_ON),
    ]
    assert made.headline == (
        "Delivery has an open alert (24 negative comments, about 9 expected), "
        "and there is 1 more alert open."
    )
    alerts.close(
        anywhere.db, fresh, state=AlertState.RESOLVED, by="ana", reason="New courier.", now=NOW
    )
    text = text_of(anywhere)
    assert "Resolved. Reason: New courier. Owner:" in " ".join(text.split())
    assert build(anywhere.db, anywhere.config, now=NOW, week=WEEK).nothing is None


def test_alerts_of_other_weeks_and_other_people_are_left_out(world: World) -> None:
    world.collect(*crowd(3, 3))
    early = opened(world, "delivery", START - timedelta(days=20))
    alerts.close(
        world.db,
        early,
        state=AlertState.RESOLVED,
        by="ana",
        reason="",
        now=START - timedelta(days=9),
    )
    opened(world, "app", START + timedelta(days=1))
    opened(world, "delivery", START + timedelta(days=8))
    everything = build(world.db, world.config, now=NOW, week=WEEK)
    assert [line.touchpoint for line in everything.alerts] == ["app"]
    assert build(world.db, world.config, now=NOW, week=WEEK, subscriber="ana").alerts == ()


def test_alerts_in_rehearsal_are_counted_and_not_told(world: World) -> None:
    world.collect()
    opened(world, "delivery", START + timedelta(days=1), shadow=True)
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert (made.alerts, made.rehearsed) == ((), 1)


# --- Voices --------------------------------------------------------------------------------------


def test_worst_first_then_typical_then_praise(anywhere: World) -> None:
    anywhere.collect(
        *crowd(12, 3),
        *crowd(11, 1, "app", hours=80),
        Said("Great people in the shop, thank you!", GOOD, None, stars=5),
    )
    made = build(anywhere.db, anywhere.config, now=NOW, week=WEEK)
    assert [score.touchpoint for score in made.scorecard.costliest] == ["app", "delivery"]
    assert [(voice.role, voice.touchpoint) for voice in made.voices] == [
        (Role.WORST, "app"),
        (Role.WORST, "delivery"),
        (Role.WORST, None),
        (Role.TYPICAL, None),
        (Role.PRAISE, None),
    ]
    assert len({voice.feedback_id for voice in made.voices}) == 5


def test_every_quote_was_written(world: World) -> None:
    long = "It was late. " * 40 + "And then the box was empty! " + "I wrote to you. " * 20
    start = long.index("And then")
    world.collect(Said(long, span=(start, start + 26)), *crowd(0, 4))
    with world.db.read() as connection:
        texts = {row.id: row.text for row in connection.execute(select(t.feedback))}
    made = build(world.db, world.config, now=NOW, week=WEEK)
    assert made.voices
    for voice in made.voices:
        assert voice.excerpt.text in texts[voice.feedback_id]
    [told] = [voice for voice in made.voices if voice.excerpt.before]
    assert "And then the box was empty!" in told.excerpt.text


def test_personal_data_never_reaches_a_mail(world: World) -> None:
    world.collect(Said("Write to me: maria.souza@gmail.com or 11 98765-4321, please"))
    text = text_of(world)
    assert "maria.souza" not in text
    assert "98765" not in text
    assert "Write to me: [email:" in " ".join(text.replace("> ", "").split())


def test_a_rating_without_words_is_not_quoted(world: World) -> None:
    world.collect(Said("", stars=1))
    assert build(world.db, world.config, now=NOW, week=WEEK).voices == ()


# --- Telling once --------------------------------------------------------------------------------


def test_each_reader_gets_one_mail_and_twice_is_once(anywhere: World) -> None:
    anywhere.collect(*crowd(4, 9))
    posted = digest(anywhere.db, anywhere.config, now=NOW)
    assert [(each.key, each.recipient, each.skipped) for each in posted] == [
        (f"digest:carla:{WEEK}", "carla@aurora.example", None),
        (f"digest:ana:{WEEK}", "ana@aurora.example", None),
    ]
    again = digest(anywhere.db, anywhere.config, now=NOW + timedelta(hours=1))
    assert {each.skipped for each in again} == {"this week was told already"}
    carla, ana = mails(anywhere.db)
    assert carla["Subject"].startswith("Casa Aurora, week 40: ")
    assert ana["Subject"].startswith("Casa Aurora, semana 40: ")
    assert (carla["To"], ana["To"]) == ("carla@aurora.example", "ana@aurora.example")
    assert carla["Message-ID"] != ana["Message-ID"]
    told = digests.get(anywhere.db, "carla", WEEK)
    assert told is not None
    assert (told.skipped, told.data["total"]) == (None, 13)


def test_a_skipped_week_is_told_when_there_is_something_to_say(anywhere: World) -> None:
    anywhere.collect()
    assert digest(anywhere.db, anywhere.config, now=NOW)[0].skipped is not None
    anywhere.collect(*crowd(2, 2))
    assert digest(anywhere.db, anywhere.config, now=NOW)[0].skipped is None
    assert len(mails(anywhere.db)) == 2


def test_a_reader_of_some_touchpoints_sees_only_those(anywhere: World) -> None:
    anywhere.collect(*crowd(4, 9), *crowd(12, 0, "app"))
    made = build(anywhere.db, anywhere.config, now=NOW, week=WEEK, subscriber="ana")
    assert [score.touchpoint for score in made.scorecard.scores] == ["delivery"]
    assert {voice.touchpoint for voice in made.voices} <= {"delivery", None}
    assert (made.trend[-1].negatives, made.trend[-1].mentions) == (4, 13)
    assert made.locale == "pt-BR"


def test_nobody_spoke_of_the_readers_touchpoints(world: World) -> None:
    world.collect(*crowd(0, 3, "app"))
    carla, ana = digest(world.db, world.config, now=NOW)
    assert carla.skipped is None
    assert ana.skipped == "nobody spoke of this subscriber's touchpoints"


def test_one_address_alone(world: World) -> None:
    world.collect(*crowd(1, 1))
    [known] = digest(world.db, world.config, now=NOW, to="bento@aurora.example")
    [other] = digest(world.db, world.config, now=NOW, to="x@other.example", locale="es")
    assert (known.subscriber, other.subscriber) == ("bento", "x@other.example")
    assert other.key == f"digest:x@other.example:{WEEK}"
    assert "semana 40" in mails(world.db)[1]["Subject"]


def test_a_chat_that_wants_the_digest_gets_its_text(
    world: World, environment: Callable[[str, str], None]
) -> None:
    environment("CHAT", "json://127.0.0.1/")
    chats = '[chat.team]\nurl = { env = "CHAT" }\ndigest = true\ntouchpoints = ["delivery"]\n'
    world.config = parse(TOML + chats)
    world.collect(*crowd(4, 9))
    posted = digest(world.db, world.config, now=NOW)
    assert (posted[-1].channel, posted[-1].recipient, posted[-1].skipped) == ("chat", "team", None)
    body = outbox.bodies(world.db, [posted[-1].key])[posted[-1].key].decode()
    assert "THE JOURNEY" in body
    assert "App" not in body


def test_a_refused_address_gets_nothing_more(anywhere: World) -> None:
    anywhere.collect(*crowd(1, 1))
    digest(anywhere.db, anywhere.config, now=NOW, to="carla@aurora.example")
    lease = timedelta(minutes=1)
    [message] = outbox.claim(anywhere.db, limit=1, now=NOW, worker="elsewhere:1:a", lease=lease)
    outbox.mark_failed(anywhere.db, message, now=NOW, detail="550 5.1.1", refuse=True)
    later = NOW + timedelta(days=7)
    anywhere.collect(*crowd(1, 1, hours=200), since=START + timedelta(days=7))
    carla, ana = digest(anywhere.db, anywhere.config, now=later)
    assert carla.skipped == "a mail server refused this address for good"
    assert ana.skipped is None


def test_an_unwritable_address_is_one_readers_trouble(world: World) -> None:
    world.collect(*crowd(1, 1))
    [posted] = digest(world.db, world.config, now=NOW, to="joão@aurora.example")
    assert posted.skipped is not None
    assert "ASCII" in posted.skipped


def test_no_words_are_kept_beside_the_message(world: World) -> None:
    secret = "These words must be erasable with their writer."
    world.collect(Said(secret))
    digest(world.db, world.config, now=NOW)
    told = digests.get(world.db, "carla", WEEK)
    assert told is not None
    assert secret not in str(told.data)
    with world.db.read() as connection:
        quoted = connection.execute(select(t.message.c.quoted)).scalars().all()
    assert quoted == [told.data["quotes"], told.data["quotes"]]


@pytest.mark.sqlite
def test_no_look_up_reads_the_whole_past(world: World) -> None:
    """What a digest costs follows from its weeks, however much was said before them."""
    world.collect(*crowd(4, 9), *crowd(2, 2, "app", hours=50))
    asked: list[tuple[str, tuple[object, ...]]] = []

    def ask(_c: object, _k: object, sql: str, values: tuple[object, ...], *_: object) -> None:
        asked.append((sql, values))

    event.listen(world.db.engine, "before_cursor_execute", ask)
    gathered = digests_of.Gathered(world.db, world.config, now=NOW, week=WEEK)
    for reader in ("carla", "ana"):
        assert gathered.digest(reader).total == 17
    digest(world.db, world.config, now=NOW)
    event.remove(world.db.engine, "before_cursor_execute", ask)
    growing = re.compile(r"SCAN (feedback|annotation|aspect|digest|message|series|revision)\b")
    looks = [(sql, values) for sql, values in asked if sql.startswith("SELECT")]
    assert len(looks) > 30
    with closing(world.db.engine.raw_connection()) as connection:
        for sql, values in looks:
            plan = connection.cursor().execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            scans = [row[3] for row in plan if growing.match(row[3])]
            assert not scans or "WHERE 0 = 1" in sql, (scans, sql)


# --- Weeks ---------------------------------------------------------------------------------------


def test_the_last_complete_week_is_the_brands(zone: ZoneInfo) -> None:
    sunday_night = datetime(2026, 10, 5, 2, 59, tzinfo=UTC)
    assert last_complete_week(sunday_night, zone) == "2026-W39"
    assert last_complete_week(sunday_night + timedelta(minutes=1), zone) == "2026-W40"
    assert last_complete_week(datetime(2027, 1, 4, 12, tzinfo=UTC), zone) == "2026-W53"


def test_a_week_that_is_not_over_is_not_told(world: World) -> None:
    with pytest.raises(WeekError, match="not over yet"):
        digest(world.db, world.config, now=NOW, week="2026-W41")


@pytest.mark.parametrize("week", ["", "2026-40", "2026-W54", "2026-W00", "w40", "2026-W4"])
def test_no_such_week(week: str) -> None:
    with pytest.raises(WeekError, match="write one like '2026-W47'"):
        parse_week(week)


def test_weeks_of_the_iso_year() -> None:
    assert parse_week("2026-W53") == (date(2026, 12, 28), date(2027, 1, 3))
    assert week_name(date(2027, 1, 3)) == "2026-W53"


def test_intervals_of_shares() -> None:
    assert Share(0, 0).interval is None
    assert Share(1, 10).interval == pytest.approx((0.0179, 0.4042), abs=1e-3)
    assert Share(0, 5).interval == pytest.approx((0.0, 0.4345), abs=1e-3)
