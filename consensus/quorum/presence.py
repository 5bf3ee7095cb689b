"""Whether a node is there: from the time of its last heartbeat."""

from dataclasses import dataclass, replace
from enum import StrEnum

from consensus.quorum.tiers import is_slow
from economics import constants as c
from economics.networks import MAINNET_TIMES, QuorumTimes


class Presence(StrEnum):
    """``STALE``: asked for nothing new. ``OFFLINE``: what it holds no longer counts."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"


def missed(last: int, now: int, times: QuorumTimes = MAINNET_TIMES) -> int:
    """Heartbeats that are overdue at ``now`` (seconds) since the one at ``last``; a last in the future misses none."""
    return max(0, now - last) // times.heartbeat


def presence(last: int, now: int, times: QuorumTimes = MAINNET_TIMES) -> Presence:
    """What a silence since ``last`` means at ``now``, both in seconds."""
    if now - last > times.offline:
        return Presence.OFFLINE
    return Presence.STALE if missed(last, now, times) >= c.STALE_HEARTBEATS else Presence.ONLINE


@dataclass(frozen=True, slots=True)
class Health:
    """One member as the others see it. Times in seconds."""

    last_heartbeat: int
    slow_since: int | None = None
    """When it began to run over twice its tier's time, without a break since."""

    def beat(self, at: int) -> "Health":
        """A heartbeat came; an older one than known changes nothing."""
        return replace(self, last_heartbeat=max(at, self.last_heartbeat))

    def ran(self, layer_us: int, tier: int, at: int) -> "Health":
        """It ran a layer in ``layer_us`` microseconds."""
        if not is_slow(layer_us, tier):
            return replace(self, slow_since=None)
        return self if self.slow_since is not None else replace(self, slow_since=at)


def fault(health: Health, now: int, times: QuorumTimes = MAINNET_TIMES) -> str:
    """Why a member must be replaced, in words; "" while it need not be."""
    overdue = missed(health.last_heartbeat, now, times)
    if overdue >= c.MEMBER_MISSED_MAX:
        return f"missed {overdue} heartbeats"
    if health.slow_since is not None and now - health.slow_since >= times.slow:
        return f"over twice its tier's time for {now - health.slow_since} s"
    return ""
