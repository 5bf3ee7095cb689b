"""Work that may outlast its round: trained between what the rounds ask for, and claimed when it is done.

Which work is under way needs no record of its own: it is that of the newest checkpoint, unless its round is claimed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consensus.commitments.claim import ClaimKind
from consensus.commitments.trace import StepLeaf
from consensus.errors import DivergedError
from consensus.training.outer import GlobalState
from consensus.training.step import TrainState
from economics.constants import LATE_ROUNDS
from node.chain.types import Parameters, Phase, Round
from node.errors import RevertError
from node.logs import get_logger
from node.storage.tables import ClaimState as Recorded
from node.training.errors import StateUnavailableError
from node.training.inner import RoundWork
from node.training.ledger import RoundView, Start
from node.training.parts import Parts
from node.training.prover import claim_of
from node.training.work import Task

log = get_logger("late")
MOMENT_SHARE = 16
"""A moment of training is this part of a window, so that audits wait for no more; and at most MOMENT_SECONDS."""
MOMENT_SECONDS = 10
_NEXT_ROUND = ("WrongPhase", "RoundFull", "SlotBusy", "LostThisRound")
"""Errors of a claim that the next round may take."""
_VOID = ("WrongBase", "AlreadyClaimed")
"""Errors of a claim that no round takes any more."""


@dataclass(frozen=True)
class Around:
    """What late work needs of the round loop: the state that a round starts from, the inner steps wanted, the seconds
    until a claim has to be posted, who is told of steps, and the loop's clock in seconds."""

    state: Callable[[RoundView], GlobalState]
    steps: Callable[[RoundView], int]
    seconds_left: Callable[[RoundView], float]
    told: Callable[[StepLeaf], None]
    clock: Callable[[], float]


@dataclass
class _Work:
    """A piece of work and how far it is; `start` and `info` are of the round that it began in."""

    todo: RoundWork
    start: Start
    info: Round
    state: TrainState

    @property
    def is_done(self) -> bool:
        return self.state.step >= self.todo.steps


