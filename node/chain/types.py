"""What the contracts' views return, as plain frozen values. Field order is the Solidity structs' own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from node.errors import ContractsError


class Phase(IntEnum):
    """Where a round stands (IWorkRegistry.Phase)."""

    NONE = 0
    TRAIN = 1
    WINDOW = 2
    SETTLE = 3
    OUTER = 4
    OUTER_WINDOW = 5
    CLOSED = 6


class ClaimState(IntEnum):
    """Life of a claim (NodeSlot.sol); FINAL and LOST are terminal."""

    NONE = 0
    POSTED = 1
    FINAL = 2
    LOST = 3


class ChallengeState(IntEnum):
    """Where a challenge stands (IWorkRegistry.ChallengeState)."""

    NONE = 0
    WAITING = 1
    JUDGED = 2


class ProposalState(IntEnum):
    """Where a vote stands (IGovernor.ProposalState)."""

    PENDING = 0
    ACTIVE = 1
    CANCELED = 2
    DEFEATED = 3
    SUCCEEDED = 4
    QUEUED = 5
    EXPIRED = 6
    EXECUTED = 7


class Support(IntEnum):
    """How an account votes (GovernorCountingSimple.VoteType)."""

    AGAINST = 0
    FOR = 1
    ABSTAIN = 2


class LossReason(IntEnum):
    """Why a claim was lost (IWorkRegistry.LossReason)."""

    SILENCE = 0
    RULING = 1


@dataclass(frozen=True)
class Block:
    """A block header's number, timestamp in seconds, and hash (32 bytes)."""

    number: int
    timestamp: int
    hash: bytes


@dataclass(frozen=True)
class StakeAccount:
    """One account's stake in wei; `locked` is part of `active`; `thaw_ends` is a timestamp, 0 if nothing thaws."""

    active: int
    locked: int
    thawing: int
    thaw_ends: int

    @property
    def free(self) -> int:
        """Active stake that stands behind no bond, in wei."""
        return self.active - self.locked


@dataclass(frozen=True)
class Schedule:
    """Emission's lengths in seconds (halving in epochs) and caps in wei."""

    epoch_length: int
    day_length: int
    halving_epochs: int
    epoch_cap: int
    node_day_cap: int


@dataclass(frozen=True)
class Parameters:
    """A network's fixed parameters: hashes of 32 bytes, times in seconds, bonds in wei; judge 0x0…0 means none."""

    program_hash: bytes
    data_root: bytes
    genesis_root: bytes
    judge: str
    tokens_per_step: int
    layers: int
    max_steps: int
    max_claims: int
    train_time: int
    window: int
    response_time: int
    claim_bond: int
    challenge_bond: int


@dataclass(frozen=True)
class Round:
    """One round's figures; all zero if it was never opened. `young`: rounds with young layers that were left when it
    was opened, it included."""

    start_root: bytes
    opened_at: int
    claim_deadline: int
    unresolved: int
    finals: int
    settled_at: int
    closed: bool
    randomness: bytes
    final_set: bytes
    outer_node: str
    outer_deadline: int
    version: int = 0
    target: int = 0
    layers: int = 0
    young: int = 0
    terms: bytes = bytes(32)

    @property
    def era(self) -> tuple[int, int, int]:
        """What it runs, as far as numbers say it: the version, the target, rounds with young layers left."""
        return self.version, self.target, self.young


@dataclass(frozen=True)
class ClaimSlot:
    """A node's claim slot; `hash_prefix` is the claim hash with its last two bytes zeroed."""

    state: ClaimState
    open_challenges: int
    hash_prefix: bytes

    def holds(self, claim_hash: bytes) -> bool:
        """Whether the slot is that of the claim with this hash."""
        return self.state is not ClaimState.NONE and claim_hash[:30] == self.hash_prefix[:30]


@dataclass(frozen=True)
class Challenge:
    """One challenge; `deadline` is the last timestamp for the answer while WAITING; `moved`: to another step, once."""

    state: ChallengeState
    step: int
    deadline: int
    moved: bool = False


@dataclass(frozen=True)
class Clock:
    """A game's clock: timestamp until which the party in turn must move, seconds that the other has left."""

    deadline: int
    other: int
    demands: int
    provers_turn: bool


@dataclass(frozen=True)
class Record:
    """A node's final TRAIN claims since its last lost claim, the last round in which it lost one, and the round that
    the work of its last claim that ended began in (0: none)."""

    finals: int
    lost_round: int
    base: int = 0


@dataclass(frozen=True)
class Opening:
    """A trace leaf with its RFC 9162 inclusion proof (32-byte hashes, leaf's sibling first)."""

    state_root: bytes
    batch_root: bytes
    loss_bits: int
    proof: tuple[bytes, ...]

    def to_tuple(self) -> tuple[bytes, bytes, int, list[bytes]]:
        """As the ABI takes it."""
        return (self.state_root, self.batch_root, self.loss_bits, list(self.proof))

    @classmethod
    def empty(cls) -> Opening:
        """Stands for the leaf before step 0, which the contract does not look at."""
        return cls(bytes(32), bytes(32), 0, ())


