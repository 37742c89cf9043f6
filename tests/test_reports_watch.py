from __future__ import annotations

import email
import email.policy
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy import select

from ouvidor import config as configuration
from ouvidor.config import Config
from ouvidor.reports import spikes
from ouvidor.reports import watch as watching
from ouvidor.reports.watch import Watched, backtest, outlook, watch
from ouvidor.storage import alerts, annotations, runs
from ouvidor.storage import tables as t
from ouvidor.storage.alerts import Lesson
from ouvidor.storage.annotations import Correction
from ouvidor.storage.database import Database
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import (
    AlertState,
    Annotation,
    Aspect,
    Basis,
    Distribution,
    Feedback,
    Outcome,
    Sentiment,
    Severity,
)

ZONE = ZoneInfo("America/Sao_Paulo")
FIRST = date(2026, 7, 13)
INSTALLED = date(2026, 9, 1)
GOOD = (
    "Chegou antes do prazo, tudo certo.",
    "Adorei, embalagem linda.",
    "Entrega rápida, nota 10.",
)
BAD = ("Atrasou de novo e ninguém responde.", "Caixa veio amassada.", "Frete caro e lento.")
NEW = ("O entregador do galpão novo extraviou meu pedido", "Extraviado no galpão novo, sem notícia")

TOML = """
[brand]
name = "Casa Jequi"
locale = "pt-BR"

[watch]
shadow_days = 28

[touchpoints.delivery]
name = "Entrega"
stage = "after"
topics = ["delivery"]
owner = "ana@example.com"

[touchpoints.app]
name = "Aplicativo"
stage = "during"
topics = ["app_stability"]

[subscribers.ana]
address = "ana@example.com"
locale = "es"

[subscribers.bento]
address = "bento@example.com"
touchpoints = ["app"]

[subscribers.carla]
address = "carla@example.com"
locale = "en"

[subscribers.davi]
address = "davi@example.com"
alerts = false

[chat.team]
url = { env = "CHAT_URL" }
locale = "en"
"""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("CHAT_URL", "json://127.0.0.1:9/")
    return configuration.parse(TOML)


@dataclass
class World:
    """A brand whose sources bring what ``script`` says: per source and day negatives, positives."""

    db: Database
    config: Config
    script: dict[str, dict[date, tuple[int, int]]]
    down: dict[str, set[date]] = field(default_factory=dict)
    bad: Mapping[date, Sequence[str]] = field(default_factory=dict)
    seen: dict[str, date] = field(default_factory=dict)
    about: tuple[str, ...] = ("delivery",)
    tagger: str = "t1"
    door: Door = field(default_factory=lambda: Door(b"a key of thirty-two bytes, really", ZONE))

    def morning(self, day: date) -> datetime:
        return datetime.combine(day, time(6), tzinfo=ZONE)

    def collect(self, day: date, only: str | None = None) -> None:
        """Read what was published before ``day``; a source that is down is not read."""
        now = self.morning(day)
        for source, script in self.script.items():
            if day in self.down.get(source, ()) or only not in {None, source}:
                continue
            since = self.seen.get(source, FIRST)
            days = [one for one in script if since <= one < day]
            run = runs.open_run(self.db, source=source, kind="file", now=now)
            items = [item for one in days for item in self.items(source, one)]
            save_page(self.db, run, items, None, door=self.door, now=now)
            read = [one for one in days if one not in self.down.get(source, ())]
            verdict = runs.Verdict(outcome=Outcome.COMPLETE, message="", joined=True)
            if read:
                start = runs.day_bounds(read[0], ZONE)[0]
                verdict = runs.Verdict(
                    outcome=Outcome.COMPLETE, message="", joined=True, covered=(start, now)
                )
            runs.close_run(self.db, run, verdict, now=now, zone=ZONE)
            self.seen[source] = day
        self.tag(now)

    def items(self, source: str, day: date) -> list[Feedback]:
        negatives, positives = self.script[source][day]
        words = self.bad.get(day, BAD)
        texts = [("ruim", words[each % len(words)]) for each in range(negatives)]
        texts += [("bom", GOOD[each % len(GOOD)]) for each in range(positives)]
        return [
            Feedback(
                external_id=f"{day}-{number}",
                text=f"{text}, {mood}, caso {number}.",
                stars=1 if mood == "ruim" else 5,
                published_at=datetime.combine(day, time(9, number % 60), tzinfo=ZONE),
                author=f"{source} {day} {number}",
                url=f"https://example.com/{source}/{day}/{number}",
                attributes={
                    "warehouse": "novo" if words is not BAD and mood == "ruim" else "velho"
                },
            )
            for number, (mood, text) in enumerate(texts)
        ]

    def tag(self, now: datetime, limit: int | None = None) -> None:
        lease = timedelta(minutes=5)
        while claimed := annotations.claim(
            self.db, limit=limit or 500, now=now, worker="elsewhere:1:a", lease=lease
        ):
            said = [(each, self.annotation("ruim" in each.text)) for each in claimed]
            annotations.save(self.db, said, now=now)
            if limit:
                return

    def annotation(self, negative: bool) -> Annotation:  # noqa: FBT001 - one fact, in tests only
        p = Distribution.certain(Sentiment.NEGATIVE if negative else Sentiment.POSITIVE)
        return Annotation(
            tagger=self.tagger,
            basis=Basis.TEXT,
            language="pt",
            p=p,
            stars=None,
            uncertain=False,
            aspects=tuple(Aspect(touchpoint=each, p=p, span=(0, 7)) for each in self.about),
        )

    def live(self, since: date, until: date) -> list[Watched]:
        """Every morning: read, tag, watch; before the first one the house was installed."""
        if not self.seen:
            self.collect(INSTALLED)
        done = []
        day = since
        while day <= until:
            self.collect(day)
            done.append(watch(self.db, self.config, now=self.morning(day)))
            day += timedelta(days=1)
        return done

    def messages(self) -> dict[str, bytes]:
        with self.db.read() as connection:
            return {row.key: row.body for row in connection.execute(select(t.message))}


