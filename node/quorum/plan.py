"""The plan of a quorum as peers exchange it: a proposal by the rules, and where each member is reached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from consensus.errors import ConsensusError
from consensus.model.config import ModelConfig
from consensus.pipeline.stages import Stage, by_counts
from consensus.quorum.parts import Span
from consensus.quorum.proposal import Proposal, Seat
from consensus.quorum.rounds import has_time
from economics.constants import MAX_STEPS, QUORUM_MEMBERS_MAX, SESSION_TIME_MAX
from node.net.wire.common_pb2 import Versions
from node.net.wire.quorum_pb2 import Plan as PlanMessage
from node.net.wire.records_pb2 import QuorumRecord, QuorumSeat
from node.quorum.errors import QuorumError

_DOMAIN: Final = b"ponw/plan/1\x00"
_PEER_BYTES: Final = 64


class PlanError(QuorumError):
    """A plan is malformed, or its seats are not the model's stages."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A proposed session of a network (32 bytes). ``peers``: libp2p ids as multihashes, in the order of the seats;
    ``steps``: inner steps a round; ``nonce``: sessions that the leader has begun on chain; ``round``: the first one
    that the session trains.

    Raises PlanError where a field is out of its bounds or a member or a peer comes twice. That it follows the rules of
    quorums is ``consensus.quorum.validity``'s to say.
    """

    network: bytes
    proposal: Proposal
    peers: tuple[bytes, ...]
    steps: int
    nonce: int = 0
    round: int = 1

    def __post_init__(self) -> None:
        accounts = self.proposal.accounts
        if len(self.network) != 32 or len(self.proposal.initiator) != 20 or any(len(a) != 20 for a in accounts):
            raise PlanError("a plan names its network by 32 bytes and its accounts by 20")
        if not 1 <= len(accounts) <= QUORUM_MEMBERS_MAX or len(self.peers) != len(accounts):
            raise PlanError(f"a quorum has 1 to {QUORUM_MEMBERS_MAX} members, each with a peer")
        if any(not 0 < len(peer) <= _PEER_BYTES for peer in self.peers):
            raise PlanError(f"a peer's id has up to {_PEER_BYTES} bytes")
        if len(set(accounts)) != len(accounts) or len(set(self.peers)) != len(accounts):
            raise PlanError("a member has one seat")
        if self.proposal.initiator not in accounts:
            raise PlanError("the leader has no seat")
        if not 1 <= self.steps <= MAX_STEPS or not 1 <= self.proposal.seconds <= SESSION_TIME_MAX:
            raise PlanError(f"a round has up to {MAX_STEPS} steps, a session up to {SESSION_TIME_MAX} seconds")
        if not (0 <= self.nonce < 2**64 and 0 < self.round < 2**64):
            raise PlanError("a session has a number, and begins with a round")
        if not 0 < self.proposal.starts < 2**40:
            raise PlanError("a session starts at a time in Unix seconds")

    @property
    def id(self) -> bytes:
        """The quorum's id, 32 bytes."""
        return self.proposal.id

    @property
    def digest(self) -> bytes:
        """Its name in messages: sha256 over network, id, steps (u32), nonce (u64), round (u64), and each peer behind
        its length, 32 bytes."""
        peers = b"".join(len(peer).to_bytes(1, "big") + peer for peer in self.peers)
        numbers = self.steps.to_bytes(4, "big") + self.nonce.to_bytes(8, "big") + self.round.to_bytes(8, "big")
        return hashlib.sha256(_DOMAIN + self.network + self.id + numbers + peers).digest()

    @property
    def leader(self) -> bytes:
        """The account that proposed it and posts its claims."""
        return self.proposal.initiator

    @property
    def ends(self) -> int:
        """Unix seconds."""
        return self.proposal.starts + self.proposal.seconds

    @property
    def layers(self) -> tuple[tuple[bytes, int, int], ...]:
        """Account, first layer and number of layers of each seat: part 0 is the embedding, the last one the head."""
        seats = self.proposal.seats
        last = seats[-1].span.stop - 1
        cut = [(seat.account, max(seat.span.start, 1), min(seat.span.stop, last)) for seat in seats]
        return tuple((account, start - 1, stop - start) for account, start, stop in cut)

    def takes(self, number: int, opened: int, deadline: int) -> bool:
        """Whether the session trains round ``number``, which opened and takes claims until then (Unix seconds)."""
        return number >= self.round and has_time(opened, deadline, self.proposal.starts, self.ends)

    def renews(self, before: Plan) -> bool:
        """Whether this is the same quorum once more."""
        one, other = self.proposal, before.proposal
        return (one.initiator, one.seats, self.peers) == (other.initiator, other.seats, before.peers)

    def seat_of(self, account: bytes) -> int | None:
        """The number of an account's seat, from 0 at the embedding."""
        accounts = self.proposal.accounts
        return accounts.index(account) if account in accounts else None

    def stages(self, config: ModelConfig) -> tuple[Stage, ...]:
        """The seats as stages of a model.

        Raises:
            PlanError: they do not cover it in order, or a seat holds no layer.
        """
        last = config.layers + 1
        counts = [len(range(max(s.span.start, 1), min(s.span.stop, last))) for s in self.proposal.seats]
        ends = [0, *(seat.span.stop for seat in self.proposal.seats)]
        starts = [*(seat.span.start for seat in self.proposal.seats), config.layers + 2]
        if ends != starts:
            raise PlanError(f"the seats do not cover the {config.layers} layers of {config.name} in order")
        try:
            return by_counts(config, counts)
        except ConsensusError as error:
            raise PlanError(f"a seat holds no layer of {config.name}") from error

    def versions(self) -> Versions:
        """What messages of the quorum name."""
        p = self.proposal
        return Versions(
            network=self.network, arch_version=p.arch_version, vocab_version=p.vocab_version, quorum=self.id
        )

    def record(self) -> QuorumRecord:
        """The quorum as it stands in the DHT."""
        p = self.proposal
        seats = [
            QuorumSeat(account=seat.account, peer=peer, start=seat.span.start, stop=seat.span.stop)
            for seat, peer in zip(p.seats, self.peers, strict=True)
        ]
        return QuorumRecord(initiator=p.initiator, seats=seats, starts=p.starts, seconds=p.seconds)

    def message(self) -> PlanMessage:
        """As it travels."""
        return PlanMessage(
            versions=self.versions(), quorum=self.record(), steps=self.steps, nonce=self.nonce, round=self.round
        )

    @classmethod
    def of(cls, message: PlanMessage) -> Plan:
        """The inverse of ``message``; raises PlanError."""
        record, versions = message.quorum, message.versions
        if len(record.seats) > QUORUM_MEMBERS_MAX:
            raise PlanError(f"a quorum has 1 to {QUORUM_MEMBERS_MAX} members, not {len(record.seats)}")
        try:
            seats = tuple(Seat(seat.account, Span(seat.start, seat.stop)) for seat in record.seats)
        except ConsensusError as error:
            raise PlanError(error.message) from error
        proposal = Proposal(
            record.initiator,
            seats,
            versions.arch_version,
            versions.vocab_version,
            record.starts,
            record.seconds,
        )
        peers = tuple(seat.peer for seat in record.seats)
        plan = cls(versions.network, proposal, peers, message.steps, message.nonce, message.round)
        if any(seat.span.stop >= 2**16 for seat in seats) or (versions.quorum and versions.quorum != plan.id):
            raise PlanError("a plan names another quorum than it describes")
        return plan
