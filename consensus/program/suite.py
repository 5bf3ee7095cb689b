"""Everything a claim may have run, under one hash: the step, the update, the outer steps and the step's schedule."""

import hashlib
from dataclasses import astuple, dataclass, replace
from functools import cache
from typing import Final, Self

from consensus.commitments import tree
from consensus.commitments.tensors import tensor_bytes
from consensus.errors import ProgramError
from consensus.model.config import ModelConfig
from consensus.program.infer import infer_program
from consensus.program.layers import LayerTable
from consensus.program.ops import Program
from consensus.program.outer import outer_program
from consensus.program.step import schedule_row, step_program
from consensus.program.update import update_program
from consensus.training.growth import Transition
from consensus.training.optimizer import AdamW
from economics.constants import MAX_CLAIMS, MAX_STEPS

_DOMAIN: Final = b"ponw/programs/1\x00"
OPS_BITS: Final = 20


@dataclass(frozen=True, slots=True)
class Suite:
    """What a contract must know of a network's programs to judge any scalar of any claim. Roots have 32 bytes.

    ``tensors``: of one set (weights, a moment, an update). ``outer_root``: RFC 9162 tree, leaf n - 1 is ``size (u32 BE)
    ‖ root`` of the outer step over n claims, its size as ``outer_size`` has it. ``schedule_root``: leaf d is input
    ``schedule`` of step d: 16 bytes, or 32 where there are young layers.
    A batch is int32 [sequences, length]. ``layers_root``: tree of the ``layer_segments`` segments of ``LayerTable``.
    """

    tensors: int
    step_ops: int
    step_root: bytes
    update_ops: int
    update_root: bytes
    outer_count: int
    outer_root: bytes
    schedule_steps: int
    schedule_root: bytes
    sequences: int
    length: int
    layer_segments: int
    layers_root: bytes

    @classmethod
    def of(cls, config: ModelConfig, optimizer: AdamW | None = None, claims: int = MAX_CLAIMS) -> Self:
        """Captures every program of an architecture; ``claims``: most that an outer step sums up."""
        step, update = step_program(config, optimizer), update_program(config)
        table = LayerTable.of(config, step, update)
        return cls(
            tensors=len(config.shapes()),
            step_ops=len(step.ops),
            step_root=step.root(),
            update_ops=len(update.ops),
            update_root=update.root(),
            outer_count=claims,
            outer_root=tree.root(outer_leaves(config, claims)),
            schedule_steps=MAX_STEPS,
            schedule_root=tree.root(schedule_leaves(optimizer or AdamW(), MAX_STEPS, config)),
            sequences=config.batch,
            length=config.seq_len + 1,
            layer_segments=len(table.segments),
            layers_root=table.root(),
        )

    def changing(self, config: ModelConfig, change: Transition | None) -> Self:
        """The suite of the round that ends with ``change``, of the one of ``config`` without it: only the outer steps
        differ."""
        if change is None:
            return self
        change.after(config)
        return replace(self, outer_root=tree.root(outer_leaves(config, self.outer_count, change)))

    def hash(self) -> bytes:
        """sha256("ponw/programs/1" ‖ 0x00 ‖ every field as one big-endian 32-byte word): a claim's program hash."""
        words = (value if isinstance(value, bytes) else value.to_bytes(32, "big") for value in astuple(self))
        return hashlib.sha256(_DOMAIN + b"".join(words)).digest()


@cache
def answer_suite(config: ModelConfig) -> Suite:
    """What ANSWER claims name: their step is one token, a context is one sequence. Captured, which takes seconds."""
    program, none = infer_program(config), bytes(32)
    return Suite(
        len(config.shapes()), len(program.ops), program.root(), 0, none, 0, none, 0, none, 1, config.seq_len, 0, none
    )


@cache
def outer_leaves(config: ModelConfig, claims: int, change: Transition | None = None) -> list[bytes]:
    """Leaf hashes of the outer programs over 1 to ``claims`` claims."""
    if config.young and change is None:
        return outer_leaves(config.grown_up, claims)
    programs = (outer_program(config, count, change) for count in range(1, claims + 1))
    return [tree.leaf_hash(outer_size(one, config, change).to_bytes(4, "big") + one.root()) for one in programs]


def outer_size(program: Program, config: ModelConfig, change: Transition | None = None) -> int:
    """An outer step's ops, and above their 20 bits the tensors of a set that it leaves, where layers come or go.

    Raises ProgramError beyond 20 and 12 bits.
    """
    before, after = (len(one.shapes()) for one in (config, config if change is None else change.after(config)))
    if len(program.ops) >> OPS_BITS or after >> (32 - OPS_BITS):
        raise ProgramError(f"an outer step of {len(program.ops)} ops and {after} tensors a set is beyond its encoding")
    return len(program.ops) | (after << OPS_BITS if after != before else 0)


@cache
def schedule_leaves(optimizer: AdamW, steps: int, config: ModelConfig | None = None) -> list[bytes]:
    """Leaf hashes of the schedule's rows; each is also the tensor root of that row. ``config`` matters where it has
    young layers: their rate depends on their age."""
    return [tree.leaf_hash(tensor_bytes(schedule_row(optimizer, step, config)).tobytes()) for step in range(steps)]