def usual(seed: int, negatives: float = 2, positives: float = 5) -> dict[date, tuple[int, int]]:
    rng = np.random.default_rng(seed)
    days = (INSTALLED - FIRST).days + 60
    return {
        FIRST + timedelta(days=step): (int(rng.poisson(negatives)), int(rng.poisson(positives)))
        for step in range(days)
    }


def burst(script: dict[date, tuple[int, int]], day: date, counts: Sequence[int]) -> None:
    for step, count in enumerate(counts):
        one = day + timedelta(days=step)
        script[one] = (count, script[one][1])


# The days of a story are many transactions; the two quickest stories run in `make check`.
slow = pytest.mark.slow


def ids(done: Sequence[Watched], what: str) -> list[int]:
    return [each for one in done for each in getattr(one, what)]


@pytest.fixture
def world(db: Database, settings: Config) -> World:
    return World(db, settings, {"loja": usual(1), "site": usual(2)})


def test_the_first_run_and_its_back_fill_are_silent(world: World) -> None:
    burst(world.script["loja"], INSTALLED - timedelta(days=3), [15, 18, 16])
    done = world.live(INSTALLED, INSTALLED + timedelta(days=1))
    assert ids(done, "opened") == []
    assert world.messages() == {}
    assert done[0].speaks_from == FIRST + timedelta(days=28)
    (spike,) = backtest(world.db, world.config)
    assert spike.series == "delivery"
    assert spike.first_day >= INSTALLED - timedelta(days=5)
    assert backtest(world.db, world.config, since=INSTALLED) == []


@slow
def test_an_alert_lives_from_opening_to_quiet(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [9, 9, 22, 24])
    burst(world.script["site"], start, [6, 7, 14, 15])
    world.bad = {start + timedelta(days=step): NEW for step in range(4)}
    done = world.live(start, start + timedelta(days=18))
    assert ids(done, "opened") == [1]
    assert ids(done, "resolved") == [1]
    assert ids(done, "retracted") == ids(done, "shadow") == []
    alert = alerts.get(world.db, 1)
    assert (alert.touchpoint, alert.source, alert.owner) == ("delivery", "", "ana@example.com")
    assert alert.state is AlertState.RESOLVED
    assert alert.reason == watching.QUIET
    assert alert.severity is Severity.CRITICAL
    assert start - timedelta(days=1) <= alert.first_day <= start + timedelta(days=1)
    assert alert.last_day == start + timedelta(days=3)
    whats = [event.what for event in alerts.history(world.db, 1)]
    assert whats[0] == "opened"
    assert "escalated" in whats
    assert whats[-1] == "resolved"
    keys = set(world.messages())
    people = ("ana@example.com", "carla@example.com", "chat/team")
    assert {f"alert:1:opened:{one}" for one in people} <= keys
    assert {f"alert:1:escalated-critical:{one}" for one in people} <= keys
    assert {f"alert:1:resolved:{one}" for one in people} <= keys
    assert not any("bento" in key or "davi" in key for key in keys)


