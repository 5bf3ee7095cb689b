"""The exact ops in single PyTorch operations: the definition that every other engine must match bit for bit.

Only IEEE basics one at a time, maxima, integer sums and integer products appear here, so ``make_fx`` can hand over a
step as a flat graph of ops that a contract can judge one scalar at a time.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from consensus.arithmetic import numbers
from consensus.arithmetic.engine import AdamWConstants, Count, Truth
from consensus.arithmetic.products import Product, fp64

RMS_EPS = numbers.round32(1e-5)


def divide(a: Tensor | float, b: Tensor | float) -> Tensor:
    """a / b as one IEEE division. Python scalars are spread to tensors first: PyTorch turns ``scalar / tensor`` into a
    reciprocal and a product, and on CUDA also ``tensor / scalar``."""
    if not isinstance(a, Tensor):
        if not isinstance(b, Tensor):
            raise TypeError("one side must be a tensor")
        a = torch.full_like(b, a)
    if not isinstance(b, Tensor):
        b = torch.full_like(a, b)
    return torch.div(a, b)


def square_root(x: Tensor) -> Tensor:
    """The correctly rounded fp32 square root.

    ``torch.sqrt`` on fp32 goes through a vector math library that is off by one unit in the last place for a tenth of
    all arguments; its fp64 result lies close enough to round to the right fp32 number.
    """
    return torch.sqrt(x.to(torch.float64)).to(torch.float32)


def quantise(x: Tensor, steps: float, dim: int) -> tuple[Tensor, Tensor]:
    """x -> (integers of magnitude <= steps held in fp32, scale), one scale a slice along ``dim``."""
    top = x.abs().amax(dim, keepdim=True)
    live = top >= numbers.TINY
    rate = torch.where(live, divide(steps, top), 0.0)
    scale = torch.where(live, divide(top, steps), 0.0)
    return torch.round(x * rate), scale


def exact_sum(x: Tensor, dim: int) -> Tensor:
    """Sum along ``dim`` (kept) through integers on a grid of the slice's maximum."""
    q, scale = quantise(x, numbers.sum_grid(x.shape[dim]), dim)
    return q.to(torch.int32).sum(dim, keepdim=True, dtype=torch.int64).to(torch.float32) * scale


def exp2_neg(x: Tensor) -> Tensor:
    """2**x for x <= 0, clamped at -126."""
    x = torch.where(x > -126.0, x, -126.0)
    n = torch.round(x)
    f = x - n
    p = torch.full_like(f, numbers.EXP2_POLYNOMIAL[0])
    for c in numbers.EXP2_POLYNOMIAL[1:]:
        p = p * f
        p = p + c
    return p * ((n.to(torch.int32) + 127) << 23).view(torch.float32)


def log2_pos(x: Tensor) -> Tensor:
    """log2 of positive normal numbers."""
    bits = x.view(torch.int32)
    e = (bits - 0x3F400000) >> 23
    m = (bits - (e << 23)).view(torch.float32)
    t = divide(m - 1.0, m + 1.0)
    u = t * t
    p = torch.full_like(u, numbers.LOG2_POLYNOMIAL[0])
    for c in numbers.LOG2_POLYNOMIAL[1:]:
        p = p * u
        p = p + c
    p = p * t
    return e.to(torch.float32) + p


