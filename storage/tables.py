"""The tables, one per word of the vocabulary, named in the singular."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware moment, kept in UTC on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Refuse naive times; SQLite has no zones, so it gets the text of plain UTC.

        One function instead of SQLAlchemy's chain of three: a row of feedback holds seven.
        """
        plain = dialect.name == "sqlite"

        def bound(value: datetime | None) -> Any:
            if value is None:
                return None
            if value.tzinfo is None:
                raise ValueError(f"{value!r} has no time zone")
            moment = value if value.tzinfo is UTC else value.astimezone(UTC)
            return moment.isoformat(" ", "microseconds")[:26] if plain else moment

        return bound

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Every moment comes back aware and in UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Json = JSON().with_variant(JSONB(), "postgresql")


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=True)


def _source(*, primary: bool = False) -> Column[int]:
    return Column("source_id", ForeignKey("source.id"), primary_key=primary, nullable=False)


def _feedback(*, primary: bool = False) -> Column[int]:
    return Column(
        "feedback_id",
        ForeignKey("feedback.id", ondelete="CASCADE"),
        primary_key=primary,
        nullable=False,
    )


def _probabilities() -> list[Column[float]]:
    names = ("p_negative", "p_neutral", "p_positive")
    return [Column(name, Float, nullable=False) for name in names]


source = Table(
    "source",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    # When a run first read all the source shows: what came before is back-fill, told to nobody.
    Column("joined_at", Instant),
    Column("last_new_at", Instant),
)

