"""The vocabulary on a chain: proposed, amended, voted, activated, taken back; and what is refused, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from economics import constants as c
from economics.networks import DEVNET
from economics.units import neuro
from node.chain.contracts import Contracts
from node.chain.events import Activated, ChangeAmended, RollbackProposed, VoteCast
from node.chain.published import Published
from node.chain.types import Change, ProposalState, Support
from node.errors import ContractsError, RevertError
from node.vocabulary.ballots import put_forward

if TYPE_CHECKING:
    from tests.conftest import Network

STAKE = neuro(1_000)
URI = "https://example.org/change.json"


def change(*pairs: tuple[int, int], occurrences: int = 5_000) -> Change:
    merges = b"".join(a.to_bytes(2) + b.to_bytes(2) + occurrences.to_bytes(4) for a, b in pairs)
    return Change(0, b"\x11" * 32, b"\x12" * 32, b"\x13" * 32, b"\x14" * 32, merges)


@pytest.fixture
def voters(network: Network, staked: Callable[[int, int], Contracts]) -> list[Contracts]:
    found = [staked(index, STAKE) for index in (1, 2, 3)]
    network.advance(1)
    return found


def test_from_proposal_to_activation_and_back(network: Network, voters: list[Contracts]) -> None:
    alice, bob, carol = voters
    first = carol.client.block().number
    old = put_forward(carol.governor, change((65, 66)), carol.client.address, URI)
    assert carol.governor.bond_of(carol.client.address) == old
    wanted = change((65, 66), (264, 67))
    carol.governor.amend(old, wanted, URI)
    assert carol.governor.state(old) is ProposalState.CANCELED
    *_, proposal = carol.governor.proposals(first, carol.client.block().number)
    assert (proposal.change, proposal.uri, proposal.proposer) == (wanted, URI, carol.client.address)
    assert proposal.id == carol.governor.id_of(wanted, carol.client.address, URI)
    assert carol.staking.account_of(carol.client.address).locked == c.PROPOSAL_STAKE
    network.advance(DEVNET.discussion + 1)
    alice.governor.vote(proposal.id, Support.FOR)
    bob.governor.vote(proposal.id, Support.FOR, "agreed")
    tally = alice.governor.votes(proposal.id)
    assert (tally.in_favour, tally.cast, tally.quorum) == (2 * STAKE, 2 * STAKE, 9 * STAKE // 10)
    network.advance(DEVNET.vote + 1)
    alice.governor.queue(proposal)
    with pytest.raises(RevertError, match="grace"):
        alice.governor.execute(proposal)
    network.advance(DEVNET.grace + 1)
    alice.governor.execute(proposal)
    vocabulary = alice.vocabulary
    assert vocabulary.state() == (0, 1)
    version = vocabulary.version_of(1)
    assert (version.terms, version.size, version.parent) == (wanted.terms.hash(), 266, 0)
    assert version.proposer == carol.client.address
    bob.vocabulary.claim_reward(1)
    assert carol.emission.accrued_of(carol.client.address) == c.PROPOSAL_REWARD
    with pytest.raises(RevertError, match="claimed before"):
        bob.vocabulary.claim_reward(1)
    _open_transition(network, alice, wanted)
    last = alice.client.block().number
    kinds = {type(event) for event in alice.governor.events(first, last)}
    assert {ChangeAmended, VoteCast} <= kinds
    assert [type(event) for event in vocabulary.events(first, last)] == [Activated]
    _take_back(network, alice, bob)
    assert carol.staking.account_of(carol.client.address).active == STAKE - c.PROPOSAL_STAKE


def _open_transition(network: Network, alice: Contracts, wanted: Change) -> None:
    """The round is opened with the terms that the log has, and with no others."""
    published = Published(alice, network.deployment.block)
    first = published.terms(0)
    assert first.hash() == alice.vocabulary.version_of(0).terms
    assert published.terms(1) == wanted.terms
    for refused in (alice.registry.open_round, lambda: alice.registry.open_round_with(first)):
        with pytest.raises(RevertError, match="needs the terms of version 1"):
            refused()
    alice.registry.open_round_with(published.terms(1))
    now = alice.registry.round_of(1)
    assert (now.version, now.target) == (0, 1)
    assert published.of_round(0, 1) == alice.vocabulary.terms() == (wanted.grow_hash, network.genesis.data_root)
    assert published.of_round(1, 0) == (wanted.shrink_hash, wanted.data_root)
    assert published.of_round(1, 1) == (wanted.program_hash, wanted.data_root)
    assert published.of_round(0, 0) == (network.genesis.program_hash, network.genesis.data_root)
    with pytest.raises(ContractsError, match="no event of it"):
        published.terms(2)
    [activated] = alice.vocabulary.events(0, alice.client.block().number, Activated)
    with pytest.raises(ContractsError, match="are in no event"):
        Published(alice, activated.block).terms(1)  # the proposal's event is older


def _take_back(network: Network, alice: Contracts, bob: Contracts) -> None:
    alice.emergency.propose_rollback(1, "it is wrong")
    vote = alice.emergency.id_of(1)
    network.advance(1)
    alice.emergency.vote(vote, Support.FOR)
    bob.emergency.vote(vote, Support.FOR)
    network.advance(DEVNET.emergency + 1)
    assert alice.emergency.state(vote) is ProposalState.SUCCEEDED
    alice.emergency.execute(1)
    assert alice.vocabulary.state() == (0, 0)
    [opened] = [e for e in alice.emergency.events(0, alice.client.block().number) if isinstance(e, RollbackProposed)]
    assert (opened.version, opened.reason) == (1, "it is wrong")


def test_refusals_are_sentences(network: Network, voters: list[Contracts]) -> None:
    alice, bob, _ = voters
    with pytest.raises(RevertError, match="seen 1000 times"):
        alice.vocabulary.check(change((65, 66), occurrences=1_000))
    with pytest.raises(RevertError, match="special token"):
        alice.governor.motion_of(change((256, 66)), alice.client.address)
    with pytest.raises(RevertError, match="no version 3"):
        alice.governor.motion_of(replace(change((65, 66)), parent=3), alice.client.address)
    with pytest.raises(RevertError, match="has no bond of a proposal"):
        alice.governor.propose_change(change((65, 66)), URI)
    mine = put_forward(alice.governor, change((65, 66)), alice.client.address, URI)
    with pytest.raises(RevertError, match="stands for proposal"):
        alice.governor.propose_change(change((65, 67)), URI)
    with pytest.raises(RevertError, match="open proposal already"):
        put_forward(alice.governor, change((65, 67)), alice.client.address, URI)
    with pytest.raises(RevertError, match="is pending"):
        bob.governor.vote(mine, Support.FOR)
    with pytest.raises(RevertError, match="not an open proposal of this account"):
        bob.governor.withdraw(mine)
    alice.governor.withdraw(mine)
    assert alice.staking.account_of(alice.client.address).locked == 0
    with pytest.raises(RevertError, match="can't be taken back"):
        alice.emergency.propose_rollback(0, "")
