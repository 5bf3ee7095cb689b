"""The versions that the chain has activated."""

from __future__ import annotations

from consensus.errors import VocabularyError
from governance.activation import History
from governance.versions import decode_merges
from node.chain import events
from node.chain.contracts import Contracts
from node.vocabulary.errors import OtherVersionError


class Versions:
    """Rebuilds the history from `Activated` events, all of them at every new version: a chain that was reorganised, or
    a node that comes late, needs no more than that. Used by one thread."""

    def __init__(self, contracts: Contracts, first_block: int) -> None:
        self._contracts, self._first = contracts, first_block
        self._history = History()

    def upto(self, number: int) -> History:
        """The history, with this version in it.

        Raises:
            OtherVersionError: an event does not follow, or its merges have another root than the chain's.
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
        newest = self._contracts.client.block().number
        for event in self._contracts.vocabulary.events(self._first, newest):
            if isinstance(event, events.Activated):
                self._add(history, event)
        return history

    def _add(self, history: History, event: events.Activated) -> None:
        try:
            pairs = [merge.pair for merge in decode_merges(event.merges)]
            history.add(event.version, event.parent, event.root, pairs)
        except VocabularyError as error:
            raise OtherVersionError(error.message, error.hint or "Update ponw; do not go on.") from error
