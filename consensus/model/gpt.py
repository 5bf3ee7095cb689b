"""Forward and backward pass of the model over an engine's exact ops: whole, and in the parts a pipeline's stages run.

x = embed(tokens) + position; each layer x += attn(rmsnorm(x)), x += mlp(rmsnorm(x)); logits = head . rmsnorm(x).
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from consensus.arithmetic.engine import Count, Engine
from consensus.model.config import ModelConfig


@dataclass(slots=True)
class _Layer:
    norm1: Any
    attn_in: Any
    attention: Any
    attn_out: Any
    norm2: Any
    mlp_in: Any
    h: Tensor
    mlp_out: Any


def pack(engine: Engine, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Quantises every matrix that multiplies activations, once a step."""
    return {name: engine.pack_weight(name, w) for name, w in weights.items() if name not in ("embed", "position")}


def _layer_forward(
    engine: Engine, packed: dict[str, Any], i: int, x: Tensor, sequences: int, heads: int
) -> tuple[Tensor, _Layer]:
    name = f"layer{i:03d}."
    n1, norm1 = engine.rmsnorm(x)
    qkv, attn_in = engine.linear(n1, packed[name + "attn_in"])
    o, attention = engine.attention(qkv, sequences, heads)
    a, attn_out = engine.linear(o, packed[name + "attn_out"])
    x = engine.add(x, a)
    n2, norm2 = engine.rmsnorm(x)
    h, mlp_in = engine.linear(n2, packed[name + "mlp_in"])
    f, mlp_out = engine.linear(engine.relu2(h), packed[name + "mlp_out"])
    return engine.add(x, f), _Layer(norm1, attn_in, attention, attn_out, norm2, mlp_in, h, mlp_out)


def _layer_backward(
    engine: Engine, packed: dict[str, Any], i: int, dx: Tensor, s: _Layer, grads: dict[str, Tensor], accumulate: bool
) -> Tensor:
    name = f"layer{i:03d}."

    def linear_grad(dy: Tensor, saved: Any, part: str) -> Tensor:
        return engine.linear_grad(dy, saved, packed[name + part], grads[name + part], accumulate)

    dh = engine.relu2_grad(linear_grad(dx, s.mlp_out, "mlp_out"), s.h)
    dx = engine.rmsnorm_grad(linear_grad(dh, s.mlp_in, "mlp_in"), s.norm2, dx)
    dqkv = engine.attention_grad(linear_grad(dx, s.attn_out, "attn_out"), s.attention)
    return engine.rmsnorm_grad(linear_grad(dqkv, s.attn_in, "attn_in"), s.norm1, dx)


def body_forward(
    engine: Engine, packed: dict[str, Any], layers: range, x: Tensor, sequences: int, heads: int
) -> tuple[Tensor, list[_Layer]]:
    """x [B*T, d] through consecutive layers -> (x [B*T, d], saved layers in their order)."""
    kept = []
    for i in layers:
        x, saved = _layer_forward(engine, packed, i, x, sequences, heads)
        kept.append(saved)
    return x, kept


def body_backward(
    engine: Engine,
    packed: dict[str, Any],
    layers: range,
    dx: Tensor,
    saved: list[_Layer],
    grads: dict[str, Tensor],
    accumulate: bool,
) -> Tensor:
    """Gradient [B*T, d] at the end of ``layers`` -> gradient at their beginning; may overwrite ``dx``."""
    for i, kept in zip(reversed(layers), reversed(saved), strict=True):
        dx = _layer_backward(engine, packed, i, dx, kept, grads, accumulate)
    return dx


def head_forward(engine: Engine, packed: dict[str, Any], x: Tensor) -> tuple[Tensor, Any, Any]:
    """x [B*T, d] -> (logits [B*T, V], saved head, saved final norm)."""
    n, norm = engine.rmsnorm(x)
    logits, head = engine.linear(n, packed["head"])
    return logits, head, norm


def head_backward(
    engine: Engine,
    packed: dict[str, Any],
    dlogits: Tensor,
    saved: tuple[Any, Any],
    grads: dict[str, Tensor],
    accumulate: bool,
) -> Tensor:
    """dlogits [B*T, V] and (saved head, saved final norm) -> gradient [B*T, d] at the end of the last layer."""
    head, norm = saved
    return engine.rmsnorm_grad(engine.linear_grad(dlogits, head, packed["head"], grads["head"], accumulate), norm, None)


def forward(
    engine: Engine, config: ModelConfig, weights: dict[str, Tensor], packed: dict[str, Any], tokens: Tensor
) -> tuple[Tensor, Any, list[_Layer], Any]:
    """tokens [B, T] int32 -> (logits [B*T, V], saved head, saved layers, saved final norm)."""
    x = engine.embed(tokens, weights["embed"], weights["position"])
    x, layers = body_forward(engine, packed, range(config.layers), x, tokens.shape[0], config.heads)
    logits, head, norm = head_forward(engine, packed, x)
    return logits, head, layers, norm


def loss_and_grads(
    engine: Engine,
    config: ModelConfig,
    weights: dict[str, Tensor],
    packed: dict[str, Any],
    batch: tuple[Tensor, Tensor],
    scale: float,
    grads: dict[str, Tensor],
    accumulate: bool,
) -> Count:
    """One micro-batch (inputs, targets), each [B, T] int32, or several in a row where the engine has room: sets or adds
    to ``grads``.

    Returns the sum of round(loss * 2^16) over its tokens.
    """
    inputs, targets = batch
    engine.begin()
    logits, head, layers, norm = forward(engine, config, weights, packed, inputs)
    dlogits, total = engine.cross_entropy(logits, targets, scale)
    dx = head_backward(engine, packed, dlogits, (head, norm), grads, accumulate)
    dx = body_backward(engine, packed, range(config.layers), dx, layers, grads, accumulate)
    engine.embed_grad(inputs, dx, grads["embed"], grads["position"], accumulate)
    return total
