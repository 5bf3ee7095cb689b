"""A whole round on the chain inside this process."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.commitments.claim import ClaimKind
from economics.networks import DEVNET
from economics.units import Seconds
from node import config
from node.data.dataset import Dataset
from node.storage.tables import ClaimState
from node.training.embedded import embedded_network
from node.training.start import assembled

pytestmark = pytest.mark.process

QUICK = replace(DEVNET, train_time=Seconds(9), window=Seconds(3), response=Seconds(2))


def test_a_solo_node_is_paid_on_the_embedded_chain_and_leaves_nothing_behind(corpus: Dataset, tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = config.load(home, rpc_url="embedded", data_dir=corpus.folder, round_steps=4, threads=1)
    with (
        embedded_network(settings, QUICK) as (own, contracts, first),
        assembled(own, contracts, first, threading.Event()) as loop,
    ):
        before = contracts.registry.global_root()
        loop.run(rounds=1)
        record = loop.parts.store.own_claim(1, ClaimKind.TRAIN)
        assert record is not None
        assert record.state == ClaimState.PAID
        assert contracts.registry.global_root() != before
        assert own.home.parent == home
    assert not own.home.exists()
