"""Versions from accepted updates: every update exactly once, whenever the process dies; and back when it got worse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlmodel import select

from bench.gateway_house import House
from consensus.aggregation import Contributions, Mean
from consensus.training.federated import FedAdam, ServerState
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.gateway.aggregator import Aggregator
from node.gateway.errors import GatewayConfigError
from node.gateway.ports import PAUSED_FLAG
from node.gateway.rules import join_of, small, weight
from node.gateway.settings import load
from node.gateway.storage.tables import Aggregation, Flag, Update

ROOT = Path(__file__).resolve().parents[2]
ALONE: dict[str, Any] = {"sizes": (16,), "replicas": 1, "recompute_new": 0, "recompute_trusted": 0}
ALONE["recompute_unlike"] = 0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return ensure_default(tmp_path_factory.mktemp("data"))


@pytest.fixture
def house(tmp_path: Path, dataset: Dataset) -> Iterator[House]:
    made = House(tmp_path, dataset, aggregate_updates=3, **ALONE)
    yield made
    made.close()


def aggregations(house: House) -> list[Aggregation]:
    with house.storage.read() as session:
        return list(session.exec(select(Aggregation)))


def flag(house: House) -> dict[str, Any]:
    with house.storage.read() as session:
        return dict(session.get_one(Flag, PAUSED_FLAG).value)


def test_a_version_after_so_many_updates_or_so_long(house: House) -> None:
    workers = [house.worker(name) for name in ("ada", "bob", "cyd")]
    assert house.aggregator.run() is None
    for worker in workers[:2]:
        house.honest(worker)
        assert house.aggregator.run() is None
    house.honest(workers[2])
    first = house.aggregator.run()
    assert first is not None
    assert (first.name, first.parent, first.source, house.current().name) == ("v1", 0, "aggregation", "v1")
    house.honest(workers[0])
    assert house.aggregator.run() is None
    house.advance(61)
    second = house.aggregator.run()
    assert second is not None
    (one, two) = sorted(aggregations(house), key=lambda row: row.base)
    assert (one.made, one.updates, one.samples, one.rule) == (1, 3, 48, "mean+fedavg")
    assert (two.made, two.updates, two.samples) == (2, 1, 16)
    assert {row.state for row in house.updates()} == {"aggregated"}
    assert [row.aggregation_id for row in house.updates()] == [one.id] * 3 + [two.id]
    assert second.metrics["heldout_loss"] < house.registry.get(0).metrics["heldout_loss"]
    assert [event["heldout_loss"] for event in house.heard.of("aggregation")][-1] == second.metrics["heldout_loss"]


def test_the_version_is_the_exact_mean_by_samples_of_one_update_a_batch(tmp_path: Path, dataset: Dataset) -> None:
    house = House(tmp_path, dataset, aggregate_updates=4, **{**ALONE, "replicas": 2, "sizes": (16, 32)})
    ada, bob = house.worker("ada"), house.worker("bob")
    start = house.registry.weights(house.current())
    for samples in (16, 32):
        offers = [house.request(who, samples) for who in (ada, bob)]
        done = house.train(offers[0])
        for who, offer in zip((ada, bob), offers, strict=True):
            house.upload(who, offer, done.leaves, done.update)
    rows = {row.batch_id: row for row in house.updates()}
    parts = [(row.samples, house.intake.archive.update(row)) for row in rows.values()]
    assert sorted(samples for samples, _ in parts) == [16, 32]
    made = house.aggregator.run()
    assert made is not None
    mean = Mean()(Contributions.of(parts))
    found = house.registry.weights(made)
    assert all(torch.equal(found[name], w - mean[name]) for name, w in start.items())
    assert (made.metrics["updates"], made.metrics["samples"]) == (4, 48)
    house.close()


def test_fed_adam_carries_its_moments_from_version_to_version(tmp_path: Path, dataset: Dataset) -> None:
    options = {**ALONE, "aggregate_updates": 1, "server": "fedadam"}
    house = House(tmp_path, dataset, **options)
    ada = house.worker("ada")
    state = ServerState.start(house.registry.weights(house.current()))
    for number in range(1, 4):
        house.honest(ada)
        joined = house.intake.archive.update(house.updates()[-1])
        state = FedAdam()(house.shop.engine, state, joined)
        made = house.aggregator.run()
        assert made is not None
        found = house.registry.weights(made)
        assert all(torch.equal(found[name], w) for name, w in state.weights.items()), number
        house.close()  # every version is made by another process
        time = house.time
        house = House(tmp_path, dataset, **options)
        house.time = time
    house.close()


def test_a_version_that_got_worse_is_gone_in_the_same_transaction(tmp_path: Path, dataset: Dataset) -> None:
    house = House(tmp_path, dataset, aggregate_updates=1, server_rate=10.0, rollback_rise=0.001, **ALONE)
    ada = house.worker("ada")
    house.honest(ada)
    base = house.current()
    with house.storage.write() as session:  # as if the start had been better than anything to come
        row = session.get_one(type(base), base.number)
        row.metrics = {**row.metrics, "heldout_loss": 0.5}
        session.add(row)
    made = house.aggregator.run()
    assert made is not None
    assert (made.name, made.source, made.metrics["rolled_back_to"]) == ("v2", "rollback", "v0")
    assert made.root == base.root
    bad = house.registry.get(1)
    assert (bad.active, bad.source) == (False, "aggregation")
    assert "rose from 0.5000" in made.metrics["reason"]
    assert house.heard.of("aggregation")[0]["rolled_back"] is True
    assert {row.state for row in house.updates()} == {"aggregated"}
    for _ in range(2):
        house.honest(ada)
        house.aggregator.run()
    assert flag(house) == {"paused": True, "reason": "3 versions in a row got worse", "rollbacks": 3}
    house.honest(ada)
    assert house.aggregator.run() is None, "until the operator looked"
    house.aggregator.resume()
    assert house.aggregator.run() is not None
    house.close()


def test_updates_of_versions_too_old_are_left_out_and_say_so(tmp_path: Path, dataset: Dataset) -> None:
    house = House(tmp_path, dataset, aggregate_updates=1, version_lag=1, **ALONE)
    late, ada = house.worker("late"), house.worker("ada")
    offer = house.request(late)
    done = house.train(offer)
    house.honest(ada)
    house.aggregator.run()
    receipt = house.upload(late, offer, done.leaves, done.update)
    assert receipt.state == "accepted"
    house.aggregator.run()
    assert house.update(receipt).state == "aggregated", "one version behind is not too old"
    older = house.honest(ada)
    model = house.registry.store(house.registry.weights(house.current()))
    for base in (2, 3):  # two versions that did not come from updates
        with house.storage.write() as session:
            house.registry.publish(session, model, base=base, source="round", metrics={})
    assert house.aggregator.run() is None
    row = house.update(older)
    assert (row.state, row.reason) == ("rejected", "the model has moved on too far since")
    assert house.look(ada).rejected == 0, "it is nobody's fault"
    house.close()


def test_weights_follow_samples_and_age() -> None:
    assert weight(512, 0) == 2 * weight(256, 0)
    assert weight(256, 3) == weight(256, 0) // 2
    assert weight(1, 10_000) >= 1
    assert small([512 * 64, 1024 * 64]) == [1, 2]
    huge = small([(1 << 20) * 64 - 1] * 100)
    assert sum(huge) * 10 < 2**31
    assert min(huge) >= 1


def test_a_rule_that_joins_nothing_of_sparse_updates_is_refused(tmp_path: Path) -> None:
    for rule in ("trimmed_mean", "median", "nnm_trimmed_mean"):
        with pytest.raises(GatewayConfigError, match="zero at most places"):
            join_of(load(tmp_path, rule=rule, codec="topk"))
        assert join_of(load(tmp_path, rule=rule, codec="int8", attackers=1))
    assert join_of(load(tmp_path, rule="multi_krum", codec="topk", attackers=1))


@pytest.mark.parametrize(("rule", "attackers", "least"), [("trimmed_mean", 0, 1), ("krum", 1, 5), ("multi_krum", 1, 5)])
def test_robust_rules_wait_until_they_can_join(
    tmp_path: Path, dataset: Dataset, rule: str, attackers: int, least: int
) -> None:
    house = House(tmp_path, dataset, aggregate_updates=1, rule=rule, attackers=attackers, **ALONE)
    ada = house.worker("ada")
    for count in range(1, least + 1):
        house.honest(ada)
        made = house.aggregator.run()
        assert (made is not None) == (count == least)
    assert aggregations(house)[0].rule == f"{rule}+fedavg"
    house.close()


# --- killed at any point ---

KILLED = """
import os, sys
from pathlib import Path
from bench.gateway_house import House
from node.data.dataset import Dataset
from tests.gateway.killing import at

