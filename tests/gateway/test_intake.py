"""What becomes of uploads, through the real queue, database and blob store, with real training."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sqlmodel import select

from bench.gateway_house import House
from consensus.aggregation.compression import ErrorFeedback
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.gateway import wire
from node.gateway.outliers import SAMPLE_MIN
from node.gateway.payload import CODECS, encode_payload, raw_bytes, tensors_hash, zero_hash
from node.gateway.problems import Code, ProblemError
from node.gateway.schemas import BatchOffer, Receipt
from node.gateway.storage.tables import Batch, ReputationEvent, Worker


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return ensure_default(tmp_path_factory.mktemp("data"))


@pytest.fixture
def house(tmp_path: Path, dataset: Dataset) -> Iterator[House]:
    """Nothing is trained again unless something is amiss."""
    made = House(tmp_path, dataset, sizes=(16,), recompute_new=0, recompute_trusted=0)
    yield made
    made.close()


@pytest.fixture
def strict(tmp_path: Path, dataset: Dataset) -> Iterator[House]:
    """Everything is trained again."""
    made = House(tmp_path, dataset, sizes=(16,), recompute_new=10_000, recompute_trusted=10_000)
    yield made
    made.close()


def state(house: House, receipt: Receipt) -> tuple[str, str]:
    row = house.update(receipt)
    return row.state, row.reason


def events(house: House) -> list[ReputationEvent]:
    with house.storage.read() as session:
        return list(session.exec(select(ReputationEvent)))


def batch_of(house: House, offer: BatchOffer) -> Batch:
    return house.queue.find(offer.batch_id)


def test_two_equal_results_count(house: House) -> None:
    ada, bob = house.worker("ada"), house.worker("bob")
    first = house.request(ada)
    second = house.request(bob)
    assert first.batch_id == second.batch_id
    done = house.train(first)
    one = house.upload(ada, first, done.leaves, done.update)
    assert (one.state, one.reveal_residual) == ("held", False)
    two = house.upload(bob, second, done.leaves, done.update)
    assert two.state == "accepted"
    assert house.intake.receipt(ada, one.update_id).state == "accepted"
    batch = batch_of(house, first)
    assert (batch.state, batch.result_hash) == ("completed", house.update(two).result_hash)
    for worker in (ada, bob):
        now = house.look(worker)
        assert (now.batches, now.rejected, now.tokens, now.reputation) == (1, 0, 16 * 32, 500)


def test_the_same_upload_again_gives_the_same_receipt(house: House) -> None:
    ada, bob = house.worker("ada"), house.worker("bob")
    offer = house.request(ada)
    done = house.train(offer)
    first = house.upload(ada, offer, done.leaves, done.update)
    assert house.upload(ada, offer, done.leaves, done.update) == first
    assert len(house.updates()) == 1
    other = encode_payload(offer.codec, {name: -t for name, t in done.update.items()})
    with pytest.raises(ProblemError) as refused:
        house.send(ada, house.meta(ada, offer, done.leaves, other), other)
    assert refused.value.code is Code.LEASE
    meta = house.meta(ada, offer, done.leaves, encode_payload(offer.codec, done.update))
    with pytest.raises(ProblemError) as refused:
        house.send(bob, meta, encode_payload(offer.codec, done.update))
    assert refused.value.code is Code.NOT_YOURS


def test_who_disagrees_is_found_by_training_again(house: House) -> None:
    ada, eve = house.worker("ada"), house.worker("eve")
    mine, hers = house.request(ada), house.request(eve)
    done = house.train(mine)
    one = house.upload(ada, mine, done.leaves, done.update)
    two = house.upload(eve, hers, done.leaves, {name: -t for name, t in done.update.items()})
    assert (one.state, two.state) == ("held", "held")
    assert house.recomputer.run() == 1
    assert state(house, one) == ("accepted", "")
    found = state(house, two)
    assert found[0] == "rejected"
    assert "does not follow" in found[1]
    assert house.look(ada).reputation == 800
    now = house.look(eve)
    assert (now.reputation, now.rejected, now.batches) == (0, 1, 0)
    assert "does not follow" in now.quarantine_reason
    assert now.quarantined_until is not None
    with pytest.raises(ProblemError) as refused:
        house.request(eve)
    assert refused.value.code is Code.QUARANTINED
    assert house.heard.of("quarantine")[0]["username"] == "eve"
    house.advance(86_400)
    assert house.request(eve)


def test_a_trace_that_leaves_the_true_one_is_found_at_its_step(strict: House) -> None:
    eve = strict.worker("eve", reputation=10_000)
    offer = strict.request(eve)
    done = strict.train(offer)
    leaves = list(done.leaves)
    leaves[2] = replace(leaves[2], state_root=b"\x07" * 32)
    digest = zero_hash(strict.config.shapes()).hex()
    payload = encode_payload(offer.codec, done.update)
    sent = strict.send(
        eve, strict.meta(eve, offer, leaves, payload, residual_in=digest, residual_out="11" * 32), payload
    )
    assert sent.state == "held"
    strict.recomputer.run()
    assert state(strict, sent) == (
        "rejected",
        "step 2 does not lead where the upload says: the gateway trained the batch again",
    )
    assert batch_of(strict, offer).state == "pending", "somebody else trains it"


def test_other_text_and_impossible_moves_are_refused_at_once(house: House) -> None:
    for name, spoil, word in (
        ("text", lambda leaf: replace(leaf, batch_root=b"\x01" * 32), "text"),
        ("scale", None, "moves by"),
    ):
        eve = house.worker(name)
        offer = house.request(eve)
        done = house.train(offer)
        leaves = done.leaves if spoil is None else [spoil(leaf) for leaf in done.leaves]
        factor = 1000.0 if spoil is None else 1.0
        sent = house.upload(eve, offer, leaves, {n: t * factor for n, t in done.update.items()})
        assert sent.state == "rejected"
        assert word in sent.reason
        assert house.look(eve).quarantined_until is not None
        assert batch_of(house, offer).state == "pending"


def test_an_upload_is_held_to_its_offer(house: House) -> None:
    ada = house.worker("ada")
    offer = house.request(ada)
    done = house.train(offer)
    payload = encode_payload(offer.codec, done.update)
    good = house.meta(ada, offer, done.leaves, payload)
    other = encode_payload("topk", done.update)
    hashed = {"payload_sha256": hashlib.sha256(other).hexdigest(), "payload_size": len(other)}
    cases = [
        ({"num_samples": 20}, payload, Code.MISMATCH),
        ({"model_version": "v7"}, payload, Code.MISMATCH),
        ({"loss": good.loss + 0.1}, payload, Code.MISMATCH),
        ({"leaves": good.leaves[:-1], "loss": wire.mean_loss(done.leaves[:-1])}, payload, Code.MISMATCH),
        ({"residual_in": "00" * 32, "residual_out": "00" * 32}, payload, Code.MISMATCH),
        ({"codec": "topk", **hashed}, other, Code.MISMATCH),
        ({"lease_id": offer.batch_id}, payload, Code.NOT_YOURS),
        ({"batch_id": offer.lease_id}, payload, Code.BATCH),
        ({"worker_id": offer.batch_id}, payload, Code.NOT_YOURS),
    ]  # fmt: skip
    for changes, body, code in cases:
        with pytest.raises(ProblemError) as refused:
            house.send(ada, good.model_copy(update=changes), body)
        assert refused.value.code is code, changes
    bad = payload[:-1] + b"\x80"
    with pytest.raises(ProblemError) as refused:
        house.send(ada, house.meta(ada, offer, done.leaves, bad), bad)
    assert refused.value.code is Code.PAYLOAD
    assert house.updates() == []
    assert list(house.settings.spool.iterdir()) == [], "what was spooled is removed"
    assert house.send(ada, good, payload).state == "held"


def test_a_draw_decides_what_is_trained_again(tmp_path: Path, dataset: Dataset) -> None:
    house = House(tmp_path, dataset, sizes=(8,), recompute_new=5_000, recompute_trusted=5_000)
    ada, bob = house.worker("ada"), house.worker("bob")
    held = 0
    for _ in range(24):
        house.honest(ada)
        held += house.honest(bob).state == "held"
    assert 4 <= held <= 20
    # What was held only because it looked unlike the first few is not trained again once there are others like it.
    assert 4 <= house.recomputer.run() <= held
    assert {row.state for row in house.updates()} == {"accepted"}
    assert house.recomputer.run() == 0
    house.close()


def test_what_waited_for_something_to_be_compared_with_is_not_all_trained_again(
    tmp_path: Path, dataset: Dataset
) -> None:
    house = House(tmp_path, dataset, sizes=(8,), replicas=1, recompute_new=0, recompute_trusted=0)
    workers = [house.worker(f"w{n}") for n in range(16)]
    assert [house.honest(worker).state for worker in workers] == ["held"] * 16
    assert house.recomputer.run() < 16
    assert {row.state for row in house.updates()} == {"accepted"}
    kinds = [event.kind for event in events(house)]
    assert SAMPLE_MIN <= kinds.count("verified") == 16 - kinds.count("unchecked") < 16
    house.close()


def test_a_lone_result_whose_replica_never_came_is_trained_again(tmp_path: Path, dataset: Dataset) -> None:
    house = House(tmp_path, dataset, sizes=(8,), recompute_new=0, recompute_trusted=0)
    ada, bob = house.worker("ada"), house.worker("bob")
    for _ in range(SAMPLE_MIN):
        house.honest(ada)
        assert house.honest(bob).state == "accepted"
    lone = house.honest(ada)
    house.advance(house.settings.lease_max_seconds)
    house.queue.sweep()
    assert house.recomputer.run() == 1
    assert state(house, lone)[0] == "accepted"
    assert [event.kind for event in events(house) if event.update_id == lone.update_id] == ["verified"]
    house.close()


# --- error feedback ---


class Carrying:
    """A trusted volunteer with error feedback."""

    def __init__(self, house: House, name: str) -> None:
        self.house, self.worker = house, house.worker(name, reputation=9_000)
        self.left: ErrorFeedback | None = None

    def turn(self, lie: float = 0.0) -> Receipt:
        house = self.house
        offer = house.request(self.worker)
        assert (offer.residual, batch_of(house, offer).replicas) == ("carried", 1)
        done = house.train(offer)
        before = self.left or ErrorFeedback.start(done.update)
        sent = before.send(CODECS[offer.codec], {n: t * (1 + lie) for n, t in done.update.items()})
        meta = house.meta(
            self.worker,
            offer,
            done.leaves,
            sent.data,
            residual_in=tensors_hash(before.left).hex(),
            residual_out=tensors_hash(sent.feedback.left).hex(),
        )
        self.before, self.left = before, sent.feedback
        return house.send(self.worker, meta, sent.data)

    def show(self, receipt: Receipt, left: ErrorFeedback | None = None) -> Receipt:
        data = raw_bytes((left or self.before).left)
        path = self.house.spooled(lambda file: wire.write_zstd(file, data))
        return self.house.intake.residual(self.worker, receipt.update_id, path)


@pytest.fixture
def feedback(tmp_path: Path, dataset: Dataset) -> Iterator[House]:
    made = House(tmp_path, dataset, sizes=(16,), codec="topk", recompute_new=10_000, recompute_trusted=10_000)
    yield made
    made.close()


def test_an_audit_follows_error_feedback(feedback: House) -> None:
    ada = Carrying(feedback, "ada")
    first = ada.turn()
    assert (first.state, first.reveal_residual) == ("held", False), "zeros need not be shown"
    second = ada.turn()
    assert second.reveal_residual
    feedback.recomputer.run()
    assert state(feedback, first) == ("accepted", "")
    assert state(feedback, second) == ("held", "")
    with pytest.raises(ProblemError) as refused:
        ada.show(second, ada.left)
    assert refused.value.code is Code.RESIDUAL
    assert ada.show(second).reveal_residual is False
    with pytest.raises(ProblemError) as refused:
        ada.show(second)
    assert refused.value.code is Code.NOT_ASKED
    feedback.recomputer.run()
    assert state(feedback, second) == ("accepted", "")
    assert feedback.look(ada.worker).batches == 2


def test_what_was_smuggled_into_error_feedback_is_found(feedback: House) -> None:
    eve = Carrying(feedback, "eve")
    eve.turn()
    feedback.recomputer.run()
    second = eve.turn(lie=0.2)
    eve.show(second)
    feedback.recomputer.run()
    assert state(feedback, second)[0] == "rejected"
    assert feedback.look(eve.worker).reputation == 0


def test_a_residual_goes_on_from_the_last_or_from_zero(feedback: House) -> None:
    ada = Carrying(feedback, "ada")
    ada.turn()
    kept = ada.left
    ada.left = ErrorFeedback({n: t + 1.0 for n, t in kept.left.items()})  # type: ignore[union-attr]
    with pytest.raises(ProblemError) as refused:
        ada.turn()
    assert refused.value.code is Code.MISMATCH
    ada.left = None
    assert ada.turn().state == "held"


def test_a_residual_that_is_not_shown_in_time(feedback: House) -> None:
    ada = Carrying(feedback, "ada")
    ada.turn()
    feedback.recomputer.run()
    second = ada.turn()
    assert feedback.recomputer.run() == 0
    feedback.advance(601)
    assert feedback.recomputer.run() == 1
    assert state(feedback, second) == ("rejected", "the residual was not shown in time")
    now = feedback.look(ada.worker)
    assert 0 < now.reputation < 9_000
    assert now.quarantined_until is not None
    assert "not shown" in now.quarantine_reason


def test_a_volunteer_who_lied_has_the_rest_trained_again(tmp_path: Path, dataset: Dataset) -> None:
    house = House(tmp_path, dataset, sizes=(16,), recompute_new=0, recompute_trusted=0, aggregate_updates=1_000)
    eve, mallory, ada = house.worker("eve"), house.worker("mallory"), house.worker("ada")

    def together(one: Worker, other: Worker, factor: float) -> list[Receipt]:
        offers = [house.request(who) for who in (one, other)]
        done = house.train(offers[0])
        update = {n: t * factor for n, t in done.update.items()}
        return [house.upload(who, offer, done.leaves, update) for who, offer in zip((one, other), offers, strict=True)]

    lies = together(eve, mallory, -1.0)
    assert lies[1].state == "accepted", "liars who agree with one another are believed at first"
    truth = together(ada, mallory, 1.0)
    mine, hers = house.request(ada), house.request(eve)
    done = house.train(mine)
    house.upload(ada, mine, done.leaves, done.update)
    house.upload(eve, hers, done.leaves, {n: -t for n, t in done.update.items()})
    house.recomputer.run()
    assert [state(house, one)[0] for one in lies] == ["rejected", "rejected"]
    assert [state(house, one)[0] for one in truth] == ["accepted", "accepted"]
    assert house.look(mallory).quarantined_until is not None
    assert house.look(mallory).batches == 1, "what was counted and proven false no longer counts"
    assert (house.look(ada).batches, house.look(ada).rejected, house.look(ada).quarantined_until) == (2, 0, None)
    house.close()


def test_every_change_of_reputation_says_why(house: House) -> None:
    ada, eve = house.worker("ada"), house.worker("eve")
    mine, hers = house.request(ada), house.request(eve)
    done = house.train(mine)
    house.upload(ada, mine, done.leaves, done.update)
    house.upload(eve, hers, done.leaves, {n: t + 1e-3 * torch.sign(t) for n, t in done.update.items()})
    house.recomputer.run()
    with house.storage.read() as session:
        events = {row.kind: row for row in session.exec(select(ReputationEvent))}
    assert set(events) == {"verified", "false"}
    assert events["verified"].change == 800
    assert "trained the batch again" in events["false"].detail


def test_a_restart_in_the_middle_forgets_nothing(tmp_path: Path, dataset: Dataset) -> None:
    house = House(tmp_path, dataset, sizes=(16,), recompute_new=10_000)
    ada, bob = house.worker("ada"), house.worker("bob")
    one, two = house.honest(ada), house.honest(bob)
    house.close()
    again = House(tmp_path, dataset, sizes=(16,), recompute_new=10_000)
    again.time = house.time
    assert again.recomputer.run() == 1
    assert [again.intake.receipt(w, r.update_id).state for w, r in ((ada, one), (bob, two))] == ["accepted"] * 2
    again.close()


def test_the_residual_itself_is_bounded(feedback: House) -> None:
    ada = Carrying(feedback, "ada")
    ada.turn()
    second = ada.turn()
    for data in (b"junk", io.BytesIO().getvalue(), raw_bytes({"x": torch.zeros(3)})):
        path = feedback.spooled(lambda file, data=data: wire.write_zstd(file, data))  # type: ignore[misc]
        with pytest.raises(ProblemError) as refused:
            feedback.intake.residual(ada.worker, second.update_id, path)
        assert refused.value.code is Code.PAYLOAD


def test_both_databases_decide_alike(database_url: str, tmp_path: Path, dataset: Dataset) -> None:
    options = {"sizes": (16,), "recompute_new": 0, "aggregate_updates": 2, "database_url": database_url}
    house = House(tmp_path, dataset, **options)
    ada, bob, eve = (house.worker(name) for name in ("ada", "bob", "eve"))
    together = [house.honest(ada), house.honest(bob)]
    assert together[1].state == "accepted"
    mine, hers = house.request(ada), house.request(eve)
    done = house.train(mine)
    house.upload(ada, mine, done.leaves, done.update)
    lie = house.upload(eve, hers, done.leaves, {n: -t for n, t in done.update.items()})
    assert house.recomputer.run() == 1
    assert state(house, lie)[0] == "rejected"
    made = house.aggregator.run()
    assert made is not None
    assert (made.name, made.metrics["updates"]) == ("v1", 3)
    assert [row.state for row in house.updates()].count("aggregated") == 3
    house.close()


def test_replicas_that_come_at_once_are_decided_once(database_url: str, tmp_path: Path, dataset: Dataset) -> None:
    options = {"sizes": (16,), "recompute_new": 0, "replicas": 4, "database_url": database_url}
    house = House(tmp_path, dataset, **options)
    workers = [house.worker(f"w{n}") for n in range(4)]
    offers = [house.request(worker) for worker in workers]
    assert len({offer.batch_id for offer in offers}) == 1
    done = house.train(offers[0])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: house.upload(workers[at], offers[at], done.leaves, done.update), range(4)))
    assert [row.state for row in house.updates()] == ["accepted"] * 4
    assert [(house.look(worker).batches, house.look(worker).reputation) for worker in workers] == [(1, 500)] * 4
    house.close()
