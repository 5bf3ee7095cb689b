"""Uploads are kept until somebody decides on them."""

from __future__ import annotations

from pathlib import Path

from sqlmodel import select

from node.gateway.blobs import BlobStore
from node.gateway.problems import Code, ProblemError
from node.gateway.queue import BatchQueue
from node.gateway.schemas import Receipt, UploadMeta
from node.gateway.storage.store import Storage, new_id
from node.gateway.storage.tables import Update, UpdateState, Worker
from node.gateway.wire import result_hash, step_leaves, trace_root

UPLOADS = "updates"
"""Kind of blobs."""


class HoldingIntake:
    """Implements `ports.Intake` without judging: every upload to a live lease is held."""

    def __init__(self, storage: Storage, blobs: BlobStore, queue: BatchQueue) -> None:
        self._storage, self._blobs, self._queue = storage, blobs, queue

    def accept(self, worker: Worker, meta: UploadMeta, path: Path) -> Receipt:
        """Hold it. Raises ProblemError LEASE, NOT_YOURS, MISMATCH, CONFLICT."""
        payload = bytes.fromhex(meta.payload_sha256)
        if (known := self._known(worker, meta.lease_id)) is not None:
            if known.payload_hash != payload:
                raise ProblemError(Code.CONFLICT, "Another payload was uploaded to this lease.")
            return _receipt(known)
        blob = self._blobs.put(UPLOADS, path)
        root = trace_root(step_leaves(meta.leaves))
        with self._storage.write() as session:
            batch, lease = self._queue.held(session, worker.id, meta.batch_id, meta.lease_id)
            if (meta.codec, meta.num_samples) != (lease.codec, batch.samples) or len(meta.leaves) != batch.steps:
                raise ProblemError(Code.MISMATCH, "Codec, samples or leaves are not those of the offer.")
            row = Update(
                id=new_id(),
                worker_id=worker.id,
                batch_id=batch.id,
                lease_id=lease.id,
                version=batch.version,
                gradient_url=blob.key,
                codec=meta.codec,
                size=blob.size,
                loss=meta.loss,
                samples=batch.samples,
                trace_root=root,
                payload_hash=payload,
                result_hash=result_hash(root, payload),
                seconds=meta.seconds,
                state=UpdateState.HELD.value,
                uploaded_at=self._storage.now(session),
            )
            session.add(row)
            self._queue.uploaded(session, batch, lease)
        return _receipt(row)

    def residual(self, worker: Worker, update_id: str, path: Path) -> Receipt:
        """Never asked for. Raises ProblemError UPDATE, NOT_ASKED."""
        self.receipt(worker, update_id)
        raise ProblemError(Code.NOT_ASKED, f"No residual of {update_id} was asked for ({path.stat().st_size} bytes).")

    def checkpoint(self, worker: Worker, batch_id: str, step: int, path: Path) -> None:
        """Never asked for. Raises ProblemError BATCH, NOT_YOURS, NOT_ASKED."""
        self._queue.taken_by(worker, batch_id)
        raise ProblemError(Code.NOT_ASKED, f"No state of step {step} was asked for ({path.stat().st_size} bytes).")

    def receipt(self, worker: Worker, update_id: str) -> Receipt:
        """How it stands. Raises ProblemError UPDATE."""
        with self._storage.read() as session:
            row = session.get(Update, update_id)
        if row is None or row.worker_id != worker.id:
            raise ProblemError(Code.UPDATE, f"You made no update {update_id}.")
        return _receipt(row)

    def _known(self, worker: Worker, lease_id: str) -> Update | None:
        with self._storage.read() as session:
            asked = select(Update).where(Update.lease_id == lease_id, Update.worker_id == worker.id)
            return session.exec(asked).one_or_none()


def _receipt(row: Update) -> Receipt:
    return Receipt.model_validate({"update_id": row.id, "state": row.state, "reason": row.reason})
