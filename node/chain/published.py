"""The terms of the versions, from the chain's log: the chain itself keeps one hash a version.

A proposal's event is the only place where the terms stand in full. Whoever opens a round of another version than the
one before supplies them again, and every node reads there what it trains.
"""

from __future__ import annotations

from itertools import chain

from node.chain.contracts import Contracts
from node.chain.events import Activated, ChangeProposed, GrowthProposed
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
        by_hash = self._proposed(newest) if activated else {}
        found: dict[int, Change] = {}
        for event in activated:
            if isinstance(event, Activated):
                if event.terms not in by_hash:
                    what = f"The terms of version {event.version} of the vocabulary are in no event"
                    raise ContractsError(f"{what}: their hash is 0x{event.terms.hex()}.", _EVENTS)
                found[event.version] = by_hash[event.terms].of(event.parent)
        return found

    def change(self, version: int) -> Change | None:
        """What made a version; None for version 0. Errors as for `changes`, and for a version that there is not."""
        return self._made(version, self.changes()) if version else None

    def terms(self, version: int) -> Terms:
        """The terms of a version; errors as for `change`."""
        return self.terms_of(self.change(version))

    def terms_of(self, change: Change | None) -> Terms:
        """The terms of the version that a change makes; None: of version 0."""
        return self._first_terms() if change is None else change.terms

    def of_round(self, current: int, target: int, young: int = 0) -> tuple[bytes, bytes]:
        """Program hash and data root of a round from `current` to `target` (equal: of an ordinary round), with so many
        rounds with young layers left.

        Raises:
            ContractsError: as for `change`, or no single step leads from one to the other.
        """
        changes = self.changes() if current or target else {}
        here = self._made(current, changes) if current else None
        terms = self.terms_of(here)
        if current != target and target and changes[target].parent == current:
            return changes[target].grow_hash, terms.data_root
        if current != target and (here is None or here.parent != target):
            raise ContractsError(f"No single step leads from version {current} to version {target}.", _EVENTS)
        hashes = terms.program_hash, terms.shrink_hash
        if here is not None and here.deepening is not None and young:
            hashes = here.deepening.young[-young]
        return hashes[current != target], terms.data_root

    def _proposed(self, newest: int) -> dict[bytes, ChangeProposed]:
        words = self._contracts.governor.events(self._first, newest, ChangeProposed)
        depths = self._contracts.growth.events(self._first, newest, GrowthProposed)
        return {one.of(0).terms.hash(): one for one in chain(words, depths) if isinstance(one, ChangeProposed)}

    def _first_terms(self) -> Terms:
        deployed = self._contracts.registry.parameters()
        return Terms.first(deployed.program_hash, deployed.data_root)

    def _made(self, version: int, changes: dict[int, Change]) -> Change:
        if version not in changes:
            raise ContractsError(
                f"The chain runs version {version} of the vocabulary, but no event of it was found.", _EVENTS
            )
        return changes[version]
