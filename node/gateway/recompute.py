"""Training batches again: who is right is not voted on but computed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import col, func, select
from torch import Tensor

from consensus.aggregation.compression import ErrorFeedback
from consensus.errors import DivergedError
from consensus.training.outer import update_of
from consensus.training.step import TrainState
from node.gateway.batches import lock_batch
from node.gateway.checks import Opened
from node.gateway.decisions import OPEN, Decisions, Verdict, held_updates, lock_workers
from node.gateway.intake import CARRIED, UploadIntake
from node.gateway.payload import CODECS, encode_payload, read_raw, tensors_hash, zero_hash
from node.gateway.ports import Events, Registry
from node.gateway.reputation import Outcome
from node.gateway.settings import GatewaySettings
from node.gateway.storage.store import MICROSECONDS, Storage
from node.gateway.storage.tables import Batch, Lease, Update, UpdateState
from node.logs import get_logger
from node.training.work import Task, Workshop

log = get_logger("recompute")


@dataclass(frozen=True)
class Case:
    """A batch to be trained again, and the uploads that it decides."""

    batch: Batch
    rows: list[Update]
    late: list[Update]
    """Of volunteers that did not show their residual in time."""


class Recomputer:
    """One batch at a time, oldest upload first. One thread; it has its own engine."""

    def __init__(
        self,
        storage: Storage,
        intake: UploadIntake,
        registry: Registry,
        workshop: Workshop,
        settings: GatewaySettings,
        events: Events,
        stop: threading.Event,
    ) -> None:
        self._storage, self._intake, self._registry = storage, intake, registry
        self._shop, self._settings, self._events, self._stop = workshop, settings, events, stop
        self._zero = zero_hash(workshop.config.shapes())

    @property
    def _decisions(self) -> Decisions:
        return self._intake.decisions

    def run(self) -> int:
        """Decide what is due; how many batches. Returns early when the gateway stops.

        Raises:
            BlobError, DatabaseError, DiskError.
        """
        done = 0
        while not self._stop.is_set() and (case := self._next()) is not None:
            if self._intake.reconsider(case.batch):
                continue
            verdicts = [Verdict(row.id, Outcome.UNPROVEN, "the residual was not shown in time") for row in case.late]
            if case.rows:
                judged = self._judge(case)
                if judged is None:
                    break
                verdicts += judged
            self._settle(case.batch, verdicts)
            done += 1
        return done

    def _next(self) -> Case | None:
        with self._storage.read() as session:
            now = self._storage.now(session)
            held = (
                select(Update.batch_id, func.count(), func.min(Update.uploaded_at))
                .where(Update.state == UpdateState.HELD)
                .group_by(col(Update.batch_id))
                .order_by(func.min(Update.uploaded_at))
            )
            for batch_id, count, _ in session.exec(held):
                batch = session.get_one(Batch, batch_id, populate_existing=True)
                if batch.state in OPEN and count < batch.replicas:
                    continue
                rows, late = [], []
                for row in held_updates(session, batch_id):
                    lease = session.get_one(Lease, row.lease_id, populate_existing=True)
                    if lease.residual != CARRIED or row.residual_in == self._zero:
                        rows.append(row)
                    elif now - row.uploaded_at > self._settings.residual_seconds * MICROSECONDS:
                        late.append(row)
                if rows or late:
                    return Case(batch, rows, late)
        return None

    def _judge(self, case: Case) -> list[Verdict] | None:
        """Verdicts on the uploads of a batch; None where the gateway stops meanwhile."""
        opened = [self._intake.archive.open(row) for row in case.rows]
        traced = self._train(case.batch, opened)
        if traced is None:
            return None
        parted, update = traced
        verdicts = []
        for row, one, step in zip(case.rows, opened, parted, strict=True):
            if step is not None:
                reason = f"step {step} does not lead where the upload says: the gateway trained the batch again"
            else:
                reason = (
                    ""
                    if update is not None and self._follows(row, one, update)
                    else ("the update does not follow from its steps: the gateway trained the batch again")
                )
            outcome = Outcome.FALSE if reason else Outcome.VERIFIED
            verdicts.append(Verdict(row.id, outcome, reason))
        log.info("a batch was trained again", batch=case.batch.id, verdicts=[one.outcome.value for one in verdicts])
        return verdicts

    def _train(
        self, batch: Batch, opened: Sequence[Opened]
    ) -> tuple[list[int | None], dict[str, Tensor] | None] | None:
        """(the step at which each trace leaves the true one, the true update), the latter only where a trace holds:
        training ends as soon as none is left. None: the gateway stops."""
        start = self._registry.weights(self._registry.get(batch.version))
        state, task = TrainState.start(start), Task(batch.randomness, batch.account)
        parted: list[int | None] = [None] * len(opened)
        while state.step < batch.steps and None in parted:
            if self._stop.is_set():
                return None
            step = state.step
            try:
                leaf = self._shop.step(state, task)
            except DivergedError:  # no upload can have come past here
                return [step if at is None else at for at in parted], None
            parted = [
                step if at is None and one.leaves[step] != leaf else at for at, one in zip(parted, opened, strict=True)
            ]
        return parted, update_of(start, state.weights) if None in parted else None

    def _follows(self, row: Update, one: Opened, update: dict[str, Tensor]) -> bool:
        """Whether payload and residual of an upload are what encoding the true update gives, bit for bit."""
        if row.residual_in is None or row.residual_out is None:
            return hashlib.sha256(encode_payload(one.meta.codec, update)).digest() == row.payload_hash
        before = ErrorFeedback.start(update)
        if row.residual_in != self._zero:
            data = self._intake.archive.residual(row.residual_in)
            before = ErrorFeedback(read_raw(memoryview(data), self._shop.config.shapes()))
        sent = before.send(CODECS[one.meta.codec], update)
        payload = hashlib.sha256(sent.data).digest()
        return payload == row.payload_hash and tensors_hash(sent.feedback.left) == row.residual_out

    def _settle(self, batch: Batch, verdicts: Sequence[Verdict]) -> None:
        with self._storage.write() as session:
            ids = [session.get_one(Update, one.update_id).worker_id for one in verdicts]
            lock_workers(session, ids)
            events = self._decisions.apply(session, lock_batch(session, batch.id), verdicts)
        for kind, detail in events:
            self._events.publish(kind, detail)