home, data, point, time = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
house = House(home, Dataset.open(data), aggregate_updates=3, sizes=(16,), replicas=1, recompute_new=0,
              recompute_trusted=0, recompute_unlike=0)
house.time = time
at(house, point, lambda: os.kill(os.getpid(), 9))
print(house.aggregator.run())
"""


@pytest.mark.process
@pytest.mark.parametrize("point", ["stored", "published", "marked", "committed"])
def test_a_killed_aggregation_is_done_once(tmp_path: Path, dataset: Dataset, point: str, house: House) -> None:
    for name in ("ada", "bob", "cyd"):
        house.honest(house.worker(name))
    wanted = Aggregator._make(house.aggregator, house.aggregator._due())
    house.close()
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(dataset.folder), point, str(house.time)]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert died.returncode == -9, died.stderr
    again = House(tmp_path, dataset, aggregate_updates=3, **ALONE)
    again.time = house.time
    made = again.aggregator.run()
    assert (made is None) == (point == "committed")
    current = again.current()
    assert (current.name, current.root) == ("v1", wanted.model.root), "the same result, whoever made it"
    assert len(aggregations(again)) == 1
    with again.storage.read() as session:
        joined = {row.aggregation_id for row in session.exec(select(Update))}
    assert joined == {aggregations(again)[0].id}
    assert again.aggregator.run() is None
    again.close()
