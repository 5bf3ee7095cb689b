"""The plan of a quorum: who holds which layers, from when to when. Parsed from a peer's message, bounded."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from economics.constants import QUORUM_MEMBERS_MAX, SESSION_TIME_MAX
from node.net.wire import common_pb2, quorum_pb2
from node.quorum.errors import QuorumError

_DOMAIN: Final = b"ponw/quorum/1\x00"
_PEER_CHARACTERS: Final = 64
_SEAT: Final = struct.Struct(">20sHH")
_HEAD: Final = struct.Struct(">32sII20sQQQH")


class PlanError(QuorumError):
    """A plan is malformed, or its seats do not hold every layer once."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One member. ``account``: 20 bytes; ``peer``: libp2p id; layers ``first`` to ``first + count - 1``."""

    account: bytes
    peer: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A proposed session. ``network``: 32 bytes; ``starts``, ``ends``: Unix seconds; ``nonce``: below 2^64.

    Raises PlanError on seats that are none, too many, twice the same account or peer, or that do not cover ``layers``
    layers without gap or overlap in order, on a leader without a seat, or on times out of order or too far apart.
    """

    network: bytes
    arch_version: int
    vocab_version: int
    leader: bytes
    seats: tuple[Seat, ...]
    starts: int
    ends: int
    nonce: int

    def __post_init__(self) -> None:
        self._check_sizes()
        self._check_seats()
        if not 0 < self.starts < self.ends <= self.starts + int(SESSION_TIME_MAX):
            raise PlanError(f"a session lasts up to {SESSION_TIME_MAX} seconds, not from {self.starts} to {self.ends}")

    def _check_sizes(self) -> None:
        numbers = (self.arch_version, self.vocab_version)
        if len(self.network) != 32 or len(self.leader) != 20 or any(not 0 <= n < 2**32 for n in numbers):
            raise PlanError("a plan names its network by 32 bytes, its leader by 20, its versions by 32 bits")
        if not 0 <= self.nonce < 2**64 or self.ends >= 2**63:
            raise PlanError("nonce and times of a plan have 64 bits")
        for seat in self.seats:
            if len(seat.account) != 20 or not 0 < len(seat.peer) <= _PEER_CHARACTERS or not seat.peer.isascii():
                raise PlanError("a seat names its account by 20 bytes and its peer by up to 64 characters")

    def _check_seats(self) -> None:
        seats = self.seats
        if not 1 <= len(seats) <= QUORUM_MEMBERS_MAX:
            raise PlanError(f"a quorum has 1 to {QUORUM_MEMBERS_MAX} members, not {len(seats)}")
        if len({s.account for s in seats}) != len(seats) or len({s.peer for s in seats}) != len(seats):
            raise PlanError("a member has one seat")
        if self.leader not in {s.account for s in seats}:
            raise PlanError("the leader has no seat")
        at = 0
        for seat in seats:
            if seat.first != at or not 1 <= seat.count < 2**16:
                raise PlanError(f"layer {at} is held by nobody, or twice")
            at += seat.count
        if at >= 2**16:
            raise PlanError(f"no model has {at} layers")

    @property
    def layers(self) -> int:
        """Layers that the seats hold together."""
        return sum(seat.count for seat in self.seats)

    @property
    def id(self) -> bytes:
        """The quorum's id: sha256 over every field, 32 bytes."""
        head = _HEAD.pack(
            self.network,
            self.arch_version,
            self.vocab_version,
            self.leader,
            self.starts,
            self.ends,
            self.nonce,
            len(self.seats),
        )
        seats = b"".join(
            _SEAT.pack(s.account, s.first, s.count) + hashlib.sha256(s.peer.encode()).digest() for s in self.seats
        )
        return hashlib.sha256(_DOMAIN + head + seats).digest()

    def seat_of(self, account: bytes) -> Seat | None:
        """The seat of an account, or None."""
        return next((seat for seat in self.seats if seat.account == account), None)

    def message(self) -> quorum_pb2.Plan:
        """As it travels."""
        versions = common_pb2.Versions(
            network=self.network, arch_version=self.arch_version, vocab_version=self.vocab_version
        )
        seats = [
            quorum_pb2.Seat(account=s.account, peer=s.peer, first_layer=s.first, layer_count=s.count)
            for s in self.seats
        ]
        return quorum_pb2.Plan(
            versions=versions, leader=self.leader, seats=seats, starts=self.starts, ends=self.ends, nonce=self.nonce
        )

    @classmethod
    def of(cls, message: quorum_pb2.Plan) -> Plan:
        """The inverse of ``message``; raises PlanError."""
        if len(message.seats) > QUORUM_MEMBERS_MAX:
            raise PlanError(f"a quorum has 1 to {QUORUM_MEMBERS_MAX} members, not {len(message.seats)}")
        seats = tuple(Seat(s.account, s.peer, s.first_layer, s.layer_count) for s in message.seats)
        versions = message.versions
        return cls(
            versions.network,
            versions.arch_version,
            versions.vocab_version,
            message.leader,
            seats,
            message.starts,
            message.ends,
            message.nonce,
        )
