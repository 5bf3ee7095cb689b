"""A proposed quorum: who runs which parts, from when, for how long; and its id."""

import hashlib
from dataclasses import dataclass
from typing import Final

from consensus.quorum.parts import Span

_DOMAIN: Final = b"ponw/quorum/1"


@dataclass(frozen=True, order=True, slots=True)
class Seat:
    """One member and the parts that it runs."""

    account: bytes
    span: Span


@dataclass(frozen=True, slots=True)
class Proposal:
    """A quorum to be. ``seats`` are in pipeline order; times are Unix seconds."""

    initiator: bytes
    seats: tuple[Seat, ...]
    arch_version: int
    vocab_version: int
    starts: int
    seconds: int
    """Length of the session."""

    @property
    def accounts(self) -> tuple[bytes, ...]:
        """Members in pipeline order."""
        return tuple(seat.account for seat in self.seats)

    @property
    def id(self) -> bytes:
        """sha256 over domain, initiator, versions (u32 each), starts (u64), seconds (u32), and each seat's account and
        span (u16 each)."""
        text = b"".join(
            seat.account + seat.span.start.to_bytes(2, "big") + seat.span.stop.to_bytes(2, "big") for seat in self.seats
        )
        versions = self.arch_version.to_bytes(4, "big") + self.vocab_version.to_bytes(4, "big")
        times = self.starts.to_bytes(8, "big") + self.seconds.to_bytes(4, "big")
        return hashlib.sha256(_DOMAIN + self.initiator + versions + times + text).digest()

    def span_of(self, account: bytes) -> Span | None:
        """The parts of one member."""
        return next((seat.span for seat in self.seats if seat.account == account), None)
