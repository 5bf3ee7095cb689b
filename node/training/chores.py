"""Transactions that keep a round going. Anyone may send most of them, so losing a race to a peer is no failure."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable

from node.chain.contracts import Contracts
from node.chain.published import Published
from node.chain.types import ClaimState
from node.errors import RevertError
from node.logs import get_logger
from node.training.ledger import ClaimView, RoundView

log = get_logger("chores")
TURN_SECONDS = 2.0
"""How long each node leaves a common chore to the one before it in the round's order."""


class Chores:
    """The round's common chores for one node."""

    def __init__(self, contracts: Contracts, first_block: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._contracts, self._clock = contracts, clock
        self._published = Published(contracts, first_block)
        self._me = contracts.client.address
        self._seen: dict[tuple[object, ...], float] = {}

    def attempt(self, send: Callable[[], object], *lost_race: str) -> bool:
        """Run a sending call; False if it was refused with one of these errors of the contract."""
        try:
            send()
        except RevertError as error:
            if error.name not in lost_race:
                raise
            log.debug("a peer was first", error=error.name)
            return False
        return True

    def turn(self, view: RoundView, *what: object) -> bool:
        """Whether it is this node's turn for a chore that is due since it was first asked about."""
        since = self._seen.setdefault((view.number, *what), self._clock())
        return self._clock() - since >= TURN_SECONDS * rank(view.info.randomness, self._me, view.uris)

    def open_round(self, view: RoundView) -> None:
        """Open the next round, or leave it to the node whose turn it is."""
        if not self.turn(view, "open"):
            return
        registry = self._contracts.registry
        try:
            self.attempt(registry.open_round, "WrongPhase")
        except RevertError as error:
            if error.name != "WrongTerms":
                raise
            version = int(str(error.arguments["version"]))
            log.info("opening a round of another version", needs=version)
            change = self._published.change(version)
            terms = self._published.terms_of(change)
            if change is not None and change.deepens:
                self.attempt(lambda: registry.open_round_grown(terms, change.merges), "WrongPhase", "WrongTerms")
            else:
                self.attempt(lambda: registry.open_round_with(terms), "WrongPhase", "WrongTerms")

    def settle(self, view: RoundView, window_end: int) -> None:
        """Time overdue challenges out and make claims final whose window is over."""
        for claim in view.claims:
            if claim.state is ClaimState.LOST:
                self._reclaim(claim)
            elif claim.state is ClaimState.POSTED:
                self._time_out(view, claim)
                if not claim.challenges and not claim.judged and view.block.timestamp > window_end:
                    self._finalise(view, claim)

    def collect(self) -> int:
        """Collect rewards and credit; the wei that went to the account."""
        emission, staking = self._contracts.emission, self._contracts.staking
        reward, credit = emission.collectable(self._me), staking.credit_of(self._me)
        if reward and not self.attempt(emission.collect, "NothingToCollect"):
            reward = 0
        if credit and not self.attempt(staking.collect, "NothingToCollect"):
            credit = 0
        return reward + credit

    def _time_out(self, view: RoundView, claim: ClaimView) -> None:
        for challenger, (_, deadline) in claim.challenges.items():
            mine = challenger == self._me or self.turn(view, "timeout", claim.hash, challenger)
            if view.block.timestamp > deadline and mine:
                log.info("timing out a claim", node=claim.node, round=claim.claim.round)
                registry = self._contracts.registry
                if self.attempt(lambda: registry.timeout(claim.claim, challenger), "NotWaiting", "NotOpenClaim"):  # noqa: B023
                    return

    def _finalise(self, view: RoundView, claim: ClaimView) -> None:
        if claim.node == self._me or self.turn(view, "finalise", claim.hash):
            registry = self._contracts.registry
            self.attempt(lambda: registry.finalise(claim.claim), "NotOpenClaim", "ChallengesOpen")

    def _reclaim(self, claim: ClaimView) -> None:
        if self._me in claim.challenges or self._me in claim.judged:
            registry = self._contracts.registry
            self.attempt(lambda: registry.reclaim(claim.claim, self._me), "NoChallenge", "ClaimStillOpen")


def rank(randomness: bytes, node: str, nodes: Iterable[str]) -> int:
    """The place of `node` in the round's order of nodes, from 0."""
    order = sorted({*nodes, node}, key=lambda one: hashlib.sha256(randomness + one.lower().encode()).digest())
    return order.index(node)
