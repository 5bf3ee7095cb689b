"""A round with helpers: their work where it comes in time, and the node's own whatever goes wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from consensus.training.outer import GlobalState
from node.logs import get_logger
from node.training.helping import HelpError, Helpers, Progress, take_over
from node.training.inner import InnerLoop, RoundWork
from node.training.work import Workshop

log = get_logger("helped")


class Disk(Protocol):
    """What trains and keeps a round's steps."""

    @property
    def inner(self) -> InnerLoop: ...

    @property
    def workshop(self) -> Workshop: ...


def may_train(
    helpers: Helpers | None,
    disk: Disk,
    work: RoundWork,
    start: Callable[[], tuple[GlobalState, bytes]],
    has_time: bool,
) -> bool:
    """Whether training goes on from this node's disk: helpers have brought the round, or there are none, or they did
    not in time. False: the node waits for them. ``start``: the state that the round starts from, and its root on chain.

    Raises:
        LeafConflictError, DiskError, DatabaseError.
    """
    if helpers is None or disk.inner.leaves(work.round):
        return True
    try:
        helpers.offer(work, *start())
        progress = helpers.progress(work.round)
        if progress is Progress.WAITING and has_time:
            return False
        if progress is Progress.WAITING:
            helpers.withdraw(work.round)
        found = helpers.result(work) if progress is Progress.DONE else None
        if found is not None and not take_over(disk.inner, disk.workshop, work, found):
            helpers.doubt(work.round)
    except HelpError as error:
        log.warning("training without volunteers", round=work.round, reason=error.message)
    return True


def tell_claimed(helpers: Helpers | None, number: int, claim: bytes, tx: bytes | None) -> None:
    """Note that a round's work stands on chain."""
    if helpers is None:
        return
    try:
        helpers.claimed(number, claim, tx)
    except HelpError as error:
        log.warning("the volunteers' part in the claim is not on record yet", reason=error.message)
