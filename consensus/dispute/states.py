"""Leaves of the states around a program, from the roots of its inputs and outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.commitments import tree
from consensus.dispute.abi import Abi, set_path
from consensus.program.ops import Program

HEAD_AT = 12
"""Bytes of a port before the head: op (u32) and size (u64)."""


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a program: ``at`` among the leaves of the program, ``number`` among its kind."""

    number: int
    at: int
    name: str
    op: int
    data: bytes

    def leaf(self, root: bytes) -> bytes:
        """The leaf hash of the tensor in its set, given its root."""
        return tree.leaf_hash(self.data[HEAD_AT:] + root)


def input_ports(program: Program) -> list[Port]:
    """Inputs in order."""
    return _ports(program, program.inputs, 0)


def output_ports(program: Program) -> list[Port]:
    """Outputs in order."""
    return _ports(program, program.outputs, len(program.inputs))


def _ports(program: Program, named: dict[str, int], skip: int) -> list[Port]:
    ops = len(program.ops)
    return [Port(i, ops + skip + i, name, op, program.ports[skip + i]) for i, (name, op) in enumerate(named.items())]


def group_leaves(ports: Sequence[Port], roots: Sequence[bytes], group: int, tensors: int) -> list[bytes]:
    """Leaf hashes of one tensor set: those of ``tensors`` ports from ``group * tensors`` on."""
    return [port.leaf(roots[port.op]) for port in ports[group * tensors : (group + 1) * tensors]]


def path(leaves: list[bytes], tensor: int, set_roots: Sequence[bytes] = (), number: int = 0) -> Abi:
    """The way from a tensor's leaf to the root of its set, and from set ``number`` of ``set_roots`` to the state's."""
    proof = tree.inclusion_proof([tree.leaf_hash(root) for root in set_roots], number) if set_roots else []
    return set_path(tree.root(leaves), proof, leaves[tensor], tree.inclusion_proof(leaves, tensor))
