"""Every number of a mail counted again from the raw tables, by other means than the product's.

Nothing here asks the series or the product's own queries: rows are read as they are and counted in
plain Python; the formulas are written out again from their published form.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text as sql
from stored import databases_on
from test_reports_golden import many
from weeks import MONDAY, NOW, WEEK, World

from ouvidor.reports import letter
from ouvidor.reports.digest import build
from ouvidor.reports.week import Digest
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door

SUNDAY = MONDAY + timedelta(days=6)
ZONE = ZoneInfo("America/Sao_Paulo")
Rows = list[dict[str, Any]]


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('recount') / 'ouvidor.db'}"
        return
    with databases_on(request.getfixturevalue("postgresql")) as make:
        yield make()


@pytest.fixture(scope="module")
def told(url: str) -> tuple[Digest, str, Rows, Rows]:
    """A full week as told, its text, and the raw rows: feedback with its annotation; aspects."""
    door = Door(b"a key of thirty-two bytes, really", ZONE)
    with closing(open_database(url)) as db:
        world = World(db, door)
        many(world)
        made = build(db, world.config, now=NOW, week=WEEK)
        text = letter.words(made).text
        feedback = rows_of(
            db,
            "SELECT f.*, s.name AS source, a.sentiment, a.p_negative, a.p_neutral, a.p_positive, "
            "a.language AS told_language, a.uncertain, a.basis, a.tagger "
            "FROM feedback f JOIN source s ON s.id = f.source_id "
            "JOIN annotation a ON a.feedback_id = f.id",
        )
        aspects = rows_of(db, "SELECT * FROM aspect")
    return made, " ".join(text.split()), feedback, aspects


def rows_of(db: Database, query: str) -> Rows:
    with db.read() as connection:
        return [dict(row) for row in connection.execute(sql(query)).mappings()]


def parsed(value: Any) -> Any:
    """JSON, which SQLite gives as it was written."""
    return json.loads(value) if isinstance(value, str) else value


def moment(row: dict[str, Any]) -> datetime:
    """When it was published; SQLite gives the text of a moment in UTC."""
    told = row["published_at"]
    return datetime.fromisoformat(told).replace(tzinfo=UTC) if isinstance(told, str) else told


def local_day(row: dict[str, Any]) -> date:
    """The brand's day of publication, from the moment and not from the column of days."""
    return moment(row).astimezone(ZONE).date()


def within(rows: Rows, since: date, until: date) -> Rows:
    return [row for row in rows if since <= local_day(row) <= until]


def number(value: float) -> str:
    return f"{value:,}"


def wilson(part: int, whole: int) -> tuple[float, float]:
    z = 1.959963984540054
    p = part / whole
    centre = p + z * z / (2 * whole)
    reach = z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))
    below = 1 + z * z / whole
    return (centre - reach) / below, (centre + reach) / below


def percent(share: float) -> str:
    return f"{share:.0%}"


def test_totals_shares_and_the_picture(told: tuple[Digest, str, Rows, Rows]) -> None:
    made, text, feedback, _ = told
    week = within(feedback, MONDAY, SUNDAY)
    negative = sum(row["sentiment"] == "negative" for row in week)
    before = within(feedback, MONDAY - timedelta(days=28), MONDAY - timedelta(days=1))
    earlier = sum(row["sentiment"] == "negative" for row in before)
    low, high = wilson(negative, len(week))
    assert (made.total, made.share.part, made.share.whole) == (len(week), negative, len(week))
    assert f"{number(len(week))} comments" in text
    assert f"{percent(negative / len(week))} negative (95% interval {percent(low)} to " in text
    assert percent(high) in text
    assert f"four weeks before: {percent(earlier / len(before))} of {len(before)}" in text
    for point in made.trend:
        rows = within(feedback, point.since, point.since + timedelta(days=6))
        bad = sum(row["sentiment"] == "negative" for row in rows)
        assert (point.negatives, point.mentions) == (bad, len(rows))
        if rows:
            assert f"{number(bad)} negative of {number(len(rows))}" in text


