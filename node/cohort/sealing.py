"""Messages of a cohort as they travel: a body, and its account's EIP-712 signature over the body's hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from eth_account.messages import encode_typed_data
from google.protobuf.message import DecodeError

from node.chain.signatures import Fields, packed, recovered, typed_message
from node.cohort.errors import InvalidError
from node.net.identity import TypedSigner
from node.net.wire.cohort_pb2 import Body, Signed

BODY_BYTES: Final = 7 << 10
"""Of one message, so that it fits into an announcement."""
_DOMAIN: Final = b"ponw/cohort/1\x00"
_STRUCTS: Final[dict[str, Fields]] = {"CohortMessage": (("body", "bytes32"),)}


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message whose signature holds. `digest`: 32 bytes, sha256 of the body as it was signed."""

    body: Body
    digest: bytes
    signed: Signed

    @property
    def kind(self) -> str:
        """contribution, ballot, proposal, accept or leaves."""
        return str(self.body.WhichOneof("kind"))


class Seals:
    """Signs with one account for one network (32 bytes), and checks who signed. `registry`: 0x-address; with the chain
    id it keeps a signature to one deployment. Threads may share it."""

    def __init__(self, signer: TypedSigner, network: bytes, chain_id: int, registry: str) -> None:
        self._signer, self._chain_id, self._registry = signer, chain_id, registry
        self.network = network
        self.account = bytes.fromhex(signer.address.removeprefix("0x"))

    def seal(self, body: Body) -> Sealed:
        """This account's message; network and account are filled in."""
        body.network, body.account = self.network, self.account
        data = body.SerializeToString(deterministic=True)
        digest = hashlib.sha256(_DOMAIN + data).digest()
        signature = packed(self._signer.sign_typed(self._message(digest)))
        return Sealed(body, digest, Signed(body=data, signature=signature))

    def open(self, signed: Signed) -> Sealed:
        """A message that anybody may have passed on.

        Raises:
            InvalidError: too long, malformed, in another encoding than its only one, of another network, or not signed
                by the account that it names.
        """
        body = _parsed(signed.body)
        if body.network != self.network or body.WhichOneof("kind") is None or len(body.account) != 20:
            raise InvalidError(body.account, "malformed", "A message of another network, or of no kind.")
        digest = hashlib.sha256(_DOMAIN + signed.body).digest()
        signer = recovered(encode_typed_data(full_message=self._message(digest)), signed.signature)
        if signer is None or bytes.fromhex(signer[2:]) != body.account:
            raise InvalidError(body.account, "signature", f"0x{body.account.hex()} did not sign this message.")
        return Sealed(body, digest, signed)

    def _message(self, digest: bytes) -> dict[str, Any]:
        return typed_message(_STRUCTS, "CohortMessage", {"body": digest}, self._chain_id, self._registry)


def _parsed(data: bytes) -> Body:
    if len(data) > BODY_BYTES:
        raise InvalidError(b"", "malformed", f"A message of {len(data)} bytes; {BODY_BYTES} make sense.")
    try:
        body = Body.FromString(data)
    except DecodeError as error:
        raise InvalidError(b"", "malformed", "A message that does not parse.") from error
    body.DiscardUnknownFields()
    if body.SerializeToString(deterministic=True) != data:
        raise InvalidError(b"", "malformed", "A message that is not in its only encoding.")
    return body
