"""What the chain says: disputes of the newest round, and versions of the model with their votes. Reads only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property

from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.config import EMBEDDED_RPC, Settings
from node.dashboard.kept import Kept
from node.dashboard.schemas import DisputeEntry, Disputes, VocabularyAnswer
from node.dashboard.votes import read_votes
from node.dispute.games import Game, read_games
from node.errors import UnavailableError
from node.training.ledger import ClaimView, Ledger, RoundView

DISPUTES_SECONDS, VOCABULARY_SECONDS = 2.0, 5.0


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
        """Versions, and proposals of words and of layers; errors as for `connected`, and as for `read_votes`."""
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
        return read_votes(*self.connected())


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
