"""The node's part among quorums, put together: peers, seats, sessions on chain, and words about challenged steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Final

from consensus.commitments.claim import Claim
from consensus.quorum.capacity import layout_of
from consensus.quorum.modes import Mode
from consensus.quorum.peers import Peer
from economics.cohort import inner_steps
from economics.networks import QuorumTimes
from node.chain.contracts import Contracts
from node.chain.quorums import Work
from node.config import Settings
from node.dispute.cases import Cases
from node.modes.advisor import KEPT
from node.net.accepting import Threads, accept_each
from node.net.client import Network
from node.net.joining import network_id
from node.paths import private_folder
from node.quorum import team, witness
from node.quorum.calendar import Calendar
from node.quorum.doors import Doors
from node.quorum.offer import Offer
from node.quorum.pipeline.link import Timeouts
from node.quorum.plan import Plan
from node.quorum.port import NetPort
from node.quorum.registrar import Registrar
from node.quorum.service import QuorumService
from node.quorum.sessions import Sessions
from node.quorum.team import LINK_SECONDS, Around
from node.quorum.teams import Teams
from node.quorum.views import NetworkSource
from node.quorum.witness import Witness, Works
from node.storage.store import Store
from node.training.chores import Chores
from node.training.ledger import Ledger, RoundView
from node.training.parts import Parts
from node.training.prover import claim_of
from node.training.quorum_chores import QuorumChores

FOLDER: Final = "quorums"
LINK_LEAST: Final = 5.0
LINK_SHARE: Final = 8
"""A neighbour that is gone is waited for no longer than this part of a round's training time."""
STAKE_SECONDS: Final = 30.0
"""Between two looks at whether the stake reaches for a member's bond."""


