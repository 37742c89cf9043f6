"""What the stored feedback can teach: texts with their stars and with what people said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import func, or_, select

from . import tables as t
from .annotations import corrections_of
from .database import Database
from .vocabulary import Sentiment, joined_text

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A text with what is known of it.

    ``sentiment`` and ``touchpoints`` are a person's last word (None in it: the text is not about
    it); ``stars`` are the customer's.
    """

    text: str
    language: str | None
    stars: int | None
    sentiment: Sentiment | None
    touchpoints: Mapping[str, Sentiment | None]


def told(db: Database, *, most: int) -> Iterator[Told]:
    """Everything that people corrected, then the newest of what has stars; ``most`` in all."""
    feedback = t.feedback.c
    judged = select(t.correction.c.feedback_id)
    query = (
        select(t.feedback, t.annotation.c.language.label("told_language"))
        .outerjoin(t.annotation)
        .where(
            or_(feedback.title != "", feedback.text != ""),
            or_(feedback.stars.is_not(None), feedback.id.in_(judged)),
        )
        .order_by(
            feedback.id.in_(judged).desc(), feedback.day.desc().nulls_last(), feedback.id.desc()
        )
        .limit(most)
    )
    with db.read() as connection:
        for rows in connection.execution_options(yield_per=_PAGE).execute(query).partitions():
            people = corrections_of(connection, [row.id for row in rows])
            for row in rows:
                said = people.get(row.id, [])
                sentiments = [each.sentiment for each in said if each.sentiment is not None]
                yield Told(
                    text=joined_text(row.title, row.text),
                    language=row.told_language or row.language,
                    stars=row.stars,
                    sentiment=sentiments[-1] if sentiments else None,
                    touchpoints={k: v for each in said for k, v in each.touchpoints.items()},
                )


def corrected(db: Database) -> int:
    """How many pieces of feedback people corrected."""
    query = select(func.count(t.correction.c.feedback_id.distinct()))
    with db.read() as connection:
        return connection.execute(query).scalar_one()
