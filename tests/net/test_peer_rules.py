"""The rules of the peer network that need no network: identity, score, addresses, announcements, records."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.book import FIRST_PAUSE, LONGEST_PAUSE, Book, plain_address, split_address
from node.net.errors import IdentityError, NetworkError
from node.net.handshake import refuse_versions
from node.net.hotkey import peer_text
from node.net.identity import check_binding, hot_key, peer_bytes, sign_binding
from node.net.limits import BAN_SECONDS, BINDING_SECONDS_MAX, BOOK_MAX, LEDGER_MAX, SCORE_BAN, SCORE_HALF_LIFE
from node.net.plain import RULES, signed
from node.net.score import Ledger, Offence
from node.net.topics import TOPICS, seal, unseal
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.gossip_pb2 import ClaimNotice, Heartbeat
from node.net.wire.hello_pb2 import Binding
from tests.net.peer_nodes import Signer

SEED = b"\x07" * 32
PEER = peer_bytes(SEED)
NETWORK = b"\xab" * 32
NOW = 1_800_000_000
VERSIONS = Versions(network=NETWORK)


def test_hot_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "net" / "hot.key"
    first = hot_key(path)
    assert hot_key(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_peer_id_is_the_library_s() -> None:
    from libp2p import generate_peer_id_from
    from libp2p.crypto.ed25519 import create_new_key_pair

    assert peer_text(PEER) == str(generate_peer_id_from(create_new_key_pair(SEED)))


def test_binding_names_its_account_and_nothing_else() -> None:
    binding = sign_binding(Signer(1), PEER, NETWORK, NOW + 100)
    assert check_binding(binding, PEER, NETWORK, NOW) == Signer(1).address
    other = bytes.fromhex(Signer(2).address[2:])
    forged = [
        Binding(account=other, expiry=binding.expiry, signature=binding.signature),
        Binding(account=binding.account, expiry=binding.expiry + 1, signature=binding.signature),
        Binding(account=binding.account, expiry=binding.expiry, signature=b"\x00" * 65),
        Binding(account=binding.account, expiry=binding.expiry, signature=binding.signature[:64]),
        Binding(account=binding.account[:19], expiry=binding.expiry, signature=binding.signature),
    ]
    for bad in forged:
        with pytest.raises(IdentityError):
            check_binding(bad, PEER, NETWORK, NOW)
    for peer, network, now in (
        (peer_bytes(b"\x08" * 32), NETWORK, NOW),
        (PEER, b"\xac" * 32, NOW),
        (PEER, NETWORK, NOW + 100),
        (PEER, NETWORK, NOW + 100 - BINDING_SECONDS_MAX - 1),
    ):
        with pytest.raises(IdentityError):
            check_binding(binding, peer, network, now)


@given(st.binary(max_size=70), st.binary(max_size=25))
def test_no_junk_is_a_binding(signature: bytes, account: bytes) -> None:
    with pytest.raises(IdentityError):
        check_binding(Binding(account=account, expiry=NOW + 9, signature=signature), PEER, NETWORK, NOW)


def test_offences_add_up_to_a_ban_that_ends() -> None:
    ledger = Ledger()
    needed = -(-SCORE_BAN // Offence.MALFORMED)
    assert [ledger.charge("p", Offence.MALFORMED, "junk", NOW) for _ in range(needed)] == [False] * (needed - 1) + [
        True
    ]
    assert ledger.banned("p", NOW + BAN_SECONDS - 1) == "junk"
    assert ledger.score("p", NOW) == -SCORE_BAN
    assert ledger.banned("p", NOW + BAN_SECONDS) is None
    assert ledger.score("p", NOW + BAN_SECONDS) == 0


def test_score_decays_to_half_in_a_half_life_and_later_bans_last_longer() -> None:
    ledger = Ledger()
    for _ in range(4):
        ledger.charge("p", Offence.OVERSIZED, "x", NOW)
    assert [ledger.score("p", NOW + SCORE_HALF_LIFE * n) for n in (0, 1, 2)] == [-80, -40, -20]
    for at in (NOW, NOW + 2 * BAN_SECONDS):
        for _ in range(SCORE_BAN):
            ledger.charge("q", Offence.FORGED, "x", at)
    assert ledger.banned("q", NOW + 2 * BAN_SECONDS + 2 * BAN_SECONDS - 1)


def test_ledger_is_bounded_and_keeps_bans() -> None:
    ledger = Ledger()
    ledger.ban("bad", "by hand", 10_000, NOW)
    for number in range(LEDGER_MAX + 50):
        ledger.charge(f"p{number}", Offence.FLOOD, "x", NOW)
    assert len(ledger._entries) == LEDGER_MAX
    assert ledger.banned("bad", NOW)
    copy = Ledger()
    copy.load(ledger.dump(), NOW)
    assert copy.dump() == ledger.dump()


def test_a_table_full_of_bans_still_finds_new_offenders() -> None:
    ledger = Ledger()
    for number in range(LEDGER_MAX):
        ledger.ban(f"p{number}", "by hand", 10_000, NOW)
    many = [f"new {number}" for number in range(64)]
    for _ in range(SCORE_BAN):
        for name in many:
            ledger.add(name, 1, "x", NOW)
    assert all(ledger.banned(name, NOW) for name in many)
    assert len(ledger._entries) == LEDGER_MAX and ledger.banned(f"p{LEDGER_MAX - 1}", NOW)


@given(st.text(max_size=160))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = plain_address(text)
    except NetworkError:
        return
    assert plain_address(address) == address


def test_addresses() -> None:
    peer = peer_text(PEER)
    assert split_address(f"/ip4/10.0.0.1/tcp/9/p2p/{peer}") == (peer, "/ip4/10.0.0.1/tcp/9")
    assert plain_address("/ip4/0.0.0.0/tcp/9", "10.0.0.7") == "/ip4/10.0.0.7/tcp/9"
    for bad in ("/ip4/10.0.0.1/udp/9", "/unix/tmp/x", "/ip4/10.0.0.1/tcp/9/ws", "x" * 200):
        with pytest.raises(NetworkError):
            plain_address(bad)


def test_book_backs_off_and_is_bounded() -> None:
    peer = peer_text(PEER)
    book = Book("me", [f"/ip4/10.0.0.1/tcp/9/p2p/{peer}"])
    assert [c.peer for c in book.due(0, set(), 0)] == [peer]
    pauses = []
    for _ in range(12):
        book.failed(peer, 0)
        pauses.append(next(iter(book)).next_try)
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    book.reached(peer)
    assert book.due(0, {peer}, 9) == []
    for number in range(BOOK_MAX + 20):
        book.learn(f"p{number}", ["/ip4/10.0.0.2/tcp/1"])
    assert len(list(book)) == BOOK_MAX
    assert book.addresses(peer)


def test_announcement_comes_out_as_it_went_in() -> None:
    body = Heartbeat(mode="async", tier=3, round=7).SerializeToString()
    data = seal(TOPICS["heartbeats"], body, VERSIONS, None, NOW)
    assert unseal(TOPICS["heartbeats"], data, NETWORK, NOW).body == body


@pytest.mark.parametrize(
    ("topic", "body", "code"),
    [
        ("heartbeats", b"\xff\xff", Refusal.MALFORMED),
        ("heartbeats", Heartbeat(tier=6).SerializeToString(), Refusal.MALFORMED),
        ("heartbeats", Heartbeat(mode="x" * 300).SerializeToString(), Refusal.TOO_LARGE),
        ("claims", ClaimNotice(claim=b"short").SerializeToString(), Refusal.MALFORMED),
        ("quorums", b"", Refusal.MALFORMED),
    ],
)
def test_bad_bodies_are_refused(topic: str, body: bytes, code: int) -> None:
    with pytest.raises(NetworkError) as caught:
        seal(TOPICS[topic], body, VERSIONS, None, NOW)
    assert caught.value.code == code


def test_announcement_of_another_network_or_time_is_refused() -> None:
    data = seal(TOPICS["heartbeats"], b"", VERSIONS, None, NOW)
    for network, now, code in ((b"\x01" * 32, NOW, Refusal.OTHER_NETWORK), (NETWORK, NOW + 121, Refusal.UNKNOWN)):
        with pytest.raises(NetworkError) as caught:
            unseal(TOPICS["heartbeats"], data, network, now)
        assert caught.value.code == code


@given(st.binary(max_size=400), st.sampled_from(sorted(TOPICS)))
def test_any_bytes_are_an_announcement_or_refused(data: bytes, topic: str) -> None:
    with pytest.raises(NetworkError):
        unseal(TOPICS[topic], data, NETWORK, NOW)


def test_versions_are_compared_with_a_reason() -> None:
    assert refuse_versions(VERSIONS, VERSIONS) is None
    for theirs, code in (
        (Versions(network=b"\x01" * 32), Refusal.OTHER_NETWORK),
        (Versions(network=NETWORK, arch_version=1), Refusal.OTHER_ARCHITECTURE),
        (Versions(network=NETWORK, vocab_version=1), Refusal.OTHER_VOCABULARY),
    ):
        error = refuse_versions(VERSIONS, theirs)
        assert error is not None
        assert error.code == code
        assert error.refusal().reason


@given(st.integers(0, 200))
def test_record_with_a_flipped_bit_is_refused(position: int) -> None:
    key, value = signed(SEED, b"label", 3, NOW + 60, b"payload")
    RULES.check(key, value, NOW)
    assert RULES.rank(key, value) == 3
    broken = bytearray(key + value)
    broken[position % len(broken)] ^= 1
    with pytest.raises(NetworkError):
        RULES.check(bytes(broken[: len(key)]), bytes(broken[len(key) :]), NOW)
    with pytest.raises(NetworkError):
        RULES.check(key, value, NOW + 60)
