"""Where peers can be reached, and when to dial them next. Pure: time is given by the caller, in seconds."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from node.net.errors import NetworkError, malformed
from node.net.limits import ADDRESS_BYTES, ADDRESSES_MAX, BOOK_MAX

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts to reach one peer: doubled each time."""
REFUSED_PAUSE: Final = 600.0
CIRCUIT: Final = "/p2p-circuit"
_SHAPES: Final = (("tcp",), ("tcp", "p2p"), ("tcp", "p2p", "p2p-circuit"))
_HOSTS: Final = ("ip4", "ip6", "dns", "dns4", "dns6")


@dataclass
class Contact:
    """One peer: its addresses without /p2p, whether an operator named it, and the dialling so far."""

    peer: str
    addresses: list[str] = field(default_factory=list)
    bootstrap: bool = False
    failures: int = 0
    next_try: float = 0.0


def plain_address(text: str, seen_host: str | None = None) -> str:
    """An address without the peer's own /p2p part; an unspecified host (0.0.0.0) becomes the one it was seen at.

    An address through a relay keeps the relay's: /ip4/HOST/tcp/PORT/p2p/RELAY/p2p-circuit.

    Raises:
        NetworkError: too long, not a multiaddress, or not TCP over IP or DNS.
    """
    if len(text.encode()) > ADDRESS_BYTES:
        raise malformed("An address is too long.")
    try:
        parts = [(protocol.name, value) for protocol, value in Multiaddr(text).items()]
    except (MultiaddrError, ValueError, TypeError) as error:
        raise malformed("An address is not a multiaddress.") from error
    shape = tuple(name for name, _ in parts[1:])
    if shape not in _SHAPES or parts[0][0] not in _HOSTS:
        raise malformed(f"{text} is not an address of the form /ip4/HOST/tcp/PORT.")
    kind, host = parts[0]
    if kind in {"ip4", "ip6"} and ipaddress.ip_address(host).is_unspecified and seen_host:
        kind, host = ("ip6" if ":" in seen_host else "ip4"), seen_host
    relay = f"/p2p/{parts[2][1]}{CIRCUIT}" if shape[-1] == "p2p-circuit" else ""
    return f"/{kind}/{host}/tcp/{parts[1][1]}{relay}"


def relay_of(address: str) -> tuple[str, str] | None:
    """(relay, its address) of a plain address through a relay; None for one that leads to the peer itself."""
    if not address.endswith(CIRCUIT):
        return None
    direct, _, relay = address.removesuffix(CIRCUIT).rpartition("/p2p/")
    return relay, direct


def split_address(text: str) -> tuple[str, str]:
    """(peer, address) of /ip4/HOST/tcp/PORT/p2p/PEER.

    Raises:
        NetworkError: it is not of that form.
    """
    address, _, peer = text.rpartition("/p2p/")
    if not address or not peer.isalnum() or len(peer) > 128:
        raise NetworkError(f"{text} is not a peer's address.", "The form is /ip4/HOST/tcp/PORT/p2p/PEER.")
    return peer, plain_address(address)


class Book:
    """At most BOOK_MAX contacts; the oldest that no operator named and that fails goes first."""

    def __init__(self, own: str, bootstrap: Iterable[str] = ()) -> None:
        self._own = own
        self._contacts: OrderedDict[str, Contact] = OrderedDict()
        for text in bootstrap:
            peer, address = split_address(text)
            self.learn(peer, [address])
            if peer in self._contacts:
                self._contacts[peer].bootstrap = True

    def __iter__(self) -> Iterator[Contact]:
        return iter(list(self._contacts.values()))

    def learn(self, peer: str, addresses: list[str]) -> None:
        """Remember up to ADDRESSES_MAX addresses, newest first; ours are not taken up."""
        if peer == self._own or not addresses:
            return
        contact = self._contacts.setdefault(peer, Contact(peer))
        if contact.addresses[: len(addresses)] != addresses[:ADDRESSES_MAX]:
            contact.next_try = min(contact.next_try, 0.0) if not contact.failures else contact.next_try
        contact.addresses = list(dict.fromkeys([*addresses, *contact.addresses]))[:ADDRESSES_MAX]
        self._shrink(peer)

    def is_named(self, peer: str) -> bool:
        """Whether an operator named the peer."""
        contact = self._contacts.get(peer)
        return contact is not None and contact.bootstrap

    def addresses(self, peer: str) -> list[str]:
        """What is known of a peer."""
        contact = self._contacts.get(peer)
        return [] if contact is None else list(contact.addresses)

    def due(self, now: float, connected: set[str], wanted: int) -> list[Contact]:
        """Whom to dial now: operators' peers always, others while fewer than `wanted` are connected."""
        missing = [c for c in self._contacts.values() if c.peer not in connected and c.next_try <= now]
        named = [c for c in missing if c.bootstrap]
        others = [c for c in missing if not c.bootstrap][: max(0, wanted - len(connected))]
        return named + others

    def failed(self, peer: str, now: float) -> None:
        """An attempt failed: wait twice as long for the next."""
        if contact := self._contacts.get(peer):
            contact.next_try = now + min(FIRST_PAUSE * 2 ** min(contact.failures, 16), LONGEST_PAUSE)
            contact.failures += 1

    def refused(self, peer: str, now: float) -> None:
        """One side refused the other: not soon again."""
        if contact := self._contacts.get(peer):
            contact.next_try = now + REFUSED_PAUSE

    def reached(self, peer: str) -> None:
        """It is connected; should it be lost, it is dialled at once."""
        if contact := self._contacts.get(peer):
            contact.failures, contact.next_try = 0, 0.0

    def _shrink(self, keep: str) -> None:
        while len(self._contacts) > BOOK_MAX:
            loose = [c for c in self._contacts.values() if not c.bootstrap and c.peer != keep]
            if not loose:
                return
            del self._contacts[max(loose, key=lambda c: c.failures).peer]
