"""The contracts with typed calls. Addresses are 0x-hex strings, hashes 32 bytes, money wei, times seconds.

Every method that sends runs ChainClient.send: it raises the decoded revert (RevertError and its kin), FundsError,
CancelledError, PendingError or RpcError, and returns the receipt. Every view may raise RpcError.
"""

from __future__ import annotations

from dataclasses import dataclass

from web3.types import BlockIdentifier, TxReceipt

from consensus.commitments.claim import Claim
from consensus.dispute.game import Case, Dispute
from consensus.dispute.moves import Move
from node.chain.client import ChainClient
from node.chain.court import AnswerCourt
from node.chain.deployment import Deployment
from node.chain.governance import EmergencyGovernor, Vocabulary, VocabularyGovernor
from node.chain.growth import GrowthGovernor
from node.chain.quorums import Quorums
from node.chain.types import (
    Challenge,
    ChallengeState,
    ClaimSlot,
    ClaimState,
    Clock,
    Opening,
    Parameters,
    Phase,
    Record,
    Round,
    Schedule,
    StakeAccount,
    Terms,
)
from node.chain.units import format_units
from node.chain.wrapper import Wrapper

PERMIT_SECONDS = 3600
"""How long a stake permit may wait to be mined."""


class NeuroToken(Wrapper):
    """NEURO: ERC-20 with permit (ERC-2612)."""

    name = "NeuroToken"

    def balance_of(self, account: str) -> int:
        """Wei of NEURO that `account` holds."""
        return int(self._view("balanceOf", account))

    def total_supply(self) -> int:
        """Wei in existence."""
        return int(self._view("totalSupply"))

    def cap(self) -> int:
        """Most wei that may exist at one time."""
        return int(self._view("cap"))

    def minter(self) -> str:
        """The one account that may mint."""
        return str(self._view("minter"))

    def allowance(self, owner: str, spender: str) -> int:
        """Wei of `owner` that `spender` may move."""
        return int(self._view("allowance", owner, spender))

    def approve(self, spender: str, amount: int) -> TxReceipt:
        """Let `spender` move `amount` wei of the account's."""
        return self._send(f"allow {spender} to move {format_units(amount)}", "approve", spender, amount)

    def transfer(self, to: str, amount: int) -> TxReceipt:
        """Send `amount` wei to `to`."""
        return self._send(f"send {format_units(amount)} to {to}", "transfer", to, amount)

    def sign_permit(self, spender: str, amount: int, deadline: int) -> tuple[int, bytes, bytes]:
        """The account's ERC-2612 permit for `spender` as (v, r, s), valid until the timestamp `deadline`."""
        owner = self._client.address
        _, name, version, chain_id, contract, *_ = self._view("eip712Domain")
        domain = {"name": name, "version": version, "chainId": chain_id, "verifyingContract": contract}
        nonce = self._view("nonces", owner)
        values = {"owner": owner, "spender": spender, "value": amount, "nonce": nonce, "deadline": deadline}
        kinds = ("address", "address", "uint256", "uint256", "uint256")
        types = [{"name": key, "type": kind} for key, kind in zip(values, kinds, strict=True)]
        message = {"primaryType": "Permit", "types": {"EIP712Domain": _DOMAIN, "Permit": types}}
        v, r, s = self._client.sign_typed(message | {"domain": domain, "message": values})
        return v, r.to_bytes(32, "big"), s.to_bytes(32, "big")


_DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


class Staking(Wrapper):
    """Stake, thaw, withdraw, and the credit from slashed bonds."""

    name = "Staking"

    def account_of(self, account: str) -> StakeAccount:
        """All of an account's figures."""
        return StakeAccount(*map(int, self._view("accountOf", account)))

    def credit_of(self, account: str) -> int:
        """Wei from slashed bonds that the account may collect."""
        return int(self._view("creditOf", account))

    def is_staker(self, account: str) -> bool:
        """Whether the account's active stake reaches the minimum."""
        return bool(self._view("isStaker", account))

    def total_active(self) -> int:
        """Sum of all active stake in wei."""
        return int(self._view("totalActive"))

    def minimum_stake(self) -> int:
        """Least active stake in wei."""
        return int(self._view("minimumStake"))

    def thaw_period(self) -> int:
        """Seconds from thaw to withdrawal."""
        return int(self._view("thawPeriod"))

    def registry(self) -> str:
        """The contract that locks and slashes bonds of claims and challenges."""
        return str(self._view("registry"))

    def vocabulary(self) -> str:
        """The contract that locks and slashes bonds of proposals."""
        return str(self._view("vocabulary"))

    def quorums(self) -> str:
        """The contract that locks and slashes bonds of quorums' members."""
        return str(self._view("quorums"))

    def votes_of(self, account: str) -> int:
        """Votes that `account` has now: wei of stake that is its own or delegated to it."""
        return int(self._view("getVotes", account))

    def stake(self, amount: int) -> TxReceipt:
        """Stake `amount` wei that the account has approved."""
        return self._send(f"stake {format_units(amount)}", "stake", amount)

    def stake_with_permit(self, token: NeuroToken, amount: int) -> TxReceipt:
        """Stake `amount` wei in one transaction, by an ERC-2612 permit signed here."""
        deadline = self._client.block().timestamp + PERMIT_SECONDS
        signature = token.sign_permit(self.address, amount, deadline)
        return self._send(f"stake {format_units(amount)}", "stakeWithPermit", amount, deadline, *signature)

    def thaw(self, amount: int) -> TxReceipt:
        """Start the thaw of `amount` wei; what already thaws starts again."""
        return self._send(f"thaw {format_units(amount)}", "thaw", amount)

    def withdraw(self) -> TxReceipt:
        """Pay the whole thawed bucket out."""
        return self._send("withdraw thawed stake", "withdraw")

    def collect(self) -> TxReceipt:
        """Pay the credit from slashed bonds out."""
        return self._send("collect the credit from slashed bonds", "collect")


