"""`ponw vocab` from a suggestion to a rollback, on a real chain and over the network's own text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus.arithmetic import choose_engine
from consensus.model.config import PRESETS
from node.data.dataset import Dataset
from node.errors import PonwError
from node.training.work import Workshop
from tests.conftest import Network
from tests.own_chain import Run, own_network, staked_runner, wallet_home
from tests.vocab.conftest import PATIENT

pytestmark = pytest.mark.process
KEY = "0x" + "42" * 32


@pytest.fixture(scope="module")
def tiny(corpus: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network that trains the tiny preset, with votes of an hour each, on a chain of its own."""
    genesis = Workshop(PRESETS["tiny"], choose_engine(threads=1), corpus).genesis()
    with own_network(tmp_path_factory.mktemp("chain"), PATIENT, genesis, accounts=2) as network:
        yield network


@pytest.fixture
def run(tiny: Network, corpus: Dataset, tmp_path: Path) -> Run:
    """`ponw vocab` of a staked wallet; a failure is raised as it is."""
    home = wallet_home(tmp_path / "home", tiny, corpus.folder, KEY)
    return staked_runner(home, tmp_path / "password", "vocab")


def test_from_a_suggestion_to_a_rollback(run: Run, tiny: Network, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps([["k", "e"], ["ke", "y"]]))
    with pytest.raises(PonwError, match="sensitive"):
        run("propose", str(secret), "--dry-run")
    assert run("propose").exit_code == 2, "neither a file nor a number"
    with pytest.raises(PonwError, match="no proposal begins"):
        run("show", "0xffff")

    dry = run("propose", "--suggest", "3", "--dry-run")
    assert "3 new tokens after version 0; every check passed." in dry.stdout
    assert json.loads(run("list", "--format", "json").stdout)["proposals"] == [], "a dry run sends nothing"
    assert "discussed until" in run("propose", "--suggest", "3", "--uri", "https://example.org", sign=True).stdout
    [row] = json.loads(run("list", "--format", "json").stdout)["proposals"]
    name = row["id"][:12]
    assert (row["state"], len(row["merges"])) == ("pending", 3)
    assert "https://example.org" in run("show", name).stdout
    checked = run("check", name)
    assert "FAIL" not in checked.stdout
    assert "Everything is as claimed." in checked.stdout

    tiny.advance(PATIENT.discussion + 1)
    assert "100.0% approve" in run("vote", name, "approve", sign=True).stdout
    with pytest.raises(PonwError):
        run("queue", name, sign=True)
    tiny.advance(PATIENT.vote + PATIENT.vote_extension + 1)
    assert "queued" in run("queue", name, sign=True).stdout
    with pytest.raises(PonwError):
        run("activate", name, sign=True)
    tiny.advance(PATIENT.grace + 1)
    assert "Version 1 is the target" in run("activate", name, sign=True).stdout
    assert "the next round goes there" in run("list").stdout
    kinds = [(row["kind"], row["before"]) for row in json.loads(run("list", "--format", "json").stdout)["versions"]]
    assert kinds == [("first", None), ("words", None)]
    assert "has accrued" in run("reward", "1", sign=True).stdout
    assert "is free" in run("release", name, sign=True).stdout
    assert "does not stand for" in run("release", name, sign=True).stdout

    assert "Emergency vote about version 1" in run("rollback", "1", "--reason", "a test", sign=True).stdout
    tiny.advance(2)
    run("rollback", "1", "--vote", "approve", sign=True)
    tiny.advance(PATIENT.emergency + 1)
    assert "to 0" in run("rollback", "1", "--execute", sign=True).stdout
    state = json.loads(run("list", "--format", "json").stdout)
    assert (state["current"], state["target"], len(state["versions"])) == (0, 0, 2)
    with pytest.raises(PonwError):
        run("rollback", "1", sign=True)
