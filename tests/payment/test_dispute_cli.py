"""`ponw infer --verify` and `ponw dispute answer` against a server that lies in one token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from economics.constants import CLAIM_BOND
from node.chain.contracts import Contracts
from node.errors import ExitCode
from node.inference.model import Model
from node.inference.paid.journal import Journal
from node.inference.paid.signing import AnswerSigner
from node.inference.paid.weights import KeptWeights
from node.inference.service import InferenceService
from node.storage.store import Store
from tests.payment.conftest import Market, Ponw
from tests.payment.trials import STAKE, WRONG, Lying, player_of

ASK = ("infer", "Once", "--max-tokens", "8", "--temperature", "0", "--verify", "--yes")


@pytest.fixture
def liar(
    market: Market, service: InferenceService, model: Model, staked: Callable[[int, int], Contracts]
) -> Iterator[str]:
    """Address of a server with stake, that lies and stands up for its lies."""
    contracts, home = staked(2, STAKE), market.home / "server"
    first = market.network.deployment.block
    with Store.open(home) as store:
        signer = AnswerSigner(contracts, store, model)
        signer.prepare(KeptWeights(home), Journal(home))
        with (
            player_of(market.contracts(2), home, store, first),
            market.local_server(None, Lying(service), signer, store) as uri,
        ):
            yield uri


def slashed(market: Market) -> int:
    """Wei that the server has lost."""
    contracts = market.contracts(2)
    return STAKE - contracts.staking.account_of(contracts.client.address).active


def test_verify_with_yes_accuses_and_plays_until_the_ruling(market: Market, liar: str, ponw: Ponw) -> None:
    ponw("stake", "add", "100", "--yes")
    result = ponw(*ASK, "--server", liar)
    assert result.returncode == ExitCode.PEER
    assert f"token {WRONG} is 1 and should be 0" in result.stderr
    assert "The court ruled against the server" in result.stderr
    assert slashed(market) == 2 * CLAIM_BOND


def test_who_has_no_stake_is_told_and_can_accuse_later(market: Market, liar: str, ponw: Ponw) -> None:
    result = ponw(*ASK, "--server", liar)
    assert result.returncode == ExitCode.PEER
    assert "Not accused" in result.stderr
    assert "ponw stake add 100" in result.stderr
    assert slashed(market) == 0
    ponw("stake", "add", "100", "--yes")
    [request] = json.loads(ponw("escrow", "requests", "--all", "--format", "json").stdout)
    result = ponw("dispute", "answer", request["request"][:18], "--yes")
    assert "The court ruled against the server" in result.stderr
    assert slashed(market) == 2 * CLAIM_BOND
    assert "ruled against" in ponw("dispute", "answer", request["request"][:18], "--yes").stderr


def test_a_right_answer_is_not_accused(market: Market, service: InferenceService, model: Model, ponw: Ponw) -> None:
    with Store.open(market.home / "server") as store:
        signer = AnswerSigner(market.contracts(2), store, model)
        with market.local_server(None, service, signer, store) as uri:
            assert "all 8 tokens are the model's" in ponw(*ASK, "--server", uri).stderr
    [request] = json.loads(ponw("escrow", "requests", "--all", "--format", "json").stdout)
    result = ponw("dispute", "answer", request["request"], "--yes")
    assert result.returncode == ExitCode.FAILED
    assert "No token can be accused" in result.stderr
