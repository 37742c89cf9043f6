"""What moved in a week: drivers, themes, praise by name, posture, and what was corrected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, case, func, select

from ..config import EVAL_FILE
from ..storage import series, studies
from ..storage import tables as t
from ..storage.digests import Told
from ..storage.series import Quote
from ..storage.vocabulary import Basis, Sentiment, Topic, joined_text
from . import news, praise
from .news import Accuracy, Corrected, Dimension, Driver, Tally, ThemeLine, TraitLine
from .praise import Praised
from .scorecard import BEFORE, Scorecard
from .sites import attribute
from .voices import Role, Voice, best, voice

if TYPE_CHECKING:
    from .gather import Span

_MOST_THEMES = 3
_QUOTES = 2
_LONGEST = 180
_MOST_PRAISE = 2000
_CLEAR_CHANGE = 0.05
_VERSIONS = ("version", "app_version", "versao")
_PLACE_KEYS = "loja store tienda location cidade city ciudad state uf estado country"
_PLACES = _PLACE_KEYS.split()

_Counted = list[tuple[bool, Dimension, str, Tally]]


def drivers(span: Span, wanted: Sequence[str]) -> list[Driver]:
    """What moved the share of negatives against the four weeks before."""
    now: dict[tuple[Dimension, str], Tally] = {}
    before: dict[tuple[Dimension, str], Tally] = {}
    with span.db.read() as connection:
        counted = [*_parts(connection, span, wanted), *_topics(connection, span, wanted)]
    for is_now, dimension, value, tally in counted:
        parts = now if is_now else before
        key = (dimension, value)
        parts[key] = parts.get(key, Tally()).plus(tally)
    return news.drivers(now, before)


def _subject(wanted: Sequence[str]) -> tuple[Any, Any]:
    """The judgement that counts, and feedback joined with it: of the text, or of touchpoints."""
    origin = t.feedback.join(t.annotation)
    return (t.aspect, origin.join(t.aspect)) if wanted else (t.annotation, origin)


def _here(span: Span, wanted: Sequence[str]) -> list[Any]:
    days = t.feedback.c.day.between(span.since - BEFORE, span.until)
    # As an expression, which no index serves: see gather.
    about = [t.aspect.c.touchpoint.concat("").in_(wanted)] if wanted else []
    return [span.everywhere, days, *about]


def _tally(table: Any) -> list[Any]:
    negative = case((table.c.sentiment == Sentiment.NEGATIVE, 1), else_=0)
    return [func.sum(negative), func.count()]


def _parts(connection: Connection, span: Span, wanted: Sequence[str]) -> _Counted:
    """Every source, version and place, of this week and of the four before."""
    subject, origin = _subject(wanted)
    told = (
        select(
            (t.feedback.c.day >= span.since).label("now"),
            t.source.c.name.label(Dimension.SOURCE),
            func.coalesce(*map(attribute, _VERSIONS)).label(Dimension.VERSION),
            func.coalesce(*map(attribute, _PLACES)).label(Dimension.PLACE),
            subject.c.sentiment,
        )
        .select_from(origin.join(t.source))
        .where(*_here(span, wanted))
        .subquery()
    )
    groups = [told.c.now, told.c.source, told.c.version, told.c.place]
    dimensions = (Dimension.SOURCE, Dimension.VERSION, Dimension.PLACE)
    query = select(*groups, *_tally(told)).group_by(*groups)
    return [
        (bool(is_now), dimension, value, Tally(negatives, n))
        for is_now, *values, negatives, n in connection.execute(query)
        for dimension, value in zip(dimensions, values, strict=True)
        if value
    ]


def _topics(connection: Connection, span: Span, wanted: Sequence[str]) -> _Counted:
    if wanted:  # the reader's touchpoints are the topics
        return []
    told = (
        select(
            (t.feedback.c.day >= span.since).label("now"), t.aspect.c.topic, t.aspect.c.sentiment
        )
        .select_from(t.feedback.join(t.aspect))
        # Of the brand in general everything may be said: nobody can act on that.
        .where(*_here(span, ()), t.aspect.c.topic != Topic.BRAND_GENERAL)
        .subquery()
    )
    query = select(told.c.now, told.c.topic, *_tally(told)).group_by(told.c.now, told.c.topic)
    return [
        (bool(is_now), Dimension.TOPIC, topic, Tally(negatives, n))
        for is_now, topic, negatives, n in connection.execute(query)
    ]


def themes(span: Span, wanted: Sequence[str], quoted: Sequence[Voice]) -> list[ThemeLine]:
    """Themes of the week's study that the reader's touchpoints and sources have.

    Nobody speaks twice, and nobody who was ``quoted`` elsewhere.
    """
    lines = []
    used = {each.feedback_id for each in quoted}
    spoken: list[Quote] = []
    for theme in studies.themes(span.db, span.since):
        about = not wanted or theme.touchpoint in wanted
        heard = not span.sources or set(theme.sources) <= set(span.sources)
        ids = [each for each in theme.quotes if each not in used] if about and heard else []
        voices = tuple(_quoted(span, ids, theme.phrase, spoken))
        if not voices:  # with nobody left to show it, it is a claim
            continue
        line = ThemeLine(
            phrase=theme.phrase,
            phrases=theme.phrases,
            now=theme.now,
            now_of=theme.now_of,
            before=theme.before,
            before_of=theme.before_of,
            negatives=theme.negatives,
            voices=voices,
        )
        lines.append(line)
        if len(lines) == _MOST_THEMES:
            break
    return lines


def _quoted(span: Span, ids: Sequence[int], phrase: str, spoken: list[Quote]) -> list[Voice]:
    """Up to two of them, which join those who have ``spoken``."""
    listed = series.quotes_of(span.db, ids)
    chosen: list[Quote] = []
    while len(chosen) < _QUOTES and (found := best(listed, [*spoken, *chosen])):
        chosen.append(found)
    spoken += chosen
    told = [voice(_around(said, phrase), Role.THEME, None, _LONGEST) for said in chosen]
    return [each for each in told if each]


def _around(said: Quote, phrase: str) -> Quote:
    """The quote with its evidence where the phrase stands, so that a cut keeps it."""
    at = joined_text(said.title, said.text).casefold().find(phrase)
    return said if at < 0 else series.moved(said, (at, at + len(phrase)))


def praised(span: Span, wanted: Sequence[str]) -> list[Praised]:
    """Who of the team was praised by name this week."""
    subject, origin = _subject(wanted)
    query = (
        select(t.feedback.c.id, t.feedback.c.title, t.feedback.c.text, t.feedback.c.url)
        .select_from(origin)
        .where(
            *_here(span, wanted),
            t.feedback.c.day >= span.since,
            subject.c.sentiment == Sentiment.POSITIVE,
            t.annotation.c.basis.in_([Basis.TEXT, Basis.HUMAN]),
        )
        .order_by(t.feedback.c.id)
        .limit(_MOST_PRAISE)
    )
    with span.db.read() as connection:
        rows = connection.execute(query).all()
    told = {row.id: (row.id, joined_text(row.title, row.text), row.url) for row in rows}
    return praise.praised(told.values(), span.config.brand.name)


def traits(span: Span, wanted: Sequence[str]) -> dict[str, tuple[TraitLine, ...]]:
    """The posture of the week's study, touchpoint by touchpoint; of all sources together."""
    lines: dict[str, tuple[TraitLine, ...]] = {}
    for found in [] if span.sources else studies.postures(span.db, span.since):
        known = span.config.touchpoints.get(found.touchpoint)
        configured = known and found.trait in {trait.name for trait in known.posture}
        if configured and (not wanted or found.touchpoint in wanted):
            line = news.trait_line(found)
            lines[found.touchpoint] = (*lines.get(found.touchpoint, ()), line)
    return lines


