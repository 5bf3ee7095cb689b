"""Where the parts of a gateway meet. Rows are those of `storage.tables`, detached; refusals are ProblemError.

Methods that take a `Session` belong to the caller's transaction (`Storage.write`), so that what belongs together
happens together or not at all. All methods are synchronous, run in worker threads, and several run at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from sqlmodel import Session
from torch import Tensor

from node.gateway.schemas import BatchOffer, BatchRequest, Receipt, UploadMeta
from node.gateway.storage.tables import Batch, Lease, ModelVersion, Worker

Shapes = Mapping[str, tuple[int, ...]]
EventKind = Literal["version", "aggregation", "update", "quarantine", "claim", "lease_lost", "shutdown"]


@dataclass(frozen=True)
class Blob:
    """Something stored: `key` is its kind and its sha256, so equal bytes of a kind have one key."""

    key: str
    sha256: bytes
    size: int


class Blobs(Protocol):
    """Large objects, on disk or in an object store. A key either has all its bytes or does not exist."""

    def put(self, kind: str, path: Path) -> Blob:
        """Store a file; again is no error. Raises DiskError."""

    def put_bytes(self, kind: str, data: bytes) -> Blob:
        """Store bytes."""

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes [start, stop) in pieces of at most 1 MiB. Raises BlobError: there is no such key."""

    def fetch(self, key: str, path: Path) -> None:
        """Copy to a local file, checked against the hash in the key. Raises BlobError: missing or damaged."""

    def delete(self, key: str) -> None:
        """Remove; a key that does not exist is no error."""


@dataclass(frozen=True)
class StoredModel:
    """Weights, and what the aggregator carries on, that are in the blob store but not yet a version."""

    weights: Blob
    root: bytes
    parameters: int
    state: Blob | None = None


class Registry(Protocol):
    """Versions of the model. One is active; only `publish` and `rollback` change which."""

    def current(self) -> ModelVersion | None:
        """The active version; None before the first."""

    def find(self, name: str) -> ModelVersion | None:
        """The version called `name` (v12)."""

    def get(self, number: int) -> ModelVersion:
        """A version that must exist: a row refers to it."""

    def versions(self, limit: int = 200) -> list[ModelVersion]:
        """The newest first."""

    def weights(self, version: ModelVersion) -> dict[str, Tensor]:
        """Its weights, fp32 by name. Raises BlobError, TensorFileError."""

    def carried(self, version: ModelVersion, shapes: Shapes) -> dict[str, Tensor] | None:
        """What `store` was given as `state` for it; None if nothing. Raises BlobError, TensorFileError."""

    def store(
        self, weights: Mapping[str, Tensor], state: Mapping[str, Tensor] | None = None, root: bytes | None = None
    ) -> StoredModel:
        """Put tensors into the blob store: before the transaction that makes them a version. `root`: the chain's
        global root; by default the root over the weights."""

    def publish(
        self, session: Session, model: StoredModel, *, base: int, source: str, metrics: Mapping[str, Any]
    ) -> ModelVersion:
        """Make a version with parent `base` and make it the active one. Batches of versions that are now too old fail.

        Raises:
            ProblemError CONFLICT: `base` is no longer the active version (there was a rollback meanwhile).
        """

    def rollback(self, name: str, reason: str) -> ModelVersion:
        """A new version with the weights of `name`. What was trained since and not aggregated is rejected.

        Raises:
            ProblemError VERSION, CONFLICT.
        """


@dataclass(frozen=True)
class NewBatch:
    """What a batch is made of; `account` has 20 bytes, `randomness` 32."""

    version: int
    samples: int
    randomness: bytes
    account: bytes
    replicas: int = 1
    checkpoints: tuple[int, ...] = ()
    chain_round: int | None = None
    id: str = field(default="")
    """A new one by default."""


class Queue(Protocol):
    """Batches and whose turn it is. PENDING: needs another volunteer; ASSIGNED: every replica is leased or uploaded."""

    def request(self, worker: Worker, wanted: BatchRequest) -> BatchOffer:
        """The lease that the worker holds, or a new one.

        Raises:
            ProblemError NO_VERSION, NO_WORK, QUARANTINED.
        """

    def release(self, worker: Worker, batch_id: str) -> None:
        """Give a lease back. Raises ProblemError BATCH, LEASE."""

    def data(self, batch: Batch) -> Iterator[bytes]:
        """The tokens: u16 LE [steps, batch, seq_len + 1]."""

    def add(self, session: Session, new: NewBatch) -> Batch:
        """Put a batch into the queue; its tokens are in the blob store before this returns."""

    def held(self, session: Session, worker_id: str, batch_id: str, lease_id: str) -> tuple[Batch, Lease]:
        """The batch and the lease, both locked until the transaction ends. A lease whose time is over counts as long
        as nobody has taken it away.

        Raises:
            ProblemError BATCH, NOT_YOURS, LEASE.
        """

    def uploaded(self, session: Session, batch: Batch, lease: Lease) -> None:
        """The lease ended well. The caller says what becomes of the batch: `complete`, `again`, or neither to wait."""

    def complete(self, session: Session, batch: Batch, result_hash: bytes) -> None:
        """The batch is done; live leases of other volunteers on it are released."""

    def again(self, session: Session, batch: Batch, replicas: int | None = None) -> None:
        """The batch needs another volunteer; with `replicas`, so many uploads in all. Fails it after its attempts."""

    def fail(self, session: Session, batch: Batch) -> None:
        """Give the batch up; live leases on it are released."""

    def sweep(self) -> int:
        """End the leases whose time is over; how many."""

    def prepare(self) -> int:
        """Make batches of the prepared sizes until there are enough for the active version; how many."""


class Intake(Protocol):
    """What becomes of uploads. Each method takes over what is in the file; the file is removed afterwards."""

    def accept(self, worker: Worker, meta: UploadMeta, path: Path) -> Receipt:
        """An upload, header included, as it came. The same lease with the same payload gives the same receipt.

        Raises:
            ProblemError LEASE, NOT_YOURS, MISMATCH, PAYLOAD, STALE, QUARANTINED.
        """

    def residual(self, worker: Worker, update_id: str, path: Path) -> Receipt:
        """A residual that a receipt asked for: zstd of safetensors.

        Raises:
            ProblemError UPDATE, NOT_ASKED, RESIDUAL, PAYLOAD.
        """

    def checkpoint(self, worker: Worker, batch_id: str, step: int, path: Path) -> None:
        """A whole state at a step that the offer named: safetensors.

        Raises:
            ProblemError BATCH, LEASE, NOT_ASKED, PAYLOAD.
        """

    def receipt(self, worker: Worker, update_id: str) -> Receipt:
        """How an upload stands. Raises ProblemError UPDATE: none of this worker's."""


class Events(Protocol):
    """Something happened; everyone who watches is told. Callable from any thread; never blocks, never raises."""

    def publish(self, kind: EventKind, detail: Mapping[str, Any]) -> None:
        """`detail` is JSON."""


@dataclass(frozen=True)
class Job:
    """Work in the background, in a thread of its own: `run` is called every `interval` seconds. It runs in one process
    of a gateway only. A PonwError is logged, kept as flag `job:{name}`, and `run` is called again."""

    name: str
    interval: float
    run: Callable[[], object]


PAUSED_FLAG = "aggregation"
"""Flag whose value {"paused": bool, "reason": str} says whether accepted updates are joined; `at` is the last sign of
life. `idle_reason` reads it."""
