"""What each PyTorch operation means in the op set. ``HANDLERS`` is the closed list: nothing else can be captured."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import getitem
from typing import Any, Final

import torch

from consensus.errors import ProgramError
from consensus.program.builder import Builder, bits_of
from consensus.program.ops import DType, Kind
from consensus.program.views import EXACT, PRODUCT, ROOT, WIDE, View

Number = float | int | bool
_DTYPES: Final = {
    torch.bool: DType.BOOL,
    torch.int16: DType.INT16,
    torch.int32: DType.INT32,
    torch.int64: DType.INT64,
    torch.float32: DType.FLOAT32,
}
_INTEGERS: Final = (DType.INT16, DType.INT32, DType.INT64)


def dtype_of(dtype: torch.dtype) -> DType:
    """The element type of the op set."""
    if dtype not in _DTYPES:
        raise ProgramError(f"{dtype} is no element type of the op set")
    return _DTYPES[dtype]


def _view(value: View | Number, like: DType) -> View:
    return value if isinstance(value, View) else View.constant(bits_of(value, like), like, ())


def _operands(values: tuple[View | Number, ...]) -> tuple[list[View], DType]:
    """The operands and their common type. Numbers take the type of the tensor beside them."""
    tensors = [value for value in values if isinstance(value, View)]
    if any(value.widened for value in tensors):
        raise ProgramError("fp64 exists only between a widening and the rounding after it")
    kinds = {value.dtype for value in tensors}
    if len(kinds) == 2 and kinds <= set(_INTEGERS):
        kinds = {max(kinds)}
    if len(kinds) != 1:
        raise ProgramError(f"operands of types {sorted(kind.name for kind in kinds)}")
    dtype = kinds.pop()
    return [_view(value, dtype) for value in values], dtype


def _arithmetic(on_floats: Kind, on_integers: Kind | None, b: Builder, out: Any, *values: View | Number) -> View:
    parts, dtype = _operands(values)
    if dtype is DType.FLOAT32:
        return b.map(on_floats, dtype, tuple(out.shape), parts)
    if on_integers is None or dtype is DType.BOOL:
        raise ProgramError(f"{on_floats.name} of {dtype.name}")
    return b.map(on_integers, dtype, tuple(out.shape), parts)


def _compare(on_floats: Kind, on_integers: Kind | None, b: Builder, out: Any, *values: View | Number) -> View:
    parts, dtype = _operands(values)
    kind = on_floats if dtype is DType.FLOAT32 else on_integers
    if kind is None:
        raise ProgramError(f"{on_floats.name} of {dtype.name}")
    return b.map(kind, DType.BOOL, tuple(out.shape), parts)


def _floor_division(b: Builder, out: Any, *values: View | Number, rounding_mode: str = "") -> View:
    parts, dtype = _operands(values)
    if rounding_mode != "floor" or dtype not in _INTEGERS:
        raise ProgramError("a division that rounds takes integers and rounds down")
    return b.map(Kind.INT_DIV, dtype, tuple(out.shape), parts)


def _where(b: Builder, out: Any, condition: View, yes: View, no: View) -> View:
    if condition.dtype is not DType.BOOL:
        raise ProgramError("the condition is not boolean")
    parts, dtype = _operands((yes, no))
    return b.map(Kind.WHERE, dtype, tuple(out.shape), (condition, *parts))


def _to(b: Builder, out: Any, x: View, dtype: torch.dtype) -> View:
    if dtype is torch.float64:
        if x.dtype is not DType.FLOAT32 or x.widened:
            raise ProgramError("only fp32 numbers are widened")
        return replace(x, widened=WIDE)
    wanted = dtype_of(dtype)
    if x.widened:
        allowed = DType.INT32 if x.widened == PRODUCT else DType.FLOAT32
        if wanted is not allowed:
            raise ProgramError(f"{x.widened} becomes {allowed.name}, not {wanted.name}")
        return replace(x, widened=EXACT, dtype=wanted)
    if wanted is x.dtype:
        return x
    if x.dtype is DType.FLOAT32 and wanted in _INTEGERS:
        return b.map(Kind.TO_INT, wanted, x.shape, (x,))
    if x.dtype in _INTEGERS and wanted is DType.FLOAT32:
        return b.map(Kind.TO_FLOAT, wanted, x.shape, (x,))
    if x.dtype in _INTEGERS and wanted in _INTEGERS and wanted > x.dtype:
        return replace(x, dtype=wanted)  # a larger integer type holds the same number
    raise ProgramError(f"{x.dtype.name} does not become {wanted.name}")


def _bitcast(b: Builder, out: Any, x: View, dtype: torch.dtype) -> View:
    pair = (x.dtype, dtype_of(dtype))
    if pair == (DType.FLOAT32, DType.INT32):
        return b.map(Kind.AS_INT, DType.INT32, x.shape, (x,))
    if pair == (DType.INT32, DType.FLOAT32):
        return b.map(Kind.AS_FLOAT, DType.FLOAT32, x.shape, (x,))
    raise ProgramError(f"the bits of {pair[0].name} as {pair[1].name}")


def _square_root(b: Builder, out: Any, x: View) -> View:
    if x.widened != WIDE:
        raise ProgramError("a square root is taken in fp64 and rounded once")
    return replace(b.map(Kind.SQRT, DType.FLOAT32, x.shape, (replace(x, widened=EXACT),)), widened=ROOT)


def _reshape(b: Builder, out: Any, x: View, shape: list[int]) -> View:
    found = x.reshape(shape) or b.copy(x).reshape(shape)
    if found is None:
        raise ProgramError(f"{x.shape} has no shape {shape}")
    return found


def _product(b: Builder, out: Any, left: View, right: View) -> View:
    """left [..., M, K] . right [..., K, N], integers held in fp32, widened: 16-bit rows, then one dot product each."""
    if left.widened != WIDE or right.widened != WIDE:
        raise ProgramError("a product takes integers widened to fp64")
    *lead, m, k = left.shape
    n = right.shape[-1]
    rows = [_narrow(b, side) for side in (left, right.transpose(-2, -1))]
    spread = (*lead, m, n, k)
    a, c = (row.unsqueeze(at).broadcast(spread) for row, at in zip(rows, (len(lead) + 1, len(lead)), strict=True))
    return replace(b.reduce(Kind.DOT, DType.INT32, spread[:-1], (a, c), (k,)), widened=PRODUCT)


def _narrow(b: Builder, x: View) -> View:
    return b.map(Kind.TO_INT, DType.INT16, x.shape, (replace(x, widened=EXACT),))


def _largest(b: Builder, out: Any, x: View, dims: Sequence[int] = (), keep: bool = False) -> View:
    if x.dtype is not DType.FLOAT32:
        raise ProgramError(f"a maximum of {x.dtype.name}")
    return _over(Kind.MAX, DType.FLOAT32, b, out, x, dims)


def _sum(b: Builder, out: Any, x: View, dims: Sequence[int] = (), keep: bool = False, dtype: Any = None) -> View:
    if x.dtype not in _INTEGERS or out.dtype is not torch.int64:
        raise ProgramError(f"a sum of {x.dtype.name} into {out.dtype}: only integers add, into 64 bits")
    return _over(Kind.INT_SUM, DType.INT64, b, out, x, dims)


def _over(kind: Kind, dtype: DType, b: Builder, out: Any, x: View, dims: Sequence[int]) -> View:
    gone = {dim % len(x.shape) for dim in dims or range(len(x.shape))}
    kept = [dim for dim in range(len(x.shape)) if dim not in gone]
    turned = b.rows(x.permute([*kept, *sorted(gone)]))
    shape, extent = turned.shape[: len(kept)], turned.shape[len(kept) :]
    return _reshape(b, out, b.reduce(kind, dtype, shape, (turned,), extent), list(out.shape))


def _index(b: Builder, out: Any, table: View, indices: list[View]) -> View:
    if len(indices) != 1 or len(indices[0].shape) != 1:
        raise ProgramError("a table is indexed by one list of rows")
    index = indices[0]
    for _ in table.shape[1:]:
        index = index.unsqueeze(-1)
    return b.gather(table, 0, index, tuple(out.shape))


def _gather(b: Builder, out: Any, table: View, dim: int, index: View) -> View:
    at = dim % len(table.shape)
    if any(i != t for k, (i, t) in enumerate(zip(index.shape, table.shape, strict=True)) if k != at):
        raise ProgramError(f"{index.shape} does not index {table.shape}")
    return b.gather(table, at, index, tuple(out.shape))


def _scatter(b: Builder, out: Any, base: View, dim: int, index: View, source: View) -> View:
    """One element of each slice along ``dim`` replaced."""
    at = dim % len(base.shape)
    if index.shape[at] != 1 or source.shape != index.shape:
        raise ProgramError("a scatter replaces one element a slice")
    place = b.map(Kind.IOTA, DType.INT64, (base.shape[at],), ())
    for _ in base.shape[at + 1 :]:
        place = place.unsqueeze(-1)
    hit = b.map(Kind.INT_EQ, DType.BOOL, base.shape, (place, index))
    return b.map(Kind.WHERE, base.dtype, base.shape, (hit, source, base))


def _index_add(b: Builder, out: Any, base: View, dim: int, index: View, source: View) -> View:
    if base.source is not None or base.bits or dim != 0 or source.dtype is not DType.INT32 or len(source.shape) != 2:
        raise ProgramError("rows of 32-bit integers are summed by index onto zeros")
    rows, width = source.shape
    whole = (base.shape[0], width, rows)
    columns = b.rows(source.transpose(0, 1)).unsqueeze(0).broadcast(whole)
    return b.reduce(Kind.SUM_AT, DType.INT32, whole[:2], (index.broadcast(whole), columns), (rows,))


def _stack(b: Builder, out: Any, parts: list[View], dim: int = 0) -> View:
    if dim != 0 or len({(part.shape, part.dtype) for part in parts}) != 1 or any(part.widened for part in parts):
        raise ProgramError("equal tensors are stacked along the first dimension")
    spread = [part.unsqueeze(0) for part in parts]
    return b.map(Kind.STACK, parts[0].dtype, (len(parts), *parts[0].shape), spread)


def _join(b: Builder, out: Any, parts: list[View], dim: int = 0) -> View:
    """Parts one after the other along the first dimension: each row of the result is gathered from its part."""
    if dim != 0 or not parts or len({part.dtype for part in parts}) != 1 or any(part.widened for part in parts):
        raise ProgramError("tensors of one type are joined along the first dimension")
    joined, *others = parts
    for part in others:
        joined = _join_two(b, joined, part)
    return joined


def _join_two(b: Builder, first: View, second: View) -> View:
    border, rows = first.shape[0], first.shape[0] + second.shape[0]
    shape = (rows, *first.shape[1:])
    place = b.map(Kind.IOTA, DType.INT64, (rows,), ())
    limit, zero = (View.constant(value, DType.INT64, ()) for value in (border, 0))
    beyond = b.map(Kind.INT_GE, DType.BOOL, (rows,), (place, limit))
    within = b.map(Kind.WHERE, DType.INT64, (rows,), (beyond, zero, place))
    further = b.map(Kind.INT_SUB, DType.INT64, (rows,), (place, limit))
    moved = b.map(Kind.WHERE, DType.INT64, (rows,), (beyond, further, zero))
    yes, no = (_rows_at(b, *side, shape) for side in ((second, moved), (first, within)))
    return b.map(Kind.WHERE, first.held, shape, (_column(beyond, shape), yes, no))


def _rows_at(b: Builder, table: View, rows: View, shape: tuple[int, ...]) -> View:
    if table.source is None:
        return View.constant(table.bits, table.held, shape)
    return b.gather(table, 0, _column(rows, shape), shape)


def _column(x: View, shape: tuple[int, ...]) -> View:
    """One value a row, over whole rows."""
    for _ in shape[1:]:
        x = x.unsqueeze(-1)
    return x


STACKED: Final = 255
"""Operands of one op at most."""


def constants(b: Builder, tensor: torch.Tensor) -> View:
    """A list of integers that the step holds: stacks of equal length, joined and cut to size."""
    if tensor.dtype is not torch.int64 or tensor.dim() != 1 or not 0 < len(tensor) <= STACKED * STACKED:
        raise ProgramError(f"a constant of type {tensor.dtype} and shape {list(tensor.shape)}")
    values: list[int] = tensor.tolist()
    stacks = -(-len(values) // STACKED)
    length = -(-len(values) // stacks)
    values += [0] * (stacks * length - len(values))
    rows = [
        b.map(Kind.STACK, DType.INT64, (length,), [_view(value, DType.INT64) for value in values[at : at + length]])
        for at in range(0, len(values), length)
    ]
    whole = rows[0] if stacks == 1 else b.map(Kind.STACK, DType.INT64, (stacks, length), [r.unsqueeze(0) for r in rows])
    return _reshape(b, None, whole, [stacks * length]).slice(0, 0, len(tensor))


def _fill(value_at: int, b: Builder, out: Any, *arguments: Any, **_options: Any) -> View:
    dtype = dtype_of(out.dtype)
    value = arguments[value_at] if value_at >= 0 else 0
    return View.constant(bits_of(value, dtype), dtype, tuple(out.shape))


def _arange(b: Builder, out: Any, end: int, **_options: Any) -> View:
    return b.map(Kind.IOTA, DType.INT64, (end,), ())


def _same(b: Builder, out: Any, x: View, **_options: Any) -> View:
    return x


def _overwrite(b: Builder, out: Any, target: View, source: View) -> View:
    if source.dtype is not target.dtype:
        raise ProgramError("a copy that converts")
    return source.broadcast(tuple(out.shape))


def _unbind(b: Builder, out: Any, x: View, dim: int = 0) -> list[View]:
    return [x.select(dim, i) for i in range(x.shape[dim])]


def _slice(b: Builder, out: Any, x: View, dim: int = 0, start: int = 0, end: int = 2**63 - 1) -> View:
    return x.slice(dim, start or 0, end)


def _shift(kind: Kind, b: Builder, x: View, by: int) -> View:
    if x.dtype is not DType.INT32 or not 0 <= by < 32:
        raise ProgramError(f"a shift of {x.dtype.name} by {by}")
    return b.map(kind, DType.INT32, x.shape, (x, _view(by, DType.INT32)))


Handler = Callable[..., Any]
HANDLERS: Final[dict[str, Handler]] = {
    str(getitem): lambda b, out, parts, at: parts[at],
    "aten.clone.default": _same,
    "aten.alias.default": _same,
    "aten.detach.default": _same,
    "aten.empty_like.default": partial(_fill, -1),
    "aten.zeros.default": partial(_fill, -1),
    "aten.full_like.default": partial(_fill, 1),
    "aten.scalar_tensor.default": partial(_fill, 0),
    "aten.arange.default": _arange,
    "aten.copy.default": _overwrite,
    "aten.view.default": _reshape,
    "aten._unsafe_view.default": _reshape,
    "aten.t.default": lambda b, out, x: x.permute([1, 0]),
    "aten.transpose.int": lambda b, out, x, i, j: x.transpose(i, j),
    "aten.permute.default": lambda b, out, x, order: x.permute(order),
    "aten.unsqueeze.default": lambda b, out, x, dim: x.unsqueeze(dim),
    "aten.expand.default": lambda b, out, x, shape: x.broadcast(shape),
    "aten.select.int": lambda b, out, x, dim, at: x.select(dim, at),
    "aten.slice.Tensor": _slice,
    "aten.unbind.int": _unbind,
    "aten.stack.default": _stack,
    "aten.cat.default": _join,
    "aten.lift_fresh_copy.default": _same,
    "aten._to_copy.default": _to,
    "aten.view.dtype": _bitcast,
    "aten.add.Tensor": partial(_arithmetic, Kind.ADD, Kind.INT_ADD),
    "aten.sub.Tensor": partial(_arithmetic, Kind.SUB, Kind.INT_SUB),
    "aten.rsub.Scalar": lambda b, out, x, number: _arithmetic(Kind.SUB, Kind.INT_SUB, b, out, number, x),
    "aten.mul.Tensor": partial(_arithmetic, Kind.MUL, Kind.INT_MUL),
    "aten.div.Tensor_mode": _floor_division,
    "aten.div.Tensor": partial(_arithmetic, Kind.DIV, None),
    "aten.round.default": partial(_arithmetic, Kind.ROUND, None),
    "aten.abs.default": partial(_arithmetic, Kind.ABS, None),
    "aten.sqrt.default": _square_root,
    "aten.gt.Scalar": partial(_compare, Kind.GT, None),
    "aten.lt.Scalar": partial(_compare, Kind.LT, None),
    "aten.ge.Scalar": partial(_compare, Kind.GE, Kind.INT_GE),
    "aten.ge.Tensor": partial(_compare, Kind.GE, Kind.INT_GE),
    "aten.where.self": _where,
    "aten.__lshift__.Scalar": lambda b, out, x, by: _shift(Kind.SHL, b, x, by),
    "aten.__rshift__.Scalar": lambda b, out, x, by: _shift(Kind.SHR, b, x, by),
    "aten.mm.default": _product,
    "aten.bmm.default": _product,
    "aten.amax.default": _largest,
    "aten.sum.dim_IntList": _sum,
    "aten.sum.default": _sum,
    "aten.index.Tensor": _index,
    "aten.gather.default": _gather,
    "aten.scatter.src": _scatter,
    "aten.index_add.default": _index_add,
}
"""By the name PyTorch prints. Arguments: builder, the result's description, then the operation's own."""
