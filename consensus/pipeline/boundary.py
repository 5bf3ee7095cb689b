"""What neighbouring stages commit about the tensors between them, and whose fault a wrong one is.

The hash of a boundary tensor is its tensor root: the one a dispute's evidence gives the op that made it. Sender and
receiver of every tensor commit to the same hash at every step, so a recomputation finds the first wrong tensor and with
it the stage that made it from right inputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.commitments import tree
from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import tensor_root
from consensus.errors import PipelineError
from consensus.model.config import ModelConfig
from consensus.pipeline.compute import StageTrainer
from consensus.pipeline.roots import StageLeaves, stage_leaves
from consensus.pipeline.stages import Stage
from consensus.training.step import TrainState, micro_batches


@dataclass(frozen=True, slots=True)
class BoundaryHashes:
    """Tensor roots of what crossed one boundary in one step, by micro-batch: activations up, gradients down."""

    activations: tuple[bytes, ...]
    gradients: tuple[bytes, ...]

    def root(self) -> bytes:
        """32 bytes both neighbours commit to: the tree over activations, then gradients, each in order."""
        return tree.root([tree.leaf_hash(one) for one in (*self.activations, *self.gradients)])


@dataclass(frozen=True, slots=True)
class StageRecord:
    """All that one stage commits to in one step. ``left`` is None at the first stage and ``right`` at the last; the
    batch root comes from the first and the last stage, the loss total from the last."""

    left: BoundaryHashes | None
    right: BoundaryHashes | None
    leaves: StageLeaves
    batch_root: bytes | None = None
    loss_total: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """The stage whose owner answers for a step, and what it got wrong."""

    stage: int
    what: str


def find_fault(truth: Sequence[StageRecord], said: Sequence[StageRecord]) -> Fault | None:
    """The first fault in the order of computation, or None. ``truth`` comes from ``recompute``.

    Before the first wrong tensor all are right, so its sender made it wrong from right inputs; where the sender's hash
    is right and the receiver's is not, the receiver lies. Raises PipelineError unless both have the same stages.
    """
    if len(truth) != len(said):
        raise PipelineError(f"{len(said)} records of {len(truth)} stages")
    return next(_faults(truth, said), None)


def _faults(truth: Sequence[StageRecord], said: Sequence[StageRecord]) -> Iterator[Fault]:
    """Later ones may follow from earlier ones; nothing is read before its form was checked."""
    for at, (right, given) in enumerate(zip(truth, said, strict=True)):
        if _form(right) != _form(given):
            yield Fault(at, "commits to other tensors than its stage has")
        if given.batch_root != right.batch_root:
            yield Fault(at, "trained on another batch")
    for sender, receiver, what, wrong, unseen in _crossings(truth, said):
        if wrong:
            yield Fault(sender, f"sent a wrong {what}")
        if unseen:
            yield Fault(receiver, f"commits to another {what} than it was sent")
    for at, (right, given) in enumerate(zip(truth, said, strict=True)):
        if given.loss_total != right.loss_total:
            yield Fault(at, "names a wrong loss")
        for name, hashes in right.leaves.items():
            if tuple(given.leaves[name]) != tuple(hashes):
                yield Fault(at, f"updated {name} wrongly")


def recompute(
    config: ModelConfig, stages: Sequence[Stage], engine: Engine, states: Sequence[TrainState], tokens: Tensor
) -> list[StageRecord]:
    """One step of every stage here, advancing ``states`` (one a stage) in place: what each must commit to."""
    trainers = [StageTrainer(config, stage, engine) for stage in stages]
    last = len(stages) - 1
    up: list[list[bytes]] = [[] for _ in range(last)]
    down: list[list[bytes]] = [[] for _ in range(last)]
    for trainer, state in zip(trainers, states, strict=True):
        trainer.begin(state)
    for micro, (inputs, targets) in enumerate(micro_batches(config, tokens)):
        x: Tensor | None = inputs
        for at, trainer in enumerate(trainers):
            x = trainer.forward(micro, _present(x).clone())
            if at < last:
                up[at].append(tensor_root(_present(x)))
        x = targets.reshape(-1)
        for at in reversed(range(last + 1)):
            x = trainers[at].backward(micro, _present(x).clone())
            if at:
                down[at - 1].append(tensor_root(_present(x)))
    for trainer, state in zip(trainers, states, strict=True):
        trainer.finish(state)
    crossed = [BoundaryHashes(tuple(a), tuple(g)) for a, g in zip(up, down, strict=True)]
    batch = batch_root(tokens.numpy())
    return [
        StageRecord(
            left=crossed[at - 1] if at else None,
            right=crossed[at] if at < last else None,
            leaves=stage_leaves(state),
            batch_root=batch if at in (0, last) else None,
            loss_total=trainers[at].loss_total if at == last else None,
        )
        for at, state in enumerate(states)
    ]


def _crossings(truth: Sequence[StageRecord], said: Sequence[StageRecord]) -> Iterator[tuple[int, int, str, bool, bool]]:
    """(sender, receiver, what, the sender is wrong, the receiver is wrong) in the order one process computes them."""
    edges = range(len(truth) - 1)
    for micro in range(len(truth[0].right.activations) if truth[0].right else 0):
        for forward in (True, False):
            for at in edges if forward else reversed(edges):
                right = _hash(truth[at].right, forward, micro)
                low, high = _hash(said[at].right, forward, micro), _hash(said[at + 1].left, forward, micro)
                sender, receiver, sent, came = (at, at + 1, low, high) if forward else (at + 1, at, high, low)
                what = f"{'activation' if forward else 'gradient'} of micro-batch {micro}"
                yield sender, receiver, what, sent != right, came != right


def _hash(crossed: BoundaryHashes | None, forward: bool, micro: int) -> bytes:
    if crossed is None:
        raise PipelineError("a stage between two others has two boundaries")
    return (crossed.activations if forward else crossed.gradients)[micro]


def _form(record: StageRecord) -> tuple[object, ...]:
    sides = [side and (len(side.activations), len(side.gradients)) for side in (record.left, record.right)]
    return (*sides, sorted(record.leaves), record.batch_root is None, record.loss_total is None)


def _present(x: Tensor | None) -> Tensor:
    if x is None:
        raise PipelineError("a stage gave no tensor where its neighbour needs one")
    return x
