"""A payer's way to the court: accuse one token of a signed answer, and play until the ruling."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from node.chain.contracts import Contracts
from node.chain.court import Accusation, AccusationState
from node.dispute.court import POLL_SECONDS, Player
from node.inference.paid.exhibit import Exhibit
from node.inference.paid.messages import unhex


@dataclass(frozen=True, slots=True)
class Accuser:
    """One account against one answer."""

    contracts: Contracts
    exhibit: Exhibit

    @property
    def claim_hash(self) -> bytes:
        """The answer's name in the court."""
        return self.contracts.court.domain.hash(self.exhibit.claim())

    def stands(self) -> Accusation:
        """Where this account's accusation stands."""
        return self.contracts.court.accusation_of(self.claim_hash, self.contracts.client.address)

    def accuse(self, step: int) -> None:
        """Say on chain that token `step` is wrong, unless this account has accused the answer before.

        Raises:
            ExhibitError: the answer is not signed by its server. RevertError and its kin: see ChainClient.send; the
            account needs stake for the bond, and the answer can be accused for a limited time only.
        """
        claim = self.exhibit.require_signed(self.contracts.court.domain)
        if self.stands().state is AccusationState.NONE:
            self.contracts.court.accuse(claim, unhex(self.exhibit.signed.signature), step)

    def play(self, player: Player, stop: threading.Event) -> Accusation:
        """Make this account's moves until the court has ruled or `stop` is set; where it stands then.

        Raises:
            As Player.look.
        """
        while not stop.is_set() and not (standing := self.stands()).over:
            if player.look() == 0:
                stop.wait(POLL_SECONDS)
        return standing if not stop.is_set() else self.stands()
