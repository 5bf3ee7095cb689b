"""The server is killed with SIGKILL in the middle of a dispute: what it signed, it can defend after its restart."""

from __future__ import annotations

import pytest

from bench.arena import MICRO, flip
from consensus.dispute.challenger import Challenger
from consensus.dispute.game import Case
from consensus.dispute.moves import Facts
from consensus.dispute.rerun import Rerun
from consensus.program.infer import infer_program
from economics.constants import CHALLENGE_BOND, CLAIM_BOND
from node.chain.court import AccusationState
from node.dispute.accusing import Accuser
from node.dispute.docket import Docket, Trial
from node.inference.paid.journal import Record
from node.inference.paid.messages import unhex
from tests.payment.conftest import await_
from tests.payment.trials import STAKE, WRONG, Trials, player_of

pytestmark = pytest.mark.process


def answered(trials: Trials, uri: str) -> Record:
    record = trials.opened(uri)
    "".join(trials.payer().answer(record))
    trials.market.await_over(record)
    return record


def await_state(accuser: Accuser, state: AccusationState) -> None:
    await_(f"{state.name} accusation", lambda: accuser.stands().state is state)


def test_a_liar_cannot_escape_by_a_restart(trials: Trials) -> None:
    server = trials.market.server("lie", module="trial_server")
    record = answered(trials, server.uri)
    server.kill()
    accuser = trials.accused(record, WRONG)
    server.start()
    await_state(accuser, AccusationState.JUDGED)
    server.kill()
    again = trials.payer().journal.load(record.request)
    assert again.signed == record.signed, "the payer's own disk is enough"
    assert player_of(trials.market.contracts(1), trials.homes[0], None, trials.first).look() == 1
    assert accuser.stands().state is AccusationState.WON
    assert trials.stake_of(2) == (STAKE - 2 * CLAIM_BOND, 0, 0)
    assert trials.stake_of(1) == (STAKE, 0, CLAIM_BOND)


def test_an_honest_server_wins_across_restarts(trials: Trials) -> None:
    server = trials.market.server(module="trial_server")
    accuser = trials.accused(answered(trials, server.uri), WRONG)
    await_state(accuser, AccusationState.JUDGED)
    server.kill()
    docket = Docket(trials.market.contracts(1), trials.first, trials.market.contracts(1).client.address)
    demand(trials, accuser, docket.open()[0])
    assert asked(docket)
    server.start()
    await_("revelation", lambda: not asked(docket))
    server.kill()
    trials.market.network.advance(3600)
    server.start()  # the accuser's clock has run out meanwhile
    await_state(accuser, AccusationState.FAILED)
    assert trials.stake_of(2) == (STAKE, 0, CHALLENGE_BOND // 2)
    assert trials.stake_of(1) == (STAKE - CHALLENGE_BOND, 0, 0)


def asked(docket: Docket) -> bool:
    [trial] = docket.open()
    return trial.game is not None and trial.game.asked is not None


def demand(trials: Trials, accuser: Accuser, trial: Trial) -> None:
    """A move that an honest accuser has no reason for: it claims to have computed something else."""
    assert trial.game is not None
    answer = accuser.exhibit.answer()
    inputs = answer.inputs(trials.model.weights, trial.game.dispute.step)
    wrong = Rerun(infer_program(MICRO), inputs, flip(len(infer_program(MICRO).ops) - 3, 0, 1))
    velocity = unhex(accuser.exhibit.signed.velocity_root)
    case = Case(MICRO, trial.game.dispute)
    move = Challenger(case, Facts(wrong, velocity, prompt=answer.prompt, answered=answer.leaves())).next_move()
    assert move.function == "demand"
    trials.market.contracts(1).court_judge.move(case, move)
