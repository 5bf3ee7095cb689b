"""The op set of a step program, and its canonical encoding.

Every op writes one dense tensor, in row-major order of its shape. It reads each operand through an affine index map, so
transposes, reshapes, slices and broadcasts are no ops of their own.
"""

import hashlib
import struct
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from math import prod
from typing import Final

from consensus.commitments import tree
from consensus.errors import ProgramError

_MAX_U32: Final = 2**32 - 1
_DOMAIN: Final = b"ponw/step-program/1\x00"


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

    def encode(self) -> bytes:
        if self.source is None:
            return struct.pack(">BBQ", 0, self.dtype, self.bits & (2**64 - 1))
        return struct.pack(f">BBIQ{len(self.strides)}I", 1, self.dtype, self.source, self.offset, *self.strides)


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
    def size(self) -> int:
        """Elements of the output."""
        return prod(self.shape)

    def encode(self) -> bytes:
        """kind, dtype (u8 each), then shape, extent, attributes, operands and name, each after its count (u8)."""
        parts = [struct.pack(">BB", self.kind, self.dtype)]
        parts += [struct.pack(f">B{len(p)}I", len(p), *p) for p in (self.shape, self.extent, self.attributes)]
        parts += [bytes([len(self.operands)]), *(operand.encode() for operand in self.operands)]
        return b"".join(parts) + bytes([len(self.name)]) + self.name.encode("ascii")


@dataclass(frozen=True)
class Program:
    """Ops in an order in which each reads earlier ones only; ``outputs`` maps a result's name to its op."""

    ops: tuple[Op, ...]
    outputs: dict[str, int]

    def __post_init__(self) -> None:
        for at, op in enumerate(self.ops):
            if any(o.source is not None and o.source >= at for o in op.operands):
                raise ProgramError(f"op {at} {op.kind.name} reads an op that has not run")

    @cached_property
    def leaves(self) -> list[bytes]:
        """Leaf hashes of the op descriptors, then of the outputs: ``name ‖ 0x00 ‖ op (u32 BE)`` in order of names."""
        named = (name.encode() + b"\0" + at.to_bytes(4, "big") for name, at in sorted(self.outputs.items()))
        return [tree.leaf_hash(data) for data in (*(op.encode() for op in self.ops), *named)]

    def root(self) -> bytes:
        """RFC 9162 root over the descriptors: what makes "op k of the step" a fact that a contract can open."""
        return tree.root(self.leaves)

    def hash(self) -> bytes:
        """sha256("ponw/step-program/1" ‖ 0x00 ‖ ops (u32 BE) ‖ root), 32 bytes."""
        return hashlib.sha256(_DOMAIN + len(self.ops).to_bytes(4, "big") + self.root()).digest()

    def kinds(self) -> Counter[Kind]:
        """How many ops there are of each kind."""
        return Counter(op.kind for op in self.ops)
