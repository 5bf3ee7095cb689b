"""What a prover reveals when it is asked: nodes below a node, or the data of a leaf."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from consensus.commitments import tree
from consensus.commitments.levels import Levels
from consensus.dispute.game import SETS_AFTER, Case
from consensus.dispute.moves import Tree
from consensus.dispute.rerun import Rerun, pieces
from consensus.dispute.states import group_leaves, output_ports


@dataclass
class Prover:
    """One game from the prover's side: the step in question, run again.

    ``after``: leaf hashes of the sets of the committed state; by default those of the program's results.
    ``steps``: data of the leaves of the claim's trace.
    """

    case: Case
    rerun: Rerun
    after: Sequence[Sequence[bytes]] | None = None
    steps: Sequence[bytes] = ()

    def children(self, which: Tree, number: int, level: int, index: int) -> list[bytes]:
        """The nodes below one; ``number`` is the op of a Tensor or the set of a Set."""
        return self.levels(which, number).below(level, index)

    def data(self, which: Tree, number: int, index: int) -> bytes:
        """The data of a leaf."""
        if which is Tree.TRACE:
            return self.rerun.leaves[index]
        if which is Tree.SETS:
            return self._sets[index].root
        if which is Tree.STEPS:
            return self.steps[index]
        return pieces(self.rerun.outputs([number])[number])[index]

    @cached_property
    def _sets(self) -> list[Levels]:
        if self.after is not None:
            return [Levels(leaves) for leaves in self.after]
        ports, tensors = output_ports(self.case.program), len(self.case.tensors_after)
        sets = range(max(SETS_AFTER[self.case.dispute.stage], 1))
        return [Levels(group_leaves(ports, self.rerun.roots, s, tensors)) for s in sets]

    def levels(self, which: Tree, number: int) -> Levels:
        """The tree that is asked about."""
        if which is Tree.TRACE:
            return self.rerun.trace
        if which is Tree.STEPS:
            return Levels([tree.leaf_hash(step) for step in self.steps])
        if which is Tree.SETS:
            return Levels([tree.leaf_hash(one.root) for one in self._sets])
        if which is Tree.SET:
            return self._sets[number]
        return Levels([tree.leaf_hash(piece) for piece in pieces(self.rerun.outputs([number])[number])])