run = Table(
    "run",
    metadata,
    _id(),
    _source(),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("worker", Text, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("first", Boolean, nullable=False),
    Column("outcome", Text),
    # Whether everything since the last joined run was read.
    Column("joined", Boolean, nullable=False, default=False),
    Column("message", Text, nullable=False, default=""),
    Column("pages", Integer, nullable=False, default=0),
    Column("seen", Integer, nullable=False, default=0),
    Column("new", Integer, nullable=False, default=0),
    Column("changed", Integer, nullable=False, default=0),
    Column("rejected", Integer, nullable=False, default=0),
    Column("details", Json, nullable=False, default=dict),
    Index("ix_run_source_id_started_at", "source_id", "started_at"),
    # One open run per source, on both databases.
    Index(
        "uq_run_open",
        "source_id",
        unique=True,
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    ),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    _source(primary=True),
    Column("version", Integer, nullable=False),
    Column("value", Json, nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("updated_at", Instant, nullable=False),
)

coverage = Table(
    "coverage",
    metadata,
    _source(primary=True),
    Column("day", Date, primary_key=True),
    # The part of the day that was read; whole when it spans the brand's day.
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("whole", Boolean, nullable=False),
)

feedback = Table(
    "feedback",
    metadata,
    _id(),
    _source(),
    Column("external_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    # Case and accents folded, for search that finds "não" by "nao" on both databases.
    Column("folded", Text, nullable=False),
    Column("language", Text),
    Column("stars", SmallInteger),
    Column("rating", Text),
    Column("rating_scale", Text),
    Column("category", Text),
    Column("published_at", Instant),
    Column("edited_at", Instant),
    Column("first_seen_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    # When its words were taken away, as their source's retention says; what was counted stays.
    Column("emptied_at", Instant),
    # The day it counts on, in the brand's zone; null when it counts on none.
    Column("day", Date),
    Column("author", Text),
    Column("url", Text),
    Column("reply_text", Text),
    Column("reply_at", Instant),
    Column("attributes", Json, nullable=False, default=dict),
    Column("content_hash", Text, nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    # In the store, in this state, when a run last joined known ground.
    Column("settled", Boolean, nullable=False, default=False),
    Column("pending", Boolean, nullable=False, default=True),
    Column("claimed_by", Text),
    Column("claimed_until", Instant),
    UniqueConstraint("source_id", "external_id"),
    CheckConstraint("stars IS NULL OR stars BETWEEN 1 AND 5", name="stars"),
    Index("ix_feedback_source_id_day", "source_id", "day"),
    Index("ix_feedback_author", "author"),
    Index(
        "ix_feedback_pending",
        "id",
        sqlite_where=text("pending = 1"),
        postgresql_where=text("pending"),
    ),
    Index(
        "ix_feedback_unsettled",
        "source_id",
        sqlite_where=text("settled = 0"),
        postgresql_where=text("NOT settled"),
    ),
    Index(
        "ix_feedback_claimed_by",
        "claimed_by",
        sqlite_where=text("claimed_by IS NOT NULL"),
        postgresql_where=text("claimed_by IS NOT NULL"),
    ),
)

# Apart from `feedback`, so that counting and claiming never read the big blobs.
payload = Table(
    "payload",
    metadata,
    _feedback(primary=True),
    Column("content_hash", Text, primary_key=True),
    Column("seen_at", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# How to reach whoever wrote it, where an official API says so and the operator wants it kept.
contact = Table(
    "contact",
    metadata,
    _feedback(primary=True),
    # JSON under AES-GCM; its key is derived from the installation's and stands nowhere here.
    Column("sealed", LargeBinary, nullable=False),
)

revision = Table(
    "revision",
    metadata,
    _id(),
    _feedback(),
    Column("replaced_at", Instant, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("stars", SmallInteger),
    Column("rating", Text),
    Column("edited_at", Instant),
    Column("reply_text", Text),
    Column("reply_at", Instant),
    Column("content_hash", Text, nullable=False),
    Index("ix_revision_feedback_id", "feedback_id"),
)

# Erased for a person who asked for it: what still stands at its source is not stored again.
forgotten = Table(
    "forgotten",
    metadata,
    _source(primary=True),
    # SHA-256 of the source's id of it, which may be a name.
    Column("mark", Text, primary_key=True),
    Column("at", Instant, nullable=False),
)

annotation = Table(
    "annotation",
    metadata,
    _feedback(primary=True),
    Column("tagger", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("sentiment", Text, nullable=False),
    *_probabilities(),
    Column("stars", Float),
    Column("uncertain", Boolean, nullable=False),
    Column("topics", Json, nullable=False, default=dict),
    Column("content_hash", Text, nullable=False),
    Column("annotated_at", Instant, nullable=False),
)

aspect = Table(
    "aspect",
    metadata,
    _id(),
    _feedback(),
    Column("topic", Text),
    Column("touchpoint", Text),
    Column("sentiment", Text, nullable=False),
    *_probabilities(),
    Column("p_subject", Float, nullable=False),
    Column("span_start", Integer),
    Column("span_end", Integer),
    CheckConstraint("(topic IS NULL) <> (touchpoint IS NULL)", name="one_subject"),
    Index("ix_aspect_feedback_id", "feedback_id"),
    Index("ix_aspect_touchpoint", "touchpoint"),
)

correction = Table(
    "correction",
    metadata,
    _id(),
    _feedback(),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("sentiment", Text),
    # {"delivery": "negative", "billing": null}: null says that the text is not about it.
    Column("touchpoints", Json, nullable=False, default=dict),
    Column("note", Text, nullable=False, default=""),
    Index("ix_correction_feedback_id", "feedback_id"),
)

series = Table(
    "series",
    metadata,
    _source(primary=True),
    Column("day", Date, primary_key=True),
    # '' is the row of the whole source.
    Column("touchpoint", Text, primary_key=True),
    Column("negatives", Integer, nullable=False),
    Column("mentions", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("score_sum", Float, nullable=False),
    Column("score_squares", Float, nullable=False),
    Index("ix_series_day", "day"),
)

dirty_day = Table(
    "dirty_day",
    metadata,
    _source(primary=True),
    Column("day", Date, primary_key=True),
)

assessment = Table(
    "assessment",
    metadata,
    _id(),
    Column("touchpoint", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("score", SmallInteger, nullable=False),
    Column("note", Text, nullable=False, default=""),
    CheckConstraint("score BETWEEN 1 AND 5", name="score"),
    Index("ix_assessment_touchpoint", "touchpoint"),
)

alert = Table(
    "alert",
    metadata,
    _id(),
    Column("touchpoint", Text, nullable=False),
    # '' is the touchpoint over all its sources.
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("owner", Text),
    Column("opened_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("detected_on", Date, nullable=False),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("observed", Integer, nullable=False),
    Column("expected", Float, nullable=False),
    Column("share", Float),
    Column("expected_share", Float),
    Column("score", Float, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("evidence", Json, nullable=False, default=dict),
    Index(
        "uq_alert_active",
        "touchpoint",
        "source",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
)

alert_event = Table(
    "alert_event",
    metadata,
    _id(),
    Column("alert_id", ForeignKey("alert.id", ondelete="CASCADE"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Index("ix_alert_event_alert_id", "alert_id"),
)

# One week studied: which new phrases came up, and how the brand came across.
study = Table(
    "study",
    metadata,
    # Monday of the ISO week.
    Column("week", Date, primary_key=True),
    Column("tagger", Text, nullable=False),
    Column("built_at", Instant, nullable=False),
)

theme = Table(
    "theme",
    metadata,
    Column("week", ForeignKey("study.week", ondelete="CASCADE"), primary_key=True),
    Column("rank", SmallInteger, primary_key=True),
    Column("phrase", Text, nullable=False),
    Column("phrases", Json, nullable=False),
    # What most of its texts are about; null where there is no such touchpoint.
    Column("touchpoint", Text),
    Column("sources", Json, nullable=False),
    # Texts of the last four weeks and of the twelve before them, and of how many.
    Column("now", Integer, nullable=False),
    Column("now_of", Integer, nullable=False),
    Column("before", Integer, nullable=False),
    Column("before_of", Integer, nullable=False),
    Column("negatives", Integer, nullable=False),
    # Ids, so that no words outlive theirs.
    Column("quotes", Json, nullable=False),
)

posture = Table(
    "posture",
    metadata,
    Column("week", ForeignKey("study.week", ondelete="CASCADE"), primary_key=True),
    Column("touchpoint", Text, primary_key=True),
    Column("trait", Text, primary_key=True),
    # Remarks of the last four weeks that touch the trait, and how many show it.
    Column("remarks", Integer, nullable=False),
    Column("shows", Integer, nullable=False),
    Column("score_sum", Float, nullable=False),
    Column("score_squares", Float, nullable=False),
)

digest = Table(
    "digest",
    metadata,
    Column("subscriber", Text, primary_key=True),
    Column("week", Text, primary_key=True),
    Column("built_at", Instant, nullable=False),
    # Why there is no message, when there is none.
    Column("skipped", Text),
    Column("data", Json, nullable=False, default=dict),
)

message = Table(
    "message",
    metadata,
    _id(),
    Column("key", Text, nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    # A mail address, or the name of a chat in the configuration (its URL is a secret).
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # The finished bytes: a retry sends the same message.
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("claimed_by", Text),
    Column("claimed_until", Instant),
    Column("attempts", Integer, nullable=False, default=0),
    Column("sent_at", Instant),
    # Ids of the feedback it quotes: erasing a person reaches finished bytes, too.
    Column("quoted", Json, nullable=False, default=list),
    CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="state"),
    Index("ix_message_state_due_at", "state", "due_at"),
    Index(
        "ix_message_claimed_by",
        "claimed_by",
        sqlite_where=text("claimed_by IS NOT NULL"),
        postgresql_where=text("claimed_by IS NOT NULL"),
    ),
)

delivery = Table(
    "delivery",
    metadata,
    _id(),
    Column("message_id", ForeignKey("message.id", ondelete="CASCADE"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("result", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Index("ix_delivery_message_id", "message_id"),
)

# Mail addresses a server refused for good, and readers ("digest NAME") who ended their digest:
# nothing more is sent there until a person says so.
refusal = Table(
    "refusal",
    metadata,
    Column("recipient", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("detail", Text, nullable=False),
)

# What the clock owes: a due date and a lease are rows, so that any number of clocks agree.
due = Table(
    "due",
    metadata,
    Column("name", Text, primary_key=True),
    Column("due_at", Instant, nullable=False),
    Column("claimed_by", Text),
    Column("claimed_until", Instant),
)

# Who did what when, with what is personal or decided. Ids only: no words and no people but the
# user of the machine.
audit = Table(
    "audit",
    metadata,
    _id(),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("about", Json, nullable=False, default=dict),
    Index("ix_audit_at", "at"),
)
