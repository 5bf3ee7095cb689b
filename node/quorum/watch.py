"""Which members of a quorum must be replaced, from the heartbeats that everyone hears."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from consensus.quorum.presence import Health, fault
from economics.networks import QuorumTimes
from node.quorum.census import Seen


class Watch:
    """The members of one quorum since it started. Times in Unix seconds.

    A member's tier is the one it joined with: what it says of itself later is measured against that, so a machine that
    slows down cannot lower what is expected of it.
    """

    def __init__(self, members: Iterable[bytes], seen: Mapping[bytes, Seen], times: QuorumTimes, now: int) -> None:
        """`members`: accounts of the others; `seen`: the census as the quorum starts."""
        self._times = times
        self._health = {account: Health(now) for account in members}
        self._tiers = {account: seen[account].node.tier for account in self._health if account in seen}

    def look(self, seen: Mapping[bytes, Seen], now: int) -> dict[bytes, str]:
        """Accounts at fault, each with the reason in words."""
        for account, health in self._health.items():
            heard = seen.get(account)
            if heard is not None:
                tier = self._tiers.setdefault(account, heard.node.tier)
                self._health[account] = health.beat(heard.at).ran(heard.node.layer_us, tier, heard.at)
        reasons = {account: fault(health, now, self._times) for account, health in self._health.items()}
        return {account: why for account, why in reasons.items() if why}
