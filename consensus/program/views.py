"""Affine views of op outputs: what PyTorch's view operations do, as index maps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from consensus.errors import ProgramError
from consensus.program.ops import DType, Operand

EXACT = ""
WIDE = "fp32 numbers in fp64"
ROOT = "an fp64 square root to be rounded"
PRODUCT = "an integer product in fp64"


@dataclass(frozen=True, slots=True)
class View:
    """A tensor of the graph: op ``source`` read by ``offset + sum(index * stride)``, or the constant ``bits``.

    ``dtype`` is what PyTorch calls its elements, ``held`` their type in memory: an integer may be read as a larger one.
    ``widened`` tells why PyTorch holds it in fp64; empty when it does not.
    """

    source: int | None
    dtype: DType
    held: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    bits: int = 0
    widened: str = EXACT

    @classmethod
    def dense(cls, source: int, dtype: DType, shape: Sequence[int], widened: str = EXACT) -> "View":
        """The whole output of an op."""
        return cls(source, dtype, dtype, tuple(shape), dense_strides(shape), widened=widened)

    @classmethod
    def constant(cls, bits: int, dtype: DType, shape: Sequence[int]) -> "View":
        """One value everywhere."""
        return cls(None, dtype, dtype, tuple(shape), (0,) * len(shape), bits=bits)

    @property
    def is_dense(self) -> bool:
        """Whether it lists its elements in their order in memory."""
        wanted = dense_strides(self.shape)
        return all(s == w for s, w, n in zip(self.strides, wanted, self.shape, strict=True) if n != 1)

    def permute(self, order: Sequence[int]) -> "View":
        return replace(self, shape=tuple(self.shape[i] for i in order), strides=tuple(self.strides[i] for i in order))

    def transpose(self, a: int, b: int) -> "View":
        order = list(range(len(self.shape)))
        order[a], order[b] = order[b], order[a]
        return self.permute(order)

    def unsqueeze(self, dim: int) -> "View":
        at = dim % (len(self.shape) + 1)
        shape, strides = list(self.shape), list(self.strides)
        shape.insert(at, 1)
        strides.insert(at, 0)
        return replace(self, shape=tuple(shape), strides=tuple(strides))

    def select(self, dim: int, index: int) -> "View":
        at = dim % len(self.shape)
        offset = self.offset + (index % self.shape[at]) * self.strides[at]
        return replace(self, offset=offset, shape=_without(self.shape, at), strides=_without(self.strides, at))

    def slice(self, dim: int, start: int, end: int) -> "View":
        at, size = dim % len(self.shape), self.shape[dim]
        start, end = (min(max(i + size if i < 0 else i, 0), size) for i in (start, end))
        shape = (*self.shape[:at], max(end - start, 0), *self.shape[at + 1 :])
        return replace(self, shape=shape, offset=self.offset + start * self.strides[at])

    def broadcast(self, shape: Sequence[int]) -> "View":
        """Aligned at the last dimension, sizes 1 repeated (NumPy's rule); -1 keeps a size."""
        missing = len(shape) - len(self.shape)
        old = (1,) * missing + self.shape
        wanted = tuple(n if s == -1 else s for s, n in zip(shape, old, strict=True))
        if any(n not in (1, s) for s, n in zip(wanted, old, strict=True)):
            raise ProgramError(f"a tensor of shape {self.shape} does not spread to {wanted}")
        strides = (0,) * missing + self.strides
        return replace(self, shape=wanted, strides=tuple(0 if n == 1 else s for s, n in zip(strides, old, strict=True)))

    def reshape(self, shape: Sequence[int]) -> "View | None":
        """The same elements in the same order under another shape; None where no affine map does it."""
        known = prod(s for s in shape if s != -1)
        wanted = tuple(prod(self.shape) // known if s == -1 else s for s in shape)
        if self.source is None:
            return replace(self, shape=wanted, strides=(0,) * len(wanted))
        strides = _reshaped(self.shape, self.strides, wanted)
        return None if strides is None else replace(self, shape=wanted, strides=strides)

    def operand(self) -> Operand:
        """How an op reads it whose map dimensions are this view's."""
        if self.source is None:
            return Operand(None, self.held, bits=self.bits)
        return Operand(self.source, self.held, self.offset, self.strides)


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides, 0 along dimensions of one element."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(0 if size == 1 else step)
        step *= size
    return tuple(reversed(strides))


def _without(values: tuple[int, ...], at: int) -> tuple[int, ...]:
    return values[:at] + values[at + 1 :]


def _reshaped(shape: tuple[int, ...], strides: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    """Joins neighbours that one stride walks, then splits the runs; None where a wanted dimension crosses two runs."""
    runs: list[list[int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == size * stride:
            runs[-1] = [runs[-1][0] * size, stride]
        else:
            runs.append([size, stride])
    out, left = [], list(reversed(runs))
    for size in reversed(wanted):
        if size == 1:
            out.append(0)
            continue
        if not left or left[0][0] % size:
            return None
        run = left[0]
        out.append(run[1])
        run[0] //= size
        run[1] *= size
        if run[0] == 1:
            left.pop(0)
    return tuple(reversed(out))
