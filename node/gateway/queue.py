"""Whose turn it is: leases of batches, by row locks on PostgreSQL and by the write lock on SQLite.

PENDING: needs another volunteer. ASSIGNED: every replica is leased or uploaded. Row locks are taken in the order of
`storage.store.Storage`; batches that somebody else holds are skipped, never waited for, where a lease is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, case, func, or_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from node.gateway.batches import BatchMaker, end, lock_batch, reopen, turns
from node.gateway.blobs import BlobStore
from node.gateway.ports import Events, NewBatch
from node.gateway.problems import Code, ProblemError
from node.gateway.schemas import BatchOffer, BatchRequest, Hardware
from node.gateway.settings import GatewaySettings
from node.gateway.storage.store import MICROSECONDS, Storage, new_id
from node.gateway.storage.tables import (
    Batch,
    BatchState,
    Lease,
    LeaseState,
    ModelVersion,
    Update,
    UpdateState,
    Worker,
)

SLACK = 4
"""A lease lasts so many times as long as the batch should take."""
SWEPT = 100
"""Leases ended in one transaction."""
TRIES = 3


class BatchQueue:
    """Implements `ports.Queue`."""

    def __init__(
        self, storage: Storage, blobs: BlobStore, maker: BatchMaker, settings: GatewaySettings, events: Events
    ) -> None:
        self._storage, self._blobs, self._maker = storage, blobs, maker
        self._settings, self._events = settings, events

    def request(self, worker: Worker, wanted: BatchRequest) -> BatchOffer:
        """The lease that the worker holds, or a new one.

        Raises:
            ProblemError NO_VERSION, NO_WORK, QUARANTINED.
        """
        made: Batch | None = None
        for _ in range(TRIES):
            with self._storage.write() as session:
                now = self._storage.now(session)
                me = _admitted(session, worker.id, now)
                if wanted.hardware != Hardware():
                    me.hardware = wanted.hardware.model_dump()
                if (offer := self._continued(session, me, now)) is not None:
                    return offer
                version = _active(session)
                speed = Hardware.model_validate(me.hardware).tokens_per_s
                size = self._maker.sizing.choose(speed, wanted.samples)
                if made is not None and made.version == version.number:
                    session.add(made)
                    return self._lease(session, me, made, now)
                found = session.exec(_pick(me, version, size)).first()
                if found is not None:
                    return self._lease(session, me, found, now)
                self._require_room(session, version)
            made = self._maker.make(self._maker.new(version, size, self._replicas(me)), now)
        raise ProblemError(Code.NO_WORK, "The model changes faster than a batch can be made.")

    def release(self, worker: Worker, batch_id: str) -> None:
        """Give a lease back.

        Raises:
            ProblemError BATCH, LEASE.
        """
        with self._storage.write() as session:
            batch = lock_batch(session, batch_id)
            lease = _lease_of(session, batch.id, worker.id, lock=True)
            if lease is None or lease.state != LeaseState.HELD:
                raise ProblemError(Code.LEASE, "You hold no lease of this batch.")
            self._stop(session, batch, lease, LeaseState.RELEASED)

    def progress(self, worker_id: str, batch_id: str, step: int) -> None:
        """What a volunteer says of its work: a lease whose work goes on is prolonged, up to the longest."""
        with self._storage.write() as session:
            asked = select(Lease).where(
                Lease.worker_id == worker_id, Lease.batch_id == batch_id, Lease.state == LeaseState.HELD
            )
            lease = session.exec(asked.with_for_update()).one_or_none()
            if lease is None or step <= lease.step:
                return
            now = self._storage.now(session)
            longest = lease.assigned_at + self._settings.lease_max_seconds * MICROSECONDS
            prolonged = now + self._settings.lease_seconds * MICROSECONDS
            lease.step, lease.expires_at = step, max(lease.expires_at, min(prolonged, longest))
            session.add(lease)

    def find(self, batch_id: str) -> Batch:
        """A batch. Raises ProblemError BATCH."""
        with self._storage.read() as session:
            found = session.get(Batch, batch_id)
        if found is None:
            raise ProblemError(Code.BATCH, f"There is no batch {batch_id}.")
        return found

    def taken_by(self, worker: Worker, batch_id: str) -> Batch:
        """A batch that the worker has or had a lease of.

        Raises:
            ProblemError BATCH, NOT_YOURS.
        """
        batch = self.find(batch_id)
        with self._storage.read() as session:
            if _lease_of(session, batch_id, worker.id) is None:
                raise ProblemError(Code.NOT_YOURS, "You were not given this batch.")
        return batch

    def data(self, batch: Batch) -> Iterator[bytes]:
        """The tokens: u16 LE [steps, batch, seq_len + 1]. Raises BlobError."""
        return self._blobs.read(batch.data_url)

    def add(self, session: Session, new: NewBatch) -> Batch:
        """Put a batch into the queue; its tokens are in the blob store before this returns."""
        batch = self._maker.make(new, self._storage.now(session))
        session.add(batch)
        session.flush()
        return batch

    def held(self, session: Session, worker_id: str, batch_id: str, lease_id: str) -> tuple[Batch, Lease]:
        """The batch and the lease, both locked until the transaction ends. A lease whose time is over counts as long
        as nobody has taken it away.

        Raises:
            ProblemError BATCH, NOT_YOURS, LEASE.
        """
        batch = lock_batch(session, batch_id)
        lease = session.exec(select(Lease).where(Lease.id == lease_id).with_for_update()).one_or_none()
        if lease is None or lease.worker_id != worker_id or lease.batch_id != batch_id:
            raise ProblemError(Code.NOT_YOURS, "This lease of this batch is not yours.")
        if lease.state != LeaseState.HELD:
            raise ProblemError(Code.LEASE, f"Your lease of this batch is {lease.state}.")
        return batch, lease

    def uploaded(self, session: Session, batch: Batch, lease: Lease) -> None:
        """The lease ended with an upload."""
        lease.state, lease.ended_at, lease.step = LeaseState.UPLOADED.value, self._storage.now(session), batch.steps
        session.add(lease)

    def complete(self, session: Session, batch: Batch, result_hash: bytes) -> None:
        """The batch is done; live leases of other volunteers on it are released."""
        batch.result_hash = result_hash
        end(session, batch, BatchState.COMPLETED, self._storage.now(session))

    def again(self, session: Session, batch: Batch, replicas: int | None = None) -> None:
        """The batch needs another volunteer; with `replicas`, so many uploads in all. Fails it after its attempts."""
        batch.attempts += 1
        batch.replicas = batch.replicas if replicas is None else replicas
        session.flush()
        self._reopen(session, batch, self._storage.now(session))

    def fail(self, session: Session, batch: Batch) -> None:
        """Give the batch up; live leases on it are released."""
        end(session, batch, BatchState.FAILED, self._storage.now(session))

    def sweep(self) -> int:
        """End the leases whose time is over; how many. Uploads that waited for a replica for too long wait no more."""
        self._stop_waiting()
        ended = 0
        while True:
            with self._storage.write() as session:
                lost = [self._expire(session, lease) for lease in self._due(session)]
            for lease in lost:
                self._events.publish("lease_lost", {"batch_id": lease.batch_id, "lease_id": lease.id})
            ended += len(lost)
            if len(lost) < SWEPT:
                return ended

    def prepare(self) -> int:
        """Make batches of the prepared sizes until there are enough for the active version; how many."""
        made = 0
        for size in self._maker.sizing.ready():
            for _ in range(self._lacking(size)):
                with self._storage.read() as session:
                    version, now = _active_or_none(session), self._storage.now(session)
                if version is None:
                    return made
                batch = self._maker.make(self._maker.new(version, size, self._settings.replicas), now)
                with self._storage.write() as session:
                    session.add(batch)
                made += 1
        return made

    def _require_room(self, session: Session, version: ModelVersion) -> None:
        asked = select(func.count()).select_from(Batch)
        asked = asked.where(Batch.version == version.number, Batch.state == BatchState.PENDING)
        if int(session.exec(asked).one()) >= self._settings.pending_max:
            raise ProblemError(Code.NO_WORK, "Every open batch is too large for you, or you had your turn at it.")

    def _lacking(self, size: int) -> int:
        with self._storage.read() as session:
            version = _active_or_none(session)
            if version is None:
                return 0
            asked = (
                select(func.count())
                .select_from(Batch)
                .where(Batch.version == version.number, Batch.state == BatchState.PENDING, Batch.samples == size)
            )
            return max(0, self._settings.prepared - int(session.exec(asked).one()))

    def _stop_waiting(self) -> None:
        """No replica came: the batch asks for no more of them, and the gateway computes it again."""
        with self._storage.write() as session:
            before = self._storage.now(session) - self._settings.replica_seconds * MICROSECONDS
            late = select(Update.id).where(
                Update.batch_id == Batch.id, Update.state == UpdateState.HELD, Update.uploaded_at < before
            )
            asked = select(Batch).where(Batch.state == BatchState.PENDING, late.exists()).limit(SWEPT)
            for batch in session.exec(asked.with_for_update(skip_locked=True)):
                batch.replicas, batch.state = turns(session, batch), BatchState.ASSIGNED.value
                session.add(batch)

    def _due(self, session: Session) -> list[Lease]:
        now = self._storage.now(session)
        asked = (
            select(Lease, Batch)
            .join(Batch, col(Batch.id) == col(Lease.batch_id))
            .where(Lease.state == LeaseState.HELD, Lease.expires_at <= now)
            .order_by(col(Lease.expires_at))
            .limit(SWEPT)
            .with_for_update(skip_locked=True)
        )
        return [lease for lease, _ in session.exec(asked)]

    def _expire(self, session: Session, lease: Lease) -> Lease:
        batch = session.get_one(Batch, lease.batch_id)
        batch.attempts += 1
        self._stop(session, batch, lease, LeaseState.EXPIRED)
        return lease

    def _stop(self, session: Session, batch: Batch, lease: Lease, state: LeaseState) -> None:
        now = self._storage.now(session)
        lease.state, lease.ended_at = state.value, now
        session.add(lease)
        session.flush()
        self._reopen(session, batch, now)

    def _reopen(self, session: Session, batch: Batch, now: int) -> None:
        kept = batch.chain_round is not None or batch.samples in self._maker.sizing.ready()
        reopen(session, batch, now, attempts_max=self._settings.attempts_max, kept=kept)

    def _continued(self, session: Session, me: Worker, now: int) -> BatchOffer | None:
        """The live lease; one whose time is over ends here."""
        lease = session.exec(
            select(Lease).where(Lease.worker_id == me.id, Lease.state == LeaseState.HELD)
        ).one_or_none()
        if lease is None:
            return None
        batch = session.get_one(Batch, lease.batch_id)
        if lease.expires_at > now:
            return self._offer(session, batch, lease)
        asked = select(Batch).where(Batch.id == batch.id).with_for_update(skip_locked=True)
        locked = session.exec(asked.execution_options(populate_existing=True)).one_or_none()
        session.refresh(lease, with_for_update=True)
        if locked is None or lease.state != LeaseState.HELD:
            raise ProblemError(Code.BUSY, "Your last lease is just being ended.", retry_after=1)
        locked.attempts += 1
        self._stop(session, locked, lease, LeaseState.EXPIRED)
        return None

    def _lease(self, session: Session, me: Worker, batch: Batch, now: int) -> BatchOffer:
        trusted = me.reputation >= self._settings.trusted_reputation
        session.flush()
        if turns(session, batch) == 0 and batch.chain_round is None:
            batch.replicas = self._replicas(me)
        carried = trusted and batch.replicas == 1 and batch.chain_round is None and self._settings.codec != "raw"
        speed = Hardware.model_validate(me.hardware).tokens_per_s
        lasts = max(self._settings.lease_seconds, SLACK * self._maker.sizing.seconds(batch.samples, speed))
        lease = Lease(
            id=new_id(),
            batch_id=batch.id,
            worker_id=me.id,
            state=LeaseState.HELD.value,
            codec=self._settings.codec if batch.chain_round is None else "raw",
            residual="carried" if carried else "zero",
            assigned_at=now,
            expires_at=now + int(min(lasts, self._settings.lease_max_seconds)) * MICROSECONDS,
        )
        session.add(lease)
        session.flush()
        if turns(session, batch) >= batch.replicas:
            batch.state = BatchState.ASSIGNED.value
        return self._offer(session, batch, lease)

    def _offer(self, session: Session, batch: Batch, lease: Lease) -> BatchOffer:
        version = session.get_one(ModelVersion, batch.version)
        return BatchOffer.model_validate(
            {
                "batch_id": batch.id,
                "lease_id": lease.id,
                "model_version": version.name,
                "data_url": f"/api/v1/batch/{batch.id}/data",
                "data_sha256": batch.data_url.partition("/")[2],
                "num_samples": batch.samples,
                "steps": batch.steps,
                "codec": lease.codec,
                "residual": lease.residual,
                "checkpoints": batch.checkpoints,
                "expires_at": lease.expires_at // MICROSECONDS,
            }
        )

    def _replicas(self, me: Worker) -> int:
        return 1 if me.reputation >= self._settings.trusted_reputation else self._settings.replicas


def _admitted(session: Session, worker_id: str, now: int) -> Worker:
    """The worker's row, locked: its requests come one after the other."""
    me = session.exec(select(Worker).where(Worker.id == worker_id).with_for_update()).one_or_none()
    if me is None:
        raise ProblemError(Code.TOKEN, "There is no such volunteer any more.")
    if me.quarantined_until is not None and me.quarantined_until > now:
        left = (me.quarantined_until - now) // MICROSECONDS + 1
        reason = me.quarantine_reason or "no reason was given"
        raise ProblemError(Code.QUARANTINED, f"For another {left} s: {reason}.", retry_after=left)
    return me


