"""A member's steps: its stage's passes in 1F1B order, with boundary tensors to and from its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import tensor_root
from consensus.commitments.trace import StepLeaf
from consensus.pipeline.boundary import BoundaryHashes, StageRecord
from consensus.pipeline.compute import StageTrainer
from consensus.pipeline.schedule import order
from consensus.training.step import TrainState, check_batch, micro_batches
from node.net.wire.pipeline_pb2 import PipelineBoundary, PipelineFrame
from node.quorum.pipeline.errors import FrameError
from node.quorum.pipeline.link import Link
from node.quorum.pipeline.place import Place
from node.quorum.pipeline.settlement import Done, Settlement

_Way: TypeAlias = "PipelineBoundary.Direction.ValueType"


@dataclass
class _Crossed:
    """Hashes of a step's boundary tensors as this member saw them."""

    activations: list[bytes] = field(default_factory=list)
    gradients: list[bytes] = field(default_factory=list)

    def hashes(self) -> BoundaryHashes:
        return BoundaryHashes(tuple(self.activations), tuple(self.gradients))


class Member:
    """Trains one stage of one round. `left` is None at the first stage, `right` at the last.

    `on_leaf` gets every step's leaf as it becomes known here, in order: at once at the last stage, later elsewhere.
    """

    def __init__(
        self,
        place: Place,
        engine: Engine,
        left: Link | None,
        right: Link | None,
        number: int,
        on_leaf: Callable[[StepLeaf], None],
    ) -> None:
        self.place, self.round = place, number
        self.settlement = Settlement(place, left, right, number, on_leaf)
        self.trainer = StageTrainer(place.config, place.stage, engine, place.optimizer)
        self._left, self._right = left, right
        self._micros = place.config.batch // place.config.micro_batch

    def step(self, state: TrainState, tokens: Tensor | None) -> StageRecord:
        """One step of this member's part, in place. `tokens` int32 [batch, seq_len + 1] at both ends, else unused.

        Raises:
            PipelineError: a neighbour failed; `state` may be part-way and is not to be used.
            DivergedError (consensus): a weight left the finite range.
        """
        number = state.step
        rows: list[tuple[Tensor, Tensor]] = []
        if tokens is not None:
            check_batch(self.place.config, tokens)
            rows = micro_batches(self.place.config, tokens)
        low, high = _Crossed(), _Crossed()
        self.trainer.begin(state)
        for work in order(self.place.at, len(self.place.stages), self._micros):
            if work.forward:
                self._forward(number, work.micro, rows, low, high)
            else:
                self._backward(number, work.micro, rows, low, high)
        self.trainer.finish(state)
        done = Done(number, state, tokens, low.hashes(), high.hashes(), self.trainer.loss_total)
        return self.settlement.commit(done)

    def evaluate(self, state: TrainState, windows: Tensor | int) -> float | None:
        """Held-out loss in nats a token of `windows` int32 [N, seq_len + 1], which both ends pass; others pass N.

        Returns the loss at the last stage, the same float as `mean_loss` gives for the whole model, else None.
        """
        config, total = self.place.config, 0
        count = windows if isinstance(windows, int) else windows.shape[0]
        self.trainer.begin(state)
        for chunk, at in enumerate(range(0, count, config.micro_batch)):
            rows = None if isinstance(windows, int) else windows[at : at + config.micro_batch]
            given = rows[:, :-1].contiguous() if rows is not None and self._left is None else None
            if given is None:
                given = self._receive(self._lefts, PipelineBoundary.EVALUATION, 0, chunk, None)
            targets = rows[:, 1:].contiguous().reshape(-1) if rows is not None and self.place.last else None
            found = self.trainer.evaluate(given, targets)
            if isinstance(found, Tensor):
                self._send(self._rights, PipelineBoundary.EVALUATION, 0, chunk, found)
            else:
                total += found
        return total / (count * config.seq_len) / 65536.0 if self.place.last else None

    @property
    def _lefts(self) -> Link:
        if self._left is None:
            raise FrameError("The first stage has no neighbour on its left.")
        return self._left

    @property
    def _rights(self) -> Link:
        if self._right is None:
            raise FrameError("The last stage has no neighbour on its right.")
        return self._right

    def _forward(self, step: int, micro: int, rows: list[tuple[Tensor, Tensor]], low: _Crossed, high: _Crossed) -> None:
        if self._left is None:
            given = rows[micro][0]
        else:
            given = self._receive(self._left, PipelineBoundary.ACTIVATION, step, micro, low.activations)
        out = self.trainer.forward(micro, given)
        if out is not None:
            high.activations.append(self._send(self._rights, PipelineBoundary.ACTIVATION, step, micro, out))

    def _backward(
        self, step: int, micro: int, rows: list[tuple[Tensor, Tensor]], low: _Crossed, high: _Crossed
    ) -> None:
        if self._right is None:
            given = rows[micro][1].reshape(-1)
        else:
            given = self._receive(self._right, PipelineBoundary.GRADIENT, step, micro, high.gradients)
        out = self.trainer.backward(micro, given)
        if out is not None:
            low.gradients.append(self._send(self._lefts, PipelineBoundary.GRADIENT, step, micro, out))

    def _send(self, link: Link, way: _Way, step: int, micro: int, tensor: Tensor) -> bytes:
        kept = tensor.clone()
        root = tensor_root(kept)
        boundary = PipelineBoundary(
            round=self.round, step=step, micro=micro, direction=way, shape=list(kept.shape), hash=root
        )
        link.send(PipelineFrame(boundary=boundary), kept)
        return root

    def _receive(self, link: Link, way: _Way, step: int, micro: int, seen: list[bytes] | None) -> Tensor:
        arrival = link.take("boundary")
        boundary, tensor = arrival.frame.boundary, arrival.tensor
        if tensor is None or (boundary.direction, boundary.step, boundary.micro) != (way, step, micro):
            raise FrameError(
                f"{link.peer} sent micro-batch {boundary.micro} of step {boundary.step} where {micro} of {step} is due."
            )
        if seen is not None:
            seen.append(bytes(boundary.hash))
        return tensor