def credible(groups: dict[str, list[float]]) -> dict[str, tuple[float, float, float]]:
    """Bühlmann–Straub by hand: score and 95 % interval of each group of 1, 3 and 5."""
    pooled_spread = sum(sum((x - statistics.fmean(g)) ** 2 for x in g) for g in groups.values())
    freedom = sum(len(g) - 1 for g in groups.values())
    pooled = (pooled_spread + 4 * 8 / 3) / (freedom + 4)
    own = {
        key: (sum((x - statistics.fmean(g)) ** 2 for x in g) + 10 * pooled) / (len(g) - 1 + 10)
        for key, g in groups.items()
    }
    errors = {key: own[key] / len(g) for key, g in groups.items()}
    means = {key: statistics.fmean(g) for key, g in groups.items()}
    weights = {key: 1 / (0.5 + errors[key]) for key in groups}
    centre = sum(weights[k] * means[k] for k in groups) / sum(weights.values())
    spread = sum((m - centre) ** 2 for m in means.values()) / (len(groups) - 1)
    found = max(0.0, spread - statistics.fmean(errors.values()))
    tau = ((len(groups) - 1) * found + 3 * 0.5) / (len(groups) - 1 + 3)
    z = {key: tau / (tau + errors[key]) for key in groups}
    mu = sum(z[k] * means[k] for k in groups) / sum(z.values())
    scores = {}
    for key in groups:
        score = mu + z[key] * (means[key] - mu)
        error = math.sqrt(z[key] * errors[key] + (1 - z[key]) ** 2 * tau / sum(z.values()))
        scores[key] = (score, max(1, score - 1.96 * error), min(5, score + 1.96 * error))
    return scores


def test_every_score(told: tuple[Digest, str, Rows, Rows]) -> None:
    made, text, feedback, aspects = told
    days = {row["id"]: local_day(row) for row in feedback}
    groups: dict[str, list[float]] = {}
    earlier: dict[str, list[float]] = {}
    negatives: Counter[str] = Counter()
    for row in aspects:
        if row["touchpoint"] is None:
            continue
        value = row["p_negative"] + 3 * row["p_neutral"] + 5 * row["p_positive"]
        day = days[row["feedback_id"]]
        if MONDAY <= day <= SUNDAY:
            groups.setdefault(row["touchpoint"], []).append(value)
            negatives[row["touchpoint"]] += row["sentiment"] == "negative"
        elif MONDAY - timedelta(days=28) <= day < MONDAY:
            earlier.setdefault(row["touchpoint"], []).append(value)
    scores = credible(groups)
    assert set(scores) == {"app", "delivery"}
    for score in made.scorecard.scores:
        value, low, high = scores[score.touchpoint]
        assert score.score == pytest.approx(value, abs=1e-9)
        assert (score.low, score.high) == (
            pytest.approx(low, abs=1e-3),
            pytest.approx(high, abs=1e-3),
        )
        mentions = len(groups[score.touchpoint])
        assert f"{score.name}: {value:.1f} / 5" in text
        assert (
            f"{number(mentions)} mentions, {negatives[score.touchpoint]} negative; "
            f"95% interval {low:.1f} to {high:.1f}"
        ) in text
        assert f"target 4.0: {4 - value:.1f} short" in text
        assert (
            f"{4 - value:.1f} short of the target of 4.0; {negatives[score.touchpoint]} of "
            f"{number(mentions)} mentions are negative"
        ) in text
    # Four weeks before, only one touchpoint was spoken of: its own mean is the journey's.
    [delivery] = [each for each in made.scorecard.scores if each.touchpoint == "delivery"]
    assert list(earlier) == ["delivery"]
    before = statistics.fmean(earlier["delivery"])
    assert delivery.previous == pytest.approx(before)
    change = f"{scores['delivery'][0] - before:+.1f}".replace("-", "\N{MINUS SIGN}")
    assert f"no clear change ({change})" in text
    # What it costs ranks what comes first: gap × volume × share negative.
    costs = {key: (4 - scores[key][0]) * negatives[key] for key in scores}
    assert [each.touchpoint for each in made.first] == sorted(costs, key=lambda key: -costs[key])


