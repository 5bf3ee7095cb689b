"""What a challenger does next: the one proof that wins, or a demand for what the proof still needs."""

from dataclasses import dataclass, field
from functools import cached_property

from consensus.commitments import tree
from consensus.commitments.levels import Levels
from consensus.commitments.tree import HASH_BYTES
from consensus.dispute import evidence
from consensus.dispute.abi import NO_OUTPUT, NO_PATH, Proof, output_root, set_path
from consensus.dispute.elements import Element, first_difference
from consensus.dispute.game import SETS_AFTER, Case, Stage
from consensus.dispute.knowledge import Foreign, Knowledge, Place, UnknownNodeError
from consensus.dispute.moves import Facts, Move, NothingWrongError, Tree
from consensus.dispute.rerun import tensor_levels
from consensus.dispute.states import group_leaves, input_ports, output_ports
from consensus.program.ops import Kind


@dataclass
class Challenger:
    """One game from the challenger's side. ``knowledge`` grows by what is served and revealed."""

    case: Case
    facts: Facts
    knowledge: Knowledge = field(default_factory=Knowledge)

    def next_move(self) -> Move:
        """The next call. Raises NothingWrongError where the prover is right, about every step of the claim."""
        if not self._agrees_before():
            return self._other_step("the step starts from another state than the right one")
        try:
            return self._here()
        except NothingWrongError as error:
            return self._other_step(error.message)

    def _agrees_before(self) -> bool:
        """Whether the step starts where it should: an earlier step is wrong where it does not."""
        dispute, tensors = self.case.dispute, len(self.case.tensors)
        ports, roots = input_ports(self.case.program), self.facts.rerun.roots
        if dispute.stage is Stage.UPDATE:
            end = tree.root(group_leaves(ports, roots, 1, tensors))
            sets = [tree.leaf_hash(root) for root in (end, *self.facts.moment_roots)]
            return tree.root(sets) == dispute.claim.end_root
        if dispute.stage in (Stage.OUTER, Stage.ANSWER) or dispute.step == 0:
            return True
        sets = [tree.leaf_hash(tree.root(group_leaves(ports, roots, number, tensors))) for number in range(3)]
        return tree.root(sets) == dispute.before

    def _other_step(self, why: str) -> Move:
        """Look for the first wrong step of the whole claim, and point at it."""
        if self.facts.leaves is None:
            raise NothingWrongError(why)
        claim = self.case.dispute.claim
        own = Levels([tree.leaf_hash(leaf) for leaf in self.facts.leaves()])
        steps = Foreign(claim.trace_root, own, self.knowledge)
        try:
            wrong = steps.first_difference()
        except UnknownNodeError as missing:
            return self._demand(Tree.STEPS, steps, missing.place)
        if wrong is None or wrong.index == self.case.dispute.step:
            raise NothingWrongError(why)
        return Move("repoint", (wrong.index,), f"{why}; step {wrong.index} is the first wrong one")

    def _here(self) -> Move:
        """The next call about this step."""
        try:
            wrong = self.trace.first_difference()
            data = b"" if wrong is None else self.knowledge.data(wrong)
        except UnknownNodeError as missing:
            return self._demand(Tree.TRACE, self.trace, missing.place)
        if wrong is None:
            return self._around()
        right = evidence.sources_of(self.case, self.facts, wrong.index)
        if len(data) != HASH_BYTES * (1 + len(right)):
            return self._demand(Tree.TRACE, self.trace, wrong)  # no data of that length can be revealed
        root, named = data[:HASH_BYTES], data[HASH_BYTES:]
        slot = next((i for i, one in enumerate(right) if named[i * HASH_BYTES : (i + 1) * HASH_BYTES] != one), None)
        if slot is not None:
            return evidence.source(self.case, self.facts, self.trace, wrong.index, data, slot)
        op = self.case.program.ops[wrong.index]
        # The batch, once it is the one that the leaf names, and the weights of an outer step are shown by one element.
        by_element = op.name == "counts" or (op.name == "tokens" and root == self.case.dispute.batch)
        if op.kind is not Kind.INPUT or by_element:
            return self._element(wrong.index, root)
        return evidence.given(self.case, self.facts, self.trace, wrong.index, root)

    @cached_property
    def trace(self) -> Foreign:
        """The prover's op trace."""
        return Foreign(self.case.dispute.trace, self.facts.rerun.trace, self.knowledge)

    @cached_property
    def _own_sets(self) -> list[Levels]:
        """The sets of the state that follows, as recomputed."""
        ports, tensors = output_ports(self.case.program), len(self.case.tensors_after)
        sets = range(max(SETS_AFTER[self.case.dispute.stage], 1))
        return [Levels(group_leaves(ports, self.facts.rerun.roots, s, tensors)) for s in sets]

    def _element(self, op: int, root: bytes) -> Move:
        own = self.facts.rerun.outputs([op])[op]
        foreign = Foreign(root, tensor_levels(own), self.knowledge)
        try:
            wrong = foreign.first_difference()
            if wrong is None:
                raise NothingWrongError(f"op {op} is the one that was recomputed")
            data = self.knowledge.data(wrong)
        except UnknownNodeError as missing:
            return self._demand(Tree.TENSOR, foreign, missing.place, op, root)
        index, committed = first_difference(own, wrong.index, data)
        found = Element(op, index, committed, root, wrong.index, data, foreign.prove(0, wrong.index))
        if self.case.program.ops[op].name == "tokens":
            if self.case.dispute.stage is Stage.ANSWER:
                return evidence.context(self.case, self.facts, found)
            return evidence.token(self.case, self.facts, found)
        if self.case.program.ops[op].name == "counts":
            return evidence.count(self.case, self.facts, self.trace, found)
        return evidence.element(self.case, self.facts, self.trace, found)

    def _around(self) -> Move:
        """Every op agrees, so the batch, the state after the step, or the loss is not what they say."""
        tokens = self.case.program.inputs.get("tokens")
        if tokens is not None and self.facts.rerun.roots[tokens] != self.case.dispute.batch:
            return evidence.given(self.case, self.facts, self.trace, tokens, self.facts.rerun.roots[tokens])
        if self.case.dispute.stage is Stage.ANSWER:
            return self._answered()
        if not SETS_AFTER[self.case.dispute.stage]:
            return self._tensor_after(0, self.case.dispute.after, [])
        own = Levels([tree.leaf_hash(one.root) for one in self._own_sets])
        sets = Foreign(self.case.dispute.after, own, self.knowledge)
        try:
            wrong = sets.first_difference()
            if wrong is None:
                return self._loss()
            root = self.knowledge.data(wrong)
        except UnknownNodeError as missing:
            return self._demand(Tree.SETS, sets, missing.place)
        return self._tensor_after(wrong.index, root, sets.prove(0, wrong.index))

    def _tensor_after(self, number: int, root: bytes, proof: Proof) -> Move:
        foreign = Foreign(root, self._own_sets[number], self.knowledge)
        try:
            leaf = foreign.first_difference()
        except UnknownNodeError as missing:
            return self._demand(Tree.SET, foreign, missing.place, number, root, proof)
        if leaf is None:
            raise NothingWrongError("the state after the step is the one that was recomputed")
        path = set_path(root, proof, leaf.node, foreign.prove(0, leaf.index))
        port = number * len(self.case.tensors_after) + leaf.index
        return evidence.output(self.case, self.facts, self.trace, port, path)

    def _loss(self) -> Move:
        last = output_ports(self.case.program)[-1]
        bits = self.case.dispute.loss_bits.to_bytes(4, "little")
        if self.case.dispute.stage is not Stage.STEP or self.facts.rerun.roots[last.op] == tree.leaf_hash(bits):
            raise NothingWrongError("every op, the state after the step and its loss are those that were recomputed")
        return evidence.output(self.case, self.facts, self.trace, last.number, NO_PATH)

    def _answered(self) -> Move:
        last = output_ports(self.case.program)[-1]
        if self.facts.rerun.roots[last.op] == tree.leaf_hash(self.case.dispute.loss_bits.to_bytes(8, "little")):
            raise NothingWrongError("every op and the token are those that were recomputed")
        return evidence.output(self.case, self.facts, self.trace, last.number, NO_PATH)

    def _demand(
        self,
        which: Tree,
        foreign: Foreign,
        place: Place,
        number: int = 0,
        root: bytes = b"",
        set_proof: Proof | None = None,
    ) -> Move:
        """Ask for what is below a node; ``number`` is the op of a Tensor or the set of a Set, ``root`` its root."""
        program = self.case.program
        op, descriptor, proof, output, path = 0, b"", Proof(), NO_OUTPUT, NO_PATH
        if which is Tree.TENSOR:
            op, descriptor, proof = number, program.descriptor(number), program.levels.prove(0, number)
            sources = evidence.sources_of(self.case, self.facts, number)
            output = output_root(root, sources, self.trace.prove(0, number))
        elif which is Tree.TRACE and place.level == 0:
            descriptor, proof = program.descriptor(place.index), program.levels.prove(0, place.index)
        elif which is Tree.SET and set_proof:
            path = set_path(root, set_proof, bytes(32), [])
        where = (which, place.level, place.index, place.node, foreign.prove(place.level, place.index))
        argument = (*where, op, descriptor, proof, output, number if which is Tree.SET else 0, path)
        of = f" {number}" if which in (Tree.TENSOR, Tree.SET) else ""
        what = f"{which.name.lower()}{of}"
        return Move("demand", argument, f"demand node {place.index} of level {place.level} of {what}")