def test_the_message_tells_what_came_why_and_what_to_do(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [20])
    world.bad = {start: NEW}
    world.live(start, start + timedelta(days=1))
    bodies = world.messages()
    carla = email.message_from_bytes(
        bodies["alert:1:opened:carla@example.com"], policy=email.policy.default
    )
    text = carla.get_body(("plain",))
    html = carla.get_body(("html",))
    assert text is not None
    assert html is not None
    words, page = text.get_content(), html.get_content()
    assert "Entrega" in carla["Subject"]
    for content in (words, page):
        assert re.search(r"negative comments \(.+\), about \d", content)
        assert "galp" in content
        assert "https://example.com/loja/2026-09-11/" in content
        assert "warehouse novo" in content
        assert "alerts ack 1" in content
        assert "false alarm a month" in content
    assert words.count("> ") >= 2
    assert sum(part.get_content_type() == "image/png" for part in carla.walk()) == 2
    ana = bodies["alert:1:opened:ana@example.com"]
    assert b"Content-Language: es" in ana
    assert "Entrega" in bodies["alert:1:opened:chat/team"].decode()
    with world.db.read() as connection:
        quoted = connection.execute(select(t.message.c.quoted)).scalars().first()
    assert quoted == alerts.get(world.db, 1).evidence["quotes"]


@slow
def test_the_same_watch_twice_changes_nothing(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [16, 15])
    world.live(start, start + timedelta(days=2))
    before, history = world.messages(), alerts.history(world.db, 1)
    moment = world.morning(start + timedelta(days=2))
    for zone in (ZONE, ZoneInfo("Asia/Tokyo"), ZoneInfo("UTC")):
        again = watch(world.db, world.config, now=moment.astimezone(zone))
        changes = [again.opened, again.updated, again.resolved, again.retracted]
        assert not any(changes)
    assert world.messages() == before
    assert alerts.history(world.db, 1) == history


@slow
def test_one_source_among_several_gets_its_own_alert_and_the_whole_stays_quiet(
    world: World,
) -> None:
    world.script["loja"] = usual(5, negatives=0.2, positives=3)
    world.script["site"] = usual(6, negatives=14, positives=30)
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [5, 5])
    done = world.live(start, start + timedelta(days=2))
    assert [alerts.get(world.db, one).source for one in ids(done, "opened")] == ["loja"]


