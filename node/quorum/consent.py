"""A seat's consent: the plan's digest, typed and signed as EIP-712 says, by the account whose stake answers for it."""

from __future__ import annotations

from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from economics.constants import EIP712_NAME, EIP712_VERSION
from node.net.identity import TypedSigner
from node.quorum.errors import ConsentError
from node.quorum.plan import Plan

_DOMAIN_TYPE: Final = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


class Consents:
    """Signs with one account, and tells who signed. ``registry``: 0x-address; with the chain id, it keeps a consent to
    one network."""

    def __init__(self, signer: TypedSigner, chain_id: int, registry: str) -> None:
        self._signer = signer
        self._domain = {
            "name": EIP712_NAME,
            "version": EIP712_VERSION,
            "chainId": chain_id,
            "verifyingContract": registry,
        }

    def consent(self, plan: Plan) -> bytes:
        """65 bytes: r, s, v."""
        v, r, s = self._signer.sign_typed(self._message(plan))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])

    def signed_by(self, plan: Plan, signature: bytes) -> bytes:
        """The account that signed; raises ConsentError where the bytes are no signature."""
        if len(signature) != 65:
            raise ConsentError(f"a signature has 65 bytes, not {len(signature)}")
        message = encode_typed_data(full_message=self._message(plan))
        try:
            return bytes.fromhex(Account.recover_message(message, signature=signature)[2:])
        except (BadSignature, ValidationError, ValueError) as error:
            raise ConsentError("a consent's bytes are no signature") from error

    def _message(self, plan: Plan) -> dict[str, Any]:
        return {
            "types": {"EIP712Domain": _DOMAIN_TYPE, "Consent": [{"name": "plan", "type": "bytes32"}]},
            "primaryType": "Consent",
            "domain": self._domain,
            "message": {"plan": plan.digest},
        }
