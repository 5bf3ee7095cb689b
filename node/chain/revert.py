"""From a revert's bytes to a sentence: the contracts' custom errors, Solidity's Error(string) and Panic(uint256)."""

from __future__ import annotations

import functools
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from node.chain import artifacts
from node.chain.errors_catalogue import CATALOGUE, CLASSES
from node.chain.types import Phase, ProposalState
from node.chain.units import format_time, format_units
from node.errors import PonwError, RevertError

ERROR_STRING = keccak(text="Error(string)")[:4]
PANIC = keccak(text="Panic(uint256)")[:4]
STATES = {
    "phase": tuple(phase.name.lower().replace("_", " ") for phase in Phase),
    "proposal": tuple(state.name.lower() for state in ProposalState),
    "request": ("unknown", "open", "cancelled", "settled", "refunded"),
}
"""The contracts' enumerations in words, by format specification."""
TEXT_LIMIT = 300
"""Characters of a contract's own text that are shown."""


class _Argument:
    """One argument under the catalogue's format specifications."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __format__(self, spec: str) -> str:
        if not isinstance(self._value, int):
            return _plain(self._value)
        if spec == "neuro":
            return format_units(self._value)
        if spec == "time":
            return format_time(self._value)
        words = STATES.get(spec, ())
        return words[self._value] if self._value < len(words) else str(self._value)


def _plain(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)[:TEXT_LIMIT]


@functools.cache
def _selectors() -> dict[bytes, dict[str, Any]]:
    found = {}
    for entry in artifacts.all_errors():
        types = ",".join(collapse_if_tuple(item) for item in entry["inputs"])
        found[keccak(text=f"{entry['name']}({types})")[:4]] = entry
    return found


def explain(data: bytes) -> PonwError:
    """The error that a call's revert data stands for.

    Returns RevertError for most, FundsError or ContractsError where the catalogue says so.
    """
    selector, body = data[:4], data[4:]
    entry = _selectors().get(selector)
    try:
        if entry is not None:
            return _custom(entry, body)
        if selector == ERROR_STRING:
            text = str(abi_decode(["string"], body)[0])[:TEXT_LIMIT]
            return RevertError(f"The contract refused: {text}.", "Nothing was changed.")
        if selector == PANIC:
            code = int(abi_decode(["uint256"], body)[0])
            return RevertError(f"The contract stopped on an internal check (panic {code:#x}).", "Nothing was changed.")
    except DecodingError:
        return RevertError(f"The contract refused with malformed data 0x{data.hex()[:72]}.", "Check the addresses.")
    if not data:
        return RevertError(
            "The contract refused without a reason.",
            "Check that the configured addresses are this network's contracts.",
        )
    return RevertError(
        f"The contract refused with the unknown error 0x{selector.hex()}.",
        "The contracts may be of another version than this node.",
    )


def _custom(entry: dict[str, Any], body: bytes) -> PonwError:
    types = [collapse_if_tuple(item) for item in entry["inputs"]]
    values = [
        to_checksum_address(value) if kind == "address" else value
        for kind, value in zip(types, abi_decode(types, body), strict=True)
    ]
    arguments = {item["name"]: value for item, value in zip(entry["inputs"], values, strict=True)}
    name = entry["name"]
    sentence, hint = CATALOGUE[name]
    message = sentence.format(**{key: _Argument(value) for key, value in arguments.items()})
    if name in CLASSES:
        return CLASSES[name](message, hint)
    return RevertError(message, hint, name=name, arguments=arguments)
