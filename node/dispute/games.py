"""The games that are open, as the chain's events tell them."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.dispute.game import Dispute
from consensus.dispute.knowledge import Knowledge
from node.chain import events
from node.chain.contracts import Contracts
from node.training.ledger import ClaimView, RoundView


@dataclass
class Played:
    """One dispute before a judge; `asked` is the demand that waits for the prover."""

    id: bytes
    dispute: Dispute
    challenger: str
    knowledge: Knowledge = field(default_factory=Knowledge)
    asked: events.Demanded | None = None
    moves: int = 0
    deadline: int = 0
    ended: bool = False
    prover_won: bool | None = None

    def apply(self, event: events.Event) -> None:
        """Take one event of this game's judge."""
        self.moves += 1
        if isinstance(event, events.GameEnded):
            self.ended, self.asked, self.prover_won = True, None, event.prover_won
            return
        if isinstance(event, events.GameMoved):
            self.ended, self.asked = True, None
            return
        if isinstance(event, events.GameOpened | events.Demanded | events.Revealed | events.RevealedData):
            self.deadline = event.deadline
            self.asked = event if isinstance(event, events.Demanded) else None
        if isinstance(event, events.GameOpened):
            self.ended, self.prover_won = False, None
        elif isinstance(event, events.Revealed):
            self.knowledge.learn_below(event.node, event.children)
        elif isinstance(event, events.RevealedData):
            self.knowledge.learn_data(event.data)


@dataclass
class Game(Played):
    """One dispute about a claim of a round."""

    claim: ClaimView = field(kw_only=True)


def dispute_of(claim: ClaimView, event: events.ChallengeAnswered) -> Dispute:
    """What the answer to a challenge opened."""
    who = bytes.fromhex(event.challenger[2:])
    roots = (event.before, event.after_step, event.batch, event.loss_bits, event.trace)
    return Dispute(claim.claim, who, event.step, *roots)


def read_games(contracts: Contracts, view: RoundView, answered: list[events.ChallengeAnswered]) -> list[Game]:
    """Every game over claims of a round, in the order they were opened. All is rebuilt from events at every look."""
    found: dict[bytes, Game] = {}
    for answer in answered:
        claim = view.find(answer.claim_hash)
        if claim is not None:
            dispute = dispute_of(claim, answer)
            opened = Game(contracts.judge.game_of(dispute), dispute, answer.challenger, claim=claim)
            found[opened.id] = opened
    if found:
        for event in contracts.judge.events(view.opened_block, view.block.number):
            game = found.get(getattr(event, "game", b""))
            if game is not None:
                game.apply(event)
    return list(found.values())
