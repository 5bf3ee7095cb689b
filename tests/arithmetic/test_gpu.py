"""Engines on a GPU: what needs one is skipped elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from consensus.arithmetic import choose_engine, gpu, survey
from consensus.arithmetic.choice import candidates
from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import state_root
from consensus.model.config import ModelConfig
from consensus.model.evaluate import mean_loss
from consensus.model.init import init_weights
from consensus.training.step import Trainer, TrainState

SMALL = ModelConfig("some", layers=2, width=64, heads=2, seq_len=128, batch=8)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def failing() -> Engine | None:
    raise RuntimeError("no kernel image for this device")


def test_without_a_gpu_nothing_is_added() -> None:
    names = [name for name, _ in candidates(devices=True)]
    assert torch.cuda.is_available() == any(name.startswith("cuda-") for name in names)
    assert [name for name in names if not name.startswith("cuda-")] == [name for name, _ in candidates()]


def test_a_kernel_that_cannot_run_is_refused_with_its_reason() -> None:
    (verdict,) = survey(makers=[("broken", failing)])
    assert not verdict.passed
    assert "no kernel image" in verdict.reason


def test_engines_of_the_processor_keep_their_tensors_there() -> None:
    engine = choose_engine(1)
    assert engine.device == torch.device("cpu")
    assert engine.room() == 0
    assert gpu.device_room(engine.device) == 0


@pytest.fixture
def state() -> Iterator[TrainState]:
    yield TrainState.start(init_weights(SMALL, b"gpu"))


def batch(step: int) -> torch.Tensor:
    tokens = torch.arange(SMALL.batch * (SMALL.seq_len + 1)) * 37 + step
    return tokens.remainder(250).to(torch.int32).view(SMALL.batch, -1)


def trained(engine: Engine, state: TrainState, steps: int, graphs: bool = True) -> tuple[bytes, list[float]]:
    trainer = Trainer(SMALL, engine)
    trainer.queue.graphs = graphs
    losses = [trainer.step(state, batch(step)) for step in range(state.step, steps)]
    return state_root(state.weights, state.m, state.v), losses


@needs_gpu
@pytest.mark.gpu
def test_every_kernel_of_the_gpu_passes() -> None:
    for verdict in survey(makers=[*gpu.plain(), *gpu.candidates()]):
        assert verdict.passed, verdict


@needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize("graphs", [False, True])
def test_steps_are_the_processors(graphs: bool, state: TrainState) -> None:
    found = {}
    for name, make in [*gpu.plain(), *gpu.candidates()]:
        engine = make()
        if engine is not None:
            found[name] = trained(engine, state.clone(), 6, graphs)
    expected = trained(choose_engine(1), state.clone(), 6)
    assert found
    assert found == dict.fromkeys(found, expected)


@needs_gpu
@pytest.mark.gpu
def test_training_moves_between_processor_and_gpu(state: TrainState) -> None:
    engines = [choose_engine(1), choose_engine(1, devices=True)]
    expected = trained(engines[0], state.clone(), 6)
    for turn in range(3):
        found = trained(engines[(turn + 1) % 2], state, 2 * turn + 2)
    assert found[0] == expected[0]
    losses = {mean_loss(engine, SMALL, state.weights, batch(9)) for engine in engines if engine.device.type == "cuda"}
    state.move(torch.device("cpu"))
    assert losses <= {mean_loss(engines[0], SMALL, state.weights, batch(9))}


@needs_gpu
@pytest.mark.gpu
def test_a_share_of_the_memory_bounds_the_room() -> None:
    found = gpu.device()
    assert found is not None
    try:
        torch.cuda.set_per_process_memory_fraction(0.1, found)
        total = torch.cuda.get_device_properties(found).total_memory
        assert 0 < gpu.device_room(found) <= 0.1 * total
        with pytest.raises(torch.cuda.OutOfMemoryError):
            torch.empty(int(0.2 * total), dtype=torch.uint8, device=found)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, found)
