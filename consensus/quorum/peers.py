"""What a node says about itself in its signed record, as far as the rules need it."""

from dataclasses import dataclass

from consensus.errors import QuorumError
from consensus.quorum.parts import Span
from consensus.quorum.tiers import tier_of

ACCOUNT_BYTES = 20


@dataclass(frozen=True, slots=True)
class Peer:
    """One node: its account, speed, and what it holds. Raises QuorumError on a field out of range."""

    account: bytes
    layer_us: int
    """Microseconds of one layer's forward pass on one micro-batch, as measured."""
    link_us: int
    """Microseconds of a round trip to its neighbours, as measured (median)."""
    held: Span | None = None
    memory: int = 0
    """Bytes that it gives to the model."""

    def __post_init__(self) -> None:
        if len(self.account) != ACCOUNT_BYTES:
            raise QuorumError("an account has 20 bytes")
        if min(self.layer_us, self.link_us, self.memory) < 0:
            raise QuorumError("times and memory cannot be negative")

    @property
    def tier(self) -> int:
        """1 to 5."""
        return tier_of(self.layer_us)

    @property
    def latency_us(self) -> int:
        """What a stage on this node adds for one layer: compute and the way there; at least 1."""
        return max(1, self.layer_us + self.link_us)
