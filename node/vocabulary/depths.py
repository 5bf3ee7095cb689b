"""Growths of layers as the chain has them: found by number, with their votes, their announcements and their holders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from economics.constants import GROWTH_EXTENSIONS
from node.chain.contracts import Contracts
from node.chain.growth import Plan
from node.chain.types import Proposal, ProposalState
from node.chain.units import format_time
from node.vocabulary.votes import Vote, named, short, standing_of


@dataclass(frozen=True)
class DepthBallot(Vote):
    """One proposed growth; `lacking`: the first new layer without the `replicas` holders that it needs, 0 if none."""

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
        if words := self.open_words():
            return words
        if self.state is ProposalState.SUCCEEDED:
            return f"passed ({self.standing()}): `ponw layers announce {name}` starts the grace"
        if self.state is ProposalState.QUEUED:
            return f"announced{self._extended()}, decided by `ponw layers decide {name}` from {self._until()} on"
        if self.state is ProposalState.DEFEATED:
            return f"defeated: {self.standing()}"
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


def growths(contracts: Contracts, first: int) -> Iterator[DepthBallot]:
    """Every growth proposed since block ``first``, in order; raises RpcError."""
    for proposal in contracts.growth.proposals(first, contracts.client.block().number):
        yield look(contracts, proposal)


def look(contracts: Contracts, proposal: Proposal) -> DepthBallot:
    """Where a growth stands now."""
    governor, number = contracts.growth, proposal.id
    plan, lacking = governor.plan_of(number), governor.lacking(number)
    return DepthBallot(proposal, *standing_of(governor, number), plan, lacking, governor.replicas())


def find(contracts: Contracts, first: int, name: str) -> DepthBallot:
    """The growth whose number begins with ``name`` (0x-hex).

    Raises:
        NoProposalError: none does, or several do.
    """

    def refused(count: int) -> str:
        return f"{count or 'No'} growths of layers begin with {name[:66]}."

    newest = contracts.client.block().number
    return look(contracts, named(contracts.growth.proposals(first, newest), name, refused))
