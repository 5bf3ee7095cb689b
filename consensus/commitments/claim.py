"""A claim: one node's statement of one round's work, typed and hashed as EIP-712 says."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Final, Self

from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from consensus.errors import ClaimError
from economics.constants import EIP712_NAME, EIP712_VERSION


class ClaimKind(IntEnum):
    """What a claim is about."""

    TRAIN = 1
    OUTER = 2
    ANSWER = 3
    """Signed by a server and never posted; its fields are read as ``consensus.dispute.answers`` says."""


_TYPES: Final = {
    "kind": "uint8",
    "round": "uint64",
    "node": "address",
    "program_hash": "bytes32",
    "data_root": "bytes32",
    "start_root": "bytes32",
    "end_root": "bytes32",
    "trace_root": "bytes32",
    "update_root": "bytes32",
    "steps": "uint32",
    "tokens": "uint64",
    "first_layer": "uint16",
    "layer_count": "uint16",
    "base": "uint64",
}
_LENGTHS: Final = {"address": 20, "bytes32": 32}
_DOMAIN_TYPE: Final = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def _abi_name(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


ABI_NAMES: Final = {field: _abi_name(field) for field in _TYPES}
"""Field names here → names in the contract and in JSON."""
CLAIM_TYPE: Final = "Claim(" + ",".join(f"{kind} {ABI_NAMES[field]}" for field, kind in _TYPES.items()) + ")"
TYPE_HASH: Final = keccak(CLAIM_TYPE.encode())


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim's fields in the contract's order. Raises ClaimError on a field out of range.

    ``node`` has 20 bytes, every root and hash 32; ``tokens`` = steps × tokens a step (0 in an OUTER claim); ``base``:
    the round whose start the work began from, `round` itself where it is on time (0 in an ANSWER claim).
    """

    kind: ClaimKind
    round: int
    node: bytes
    program_hash: bytes
    data_root: bytes
    start_root: bytes
    end_root: bytes
    trace_root: bytes
    update_root: bytes
    steps: int
    tokens: int
    first_layer: int
    layer_count: int
    base: int

    def __post_init__(self) -> None:
        for name, kind in _TYPES.items():
            _check(name, kind, getattr(self, name))
        if self.kind not in tuple(ClaimKind):
            raise ClaimError(f"a claim of kind {self.kind} is not known", "Kinds: 1 TRAIN, 2 OUTER, 3 ANSWER.")
        object.__setattr__(self, "kind", ClaimKind(self.kind))
        if self.steps < 1 or self.layer_count < 1:
            raise ClaimError("a claim holds at least one step and one layer")
        if self.kind is ClaimKind.OUTER and (self.steps, self.tokens) != (1, 0):
            raise ClaimError("an OUTER claim has one step and no tokens")

    @property
    def is_late(self) -> bool:
        """Whether the work began in an earlier round than it is posted in."""
        return self.kind is ClaimKind.TRAIN and self.base != self.round

    def to_tuple(self) -> tuple[int | bytes | str, ...]:
        """The struct as the ABI takes it; the address in its EIP-55 form, which web3 insists on."""
        return tuple(
            to_checksum_address(self.node) if name == "node" else _plain(getattr(self, name)) for name in _TYPES
        )

    def to_json(self) -> dict[str, int | str]:
        """Names of the contract; bytes as 0x-hex, integers as they are."""
        return {ABI_NAMES[name]: _text(getattr(self, name)) for name in _TYPES}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """The inverse of ``to_json``. Raises ClaimError on a missing, extra or malformed field."""
        if set(data) != set(ABI_NAMES.values()):
            odd = sorted(set(data) ^ set(ABI_NAMES.values()))
            raise ClaimError(f"a claim's fields are missing or unknown: {', '.join(map(str, odd))[:200]}")
        return cls(**{name: _parse(name, kind, data[ABI_NAMES[name]]) for name, kind in _TYPES.items()})  # type: ignore[arg-type]

    @classmethod
    def from_tuple(cls, values: tuple[object, ...] | list[object]) -> Self:
        """A claim from the ABI's tuple (as an event or call returns it): addresses may be hex strings."""
        if len(values) != len(_TYPES):
            raise ClaimError(f"a claim has {len(_TYPES)} fields, not {len(values)}")
        named = {
            name: _parse(name, kind, value) if isinstance(value, str) else value
            for (name, kind), value in zip(_TYPES.items(), values, strict=True)
        }
        return cls(**named)  # type: ignore[arg-type]


def struct_hash(claim: Claim) -> bytes:
    """EIP-712 hashStruct: keccak(typeHash ‖ each field as one 32-byte word)."""
    words = (_word(getattr(claim, field.name)) for field in fields(Claim))
    return keccak(TYPE_HASH + b"".join(words))


def domain_separator(chain_id: int, registry: bytes) -> bytes:
    """EIP-712 domain {name "ponw", version "1", chainId, verifyingContract = the WorkRegistry's 20-byte address}."""
    if len(registry) != 20 or not 0 <= chain_id < 2**256:
        raise ClaimError("the domain needs a 20-byte registry address and a chain id of up to 256 bits")
    name, version = keccak(EIP712_NAME.encode()), keccak(EIP712_VERSION.encode())
    return keccak(keccak(_DOMAIN_TYPE) + name + version + _word(chain_id) + _word(registry))


def claim_hash(claim: Claim, chain_id: int, registry: bytes) -> bytes:
    """The EIP-712 digest of the claim: keccak(0x19 0x01 ‖ domain separator ‖ struct hash), 32 bytes."""
    return keccak(b"\x19\x01" + domain_separator(chain_id, registry) + struct_hash(claim))


def extend_final_set(final_set: bytes, claim_hash: bytes) -> bytes:
    """The chain's running hash of a round's final claims: keccak(final set (32) ‖ claim hash (32)), from zero bytes."""
    if len(final_set) != 32 or len(claim_hash) != 32:
        raise ClaimError("a final set and a claim hash have 32 bytes each")
    return keccak(final_set + claim_hash)


def _check(name: str, kind: str, value: object) -> None:
    length = _LENGTHS.get(kind)
    if length is not None:
        if not isinstance(value, bytes) or len(value) != length:
            raise ClaimError(f"the claim's {ABI_NAMES[name]} must be {length} bytes")
        return
    bits = int(kind.removeprefix("uint"))
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**bits:
        raise ClaimError(f"the claim's {ABI_NAMES[name]} must be an integer of {bits} bits, from 0")


def _parse(name: str, kind: str, value: object) -> int | bytes:
    if kind not in _LENGTHS:
        if isinstance(value, int):
            return value
        raise ClaimError(f"the claim's {ABI_NAMES[name]} must be an integer")
    if isinstance(value, str) and value.startswith("0x") and len(value) == 2 + 2 * _LENGTHS[kind]:
        try:
            return bytes.fromhex(value[2:])
        except ValueError as error:
            raise ClaimError(f"the claim's {ABI_NAMES[name]} is not hex") from error
    raise ClaimError(f"the claim's {ABI_NAMES[name]} must be 0x and {2 * _LENGTHS[kind]} hex digits")


def _word(value: int | bytes) -> bytes:
    return value.rjust(32, b"\0") if isinstance(value, bytes) else value.to_bytes(32, "big")


def _plain(value: int | bytes) -> int | bytes:
    return value if isinstance(value, bytes) else int(value)


def _text(value: int | bytes) -> int | str:
    return "0x" + value.hex() if isinstance(value, bytes) else int(value)
