"""Opening one 1,024-byte leaf of one tensor against the root of a whole state."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.commitments import hashing, tree
from consensus.commitments.tensors import TensorSet, describe, set_leaves, tensor_bytes
from economics.constants import LEAF_BYTES


@dataclass(frozen=True, slots=True)
class TensorProof:
    """One leaf and its way up: leaf → tensor root → set root → state root. Sizes are the verifier's to know."""

    leaf: bytes
    """Up to 1,024 bytes of the tensor."""
    leaf_path: tuple[bytes, ...]
    tensor_path: tuple[bytes, ...]
    set_path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LeafPlace:
    """Where a leaf stands, as the verifier derives it from the model's shapes."""

    head: bytes
    """The tensor's description: see ``consensus.commitments.tensors.describe``."""
    leaf: int
    leaves: int
    tensor: int
    tensors: int
    part: int
    parts: int


def leaf_place(sets: Sequence[TensorSet], part: int, name: str, leaf: int) -> LeafPlace:
    """Place of leaf ``leaf`` of tensor ``name`` in ``sets[part]``; only shapes and names of the sets are used."""
    names = sorted(sets[part])
    tensor = sets[part][name]
    leaves = -(-tensor_bytes(tensor).size // LEAF_BYTES)
    if not 0 <= leaf < leaves:
        raise IndexError(f"leaf {leaf} of a tensor of {leaves}")
    return LeafPlace(describe(name, tensor), leaf, leaves, names.index(name), len(names), part, len(sets))


def tensor_proof(sets: Sequence[TensorSet], part: int, name: str, leaf: int) -> TensorProof:
    """Opens leaf ``leaf`` of tensor ``name`` of ``sets[part]`` against the root of ``sets``.

    ``sets``: (weights, m, v) for a state root, (weights, velocity) for a global root. Raises KeyError on
    an unknown name, IndexError on a leaf that is not there.
    """
    place = leaf_place(sets, part, name, leaf)
    data = tensor_bytes(sets[part][name])
    leaves_of_sets = [set_leaves(tensors) for tensors in sets]
    parts = [tree.leaf_hash(tree.root(leaves)) for leaves in leaves_of_sets]
    return TensorProof(
        data[leaf * LEAF_BYTES : (leaf + 1) * LEAF_BYTES].tobytes(),
        tuple(tree.inclusion_proof(hashing.leaf_hashes(data), leaf)),
        tuple(tree.inclusion_proof(leaves_of_sets[part], place.tensor)),
        tuple(tree.inclusion_proof(parts, part)),
    )


def verify_tensor_proof(proof: TensorProof, place: LeafPlace, root: bytes) -> bool:
    """Whether ``proof.leaf`` stands at ``place`` under the state's ``root``."""
    if len(proof.leaf) > LEAF_BYTES:
        return False
    tensor = tree.root_from_proof(tree.leaf_hash(proof.leaf), place.leaf, place.leaves, proof.leaf_path)
    if tensor is None:
        return False
    named = tree.leaf_hash(place.head + tensor)
    one_set = tree.root_from_proof(named, place.tensor, place.tensors, proof.tensor_path)
    if one_set is None:
        return False
    return tree.verify_inclusion(tree.leaf_hash(one_set), place.part, place.parts, proof.set_path, root)
