"""Sealed contacts, words that are not kept for ever, and the book of who did what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ouvidor.storage import tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add two tables, and the moment at which a feedback lost its words."""
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("feedback", sa.Column("emptied_at", tables.Instant(timezone=True), nullable=True))
    op.create_table(
        "contact",
        sa.Column("feedback_id", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["feedback_id"],
            ["feedback.id"],
            name=op.f("fk_contact_feedback_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("feedback_id", name=op.f("pk_contact")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("about", json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"])
