"""First schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _hash(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(32), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable, autoincrement=False)


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    """Create every table."""
    _rounds()
    _claims()
    _peers()
    _transactions()


def downgrade() -> None:
    """Drop every table."""
    for table in ("transactions", "challenges", "audits", "peers", "claims", "leaves", "rounds"):
        op.drop_table(table)


def _rounds() -> None:
    op.create_table(
        "rounds",
        _number("number"),
        _hash("start_root"),
        _hash("randomness"),
        _word("phase"),
        _number("claim_deadline"),
        _number("challenge_deadline"),
        _number("outer_deadline", nullable=True),
        _hash("end_root", nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "leaves",
        _number("round"),
        _number("step"),
        _hash("state_root"),
        _hash("batch_root"),
        _number("loss_bits"),
        sa.ForeignKeyConstraint(["round"], ["rounds.number"]),
        sa.PrimaryKeyConstraint("round", "step"),
    )


def _claims() -> None:
    op.create_table(
        "claims",
        _hash("hash"),
        _number("round"),
        _word("node"),
        _number("kind"),
        sa.Column("own", sa.Boolean(), nullable=False),
        _text("body"),
        _word("state"),
        _text("tx_hash"),
        _text("reason"),
        sa.CheckConstraint("kind in (1, 2)", name="ck_claims_kind"),
        sa.ForeignKeyConstraint(["round"], ["rounds.number"]),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index("ix_claims_round", "claims", ["round"])
    own = sa.column("own") == sa.true()
    op.create_index("uq_claims_own", "claims", ["round", "kind"], unique=True, sqlite_where=own, postgresql_where=own)


def _peers() -> None:
    op.create_table("peers", _word("address"), _text("uri"), _number("last_seen"), sa.PrimaryKeyConstraint("address"))
    op.create_table(
        "audits",
        _hash("claim_hash"),
        _number("round"),
        _word("result"),
        _text("detail"),
        sa.ForeignKeyConstraint(["round"], ["rounds.number"]),
        sa.PrimaryKeyConstraint("claim_hash"),
    )
    op.create_index("ix_audits_round", "audits", ["round"])
    op.create_table(
        "challenges",
        _number("id"),
        _hash("claim_hash"),
        _number("step"),
        _word("role"),
        _word("state"),
        _number("deadline"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_challenges_claim_hash", "challenges", ["claim_hash"])
    op.create_index("ix_challenges_state", "challenges", ["state"])


def _transactions() -> None:
    op.create_table(
        "transactions",
        sa.Column("purpose", sa.String(128), nullable=False),
        _number("nonce"),
        _text("tx_hash"),
        _word("state"),
        sa.PrimaryKeyConstraint("purpose"),
    )
