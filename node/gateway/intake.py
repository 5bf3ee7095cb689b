"""What becomes of uploads: checked, compared, and either decided at once or held for a replica or a recomputation."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlmodel import Session, col, select

from consensus.errors import CompressionError
from consensus.model.config import ModelConfig
from economics.units import BPS
from node.gateway import wire
from node.gateway.archive import Archive
from node.gateway.batches import lock_batch
from node.gateway.checks import Opened, disproof, open_upload, require_match
from node.gateway.decisions import Decisions, Event, Verdict, counted_before, held_updates, lock_workers
from node.gateway.payload import payload_size, read_raw, zero_hash
from node.gateway.ports import Blobs, Events, Queue
from node.gateway.problems import Code, ProblemError
from node.gateway.profiles import Impression, Profiles
from node.gateway.reputation import Outcome, recomputation_rate, replicas
from node.gateway.schemas import Receipt, UploadMeta
from node.gateway.settings import GatewaySettings
from node.gateway.states import ClaimStates
from node.gateway.storage.store import MICROSECONDS, Storage, new_id
from node.gateway.storage.tables import Batch, Lease, ModelVersion, Update, UpdateState, Worker

CARRIED: Final = "carried"
SHOWN: Final = "shown"
"""`Lease.residual` once the residual that an audit asked for is in the blob store."""
_COUNTED: Final = (UpdateState.HELD, UpdateState.ACCEPTED, UpdateState.AGGREGATED)
_TRIES: Final = 5


class _AnotherUploadError(Exception):
    """A replica of the same batch came in between; look again."""


@dataclass(frozen=True)
class Arrival:
    """An upload that was read, and what is known of it before anything is decided."""

    opened: Opened
    blob_key: str
    size: int
    false: str
    """Why it cannot be true; empty where it may be."""
    impression: Impression
    norm: float


class UploadIntake:
    """Implements `ports.Intake`. `secret`: what chooses recomputations, so that nobody can foresee them."""

    def __init__(
        self,
        storage: Storage,
        queue: Queue,
        blobs: Blobs,
        settings: GatewaySettings,
        config: ModelConfig,
        events: Events,
        secret: bytes,
    ) -> None:
        self._storage, self._queue, self._settings = storage, queue, settings
        self._config, self._events, self._secret = config, events, secret
        self._shapes = config.shapes()
        self._zero = zero_hash(self._shapes)
        self.archive = Archive(blobs, self._shapes)
        self.profiles = Profiles(storage, self.archive, secret, settings.version_lag)
        self.decisions = Decisions(storage, queue, config.seq_len)
        self.states = ClaimStates(storage, blobs, self._shapes)

    def accept(self, worker: Worker, meta: UploadMeta, path: Path) -> Receipt:
        """An upload, header included, as it came. The same lease with the same payload gives the same receipt.

        Raises:
            ProblemError BATCH, LEASE, NOT_YOURS, MISMATCH, HEADER, PAYLOAD, QUARANTINED. BlobError, DatabaseError.
        """
        with _taken(path):
            if (known := self._known(worker, meta)) is not None:
                return known
            arrival = self._read(worker, meta, path)
            for _ in range(_TRIES):
                try:
                    return self._enter(worker, meta, arrival)
                except _AnotherUploadError:
                    continue
            raise ProblemError(Code.BUSY, "Other uploads of this batch are just being taken.", retry_after=1)

    def reconsider(self, batch: Batch) -> bool:
        """Decide what is held of a batch as if it came now: what stood apart among few, or was not to be compared with
        anything, may be like all others since. False: the batch has to be trained again.

        Raises BlobError, DatabaseError.
        """
        with self._storage.read() as session:
            rows = held_updates(session, batch.id)
            if any(counted_before(session, row.id) for row in rows):  # a liar's, recalled
                return False
        seen = [self.profiles.impression(self.profiles.profile(row), row) for row in rows]
        impression = Impression(next((one.reason for one in seen if one.reason), ""), any(one.unlike for one in seen))
        with self._storage.write() as session:
            workers = lock_workers(session, {row.worker_id for row in rows})
            fresh = lock_batch(session, batch.id)
            held = held_updates(session, batch.id)
            if [row.id for row in held] != [row.id for row in rows] or not self._enough(session, held, workers):
                return False
            outcome = self._outcome(fresh, held, impression, workers)
            if outcome is None:
                return False
            events = self.decisions.apply(session, fresh, [Verdict(row.id, outcome) for row in held])
        self._publish(events)
        return True

    def _enough(self, session: Session, held: Sequence[Update], workers: dict[str, Worker]) -> bool:
        """Whether these volunteers' batches need no more results: a lone one whose replica never came is not enough."""
        now, trusted = self._storage.now(session), self._settings.trusted_reputation
        if any((worker.quarantined_until or 0) > now for worker in workers.values()):
            return False
        most = max((worker.reputation for worker in workers.values()), default=0)
        return len(held) >= replicas(most, trusted, self._settings.replicas)

    def receipt(self, worker: Worker, update_id: str) -> Receipt:
        """How an upload stands. Raises ProblemError UPDATE: none of this worker's."""
        with self._storage.read() as session:
            return self._receipt(session, _own(session, worker, update_id))

    def residual(self, worker: Worker, update_id: str, path: Path) -> Receipt:
        """A residual that a receipt asked for: zstd of `payload.raw_bytes`.

        Raises:
            ProblemError UPDATE, NOT_ASKED, RESIDUAL, PAYLOAD. BlobError.
        """
        with _taken(path), path.open("rb") as file:
            with self._storage.read() as session:
                row = _own(session, worker, update_id)
                asked = self._reveals(session, row)
            if not asked or row.residual_in is None:
                raise ProblemError(Code.NOT_ASKED, "No audit asks for the residual of this upload.")
            try:
                data = wire.read_zstd(file, payload_size("raw", self._shapes))
                read_raw(memoryview(data), self._shapes)
            except (wire.UploadError, CompressionError) as error:
                raise ProblemError(Code.PAYLOAD, error.message) from error
            if hashlib.sha256(data).digest() != row.residual_in:
                raise ProblemError(Code.RESIDUAL, "This is another residual than the upload's header names.")
            self.archive.keep_residual(data)
            with self._storage.write() as session:
                lease = session.exec(select(Lease).where(Lease.id == row.lease_id).with_for_update()).one()
                lease.residual = SHOWN
                session.add(lease)
                session.flush()
                return self._receipt(session, _own(session, worker, update_id))

    def checkpoint(self, worker: Worker, batch_id: str, step: int, path: Path) -> None:
        """A whole state at a step that the offer named.

        Raises:
            ProblemError BATCH, LEASE, NOT_ASKED, PAYLOAD. BlobError.
        """
        with _taken(path):
            self.states.keep(worker, batch_id, step, path)

    # --- before the transaction ---

    def _known(self, worker: Worker, meta: UploadMeta) -> Receipt | None:
        with self._storage.read() as session:
            return self._known_in(session, worker, meta)

    def _known_in(self, session: Session, worker: Worker, meta: UploadMeta) -> Receipt | None:
        row = session.exec(select(Update).where(Update.lease_id == meta.lease_id)).one_or_none()
        if row is None:
            return None
        if row.worker_id != worker.id or row.batch_id != meta.batch_id:
            raise ProblemError(Code.NOT_YOURS, "This lease is somebody else's.")
        if row.payload_hash.hex() != meta.payload_sha256:
            raise ProblemError(Code.LEASE, "Another upload was taken for this lease.")
        return self._receipt(session, row)

    def _read(self, worker: Worker, meta: UploadMeta, path: Path) -> Arrival:
        """Everything that needs no lock; what it reads of the database is read again under locks."""
        with self._storage.read() as session:
            batch, lease, version = _work(session, worker, meta)
        require_match(meta, batch, lease, version.name)
        opened = open_upload(path, self._shapes)
        if opened.meta != meta:
            raise ProblemError(Code.HEADER, "The header of the body is not the one that was announced.")
        false = disproof(opened, self._config, b"".join(self._queue.data(batch)), lease.residual != "zero")
        if batch.checkpoints and not false:
            self.states.require(worker, batch, opened.leaves)
        blob = self.archive.keep(path)
        profile = self.profiles.of(opened.update)
        like = _row(opened, batch, lease, blob.key, blob.size)
        impression = Impression() if false else self.profiles.impression(profile, like)
        return Arrival(opened, blob.key, blob.size, false, impression, profile.norm)

    # --- the transaction ---

    def _enter(self, worker: Worker, meta: UploadMeta, arrival: Arrival) -> Receipt:
        with self._storage.write() as session:
            ids = {worker.id, *session.exec(select(Lease.worker_id).where(Lease.batch_id == meta.batch_id))}
            workers = lock_workers(session, ids)
            if (known := self._known_in(session, worker, meta)) is not None:
                return known
            batch, lease = self._queue.held(session, worker.id, meta.batch_id, meta.lease_id)
            self._require_admitted(session, workers[worker.id])
            if lease.residual == CARRIED:
                self._require_chain(session, worker.id, meta)
            row = _row(arrival.opened, batch, lease, arrival.blob_key, arrival.size)
            row.norm, row.uploaded_at = arrival.norm, self._storage.now(session)
            session.add(row)
            self._queue.uploaded(session, batch, lease)
            session.flush()
            events = self._decide(session, batch, row, arrival, workers)
            session.flush()
            receipt = self._receipt(session, row)
        self._publish(events)
        return receipt

    def _publish(self, events: Sequence[Event]) -> None:
        for kind, detail in events:
            self._events.publish(kind, detail)

    def _require_admitted(self, session: Session, worker: Worker) -> None:
        now = self._storage.now(session)
        if worker.quarantined_until is not None and worker.quarantined_until > now:
            left = (worker.quarantined_until - now) // MICROSECONDS + 1
            raise ProblemError(Code.QUARANTINED, f"For another {left} s: {worker.quarantine_reason}.", retry_after=left)

    def _require_chain(self, session: Session, worker_id: str, meta: UploadMeta) -> None:
        """Error feedback goes on from the last upload that was not refused, or begins anew."""
        asked = (
            select(Update.residual_out)
            .where(
                Update.worker_id == worker_id, col(Update.state).in_(_COUNTED), col(Update.residual_out).is_not(None)
            )
            .order_by(col(Update.uploaded_at).desc())
        )
        last = session.exec(asked.limit(1)).first()
        if meta.residual_in not in {self._zero.hex(), None if last is None else last.hex()}:
            raise ProblemError(Code.MISMATCH, "residual_in is not the residual_out of your last upload that counted.")

    def _decide(
        self, session: Session, batch: Batch, row: Update, arrival: Arrival, workers: dict[str, Worker]
    ) -> list[Event]:
        if arrival.false:
            return self.decisions.apply(session, batch, [Verdict(row.id, Outcome.FALSE, arrival.false)])
        held = held_updates(session, batch.id)
        if len(held) < batch.replicas:
            return []
        if any(one.worker_id not in workers for one in held):
            raise _AnotherUploadError
        outcome = self._outcome(batch, held, arrival.impression, workers)
        verdicts = [] if outcome is None else [Verdict(one.id, outcome) for one in held]
        return self.decisions.apply(session, batch, verdicts)

    def _outcome(
        self, batch: Batch, held: Sequence[Update], impression: Impression, workers: dict[str, Worker]
    ) -> Outcome | None:
        """What uploads that nobody trained again can be taken as; None: somebody has to."""
        alone = batch.chain_round is not None and len(held) == 1  # a claim puts a bond at stake
        if not held or alone or impression.reason or len({one.result_hash for one in held}) > 1:
            return None
        if self._is_drawn(batch, [workers[one.worker_id] for one in held], impression.unlike):
            return None
        return Outcome.AGREED if len(held) > 1 else Outcome.UNCHECKED

    def _is_drawn(self, batch: Batch, workers: Sequence[Worker], unlike: bool) -> bool:
        """Whether the gateway trains this batch again. The draw is the same however often it is made."""
        least = min(worker.reputation for worker in workers)
        rate = recomputation_rate(least, self._settings.recompute_new, self._settings.recompute_trusted)
        if unlike and len(workers) == 1:
            rate = max(rate, self._settings.recompute_unlike)
        draw = hmac.digest(self._secret, b"ponw/recompute/1" + batch.id.encode(), "sha256")
        return int.from_bytes(draw[:8], "big") % BPS < rate

    def _reveals(self, session: Session, row: Update) -> bool:
        """Whether the volunteer is to show what its error feedback went on from."""
        lease = session.get_one(Lease, row.lease_id)
        held = row.state == UpdateState.HELD and lease.residual == CARRIED
        return held and row.residual_in != self._zero

    def _receipt(self, session: Session, row: Update) -> Receipt:
        return Receipt.model_validate(
            {
                "update_id": row.id,
                "state": row.state,
                "reason": row.reason,
                "reveal_residual": self._reveals(session, row),
            }
        )


