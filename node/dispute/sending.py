"""What the players of every kind of dispute send."""

from __future__ import annotations

from collections.abc import Callable

from consensus.commitments.trace import Trace
from node.chain.types import Opening
from node.errors import RevertError
from node.logs import get_logger

log = get_logger("dispute")


def opening(trace: Trace, step: int) -> Opening:
    """A leaf of a trace with its proof, as the contracts take it."""
    leaf = trace[step]
    return Opening(leaf.state_root, leaf.batch_root, leaf.loss_bits, tuple(trace.prove(step)))


def attempt(send: Callable[[], object], *over: str) -> bool:
    """Send a move; False where one of the errors in `over` says that the game went on without it.

    Raises:
        RevertError: refused for another reason. What ChainClient.send raises besides.
    """
    try:
        send()
    except RevertError as error:
        if error.name not in over:
            raise
        log.debug("the game went on without this move", error=error.name)
        return False
    return True
