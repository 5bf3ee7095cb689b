"""Growths of layers as the chain has them: found by number, with their votes, their announcements and their holders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from economics.constants import GROWTH_EXTENSIONS, VOTE_APPROVAL
from economics.units import BPS
from node.chain.contracts import Contracts
from node.chain.growth import Plan
from node.chain.types import Proposal, ProposalState, Tally
from node.chain.units import format_time
from node.vocabulary.ballots import short, spelled
from node.vocabulary.errors import NoProposalError


@dataclass(frozen=True)
class DepthBallot:
    """One proposed growth; `lacking`: the first new layer without the `replicas` holders that it needs, 0 if none."""

    proposal: Proposal
    state: ProposalState
    tally: Tally
    snapshot: int
    deadline: int
    plan: Plan
    lacking: int
    replicas: int

    @property
    def open(self) -> bool:
        """Whether it may yet be activated."""
        return self.state in {
            ProposalState.PENDING,
            ProposalState.ACTIVE,
            ProposalState.SUCCEEDED,
            ProposalState.QUEUED,
        }

    def words(self) -> str:
        """What the growth waits for, or how it ended."""
        name = short(self.proposal.id)
        if self.state is ProposalState.PENDING:
            return f"discussed until {format_time(self.snapshot)}, then voted on"
        if self.state is ProposalState.ACTIVE:
            return f"voted on until {format_time(self.deadline)}; {self._standing()}"
        if self.state is ProposalState.SUCCEEDED:
            return f"passed ({self._standing()}): `ponw layers announce {name}` starts the grace"
        if self.state is ProposalState.QUEUED:
            return f"announced{self._extended()}, decided by `ponw layers decide {name}` from {self._until()} on"
        if self.state is ProposalState.DEFEATED:
            return f"defeated: {self._standing()}"
        return "activated" if self.state is ProposalState.EXECUTED else "aborted: its layers lacked holders"

    def holders(self) -> str:
        """Whether the new layers have who holds them."""
        if not self.lacking:
            return f"every new layer has its holders ({self.replicas}, one of tier 3 or faster)"
        return f"layer {self.lacking} lacks holders: each needs {self.replicas}, and one of tier 3 or faster"

    def _extended(self) -> str:
        extensions = self.plan.extensions
        return f" (extension {extensions} of {GROWTH_EXTENSIONS})" if extensions else ""

    def _until(self) -> str:
        return format_time(self.plan.deadline)

    def _standing(self) -> str:
        tally = self.tally
        decided = tally.in_favour + tally.against
        share = tally.in_favour * 100 / decided if decided else 0.0
        heard = tally.cast * 100 / tally.quorum if tally.quorum else 0.0
        return f"{share:.1f}% approve of {VOTE_APPROVAL * 100 / BPS:g}% needed, {heard:.0f}% of the quorum voted"


def growths(contracts: Contracts, first: int) -> Iterator[DepthBallot]:
    """Every growth proposed since block ``first``, in order; raises RpcError."""
    for proposal in contracts.growth.proposals(first, contracts.client.block().number):
        yield look(contracts, proposal)


def look(contracts: Contracts, proposal: Proposal) -> DepthBallot:
    """Where a growth stands now."""
    governor, number = contracts.growth, proposal.id
    return DepthBallot(
        proposal,
        governor.state(number),
        governor.votes(number),
        governor.snapshot(number),
        governor.deadline(number),
        governor.plan_of(number),
        governor.lacking(number),
        governor.replicas(),
    )


def find(contracts: Contracts, first: int, name: str) -> DepthBallot:
    """The growth whose number begins with ``name`` (0x-hex).

    Raises:
        NoProposalError: none does, or several do.
    """
    newest = contracts.client.block().number
    wanted = name.lower() if name.lower().startswith("0x") else "0x" + name.lower()
    found = [one for one in contracts.growth.proposals(first, newest) if spelled(one.id).startswith(wanted)]
    if len(found) != 1 or len(wanted) < len("0x") + 4:
        raise NoProposalError(f"{len(found) or 'No'} growths of layers begin with {name[:66]}.")
    return look(contracts, found[0])
