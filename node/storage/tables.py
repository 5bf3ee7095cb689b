"""The tables. Columns keep to types that SQLite and PostgreSQL share; 32-byte values are binary."""

# sqlmodel reads annotations when a class is made: they cannot be postponed here.
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, String, Text, true
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel


class Phase(StrEnum):
    """Where a round stands, as this node last saw it."""

    TRAIN = "train"
    WINDOW = "window"
    OUTER = "outer"
    CLOSED = "closed"


class ClaimState(StrEnum):
    """Life of a claim as recorded. DROPPED: planned here but never posted, because its round moved on."""

    PLANNED = "planned"
    SENT = "sent"
    CHALLENGED = "challenged"
    FINAL = "final"
    PAID = "paid"
    LOST = "lost"
    DROPPED = "dropped"


class TxState(StrEnum):
    """Life of a transaction: journalled before it is sent, so that a restart knows what may be under way."""

    PREPARED = "prepared"
    SENT = "sent"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class PaidState(StrEnum):
    """Life of a paid request at its server. ENDED: no more tokens go out, the money is to be fetched."""

    SERVING = "serving"
    ENDED = "ended"
    DONE = "done"


class Word(TypeDecorator[str]):
    """A short string; members of a StrEnum are stored by value whatever the driver makes of enums."""

    impl = String(64)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The plain string."""
        return None if value is None else str(value)


def _number(**options: Any) -> Any:
    return Field(sa_column=Column(BigInteger, nullable=False, **options))


def _round(**options: Any) -> Any:
    return Field(sa_column=Column(BigInteger, ForeignKey("rounds.number"), nullable=False, **options))


def _hash(**options: Any) -> Any:
    return Field(sa_column=Column(LargeBinary(32), nullable=False, **options))


def _word(**options: Any) -> Any:
    return Field(sa_column=Column(Word, nullable=False, **options))


def _text() -> Any:
    return Field(default="", sa_column=Column(Text, nullable=False))


class Round(SQLModel, table=True):
    """One round of the network. Deadlines are Unix seconds; `end_root` is unknown until it closes."""

    __tablename__ = "rounds"

    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    start_root: bytes = _hash()
    randomness: bytes = _hash()
    phase: str = _word()
    claim_deadline: int = _number()
    challenge_deadline: int = _number()
    outer_deadline: int | None = Field(default=None, sa_column=Column(BigInteger))
    end_root: bytes | None = Field(default=None, sa_column=Column(LargeBinary(32)))


class Leaf(SQLModel, table=True):
    """One training step that this node ran; `loss_bits` are the bits of the fp32 loss."""

    __tablename__ = "leaves"

    round: int = _round(primary_key=True)
    step: int = _number(primary_key=True)
    state_root: bytes = _hash()
    batch_root: bytes = _hash()
    loss_bits: int = _number()


class ClaimRecord(SQLModel, table=True):
    """A claim, this node's (`own`) or a peer's; `body` is the claim as JSON."""

    __tablename__ = "claims"
    __table_args__ = (
        # Two different own claims for one round would be slashable: the database itself rules them out.
        Index(
            "uq_claims_own",
            "round",
            "kind",
            unique=True,
            sqlite_where=Column("own") == true(),
            postgresql_where=Column("own") == true(),
        ),
        CheckConstraint("kind in (1, 2)", name="ck_claims_kind"),
    )

    hash: bytes = _hash(primary_key=True)
    round: int = _round(index=True)
    node: str = _word()
    kind: int = _number()
    own: bool
    body: str = _text()
    state: str = _word()
    tx_hash: str = _text()
    reason: str = _text()


class Peer(SQLModel, table=True):
    """Where a peer's artefacts are served; `last_seen` in Unix seconds."""

    __tablename__ = "peers"

    address: str = _word(primary_key=True)
    uri: str = _text()
    last_seen: int = _number()


class Audit(SQLModel, table=True):
    """What this node found when it recomputed a claim; one a claim."""

    __tablename__ = "audits"

    claim_hash: bytes = _hash(primary_key=True)
    round: int = _round(index=True)
    result: str = _word()
    detail: str = _text()


class Challenge(SQLModel, table=True):
    """A challenge this node takes part in: `role` "challenger" or "prover"; `deadline` of the next move, Unix s."""

    __tablename__ = "challenges"

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    claim_hash: bytes = _hash(index=True)
    step: int = _number()
    role: str = _word()
    state: str = _word(index=True)
    deadline: int = _number()


class Transaction(SQLModel, table=True):
    """One intended transaction. `purpose` ("claim 12 1") is unique: the same thing is never sent under two nonces."""

    __tablename__ = "transactions"

    purpose: str = Field(sa_column=Column(String(128), primary_key=True))
    nonce: int = _number()
    tx_hash: str = _text()
    state: str = _word()


class PaidRequest(SQLModel, table=True):
    """A request this node answers for money. `quote` is JSON; `tokens` and `voucher` (65 bytes, empty at first) are the
    newest voucher; `outcome` says in words how it ended."""

    __tablename__ = "paid_requests"

    request: bytes = _hash(primary_key=True)
    quote: str = _text()
    state: str = _word(index=True)
    tokens: int = _number()
    voucher: bytes = Field(default=b"", sa_column=Column(LargeBinary(65), nullable=False))
    outcome: str = _text()


class SignedAnswer(SQLModel, table=True):
    """An answer that this node signed for the court. `request` is the paid request, `signed_at` Unix seconds, `body` a
    node.inference.paid.exhibit.Exhibit as JSON."""

    __tablename__ = "signed_answers"

    claim_hash: bytes = _hash(primary_key=True)
    request: bytes = _hash()
    signed_at: int = _number(index=True)
    weights_root: bytes = _hash()
    body: str = _text()
