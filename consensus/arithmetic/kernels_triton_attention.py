"""Causal attention and its gradient as fused GPU kernels; see ``kernels_triton`` for the arithmetic.

B sequences of T tokens, H heads of width dh; TP, DP: T and dh up to a power of two. Row planes of a head's token lie at
((b T + t) H + h) DP, column planes of a head's column at (b columns + column) ``pad``.

A program sees ``tp`` keys from the first on, or ``tp`` queries from its band's first on: what causality hides beyond them is
neither computed nor touched, and of p and ds only the lower triangle is ever written or read.
"""

import triton
import triton.language as tl

from consensus.arithmetic.kernels_triton import QMAX, _exp2, _planes, _quantised, _rates, _rounded, _sum, _three


@triton.jit
def _load3(at, plane, mask):  # type: ignore[no-untyped-def]
    p0 = tl.load(at, mask=mask, other=0)
    p1 = tl.load(at + plane, mask=mask, other=0)
    p2 = tl.load(at + 2 * plane, mask=mask, other=0)
    return p0, p1, p2


@triton.jit
def _head_rows(q, s, plane, b, h, i, length, heads, dp: tl.constexpr):  # type: ignore[no-untyped-def]
    """Planes [rows, dp] and scales of the head's tokens i."""
    row = (b * length + i).to(tl.int64) * heads + h
    live = i < length
    p0, p1, p2 = _load3(q + row[:, None] * dp + tl.arange(0, dp)[None, :], plane, live[:, None])
    return p0, p1, p2, tl.load(s + row, mask=live, other=0.0)


@triton.jit
def _head_rows_across(q, s, plane, b, h, j, length, heads, dp: tl.constexpr):  # type: ignore[no-untyped-def]
    """The same as planes [dp, rows]."""
    row = (b * length + j).to(tl.int64) * heads + h
    live = j < length
    p0, p1, p2 = _load3(q + row[None, :] * dp + tl.arange(0, dp)[:, None], plane, live[None, :])
    return p0, p1, p2, tl.load(s + row, mask=live, other=0.0)


@triton.jit
def _head_columns(q, s, plane, b, first, cols, dh, begin, pad, tp: tl.constexpr, dp: tl.constexpr):  # type: ignore[no-untyped-def]
    """Planes [tp, dp], places ``begin`` on, and scales of columns ``first`` on."""
    e = tl.arange(0, dp)
    column = b.to(tl.int64) * cols + first + e
    live = e < dh
    p0, p1, p2 = _load3(q + column[None, :] * pad + (begin + tl.arange(0, tp))[:, None], plane, live[None, :])
    return p0, p1, p2, tl.load(s + column, mask=live, other=0.0)


