"""The trace of a claim: one leaf a step, appended to an RFC 9162 tree as training goes."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from pymerkle import InmemoryTree

from consensus.commitments.tree import HASH_BYTES, leaf_hash
from consensus.errors import CommitmentError

LEAF_LAYOUT: Final = struct.Struct(">32s32sII")
STEP_LEAF_BYTES: Final = LEAF_LAYOUT.size
_MAX_U32: Final = 2**32 - 1


def loss_bits(loss: float) -> int:
    """The 32 bits of an fp32 loss. Raises CommitmentError where ``loss`` is not exactly an fp32 number."""
    try:
        packed = struct.pack(">f", loss)
    except OverflowError as error:
        raise CommitmentError(f"the loss {loss!r} is beyond fp32") from error
    if struct.unpack(">f", packed)[0] != loss:
        raise CommitmentError(f"the loss {loss!r} is no fp32 number")
    return int.from_bytes(packed, "big")


def loss_value(bits: int) -> float:
    """The fp32 loss of its 32 bits."""
    return float(struct.unpack(">f", bits.to_bytes(4, "big"))[0])


@dataclass(frozen=True, slots=True)
class StepLeaf:
    """What one step commits to. For an OUTER claim: (next global root, final set, 0, 0)."""

    state_root: bytes
    batch_root: bytes
    loss_bits: int
    step: int
    """0-based in the round."""

    def __post_init__(self) -> None:
        if len(self.state_root) != HASH_BYTES or len(self.batch_root) != HASH_BYTES:
            raise CommitmentError("the roots of a step have 32 bytes each")
        if not 0 <= self.loss_bits <= _MAX_U32 or not 0 <= self.step <= _MAX_U32:
            raise CommitmentError("loss bits and step number of a step have 32 bits each")

    def encode(self) -> bytes:
        """72 bytes: state root (32) ‖ batch root (32) ‖ loss fp32 bits (u32 BE) ‖ step (u32 BE)."""
        return LEAF_LAYOUT.pack(self.state_root, self.batch_root, self.loss_bits, self.step)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The inverse of ``encode``. Raises CommitmentError on any other length."""
        if len(data) != STEP_LEAF_BYTES:
            raise CommitmentError(f"a step's leaf has {STEP_LEAF_BYTES} bytes, not {len(data)}")
        return cls(*LEAF_LAYOUT.unpack(data))

    def hash(self) -> bytes:
        """Its leaf hash in the trace."""
        return leaf_hash(self.encode())


class Trace:
    """Steps in order, with root and proofs at any time."""

    def __init__(self, leaves: Iterable[StepLeaf] = ()) -> None:
        self._leaves: list[StepLeaf] = []
        self._tree = InmemoryTree(algorithm="sha256")
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._leaves)

    def __iter__(self) -> Iterator[StepLeaf]:
        return iter(self._leaves)

    def __getitem__(self, step: int) -> StepLeaf:
        return self._leaves[step]

    def append(self, leaf: StepLeaf) -> None:
        """Adds the next step. Raises CommitmentError when its number is not the next one."""
        if leaf.step != len(self._leaves):
            raise CommitmentError(f"step {leaf.step} cannot follow {len(self._leaves)} steps")
        self._tree.append_entry(leaf.encode())
        self._leaves.append(leaf)

    def root(self) -> bytes:
        """Root over all steps so far, 32 bytes."""
        return bytes(self._tree.get_root())

    def prove(self, step: int) -> list[bytes]:
        """Siblings of leaf ``step`` from the bottom up, as the contract takes them, or IndexError."""
        if not 0 <= step < len(self._leaves):
            raise IndexError(f"step {step} of a trace of {len(self._leaves)}")
        proof = self._tree.prove_inclusion(step + 1)  # pymerkle counts from 1 and puts the leaf itself first
        return [bytes(sibling) for sibling in proof.path[1:]]

    def encode(self) -> bytes:
        """All leaves, 72 bytes each, one after the other."""
        return b"".join(leaf.encode() for leaf in self._leaves)

    @classmethod
    def decode(cls, data: bytes, max_steps: int) -> Self:
        """The inverse of ``encode``. Raises CommitmentError on a broken leaf or more than ``max_steps``."""
        count, rest = divmod(len(data), STEP_LEAF_BYTES)
        if rest or count > max_steps:
            raise CommitmentError(f"a trace of {len(data)} bytes is not up to {max_steps} whole leaves")
        return cls(StepLeaf.decode(data[at : at + STEP_LEAF_BYTES]) for at in range(0, len(data), STEP_LEAF_BYTES))
