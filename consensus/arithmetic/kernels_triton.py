"""The exact ops as fused GPU kernels, in Triton: the reference's bits.

Single IEEE 754 operations in the reference's order (launched with ``enable_fp_fusion=False``; ``div_rn`` and
``sqrt_rn`` are the correctly rounded forms), maxima, and sums of integers. With ``TRITON_INTERPRET=1`` in the
environment before the first import, every kernel runs on the CPU.

A product's operand q, an integer of 12 bits, is kept as int8 planes of q = 64 h + l: (h + l, h, +-l). Three products
make one (Karatsuba & Ofman 1962) in one int32 accumulator: modulo 2^32, where 63 is odd and so has an inverse,
63 (64 ((h + l)(h' + l') / 63 + h h') - l l') = 4096 h h' + 64 (h l' + l h') + l l'.
"""

import triton
import triton.language as tl

from consensus.arithmetic import numbers

BLOCK = tl.constexpr(numbers.BLOCK)
QMAX = tl.constexpr(float(numbers.QMAX))
TINY = tl.constexpr(numbers.TINY)
LOG2E = tl.constexpr(numbers.LOG2E)
LN2 = tl.constexpr(numbers.LN2)
LOSS_MAX = tl.constexpr(numbers.LOSS_MAX)
INVERSE_63 = tl.constexpr(-1090785345)
HALF_EVEN = tl.constexpr(12582912.0)
"""1.5 * 2^23: adding it and taking it away rounds half to even for magnitudes up to 2^22."""
WHOLE = tl.constexpr(8388608.0)
E0, E1, E2, E3, E4, E5, E6 = (tl.constexpr(c) for c in numbers.EXP2_POLYNOMIAL)
L0, L1, L2, L3 = (tl.constexpr(c) for c in numbers.LOG2_POLYNOMIAL)


@triton.jit
def _rounded(x):
    return ((x + HALF_EVEN) - HALF_EVEN).to(tl.int32)


@triton.jit
def _rates(top, steps):
    """Multiplier to integers and scale back, of slices with these maxima."""
    live = top >= TINY
    safe = tl.where(live, top, 1.0)
    wide = tl.zeros_like(safe) + steps
    return tl.where(live, tl.div_rn(wide, safe), 0.0), tl.where(live, tl.div_rn(safe, wide), 0.0)


@triton.jit
def _sum(x, steps):
    """Exact sum of each row of x [R, C], on the grid of ``steps``."""
    rate, scale = _rates(tl.max(tl.abs(x), 1), steps)
    return tl.sum(_rounded(x * rate[:, None]).to(tl.int32), 1).to(tl.float32) * scale


