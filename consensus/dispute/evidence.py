"""The proofs that win a dispute, each for one kind of lie."""

import torch
from torch import Tensor

from consensus.commitments import tree
from consensus.commitments.batch import batch_place
from consensus.commitments.levels import Levels
from consensus.commitments.tree import HASH_BYTES
from consensus.dispute import onestep
from consensus.dispute.abi import NO_CLAIM, NO_LEAF, NO_PATH, NO_READ, Abi, Proof, leaf, output_root, port_proof
from consensus.dispute.elements import Element, as_hex, element_bytes
from consensus.dispute.game import Case, Stage
from consensus.dispute.knowledge import Foreign
from consensus.dispute.moves import Facts, Move
from consensus.dispute.rerun import pieces, tensor_levels
from consensus.dispute.states import Port, group_leaves, input_ports, output_ports, path
from consensus.errors import CommitmentError
from consensus.program.ops import Op
from consensus.program.suite import schedule_leaves
from consensus.training.optimizer import AdamW
from economics.constants import LEAF_BYTES, MAX_STEPS


def element(case: Case, facts: Facts, trace: Foreign, wrong: Element) -> Move:
    """An element that does not follow from what it reads."""
    op, program = case.program.ops[wrong.op], case.program
    sources = {operand.source for operand in op.operands if operand.source is not None}
    outs = facts.rerun.outputs(sources | {wrong.op})

    def read(source: int, index: int) -> int:
        return _bits(outs[source], index)

    reads = [_read(op, number, wrong.index, outs, read) for number in range(len(op.operands))]
    descriptor = (program.descriptor(wrong.op), program.levels.prove(0, wrong.op))
    output = output_root(wrong.root, sources_of(case, facts, wrong.op), trace.prove(0, wrong.op))
    proof = (wrong.op, *descriptor, wrong.index, output, leaf(wrong.leaf, wrong.data, wrong.proof), reads)
    right = element_bytes(outs[wrong.op], wrong.index)
    return Move("proveElement", proof, _words(case, wrong, op.kind.name.lower(), right))


def sources_of(case: Case, facts: Facts, op: int) -> list[bytes]:
    """The roots of what an op reads, where they are as recomputed."""
    return [facts.rerun.roots[at] for at in case.program.ops[op].sources]


def source(case: Case, facts: Facts, trace: Foreign, op: int, data: bytes, slot: int) -> Move:
    """A leaf of the trace (``data``) that names another root of what its op reads than the leaf of that op."""
    roots = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
    read = case.program.ops[op].sources[slot]
    right = facts.rerun.roots[read]
    theirs = output_root(roots[0], roots[1:], trace.prove(0, op))
    own = output_root(right, sources_of(case, facts, read), trace.prove(0, read))
    descriptor = (case.program.descriptor(op), case.program.levels.prove(0, op))
    said = f"step {case.dispute.step}, op {op} says that it read 0x{roots[1 + slot].hex()}"
    words = f"{said}; op {read} wrote 0x{right.hex()}"
    return Move("proveSource", (op, *descriptor, theirs, slot, own), words)


def token(case: Case, facts: Facts, wrong: Element) -> Move:
    """A token of the batch that is not the one drawn from the text."""
    if facts.open_token is None:
        raise CommitmentError("a wrong batch needs the dataset to be shown")
    row, column = batch_place(wrong.index, case.suite.length)
    at = facts.offsets[row] + column
    found = facts.open_token(at)
    head, entry = found.head, found.entry
    shard = (found.shard, entry.name.encode(), found.first, entry.tokens, entry.root, found.shard_proof)
    text = leaf(found.leaf, found.data, found.leaf_proof)
    batch = leaf(wrong.leaf, wrong.data, wrong.proof)
    proof = (wrong.index, batch, head.shards, head.train_tokens, head.root, *shard, text)
    own = facts.rerun.outputs([wrong.op])[wrong.op]
    return Move("proveToken", proof, _words(case, wrong, "token", element_bytes(own, wrong.index)))


def context(case: Case, facts: Facts, wrong: Element) -> Move:
    """A token of an answer's context that is not of the prompt, nor of the answer."""
    own = facts.rerun.outputs([wrong.op])[wrong.op]
    there = leaf(wrong.leaf, wrong.data, wrong.proof)
    asked, said, place = NO_LEAF, (bytes(32), bytes(32), 0, Proof()), wrong.index - len(facts.prompt)
    if place < 0:
        prompt = torch.tensor(facts.prompt, dtype=torch.int32)
        at = wrong.index * prompt.element_size() // LEAF_BYTES
        asked = leaf(at, pieces(prompt)[at], tensor_levels(prompt).prove(0, at))
    elif place < case.dispute.step:
        one, levels = facts.answered[place], Levels([step.hash() for step in facts.answered])
        said = (one.state_root, one.batch_root, one.loss_bits, levels.prove(0, place))
    words = _words(case, wrong, "context", element_bytes(own, wrong.index))
    return Move("proveContext", (wrong.index, there, asked, *said), words)


