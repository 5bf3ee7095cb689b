"""Quorums on chain: the consent that members sign (EIP-712), and the contract itself.

Addresses are checksummed 0x-hex, hashes 32 bytes, money wei, times Unix seconds, signatures 65 bytes (r, s, v).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import Any

from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from web3.types import TxReceipt

from consensus.commitments.claim import Claim
from consensus.program.layers import LayerTable
from consensus.program.suite import Suite
from economics.constants import QUORUM_MEMBERS_MAX
from node.chain.client import ChainClient
from node.chain.deployment import Deployment
from node.chain.signatures import packed, recovered, typed_message
from node.chain.wrapper import Wrapper
from node.errors import PonwError

_TYPES = {
    "Member": (("account", "address"), ("firstLayer", "uint16"), ("layerCount", "uint16")),
    "Work": (("claimHash", "bytes32"), ("step", "uint32"), ("trace", "bytes32")),
    "Consent": (("leader", "address"), ("members", "Member[]"), ("nonce", "uint64"), ("until", "uint64")),
}


class QuorumError(PonwError):
    """Members or a consent that the contract would not take."""


class BoundState(IntEnum):
    """Where a session's claim stands (IQuorums.State)."""

    NONE = 0
    OPEN = 1
    DUE = 2
    PAID = 3
    FAULTY = 4
    LOST = 5


class _Signed(ABC):
    """What members sign, as EIP-712 has it."""

    __slots__ = ()

    @abstractmethod
    def message(self, chain_id: int, contract: str) -> dict[str, Any]:
        """The full EIP-712 message, as `ChainClient.sign_typed` takes it."""

    def digest(self, chain_id: int, contract: str) -> bytes:
        """The EIP-712 digest; equals the contract's own."""
        signable = encode_typed_data(full_message=self.message(chain_id, contract))
        return keccak(b"\x19" + signable.version + signable.header + signable.body)

    def signer(self, signature: bytes, chain_id: int, contract: str) -> str | None:
        """Who signed, None where the contract would refuse the signature."""
        return recovered(encode_typed_data(full_message=self.message(chain_id, contract)), signature)


@dataclass(frozen=True, slots=True)
class Member:
    """An account and its layers, ``first_layer`` to ``first_layer + layer_count - 1``."""

    account: str
    first_layer: int
    layer_count: int

    def to_tuple(self) -> tuple[str, int, int]:
        """As the ABI takes it."""
        return self.account, self.first_layer, self.layer_count


def check_members(members: Sequence[Member], leader: str, layers: int) -> None:
    """What the contract checks (Members.sol), so that nothing is signed that it would refuse.

    Raises:
        QuorumError: no members or more than 16; ranges that do not make up all layers in order; an account twice; the
            leader is no member.
    """
    if not 1 <= len(members) <= QUORUM_MEMBERS_MAX:
        raise QuorumError(f"A quorum of {len(members)} members; 1 to {QUORUM_MEMBERS_MAX} are possible.")
    at = 0
    for member in members:
        if member.first_layer != at or member.layer_count < 1:
            raise QuorumError(f"The layers of {member.account} do not begin where those before end, at {at}.")
        at += member.layer_count
    accounts = [member.account for member in members]
    if at != layers or len(set(accounts)) != len(accounts) or leader not in accounts:
        raise QuorumError("The members do not hold all layers once, or the leader is none of them.")


@dataclass(frozen=True, slots=True)
class Consent(_Signed):
    """What every member signs: this session of this leader, and no other. ``nonce`` is `Quorums.nonce_of(leader)`."""

    leader: str
    members: tuple[Member, ...]
    nonce: int
    until: int

    def message(self, chain_id: int, contract: str) -> dict[str, Any]:
        """The full EIP-712 message, as `ChainClient.sign_typed` takes it."""
        names = [name for name, _ in _TYPES["Member"]]
        members = [dict(zip(names, member.to_tuple(), strict=True)) for member in self.members]
        values = {"leader": self.leader, "members": members, "nonce": self.nonce, "until": self.until}
        return _message("Consent", ("Consent", "Member"), values, chain_id, contract)


@dataclass(frozen=True, slots=True)
class Work(_Signed):
    """A member's word that its ops in the trace of a challenged step are its own, without which it answers for none."""

    claim_hash: bytes
    step: int
    trace: bytes

    def message(self, chain_id: int, contract: str) -> dict[str, Any]:
        """The full EIP-712 message, as `ChainClient.sign_typed` takes it."""
        values = {"claimHash": self.claim_hash, "step": self.step, "trace": self.trace}
        return _message("Work", ("Work",), values, chain_id, contract)


@dataclass(frozen=True, slots=True)
class Session:
    """A session on chain (IQuorums.Session). ``freed``: one bit a member whose bond is no more."""

    leader: str
    until: int
    freed: int
    ended: bool
    busy: bool
    layers: int = 0


