"""Which layer each op of a claim works for: what pins a fault to the owner of one range of layers.

The embedding and the positions belong to layer 0, the head and the loss to the last layer. An op that several layers
need is of the one that needs it first. Ops of no layer (the batch, the schedule) are answered for by the leader.
"""

import struct
from bisect import bisect_right
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Self

from consensus.commitments import tree
from consensus.commitments.levels import Levels
from consensus.errors import ProgramError
from consensus.model.config import ModelConfig
from consensus.program.builder import LayerOf
from consensus.program.ops import NO_LAYER, Program

_FIRST: Final = ("embed", "position")
_LAST: Final = ("head", "loss")


def layer_of(config: ModelConfig) -> LayerOf:
    """The layer of a tensor by its name, with or without the group before it: ``weights/layer003.attn_in`` is of 3."""

    def of(name: str) -> int:
        own = name.rpartition("/")[2]
        if own in _FIRST:
            return 0
        if own in _LAST:
            return config.layers - 1
        return int(own[5:8]) if own.startswith("layer") else NO_LAYER

    return of


@dataclass(frozen=True, slots=True)
class Segment:
    """Ops ``first`` to ``last`` work for ``layer``; the model's number of layers stands for none."""

    first: int
    last: int
    layer: int

    def encode(self) -> bytes:
        """A leaf of the table: first, last (u32 BE each), layer (u16 BE)."""
        return struct.pack(">IIH", self.first, self.last, self.layer)

    def to_tuple(self) -> tuple[int, int, int]:
        """As the contract takes it."""
        return self.first, self.last, self.layer


@dataclass(frozen=True)
class LayerTable:
    """Every op of the step, and behind them those of the update, in segments of one layer each."""

    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, config: ModelConfig, step: Program, update: Program) -> Self:
        """Raises ProgramError where a program was not captured layer by layer."""
        layers = [config.layers if layer == NO_LAYER else layer for layer in (*step.layers, *update.layers)]
        if len(layers) != len(step.ops) + len(update.ops):
            raise ProgramError("a program without the layers of its ops")
        segments, at = [], 0
        for layer, run in groupby(layers):
            count = sum(1 for _ in run)
            segments.append(Segment(at, at + count - 1, layer))
            at += count
        return cls(tuple(segments))

    def root(self) -> bytes:
        """RFC 9162 root over the encoded segments."""
        return tree.root([tree.leaf_hash(segment.encode()) for segment in self.segments])

    def row_of(self, op: int) -> int:
        """The number of the segment that op ``op`` is in; raises ProgramError beyond the last op."""
        if not 0 <= op <= self.segments[-1].last:
            raise ProgramError(f"there is no op {op}")
        return bisect_right(self.segments, op, key=lambda segment: segment.first) - 1

    def proof(self, row: int) -> list[bytes]:
        """The inclusion proof of segment ``row``."""
        return Levels([tree.leaf_hash(segment.encode()) for segment in self.segments]).prove(0, row)
