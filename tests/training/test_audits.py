"""What an auditor finds, against provers that publish real but wrong work over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from consensus.commitments.claim import Claim, ClaimKind
from consensus.commitments.tensors import state_root, tensor_set_root
from consensus.commitments.trace import StepLeaf, Trace
from consensus.training.claimed import claimed_update, unpack_update, update_bytes
from consensus.training.step import TrainState
from economics.cohort import segment_length
from node.artefacts.publisher import RoundPublisher
from node.artefacts.server import create_app
from node.artefacts.serving import serve_in_thread
from node.chain.types import Block, Phase, Round
from node.storage.checkpoints import Checkpoint, CheckpointStore
from node.training.auditor import MAX_GAP, Auditor, WithheldError
from node.training.ledger import ClaimView, RoundView
from node.training.work import Task, Workshop

STEPS = 10
NODE = b"\x11" * 20
AUDITOR = b"\x22" * 20
RANDOMNESS = b"\x33" * 32


@dataclass
class Work:
    """Ten steps of a prover, as it would publish them."""

    start: TrainState
    leaves: list[StepLeaf]
    states: dict[int, TrainState]
    update: dict[str, object]


@pytest.fixture(scope="module")
def honest(shop: Workshop) -> Work:
    state = TrainState.start(shop.genesis_state().weights)
    task, leaves, states = Task(RANDOMNESS, NODE), [], {0: state.clone()}
    for leaf in shop.steps(state, task, STEPS):
        leaves.append(leaf)
        states[leaf.step + 1] = state.clone()
    return Work(states[0], leaves, states, claimed_update(states[0].weights, state.weights))


def claim_over(shop: Workshop, work: Work, **fields: object) -> Claim:
    values: dict[str, object] = {
        "kind": ClaimKind.TRAIN,
        "round": 1,
        "node": NODE,
        "program_hash": bytes(32),
        "data_root": shop.dataset.root,
        "start_root": bytes(32),
        "end_root": work.leaves[-1].state_root,
        "trace_root": Trace(work.leaves).root(),
        "update_root": tensor_set_root(work.update),  # type: ignore[arg-type]
        "steps": STEPS,
        "tokens": STEPS * 1024,
        "first_layer": 0,
        "layer_count": 4,
        "base": 1,
    }
    return Claim(**(values | fields))  # type: ignore[arg-type]


@contextmanager
def served(shop: Workshop, work: Work, folder: Path, steps: tuple[int, ...]) -> Iterator[str]:
    """Publish a prover's work and serve it."""
    checkpoints = CheckpointStore(folder / "own", shop.config.shapes(), state_root)
    publisher = RoundPublisher(folder / "served", 1)
    publisher.put_trace([leaf.encode() for leaf in work.leaves])
    for step in steps:
        state = work.states[step]
        groups = {"weights": state.weights, "m": state.m, "v": state.v}
        checkpoints.save(Checkpoint(1, step, state_root(state.weights, state.m, state.v), groups))
        publisher.put_checkpoint(step, checkpoints.path(1, step))
    publisher.finish()
    with serve_in_thread(create_app(folder / "served"), "127.0.0.1", 0) as serving:
        yield serving.uri


def view_of(claim: Claim) -> tuple[RoundView, ClaimView]:
    suspect = ClaimView(claim, b"\x44" * 32, "0x" + NODE.hex())
    info = Round(bytes(32), 0, 0, 1, 0, 0, False, RANDOMNESS, bytes(32), "", 0)
    return RoundView(1, Phase.WINDOW, info, Block(9, 9, bytes(32)), 1, (suspect,), (), {}), suspect


ALL = tuple(range(STEPS + 1))


def seed_for(step: int, shop: Workshop) -> bytes:
    """An audit seed that draws the segment of `step`."""
    from consensus.dispute.audit import draw_segments

    for i in range(10_000):
        seed = i.to_bytes(32, "big")
        drawn = draw_segments(seed, b"\x44" * 32, AUDITOR, STEPS, segment_length(STEPS), 2)
        if any(segment.start <= step < segment.stop for segment in drawn):
            return seed
    raise AssertionError("no seed draws this step")


def test_honest_work_passes_and_its_update_is_kept(shop: Workshop, honest: Work, tmp_path: Path) -> None:
    claim = claim_over(shop, honest)
    view, suspect = view_of(claim)
    auditor = Auditor(shop, tmp_path / "audit", lambda: None)
    with served(shop, honest, tmp_path, ALL) as uri:
        for seed in (bytes(32), b"\x01" * 32):
            finding = auditor.audit(view, suspect, honest.start.weights, seed, AUDITOR, uri)
            assert finding.step is None, finding.detail
    kept, shapes = auditor.update(suspect).read_bytes(), shop.config.shapes()
    assert len(kept) == update_bytes(shapes) < 870_400 * 4 // 3
    assert tensor_set_root(unpack_update(kept, shapes)) == claim.update_root
    assert not (tmp_path / "audit" / "fetched").exists()


