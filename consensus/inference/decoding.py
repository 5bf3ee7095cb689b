"""What one step of decoding computes, in single exact operations: the definition that every other decoder matches.

A row is one token at one place of one sequence. Linear maps, norms and the activation are the training step's own
(`Engine`), and each works on its rows one by one, so a row's bits do not depend on the rows beside it. Attention of
the token at place i, for each head:

    u_j = ((q · k_j) * s_q * s_j) * log2(e) / sqrt(head width)      j = 0 … i, integers of 12 bits, a scale a row
    p   = base-2 softmax of u, its sum on the grid of the whole context
    w_j = p_j * t_j                                                 t_j: the scale of value row j
    o   = (round(w / s_w) · v) * s_w

Keys and values are quantised once, when their token is seen, along the head's width; they depend on nothing later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from consensus.arithmetic import numbers
from consensus.arithmetic.engine import Engine
from consensus.arithmetic.products import fp64
from consensus.arithmetic.reference import Reference, attention_scale, divide, exp2_neg, quantise
from consensus.errors import InferenceError
from consensus.inference.sampling import Choice, choose
from consensus.model.config import ModelConfig
from consensus.model.gpt import pack

PROGRAM: Final = 1
"""Version of these rules and of `sampling`; a request commits to it."""
MAX_ROWS: Final = 64
"""Rows of one step at most."""


@dataclass(slots=True)
class Row:
    """Token `token` at place `place` (from 0) of the sequence in `slot`; with a `choice` the next token is drawn."""

    slot: int
    place: int
    token: int
    choice: Choice | None = None


class Decoder(Protocol):
    """Steps of decoding over a fixed number of slots, one sequence each. Used by one thread."""

    name: str
    config: ModelConfig
    slots: int

    def step(self, rows: Sequence[Row]) -> list[int]:
        """Feed up to MAX_ROWS rows; the next token of every row with a choice, in order.

        Every earlier place of a row's slot must have been fed before it, in an earlier step or above it in this one.
        A sequence begins at place 0: that alone makes a slot free for another one.
        """

    def logits(self, rows: Sequence[Row]) -> Tensor:
        """As `step`, but the fp32 logits [rows, vocabulary] of all rows, in memory of their own."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Keys or values of one slot and layer: integers held in fp32 [context, heads, head width], scales [.., 1]."""

    integers: Tensor
    scale: Tensor

    @classmethod
    def empty(cls, config: ModelConfig) -> _Kept:
        shape = (config.seq_len, config.heads)
        return cls(torch.zeros(*shape, config.head_width), torch.zeros(*shape, 1))

    def put(self, place: int, row: Tensor) -> None:
        """row [heads, head width]"""
        self.integers[place], self.scale[place] = quantise(row, float(numbers.QMAX), -1)

    def upto(self, count: int) -> tuple[Tensor, Tensor]:
        """The first `count`: integers [heads, count, head width], scales [heads, 1, count]."""
        return self.integers[:count].permute(1, 0, 2), self.scale[:count].permute(1, 2, 0)


