"""A round's steps trained by others for this node: whoever they are, what they bring is checked before it counts."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from torch import Tensor

from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf
from consensus.training.outer import GlobalState
from consensus.training.step import TrainState
from economics.cohort import segment_length
from node.errors import PonwError
from node.logs import get_logger
from node.storage.checkpoints import Checkpoint
from node.training.inner import InnerLoop, RoundWork
from node.training.work import Workshop

log = get_logger("helping")
Groups = Mapping[str, Mapping[str, Tensor]]
"""Weights, m and v by name."""


class Progress(Enum):
    """How the work of a round stands with its helpers."""

    WAITING = auto()
    DONE = auto()
    FAILED = auto()


@dataclass(frozen=True)
class Delivered:
    """Every leaf of a round, and the whole states after the steps that `states_due` names."""

    leaves: list[StepLeaf]
    states: Mapping[int, Groups]


class HelpError(PonwError):
    """Helpers cannot be reached; the node trains alone."""


class Helpers(Protocol):
    """Who trains rounds for this node: the volunteers of its gateway. All calls are safe to repeat, and raise nothing
    but HelpError."""

    def offer(self, work: RoundWork, start: GlobalState, root: bytes) -> None:
        """Put a round's work out. `root`: the chain's, of the state that it starts from."""

    def progress(self, number: int) -> Progress:
        """Of the work of a round that was offered."""

    def result(self, work: RoundWork) -> Delivered | None:
        """What was brought; None where a part of it is missing or does not fit."""

    def withdraw(self, number: int) -> None:
        """Nobody needs to train this round's work any more."""

    def doubt(self, number: int) -> None:
        """What was brought for a round is wrong: find out whose fault it is."""

    def claimed(self, number: int, claim_hash: bytes, tx: bytes | None) -> None:
        """The work of a round stands on chain; nothing happens where it is not the helpers'."""


def states_due(steps: int) -> list[int]:
    """After which steps a claim needs the whole state: where its audited segments but the first begin, and its end."""
    every = segment_length(steps)
    return sorted({*range(every, steps, every), steps})


def take_over(inner: InnerLoop, shop: Workshop, work: RoundWork, found: Delivered) -> bool:
    """Put what helpers brought on disk, as if this node had trained it; False where it is not what the work gives.

    The states' roots must be those in the leaves, and one segment, which nobody can foresee, is trained again. Leaves
    go first, then states in their order: whatever stops this, training goes on from what is there.

    Raises:
        LeafConflictError, DiskError, DatabaseError.
    """
    for step, groups in found.states.items():
        if state_root(groups["weights"], groups["m"], groups["v"]) != found.leaves[step - 1].state_root:
            return False
    if not _is_true(shop, work, found, _drawn(work.steps)):
        return False
    inner.begin(work)
    for leaf in found.leaves:
        inner.record(work.round, leaf)
    for step in sorted(found.states):
        root = found.leaves[step - 1].state_root
        held = {group: dict(tensors) for group, tensors in found.states[step].items()}
        if (work.round, step) not in inner.checkpoints.saved():
            inner.checkpoints.save(Checkpoint(work.round, step, root, held))
    return True


def _drawn(steps: int) -> int:
    """Where the segment begins that is trained again."""
    every = segment_length(steps)
    return secrets.choice(range(0, steps, every))


def _is_true(shop: Workshop, work: RoundWork, found: Delivered, start: int) -> bool:
    state = TrainState.start(work.weights)
    if start:
        held = found.states[start]
        state = TrainState(dict(held["weights"]), dict(held["m"]), dict(held["v"]), start).clone()
    stop = min(start + segment_length(work.steps), work.steps)
    for leaf in shop.steps(state, work.task, stop):
        if leaf != found.leaves[leaf.step]:
            log.warning("helpers brought a step that is not true", round=work.round, step=leaf.step)
            return False
    return True
