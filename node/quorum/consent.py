"""A seat's consent: the contract's own typed message (EIP-712), signed by the account whose stake answers for it."""

from __future__ import annotations

from web3 import Web3

from node.chain.quorums import Consent, Member
from node.chain.signatures import packed
from node.net.identity import TypedSigner
from node.quorum.agreement import Objection
from node.quorum.errors import ConsentError
from node.quorum.plan import Plan


def consent_of(plan: Plan) -> Consent:
    """What the seats of a plan sign, and what the contract takes."""
    members = tuple(Member(address_of(account), first, count) for account, first, count in plan.layers)
    return Consent(address_of(plan.leader), members, plan.nonce, plan.ends)


def address_of(account: bytes) -> str:
    """The checksummed address of 20 bytes."""
    return str(Web3.to_checksum_address(account))


class Consents:
    """Signs with one account, and tells who signed. ``quorums``: the contract's 0x-address; with the chain id, it keeps
    a consent to one network. Without a chain: no session is begun on one, and none is asked for."""

    def __init__(self, signer: TypedSigner, chain_id: int, quorums: str) -> None:
        self._signer, self._chain_id, self._quorums = signer, chain_id, quorums

    def consent(self, plan: Plan) -> bytes:
        """65 bytes: r, s, v."""
        return packed(self._signer.sign_typed(consent_of(plan).message(self._chain_id, self._quorums)))

    def signed_by(self, plan: Plan, signature: bytes) -> bytes:
        """The account that signed; raises ConsentError where the bytes are no signature that a contract would take."""
        account = consent_of(plan).signer(signature, self._chain_id, self._quorums)
        if account is None:
            raise ConsentError("a consent's bytes are no signature")
        return bytes.fromhex(account[2:])

    def nonce(self) -> int:
        """Sessions that this account has begun as leader."""
        return 0

    def objection(self, plan: Plan) -> Objection | None:
        """Why the chain would refuse the session; None where it would not."""
        return None

    def register(self, plan: Plan, consents: tuple[bytes, ...]) -> int:
        """Begin the session of a plan that all have signed; its number."""
        return 0

    def confirm(self, plan: Plan, session: int) -> None:
        """Raises ConsentError unless the session of that number is the plan's."""
