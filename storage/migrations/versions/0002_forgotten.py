"""What was erased for a person stays away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ouvidor.storage import tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table of erased ids."""
    op.create_table(
        "forgotten",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_forgotten_source_id")),
        sa.PrimaryKeyConstraint("source_id", "mark", name=op.f("pk_forgotten")),
    )
