"""One step run op by op for a dispute: its op trace, and any of its outputs."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from torch import Tensor

from consensus.commitments import tree
from consensus.commitments.levels import Levels
from consensus.commitments.tensors import tensor_bytes, tensor_root
from consensus.program.execute import Watch, run
from consensus.program.ops import Program
from economics.constants import LEAF_BYTES

KEPT_OUTPUTS = 8
"""Outputs of ops kept between passes."""


class Rerun:
    """A program on one step's inputs. Every pass gives the same bits."""

    def __init__(self, program: Program, inputs: Mapping[str, Tensor], watch: Watch | None = None) -> None:
        self.program, self.inputs, self._watch = program, inputs, watch
        self._kept: dict[int, Tensor] = {}

    @cached_property
    def roots(self) -> list[bytes]:
        """The tensor root of every op's output."""
        return self._pass()[0]

    @cached_property
    def trace(self) -> Levels:
        """The op trace: one leaf an op."""
        return Levels([tree.leaf_hash(leaf) for leaf in self.leaves])

    @property
    def leaves(self) -> list[bytes]:
        """The data of the op trace's leaves, see ``trace_leaves``."""
        return trace_leaves(self.program, self.roots)

    def outputs(self, ops: Iterable[int]) -> dict[int, Tensor]:
        """What these ops wrote. The outputs of a few ops are kept: every move of a game asks for the same ones."""
        wanted = frozenset(ops)
        if wanted <= self._kept.keys():
            return {op: self._kept[op] for op in wanted}
        found = self._pass(wanted, roots=False)[1]
        if len(wanted) <= KEPT_OUTPUTS:
            self._kept = found if len(self._kept) + len(found) > KEPT_OUTPUTS else self._kept | found
        return found

    def results(self) -> dict[str, Tensor]:
        """The program's outputs by name."""
        found = self.outputs(self.program.outputs.values())
        return {name: found[at] for name, at in self.program.outputs.items()}

    def _pass(self, wanted: frozenset[int] = frozenset(), roots: bool = True) -> tuple[list[bytes], dict[int, Tensor]]:
        found, kept = [], {}
        for at, out in run(self.program, self.inputs, self._watch):
            if roots:
                found.append(tensor_root(out))
            if at in wanted:
                kept[at] = out
        return found, kept


def trace_leaves(program: Program, roots: Sequence[bytes]) -> list[bytes]:
    """Leaf data of an op trace: the root of an op's output, then of the outputs that its operands read, in order."""
    return [root + b"".join(roots[at] for at in op.sources) for op, root in zip(program.ops, roots, strict=True)]


def pieces(tensor: Tensor) -> list[bytes]:
    """The data of a tensor's leaves."""
    data = tensor_bytes(tensor).tobytes()
    return [data[at : at + LEAF_BYTES] for at in range(0, len(data), LEAF_BYTES)]


def tensor_levels(tensor: Tensor) -> Levels:
    """The tree of a tensor."""
    return Levels([tree.leaf_hash(piece) for piece in pieces(tensor)])