@contextmanager
def _taken(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _own(session: Session, worker: Worker, update_id: str) -> Update:
    row = session.get(Update, update_id, populate_existing=True)
    if row is None or row.worker_id != worker.id:
        raise ProblemError(Code.UPDATE, "There is no such upload of yours.")
    return row


def _work(session: Session, worker: Worker, meta: UploadMeta) -> tuple[Batch, Lease, ModelVersion]:
    batch = session.get(Batch, meta.batch_id)
    if batch is None:
        raise ProblemError(Code.BATCH, f"There is no batch {meta.batch_id}.")
    lease = session.get(Lease, meta.lease_id)
    mine = lease is not None and lease.worker_id == worker.id and lease.batch_id == batch.id
    if lease is None or not mine or meta.worker_id != worker.id:
        raise ProblemError(Code.NOT_YOURS, "This lease of this batch is not yours.")
    return batch, lease, session.get_one(ModelVersion, batch.version)


def _row(opened: Opened, batch: Batch, lease: Lease, key: str, size: int) -> Update:
    meta = opened.meta
    return Update(
        id=new_id(),
        worker_id=lease.worker_id,
        batch_id=batch.id,
        lease_id=lease.id,
        version=batch.version,
        gradient_url=key,
        codec=meta.codec,
        size=size,
        loss=wire.mean_loss(opened.leaves),
        samples=batch.samples,
        trace_root=opened.trace_root,
        payload_hash=opened.payload_hash,
        result_hash=opened.result_hash,
        residual_in=None if meta.residual_in is None else bytes.fromhex(meta.residual_in),
        residual_out=None if meta.residual_out is None else bytes.fromhex(meta.residual_out),
        seconds=meta.seconds,
        state=UpdateState.HELD.value,
    )
