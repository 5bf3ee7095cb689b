# ruff: noqa: F811 - fixtures are imported, and then named by tests
"""A staked node whose rounds volunteers train, on a real chain: from one volunteer's batch to the final claim."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlmodel import select
from torch import Tensor

from consensus.commitments.batch import batch_root
from consensus.commitments.claim import ClaimKind
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf, Trace, loss_bits
from consensus.training.outer import update_of
from consensus.training.step import TrainState
from node.chain.types import ClaimState, Phase
from node.gateway import wire
from node.gateway.claims import GatewayHelpers
from node.gateway.gateway import Gateway, open_gateway
from node.gateway.payload import raw_bytes
from node.gateway.problems import Code, ProblemError
from node.gateway.recompute import Recomputer
from node.gateway.schemas import BatchOffer, BatchRequest, Receipt, UploadMeta
from node.gateway.settings import load
from node.gateway.storage.store import new_id
from node.gateway.storage.tables import Aggregation, Batch, Worker
from node.gateway.trace import trace_of
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.training.helping import states_due
from node.training.work import Workshop
from tests.training.conftest import STEPS, World, corpus, shop, trained, world  # noqa: F401 - fixtures

pytestmark = pytest.mark.process


class House:
    """A node and its gateway, each with its own hold of the gateway's database and blobs, as two processes have."""

    def __init__(self, world: World, shop: Workshop, folder: Path) -> None:
        self.world, self.shop, self.folder = world, shop, folder
        options = {"data_dir": world.dataset.folder, "claims": True, "recompute_new": 0}
        settings = load(folder / "gateway", **options)
        self.gateway: Gateway = open_gateway(settings, shop)
        world.account(1)
        self.loop = world.start(1)
        parts = self.loop.parts
        self.behind = open_gateway(settings, parts.workshop)
        parts.helpers = GatewayHelpers(self.behind, bytes.fromhex(parts.contracts.client.address[2:]))

    def close(self) -> None:
        self.gateway.close()
        self.behind.close()

    def worker(self, name: str) -> Worker:
        row = Worker(
            id=new_id(), key_hash=hashlib.sha256(name.encode()).digest(), username=name, created_at=1, last_seen=1
        )
        with self.gateway.storage.write() as session:
            session.add(row)
        return row

    def offered(self) -> Batch:
        """Tick until the node has offered its round's work."""
        found: list[Batch] = []

        def is_there(_view: Any) -> bool:
            with self.gateway.storage.read() as session:
                found[:] = list(session.exec(select(Batch)))
            return bool(found)

        self.world.until(is_there)
        return found[0]

    def request(self, worker: Worker) -> BatchOffer:
        return self.gateway.queue.request(worker, BatchRequest())

    def train(
        self, offer: BatchOffer, lie: float = 0.0
    ) -> tuple[list[StepLeaf], dict[int, TrainState], dict[str, Tensor]]:
        """Leaves, the states that the offer asks for, and the update; `lie` is added to a weight after every step."""
        version = self.gateway.registry.find(offer.model_version)
        assert version is not None
        start = self.gateway.registry.weights(version)
        text = b"".join(self.gateway.queue.data(self.gateway.queue.find(offer.batch_id)))
        config = self.shop.config
        shape = (offer.steps, config.batch, config.seq_len + 1)
        state, leaves, states = TrainState.start(start), [], {}
        for step, rows in enumerate(np.frombuffer(text, dtype="<u2").reshape(shape).astype(np.int32)):
            loss = self.shop.trainer.step(state, torch.from_numpy(rows))
            state.weights["head"][0, 0] += lie
            root = state_root(state.weights, state.m, state.v)
            leaves.append(StepLeaf(root, batch_root(rows), loss_bits(loss), step))
            if state.step in offer.checkpoints:
                states[state.step] = state.clone()
        return leaves, states, update_of(start, state.weights)

    def bring_states(self, worker: Worker, offer: BatchOffer, states: dict[int, TrainState]) -> None:
        store = CheckpointStore(self.folder / worker.username, self.shop.config.shapes(), state_root)
        for step, state in states.items():
            groups = {"weights": state.weights, "m": state.m, "v": state.v}
            path = store.save(Checkpoint(0, step, state_root(*groups.values()), groups))
            self.gateway.intake.checkpoint(worker, offer.batch_id, step, path)

    def upload(self, worker: Worker, offer: BatchOffer, leaves: list[StepLeaf], update: dict[str, Tensor]) -> Receipt:
        payload = raw_bytes(update)
        meta = UploadMeta(
            worker_id=worker.id,
            batch_id=offer.batch_id,
            lease_id=offer.lease_id,
            model_version=offer.model_version,
            codec="raw",
            loss=wire.mean_loss(leaves),
            num_samples=offer.num_samples,
            leaves=[wire.wire_leaf(leaf) for leaf in leaves],
            payload_sha256=hashlib.sha256(payload).hexdigest(),
            payload_size=len(payload),
        )
        path = self.folder / f"upload-{worker.username}"
        with path.open("wb") as file:
            wire.write_upload(file, meta, payload)
        return self.gateway.intake.accept(worker, meta, path)

    def turn(self, name: str, lie: float = 0.0) -> tuple[BatchOffer, list[StepLeaf], Receipt]:
        """Everything that one volunteer does."""
        worker = self.worker(name)
        offer = self.request(worker)
        leaves, states, update = self.train(offer, lie)
        self.bring_states(worker, offer, states)
        return offer, leaves, self.upload(worker, offer, leaves, update)


