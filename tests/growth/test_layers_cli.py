"""`ponw layers` from a proposal to the next round's depth, on a real chain, by a staked wallet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.arithmetic import choose_engine
from consensus.model.config import PRESETS
from economics.constants import GROWTH_GRACE
from economics.units import neuro
from node import config
from node.data.dataset import Dataset
from node.errors import PonwError, RevertError
from node.modes.view import NetworkView, write_view
from node.training.work import Workshop
from tests.conftest import Network
from tests.growth.conftest import PATIENT
from tests.own_chain import Run, own_network, staked_runner, wallet_home

pytestmark = pytest.mark.process
KEY = "0x" + "43" * 32


@pytest.fixture(scope="module")
def tiny(corpus: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network that trains the tiny preset, on a chain of its own."""
    genesis = Workshop(PRESETS["tiny"], choose_engine(threads=1), corpus).genesis()
    with own_network(tmp_path_factory.mktemp("chain"), PATIENT, genesis, accounts=2) as network:
        yield network


@pytest.fixture
def home(tiny: Network, corpus: Dataset, tmp_path: Path) -> Path:
    """The home of a wallet with tokens."""
    return wallet_home(tmp_path / "home", tiny, corpus.folder, KEY)


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """`ponw layers` of a staked wallet; a failure is raised as it is."""
    return staked_runner(home, tmp_path / "password", "layers")


def test_from_a_proposal_to_the_next_depth(run: Run, home: Path, tiny: Network) -> None:
    with pytest.raises(PonwError, match="may add 3 to 3"):
        run("propose", "--add", "4", "--round-steps", "1000", "--dry-run")
    dry = run("propose", "--round-steps", "1000", "--dry-run")
    assert "3 more layers after version 0; every check passed." in dry.stdout
    assert "no node of this home has seen the network" in dry.stdout
    assert json.loads(run("growth", "--format", "json").stdout)["growths"] == [], "a dry run sends nothing"
    assert "The newest round trains 4 layers." in run("growth").stdout

    write_view(home, NetworkView(layers=4))
    proposed = run("propose", "--round-steps", "1000", "--uri", "https://example.org", sign=True).stdout
    assert "no node is there" in proposed, "the rule would announce none now, and the voters decide"
    assert "discussed until" in proposed
    [row] = json.loads(run("growth", "--format", "json").stdout)["growths"]
    assert (row["before"], row["after"], row["state"], row["lacking"]) == (4, 7, "pending", 4)
    name = row["id"][:12]
    assert "Everything is as claimed." in run("check", name).stdout
    assert "discussed until" in run().stdout, "`ponw layers` names what is under way"

    tiny.advance(PATIENT.discussion + 1)
    assert "100.0% approve" in run("vote", name, "approve", sign=True).stdout
    with pytest.raises(RevertError):
        run("announce", name, sign=True)
    tiny.advance(PATIENT.vote + PATIENT.vote_extension + 1)
    assert "announced, decided by" in run("announce", name, sign=True).stdout
    with pytest.raises(RevertError, match="grace"):
        run("decide", name, sign=True)
    assert "Pledged layers 4 to 5. " in run("pledge", name, "--tier", "1", "--count", "2", sign=True).stdout
    tiny.advance(GROWTH_GRACE + 1)
    assert "(extension 1 of 3)" in run("decide", name, sign=True).stdout
    assert "layer 6 lacks holders" in run("growth").stdout
    other = tiny.contracts(tiny.accounts[0])
    other.staking.stake_with_permit(other.token, neuro(200))
    other.growth.pledge(int(row["id"], 16), 6, 1, 3)
    tiny.advance(GROWTH_GRACE + 1)
    assert "activated" in run("decide", name, sign=True).stdout
    assert other.vocabulary.state() == (0, 1)
    with pytest.raises(PonwError, match="No growths of layers begin"):
        run("check", "0xffff")


def test_a_false_growth_is_refused_by_whoever_checks_it(run: Run, home: Path, tiny: Network) -> None:
    from node.cli.layers_desk import DepthReader

    read = DepthReader(config.load(home), tiny.contracts(tiny.accounts[0]), tiny.deployment.block)
    honest = read.drafted(3, 1000)
    read.require(honest)
    with pytest.raises(PonwError, match="the program hash of the round that grows is 0x0909"):
        read.require(replace(honest, grow_hash=b"\x09" * 32))
    assert honest.deepening is not None
    other = replace(honest.deepening, young=((b"\x08" * 32, honest.deepening.young[0][1]),))
    with pytest.raises(PonwError, match="the program hash of young round 1 is 0x0808"):
        read.require(replace(honest, merges=other.encode()))
