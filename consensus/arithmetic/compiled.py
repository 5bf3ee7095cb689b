"""Engine over the compiled kernels: the reference's bits, fused.

Results of a micro-batch live in one arena that ``begin`` rewinds, so a step allocates nothing after its first time.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from consensus.arithmetic import numbers
from consensus.arithmetic.engine import AdamWConstants
from consensus.arithmetic.library import Library, packed_words
from consensus.arithmetic.reference import RMS_EPS, attention_scale, root_scale


@dataclass(frozen=True, slots=True)
class _Packed:
    """A quantised operand: 16-row panels as the kernel lays them out, and scales [block, rows padded to 16]."""

    data: Tensor
    scale: Tensor


@dataclass(frozen=True, slots=True)
class _Weight:
    outputs: int
    inputs: int
    forward: _Packed
    backward: _Packed


class _Arena:
    """Bump allocator over one int32 buffer; grows between micro-batches, never inside one that is being used."""

    def __init__(self) -> None:
        self._buffer = torch.empty(0, dtype=torch.int32)
        self._at = 0
        self._needed = 0
        self._spill: list[Tensor] = []

    @property
    def used_bytes(self) -> int:
        return 4 * self._needed

    def rewind(self) -> None:
        if self._needed > self._buffer.numel():
            self._buffer = torch.empty(self._needed, dtype=torch.int32)
        self._spill.clear()
        self._at = self._needed = 0

    def take(self, count: int) -> Tensor:
        """``count`` int32 words at a 64-byte boundary."""
        words = (count + 15) // 16 * 16
        self._needed += words
        if self._at + words > self._buffer.numel():
            spilled = torch.empty(words, dtype=torch.int32)
            self._spill.append(spilled)
            return spilled[:count]
        taken = self._buffer[self._at : self._at + count]
        self._at += words
        return taken


def _panels(rows: int) -> int:
    return (rows + 15) // 16


def _blocks(k: int) -> int:
    return -(-k // numbers.BLOCK)


class Compiled:
    """Engine over one kernel library."""

    def __init__(self, library: Library) -> None:
        self.name = f"compiled-{library.isa}"
        self.device = torch.device("cpu")
        self._library = library
        self._c = library.calls
        self._arena = _Arena()
        self._weights: dict[str, _Weight] = {}
        self._scratch: dict[str, Tensor] = {}

    def begin(self) -> None:
        self._arena.rewind()

    def lane(self) -> "Compiled":
        return Compiled(self._library)

    def held_bytes(self) -> int:
        return self._arena.used_bytes

    def room(self) -> int:
        return 0

    def _floats(self, *shape: int) -> Tensor:
        count = 1
        for s in shape:
            count *= s
        return self._arena.take(count).view(torch.float32).view(shape)

    def _kept(self, key: str, count: int) -> Tensor:
        held = self._scratch.get(key)
        if held is None or held.numel() < count:
            held = self._scratch[key] = torch.empty(count, dtype=torch.int32)
        return held

    def _packing(self, rows: int, k: int) -> _Packed:
        scale = self._arena.take(_blocks(k) * _panels(rows) * 16).view(torch.float32)
        return _Packed(self._arena.take(packed_words(rows, k)), scale)

    def _left_rows(self, x: Tensor) -> _Packed:
        rows, k = x.shape
        out = self._packing(rows, k)
        self._c.ponw_pack_rows_left(x.data_ptr(), k, rows, k, out.data.data_ptr(), out.scale.data_ptr())
        return out

    def _left_cols(self, x: Tensor) -> _Packed:
        k, rows = x.shape
        out = self._packing(rows, k)
        self._c.ponw_pack_cols_left(x.data_ptr(), rows, k, rows, out.data.data_ptr(), out.scale.data_ptr())
        return out

    def _right_rows(self, x: Tensor, out: _Packed) -> _Packed:
        rows, k = x.shape
        self._c.ponw_pack_rows(x.data_ptr(), k, rows, k, out.data.data_ptr(), out.scale.data_ptr())
        return out

    def _right_cols(self, x: Tensor, out: _Packed) -> _Packed:
        k, rows = x.shape
        self._c.ponw_pack_cols(x.data_ptr(), rows, k, rows, out.data.data_ptr(), out.scale.data_ptr())
        return out

    def _gemm(self, a: _Packed, b: _Packed, shape: tuple[int, int, int], out: Tensor, accumulate: bool) -> None:
        m, n, k = shape
        left, right = (a.data.data_ptr(), a.scale.data_ptr()), (b.data.data_ptr(), b.scale.data_ptr())
        self._c.ponw_gemm(*left, *right, m, n, k, out.data_ptr(), n, accumulate)

    def pack_weight(self, name: str, w: Tensor) -> _Weight:
        n, k = w.shape
        held = self._weights.get(name)
        if held is None or (held.outputs, held.inputs) != (n, k):
            held = _Weight(n, k, self._own(n, k), self._own(k, n))
            self._weights[name] = held
        self._right_rows(w, held.forward)
        self._right_cols(w, held.backward)
        return held

    @staticmethod
    def _own(rows: int, k: int) -> _Packed:
        scale = torch.empty(_blocks(k) * _panels(rows) * 16, dtype=torch.float32)
        return _Packed(torch.empty(packed_words(rows, k), dtype=torch.int32), scale)

    def linear(self, x: Tensor, w: Any) -> tuple[Tensor, Any]:
        rows = x.shape[0]
        y = self._floats(rows, w.outputs)
        self._gemm(self._left_rows(x), w.forward, (rows, w.outputs, w.inputs), y, False)
        return y, x

    def linear_grad(self, dy: Tensor, saved: Any, w: Any, dw: Tensor, accumulate: bool) -> Tensor:
        rows = dy.shape[0]
        dx = self._floats(rows, w.inputs)
        x_cols = self._right_cols(saved, self._packing(w.inputs, rows))
        self._gemm(self._left_cols(dy), x_cols, (w.outputs, w.inputs, rows), dw, accumulate)
        self._gemm(self._left_rows(dy), w.backward, (rows, w.inputs, w.outputs), dx, False)
        return dx

    def rmsnorm(self, x: Tensor) -> tuple[Tensor, Any]:
        rows, d = x.shape
        y, r = self._floats(rows, d), self._floats(rows)
        self._c.ponw_rmsnorm(x.data_ptr(), rows, d, numbers.round32(1.0 / d), RMS_EPS, y.data_ptr(), r.data_ptr())
        return y, (y, r)

    def rmsnorm_grad(self, dy: Tensor, saved: Any, into: Tensor | None) -> Tensor:
        y, r = saved
        rows, d = y.shape
        dx = self._floats(rows, d) if into is None else into
        inverse = numbers.round32(1.0 / d)
        self._c.ponw_rmsnorm_grad(
            dy.data_ptr(), y.data_ptr(), r.data_ptr(), rows, d, inverse, dx.data_ptr(), into is not None
        )
        return dx

    def relu2(self, h: Tensor) -> Tensor:
        y = self._floats(*h.shape)
        self._c.ponw_relu2(h.data_ptr(), h.numel(), y.data_ptr())
        return y

    def relu2_grad(self, dy: Tensor, h: Tensor) -> Tensor:
        self._c.ponw_relu2_grad(dy.data_ptr(), h.data_ptr(), h.numel(), dy.data_ptr())
        return dy

    def _attention_work(self, length: int, head_width: int) -> Tensor:
        return self._kept("attention", self._c.ponw_attention_work(length, head_width, self._c.ponw_threads(0)))

    def attention(self, qkv: Tensor, sequences: int, heads: int) -> tuple[Tensor, Any]:
        rows, d = qkv.shape[0], qkv.shape[1] // 3
        length, dh = rows // sequences, d // heads
        p, o = self._floats(sequences * heads, length, length), self._floats(rows, d)
        work = self._attention_work(length, dh)
        shape = (sequences, length, heads, dh, attention_scale(dh))
        self._c.ponw_attention(qkv.data_ptr(), *shape, p.data_ptr(), o.data_ptr(), work.data_ptr())
        return o, (qkv, p, sequences, heads)

    def attention_grad(self, dout: Tensor, saved: Any) -> Tensor:
        qkv, p, sequences, heads = saved
        rows, d = qkv.shape[0], qkv.shape[1] // 3
        length, dh = rows // sequences, d // heads
        dqkv = self._floats(rows, 3 * d)
        work = self._attention_work(length, dh)
        inputs = (dout.data_ptr(), qkv.data_ptr(), p.data_ptr())
        shape = (sequences, length, heads, dh, root_scale(dh))
        self._c.ponw_attention_grad(*inputs, *shape, dqkv.data_ptr(), work.data_ptr())
        return dqkv

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        self._c.ponw_add(a.data_ptr(), b.data_ptr(), a.numel(), b.data_ptr())
        return b

    def embed(self, tokens: Tensor, table: Tensor, position: Tensor) -> Tensor:
        rows, (length, d) = tokens.numel(), position.shape
        x = self._floats(rows, d)
        self._c.ponw_embed(tokens.data_ptr(), table.data_ptr(), position.data_ptr(), rows, length, d, x.data_ptr())
        return x

    def embed_grad(self, tokens: Tensor, dx: Tensor, dtable: Tensor, dposition: Tensor, accumulate: bool) -> None:
        (vocab, d), length = dtable.shape, dposition.shape[0]
        work = self._kept("embed", (vocab + length) * d)
        outputs = (work.data_ptr(), dtable.data_ptr(), dposition.data_ptr(), accumulate)
        self._c.ponw_embed_grad(tokens.data_ptr(), dx.data_ptr(), dx.shape[0], length, vocab, d, *outputs)

    def cross_entropy(self, logits: Tensor, targets: Tensor, scale: float) -> tuple[Tensor, int]:
        rows, vocab = logits.shape
        total = self._c.ponw_cross_entropy(logits.data_ptr(), targets.data_ptr(), rows, vocab, scale)
        return logits, int(total)

    def adamw(self, w: Tensor, m: Tensor, v: Tensor, g: Tensor, c: AdamWConstants) -> bool:
        packed = (ctypes.c_float * 9)(
            c.beta1, c.one_minus_beta1, c.beta2, c.one_minus_beta2, c.correct1, c.correct2, c.eps, c.lr, c.decay
        )
        pointers = (w.data_ptr(), m.data_ptr(), v.data_ptr(), g.data_ptr())
        return bool(self._c.ponw_adamw(*pointers, w.numel(), ctypes.cast(packed, ctypes.c_void_p)))
