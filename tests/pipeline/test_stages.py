"""Stages: any split is the whole model once, and what a stage needs is what its kernels take."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.arithmetic.choice import candidates
from consensus.arithmetic.compiled import Compiled
from consensus.commitments.tensors import state_root
from consensus.errors import CommitmentError, PipelineError
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.pipeline.boundary import recompute
from consensus.pipeline.capacity import capacity
from consensus.pipeline.compute import StageTrainer
from consensus.pipeline.roots import joined_root, stage_leaves
from consensus.pipeline.stages import by_counts, check_cover, owner_of, split, stage_cost
from consensus.training.step import Trainer, TrainState, step_loss
from node.quorum.pipeline.errors import StageTooLargeError
from node.quorum.pipeline.place import Place

MINI = ModelConfig("mini", layers=3, width=32, heads=2, seq_len=64, batch=24)
"""3 micro-batches of 8 sequences."""


def engine() -> Compiled:
    """The fastest compiled kernel of this machine."""
    for _, make in candidates():
        made = make()
        if isinstance(made, Compiled):
            return made
    pytest.skip("no compiled kernel was built")


def tokens(config: ModelConfig, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (config.batch, config.seq_len + 1), generator=draw, dtype=torch.int32)


@settings(max_examples=40)
@given(st.integers(1, 20), st.data())
def test_a_split_covers_the_model_and_moving_a_layer_makes_none_cheaper(layers: int, data: st.DataObject) -> None:
    config = ModelConfig("any", layers=layers, width=64, heads=2, seq_len=64, batch=8)
    count = data.draw(st.integers(1, min(layers, 8)))
    stages = split(config, count)
    check_cover(config, stages)
    names = sorted(name for stage in stages for name in stage.shapes(config))
    assert names == sorted(config.shapes())
    assert all(owner_of(stages, name) == at for at, stage in enumerate(stages) for name in stage.shapes(config))
    worst = max(stage_cost(config, stage) for stage in stages)
    if count > 1:
        moved = [stage.count for stage in stages]
        for source in range(count):
            for target in range(count):
                other = [n - (at == source) + (at == target) for at, n in enumerate(moved)]
                if min(other) >= 1:
                    assert max(stage_cost(config, s) for s in by_counts(config, other)) >= worst


@pytest.mark.parametrize("counts", [[], [0, 3], [1, 1], [4], [2, 2]])
def test_counts_that_are_not_the_model_are_refused(counts: list[int]) -> None:
    with pytest.raises(PipelineError):
        by_counts(MINI, counts)


def test_more_stages_than_layers_and_stages_out_of_order_are_refused() -> None:
    with pytest.raises(PipelineError, match="do not divide"):
        split(MINI, 4)
    with pytest.raises(PipelineError, match="do not cover"):
        check_cover(MINI, split(MINI, 3)[::-1])


@settings(max_examples=6)
@given(st.sampled_from([(3,), (1, 2), (2, 1), (1, 1, 1)]), st.integers(0, 2**20))
def test_any_split_gives_the_roots_and_losses_of_one_process(counts: tuple[int, ...], seed: int) -> None:
    kernel, stages = engine(), by_counts(MINI, counts)
    weights = init_weights(MINI, seed.to_bytes(4, "big"))
    whole = TrainState.start(weights)
    parts = [StageTrainer(MINI, stage, kernel).start_state(weights) for stage in stages]
    trainer = Trainer(MINI, kernel)
    for step in range(2):
        batch = tokens(MINI, seed + step)
        loss = trainer.step(whole, batch)
        records = recompute(MINI, stages, kernel, parts, batch)
        assert joined_root([record.leaves for record in records]) == state_root(whole.weights, whole.m, whole.v)
        total = records[-1].loss_total
        assert total is not None
        assert step_loss(MINI, total) == loss


def test_a_stages_weights_start_without_the_others() -> None:
    whole = init_weights(MINI, b"seed")
    for stage in split(MINI, 3):
        part = init_weights(MINI, b"seed", stage.shapes(MINI))
        assert list(part) == list(stage.shapes(MINI))
        assert all(torch.equal(part[name], whole[name]) for name in part)


def test_leaves_of_one_tensor_from_two_stages_or_of_another_size_are_refused() -> None:
    leaves = stage_leaves(TrainState.start(init_weights(MINI, b"seed")))
    with pytest.raises(CommitmentError, match="two stages"):
        joined_root([leaves, {"head": leaves["head"]}])
    with pytest.raises(CommitmentError, match="three hashes"):
        joined_root([{**leaves, "head": leaves["head"][:2]}])
    with pytest.raises(CommitmentError, match="three hashes"):
        joined_root([{**leaves, "head": (b"short", *leaves["head"][1:])}])


def test_passes_out_of_order_are_refused() -> None:
    stages = split(MINI, 3)
    trainer = StageTrainer(MINI, stages[1], engine())
    state = trainer.start_state(init_weights(MINI, b"seed"))
    x = torch.zeros(MINI.micro_batch * MINI.seq_len, MINI.width)
    with pytest.raises(PipelineError, match="other tensors"):
        trainer.begin(StageTrainer(MINI, stages[0], engine()).start_state(init_weights(MINI, b"seed")))
    trainer.begin(state)
    trainer.forward(0, x.clone())
    with pytest.raises(PipelineError, match="forward already"):
        trainer.forward(0, x.clone())
    with pytest.raises(PipelineError, match="cannot go backward"):
        trainer.backward(1, x.clone())
    with pytest.raises(PipelineError, match="0 of 3"):
        trainer.finish(state)


@pytest.mark.parametrize(("width", "seq_len"), [(128, 128), (168, 64)])
def test_the_estimate_of_a_micro_batch_is_what_the_kernels_take(width: int, seq_len: int) -> None:
    """The second has products over more than one block, and sizes that fill no panel."""
    config = ModelConfig("any", layers=2, width=width, heads=4, seq_len=seq_len, batch=1024 // seq_len)
    stages, kernel = by_counts(config, (1, 1)), engine()
    weights = init_weights(config, b"seed")
    for at, stage in enumerate(stages):
        trainer = StageTrainer(config, stage, kernel)
        trainer.begin(trainer.start_state(weights))
        rows = config.micro_batch * config.seq_len
        first = tokens(config, 1)[: config.micro_batch, :-1].contiguous()
        trainer.forward(0, first if at == 0 else torch.ones(rows, config.width))
        targets = torch.zeros(rows, dtype=torch.int32)
        trainer.backward(0, targets if stage.has_head else torch.ones(rows, config.width))
        assert trainer.lane_bytes() == (capacity(config, stages, at).activations // (2 - at),)


def test_a_model_too_large_for_one_member_fits_a_quorum_and_a_member_refuses_what_it_cannot_hold() -> None:
    config = PRESETS["tiny"]
    limit = 60_000_000
    with pytest.raises(StageTooLargeError, match="may use 60,000,000"):
        Place(config, split(config, 1), 0).require_memory(limit)
    for at in range(2):
        Place(config, split(config, 2), at).require_memory(limit)
