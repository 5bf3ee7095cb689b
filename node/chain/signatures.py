"""Typed messages (EIP-712) as accounts sign them and contracts take them, and who signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from eth_account import Account
from eth_account.messages import SignableMessage
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from economics.constants import EIP712_NAME, EIP712_VERSION

SIGNATURE_BYTES: Final = 65
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1: the contracts take no signature with an s above it (EIP-2)."""

Fields = Sequence[tuple[str, str]]
"""Name and type of each member of a struct, in order."""
_DOMAIN: Final[Fields] = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)


def typed_message(
    structs: Mapping[str, Fields], primary: str, values: Mapping[str, Any], chain_id: int, contract: str
) -> dict[str, Any]:
    """The full message of struct ``primary`` for one of our contracts, as `ChainClient.sign_typed` takes it."""
    named = {"EIP712Domain": _DOMAIN, **structs}
    types = {struct: [{"name": name, "type": kind} for name, kind in fields] for struct, fields in named.items()}
    domain = {"name": EIP712_NAME, "version": EIP712_VERSION, "chainId": chain_id, "verifyingContract": contract}
    return {"primaryType": primary, "types": types, "domain": domain, "message": dict(values)}


def packed(signature: tuple[int, int, int]) -> bytes:
    """(v, r, s) as contracts take it: r, s, v, 65 bytes."""
    v, r, s = signature
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])


def recovered(message: SignableMessage, signature: bytes) -> str | None:
    """Who signed, by the contracts' rules (65 bytes, low s, v 27 or 28); None where they would refuse the signature."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    try:
        return str(Account.recover_message(message, signature=signature))
    except (BadSignature, ValidationError):
        return None
