"""The versions that the chain has activated."""

from __future__ import annotations

from consensus.errors import GrowthError, VocabularyError
from economics.units import Seconds, Steps
from governance.activation import Deeper, History
from governance.announcement import Announcement
from governance.versions import decode_merges
from node.chain.contracts import Contracts
from node.chain.published import Published
from node.chain.types import Deepening
from node.vocabulary.errors import OtherVersionError


class Versions:
    """Rebuilds the history from the chain's events, all of them at every new version: a chain that was reorganised, or
    a node that comes late, needs no more than that. Used by one thread."""

    def __init__(self, contracts: Contracts, first_block: int) -> None:
        self._published = Published(contracts, first_block)
        self._history = History()

    def upto(self, number: int) -> History:
        """The history, with this version in it.

        Raises:
            ContractsError: no event has the terms of a version. OtherVersionError: they make no version.
        """
        if number >= len(self._history):
            self._history = self.read()
        if number >= len(self._history):
            raise OtherVersionError(
                f"The chain runs version {number} of the vocabulary, but no event of it was found.",
                "Check that `rpc_url` serves events from the deployment's block on.",
            )
        return self._history

    def read(self) -> History:
        """The whole history as it stands on chain; errors as for `upto`."""
        history = History()
        for number, change in self._published.changes().items():
            try:
                if (deepening := change.deepening) is not None:
                    history.deepen(number, change.parent, deeper_of(change.parent, deepening))
                else:
                    history.add(number, change.parent, [merge.pair for merge in decode_merges(change.merges)])
            except (VocabularyError, GrowthError) as error:
                raise OtherVersionError(error.message, error.hint or "Update ponw; do not go on.") from error
        return history


def deeper_of(parent: int, deepening: Deepening) -> Deeper:
    """A growth as the consensus rule has it; raises GrowthError (consensus) where it is none."""
    time = Seconds(deepening.time)
    growth = Announcement(deepening.number, parent, deepening.layers, deepening.grown, time)
    return Deeper(growth, Steps(deepening.round_steps))


def depths(contracts: Contracts, first: int) -> dict[int, tuple[int, int]]:
    """Layers before and afterwards of each version that is a growth of layers; every other changes the vocabulary.

    Raises ContractsError where no event since block ``first`` has the terms of a version.
    """
    changes = Published(contracts, first).changes()
    growths = {number: change.deepening for number, change in changes.items()}
    return {number: (growth.layers, growth.grown) for number, growth in growths.items() if growth is not None}
