"""What the parties of a dispute know and do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from consensus.commitments.claim import Claim
from consensus.commitments.dataset import TokenOpening
from consensus.commitments.trace import StepLeaf
from consensus.dispute.abi import Abi
from consensus.dispute.rerun import Rerun
from consensus.errors import CommitmentError


class Tree(IntEnum):
    """Trees that a prover may be asked about, as the contract numbers them."""

    TRACE = 0
    TENSOR = 1
    SETS = 2
    SET = 3
    STEPS = 4


class NothingWrongError(CommitmentError):
    """The prover's step is the one that was recomputed: there is nothing to win."""


@dataclass(frozen=True, slots=True)
class Move:
    """A call of the judge: its function, its last argument, and what it says in words."""

    function: str
    argument: Abi
    words: str


@dataclass(frozen=True)
class Facts:
    """What a challenger has recomputed, and what it needs besides.

    ``velocity_root``: of the round's start, for its first step and its update. ``moment_roots``: of the claim's end,
    for its update. ``finals``: the round's final claims with their hashes, for an outer step. ``offsets``: where the
    sequences of the step begin; ``open_token`` opens a token of the training text.
    """

    rerun: Rerun
    velocity_root: bytes = b""
    moment_roots: tuple[bytes, ...] = ()
    finals: tuple[tuple[Claim, bytes], ...] = ()
    offsets: tuple[int, ...] = ()
    open_token: Callable[[int], TokenOpening] | None = None
    leaves: Callable[[], Sequence[bytes]] | None = None
    """Recomputes the data of every leaf of the claim's trace."""
    prompt: tuple[int, ...] = ()
    """Of an answer in question: the ids asked with, and the leaves of the claim, as the server committed to them."""
    answered: tuple[StepLeaf, ...] = ()
