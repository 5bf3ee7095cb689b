"""The passes and the optimizer step of one stage. Same functions, same order as one process: same bits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.errors import PipelineError
from consensus.model.config import ModelConfig
from consensus.model.gpt import body_backward, body_forward, head_backward, head_forward, pack
from consensus.pipeline.stages import Stage
from consensus.training.optimizer import AdamW
from consensus.training.step import TrainState, gradient_scale, update


@dataclass(slots=True)
class _Open:
    """A micro-batch between its passes, in a lane of its own."""

    lane: Engine
    given: Tensor
    layers: list[Any]
    head: tuple[Tensor, Any, Any] | None


@dataclass(slots=True)
class StageTrainer:
    """Runs steps of one stage. R rows = tokens of a micro-batch, d = width. What goes in and comes out lies in main
    memory, wherever the engine works.

    A step is ``begin``, then the passes in the order of ``schedule.order``, then ``finish``. A boundary tensor given to
    a pass may be overwritten by it; one returned holds until the next pass, so a caller that keeps it copies it.
    """

    config: ModelConfig
    stage: Stage
    engine: Engine
    optimizer: AdamW = field(default_factory=AdamW)
    loss_total: int = 0
    """Sum of round(loss * 2^16) over the tokens of this step so far; only the stage with the head adds to it."""
    _packed: dict[str, Any] = field(default_factory=dict)
    _weights: dict[str, Tensor] = field(default_factory=dict)
    _grads: dict[str, Tensor] = field(default_factory=dict)
    _idle: list[Engine] = field(default_factory=list)
    _open: dict[int, _Open] = field(default_factory=dict)
    _backward: int = 0

    def start_state(self, weights: Mapping[str, Tensor]) -> TrainState:
        """A round's start from the global weights: a copy of this stage's, zero moments."""
        return TrainState.start({name: weights[name] for name in self.stage.shapes(self.config)})

    def begin(self, state: TrainState) -> None:
        """Start a step with ``state``, this stage's part. Micro-batches left open by a broken step are dropped."""
        if list(state.weights) != list(self.stage.shapes(self.config)):
            raise PipelineError(f"the state holds other tensors than layers {list(self.stage.layers)} need")
        state.move(self.engine.device)
        if not self._grads:
            self._grads = {n: torch.empty_like(w) for n, w in state.weights.items()}
        self._idle += [kept.lane for kept in self._open.values()]
        self._open.clear()
        self._weights, self._packed = state.weights, pack(self.engine, state.weights)
        self._backward = self.loss_total = 0

    def forward(self, micro: int, given: Tensor) -> Tensor | None:
        """Tokens int32 [B, T] at the first stage, else activations [R, d] -> activations [R, d]; None at the head."""
        if micro in self._open or micro < self._backward:
            raise PipelineError(f"micro-batch {micro} is forward already")
        lane = self._idle.pop() if self._idle else self.engine.lane()
        lane.begin()
        x = given = given.to(lane.device)
        if self.stage.has_embedding:
            x = lane.embed(given, self._weights["embed"], self._weights["position"])
        x, layers = body_forward(lane, self._packed, self.stage.layers, x, self.config.micro_batch, self.config.heads)
        head = head_forward(lane, self._packed, x) if self.stage.has_head else None
        self._open[micro] = _Open(lane, given, layers, head)
        return None if self.stage.has_head else x.cpu()

    def backward(self, micro: int, given: Tensor) -> Tensor | None:
        """Targets int32 [R] at the head, else the gradient [R, d] of the activations sent on -> the gradient [R, d] of
        the activations that came in, or None at the first stage. Weight gradients are set or added to."""
        if micro != self._backward or micro not in self._open:
            raise PipelineError(f"micro-batch {micro} cannot go backward after {self._backward} others")
        kept = self._open.pop(micro)
        engine, again = kept.lane, micro > 0
        dx = given = given.to(engine.device)
        if kept.head is not None:
            logits, head, norm = kept.head
            dlogits, total = engine.cross_entropy(logits, given, gradient_scale(self.config))
            self.loss_total += int(total)
            dx = head_backward(engine, self._packed, dlogits, (head, norm), self._grads, again)
        dx = body_backward(engine, self._packed, self.stage.layers, dx, kept.layers, self._grads, again)
        self._idle.append(engine)
        self._backward += 1
        if not self.stage.has_embedding:
            return dx.cpu()
        engine.embed_grad(kept.given, dx, self._grads["embed"], self._grads["position"], again)
        return None

    def finish(self, state: TrainState) -> None:
        """The optimizer step over this stage's tensors, once every micro-batch is through.

        Raises DivergedError when a weight is no longer finite.
        """
        micros = self.config.batch // self.config.micro_batch
        if self._backward != micros:
            raise PipelineError(f"{self._backward} of {micros} micro-batches went backward")
        update(self.engine, self.config, self.optimizer, state, self._grads)

    def lane_bytes(self) -> tuple[int, ...]:
        """Bytes that each micro-batch in flight keeps in its engine, for lanes at rest."""
        return tuple(engine.held_bytes() for engine in self._idle)

    def evaluate(self, given: Tensor, targets: Tensor | None) -> Tensor | int:
        """Forward only, after ``begin``: activations [R, d] for the next stage, or at the head the sum of
        round(loss * 2^16) over ``targets`` int32 [R]. ``given`` as in ``forward``, of any number of sequences."""
        engine = self._idle[-1] if self._idle else self.engine.lane()
        if not self._idle:
            self._idle.append(engine)
        engine.begin()
        x, sequences = given.to(engine.device), given.shape[0]
        given = x
        if self.stage.has_embedding:
            x = engine.embed(given, self._weights["embed"], self._weights["position"])
        else:
            sequences = given.shape[0] // self.config.seq_len
        x, _ = body_forward(engine, self._packed, self.stage.layers, x, sequences, self.config.heads)
        if not self.stage.has_head or targets is None:
            return x.cpu()
        logits = head_forward(engine, self._packed, x)[0]
        return int(engine.cross_entropy(logits, targets.to(engine.device), 1.0)[1])