@dataclass(frozen=True)
class Terms:
    """The terms of a version, for which the chain keeps one hash: what opens a round of another version than the one
    before. Hashes of 32 bytes; of version 0 growing and shrinking are zero."""

    program_hash: bytes
    grow_hash: bytes
    shrink_hash: bytes
    data_root: bytes
    merges_hash: bytes

    def to_tuple(self) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """As the ABI takes it."""
        return (self.program_hash, self.grow_hash, self.shrink_hash, self.data_root, self.merges_hash)

    @classmethod
    def first(cls, program_hash: bytes, data_root: bytes) -> Terms:
        """Those of version 0, in which a network is deployed."""
        return cls(program_hash, bytes(32), bytes(32), data_root, bytes(keccak(b"")))

    def hash(self) -> bytes:
        """What the chain keeps: keccak256 of the ABI encoding."""
        return bytes(keccak(b"".join(self.to_tuple())))


@dataclass(frozen=True)
class Motion:
    """A change as it is voted on: the hash of its terms, the version before, the new one's rows, and who answers for
    it."""

    terms: bytes
    parent: int
    size: int
    proposer: str

    def to_tuple(self) -> tuple[bytes, int, int, str]:
        """As the ABI takes it."""
        return (self.terms, self.parent, self.size, self.proposer)

    @classmethod
    def from_call(cls, data: bytes) -> Motion:
        """What a proposal's one action, `activate(motion)`, is called with: the ABI's own encoding."""
        terms, parent, size, proposer = abi_decode(("bytes32", "uint16", "uint16", "address"), data[4:])
        return cls(bytes(terms), int(parent), int(size), to_checksum_address(proposer))


@dataclass(frozen=True)
class Deepening:
    """A growth of layers as the chain has it (IVocabulary.Growth): its number and time, steps that a round counts for
    the age of new layers, layers before and afterwards, and of each young round the program hash, and that of the round
    if it takes the growth back."""

    number: int
    time: int
    round_steps: int
    layers: int
    grown: int
    young: tuple[tuple[bytes, bytes], ...]

    def encode(self) -> bytes:
        """The ABI's own encoding, which stands in the place of a change's merges."""
        return abi_encode((_GROWTH,), (tuple(self.__dict__.values()),))

    @classmethod
    def decode(cls, data: bytes) -> Deepening:
        """The inverse of `encode`; raises ContractsError for anything else."""
        try:
            [values] = abi_decode((_GROWTH,), data)
        except DecodingError as error:
            raise ContractsError("A growth of layers is torn.", "Update ponw; do not go on.") from error
        number, time, round_steps, layers, grown, young = values
        rounds = tuple((bytes(program), bytes(shrink)) for program, shrink in young)
        return cls(number, time, round_steps, layers, grown, rounds)


_GROWTH = "(uint32,uint64,uint32,uint16,uint16,(bytes32,bytes32)[])"


@dataclass(frozen=True)
class Change:
    """What turns version `parent` into the next one: hashes of 32 bytes; merges of 8 bytes, big-endian (left u16,
    right u16, occurrences u32). Where it deepens the model, the encoding of a `Deepening` stands for the merges."""

    parent: int
    program_hash: bytes
    grow_hash: bytes
    shrink_hash: bytes
    data_root: bytes
    merges: bytes
    deepens: bool = False

    def to_tuple(self) -> tuple[int, bytes, bytes, bytes, bytes, bytes]:
        """As the ABI takes it."""
        return (self.parent, self.program_hash, self.grow_hash, self.shrink_hash, self.data_root, self.merges)

    @property
    def deepening(self) -> Deepening | None:
        """The growth of layers that it is, if it is one; raises ContractsError where it is torn."""
        return Deepening.decode(self.merges) if self.deepens else None

    @property
    def terms(self) -> Terms:
        """The terms of the version that it makes."""
        hashes = (self.program_hash, self.grow_hash, self.shrink_hash, self.data_root)
        return Terms(*hashes, bytes(keccak(self.merges)))


@dataclass(frozen=True)
class Version:
    """One version of the vocabulary; `terms` is the hash of its terms, `paid` whether its proposer's reward was
    claimed; `proposer` is 0x0…0 and `activated_at` 0 for version 0."""

    terms: bytes
    parent: int
    size: int
    activated_at: int
    contested: bool
    paid: bool
    proposer: str


@dataclass(frozen=True)
class Tally:
    """Votes cast so far, in wei of stake, and those that a quorum needs; `quorum` is 0 before the vote begins."""

    against: int
    in_favour: int
    abstain: int
    quorum: int

    @property
    def cast(self) -> int:
        """All votes that count towards the quorum."""
        return self.against + self.in_favour + self.abstain


@dataclass(frozen=True)
class Proposal:
    """One proposed change as its events have it: who proposed it, where it is explained, and the events' block.

    The URI is the proposer's own text: treat it as untrusted."""

    id: int
    motion: Motion
    change: Change
    uri: str
    block: int

    @property
    def proposer(self) -> str:
        """Who answers for it."""
        return self.motion.proposer
