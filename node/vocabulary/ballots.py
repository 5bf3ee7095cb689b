"""Proposals as the chain has them: found by number, turned into what is checked and back, and told in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from governance.versions import Terms, decode_merges, encode_merges
from node.chain.contracts import Contracts
from node.chain.governance import VocabularyGovernor
from node.chain.types import Change, Proposal, ProposalState
from node.chain.units import format_time
from node.vocabulary.proposing import Draft
from node.vocabulary.votes import Vote, named, short, standing_of


@dataclass(frozen=True)
class Ballot(Vote):
    """One proposed change of the vocabulary; ``eta``: from when it may be activated, 0 before it is queued."""

    eta: int

    @property
    def draft(self) -> Draft:
        """What it proposes; raises VocabularyError (consensus) where its merges are torn."""
        return draft_of(self.proposal.change)

    def words(self) -> str:
        """What the vote waits for, or how it ended."""
        if words := self.open_words():
            return words
        if self.state is ProposalState.SUCCEEDED:
            return f"passed ({self.standing()}): `ponw vocab queue {short(self.proposal.id)}` starts the grace time"
        if self.state is ProposalState.QUEUED:
            return f"queued: `ponw vocab activate {short(self.proposal.id)}` from {format_time(self.eta)} on"
        if self.state is ProposalState.DEFEATED:
            return f"defeated: {self.standing()}"
        return {ProposalState.EXECUTED: "activated"}.get(self.state, "withdrawn")


def ballots(contracts: Contracts, first: int) -> Iterator[Ballot]:
    """Every proposal since block ``first`` in order; raises RpcError."""
    for proposal in contracts.governor.proposals(first, contracts.client.block().number):
        yield look(contracts, proposal)


def look(contracts: Contracts, proposal: Proposal) -> Ballot:
    """Where a proposal's vote stands now."""
    governor, number = contracts.governor, proposal.id
    return Ballot(proposal, *standing_of(governor, number), governor.eta(number))


def find(contracts: Contracts, first: int, name: str) -> Ballot:
    """The proposal whose number begins with ``name`` (0x-hex).

    Raises:
        NoProposalError: none does, or several do.
    """

    def refused(count: int) -> str:
        many = f"{count} proposals begin" if count else "no proposal begins"
        return f"There {'are' if count else 'is'} none to choose: {many} with {name[:66]}."

    newest = contracts.client.block().number
    return look(contracts, named(contracts.governor.proposals(first, newest), name, refused))


def put_forward(governor: VocabularyGovernor, change: Change, proposer: str, uri: str) -> int:
    """Lock the proposer's bond for a change and propose it; its number. Where a run before was cut off between the two,
    the bond stands already."""
    number = governor.id_of(change, proposer, uri)
    if governor.bond_of(proposer) != number:
        governor.bond(number)
    governor.propose_change(change, uri)
    return number


def change_of(draft: Draft) -> Change:
    """A draft as the contract takes it."""
    terms = draft.terms
    merges = encode_merges(draft.merges)
    hashes = (terms.program_hash, terms.grow_hash, terms.shrink_hash, terms.data_root)
    return Change(draft.parent, *hashes, merges)


def draft_of(change: Change) -> Draft:
    """The inverse of `change_of`; raises VocabularyError (consensus) for torn merges."""
    terms = Terms(change.program_hash, change.grow_hash, change.shrink_hash, change.data_root)
    return Draft(change.parent, decode_merges(change.merges), terms)