@dataclass(frozen=True, slots=True)
class BoundClaim:
    """The session of a claim, and where it stands (IQuorums.Bound)."""

    session: int
    steps: int
    state: BoundState


@dataclass(frozen=True, slots=True)
class Fault:
    """An op ruled wrong (IQuorums.Fault). ``work``: the digest that its owner must have signed to answer for it."""

    challenger: str
    deadline: int
    op: int
    work: bytes


class Quorums(Wrapper):
    """Sessions, their members' bonds and shares."""

    name = "Quorums"

    @classmethod
    def of(cls, client: ChainClient, deployment: Deployment) -> Quorums:
        """The quorums of a deployment.

        Raises:
            ContractsError: there is no code at its address.
        """
        return cls(client, deployment.addresses.quorums)

    def registry(self) -> str:
        """The registry whose claims these are."""
        return str(self._view("registry"))

    def session_max(self) -> int:
        """Longest session in seconds."""
        return int(self._view("SESSION_MAX"))

    def sessions(self) -> int:
        """Number of the newest session, 0 before the first."""
        return int(self._view("sessions"))

    def nonce_of(self, leader: str) -> int:
        """Sessions begun under `leader`: what the consents to its next one name."""
        return int(self._view("nonceOf", leader))

    def session_of(self, session: int) -> Session:
        """A session; all zero if there is none."""
        return Session(*self._view("sessionOf", session))

    def claim_of(self, claim_hash: bytes) -> BoundClaim:
        """The session and state of a claim; all zero if it is no quorum's."""
        session, steps, state = self._view("claimOf", claim_hash)
        return BoundClaim(int(session), int(steps), BoundState(state))

    def fault_of(self, claim_hash: bytes) -> Fault:
        """The fault of a claim that is or was FAULTY."""
        return Fault(*self._view("faultOf", claim_hash))

    def hash_consent(self, consent: Consent) -> bytes:
        """The contract's own digest of a consent."""
        members = _tuples(consent.members)
        return bytes(self._view("hashConsent", consent.leader, members, consent.nonce, consent.until))

    def hash_work(self, work: Work) -> bytes:
        """The contract's own digest of a member's word."""
        return bytes(self._view("hashWork", work.claim_hash, work.step, work.trace))

    def sign(self, consent: Consent) -> bytes:
        """The account's signature of a consent."""
        return packed(self._client.sign_typed(consent.message(self._client.chain_id, self.address)))

    def register(self, consent: Consent, signatures: Sequence[bytes]) -> TxReceipt:
        """Begin a session that all its members have signed, in their order."""
        arguments = (consent.leader, _tuples(consent.members), consent.until, list(signatures))
        return self._send(f"begin a session of {len(consent.members)} members", "register", *arguments)

    def dissolve(self, session: int) -> TxReceipt:
        """End a session that the account leads."""
        return self._send(f"dissolve session {session}", "dissolve", session)

    def leave(self, session: int, members: Sequence[Member]) -> TxReceipt:
        """Free the account's bond of a session that is over.

        Raises:
            QuorumError: the account is none of the members.
        """
        accounts = [member.account for member in members]
        if self._client.address not in accounts:
            raise QuorumError(f"{self._client.address} is no member of session {session}.")
        at = accounts.index(self._client.address)
        return self._send(f"leave session {session}", "leave", session, _tuples(members), at)

    def pay(self, claim_hash: bytes, members: Sequence[Member]) -> TxReceipt:
        """Share a final claim's reward out."""
        return self._send("share a claim's reward out", "pay", claim_hash, _tuples(members))

    def sign_work(self, work: Work) -> bytes:
        """The account's word that its ops in a challenged step's trace are its own."""
        return packed(self._client.sign_typed(work.message(self._client.chain_id, self.address)))

    def blame(
        self, claim: Claim, members: Sequence[Member], suite: Suite, table: LayerTable, op: int, signature: bytes
    ) -> TxReceipt:
        """Slash whoever holds the layer of `op`, which was ruled wrong; `table` is that of the claim's `suite`.

        `signature` is the owner's of the `Work` in question; b"" where the owner is the leader.
        """
        row = table.row_of(op)
        words = (astuple(suite), table.segments[row].to_tuple(), row, table.proof(row), signature)
        return self._send(f"name the owner of op {op}", "blame", claim, _tuples(members), *words)

    def blame_leader(self, claim_hash: bytes) -> TxReceipt:
        """Slash the leader: nobody has shown in time whose the op is."""
        return self._send("hold the leader to a lost claim", "blameLeader", claim_hash)


def _message(
    primary: str, kinds: tuple[str, ...], values: dict[str, Any], chain_id: int, contract: str
) -> dict[str, Any]:
    return typed_message({kind: _TYPES[kind] for kind in kinds}, primary, values, chain_id, contract)


def _tuples(members: Sequence[Member]) -> list[tuple[str, int, int]]:
    return [member.to_tuple() for member in members]
