"""Proposals as the chain has them: found by number, turned into what is checked and back, and told in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from economics.constants import VOTE_APPROVAL
from economics.units import BPS
from governance.versions import Terms, decode_merges, encode_merges
from node.chain.contracts import Contracts
from node.chain.governance import VocabularyGovernor
from node.chain.types import Change, Proposal, ProposalState, Tally
from node.chain.units import format_time
from node.vocabulary.errors import NoProposalError
from node.vocabulary.proposing import Draft


@dataclass(frozen=True)
class Ballot:
    """One proposal with where its vote stands now."""

    proposal: Proposal
    state: ProposalState
    tally: Tally
    snapshot: int
    deadline: int
    eta: int

    @property
    def draft(self) -> Draft:
        """What it proposes; raises VocabularyError (consensus) where its merges are torn."""
        return draft_of(self.proposal.change)

    def words(self) -> str:
        """What the vote waits for, or how it ended."""
        if self.state is ProposalState.PENDING:
            return f"discussed until {format_time(self.snapshot)}, then voted on"
        if self.state is ProposalState.ACTIVE:
            return f"voted on until {format_time(self.deadline)}; {self._standing()}"
        if self.state is ProposalState.SUCCEEDED:
            return f"passed ({self._standing()}): `ponw vocab queue {short(self.proposal.id)}` starts the grace time"
        if self.state is ProposalState.QUEUED:
            return f"queued: `ponw vocab activate {short(self.proposal.id)}` from {format_time(self.eta)} on"
        if self.state is ProposalState.DEFEATED:
            return f"defeated: {self._standing()}"
        return {ProposalState.EXECUTED: "activated"}.get(self.state, "withdrawn")

    def _standing(self) -> str:
        tally = self.tally
        decided = tally.in_favour + tally.against
        share = tally.in_favour * 100 / decided if decided else 0.0
        heard = tally.cast * 100 / tally.quorum if tally.quorum else 0.0
        return f"{share:.1f}% approve of {VOTE_APPROVAL * 100 / BPS:g}% needed, {heard:.0f}% of the quorum voted"


def short(number: int) -> str:
    """The first digits of a proposal's number, enough to name it."""
    return spelled(number)[:14]


def spelled(number: int) -> str:
    """A proposal's number in full: 216 bits in hex."""
    return f"0x{number:054x}"


def ballots(contracts: Contracts, first: int) -> Iterator[Ballot]:
    """Every proposal since block ``first`` in order; raises RpcError."""
    for proposal in contracts.governor.proposals(first, contracts.client.block().number):
        yield look(contracts, proposal)


def look(contracts: Contracts, proposal: Proposal) -> Ballot:
    """Where a proposal's vote stands now."""
    governor, number = contracts.governor, proposal.id
    return Ballot(
        proposal,
        governor.state(number),
        governor.votes(number),
        governor.snapshot(number),
        governor.deadline(number),
        governor.eta(number),
    )


def find(contracts: Contracts, first: int, name: str) -> Ballot:
    """The proposal whose number begins with ``name`` (0x-hex).

    Raises:
        NoProposalError: none does, or several do.
    """
    newest = contracts.client.block().number
    wanted = name.lower() if name.lower().startswith("0x") else "0x" + name.lower()
    found = [one for one in contracts.governor.proposals(first, newest) if spelled(one.id).startswith(wanted)]
    if len(found) != 1 or len(wanted) < len("0x") + 4:
        many = f"{len(found)} proposals begin" if found else "no proposal begins"
        raise NoProposalError(f"There {'are' if found else 'is'} none to choose: {many} with {name[:66]}.")
    return look(contracts, found[0])


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
