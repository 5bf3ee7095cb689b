"""What the dashboard says about votes on words and on layers, as a real chain has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from economics.constants import GROWTH_EXTENSIONS, GROWTH_GRACE, VOTE_APPROVAL
from economics.networks import DEVNET
from economics.units import neuro
from node import config
from node.chain.contracts import Contracts
from node.chain.types import Change, Support
from node.dashboard.api import add_dashboard, node_router
from node.dashboard.chain import Chain
from node.dashboard.home import Home
from node.vocabulary.ballots import put_forward
from node.vocabulary.votes import spelled
from tests.conftest import Network
from tests.made_up import HASHES, growth_proposed

pytestmark = pytest.mark.process
TH = ord("t").to_bytes(2) + ord("h").to_bytes(2) + (5_000).to_bytes(4)
URI = "https://example.org/why"


@pytest.fixture
def ask(network: Network, tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """GET /vocabulary, of a server that has kept nothing yet."""
    with closing(Home(tmp_path)) as home:

        def get() -> Any:
            chain = Chain(config.load(tmp_path), network.contracts(), network.deployment.block)
            app = FastAPI()
            add_dashboard(app, [node_router(home, chain, public=False)], {"node": True}, public=False)
            page = TestClient(app, base_url="http://127.0.0.1:9440", client=("127.0.0.1", 50_000))
            answer = page.get("/dashboard/api/v1/vocabulary")
            assert answer.status_code == 200, answer.text
            return answer.json()

        yield get


def test_a_growth_of_layers_from_its_proposal_to_a_version(
    network: Network, staked: Callable[[int, int], Contracts], ask: Callable[[], Any]
) -> None:
    assert ask()["growths"] == []
    voter, other = staked(1, neuro(500)), staked(2, neuro(300))
    network.advance(2)
    put_forward(voter.governor, Change(0, *HASHES, b"\7" * 32, TH), voter.client.address, URI)
    growth = growth_proposed(voter, URI)
    found = ask()
    assert [one["tokens"] for one in found["proposals"]] == [["th"]]
    [told] = found["growths"]
    assert (told["id"], told["proposer"], told["uri"]) == (spelled(growth.id), voter.client.address, URI)
    assert (told["before"], told["after"], told["state"]) == (4, 7, "pending")
    assert "discussed until" in told["words"]
    assert told["vote_ends"] > told["vote_starts"] > found["now"]

    network.advance(DEVNET.discussion + 1)
    voter.growth.vote(growth.id, Support.FOR)
    other.growth.vote(growth.id, Support.AGAINST)
    [told] = ask()["growths"]
    assert (told["approve_wei"], told["reject_wei"], told["abstain_wei"]) == (str(neuro(500)), str(neuro(300)), "0")
    assert (told["state"], told["approval_bps"], told["approval_needed_bps"]) == ("active", 6_250, VOTE_APPROVAL)
    assert told["quorum_bps"] == 10_000
    network.advance(DEVNET.vote + DEVNET.vote_extension + 1)
    found = ask()
    assert found["growths"][0]["state"] == "defeated"
    assert found["growths"][0]["holders"] == "", "it is over"
    assert [version["number"] for version in found["versions"]] == [0]


def test_pledges_and_the_deadline_of_an_announced_growth(
    network: Network, staked: Callable[[int, int], Contracts], ask: Callable[[], Any]
) -> None:
    voter, other = staked(1, neuro(500)), staked(2, neuro(300))
    network.advance(2)
    growth = growth_proposed(voter, URI)
    network.advance(DEVNET.discussion + 1)
    voter.growth.vote(growth.id, Support.FOR)
    other.growth.vote(growth.id, Support.ABSTAIN)
    voter.growth.pledge(growth.id, 4, 2, 1)
    network.advance(DEVNET.vote + DEVNET.vote_extension + 1)
    voter.growth.announce(growth)
    [told] = ask()["growths"]
    assert (told["state"], told["abstain_wei"], told["extensions_most"]) == (
        "queued",
        str(neuro(300)),
        GROWTH_EXTENSIONS,
    )
    assert told["decided_from"] == voter.growth.plan_of(growth.id).deadline
    assert "layer 6 lacks holders" in told["holders"]
    assert (told["pledged"], told["pledges"]) == (
        1,
        [{"account": voter.client.address, "first": 4, "count": 2, "tier": 1}],
    )
    network.advance(GROWTH_GRACE + 1)
    voter.growth.decide(growth)
    [told] = ask()["growths"]
    assert (told["extensions"], told["decided_from"]) == (1, voter.growth.plan_of(growth.id).deadline)
    other.growth.pledge(growth.id, 6, 1, 2)
    network.advance(GROWTH_GRACE + 1)
    voter.growth.decide(growth)
    found = ask()
    [told] = found["growths"]
    assert (told["state"], told["pledged"], [one["tier"] for one in told["pledges"]]) == ("executed", 2, [1, 2])
    assert (found["current"], found["target"]) == (0, 1)
    assert [(one["number"], one["before"], one["after"]) for one in found["versions"]] == [(1, 4, 7), (0, 0, 0)]
