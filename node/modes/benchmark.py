"""How fast this machine is: one layer's forward pass, measured on the engine that trains."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.arithmetic.gpu import wait
from consensus.model.config import ModelConfig
from consensus.quorum.tiers import tier_of
from economics.networks import MAINNET_TIMES, QuorumTimes

RUNS = 7
"""Timed runs; their median counts, so that one interruption does not move a node to another tier."""
WARM_UP = 1


def measure_layer_us(engine: Engine, config: ModelConfig, clock: Callable[[], float], runs: int = RUNS) -> int:
    """Microseconds of one layer's forward pass on one micro-batch: the median of several, at least 1.

    ``clock`` gives seconds. Overwrites the engine's buffers, so no step may be in progress on it.
    """
    d, rows = config.width, config.micro_batch * config.seq_len
    weights = {part: _ramp(*shape).to(engine.device) for part, shape in _shapes(d).items()}
    # Under the names of a layer, whose buffers the engine has anyway: the next step packs its weights anew.
    packed = {part: engine.pack_weight(f"layer000.{part}", w) for part, w in weights.items()}
    x, times = _ramp(rows, d).to(engine.device), []
    for _ in range(WARM_UP + runs):
        began = clock()
        engine.begin()
        _layer(engine, packed, x, config)
        wait(engine.device)
        times.append(clock() - began)
    return max(1, round(statistics.median(times[WARM_UP:]) * 1e6))


def _shapes(d: int) -> dict[str, tuple[int, int]]:
    return {"attn_in": (3 * d, d), "attn_out": (d, d), "mlp_in": (4 * d, d), "mlp_out": (d, 4 * d)}


def _layer(engine: Engine, packed: dict[str, object], x: Tensor, config: ModelConfig) -> None:
    """The ops of ``consensus.model.gpt`` for one layer. x [R, d]; what comes out is thrown away."""
    qkv, _ = engine.linear(engine.rmsnorm(x)[0], packed["attn_in"])
    o, _ = engine.attention(qkv, config.micro_batch, config.heads)
    a, _ = engine.linear(o, packed["attn_out"])
    x = engine.add(x, a)
    h, _ = engine.linear(engine.rmsnorm(x)[0], packed["mlp_in"])
    f, _ = engine.linear(engine.relu2(h), packed["mlp_out"])
    engine.add(x, f)


def _ramp(rows: int, columns: int) -> Tensor:
    """[rows, columns] fp32: values that are alike on every machine, about as large as weights are."""
    values = torch.arange(rows * columns, dtype=torch.int64) * 7919 % 4093 - 2046
    return (values.to(torch.float32) / 32768).view(rows, columns)


@dataclass
class SelfBenchmark:
    """Measures at the first call and again when the last result is too old. ``clock`` in seconds, never backwards.

    Called between steps by the thread that owns the engine.
    """

    clock: Callable[[], float]
    times: QuorumTimes = MAINNET_TIMES
    layer_us: int = 0
    measured: int = 0
    """How often it has measured."""
    _at: float = field(default=0.0, repr=False)

    def due(self) -> bool:
        """Whether it is time to measure."""
        return self.measured == 0 or self.clock() - self._at >= self.times.benchmark

    def look(self, engine: Engine, config: ModelConfig) -> int:
        """Microseconds a layer, measured anew where that is due."""
        if self.due():
            self.layer_us = measure_layer_us(engine, config, self.clock)
            self.measured += 1
            self._at = self.clock()
        return self.layer_us

    @property
    def tier(self) -> int:
        """1 to 5, from the last measurement."""
        return tier_of(self.layer_us)
