"""The gateway's tables (docs/GATEWAY.md). Columns keep to types that SQLite and PostgreSQL share; times are Unix
microseconds, ids are UUIDs in text, hashes are binary."""

# sqlmodel reads annotations when a class is made: they cannot be postponed here.
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import registry
from sqlalchemy.types import JSON
from sqlmodel import Field, SQLModel


class BatchState(StrEnum):
    """Life of a batch. FAILED: given up after its attempts, or its version is no longer trained."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    COMPLETED = "completed"
    FAILED = "failed"


class LeaseState(StrEnum):
    """Life of one volunteer's turn at a batch."""

    HELD = "held"
    UPLOADED = "uploaded"
    EXPIRED = "expired"
    RELEASED = "released"


class UpdateState(StrEnum):
    """Life of an upload. HELD: it waits for a replica or a recomputation; only ACCEPTED ones are aggregated."""

    HELD = "held"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    AGGREGATED = "aggregated"


class Gateway(SQLModel, registry=registry()):
    """Base of these tables: their metadata is their own, apart from the node's."""


def _column(column: Any, *, nullable: bool = False) -> Any:
    return Field(default=None, sa_column=column) if nullable else Field(sa_column=column)


def _id() -> Any:
    return Field(sa_column=Column(String(36), primary_key=True))


def _ref(target: str, *, nullable: bool = False, **options: Any) -> Any:
    return _column(Column(String(36), ForeignKey(target), nullable=nullable, **options), nullable=nullable)


def _number(target: str, *, nullable: bool = False) -> Any:
    return _column(Column(BigInteger, ForeignKey(target), nullable=nullable), nullable=nullable)


def _word(size: int = 64, **options: Any) -> Any:
    return Field(sa_column=Column(String(size), nullable=False, **options))


def _text() -> Any:
    return Field(default="", sa_column=Column(Text, nullable=False))


def _count(default: int = 0) -> Any:
    return Field(default=default, sa_column=Column(BigInteger, nullable=False))


def _time(*, nullable: bool = False, **options: Any) -> Any:
    return _column(Column(BigInteger, nullable=nullable, **options), nullable=nullable)


def _hash(*, nullable: bool = False, **options: Any) -> Any:
    return _column(Column(LargeBinary(32), nullable=nullable, **options), nullable=nullable)


def _real(**options: Any) -> Any:
    return Field(sa_column=Column(Float, nullable=False), **options)


def _json(empty: type = dict) -> Any:
    return Field(default_factory=empty, sa_column=Column(JSON, nullable=False))


def _only_one(name: str, column: str, where: str) -> Index:
    """A unique index over the rows that `where` picks; both databases have them."""
    return Index(name, column, unique=True, sqlite_where=text(where), postgresql_where=text(where))


class Worker(Gateway, table=True):
    """One volunteer. `key_hash`: sha256 of an API key that only the volunteer has."""

    __tablename__ = "workers"

    id: str = _id()
    key_hash: bytes = _hash(unique=True)
    username: str = _word()
    hardware: dict[str, Any] = _json()
    batches: int = _count()
    """Accepted batches."""
    rejected: int = _count()
    tokens: int = _count()
    reputation: int = _count()
    """Basis points, 0 to 10,000 (`node.gateway.reputation`)."""
    quarantined_until: int | None = _time(nullable=True)
    quarantine_reason: str = _text()
    created_at: int = _time()
    last_seen: int = _time(index=True)


class ModelVersion(Gateway, table=True):
    """One version of the model. `number` rises by one; `name` is `v` and the number."""

    __tablename__ = "model_versions"
    __table_args__ = (_only_one("one_active_version", "active", "active"),)

    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    name: str = _word(16, unique=True)
    parent: int | None = _number("model_versions.number", nullable=True)
    source: str = _word()
    """genesis, aggregation, round (of the chain) or rollback."""
    checkpoint_url: str = _text()
    """Blob key of the weights (safetensors)."""
    state_url: str = _text()
    """Blob key of what the aggregator carries on (momentum, second moments); empty for none."""
    sha256: bytes = _hash()
    size: int = _count()
    root: bytes = _hash()
    """Root over the weights (`consensus.commitments.tensors.tensors_root` or the chain's global root)."""
    parameters: int = _count()
    active: bool = Field(default=False, sa_column=Column(Boolean, nullable=False))
    """The one version that batches are made for."""
    metrics: dict[str, Any] = _json()
    created_at: int = _time()


