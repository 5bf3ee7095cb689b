"""A round's inner steps: durable as they go, and taken up again after any stop."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf
from consensus.training.step import TrainState
from economics.cohort import segment_length
from node.logs import get_logger
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.storage.errors import NoCheckpointError
from node.storage.store import Store
from node.storage.tables import Leaf
from node.training.work import Task, Workshop

log = get_logger("inner")


@dataclass(frozen=True)
class RoundWork:
    """What to train: `steps` inner steps of a round from the global weights."""

    round: int
    task: Task
    weights: dict[str, Tensor]
    steps: int


class InnerLoop:
    """Trains one round at a time. Every leaf is in the database before the next step; the state goes to disk at the
    start of each audited segment and whenever training stops."""

    def __init__(self, workshop: Workshop, store: Store, folder: Path) -> None:
        self._workshop, self._store = workshop, store
        self.checkpoints = CheckpointStore(folder, workshop.config.shapes(), state_root)

    def run(self, work: RoundWork, on_leaf: Callable[[StepLeaf], None], keep_going: Callable[[], bool]) -> TrainState:
        """Train from the newest usable checkpoint until `work.steps`, or until `keep_going` says no after a step.

        `on_leaf` sees every leaf once it is on disk. The state returned is on disk.

        Raises:
            LeafConflictError: a step recomputed after a restart differs from the one on record.
            DivergedError (consensus): a weight left the finite range. DiskError, DatabaseError.
        """
        state = self.resume(work)
        self.advance(work, state, on_leaf, keep_going)
        self.save(work, state)
        return state

    def advance(
        self, work: RoundWork, state: TrainState, on_leaf: Callable[[StepLeaf], None], keep_going: Callable[[], bool]
    ) -> None:
        """As `run`, in place from a state at hand, which is on disk where a segment starts and not where this ends."""
        every = segment_length(work.steps)
        while state.step < work.steps and keep_going():
            if state.step % every == 0:
                self.save(work, state)
            leaf = self._workshop.step(state, work.task)
            self.record(work.round, leaf)
            on_leaf(leaf)

    def resume(self, work: RoundWork, kept: Collection[int] = ()) -> TrainState:
        """The state of the newest usable checkpoint of this round, or the round's start. Checkpoints of earlier rounds
        go, but those of the rounds in `kept`."""
        self.checkpoints.drop_before(work.round, kept)
        try:
            found = self.checkpoints.load_latest()
        except NoCheckpointError as error:
            log.warning("starting the round again", round=work.round, reason=error.message)
            found = None
        if found is None or found.checkpoint.round != work.round or found.checkpoint.step > work.steps:
            return TrainState.start(work.weights)
        for rejected in found.rejected:
            log.warning("a checkpoint is unusable", reason=rejected.message)
        groups = found.checkpoint.groups
        return TrainState(dict(groups["weights"]), dict(groups["m"]), dict(groups["v"]), found.checkpoint.step)

    def record(self, number: int, leaf: StepLeaf) -> None:
        """Put a step's leaf on disk. Raises LeafConflictError, DatabaseError."""
        self._store.append_leaf(_record(number, leaf))

    def begin(self, work: RoundWork) -> None:
        """Save where a round starts, for steps that are taken elsewhere. Raises DiskError."""
        self.save(work, TrainState.start(work.weights))

    def leaves(self, number: int) -> list[StepLeaf]:
        """The steps of a round on record."""
        return [StepLeaf(r.state_root, r.batch_root, r.loss_bits, r.step) for r in self._store.leaves(number)]

    def save(self, work: RoundWork, state: TrainState) -> None:
        """Put a state of a round on disk, unless it is there. Raises DiskError."""
        root = state_root(state.weights, state.m, state.v)
        if (work.round, state.step) not in self.checkpoints.saved():
            groups = {"weights": state.weights, "m": state.m, "v": state.v}
            self.checkpoints.save(Checkpoint(work.round, state.step, root, groups))


def _record(number: int, leaf: StepLeaf) -> Leaf:
    return Leaf(
        round=number, step=leaf.step, state_root=leaf.state_root, batch_root=leaf.batch_root, loss_bits=leaf.loss_bits
    )
