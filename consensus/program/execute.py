"""Runs a program op by op: the same bits as the fast step, and every op's output in hand."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic import reference_ops
from consensus.errors import ProgramError
from consensus.program.ops import DType, Kind, Op, Operand, Program

_TORCH: Final = {
    DType.BOOL: torch.bool,
    DType.INT16: torch.int16,
    DType.INT32: torch.int32,
    DType.INT64: torch.int64,
    DType.FLOAT32: torch.float32,
}
Watch = Callable[[int, Tensor], Tensor]
"""(op, its output) -> the output that later ops read."""
Results = list[Tensor | None]
"""Dense outputs by op; None where no later op needs them."""


def run(program: Program, inputs: Mapping[str, Tensor], watch: Watch | None = None) -> Iterator[tuple[int, Tensor]]:
    """Each op's number and output in turn; an output is forgotten after its last reader.

    ``watch`` may put another output in an op's place. Raises ProgramError for a missing input or one of another shape
    or type.
    """
    last = _last_readers(program)
    done: Results = [None] * len(program.ops)
    for at, op in enumerate(program.ops):
        out = _given(op, inputs) if op.kind is Kind.INPUT else _compute(op, done)
        if watch is not None:
            out = watch(at, out)
        done[at] = out
        yield at, out
        for operand in op.operands:
            if operand.source is not None and last[operand.source] == at:
                done[operand.source] = None


def execute(program: Program, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The program's outputs by name."""
    wanted: dict[int, list[str]] = {}
    for name, at in program.outputs.items():
        wanted.setdefault(at, []).append(name)
    return {name: out for at, out in run(program, inputs) for name in wanted.get(at, ())}


def _last_readers(program: Program) -> dict[int, int]:
    return {o.source: at for at, op in enumerate(program.ops) for o in op.operands if o.source is not None}


def _given(op: Op, inputs: Mapping[str, Tensor]) -> Tensor:
    tensor = inputs.get(op.name)
    if tensor is None or tuple(tensor.shape) != op.shape or tensor.dtype is not _TORCH[op.dtype]:
        raise ProgramError(f"input {op.name} is not there as {op.dtype.name} {list(op.shape)}")
    return tensor.contiguous()


def _compute(op: Op, done: Results) -> Tensor:
    special = _SPECIAL.get(op.kind)
    if special is not None:
        return special(op, done).reshape(op.shape).contiguous()
    parts = [_read(operand, op, done) for operand in op.operands]
    return reference_ops.ELEMENTWISE[op.kind.name](*parts).reshape(op.shape).contiguous()


def _read(operand: Operand, op: Op, done: Results) -> Tensor:
    """An operand over the op's shape and extent, without a copy."""
    if operand.source is None:
        return _constant(operand).expand((*op.shape, *op.extent))
    source = done[operand.source]
    if source is None:
        raise ProgramError(f"{op.kind.name} reads op {operand.source}, which is not there")
    return source.as_strided((*op.shape, *op.extent), operand.strides, operand.offset)


def _constant(operand: Operand) -> Tensor:
    if operand.dtype is not DType.FLOAT32:
        return torch.tensor(_signed(operand.bits, 64), dtype=_TORCH[operand.dtype])
    return torch.tensor(_signed(operand.bits, 32), dtype=torch.int32).view(torch.float32)


def _signed(bits: int, width: int) -> int:
    return bits - (1 << width) if bits >> (width - 1) else bits


def _convert(op: Op, done: Results) -> Tensor:
    return _read(op.operands[0], op, done).to(_TORCH[op.dtype])


def _iota(op: Op, done: Results) -> Tensor:
    return torch.arange(op.shape[0])


def _stack(op: Op, done: Results) -> Tensor:
    return reference_ops.stack([_read(o, op, done)[0] for o in op.operands])


def _gather(op: Op, done: Results) -> Tensor:
    table, index = op.operands
    source = None if table.source is None else done[table.source]
    if source is None:
        raise ProgramError("a gather needs a table")
    numbers = torch.arange(source.numel())
    start = numbers.as_strided(op.shape, table.strides, table.offset)
    return reference_ops.gather(source.reshape(-1), start, _read(index, op, done), *op.attributes)


def _sum_at(op: Op, done: Results) -> Tensor:
    index, columns = (_read(operand, op, done) for operand in op.operands)
    return reference_ops.sum_at(index[0, 0], columns[0], op.shape[0])


_SPECIAL: Final[dict[Kind, Callable[[Op, Results], Tensor]]] = {
    Kind.IOTA: _iota,
    Kind.STACK: _stack,
    Kind.TO_INT: _convert,
    Kind.TO_FLOAT: _convert,
    Kind.GATHER: _gather,
    Kind.SUM_AT: _sum_at,
    Kind.MAX: lambda op, done: reference_ops.largest(_read(op.operands[0], op, done), len(op.extent)),
    Kind.INT_SUM: lambda op, done: reference_ops.integer_sum(_read(op.operands[0], op, done), len(op.extent)),
    Kind.DOT: lambda op, done: reference_ops.integer_product(*(_read(o, op, done) for o in op.operands)),
}