class Emission(Wrapper):
    """What nodes have earned, minted within the caps."""

    name = "Emission"

    def accrued_of(self, node: str) -> int:
        """Wei earned and not collected."""
        return int(self._view("accruedOf", node))

    def collectable(self, node: str) -> int:
        """Wei that could be collected now."""
        return int(self._view("collectable", node))

    def current_epoch(self) -> int:
        """Number of the running epoch, from 0."""
        return int(self._view("currentEpoch"))

    def minted_in(self, epoch: int) -> int:
        """Wei minted in `epoch`."""
        return int(self._view("mintedIn", epoch))

    def schedule(self) -> Schedule:
        """The caps and their lengths."""
        return Schedule(*map(int, self._view("schedule")))

    def registry(self) -> str:
        """The contract that accrues rewards of claims."""
        return str(self._view("registry"))

    def vocabulary(self) -> str:
        """The contract that accrues rewards of proposers."""
        return str(self._view("vocabulary"))

    def quorums(self) -> str:
        """The contract that shares rewards of quorums' claims out."""
        return str(self._view("quorums"))

    def collect(self) -> TxReceipt:
        """Mint for the account what it has earned, within the caps."""
        return self._send("collect rewards", "collect")


class WorkRegistry(Wrapper):
    """Rounds, claims and challenges."""

    name = "WorkRegistry"

    def parameters(self) -> Parameters:
        """The network's fixed parameters."""
        return Parameters(*self._view("parameters"))

    def global_root(self) -> bytes:
        """The global root now."""
        return bytes(self._view("globalRoot"))

    def current_round(self, block: BlockIdentifier = "latest") -> int:
        """Number of the newest round, 0 before the first."""
        return int(self._view("currentRound", block=block))

    def round_of(self, number: int, block: BlockIdentifier = "latest") -> Round:
        """A round's figures."""
        return Round(*self._view("roundOf", number, block=block))

    def phase_of(self, number: int, block: BlockIdentifier = "latest") -> Phase:
        """Where a round stands at a block's time."""
        return Phase(self._view("phaseOf", number, block=block))

    def claim_of(self, node: str) -> ClaimSlot:
        """The claim slot of a node."""
        state, open_challenges, prefix = self._view("claimOf", node)
        return ClaimSlot(ClaimState(state), int(open_challenges), bytes(prefix))

    def challenge_of(self, claim_hash: bytes, challenger: str) -> Challenge:
        """One challenge."""
        state, step, deadline, moved = self._view("challengeOf", claim_hash, challenger)
        return Challenge(ChallengeState(state), int(step), int(deadline), bool(moved))

    def record_of(self, node: str) -> Record:
        """A node's standing."""
        return Record(*map(int, self._view("recordOf", node)))

    def hash_claim(self, claim: Claim) -> bytes:
        """The registry's own EIP-712 digest of a claim."""
        return bytes(self._view("hashClaim", claim))

    def quote_reward(self, node: str, steps: int) -> int:
        """Wei that a TRAIN claim of `steps` would earn if it became final now."""
        return int(self._view("quoteReward", node, steps))

    def open_round(self) -> TxReceipt:
        """Open the next round; refused with WrongTerms where it runs another version than the one before."""
        return self._send("open the next round", "openRound")

    def open_round_with(self, terms: Terms) -> TxReceipt:
        """Open the next round with the terms of the version that WrongTerms names."""
        return self._send("open the next round, in another version", "openRoundWith", terms)

    def open_round_grown(self, terms: Terms, growth: bytes) -> TxReceipt:
        """As `open_round_with`, where that version is a growth of layers."""
        return self._send("open the next round, of another depth", "openRoundGrown", terms, growth)

    def post(self, claim: Claim) -> TxReceipt:
        """Post the account's claim."""
        return self._send(f"post the {claim.kind.name} claim of round {claim.round}", "post", claim)

    def post_for(self, claim: Claim, session: int) -> TxReceipt:
        """Post the account's TRAIN claim for a session that it leads."""
        return self._send(f"post the claim of session {session} in round {claim.round}", "postFor", claim, session)

    def challenge(self, claim: Claim, step: int) -> TxReceipt:
        """Say that `step` of an open claim is wrong."""
        return self._send(f"challenge step {step} of {_whose(claim)}", "challenge", claim, step)

    def answer(self, claim: Claim, challenger: str, previous: Opening, opened: Opening, trace: bytes) -> TxReceipt:
        """Open the leaf pointed at, and the one before it (Opening.empty() for step 0 and for an update), and post
        the root of the step's op trace."""
        arguments = (claim, challenger, previous, opened, trace)
        return self._send(f"answer the challenge of {challenger}", "answer", *arguments)

    def timeout(self, claim: Claim, challenger: str) -> TxReceipt:
        """End a challenge whose answer is overdue: the claim is lost."""
        return self._send(f"time out {_whose(claim)}", "timeout", claim, challenger)

    def reclaim(self, claim: Claim, challenger: str) -> TxReceipt:
        """Free the bond of a challenge whose claim was lost to another one."""
        return self._send("reclaim the challenge bond", "reclaim", claim, challenger)

    def finalise(self, claim: Claim) -> TxReceipt:
        """Make an unchallenged claim final."""
        return self._send(f"finalise {_whose(claim)}", "finalise", claim)

    def release_bond(self) -> TxReceipt:
        """Free the bond still locked from the account's last final claim."""
        return self._send("release the claim bond", "releaseBond")

    def announce(self, uri: str) -> TxReceipt:
        """Publish where the account serves its artefacts."""
        return self._send(f"announce {uri}", "announce", uri)


