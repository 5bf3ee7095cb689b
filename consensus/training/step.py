"""One exact training step: (state, batch) -> (state', loss)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from consensus.arithmetic.engine import AdamWConstants, Count, Engine, Truth
from consensus.arithmetic.numbers import round32
from consensus.errors import DivergedError
from consensus.model.config import ModelConfig
from consensus.model.gpt import loss_and_grads, pack
from consensus.training.optimizer import AdamW
from consensus.training.queue import DeviceQueue, constants_tensor


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

    def move(self, device: torch.device) -> None:
        """Put every tensor on ``device``; one that lies there already stays what it is."""
        for part in (self.weights, self.m, self.v):
            part.update({n: t.to(device) for n, t in part.items() if t.device != device})

    def clone(self) -> "TrainState":
        copies = [{n: t.clone() for n, t in part.items()} for part in (self.weights, self.m, self.v)]
        return TrainState(copies[0], copies[1], copies[2], self.step)


def check_batch(config: ModelConfig, tokens: Tensor) -> None:
    """Raises ValueError where ``tokens`` is no batch of this architecture: int32 [batch, seq_len + 1]."""
    if tuple(tokens.shape) != (config.batch, config.seq_len + 1) or tokens.dtype != torch.int32:
        wanted = f"int32 [{config.batch}, {config.seq_len + 1}]"
        raise ValueError(f"a batch of {config.name} is {wanted}, not {tokens.dtype} {list(tokens.shape)}")


def micro_batches(config: ModelConfig, tokens: Tensor, together: int = 1) -> list[tuple[Tensor, Tensor]]:
    """A batch as micro-batches in their order, ``together`` at a time: (inputs, targets), each int32 [sequences,
    seq_len]."""
    size = config.micro_batch * together
    cut = [tokens[at : at + size] for at in range(0, config.batch, size)]
    return [(rows[:, :-1].contiguous(), rows[:, 1:].contiguous()) for rows in cut]


def gradient_scale(config: ModelConfig) -> float:
    """What the loss's gradient is multiplied with: one over the tokens of a step, fp32."""
    return round32(1.0 / config.tokens_per_step)


def step_loss(config: ModelConfig, total: int) -> float:
    """Mean loss in nats (fp32) from the sum of round(loss * 2^16) over a step's tokens."""
    return round32(round32(total) * round32(1.0 / (config.tokens_per_step * 65536.0)))


def update(engine: Engine, config: ModelConfig, optimizer: AdamW, state: TrainState, grads: dict[str, Tensor]) -> None:
    """One optimizer step over every tensor that ``state`` holds, in place; young layers learn at their own rate.

    Raises DivergedError when a weight is no longer finite: no root may commit to such a state.
    """
    outcomes = adamw(engine, config, state, grads, rates(config, optimizer, state.step))
    for name, finite in zip(state.weights, outcomes, strict=True):
        if not finite:
            raise DivergedError(f"{name} left the finite range at step {state.step}")
    state.step += 1


def rates(config: ModelConfig, optimizer: AdamW, step: int) -> tuple[AdamWConstants, AdamWConstants]:
    """Constants of a step for the old layers and for the young ones."""
    return optimizer.constants(step), optimizer.constants(step, config.age + step)


def adamw(
    engine: Engine,
    config: ModelConfig,
    state: TrainState,
    grads: dict[str, Tensor],
    constants: tuple[AdamWConstants, AdamWConstants],
) -> Iterator[Truth]:
    """Each tensor's optimizer step as it is asked for, in the order of names: whether it stayed finite."""
    old, young = constants
    names = config.young_names()
    for name, w in state.weights.items():
        yield engine.adamw(w, state.m[name], state.v[name], grads[name], young if name in names else old)


@dataclass(slots=True)
class Trainer:
    """Runs steps of one architecture on one engine. Any two engines give the same bits."""

    config: ModelConfig
    engine: Engine
    optimizer: AdamW = field(default_factory=AdamW)
    _grads: dict[str, Tensor] = field(default_factory=dict)
    queue: DeviceQueue = field(default_factory=DeviceQueue)
    _at_once: int = 1

    def step(self, state: TrainState, tokens: Tensor) -> float:
        """tokens [batch, seq_len + 1] int32; advances ``state`` in place and returns the mean loss in nats (fp32).
        ``state`` moves to the engine's device and stays there.

        Raises DivergedError when a weight is no longer finite: no root may commit to such a state.
        """
        config = self.config
        check_batch(config, tokens)
        state.move(self.engine.device)
        if not self._grads:
            self._grads = {n: torch.empty_like(w) for n, w in state.weights.items()}
        if self.engine.device.type != "cpu":
            return self._queued(state, tokens)
        self._at_once = together(self.config, self.engine.room())
        total = self._gradients(state, tokens)
        update(self.engine, config, self.optimizer, state, self._grads)
        return step_loss(config, int(total))

    def _gradients(self, state: TrainState, tokens: Tensor) -> Count:
        """A batch's gradients in ``_grads``; the sum of round(loss * 2^16)."""
        config, engine = self.config, self.engine
        packed = pack(engine, state.weights)
        scale = gradient_scale(config)
        total: Count = 0
        for at, batch in enumerate(micro_batches(config, tokens, self._at_once)):
            total += loss_and_grads(engine, config, state.weights, packed, batch, scale, self._grads, at > 0)
        return total

    def _queued(self, state: TrainState, tokens: Tensor) -> float:
        """The same step queued on a device as a whole; its results are read once, at the end."""
        inputs = (tokens, constants_tensor(rates(self.config, self.optimizer, state.step)))

        def work(tokens: Tensor, constants: Tensor) -> Tensor:
            total = self._gradients(state, tokens)
            old, young = (AdamWConstants(*row.unbind(0)) for row in constants.unbind(0))  # type: ignore[arg-type]
            finite = adamw(self.engine, self.config, state, self._grads, (old, young))
            flags = torch.stack([torch.as_tensor(value) for value in finite]).to(torch.int64)
            return torch.cat([torch.as_tensor(total, device=flags.device).reshape(1), flags])

        held = [t for part in (state.weights, state.m, state.v) for t in part.values()]
        if not self.queue.holds(held):  # what is recorded takes as many at once as what ran before
            self._at_once = together(self.config, self.engine.room())
        total, *finite = self.queue.run(work, inputs, held, self.engine.device)
        for name, stayed in zip(state.weights, finite, strict=True):
            if not stayed:
                raise DivergedError(f"{name} left the finite range at step {state.step}")
        state.step += 1
        return step_loss(self.config, total)


def together(config: ModelConfig, room: int) -> int:
    """Micro-batches that go through at once in ``room`` bytes: a divisor of their number.

    A token of a layer keeps about 12 numbers a unit of width and its probabilities; beside them stand the passing ones
    of one layer, and of the head.
    """
    count = config.batch // config.micro_batch
    scores = config.heads * config.seq_len
    a_token = 4 * (config.layers * (12 * config.width + scores) + 48 * config.width + 3 * scores + 6 * config.vocab)
    fits = max(1, room // (a_token * config.micro_batch * config.seq_len))
    return max(size for size in range(1, count + 1) if count % size == 0 and size <= fits)
