"""The verbs that read what is stored, and the two that note a person's judgement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import date, timedelta
from typing import Any

import click

from .. import console
from ..house import House, clock, day_option, known, last_week, me, opened, ordered, week_option
from ..storage import annotations as tags
from ..storage import contacts, digests, runs, series
from ..storage import search as finding
from ..storage.search import Found, Shown, Wanted
from ..storage.vocabulary import Aspect, Sentiment, SeriesDay, Stage, joined_text

NOT_ABOUT = "none"
SENTIMENTS = click.Choice([each.value for each in Sentiment])


def wanting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that say which feedback is meant."""
    options = (
        click.option("--touchpoint", help="Only what speaks of this touchpoint."),
        click.option("--source", help="Only from this source."),
        click.option("--sentiment", type=SENTIMENTS, help="Only of this sentiment."),
        click.option("--stars", type=click.IntRange(1, 5), help="Only with so many stars."),
        click.option("--lang", "language", help="Only in this language, such as pt."),
        day_option("--since", "From this day on."),
        day_option("--until", "Up to this day."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def wanted(house: House, *, sentiment: str | None = None, **chosen: Any) -> Wanted:
    """What the options ask for; names that nobody knows are refused."""
    ordered(chosen.get("since"), chosen.get("until"))
    if chosen.get("touchpoint"):
        known(chosen["touchpoint"], house.config.touchpoints, "touchpoint")
    if chosen.get("source"):
        stored = [status.name for status in runs.statuses(house.db)]
        known(chosen["source"], {*house.config.sources, *stored}, "source")
    return Wanted(sentiment=Sentiment(sentiment) if sentiment else None, **chosen)


_DERIVED = {"p_negative", "p_neutral", "p_positive"}


def feedback_row(found: Found) -> dict[str, Any]:
    """One feedback as JSON shows it."""
    row = {each.name: getattr(found, each.name) for each in fields(Found)}
    p = {each.value: row[f"p_{each.value}"] for each in Sentiment}
    kept = {name: value for name, value in row.items() if name not in _DERIVED}
    return kept | {"p": p if found.sentiment else None}


@click.command("search")
@click.argument("query", default="")
@wanting
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@opened
@console.as_json
def search_verb(house: House, query: str, *, limit: int, as_json: bool, **chosen: Any) -> None:
    """Find feedback whose words all occur, whatever case or accents; the newest first."""
    looked_for = wanted(house, words=query, **chosen)
    found = list(finding.search(house.db, looked_for, limit=limit + 1))
    tell_found(found[:limit], as_json=as_json)
    if len(found) > limit:
        console.say(f"There is more than {limit}; ask for it with --limit.")


def tell_found(found: Sequence[Found], *, as_json: bool) -> None:
    """A table, or JSON Lines."""
    if as_json:
        console.emit_each(feedback_row(each) for each in found)
        return
    if not found:
        console.say("Nothing fits.")
        return
    heads = ("id", "day", "source", "stars", "sentiment", "touchpoints", "text")
    rows = [_found_cells(each) for each in found]
    console.table(heads, rows, right="id stars")


def _found_cells(found: Found) -> list[object]:
    text = joined_text(found.title, found.text)
    doubt = "?" if found.uncertain else ""
    sentiment = f"{found.sentiment}{doubt}" if found.sentiment else "not tagged"
    about = ", ".join(dict.fromkeys(found.touchpoints)) or "–"
    return [found.id, found.day, found.source, found.stars, sentiment, about, text]


@click.command("show")
@click.argument("feedback_id", metavar="ID", type=int)
@click.option("--contact", "reach", is_flag=True, help="And how to reach its author; it is noted.")
@opened
@console.as_json
def show_verb(house: House, feedback_id: int, *, reach: bool, as_json: bool) -> None:
    """Show one feedback with its annotation, aspects, revisions and corrections."""
    shown = finding.show(house.db, feedback_id)
    contact = {"contact": _contact(house, feedback_id)} if reach else {}
    if as_json:
        console.emit(shown_row(shown) | contact)
        return
    _print_shown(shown)
    for name, value in (contact.get("contact") or {}).items():
        console.out(f"{name}: {value}")


def _contact(house: House, feedback_id: int) -> dict[str, str] | None:
    """What is known of how to reach the author; whoever asks stands in the audit."""
    house.note("contact shown", feedback=feedback_id)
    found = contacts.read(house.db, feedback_id, key=house.key)
    if found is None:
        console.say(
            "No contact is kept of it. With keep_contacts = true in [privacy] or in "
            "[sources.NAME.privacy] those are that the source's official API gives."
        )
    return found


def shown_row(shown: Shown) -> dict[str, Any]:
    """Everything about one feedback as JSON shows it."""
    return {
        "feedback": feedback_row(shown.feedback),
        "annotation": shown.annotation,
        "revisions": shown.revisions,
        "corrections": shown.corrections,
    }


def _print_shown(shown: Shown) -> None:
    found = shown.feedback
    text = joined_text(found.title, found.text)
    console.out(f"{found.source} · {found.external_id} · {found.kind}", "bold")
    stars = f"{found.stars} stars" if found.stars else found.rating or "no stars"
    when = found.published_at or found.first_seen_at
    author = found.author or "nobody named"
    console.out(f"{console.cell(when)} · {stars} · {found.language or '?'} · {author}")
    if found.url:
        console.out(found.url)
    console.out(f"\n{text}\n")
    if found.reply_text:
        console.out(f"Reply ({console.cell(found.reply_at)}): {found.reply_text}\n")
    if not shown.annotation:
        console.out("Not tagged yet; `ouvidor annotate` does it.")
    else:
        doubt = ", uncertain" if shown.annotation.uncertain else ""
        p = shown.annotation.p
        console.out(
            f"{p.sentiment}{doubt} (− {p.negative:.2f}, 0 {p.neutral:.2f}, + {p.positive:.2f}) "
            f"by {shown.annotation.basis}, {shown.annotation.tagger}"
        )
        for aspect in shown.annotation.aspects:
            console.out(_aspect(aspect, text))
    for revision in shown.revisions:
        old = joined_text(revision.title, revision.text)
        console.out(f"Until {console.cell(revision.replaced_at)}: {old}")
    for correction in shown.corrections:
        said = {name: value or NOT_ABOUT for name, value in correction.touchpoints.items()}
        every = {"sentiment": correction.sentiment} if correction.sentiment else {}
        judged = ", ".join(f"{name}={value}" for name, value in (every | said).items())
        note = f" ({correction.note})" if correction.note else ""
        console.out(f"{console.cell(correction.at)} {correction.by} corrected: {judged}{note}")


def _aspect(aspect: Aspect, text: str) -> str:
    words = f": “{console.excerpt(text[slice(*aspect.span)])}”" if aspect.span else ""
    return f"  {aspect.touchpoint or aspect.topic} {aspect.p.sentiment}{words}"


def _judgements(
    _context: click.Context, _: click.Parameter, values: Sequence[str]
) -> dict[str, Sentiment | None]:
    judged: dict[str, Sentiment | None] = {}
    choices = [*(each.value for each in Sentiment), NOT_ABOUT]
    for value in values:
        name, equals, said = value.partition("=")
        if not equals or said not in choices:
            raise click.BadParameter(
                f"{value!r}; write NAME=SENTIMENT with one of {', '.join(choices)} "
                f"({NOT_ABOUT}: the text is not about it)."
            )
        judged[name] = None if said == NOT_ABOUT else Sentiment(said)
    return judged


@click.command("correct")
@click.argument("feedback_id", metavar="ID", type=int)
@click.option("--sentiment", type=SENTIMENTS, help="What the whole text is.")
@click.option(
    "--touchpoint",
    "touchpoints",
    multiple=True,
    metavar="NAME=SENTIMENT",
    callback=_judgements,
    help="What it says of a touchpoint; NAME=none: nothing. May be repeated.",
)
@click.option("--note", default="", help="Why.")
@click.option("--by", default=me, help="Who says so (default: you).")
@opened
@clock
def correct_verb(
    house: House,
    feedback_id: int,
    *,
    sentiment: str | None,
    touchpoints: dict[str, Sentiment | None],
    note: str,
    by: str,
) -> None:
    """Say what a feedback is really about; kept for ever."""
    if not (sentiment or touchpoints):
        raise click.UsageError("nothing to correct; give --sentiment or --touchpoint.")
    for name in touchpoints:
        known(name, house.config.touchpoints, "touchpoint")
    correction = tags.Correction(
        feedback_id=feedback_id,
        at=house.now(),
        by=by,
        sentiment=Sentiment(sentiment) if sentiment else None,
        touchpoints=touchpoints,
        note=note,
    )
    tags.correct(house.db, correction)
    house.note("correct", feedback=feedback_id)
    console.say(f"Feedback {feedback_id} is corrected.")


@click.command("assess")
@click.argument("touchpoint")
@click.argument("score", type=click.IntRange(1, 5), metavar="1…5")
@click.option("--note", default="", help="Why.")
@click.option("--by", default=me, help="Who says so (default: you).")
@opened
@clock
def assess_verb(house: House, touchpoint: str, score: int, *, note: str, by: str) -> None:
    """Note the team's own score of a touchpoint, beside the customers'."""
    known(touchpoint, house.config.touchpoints, "touchpoint")
    digests.assess(house.db, touchpoint, score, by=by, note=note, now=house.now())
    house.note("assess", touchpoint=touchpoint, score=score)
    console.say(f"{touchpoint} is assessed with {score}.")


def span_of(
    house: House, week: date | None, since: date | None, until: date | None
) -> tuple[date, date]:
    """The days meant: a week, a span, or the last complete week. Both ends included."""
    if week and (since or until):
        raise click.UsageError("give either --week or --since and --until.")
    if (since is None) != (until is None):
        raise click.UsageError("--since and --until go together.")
    if since and until:
        ordered(since, until)
        return since, until
    monday = week or last_week(house.today)
    return monday, monday + timedelta(days=6)


@click.command("scorecard")
@week_option
@day_option("--since", "From this day …")
@day_option("--until", "… to this day.")
@opened
@clock
@console.as_json
def scorecard_verb(
    house: House, *, week: date | None, since: date | None, until: date | None, as_json: bool
) -> None:
    """Score the touchpoints from 1 to 5, with n, interval, change and the gap to the target."""
    from ..reports.scorecard import BEFORE, scorecard

    first, last = span_of(house, week, since, until)
    notes = digests.assessments(house.db, until=house.now())
    card = scorecard(
        _days_that_matter(house, first - BEFORE, last),
        house.config.touchpoints,
        since=first,
        until=last,
        assessments={name: note.score for name, note in notes.items()},
    )
    if as_json:
        console.emit(card)
        return
    console.out(f"{house.config.brand.name}, {first} to {last}", "bold")
    heads = "stage touchpoint score interval n negative change target gap team"
    rows = [_score_cells(score) for score in card.scores]
    console.table(heads.split(), rows, right="score n negative change target gap team")


def _days_that_matter(house: House, since: date, until: date) -> list[SeriesDay]:
    """Days of configured sources, and of any other that brought something: the rest is past."""
    touchpoints = list(house.config.touchpoints)
    days = series.daily(house.db, since=since, until=until, touchpoints=touchpoints)
    named = {name for name, source in house.config.sources.items() if source.enabled}
    named |= {day.source for day in days if day.total}
    return [day for day in days if day.source in named]


def _score_cells(score: Any) -> list[object]:
    bounds = f"{score.low:.2f}–{score.high:.2f}" if score.score is not None else str(score.telling)
    change = None if score.change is None else f"{score.change:+.2f}"
    loud = "*" if score.stands_out else ""
    gap = None if score.gap is None else f"{score.gap:+.2f}"
    return [
        Stage(score.stage).value,
        score.name,
        score.score,
        bounds,
        score.mentions,
        score.negatives,
        f"{change}{loud}" if change else None,
        f"{score.target:.1f}",
        gap,
        score.assessed,
    ]