@slow
def test_parts_of_an_open_whole_open_nothing_of_their_own(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    for source in world.script:
        burst(world.script[source], start, [14, 16, 15])
    done = world.live(start, start + timedelta(days=4))
    assert [alerts.get(world.db, one).source for one in ids(done, "opened")] == [""]


@slow
def test_a_source_that_is_down_is_no_silence_and_no_news(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    for source in world.script:
        burst(world.script[source], start, [14, 16])
        world.down[source] = {start + timedelta(days=step) for step in range(3, 16)}
    done = world.live(start, start + timedelta(days=15))
    assert len(ids(done, "opened")) == 1
    assert ids(done, "resolved") == []
    assert alerts.get(world.db, 1).state is AlertState.OPEN


@slow
def test_a_backlog_on_the_first_day_back_is_counted_on_its_own_days(world: World) -> None:
    outage = {INSTALLED + timedelta(days=step) for step in range(10, 16)}
    world.down = dict.fromkeys(world.script, outage)
    done = world.live(INSTALLED + timedelta(days=9), INSTALLED + timedelta(days=21))
    assert ids(done, "opened") == []


@slow
def test_a_young_brand_rehearses_until_it_speaks(db: Database, settings: Config) -> None:
    young = World(db, settings, {"loja": usual(3)})
    young.script["loja"] = {
        day: counts for day, counts in young.script["loja"].items() if day >= INSTALLED
    }
    young.seen["loja"] = INSTALLED
    burst(young.script["loja"], INSTALLED + timedelta(days=21), [20, 22])
    young.collect(INSTALLED + timedelta(days=1))
    done = young.live(INSTALLED + timedelta(days=20), INSTALLED + timedelta(days=24))
    assert ids(done, "shadow") == ids(done, "opened") == [1]
    assert young.messages() == {}
    assert done[-1].speaks_from == INSTALLED + timedelta(days=28)
    burst(young.script["loja"], INSTALLED + timedelta(days=24), [20] * 6)
    young.live(INSTALLED + timedelta(days=25), INSTALLED + timedelta(days=30))
    assert "alert:1:opened:ana@example.com" in young.messages()
    assert not alerts.get(db, 1).shadow


@pytest.mark.slow
def test_corrections_take_an_alert_back(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [20])
    world.live(start, start + timedelta(days=1))
    now = world.morning(start + timedelta(days=1))
    with world.db.read() as connection:
        rows = connection.execute(
            select(t.feedback.c.id).where(
                t.feedback.c.day == start, t.feedback.c.text.contains("ruim")
            )
        ).scalars()
        wrong = list(rows)
    for one in wrong:
        correction = Correction(
            feedback_id=one,
            sentiment=Sentiment.POSITIVE,
            touchpoints={"delivery": Sentiment.POSITIVE},
            by="carla",
            note="",
            at=now,
        )
        annotations.correct(world.db, correction)
    done = watch(world.db, world.config, now=now + timedelta(hours=1))
    assert done.retracted == [1]
    assert alerts.get(world.db, 1).reason == watching.CORRECTED
    assert "alert:1:retracted:ana@example.com" in world.messages()
    again = watch(world.db, world.config, now=now + timedelta(hours=2))
    assert again.opened == []


@slow
@pytest.mark.parametrize("state", [AlertState.DISMISSED, AlertState.RESOLVED])
def test_what_a_person_closed_stays_closed_on_the_same_evidence(
    world: World, state: AlertState
) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [15, 15])
    burst(world.script["loja"], start + timedelta(days=20), [16, 18])
    world.live(start, start + timedelta(days=2))
    now = world.morning(start + timedelta(days=2)) + timedelta(hours=1)
    alerts.close(world.db, 1, state=state, by="ana", reason="expected", now=now)
    done = world.live(start + timedelta(days=3), start + timedelta(days=9))
    assert ids(done, "opened") == []
    later = world.live(start + timedelta(days=19), start + timedelta(days=22))
    assert ids(later, "opened") == [2]


@slow
def test_late_comments_open_an_alert_that_says_so(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    world.live(start + timedelta(days=2), start + timedelta(days=3))
    burst(world.script["loja"], start, [22])
    world.seen["loja"] = start
    done = world.live(start + timedelta(days=4), start + timedelta(days=4))
    assert ids(done, "opened") == [1]
    alert = alerts.get(world.db, 1)
    assert alert.detected_on == start
    assert alert.evidence["late"] is True
    assert "first alarming day" in world.messages()["alert:1:opened:chat/team"].decode()


@slow
def test_a_surge_of_praise_and_blame_alike_opens_nothing(world: World) -> None:
    for seed, script in enumerate(world.script.values(), 8):
        busy = usual(seed, negatives=6, positives=15)
        for step in range(10, 16):
            day = INSTALLED + timedelta(days=step)
            script[day] = busy[day]
    done = world.live(INSTALLED + timedelta(days=9), INSTALLED + timedelta(days=18))
    assert ids(done, "opened") == []


def test_an_address_a_server_refused_gets_nothing(world: World) -> None:
    now = world.morning(INSTALLED)
    with world.db.write() as connection:
        connection.execute(
            t.refusal.insert().values(recipient="carla@example.com", at=now, detail="no such user")
        )
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [20])
    world.live(start, start + timedelta(days=1))
    keys = world.messages()
    assert "alert:1:opened:ana@example.com" in keys
    assert "alert:1:opened:carla@example.com" not in keys


@slow
def test_a_touchpoint_nobody_configures_any_more_is_let_go(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [20])
    world.live(start, start + timedelta(days=1))
    world.config = configuration.parse(TOML.replace("touchpoints.delivery", "touchpoints.frete"))
    done = world.live(start + timedelta(days=2), start + timedelta(days=2))
    assert ids(done, "resolved") == [1]
    assert alerts.get(world.db, 1).reason == watching.UNWATCHED


def test_nothing_stored_says_nothing(db: Database, settings: Config) -> None:
    now = datetime(2026, 9, 1, 9, tzinfo=ZONE)
    done = watch(db, settings, now=now)
    assert done == Watched()
    assert str(done).startswith("0 opened")
    assert backtest(db, settings) == []
    assert outlook(db, settings) is None


def test_the_outlook_says_how_small_a_change_could_be_seen(world: World) -> None:
    world.collect(INSTALLED)
    seen = outlook(world.db, world.config)
    assert seen is not None
    assert seen.series == 3
    assert seen.false_alarms_a_month <= world.config.watch.false_alarms_per_month
    whole, *parts = seen.sights
    assert whole.key == ("delivery", "")
    assert 20 < whole.usual_in_a_week < 36
    assert whole.usual_in_a_week < whole.least_in_a_week
    assert all(part.least_in_a_day < whole.least_in_a_day for part in parts)


def close_as(world: World, lesson: Lesson, moment: datetime) -> None:
    alerts.dismiss(world.db, 1, lesson=lesson, by="ana", note="", now=moment)


@slow
def test_touchpoints_that_alarm_together_are_one_incident_and_one_message(world: World) -> None:
    world.about = ("delivery", "app")
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [18, 17])
    done = world.live(start, start + timedelta(days=2))
    opened = ids(done, "opened")
    assert len(opened) == 2
    found = [alerts.get(world.db, one) for one in opened]
    assert {each.touchpoint for each in found} == {"delivery", "app"}
    assert {each.incident for each in found} <= set(opened)
    assert len({each.incident for each in found}) == 1
    keys = [key for key in world.messages() if ":opened:" in key]
    told = Counter(key.rpartition(":")[2] for key in keys)
    assert told["carla@example.com"] == told["chat/team"] == 1
    # Bento hears of the app only, and reads there that delivery alarms as well.
    (bento,) = [key for key in keys if "bento" in key]
    mail = email.message_from_bytes(world.messages()[bento], policy=email.policy.default)
    text = mail.get_body(("plain",))
    assert text is not None
    assert "Aplicativo" in mail["Subject"]
    assert "Entrega" in text.get_content()
    assert "incidente" in text.get_content()
    again = watch(world.db, world.config, now=world.morning(start + timedelta(days=2)))
    assert again.opened == []


