"""`ponw vocab list` says of each version whether it is one of words or a growth of layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from economics.constants import GROWTH_GRACE
from economics.networks import DEVNET
from economics.units import neuro
from node import config
from node.chain.contracts import Contracts
from node.chain.types import Support
from node.cli.app import app
from node.cli.context import CliState
from tests.conftest import Network
from tests.made_up import growth_proposed

pytestmark = pytest.mark.process


def test_a_growth_is_told_from_words(network: Network, staked: Callable[[int, int], Contracts], tmp_path: Path) -> None:
    config.save(tmp_path, rpc_url=network.running.rpc_url)
    network.deployment.save(tmp_path / "contracts.json")

    def listed(*words: str) -> str:
        result = CliRunner().invoke(app, ["--home", str(tmp_path), "vocab", "list", *words], obj=CliState())
        assert result.exit_code == 0, result.exception
        return result.stdout

    assert "layers" not in listed()
    voter = staked(1, neuro(500))
    network.advance(2)
    growth = growth_proposed(voter, "https://example.org")
    network.advance(DEVNET.discussion + 1)
    voter.growth.vote(growth.id, Support.FOR)
    voter.growth.pledge(growth.id, 4, 3, 2)
    network.advance(DEVNET.vote + DEVNET.vote_extension + 1)
    voter.growth.announce(growth)
    network.advance(GROWTH_GRACE + 1)
    voter.growth.decide(growth)
    assert "layers 4 -> 7" in listed()
    first, grown = json.loads(listed("--format", "json"))["versions"]
    assert (first["kind"], first["before"], first["after"]) == ("first", None, None)
    assert (grown["kind"], grown["before"], grown["after"]) == ("layers", 4, 7)
