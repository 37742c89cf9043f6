"""What a week's study found: emerging themes, and the posture at each touchpoint."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ouvidor.storage import tables

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables of the weekly study."""
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "study",
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("tagger", sa.Text(), nullable=False),
        sa.Column("built_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("week", name=op.f("pk_study")),
    )
    op.create_table(
        "theme",
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("phrase", sa.Text(), nullable=False),
        sa.Column("phrases", json, nullable=False),
        sa.Column("touchpoint", sa.Text(), nullable=True),
        sa.Column("sources", json, nullable=False),
        sa.Column("now", sa.Integer(), nullable=False),
        sa.Column("now_of", sa.Integer(), nullable=False),
        sa.Column("before", sa.Integer(), nullable=False),
        sa.Column("before_of", sa.Integer(), nullable=False),
        sa.Column("negatives", sa.Integer(), nullable=False),
        sa.Column("quotes", json, nullable=False),
        sa.ForeignKeyConstraint(
            ["week"], ["study.week"], name=op.f("fk_theme_week"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("week", "rank", name=op.f("pk_theme")),
    )
    op.create_table(
        "posture",
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("touchpoint", sa.Text(), nullable=False),
        sa.Column("trait", sa.Text(), nullable=False),
        sa.Column("remarks", sa.Integer(), nullable=False),
        sa.Column("shows", sa.Integer(), nullable=False),
        sa.Column("score_sum", sa.Float(), nullable=False),
        sa.Column("score_squares", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["week"], ["study.week"], name=op.f("fk_posture_week"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("week", "touchpoint", "trait", name=op.f("pk_posture")),
    )
