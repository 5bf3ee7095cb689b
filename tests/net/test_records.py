"""Records in the DHT: what is valid stays valid byte for byte, and nothing else passes."""

from __future__ import annotations

import hashlib
import random
import resource
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from economics.constants import SESSION_TIME_MAX
from node.net import hotkey
from node.net.hotkey import Ed25519Key, HotKey, Secp256k1Key
from node.net.record_rules import CLOCK_SKEW, LIFETIME, RecordError
from node.net.records import (
    HOLDERS_MAX,
    VALUE_LIMIT,
    Rules,
    layer_key,
    merge_holders,
    node_key,
    quorum_key,
    rank,
    read_holders,
    read_record,
    select,
    sign,
    state_key,
    validate,
    value_of,
)
from node.net.wire.common_pb2 import Versions
from node.net.wire.records_pb2 import (
    Body,
    Holders,
    HoldingRecord,
    LayerRange,
    NetworkRecord,
    NodeRecord,
    QuorumRecord,
    QuorumSeat,
    Signed,
)

NOW = 1_800_000_000
NETWORK = b"n" * 32
VERSIONS = Versions(network=NETWORK, arch_version=3, vocab_version=1)
KEYS: list[HotKey] = [Ed25519Key(bytes([number]) * 32) for number in range(40)]
KEY, OTHER, CURVE = KEYS[1], KEYS[2], Secp256k1Key(b"\7" * 32)


def account(key: HotKey) -> bytes:
    return hashlib.sha256(key.public).digest()[:20]


def peer(key: HotKey) -> bytes:
    return hotkey.peer_id(key.public)


def quorum_id(versions: Versions, quorum: QuorumRecord) -> bytes:
    text = b"".join(seat.account + bytes([seat.start, seat.stop]) for seat in quorum.seats)
    return hashlib.sha256(quorum.initiator + quorum.starts.to_bytes(8) + quorum.seconds.to_bytes(4) + text).digest()


@dataclass
class Chain:
    """What a node knows; every account is staked until it is taken out."""

    network: bytes = NETWORK
    staked: dict[bytes, bytes] = field(default_factory=lambda: {peer(key): account(key) for key in [*KEYS, CURVE]})
    round: int | None = 7

    def speaks_for(self, peer: bytes, account: bytes, binding: bytes, now: int) -> bool:
        return self.staked.get(peer) == account and binding == b"word"

    def quorum_id(self, versions: Versions, quorum: QuorumRecord) -> bytes:
        return quorum_id(versions, quorum)

    def latest_round(self) -> int | None:
        return self.round


def body(key: HotKey, sequence: int = 1, issued: int = NOW, life: int = LIFETIME, **kind: object) -> Body:
    own = {"account": account(key), "binding": b"word", "sequence": sequence}
    return Body(versions=VERSIONS, issued=issued, expires=issued + life, **own, **kind)  # type: ignore[arg-type]


def node(**changes: object) -> NodeRecord:
    fields = {"addresses": ["/ip4/10.0.0.1/tcp/4001"], "tier": 2, "mode": "pipeline", "memory": 1 << 33}
    layers = [LayerRange(first=0, last=3), LayerRange(first=5, last=5)]
    return NodeRecord(**{**fields, "layers": layers, **changes})  # type: ignore[arg-type]


def quorum_body(key: HotKey = KEY, **changes: object) -> Body:
    seats = [
        QuorumSeat(account=account(KEY), peer=peer(KEY), start=0, stop=4),
        QuorumSeat(account=account(OTHER), peer=peer(OTHER), start=4, stop=9),
    ]
    fields = {"initiator": account(OTHER), "seats": seats, "starts": NOW, "seconds": 3600}
    quorum = QuorumRecord(**{**fields, **changes})  # type: ignore[arg-type]
    result = body(key, life=3600, quorum=quorum)
    result.versions.quorum = quorum_id(VERSIONS, quorum)
    return result


def holding(key: HotKey, issued: int = NOW, sequence: int = 1) -> Signed:
    return sign(body(key, sequence, issued, holding=HoldingRecord(layer=5)), key)


def valid() -> dict[str, tuple[bytes, bytes]]:
    """A (key, value) of every kind."""
    quorum = quorum_body()
    return {
        "node": (node_key(peer(KEY)), value_of(sign(body(KEY, node=node()), KEY))),
        "node of a secp256k1 key": (node_key(peer(CURVE)), value_of(sign(body(CURVE, node=node()), CURVE))),
        "layer": (layer_key(3, 5), merge_holders([], [holding(key) for key in KEYS[:3]])),
        "quorum": (quorum_key(quorum.versions.quorum), value_of(sign(quorum, KEY))),
        "state": (state_key(NETWORK), value_of(sign(body(KEY, state=NetworkRecord(round=7, nodes=5)), KEY))),
    }


