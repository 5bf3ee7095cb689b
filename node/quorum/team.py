"""One member's part in a quorum's session: links to its neighbours round by round, its stage, and what it serves."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_any,
    wait_fixed,
)
from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf
from consensus.model.config import ModelConfig
from consensus.training.optimizer import AdamW
from economics.cohort import segment_length
from node.errors import PeerError, PonwError
from node.logs import get_logger
from node.net.frames import FrameError as WireError
from node.net.hotkey import peer_text
from node.quorum import assembly
from node.quorum.agreement import Dialer
from node.quorum.doors import Doors
from node.quorum.errors import GivenUpError, QuorumError
from node.quorum.pipeline.errors import BoundaryHashError, FrameError
from node.quorum.pipeline.handshake import Terms
from node.quorum.pipeline.link import Timeouts
from node.quorum.pipeline.member import Member
from node.quorum.pipeline.place import Place
from node.quorum.pipeline.session import Ends, Session
from node.quorum.pipeline.session import Plan as RoundPlan
from node.quorum.plan import Plan
from node.storage.checkpoints import Checkpoint, CheckpointStore

log = get_logger("team")
PROTOCOL: Final = "/ponw/pipeline/1"
LINK_SECONDS: Final = 30.0
"""For a neighbour's stream to come up at the start of a round."""
FOLDER_MARK: Final = "quorum-"
REDIAL_SECONDS: Final = 0.5
TRIES: Final = 5
"""Times that a round is begun over new links before the quorum gives it up."""


@dataclass(frozen=True)
class TeamRound:
    """A round's work. `weights`: the whole global weights, or this member's part of them; `batch`: tokens of a step."""

    number: int
    start_root: bytes
    weights: Callable[[], Mapping[str, Tensor]]
    batch: Callable[[int], Tensor]


@dataclass(frozen=True)
class Around:
    """What a team works with: the peer network, and the doors that its neighbours come through."""

    dialer: Dialer
    doors: Doors
    timeouts: Timeouts = field(default_factory=Timeouts)
    link_seconds: float = LINK_SECONDS
    blame: Callable[[str, str], None] = lambda peer, why: None
    """Told (peer, why) of malformed bytes."""