class Judge(Wrapper):
    """The games that decide challenges."""

    name = "Judge"

    def registry(self) -> str:
        """The registry whose challenges are judged."""
        return str(self._view("registry"))

    def response(self) -> int:
        """Seconds that each party has for a game."""
        return int(self._view("response"))

    def extension(self) -> int:
        """Least seconds that a party has for a move."""
        return int(self._view("extension"))

    def clock_of(self, game: bytes) -> Clock:
        """A game's clock; its deadline is 0 where there is no such game."""
        return Clock(*self._view("clockOf", game))

    def game_of(self, dispute: Dispute) -> bytes:
        """The name of a dispute's game."""
        return bytes(self._view("gameOf", dispute.to_tuple()))

    def move(self, case: Case, move: Move) -> TxReceipt:
        """The challenger's move: a proof, a demand, or another step to point at."""
        if move.function == "repoint":
            return self._send(move.words, move.function, case.dispute.to_tuple(), *move.argument)
        return self._send(move.words, move.function, case.dispute.to_tuple(), case.to_tuple(), move.argument)

    def reveal(self, dispute: Dispute, node: bytes, children: list[bytes]) -> TxReceipt:
        """Reveal the nodes that were demanded."""
        return self._send(f"reveal {len(children)} nodes", "reveal", dispute.to_tuple(), node, children)

    def reveal_data(self, dispute: Dispute, node: bytes, data: bytes) -> TxReceipt:
        """Reveal the data of a leaf that was demanded."""
        return self._send(f"reveal {len(data)} bytes", "revealData", dispute.to_tuple(), node, data)

    def timeout(self, dispute: Dispute) -> TxReceipt:
        """End a game whose clock has run out."""
        return self._send("end the dispute: a clock has run out", "timeout", dispute.to_tuple())


def _whose(claim: Claim) -> str:
    return f"the {claim.kind.name} claim of 0x{claim.node.hex()} in round {claim.round}"


@dataclass(frozen=True)
class Contracts:
    """One network's contracts under one client."""

    client: ChainClient
    token: NeuroToken
    staking: Staking
    emission: Emission
    registry: WorkRegistry
    judge: Judge
    vocabulary: Vocabulary
    governor: VocabularyGovernor
    emergency: EmergencyGovernor
    court: AnswerCourt
    court_judge: Judge
    quorums: Quorums
    growth: GrowthGovernor

    @classmethod
    def at(cls, client: ChainClient, deployment: Deployment) -> Contracts:
        """Bind to a deployment.

        Raises:
            WrongChainError: the deployment belongs to another chain. ContractsError: an address has no code.
        """
        deployment.require_chain(client.chain_id)
        at = deployment.addresses
        return cls(
            client,
            NeuroToken(client, at.token),
            Staking(client, at.staking),
            Emission(client, at.emission),
            WorkRegistry(client, at.registry),
            Judge(client, at.judge),
            Vocabulary(client, at.vocabulary),
            VocabularyGovernor(client, at.governor),
            EmergencyGovernor(client, at.emergency),
            AnswerCourt(client, at.court),
            Judge(client, at.court_judge),
            Quorums(client, at.quorums),
            GrowthGovernor(client, at.growth),
        )
