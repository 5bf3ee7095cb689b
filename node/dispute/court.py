"""Plays before the court of answers for one account: as the server of an answer, or as the payer that accuses it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from consensus.commitments.claim import Claim
from consensus.commitments.trace import Trace
from consensus.dispute.answers import Answer
from consensus.dispute.challenger import Challenger
from consensus.dispute.game import Case
from consensus.dispute.moves import Facts, NothingWrongError, Tree
from consensus.dispute.prover import Prover
from consensus.dispute.rerun import Rerun
from consensus.errors import ConsensusError
from consensus.program.infer import infer_program
from node.chain.contracts import Contracts
from node.chain.court import AccusationState
from node.dispute.docket import Docket, Trial
from node.dispute.games import Played
from node.dispute.sending import attempt, opening
from node.errors import PonwError
from node.inference.paid.exhibit import Exhibit
from node.inference.paid.messages import unhex
from node.inference.paid.weights import KeptWeights
from node.logs import get_logger

POLL_SECONDS = 1.0
_OVER = ("NoGame", "NotAccused", "AlreadyLost", "TooEarly", "NotYourTurn")
"""Errors of an accusation that has gone on meanwhile."""
Find = Callable[[Claim], Exhibit | None]
"""The answer that a claim is about; None where it is not on record."""

log = get_logger("court")


class Player:
    """Makes this account's moves. What it needs after a restart is on chain, on record (`find`) or in `weights`.

    Use as a context manager to play in a thread of its own.
    """

    def __init__(self, contracts: Contracts, find: Find, weights: KeptWeights, first_block: int) -> None:
        self._court, self._judge, self._client = contracts.court, contracts.court_judge, contracts.client
        self._find, self._weights = find, weights
        self._me = contracts.client.address
        self.docket = Docket(contracts, first_block, self._me)
        self._rerun: tuple[tuple[bytes, int], Rerun] | None = None
        self._given_up: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="court", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> int:
        """Make every move that is due now, the most urgent first; the number made.

        Raises:
            The first error of a move, after all others were tried.
        """
        made, failures = 0, list[PonwError | ConsensusError]()
        for trial in self.docket.open():
            try:
                made += self._act(trial)
            except (PonwError, ConsensusError) as error:
                log.warning("a move before the court failed", claim=trial.hash.hex(), reason=error.message)
                failures.append(error)
        if failures:
            raise failures[0]
        return made

    def _act(self, trial: Trial) -> bool:
        mine, game = trial.challenger == self._me, trial.game
        if trial.lost:
            return mine and attempt(lambda: self._court.reclaim(trial.claim, trial.challenger), *_OVER)
        late = self._client.block().timestamp > trial.deadline
        if trial.accusation.state is AccusationState.WAITING:
            if late:
                return mine and attempt(lambda: self._court.timeout(trial.claim, trial.challenger), *_OVER)
            return not mine and self._answer(trial)
        return game is not None and not game.ended and self._play(trial, game, late)

    def _play(self, trial: Trial, game: Played, late: bool) -> bool:
        mine = trial.challenger == self._me
        if late:
            return attempt(lambda: self._judge.timeout(game.dispute), *_OVER)
        if game.asked is not None:
            return not mine and self._reveal(trial, game)
        return mine and game.id not in self._given_up and self._move(trial, game)

    def _answer(self, trial: Trial) -> bool:
        found = self._evidence(trial)
        if found is None:
            return False
        step = trial.accusation.step
        trace = self._run_again(trial.hash, found, step).trace.root
        opened = opening(Trace(found.answer().leaves()), step)
        sent = attempt(lambda: self._court.answer(trial.claim, trial.challenger, opened, trace), *_OVER)
        if sent:
            log.info("accusation answered", claim=trial.hash.hex(), token=step, challenger=trial.challenger)
        return sent

    def _reveal(self, trial: Trial, game: Played) -> bool:
        found, asked = self._evidence(trial), game.asked
        if found is None or asked is None:
            return False
        rerun = self._run_again(trial.hash, found, game.dispute.step)
        steps = [leaf.encode() for leaf in found.answer().leaves()]
        prover, which = Prover(Case(found.config, game.dispute), rerun, steps=steps), Tree(asked.tree)
        if asked.count:
            children = prover.children(which, asked.op, asked.level, asked.index)
            return attempt(lambda: self._judge.reveal(game.dispute, asked.node, children), *_OVER)
        data = prover.data(which, asked.op, asked.index)
        return attempt(lambda: self._judge.reveal_data(game.dispute, asked.node, data), *_OVER)

    def _move(self, trial: Trial, game: Played) -> bool:
        found = self._evidence(trial)
        if found is None:
            return False
        case, facts = Case(found.config, game.dispute), self._facts(trial, found, game.dispute.step)
        try:
            move = Challenger(case, facts, game.knowledge).next_move()
        except NothingWrongError as error:
            # The server is right about this token: no move can win, and the clock ends the game.
            log.warning("an accusation cannot be won", claim=trial.hash.hex(), reason=error.message)
            self._given_up.add(game.id)
            return False
        sent = attempt(lambda: self._judge.move(case, move), *_OVER)
        if sent:
            log.info("move before the court", claim=trial.hash.hex(), move=move.words)
        return sent

    def _facts(self, trial: Trial, found: Exhibit, step: int) -> Facts:
        answer: Answer = found.answer()
        velocity = unhex(found.signed.velocity_root)
        rerun = self._run_again(trial.hash, found, step)
        return Facts(rerun, velocity, prompt=answer.prompt, answered=answer.leaves())

    def _evidence(self, trial: Trial) -> Exhibit | None:
        found = self._find(trial.claim)
        if found is None:
            log.critical("a signed answer in dispute is not on record here", claim=trial.hash.hex())
        return found

    def _run_again(self, claim_hash: bytes, found: Exhibit, step: int) -> Rerun:
        """The token run op by op; the newest is kept, as every move of a game asks for it.

        Raises:
            TensorFileError: the weights are gone or damaged.
        """
        if self._rerun is None or self._rerun[0] != (claim_hash, step):
            weights = self._weights.load(found.config, unhex(found.weights_root))
            rerun = Rerun(infer_program(found.config), found.answer().inputs(weights, step))
            self._rerun = ((claim_hash, step), rerun)
        return self._rerun[1]

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                self.look()
            except (PonwError, ConsensusError) as error:
                # An answer that cannot be defended must not keep the server from defending the others.
                log.warning("not every move before the court could be made; trying again", reason=error.message)
