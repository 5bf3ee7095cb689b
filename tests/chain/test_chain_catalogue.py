"""Artifacts, errors as sentences, events as types: nothing in the ABIs is unknown to the node."""

import string
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from node.chain import artifacts, events, revert
from node.chain.errors_catalogue import CATALOGUE
from node.errors import FundsError, RevertError

SAMPLES: dict[str, Any] = {"address": "0x" + "12" * 20, "bytes32": b"\x07" * 32, "string": "text"}
ERRORS = artifacts.all_errors()


def _sample(kind: str) -> Any:
    return SAMPLES.get(kind, 3)


def _data(entry: dict[str, Any]) -> bytes:
    types = [collapse_if_tuple(item) for item in entry["inputs"]]
    selector = keccak(text=f"{entry['name']}({','.join(types)})")[:4]
    return selector + encode(types, [_sample(kind) for kind in types])


@pytest.mark.parametrize("name", artifacts.CONTRACT_NAMES)
def test_artifacts_load(name: str) -> None:
    artifact = artifacts.load(name)
    assert artifact.name == name
    assert len(bytes.fromhex(artifact.bytecode.removeprefix("0x"))) > 1000
    assert artifact.entries("function")


def test_every_custom_error_has_an_entry_and_no_entry_is_stale() -> None:
    assert {entry["name"] for entry in ERRORS} == set(CATALOGUE)


@pytest.mark.parametrize("entry", ERRORS, ids=lambda entry: entry["name"])
def test_every_error_becomes_a_sentence(entry: dict[str, Any]) -> None:
    used = {field for _, field, _, _ in string.Formatter().parse(CATALOGUE[entry["name"]][0]) if field}
    assert used <= {item["name"] for item in entry["inputs"]}
    error = revert.explain(_data(entry))
    assert error.message.endswith(".")
    assert "{" not in error.message
    assert error.hint
    if isinstance(error, RevertError):
        assert error.name == entry["name"]
        assert set(error.arguments) == {item["name"] for item in entry["inputs"]}


def test_amounts_times_and_phases_are_readable() -> None:
    data = keccak(text="BelowMinimum(uint256,uint256)")[:4] + encode(["uint256"] * 2, [10**17, 100 * 10**18])
    assert "0.1 NEURO, below the minimum of 100 NEURO" in revert.explain(data).message
    data = keccak(text="StillThawing(uint64)")[:4] + encode(["uint64"], [1_700_000_000])
    assert "2023-11-14T22:13:20Z" in revert.explain(data).message
    assert "'outer window'" in revert.explain(keccak(text="WrongPhase(uint8)")[:4] + encode(["uint8"], [5])).message


def test_short_of_tokens_is_a_funds_error() -> None:
    data = keccak(text="ERC20InsufficientBalance(address,uint256,uint256)")[:4]
    error = revert.explain(data + encode(["address", "uint256", "uint256"], [SAMPLES["address"], 0, 10**18]))
    assert isinstance(error, FundsError)
    assert "holds 0 NEURO but 1 NEURO" in error.message


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "without a reason"),
        (b"\x01\x02", "unknown error"),
        (b"\xde\xad\xbe\xef" + bytes(32), "unknown error 0xdeadbeef"),
        (revert.ERROR_STRING + encode(["string"], ["because"]), "because"),
        (revert.PANIC + encode(["uint256"], [0x11]), "panic 0x11"),
        (revert.PANIC + b"\x01", "malformed"),
        (keccak(text="BelowMinimum(uint256,uint256)")[:4] + b"\x01", "malformed"),
        (revert.ERROR_STRING + b"\xff" * 64, "malformed"),
    ],
)
def test_other_reverts(data: bytes, expected: str) -> None:
    assert expected in revert.explain(data).message


@pytest.mark.parametrize(("contract", "name"), list(events.EVENT_TYPES), ids=str)
def test_event_types_equal_the_abi(contract: str, name: str) -> None:
    [entry] = [entry for entry in artifacts.load(contract).entries("event") if entry["name"] == name]
    expected = [events.snake_case(item["name"]) for item in entry["inputs"]]
    assert events.own_fields(events.EVENT_TYPES[(contract, name)]) == expected


def test_a_text_that_is_no_utf8_stops_nobody() -> None:
    entry: Any = {
        "address": SAMPLES["address"],
        "topics": [HexBytes(keccak(text="Announced(address,string)")), HexBytes(bytes(12) + b"\x12" * 20)],
        "data": HexBytes(encode(["bytes"], [b"http://\xff.example"])),
        "blockNumber": 1,
        "blockHash": HexBytes(bytes(32)),
        "transactionHash": HexBytes(bytes(32)),
        "transactionIndex": 0,
        "logIndex": 0,
    }
    announced = events.decode("WorkRegistry", entry)
    assert isinstance(announced, events.Announced)
    assert announced.uri == "http://\ufffd.example"


def test_every_registry_event_has_a_type() -> None:
    names = {entry["name"] for entry in artifacts.load("WorkRegistry").entries("event")} - {"EIP712DomainChanged"}
    assert names == {name for contract, name in events.EVENT_TYPES if contract == "WorkRegistry"}