@pytest.fixture
def house(world: World, shop: Workshop, tmp_path: Path) -> Iterator[House]:
    made = House(world, shop, tmp_path)
    yield made
    made.close()


def test_one_volunteers_work_can_be_traced_to_the_final_claim_on_chain(house: House) -> None:
    world = house.world
    batch = house.offered()
    assert (batch.chain_round, batch.replicas, batch.steps) == (1, 2, STEPS)
    offer, leaves, first = house.turn("ada")
    assert (offer.codec, offer.residual, offer.checkpoints) == ("raw", "zero", states_due(STEPS))
    assert first.state == "held"
    world.tick()
    assert world.view.trains == [], "one result alone is not claimed"
    _, _, second = house.turn("bob")
    assert second.state == "accepted"
    view = world.until(lambda seen: bool(seen.trains))
    claim = view.trains[0].claim
    assert (claim.trace_root, claim.end_root) == (Trace(leaves).root(), leaves[-1].state_root)
    assert house.loop.parts.inner.leaves(1) == leaves, "and the node can answer for every step"
    trace = trace_of(house.gateway.storage, offer.batch_id)
    assert trace.chain_round == 1
    assert trace.claim_hash == view.trains[0].hash.hex()
    assert trace.claim_tx is not None
    mined = world.network.rpc("eth_getTransactionReceipt", "0x" + trace.claim_tx)
    assert mined["status"] == "0x1"
    assert mined["to"] == house.loop.parts.contracts.registry.address.lower()
    assert "0x" + trace.claim_hash in [topic for log in mined["logs"] for topic in log["topics"]]
    lines = {line.username: line for line in trace.updates}
    assert {line.state for line in lines.values()} == {"aggregated"}
    assert lines["ada"].trace_root == claim.trace_root.hex()
    with house.gateway.storage.read() as session:
        (joined,) = session.exec(select(Aggregation))
    assert (joined.id, joined.rule, joined.made, joined.updates, joined.samples) == (
        lines["ada"].aggregation_id,
        "claim",
        None,
        2,
        batch.samples,
    )
    assert joined.claim_hash == view.trains[0].hash
    view = world.finish_round()
    assert [one.state for one in view.trains] == [ClaimState.FINAL]
    assert world.contracts(0).registry.global_root() != world.network.genesis.start_root


def test_a_result_without_its_states_is_not_taken(house: House) -> None:
    house.offered()
    worker = house.worker("ada")
    offer = house.request(worker)
    leaves, states, update = house.train(offer)
    with pytest.raises(ProblemError) as refused:
        house.upload(worker, offer, leaves, update)
    assert refused.value.code is Code.MISMATCH
    states[2].weights["head"][0, 0] += 1.0
    house.bring_states(worker, offer, states)
    with pytest.raises(ProblemError, match="after step 2"):
        house.upload(worker, offer, leaves, update)
    other = house.worker("bob")
    with pytest.raises(ProblemError) as refused:
        house.bring_states(other, offer, {1: states[1]})
    assert refused.value.code is Code.LEASE


def test_a_node_that_is_left_alone_trains_itself(house: House) -> None:
    world = house.world
    offered = house.offered()
    worker = house.worker("late")
    offer = house.request(worker)
    world.tick()
    assert world.view.trains == []
    world.network.advance(35)
    view = world.until(lambda seen: bool(seen.trains))
    assert view.phase is Phase.TRAIN
    assert house.gateway.queue.find(offered.id).state == "failed"
    assert house.loop.parts.store.own_claim(1, ClaimKind.TRAIN) is not None
    trace = trace_of(house.gateway.storage, offered.id)
    assert (trace.claim_hash, trace.claim_tx) == (None, None)
    leaves, states, update = house.train(offer)
    with pytest.raises(ProblemError) as refused:
        house.upload(worker, offer, leaves, update)
    assert refused.value.code in {Code.LEASE, Code.MISMATCH}
    assert states


def test_liars_who_agree_do_not_get_the_node_to_claim(house: House) -> None:
    world = house.world
    house.offered()
    offer, leaves, _ = house.turn("eve", lie=0.002)
    _, _, second = house.turn("mallory", lie=0.002)
    assert second.state == "accepted", "they agree, and were not drawn"
    view = world.until(lambda seen: bool(seen.trains))
    claim = view.trains[0].claim
    assert claim.trace_root != Trace(leaves).root()
    honest, _, _ = house.train(offer)
    assert claim.trace_root == Trace(honest).root(), "the node trained the round itself"
    g = house.gateway
    judge = Recomputer(g.storage, g.intake, g.registry, house.shop, g.settings, g.events, g.stopping)
    assert judge.run() == 1
    trace = trace_of(g.storage, offer.batch_id)
    assert {line.state for line in trace.updates} == {"rejected"}
    assert trace.claim_hash is None
    with g.storage.read() as session:
        assert all(row.quarantined_until for row in session.exec(select(Worker)))
