"""Everything a claim may have run, under one hash: the step, the update, the outer steps and the step's schedule."""

import hashlib
from dataclasses import astuple, dataclass, replace
from functools import cache
from typing import Final, Self

from consensus.commitments import tree
from consensus.commitments.tensors import tensor_bytes
from consensus.model.config import ModelConfig
from consensus.program.infer import infer_program
from consensus.program.layers import LayerTable
from consensus.program.ops import Program
from consensus.program.outer import outer_program
from consensus.program.step import schedule_row, step_program
from consensus.program.update import update_program
from consensus.training.optimizer import AdamW
from consensus.training.resize import Change
from economics.constants import MAX_CLAIMS, MAX_STEPS

_DOMAIN: Final = b"ponw/programs/1\x00"


@dataclass(frozen=True, slots=True)
class Suite:
    """What a contract must know of a network's programs to judge any scalar of any claim. Roots have 32 bytes.

    ``tensors``: of one set (weights, a moment, an update). ``outer_root``: RFC 9162 tree, leaf n - 1 is ``ops (u32 BE)
    ‖ root`` of the outer step over n claims. ``schedule_root``: leaf d is the 16 bytes of input ``schedule`` of step d.
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
            schedule_root=tree.root(schedule_leaves(optimizer or AdamW(), MAX_STEPS)),
            sequences=config.batch,
            length=config.seq_len + 1,
            layer_segments=len(table.segments),
            layers_root=table.root(),
        )

    def changing(self, config: ModelConfig, change: Change | None) -> Self:
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
def outer_leaves(config: ModelConfig, claims: int, change: Change | None = None) -> list[bytes]:
    """Leaf hashes of the outer programs over 1 to ``claims`` claims."""
    return [_outer_leaf(outer_program(config, count, change)) for count in range(1, claims + 1)]


@cache
def schedule_leaves(optimizer: AdamW, steps: int) -> list[bytes]:
    """Leaf hashes of the schedule's rows; each is also the tensor root of that row."""
    return [tree.leaf_hash(tensor_bytes(schedule_row(optimizer, step)).tobytes()) for step in range(steps)]


def _outer_leaf(program: Program) -> bytes:
    return tree.leaf_hash(len(program.ops).to_bytes(4, "big") + program.root())
