"""What the commands about growths of layers share: a growth made, checked and told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import typer

from economics.cohort import inner_steps
from economics.units import Seconds, Steps
from governance.announcement import Announcement
from node.chain.contracts import Contracts
from node.chain.types import Change
from node.cli.session import signing_contracts
from node.cli.versions_desk import VersionReader, print_checks, tell
from node.modes.sources import FileSource
from node.vocabulary.deepening import DepthDesk
from node.vocabulary.depths import DepthBallot, find, growths, look
from node.vocabulary.errors import ProposalRefusedError
from node.vocabulary.observing import lacking
from node.vocabulary.votes import short, spelled

LEAST_ROUND_STEPS = Steps(4)
"""Fewer make more rounds with young layers than the chain counts."""


class DepthReader(VersionReader):
    """With a desk over this machine's own programs."""

    @cached_property
    def desk(self) -> DepthDesk:
        """Captures programs."""
        return DepthDesk(self.shop, self.history, tell)

    def find(self, name: str) -> DepthBallot:
        """A growth by its first digits; raises NoProposalError."""
        return find(self.contracts, self.first, name)

    def signing(self, password_file: Path | None, yes: bool) -> Contracts:
        """The contracts under the operator's key."""
        return signing_contracts(self.settings, password_file, yes)

    def told(self, ballot: DepthBallot) -> str:
        """Where a growth stands now, in a sentence."""
        now = look(self.contracts, ballot.proposal)
        return f"Growth {short(now.proposal.id)} to {now.plan.grown} layers: {now.words()}; {now.holders()}."

    def drafted(self, add: int, round_steps: int | None) -> Change:
        """A growth by ``add`` layers, announced at the newest block; errors as for ``DepthDesk.draft``."""
        registry, parent = self.contracts.registry, self.contracts.vocabulary.state()[1]
        before = self.history[parent].config(self.desk.base.config).layers
        number = sum(1 for _ in growths(self.contracts, self.first)) + 1
        time = Seconds(self.contracts.client.block().timestamp)
        if round_steps is None:
            newest = registry.current_round()
            finals = registry.round_of(newest - 1).finals if newest > 1 else 0
            round_steps = max(LEAST_ROUND_STEPS, self.settings.round_steps or inner_steps(max(1, finals)))
        return self.desk.draft(Announcement(number, parent, before, before + add, time), Steps(round_steps))

    def put_forward(self, contracts: Contracts, change: Change, uri: str) -> str:
        """Propose; where it stands then."""
        contracts.growth.propose(change, uri)
        number = contracts.growth.id_of(change, contracts.client.address, uri)
        return self.told(self.find(spelled(number)))

    def require(self, change: Change) -> None:
        """Run every check, a line each. Raises ProposalRefusedError where one failed.

        What the network carries is this node's own observation, and another's may differ: it refuses nothing.
        """
        found = print_checks(self.desk.checks(change))
        if found:
            raise ProposalRefusedError(found, "Vote against it; docs/GROWTH.md has the rules.")
        self._observe(change)

    def lines(self, open_only: bool = False) -> Iterator[str]:
        """The depth of the newest round and every growth, or those that are under way."""
        layers, leads, young = self.contracts.vocabulary.depth()
        grows = f", its outer step leads to {leads}" if leads != layers else ""
        left = f"; new layers are young for {young} rounds more" if young else ""
        if not open_only or grows or left:
            yield f"The newest round trains {layers} layers{grows}{left}."
        for ballot in growths(self.contracts, self.first):
            if ballot.open or not open_only:
                yield self.told(ballot)

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        layers, leads, young = self.contracts.vocabulary.depth()
        rows = [
            {
                "id": spelled(one.proposal.id),
                "proposer": one.proposal.proposer,
                "parent": one.proposal.change.parent,
                "uri": one.proposal.uri,
                "state": one.state.name.lower(),
                "words": one.words(),
                "before": one.plan.layers,
                "after": one.plan.grown,
                "decided_from": one.plan.deadline,
                "extensions": one.plan.extensions,
                "lacking": one.lacking,
                "replicas": one.replicas,
                "approve_wei": one.tally.in_favour,
                "reject_wei": one.tally.against,
                "quorum_wei": one.tally.quorum,
            }
            for one in growths(self.contracts, self.first)
        ]
        return {"layers": layers, "leads": leads, "young": young, "growths": rows}

    def _observe(self, change: Change) -> None:
        view = FileSource(self.settings.home).view()
        if view is None:
            typer.echo("      not looked at: no node of this home has seen the network that is to carry it")
            return
        config = self.history[change.parent].config(self.desk.base.config)
        for reason in lacking(self.contracts, self.first, view, config, change):
            typer.echo(f"note  {reason}")
