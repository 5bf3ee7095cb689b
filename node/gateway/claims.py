"""The operator's staked node and its gateway: the node's work of a round as a batch for volunteers, and the way back
into the claim (`node.training.helping.Helpers`).

Both may be processes of their own: they meet in the gateway's database and blob store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from sqlmodel import Session, col, select

from consensus.training.outer import GlobalState
from node.errors import DatabaseError, DataError, DiskError
from node.gateway.archive import Archive
from node.gateway.errors import BlobError
from node.gateway.gateway import Gateway
from node.gateway.ports import NewBatch
from node.gateway.problems import ProblemError
from node.gateway.storage.store import new_id
from node.gateway.storage.tables import Aggregation, Batch, BatchState, ModelVersion, Update, UpdateState
from node.logs import get_logger
from node.training.helping import Delivered, Groups, HelpError, Progress, states_due
from node.training.inner import RoundWork

log = get_logger("claims")
RULE: Final = "claim"
P = ParamSpec("P")
T = TypeVar("T")
_COUNTED: Final = (UpdateState.ACCEPTED, UpdateState.AGGREGATED)


def _translated(method: Callable[P, T]) -> Callable[P, T]:
    """Whatever is wrong with the gateway's stores is one thing to the node."""

    @wraps(method)
    def call(*given: P.args, **named: P.kwargs) -> T:
        try:
            return method(*given, **named)
        except (BlobError, DatabaseError, DataError, DiskError, ProblemError) as error:
            raise HelpError(f"The gateway's stores fail: {error.message}", error.hint) from error

    return call


class GatewayHelpers:
    """Implements `node.training.helping.Helpers` with a gateway's volunteers. `account`: the node's, 20 bytes."""

    def __init__(self, gateway: Gateway, account: bytes) -> None:
        self._g, self._account = gateway, account

    @property
    def _archive(self) -> Archive:
        return self._g.intake.archive

    @_translated
    def offer(self, work: RoundWork, start: GlobalState, root: bytes) -> None:
        """Make the round's version and its batch, unless they are there."""
        shapes = {name: tuple(w.shape) for name, w in work.weights.items()}
        if self._find(work.round) is not None or shapes != self._g.workshop.config.shapes():
            return  # volunteers train the model that the gateway was started with
        version = self._version(work, start, root)
        batch = NewBatch(
            version.number,
            samples=work.steps * self._g.workshop.config.batch,
            randomness=work.task.randomness,
            account=self._account,
            replicas=self._g.settings.replicas,
            checkpoints=tuple(states_due(work.steps)),
            chain_round=work.round,
        )
        with self._g.storage.write() as session:
            self._g.queue.add(session, batch)
        log.info("the round's work is offered to volunteers", round=work.round, version=version.name, steps=work.steps)

    @_translated
    def progress(self, number: int) -> Progress:
        """How the round's batch stands."""
        batch = self._find(number)
        if batch is None or batch.state == BatchState.FAILED:
            return Progress.FAILED
        return Progress.DONE if batch.state == BatchState.COMPLETED else Progress.WAITING

    @_translated
    def result(self, work: RoundWork) -> Delivered | None:
        """Leaves and states of the batch that volunteers agreed on."""
        batch = self._find(work.round)
        rows = [] if batch is None else self._counted(batch)
        if batch is None or not rows or batch.steps != work.steps:
            return None
        leaves = self._archive.open(rows[0]).leaves
        found = self._g.intake.states.found(batch, leaves)
        if set(found) != set(batch.checkpoints):
            return None
        return Delivered(leaves, {step: self._state(row.state_url) for step, row in found.items()})

    @_translated
    def withdraw(self, number: int) -> None:
        """Give the round's batch up, unless it is done."""
        with self._g.storage.write() as session:
            batch = self._locked(session, number)
            if batch is not None and batch.state in {BatchState.PENDING, BatchState.ASSIGNED}:
                self._g.queue.fail(session, batch)
                log.info("volunteers did not deliver in time", round=number)

    @_translated
    def doubt(self, number: int) -> None:
        """Hold the round's uploads again: the gateway trains the whole batch and judges them."""
        with self._g.storage.write() as session:
            batch = self._locked(session, number)
            for row in [] if batch is None else _rows(session, batch, (UpdateState.ACCEPTED,)):
                row.state, row.decided_at = UpdateState.HELD.value, None
                session.add(row)

    @_translated
    def claimed(self, number: int, claim_hash: bytes, tx: bytes | None) -> None:
        """Write down which claim the volunteers' work became; their updates count in it, once."""
        with self._g.storage.write() as session:
            batch = self._locked(session, number)
            if batch is None or batch.state != BatchState.COMPLETED:
                return
            rows = _rows(session, batch, (UpdateState.ACCEPTED,))
            if not rows and (batch.claim_hash is None or tx is None or batch.claim_tx is not None):
                return
            batch.claim_hash, batch.claim_tx = claim_hash, tx or batch.claim_tx
            session.add(batch)
            if rows:
                self._aggregate(session, batch, rows)
        told = {"batch_id": batch.id, "round": number, "claim_hash": claim_hash.hex()}
        self._g.events.publish("claim", {**told, "claim_tx": None if tx is None else tx.hex()})

    def _aggregate(self, session: Session, batch: Batch, rows: list[Update]) -> None:
        joined = Aggregation(
            id=new_id(),
            base=batch.version,
            made=None,
            rule=RULE,
            updates=len(rows),
            samples=batch.samples,
            claim_hash=batch.claim_hash,
            created_at=self._g.storage.now(session),
        )
        session.add(joined)
        session.flush()
        for row in rows:
            row.state, row.aggregation_id = UpdateState.AGGREGATED.value, joined.id
            session.add(row)

    def _version(self, work: RoundWork, start: GlobalState, root: bytes) -> ModelVersion:
        self._g.start()
        current = self._g.registry.current()
        assert current is not None  # noqa: S101 - `start` made one
        if current.root == root:
            return current
        model = self._g.registry.store(start.weights, root=root)
        metrics = {"heldout_loss": self._g.workshop.heldout_loss(start.weights), "round": work.round}
        with self._g.storage.write() as session:
            version = self._g.registry.publish(session, model, base=current.number, source="round", metrics=metrics)
        self._g.events.publish("version", {"version": version.name, "source": "round"})
        return version

    def _find(self, number: int) -> Batch | None:
        with self._g.storage.read() as session:
            return _batch(session, number, self._account)

    def _locked(self, session: Session, number: int) -> Batch | None:
        found = _batch(session, number, self._account)
        if found is not None:
            session.refresh(found, with_for_update=True)
        return found

    def _counted(self, batch: Batch) -> list[Update]:
        with self._g.storage.read() as session:
            return _rows(session, batch, _COUNTED)

    def _state(self, key: str) -> Groups:
        with tempfile.TemporaryDirectory(prefix="ponw-state-") as folder:
            path = Path(folder) / "state"
            self._g.blobs.fetch(key, path)
            return self._g.intake.states.load(path)


def _rows(session: Session, batch: Batch, states: tuple[UpdateState, ...]) -> list[Update]:
    asked = select(Update).where(Update.batch_id == batch.id, col(Update.state).in_(states))
    return list(session.exec(asked.order_by(col(Update.id)).with_for_update()))


def _batch(session: Session, number: int, account: bytes) -> Batch | None:
    return session.exec(select(Batch).where(Batch.chain_round == number, Batch.account == account)).first()
