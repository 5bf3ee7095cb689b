"""`ponw infer`, `price` and `escrow` against a server over real sockets; a process of its own where one is killed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from economics.constants import PROGRESS_TIME, SETTLE_TIME
from economics.units import neuro
from node.errors import ExitCode
from node.inference.service import InferenceService
from tests.payment.conftest import ROOT, Market, Ponw, command, environment
from tests.payment.test_real_model import Lying

pytestmark = pytest.mark.process
FEE = "0.05"
CUT = ("--top-p", "0.9")
"""Such an answer is not signed: the scripted model is none that a court could judge."""


def test_an_answer_is_paid_for_and_shown(market: Market, served: str, ponw: Ponw) -> None:
    shown = ponw("infer", "Once", "--server", served, "--max-tokens", "10", *CUT, "--max-fee", FEE, "--yes")
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.strip()) == 10
    assert "a token, at most" in shown.stderr
    assert "10 tokens for" in shown.stderr
    [request] = json.loads(ponw("escrow", "requests", "--all", "--format", "json").stdout)
    assert (request["state"], request["tokens_vouched"], request["over"]) == ("settled", 10, True)
    assert json.loads(ponw("escrow", "requests", "--format", "json").stdout) == []


def test_an_answer_as_json(served: str, ponw: Ponw) -> None:
    words = ("--server", served, "--max-tokens", "6", *CUT, "--max-fee", FEE, "--yes", "--format", "json")
    shown = ponw("infer", "Once", *words)
    document = json.loads(shown.stdout)
    assert document["paid_tokens"] == len(document["tokens"]) == 6
    assert document["paid_wei"] == 6 * document["price_wei"] == document["locked_wei"]
    assert len(document["text"]) == 6


@pytest.mark.parametrize("honest", [True, False], ids=["honest", "lying"])
def test_verify_recomputes_with_the_model_of_this_home(
    market: Market, service: InferenceService, ponw: Ponw, honest: bool
) -> None:
    with market.local_server(answerer=service if honest else Lying(service, 9)) as uri:
        words = ("--server", uri, "--max-tokens", "12", *CUT, "--max-fee", FEE, "--verify", "--yes")
        shown = ponw("infer", "It was the best of times", *words)
        assert shown.returncode == (0 if honest else ExitCode.PEER), shown.stderr
        assert ("Recomputed: all 12 tokens" if honest else "token 9 is") in shown.stderr


def test_a_fee_above_the_limit_opens_nothing(served: str, ponw: Ponw) -> None:
    shown = ponw("infer", "Once", "--server", served, "--max-fee", "0.0001", "--yes")
    assert shown.returncode == ExitCode.PEER
    assert "more than 0.0001 NEURO" in shown.stderr
    assert json.loads(ponw("escrow", "requests", "--all", "--format", "json").stdout) == []


def test_without_a_terminal_nothing_is_sent_unasked(served: str, ponw: Ponw) -> None:
    shown = ponw("infer", "Once", "--server", served, "--max-fee", FEE)
    assert shown.returncode == ExitCode.CANCELLED
    assert "--yes" in shown.stderr


def test_a_server_is_found_on_chain_or_asked_for(market: Market, served: str, ponw: Ponw) -> None:
    nowhere = ponw("price")
    assert nowhere.returncode == ExitCode.PEER
    assert "--server URL" in nowhere.stderr
    bank, contracts = market.contracts(0), market.contracts(2)
    bank.token.transfer(contracts.client.address, neuro(500))
    contracts.staking.stake_with_permit(contracts.token, neuro(500))
    contracts.registry.announce(served)
    assert served in ponw("price").stdout
    shown = ponw("infer", "Once", "--max-tokens", "5", *CUT, "--max-fee", FEE, "--yes")
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.strip()) == 5


def test_price_explains_every_factor(served: str, ponw: Ponw) -> None:
    document = json.loads(ponw("price", "--server", served, "--format", "json").stdout)
    assert [row["factor"] for row in document["factors"]] == [
        "base",
        "utilisation",
        "speed",
        "reputation",
        "floor",
        "price",
    ]
    assert "2 of 8 places" in ponw("price", "--server", served).stdout


def test_deposit_status_withdraw_and_collect(market: Market, ponw: Ponw) -> None:
    assert "Deposit: 1.5 NEURO" in ponw("escrow", "deposit", "1.5", "--yes").stdout
    assert "Deposit: 1 NEURO" in ponw("escrow", "withdraw", "0.5", "--yes").stdout
    status = json.loads(ponw("escrow", "status", "--format", "json").stdout)
    assert (status["deposit_wei"], status["credit_wei"]) == (neuro(1), 0)
    assert "Deposit: 0 NEURO" in ponw("escrow", "withdraw", "--yes").stdout
    nothing = ponw("escrow", "collect", "--yes")
    assert nothing.returncode == ExitCode.REVERTED
    assert "nothing to collect" in nothing.stderr


def test_resume_takes_back_what_a_dead_server_never_served(market: Market, home: Path, ponw: Ponw) -> None:
    server = market.server("6")
    words = ("infer", "Once", "--server", server.uri, "--max-tokens", "10", *CUT, "--max-fee", FEE, "--yes")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command(home, *words), text=True, cwd=ROOT, env=environment(), **pipes) as process:
        assert process.stdout is not None
        assert len(process.stdout.read(6)) == 6
        server.kill()
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == ExitCode.PEER
    assert "broke off after 6 tokens" in complaint
    assert "--resume" in complaint
    [request] = json.loads(ponw("escrow", "requests", "--format", "json").stdout)
    assert (request["state"], request["tokens_received"], request["tokens_vouched"]) == ("open", 5, 4)
    early = ponw("escrow", "cancel", request["request"][:10], "--yes")
    assert early.returncode == ExitCode.REVERTED
    market.network.advance(PROGRESS_TIME)
    assert "cancelled after 4 tokens" in ponw("escrow", "cancel", request["request"][:10], "--yes").stdout
    market.network.advance(SETTLE_TIME + 1)
    assert "refunded: 4 tokens paid" in ponw("infer", "--resume", "--yes").stdout
    status = json.loads(ponw("escrow", "status", "--format", "json").stdout)
    assert status["deposit_wei"] >= 6 * request["price_wei"]