VALID = valid()
VALID_VALUES = dict(VALID.values())
SIGNED_AGAIN = b"ponw/record/1"


@pytest.mark.parametrize("kind", VALID)
def test_valid_records_pass_and_can_be_read(kind: str) -> None:
    key, value = VALID[kind]
    validate(key, value, NOW, Chain())
    Rules(Chain()).check(key, value, NOW)
    assert len(value) <= VALUE_LIMIT and len(key) <= 128
    if kind == "layer":
        assert {signer for signer, _ in read_holders(value)} == {peer(key) for key in KEYS[:3]}
    else:
        signer, read = read_record(value)
        assert signer in {peer(KEY), peer(CURVE)} and read.versions.network == NETWORK


# --- mutations ---


def changed(value: bytes, draw: random.Random) -> bytes:
    """`value` with bytes turned, cut out, put in, doubled, or with a field added that the schema does not know."""
    data, at = bytearray(value), draw.randrange(len(value))
    kind = draw.randrange(6)
    if kind == 0:
        data[at] ^= 1 << draw.randrange(8)
    elif kind == 1:
        del data[at : at + draw.randrange(1, 9)]
    elif kind == 2:
        data[at:at] = draw.randbytes(draw.randrange(1, 9))
    elif kind == 3:
        data += bytes([0xFA, 0x01, 1, 0])  # field 31, one byte
    elif kind == 4:
        data = data[at:] + data[:at]
    else:
        data[at] = draw.randrange(256)
    return bytes(data)


@given(st.sampled_from(sorted(VALID)), st.randoms(use_true_random=False))
@settings(max_examples=1500)
def test_no_mutation_of_a_valid_record_passes(kind: str, draw: random.Random) -> None:
    key, value = VALID[kind]
    mutated = changed(value, draw)
    if mutated != value:
        with pytest.raises(RecordError):
            validate(key, mutated, NOW, Chain())


@given(st.sampled_from(sorted(VALID)), st.sampled_from(["public_key", "signature", "body"]), st.randoms())
@settings(max_examples=300)
def test_no_mutation_of_a_field_passes(kind: str, name: str, draw: random.Random) -> None:
    """The same inside a well-formed message."""
    key, value = VALID[kind]
    holders = Holders.FromString(value) if kind == "layer" else None
    record = holders.holders[1] if holders else Signed.FromString(value)
    before = getattr(record, name)
    setattr(record, name, changed(before, draw))
    if getattr(record, name) != before:
        with pytest.raises(RecordError):
            validate(key, (holders or record).SerializeToString(deterministic=True), NOW, Chain())


def test_the_other_signature_of_ecdsa_is_refused() -> None:
    """(r, n - s) satisfies the same equation; only the smaller s is taken."""
    from cryptography.hazmat.primitives.asymmetric import utils

    key, value = VALID["node of a secp256k1 key"]
    record = Signed.FromString(value)
    r, s = utils.decode_dss_signature(record.signature)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    record.signature = utils.encode_dss_signature(r, order - s)
    with pytest.raises(RecordError, match="signature"):
        validate(key, record.SerializeToString(deterministic=True), NOW, Chain())


@pytest.mark.parametrize("kind", VALID)
@pytest.mark.parametrize("under", VALID)
def test_a_record_passes_under_its_own_key_only(kind: str, under: str) -> None:
    if kind != under:
        with pytest.raises(RecordError):
            validate(VALID[under][0], VALID[kind][1], NOW, Chain())


# --- time, versions, accounts ---


def test_expiry_and_clock_skew() -> None:
    for kind, (key, value) in VALID.items():
        end = NOW + (3600 if kind == "quorum" else LIFETIME)
        for now in (NOW - CLOCK_SKEW, NOW + 1, end - 1):
            validate(key, value, now, Chain())
        with pytest.raises(RecordError, match="future"):
            validate(key, value, NOW - CLOCK_SKEW - 1, Chain())
        with pytest.raises(RecordError, match="expired"):
            validate(key, value, end, Chain())


