"""What the fields of a DHT record may hold. Pure; every bound of a record's content stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from consensus.quorum.modes import MODES
from economics.constants import QUORUM_MEMBERS_MAX, SESSION_TIME_MAX, TIER_LIMITS
from node.errors import PeerError
from node.net.wire.records_pb2 import (
    Body,
    HoldingRecord,
    LayerRange,
    NetworkRecord,
    NodeRecord,
    QuorumRecord,
    QuorumSeat,
)

HASH_BYTES: Final = 32
ACCOUNT_BYTES: Final = 20
PEER_BYTES: Final = (38, 39)
"""Peer ids of Ed25519 and secp256k1 keys."""
ADDRESSES_MAX: Final = 8
ADDRESS_BYTES: Final = 128
LAYERS_MAX: Final = 1 << 12
RANGES_MAX: Final = 16
BINDING_BYTES: Final = 256
CLOCK_SKEW: Final = 60
"""Seconds that a signer's clock may be ahead of ours."""
LIFETIME: Final = 600
"""Seconds from issue to expiry at most, for all kinds but quorums, which end with their session."""
_ROUND_END: Final = 1 << 63
_PRINTABLE: Final = range(0x21, 0x7F)


class RecordError(PeerError):
    """A record that must not be stored or believed; the message says why."""


def require(holds: bool, message: str) -> None:
    """Raises RecordError with `message` unless it holds."""
    if not holds:
        raise RecordError(message)


def check_times(body: Body, now: int) -> None:
    """Issue, expiry and sequence of a record at Unix second `now`. Raises RecordError."""
    require(body.issued <= now + CLOCK_SKEW, "The record is issued in the future.")
    require(now < body.expires, "The record has expired.")
    require(body.expires <= body.issued + longest_life(body), "The record would last too long.")
    require(body.sequence <= body.issued * 1000 + 999, "The record's sequence is ahead of its time.")


def longest_life(body: Body) -> int:
    """Seconds from issue to expiry at most."""
    if body.WhichOneof("kind") == "quorum":
        return max(body.quorum.starts + body.quorum.seconds - body.issued, 0)
    return LIFETIME


def check_fields(body: Body) -> None:
    """Bounds of every field. Raises RecordError."""
    require(len(body.versions.network) == HASH_BYTES, "A network has 32 bytes.")
    require(len(body.account) == ACCOUNT_BYTES, "An account has 20 bytes.")
    require(len(body.binding) <= BINDING_BYTES, "The binding is too long.")
    kind = body.WhichOneof("kind")
    require(kind is not None, "The record is of no kind.")
    require(len(body.versions.quorum) == (HASH_BYTES if kind == "quorum" else 0), "A record of a quorum names it.")
    if kind == "node":
        _check_node(body.node)
    elif kind == "holding":
        _check_holding(body.holding)
    elif kind == "quorum":
        _check_quorum(body.quorum)
    else:
        _check_state(body.state)


def _check_node(node: NodeRecord) -> None:
    require(len(node.addresses) <= ADDRESSES_MAX, "Too many addresses.")
    require(_all(_good_address, node.addresses), "A malformed address.")
    require(1 <= node.tier <= len(TIER_LIMITS) + 1, "There is no such tier.")
    require(node.mode in MODES, "There is no such mode.")
    require(node.memory < _ROUND_END, "No node has so much memory.")
    require(len(node.layers) <= RANGES_MAX, "Too many ranges of layers.")
    _check_ranges(node.layers)


def _check_ranges(ranges: Iterable[LayerRange]) -> None:
    """In order, apart from each other."""
    free = 0
    for layers in ranges:
        require(free <= layers.first <= layers.last < LAYERS_MAX, "Ranges of layers overlap or are out of order.")
        free = layers.last + 2


def _check_holding(holding: HoldingRecord) -> None:
    require(holding.layer < LAYERS_MAX, "There is no such layer.")


def _check_quorum(quorum: QuorumRecord) -> None:
    require(1 <= len(quorum.seats) <= QUORUM_MEMBERS_MAX, "A quorum has 1 to 16 members.")
    require(len({seat.account for seat in quorum.seats}) == len(quorum.seats), "An account sits twice.")
    require(len({seat.peer for seat in quorum.seats}) == len(quorum.seats), "A peer sits twice.")
    require(any(seat.account == quorum.initiator for seat in quorum.seats), "The initiator is no member.")
    require(0 < quorum.seconds <= SESSION_TIME_MAX, "A session is longer than it may be.")
    require(quorum.starts < _ROUND_END, "A session starts too late.")
    next_part = 0
    for seat in quorum.seats:
        _check_seat(seat, next_part)
        next_part = seat.stop


def _check_seat(seat: QuorumSeat, start: int) -> None:
    require(len(seat.account) == ACCOUNT_BYTES and len(seat.peer) in PEER_BYTES, "A seat without a member.")
    require(start == seat.start < seat.stop <= LAYERS_MAX, "The seats do not cover the model one after the other.")


def _check_state(state: NetworkRecord) -> None:
    require(state.round < _ROUND_END, "There is no such round.")


def _good_address(text: str) -> bool:
    data = text.encode()
    return len(data) <= ADDRESS_BYTES and text.startswith("/") and all(byte in _PRINTABLE for byte in data)


def _all(test: Callable[[str], bool], texts: Iterable[str]) -> bool:
    return all(test(text) for text in texts)
