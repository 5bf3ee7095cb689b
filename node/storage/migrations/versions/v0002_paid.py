"""Paid requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "paid_requests",
        sa.Column("request", sa.LargeBinary(32), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("voucher", sa.LargeBinary(65), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("request"),
    )
    op.create_index("ix_paid_requests_state", "paid_requests", ["state"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("paid_requests")
