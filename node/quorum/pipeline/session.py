"""A round through the pipeline: from the newest common checkpoint to its last step, durable at every segment."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from torch import Tensor

from consensus.commitments.tensors import state_root
from consensus.errors import ConsensusError
from consensus.pipeline.boundary import StageRecord
from consensus.training.step import TrainState
from economics.cohort import segment_length
from node.errors import PonwError
from node.net.wire.common_pb2 import Refusal, Versions
from node.quorum.pipeline.errors import PipelineError
from node.quorum.pipeline.frames import Expected
from node.quorum.pipeline.handshake import Terms, agree
from node.quorum.pipeline.link import Link, Timeouts
from node.quorum.pipeline.member import Member
from node.quorum.pipeline.place import Place
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.storage.errors import TensorFileError

_REASON_BYTES = 500


@dataclass(frozen=True)
class Ends:
    """A member's links to its neighbours. As a context it closes them, telling the neighbours what went wrong."""

    left: Link | None
    right: Link | None

    @classmethod
    def over(
        cls,
        place: Place,
        sockets: tuple[socket.socket | None, socket.socket | None],
        versions: Versions,
        number: int,
        timeouts: Timeouts,
    ) -> Self:
        """Links over connected sockets (left, right) for one round; the links own the sockets from here on."""
        made: list[Link | None] = []
        for sock, from_left in zip(sockets, (True, False), strict=True):
            peer = f"stage {place.at - 1 if from_left else place.at + 1}"
            expected = Expected(versions, number, place.config, peer, from_left)
            made.append(None if sock is None else Link(sock, expected, len(place.stages), timeouts))
        return cls(*made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        refusal = None if error is None else _refusal(error)
        for link in (self.left, self.right):
            if link is not None:
                link.close(refusal)


@dataclass(frozen=True)
class Plan:
    """A member's round. `weights` gives the stage's start, called only where no checkpoint serves; `batch` gives a
    step's tokens int32 [batch, seq_len + 1] and is asked at both ends of the pipeline only."""

    terms: Terms
    weights: Callable[[], dict[str, Tensor]]
    batch: Callable[[int], Tensor]


class Session:
    """One member's run of one round over open links."""

    def __init__(
        self, member: Member, ends: Ends, plan: Plan, store: CheckpointStore, hello_timeout: float = Timeouts.hello
    ) -> None:
        self.member, self._ends, self._plan, self._store = member, ends, plan, store
        self._hello = hello_timeout

    def run(self, recorded: int, on_step: Callable[[TrainState, StageRecord], None]) -> TrainState:
        """Train to the end of the round; the state returned is this stage's, and on disk.

        `recorded`: how many leaves of this round the caller has on record; checkpoints beyond are not used. `on_step`
        gets, after each step, this stage's state and what the member commits to.

        Raises:
            PipelineError: a neighbour failed or sent what breaks the session's rules. Run again over new links.
            TensorFileError: the checkpoint chosen was damaged; it is removed, so the next run starts from an older one.
            DivergedError (consensus): a weight left the finite range.
        """
        terms, settlement = self._plan.terms, self.member.settlement
        offered = [step for number, step in self._store.saved() if number == terms.round and step <= recorded]
        start = agree(self.member.place, terms, self._ends.left, self._ends.right, offered[::-1], self._hello)
        state = self._load(start)
        settlement.known = start
        every = segment_length(terms.stop)
        while state.step < terms.stop:
            tokens = self._plan.batch(state.step) if None in (self._ends.left, self._ends.right) else None
            record = self.member.step(state, tokens)
            if state.step % every == 0 or state.step == terms.stop:
                settlement.settle(state.step)
                self._save(state)
            on_step(state, record)
        return state

    def _load(self, step: int) -> TrainState:
        if step == 0:
            return self.member.trainer.start_state(self._plan.weights())
        path = self._store.path(self._plan.terms.round, step)
        try:
            groups = self._store.load(path).groups
        except TensorFileError:
            path.unlink(missing_ok=True)
            raise
        return TrainState(dict(groups["weights"]), dict(groups["m"]), dict(groups["v"]), step)

    def _save(self, state: TrainState) -> None:
        number = self._plan.terms.round
        if (number, state.step) not in self._store.saved():
            groups = {"weights": state.weights, "m": state.m, "v": state.v}
            root = state_root(state.weights, state.m, state.v)
            self._store.save(Checkpoint(number, state.step, root, groups))


def _refusal(error: BaseException) -> Refusal:
    """What the neighbours are told; a failure of this machine's own stays its own business."""
    if isinstance(error, PipelineError):
        return Refusal(code=error.refusal, reason=_cut(error.message))
    if isinstance(error, PonwError | ConsensusError):
        return Refusal(reason=_cut(error.message))
    return Refusal(reason="The member stopped.")


def _cut(text: str) -> str:
    return text.encode()[:_REASON_BYTES].decode(errors="ignore")
