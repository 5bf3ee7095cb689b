"""One token of an answer as a program: the model over the whole context, the weights of all ids, the id drawn.

The bits are those of `consensus.inference`: a key or a value is quantised in its own row, and what the causal mask
hides adds nothing to a maximum or to an integer sum, so all places at once give what they give one after another.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from consensus.arithmetic import numbers
from consensus.arithmetic.products import fp64
from consensus.arithmetic.reference import Reference, attention_scale, causal, divide, exp2_neg, quantise
from consensus.inference.sampling import DRAW_BITS, NEVER, WEIGHT_BITS, Choice
from consensus.model.config import ModelConfig
from consensus.model.gpt import pack
from consensus.program.capture import capture
from consensus.program.ops import Program

LIMB_BITS = 16
LIMBS = DRAW_BITS // LIMB_BITS
"""The draw is read in parts, so that its product with a sum of weights fits 64 bits."""


@cache
def infer_program(config: ModelConfig) -> Program:
    """Inputs: ``weights/NAME``, ``tokens`` int32 [1, context] (zeros after the last), ``length`` int32 [1], ``draw``
    int32 [4] (16 bits each, the lowest first), ``factor`` fp32 [1] (0: the likeliest). Output: ``token`` int64 [1]."""
    if config.young:
        return infer_program(config.grown_up)
    given = {f"weights/{name}": torch.empty(shape) for name, shape in config.shapes().items()}
    given["tokens"] = torch.empty(1, config.seq_len, dtype=torch.int32)
    given["length"] = torch.empty(1, dtype=torch.int32)
    given["draw"] = torch.empty(LIMBS, dtype=torch.int32)
    given["factor"] = torch.empty(1)
    return capture(lambda inputs: _token(config, inputs), given)


def infer_inputs(
    config: ModelConfig, weights: Mapping[str, Tensor], context: Sequence[int], choice: Choice
) -> dict[str, Tensor]:
    """The program's inputs for the token that follows ``context``; ``choice.top_p_bps`` plays no part."""
    tokens = torch.zeros(1, config.seq_len, dtype=torch.int32)
    tokens[0, : len(context)] = torch.tensor(context, dtype=torch.int32)
    limbs = [choice.draw >> LIMB_BITS * i & 2**LIMB_BITS - 1 for i in range(LIMBS)]
    given = {f"weights/{name}": weights[name] for name in config.shapes()}
    return given | {
        "tokens": tokens,
        "length": torch.tensor([len(context)], dtype=torch.int32),
        "draw": torch.tensor(limbs, dtype=torch.int32),
        "factor": torch.tensor([choice.multiplier]),
    }


def _token(config: ModelConfig, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    last = inputs["length"].to(torch.int64) - 1
    logits = _logits(config, inputs, last)
    weights = _weights(logits, inputs["factor"])
    upto = torch.where(causal(config.vocab), weights, 0).sum(-1, dtype=torch.int64)
    below = _share(weights.sum(-1, dtype=torch.int64), inputs["draw"]) >= upto
    return {"token": torch.where(below, 1, 0).sum(-1, keepdim=True, dtype=torch.int64)}


def _logits(config: ModelConfig, inputs: dict[str, Tensor], last: Tensor) -> Tensor:
    """[vocabulary], after the place ``last`` int64 [1]."""
    engine = Reference()
    weights = {name: inputs[f"weights/{name}"] for name in config.shapes()}
    packed = pack(engine, weights)
    x = engine.embed(inputs["tokens"], weights["embed"], weights["position"])
    for i in range(config.layers):
        name = f"layer{i:03d}."
        qkv, _ = engine.linear(engine.rmsnorm(x)[0], packed[name + "attn_in"])
        a, _ = engine.linear(_attention(config, qkv), packed[name + "attn_out"])
        x = engine.add(x, a)
        h, _ = engine.linear(engine.rmsnorm(x)[0], packed[name + "mlp_in"])
        f, _ = engine.linear(engine.relu2(h), packed[name + "mlp_out"])
        x = engine.add(x, f)
    logits: Tensor = engine.linear(engine.rmsnorm(x[last])[0], packed["head"])[0]
    return logits.reshape(-1)


def _attention(config: ModelConfig, qkv: Tensor) -> Tensor:
    """[context, 3 d] → [context, d]; see ``consensus.inference.decoding``."""
    length, steps = config.seq_len, float(numbers.QMAX)
    q, k, v = qkv.view(length, 3, config.heads, config.head_width).permute(1, 2, 0, 3).unbind(0)
    (qi, qs), (ki, ks), (vi, vs) = (quantise(x, steps, -1) for x in (q, k, v))
    scores = fp64(qi, ki).to(torch.float32) * qs
    u = (scores * ks.transpose(-1, -2)) * attention_scale(config.head_width)
    p = _softmax(u, causal(length))
    weighted, by = quantise(p * vs.transpose(-1, -2), steps, -1)
    o = fp64(weighted, vi.transpose(-1, -2)).to(torch.float32) * by
    return o.permute(1, 0, 2).reshape(length, config.width)


def _softmax(u: Tensor, mask: Tensor) -> Tensor:
    visible = torch.where(mask, u, -torch.inf)
    e = torch.where(mask, exp2_neg(visible - visible.amax(-1, keepdim=True)), 0.0)
    grid = numbers.sum_grid(u.shape[-1])
    z = torch.round(e * grid).to(torch.int32).sum(-1, keepdim=True, dtype=torch.int64).to(torch.float32)
    return e * divide(1.0, divide(z, grid))


def _weights(logits: Tensor, factor: Tensor) -> Tensor:
    """int32 [vocabulary]; where the factor is 0, 1 for each of the largest."""
    allowed = _allowed(logits.shape[0])
    visible = torch.where(allowed, logits, -torch.inf)
    top = visible.amax(-1, keepdim=True)
    drawn = factor > 0.0
    u = visible * torch.where(drawn, factor, 1.0)  # 0 times -inf would be no number
    e = exp2_neg(u - u.amax(-1, keepdim=True))
    weights = torch.where(allowed, torch.round(e * 2.0**WEIGHT_BITS), 0.0)
    likeliest = torch.where(allowed, torch.where(visible >= top, 1.0, 0.0), 0.0)
    return torch.where(drawn, weights, likeliest).to(torch.int32)


def _allowed(vocab: int) -> Tensor:
    """[vocabulary], false for ids that no answer holds."""
    ids = torch.arange(vocab)
    allowed = ids >= 0
    held = [token not in NEVER for token in range(vocab)]
    for at in (at for at in range(1, vocab) if held[at] != held[at - 1]):
        allowed = torch.where(ids >= at, held[at], allowed)
    return allowed


def _share(total: Tensor, draw: Tensor) -> Tensor:
    """(draw * total) >> 64, limb by limb."""
    carry = torch.zeros((), dtype=torch.int64)
    for limb in range(LIMBS):
        product = draw[limb].to(torch.int64) * total + carry
        carry = torch.div(product, 2**LIMB_BITS, rounding_mode="floor")
    return carry
