"""A network whose steps are small enough to be disputed by the dozen."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bench.arena import MICRO, Arena, on_chain
from consensus.model.init import init_weights
from consensus.training.outer import GlobalState
from node.data.corpus import ensure_default

if TYPE_CHECKING:
    from node.chain.devnet import Running


@pytest.fixture(scope="session")
def arena(anvil: Running, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """One deployed network; every test undoes what it did."""
    dataset = ensure_default(tmp_path_factory.mktemp("arena") / "data")
    return on_chain(anvil, MICRO, dataset, GlobalState.start(init_weights(MICRO, b"arena")))


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Chance that is the same in every run of a test."""
    return random.Random(f"ponw/dispute/{request.node.name}")  # noqa: S311