def corrected(
    told: Mapping[str, Any], *, week: str, total: int, negative: int, card: Scorecard
) -> Corrected | None:
    """What was told of an earlier week against its numbers now; None where nothing differs."""
    if "total" not in told:
        return None
    before = {row["touchpoint"]: row["score"] for row in told.get("scores", [])}
    scores = [
        (score.touchpoint, before[score.touchpoint], score.score)
        for score in card.scores
        if score.touchpoint in before and _differs(before[score.touchpoint], score.score)
    ]
    scores.sort(key=lambda each: -abs((each[1] or 0.0) - (each[2] or 0.0)))
    if (told["total"], told["negative"]) == (total, negative) and not scores:
        return None
    return Corrected(
        week=week,
        told_total=told["total"],
        total=total,
        told_negative=told["negative"],
        negative=negative,
        scores=tuple(scores),
    )


def told_again(told: Corrected) -> dict[str, Any]:
    """A correction as what was told of that week from then on: see ``last_told``."""
    return {
        "total": told.total,
        "negative": told.negative,
        "scores": [{"touchpoint": key, "score": now} for key, _, now in told.scores],
    }


def last_told(told: Mapping[str, Told]) -> dict[str, Mapping[str, Any]]:
    """What a reader was told of each week last, in its own digest or a later correction.

    The latest week comes first. A digest that was held back corrected nothing.
    """
    last: dict[str, Mapping[str, Any]] = {}
    for week in sorted(told, reverse=True):
        data = dict(told[week].data)
        scores = {row["touchpoint"]: row for row in data.get("scores", [])}
        for later in sorted(each for each in told if each > week and told[each].skipped is None):
            again = told[later].data.get("corrected", {}).get(week, {})
            scores |= {row["touchpoint"]: row for row in again.get("scores", [])}
            data |= {name: again[name] for name in ("total", "negative") if name in again}
        last[week] = data | {"scores": list(scores.values())}
    return last


def _differs(told: float | None, now: float | None) -> bool:
    if told is None or now is None:
        return told is not now
    return abs(told - now) >= _CLEAR_CHANGE


def accuracy(span: Span, taggers: Sequence[str]) -> Accuracy | None:
    """The last result of ``ouvidor eval``; None without one, or with one that nobody can read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        told = json.loads(span.config.path(EVAL_FILE).read_text(encoding="utf-8"))
        measure = told.get("sentiment") or told
        model, macro = str(told["model"]), measure.get("macro_f1")
        return Accuracy(
            model=model,
            n=int(measure.get("n") or told["n"]),
            accuracy=float(measure["accuracy"]),
            macro_f1=None if macro is None else float(macro),
            languages=tuple(_languages(told.get("languages") or {})),
            other=not any(_kin(model, tagger) for tagger in taggers),
        )
    return None


def _languages(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, int, float]]:
    found = [
        (language, int(measure["n"]), float(measure["accuracy"]))
        for language, measure in told.items()
        if measure.get("n") and measure.get("accuracy") is not None
    ]
    return sorted(found, key=lambda each: (-each[1], each[0]))


def _kin(model: str, tagger: str) -> bool:
    """The same weights; what stands behind the plus sign is the journey."""
    return model.partition("+")[0] == tagger.partition("+")[0]
