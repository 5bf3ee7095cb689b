"""What a verdict changes, all in the caller's transaction: the upload, its sender's record, its batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, func, select

from node.gateway.ports import EventKind, Queue
from node.gateway.reputation import Outcome, after, quarantine_seconds
from node.gateway.storage.store import MICROSECONDS, Storage, new_id
from node.gateway.storage.tables import Batch, BatchState, ReputationEvent, Update, UpdateState, Worker

Event = tuple[EventKind, dict[str, Any]]
GOOD = frozenset({Outcome.VERIFIED, Outcome.AGREED, Outcome.UNCHECKED})
OPEN = frozenset({BatchState.PENDING.value, BatchState.ASSIGNED.value})


@dataclass(frozen=True)
class Verdict:
    """`reason`: for the volunteer, where the upload does not count."""

    update_id: str
    outcome: Outcome
    reason: str = ""


class Decisions:
    """Applies verdicts."""

    def __init__(self, storage: Storage, queue: Queue, seq_len: int) -> None:
        self._storage, self._queue, self._seq_len = storage, queue, seq_len

    def apply(self, session: Session, batch: Batch, verdicts: Sequence[Verdict]) -> list[Event]:
        """Decide uploads of a batch that are still held; again changes nothing. Workers and batch are locked.

        What the batch needs next follows: it is complete, or somebody else trains it.
        """
        events: list[Event] = []
        agreed: bytes | None = None
        for verdict in verdicts:
            update = held_update(session, verdict.update_id)
            if update is None:
                continue
            good = verdict.outcome in GOOD
            update.state = (UpdateState.ACCEPTED if good else UpdateState.REJECTED).value
            update.reason, update.decided_at = verdict.reason, self._storage.now(session)
            session.add(update)
            agreed = update.result_hash if good else agreed
            events += self._record(session, batch, update, verdict)
        session.flush()
        if agreed is not None and batch.state in OPEN:
            self._queue.complete(session, batch, agreed)
        elif agreed is None and events and batch.state in OPEN:
            self._queue.again(session, batch)
        return events

    def _record(self, session: Session, batch: Batch, update: Update, verdict: Verdict) -> list[Event]:
        worker = session.get_one(Worker, update.worker_id)
        outcome, before = verdict.outcome, worker.reputation
        worker.reputation = after(before, outcome)
        counts, counted = outcome in GOOD, counted_before(session, update.id)
        worker.batches += counts - counted
        worker.tokens += (counts - counted) * update.samples * self._seq_len
        worker.rejected += not counts
        session.add(
            ReputationEvent(
                id=new_id(),
                worker_id=worker.id,
                update_id=update.id,
                kind=outcome.value,
                change=worker.reputation - before,
                detail=verdict.reason,
                at=self._storage.now(session),
            )
        )
        events = self._quarantine(session, worker, verdict)
        session.add(worker)
        told = {"update_id": update.id, "batch_id": batch.id, "username": worker.username, "state": update.state}
        return [("update", {**told, "reason": verdict.reason}), *events]

    def _quarantine(self, session: Session, worker: Worker, verdict: Verdict) -> list[Event]:
        session.flush()
        earlier = session.exec(
            select(func.count())
            .select_from(ReputationEvent)
            .where(ReputationEvent.worker_id == worker.id, ReputationEvent.kind == Outcome.FALSE.value)
        ).one()
        own = 1 if verdict.outcome is Outcome.FALSE else 0
        seconds = quarantine_seconds(verdict.outcome, earlier - own)
        if not seconds:
            return []
        until = self._storage.now(session) + seconds * MICROSECONDS
        worker.quarantined_until = max(worker.quarantined_until or 0, until)
        worker.quarantine_reason = verdict.reason
        if verdict.outcome is Outcome.FALSE:
            recall(session, worker.id)
        told = {"username": worker.username, "until": worker.quarantined_until // MICROSECONDS}
        return [("quarantine", {**told, "reason": verdict.reason})]


def recall(session: Session, worker_id: str) -> None:
    """Whatever a volunteer who lied has waiting for aggregation is held again, and with it what agreed with it: the
    gateway trains all of it anew, unless it did so before."""
    proven = select(ReputationEvent.update_id).where(ReputationEvent.kind == Outcome.VERIFIED.value)
    theirs = (
        select(Update.batch_id)
        .where(Update.worker_id == worker_id, Update.state == UpdateState.ACCEPTED)
        .where(col(Update.id).not_in(proven.where(col(ReputationEvent.update_id).is_not(None))))
    )
    asked = select(Update).where(col(Update.batch_id).in_(theirs), Update.state == UpdateState.ACCEPTED)
    for update in session.exec(asked.order_by(col(Update.id)).with_for_update()):
        update.state, update.decided_at = UpdateState.HELD.value, None
        session.add(update)


def counted_before(session: Session, update_id: str) -> bool:
    """Whether an upload that is held again was already put down to its sender's good."""
    good = [outcome.value for outcome in GOOD]
    asked = select(ReputationEvent.id).where(
        ReputationEvent.update_id == update_id, col(ReputationEvent.kind).in_(good)
    )
    return session.exec(asked.limit(1)).first() is not None


def held_update(session: Session, update_id: str) -> Update | None:
    """An upload that nothing was decided about, locked."""
    asked = select(Update).where(Update.id == update_id, Update.state == UpdateState.HELD).with_for_update()
    return session.exec(asked.execution_options(populate_existing=True)).one_or_none()


def held_updates(session: Session, batch_id: str) -> list[Update]:
    """The undecided uploads of a batch, oldest first."""
    asked = select(Update).where(Update.batch_id == batch_id, Update.state == UpdateState.HELD)
    return list(session.exec(asked.order_by(col(Update.uploaded_at), col(Update.id))))


def lock_workers(session: Session, ids: Iterable[str]) -> dict[str, Worker]:
    """Rows of volunteers, locked in one order, as they are now."""
    asked = select(Worker).where(col(Worker.id).in_(sorted(set(ids)))).order_by(col(Worker.id)).with_for_update()
    return {row.id: row for row in session.exec(asked.execution_options(populate_existing=True))}