def softmax2(u: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Base-2 softmax of the last dimension -> (probabilities, maximum, sum)."""
    visible = u if mask is None else torch.where(mask, u, -torch.inf)
    top = visible.amax(-1, keepdim=True)
    e = exp2_neg(u - top)
    if mask is not None:
        e = torch.where(mask, e, 0.0)
    grid = numbers.sum_grid(u.shape[-1])
    z = torch.round(e * grid).to(torch.int32).sum(-1, keepdim=True, dtype=torch.int64).to(torch.float32)
    z = divide(z, grid)
    return e * divide(1.0, z), top, z


@dataclass(frozen=True, slots=True)
class _Attention:
    q: Tensor
    k: Tensor
    v: Tensor
    p: Tensor


class Reference:
    """Engine over PyTorch tensors; ``product`` is one of ``consensus.arithmetic.products``."""

    def __init__(self, product: Product = fp64, name: str = "torch-fp64", device: torch.device | None = None) -> None:
        self.name, self.device = name, device or torch.device("cpu")
        self._product = product

    def begin(self) -> None:
        """Nothing is reused between micro-batches."""

    def lane(self) -> "Reference":
        """Itself: nothing is shared between micro-batches."""
        return self

    def held_bytes(self) -> int:
        return 0

    def room(self) -> int:
        return 0

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """a [..., M, K], b [..., N, K] -> a . b^T: blocks of 512 quantised, multiplied as integers, added in order."""
        total: Tensor | None = None
        for at in range(0, a.shape[-1], numbers.BLOCK):
            qa, sa = quantise(a[..., at : at + numbers.BLOCK], float(numbers.QMAX), -1)
            qb, sb = quantise(b[..., at : at + numbers.BLOCK], float(numbers.QMAX), -1)
            part = self._product(qa, qb).to(torch.float32) * sa
            part = part * sb.transpose(-1, -2)
            total = part if total is None else total + part
        if total is None:
            raise ValueError("a product needs at least one term")
        return total

    def pack_weight(self, name: str, w: Tensor) -> Tensor:
        return w

    def linear(self, x: Tensor, w: Any) -> tuple[Tensor, Any]:
        return self.matmul(x, w), x

    def linear_grad(self, dy: Tensor, saved: Any, w: Any, dw: Tensor, accumulate: bool) -> Tensor:
        part = self.matmul(dy.t(), saved.t())
        dw.copy_(dw + part if accumulate else part)
        return self.matmul(dy, w.t())

    def rmsnorm(self, x: Tensor) -> tuple[Tensor, Any]:
        mean = exact_sum(x * x, -1) * numbers.round32(1.0 / x.shape[-1])
        r = divide(1.0, square_root(mean + RMS_EPS))
        y = x * r
        return y, (y, r)

    def rmsnorm_grad(self, dy: Tensor, saved: Any, into: Tensor | None) -> Tensor:
        y, r = saved
        mean = exact_sum(dy * y, -1) * numbers.round32(1.0 / y.shape[-1])
        dx: Tensor = r * (dy - y * mean)
        return dx if into is None else into + dx

    def relu2(self, h: Tensor) -> Tensor:
        a = torch.where(h > 0.0, h, 0.0)
        return a * a

    def relu2_grad(self, dy: Tensor, h: Tensor) -> Tensor:
        a = torch.where(h > 0.0, h, 0.0)
        return dy * (a + a)

    def attention(self, qkv: Tensor, sequences: int, heads: int) -> tuple[Tensor, Any]:
        length, dh = qkv.shape[0] // sequences, qkv.shape[1] // 3 // heads
        q, k, v = qkv.view(sequences, length, 3, heads, dh).permute(2, 0, 3, 1, 4).unbind(0)
        scores = self.matmul(q, k) * attention_scale(dh)
        p, _, _ = softmax2(scores, causal(length, self.device))
        o = self.matmul(p, v.transpose(-1, -2))
        return o.permute(0, 2, 1, 3).reshape(sequences * length, heads * dh), _Attention(q, k, v, p)

    def attention_grad(self, dout: Tensor, saved: Any) -> Tensor:
        q, k, v, p = saved.q, saved.k, saved.v, saved.p
        sequences, heads, length, dh = q.shape
        do = dout.view(sequences, length, heads, dh).permute(0, 2, 1, 3)
        dp = torch.where(causal(length, self.device), self.matmul(do, v), 0.0)
        dv = self.matmul(p.transpose(-1, -2), do.transpose(-1, -2))
        ds = (p * (dp - exact_sum(p * dp, -1))) * root_scale(dh)
        ds = torch.where(causal(length, self.device), ds, 0.0)
        dq = self.matmul(ds, k.transpose(-1, -2))
        dk = self.matmul(ds.transpose(-1, -2), q.transpose(-1, -2))
        joined = torch.stack([dq, dk, dv], 0).permute(1, 3, 0, 2, 4)
        return joined.reshape(sequences * length, 3 * heads * dh)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def embed(self, tokens: Tensor, table: Tensor, position: Tensor) -> Tensor:
        rows = table[tokens.reshape(-1).to(torch.int64)]
        return (rows.view(*tokens.shape, -1) + position).reshape(tokens.numel(), -1)

    def embed_grad(self, tokens: Tensor, dx: Tensor, dtable: Tensor, dposition: Tensor, accumulate: bool) -> None:
        q, scale = quantise(dx, numbers.sum_grid(dx.shape[0]), 0)
        integers = q.to(torch.int32)
        index = tokens.reshape(-1).to(torch.int64)
        by_token = torch.zeros(dtable.shape, dtype=torch.int32, device=dx.device).index_add_(0, index, integers)
        by_place = integers.view(*tokens.shape, -1).sum(0, dtype=torch.int64)
        for out, summed in ((dtable, by_token), (dposition, by_place)):
            part = summed.to(torch.float32) * scale
            out.copy_(out + part if accumulate else part)

    def cross_entropy(self, logits: Tensor, targets: Tensor, scale: float) -> tuple[Tensor, Count]:
        gradient, total = self.cross_entropy_sum(logits, targets, scale)
        return gradient, int(total) if self.device.type == "cpu" else total

    def cross_entropy_sum(self, logits: Tensor, targets: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """As ``cross_entropy``, the sum still a tensor (int64, no dimensions), so that a graph can hold it."""
        u = logits * numbers.LOG2E
        index = targets.reshape(-1, 1).to(torch.int64)
        p, top, z = softmax2(u, None)
        at_target = u.gather(1, index)
        loss = (log2_pos(z) + (top - at_target)) * numbers.LN2
        loss = torch.where(loss < numbers.LOSS_MAX, loss, numbers.LOSS_MAX)
        total = torch.round(loss * 65536.0).to(torch.int64).sum()
        p = p.scatter(1, index, p.gather(1, index) - 1.0)
        return p * scale, total

    def adamw(self, w: Tensor, m: Tensor, v: Tensor, g: Tensor, c: AdamWConstants) -> Truth:
        self.adamw_update(w, m, v, g, c)
        finite = torch.isfinite(w).all()
        return bool(finite) if self.device.type == "cpu" else finite

    def adamw_update(self, w: Tensor, m: Tensor, v: Tensor, g: Tensor, c: AdamWConstants) -> None:
        """As ``adamw``, without a look at the result."""
        m.copy_(m * c.beta1 + g * c.one_minus_beta1)
        v.copy_(v * c.beta2 + (g * g) * c.one_minus_beta2)
        update = divide(m * c.correct1, square_root(v * c.correct2) + c.eps)
        w.copy_(w * c.decay - update * c.lr)


def causal(length: int, device: torch.device | None = None) -> Tensor:
    """[T, T], true where the key is not later than the query."""
    at = torch.arange(length, device=device)
    return at[:, None] >= at[None, :]


def root_scale(head_width: int) -> float:
    """1 / sqrt(head width) in fp32; the square root is IEEE, so it is the same everywhere."""
    return numbers.round32(1.0 / math.sqrt(head_width))


def attention_scale(head_width: int) -> float:
    """log2(e) / sqrt(head width): scores for a base-2 softmax."""
    return numbers.round32(root_scale(head_width) * numbers.LOG2E)