class Batch(Gateway, table=True):
    """Some steps to train from a version. Its text is fixed by `randomness` and `account` as a claim's is."""

    __tablename__ = "training_batches"
    __table_args__ = (Index("batches_of_version", "version", "state"), Index("batches_due", "state", "created_at"))

    id: str = _id()
    version: int = _number("model_versions.number")
    dataset: str = _word(128)
    data_url: str = _text()
    """Blob key of the tokens; its name is their sha256."""
    checkpoints: list[int] = _json(list)
    """Steps whose whole state is asked for; claims only."""
    samples: int = _count()
    steps: int = _count()
    randomness: bytes = _hash()
    account: bytes = Field(sa_column=Column(LargeBinary(20), nullable=False))
    replicas: int = _count(default=1)
    """Volunteers whose results must agree before one counts."""
    attempts: int = _count()
    state: str = _word()
    result_hash: bytes | None = _hash(nullable=True)
    """What was agreed on."""
    chain_round: int | None = _time(nullable=True, index=True)
    """The chain's round that this batch is a claim of; None where no claim is made of it."""
    claim_hash: bytes | None = _hash(nullable=True, index=True)
    claim_tx: bytes | None = _hash(nullable=True)
    created_at: int = _time()
    completed_at: int | None = _time(nullable=True)


class Lease(Gateway, table=True):
    """One volunteer's turn at a batch."""

    __tablename__ = "leases"
    __table_args__ = (
        UniqueConstraint("batch_id", "worker_id", name="one_turn_a_worker"),
        Index("leases_due", "state", "expires_at"),
        _only_one("one_live_lease_a_worker", "worker_id", "state = 'held'"),
    )

    id: str = _id()
    batch_id: str = _ref("training_batches.id", index=True)
    worker_id: str = _ref("workers.id", index=True)
    state: str = _word()
    step: int = _count()
    """Steps done, as the volunteer says."""
    codec: str = _word(16)
    residual: str = _word(16)
    """zero or carried: what the volunteer was told, and so what its upload is held to."""
    assigned_at: int = _time()
    expires_at: int = _time()
    ended_at: int | None = _time(nullable=True)


class StepState(Gateway, table=True):
    """A whole state that a volunteer uploaded for a claim: weights and both moments after `step` steps of a batch."""

    __tablename__ = "step_states"
    __table_args__ = (UniqueConstraint("batch_id", "worker_id", "step", name="one_state_a_step"),)

    id: str = _id()
    batch_id: str = _ref("training_batches.id", index=True)
    worker_id: str = _ref("workers.id")
    step: int = _count()
    state_url: str = _text()
    """Blob key of the file."""
    root: bytes = _hash()
    """State root of what it holds; a claim needs it to be the one in the leaves."""
    created_at: int = _time()


class Aggregation(Gateway, table=True):
    """One act of joining updates. It and the states of its updates change in one transaction."""

    __tablename__ = "aggregations"

    id: str = _id()
    base: int = _number("model_versions.number")
    made: int | None = _number("model_versions.number", nullable=True)
    """The version it made; None where its updates became a claim instead."""
    rule: str = _word()
    updates: int = _count()
    samples: int = _count()
    claim_hash: bytes | None = _hash(nullable=True)
    metrics: dict[str, Any] = _json()
    created_at: int = _time()


class Update(Gateway, table=True):
    """One upload. `aggregation_id` is set once and never changes: an update counts in exactly one aggregation."""

    __tablename__ = "gradient_updates"
    __table_args__ = (Index("updates_due", "state", "version"),)

    id: str = _id()
    worker_id: str = _ref("workers.id", index=True)
    batch_id: str = _ref("training_batches.id", index=True)
    lease_id: str = _ref("leases.id", unique=True)
    version: int = _number("model_versions.number")
    gradient_url: str = _text()
    """Blob key of the upload as it came."""
    codec: str = _word(16)
    size: int = _count()
    loss: float = _real()
    samples: int = _count()
    trace_root: bytes = _hash()
    payload_hash: bytes = _hash()
    result_hash: bytes = _hash()
    """sha256(trace root ‖ payload hash): equal for honest replicas."""
    residual_in: bytes | None = _hash(nullable=True)
    residual_out: bytes | None = _hash(nullable=True)
    norm: float = _real(default=0.0)
    seconds: float = _real(default=0.0)
    state: str = _word()
    reason: str = _text()
    """Why it was rejected, in words for the volunteer."""
    aggregation_id: str | None = _ref("aggregations.id", nullable=True, index=True)
    uploaded_at: int = _time()
    decided_at: int | None = _time(nullable=True)


class ReputationEvent(Gateway, table=True):
    """Why a volunteer's reputation changed."""

    __tablename__ = "reputation_events"

    id: str = _id()
    worker_id: str = _ref("workers.id", index=True)
    update_id: str | None = _ref("gradient_updates.id", nullable=True)
    kind: str = _word()
    change: int = _count()
    detail: str = _text()
    at: int = _time()


class UsedChallenge(Gateway, table=True):
    """A proof of work is good once; swept after its expiry."""

    __tablename__ = "used_challenges"

    id: bytes = Field(sa_column=Column(LargeBinary(32), primary_key=True))
    expires_at: int = _time(index=True)


class Flag(Gateway, table=True):
    """What one process tells the others: that a job lives, that aggregation is paused and why."""

    __tablename__ = "flags"

    name: str = Field(sa_column=Column(String(64), primary_key=True))
    value: dict[str, Any] = _json()
    at: int = _time()
