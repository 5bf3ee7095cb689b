"""Claims against eth-account's independent EIP-712 encoder, and every field at and beyond its bounds."""

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.commitments.claim import CLAIM_TYPE, Claim, ClaimKind, claim_hash
from consensus.dispute.abi import NO_CLAIM
from consensus.errors import ClaimError

REGISTRY = bytes(range(20))
ROOTS = ("program_hash", "data_root", "start_root", "end_root", "trace_root", "update_root")
BITS = {"round": 64, "steps": 32, "tokens": 64, "first_layer": 16, "layer_count": 16, "base": 64}


def claims() -> st.SearchStrategy[Claim]:
    hash32 = st.binary(min_size=32, max_size=32)
    return st.builds(
        Claim,
        kind=st.just(ClaimKind.TRAIN),
        round=st.integers(0, 2**64 - 1),
        node=st.binary(min_size=20, max_size=20),
        **dict.fromkeys(ROOTS, hash32),
        steps=st.integers(1, 2**32 - 1),
        tokens=st.integers(0, 2**64 - 1),
        first_layer=st.integers(0, 2**16 - 1),
        layer_count=st.integers(1, 2**16 - 1),
        base=st.integers(0, 2**64 - 1),
    )


CLAIM = Claim(ClaimKind.TRAIN, 3, bytes([7] * 20), *(bytes([i] * 32) for i in range(6)), 20, 40_960, 0, 6, 3)


def typed_data(claim: Claim, chain_id: int) -> dict[str, object]:
    fields = [item.split(" ") for item in CLAIM_TYPE.removeprefix("Claim(").removesuffix(")").split(",")]
    domain = [("string", "name"), ("string", "version"), ("uint256", "chainId"), ("address", "verifyingContract")]
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for kind, name in domain],
            "Claim": [{"name": name, "type": kind} for kind, name in fields],
        },
        "primaryType": "Claim",
        "domain": {"name": "ponw", "version": "1", "chainId": chain_id, "verifyingContract": "0x" + REGISTRY.hex()},
        "message": claim.to_json(),
    }


def test_the_type_is_the_one_in_the_design() -> None:
    assert CLAIM_TYPE == (
        "Claim(uint8 kind,uint64 round,address node,bytes32 programHash,bytes32 dataRoot,bytes32 startRoot,"
        "bytes32 endRoot,bytes32 traceRoot,bytes32 updateRoot,uint32 steps,uint64 tokens,uint16 firstLayer,"
        "uint16 layerCount,uint64 base)"
    )


@settings(max_examples=60)
@given(claims(), st.integers(0, 2**64))
def test_hash_equals_eth_accounts(claim: Claim, chain_id: int) -> None:
    signable = encode_typed_data(full_message=typed_data(claim, chain_id))
    oracle = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert claim_hash(claim, chain_id, REGISTRY) == oracle


def test_a_signature_over_the_typed_data_recovers_from_our_hash() -> None:
    account = Account.create()
    signed = account.sign_message(encode_typed_data(full_message=typed_data(CLAIM, 31_337)))
    assert signed.message_hash == claim_hash(CLAIM, 31_337, REGISTRY)


@given(claims())
def test_json_and_tuple_round_trips(claim: Claim) -> None:
    assert Claim.from_json(claim.to_json()) == claim
    assert Claim.from_tuple(claim.to_tuple()) == claim


def test_every_field_changes_the_hash() -> None:
    base = claim_hash(CLAIM, 1, REGISTRY)
    changed = [replace(CLAIM, **{name: getattr(CLAIM, name) + 1}) for name in BITS]
    changed += [replace(CLAIM, **{name: b"\xff" * 32}) for name in ROOTS]
    changed += [replace(CLAIM, node=bytes(20)), replace(CLAIM, kind=ClaimKind.OUTER, steps=1, tokens=0)]
    hashes = {claim_hash(one, 1, REGISTRY) for one in changed}
    hashes |= {claim_hash(CLAIM, 2, REGISTRY), claim_hash(CLAIM, 1, bytes(20))}
    assert len(hashes | {base}) == len(changed) + 3


@pytest.mark.parametrize(("name", "bits"), BITS.items())
def test_integers_outside_their_width_are_refused(name: str, bits: int) -> None:
    replace(CLAIM, **{name: 2**bits - 1})
    for value in (-1, 2**bits, "1", 1.0, True):
        with pytest.raises(ClaimError):
            replace(CLAIM, **{name: value})


@pytest.mark.parametrize("name", [*ROOTS, "node"])
def test_bytes_of_another_length_are_refused(name: str) -> None:
    for value in (b"", bytes(19), bytes(33), "0x" + "00" * 32):
        with pytest.raises(ClaimError, match="bytes"):
            replace(CLAIM, **{name: value})


@pytest.mark.parametrize(
    "change",
    [{"kind": 0}, {"kind": 4}, {"steps": 0}, {"layer_count": 0}, {"kind": 2}, {"kind": 2, "steps": 1, "tokens": 5}],
)
def test_claims_that_say_nothing_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ClaimError):
        replace(CLAIM, **change)


def test_only_training_that_began_in_an_earlier_round_is_late() -> None:
    assert not CLAIM.is_late
    assert replace(CLAIM, base=2).is_late
    assert not replace(CLAIM, base=2, kind=ClaimKind.OUTER, steps=1, tokens=0).is_late


def test_json_with_missing_extra_or_malformed_fields_is_refused() -> None:
    good = CLAIM.to_json()
    missing = {name: value for name, value in good.items() if name != "steps"}
    for bad in (
        missing,
        good | {"extra": 1},
        good | {"node": "0x12"},
        good | {"node": "0x" + "zz" * 20},
        good | {"steps": "20"},
    ):
        with pytest.raises(ClaimError):
            Claim.from_json(bad)
    with pytest.raises(ClaimError):
        Claim.from_tuple(CLAIM.to_tuple()[:-1])


def test_a_domain_that_is_none_is_refused() -> None:
    for chain_id, registry in ((-1, REGISTRY), (1, bytes(19))):
        with pytest.raises(ClaimError):
            claim_hash(CLAIM, chain_id, registry)


@given(claims())
def test_an_empty_claim_has_every_field(claim: Claim) -> None:
    assert [type(value) for value in NO_CLAIM] == [type(value) for value in claim.to_tuple()]