def refused(record: Body, message: str, chain: Chain | None = None, key: HotKey = KEY, at: bytes | None = None) -> None:
    """Signed as it is, without the signer's own check of its fields."""
    data = record.SerializeToString(deterministic=True)
    signed = Signed(body=data, public_key=key.public, signature=key.sign(SIGNED_AGAIN + data))
    with pytest.raises(RecordError, match=message):
        validate(at or node_key(peer(key)), signed.SerializeToString(deterministic=True), NOW, chain or Chain())


def test_records_that_would_outlive_their_time() -> None:
    refused(body(KEY, life=LIFETIME + 1, node=node()), "too long")
    refused(body(KEY, sequence=NOW * 1000 + 1000, node=node()), "sequence")
    late = quorum_body(starts=NOW + SESSION_TIME_MAX)
    refused(late, "ends too late", at=quorum_key(late.versions.quorum))
    longer = quorum_body()
    longer.expires += 1
    refused(longer, "too long", at=quorum_key(longer.versions.quorum))


def test_other_networks_and_unbound_accounts() -> None:
    refused(body(KEY, node=node()), "another network", Chain(network=b"m" * 32))
    refused(body(KEY, node=node()), "no staked account", Chain(staked={}))
    foreign = body(KEY, node=node())
    foreign.account = account(OTHER)
    refused(foreign, "no staked account")
    unbound = body(KEY, node=node())
    unbound.binding = b"another"
    refused(unbound, "no staked account")


BAD_NODES = {
    "Too many addresses": node(addresses=["/ip4/10.0.0.1/tcp/1"] * 9),
    "malformed address": node(addresses=["/" + "a" * 128]),
    "A malformed address": node(addresses=["/ip4/\n"]),
    "no such tier": node(tier=6),
    "such tier": node(tier=0),
    "no such mode": node(mode="mining"),
    "so much memory": node(memory=1 << 63),
    "overlap": node(layers=[LayerRange(first=0, last=3), LayerRange(first=4, last=5)]),
    "out of order": node(layers=[LayerRange(first=3, last=2)]),
    "Ranges of layers": node(layers=[LayerRange(first=0, last=1 << 12)]),
    "Too many ranges": node(layers=[LayerRange(first=2 * at, last=2 * at) for at in range(17)]),
}


@pytest.mark.parametrize("message", BAD_NODES)
def test_bounds_of_a_node(message: str) -> None:
    refused(body(KEY, node=BAD_NODES[message]), message)
    with pytest.raises(RecordError, match=message):
        sign(body(KEY, node=BAD_NODES[message]), KEY)


def seat(key: HotKey, start: int, stop: int) -> QuorumSeat:
    return QuorumSeat(account=account(key), peer=peer(key), start=start, stop=stop)


BAD_QUORUMS: dict[str, dict[str, object]] = {
    "1 to 16 members": {"seats": []},
    "has 1 to 16": {"seats": [seat(key, at, at + 1) for at, key in enumerate(KEYS[:17])]},
    "account sits twice": {"seats": [seat(OTHER, 0, 1), seat(OTHER, 1, 2)]},
    "one after the other": {"seats": [seat(KEY, 0, 4), seat(OTHER, 5, 9)]},
    "cover the model": {"seats": [seat(KEY, 0, 4), seat(OTHER, 4, 4)]},
    "initiator": {"initiator": account(KEYS[9])},
    "longer than it may": {"seconds": SESSION_TIME_MAX + 1},
    "than it may": {"seconds": 0},
}


@pytest.mark.parametrize("message", BAD_QUORUMS)
def test_bounds_of_a_quorum(message: str) -> None:
    record = quorum_body(**BAD_QUORUMS[message])
    refused(record, message, at=quorum_key(record.versions.quorum))


def test_only_members_write_a_quorum_and_its_id_is_its_content() -> None:
    stranger = quorum_body(KEYS[9])
    refused(stranger, "Only a member", key=KEYS[9], at=quorum_key(stranger.versions.quorum))
    other = quorum_body()
    other.quorum.seconds -= 1
    other.expires -= 1
    refused(other, "id is not", at=quorum_key(other.versions.quorum))
    second = quorum_body(OTHER)
    validate(quorum_key(second.versions.quorum), value_of(sign(second, OTHER)), NOW, Chain())


def test_a_state_ahead_of_the_chain() -> None:
    for told, known in ((9, 7), (1, None), (8, 7)):
        record, at = body(KEY, state=NetworkRecord(round=told, nodes=2)), state_key(NETWORK)
        if told == 9:
            refused(record, "ahead", Chain(round=known), at=at)
        else:
            validate(at, value_of(sign(record, KEY)), NOW, Chain(round=known))


# --- which of several ---