@triton.jit
def attention(
    qq, qs, kq, ks, vq, vs, p, o, rows_plane, cols_plane, length, heads, dh, begin, pad, scale,
    steps, bm: tl.constexpr, tp: tl.constexpr, dp: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Row planes of q (left) and k, column planes of v -> probabilities p [B, H, T, T], o [B T, H dh], for queries
    ``begin`` on, none of which sees more than ``tp`` keys; grid (row groups, B H)."""
    head = tl.program_id(1)
    b, h = head // heads, head % heads
    i = begin + tl.program_id(0) * bm + tl.arange(0, bm)
    j = tl.arange(0, tp)
    q0, q1, q2, sq = _head_rows(qq, qs, rows_plane, b, h, i, length, heads, dp)
    k0, k1, k2, sk = _head_rows_across(kq, ks, rows_plane, b, h, j, length, heads, dp)
    u = _three(q0, q1, q2, k0, k1, k2).to(tl.float32) * sq[:, None]
    u = u * sk[None, :]
    u = u * scale
    seen = (j[None, :] <= i[:, None]) & (j < length)[None, :]
    top = tl.max(tl.where(seen, u, -float("inf")), 1)
    e = tl.where(seen, _exp2(u - top[:, None]), 0.0)
    z = tl.sum(_rounded(e * steps).to(tl.int32), 1).to(tl.float32)
    z = tl.div_rn(z, tl.zeros_like(z) + steps)
    e = e * tl.div_rn(tl.zeros_like(z) + 1.0, z)[:, None]
    square = head.to(tl.int64) * length * length
    tl.store(p + square + i[:, None] * length + j[None, :], e, mask=seen & (i < length)[:, None])
    p0, p1, p2, sp = _quantised(e, True)
    v0, v1, v2, sv = _head_columns(vq, vs, cols_plane, b, h * dh, heads * dh, dh, 0, pad, tp, dp)
    u = _three(p0, p1, p2, v0, v1, v2).to(tl.float32) * sp[:, None]
    c = tl.arange(0, dp)
    to = o + (b * length + i).to(tl.int64)[:, None] * (heads * dh) + h * dh + c[None, :]
    tl.store(to, u * sv[None, :], mask=(i < length)[:, None] & (c < dh)[None, :])


@triton.jit
def attention_grad_rows(
    gq, gs, vq, vs, kq, ks, p, ds, dqkv, rows_plane, cols_plane, cols, length, heads, dh, begin, pad, scale,
    steps, bm: tl.constexpr, tp: tl.constexpr, dp: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Row planes of the gradient (left) and of v, column planes of q and k (``cols`` = 2 H dh of them) -> ds [B, H, T, T]
    and the part of q in dqkv [B T, 3 H dh]."""
    head = tl.program_id(1)
    b, h = head // heads, head % heads
    i = begin + tl.program_id(0) * bm + tl.arange(0, bm)
    j = tl.arange(0, tp)
    g0, g1, g2, sg = _head_rows(gq, gs, rows_plane, b, h, i, length, heads, dp)
    v0, v1, v2, sv = _head_rows_across(vq, vs, rows_plane, b, h, j, length, heads, dp)
    dpr = _three(g0, g1, g2, v0, v1, v2).to(tl.float32) * sg[:, None]
    dpr = dpr * sv[None, :]
    seen = (j[None, :] <= i[:, None]) & (i < length)[:, None]
    dpr = tl.where(seen, dpr, 0.0)
    at = head.to(tl.int64) * length * length + i[:, None] * length + j[None, :]
    pr = tl.load(p + at, mask=seen, other=0.0)
    dpr = (pr * (dpr - _sum(pr * dpr, steps)[:, None])) * scale
    dpr = tl.where(seen, dpr, 0.0)
    tl.store(ds + at, dpr, mask=seen)
    d0, d1, d2, sd = _quantised(dpr, True)
    k0, k1, k2, sk = _head_columns(kq, ks, cols_plane, b, (heads + h) * dh, cols, dh, 0, pad, tp, dp)
    dq = _three(d0, d1, d2, k0, k1, k2).to(tl.float32) * sd[:, None]
    c = tl.arange(0, dp)
    to = dqkv + (b * length + i).to(tl.int64)[:, None] * (3 * heads * dh) + h * dh + c[None, :]
    tl.store(to, dq * sk[None, :], mask=(i < length)[:, None] & (c < dh)[None, :])


@triton.jit
def _turned(x):  # type: ignore[no-untyped-def]
    """Columns of x [K, N] as planes [N, K] (left), and their scales."""
    rate, scale = _rates(tl.max(tl.abs(x), 0), QMAX)
    a, b, c = _planes(_rounded(x * rate[None, :]), True)
    return tl.trans(a), tl.trans(b), tl.trans(c), scale


@triton.jit
def attention_grad_columns(
    p, ds, gq, gs, qq, qs, dqkv, g_plane, q_plane, cols, length, heads, dh, begin, pad,
    bn: tl.constexpr, tp: tl.constexpr, dp: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Column planes of the gradient and of q and k -> the parts of k and v in dqkv, for keys ``begin`` on, seen by none
    but ``tp`` queries from there; grid (key groups, B H)."""
    head = tl.program_id(1)
    b, h = head // heads, head % heads
    j = begin + tl.program_id(0) * bn + tl.arange(0, bn)
    i = begin + tl.arange(0, tp)
    c = tl.arange(0, dp)
    at = head.to(tl.int64) * length * length + i[:, None] * length + j[None, :]
    seen = (j[None, :] <= i[:, None]) & (i < length)[:, None]
    to = dqkv + (b * length + j).to(tl.int64)[:, None] * (3 * heads * dh) + h * dh + c[None, :]
    mask = (j < length)[:, None] & (c < dh)[None, :]
    a0, a1, a2, sa = _turned(tl.load(p + at, mask=seen, other=0.0))
    g0, g1, g2, sg = _head_columns(gq, gs, g_plane, b, h * dh, heads * dh, dh, begin, pad, tp, dp)
    dv = _three(a0, a1, a2, g0, g1, g2).to(tl.float32) * sa[:, None]
    tl.store(to + 2 * heads * dh, dv * sg[None, :], mask=mask)
    a0, a1, a2, sa = _turned(tl.load(ds + at, mask=seen, other=0.0))
    q0, q1, q2, sq = _head_columns(qq, qs, q_plane, b, h * dh, cols, dh, begin, pad, tp, dp)
    dk = _three(a0, a1, a2, q0, q1, q2).to(tl.float32) * sa[:, None]
    tl.store(to + heads * dh, dk * sq[None, :], mask=mask)
