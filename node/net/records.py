"""Records in the DHT: nodes, holders of layers, quorums, the network's state. Signed, versioned, expiring.

A record is signed with the peer's hot key over "ponw/record/1" ‖ body and carries the account's word for that key.
`validate`, `rank` and `select` are pure: the time and what is known come in. Of two valid records of one key the one
with the greater sequence wins (of two states of the network the later round). The value of a layer is a set of such
records, one a holder; more and fresher holders win, so nobody can drop another. Encodings are canonical: bytes that
could be written otherwise are refused, so that a record can't be varied by those who pass it on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from economics.constants import SESSION_TIME_MAX
from node.net import hotkey
from node.net.record_rules import (
    CLOCK_SKEW,
    RecordError,
    check_fields,
    check_times,
    require,
)
from node.net.wire.common_pb2 import Versions
from node.net.wire.records_pb2 import Body, Holders, QuorumRecord, Signed

VALUE_LIMIT: Final = 16 << 10
"""Bytes of any value."""
HOLDERS_MAX: Final = 32
"""Holders of a layer that its value names; enough to find one."""
_DOMAIN: Final = b"ponw/record/1"
_NODE, _LAYER, _QUORUM, _STATE = b"node/", b"layer/", b"quorum/", b"state/"
M = TypeVar("M", bound=Message)


class Known(Protocol):
    """What a validator knows; each answer is immediate and changes nothing."""

    @property
    def network(self) -> bytes:
        """Our network, 32 bytes."""

    def speaks_for(self, peer: bytes, account: bytes, binding: bytes, now: int) -> bool:
        """Whether the peer id's key is bound to that staked account by `binding` (a serialised Binding) at `now`."""

    def quorum_id(self, versions: Versions, quorum: QuorumRecord) -> bytes:
        """The id, 32 bytes, that the protocol gives a quorum of this content."""

    def latest_round(self) -> int | None:
        """The last round that we know of; None while we know none."""


class Rules:
    """`validate` and `rank` for the DHT of one node."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def check(self, key: bytes, value: bytes, now: int) -> None:
        """Raises RecordError unless `value` may stand under `key` at Unix second `now`."""
        validate(key, value, now, self._known)

    def rank(self, key: bytes, value: bytes) -> int:
        """The higher replaces the lower."""
        return rank(key, value)


def node_key(peer: bytes) -> bytes:
    """Where the record of a node stands; `peer` is the multihash."""
    return _NODE + peer


def layer_key(arch_version: int, layer: int) -> bytes:
    """Where the holders of a layer stand."""
    return _LAYER + arch_version.to_bytes(4, "big") + layer.to_bytes(4, "big")


def quorum_key(quorum: bytes) -> bytes:
    """Where the record of a quorum stands, by its id."""
    return _QUORUM + quorum


def state_key(network: bytes) -> bytes:
    """Where the state of a network stands."""
    return _STATE + network


def sign(body: Body, key: hotkey.HotKey) -> Signed:
    """A record under the peer's hot key. Raises RecordError: a field is out of its bounds."""
    check_fields(body)
    data = body.SerializeToString(deterministic=True)
    return Signed(body=data, public_key=key.public, signature=key.sign(_DOMAIN + data))


def value_of(record: Signed) -> bytes:
    """A signed record as a value: alone, or for a holding as a set of one."""
    if _body(record).WhichOneof("kind") == "holding":
        return merge_holders([], [record])
    return record.SerializeToString(deterministic=True)


def merge_holders(values: Sequence[bytes], more: Sequence[Signed] = (), now: int = 0) -> bytes:
    """One set of the valid values of a layer and further holdings: of each signer the newest that has not expired, of
    too many signers the latest issued. Write it back before the first in it expires."""
    newest: dict[bytes, tuple[tuple[int, int], Signed]] = {}
    for record in [*more, *(record for value in values for record in _parse(Holders, value).holders)]:
        body = _body(record)
        place = (body.sequence, body.issued)
        known = newest.get(record.public_key)
        if now < body.expires and (known is None or known[0] < place):
            newest[record.public_key] = (place, record)
    latest = sorted(newest.values(), key=lambda item: (-item[0][1], item[1].public_key))[:HOLDERS_MAX]
    holders = sorted((record for _, record in latest), key=lambda record: record.public_key)
    return Holders(holders=holders).SerializeToString(deterministic=True)