def _active_or_none(session: Session) -> ModelVersion | None:
    return session.exec(select(ModelVersion).where(col(ModelVersion.active))).one_or_none()


def _active(session: Session) -> ModelVersion:
    found = _active_or_none(session)
    if found is None:
        raise ProblemError(Code.NO_VERSION, "There is no version of the model yet.")
    return found


def _lease_of(session: Session, batch_id: str, worker_id: str, *, lock: bool = False) -> Lease | None:
    asked = select(Lease).where(Lease.batch_id == batch_id, Lease.worker_id == worker_id)
    return session.exec(asked.with_for_update() if lock else asked).one_or_none()


def _pick(me: Worker, version: ModelVersion, size: int) -> SelectOfScalar[Batch]:
    """The next batch for a volunteer: work of a claim first, then what waits for a replica, then one of its size."""
    had = select(Lease.id).where(Lease.batch_id == Batch.id, Lease.worker_id == me.id).exists()
    waiting = select(Update.id).where(Update.batch_id == Batch.id, Update.state == UpdateState.HELD).exists()
    claims = col(Batch.chain_round).is_not(None)
    now: ColumnElement[bool] = col(Batch.version) == version.number
    return (
        select(Batch)
        .where(
            Batch.state == BatchState.PENDING,
            ~had,
            or_(now & claims, waiting & (col(Batch.samples) <= size), now & (col(Batch.samples) == size)),
        )
        .order_by(case((claims, 0), (waiting, 1), else_=2), col(Batch.created_at), col(Batch.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
