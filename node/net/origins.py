"""Where peers come from and what came from there: a key costs nothing, so bans of keys alone cost an attacker nothing.

Every offence of a peer also counts for its origin: the account of a staked peer, else its IPv4 address, its IPv6 /64,
or the relay that brought it. So a staked peer is judged by what its own account did, whoever else is behind the same
address, and an address is banned for what its unstaked peers did together. Time is given by the caller, in seconds of a
monotonic clock; `node.net.bans` keeps the bans over a restart.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from node.net.limits import LEDGER_MAX, ORIGIN_BAN, ORIGIN_BAN_SECONDS, ORIGIN_BAN_SECONDS_MAX
from node.net.score import Ledger

_SITE = 64
"""Bits of an IPv6 address that its holder did not choose."""
TRUSTED = ""
"""The origin of peers that an operator named: nothing counts for it."""


def plain_host(host: str) -> str:
    """An IP address without its scope, and IPv4 out of IPv6 (RFC 4291, 2.5.5.2). Raises ValueError for no address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def origin_of(host: str) -> str:
    """The IPv4 address, or the /64 of the IPv6 address. Raises ValueError for what is no address."""
    plain = plain_host(host)
    return str(ipaddress.ip_network(f"{plain}/{_SITE}", strict=False)) if ":" in plain else plain


def account_origin(account: str) -> str:
    """The origin of a staked peer."""
    return f"account {account}"


def relay_origin(relay: str) -> str:
    """The origin of a peer that comes through a relay, whose address is not to be seen."""
    return f"relay {relay}"


class Origins:
    """Offences and bans by origin, and which origin answers for a peer; LEDGER_MAX of each."""

    def __init__(self, limit: int = ORIGIN_BAN) -> None:
        self.ledger = Ledger(limit, ORIGIN_BAN_SECONDS, ORIGIN_BAN_SECONDS_MAX)
        self._of: OrderedDict[str, str] = OrderedDict()

    def note(self, peer: str, origin: str) -> None:
        """From now on this origin answers for the peer, also after it has gone."""
        self._of[peer] = origin
        self._of.move_to_end(peer)
        while len(self._of) > LEDGER_MAX:
            self._of.popitem(last=False)

    def charge(self, peer: str, points: int, reason: str, now: float) -> str | None:
        """An offence of the peer; its origin, if that is banned by it."""
        origin = self._of.get(peer, TRUSTED)
        if origin == TRUSTED or self.banned(origin, now):
            return None
        return origin if self.ledger.add(origin, points, reason, int(now)) else None

    def banned(self, origin: str, now: float) -> str | None:
        """Why an origin is banned at this time, or None."""
        return None if origin == TRUSTED else self.ledger.banned(origin, int(now))
