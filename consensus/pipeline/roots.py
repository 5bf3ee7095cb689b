"""Roots of the whole state from what each stage knows of its own tensors.

A set's root is a tree over one leaf a tensor in sorted order of names (``consensus.commitments.tensors``), so 32 bytes
a tensor are all that a member must say to let another compute the root of the state that no single one holds.
"""

from collections.abc import Mapping, Sequence

from consensus.commitments import tree
from consensus.commitments.tensors import sets_leaves
from consensus.errors import CommitmentError
from consensus.training.step import TrainState

STATE_SETS = ("weights", "m", "v")
StageLeaves = Mapping[str, Sequence[bytes]]
"""Tensor name -> its leaf hashes (32 bytes each) in the sets of weights, first and second moments."""


def stage_leaves(state: TrainState, threads: int = 0) -> dict[str, tuple[bytes, ...]]:
    """Leaf hashes of every tensor that a stage holds, in sorted order of names."""
    sets = sets_leaves((state.weights, state.m, state.v), threads)
    return {name: tuple(leaves[at] for leaves in sets) for at, name in enumerate(sorted(state.weights))}


def joined_root(parts: Sequence[StageLeaves]) -> bytes:
    """The state root over the leaves of all stages: what ``state_root`` gives for the whole state.

    Raises CommitmentError where two stages name one tensor, or a hash does not have 32 bytes.
    """
    leaves: dict[str, Sequence[bytes]] = {}
    for part in parts:
        twice = leaves.keys() & part.keys()
        if twice:
            raise CommitmentError(f"two stages hold {min(twice)}")
        leaves.update(part)
    if any(len(one) != len(STATE_SETS) or any(len(h) != tree.HASH_BYTES for h in one) for one in leaves.values()):
        raise CommitmentError("a tensor of a state has three hashes of 32 bytes")
    names = sorted(leaves)
    return tree.root([tree.leaf_hash(tree.root([leaves[n][at] for n in names])) for at in range(len(STATE_SETS))])
