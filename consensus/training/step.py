"""One exact training step: (state, batch) -> (state', loss)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.arithmetic.numbers import round32
from consensus.errors import DivergedError
from consensus.model.config import ModelConfig
from consensus.model.gpt import loss_and_grads, pack
from consensus.training.optimizer import AdamW


@dataclass(slots=True)
class TrainState:
    """Weights and both moments by name (fp32), and the number of steps taken since the moments were zero."""

    weights: dict[str, Tensor]
    m: dict[str, Tensor]
    v: dict[str, Tensor]
    step: int = 0

    @classmethod
    def start(cls, weights: dict[str, Tensor]) -> "TrainState":
        """A round's start: a copy of the global weights, zero moments."""
        return cls(
            {n: w.clone() for n, w in weights.items()},
            {n: torch.zeros_like(w) for n, w in weights.items()},
            {n: torch.zeros_like(w) for n, w in weights.items()},
        )

    def clone(self) -> "TrainState":
        copies = [{n: t.clone() for n, t in part.items()} for part in (self.weights, self.m, self.v)]
        return TrainState(copies[0], copies[1], copies[2], self.step)


def check_batch(config: ModelConfig, tokens: Tensor) -> None:
    """Raises ValueError where ``tokens`` is no batch of this architecture: int32 [batch, seq_len + 1]."""
    if tuple(tokens.shape) != (config.batch, config.seq_len + 1) or tokens.dtype != torch.int32:
        wanted = f"int32 [{config.batch}, {config.seq_len + 1}]"
        raise ValueError(f"a batch of {config.name} is {wanted}, not {tokens.dtype} {list(tokens.shape)}")


def micro_batches(config: ModelConfig, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
    """A batch as micro-batches in their order: (inputs, targets), each int32 [micro_batch, seq_len]."""
    cut = [tokens[at : at + config.micro_batch] for at in range(0, config.batch, config.micro_batch)]
    return [(rows[:, :-1].contiguous(), rows[:, 1:].contiguous()) for rows in cut]


def gradient_scale(config: ModelConfig) -> float:
    """What the loss's gradient is multiplied with: one over the tokens of a step, fp32."""
    return round32(1.0 / config.tokens_per_step)


def step_loss(config: ModelConfig, total: int) -> float:
    """Mean loss in nats (fp32) from the sum of round(loss * 2^16) over a step's tokens."""
    return round32(round32(total) * round32(1.0 / (config.tokens_per_step * 65536.0)))


def update(engine: Engine, optimizer: AdamW, state: TrainState, grads: dict[str, Tensor]) -> None:
    """One optimizer step over every tensor that ``state`` holds, in place.

    Raises DivergedError when a weight is no longer finite: no root may commit to such a state.
    """
    constants = optimizer.constants(state.step)
    for name, w in state.weights.items():
        if not engine.adamw(w, state.m[name], state.v[name], grads[name], constants):
            raise DivergedError(f"{name} left the finite range at step {state.step}")
    state.step += 1


@dataclass(slots=True)
class Trainer:
    """Runs steps of one architecture on one engine. Any two engines give the same bits."""

    config: ModelConfig
    engine: Engine
    optimizer: AdamW = field(default_factory=AdamW)
    _grads: dict[str, Tensor] = field(default_factory=dict)

    def step(self, state: TrainState, tokens: Tensor) -> float:
        """tokens [batch, seq_len + 1] int32; advances ``state`` in place and returns the mean loss in nats (fp32).

        Raises DivergedError when a weight is no longer finite: no root may commit to such a state.
        """
        config = self.config
        check_batch(config, tokens)
        if not self._grads:
            self._grads = {n: torch.empty_like(w) for n, w in state.weights.items()}
        packed = pack(self.engine, state.weights)
        scale = gradient_scale(config)
        total = 0
        for at, batch in enumerate(micro_batches(config, tokens)):
            total += loss_and_grads(self.engine, config, state.weights, packed, batch, scale, self._grads, at > 0)
        update(self.engine, self.optimizer, state, self._grads)
        return step_loss(config, total)
