"""Answers challenges, and plays the games of this node's own. A thread of its own: no training step costs a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from consensus.commitments.claim import Claim, ClaimKind
from consensus.commitments.trace import StepLeaf, Trace
from consensus.dispute.challenger import Challenger
from consensus.dispute.game import Stage
from consensus.dispute.moves import Move, NothingWrongError, Tree
from consensus.dispute.prover import Prover
from consensus.dispute.rerun import trace_leaves
from consensus.errors import CommitmentError
from node.artefacts.publisher import RoundPublisher
from node.chain.contracts import Contracts
from node.chain.types import ClaimState, Opening
from node.dispute.cases import Cases, stage_of
from node.dispute.games import Game, read_games
from node.dispute.sending import attempt, opening
from node.dispute.served import fetch_ops
from node.errors import PeerError, PendingError, PonwError, RpcError
from node.logs import get_logger
from node.storage.store import Store
from node.training.ledger import ClaimView, Ledger, RoundView

log = get_logger("dispute")
POLL_SECONDS = 1.0
_OVER = ("NoGame", "NotOpenClaim", "TooEarly")
"""Errors of a game that somebody else has ended meanwhile."""


class Watcher:
    """Plays for one node, on either side of any number of disputes. What it needs to go on is on chain or on disk."""

    def __init__(
        self,
        contracts: Contracts,
        store: Store,
        cases: Cases,
        artefacts: Path,
        first_block: int,
        before_answer: Callable[[bytes, int, bytes], None] = lambda *_: None,
    ) -> None:
        """`before_answer` is told claim hash, step and op trace of each answer to a challenge of a TRAIN claim."""
        self._before_answer = before_answer
        self._contracts, self._store, self._cases = contracts, store, cases
        self._artefacts = artefacts
        self._me = contracts.client.address
        self._ledger = Ledger(contracts, first_block)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disputes", daemon=True)
        self._given_up: set[bytes] = set()
        self._served: dict[bytes, list[bytes]] = {}
        self.failure: PonwError | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching; a move under way is finished."""
        self._stop.set()
        self._thread.join()

    def look(self) -> int:
        """Make every move that is due now, the most urgent first; the number made."""
        view = self._ledger.look()
        own = [c for c in view.claims if c.node == self._me and c.state is ClaimState.POSTED]
        waiting = [(c, who, step, end) for c in own for who, (step, end) in c.challenges.items()]
        made = 0
        for claim, challenger, step, deadline in sorted(waiting, key=lambda item: item[3]):
            if view.block.timestamp <= deadline and self._answer(view, claim, challenger, step):
                made += 1
        games = [game for game in self.games(view) if not game.ended and game.claim.state is ClaimState.POSTED]
        for game in sorted(games, key=lambda game: game.deadline):
            made += self._play(view, game)
        return made

    def games(self, view: RoundView) -> list[Game]:
        """Every game of a round."""
        return read_games(self._contracts, view, view.answered)

    def _answer(self, view: RoundView, claim: ClaimView, challenger: str, step: int) -> bool:
        rerun = self._cases.rerun(view, claim, step)
        trace = rerun.trace.root
        RoundPublisher(self._artefacts, claim.claim.round).add_ops(step, rerun.roots)
        if claim.claim.kind is ClaimKind.TRAIN:
            self._before_answer(claim.hash, step, trace)
        openings = (Opening.empty(), Opening.empty())
        if stage_of(claim, step) is not Stage.UPDATE:
            steps = self._trace(claim.claim)
            openings = (opening(steps, step - 1) if step else Opening.empty(), opening(steps, step))
        sent = attempt(lambda: self._contracts.registry.answer(claim.claim, challenger, *openings, trace), "NotWaiting")
        if sent:
            log.info("challenge answered", round=claim.claim.round, step=step, challenger=challenger)
        return sent

    def _trace(self, claim: Claim) -> Trace:
        if claim.kind is ClaimKind.OUTER:
            return Trace([StepLeaf(claim.end_root, claim.update_root, 0, 0)])
        records = self._store.leaves(claim.base)[: claim.steps]
        return Trace(StepLeaf(r.state_root, r.batch_root, r.loss_bits, r.step) for r in records)

    def _play(self, view: RoundView, game: Game) -> bool:
        if view.block.timestamp > game.deadline:
            # Anyone may call a clock; the two parties do it first, everybody else costs nothing but a failed estimate.
            return attempt(lambda: self._contracts.judge.timeout(game.dispute), *_OVER)
        if game.asked is not None:
            return game.claim.node == self._me and self._reveal(view, game)
        if game.challenger == self._me and game.id not in self._given_up:
            return self._move(view, game)
        return False

    def _reveal(self, view: RoundView, game: Game) -> bool:
        asked, dispute = game.asked, game.dispute
        if asked is None:
            return False
        rerun = self._cases.rerun(view, game.claim, dispute.step)
        steps = [leaf.encode() for leaf in self._trace(dispute.claim)]
        prover, which = Prover(self._cases.case(view, dispute), rerun, steps=steps), Tree(asked.tree)
        number = asked.set if which is Tree.SET else asked.op
        judge = self._contracts.judge
        if asked.count:
            children = prover.children(which, number, asked.level, asked.index)
            return attempt(lambda: judge.reveal(dispute, asked.node, children), "NotYourTurn", *_OVER)
        data = prover.data(which, number, asked.index)
        return attempt(lambda: judge.reveal_data(dispute, asked.node, data), "NotYourTurn", *_OVER)

    def _move(self, view: RoundView, game: Game) -> bool:
        case = self._cases.case(view, game.dispute)
        facts = self._cases.facts(view, game.claim, game.dispute.step)
        roots = self._fetch_ops(view, game, len(case.program.ops))
        if roots:
            game.knowledge.learn_tree(trace_leaves(case.program, roots))
        try:
            move = Challenger(case, facts, game.knowledge).next_move()
        except NothingWrongError as error:
            # The prover is right about this step: no move can win, and the clock ends the game.
            log.warning("a dispute cannot be won", node=game.claim.node, step=game.dispute.step, reason=error.message)
            self._given_up.add(game.id)
            return False
        sent = attempt(lambda: self._contracts.judge.move(case, move), "NotYourTurn", *_OVER)
        if sent:
            self._tell(game, move)
        return sent

    def _fetch_ops(self, view: RoundView, game: Game, ops: int) -> list[bytes]:
        """The op trace as the prover serves it; none where it serves none: then it is demanded on chain."""
        if game.id not in self._served:
            uri = view.uris.get(game.claim.node)
            self._served[game.id] = fetch_ops(uri, game.dispute.claim.round, game.dispute.step, ops)
        return self._served[game.id]

    def _tell(self, game: Game, move: Move) -> None:
        if move.function == "demand":
            log.info("dispute: the prover must reveal", node=game.claim.node, what=move.words)
        else:
            log.error("dispute won", node=game.claim.node, proof=move.words)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self.look()
            except (RpcError, PendingError, PeerError) as error:
                log.warning("a dispute waits; trying again", reason=error.message)
            except (PonwError, CommitmentError) as error:
                # The main loop raises it: a node that cannot answer must not go on as if nothing were wrong.
                log.critical("disputes cannot be played", reason=error.message)
                self.failure = error if isinstance(error, PonwError) else PonwError(error.message, error.hint)
                return
