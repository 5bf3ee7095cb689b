"""States that volunteers upload for claims."""

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
        "step_states",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("batch_id", sa.String(36), sa.ForeignKey("training_batches.id"), nullable=False),
        sa.Column("worker_id", sa.String(36), sa.ForeignKey("workers.id"), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("state_url", sa.Text(), nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("batch_id", "worker_id", "step", name="one_state_a_step"),
    )
    op.create_index("ix_step_states_batch_id", "step_states", ["batch_id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("step_states")