def test_every_driver(told: tuple[Digest, str, Rows, Rows]) -> None:
    made, text, feedback, _ = told
    week = within(feedback, MONDAY, SUNDAY)
    assert made.drivers
    for driver in made.drivers:
        key = {"version": "version", "place": "loja"}.get(driver.dimension.value)
        values = {
            row["id"]: parsed(row["attributes"]).get(key) if key else row["source"] for row in week
        }
        mine = [row for row in week if values[row["id"]] == driver.value]
        rest = [row for row in week if values[row["id"]] not in (None, driver.value)]
        bad, others = (sum(row["sentiment"] == "negative" for row in rows) for rows in (mine, rest))
        assert driver.new
        assert f"{percent(bad / len(mine))} negative of {number(len(mine))}" in text
        assert f"the others have {percent(others / len(rest))} of {number(len(rest))}" in text


def test_complaint_sites_and_surveys(told: tuple[Digest, str, Rows, Rows]) -> None:
    _, text, feedback, _ = told
    start = datetime.combine(MONDAY, datetime.min.time(), ZONE)
    end = start + timedelta(days=7)
    complaints = [row for row in feedback if row["kind"] == "complaint"]
    facts = {row["id"]: parsed(row["attributes"]) for row in complaints}
    came = within(complaints, MONDAY, SUNDAY)
    answered = [row for row in came if facts[row["id"]].get("answered") == "true"]
    assert f"{len(came)} new complaints; answered so far: {len(answered)}" in text
    due = [
        row for row in complaints
        if facts[row["id"]].get("answered") != "true"
        and facts[row["id"]]["status"] != "deactivated"
    ]  # fmt: skip
    waited = max(end - moment(row) for row in due)
    assert f"{len(due)} complaint waits for an answer, the oldest for {waited.days} days" in text
    times = [
        datetime.fromisoformat(at) - moment(row)
        for row in complaints
        if (at := facts[row["id"]].get("answered_at")) and start <= datetime.fromisoformat(at) < end
    ]
    days = round(statistics.median(times) / timedelta(days=1))
    assert f"{len(times)} were answered this week, half of them within {days} days" in text
    judged = [
        told for told in facts.values()
        if told.get("evaluated_at")
        and start <= datetime.fromisoformat(told["evaluated_at"]) < end
    ]  # fmt: skip
    yes = {
        name: sum(told[name] == "true" for told in judged) for name in ("resolved", "would_return")
    }
    mean = statistics.fmean(float(told["score"]) for told in judged)
    assert f"{len(judged)} was judged by its writer; resolved: {yes['resolved']} of 1" in text
    assert f"would do business again: {yes['would_return']} of 1" in text
    assert f"mean note {mean:.1f} of 10" in text
    notes = [
        int(row["rating"])
        for row in within(feedback, MONDAY, SUNDAY)
        if row["kind"] == "survey" and row["rating_scale"] == "0-10"
    ]
    nps = 100 * (sum(n >= 9 for n in notes) - sum(n <= 6 for n in notes)) / len(notes)
    assert f"NPS {nps:+.0f} from {len(notes)} answers" in text
    asked = [parsed(row["attributes"]).get("csat") for row in feedback]
    csat = [int(note) for note in asked if note and note.isdigit()]
    good = sum(n >= 4 for n in csat)
    assert f"CSAT {percent(good / len(csat))} satisfied ({good} of {len(csat)})" in text


def test_what_the_numbers_rest_on(told: tuple[Digest, str, Rows, Rows]) -> None:
    _, text, feedback, _ = told
    week = within(feedback, MONDAY, SUNDAY)
    odd = [
        row for row in week
        if ((row["stars"] or 3) >= 4 and row["sentiment"] == "negative")
        or ((row["stars"] or 3) <= 2 and row["sentiment"] == "positive")
    ]  # fmt: skip
    public = [row for row in week if row["kind"] in ("review", "complaint")]
    bad = sum(row["sentiment"] == "negative" for row in public)
    languages = Counter(row["told_language"] for row in week)
    assert languages == {"en": len(week)}
    assert f"Languages: English {number(len(week))}." in text
    assert f"In {len(odd)} comments the stars contradict the words." in text
    assert f"0 of {number(len(public))} public comments have a public answer" in text
    assert f"of the negative ones, 0 of {bad}." in text
    assert f"0 of {number(len(week))} labels are uncertain." in text
    assert "All 4 sources were read on every day of the week." in text
    praise = [row for row in week if "Marta" in row["text"] and row["sentiment"] == "positive"]
    assert f"Marta, {len(praise)} times" in text
