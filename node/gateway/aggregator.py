"""From accepted updates to the next version: each update in exactly one aggregation, whenever the process dies.

What is new goes into the blob store first. Then one transaction makes the version, the row of the aggregation and the
state of every update in it; before it nothing has happened, after it everything has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from sqlmodel import Session, col, select
from torch import Tensor

from consensus.aggregation import Contributions
from consensus.errors import OuterStepError
from consensus.training.federated import ServerState
from node.errors import PonwError
from node.gateway.archive import Archive
from node.gateway.ports import PAUSED_FLAG, Blob, Events, Registry, StoredModel
from node.gateway.problems import Code, ProblemError
from node.gateway.rules import join_of, least_updates, small, step_of, weight
from node.gateway.settings import GatewaySettings
from node.gateway.storage.store import MICROSECONDS, Storage, new_id
from node.gateway.storage.tables import Aggregation, Flag, ModelVersion, Update, UpdateState
from node.logs import get_logger
from node.training.work import Workshop

log = get_logger("aggregator")
MEMORY_MAX: Final = 2 << 30
"""Bytes of updates in memory at once; what does not fit goes into the next version."""
BATCHES_MAX: Final = 512
ROLLBACKS_MAX: Final = 3
"""Versions rolled back one after the other until the operator has to look."""
STEP_NAME: Final = "step"


class AggregationStoppedError(PonwError):
    """Accepted updates are no longer joined until the operator has looked."""


@dataclass(frozen=True)
class Made:
    """What was computed from `updates` on top of `base`, in the blob store but not yet a version."""

    base: ModelVersion
    updates: list[Update]
    batches: int
    samples: int
    model: StoredModel
    loss: float


class Aggregator:
    """One thread; it has its own engine."""

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        archive: Archive,
        workshop: Workshop,
        settings: GatewaySettings,
        events: Events,
    ) -> None:
        self._storage, self._registry, self._archive = storage, registry, archive
        self._shop, self._settings, self._events = workshop, settings, events
        self._join, self._step = join_of(settings), step_of(settings)
        self._shapes = workshop.config.shapes()

    def run(self) -> ModelVersion | None:
        """Make a version if one is due; the version.

        Raises:
            AggregationStoppedError: the updates have no sum that is a model. BlobError, DatabaseError, DiskError.
        """
        paused = self._sign_of_life()
        due = [] if paused else self._due()
        if not due:
            return None
        try:
            return self._commit(self._make(due))
        except OuterStepError as error:
            self._pause(True, f"the updates cannot be joined: {error.message}")
            raise AggregationStoppedError(
                f"Accepted updates cannot be joined: {error.message}.", "Look at the newest updates, then resume."
            ) from error
        except ProblemError as error:
            if error.code is not Code.CONFLICT:
                raise
            log.info("the model changed meanwhile; joining again", reason=error.detail)
            return None

    def resume(self) -> None:
        """Join updates again after a pause."""
        self._pause(False, "")

    # --- what is due ---

    def _due(self) -> list[Update]:
        """The accepted updates of the next version, oldest first; none while it is too early or they are too few."""
        active = self._registry.current()
        if active is None:
            return []
        with self._storage.read() as session:
            asked = select(Update).where(Update.state == UpdateState.ACCEPTED)
            rows = list(session.exec(asked.order_by(col(Update.decided_at), col(Update.id))))
            now = self._storage.now(session)
        fresh = [row for row in rows if row.version >= active.number - self._settings.version_lag]
        self._drop_stale([row for row in rows if row not in fresh])
        waited = now - min((row.decided_at or now for row in fresh), default=now)
        due = len(fresh) >= self._settings.aggregate_updates
        due = due or waited >= self._settings.aggregate_seconds * MICROSECONDS
        enough = len({row.batch_id for row in fresh}) >= least_updates(self._settings)
        return self._fitting(fresh) if fresh and due and enough else []

    def _fitting(self, rows: Sequence[Update]) -> list[Update]:
        """As many of the oldest as fit in memory, every batch whole."""
        room = min(BATCHES_MAX, MEMORY_MAX // (4 * self._shop.config.parameters))
        room = max(room, least_updates(self._settings), 1)
        first = list(dict.fromkeys(row.batch_id for row in rows))[:room]
        return [row for row in rows if row.batch_id in set(first)]

    def _drop_stale(self, rows: Sequence[Update]) -> None:
        if not rows:
            return
        with self._storage.write() as session:
            for row in _locked(session, rows):
                row.state, row.reason = UpdateState.REJECTED.value, "the model has moved on too far since"
                session.add(row)

    # --- the next version ---

    def _make(self, rows: list[Update]) -> Made:
        base = self._registry.current()
        assert base is not None  # noqa: S101 - `_due` found it
        one_a_batch = {row.batch_id: row for row in rows}
        parts, samples = [], 0
        for batch_id in sorted(one_a_batch):
            row = one_a_batch[batch_id]
            parts.append((weight(row.samples, base.number - row.version), self._archive.update(row)))
            samples += row.samples
        weights = small([one for one, _ in parts])
        joined = self._join(Contributions.of(list(zip(weights, [u for _, u in parts], strict=True)), self._shapes))
        state = self._state(base)
        after = self._step(self._shop.engine, state, joined)
        model = self._registry.store(dict(after.weights), self._carried(after))
        loss = self._shop.heldout_loss(dict(after.weights))
        return Made(base, rows, len(parts), samples, model, loss)

    def _state(self, base: ModelVersion) -> ServerState:
        """Weights and moments to go on from."""
        weights = self._registry.weights(base)
        if self._settings.server != "fedadam":
            return ServerState.start(weights)
        shapes = {f"{part}/{name}": shape for part in ("m", "v") for name, shape in self._shapes.items()}
        carried = self._registry.carried(base, {**shapes, STEP_NAME: (1,)})
        if carried is None:
            return ServerState.start(weights)
        parts = {part: {name: carried[f"{part}/{name}"] for name in self._shapes} for part in ("m", "v")}
        return ServerState(weights, parts["m"], parts["v"], int(carried[STEP_NAME].item()))

    def _carried(self, after: ServerState) -> dict[str, Tensor] | None:
        if self._settings.server != "fedadam":
            return None
        parts = {f"{part}/{name}": t for part, held in (("m", after.m), ("v", after.v)) for name, t in held.items()}
        return {**parts, STEP_NAME: torch.tensor([float(after.step)])}

    def _commit(self, made: Made) -> ModelVersion:
        before = made.base.metrics.get("heldout_loss")
        worse = before is not None and made.loss > before + self._settings.rollback_rise
        with self._storage.write() as session:
            row = self._version(session, made)
            rows = _locked(session, made.updates)
            if len(rows) != len(made.updates):
                raise ProblemError(Code.CONFLICT, "An update is no longer accepted.")
            joined = Aggregation(
                id=new_id(),
                base=made.base.number,
                made=row.number,
                rule=self._rule,
                updates=len(rows),
                samples=made.samples,
                metrics={"heldout_loss": made.loss, "batches": made.batches},
                created_at=self._storage.now(session),
            )
            session.add(joined)
            session.flush()
            for update in rows:
                update.state, update.aggregation_id = UpdateState.AGGREGATED.value, joined.id
                session.add(update)
            if worse:
                row = self._roll_back(session, made, row)
            session.flush()
            self._count_rollbacks(session, worse)
        self._tell(made, row, worse)
        return row

    @property
    def _rule(self) -> str:
        return f"{self._settings.rule}+{self._settings.server}"

    def _version(self, session: Session, made: Made) -> ModelVersion:
        metrics: dict[str, Any] = {
            "heldout_loss": made.loss,
            "updates": len(made.updates),
            "samples": made.samples,
            "rule": self._rule,
        }
        return self._registry.publish(session, made.model, base=made.base.number, source="aggregation", metrics=metrics)

    def _roll_back(self, session: Session, made: Made, bad: ModelVersion) -> ModelVersion:
        """The base's weights again, in the same transaction: nobody ever trains on a version that got worse."""
        base = made.base
        state = Blob(base.state_url, b"", 0) if base.state_url else None
        model = StoredModel(Blob(base.checkpoint_url, base.sha256, base.size), base.root, base.parameters, state)
        reason = f"held-out loss rose from {base.metrics['heldout_loss']:.4f} to {made.loss:.4f}"
        metrics = {**base.metrics, "rolled_back_to": base.name, "reason": reason}
        return self._registry.publish(session, model, base=bad.number, source="rollback", metrics=metrics)

    def _tell(self, made: Made, row: ModelVersion, worse: bool) -> None:
        detail = {"base": made.base.name, "updates": len(made.updates), "samples": made.samples}
        self._events.publish("aggregation", {**detail, "heldout_loss": made.loss, "rolled_back": worse})
        self._events.publish("version", {"version": row.name, "source": row.source})
        log.info("a version was made", version=row.name, source=row.source, heldout_loss=made.loss, **detail)

    # --- pauses ---

    def _count_rollbacks(self, session: Session, worse: bool) -> None:
        flag = _flag(session)
        count = (int(flag.value.get("rollbacks", 0)) + 1) if worse else 0
        stop = count >= ROLLBACKS_MAX
        reason = f"{count} versions in a row got worse" if stop else ""
        flag.value = {"paused": stop, "reason": reason, "rollbacks": count}
        flag.at = self._storage.now(session)
        session.add(flag)

    def _sign_of_life(self) -> bool:
        with self._storage.write() as session:
            flag = _flag(session)
            flag.at = self._storage.now(session)
            session.add(flag)
            return bool(flag.value.get("paused"))

    def _pause(self, paused: bool, reason: str) -> None:
        with self._storage.write() as session:
            flag = _flag(session)
            flag.value, flag.at = {"paused": paused, "reason": reason}, self._storage.now(session)
            session.add(flag)


def _flag(session: Session) -> Flag:
    found = session.exec(select(Flag).where(Flag.name == PAUSED_FLAG).with_for_update()).one_or_none()
    return found or Flag(name=PAUSED_FLAG, value={"paused": False, "reason": ""}, at=0)


def _locked(session: Session, rows: Sequence[Update]) -> list[Update]:
    """Those of the updates that are still accepted, locked."""
    asked = (
        select(Update)
        .where(col(Update.id).in_([row.id for row in rows]), Update.state == UpdateState.ACCEPTED)
        .order_by(col(Update.id))
        .with_for_update()
    )
    return list(session.exec(asked.execution_options(populate_existing=True)))
