"""Whole states that volunteers upload for claims: kept with their roots, and handed out where the leaves agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlmodel import Session, col, select

from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf
from node.gateway.payload import Shapes
from node.gateway.ports import Blobs
from node.gateway.problems import Code, ProblemError
from node.gateway.storage.store import Storage, new_id
from node.gateway.storage.tables import Batch, Lease, LeaseState, StepState, Worker
from node.storage.checkpoints import TRAIN_GROUPS
from node.storage.errors import TensorFileError
from node.storage.tensorfile import Tensors, load_tensors

STATES = "states"
"""Kind of blobs."""
Groups = dict[str, Tensors]
"""Weights, m and v by name."""


class ClaimStates:
    """States of batches that become claims."""

    def __init__(self, storage: Storage, blobs: Blobs, shapes: Shapes) -> None:
        self._storage, self._blobs = storage, blobs
        self._shapes = {f"{group}/{name}": shape for group in TRAIN_GROUPS for name, shape in shapes.items()}

    def keep(self, worker: Worker, batch_id: str, step: int, path: Path) -> None:
        """Take over a file of `CheckpointStore`; the same step again replaces it while the lease runs.

        Raises:
            ProblemError BATCH, LEASE, NOT_ASKED, PAYLOAD. BlobError.
        """
        with self._storage.read() as session:
            batch = session.get(Batch, batch_id)
            if batch is None:
                raise ProblemError(Code.BATCH, f"There is no batch {batch_id}.")
            _require_lease(session, worker, batch_id)
            if step not in batch.checkpoints:
                raise ProblemError(Code.NOT_ASKED, f"No state of step {step} is asked for.")
        groups = self.load(path)
        root = state_root(groups["weights"], groups["m"], groups["v"])
        blob = self._blobs.put(STATES, path)
        with self._storage.write() as session:
            _require_lease(session, worker, batch_id)
            asked = select(StepState).where(
                StepState.batch_id == batch_id, StepState.worker_id == worker.id, StepState.step == step
            )
            row = session.exec(asked.with_for_update()).one_or_none() or StepState(
                id=new_id(), batch_id=batch_id, worker_id=worker.id, step=step
            )
            row.state_url, row.root, row.created_at = blob.key, root, self._storage.now(session)
            session.add(row)

    def load(self, path: Path) -> Groups:
        """The groups of a state's file. Raises ProblemError PAYLOAD."""
        try:
            tensors = load_tensors(path, self._shapes).tensors
        except TensorFileError as error:
            raise ProblemError(Code.PAYLOAD, f"The state is malformed: {error.message}") from error
        groups: Groups = {group: {} for group in TRAIN_GROUPS}
        for name, tensor in tensors.items():
            group, _, rest = name.partition("/")
            groups[group][rest] = tensor
        return groups

    def found(self, batch: Batch, leaves: Sequence[StepLeaf]) -> Mapping[int, StepState]:
        """The states of a batch, by step, whose root is the one that the leaves have there; whoever sent them."""
        with self._storage.read() as session:
            asked = select(StepState).where(StepState.batch_id == batch.id).order_by(col(StepState.created_at))
            rows = list(session.exec(asked))
        return {row.step: row for row in rows if row.step > 0 and row.root == leaves[row.step - 1].state_root}


def _require_lease(session: Session, worker: Worker, batch_id: str) -> None:
    asked = select(Lease.id).where(
        Lease.batch_id == batch_id, Lease.worker_id == worker.id, Lease.state == LeaseState.HELD
    )
    if session.exec(asked).first() is None:
        raise ProblemError(Code.LEASE, "You hold no lease of this batch.")
