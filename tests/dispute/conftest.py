"""A network whose steps are small enough to be disputed by the dozen."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from bench import arena as arenas
from bench.arena import MICRO, Arena
from consensus.model.init import init_weights
from consensus.training.outer import GlobalState
from node.data.corpus import ensure_default


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """One network on a chain of its own, whose clock no other test moves; every test undoes what it did."""
    folder = tmp_path_factory.mktemp("arena")
    dataset, start = ensure_default(folder / "data"), GlobalState.start(init_weights(MICRO, b"arena"))
    with arenas.arena(folder / "chain", MICRO, dataset, start) as field:
        yield field


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Chance that is the same in every run of a test."""
    return random.Random(f"ponw/dispute/{request.node.name}")  # noqa: S311
