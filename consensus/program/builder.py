"""Collects the ops of a program: equal ops become one, and what no output needs is dropped."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

from consensus.errors import ProgramError
from consensus.program.ops import NO_LAYER, DType, Kind, Op, Program
from consensus.program.views import View

LayerOf = Callable[[str], int]
"""The layer of a named tensor, NO_LAYER where it has none."""

SHORT_REDUCTION = 16
"""A reduction over more elements than this reads them next to each other, so that a judge opens few leaves."""


def of_none(name: str) -> int:
    """No tensor has a layer."""
    return NO_LAYER


class Builder:
    """Ops in the order they were first needed."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self._inputs = inputs
        self._ops: list[Op] = []
        self._layers: list[int] = []
        self.layer = NO_LAYER
        """The layer that the ops added from here on work for."""
        self._seen: dict[bytes, int] = {}

    def add(self, op: Op) -> int:
        """The index of this op, an earlier one where an equal op is there already."""
        key = op.encode(lambda at: self._ops[at].size)
        if key not in self._seen:
            self._seen[key] = len(self._ops)
            self._ops.append(op)
            self._layers.append(self.layer)
        return self._seen[key]

    def input(self, name: str, dtype: DType, shape: Sequence[int]) -> View:
        """A tensor that the program is given."""
        return self._dense(Op(Kind.INPUT, dtype, tuple(shape), name=name))

    def map(
        self, kind: Kind, dtype: DType, shape: Sequence[int], parts: Sequence[View], attributes: tuple[int, ...] = ()
    ) -> View:
        """An op that works element by element, its operands spread to ``shape``."""
        operands = tuple(part.broadcast(shape).operand() for part in parts)
        return self._dense(Op(kind, dtype, tuple(shape), operands, attributes=attributes))

    def reduce(
        self, kind: Kind, dtype: DType, shape: Sequence[int], parts: Sequence[View], extent: Sequence[int]
    ) -> View:
        """An op over the last dimensions of its operands, whose shapes are ``shape`` then ``extent``."""
        whole = (*shape, *extent)
        if any(part.shape != whole for part in parts):
            raise ProgramError(f"{kind.name} over {whole} was given shapes {[part.shape for part in parts]}")
        return self._dense(Op(kind, dtype, tuple(shape), tuple(p.operand() for p in parts), tuple(extent)))

    def gather(self, table: View, dim: int, index: View, shape: Sequence[int]) -> View:
        """Elements of ``table``; ``index``, spread to ``shape``, says where along ``dim``. The other dimensions of
        ``table`` are those of ``shape``."""
        start = replace(
            table,
            shape=tuple(shape),
            strides=tuple(0 if i == dim else s for i, s in enumerate(table.strides)),
        )
        attributes = (table.strides[dim], table.shape[dim])
        operands = (start.operand(), index.broadcast(shape).operand())
        return self._dense(Op(Kind.GATHER, table.held, tuple(shape), operands, attributes=attributes))

    def copy(self, view: View) -> View:
        """A dense tensor of the same elements; the view itself where it is dense already."""
        if (
            view.source is not None
            and view.is_dense
            and view.offset == 0
            and self._ops[view.source].shape == view.shape
        ):
            return view
        out = self._dense(Op(Kind.COPY, view.held, view.shape, (view.operand(),)))
        return replace(out, dtype=view.dtype, widened=view.widened)

    def rows(self, view: View) -> View:
        """A view whose last dimension lies in memory in one piece."""
        return view if view.shape[-1] <= SHORT_REDUCTION or view.strides[-1] == 1 else self.copy(view)

    def include(self, program: Program, placeholder: str, name: str) -> dict[str, View]:
        """The outputs of a program whose ports name a ``placeholder``, run on inputs of this one that have ``name`` in
        its place."""
        number: dict[int, int] = {}
        for at, op in enumerate(program.ops):
            moved = _renumber(op, number)
            number[at] = self.add(replace(moved, name=_renamed(op.name, placeholder, name)))
        ports = ((_renamed(port, placeholder, name), at) for port, at in program.outputs.items())
        return {port: View.dense(number[at], program.ops[at].dtype, program.ops[at].shape) for port, at in ports}

    def finish(self, outputs: dict[str, View], layer_of: LayerOf = of_none) -> Program:
        """The program of what these need, renumbered. ``layer_of`` gives the layer of a named output."""
        wanted: dict[str, int | None] = {}
        for name, view in outputs.items():
            self.layer = layer_of(name)
            wanted[name] = self.copy(view).source
        needed: set[int] = set()
        waiting = [at for at in wanted.values() if at is not None]
        while waiting:
            at = waiting.pop()
            if at not in needed:
                needed.add(at)
                waiting += [o.source for o in self._ops[at].operands if o.source is not None]
        number = {old: new for new, old in enumerate(sorted(needed))}
        ops = tuple(_renumber(self._ops[old], number) for old in sorted(needed))
        given = {op.name: at for at, op in enumerate(ops) if op.kind is Kind.INPUT}
        if missing := [name for name in self._inputs if name not in given]:
            raise ProgramError(f"no result depends on input {missing[0]}")
        inputs = {name: given[name] for name in self._inputs}
        layers = tuple(self._layers[old] for old in sorted(needed))
        return Program(ops, inputs, {name: number[at] for name, at in wanted.items() if at is not None}, layers)

    def _dense(self, op: Op) -> View:
        return View.dense(self.add(op), op.dtype, op.shape)


def _renumber(op: Op, number: dict[int, int]) -> Op:
    moved = (o if o.source is None else replace(o, source=number[o.source]) for o in op.operands)
    return replace(op, operands=tuple(moved))


def _renamed(port: str, placeholder: str, name: str) -> str:
    group, slash, rest = port.rpartition("/")
    return f"{group}{slash}{name}" if slash and rest == placeholder else port


def bits_of(value: float | int | bool, dtype: DType) -> int:
    """The bits of a constant; raises ProgramError where fp32 does not hold it."""
    if dtype is not DType.FLOAT32:
        return int(value) & (2**64 - 1)
    packed = struct.pack("<f", value)
    if struct.unpack("<f", packed)[0] != value:
        raise ProgramError(f"the constant {value!r} is no fp32 number")
    return int.from_bytes(packed, "little")
