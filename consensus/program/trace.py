"""The op trace of one step: what a prover commits to only when a dispute asks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from consensus.commitments import tree
from consensus.commitments.tensors import tensor_root
from consensus.errors import CommitmentError
from consensus.program.execute import run
from consensus.program.ops import Program


@dataclass(frozen=True, slots=True)
class OpTrace:
    """The tensor root of every op's output, in the order of the program."""

    roots: tuple[bytes, ...]

    @classmethod
    def of(cls, program: Program, inputs: Mapping[str, Tensor]) -> "OpTrace":
        """Runs the program and hashes what each op wrote: dense, row-major, little-endian, 1,024-byte leaves."""
        return cls(tuple(tensor_root(out) for _, out in run(program, inputs)))

    @property
    def leaves(self) -> list[bytes]:
        """Leaf hashes: one tensor root (32 bytes) an op."""
        return [tree.leaf_hash(root) for root in self.roots]

    def root(self) -> bytes:
        """RFC 9162 root over the ops."""
        return tree.root(self.leaves)

    def prove(self, op: int) -> list[bytes]:
        """Siblings of op ``op`` from the bottom up; IndexError outside the program."""
        return tree.inclusion_proof(self.leaves, op)


def first_wrong_op(program: Program, committed: Sequence[bytes], recomputed: OpTrace) -> int | None:
    """The first op whose output differs while all that it reads agrees; None where every root agrees.

    Ops run in order and each reads earlier ones only, so the first that differs is such an op. Raises CommitmentError
    when there are not as many roots as ops: a trace that skips or adds ops needs no op to be judged.
    """
    if len(committed) != len(program.ops):
        raise CommitmentError(f"an op trace of {len(committed)} roots for a program of {len(program.ops)} ops")
    pairs = zip(committed, recomputed.roots, strict=True)
    return next((at for at, (theirs, ours) in enumerate(pairs) if theirs != ours), None)
