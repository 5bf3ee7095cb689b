"""What a member gets wrong is pinned to it; members that disagree stop before anything is claimed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pipeline_seats import MINI, Seat, batch, fresh_engine, run_all, seats

from consensus.commitments.tensors import state_root
from consensus.errors import DivergedError
from consensus.model.init import init_weights
from consensus.pipeline.boundary import Fault, StageRecord, find_fault, recompute
from consensus.pipeline.compute import StageTrainer
from consensus.pipeline.stages import by_counts
from consensus.training.step import Trainer, TrainState
from node.net.wire.common_pb2 import Refusal, Versions
from node.quorum.pipeline.errors import BoundaryHashError, FrameError, OtherSessionError, RefusedError
from node.quorum.pipeline.handshake import Terms
from node.quorum.pipeline.member import Member

pytestmark = pytest.mark.usefixtures("one_thread")
STAGES = by_counts(MINI, (1, 1, 1))


def wrong_pass(forward: bool, at_step: int) -> Callable[[Member], None]:
    """A member whose stage gives a wrong result in the second micro-batch of a step."""

    def tamper(member: Member) -> None:
        right = member.trainer
        passes = []

        def off(micro: int, given: torch.Tensor) -> torch.Tensor | None:
            out = StageTrainer.forward(right, micro, given) if forward else StageTrainer.backward(right, micro, given)
            passes.append(micro)
            if micro == 1 and passes.count(1) == at_step + 1 and out is not None:
                out[3, 5] += 0.25
            return out

        member.trainer = _Changed(right, off, forward)  # type: ignore[assignment]

    return tamper


class _Changed:
    """A stage trainer with one pass replaced."""

    def __init__(self, right: StageTrainer, off: Callable[..., object], forward: bool) -> None:
        self._right = right
        setattr(self, "forward" if forward else "backward", off)

    def __getattr__(self, name: str) -> object:
        return getattr(self._right, name)


def truth(steps: int) -> list[list[StageRecord]]:
    """What every stage must commit to at each step."""
    weights, kernel = init_weights(MINI, b"seed"), fresh_engine()
    states = [StageTrainer(MINI, stage, kernel).start_state(weights) for stage in STAGES]
    return [recompute(MINI, STAGES, kernel, states, batch(step)) for step in range(steps)]


def said(group: list[Seat], step: int) -> list[StageRecord]:
    return [seat.records[step] for seat in group]


def test_an_honest_quorum_agrees_with_one_process_and_every_member_knows_every_leaf(tmp_path: Path) -> None:
    group = seats(tmp_path)
    run_all(group)
    assert [seat.error for seat in group] == [None, None, None]
    whole, trainer = TrainState.start(init_weights(MINI, b"seed")), Trainer(MINI, fresh_engine())
    for step, right in enumerate(truth(3)):
        trainer.step(whole, batch(step))
        root = state_root(whole.weights, whole.m, whole.v)
        assert [seat.leaves[step].state_root for seat in group] == [root] * 3
        assert find_fault(right, said(group, step)) is None
        assert group[0].records[step].right == group[1].records[step].left


@pytest.mark.parametrize(
    ("stage", "forward", "what"),
    [(0, True, "activation"), (1, True, "activation"), (1, False, "gradient"), (2, False, "gradient")],
)
def test_a_wrong_tensor_is_pinned_to_the_stage_that_made_it(
    tmp_path: Path, stage: int, forward: bool, what: str
) -> None:
    group = seats(tmp_path)
    group[stage].tamper = wrong_pass(forward, at_step=1)
    run_all(group)
    assert [seat.error for seat in group] == [None, None, None]
    right = truth(2)
    assert find_fault(right[0], said(group, 0)) is None
    assert find_fault(right[1], said(group, 1)) == Fault(stage, f"sent a wrong {what} of micro-batch 1")


def test_each_lie_about_a_step_names_its_owner() -> None:
    (right,) = truth(1)
    low = right[1].left
    assert low is not None
    other = bytes(32)
    lies: list[tuple[int, StageRecord, str]] = [
        (1, replace(right[1], left=replace(low, activations=(other, *low.activations[1:]))), "than it was sent"),
        (0, replace(right[0], right=replace(low, gradients=(*low.gradients[:2], other))), "than it was sent"),
        (1, replace(right[1], left=replace(low, gradients=(other, *low.gradients[1:]))), "sent a wrong gradient"),
        (1, replace(right[1], left=replace(low, gradients=low.gradients[1:])), "other tensors than"),
        (1, replace(right[1], right=None), "other tensors than"),
        (0, replace(right[0], batch_root=other), "another batch"),
        (2, replace(right[2], loss_total=1), "wrong loss"),
        (2, replace(right[2], leaves={**right[2].leaves, "head": (other,) * 3}), "updated head wrongly"),
        (2, replace(right[2], leaves={"head": (other,) * 3}), "other tensors than"),
    ]
    for stage, record, what in lies:
        given = [record if at == stage else one for at, one in enumerate(right)]
        fault = find_fault(right, given)
        assert fault is not None and fault.stage == stage and what in fault.what, (what, fault)


def test_a_member_that_commits_to_other_tensors_than_it_sent_is_stopped_by_its_neighbour(tmp_path: Path) -> None:
    def tamper(member: Member) -> None:
        commit = member.settlement.commit
        member.settlement.commit = (
            lambda done: commit(  # type: ignore[method-assign]
                replace(done, high=replace(done.high, activations=(bytes(32), *done.high.activations[1:])))
            )
        )

    group = seats(tmp_path)
    group[0].tamper = tamper
    run_all(group)
    assert isinstance(group[1].error, BoundaryHashError)
    assert "stage 0" in group[1].error.message
    assert isinstance(group[0].error, BoundaryHashError | RefusedError)
    assert isinstance(group[2].error, RefusedError)
    assert not any(seat.leaves for seat in group)


def test_ends_that_draw_other_batches_stop(tmp_path: Path) -> None:
    def tamper(member: Member) -> None:
        step = member.step
        member.step = lambda state, tokens: step(state, batch(99))  # type: ignore[method-assign]

    group = seats(tmp_path)
    group[0].tamper = tamper
    run_all(group)
    assert isinstance(group[2].error, FrameError)
    assert "another batch" in group[2].error.message
    assert isinstance(group[0].error, RefusedError)


def test_a_stage_that_diverges_ends_the_session_for_all(tmp_path: Path) -> None:
    def tamper(member: Member) -> None:
        start = member.trainer.start_state
        holder = _Changed(member.trainer, start, True)
        holder.start_state = lambda weights: start({n: w * float("inf") for n, w in weights.items()})  # type: ignore[attr-defined]
        holder.forward = member.trainer.forward  # type: ignore[attr-defined]
        member.trainer = holder  # type: ignore[assignment]

    group = seats(tmp_path, steps=1)
    group[1].tamper = tamper
    run_all(group)
    assert any(isinstance(seat.error, DivergedError) for seat in group)
    assert all(seat.error is not None for seat in group)
    assert not any(seat.leaves for seat in group)


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("network", Refusal.OTHER_NETWORK),
        ("arch_version", Refusal.OTHER_ARCHITECTURE),
        ("vocab_version", Refusal.OTHER_VOCABULARY),
        ("quorum", Refusal.OTHER_QUORUM),
    ],
)
def test_a_member_of_other_versions_is_refused_with_the_reason(tmp_path: Path, field: str, code: int) -> None:
    group = seats(tmp_path, (1, 2))
    theirs = Versions()
    theirs.CopyFrom(group[1].versions)
    setattr(theirs, field, 9 if field.endswith("version") else b"x" * 32)
    group[1].versions = theirs
    run_all(group)
    for seat in group:
        assert isinstance(seat.error, OtherSessionError | RefusedError)
        assert code in (seat.error.refusal, getattr(seat.error, "code", None))


@pytest.mark.parametrize(
    "terms", [Terms(7, b"t" * 32, 3), Terms(7, b"s" * 32, 4), Terms(8, b"s" * 32, 3)], ids=["start", "steps", "round"]
)
def test_members_of_other_terms_do_not_start(tmp_path: Path, terms: Terms) -> None:
    group = seats(tmp_path)
    group[1].terms = terms
    run_all(group)
    assert isinstance(group[1].error, OtherSessionError | RefusedError)
    assert all(seat.error is not None and not seat.records for seat in group)


def test_members_of_other_splits_do_not_start(tmp_path: Path) -> None:
    group = [seats(tmp_path, (1, 2))[0], seats(tmp_path, (2, 1))[1]]
    run_all(group)
    assert any(isinstance(seat.error, OtherSessionError) and "layers" in seat.error.message for seat in group)
    assert all(seat.error is not None for seat in group)


def test_a_stopped_round_goes_on_from_the_newest_step_that_all_have(tmp_path: Path) -> None:
    """The last member lost its newest checkpoint, the first one the records of its newest steps."""
    whole = seats(tmp_path / "whole", steps=6)
    run_all(whole)
    first = seats(tmp_path / "broken", steps=6)
    run_all(first)
    stores = sorted((tmp_path / "broken" / "2").iterdir())
    stores[-1].unlink()
    again = seats(tmp_path / "broken", steps=6)
    for seat in again:
        seat.recorded = 6
    again[0].recorded = 4
    run_all(again)
    assert [seat.error for seat in again] == [None] * 3
    assert [leaf.step for leaf in again[2].leaves] == [4, 5]
    assert again[0].leaves == whole[0].leaves[4:]


def test_a_damaged_checkpoint_is_removed_and_the_next_session_starts_from_an_older_one(tmp_path: Path) -> None:
    run_all(seats(tmp_path, steps=4))
    newest = sorted((tmp_path / "1").iterdir())[-1]
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    broken = seats(tmp_path, steps=4)
    again = seats(tmp_path, steps=4)
    for seat in (*broken, *again):
        seat.recorded = 4
    run_all(broken)
    assert type(broken[1].error).__name__ == "TensorFileError"
    assert not newest.exists()
    run_all(again)
    assert [seat.error for seat in again] == [None] * 3
    assert [leaf.step for leaf in again[0].leaves] == [3]
