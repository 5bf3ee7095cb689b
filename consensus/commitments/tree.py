"""The one tree shape: RFC 9162 (certificate transparency), section 2.1, over SHA-256. Indices count from 0.

A level pairs neighbours; an odd last hash moves up unchanged. That is the RFC's recursive split, without recursion.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

HASH_BYTES: Final = 32
MAX_PROOF: Final = 64
"""Hashes of the longest proof read: a tree of 2^64 leaves."""
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(data: bytes) -> bytes:
    """sha256(0x00 ‖ data)."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """sha256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(_NODE + left + right).digest()


def level_up(hashes: Sequence[bytes]) -> list[bytes]:
    """The level above: neighbours paired, an odd last one as it is."""
    above = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes) - 1, 2)]
    if len(hashes) % 2:
        above.append(hashes[-1])
    return above


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root over the hashes of the leaves, 32 bytes; sha256("") for none (RFC 9162, 2.1.1)."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level: Sequence[bytes] = leaf_hashes
    while len(level) > 1:
        level = level_up(level)
    return level[0]


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Siblings from the leaf upwards (RFC 9162, 2.1.3.1). Raises IndexError outside ``0 … len - 1``."""
    if not 0 <= index < len(leaf_hashes):
        raise IndexError(f"leaf {index} of a tree of {len(leaf_hashes)}")
    proof = []
    level: Sequence[bytes] = leaf_hashes
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        level, index = level_up(level), index // 2
    return proof


def root_from_proof(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that ``proof`` leads to, or None where it does not fit ``index`` and ``size`` (RFC 9162, 2.1.3.2).

    ``index`` and ``size`` must come from the verifier's own knowledge, never from the prover.
    """
    if not 0 <= index < size or len(proof) > MAX_PROOF:
        return None
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0 or len(sibling) != HASH_BYTES:
            return None
        if position % 2 or position == last:
            node = node_hash(sibling, node)
            while position % 2 == 0 and position:  # levels where this hash moved up alone
                position, last = position // 2, last // 2
        else:
            node = node_hash(node, sibling)
        position, last = position // 2, last // 2
    return node if last == 0 else None


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether a leaf hash stands at ``index`` of the tree of ``size`` leaves under root ``expected``."""
    return root_from_proof(leaf, index, size, proof) == expected
