"""Versions of the vocabulary: their merges on the wire, and the root that binds a version to its whole ancestry."""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from consensus.commitments import tree
from consensus.errors import VocabularyError
from governance.tokenizer.vocabulary import Pair

ROOT_0: Final = hashlib.sha256(b"").digest()
"""Of version 0, the bytes alone."""
MERGE_BYTES: Final = 8
_MERGE: Final = struct.Struct(">HHI")
_LEAF: Final = struct.Struct(">HH")


@dataclass(frozen=True, slots=True)
class Merge:
    """One proposed token: the ids it joins, and how often they stand side by side in the network's training text."""

    left: int
    right: int
    occurrences: int

    @property
    def pair(self) -> Pair:
        return (self.left, self.right)

    def encode(self) -> bytes:
        """left u16 ‖ right u16 ‖ occurrences u32, big-endian; raises VocabularyError where a number does not fit."""
        try:
            return _MERGE.pack(self.left, self.right, self.occurrences)
        except struct.error as error:
            raise VocabularyError(f"{self} does not fit 16, 16 and 32 bits") from error

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From 8 bytes."""
        return cls(*_MERGE.unpack(data))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a version fixes besides its merges, 32 bytes each: program hashes of its rounds, of the round that grows
    into it and of the one that shrinks back, and the root of the dataset in its tokens."""

    program_hash: bytes
    grow_hash: bytes
    shrink_hash: bytes
    data_root: bytes


def encode_merges(merges: Iterable[Merge]) -> bytes:
    """Merges in order, 8 bytes each."""
    return b"".join(merge.encode() for merge in merges)


def decode_merges(data: bytes) -> tuple[Merge, ...]:
    """What `encode_merges` wrote; raises VocabularyError for a torn merge."""
    if len(data) % MERGE_BYTES:
        raise VocabularyError(f"{len(data)} bytes hold no whole number of merges")
    return tuple(Merge.decode(data[at : at + MERGE_BYTES]) for at in range(0, len(data), MERGE_BYTES))


def next_root(parent: bytes, added: Sequence[Pair]) -> bytes:
    """sha256(0x01 ‖ parent's root ‖ R); R: RFC 9162 root over the merges added, leaf data left u16 ‖ right u16 BE."""
    return tree.node_hash(parent, tree.root([tree.leaf_hash(_LEAF.pack(*pair)) for pair in added]))


def root_of(steps: Iterable[Sequence[Pair]]) -> bytes:
    """The root of a version whose ancestry added these merges, from version 1 on."""
    root = ROOT_0
    for added in steps:
        root = next_root(root, added)
    return root
