"""Engine over the fused GPU kernels: the reference's bits, each operand read once.

Everything happens on the device's current stream; nothing here waits for it. In a step's backward pass the tokens of
several micro-batches may lie in one tensor: rows do not depend on one another, and sums over tokens are taken 512 at a
time and added in order, as micro-batches are.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor

from consensus.arithmetic import kernels_triton as kernels
from consensus.arithmetic import kernels_triton_attention as heads_kernels
from consensus.arithmetic import numbers
from consensus.arithmetic.engine import AdamWConstants
from consensus.arithmetic.gpu import device_room, shared_memory
from consensus.arithmetic.products import fp32
from consensus.arithmetic.reference import RMS_EPS, Reference, attention_scale, root_scale

_NO_FMA: Final = {"enable_fp_fusion": False}
_STEP: Final = 128
_SUMS_BYTES: Final = 1 << 28
"""Room for the integer sums of embedding gradients at once."""
_FULL: Final = 132
"""Tiles of a product that keep a large GPU busy."""
_APART: Final = 4
"""Blocks of a sum from which on few tiles take the blocks side by side."""
_BAND: Final = 128
"""Queries or keys from which on attention leaves out what causality hides."""


def _power(n: int) -> int:
    return 1 << (n - 1).bit_length() if n > 1 else 1


def _blocks(k: int) -> int:
    return -(-k // numbers.BLOCK)


def _tiles(m: int, n: int, tile: int) -> int:
    return -(-m // tile) * -(-n // tile)


def _padded(k: int) -> int:
    """Places a row of k terms takes: whole steps of the product's loop, whole blocks where there are several."""
    if k > numbers.BLOCK:
        return _blocks(k) * numbers.BLOCK
    return 64 if k <= 64 else -(-k // _STEP) * _STEP


@dataclass(slots=True)
class _Planes:
    """A quantised operand: int8 planes [3, rows, places], scales [blocks, rows]."""

    q: Tensor
    s: Tensor
    rows: int
    places: int

    @property
    def plane(self) -> int:
        return self.rows * self.places


@dataclass(frozen=True, slots=True)
class _Weight:
    forward: _Planes
    backward: _Planes


@dataclass(frozen=True, slots=True)
class _Heads:
    """Where attention's planes lie: B, T, H, dh, and T and dh up to a power of two."""

    sequences: int
    length: int
    heads: int
    width: int

    @property
    def tp(self) -> int:
        return max(32, _power(self.length))

    @property
    def dp(self) -> int:
        return max(32, _power(self.width))

    @property
    def shared(self) -> int:
        """Bytes of shared memory that the widest band takes: three planes of its keys and of its probabilities."""
        return 3 * self.tp * (self.dp + TILES[self.tp][0])

    def bands(self) -> list[tuple[int, int, int]]:
        """Queries in groups: the first, how many, and how many keys they may see at most."""
        edges = [0, *(edge for edge in (_BAND, 2 * _BAND, 4 * _BAND) if edge < self.tp), self.tp]
        return [(low, min(high, self.length) - low, high) for low, high in pairwise(edges) if low < self.length]


TILES: Final = {32: (32, 4), 64: (64, 4), 128: (32, 4), 256: (32, 4), 512: (32, 8)}
"""Queries at a time and warps of a program that sees so many keys. On an H200: 2.4 times faster than the worst at 128,
five times at 512."""
_KEYS: Final = 64
_CHUNK: Final = 128
"""Keys at a time, and queries at a time, of the gradient's sums over queries."""


class Fused:
    """Engine over Triton kernels; ``device`` is the CPU only under Triton's interpreter."""

    def __init__(self, device: torch.device, name: str = "cuda-fused") -> None:
        self.name, self.device = name, device
        self._shared = shared_memory(device)
        self._plain = Reference(fp32, name, device)

    def begin(self) -> None:
        """Nothing is reused between micro-batches."""

    def lane(self) -> "Fused":
        """Itself: nothing is shared between micro-batches."""
        return self

    def held_bytes(self) -> int:
        return 0

    def room(self) -> int:
        return device_room(self.device)

    def _empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

    def _room_for(self, rows: int, k: int) -> _Planes:
        places = _padded(k)
        return _Planes(self._empty(3, rows, places, dtype=torch.int8), self._empty(_blocks(k), rows), rows, places)

    def _rows(self, x: Tensor, left: bool, act: bool = False) -> _Planes:
        rows, k = x.shape
        out = self._room_for(rows, k)
        bk = _power(min(out.places, numbers.BLOCK))
        br = max(1, 4096 // bk)
        kernels.quantise_rows[(-(-rows // br), _blocks(k))](
            x, out.q, out.s, rows, k, 1, k, out.places, out.plane, act, left, br, bk, **_NO_FMA
        )
        return out

    def _columns(self, x: Tensor, left: bool, act: bool = False) -> _Planes:
        k, cols = x.shape
        out, blocks = self._room_for(cols, k), _blocks(k)
        pad = out.places // blocks
        grid = (-(-cols // 32), blocks)
        kernels.quantise_columns[grid](
            x, out.q, out.s, k, cols, cols, numbers.BLOCK, numbers.BLOCK, out.places, out.plane, pad,
            act, left, 32, _power(pad), **_NO_FMA,
        )  # fmt: skip
        return out

    def _product(self, a: _Planes, b: _Planes, out: Tensor, more: bool) -> Tensor:
        m, n, blocks = a.rows, b.rows, a.s.shape[0]
        if blocks >= _APART and _tiles(m, n, 64) < 2 * _FULL:
            # Few tiles and a long sum: the blocks side by side, then added in their order.
            parts = self._empty(blocks, m, n)
            self._tiled(a, b, parts, False, blocks)
            kernels.join[(-(-m * n // 512),)](parts, out, blocks, m * n, more, 512, **_NO_FMA)
        else:
            self._tiled(a, b, out, more, 1)
        return out

    @staticmethod
    def _tiled(a: _Planes, b: _Planes, out: Tensor, more: bool, apart: int) -> None:
        m, n, blocks = a.rows, b.rows, a.s.shape[0]
        step = min(_STEP, a.places)
        # 64 x 128 is fastest at every size tried on an H200; 64 x 64 where that leaves too little to do at once.
        wide = 128 if _tiles(m, n, 128) * apart >= _FULL // 2 else 64
        kernels.product[(-(-m // 64) * -(-n // wide), apart)](
            a.q, a.s, b.q, b.s, out, m, n, a.places, a.plane, b.plane, blocks // apart,
            a.places // blocks // step, more, 64, wide, step, 8, num_warps=4, num_stages=4, **_NO_FMA,
        )  # fmt: skip

    def pack_weight(self, name: str, w: Tensor) -> _Weight:
        return _Weight(self._rows(w, False), self._columns(w, False))

    def _left(self, x: Tensor) -> _Planes:
        """Row planes that the op which made ``x`` left with it, once; else made now."""
        held: _Planes | None = x.__dict__.pop("_planes", None)
        return self._rows(x, True) if held is None else held

    def linear(self, x: Tensor, w: Any) -> tuple[Tensor, Any]:
        return self._product(self._left(x), w.forward, self._empty(x.shape[0], w.forward.rows), False), x

    def linear_grad(self, dy: Tensor, saved: Any, w: Any, dw: Tensor, accumulate: bool) -> Tensor:
        dx = self._product(self._left(dy), w.backward, self._empty(dy.shape[0], w.backward.rows), False)
        self._product(self._columns(dy, True), self._columns(saved, False), dw, accumulate)
        return dx

    def rmsnorm(self, x: Tensor) -> tuple[Tensor, Any]:
        rows, d = x.shape
        y, r, out = torch.empty_like(x), self._empty(rows), self._room_for(rows, d)
        nb, kb, br = _whole_rows(d)
        kernels.rmsnorm[(-(-rows // br),)](
            x, y, r, out.q, out.s, rows, d, out.places, out.plane, numbers.round32(1.0 / d), RMS_EPS,
            numbers.sum_grid(d), br, nb, kb, **_NO_FMA,
        )  # fmt: skip
        y.__dict__["_planes"] = out
        return y, (y, r)

    def rmsnorm_grad(self, dy: Tensor, saved: Any, into: Tensor | None) -> Tensor:
        y, r = saved
        rows, d = y.shape
        dx, out = torch.empty_like(y), self._room_for(rows, d)
        nb, kb, br = _whole_rows(d)
        kernels.rmsnorm_grad[(-(-rows // br),)](
            dy, y, r, dy if into is None else into, dx, out.q, out.s, rows, d, out.places, out.plane,
            numbers.round32(1.0 / d), numbers.sum_grid(d), into is not None, br, nb, kb, **_NO_FMA,
        )  # fmt: skip
        dx.__dict__["_planes"] = out
        return dx

    def relu2(self, h: Tensor) -> Tensor:
        y = torch.empty_like(h)
        kernels.relu2[(-(-h.numel() // 1024),)](h, y, h.numel(), 1024, **_NO_FMA)
        return y

    def relu2_grad(self, dy: Tensor, h: Tensor) -> Tensor:
        rows, d = h.shape
        dh, out = torch.empty_like(h), self._room_for(rows, d)
        bk = _power(min(out.places, numbers.BLOCK))
        br = max(1, 4096 // bk)
        kernels.relu2_grad[(-(-rows // br), _blocks(d))](
            dy, h, dh, out.q, out.s, rows, d, out.places, out.plane, br, bk, **_NO_FMA
        )
        dh.__dict__["_planes"] = out
        return dh

    def _head_rows(self, x: Tensor, at: _Heads, left: bool, part: int = 0) -> _Planes:
        """Row planes of one of the parts, each H dh wide, that stand side by side in x."""
        tokens, wide = x.shape
        rows = tokens * at.heads
        out = _Planes(self._empty(3, rows, at.dp, dtype=torch.int8), self._empty(1, rows), rows, at.dp)
        br = max(1, 4096 // at.dp)
        kernels.quantise_rows[(-(-rows // br), 1)](
            x[:, part * at.heads * at.width :], out.q, out.s, rows, at.width, at.heads, wide, at.dp, out.plane,
            False, left, br, at.dp, **_NO_FMA,
        )  # fmt: skip
        return out

    def _head_columns(self, x: Tensor, at: _Heads, first: int, count: int) -> _Planes:
        """Column planes (right) of ``count`` columns of x from ``first`` on, a sequence at a time."""
        rows = at.sequences * count
        out = _Planes(self._empty(3, rows, at.tp, dtype=torch.int8), self._empty(at.sequences, count), rows, at.tp)
        kernels.quantise_columns[(-(-count // 32), at.sequences)](
            x[:, first:], out.q, out.s, x.shape[0], count, x.shape[1], at.length, count * at.tp, at.tp, out.plane,
            at.tp, False, False, 32, at.tp, **_NO_FMA,
        )  # fmt: skip
        return out

    def attention(self, qkv: Tensor, sequences: int, heads: int) -> tuple[Tensor, Any]:
        d = qkv.shape[1] // 3
        at = _Heads(sequences, qkv.shape[0] // sequences, heads, d // heads)
        if at.shared > self._shared:
            return self._plain.attention(qkv, sequences, heads)
        q, k = self._head_rows(qkv, at, True, 0), self._head_rows(qkv, at, False, 1)
        v = self._head_columns(qkv, at, 2 * d, d)
        p, o = self._empty(sequences * heads, at.length, at.length), self._empty(qkv.shape[0], d)
        for begin, count, span in at.bands():
            tile, warps = TILES[span]
            heads_kernels.attention[(-(-count // tile), sequences * heads)](
                q.q, q.s, k.q, k.s, v.q, v.s, p, o, q.plane, v.plane, at.length, heads, at.width, begin, at.tp,
                attention_scale(at.width), numbers.sum_grid(at.length), tile, span, at.dp, num_warps=warps, **_NO_FMA,
            )  # fmt: skip
        return o, (qkv, p, at)

    def attention_grad(self, dout: Tensor, saved: Any) -> Tensor:
        if not isinstance(saved, tuple):
            return self._plain.attention_grad(dout, saved)
        qkv, p, at = saved
        d = at.heads * at.width
        g, v = self._head_rows(dout, at, True), self._head_rows(qkv, at, False, 2)
        gc, qk = self._head_columns(dout, at, 0, d), self._head_columns(qkv, at, 0, 2 * d)
        ds, dqkv = torch.empty_like(p), torch.empty_like(qkv)
        all_heads = at.sequences * at.heads
        for begin, count, span in at.bands():
            tile, warps = TILES[span]
            heads_kernels.attention_grad_rows[(-(-count // tile), all_heads)](
                g.q, g.s, v.q, v.s, qk.q, qk.s, p, ds, dqkv, g.plane, qk.plane, 2 * d, at.length, at.heads, at.width,
                begin, at.tp, root_scale(at.width), numbers.sum_grid(at.length), tile, span, at.dp,
                num_warps=warps, **_NO_FMA,
            )  # fmt: skip
        heads_kernels.attention_grad_columns[(-(-at.length // _KEYS), all_heads)](
            p, ds, gc.q, gc.s, qk.q, qk.s, dqkv, gc.plane, qk.plane, 2 * d, at.length, at.heads, at.width, at.tp,
            _KEYS, min(_CHUNK, at.tp), at.dp, num_warps=4, num_stages=1, **_NO_FMA,
        )  # fmt: skip
        return dqkv

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def embed(self, tokens: Tensor, table: Tensor, position: Tensor) -> Tensor:
        rows = table.index_select(0, tokens.reshape(-1))
        return (rows.view(*tokens.shape, -1) + position).reshape(tokens.numel(), -1)

    def embed_grad(self, tokens: Tensor, dx: Tensor, dtable: Tensor, dposition: Tensor, accumulate: bool) -> None:
        (vocab, d), length = dtable.shape, dposition.shape[0]
        flat, all_rows = tokens.reshape(-1), vocab + length
        span = max(1, _SUMS_BYTES // (4 * all_rows * d)) * numbers.BLOCK
        for at in range(0, dx.shape[0], span):
            rows, place = dx[at : at + span], flat[at : at + span]
            blocks = _blocks(rows.shape[0])
            work = torch.zeros((blocks, all_rows, d), dtype=torch.int32, device=self.device)
            scale = self._empty(blocks, d)
            steps = numbers.sum_grid(min(dx.shape[0], numbers.BLOCK))
            kernels.embed_grad_parts[(-(-d // 32), blocks)](
                place, rows, work, scale, rows.shape[0], length, vocab, d, steps, 32,
                _power(min(rows.shape[0], numbers.BLOCK)), num_warps=8, **_NO_FMA,
            )  # fmt: skip
            for out, first in ((dtable, 0), (dposition, vocab)):
                kernels.embed_grad_join[(-(-out.numel() // 512),)](
                    work, scale, out, blocks, first, out.shape[0], all_rows, d, accumulate or at > 0, 512, **_NO_FMA
                )

    def cross_entropy(self, logits: Tensor, targets: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        rows, vocab = logits.shape
        out, loss = torch.empty_like(logits), self._empty(rows, dtype=torch.int64)
        size = _power(vocab)
        br = max(1, 4096 // size)
        kernels.token_losses[(-(-rows // br),)](
            logits, targets, out, loss, rows, vocab, scale, numbers.sum_grid(vocab), br, size,
            num_warps=max(4, min(16, size // 1024)), **_NO_FMA,
        )  # fmt: skip
        return out, loss.sum(dtype=torch.int64)

    def adamw(self, w: Tensor, m: Tensor, v: Tensor, g: Tensor, c: AdamWConstants) -> Tensor:
        """``c``: numbers, or views of one row of nine fp32 on the device."""
        row: Any = c.beta1
        if not isinstance(row, Tensor):
            row = torch.tensor([getattr(c, name) for name in c.__slots__], dtype=torch.float32, device=self.device)
        finite = torch.ones((), dtype=torch.int32, device=self.device)
        kernels.adamw[(-(-w.numel() // 1024),)](w, m, v, g, row, finite, w.numel(), 1024, **_NO_FMA)
        return finite


def _whole_rows(d: int) -> tuple[int, int, int]:
    """Blocks, places a block, and rows at a time, for kernels that hold rows of d as a whole."""
    kb = _power(min(d, numbers.BLOCK))
    nb = _power(_blocks(d))
    return nb, kb, max(1, 2048 // (nb * kb))
