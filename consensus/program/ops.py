"""The op set of a step program, and its canonical encoding.

Every op writes one dense tensor, in row-major order of its shape. It reads each operand through an affine index map, so
transposes, reshapes, slices and broadcasts are no ops of their own.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from math import prod
from typing import Final

from consensus.commitments import tensors, tree
from consensus.commitments.levels import Levels
from consensus.errors import ProgramError

NO_LAYER: Final = -1
"""The layer of an op that works for none."""

_MAX_U32: Final = 2**32 - 1
_DOMAIN: Final = b"ponw/step-program/2\x00"


class Kind(IntEnum):
    """What an op does to one element. Adding a kind means that the contract learns it too."""

    INPUT = 0
    COPY = 1
    STACK = 2
    IOTA = 3
    ADD = 4
    SUB = 5
    MUL = 6
    DIV = 7
    SQRT = 8
    ROUND = 9
    ABS = 10
    GT = 11
    GE = 12
    LT = 13
    WHERE = 14
    TO_INT = 15
    TO_FLOAT = 16
    AS_INT = 17
    AS_FLOAT = 18
    INT_ADD = 19
    INT_SUB = 20
    INT_GE = 21
    INT_EQ = 22
    SHL = 23
    SHR = 24
    MAX = 25
    INT_SUM = 26
    DOT = 27
    GATHER = 28
    SUM_AT = 29
    INT_MUL = 30
    INT_DIV = 31


class DType(IntEnum):
    """Element types of op outputs; little-endian in memory."""

    BOOL = 0
    INT16 = 1
    INT32 = 2
    INT64 = 3
    FLOAT32 = 4


WIDTHS: Final = {DType.BOOL: 1, DType.INT16: 2, DType.INT32: 4, DType.INT64: 8, DType.FLOAT32: 4}
"""Bytes of one element."""

REDUCTIONS: Final = frozenset({Kind.MAX, Kind.INT_SUM, Kind.DOT, Kind.SUM_AT})
"""Kinds whose element reads ``extent`` elements of an operand, along its last map dimensions."""


@dataclass(frozen=True, slots=True)
class Operand:
    """What an op reads: element ``offset + sum(index * stride)`` of an earlier op, or one constant everywhere.

    ``dtype`` is the type in memory. ``strides`` has one entry a dimension of the op's shape, then one a dimension of
    its extent. ``source`` is None for a constant, whose value is ``bits``: 32 bits of a float, two's complement of an
    integer.
    """

    source: int | None
    dtype: DType
    offset: int = 0
    strides: tuple[int, ...] = ()
    bits: int = 0

    def encode(self, size_of: Callable[[int], int]) -> bytes:
        """``size_of`` gives the elements that an op's output holds."""
        if self.source is None:
            return struct.pack(">BBQ", 0, self.dtype, self.bits & (2**64 - 1))
        place = (self.source, size_of(self.source), self.offset)
        return struct.pack(f">BBIQQ{len(self.strides)}I", 1, self.dtype, *place, *self.strides)


