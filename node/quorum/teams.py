"""The quorums that this node is in: which one a round belongs to, and who serves its stages."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from consensus.arithmetic.engine import Engine
from consensus.model.config import ModelConfig
from node.chain.types import Round
from node.errors import PonwError
from node.logs import get_logger
from node.quorum.plan import Plan
from node.quorum.team import Around, Team

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

    `ended` is told when a quorum ends before its time, with the reason. Threads may share it.
    """

    me: bytes
    around: Around
    folder: Path
    ended: Callable[[Plan, str], None] = lambda plan, why: None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _plan: Plan | None = None
    _team: Team | None = None
    _before: Team | None = None

    def __post_init__(self) -> None:
        # A node that was started again knows nothing of the quorum that it was in: its neighbours learn it at once.
        self.around.doors.shut()

    def expecting(self) -> None:
        """A quorum may start soon, at its neighbours sooner than here: let them in."""
        self.around.doors.open()

    @property
    def plan(self) -> Plan | None:
        """The quorum that this node is bound to."""
        with self._lock:
            return self._plan

    def started(self, plan: Plan, consents: tuple[bytes, ...]) -> None:
        """All have consented: rounds that open within its time are its."""
        self.expecting()
        with self._lock:
            self._plan = plan
        log.info("in a quorum", quorum=plan.id.hex()[:16], members=len(plan.peers), consents=len(consents))

    def expire(self, now: int) -> None:
        """Free this node of a session whose time is over (`now` in Unix seconds); its team stays for who asks it."""
        with self._lock:
            if self._plan is not None and self._plan.ends <= now:
                log.info("the quorum's time is over", quorum=self._plan.id.hex()[:16])
                self._plan = None

    def of_round(self, info: Round, shop: Works) -> Team | None:
        """The team that trains a round: the round opens and its claims close within the session; None for none."""
        plan = self.plan
        if plan is None or not (plan.proposal.starts <= info.opened_at and info.claim_deadline <= plan.ends):
            return None
        return self.of_plan(plan, shop)

    def of_plan(self, plan: Plan, shop: Works) -> Team | None:
        """This node's side of a quorum; None where its seats are not the stages of what `shop` runs."""
        with self._lock:
            if self._team is None or self._team.plan != plan:
                try:
                    made = Team(plan, self.me, shop.config, shop.engine, self.around, self.folder)
                except PonwError as error:
                    log.warning("the quorum does not fit this round", reason=error.message)
                    return None
                self._before, self._team = self._team, made
            return self._team

    def leave(self, why: str) -> None:
        """Be free of the quorum, if there is one. What its leader may still fetch stays until the next one."""
        with self._lock:
            plan, self._plan = self._plan, None
        if plan is not None:
            self.around.doors.shut()
            log.warning("left the quorum", quorum=plan.id.hex()[:16], reason=why)
            self.ended(plan, why)

    def serve(self, peer: str, stream: socket.socket) -> None:
        """Give a leader what it asks for: of the current quorum if it leads that one, else of the one before."""
        with self._lock:
            teams = [team for team in (self._team, self._before) if team is not None]
        for team in teams:
            if team.is_leader(peer):
                team.serve(stream, peer)
                return
        log.info("a stranger asked for a stage", peer=peer)
        stream.close()
