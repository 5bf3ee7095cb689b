"""The accusations before the court of answers that concern one account, as the chain's events tell them."""

from __future__ import annotations

from dataclasses import dataclass

from consensus.commitments.claim import Claim
from consensus.commitments.trace import StepLeaf
from consensus.dispute.answers import NO_STATE, answer_dispute
from node.chain import court_events as events
from node.chain.contracts import Contracts
from node.chain.court import Accusation
from node.dispute.games import Played

REORGANISED = 64
"""Blocks that are read again at every look, in case the chain has others now."""
Key = tuple[bytes, str]
"""Claim hash and accuser."""


@dataclass
class Trial:
    """One accusation; `game` stands once the server has answered, `lost` says that the answer is lost to anyone."""

    claim: Claim
    hash: bytes
    server: str
    challenger: str
    accusation: Accusation
    lost: bool
    game: Played | None = None

    @property
    def deadline(self) -> int:
        """Until when the next move is due, Unix seconds."""
        return self.accusation.deadline if self.game is None else self.game.deadline


class Docket:
    """Reads the court. Where an accusation stands is asked of the contract, what was played of the events."""

    def __init__(self, contracts: Contracts, first_block: int, account: str) -> None:
        self._contracts, self._first, self._me = contracts, first_block, account
        self._next = first_block
        self._open: dict[Key, int] = {}

    def open(self) -> list[Trial]:
        """Accusations by or against the account that are not over, the most urgent first.

        Raises:
            RpcError, ContractsError.
        """
        head = self._contracts.client.block().number
        for event in self._contracts.court.events(self._next, head):
            if isinstance(event, events.Accused) and self._me in (event.server, event.challenger):
                self._open.setdefault((event.claim_hash, event.challenger), event.block)
        self._next = max(self._first, head - REORGANISED)
        trials = self._trials(head) if self._open else []
        standing = [
            trial for trial in trials if not (trial.accusation.over or (trial.lost and trial.server == self._me))
        ]
        self._open = {key: at for key, at in self._open.items() if key in {(t.hash, t.challenger) for t in standing}}
        return sorted(standing, key=lambda trial: trial.deadline)

    def _is_over(self, trial: Trial) -> bool:
        """A server has nothing left to do about an answer that is lost; an accuser takes its bond back."""
        return trial.accusation.over or (trial.lost and trial.server == self._me)

    def _trials(self, head: int) -> list[Trial]:
        court, first = self._contracts.court, min(self._open.values())
        trials: dict[Key, Trial] = {}
        for event in court.events(first, head):
            key = (getattr(event, "claim_hash", b""), getattr(event, "challenger", ""))
            if key not in self._open:
                continue
            if isinstance(event, events.Accused):  # a second time where the accuser points at another token
                standing, lost = court.accusation_of(*key), court.case_of(event.claim_hash).lost
                trials[key] = Trial(event.claim, event.claim_hash, event.server, event.challenger, standing, lost)
            elif isinstance(event, events.AccusationAnswered) and key in trials:
                trials[key].game = self._game(trials[key].claim, event)
        self._play(first, head, [trial.game for trial in trials.values() if trial.game is not None])
        return list(trials.values())

    def _game(self, claim: Claim, event: events.AccusationAnswered) -> Played:
        leaf = StepLeaf(NO_STATE, event.batch, event.token, event.step)
        dispute = answer_dispute(claim, bytes.fromhex(event.challenger[2:]), leaf, event.trace)
        return Played(self._contracts.court_judge.game_of(dispute), dispute, event.challenger)

    def _play(self, first: int, head: int, games: list[Played]) -> None:
        found = {game.id: game for game in games}
        for event in self._contracts.court_judge.events(first, head) if found else ():
            game = found.get(getattr(event, "game", b""))
            if game is not None:
                game.apply(event)