@dataclass(frozen=True, slots=True)
class Op:
    """One op. ``extent`` is the shape a reduction runs over, empty for others.

    ``name`` names an INPUT. ``attributes``: GATHER (stride, limit) of the gathered dimension; others none.
    """

    kind: Kind
    dtype: DType
    shape: tuple[int, ...]
    operands: tuple[Operand, ...] = ()
    extent: tuple[int, ...] = ()
    attributes: tuple[int, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        sizes = (*self.shape, *self.extent, *self.attributes)
        if any(not 0 <= size <= _MAX_U32 for size in sizes) or bool(self.extent) != (self.kind in REDUCTIONS):
            raise ProgramError(f"{self.kind.name} with shape {self.shape} and extent {self.extent} is no op")
        rank = len(self.shape) + len(self.extent)
        if any(o.source is not None and len(o.strides) != rank for o in self.operands):
            raise ProgramError(f"an operand of {self.kind.name} is not mapped over {rank} dimensions")

    @property
    def sources(self) -> tuple[int, ...]:
        """The op that each operand reads, constants left out."""
        return tuple(operand.source for operand in self.operands if operand.source is not None)

    @property
    def size(self) -> int:
        """Elements of the output."""
        return prod(self.shape)

    def encode(self, size_of: Callable[[int], int]) -> bytes:
        """kind, dtype (u8 each), then shape, extent, attributes, operands and name, each after its count (u8).

        ``size_of``: elements of an earlier op's output.
        """
        parts = [struct.pack(">BB", self.kind, self.dtype)]
        parts += [struct.pack(f">B{len(p)}I", len(p), *p) for p in (self.shape, self.extent, self.attributes)]
        parts += [bytes([len(self.operands)]), *(operand.encode(size_of) for operand in self.operands)]
        return b"".join(parts) + bytes([len(self.name)]) + self.name.encode("ascii")


def port(name: str, at: int, op: Op) -> bytes:
    """``op (u32 BE) ‖ bytes of its output (u64 BE) ‖ head``: the head is that of the tensor's leaf in its set."""
    return struct.pack(">IQ", at, op.size * WIDTHS[op.dtype]) + tensors.head(name, op.dtype.name.lower(), op.shape)


@dataclass(frozen=True)
class Program:
    """Ops in an order in which each reads earlier ones only.

    ``inputs`` and ``outputs`` map names to ops, in the order in which the step was given and gave them. A name is a
    tensor's own after the group it belongs to: ``weights/embed``. ``layers``: the layer that first needs each op, -1
    where that is none; empty where the program was not captured layer by layer. It is no part of the root.
    """

    ops: tuple[Op, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for at, op in enumerate(self.ops):
            if any(o.source is not None and o.source >= at for o in op.operands):
                raise ProgramError(f"op {at} {op.kind.name} reads an op that has not run")
        given = {op.name: at for at, op in enumerate(self.ops) if op.kind is Kind.INPUT}
        if given != self.inputs:
            raise ProgramError("an input is not named, or no result depends on it")

    def then(self, second: "Program") -> "Program":
        """The ops of this program, then those of ``second``, whose inputs are outputs of this one; its outputs take the
        place of those of the same name. Raises ProgramError for an input that is no output here, or has another shape.
        """
        number: dict[int, int] = {}
        ops = list(self.ops)
        for at, op in enumerate(second.ops):
            if op.kind is Kind.INPUT:
                given = self.outputs.get(op.name)
                if given is None or (ops[given].shape, ops[given].dtype) != (op.shape, op.dtype):
                    raise ProgramError(f"no output {op.name} of shape {op.shape} for what follows")
                number[at] = given
                continue
            moved = (o if o.source is None else replace(o, source=number[o.source]) for o in op.operands)
            number[at] = len(ops)
            ops.append(replace(op, operands=tuple(moved)))
        outputs = self.outputs | {name: number[at] for name, at in second.outputs.items()}
        return Program(tuple(ops), self.inputs, outputs)

    @cached_property
    def leaves(self) -> list[bytes]:
        """Leaf hashes of the op descriptors, then of the inputs' ports, then of the outputs'."""
        return [tree.leaf_hash(data) for data in (*map(self.descriptor, range(len(self.ops))), *self.ports)]

    def descriptor(self, at: int) -> bytes:
        """What the program's tree holds of op ``at``."""
        return self.ops[at].encode(lambda source: self.ops[source].size)

    @cached_property
    def levels(self) -> Levels:
        """The tree that ``root`` is the root of."""
        return Levels(self.leaves)

    @cached_property
    def ports(self) -> list[bytes]:
        """What ties each input, then each output, to a leaf of a state: see ``port``."""
        named = (*self.inputs.items(), *self.outputs.items())
        return [port(name.rpartition("/")[2], at, self.ops[at]) for name, at in named]

    def root(self) -> bytes:
        """RFC 9162 root over the descriptors: what makes "op k of the step" a fact that a contract can open."""
        return self.levels.root

    def hash(self) -> bytes:
        """sha256("ponw/step-program/2" ‖ 0x00 ‖ ops (u32 BE) ‖ root), 32 bytes."""
        return hashlib.sha256(_DOMAIN + len(self.ops).to_bytes(4, "big") + self.root()).digest()

    def kinds(self) -> Counter[Kind]:
        """How many ops there are of each kind."""
        return Counter(op.kind for op in self.ops)
