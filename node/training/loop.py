"""The round loop: looks at the chain, does what the phase asks for, and can be stopped and taken up at any point."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from web3.types import TxReceipt

from consensus.commitments.claim import ClaimKind
from consensus.commitments.trace import StepLeaf, loss_value
from consensus.quorum.modes import Mode
from consensus.training.outer import GlobalState
from economics.cohort import inner_steps
from node.chain.types import ClaimState, Parameters, Phase
from node.errors import FundsError, PeerError, PendingError, RevertError, RpcError
from node.logs import get_logger
from node.quorum.errors import GivenUpError
from node.quorum.team import Team
from node.training.auditor import WithheldError
from node.training.errors import OuterMismatchError, StateUnavailableError
from node.training.helped import may_train, tell_claimed
from node.training.inner import RoundWork
from node.training.late import Around, LateWork
from node.training.ledger import ClaimView, RoundView
from node.training.outer import NextState
from node.training.parts import Parts
from node.training.starts import have_start
from node.training.teamwork import team_round
from node.training.work import Task

log = get_logger("loop")
POLL_SECONDS = 0.5
POST_SHARE = 8
"""Of the training time, this part is kept for publishing and posting; at least POST_SECONDS."""
POST_SECONDS = 3
HELP_SHARE = 2
"""Helpers have this part of the training time; the rest is enough for the node to train alone after all."""


class RoundLoop:
    """Runs rounds until told to stop. One thread; the watcher is another."""

    def __init__(self, parts: Parts, clock: Callable[[], float] = time.monotonic) -> None:
        self._p, self._clock = parts, clock
        self._me = parts.contracts.client.address
        self._parameters: Parameters = parts.contracts.registry.parameters()
        self._start: tuple[int, GlobalState] | None = None
        self._next: tuple[tuple[int, bytes], NextState] | None = None
        newest = parts.store.latest_round()
        self._round = 0 if newest is None else newest.number
        self._closed = 0
        self._rounds: int | None = None
        self._contested = b""
        self._seen_at = self._stepped_at = 0.0
        around = Around(self._state, self._steps, self._seconds_left, self._leaf, clock)
        self._late = LateWork(parts, around, self._parameters) if parts.settings.late else None

    @property
    def parts(self) -> Parts:
        """What the loop works with."""
        return self._p

    @property
    def late(self) -> LateWork | None:
        """Work that may outlast its round, where the operator chose so."""
        return self._late

    def run(self, rounds: int | None = None) -> None:
        """Take part until `stop` is set, or until this many rounds have closed.

        Raises:
            OuterMismatchError: the posted global state is not the computed one, and the judge did not rule against it
            or could not be asked. LeafConflictError, DiskError, DatabaseError, and whatever the watcher failed with.
            An unreachable chain or peer is waited for.
        """
        p, self._rounds = self._p, rounds
        p.watcher.start()
        try:
            while not self._is_done():
                self.tick()
                p.stop.wait(POLL_SECONDS)
        finally:
            try:
                if self._late is not None:
                    self._late.save()
            finally:
                p.watcher.close()

    def _is_done(self) -> bool:
        enough = self._rounds is not None and self._p.reporter.now.rounds_done >= self._rounds
        return enough or self._p.stop.is_set()

    def tick(self) -> None:
        """One look at the chain and what follows from it; a chain or peer that does not answer is waited for."""
        p = self._p
        for failure in (p.watcher.failure, p.eras.failure):
            if failure is not None:
                raise failure
        try:
            view = p.ledger.look()
            self._seen_at = self._clock()
            self._report(view)
            self._act(view)
        except (RpcError, PendingError) as error:
            log.warning("the chain does not answer; asking again", reason=error.message)
            p.reporter.update(activity="waiting for the chain", why=error.message)
        except PeerError as error:
            log.warning("waiting for a peer", reason=error.message)
            p.reporter.update(activity="waiting for a peer", why=error.message)

    def _act(self, view: RoundView) -> None:
        chores, due = self._p.chores, False
        if 0 < self._round < view.number:
            # Peers went on while this node was busy or away.
            before = self._p.ledger.look(self._round)
            self._p.enter(before)
            self._p.records.sync(before)
            self._finish(before)
        if view.number:
            self._enter(view)
            self._p.records.sync(view)
        self._p.quorum_chores.look(view, self._p.workshop)
        self._round = view.number
        if view.phase in (Phase.NONE, Phase.CLOSED):
            self._finish(view)
            if not self._is_done():
                chores.open_round(view)
        elif view.phase is Phase.TRAIN and not (self._p.modes.trains or self._has_begun(view)):
            self._p.reporter.update(activity="not training in this mode; waiting for claims to audit")
        elif view.phase is Phase.TRAIN and self._late is not None:
            self._late.claim(view)
        elif view.phase is Phase.TRAIN:
            self._train(view)
        elif view.phase is Phase.WINDOW:
            self._p.prover.drop(view.number)
            due = self._audit(view)
        elif view.phase is Phase.SETTLE:
            self._tell("settling claims")
            chores.settle(view, self._window_end(view))
        elif view.phase is Phase.OUTER:
            self._outer(view)
        else:
            self._outer_window(view)
        if self._late is not None and self._p.modes.trains and not due and not self._is_done():
            self._late.go_on(view)

    def _tell(self, activity: str) -> None:
        """What the phase has this node do, unless late work goes on all the while."""
        if self._late is None or not self._late.under_way:
            self._p.reporter.update(activity=activity)

    def _enter(self, view: RoundView) -> None:
        """Change versions where the round has another one than the last: between two steps, without a stop."""
        p, before = self._p, self._p.workshop
        p.enter(view)
        if p.workshop is not before:
            self._start = self._next = None
            words = {"version": view.info.version, "target": view.info.target, "young": view.info.young}
            log.info("another era", **words, rows=p.workshop.config.vocab, layers=view.info.layers)
        p.reporter.update(version=view.info.version, target=view.info.target, rows=p.workshop.config.vocab)

    # --- training ---

    def _train(self, view: RoundView) -> None:
        p = self._p
        p.records.reclaim(view, p.chores)
        own = view.own(self._me, ClaimKind.TRAIN)
        if own is not None:
            p.prover.sent(own.claim)
            self._alone(view)
            tell_claimed(p.helpers, view.number, own.hash, None)
            p.reporter.update(activity="claim posted, waiting for the window")
            return
        if self._seconds_left(view) <= 0:
            p.reporter.update(activity="waiting for the next round")
            return
        team = self._team(view)
        if team is not None and self._train_in_team(view, team):
            return
        if p.modes.forced is Mode.PIPELINE or (p.waits(view) and not self._has_begun(view)):
            p.reporter.update(activity=f"waiting for a quorum to come to be; {p.standing() or 'no peers'}")
            return
        self._alone(view)
        work = self._work(view)
        steps = 0
        if p.store.own_claim(view.number, ClaimKind.TRAIN) is None:
            in_time = self._seconds_left(view) > self._parameters.train_time // HELP_SHARE
            if not may_train(p.helpers, p.fitted, work, lambda: (self._state(view), view.info.start_root), in_time):
                p.reporter.update(activity="volunteers train this round's work", steps=work.steps)
                return
            p.reporter.update(activity="training", steps=work.steps)
            self._stepped_at = self._clock()
            state = p.inner.run(work, self._leaf, lambda: self._keep_training(view))
            steps = state.step
            if p.stop.is_set() or steps == 0:
                return
        self._claim(view, work, steps)

    def _team(self, view: RoundView) -> Team | None:
        teams = self._p.teams
        return None if teams is None else teams.of_round(view.number, view.info, self._p.workshop)

    def _alone(self, view: RoundView) -> None:
        """From here on no quorum trains the round with this node."""
        if self._p.teams is not None:
            self._p.teams.begin_alone(view.number)

    def _has_begun(self, view: RoundView) -> bool:
        """Whether the round's work was begun in a mode that trains, and has to be brought to its end."""
        teams = self._p.teams
        begun = teams is not None and (teams.alone == view.number or self._team(view) is not None)
        return begun or self._p.store.own_claim(view.number, ClaimKind.TRAIN) is not None

    def _train_in_team(self, view: RoundView, team: Team) -> bool:
        """This node's stage of the round, and the claim where it leads; False where it is to train alone after all."""
        p, steps = self._p, team.plan.steps
        assert p.teams is not None  # noqa: S101 - narrows for the type checker
        work = replace(self._work(view), task=Task(view.info.randomness, team.plan.leader), steps=steps)
        if not team.leads and p.store.own_claim(view.number, ClaimKind.TRAIN) is not None:
            return False  # it trained alone before the quorum came to be
        if team.trained != view.number:
            p.reporter.update(activity=f"training {team.words}", steps=steps)
            self._stepped_at = self._clock()
            try:
                with p.teams.training():
                    team_round(p.inner, team, work, view.info.start_root, p.workshop, self._team_leaf(view, team))
            except PeerError as error:
                if p.stop.is_set():
                    return True
                p.teams.leave(team.plan, error.message)
                return False
            p.teams.trained(team, view.number)
        if team.leads:
            self._claim(view, work, steps, team.session)
        else:
            p.reporter.update(activity="the quorum's stage is trained, waiting for the window")
        return True

    def _team_leaf(self, view: RoundView, team: Team) -> Callable[[StepLeaf], None]:
        """As `_leaf`, and ends the team's round where this node stops or the time is over."""

        def take(leaf: StepLeaf) -> None:
            self._leaf(leaf)
            if leaf.step + 1 == team.plan.steps:
                return
            if self._p.stop.is_set():
                raise GivenUpError("This node stops.")
            if min(self._seconds_left(view), self._seconds_until(view, team.plan.ends)) <= 0:
                raise GivenUpError(f"The round's time was over after {leaf.step + 1} steps.", "Choose fewer steps.")

        return take

    def _claim(self, view: RoundView, work: RoundWork, steps: int, session: int = 0) -> None:
        """Plan, publish and post the claim over the first `steps` steps on record, for a session on chain if given."""
        p = self._p
        p.reporter.update(activity="publishing")
        claim = p.prover.train_claim(view, work, steps)
        p.prover.publish(claim, work, p.states.path(view.number))
        p.reporter.update(activity="posting the claim")
        registry = p.contracts.registry
        posted: list[TxReceipt] = []

        def post() -> None:
            posted.append(registry.post_for(claim, session) if session else registry.post(claim))

        if p.chores.attempt(post, "WrongPhase", "SessionOver", "SessionBusy"):
            p.prover.sent(claim)
            tell_claimed(p.helpers, view.number, p.prover.hash(claim), bytes(posted[0]["transactionHash"]))

    def _work(self, view: RoundView) -> RoundWork:
        start = self._state(view)
        task = Task(view.info.randomness, bytes.fromhex(self._me[2:]))
        return RoundWork(view.number, task, start.weights, self._steps(view))

    def _steps(self, view: RoundView) -> int:
        """Inner steps wanted of a piece of work."""
        wanted = self._p.settings.round_steps or inner_steps(max(1, len(view.uris)))
        return min(wanted, self._parameters.max_steps)

    def _leaf(self, leaf: StepLeaf) -> None:
        now, tokens = self._p.reporter.now, self._p.workshop.config.tokens_per_step
        at = self._clock()
        elapsed, self._stepped_at = at - self._stepped_at, at
        speed = tokens / elapsed if elapsed > 0 else 0.0
        smooth = speed if now.tokens_per_s == 0.0 else 0.9 * now.tokens_per_s + 0.1 * speed
        self._p.reporter.update(
            step=leaf.step + 1, loss=loss_value(leaf.loss_bits), tokens=now.tokens + tokens, tokens_per_s=smooth
        )

    def _keep_training(self, view: RoundView) -> bool:
        return not self._p.stop.is_set() and self._seconds_left(view) > 0

    def _seconds_left(self, view: RoundView) -> float:
        """Seconds of training before the claim has to be published and posted."""
        return self._seconds_until(view, view.info.claim_deadline)

    def _seconds_until(self, view: RoundView, deadline: int) -> float:
        margin = max(POST_SECONDS, self._parameters.train_time // POST_SHARE)
        passed = self._clock() - self._seen_at
        return deadline - margin - view.block.timestamp - passed

    # --- audit ---

    def _audit(self, view: RoundView) -> bool:
        """Look at one claim; False where none is left to look at."""
        p, end = self._p, self._window_end(view)
        suspect = p.audits.next(view, end)
        if suspect is None:
            self._tell("waiting for the window to close")
            return False
        p.reporter.update(activity=f"auditing {suspect.node}")
        finding = p.audits.look(view, suspect, lambda: self._start_of(view, suspect), end)
        if finding is not None:
            wrong = p.reporter.now.audits_failed + (finding.step is not None)
            p.reporter.update(audits=p.reporter.now.audits + 1, audits_failed=wrong)
        return True

    def _start_of(self, view: RoundView, claim: ClaimView) -> GlobalState:
        """The state that a claim's work began from. Raises WithheldError where that of a late one is served by nobody:
        who claims has to serve it."""
        state = self._state(view)
        if not claim.claim.is_late:
            return state
        try:
            return have_start(self._p.states, view, claim, self._p.workshop.config.shapes(), self._me)
        except StateUnavailableError as error:
            raise WithheldError(error.message, 0) from error

    def _window_end(self, view: RoundView) -> int:
        if view.phase in (Phase.OUTER, Phase.OUTER_WINDOW):
            return view.info.outer_deadline
        return view.info.claim_deadline + self._parameters.window

    # --- outer step ---

    def _outer(self, view: RoundView) -> None:
        p = self._p
        self._tell("taking the outer step")
        computed = self._computed(view)
        if p.chores.turn(view, "outer"):
            claim = p.prover.outer_claim(view, computed.root)
            lost_race = ("WrongPhase", "SlotBusy", "LostThisRound")
            if p.chores.attempt(lambda: p.contracts.registry.post(claim), *lost_race):
                p.prover.sent(claim)

    def _outer_window(self, view: RoundView) -> None:
        p = self._p
        self._tell("waiting for the outer step to become final")
        try:
            p.outer.require_same(view, self._computed(view))
        except OuterMismatchError as error:
            self._contest(view, error)
        p.chores.settle(view, self._window_end(view))

    def _contest(self, view: RoundView, error: OuterMismatchError) -> None:
        """Dispute the posted outer step. A node that cannot, or that the judge proves wrong, stops."""
        p, outer = self._p, view.outer
        if outer is None or self._me in outer.challenges or self._me in outer.judged:
            return
        if self._contested == outer.hash:
            raise error  # the judge was asked once, and the claim still stands
        log.critical("the posted outer step is wrong", node=outer.node, reason=error.message)
        self._contested = outer.hash
        try:
            p.contracts.registry.challenge(outer.claim, 0)
        except (RevertError, FundsError) as refused:
            raise error from refused

    def _computed(self, view: RoundView) -> NextState:
        key = (view.number, view.info.final_set)
        if self._next is None or self._next[0] != key:
            computed = self._p.outer.next_state(view, self._state(view))
            self._p.states.save(view.number + 1, computed.root, computed.state)
            self._next = (key, computed)
        return self._next[1]

    # --- between rounds ---

    def _finish(self, view: RoundView) -> None:
        p = self._p
        if view.number in (0, self._closed):
            return
        own = view.own(self._me, ClaimKind.TRAIN)
        if p.settings.auto_collect and p.contracts.emission.collectable(self._me) + p.contracts.staking.credit_of(
            self._me
        ):
            p.reporter.update(activity="collecting rewards")
            amount = p.chores.collect()
            p.reporter.update(collected_wei=p.reporter.now.collected_wei + amount)
        if own is not None and own.state is ClaimState.FINAL and not p.contracts.emission.accrued_of(self._me):
            p.records.paid(own)
        self._closed = view.number
        self._measure(view)
        done = p.reporter.now.rounds_done + 1
        p.reporter.update(activity="round closed", rounds_done=done, claims=p.records.rows())

    def _measure(self, view: RoundView) -> None:
        root = self._p.contracts.registry.global_root()
        shop = self._p.eras.after(view.info, root != view.info.start_root)
        state = self._p.states.own(view.number + 1, root, shop.config.shapes())
        if state is not None:
            loss = shop.heldout_loss(state.weights)
            log.info("round closed", round=view.number, heldout_loss=round(loss, 4), claims=len(view.finals))
            self._p.reporter.update(heldout_loss=loss)

    def _state(self, view: RoundView) -> GlobalState:
        """The global state that the round starts from."""
        if self._start is None or self._start[0] != view.number:
            p, root = self._p, view.info.start_root
            shapes = p.workshop.config.shapes()
            state = p.states.own(view.number, root, shapes)
            if state is None:
                p.reporter.update(activity="fetching the global state")
                peers = [uri for node, uri in view.uris.items() if node != self._me]
                state = p.states.fetch(view.number, root, peers, shapes)
            p.prover.publish_global(view.number, p.states.path(view.number))
            late = set() if self._late is None else self._late.kept()
            oldest = view.number - p.settings.starts_kept
            p.states.drop_before(oldest, late | {one.claim.base for one in view.trains})
            p.audits.tools.auditor.drop_before(view.number)
            p.audits.tools.evidence.drop_before(view.number)
            self._start = (view.number, state)
        return self._start[1]

    def _report(self, view: RoundView) -> None:
        shop = self._p.workshop
        standing = self._p.modes.look(shop.engine, shop.config, view.uris)
        ends = {
            Phase.TRAIN: view.info.claim_deadline,
            Phase.WINDOW: view.info.claim_deadline + self._parameters.window,
            Phase.OUTER_WINDOW: view.info.outer_deadline,
        }
        changed = view.number != self._p.reporter.now.round
        self._p.reporter.update(
            **standing,
            quorum=self._p.standing(),
            block=view.block.number,
            round=view.number,
            phase=view.phase.name.lower(),
            phase_ends=ends.get(view.phase, 0),
            step=0 if changed else self._p.reporter.now.step,
            claims=self._p.records.rows(),
        )
