"""Whole nodes over the small deep model of these tests, on a real chain whose clock is moved by hours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from consensus.arithmetic import choose_engine
from consensus.commitments.tensors import global_root
from consensus.model.config import ModelConfig
from economics.constants import GROWTH_GRACE
from economics.networks import DEVNET
from economics.units import HOUR, Seconds, Steps
from governance.activation import History
from governance.announcement import Announcement
from node.chain.growth import GrowthGovernor
from node.chain.types import Change, Proposal, ProposalState, Support
from node.config import Settings
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.training.ledger import RoundView
from node.training.loop import RoundLoop
from node.training.work import Workshop
from node.vocabulary.deepening import DepthDesk
from tests.growth.growth_worker import CONFIG
from tests.own_chain import own_network
from tests.training.conftest import World

VOTE = Seconds(HOUR)
PATIENT = replace(
    DEVNET,
    train_time=Seconds(120),
    window=Seconds(120),
    response=Seconds(180),
    discussion=VOTE,
    vote=VOTE,
    vote_extension=VOTE,
    grace=VOTE,
    emergency=VOTE,
    thaw=Seconds(10 * VOTE),
)
"""A devnet whose votes last longer than any round, and whose rounds outlast a busy machine: tests move the clock."""
ROUND_STEPS = Steps(400)
"""What a round counts for the age of new layers: three rounds are young."""
GROWN = CONFIG.layers + 3


@dataclass
class DeepWorld(World):
    """Nodes that all train the small deep model."""

    nodes: list[int] = field(default_factory=list)

    def join(self, index: int, **settings: object) -> RoundLoop:
        """Start (or start again) the node of a staked account."""

        def make(_: Settings) -> Workshop:
            return Workshop(CONFIG, choose_engine(threads=1), self.dataset)

        if index not in self.nodes:
            self.nodes.append(index)
        return self.start(index, make, **settings)

    @property
    def governor(self) -> GrowthGovernor:
        return self.contracts(0).growth

    def round(self) -> RoundView:
        """One whole round of all nodes, with their claims; every node has checked what it ran against the chain."""
        before = self.view.number
        nodes = {self.network.accounts[index].address for index in self.nodes}
        self.until(lambda view: view.number > before and nodes <= {claim.node for claim in view.trains})
        view = self.finish_round()
        for index in self.nodes:
            self.loops[index].parts.eras.join()
        assert {claim.claim.program_hash for claim in view.claims} == {view.terms[0]}
        assert {claim.claim.layer_count for claim in view.claims} == {view.info.layers}
        assert len(view.finals) == len(self.nodes), "every claim is final"
        return view

    def agreed(self, view: RoundView, config: ModelConfig) -> bytes:
        """The root that the chain has after a round; every node holds the state behind it, in these shapes."""
        root = self.contracts(0).registry.global_root()
        assert root != view.info.start_root
        for index in self.nodes:
            state = self.loops[index].parts.states.own(view.number + 1, root, config.shapes())
            assert state is not None
            assert global_root(state.weights, state.velocity) == root
        return root

    def draft(self, shop: Workshop) -> Change:
        """A growth of the deployed model by three layers, announced now."""
        growth = Announcement(1, 0, CONFIG.layers, GROWN, Seconds(self.contracts(0).client.block().timestamp))
        return DepthDesk(shop, History()).draft(growth, ROUND_STEPS)

    def propose(self, change: Change, proposer: int) -> Proposal:
        """Put a growth on chain; as the log has it."""
        contracts = self.contracts(proposer)
        contracts.growth.propose(change, "https://example.org")
        number = contracts.growth.id_of(change, contracts.client.address, "https://example.org")
        newest = contracts.client.block().number
        [found] = [one for one in self.governor.proposals(self.network.deployment.block, newest) if one.id == number]
        assert found.change == change
        return found

    def pass_with(self, proposal: Proposal, voters: list[int]) -> None:
        """From the discussion to the announcement."""
        self.network.advance(PATIENT.discussion + 1)
        for index in voters:
            self.contracts(index).growth.vote(proposal.id, Support.FOR)
        self.network.advance(PATIENT.vote + PATIENT.vote_extension + 1)
        assert self.governor.state(proposal.id) is ProposalState.SUCCEEDED
        self.governor.announce(proposal)

    def decide(self, proposal: Proposal) -> ProposalState:
        """Past the deadline; where the growth stands then."""
        self.network.advance(GROWTH_GRACE + 1)
        self.governor.decide(proposal)
        return self.governor.state(proposal.id)

    def activate(self, proposal: Proposal, holder: int) -> None:
        """A node says that it is ready to hold the new layers, and the growth is decided."""
        self.contracts(holder).growth.pledge(proposal.id, CONFIG.layers, GROWN - CONFIG.layers, 2)
        assert self.decide(proposal) is ProposalState.EXECUTED


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The shipped books, tokenised once."""
    return ensure_default(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def shop(corpus: Dataset) -> Workshop:
    """The model as deployed."""
    return Workshop(CONFIG, choose_engine(threads=1), corpus)


@pytest.fixture
def world(corpus: Dataset, shop: Workshop, tmp_path: Path) -> Iterator[DeepWorld]:
    """A network on a chain of its own; nobody has staked."""
    with own_network(tmp_path / "chain", PATIENT, shop.genesis()) as network:
        made = DeepWorld(network, corpus, tmp_path, times=PATIENT)
        with made.stack:
            yield made
