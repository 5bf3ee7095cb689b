"""Sessions on chain: what a member checks before it signs, how the leader begins one, and that it really stands."""

from __future__ import annotations

from node.chain.contracts import Contracts
from node.chain.quorum_events import Registered
from node.chain.quorums import QuorumError as MembersError
from node.chain.quorums import check_members
from node.chain.types import ClaimState
from node.errors import PonwError
from node.net.wire.common_pb2 import Refusal
from node.quorum.agreement import Objection
from node.quorum.consent import Consents, address_of, consent_of
from node.quorum.errors import ConsentError, QuorumError
from node.quorum.plan import Plan


class Registrar(Consents):
    """Consents of the node's account, and the sessions that they begin."""

    def __init__(self, contracts: Contracts) -> None:
        super().__init__(contracts.client, contracts.client.chain_id, contracts.quorums.address)
        self._contracts = contracts
        parameters = contracts.registry.parameters()
        self._bond = 2 * parameters.claim_bond

    def nonce(self) -> int:
        """Sessions that this account has begun as leader. Raises RpcError."""
        return self._contracts.quorums.nonce_of(self._contracts.client.address)

    def short_of(self, bonds: int) -> str:
        """Why this account's stake does not reach for so many bonds more; "" where it does. Raises RpcError."""
        account = self._contracts.staking.account_of(self._contracts.client.address)
        free = account.active - account.locked
        wanted = bonds * self._bond
        return "" if free >= wanted else f"its free stake of {free} wei does not reach for bonds of {wanted} wei"

    def objection(self, plan: Plan) -> Objection | None:
        """Why this account does not sign: wrong layers, another nonce, an end too far away, no stake for the bond.

        Raises:
            RpcError: the chain does not answer.
        """
        consent, quorums = consent_of(plan), self._contracts.quorums
        try:
            check_members(consent.members, consent.leader, self._contracts.vocabulary.depth()[0])
        except MembersError as error:
            return Refusal.MALFORMED, error.message
        if plan.nonce != quorums.nonce_of(consent.leader):
            return Refusal.OTHER_QUORUM, "the leader's next session has another number on chain"
        now = self._contracts.client.block().timestamp
        if not now < plan.ends <= now + quorums.session_max():
            return Refusal.OTHER_QUORUM, f"the session ends {plan.ends - now} s from now"
        short = self.short_of(self._bonds(plan))
        return (Refusal.NOT_STAKED, short) if short else None

    def _bonds(self, plan: Plan) -> int:
        """A member's, and the leader's for its claim, unless that of the last one is still locked."""
        me = self._contracts.client.address
        if address_of(plan.leader) != me:
            return 1
        slot = self._contracts.registry.claim_of(me)
        return 1 if slot.state in (ClaimState.POSTED, ClaimState.FINAL) else 2

    def register(self, plan: Plan, consents: tuple[bytes, ...]) -> int:
        """Begin the session; its number.

        Raises:
            QuorumError: the chain refuses it, or does not answer.
        """
        quorums = self._contracts.quorums
        try:
            receipt = quorums.register(consent_of(plan), consents)
            block = int(receipt["blockNumber"])
            found = [event for event in quorums.events(block, block) if isinstance(event, Registered)]
        except PonwError as error:
            raise QuorumError(f"the session was not begun on chain: {error.message}", error.hint) from error
        number = next((one.session for one in found if one.tx_hash == bytes(receipt["transactionHash"])), 0)
        if not number:
            raise QuorumError("the chain has no session of this transaction", "Another one is proposed.")
        return number

    def confirm(self, plan: Plan, session: int) -> None:
        """Raises ConsentError unless the session stands on chain as the plan has it, PonwError where it cannot tell."""
        standing = self._contracts.quorums.session_of(session)
        if (standing.leader, standing.until) != (address_of(plan.leader), plan.ends) or standing.ended:
            raise ConsentError(f"session {session} on chain is another one than was agreed on")
