"""Whole nodes over a model of a few thousand weights, so that a vote's many rounds take seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.arena import MICRO
from consensus.arithmetic import choose_engine
from economics.networks import DEVNET
from economics.units import HOUR, Seconds
from node.config import Settings
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.training.loop import RoundLoop
from node.training.work import Workshop
from tests.own_chain import own_network
from tests.training.conftest import World

VOTE = Seconds(HOUR)
PATIENT = replace(DEVNET, discussion=VOTE, vote=VOTE, vote_extension=VOTE, grace=VOTE, emergency=VOTE, thaw=5 * VOTE)
"""A devnet whose votes last longer than any round: only the test itself moves them on."""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The shipped books, tokenised once."""
    return ensure_default(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def shop(corpus: Dataset) -> Workshop:
    """Version 0 of the model."""
    return Workshop(MICRO, choose_engine(threads=1), corpus)


@dataclass
class SmallWorld(World):
    """Nodes that all train the small model."""

    def join(self, index: int, **settings: object) -> RoundLoop:
        """Start (or start again) the node of a staked account."""

        def make(_: Settings) -> Workshop:
            return Workshop(MICRO, choose_engine(threads=1), self.dataset)

        return self.start(index, make, **settings)


@pytest.fixture
def world(corpus: Dataset, shop: Workshop, tmp_path: Path) -> Iterator[SmallWorld]:
    """A network on a chain of its own, whose clock is moved by weeks; nobody has staked."""
    with own_network(tmp_path / "chain", PATIENT, shop.genesis()) as network:
        made = SmallWorld(network, corpus, tmp_path, times=PATIENT)
        with made.stack:
            yield made
