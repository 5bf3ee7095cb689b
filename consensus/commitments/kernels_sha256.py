"""SHA-256 (FIPS 180-4) over many leaves and nodes of RFC 9162 trees at once, one a lane, as GPU kernels in Triton.

Hashes are rows of eight words in the processor's order. Integers only: nothing here can round.
"""

import triton
import triton.language as tl


@triton.jit
def _turn(x, n: tl.constexpr):
    return (x >> n) | (x << (32 - n))


@triton.jit
def _swapped(x):
    return (x << 24) | ((x & 0xFF00) << 8) | ((x >> 8) & 0xFF00) | (x >> 24)


@triton.jit
def _word(at, k, mask):
    return tl.load(at + k, mask=mask, other=0).to(tl.uint32)


@triton.jit
def _compress(
    s0, s1, s2, s3, s4, s5, s6, s7, w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15, constants
):
    """One block. After 16 rounds the words have turned to where they were, so that a loop of four needs no moves; each
    round makes the word that is due 16 rounds later."""
    a, b, c, d, e, f, g, h = s0, s1, s2, s3, s4, s5, s6, s7
    for sixteen in range(0, 4):
        for i in tl.static_range(16):
            t = h + (_turn(e, 6) ^ _turn(e, 11) ^ _turn(e, 25)) + (g ^ (e & (f ^ g))) + w0
            t = t + tl.load(constants + (sixteen * 16 + i)).to(tl.uint32)
            u = (_turn(a, 2) ^ _turn(a, 13) ^ _turn(a, 22)) + ((a & b) | (c & (a | b)))
            h, g, f, e, d, c, b, a = g, f, e, d + t, c, b, a, t + u
            low = _turn(w1, 7) ^ _turn(w1, 18) ^ (w1 >> 3)
            newest = w0 + low + w9 + (_turn(w14, 17) ^ _turn(w14, 19) ^ (w14 >> 10))
            w0, w1, w2, w3, w4, w5, w6, w7 = w1, w2, w3, w4, w5, w6, w7, w8
            w8, w9, w10, w11, w12, w13, w14, w15 = w9, w10, w11, w12, w13, w14, w15, newest
    return s0 + a, s1 + b, s2 + c, s3 + d, s4 + e, s5 + f, s6 + g, s7 + h


@triton.jit
def _initial(at):
    z = (at * 0).to(tl.uint32)
    return (
        z + 0x6A09E667, z + 0xBB67AE85, z + 0x3C6EF372, z + 0xA54FF53A,
        z + 0x510E527F, z + 0x9B05688C, z + 0x1F83D9AB, z + 0x5BE0CD19,
    )  # fmt: skip


@triton.jit
def _keep(out, at, mask, s0, s1, s2, s3, s4, s5, s6, s7):
    to = out + at * 8
    tl.store(to, s0.to(tl.int32), mask=mask)
    tl.store(to + 1, s1.to(tl.int32), mask=mask)
    tl.store(to + 2, s2.to(tl.int32), mask=mask)
    tl.store(to + 3, s3.to(tl.int32), mask=mask)
    tl.store(to + 4, s4.to(tl.int32), mask=mask)
    tl.store(to + 5, s5.to(tl.int32), mask=mask)
    tl.store(to + 6, s6.to(tl.int32), mask=mask)
    tl.store(to + 7, s7.to(tl.int32), mask=mask)


@triton.jit
def _shifted(words, size, blocks, j, carried, live):
    """Word j of 0x00, then the leaf's bytes, then the padding of SHA-256; and the leaf's own word j."""
    count = size // 4
    d = _swapped(_word(words, j, live & (j < count)))
    word = (carried << 24) | (d >> 8)
    word = word | tl.where(j == count, 0x800000, 0).to(tl.uint32)
    return word | tl.where(j == blocks * 16 - 1, (size + 1) * 8, 0).to(tl.uint32), d


