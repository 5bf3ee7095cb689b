"""A vote from its proposal to its end, with the chain's clock moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from economics.networks import DEVNET
from governance.versions import encode_merges
from node.chain.types import Change, Proposal, ProposalState, Support
from node.vocabulary.proposing import Draft
from tests.vocab.conftest import SmallWorld


@dataclass
class Ballot:
    """The newest proposal of one account."""

    world: SmallWorld
    proposer: int
    id: int = 0

    @classmethod
    def of(cls, world: SmallWorld, proposer: int) -> Ballot:
        """Nothing is proposed yet."""
        return cls(world, proposer)

    def propose(self, draft: Draft, uri: str = "") -> None:
        """Put a draft before the network."""
        terms = draft.terms
        hashes = (terms.program_hash, terms.grow_hash, terms.shrink_hash, terms.data_root)
        change = Change(draft.parent, *hashes, encode_merges(draft.merges))
        governor = self.world.contracts(self.proposer).governor
        governor.propose_change(change, uri)
        self.id = governor.open_of(self.world.network.accounts[self.proposer].address)

    def vote(self, approve: Iterable[int], reject: Iterable[int] = ()) -> ProposalState:
        """Discuss, vote, and wait for the end."""
        self.world.network.advance(DEVNET.discussion + 1)
        for index in approve:
            self.world.contracts(index).governor.vote(self.id, Support.FOR)
        for index in reject:
            self.world.contracts(index).governor.vote(self.id, Support.AGAINST)
        self.world.network.advance(DEVNET.vote + DEVNET.vote_extension + 1)
        return self.world.contracts(0).governor.state(self.id)

    def pass_with(self, voters: Iterable[int]) -> None:
        """Everything up to the activation."""
        assert self.vote(voters) is ProposalState.SUCCEEDED
        governor = self.world.contracts(0).governor
        governor.queue(self._found())
        self.world.network.advance(DEVNET.grace + 1)
        governor.execute(self._found())

    def fails_with(self, approve: Iterable[int], reject: Iterable[int]) -> str:
        """How a vote that does not pass ends; its bond is freed."""
        ended = self.vote(approve, reject)
        self.world.contracts(0).governor.release_bond(self.id)
        return ended.name.lower()

    def roll_back(self, version: int, opener: int, voters: Iterable[int]) -> None:
        """An emergency vote from its opening to its execution."""
        emergency = self.world.contracts(opener).emergency
        emergency.propose_rollback(version, "a test")
        vote = emergency.id_of(version)
        self.world.network.advance(1)
        for index in voters:
            self.world.contracts(index).emergency.vote(vote, Support.FOR)
        self.world.network.advance(DEVNET.emergency + 1)
        emergency.execute(version)

    def _found(self) -> Proposal:
        governor, newest = self.world.contracts(0).governor, self.world.contracts(0).client.block().number
        return next(one for one in governor.proposals(self.world.network.deployment.block, newest) if one.id == self.id)
