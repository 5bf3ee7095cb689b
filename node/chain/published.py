"""The terms of the vocabulary's versions, from the chain's log: the chain itself keeps one hash a version.

A proposal's event is the only place where the terms stand in full. Whoever opens a round of another version than the
one before supplies them again, and every node reads there what it trains.
"""

from __future__ import annotations

from node.chain.contracts import Contracts
from node.chain.events import Activated, ChangeProposed
from node.chain.types import Change, Terms
from node.errors import ContractsError

_EVENTS = "Check that `rpc_url` serves events from the deployment's block on."


class Published:
    """Changes by the number of the version that they made. Read anew at every question: a chain that was reorganised
    needs no more than that. Every method may raise RpcError."""

    def __init__(self, contracts: Contracts, first_block: int) -> None:
        self._contracts, self._first = contracts, first_block

    def changes(self) -> dict[int, Change]:
        """What each activated version changed, in the order of activation.

        Raises:
            ContractsError: no event has the terms of a version.
        """
        newest = self._contracts.client.block().number
        activated = list(self._contracts.vocabulary.events(self._first, newest, Activated))
        proposed = self._contracts.governor.events(self._first, newest, ChangeProposed) if activated else ()
        by_hash = {one.of(0).terms.hash(): one for one in proposed if isinstance(one, ChangeProposed)}
        found: dict[int, Change] = {}
        for event in activated:
            if isinstance(event, Activated):
                if event.terms not in by_hash:
                    what = f"The terms of version {event.version} of the vocabulary are in no event"
                    raise ContractsError(f"{what}: their hash is 0x{event.terms.hex()}.", _EVENTS)
                found[event.version] = by_hash[event.terms].of(event.parent)
        return found

    def terms(self, version: int) -> Terms:
        """The terms of a version; errors as for `changes`, and for a version that there is not."""
        return self._terms(version, self.changes() if version else {})

    def of_round(self, current: int, target: int) -> tuple[bytes, bytes]:
        """Program hash and data root of a round from `current` to `target` (equal: of an ordinary round).

        Raises:
            ContractsError: as for `terms`, or no single step leads from one to the other.
        """
        changes = self.changes() if current or target else {}
        here, there = self._terms(current, changes), self._terms(target, changes)
        if current == target:
            return here.program_hash, here.data_root
        if target and changes[target].parent == current:
            return there.grow_hash, here.data_root
        if current and changes[current].parent == target:
            return here.shrink_hash, here.data_root
        raise ContractsError(f"No single step leads from version {current} to version {target}.", _EVENTS)

    def _terms(self, version: int, changes: dict[int, Change]) -> Terms:
        if version == 0:
            deployed = self._contracts.registry.parameters()
            return Terms.first(deployed.program_hash, deployed.data_root)
        if version not in changes:
            raise ContractsError(
                f"The chain runs version {version} of the vocabulary, but no event of it was found.", _EVENTS
            )
        return changes[version].terms
