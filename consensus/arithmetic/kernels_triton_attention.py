"""Causal attention and its gradient as fused GPU kernels; see ``kernels_triton`` for the arithmetic.

B sequences of T tokens, H heads of width dh; TP, DP: T and dh up to a power of two. Row planes of a head's token lie at
((b T + t) H + h) DP, column planes of a head's column at (b columns + column) ``pad``.

What causality hides is left out: queries come in bands that see ``tp`` keys at most, keys begin with the first chunk of
queries that sees them, and of p and ds only the lower triangle is ever written or read.
"""

import triton
import triton.language as tl

from consensus.arithmetic.kernels_triton import (
    INVERSE_63,
    QMAX,
    _exp2,
    _planes,
    _quantised,
    _rates,
    _rounded,
    _sum,
    _three,
)


@triton.jit
def _load3(at, plane, mask):
    p0 = tl.load(at, mask=mask, other=0)
    p1 = tl.load(at + plane, mask=mask, other=0)
    p2 = tl.load(at + 2 * plane, mask=mask, other=0)
    return p0, p1, p2


@triton.jit
def _head_rows(q, s, plane, b, h, i, length, heads, dp: tl.constexpr):
    """Planes [rows, dp] and scales of the head's tokens i."""
    row = (b * length + i).to(tl.int64) * heads + h
    live = i < length
    p0, p1, p2 = _load3(q + row[:, None] * dp + tl.arange(0, dp)[None, :], plane, live[:, None])
    return p0, p1, p2, tl.load(s + row, mask=live, other=0.0)


@triton.jit
def _head_rows_across(q, s, plane, b, h, j, length, heads, dp: tl.constexpr):
    """The same as planes [dp, rows]."""
    row = (b * length + j).to(tl.int64) * heads + h
    live = j < length
    p0, p1, p2 = _load3(q + row[None, :] * dp + tl.arange(0, dp)[:, None], plane, live[None, :])
    return p0, p1, p2, tl.load(s + row, mask=live, other=0.0)


@triton.jit
def _head_columns(q, s, plane, b, first, cols, dh, begin, pad, tp: tl.constexpr, dp: tl.constexpr):
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
):  # fmt: skip
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
):  # fmt: skip
    """Row planes of the gradient (left) and of v, column planes of q and k (``cols`` = 2 H dh of them) -> ds [B, H, T,
    T] and the part of q in dqkv [B T, 3 H dh]."""
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
def _contracted(
    x, q, s, plane, b, first, cols, length, dh, pad, start, j,
    bn: tl.constexpr, chunk: tl.constexpr, dp: tl.constexpr,
):  # fmt: skip
    """Keys j of x [T, T] (lower triangle), quantised over all queries, times column planes -> fp32 [bn, dp]. The
    queries go by in chunks, once for the maxima and once for the sums."""
    top = tl.zeros((bn,), dtype=tl.float32)
    for at in range(start, length, chunk):
        i = at + tl.arange(0, chunk)
        seen = (j[None, :] <= i[:, None]) & (i < length)[:, None]
        v = tl.load(x + i[:, None] * length + j[None, :], mask=seen, other=0.0)
        top = tl.maximum(top, tl.max(tl.abs(v), 0))
    rate, scale = _rates(top, QMAX)
    acc0 = tl.zeros((bn, dp), dtype=tl.int32)
    acc1 = tl.zeros((bn, dp), dtype=tl.int32)
    acc2 = tl.zeros((bn, dp), dtype=tl.int32)
    right = tl.zeros((dp,), dtype=tl.float32)
    for at in range(start, length, chunk):
        i = at + tl.arange(0, chunk)
        seen = (j[None, :] <= i[:, None]) & (i < length)[:, None]
        v = tl.load(x + i[:, None] * length + j[None, :], mask=seen, other=0.0)
        a0, a1, a2 = _planes(_rounded(v * rate[None, :]), True)
        g0, g1, g2, right = _head_columns(q, s, plane, b, first, cols, dh, at, pad, chunk, dp)
        acc0 = tl.dot(tl.trans(a0), g0, acc0, out_dtype=tl.int32)
        acc1 = tl.dot(tl.trans(a1), g1, acc1, out_dtype=tl.int32)
        acc2 = tl.dot(tl.trans(a2), g2, acc2, out_dtype=tl.int32)
    acc0 = ((acc0 * INVERSE_63 + acc1) * 64 + acc2) * 63
    return (acc0.to(tl.float32) * scale[:, None]) * right[None, :]


@triton.jit
def attention_grad_columns(
    p, ds, gq, gs, qq, qs, dqkv, g_plane, q_plane, cols, length, heads, dh, pad,
    bn: tl.constexpr, chunk: tl.constexpr, dp: tl.constexpr,
):  # fmt: skip
    """Column planes of the gradient and of q and k -> the parts of k and v in dqkv; grid (key groups, B H)."""
    head = tl.program_id(1)
    b, h = head // heads, head % heads
    first = tl.program_id(0) * bn
    j = first + tl.arange(0, bn)
    start = first // chunk * chunk
    c = tl.arange(0, dp)
    square = head.to(tl.int64) * length * length
    to = dqkv + (b * length + j).to(tl.int64)[:, None] * (3 * heads * dh) + h * dh + c[None, :]
    mask = (j < length)[:, None] & (c < dh)[None, :]
    dv = _contracted(p + square, gq, gs, g_plane, b, h * dh, heads * dh, length, dh, pad, start, j, bn, chunk, dp)
    tl.store(to + 2 * heads * dh, dv, mask=mask)
    dk = _contracted(ds + square, qq, qs, q_plane, b, h * dh, cols, length, dh, pad, start, j, bn, chunk, dp)
    tl.store(to + heads * dh, dk, mask=mask)
