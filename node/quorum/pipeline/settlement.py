"""What a member does after a step's passes: boundary roots agreed with both neighbours, everyone's leaves passed to the
right, the step's leaf made by the last stage and passed back to the left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from consensus.commitments.batch import batch_root
from consensus.commitments.trace import StepLeaf, loss_bits
from consensus.commitments.tree import HASH_BYTES
from consensus.errors import CommitmentError
from consensus.pipeline.boundary import BoundaryHashes, StageRecord
from consensus.pipeline.roots import STATE_SETS, StageLeaves, joined_root, stage_leaves
from consensus.training.step import TrainState, step_loss
from node.net.wire.pipeline_pb2 import PipelineFrame, PipelineOutcome, PipelineReport, PipelineSeal
from node.quorum.pipeline.errors import BoundaryHashError, FrameError
from node.quorum.pipeline.link import Link
from node.quorum.pipeline.place import Place


@dataclass(frozen=True)
class Done:
    """A step's passes as this member saw them: hashes of its left boundary (`low`) and its right one (`high`)."""

    step: int
    state: TrainState
    tokens: Tensor | None
    low: BoundaryHashes
    high: BoundaryHashes
    loss_total: int


class Settlement:
    """A member's commitments of one round. `on_leaf` gets every step's leaf in order: at the last stage at once,
    elsewhere as it comes back from there."""

    def __init__(
        self, place: Place, left: Link | None, right: Link | None, number: int, on_leaf: Callable[[StepLeaf], None]
    ) -> None:
        self.place, self.round, self._on_leaf = place, number, on_leaf
        self._left, self._right = left, right
        self.known = 0
        """Steps whose leaf is known here."""

    def settle(self, steps: int) -> None:
        """Wait until the leaves of the first `steps` steps are known here and passed on.

        Raises:
            PipelineError: the right neighbour failed, or sent no leaf in time.
        """
        while self.known < steps and self._right is not None:
            self._pass_on(self._right.take("outcome").frame.outcome)

    def commit(self, done: Done) -> StageRecord:
        """Exchange boundary roots with both neighbours, pass the leaves on to the right, and lead at the last stage.

        Raises:
            BoundaryHashError: a neighbour commits to other tensors between us.
            FrameError: a neighbour's message does not fit the step.
            PipelineError: a link failed.
        """
        step, low, high = done.step, done.low, done.high
        own = stage_leaves(done.state)
        batch = None if done.tokens is None else batch_root(done.tokens.numpy())
        report = PipelineReport(round=self.round, step=step, batch_root=batch or b"")
        if self._left is not None:
            seal = PipelineSeal(round=self.round, step=step, boundary_root=low.root())
            self._left.send(PipelineFrame(seal=seal))
            report = self._reported(self._left, step, low.root(), batch)
        leaves = bytes(report.leaves) + b"".join(h for name in own for h in own[name])
        if self._right is not None:
            roots = [*report.boundary_roots, high.root()]
            onward = PipelineReport(
                round=self.round, step=step, batch_root=report.batch_root, boundary_roots=roots, leaves=leaves
            )
            self._right.send(PipelineFrame(report=onward))
            self._sealed(self._right, step, high.root())
            while (arrival := self._right.poll("outcome")) is not None:
                self._pass_on(arrival.frame.outcome)
        else:
            loss = step_loss(self.place.config, done.loss_total)
            root = joined_root(self._parts(leaves))
            leaf = StepLeaf(root, bytes(report.batch_root), loss_bits(loss), step)
            self._pass_on(PipelineOutcome(round=self.round, leaf=leaf.encode()))
        return StageRecord(
            left=None if self._left is None else low,
            right=None if self._right is None else high,
            leaves=own,
            batch_root=batch,
            loss_total=done.loss_total if self.place.last else None,
        )

    def _reported(self, link: Link, step: int, boundary: bytes, batch: bytes | None) -> PipelineReport:
        report = link.take("report").frame.report
        at = self.place.at
        tensors = sum(len(stage.shapes(self.place.config)) for stage in self.place.stages[:at])
        sound = (
            report.step == step
            and len(report.batch_root) == HASH_BYTES
            and len(report.boundary_roots) == at
            and len(report.leaves) == tensors * len(STATE_SETS) * HASH_BYTES
        )
        if not sound:
            raise FrameError(f"{link.peer} sent a report on step {report.step} that is not one on step {step}.")
        _same(link, step, bytes(report.boundary_roots[-1]), boundary)
        if batch is not None and batch != report.batch_root:
            raise FrameError(f"The first stage trains step {step} on another batch than the last one.")
        return report

    def _sealed(self, link: Link, step: int, boundary: bytes) -> None:
        seal = link.take("seal").frame.seal
        if seal.step != step:
            raise FrameError(f"{link.peer} closed step {seal.step} where {step} is due.")
        _same(link, step, bytes(seal.boundary_root), boundary)

    def _parts(self, leaves: bytes) -> list[StageLeaves]:
        """Leaves of all stages by tensor; the layout follows from the stages."""
        parts: list[StageLeaves] = []
        at = 0
        for stage in self.place.stages:
            part = {}
            for name in stage.shapes(self.place.config):
                part[name] = [leaves[at + n * HASH_BYTES : at + (n + 1) * HASH_BYTES] for n in range(len(STATE_SETS))]
                at += len(STATE_SETS) * HASH_BYTES
            parts.append(part)
        return parts

    def _pass_on(self, outcome: PipelineOutcome) -> None:
        try:
            leaf = StepLeaf.decode(bytes(outcome.leaf))
        except CommitmentError as error:
            raise FrameError("A neighbour sent what is no step's leaf.") from error
        if leaf.step != self.known:
            raise FrameError(f"A neighbour sent the leaf of step {leaf.step} where {self.known} is due.")
        if self._left is not None:
            self._left.send(PipelineFrame(outcome=outcome))
        self.known = leaf.step + 1
        self._on_leaf(leaf)


def _same(link: Link, step: int, theirs: bytes, ours: bytes) -> None:
    if theirs != ours:
        raise BoundaryHashError(
            f"{link.peer} and this member commit to other tensors between them at step {step}.",
            "Nothing of this step is claimed; the session goes on from the last checkpoint.",
        )