@triton.jit
def _exp2(x):
    """2**x for x <= 0, clamped at -126."""
    x = tl.where(x > -126.0, x, -126.0)
    n = (x + HALF_EVEN) - HALF_EVEN
    f = x - n
    p = E0 * f
    p = (p + E1) * f
    p = (p + E2) * f
    p = (p + E3) * f
    p = (p + E4) * f
    p = (p + E5) * f
    p = p + E6
    return p * ((n.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _log2(x):
    """log2 of positive normal numbers."""
    bits = x.to(tl.int32, bitcast=True)
    e = (bits - 0x3F400000) >> 23
    m = (bits - (e << 23)).to(tl.float32, bitcast=True)
    t = tl.div_rn(m - 1.0, m + 1.0)
    u = t * t
    p = L0 * u
    p = (p + L1) * u
    p = (p + L2) * u
    p = (p + L3) * t
    return e.to(tl.float32) + p


@triton.jit
def _planes(q, left: tl.constexpr):
    high = (q + 32) >> 6
    low = q - (high << 6)
    last = -low if left else low
    return (high + low).to(tl.int8), high.to(tl.int8), last.to(tl.int8)


@triton.jit
def _quantised(x, left: tl.constexpr):
    """Rows of x [R, C] as planes, and their scales."""
    rate, scale = _rates(tl.max(tl.abs(x), 1), QMAX)
    a, b, c = _planes(_rounded(x * rate[:, None]), left)
    return a, b, c, scale


@triton.jit
def _three(a0, a1, a2, b0, b1, b2):
    """Planes [M, K] (left) times planes [K, N] -> int32 [M, N]."""
    acc = tl.dot(a0, b0, out_dtype=tl.int32) * INVERSE_63
    acc = tl.dot(a1, b1, acc, out_dtype=tl.int32) * 64
    return tl.dot(a2, b2, acc, out_dtype=tl.int32) * 63


@triton.jit
def quantise_rows(
    x, q, s, rows, k, heads, ldx, kp, plane, act: tl.constexpr, left: tl.constexpr, br: tl.constexpr, bk: tl.constexpr
):
    """x, row r at (r // heads) ldx + (r % heads) k -> planes [3, rows, kp], scales [blocks, rows]; grid (row groups,
    blocks)."""
    r = tl.program_id(0) * br + tl.arange(0, br)
    b = tl.program_id(1)
    at = b * BLOCK + tl.arange(0, bk)
    live = r < rows
    start = (r // heads).to(tl.int64) * ldx + (r % heads) * k
    v = tl.load(x + start[:, None] + at[None, :], mask=live[:, None] & (at < k)[None, :], other=0.0)
    if act:
        v = tl.where(v > 0.0, v, 0.0)
        v = v * v
    p0, p1, p2, scale = _quantised(v, left)
    out = q + r.to(tl.int64)[:, None] * kp + at[None, :]
    mask = live[:, None] & (at < kp)[None, :]
    tl.store(out, p0, mask=mask)
    tl.store(out + plane, p1, mask=mask)
    tl.store(out + 2 * plane, p2, mask=mask)
    tl.store(s + b * rows + r, scale, mask=live)


@triton.jit
def quantise_columns(
    x, q, s, rows, cols, ldx, span, step, lead, plane, pad,
    act: tl.constexpr, left: tl.constexpr, bc: tl.constexpr, br: tl.constexpr,
):  # fmt: skip
    """Columns of x [rows, cols] contracted over ``span`` rows at a time -> column c of block b at c lead + b step in
    each plane, scales [blocks, cols]; places up to ``pad`` in a block are zero; grid (column groups, blocks)."""
    c = tl.program_id(0) * bc + tl.arange(0, bc)
    b = tl.program_id(1)
    r = tl.arange(0, br)
    at = b * span + r
    inside = ((r < span) & (at < rows))[:, None] & (c < cols)[None, :]
    v = tl.load(x + at.to(tl.int64)[:, None] * ldx + c[None, :], mask=inside, other=0.0)
    if act:
        v = tl.where(v > 0.0, v, 0.0)
        v = v * v
    rate, scale = _rates(tl.max(tl.abs(v), 0), QMAX)
    p0, p1, p2 = _planes(_rounded(v * rate[None, :]), left)
    out = q + (c.to(tl.int64) * lead + b.to(tl.int64) * step)[:, None] + r[None, :]
    mask = (c < cols)[:, None] & (r < pad)[None, :]
    tl.store(out, tl.trans(p0), mask=mask)
    tl.store(out + plane, tl.trans(p1), mask=mask)
    tl.store(out + 2 * plane, tl.trans(p2), mask=mask)
    tl.store(s + b * cols + c, scale, mask=c < cols)


@triton.jit
def product(
    aq, sa, bq, sb, out, m, n, kp, plane_a, plane_b, blocks,
    ks: tl.constexpr, more: tl.constexpr, bm: tl.constexpr, bn: tl.constexpr, bk: tl.constexpr, group: tl.constexpr,
):  # fmt: skip
    """out [m, n] (+)= A . B^T; each block of ``ks`` steps of ``bk`` places is scaled and added in order. Grid (tiles,
    1), or (tiles, blocks) with ``blocks`` 1 for out [blocks, m, n], the blocks' own products."""
    pid = tl.program_id(0)
    own = tl.program_id(1)
    across, down = tl.cdiv(n, bn), tl.cdiv(m, bm)
    first = pid // (group * across) * group
    tall = min(down - first, group)
    rm = (first + (pid % (group * across)) % tall) * bm + tl.arange(0, bm)
    rn = (pid % (group * across)) // tall * bn + tl.arange(0, bn)
    am, an = rm % m, rn % n
    a_at = aq + am.to(tl.int64)[:, None] * kp + tl.arange(0, bk)[None, :]
    b_at = bq + an.to(tl.int64)[None, :] * kp + tl.arange(0, bk)[:, None]
    to = out + (own * m + rm).to(tl.int64)[:, None] * n + rn[None, :]
    inside = (rm < m)[:, None] & (rn < n)[None, :]
    acc = tl.zeros((bm, bn), dtype=tl.int32)
    total = tl.zeros((bm, bn), dtype=tl.float32)
    if more:
        total = tl.load(to, mask=inside, other=0.0)
    for t in range(0, blocks * 3 * ks):
        b = own + t // (3 * ks)
        part = (t // ks) % 3
        k = t % ks
        at = (b * ks + k) * bk
        left = tl.load(a_at + (part * plane_a + at))
        right = tl.load(b_at + (part * plane_b + at))
        acc = tl.dot(left, right, acc, out_dtype=tl.int32)
        if k == ks - 1:
            acc = acc * tl.where(part == 0, INVERSE_63, tl.where(part == 1, 64, 63))
            if part == 2:
                scaled = acc.to(tl.float32) * tl.load(sa + b * m + am)[:, None]
                scaled = scaled * tl.load(sb + b * n + an)[None, :]
                if more:
                    total = total + scaled
                else:
                    total = tl.where(b == own, scaled, total + scaled)
                acc = tl.zeros((bm, bn), dtype=tl.int32)
    tl.store(to, total, mask=inside)


@triton.jit
def join(parts, out, blocks, n, more: tl.constexpr, size: tl.constexpr):
    """out [n] (+)= parts [blocks, n], added in order."""
    at = tl.program_id(0) * size + tl.arange(0, size)
    live = at < n
    total = tl.load(parts + at, mask=live, other=0.0)
    if more:
        total = tl.load(out + at, mask=live, other=0.0) + total
    for b in range(1, blocks):
        total = total + tl.load(parts + b * n + at, mask=live, other=0.0)
    tl.store(out + at, total, mask=live)


@triton.jit
def _emit(v, q, s, r, rows, d, kp, plane, br: tl.constexpr, nb: tl.constexpr, kb: tl.constexpr):
    """Row planes (left) of v [br, nb kb], of rows r, each block of kb by itself."""
    v = tl.reshape(v, (br, nb, kb))
    rate, scale = _rates(tl.max(tl.abs(v), 2), QMAX)
    p0, p1, p2 = _planes(_rounded(v * rate[:, :, None]), True)
    b = tl.arange(0, nb)
    at = b[:, None] * kb + tl.arange(0, kb)[None, :]
    out = q + r.to(tl.int64)[:, None, None] * kp + at[None, :, :]
    mask = (r < rows)[:, None, None] & (at < kp)[None, :, :]
    tl.store(out, p0, mask=mask)
    tl.store(out + plane, p1, mask=mask)
    tl.store(out + 2 * plane, p2, mask=mask)
    tl.store(s + b[None, :] * rows + r[:, None], scale, mask=(r < rows)[:, None] & (b * kb < d)[None, :])


@triton.jit
def rmsnorm(
    x, y, rinv, q, s, rows, d, kp, plane, inverse, eps,
    steps, br: tl.constexpr, nb: tl.constexpr, kb: tl.constexpr,
):  # fmt: skip
    """x [rows, d] -> y, 1 / root of the mean square [rows], and y's row planes."""
    r = tl.program_id(0) * br + tl.arange(0, br)
    c = tl.arange(0, nb * kb)
    at = r.to(tl.int64)[:, None] * d + c[None, :]
    inside = (r < rows)[:, None] & (c < d)[None, :]
    v = tl.load(x + at, mask=inside, other=0.0)
    mean = _sum(v * v, steps) * inverse
    root = tl.sqrt_rn(mean + eps)
    ri = tl.div_rn(tl.zeros_like(root) + 1.0, root)
    v = v * ri[:, None]
    tl.store(y + at, v, mask=inside)
    tl.store(rinv + r, ri, mask=r < rows)
    _emit(v, q, s, r, rows, d, kp, plane, br, nb, kb)


@triton.jit
def rmsnorm_grad(
    dy, y, rinv, into, dx, q, s, rows, d, kp, plane, inverse,
    steps, more: tl.constexpr, br: tl.constexpr, nb: tl.constexpr, kb: tl.constexpr,
):  # fmt: skip
    """dx = (into +) r (dy - y mean(dy y)), and its row planes."""
    r = tl.program_id(0) * br + tl.arange(0, br)
    c = tl.arange(0, nb * kb)
    at = r.to(tl.int64)[:, None] * d + c[None, :]
    inside = (r < rows)[:, None] & (c < d)[None, :]
    g = tl.load(dy + at, mask=inside, other=0.0)
    v = tl.load(y + at, mask=inside, other=0.0)
    mean = _sum(g * v, steps) * inverse
    ri = tl.load(rinv + r, mask=r < rows, other=0.0)
    g = ri[:, None] * (g - v * mean[:, None])
    if more:
        g = tl.load(into + at, mask=inside, other=0.0) + g
    tl.store(dx + at, g, mask=inside)
    _emit(g, q, s, r, rows, d, kp, plane, br, nb, kb)


@triton.jit
def relu2(h, y, n, size: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    v = tl.load(h + at, mask=at < n, other=0.0)
    v = tl.where(v > 0.0, v, 0.0)
    tl.store(y + at, v * v, mask=at < n)


@triton.jit
def relu2_grad(dy, h, dh, q, s, rows, d, kp, plane, br: tl.constexpr, bk: tl.constexpr):
    """dy (2 max(h, 0)) [rows, d], and its row planes; grid (row groups, blocks)."""
    r = tl.program_id(0) * br + tl.arange(0, br)
    b = tl.program_id(1)
    c = b * BLOCK + tl.arange(0, bk)
    at = r.to(tl.int64)[:, None] * d + c[None, :]
    inside = (r < rows)[:, None] & (c < d)[None, :]
    a = tl.load(h + at, mask=inside, other=0.0)
    a = tl.where(a > 0.0, a, 0.0)
    g = tl.load(dy + at, mask=inside, other=0.0) * (a + a)
    tl.store(dh + at, g, mask=inside)
    p0, p1, p2, scale = _quantised(g, True)
    out = q + r.to(tl.int64)[:, None] * kp + c[None, :]
    mask = (r < rows)[:, None] & (c < kp)[None, :]
    tl.store(out, p0, mask=mask)
    tl.store(out + plane, p1, mask=mask)
    tl.store(out + 2 * plane, p2, mask=mask)
    tl.store(s + b * rows + r, scale, mask=r < rows)


@triton.jit
def embed_grad_parts(tokens, dx, work, s, rows, length, vocab, d, steps, bc: tl.constexpr, br: tl.constexpr):
    """Integer sums of dx [rows, d] by token and by place, a block of 512 rows at a time: work [blocks, vocab + length,
    d] (zeros before), scales [blocks, d]; grid (column groups, blocks)."""
    c = tl.program_id(0) * bc + tl.arange(0, bc)
    b = tl.program_id(1)
    r = b * BLOCK + tl.arange(0, br)
    live = (tl.arange(0, br) < BLOCK) & (r < rows)
    inside = live[:, None] & (c < d)[None, :]
    v = tl.load(dx + r.to(tl.int64)[:, None] * d + c[None, :], mask=inside, other=0.0)
    rate, scale = _rates(tl.max(tl.abs(v), 0), steps)
    q = _rounded(v * rate[None, :])
    token = tl.load(tokens + r, mask=live, other=0)
    to = work + b.to(tl.int64) * (vocab + length) * d
    tl.atomic_add(to + token.to(tl.int64)[:, None] * d + c[None, :], q, mask=inside, sem="relaxed")
    tl.atomic_add(to + (vocab + r % length).to(tl.int64)[:, None] * d + c[None, :], q, mask=inside, sem="relaxed")
    tl.store(s + b * d + c, scale, mask=c < d)


@triton.jit
def embed_grad_join(work, s, out, blocks, first, count, all_rows, d, more: tl.constexpr, size: tl.constexpr):
    """out [count, d] (+)= the blocks' sums, rows ``first`` on, scaled and added in order."""
    at = tl.program_id(0) * size + tl.arange(0, size)
    live = at < count * d
    total = tl.zeros((size,), dtype=tl.float32)
    if more:
        total = tl.load(out + at, mask=live, other=0.0)
    for b in range(0, blocks):
        held = tl.load(work + (b * all_rows + first) * d + at, mask=live, other=0)
        part = held.to(tl.float32) * tl.load(s + b * d + at % d, mask=live, other=0.0)
        if more:
            total = total + part
        else:
            total = tl.where(b == 0, part, total + part)
    tl.store(out + at, total, mask=live)


@triton.jit
def token_losses(logits, targets, out, loss, rows, vocab, scale, steps, br: tl.constexpr, size: tl.constexpr):
    """Logits [rows, vocab] -> their gradient times ``scale``, and round(loss 2^16) in nats (int64) of each row."""
    r = tl.program_id(0) * br + tl.arange(0, br)
    here = r < rows
    c = tl.arange(0, size)
    live = (c < vocab)[None, :] & here[:, None]
    target = tl.load(targets + r, mask=here, other=0)
    start = r.to(tl.int64) * vocab
    at = start[:, None] + c[None, :]
    u = tl.load(logits + at, mask=live, other=0.0) * LOG2E
    chosen = tl.load(logits + start + target, mask=here, other=0.0) * LOG2E
    top = tl.max(tl.where((c < vocab)[None, :], u, -float("inf")), 1)
    e = tl.where(live, _exp2(u - top[:, None]), 0.0)
    z = tl.sum(_rounded(e * steps).to(tl.int32), 1).to(tl.float32)
    z = tl.where(here, tl.div_rn(z, tl.zeros_like(z) + steps), 1.0)
    p = e * tl.div_rn(tl.zeros_like(z) + 1.0, z)[:, None]
    nats = (_log2(z) + (top - chosen)) * LN2
    nats = tl.where(nats < LOSS_MAX, nats, LOSS_MAX) * 65536.0
    nats = tl.where(nats < WHOLE, (nats + WHOLE) - WHOLE, nats)
    tl.store(loss + r, nats.to(tl.int64), mask=here)
    p = tl.where(c[None, :] == target[:, None], p - 1.0, p)
    tl.store(out + at, p * scale, mask=live)


@triton.jit
def adamw(w, m, v, g, constants, finite, n, size: tl.constexpr):
    """One AdamW step of n weights; ``finite`` becomes 0 when one no longer is. Nine constants, in their order."""
    at = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    live = at < n
    beta1, rest1 = tl.load(constants), tl.load(constants + 1)
    beta2, rest2 = tl.load(constants + 2), tl.load(constants + 3)
    correct1, correct2 = tl.load(constants + 4), tl.load(constants + 5)
    eps, lr, decay = tl.load(constants + 6), tl.load(constants + 7), tl.load(constants + 8)
    gi = tl.load(g + at, mask=live, other=0.0)
    mi = tl.load(m + at, mask=live, other=0.0) * beta1 + gi * rest1
    vi = tl.load(v + at, mask=live, other=0.0) * beta2 + (gi * gi) * rest2
    u = tl.div_rn(mi * correct1, tl.sqrt_rn(vi * correct2) + eps)
    wi = tl.load(w + at, mask=live, other=0.0) * decay - u * lr
    tl.store(m + at, mi, mask=live)
    tl.store(v + at, vi, mask=live)
    tl.store(w + at, wi, mask=live)
    good = ((wi.to(tl.int32, bitcast=True) & 0x7FFFFFFF) < 0x7F800000) | (at >= n)
    tl.atomic_min(finite, tl.min(good.to(tl.int32), 0), sem="relaxed")