class Team:
    """A member's side of one quorum. Used by the training thread; `serve` by whichever thread takes streams.

    Raises PlanError where the seats are not the model's stages, and QuorumError where this account has none.
    """

    def __init__(
        self,
        plan: Plan,
        me: bytes,
        config: ModelConfig,
        engine: Engine,
        around: Around,
        folder: Path,
        session: int = 0,
        optimizer: AdamW | None = None,
    ) -> None:
        """`session`: its number on chain, 0 without one; `optimizer`: other than what claims are judged by."""
        seat = plan.seat_of(me)
        if seat is None:
            raise QuorumError("This node has no seat in the quorum.")
        self.plan, self._me, self._around, self._engine = plan, me, around, engine
        self.session = session
        self.place = Place(config, plan.stages(config), seat, optimizer or AdamW())
        self._versions = plan.versions()
        self.trained = 0
        """The last round whose work is done here."""
        self._folder = self.folder_of(folder, plan)
        self._store = CheckpointStore(self._folder / "stage", self.place.stage.shapes(config), state_root)

    @staticmethod
    def folder_of(folder: Path, plan: Plan) -> Path:
        """Where a quorum's stages are kept, below `folder`."""
        return folder / f"{FOLDER_MARK}{plan.id.hex()[:16]}"

    @property
    def leads(self) -> bool:
        """Whether this member posts the quorum's claims."""
        return self.plan.leader == self._me

    @property
    def words(self) -> str:
        """This member's part, to be shown."""
        stage, ends = self.place.stage, []
        if stage.has_embedding:
            ends.append("embedding")
        if stage.has_head:
            ends.append("head")
        last = stage.first + stage.count - 1
        layers = f"layer {last}" if stage.count == 1 else f"layers {stage.first} to {last}"
        return f"{' and '.join([layers, *ends])} for quorum {self.plan.id.hex()[:8]}"

    def is_leader(self, peer: str) -> bool:
        """Whether a peer (base58) is the leader's."""
        seat = self.plan.seat_of(self.plan.leader)
        return seat is not None and peer == peer_text(self.plan.peers[seat])

    def train(self, work: TeamRound, leaves: list[StepLeaf], on_leaf: Callable[[StepLeaf], None]) -> None:
        """This member's stage of a round, to its last step. `leaves`: on record; `on_leaf` gets every further one.

        A broken link is made anew up to TRIES times, from the newest common checkpoint; the bits are the same. After
        `link_seconds` without success no further try begins, so a member that is gone for good ends the quorum.

        Raises:
            GivenUpError: what `on_leaf` raised to stop. PeerError: the quorum does not come together again. What is on
            disk stands.
            DivergedError (consensus), DiskError.
        """
        self._store.drop_before(work.number - 1)  # the leader may still be fetching the last round's
        known = len(leaves)

        def take(leaf: StepLeaf) -> None:
            nonlocal known
            if leaf.step >= known:
                known = leaf.step + 1
                on_leaf(leaf)

        again = Retrying(
            stop=stop_any(stop_after_attempt(TRIES), stop_after_delay(self._around.link_seconds)),
            wait=wait_fixed(REDIAL_SECONDS),
            retry=retry_if_exception(
                lambda error: isinstance(error, PeerError) and not isinstance(error, GivenUpError)
            ),
            before_sleep=_told,
            reraise=True,
        )
        again(lambda: self._attempt(work, known, take))

    def assemble(self, number: int, leaves: list[StepLeaf], into: CheckpointStore) -> None:
        """For the leader: whole checkpoints of a trained round, at every segment's start but the first and the end.

        Raises:
            PeerError: a member does not give its part, or gives a wrong one. TensorFileError, DiskError.
        """
        fetched = self._folder / "fetched"
        parts = [self._part(seat, number, fetched / str(seat)) for seat in range(len(self.place.stages))]
        every, stop = segment_length(self.plan.steps), self.plan.steps
        roots = {s: leaves[s - 1].state_root for s in range(1, stop + 1) if s % every == 0 or s == stop}
        assembly.join(parts, self.place.stages, self.place.config.shapes(), roots, into)
        assembly.clear(fetched)

    def trained_stage(self, number: int) -> Checkpoint:
        """This member's stage after the last step of a trained round.

        Raises:
            TensorFileError, FileNotFoundError: it is damaged, or was not trained here. DiskError.
        """
        return self._store.load(self._store.path(number, self.plan.steps))

    def serve(self, stream: socket.socket, peer: str) -> None:
        """Give the leader this stage's checkpoints over a stream that it opened; the stream is closed afterwards."""
        with closing(stream):
            if not self.is_leader(peer):
                log.info("a stranger asked for a stage", peer=peer)
                return
            try:
                assembly.serve_stages(stream, peer, self._versions, self._store)
            except WireError as error:
                self._around.blame(peer, error.message)
            except PonwError as error:
                log.info("serving a stage broke off", peer=peer, reason=error.message)

    def _attempt(self, work: TeamRound, known: int, on_leaf: Callable[[StepLeaf], None]) -> None:
        place = self.place
        terms = Terms(work.number, work.start_root, self.plan.steps)
        names = place.stage.shapes(place.config)
        plan = RoundPlan(terms, lambda: {name: work.weights()[name] for name in names}, work.batch)
        with Ends.over(place, self._sockets(work.number), self._versions, work.number, self._around.timeouts) as ends:
            member = Member(place, self._engine, ends.left, ends.right, work.number, on_leaf)
            session = Session(member, ends, plan, self._store, self._around.timeouts.hello)
            try:
                session.run(known, lambda state, record: None)
            finally:
                self._judge(ends)

    def _judge(self, ends: Ends) -> None:
        """Put on record which neighbour broke the protocol, where one did."""
        for link, seat in ((ends.left, self.place.at - 1), (ends.right, self.place.at + 1)):
            if link is not None and isinstance(link.error, FrameError | BoundaryHashError):
                self._around.blame(peer_text(self.plan.peers[seat]), link.error.message)

    def _sockets(self, number: int) -> tuple[socket.socket | None, socket.socket | None]:
        """Streams to the neighbours (left, right) for a round. Everyone opens its right one first, so nobody waits in a
        circle; it begins with quorum and round, so that none of before is taken for it."""
        knock = self.plan.id + number.to_bytes(8, "big")
        right = None if self.place.last else self._dial(self.place.at + 1, PROTOCOL)
        try:
            if right is not None:
                right.sendall(knock)
            if self.place.at == 0:
                return None, right
            return self._around.doors.take(
                peer_text(self.plan.peers[self.place.at - 1]), knock, self._around.link_seconds
            ), right
        except (QuorumError, OSError) as error:
            if right is not None:
                right.close()
            if isinstance(error, QuorumError):
                raise
            raise QuorumError(f"The right neighbour hung up: {error}.", "It may have left the quorum.") from error

    def _part(self, seat: int, number: int, folder: Path) -> assembly.Part:
        if seat == self.place.at:
            return {step: self._store.path(n, step) for n, step in self._store.saved() if n == number}
        shapes = self.place.stages[seat].shapes(self.place.config)
        peer = peer_text(self.plan.peers[seat])
        with closing(self._dial(seat, assembly.PROTOCOL)) as stream:
            return assembly.fetch_stages(stream, peer, self._versions, number, shapes, folder)

    def _dial(self, seat: int, protocol: str) -> socket.socket:
        """A stream to a member, for which it has LINK_SECONDS; it may have to come back first."""
        peer = peer_text(self.plan.peers[seat])
        again = Retrying(
            stop=stop_after_delay(self._around.link_seconds),
            wait=wait_fixed(REDIAL_SECONDS),
            retry=retry_if_exception_type(PonwError),
            reraise=True,
        )
        try:
            return again(self._around.dialer.dial, peer, protocol, self._around.link_seconds)
        except PonwError as error:
            raise QuorumError(f"{peer}: {error.message}", "The quorum replaces it or ends.") from error


def _told(state: RetryCallState) -> None:
    failure = None if state.outcome is None else state.outcome.exception()
    log.warning("the quorum takes the round up again", attempt=state.attempt_number, reason=str(failure))