@triton.jit
def leaves(address, sizes, out, constants, count, most, lanes: tl.constexpr):
    """Leaf hashes of ``count`` pieces of memory of ``sizes`` bytes (whole words), at most ``most`` blocks each, at
    ``address`` (int64) -> out [count, 8]."""
    at = tl.program_id(0) * lanes + tl.arange(0, lanes)
    live = at < count
    words = tl.load(address + at, mask=live, other=0).to(tl.pointer_type(tl.int32))
    size = tl.load(sizes + at, mask=live, other=0)
    blocks = (size + 73) // 64
    s0, s1, s2, s3, s4, s5, s6, s7 = _initial(at)
    carried = (at * 0).to(tl.uint32)
    for b in range(0, most):
        j = b * 16
        w0, carried = _shifted(words, size, blocks, at * 0 + j, carried, live)
        w1, carried = _shifted(words, size, blocks, at * 0 + j + 1, carried, live)
        w2, carried = _shifted(words, size, blocks, at * 0 + j + 2, carried, live)
        w3, carried = _shifted(words, size, blocks, at * 0 + j + 3, carried, live)
        w4, carried = _shifted(words, size, blocks, at * 0 + j + 4, carried, live)
        w5, carried = _shifted(words, size, blocks, at * 0 + j + 5, carried, live)
        w6, carried = _shifted(words, size, blocks, at * 0 + j + 6, carried, live)
        w7, carried = _shifted(words, size, blocks, at * 0 + j + 7, carried, live)
        w8, carried = _shifted(words, size, blocks, at * 0 + j + 8, carried, live)
        w9, carried = _shifted(words, size, blocks, at * 0 + j + 9, carried, live)
        w10, carried = _shifted(words, size, blocks, at * 0 + j + 10, carried, live)
        w11, carried = _shifted(words, size, blocks, at * 0 + j + 11, carried, live)
        w12, carried = _shifted(words, size, blocks, at * 0 + j + 12, carried, live)
        w13, carried = _shifted(words, size, blocks, at * 0 + j + 13, carried, live)
        w14, carried = _shifted(words, size, blocks, at * 0 + j + 14, carried, live)
        w15, carried = _shifted(words, size, blocks, at * 0 + j + 15, carried, live)
        t0, t1, t2, t3, t4, t5, t6, t7 = _compress(
            s0, s1, s2, s3, s4, s5, s6, s7,
            w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15, constants,
        )  # fmt: skip
        more = b < blocks
        s0, s1 = tl.where(more, t0, s0), tl.where(more, t1, s1)
        s2, s3 = tl.where(more, t2, s2), tl.where(more, t3, s3)
        s4, s5 = tl.where(more, t4, s4), tl.where(more, t5, s5)
        s6, s7 = tl.where(more, t6, s6), tl.where(more, t7, s7)
    _keep(out, at, live, s0, s1, s2, s3, s4, s5, s6, s7)


@triton.jit
def _joined(hashes, left, right, j: tl.constexpr, both):
    """Word j of 0x01, left, right: its bytes come from two neighbouring words of the hashes."""
    now = _word(hashes, left * 8 + j, both) if j < 8 else _word(hashes, right * 8 + (j - 8), both)
    if j == 0:
        return (now >> 8) | 0x01000000
    before = _word(hashes, left * 8 + (j - 1), both) if j <= 8 else _word(hashes, right * 8 + (j - 9), both)
    return (before << 24) | (now >> 8)


@triton.jit
def nodes(hashes, lefts, rights, first, constants, count, lanes: tl.constexpr):
    """Hashes ``first`` on, from those at ``lefts`` and ``rights`` before; -1 at the right: the left one unchanged."""
    at = tl.program_id(0) * lanes + tl.arange(0, lanes)
    live = at < count
    left, right = tl.load(lefts + at, mask=live, other=0), tl.load(rights + at, mask=live, other=-1)
    both = live & (right >= 0)
    s0, s1, s2, s3, s4, s5, s6, s7 = _initial(at)
    end = (_word(hashes, right * 8 + 7, both) << 24) | 0x800000
    none = (at * 0).to(tl.uint32)
    for second in range(0, 2):
        w0 = tl.where(second == 0, _joined(hashes, left, right, 0, both), end)
        w1 = tl.where(second == 0, _joined(hashes, left, right, 1, both), none)
        w2 = tl.where(second == 0, _joined(hashes, left, right, 2, both), none)
        w3 = tl.where(second == 0, _joined(hashes, left, right, 3, both), none)
        w4 = tl.where(second == 0, _joined(hashes, left, right, 4, both), none)
        w5 = tl.where(second == 0, _joined(hashes, left, right, 5, both), none)
        w6 = tl.where(second == 0, _joined(hashes, left, right, 6, both), none)
        w7 = tl.where(second == 0, _joined(hashes, left, right, 7, both), none)
        w8 = tl.where(second == 0, _joined(hashes, left, right, 8, both), none)
        w9 = tl.where(second == 0, _joined(hashes, left, right, 9, both), none)
        w10 = tl.where(second == 0, _joined(hashes, left, right, 10, both), none)
        w11 = tl.where(second == 0, _joined(hashes, left, right, 11, both), none)
        w12 = tl.where(second == 0, _joined(hashes, left, right, 12, both), none)
        w13 = tl.where(second == 0, _joined(hashes, left, right, 13, both), none)
        w14 = tl.where(second == 0, _joined(hashes, left, right, 14, both), none)
        w15 = tl.where(second == 0, _joined(hashes, left, right, 15, both), none + 520)
        s0, s1, s2, s3, s4, s5, s6, s7 = _compress(
            s0, s1, s2, s3, s4, s5, s6, s7,
            w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15, constants,
        )  # fmt: skip
    one = live & (right < 0)
    to = left * 8
    s0, s1 = tl.where(one, _word(hashes, to, one), s0), tl.where(one, _word(hashes, to + 1, one), s1)
    s2, s3 = tl.where(one, _word(hashes, to + 2, one), s2), tl.where(one, _word(hashes, to + 3, one), s3)
    s4, s5 = tl.where(one, _word(hashes, to + 4, one), s4), tl.where(one, _word(hashes, to + 5, one), s5)
    s6, s7 = tl.where(one, _word(hashes, to + 6, one), s6), tl.where(one, _word(hashes, to + 7, one), s7)
    _keep(hashes, first + at, live, s0, s1, s2, s3, s4, s5, s6, s7)
