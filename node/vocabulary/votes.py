"""What proposals of every kind have in common: how one is named, where its vote stands, and that in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from economics.constants import VOTE_APPROVAL
from economics.units import BPS
from node.chain.governance import StakeGovernor
from node.chain.types import Proposal, ProposalState, Tally
from node.chain.units import format_time
from node.vocabulary.errors import NoProposalError


@dataclass(frozen=True)
class Vote:
    """One proposal with where its vote stands now. Times in Unix seconds."""

    proposal: Proposal
    state: ProposalState
    tally: Tally
    snapshot: int
    deadline: int

    def open_words(self) -> str:
        """What is waited for until the vote is over; "" when it is."""
        if self.state is ProposalState.PENDING:
            return f"discussed until {format_time(self.snapshot)}, then voted on"
        if self.state is ProposalState.ACTIVE:
            return f"voted on until {format_time(self.deadline)}; {self.standing()}"
        return ""

    def standing(self) -> str:
        """How the votes are."""
        tally = self.tally
        decided = tally.in_favour + tally.against
        share = tally.in_favour * 100 / decided if decided else 0.0
        heard = tally.cast * 100 / tally.quorum if tally.quorum else 0.0
        return f"{share:.1f}% approve of {VOTE_APPROVAL * 100 / BPS:g}% needed, {heard:.0f}% of the quorum voted"


def standing_of(governor: StakeGovernor, number: int) -> tuple[ProposalState, Tally, int, int]:
    """State, tally, snapshot and deadline of a proposal; raises RpcError."""
    return governor.state(number), governor.votes(number), governor.snapshot(number), governor.deadline(number)


def short(number: int) -> str:
    """The first digits of a proposal's number, enough to name it."""
    return spelled(number)[:14]


def spelled(number: int) -> str:
    """A proposal's number in full: 216 bits in hex."""
    return f"0x{number:054x}"


def named(proposals: Iterable[Proposal], name: str, refused: Callable[[int], str]) -> Proposal:
    """The proposal whose number begins with ``name`` (0x-hex).

    Raises:
        NoProposalError: none does, several do, or the name is too short; ``refused`` words it for so many found.
    """
    wanted = name.lower() if name.lower().startswith("0x") else "0x" + name.lower()
    found = [one for one in proposals if spelled(one.id).startswith(wanted)]
    if len(found) != 1 or len(wanted) < len("0x") + 4:
        raise NoProposalError(refused(len(found)))
    return found[0]
