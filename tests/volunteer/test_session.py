"""Whole sessions against a small gateway that recomputes everything, and misbehaves where a test wants it to."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_volunteer, until
from seam import SmallGateway, problem

from node.gateway.payload import read_raw
from node.storage.checkpoints import CheckpointStore
from node.volunteer.errors import AnswerError
from node.volunteer.panel_schemas import Limits


def test_batches_are_what_the_gateway_computes_itself(tmp_path: Path, url: str, small: SmallGateway) -> None:
    one = make_volunteer(tmp_path, url, max_batches=3)
    with one.running() as thread:
        thread.join(60)
    assert len(small.counted) == small.uploads == 3
    state = one.board.whole()
    assert (state.phase, state.session.batches, state.session.rejected) == ("stopped", 3, 0)
    assert state.session.tokens == 3 * small.steps * small.config.tokens_per_step
    assert state.worker is not None
    assert state.worker.batches == 3
    assert len(small.asked("/v0")) == 1, "a version is fetched once"
    assert not one.home.work.exists()
    assert "3 batches done" in one.said()


@pytest.mark.parametrize("codec", ["topk", "fourlevel"])
def test_error_feedback_is_carried_and_audited(tmp_path: Path, url: str, small: SmallGateway, codec: str) -> None:
    small.codec, small.residual, small.audit = codec, "carried", True
    for _ in range(2):
        one = make_volunteer(tmp_path, url, max_batches=2)
        with one.running() as thread:
            thread.join(60)
    assert [lease.receipt.state for lease in small.counted if lease.receipt] == ["accepted"] * 4
    chain = one.session.residuals.chain()
    assert chain.head == small.residuals.popitem()[1]
    assert chain.pending is None
    assert [path.stem for path in one.home.residuals.glob("*.safetensors")] == [chain.head]


def test_another_residual_than_the_gateway_knows_begins_anew(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.residual = "carried"
    one = make_volunteer(tmp_path, url, max_batches=1)
    with one.running() as thread:
        thread.join(60)
    small.residuals.clear()  # the gateway has lost what it knew
    again = make_volunteer(tmp_path, url, max_batches=1)
    with again.running() as thread:
        thread.join(60)
    assert len(small.counted) == 2
    assert "begins anew" in again.said()


def test_a_refused_upload_leaves_the_chain_where_it_was(tmp_path: Path, url: str, small: SmallGateway) -> None:
    one = make_volunteer(tmp_path, url)
    chain = one.session.residuals
    shapes = small.config.shapes()
    first = chain.keep({name: torch.ones(shape) for name, shape in shapes.items()})
    second = chain.keep({name: torch.full(shape, 2.0) for name, shape in shapes.items()})
    update = "00000000-0000-4000-8000-000000000001"
    chain.sent(update, first, second)
    assert chain.current(shapes)[1] == second
    chain.settle("00000000-0000-4000-8000-000000000002", counted=False)
    assert chain.current(shapes)[1] == second, "that was another upload"
    chain.settle(update, counted=False)
    left, digest = chain.current(shapes)
    assert (digest, float(left["embed"].max())) == (first, 1.0)
    assert not chain.path(second).exists()
    chain.path(first).write_bytes(b"spoilt")
    assert float(chain.current(shapes)[0]["embed"].abs().max()) == 0.0


def test_states_for_a_claim_are_brought(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.codec, small.checkpoints = "raw", (0, 2, 4)
    one = make_volunteer(tmp_path, url, max_batches=1)
    with one.running() as thread:
        thread.join(60)
    assert sorted(small.states) == [0, 2, 4]
    shapes = small.config.shapes()
    from consensus.commitments.tensors import state_root

    store = CheckpointStore(tmp_path / "got", shapes, state_root)
    store.folder.mkdir()
    _, leaves = small.honest(small.counted[0])
    for step in (2, 4):
        store.path(0, step).write_bytes(small.states[step])
        assert store.load(store.path(0, step)).root.hex() == leaves[step - 1].state_root
    assert len(read_raw(memoryview(small.file), shapes)) == len(shapes)


def test_a_lost_lease_ends_the_batch_and_the_next_begins(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.steps = 64
    one = make_volunteer(tmp_path, url, cpu_share=0.05)
    with one.running():
        until(lambda: one.board.now().batch and small.leases, "a batch")
        lost = next(iter(small.leases.values()))
        small.events.append({"type": "event", "kind": "lease_lost", "detail": {"lease_id": "another"}, "at": 0})
        held = {"batch_id": lost.offer.batch_id, "lease_id": lost.offer.lease_id}
        until(lambda: small.beats, "a heartbeat")
        del small.leases[lost.offer.batch_id]
        small.events.append({"type": "event", "kind": "lease_lost", "detail": held, "at": 0})
        until(lambda: "gone to somebody else" in one.said(), "the loss")
        until(lambda: small.leases, "another batch")
    assert small.uploads == 0


def test_pause_start_and_finish(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.steps = 24
    one = make_volunteer(tmp_path, url, cpu_share=0.1)
    with one.running() as thread:
        until(lambda: one.step() > 2, "some steps")
        one.control.set("pause")
        until(lambda: one.board.now().phase == "paused", "the pause")
        batch = one.board.now().batch
        assert batch is not None
        assert one.session.folder.resume(small.config)[0].step == batch.step  # type: ignore[index]
        one.control.set("finish")
        thread.join(60)
        assert not thread.is_alive()
    assert len(small.counted) == small.uploads == 1
    assert one.board.whole().phase == "stopped"


def test_stopping_now_keeps_every_step(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.steps = 40
    one = make_volunteer(tmp_path, url, cpu_share=0.1)
    with one.running() as thread:
        until(lambda: one.step() > 2, "some steps")
        one.control.halt()
        thread.join(60)
    state, leaves = one.session.folder.resume(small.config)  # type: ignore[misc]
    assert state.step == len(leaves) > 2
    again = make_volunteer(tmp_path, url, max_batches=1)
    with again.running() as thread:
        thread.join(60)
    assert len(small.counted) == 1
    assert f"Going on at step {state.step} of 40" in again.said()
    assert len(small.asked("/data")) == len(small.asked("/v0")) == 1, "nothing is fetched twice"


def test_limits_hold_between_steps(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.steps = 200
    one = make_volunteer(tmp_path, url, cpu_share=0.2)
    with one.running():
        until(lambda: one.step() > 2, "some steps")
        one.session.gate.minute = lambda: 600
        one.desk.change(Limits(hours="00:00-05:00"))
        until(lambda: one.board.now().reason == "outside 00:00-05:00", "the hours")
        one.control.set("finish")  # while no step may run: stop, and keep the batch
        until(lambda: one.board.now().phase == "stopped", "the end")
    assert "taken up again next time" in one.said()
    assert one.session.folder.load() is not None


def test_a_damaged_state_is_not_gone_on_from(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.steps = 40
    one = make_volunteer(tmp_path, url, cpu_share=0.1)
    with one.running():
        until(lambda: one.step() > 4, "some steps")
    for path in (one.home.work / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-4] + b"bad!")
    again = make_volunteer(tmp_path, url, max_batches=1)
    with again.running() as thread:
        thread.join(60)
    assert len(small.counted) == 1, "it began again from the version"


def test_what_the_gateway_will_not_take_is_dropped(tmp_path: Path, url: str, small: SmallGateway) -> None:
    refused = [problem(409, "lease-ended", "The lease has ended.")]
    small.fault = lambda request: refused.pop() if refused and request.url.path.endswith("/upload") else None
    one = make_volunteer(tmp_path, url, max_batches=1)
    with one.running() as thread:
        until(lambda: not refused, "the refusal")
        thread.join(60)
    state = one.board.whole()
    assert (state.session.rejected, state.session.batches) == (1, 1)
    assert "The lease has ended. The batch is dropped." in one.said()


def test_a_gateway_set_up_anew_is_joined_again(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.most = 0
    one = make_volunteer(tmp_path, url, max_batches=1)
    with one.running() as thread:
        until(lambda: "There is no work" in one.said(), "idleness")
        small.keys.clear()
        small.tokens.clear()
        small.most = 1
        thread.join(60)
    assert len(small.asked("/auth/register")) == 2
    assert len(small.counted) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 5000, "num_samples": 20000}, "5000 steps"),
        ({"num_samples": 3}, "3 samples in 4 steps"),
        ({"model_version": "v7"}, "does not have it"),
        ({"data_sha256": hashlib.sha256(b"").hexdigest()}, "does not have the hash"),
    ],
)
def test_offers_that_make_no_sense_are_refused(
    tmp_path: Path, url: str, small: SmallGateway, change: dict[str, Any], words: str, monkeypatch: Any
) -> None:
    real = small.lease

    def lease(worker: str) -> Any:
        held = real(worker)
        assert held is not None
        held.offer = held.offer.model_copy(update=change)
        return held

    monkeypatch.setattr(small, "lease", lease)
    one = make_volunteer(tmp_path, url)
    with pytest.raises(AnswerError, match=words):
        one.session.run()
    assert one.board.whole().phase == "stopped"
