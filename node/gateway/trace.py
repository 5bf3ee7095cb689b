"""From a batch to the claim on chain that it became part of."""

from __future__ import annotations

from sqlmodel import col, select

from node.gateway.problems import Code, ProblemError
from node.gateway.schemas import BatchTrace, TraceUpdate
from node.gateway.storage.store import Storage
from node.gateway.storage.tables import Batch, Update, Worker


def trace_of(storage: Storage, batch_id: str) -> BatchTrace:
    """What became of a batch. The claim's state stands on chain; it is known here once the claim is sent.

    Raises:
        ProblemError BATCH.
    """
    with storage.read() as session:
        batch = session.get(Batch, batch_id)
        if batch is None:
            raise ProblemError(Code.BATCH, f"There is no batch {batch_id}.")
        asked = (
            select(Update, Worker)
            .join(Worker, col(Worker.id) == col(Update.worker_id))
            .where(Update.batch_id == batch_id)
            .order_by(col(Update.uploaded_at))
        )
        rows = list(session.exec(asked))
    return BatchTrace.model_validate(
        {
            "batch_id": batch.id,
            "version": f"v{batch.version}",
            "samples": batch.samples,
            "steps": batch.steps,
            "state": batch.state,
            "updates": [_line(row, worker) for row, worker in rows],
            "chain_round": batch.chain_round,
            "claim_hash": _hex(batch.claim_hash),
            "claim_tx": _hex(batch.claim_tx),
            "claim_state": None if batch.claim_tx is None else "sent",
        }
    )


def _line(row: Update, worker: Worker) -> TraceUpdate:
    return TraceUpdate(
        update_id=row.id,
        username=worker.username,
        trace_root=row.trace_root.hex(),
        result_hash=row.result_hash.hex(),
        state=row.state,
        aggregation_id=row.aggregation_id,
    )


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
