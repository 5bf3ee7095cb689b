"""Two `ponw run` that do not audit each other: each takes the other's update over the wire, and the round closes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest

from bench.chaos.chain_faults import World, undisturbed
from bench.chaos.proxy import Proxy
from consensus.commitments.tensors import tensor_set_root
from consensus.training.claimed import unpack_update, update_bytes
from node import config
from node.artefacts.layout import ARTEFACTS_NAME, UPDATE_NAME
from node.demo.network import DemoNetwork

pytestmark = pytest.mark.process


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with DemoNetwork(tmp_path / "net", rounds=1) as network:
        running = network.start_chain()
        with Proxy(running.port) as proxy:
            world = World(network, running, proxy)
            for node in world.nodes:
                # Nobody recomputes what the other claims, so nobody has its update from that.
                config.save(node.home, audit_share_bps=0)
                node.command.insert(node.command.index("--home"), "--debug")
            yield world


def test_a_round_whose_updates_come_over_the_wire_as_int8_blocks(world: World) -> None:
    shapes = world.shop.config.shapes()
    for node in world.nodes:
        node.start()
    world.wait("two claims", lambda: world.trains() == 2)
    world.finish()
    view = world.ledger.look(1)
    assert all(undisturbed(world, view).values()), "claims and outer step are those of one process"
    claims = {final.node: final.claim for final in view.finals}
    for node in world.nodes:
        log = re.sub(r"\x1b\[[0-9;]*m", "", (node.home / "node.log").read_text())
        fetched = [int(size) for size in re.findall(r"update fetched.*?\bbytes=(\d+)", log)]
        assert fetched == [update_bytes(shapes)], "one update, the other node's"
        served = (node.home / ARTEFACTS_NAME / "1" / UPDATE_NAME).read_bytes()
        assert tensor_set_root(unpack_update(served, shapes)) == claims[node.address].update_root
    plain = 4 * sum(map(prod, shapes.values()))
    print(f"an update took {plain:,} bytes on the wire, and takes {update_bytes(shapes):,}")
    assert plain > 3.9 * update_bytes(shapes)
