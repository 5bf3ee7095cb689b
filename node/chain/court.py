"""The court of answers: what a server signs about an answer, and the accusations that follow from it.

Addresses are 0x-hex, hashes 32 bytes, money wei, times Unix seconds, signatures 65 bytes (r, s, v). Errors of calls as
in `node.chain.contracts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from eth_account.messages import SignableMessage
from eth_utils.address import to_checksum_address
from web3.types import TxReceipt

from consensus.commitments.claim import Claim, claim_hash, domain_separator, struct_hash
from node.chain.client import ChainClient
from node.chain.signatures import recovered
from node.chain.types import Opening
from node.chain.wrapper import Wrapper


class AccusationState(IntEnum):
    """Where an accusation stands (IAnswerCourt.State); FAILED and WON are terminal."""

    NONE = 0
    WAITING = 1
    JUDGED = 2
    FAILED = 3
    WON = 4


@dataclass(frozen=True, slots=True)
class Accusation:
    """One accuser's case against one answer; `deadline` of the server's answer while it is WAITING."""

    state: AccusationState
    moved: bool
    step: int
    deadline: int

    @property
    def over(self) -> bool:
        """Whether nothing more can come of it, but for a bond to take back where the answer was lost to another."""
        return self.state in (AccusationState.NONE, AccusationState.FAILED, AccusationState.WON)


@dataclass(frozen=True, slots=True)
class CourtCase:
    """All accusations of one answer: stake of the server locked behind them, how many are open, and the end."""

    locked: int
    open: int
    lost: bool


@dataclass(frozen=True, slots=True)
class CourtTerms:
    """Bonds in wei; seconds after its signature in which an answer can be accused, and for the server's answer."""

    claim_bond: int
    accusation_bond: int
    window: int
    response: int


@dataclass(frozen=True, slots=True)
class CourtDomain:
    """What ties an answer's signature to one court on one chain: EIP-712 domain {ponw, 1, chain id, contract}."""

    chain_id: int
    address: str

    @property
    def _court(self) -> bytes:
        return bytes.fromhex(self.address[2:])

    def hash(self, claim: Claim) -> bytes:
        """The claim's name in the court."""
        return claim_hash(claim, self.chain_id, self._court)

    def sign(self, client: ChainClient, claim: Claim) -> bytes:
        """The signature of the client's account as the server."""
        return client.sign_message(self._message(claim))

    def is_signed(self, claim: Claim, signature: bytes) -> bool:
        """Whether the contract would take `signature` as that of the claim's own node."""
        return recovered(self._message(claim), signature) == to_checksum_address(claim.node)

    def _message(self, claim: Claim) -> SignableMessage:
        return SignableMessage(b"\x01", domain_separator(self.chain_id, self._court), struct_hash(claim))


class AnswerCourt(Wrapper):
    """Accusations of signed answers."""

    name = "AnswerCourt"

    def __init__(self, client: ChainClient, address: str) -> None:
        super().__init__(client, address)
        self.domain = CourtDomain(client.chain_id, self.address)

    def staking(self) -> str:
        """The contract whose stakes stand behind answers."""
        return str(self._view("staking"))

    def terms(self) -> CourtTerms:
        """The court's fixed bonds and clocks."""
        return CourtTerms(*map(int, self._view("terms")))

    def hash_claim(self, claim: Claim) -> bytes:
        """The contract's own digest of a claim; equals `domain.hash`."""
        return bytes(self._view("hashClaim", claim))

    def case_of(self, claim_hash: bytes) -> CourtCase:
        """Where an answer stands."""
        locked, open_, lost = self._view("caseOf", claim_hash)
        return CourtCase(int(locked), int(open_), bool(lost))

    def accusation_of(self, claim_hash: bytes, challenger: str) -> Accusation:
        """Where one accusation stands."""
        state, moved, step, deadline = self._view("accusationOf", claim_hash, challenger)
        return Accusation(AccusationState(state), bool(moved), int(step), int(deadline))

    def accuse(self, claim: Claim, signature: bytes, step: int) -> TxReceipt:
        """Say that token `step` of a signed answer is wrong."""
        purpose = f"accuse token {step} of the answer of 0x{claim.node.hex()}"
        return self._send(purpose, "accuse", claim, signature, step)

    def answer(self, claim: Claim, challenger: str, opened: Opening, trace: bytes) -> TxReceipt:
        """Open the accused token and commit to the op trace of its program."""
        return self._send(f"answer the accusation of {challenger}", "answer", claim, challenger, opened, trace)

    def timeout(self, claim: Claim, challenger: str) -> TxReceipt:
        """End an accusation whose server was silent."""
        return self._send(f"time out the answer of 0x{claim.node.hex()}", "timeout", claim, challenger)

    def reclaim(self, claim: Claim, challenger: str) -> TxReceipt:
        """Free the bond of an accusation of an answer that was lost to somebody else."""
        return self._send("reclaim the accusation bond", "reclaim", claim, challenger)
