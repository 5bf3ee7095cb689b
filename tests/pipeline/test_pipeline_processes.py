"""Stages in processes of their own give the roots of one process, also after one of them was killed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from bench.pipeline_group import Group, finish, run, start
from bench.pipeline_worker import NODE, RANDOMNESS, SEED
from consensus.arithmetic import choose_engine
from consensus.arithmetic.choice import candidates
from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf, Trace, loss_bits
from consensus.model.config import PRESETS
from consensus.model.init import init_weights
from consensus.pipeline.stages import split
from consensus.training.step import Trainer, TrainState
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.training.batch import draw_batch

pytestmark = pytest.mark.process
TINY, STEPS = PRESETS["tiny"], 10


def kernel() -> str:
    """The first kernel that runs here: every one gives the same bits."""
    return next(name for name, make in candidates() if make() is not None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_default(tmp_path_factory.mktemp("pipeline") / "data").folder


@pytest.fixture(scope="module")
def alone(data: Path) -> Trace:
    """The trace of one process."""
    trainer, dataset = Trainer(TINY, choose_engine()), Dataset.open(data)
    state, trace = TrainState.start(init_weights(TINY, SEED)), Trace()
    for step in range(STEPS):
        tokens = draw_batch(TINY, dataset, RANDOMNESS, NODE, step)
        loss = trainer.step(state, tokens)
        root = state_root(state.weights, state.m, state.v)
        trace.append(StepLeaf(root, batch_root(tokens.numpy()), loss_bits(loss), step))
    return trace


def leaves(report: dict[str, list[str]]) -> list[StepLeaf]:
    return [StepLeaf.decode(bytes.fromhex(leaf)) for leaf in report["leaves"]]


@pytest.mark.parametrize(("stages", "tcp"), [(2, False), (3, True), (4, False)])
def test_a_pipeline_of_processes_has_the_trace_of_one_process(
    tmp_path: Path, data: Path, alone: Trace, stages: int, tcp: bool
) -> None:
    layers = tuple(stage.count for stage in split(TINY, stages))
    reports = run(Group(layers, STEPS, kernel(), data, tmp_path, tcp=tcp))
    assert ["error" in report for report in reports] == [False] * stages
    for report in reports:
        assert Trace(leaves(report)).root() == alone.root()
    for low, high in pairwise(reports):
        assert low["boundaries"]["right"] == high["boundaries"]["left"]
        assert len(set(low["boundaries"]["right"])) == STEPS


def test_a_member_killed_in_a_batch_stops_all_and_the_session_goes_on_with_the_same_bits(
    tmp_path: Path, data: Path, alone: Trace
) -> None:
    group = Group((1, 2, 1), STEPS, kernel(), data, tmp_path)
    before = finish(group, start(group, {1: ("--die", "6")}))
    assert before[1] == {}
    assert before[0]["error"] == "PeerGoneError"
    assert before[2]["error"] in ("PeerGoneError", "RefusedError")
    known = [leaves(report) if report else [] for report in before]
    # The killed member wrote its leaves to a database in a node; here it had as many as the first member's neighbour.
    recorded = {0: len(known[0]), 1: len(known[0]), 2: len(known[2])}
    after = run(group, {at: ("--recorded", str(count)) for at, count in recorded.items()})
    assert ["error" in report for report in after] == [False] * 3
    first = leaves(after[2])[0].step
    assert first == min(recorded.values()) > 0
    assert Trace([*known[2][:first], *leaves(after[2])]).root() == alone.root()