def validate(key: bytes, value: bytes, now: int, known: Known) -> None:
    """Whether `value` may stand under `key` at Unix second `now`.

    Raises:
        RecordError: malformed, too large, expired, issued in the future, not the signer's to write, wrongly signed, of
            another network, or signed by a key that speaks for no staked account.
    """
    require(len(value) <= VALUE_LIMIT, "The value is too large.")
    if not key.startswith(_LAYER):
        _check_record(key, _parse(Signed, value), now, known)
        return
    holders = _parse(Holders, value).holders
    require(0 < len(holders) <= HOLDERS_MAX, "A layer's value names 1 to 32 holders.")
    signers = [record.public_key for record in holders]
    require(signers == sorted(set(signers)), "Holders are repeated or out of order.")
    for record in holders:
        _check_record(key, record, now, known)


def rank(key: bytes, value: bytes) -> int:
    """The place of a value that `validate` took; the higher replaces the lower. Raises RecordError: malformed."""
    if key.startswith(_LAYER):
        return sum(_body(record).issued for record in _parse(Holders, value).holders)
    body = _body(_parse(Signed, value))
    if body.WhichOneof("kind") == "state":
        return (body.state.round << 64) + body.issued
    return body.sequence


def select(key: bytes, values: Sequence[bytes]) -> int:
    """Index of the value to keep of those that `validate` took; the first of equals."""
    ranks = [rank(key, value) for value in values]
    return ranks.index(max(ranks))


def read_record(value: bytes) -> tuple[bytes, Body]:
    """(signer's peer id, body) of a valid value that is no layer's."""
    record = _parse(Signed, value)
    return hotkey.peer_id(record.public_key), _body(record)


def read_holders(value: bytes) -> list[tuple[bytes, Body]]:
    """(signer's peer id, body) of each holder in a layer's valid value."""
    return [(hotkey.peer_id(record.public_key), _body(record)) for record in _parse(Holders, value).holders]


def _check_record(key: bytes, record: Signed, now: int, known: Known) -> None:
    """Cheap rules first; the signature and the account's word last."""
    require(len(record.public_key) in hotkey.KEY_BYTES, "The key is none of the two kinds.")
    body = _body(record)
    require(body.versions.network == known.network, "The record is of another network.")
    check_fields(body)
    check_times(body, now)
    signer = hotkey.peer_id(record.public_key)
    require(key == _key_of(body, signer), "The record does not belong under this key.")
    if body.WhichOneof("kind") == "quorum":
        _check_quorum(body, signer, known)
    if body.WhichOneof("kind") == "state":
        latest = known.latest_round()
        require(latest is None or body.state.round <= latest + 1, "The round is ahead of the chain's.")
    signed = hotkey.verify(record.public_key, _DOMAIN + record.body, record.signature)
    require(signed, "The signature is not of this key and record.")
    staked = known.speaks_for(signer, body.account, body.binding, now)
    require(staked, "The key speaks for no staked account.")


def _check_quorum(body: Body, signer: bytes, known: Known) -> None:
    require(
        any(seat.peer == signer and seat.account == body.account for seat in body.quorum.seats),
        "Only a member may write a quorum's record.",
    )
    end = body.quorum.starts + body.quorum.seconds
    require(end <= body.issued + SESSION_TIME_MAX + CLOCK_SKEW, "The session ends too late.")
    require(known.quorum_id(body.versions, body.quorum) == body.versions.quorum, "The id is not of this quorum.")


def _key_of(body: Body, signer: bytes) -> bytes:
    kind = body.WhichOneof("kind")
    if kind == "node":
        return node_key(signer)
    if kind == "holding":
        return layer_key(body.versions.arch_version, body.holding.layer)
    if kind == "quorum":
        return quorum_key(body.versions.quorum)
    return state_key(body.versions.network)


def _body(record: Signed) -> Body:
    return _parse(Body, record.body)


def _parse(kind: type[M], data: bytes) -> M:
    """The message in `data` if these are the only bytes that give it."""
    try:
        message = kind.FromString(data)
    except DecodeError as error:
        raise RecordError("The record is malformed.") from error
    message.DiscardUnknownFields()
    require(message.SerializeToString(deterministic=True) == data, "The record is not in its only encoding.")
    return message
