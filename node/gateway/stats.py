"""Figures for everyone, made at most once a second and kept as the bytes that are sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import func
from sqlmodel import Session, col, select

from node.gateway.idle import JOB_FLAG, Situation, idle_reason
from node.gateway.ports import PAUSED_FLAG
from node.gateway.schemas import GlobalStats, LeaderRow, WorkerStats, WorkerUpdate
from node.gateway.settings import GatewaySettings
from node.gateway.storage.store import MICROSECONDS, Storage
from node.gateway.storage.tables import (
    Aggregation,
    Batch,
    BatchState,
    Flag,
    Lease,
    LeaseState,
    ModelVersion,
    Update,
    UpdateState,
    Worker,
)

Badge = Literal["1K", "10K", "100K"]
BADGES: tuple[tuple[Badge, int], ...] = (("1K", 1_000), ("10K", 10_000), ("100K", 100_000))
HISTORY = 200
RECENT = 20
LEADERS = 100
RATE_SECONDS = 60
CACHE_SECONDS = 1.0
_GOOD = (UpdateState.ACCEPTED, UpdateState.AGGREGATED)
_ROWS = TypeAdapter(list[LeaderRow])


def badges(batches: int) -> list[Badge]:
    """For accepted batches."""
    return [badge for badge, least in BADGES if batches >= least]


class Statistics:
    """Reads the figures."""

    def __init__(self, storage: Storage, settings: GatewaySettings, seq_len: int) -> None:
        self._storage, self._settings, self._seq_len = storage, settings, seq_len

    def everything(self) -> GlobalStats:
        """The network as a whole."""
        with self._storage.read() as session:
            now = self._storage.now(session)
            history = _history(session)
            situation = self._situation(session, now)
            return GlobalStats(
                version=situation.version,
                active_workers=situation.active,
                total_workers=situation.workers,
                batches_completed=_count(session, Batch, col(Batch.state) == BatchState.COMPLETED),
                batches_pending=situation.pending,
                tokens=int(session.exec(select(func.coalesce(func.sum(Worker.tokens), 0))).one()),
                tokens_per_s=self._speed(session, now),
                heldout_loss=history[-1][1] if history else None,
                loss_history=history,
                aggregations=_count(session, Aggregation),
                idle_reason=idle_reason(situation, self._settings),
                at=now // MICROSECONDS,
            )

    def worker(self, worker: Worker) -> WorkerStats:
        """One volunteer."""
        with self._storage.read() as session:
            now = self._storage.now(session)
            me = session.get(Worker, worker.id) or worker
            better = _count(session, Worker, col(Worker.batches) > me.batches)
            until = me.quarantined_until
            quarantined = until is not None and until > now
            return WorkerStats(
                worker_id=me.id,
                username=me.username,
                batches=me.batches,
                rejected=me.rejected,
                tokens=me.tokens,
                reputation=me.reputation,
                rank=better + 1,
                badges=badges(me.batches),
                quarantined_until=until // MICROSECONDS if until is not None and quarantined else None,
                quarantine_reason=me.quarantine_reason if quarantined else "",
                recent=_recent(session, me.id),
            )

    def leaders(self, limit: int = LEADERS) -> list[LeaderRow]:
        """The volunteers with the most accepted batches; equal ones share a rank."""
        with self._storage.read() as session:
            order = (col(Worker.batches).desc(), col(Worker.tokens).desc(), col(Worker.created_at), col(Worker.id))
            rows = list(session.exec(select(Worker).order_by(*order).limit(limit)))
        found: list[LeaderRow] = []
        for at, row in enumerate(rows):
            equal = at > 0 and rows[at - 1].batches == row.batches
            found.append(
                LeaderRow(
                    rank=found[-1].rank if equal else at + 1,
                    username=row.username,
                    batches=row.batches,
                    tokens=row.tokens,
                    reputation=row.reputation,
                    badges=badges(row.batches),
                )
            )
        return found

    def _speed(self, session: Session, now: int) -> float:
        since = now - RATE_SECONDS * MICROSECONDS
        asked = select(func.coalesce(func.sum(Update.samples), 0)).where(
            col(Update.state).in_(_GOOD), col(Update.decided_at) > since
        )
        return int(session.exec(asked).one()) * self._seq_len / RATE_SECONDS

    def _situation(self, session: Session, now: int) -> Situation:
        def age(at: int | None) -> int | None:
            return None if at is None else max(0, (now - at) // MICROSECONDS)

        recent = col(Worker.last_seen) > now - self._settings.active_seconds * MICROSECONDS
        flags = {flag.name: flag for flag in session.exec(select(Flag))}
        aggregation = flags.get(PAUSED_FLAG)
        paused = aggregation is not None and bool(aggregation.value.get("paused"))
        jobs = (flag for name, flag in sorted(flags.items()) if name.startswith(JOB_FLAG))
        return Situation(
            version=session.exec(select(ModelVersion.name).where(col(ModelVersion.active))).one_or_none(),
            leases=_count(session, Lease, col(Lease.state) == LeaseState.HELD, col(Lease.expires_at) > now),
            workers=_count(session, Worker),
            active=_count(session, Worker, recent),
            quarantined=_count(session, Worker, recent, col(Worker.quarantined_until) > now),
            last_seen_age=age(session.exec(select(func.max(Worker.last_seen))).one()),
            pending=_count(session, Batch, col(Batch.state) == BatchState.PENDING),
            held=_count(session, Update, col(Update.state) == UpdateState.HELD),
            accepted=_count(session, Update, col(Update.state) == UpdateState.ACCEPTED),
            paused=str(aggregation.value.get("reason") or "no reason was given") if aggregation and paused else None,
            aggregator_age=None if aggregation is None else age(aggregation.at),
            errors=tuple(str(flag.value["error"]) for flag in jobs if flag.value.get("error")),
        )


def _count(session: Session, table: Any, *where: Any) -> int:
    return int(session.exec(select(func.count()).select_from(table).where(*where)).one())


def _history(session: Session) -> list[tuple[int, float]]:
    rows = session.exec(select(ModelVersion).order_by(col(ModelVersion.number).desc()).limit(HISTORY))
    known = ((row.number, row.metrics.get("heldout_loss")) for row in rows)
    return [(number, float(loss)) for number, loss in known if loss is not None][::-1]


def _recent(session: Session, worker_id: str) -> list[WorkerUpdate]:
    asked = (
        select(Update, Batch)
        .join(Batch, col(Batch.id) == col(Update.batch_id))
        .where(Update.worker_id == worker_id)
        .order_by(col(Update.uploaded_at).desc())
        .limit(RECENT)
    )
    return [
        WorkerUpdate(
            update_id=row.id,
            batch_id=row.batch_id,
            version=f"v{row.version}",
            loss=row.loss,
            samples=row.samples,
            state=row.state,
            reason=row.reason,
            uploaded_at=row.uploaded_at // MICROSECONDS,
            claim_hash=None if batch.claim_hash is None else batch.claim_hash.hex(),
        )
        for row, batch in session.exec(asked)
    ]


def leaders_json(rows: list[LeaderRow]) -> bytes:
    """The body of GET /leaderboard."""
    return _ROWS.dump_json(rows)


@dataclass
class Cached:
    """Bytes that `make` (called in a thread) gives, at most once every CACHE_SECONDS; one caller makes, the others
    wait for the same. Used by one event loop."""

    make: Callable[[], bytes]
    value: bytes = b""
    made_at: float = float("-inf")
    _making: asyncio.Task[bytes] | None = None

    async def get(self) -> bytes:
        """Raises what `make` raises."""
        if time.monotonic() - self.made_at < CACHE_SECONDS:
            return self.value
        if self._making is None:
            self._making = asyncio.create_task(self._refresh())
        return await asyncio.shield(self._making)

    async def _refresh(self) -> bytes:
        try:
            self.value = await asyncio.to_thread(self.make)
            self.made_at = time.monotonic()
            return self.value
        finally:
            self._making = None
