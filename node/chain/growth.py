"""Votes on growths of layers, and what follows them, with typed calls as in node.chain.contracts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from web3.types import TxReceipt

from node.chain import events
from node.chain.governance import VersionGovernor, proposals, uri_hash
from node.chain.types import Change, Proposal


@dataclass(frozen=True)
class Plan:
    """Where a growth's announcement stands; `deadline` is 0 before it is announced."""

    layers: int
    grown: int
    deadline: int
    extensions: int
    aborted: bool


class GrowthGovernor(VersionGovernor):
    """Growths of layers: proposed, voted on, announced, decided."""

    name = "GrowthGovernor"

    def threshold(self) -> int:
        """Votes in wei of stake that an account needs to propose."""
        return int(self._view("proposalThreshold"))

    def plan_of(self, proposal: int) -> Plan:
        """Where its announcement stands; all zero where there is no such proposal."""
        return Plan(*self._view("planOf", proposal))

    def replicas(self) -> int:
        """Holders that every layer needs now."""
        return int(self._view("replicas"))

    def lacking(self, proposal: int) -> int:
        """The first new layer that lacks holders, or one of tier 3 or faster; 0 where none does."""
        return int(self._view("lacking", proposal))

    def propose(self, change: Change, uri: str) -> TxReceipt:
        """Propose a growth of the current version."""
        return self._send("propose a growth of layers", "proposeGrowth", change, uri)

    def pledge(self, proposal: int, first: int, count: int, tier: int) -> TxReceipt:
        """Say that the account holds, or is ready to hold, these new layers."""
        purpose = f"pledge to hold layers {first} to {first + count - 1}"
        return self._send(purpose, "pledge", proposal, first, count, tier)

    def announce(self, proposal: Proposal) -> TxReceipt:
        """Announce a growth whose vote has passed."""
        return self._send(f"announce growth {proposal.id}", "announce", proposal.motion, uri_hash(proposal.uri))

    def decide(self, proposal: Proposal) -> TxReceipt:
        """After the deadline: activate a growth, put it off, or end it."""
        return self._send(f"decide growth {proposal.id}", "decide", proposal.motion, uri_hash(proposal.uri))

    def proposals(self, first: int, last: int) -> Iterator[Proposal]:
        """Every growth proposed in blocks `first` to `last` inclusive, in order; raises RpcError."""
        yield from proposals(self.events(first, last, events.ProposalCreated, events.GrowthProposed))
