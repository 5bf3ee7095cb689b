"""Whole nodes in a dispute: a liar that answers every move loses, and a restart in the middle loses nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import Result
from structlog.testing import capture_logs
from typer.testing import CliRunner

from consensus.program.step import step_program
from economics.constants import CLAIM_BOND
from node import config
from node.chain.types import ClaimState
from node.cli.app import app
from node.config import Settings
from node.demo.liar import LIE_OUTPUT, LyingWorkshop, lying
from node.errors import ConfigError
from node.training.loop import RoundLoop
from tests.training.conftest import PATIENT, STAKE, World

HONEST, LIAR = 1, 2


def started(world: World, every: int = 1, **settings: object) -> tuple[RoundLoop, RoundLoop]:
    """An honest node and a liar, whose claims of a round stand. The liar lies in the last of ``every`` steps."""
    world.account(HONEST)
    address = world.account(LIAR).client.address

    def make(loaded: Settings) -> LyingWorkshop:
        return lying(loaded, address, every=every)

    honest, liar = world.start(HONEST), world.start(LIAR, make, **settings)
    world.until(lambda view: len(view.trains) == 2)
    world.close_training()
    return honest, liar


def challenged(world: World) -> None:
    """The honest node's audit has found the lie."""
    address = world.contracts(LIAR).client.address
    view = world.until(lambda view: any(claim.challenges for claim in view.trains))
    suspect = next(claim for claim in view.trains if claim.challenges)
    assert suspect.node == address
    assert len(suspect.challenges) == 1


def play(world: World, moves: int) -> int:
    """Let both watchers move in turn until the game is over, or for so many moves; the number made."""
    made = 0
    while made < moves:
        now = sum(loop.parts.watcher.look() for loop in world.loops.values())
        made += now
        if not now:
            break
    return made


def assert_slashed(world: World) -> None:
    suspect = next(c for c in world.view.trains if c.node == world.contracts(LIAR).client.address)
    assert suspect.state is ClaimState.LOST
    assert suspect.reason.endswith(": ruled wrong")
    assert world.contracts(LIAR).staking.account_of(suspect.node).active == STAKE - 2 * CLAIM_BOND
    honest = world.contracts(HONEST)
    assert honest.staking.credit_of(honest.client.address) == CLAIM_BOND
    assert honest.staking.account_of(honest.client.address).active == STAKE


def test_a_liar_that_answers_every_move_is_slashed_by_the_judge(world: World) -> None:
    honest, _ = started(world)
    challenged(world)
    with capture_logs() as logs:
        made = play(world, 100)
    assert made == 8, "an answer, three demands down the output of one op with what they reveal, and the proof"
    assert_slashed(world)
    op = step_program(honest.parts.workshop.config).outputs[LIE_OUTPUT]
    won = [record for record in logs if record["event"] == "dispute won"]
    assert [f", op {op} " in record["proof"] for record in won] == [True]


def ponw(world: World, index: int, *words: str) -> Result:
    """The command line, in this process, at an account's home."""
    home, file = world.folder / f"node{index}", world.folder / "contracts.json"
    world.network.deployment.save(file)
    config.save(home, rpc_url=world.network.running.rpc_url, contracts=file, data_dir=world.dataset.folder, threads=1)
    return CliRunner().invoke(app, ["--home", str(home), *words])


def test_what_the_operator_sees_of_a_dispute(world: World) -> None:
    started(world)
    challenged(world)
    assert play(world, 3) >= 3
    listed = json.loads(ponw(world, HONEST, "dispute", "list", "--format", "json").output)
    liar, honest = (world.contracts(index).client.address for index in (LIAR, HONEST))
    assert [(row["prover"], row["challenger"], row["turn"] in ("prover", "challenger")) for row in listed] == [
        (liar, honest, True)
    ]
    assert listed[0]["game"][:18] in ponw(world, HONEST, "dispute", "list").output
    shown = ponw(world, HONEST, "dispute", "show", listed[0]["game"][:10])
    assert shown.exit_code == 0 and "op trace" in shown.output
    unknown = ponw(world, HONEST, "dispute", "show", "0x123456")
    assert isinstance(unknown.exception, ConfigError)

    claims = {row["node"]: row["claim"] for row in json.loads(ponw(world, HONEST, "audit", "--format", "json").output)}
    good = ponw(world, HONEST, "audit", claims[honest])
    assert (good.exit_code, "all 6 steps and the update agree" in good.output) == (0, True)
    before = ponw(world, HONEST, "audit", claims[liar][:12])
    op = step_program(world.loops[HONEST].parts.workshop.config).outputs[LIE_OUTPUT]
    assert before.exit_code == 1
    assert "WRONG: step 0, state root: committed 0x" in before.output
    play(world, 100)
    after = ponw(world, HONEST, "audit", claims[liar])
    assert after.exit_code == 1
    assert f", op {op} sub, element 0: committed 0x" in after.output
    assert "the challenger won" in ponw(world, HONEST, "dispute", "list").output


def test_a_liar_that_serves_nothing_is_found_through_its_own_trace(world: World) -> None:
    started(world, every=5, public_uri="http://127.0.0.1:9")
    world.tick()
    world.network.advance(PATIENT.window // 2 + 1)
    view = world.until(lambda view: any(claim.challenges for claim in view.trains))
    (claim,) = (claim for claim in view.trains if claim.challenges)
    assert len(claim.challenges) == 1
    play(world, 200)
    assert_slashed(world)
    lost = next(c for c in world.view.trains if c.node == claim.node)
    assert lost.reason == "step 4: ruled wrong"


def test_a_game_played_by_hand(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    started(world)
    challenged(world)
    liar = world.loops[LIAR].parts.watcher
    assert liar.look() == 1
    world.stop(HONEST)
    game = json.loads(ponw(world, HONEST, "dispute", "list", "--format", "json").output)[0]["game"]
    monkeypatch.setattr("node.cli.dispute.signing_contracts", lambda *_: world.contracts(HONEST))
    liar.start()
    try:
        played = ponw(world, HONEST, "dispute", "play", game[:12], "--yes")
    finally:
        liar.close()
    assert "The dispute has ended: the challenger won." in played.output
    assert_slashed(world)


def test_a_restart_of_either_side_in_the_middle_of_a_game(world: World) -> None:
    started(world)
    challenged(world)
    assert play(world, 5) >= 5
    address = world.contracts(LIAR).client.address
    world.stop(HONEST)
    world.start(HONEST)
    assert play(world, 3) >= 3
    world.stop(LIAR)
    world.start(LIAR, lambda settings: lying(settings, address, every=1))
    play(world, 100)
    assert_slashed(world)


def test_a_liar_that_falls_silent_loses_by_the_clock(world: World) -> None:
    started(world)
    challenged(world)
    play(world, 4)
    world.stop(LIAR)
    play(world, 1)
    world.pass_response()
    world.pass_response()
    play(world, 5)
    assert_slashed(world)


def test_an_honest_claim_is_never_challenged(world: World) -> None:
    world.account(HONEST)
    world.account(LIAR)
    world.start(HONEST)
    world.start(LIAR)
    world.until(lambda view: len(view.trains) == 2)
    view = world.finish_round()
    assert all(not claim.challenges and not claim.judged for claim in view.trains)
    assert replace(view.info, closed=True).finals == 2