@slow
def test_a_muted_matter_is_kept_and_told_when_the_silence_is_over(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [18] + [16] * 3 + [60] * 9)
    world.live(start, start + timedelta(days=1))
    now = world.morning(start + timedelta(days=1))
    until = start + timedelta(days=8)
    alerts.mute(world.db, 1, until=until, by="ana", note="liquidação", now=now)
    world.live(start + timedelta(days=2), until)
    assert not [key for key in world.messages() if "escalated" in key]
    assert alerts.get(world.db, 1).severity is Severity.CRITICAL
    world.live(until + timedelta(days=1), until + timedelta(days=1))
    assert "alert:1:escalated-critical:carla@example.com" in world.messages()
    assert "until" in alerts.history(world.db, 1)[1].note


@slow
def test_what_opens_under_a_mute_is_told_only_when_it_outlives_it(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [20])
    burst(world.script["loja"], start + timedelta(days=12), [25, 26])
    world.live(start, start + timedelta(days=1))
    now = world.morning(start + timedelta(days=1))
    alerts.mute(world.db, 1, until=start + timedelta(days=40), by="ana", note="", now=now)
    alerts.close(world.db, 1, state=AlertState.RESOLVED, by="ana", reason="", now=now)
    done = world.live(start + timedelta(days=11), start + timedelta(days=14))
    assert ids(done, "shadow") == [2]
    assert not [key for key in world.messages() if key.startswith("alert:2:")]
    later = world.morning(start + timedelta(days=14))
    alerts.mute(world.db, 1, until=None, by="ana", note="", now=later)
    watch(world.db, world.config, now=later + timedelta(hours=1))
    assert "alert:2:opened:ana@example.com" in world.messages()


