"""Making batches and ending them; whose turn it is stands in `queue`."""

from __future__ import annotations

from sqlalchemy import func
from sqlmodel import Session, col, select, update

from node.data.dataset import Dataset
from node.gateway.blobs import BlobStore
from node.gateway.ports import NewBatch
from node.gateway.problems import Code, ProblemError
from node.gateway.sizing import Sizing
from node.gateway.storage.store import new_id
from node.gateway.storage.tables import Batch, BatchState, Lease, LeaseState, ModelVersion, Update, UpdateState
from node.gateway.text import batch_randomness, batch_text

TEXT = "batches"
"""Kind of blobs."""


class BatchMaker:
    """Batches with their text in the blob store."""

    def __init__(self, blobs: BlobStore, dataset: Dataset, sizing: Sizing, account: bytes) -> None:
        self._blobs, self._dataset = blobs, dataset
        self.sizing, self._account = sizing, account
        self._name = f"ponw-{dataset.root.hex()[:16]}"

    def new(self, version: ModelVersion, samples: int, replicas: int) -> NewBatch:
        """A batch that belongs to no round of a chain."""
        name = new_id()
        return NewBatch(
            version.number, samples, batch_randomness(version.root, name), self._account, replicas=replicas, id=name
        )

    def make(self, new: NewBatch, now: int) -> Batch:
        """The row of a batch, in no transaction yet; its text is in the blob store. `now`: Unix microseconds.

        Raises:
            DataError, BlobError.
        """
        steps = self.sizing.steps(new.samples)
        text = batch_text(self.sizing.config, self._dataset, new.randomness, new.account, steps)
        return Batch(
            id=new.id or new_id(),
            version=new.version,
            dataset=self._name,
            data_url=self._blobs.put_bytes(TEXT, text).key,
            checkpoints=list(new.checkpoints),
            samples=new.samples,
            steps=steps,
            randomness=new.randomness,
            account=new.account,
            replicas=new.replicas,
            state=BatchState.PENDING.value,
            chain_round=new.chain_round,
            created_at=now,
        )


def lock_batch(session: Session, batch_id: str) -> Batch:
    """The batch's row, nobody else's until the transaction ends. Raises ProblemError BATCH."""
    asked = select(Batch).where(Batch.id == batch_id).with_for_update()
    found = session.exec(asked, execution_options={"populate_existing": True}).one_or_none()
    if found is None:
        raise ProblemError(Code.BATCH, f"There is no batch {batch_id}.")
    return found


def turns(session: Session, batch: Batch) -> int:
    """Replicas of a batch that are leased or in and not refused."""
    leased = select(func.count()).select_from(Lease).where(Lease.batch_id == batch.id, Lease.state == LeaseState.HELD)
    good = (
        select(func.count())
        .select_from(Update)
        .where(Update.batch_id == batch.id, Update.state != UpdateState.REJECTED)
    )
    return int(session.exec(leased).one()) + int(session.exec(good).one())


def reopen(session: Session, batch: Batch, now: int, *, attempts_max: int, kept: bool) -> None:
    """A turn ended: the batch is pending again, or stays with those who have the rest. It fails after its attempts, and
    with no other turn where its version is no longer trained or its size is nobody else's (`kept` False). The row is
    locked."""
    if batch.state not in {BatchState.PENDING, BatchState.ASSIGNED}:
        return
    taken = turns(session, batch)
    active = session.exec(select(ModelVersion.number).where(col(ModelVersion.active))).one_or_none()
    if batch.attempts >= attempts_max or (taken == 0 and (batch.version != active or not kept)):
        end(session, batch, BatchState.FAILED, now)
        return
    batch.state = (BatchState.ASSIGNED if taken >= batch.replicas else BatchState.PENDING).value
    session.add(batch)


def end(session: Session, batch: Batch, state: BatchState, now: int) -> None:
    """Close a batch; live leases on it are released. The row is locked."""
    batch.state, batch.completed_at = state.value, now
    session.add(batch)
    session.exec(
        update(Lease)
        .where(col(Lease.batch_id) == batch.id, col(Lease.state) == LeaseState.HELD)
        .values(state=LeaseState.RELEASED.value, ended_at=now)
    )