class Definition:
    """Decoder in PyTorch operations over `engine`, by default the reference."""

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, Tensor], slots: int, engine: Engine | None = None
    ) -> None:
        check(config, weights)
        self._engine = Reference() if engine is None else engine
        self.name = f"definition-{self._engine.name}"
        self.config, self.slots = config, slots
        self._weights = dict(weights)
        self._packed = pack(self._engine, self._weights)
        self._keys = [[_Kept.empty(config) for _ in range(config.layers)] for _ in range(slots)]
        self._values = [[_Kept.empty(config) for _ in range(config.layers)] for _ in range(slots)]

    def step(self, rows: Sequence[Row]) -> list[int]:
        logits = self.logits(rows)
        return [choose(logits[i], row.choice) for i, row in enumerate(rows) if row.choice is not None]

    def logits(self, rows: Sequence[Row]) -> Tensor:
        check_rows(self.config, self.slots, rows)
        engine, packed = self._engine, self._packed
        engine.begin()
        tokens = torch.tensor([row.token for row in rows])
        places = torch.tensor([row.place for row in rows])
        x = self._weights["embed"][tokens] + self._weights["position"][places]
        for i in range(self.config.layers):
            name = f"layer{i:03d}."
            qkv, _ = engine.linear(engine.rmsnorm(x)[0], packed[name + "attn_in"])
            a, _ = engine.linear(self._attention(i, rows, qkv), packed[name + "attn_out"])
            x = engine.add(x, a)
            h, _ = engine.linear(engine.rmsnorm(x)[0], packed[name + "mlp_in"])
            f, _ = engine.linear(engine.relu2(h), packed[name + "mlp_out"])
            x = engine.add(x, f)
        logits: Tensor = engine.linear(engine.rmsnorm(x)[0], packed["head"])[0]
        return logits.clone()

    def _attention(self, layer: int, rows: Sequence[Row], qkv: Tensor) -> Tensor:
        """qkv [rows, 3 d] → [rows, d]"""
        split = qkv.view(len(rows), 3, self.config.heads, self.config.head_width)
        out = torch.empty(len(rows), self.config.width)
        for i, row in enumerate(rows):
            q, k, v = split[i].unbind(0)
            keys, values = self._keys[row.slot][layer], self._values[row.slot][layer]
            keys.put(row.place, k)
            values.put(row.place, v)
            out[i] = self._attend(q, keys.upto(row.place + 1), values.upto(row.place + 1)).reshape(-1)
        return out

    def _attend(self, q: Tensor, keys: tuple[Tensor, Tensor], values: tuple[Tensor, Tensor]) -> Tensor:
        """q [heads, head width] over keys and values as `_Kept.upto` gives them → [heads, 1, head width]"""
        integers, scale = quantise(q[:, None, :], float(numbers.QMAX), -1)
        scores = fp64(integers, keys[0]).to(torch.float32) * scale
        u = (scores * keys[1]) * attention_scale(self.config.head_width)
        weighted, by = quantise(_softmax(u, self.config.seq_len) * values[1], float(numbers.QMAX), -1)
        return fp64(weighted, values[0].transpose(-1, -2)).to(torch.float32) * by


def _softmax(u: Tensor, context: int) -> Tensor:
    """Base-2 softmax of the last dimension, its sum on the grid of `context` terms, as in training."""
    e = exp2_neg(u - u.amax(-1, keepdim=True))
    grid = numbers.sum_grid(context)
    z = torch.round(e * grid).to(torch.int32).sum(-1, keepdim=True, dtype=torch.int64).to(torch.float32)
    return e * divide(1.0, divide(z, grid))


def check(config: ModelConfig, weights: Mapping[str, Tensor]) -> None:
    """Raises InferenceError unless `weights` are the model's, fp32, and a head is one block at most."""
    if config.head_width > numbers.BLOCK:
        raise InferenceError(f"a head is {config.head_width} wide; decoding takes at most {numbers.BLOCK}")
    found = {name: tuple(w.shape) for name, w in weights.items() if w.dtype == torch.float32}
    if found != config.shapes():
        raise InferenceError(f"these are not the weights of a model '{config.name}'", "Check the preset and the file.")


def check_rows(config: ModelConfig, slots: int, rows: Sequence[Row]) -> None:
    """Raises InferenceError on a row outside the model's slots, context or vocabulary, and on too many or none."""
    if not 1 <= len(rows) <= MAX_ROWS:
        raise InferenceError(f"a step has {len(rows)} rows, not 1 to {MAX_ROWS}")
    for row in rows:
        if not (0 <= row.slot < slots and 0 <= row.place < config.seq_len and 0 <= row.token < config.vocab):
            raise InferenceError(f"slot {row.slot}, place {row.place}, token {row.token}: outside the model")