@pytest.mark.ordeal
@slow
def test_a_lasting_matter_is_told_again_after_two_weeks_and_only_then(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    for source in world.script:
        burst(world.script[source], start, [30] * 24)
    world.live(start, start + timedelta(days=22))
    again = [key for key in world.messages() if "ongoing" in key and "carla" in key]
    assert len(again) == 1
    told = [key for key in world.messages() if key.startswith("alert:1:") and "carla" in key]
    assert len(told) <= 3
    subject = email.message_from_bytes(world.messages()[again[0]], policy=email.policy.default)
    assert str(subject["Subject"]).startswith("Still")


@slow
def test_readers_have_their_own_filters_and_quiet_hours(world: World) -> None:
    more = TOML.replace(
        'address = "carla@example.com"\nlocale = "en"',
        'address = "carla@example.com"\nquiet_hours = "22:00-09:30"\ntime_zone = "America/Manaus"',
    )
    more += '[subscribers.eva]\naddress = "eva@example.com"\nseverity = "critical"\n'
    more += '[subscribers.fabio]\naddress = "fabio@example.com"\nsources = ["site"]\n'
    more += '[sources.site]\nkind = "file"\n'
    world.config = configuration.parse(more)
    world.script.pop("site")
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [18])
    world.live(start, start + timedelta(days=1))
    with world.db.read() as connection:
        due = {
            row.recipient: row.due_at
            for row in connection.execute(select(t.message.c.recipient, t.message.c.due_at))
        }
    assert "eva@example.com" not in due
    assert "fabio@example.com" not in due
    assert due["ana@example.com"] == world.morning(start + timedelta(days=1))
    # Six in São Paulo is five in Manaus; half past nine there is half past ten here.
    assert due["carla@example.com"] == world.morning(start + timedelta(days=1)) + timedelta(
        hours=4.5
    )


@slow
def test_a_needless_alert_asks_for_more_evidence_next_time(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start, [20])
    world.live(start, start + timedelta(days=1))
    now = world.morning(start + timedelta(days=1))
    until = start + timedelta(days=1)
    past = alerts.listing(world.db)
    rows = watching._rows(world.db, world.config, until=until)
    before = watching._lookout(world.db, world.config, rows, past)
    close_as(world, Lesson.EXPECTED, now)
    after = watching._lookout(world.db, world.config, rows, alerts.listing(world.db))
    assert before is not None
    assert after is not None
    key = next(key for key in after.keys if key == (past[0].touchpoint, past[0].source))
    assert after.limits(key)[-1] == pytest.approx(before.limits(key)[-1] + spikes.LESSON)
    assert after.chance < before.chance
    others = [each for each in after.keys if each != key]
    assert all(after.limits(each)[-1] == before.limits(each)[-1] for each in others)
    quotes = alerts.get(world.db, 1).evidence["quotes"]
    assert annotations.doubt(world.db, quotes) == len(quotes) > 0
    assert annotations.doubt(world.db, quotes) == 0


@slow
def test_a_new_tagger_says_the_past_again_without_alerts(world: World) -> None:
    start = INSTALLED + timedelta(days=10)
    burst(world.script["loja"], start - timedelta(days=2), [20, 20])
    script = dict(world.script["loja"])
    burst(world.script["loja"], start - timedelta(days=2), [2, 2])
    world.live(start - timedelta(days=2), start)
    assert alerts.listing(world.db) == []
    # The new tagger finds many negatives in days that are over.
    world.tagger, now = "t2", world.morning(start) + timedelta(hours=1)
    with world.db.write() as connection:
        connection.execute(t.feedback.update().values(pending=True))
    world.tag(now, limit=50)
    held = watch(world.db, world.config, now=now)
    assert held.held
    assert "new tagger" in str(held)
    world.script["loja"] = script
    world.seen["loja"] = start - timedelta(days=2)
    world.collect(start, "loja")
    world.tag(now)
    done = watch(world.db, world.config, now=now + timedelta(hours=1))
    assert not done.held
    assert done.opened == []
    burst(world.script["loja"], start, [25])
    later = world.live(start + timedelta(days=1), start + timedelta(days=1))
    assert len(ids(later, "opened")) == 1