def test_sparse_checkpoints_only_cost_the_auditor_more(shop: Workshop, honest: Work, tmp_path: Path) -> None:
    view, suspect = view_of(claim_over(shop, honest))
    auditor = Auditor(shop, tmp_path / "audit", lambda: None)
    with served(shop, honest, tmp_path, (2, 4, 6, 8, 10)) as uri:
        finding = auditor.audit(view, suspect, honest.start.weights, seed_for(7, shop), AUDITOR, uri)
    assert finding.step is None, finding.detail


def lying(honest: Work, step: int, leaf: StepLeaf) -> Work:
    return replace(honest, leaves=[*honest.leaves[:step], leaf, *honest.leaves[step + 1 :]])


@pytest.mark.parametrize("step", [0, 4, 8])
@pytest.mark.parametrize("field", ["loss_bits", "batch_root", "state_root"])
def test_one_wrong_bit_in_a_drawn_step_is_named(
    shop: Workshop, honest: Work, tmp_path: Path, step: int, field: str
) -> None:
    true = honest.leaves[step]
    if field == "loss_bits":
        false = replace(true, loss_bits=true.loss_bits ^ 1)
    else:
        root = bytearray(getattr(true, field))
        root[31] ^= 1
        false = replace(true, **{field: bytes(root)})
    work = lying(honest, step, false)
    view, suspect = view_of(claim_over(shop, work))
    auditor = Auditor(shop, tmp_path / "audit", lambda: None)
    with served(shop, work, tmp_path, ALL) as uri:
        finding = auditor.audit(view, suspect, honest.start.weights, seed_for(step, shop), AUDITOR, uri)
    assert finding.step == step
    assert f"step {step}, {field.replace('_bits', '').replace('_', ' ')}: committed" in finding.detail


def test_a_prover_that_skips_the_last_steps_update_is_found(shop: Workshop, honest: Work, tmp_path: Path) -> None:
    view, suspect = view_of(claim_over(shop, honest, update_root=b"\x05" * 32))
    auditor = Auditor(shop, tmp_path / "audit", lambda: None)
    with served(shop, honest, tmp_path, ALL) as uri:
        finding = auditor.audit(view, suspect, honest.start.weights, bytes(32), AUDITOR, uri)
    assert finding.step == STEPS
    assert "update" in finding.detail


def test_a_trace_that_does_not_end_in_the_end_root_is_found(shop: Workshop, honest: Work, tmp_path: Path) -> None:
    view, suspect = view_of(claim_over(shop, honest, end_root=b"\x06" * 32))
    auditor = Auditor(shop, tmp_path / "audit", lambda: None)
    with served(shop, honest, tmp_path, ALL) as uri:
        finding = auditor.audit(view, suspect, honest.start.weights, bytes(32), AUDITOR, uri)
    assert finding.step == STEPS - 1


def test_another_trace_than_committed_counts_as_withheld(shop: Workshop, honest: Work, tmp_path: Path) -> None:
    view, suspect = view_of(claim_over(shop, honest, trace_root=b"\x07" * 32))
    auditor = Auditor(shop, tmp_path / "audit", lambda: None)
    with served(shop, honest, tmp_path, ALL) as uri, pytest.raises(WithheldError, match="not the one committed"):
        auditor.audit(view, suspect, honest.start.weights, bytes(32), AUDITOR, uri)


def test_missing_checkpoints_count_as_withheld(shop: Workshop, honest: Work, tmp_path: Path) -> None:
    view, suspect = view_of(claim_over(shop, honest))
    with served(shop, honest, tmp_path, (10,)) as uri:
        auditor = Auditor(shop, tmp_path / "audit", lambda: None, max_gap=2)
        with pytest.raises(WithheldError) as withheld:
            auditor.audit(view, suspect, honest.start.weights, seed_for(9, shop), AUDITOR, uri)
        assert withheld.value.step == 9
        # Two segments of the longest claim, by default: a round that was cut short is as honest as any.
        assert MAX_GAP == 200
        auditor = Auditor(shop, tmp_path / "audit", lambda: None)
        assert auditor.audit(view, suspect, honest.start.weights, seed_for(9, shop), AUDITOR, uri).step is None


def test_a_silent_prover_counts_as_withheld(shop: Workshop, honest: Work, tmp_path: Path) -> None:
    view, suspect = view_of(claim_over(shop, honest))
    auditor = Auditor(shop, tmp_path / "audit", lambda: None)
    with pytest.raises(WithheldError, match="announced no address"):
        auditor.audit(view, suspect, honest.start.weights, bytes(32), AUDITOR, None)


def test_the_published_claim_reads_back(shop: Workshop, honest: Work, tmp_path: Path) -> None:
    claim = claim_over(shop, honest)
    publisher = RoundPublisher(tmp_path, 1)
    publisher.put_claim(json.dumps(claim.to_json()).encode())
    assert Claim.from_json(json.loads((publisher.folder / "claim.json").read_bytes())) == claim
