"""The training step of an architecture as a program."""

from contextlib import ExitStack
from functools import cache
from typing import Any

import torch
from torch import Tensor

from consensus.arithmetic.engine import AdamWConstants
from consensus.arithmetic.numbers import round32
from consensus.arithmetic.reference import Reference
from consensus.model.config import ModelConfig
from consensus.model.gpt import loss_and_grads, pack
from consensus.program.capture import capture, for_layer
from consensus.program.layers import layer_of
from consensus.program.ops import NO_LAYER, Program
from consensus.training.optimizer import AdamW

SCHEDULE = ("correct1", "correct2", "lr", "decay")
"""The constants of AdamW that change from step to step: input ``schedule``, in this order; where there are young
layers, a row for the others and a row for them."""
PARTS = ("weights", "m", "v")


class _Captured(Reference):
    """The definition, without looks at values that do not exist while a graph is captured. It marks what runs with the
    layer it works for, which it tells by the order of the model's calls: a layer ends with its second addition, its
    gradient with its second normalisation."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self._last = layers - 1
        self._additions = self._norms = 0
        self._marked = ExitStack()

    def mark(self, layer: int) -> None:
        """What follows works for ``layer``; for none where that is NO_LAYER."""
        self._marked.close()
        if layer != NO_LAYER:
            self._marked.enter_context(for_layer(layer))

    def begin(self) -> None:
        self._additions = self._norms = 0
        self.mark(0)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        out = super().add(a, b)
        self._additions += 1
        self.mark(min(self._additions // 2, self._last))
        return out

    def rmsnorm_grad(self, dy: Tensor, saved: Any, into: Tensor | None) -> Tensor:
        out = super().rmsnorm_grad(dy, saved, into)
        # The first is the head's.
        self.mark(max(self._last - self._norms // 2, 0))
        self._norms += 1
        return out

    def cross_entropy(self, logits: Tensor, targets: Tensor, scale: float) -> tuple[Tensor, Any]:
        return self.cross_entropy_sum(logits, targets, scale)

    def adamw(self, w: Tensor, m: Tensor, v: Tensor, g: Tensor, c: AdamWConstants) -> bool:
        self.adamw_update(w, m, v, g, c)
        return True


def schedule_row(optimizer: AdamW, step: int, config: ModelConfig | None = None) -> Tensor:
    """Input ``schedule`` of the 0-based ``step``: fp32 [4], or [2, 4] where ``config`` has young layers."""
    if config is None or not config.young:
        return _row(optimizer.constants(step))
    return torch.stack([_row(optimizer.constants(step)), _row(optimizer.constants(step, config.age + step))])


def _row(constants: AdamWConstants) -> Tensor:
    return torch.tensor([getattr(constants, name) for name in SCHEDULE], dtype=torch.float32)


def step_program(config: ModelConfig, optimizer: AdamW | None = None) -> Program:
    """Inputs and outputs: ``weights/NAME``, ``m/NAME``, ``v/NAME``. Further inputs: ``tokens`` int32 [batch, seq + 1]
    and ``schedule``; further output: ``loss``, the fp32 mean in nats. Takes seconds; kept for the process."""
    return _step_program(config.ageless, optimizer or AdamW())


@cache
def _step_program(config: ModelConfig, optimizer: AdamW) -> Program:
    shapes = config.shapes()
    given = {f"{part}/{name}": torch.empty(shape) for part in PARTS for name, shape in shapes.items()}
    given["tokens"] = torch.empty(config.batch, config.seq_len + 1, dtype=torch.int32)
    given["schedule"] = torch.empty((2, len(SCHEDULE)) if config.young else (len(SCHEDULE),))
    return capture(lambda inputs: _step(config, optimizer, inputs), given, layer_of(config))


def _step(config: ModelConfig, optimizer: AdamW, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    engine = _Captured(config.layers)
    weights, m, v = ({n: inputs[f"{part}/{n}"].clone() for n in config.shapes()} for part in PARTS)
    grads = {name: torch.empty_like(w) for name, w in weights.items()}
    packed = pack(engine, weights)
    total: Any = 0
    for at in range(0, config.batch, config.micro_batch):
        rows = inputs["tokens"][at : at + config.micro_batch]
        batch = (rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
        scale = round32(1.0 / config.tokens_per_step)
        part = loss_and_grads(engine, config, weights, packed, batch, scale, grads, at > 0)
        engine.mark(config.layers - 1)
        total = total + part
    schedule, names, layer = inputs["schedule"], config.young_names(), layer_of(config)
    old, young = (_constants(optimizer, row) for row in (schedule if names else (schedule, schedule)))
    for name, w in weights.items():
        engine.mark(layer(name))
        engine.adamw(w, m[name], v[name], grads[name], young if name in names else old)
    engine.mark(config.layers - 1)
    loss = total.to(torch.float32) * round32(1.0 / (config.tokens_per_step * 65536.0))
    engine.mark(NO_LAYER)
    named = zip(PARTS, (weights, m, v), strict=True)
    return {f"{part}/{name}": t for part, tensors in named for name, t in tensors.items()} | {"loss": loss}


def _constants(optimizer: AdamW, schedule: Tensor) -> AdamWConstants:
    fixed = optimizer.constants(0)
    moving: Any = {name: schedule[i] for i, name in enumerate(SCHEDULE)}
    kept = {name: getattr(fixed, name) for name in fixed.__slots__ if name not in SCHEDULE}
    return AdamWConstants(**kept, **moving)
