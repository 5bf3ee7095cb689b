"""Signed answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "signed_answers",
        sa.Column("claim_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("request", sa.LargeBinary(32), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("weights_root", sa.LargeBinary(32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("claim_hash"),
    )
    op.create_index("ix_signed_answers_signed_at", "signed_answers", ["signed_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("signed_answers")
