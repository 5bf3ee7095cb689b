"""Who signed a typed message, by the rules that the contracts have."""

from __future__ import annotations

from eth_account import Account
from eth_account.messages import SignableMessage
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

SIGNATURE_BYTES = 65
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half the order of secp256k1: the contracts take no signature with an s above it (EIP-2)."""


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
