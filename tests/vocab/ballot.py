"""A vote on a real chain, from a proposal to its end, with the chain's clock moved through its times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from economics.constants import PROPOSAL_REWARD, PROPOSAL_STAKE
from node.chain.types import Proposal, ProposalState, Support
from node.vocabulary.ballots import Ballot as Standing
from node.vocabulary.ballots import change_of, find, put_forward
from node.vocabulary.proposing import Draft
from node.vocabulary.votes import spelled
from tests.vocab.conftest import PATIENT, SmallWorld


@dataclass
class Ballot:
    """One proposal of account `proposer`, and those who vote about it."""

    world: SmallWorld
    proposer: int
    number: int = 0

    @classmethod
    def of(cls, world: SmallWorld, proposer: int) -> Ballot:
        """Nothing is proposed yet."""
        return cls(world, proposer)

    @property
    def standing(self) -> Standing:
        """Where the vote stands, found by its first digits as a user finds it."""
        contracts = self.world.contracts(0)
        return find(contracts, self.world.network.deployment.block, spelled(self.number)[:20])

    @property
    def proposal(self) -> Proposal:
        return self.standing.proposal

    def propose(self, draft: Draft) -> None:
        """Put it on chain; the proposer's bond is locked."""
        contracts, change = self.world.contracts(self.proposer), change_of(draft)
        locked = contracts.staking.account_of(contracts.client.address).locked
        self.number = put_forward(contracts.governor, change, contracts.client.address, "https://example.org")
        assert contracts.staking.account_of(contracts.client.address).locked > locked
        assert self.standing.draft == draft
        assert self.standing.state is ProposalState.PENDING

    def vote(self, approve: Iterable[int], reject: Iterable[int] = ()) -> None:
        """From the end of the discussion to the end of the vote."""
        self.world.network.advance(PATIENT.discussion + 1)
        for voters, support in ((approve, Support.FOR), (reject, Support.AGAINST)):
            for index in voters:
                self.world.contracts(index).governor.vote(self.number, support)
        self.world.network.advance(PATIENT.vote + PATIENT.vote_extension + 1)

    def pass_with(self, voters: Iterable[int]) -> None:
        """Vote, queue, wait out the grace time, activate."""
        self.vote(voters)
        governor = self.world.contracts(0).governor
        assert self.standing.state is ProposalState.SUCCEEDED, self.standing.words()
        governor.queue(self.proposal)
        self.world.network.advance(PATIENT.grace + 1)
        governor.execute(self.proposal)
        assert self.standing.state is ProposalState.EXECUTED

    def fetch(self, version: int) -> None:
        """The bond and the reward of an activated version, which somebody else fetches for the proposer."""
        contracts, proposer = self.world.contracts(0), self.world.network.accounts[self.proposer].address
        before = contracts.staking.account_of(proposer).locked, contracts.emission.accrued_of(proposer)
        contracts.governor.release_bond(proposer)
        contracts.vocabulary.claim_reward(version)
        after = contracts.staking.account_of(proposer).locked, contracts.emission.accrued_of(proposer)
        assert (before[0] - after[0], after[1] - before[1]) == (PROPOSAL_STAKE, PROPOSAL_REWARD)
        assert contracts.vocabulary.version_of(version).paid

    def fails_with(self, approve: Iterable[int], reject: Iterable[int]) -> str:
        """Vote; how it ended. The bond comes back."""
        self.vote(approve, reject)
        ended = self.standing.state.name.lower()
        contracts = self.world.contracts(0)
        proposer = self.world.network.accounts[self.proposer].address
        contracts.governor.release_bond(proposer)
        assert contracts.staking.account_of(proposer).locked == 0
        return ended

    def roll_back(self, version: int, opener: int, voters: Iterable[int]) -> None:
        """An emergency vote, from its opening to its execution; the proposer is slashed."""
        world, proposer = self.world, self.world.network.accounts[self.proposer].address
        staking = world.contracts(0).staking
        held = staking.account_of(proposer).active
        world.contracts(opener).emergency.propose_rollback(version, "a test")
        number = world.contracts(0).emergency.id_of(version)
        world.network.advance(2)
        for index in voters:
            world.contracts(index).emergency.vote(number, Support.FOR)
        world.network.advance(PATIENT.emergency + PATIENT.vote_extension + 1)
        world.contracts(opener).emergency.execute(version)
        assert staking.account_of(proposer).active < held, "the proposer's bond is slashed"
