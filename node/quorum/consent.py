"""A seat's consent: the plan's digest, typed and signed as EIP-712 says, by the account whose stake answers for it."""

from __future__ import annotations

from typing import Any, Final

from eth_account.messages import encode_typed_data

from node.chain.signatures import Fields, packed, recovered, typed_message
from node.net.identity import TypedSigner
from node.quorum.errors import ConsentError
from node.quorum.plan import Plan

_STRUCTS: Final[dict[str, Fields]] = {"Consent": (("plan", "bytes32"),)}


class Consents:
    """Signs with one account, and tells who signed. ``registry``: 0x-address; with the chain id, it keeps a consent to
    one network."""

    def __init__(self, signer: TypedSigner, chain_id: int, registry: str) -> None:
        self._signer, self._chain_id, self._registry = signer, chain_id, registry

    def consent(self, plan: Plan) -> bytes:
        """65 bytes: r, s, v."""
        return packed(self._signer.sign_typed(self._message(plan)))

    def signed_by(self, plan: Plan, signature: bytes) -> bytes:
        """The account that signed; raises ConsentError where the bytes are no signature that a contract would take."""
        account = recovered(encode_typed_data(full_message=self._message(plan)), signature)
        if account is None:
            raise ConsentError("a consent's bytes are no signature")
        return bytes.fromhex(account[2:])

    def _message(self, plan: Plan) -> dict[str, Any]:
        return typed_message(_STRUCTS, "Consent", {"plan": plan.digest}, self._chain_id, self._registry)
