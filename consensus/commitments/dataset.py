"""The root of a dataset: any token of the training text can be opened against it."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from consensus.commitments import tree
from economics.constants import LEAF_BYTES

_DOMAIN: Final = b"ponw/data/1\x00"
TOKEN_BYTES: Final = 2
"""Of one token in a shard, little-endian."""


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One file of tokens; ``root`` is its tensor root (1,024-byte leaves)."""

    name: str
    tokens: int
    root: bytes


@dataclass(frozen=True, slots=True)
class DataHead:
    """What the data root binds: number of shards, tokens of the training text, root over the shards."""

    shards: int
    train_tokens: int
    root: bytes

    def hash(self) -> bytes:
        """sha256("ponw/data/1" ‖ 0x00 ‖ shards ‖ training tokens (32-byte words, BE) ‖ root): a claim's data root."""
        words = self.shards.to_bytes(32, "big") + self.train_tokens.to_bytes(32, "big")
        return hashlib.sha256(_DOMAIN + words + self.root).digest()


def shard_leaf(shard: ShardEntry, first: int) -> bytes:
    """Leaf data: ``name ‖ 0x00 ‖ first token (u64 BE) ‖ tokens (u64 BE) ‖ tensor root``."""
    return shard.name.encode() + b"\0" + first.to_bytes(8, "big") + shard.tokens.to_bytes(8, "big") + shard.root


def shard_leaves(train: Sequence[ShardEntry], heldout: Sequence[ShardEntry]) -> list[bytes]:
    """Leaf data of the training shards, then of the held-out ones; their tokens are numbered in that order."""
    leaves, first = [], 0
    for shard in (*train, *heldout):
        leaves.append(shard_leaf(shard, first))
        first += shard.tokens
    return leaves


def data_head(train: Sequence[ShardEntry], heldout: Sequence[ShardEntry]) -> DataHead:
    """The head of a dataset of these shards."""
    leaves = shard_leaves(train, heldout)
    total = sum(shard.tokens for shard in train)
    return DataHead(len(leaves), total, tree.root([tree.leaf_hash(leaf) for leaf in leaves]))


@dataclass(frozen=True, slots=True)
class TokenOpening:
    """One training token, opened against the data root: its shard in the dataset, its 1,024-byte leaf in the shard."""

    head: DataHead
    shard: int
    entry: ShardEntry
    first: int
    shard_proof: list[bytes]
    leaf: int
    data: bytes
    leaf_proof: list[bytes]


def open_token(
    train: Sequence[ShardEntry], heldout: Sequence[ShardEntry], at: int, read: Callable[[ShardEntry], bytes]
) -> TokenOpening:
    """Opens token ``at`` of the training text; ``read`` gives a shard's bytes. IndexError beyond the text."""
    ends = list(accumulate(entry.tokens for entry in train))
    number = bisect_right(ends, at)
    if at < 0 or number == len(train):
        raise IndexError(f"token {at} is not in the training text")
    entry = train[number]
    first = ends[number] - entry.tokens
    data = read(entry)
    parts = [data[i : i + LEAF_BYTES] for i in range(0, len(data), LEAF_BYTES)]
    leaf = (at - first) * TOKEN_BYTES // LEAF_BYTES
    leaf_proof = tree.inclusion_proof([tree.leaf_hash(part) for part in parts], leaf)
    shards = [tree.leaf_hash(one) for one in shard_leaves(train, heldout)]
    shard_proof = tree.inclusion_proof(shards, number)
    return TokenOpening(data_head(train, heldout), number, entry, first, shard_proof, leaf, parts[leaf], leaf_proof)