@given(st.permutations([1, 2, 3, 70_000]))
def test_the_newer_sequence_wins(sequences: list[int]) -> None:
    values = [value_of(sign(body(KEY, number, node=node()), KEY)) for number in sequences]
    assert sequences[select(node_key(peer(KEY)), values)] == 70_000


def test_the_later_round_wins() -> None:
    key = state_key(NETWORK)
    told = [
        value_of(sign(body(KEY, 1, NOW + late, state=NetworkRecord(round=turn)), KEY))
        for turn, late in ((6, 9), (7, 0))
    ]
    assert select(key, told) == 1


@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 300)), min_size=1, max_size=60, unique=True))
@settings(max_examples=60)
def test_merging_holders_keeps_the_newest_of_each(drawn: list[tuple[int, int]]) -> None:
    """In any order and grouping; the merged set is valid and ranks no lower than any part."""
    records = [holding(KEYS[who], NOW - age, sequence=1000 - age) for who, age in drawn]
    half = len(records) // 2
    parts = [merge_holders([], part) for part in (records[:half], records[half:]) if part]
    merged = merge_holders(parts, now=NOW)
    assert merged == merge_holders(parts[::-1], now=NOW)
    validate(layer_key(3, 5), merged, NOW, Chain())
    found = {signer: read.issued for signer, read in read_holders(merged)}
    expected = {peer(KEYS[who]): NOW - min(age for other, age in drawn if other == who) for who, _ in drawn}
    assert found.items() <= expected.items()
    assert len(found) == min(len(expected), HOLDERS_MAX)
    assert all(rank(layer_key(3, 5), merged) >= rank(layer_key(3, 5), part) for part in parts)


def test_nobody_drops_a_holder_and_expired_ones_go() -> None:
    key = layer_key(3, 5)
    full = merge_holders([], [holding(KEYS[0]), holding(KEYS[1], NOW - 300)])
    assert select(key, [full, merge_holders([], [holding(KEYS[0], NOW + 50)])]) == 0
    later = NOW + LIFETIME - 100
    with pytest.raises(RecordError, match="expired"):
        validate(key, full, later, Chain())
    validate(key, merge_holders([full], now=later), later, Chain())


@pytest.mark.parametrize("break_it", [lambda h: h.holders.reverse(), lambda h: h.holders.append(h.holders[0])])
def test_sets_of_holders_have_one_order(break_it: Callable[[Holders], None]) -> None:
    key, value = VALID["layer"]
    holders = Holders.FromString(value)
    break_it(holders)
    with pytest.raises(RecordError, match="out of order"):
        validate(key, holders.SerializeToString(deterministic=True), NOW, Chain())


# --- against the library, and against anything at all ---


@pytest.mark.parametrize("kind", ["ed25519", "secp256k1"])
def test_keys_and_signatures_are_libp2ps(kind: str) -> None:
    from libp2p.crypto import ed25519, secp256k1
    from libp2p.crypto.serialization import deserialize_public_key
    from libp2p.peer.id import ID

    module, own = (ed25519, Ed25519Key(b"\3" * 32)) if kind == "ed25519" else (secp256k1, Secp256k1Key(b"\3" * 32))
    pair = module.create_new_key_pair(b"\3" * 32)
    assert own.public == pair.public_key.serialize()
    assert peer(own) == ID.from_pubkey(pair.public_key).to_bytes()
    assert hotkey.peer_text(peer(own)) == ID.from_pubkey(pair.public_key).to_base58()
    assert deserialize_public_key(own.public).verify(b"data", own.sign(b"data"))
    assert hotkey.verify(own.public, b"data", pair.private_key.sign(b"data"))
    assert not hotkey.verify(own.public, b"date", own.sign(b"data"))


def test_ten_thousand_malformed_values() -> None:
    """Random bytes, oversized values and changed records under right and wrong keys: one kind of error, flat memory."""
    draw = random.Random(30)  # noqa: S311 - a reproducible test
    chain, before = Chain(), 0
    for number in range(10_000):
        if number == 1_000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        key, value = VALID[draw.choice(sorted(VALID))]
        kind = draw.randrange(4)
        if kind == 0:
            value = draw.randbytes(draw.randrange(300))
        elif kind == 1:
            value = value * (VALUE_LIMIT // len(value) + 1)
        elif kind == 2:
            key = draw.randbytes(draw.randrange(60))
        else:
            while value == VALID_VALUES.get(key):
                value = changed(value, draw)
        with pytest.raises(RecordError):
            validate(key, value, NOW, chain)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4 << 10  # KiB