class QuorumSide:
    """Made before the round loop's parts, which hold its teams; runs once they are there."""

    def __init__(
        self,
        settings: Settings,
        contracts: Contracts,
        peers: Network,
        first_block: int,
        make_cases: Callable[[], Cases],
        times: QuorumTimes,
    ) -> None:
        self._settings, self._contracts, self._times = settings, contracts, times
        self._make_cases = make_cases
        self._network = network_id(contracts.client.chain_id, contracts.registry.address)
        self._port = NetPort(peers, time.monotonic)
        self._parameters = contracts.registry.parameters()
        self._ledger = Ledger(contracts, first_block)
        self._registrar = Registrar(contracts)
        self._me = bytes.fromhex(contracts.client.address[2:])
        self._folder = private_folder(settings.home / FOLDER)
        link = min(LINK_SECONDS, max(LINK_LEAST, self._parameters.train_time / LINK_SHARE))
        self._doors = Doors(self._port.listen(team.PROTOCOL))
        around = Around(self._port, self._doors, Timeouts(link, 2 * link, 2 * link), link, blame=self._port.charge)
        self.teams = Teams(self._me, around, self._folder)
        place = (contracts.client.chain_id, contracts.quorums.address)
        self.works = Works(self._port, self._folder / "works", place, self._parameters.response_time / 4)
        self._short, self._asked = "", float("-inf")

    @contextmanager
    def running(self, parts: Parts, sessions: Sessions) -> Iterator[QuorumService]:
        """Serve and take seats within the block. `parts` get the teams, and a view of the network for their modes."""
        port = self._port
        service = QuorumService(
            port, self.teams, self._registrar, lambda: self._offer(parts), self._times, Calendar(self._contracts)
        )
        parts.modes.source = NetworkSource(
            self._contracts.client.address,
            service.census,
            self.teams,
            sessions,
            self._times,
            lambda: parts.workshop.config.layers,
            lambda: parts.reporter.now.version,
        )
        parts.teams = self.teams
        parts.waits = lambda view: self._waits(parts, service, view)
        parts.standing = lambda: self._standing(parts, service)
        listener, closing = port.listen(witness.PROTOCOL), threading.Event()
        words = Witness(self.teams.led_by, self._check, self._contracts.quorums.sign_work)
        with Threads("quorum-words", words.serve, witness.SERVED_MAX) as serving:
            accepting = threading.Thread(
                target=accept_each, args=(listener, closing, serving.start), name="quorum-words"
            )
            accepting.start()
            try:
                with self._doors, service:
                    yield service
            finally:
                closing.set()
                listener.close()
                accepting.join()

    def before_answer(self, claim_hash: bytes, step: int, trace: bytes) -> None:
        """Let every member of the claim's quorum check and sign a step's trace; nothing for a claim of this node alone.

        Raises:
            RpcError, DiskError.
        """
        number = self._contracts.quorums.claim_of(claim_hash).session
        plan = self.teams.of_session(number) if number else None
        if plan is not None:
            self.works.gather(plan, self._me, Work(claim_hash, step, trace))

    @cached_property
    def _cases(self) -> Cases:
        """For the thread that checks challenged steps: an engine of its own, made when the first one comes."""
        return self._make_cases()

    def _check(self, plan: Plan, work: Work) -> str:
        """Run the step again; why this node does not sign its trace, "" where it does. Raises PonwError."""
        number = self._contracts.quorums.claim_of(work.claim_hash).session
        if not number or self.teams.of_session(number) != plan:
            return "the claim is none of this quorum's"
        view = self._ledger.look()
        claim = view.find(work.claim_hash)
        if claim is None or not 0 <= work.step <= claim.claim.steps:
            return "the claim has no such step, or is of an earlier round"
        right = self._cases.rerun(view, claim, work.step).trace.root
        return "" if right == work.trace else f"step {work.step} has another trace"

    def _offer(self, parts: Parts) -> Offer:
        now, config, advice = parts.reporter.now, parts.workshop.config, parts.modes.advice
        held = None if advice is None else advice.span
        steps = self._settings.round_steps or inner_steps(max(1, parts.ledger.nodes))
        return Offer(
            Peer(self._me, now.layer_us, 0, held, parts.modes.memory),
            self._network,
            layout_of(config),
            min(steps, self._parameters.max_steps),
            vocab_version=now.version,
            mode=now.mode,
            round=now.round,
            step=now.step,
            aside=self._aside(parts),
        )

    def _aside(self, parts: Parts) -> str:
        """Why this node takes no seat; "" where it does."""
        forced, advice = parts.modes.forced, parts.modes.advice
        unable = self._unable()
        if unable:
            return unable
        if forced is not None and forced is not Mode.PIPELINE:
            return f"the operator chose {forced.value}"
        if advice is None:
            return "has not measured itself yet"
        if advice.choice.mode.value in KEPT:
            return f"serves the network as {advice.choice.mode.value}"
        return ""

    def _unable(self) -> str:
        """Why this node could take no seat in any mode; "" where it could. Raises RpcError."""
        if not self._settings.quorums:
            return "the setting `quorums` is off"
        if self.teams.plan is None and time.monotonic() - self._asked > STAKE_SECONDS:
            self._short, self._asked = self._registrar.short_of(1), time.monotonic()
        return self._short

    def _waits(self, parts: Parts, service: QuorumService, view: RoundView) -> bool:
        """Whether a quorum may yet come to be that trains the round: while one is being agreed on, or could be formed
        and this node began to look for it, or the round opened, just now."""
        if service.agreeing:
            return True
        fresh = view.block.timestamp - view.info.opened_at < self._times.form
        return parts.modes.forms and (fresh or service.searched < self._times.join + self._times.form)

    def _standing(self, parts: Parts, service: QuorumService) -> str:
        parts.modes.offline = self._unable()
        binding = self.teams.binding
        if binding is None:
            return f"none: {service.why_not}"
        team_words = f"{len(binding.plan.peers)} members, from round {binding.plan.round} on, session {binding.number}"
        return f"{binding.plan.id.hex()[:16]}: {team_words}"


def before_answer(side: QuorumSide | None) -> Callable[[bytes, int, bytes], None]:
    """What the disputes' thread calls before it answers a challenge."""
    return side.before_answer if side is not None else lambda *_: None


def quorum_chores(
    contracts: Contracts, sessions: Sessions, chores: Chores, store: Store, side: QuorumSide | None
) -> QuorumChores:
    """The chores that quorums leave, for a node with or without peers: what it earned in one stays its own."""

    def find(claim_hash: bytes) -> Claim | None:
        record = store.claim(claim_hash)
        return None if record is None else claim_of(record)

    if side is None:
        return QuorumChores(contracts, sessions, chores, find)
    return QuorumChores(contracts, sessions, chores, find, side.teams.holds, side.works.find, side.teams.over)