class LateWork:
    """One node's. `claim` is called in the training phase, `go_on` whenever nothing else is due."""

    def __init__(self, parts: Parts, around: Around, parameters: Parameters) -> None:
        self._p, self._around = parts, around
        self._me = parts.contracts.client.address
        self._moment = min(MOMENT_SECONDS, max(1, parameters.window // MOMENT_SHARE))
        self._work: _Work | None = None
        self._given_up = self._posted = self._refused = 0

    @property
    def under_way(self) -> bool:
        """Whether there is work that is not done."""
        return self._work is not None and not self._work.is_done

    def kept(self) -> set[int]:
        """The round whose start has to stay on disk for the work under way, also after a restart."""
        if self._work is not None:
            return {self._work.start.number}
        return {number for number, _ in self._p.inner.checkpoints.saved()[-1:]}

    def save(self) -> None:
        """Put the work under way on disk. Raises DiskError."""
        if self._work is not None:
            self._p.inner.save(self._work.todo, self._work.state)

    def claim(self, view: RoundView) -> None:
        """Claim the work in this round if it is done and there is time.

        Raises:
            What posting a claim raises. StateUnavailableError: the round's start is served by nobody.
            ClaimConflictError, LeafConflictError, DiskError, DatabaseError, TensorFileError.
        """
        p = self._p
        p.records.reclaim(view, p.chores)
        self._drop_planned(view)
        own = view.own(self._me, ClaimKind.TRAIN)
        if own is not None:
            p.prover.sent(own.claim)
            if self._work is not None and self._work.start.number <= own.claim.base:
                self._work = None
        work = self._look(view)
        if own is not None or work is None or not work.is_done or self._refused == view.number:
            if work is None:
                p.reporter.update(activity="waiting for the next round" if own is None else "claim posted")
            return
        if self._around.seconds_left(view) <= 0:
            p.reporter.update(activity="the work is done, waiting for the next round")
            return
        self._post(view, work)

    def go_on(self, view: RoundView) -> None:
        """Train for a moment; nothing happens where the work is done.

        Raises:
            LeafConflictError, DiskError, DatabaseError. StateUnavailableError: the round's start is served by nobody.
        """
        p, work = self._p, self._look(view)
        if work is None or work.is_done:
            return
        late = f"late work from round {work.start.number}" if work.start.number != view.number else "round"
        p.reporter.update(activity=f"training, {late}", step=work.state.step, steps=work.todo.steps)
        ends = self._around.clock() + self._moment
        try:
            p.inner.advance(work.todo, work.state, self._around.told, lambda: self._has_time(ends))
        except DivergedError as error:
            self._give_up(error.message)
            return
        if work.is_done:
            p.inner.save(work.todo, work.state)

    def _has_time(self, ends: float) -> bool:
        return not self._p.stop.is_set() and self._around.clock() < ends

    def _post(self, view: RoundView, work: _Work) -> None:
        p, late = self._p, work.start.number != view.number
        known = p.store.own_claim(view.number, ClaimKind.TRAIN)
        if known is not None and claim_of(known).base != work.start.number:
            return  # this round's one claim was planned for work that is given up; the next round takes this one
        self._around.state(view)
        p.reporter.update(activity="publishing")
        claim = p.prover.train_claim(view, work.todo, work.state.step, work.start)
        base_file = p.states.path(work.start.number) if late else None
        p.prover.publish(claim, work.todo, p.states.path(view.number), base_file)
        p.reporter.update(activity="posting the claim")
        try:
            p.contracts.registry.post(claim)
        except RevertError as error:
            if error.name in _VOID:
                p.prover.drop(view.number)
                self._give_up(error.message)
            elif error.name not in _NEXT_ROUND:
                raise
            self._refused = view.number
            return
        p.prover.sent(claim)
        if late:
            log.info("late work is claimed", round=view.number, base=claim.base, steps=claim.steps)
        self._posted, self._work = claim.base, None

    def _look(self, view: RoundView) -> _Work | None:
        """The work under way: what is on disk, else begun anew where the round allows it."""
        if self._work is not None and (why := self._void_by(self._work.start.number, self._work.info, view)):
            self._give_up(why)
        if self._work is None:
            own = view.own(self._me, ClaimKind.TRAIN)
            ended = self._p.contracts.registry.record_of(self._me).base
            after = max(ended, self._given_up, self._posted, 0 if own is None else own.claim.base)
            self._work = self._taken_up(view, after) or self._begun(view, after)
        return self._work

    def _void_by(self, number: int, info: Round, view: RoundView) -> str:
        """Why work that began in a round counts no more in this one; empty where it does."""
        now = view.info
        if view.number - number > LATE_ROUNDS:
            return f"no round takes work that began more than {LATE_ROUNDS} rounds before it; choose fewer steps"
        same = (info.version, info.target, info.layers) == (now.version, now.target, now.layers)
        if same and self._p.ledger.terms_of(info) == view.terms:
            return ""
        return "the network runs another version, depth or program now"

    def _taken_up(self, view: RoundView, after: int) -> _Work | None:
        """The work that is on disk, if its round is a later one than `after`."""
        number, trained = max(self._p.inner.checkpoints.saved(), default=(0, 0))
        if not after < number <= view.number:
            return None
        info = self._p.contracts.registry.round_of(number)
        if why := self._void_by(number, info, view):
            self._void(number, trained, why)
            return None
        try:
            return self._work_of(view, Start.of(number, info), info, trained)
        except StateUnavailableError as error:
            self._void(number, trained, error.message)
            return None

    def _begun(self, view: RoundView, after: int) -> _Work | None:
        if view.phase in (Phase.NONE, Phase.CLOSED) or view.number <= max(after, self._given_up):
            return None
        return self._work_of(view, view.start, view.info, 0)

    def _work_of(self, view: RoundView, start: Start, info: Round, trained: int) -> _Work:
        p = self._p
        task = Task(start.randomness, bytes.fromhex(self._me[2:]))
        todo = RoundWork(start.number, task, self._state(view, start).weights, max(self._around.steps(view), trained))
        kept = {self._posted, *(one.claim.base for one in view.trains if one.node == self._me)}
        return _Work(todo, start, info, p.inner.resume(todo, kept))

    def _state(self, view: RoundView, start: Start) -> GlobalState:
        if start.number == view.number:
            return self._around.state(view)
        p, shapes = self._p, self._p.workshop.config.shapes()
        peers = [uri for node, uri in view.uris.items() if node != self._me]
        return p.states.own(start.number, start.root, shapes) or p.states.fetch(start.number, start.root, peers, shapes)

    def _give_up(self, why: str) -> None:
        """The work counts no more; the next one begins in a later round."""
        if self._work is not None:
            self._void(self._work.start.number, self._work.state.step, why)
            self._work = None

    def _void(self, number: int, steps: int, why: str) -> None:
        log.warning("work is void; beginning anew", base=number, steps=steps, reason=why)
        self._p.reporter.update(activity=f"the work from round {number} is void, beginning anew: {why}")
        self._given_up = number
        self._p.inner.checkpoints.drop_before(number + 1, {self._posted})

    def _drop_planned(self, view: RoundView) -> None:
        """Claims of earlier rounds that were never posted: the work is claimed in this one instead."""
        for record in self._p.store.claims(own=True, states=[Recorded.PLANNED]):
            if record.round < view.number:
                self._p.prover.drop(record.round)