def given(case: Case, facts: Facts, trace: Foreign, op: int, root: bytes) -> Move:
    """An input that is not the state before, the batch, the schedule's row, or an update of the round."""
    port = next(one for one in input_ports(case.program) if one.op == op)
    words = f"step {case.dispute.step}, input {port.name}: its root 0x{root.hex()} is not the committed one"
    finals: list[bytes] = []
    final: Abi = NO_CLAIM
    if case.dispute.stage is Stage.OUTER and port.number >= 2 * len(case.tensors):
        finals = [digest for _, digest in facts.finals]
        final = facts.finals[port.number // len(case.tensors) - 2][0].to_tuple()
    proof = _port_proof(case, facts, trace, port, root, _input_path(case, facts, port), finals, final)
    return Move("proveInput", proof, words)


def count(case: Case, facts: Facts, trace: Foreign, wrong: Element) -> Move:
    """The weight of an update that does not follow from its claim."""
    port = next(one for one in input_ports(case.program) if one.op == wrong.op)
    finals = [digest for _, digest in facts.finals]
    final = facts.finals[wrong.index][0].to_tuple()
    proof = _port_proof(case, facts, trace, port, wrong.root, NO_PATH, finals, final)
    own = facts.rerun.outputs([wrong.op])[wrong.op]
    words = _words(case, wrong, "weight of an update", element_bytes(own, wrong.index))
    return Move("proveCount", (proof, leaf(wrong.leaf, wrong.data, wrong.proof), wrong.index), words)


def output(case: Case, facts: Facts, trace: Foreign, number: int, found: Abi) -> Move:
    """An output that is not in the state after the step, or is not the loss."""
    port = output_ports(case.program)[number]
    root = facts.rerun.roots[port.op]
    words = f"step {case.dispute.step}, output {port.name}: the committed state does not hold its root 0x{root.hex()}"
    return Move("proveOutput", _port_proof(case, facts, trace, port, root, found), words)


def _port_proof(
    case: Case,
    facts: Facts,
    trace: Foreign,
    port: Port,
    root: bytes,
    found: Abi,
    finals: list[bytes] | None = None,
    final: Abi = NO_CLAIM,
) -> Abi:
    proof = case.program.levels.prove(0, port.at)
    output = output_root(root, sources_of(case, facts, port.op), trace.prove(0, port.op))
    return port_proof(port.number, port.data, proof, output, found, finals, final)


def _input_path(case: Case, facts: Facts, port: Port) -> Abi:
    """The way to the right leaf of the state that an input comes from."""
    tensors = len(case.tensors)
    group, tensor = divmod(port.number, tensors)
    ports, roots = input_ports(case.program), facts.rerun.roots

    def group_root(number: int) -> bytes:
        return tree.root(group_leaves(ports, roots, number, tensors))

    own = group_leaves(ports, roots, group, tensors)
    if case.dispute.stage is Stage.OUTER:
        return path(own, tensor, [group_root(0), group_root(1)], group) if group < 2 else path(own, tensor)
    if case.dispute.stage is Stage.UPDATE:
        others = facts.moment_roots if group else (facts.velocity_root,)
        return path(own, tensor, [group_root(group), *others])
    if case.dispute.stage is Stage.STEP and port.number == 3 * tensors + 1:
        rows = schedule_leaves(AdamW(), MAX_STEPS, case.config)
        return (bytes(32), [], rows[case.dispute.step], tree.inclusion_proof(rows, case.dispute.step))
    first = case.dispute.stage is Stage.ANSWER or case.dispute.step == 0  # what follows from the global weights
    if port.number == 3 * tensors or (first and group):
        return NO_PATH
    if first:
        return path(own, tensor, [group_root(0), facts.velocity_root])
    return path(own, tensor, [group_root(number) for number in range(3)], group)


def _read(op: Op, number: int, index: int, outs: dict[int, Tensor], read: onestep.Read) -> Abi:
    """What one operand reads, opened against the trace."""
    places, source = onestep.places(op, number, index, read), op.operands[number].source
    if source is None or not places:
        return NO_READ
    per_leaf = LEAF_BYTES // outs[source].element_size()
    data, levels = pieces(outs[source]), tensor_levels(outs[source])
    wanted = sorted({place // per_leaf for place in places})
    leaves = [leaf(at, data[at], levels.prove(0, at)) for at in wanted]
    return (leaves,)


def _bits(tensor: Tensor, index: int) -> int:
    """An element's bits as ``onestep`` takes them."""
    raw = int.from_bytes(element_bytes(tensor, index), "little")
    width = 8 * tensor.element_size()
    signed = not tensor.is_floating_point() and width > 8
    return raw - (1 << width) if signed and raw >> (width - 1) else raw


def _words(case: Case, wrong: Element, what: str, right: bytes) -> str:
    place = f"step {case.dispute.step}, op {wrong.op} {what}, element {wrong.index}"
    return f"{place}: committed {as_hex(wrong.committed)}, recomputed {as_hex(right)}"
