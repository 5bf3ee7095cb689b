"""What the chain says: disputes of the newest round, and the vocabulary with its votes. Reads only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property

from consensus.errors import ConsensusError
from economics.constants import VOTE_APPROVAL
from economics.units import BPS
from governance.versions import decode_merges
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.config import EMBEDDED_RPC, Settings
from node.dashboard.kept import Kept
from node.dashboard.schemas import DisputeEntry, Disputes, ProposalEntry, VersionEntry, VocabularyAnswer
from node.dispute.games import Game, read_games
from node.errors import UnavailableError
from node.training.ledger import ClaimView, Ledger, RoundView
from node.vocabulary.ballots import Ballot, ballots
from node.vocabulary.versions import Versions
from node.vocabulary.votes import spelled

DISPUTES_SECONDS, VOCABULARY_SECONDS = 2.0, 5.0
TOKENS_SHOWN = 60
PROPOSALS_SHOWN = 50


class Chain:
    """The configured chain, connected to at the first question. Threads may share it."""

    def __init__(self, settings: Settings, contracts: Contracts | None = None, first_block: int = 0) -> None:
        self.settings, self._first = settings, first_block
        self._contracts = contracts
        self._lock = threading.Lock()
        self._disputes = Kept(self._read_disputes, DISPUTES_SECONDS)
        self._vocabulary = Kept(self._read_vocabulary, VOCABULARY_SECONDS)

    def connected(self) -> tuple[Contracts, int]:
        """The network's contracts for reading, and the block they were deployed in.

        Raises:
            UnavailableError: the node runs its chain in its own process. RpcError, WrongChainError, ContractsError.
        """
        with self._lock:
            if self._contracts is None:
                if self.settings.rpc_url == EMBEDDED_RPC:
                    raise UnavailableError(
                        "The chain lives inside the node's own process and cannot be asked from here.",
                        "Claims are shown as the node has them on record.",
                    )
                deployment = Deployment.load(self.settings.contracts_file)
                self._first = deployment.block
                self._contracts = Contracts.at(ChainClient.connect(self.settings), deployment)
            return self._contracts, self._first

    def deployment(self) -> Deployment:
        """Where the network's contracts stand. Raises ContractsError."""
        return Deployment.load(self.settings.contracts_file)

    def disputes(self) -> Disputes:
        """Every challenge and every game of the newest round; errors as for `connected`."""
        return self._disputes.get()

    def vocabulary(self) -> VocabularyAnswer:
        """Versions and proposals; errors as for `connected`."""
        return self._vocabulary.get()

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(*self.connected())

    def _read_disputes(self) -> Disputes:
        contracts, _ = self.connected()
        view = self._ledger.look()
        found = [_game(view, game) for game in read_games(contracts, view, view.answered)]
        waiting = [entry for claim in view.claims for entry in _waiting(view, claim)]
        return Disputes(round=view.number, now=view.block.timestamp, disputes=[*waiting, *reversed(found)])

    def _read_vocabulary(self) -> VocabularyAnswer:
        contracts, first = self.connected()
        vocabulary = contracts.vocabulary
        current, target = vocabulary.state()
        versions = [(number, vocabulary.version_of(number)) for number in range(vocabulary.count())]
        found = list(ballots(contracts, first))[: -PROPOSALS_SHOWN - 1 : -1]
        return VocabularyAnswer(
            current=current,
            target=target,
            now=contracts.client.block().timestamp,
            versions=[
                VersionEntry(number=number, rows=one.size, parent=one.parent, activated_at=one.activated_at)
                for number, one in reversed(versions)
            ],
            proposals=[_proposal(ballot, self._tokens(ballot)) for ballot in found],
        )

    def _tokens(self, ballot: Ballot) -> list[str]:
        """The first new tokens as text; none where what was proposed is torn, which is for voters to refuse."""
        contracts, first = self.connected()
        change = ballot.proposal.change
        try:
            base = Versions(contracts, first).read()[change.parent].vocabulary
            merges = decode_merges(change.merges)[:TOKENS_SHOWN]
            grown = base.extended(merge.pair for merge in merges)
            return [grown.text(base.rows + index) for index in range(len(merges))]
        except (ConsensusError, IndexError, KeyError):
            return []


def _waiting(view: RoundView, claim: ClaimView) -> Iterator[DisputeEntry]:
    for challenger, (step, deadline) in claim.challenges.items():
        late = view.block.timestamp > deadline
        yield DisputeEntry(
            id="",
            claim="0x" + claim.hash.hex(),
            prover=claim.node,
            challenger=challenger,
            step=step,
            moves=0,
            turn="prover",
            deadline=deadline,
            words="no answer in time" if late else "challenged; the prover is to answer",
        )


def _game(view: RoundView, game: Game) -> DisputeEntry:
    asked = game.asked is not None
    return DisputeEntry(
        id="0x" + game.id.hex(),
        claim="0x" + game.claim.hash.hex(),
        prover=game.claim.node,
        challenger=game.challenger,
        step=game.dispute.step,
        moves=game.moves,
        turn="" if game.ended else "prover" if asked else "challenger",
        deadline=game.deadline,
        words=_words(view, game),
    )


def _words(view: RoundView, game: Game) -> str:
    if game.ended and game.prover_won is None:
        return "moved to another step"
    if game.ended:
        return f"ended: the {'prover' if game.prover_won else 'challenger'} won"
    side = "prover" if game.asked else "challenger"
    return f"the {side}'s clock has run out" if view.block.timestamp > game.deadline else f"the {side} is to move"


def _proposal(ballot: Ballot, tokens: list[str]) -> ProposalEntry:
    proposal, tally = ballot.proposal, ballot.tally
    decided = tally.in_favour + tally.against
    return ProposalEntry(
        id=spelled(proposal.id),
        proposer=proposal.proposer,
        parent=proposal.change.parent,
        uri=proposal.uri[:500],
        state=ballot.state.name.lower(),
        words=ballot.words(),
        approve_wei=str(tally.in_favour),
        reject_wei=str(tally.against),
        abstain_wei=str(tally.abstain),
        approval_bps=tally.in_favour * BPS // decided if decided else 0,
        approval_needed_bps=VOTE_APPROVAL,
        quorum_bps=min(BPS, tally.cast * BPS // tally.quorum) if tally.quorum else 0,
        vote_starts=ballot.snapshot,
        vote_ends=ballot.deadline,
        eta=ballot.eta,
        merges=len(proposal.change.merges) // 8,
        tokens=tokens,
    )
