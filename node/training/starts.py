"""The states that claims' work began from: of the round at hand, and of earlier ones where a claim is late."""

from __future__ import annotations

from consensus.training.outer import GlobalState
from node.storage.tensorfile import Shapes
from node.training.ledger import ClaimView, RoundView
from node.training.states import GlobalStates


def have_start(states: GlobalStates, view: RoundView, claim: ClaimView, shapes: Shapes, me: str = "") -> GlobalState:
    """The state that a claim's work began from: this node's own, else from whoever serves it but `me`.

    Raises:
        StateUnavailableError: nobody does. DiskError: this machine's disk.
    """
    start = view.start_of(claim.claim)
    state = states.own(start.number, start.root, shapes)
    if state is not None:
        return state
    peers = [uri for node, uri in view.uris.items() if node != me]
    if not claim.claim.is_late:
        return states.fetch(start.number, start.root, peers, shapes)
    prover = [view.uris[claim.node]] if claim.node in view.uris else []
    return states.fetch_base(start.number, start.root, view.number, prover, peers, shapes)
