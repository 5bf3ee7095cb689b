"""The quorums that this node is in: which one a round belongs to, and who serves its stages."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from consensus.arithmetic.engine import Engine
from consensus.model.config import ModelConfig
from consensus.training.optimizer import AdamW
from node.chain.types import Round
from node.errors import PonwError
from node.logs import get_logger
from node.net.hotkey import peer_text
from node.quorum.bound import KEPT, Binding, Bindings
from node.quorum.plan import Plan
from node.quorum.team import FOLDER_MARK, Around, Team

log = get_logger("teams")


class Works(Protocol):
    """What a round runs: a model on an engine."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def engine(self) -> Engine: ...


@dataclass
class Teams:
    """One quorum at a time, and the one before for as long as its parts may be asked for.

    What it knows is on disk in `folder`, and is taken up again by the next process. Threads may share it.
    """

    me: bytes
    around: Around
    folder: Path
    busy: bool = False
    """Whether a round of a quorum is being trained now."""
    proposing: bool = False
    """Whether a session may begin on chain that is not known here yet."""
    optimizer: AdamW | None = None
    """Of a network without claims, where it is not the one that claims are judged by."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _bound: Bindings = field(init=False)
    _made: list[Team] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._bound = Bindings.load(self.folder)
        if self.binding is None:
            # Neighbours of a quorum that this node knows nothing of learn it at once.
            self.around.doors.shut()

    @property
    def binding(self) -> Binding | None:
        """The session that this node is bound to."""
        with self._lock:
            newest = self._bound.all[-1] if self._bound.all else None
            return None if newest is None or newest.left else newest

    def expecting(self) -> None:
        """A quorum may start soon, at its neighbours sooner than here: let them in."""
        self.around.doors.open()

    @property
    def plan(self) -> Plan | None:
        """The quorum that this node is bound to."""
        binding = self.binding
        return None if binding is None else binding.plan

    @property
    def alone(self) -> int:
        """The last round that this node began to train alone."""
        return self._bound.alone

    def begin_alone(self, number: int) -> None:
        """A round is this node's own from here on: no quorum trains it any more. Raises DiskError."""
        with self._lock:
            if number > self._bound.alone:
                self._bound.alone = number
                self._bound.save(self.folder)

    def started(self, plan: Plan, session: int = 0) -> None:
        """All have consented: rounds that have time within it are its. Raises DiskError."""
        self.expecting()
        with self._lock:
            before = self.binding
            renewed = before is not None and plan.renews(before.plan)
            began = before.began if renewed and before is not None else plan.proposal.starts
            self._bound.all = [*self._bound.all, Binding(plan, session, began)][-KEPT:]
            self._bound.save(self.folder)
            self._tidy()
        log.info("in a quorum", quorum=plan.id.hex()[:16], members=len(plan.peers), session=session, renewed=renewed)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Within the block a round of a quorum is trained: a member that is gone shows there."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def trained(self, team: Team, number: int) -> None:
        """A round's work with a team is done. Raises DiskError."""
        team.trained = number
        with self._lock:
            for one in self._bound.all:
                if one.plan == team.plan:
                    one.trained, one.batches = number, one.batches + team.plan.steps
            self._bound.save(self.folder)

    def expire(self, now: int) -> None:
        """Free this node of a session whose time is over (`now` in Unix seconds); its team stays for who asks it."""
        plan = self.plan
        if plan is not None and plan.ends <= now:
            log.info("the quorum's time is over", quorum=plan.id.hex()[:16])
            self._free(plan)

    def leave(self, plan: Plan, why: str) -> None:
        """Be free of a quorum. What its leader may still fetch stays until the next one."""
        if self._free(plan):
            log.warning("left the quorum", quorum=plan.id.hex()[:16], reason=why)

    def over(self, session: int) -> None:
        """The session of that number has ended on chain: nothing can be posted for it."""
        plan = self.of_session(session)
        if plan is not None:
            self.leave(plan, "its session ended on chain")

    def holds(self, session: int) -> bool:
        """Whether this node still works for the session of that number on chain, or may be about to."""
        with self._lock:
            # What it has trained and not posted yet is posted for the session even after the quorum broke up.
            due = self._bound.alone
            return self.proposing or any(
                one.number == session and (not one.left or one.trained > due) for one in self._bound.all
            )

    def of_session(self, session: int) -> Plan | None:
        """The plan of a session on chain that this node is or was just in."""
        with self._lock:
            return next((one.plan for one in self._bound.all if one.number == session), None)

    def led_by(self, peer: str) -> list[Plan]:
        """Plans of this node, of now or just before, whose leader a peer (base58) is."""
        with self._lock:
            plans = [one.plan for one in self._bound.all]
        return [plan for plan in plans if peer_text(plan.peers[plan.proposal.accounts.index(plan.leader)]) == peer]

    def of_round(self, number: int, info: Round, shop: Works) -> Team | None:
        """The team that trains a round; None where this node trains it alone, or has begun to."""
        with self._lock:
            if number <= self._bound.alone:
                return None
            # A renewal takes over from the round that it names; the one before it may still have a claim to post.
            taking = (
                one
                for one in reversed(self._bound.all)
                if one.plan.takes(number, info.opened_at, info.claim_deadline)
                and (not one.left or one.trained == number)
            )
            chosen = next(taking, None)
        return None if chosen is None else self.of_plan(chosen.plan, shop)

    def of_plan(self, plan: Plan, shop: Works) -> Team | None:
        """This node's side of a quorum; None where its seats are not the stages of what `shop` runs."""
        with self._lock:
            made = next((team for team in self._made if team.plan == plan and team.place.config == shop.config), None)
            if made is None:
                found = next((one for one in self._bound.all if one.plan == plan), Binding(plan, 0, 0))
                try:
                    made = Team(
                        plan, self.me, shop.config, shop.engine, self.around, self.folder, found.number, self.optimizer
                    )
                except PonwError as error:
                    log.warning("the quorum does not fit this round", reason=error.message)
                    return None
                made.trained = found.trained
                self._made = [*self._made, made][-KEPT:]
            return made

    def serve(self, peer: str, stream: socket.socket) -> None:
        """Give a leader what it asks for: of the current quorum if it leads that one, else of the one before."""
        with self._lock:
            leads = next((team for team in reversed(self._made) if team.is_leader(peer)), None)
        if leads is not None:
            leads.serve(stream, peer)
            return
        log.info("a stranger asked for a stage", peer=peer)
        stream.close()

    def _tidy(self) -> None:
        """Remove what is left of quorums that nobody asks for any more."""
        kept = {Team.folder_of(self.folder, one.plan) for one in self._bound.all}
        for path in self.folder.glob(f"{FOLDER_MARK}*"):
            if path not in kept:
                shutil.rmtree(path)

    def _free(self, plan: Plan) -> bool:
        with self._lock:
            found = [one for one in self._bound.all if one.plan == plan and not one.left]
            for one in found:
                one.left = True
            if found:
                self._bound.save(self.folder)
                if self.binding is None:
                    self.around.doors.shut()
            return bool(found)
