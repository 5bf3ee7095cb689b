"""PostgreSQL dies and comes back under a gateway at work: nothing is lost, nothing counts twice."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from consensus.arithmetic import choose_engine
from node.gateway.app import create_app
from node.gateway.jobs import Background, Leadership
from node.gateway.storage.tables import Aggregation, Update, UpdateState
from node.training.work import Workshop
from tests.gateway.volunteers import API, enrol

pytestmark = pytest.mark.process
PATIENCE_S = 120


def until(what, condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE_S} s"
        time.sleep(0.1)  # the pace of asking
    return found


@contextmanager
def background(gateway):
    """The jobs of a serving process, on through the outage; yields what ended them."""
    shop = Workshop(gateway.workshop.config, choose_engine(1), gateway.workshop.dataset)
    died = []
    leadership = Leadership(gateway.storage, gateway.settings.home)
    running = Background(gateway.storage, leadership, gateway.jobs(lambda: shop), died.append)
    running.start()
    try:
        yield died
    finally:
        gateway.stopping.set()
        running.stop()


def test_a_database_that_is_restarted_loses_nothing_and_counts_nothing_twice(
    open_gateways, micro_workshop, tmp_path, cluster
):
    gateway = open_gateways(
        cluster.url, real_clock=True, replicas=1, recompute_new=0, recompute_trusted=0, recompute_unlike=0,
        aggregate_updates=4, aggregate_seconds=3600, sizes=(8,), prepared=4, codec="int8",
    )  # fmt: skip
    with TestClient(create_app(gateway), raise_server_exceptions=False) as api, background(gateway) as died:
        people = [enrol(api) for _ in range(4)]
        offers = [person.request() for person in people]
        bodies = [p.train(micro_workshop, offer, tmp_path) for p, offer in zip(people, offers, strict=True)]
        first = people[0].upload(bodies[0])
        assert first.json()["state"] == "accepted", first.text

        cluster.crash()
        refused = [person.upload(body) for person, body in zip(people[1:], bodies[1:], strict=True)]
        refused.append(people[0].get("/worker/stats"))
        for answer in refused:
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
        cluster.start()

        def brought(at):
            answer = people[at].upload(bodies[at])
            assert answer.status_code in {200, 503}, answer.text
            return answer.json() if answer.status_code == 200 else None

        receipts = [until("receipt", lambda at=at: brought(at)) for at in range(4)]
        assert receipts[0]["update_id"] == first.json()["update_id"], "the upload before the crash is the same one"
        until("version", lambda: api.get(f"{API}/model/current").json().get("version") == "v1")
        again = [brought(at) for at in range(4)]
        assert [one["update_id"] for one in again] == [one["update_id"] for one in receipts]

        with gateway.storage.read() as session:
            updates = session.exec(select(Update)).all()
            aggregations = session.exec(select(Aggregation)).all()
        assert {update.id for update in updates} == {receipt["update_id"] for receipt in receipts}
        assert {update.state for update in updates} == {UpdateState.AGGREGATED}
        joined = Counter(update.aggregation_id for update in updates)
        assert joined == {one.id: one.updates for one in aggregations}
        assert [one.updates for one in aggregations] == [4]
    assert not died
