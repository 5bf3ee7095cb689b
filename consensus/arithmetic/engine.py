"""What an engine offers: the exact ops a training step is made of.

All engines give the same bits: ``reference`` spells each op in single PyTorch operations, ``compiled`` fuses them in
native code, ``fused`` in kernels of a GPU. Shapes: R rows (tokens of a micro-batch, at most 512; of several where an
engine has ``room`` for them), d width, B sequences of T tokens, H heads, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

Count = int | Tensor
"""An integer, or an int64 without dimensions on the engine's device, so that nothing waits for it yet."""
Truth = bool | Tensor
"""Likewise for a truth value."""


@dataclass(frozen=True, slots=True)
class AdamWConstants:
    """fp32 constants of one AdamW step (Loshchilov & Hutter 2019), each rounded once from exact decimals.

    On a device they may instead be tensors without dimensions, views of one row of nine in this order, so that a
    captured step takes new ones."""

    beta1: float
    one_minus_beta1: float
    beta2: float
    one_minus_beta2: float
    correct1: float
    correct2: float
    eps: float
    lr: float
    decay: float


class Engine(Protocol):
    """Exact ops. Saved values and packed weights are the engine's own and opaque to the model."""

    name: str
    device: torch.device
    """Where every tensor that it takes or gives lies."""

    def begin(self) -> None:
        """Starts a micro-batch: what the last one returned may be overwritten from here on."""

    def lane(self) -> "Engine":
        """Another engine of the same kernel with its own room, so that several micro-batches are in flight at once.
        Weights packed by either serve both."""

    def held_bytes(self) -> int:
        """Bytes of this engine's room for one micro-batch: what it kept since ``begin``; 0 where it keeps none."""

    def room(self) -> int:
        """Bytes that a step may take for several micro-batches at once; 0: one micro-batch at a time. With room, sums
        over rows go 512 rows at a time, added in order, as micro-batches are."""

    def pack_weight(self, name: str, w: Tensor) -> Any:
        """Quantises w [N, K] along both dimensions, once a step."""

    def linear(self, x: Tensor, w: Any) -> tuple[Tensor, Any]:
        """x [R, K] -> x . w^T [R, N], and what the gradient needs."""

    def linear_grad(self, dy: Tensor, saved: Any, w: Any, dw: Tensor, accumulate: bool) -> Tensor:
        """dy [R, N] -> dx [R, K]; dw [N, K] is set or added to."""

    def rmsnorm(self, x: Tensor) -> tuple[Tensor, Any]:
        """x [R, d] -> x / sqrt(mean(x^2) + 1e-5) (Zhang & Sennrich 2019, no gain)."""

    def rmsnorm_grad(self, dy: Tensor, saved: Any, into: Tensor | None) -> Tensor:
        """Gradient of rmsnorm, added to ``into`` when given."""

    def relu2(self, h: Tensor) -> Tensor:
        """max(h, 0)^2 (So et al. 2021)."""

    def relu2_grad(self, dy: Tensor, h: Tensor) -> Tensor:
        """Gradient of relu2."""

    def attention(self, qkv: Tensor, sequences: int, heads: int) -> tuple[Tensor, Any]:
        """qkv [B*T, 3d] -> causal attention with a base-2 softmax [B*T, d]."""

    def attention_grad(self, dout: Tensor, saved: Any) -> Tensor:
        """Gradient of attention [B*T, 3d]."""

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b."""

    def embed(self, tokens: Tensor, table: Tensor, position: Tensor) -> Tensor:
        """tokens [B, T] int32 -> table[token] + position [B*T, d]."""

    def embed_grad(self, tokens: Tensor, dx: Tensor, dtable: Tensor, dposition: Tensor, accumulate: bool) -> None:
        """Integer scatter-sums of dx into the two gradients."""

    def cross_entropy(self, logits: Tensor, targets: Tensor, scale: float) -> tuple[Tensor, Count]:
        """logits [R, V], targets [R] int32 -> gradient times ``scale``, and the sum of round(loss * 2^16) in nats."""

    def adamw(self, w: Tensor, m: Tensor, v: Tensor, g: Tensor, c: AdamWConstants) -> Truth:
        """One AdamW step in place; False when a weight is no longer finite."""
