"""A seat's consent: the plan's digest, typed and signed as EIP-712 says, by the account whose stake answers for it."""

from __future__ import annotations

from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from economics.constants import EIP712_NAME, EIP712_VERSION
from node.quorum.errors import ConsentError
from node.quorum.plan import Plan

_TYPES: Final = {"Consent": [{"name": "plan", "type": "bytes32"}]}


class Consents:
    """Signs with one account, and tells who signed. ``registry``: 20 bytes; with the chain id, they keep a consent to
    one network."""

    def __init__(self, account: LocalAccount, chain_id: int, registry: bytes) -> None:
        self._account = account
        self._domain = {
            "name": EIP712_NAME,
            "version": EIP712_VERSION,
            "chainId": chain_id,
            "verifyingContract": "0x" + registry.hex(),
        }

    def consent(self, plan: Plan) -> bytes:
        """65 bytes: r, s, v."""
        return bytes(self._account.sign_message(self._message(plan)).signature)

    def signed_by(self, plan: Plan, signature: bytes) -> bytes:
        """The account that signed; raises ConsentError where the bytes are no signature."""
        if len(signature) != 65:
            raise ConsentError(f"a signature has 65 bytes, not {len(signature)}")
        try:
            return bytes.fromhex(Account.recover_message(self._message(plan), signature=signature)[2:])
        except (BadSignature, ValidationError, ValueError) as error:
            raise ConsentError("a consent's bytes are no signature") from error

    def _message(self, plan: Plan) -> Any:
        return encode_typed_data(self._domain, _TYPES, {"plan": plan.digest})
