"""Layers added between two rounds: old ones untouched, the same function, one program, and a rate that rises."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from consensus.arithmetic import choose_engine
from consensus.arithmetic.choice import survey
from consensus.arithmetic.numbers import round32
from consensus.commitments import tree
from consensus.commitments.claim import Claim, ClaimKind
from consensus.commitments.tensors import global_root, state_root
from consensus.dispute import onestep
from consensus.dispute.game import Case, Dispute, Stage, program_of
from consensus.dispute.rerun import Rerun
from consensus.dispute.states import group_leaves, output_ports
from consensus.errors import OuterStepError
from consensus.model.config import ModelConfig
from consensus.model.gpt import forward, pack
from consensus.model.init import init_tensor, init_weights
from consensus.program import execute
from consensus.program.execute import run
from consensus.program.grow import grow_program
from consensus.program.outer import outer_program, update_name
from consensus.program.step import PARTS, schedule_row, step_program
from consensus.program.suite import Suite
from consensus.training.growth import Growth
from consensus.training.optimizer import AdamW, young_share
from consensus.training.outer import GlobalState, outer_step
from consensus.training.step import Trainer, TrainState
from economics.constants import GROWTH_RATE_STEPS

DEEP = ModelConfig("deep", layers=6, width=16, heads=2, seq_len=32, batch=4)
SEED = bytes(range(32))
GROWTH = Growth(DEEP, 9, SEED)
GROWN = replace(DEEP, layers=9, young=3)
FLAT = ModelConfig("flat", layers=1, width=16, heads=2, seq_len=16, batch=2)
YOUNG = replace(FLAT, layers=2, young=1)


def tokens(config: ModelConfig, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (config.batch, config.seq_len + 1), generator=draw, dtype=torch.int32)


@pytest.fixture(scope="module")
def trained() -> GlobalState:
    """Six layers that have learnt something, with a velocity, negative zeros and all."""
    state = TrainState.start(init_weights(DEEP, b"growth"))
    trainer = Trainer(DEEP, choose_engine(threads=1))
    for step in range(5):
        trainer.step(state, tokens(DEEP, step))
    draw = torch.Generator().manual_seed(3)
    velocity = {name: torch.randn(w.shape, generator=draw) * 1e-3 for name, w in state.weights.items()}
    state.weights["embed"][:, 0] = -0.0
    return GlobalState(state.weights, velocity)


def by_name(state: GlobalState) -> dict[str, Tensor]:
    parts = (("weights", state.weights), ("velocity", state.velocity))
    return {f"{part}/{name}": tensor for part, tensors in parts for name, tensor in tensors.items()}


def different(left: dict[str, Tensor], right: dict[str, Tensor]) -> list[str]:
    """Names whose bits are not the same on both sides."""
    assert left.keys() == right.keys()
    return [name for name, t in left.items() if not torch.equal(t.view(torch.int32), right[name].view(torch.int32))]


def test_what_was_there_stays_and_what_is_new_adds_nothing(trained: GlobalState) -> None:
    grown = GROWTH.state(trained)
    assert {name: tuple(w.shape) for name, w in grown.weights.items()} == GROWN.shapes()
    old = {name: t for name, t in by_name(grown).items() if name in by_name(trained)}
    assert different(old, by_name(trained)) == []
    new = GROWTH.new_shapes()
    assert len(new) == 12
    for name, shape in new.items():
        assert torch.equal(grown.weights[name], init_tensor(name, shape, SEED))
        assert bool(grown.weights[name].any()) != name.endswith(("attn_out", "mlp_out"))
        assert not grown.velocity[name].any()


def test_the_forward_pass_gives_the_same_logits_bit_for_bit_in_every_kernel(trained: GlobalState) -> None:
    grown, rows = GROWTH.state(trained), tokens(DEEP, 77)[:, :-1].contiguous()
    for engine in [verdict.engine for verdict in survey() if verdict.engine is not None]:
        logits = []
        for config, state in ((DEEP, trained), (GROWN, grown)):
            engine.begin()
            logits.append(forward(engine, config, state.weights, pack(engine, state.weights), rows)[0].clone())
        assert torch.equal(logits[0].view(torch.int32), logits[1].view(torch.int32)), engine.name
        assert logits[0].any()


def test_another_growth_has_other_new_layers_and_taking_it_back_is_the_identity(trained: GlobalState) -> None:
    grown, other = GROWTH.state(trained), Growth(DEEP, 9, bytes(32)).state(trained)
    roots = [global_root(state.weights, state.velocity) for state in (grown, other)]
    assert len({*roots, global_root(trained.weights, trained.velocity)}) == 3
    back = Growth(GROWN, 6)
    assert back.after(GROWN) == DEEP
    assert different(by_name(back.state(grown)), by_name(trained)) == []


def transition(growth: Growth, start: GlobalState) -> tuple[dict[str, Tensor], GlobalState]:
    """Inputs of a transition's outer step over two updates, and the state that running code makes of them."""
    draw = torch.Generator().manual_seed(5)
    shapes = growth.config.shapes()
    updates = [{name: torch.randn(s, generator=draw) * 1e-3 for name, s in shapes.items()} for _ in range(2)]
    counts = [10_000, 24_494]
    wanted = growth.state(outer_step(start, list(zip(counts, updates, strict=True))))
    given = by_name(start) | {update_name(i, n): t for i, update in enumerate(updates) for n, t in update.items()}
    return given | {"counts": torch.tensor(counts)}, wanted


def test_the_outer_step_that_grows_is_one_program_with_the_bits_of_the_running_code(trained: GlobalState) -> None:
    given, wanted = transition(GROWTH, trained)
    program = outer_program(DEEP, 2, GROWTH)
    assert list(program.outputs) == list(by_name(wanted)), "ports lie in the order of the state's leaves"
    assert different(execute(program, given), by_name(wanted)) == []
    given, shrunk = transition(Growth(GROWN, 6), wanted)
    program = outer_program(GROWN, 2, Growth(GROWN, 6))
    assert list(program.outputs) == list(by_name(shrunk))
    assert different(execute(program, given), by_name(shrunk)) == []


def test_a_dispute_finds_the_state_after_growth_in_the_programs_outputs(trained: GlobalState) -> None:
    given, wanted = transition(GROWTH, trained)
    none, nobody = bytes(32), bytes(20)
    claim = Claim(ClaimKind.OUTER, 1, nobody, none, none, none, none, none, none, 1, 0, 0, 6, 1)
    case = Case(DEEP, Dispute(claim, nobody, 0, none, none, none, 0, none), 2, GROWTH)
    rerun = Rerun(case.program, given)
    assert (len(case.tensors), len(case.tensors_after)) == (27, 39)
    ports, count = output_ports(case.program), len(case.tensors_after)
    sets = [tree.root(group_leaves(ports, rerun.roots, number, count)) for number in range(2)]
    assert tree.root([tree.leaf_hash(root) for root in sets]) == global_root(wanted.weights, wanted.velocity)


def test_the_generator_in_ops_is_the_one_of_the_initial_weights() -> None:
    for config, seed in ((replace(DEEP, width=48), b"\xff" * 32), (replace(DEEP, seq_len=16), bytes(32))):
        growth = Growth(config, 7, seed)
        found = execute(grow_program(growth), {})
        wanted = {f"weights/{name}": init_tensor(name, shape, seed) for name, shape in growth.new_shapes().items()}
        assert different({name: found[name] for name in wanted}, wanted) == []


def test_any_element_of_any_op_of_a_growth_follows_from_what_it_reads() -> None:
    program, draw = grow_program(Growth(DEEP, 7, SEED)), random.Random(1)  # noqa: S311
    outs = [out.reshape(-1) for _, out in run(program, {})]
    assert set(program.kinds()) <= onestep.JUDGED

    def read(op: int, index: int) -> int:
        value = outs[op][index]
        return int(value.view(torch.int32)) & 0xFFFFFFFF if value.dtype is torch.float32 else int(value)

    for at, op in enumerate(program.ops):
        for index in {0, op.size - 1, *(draw.randrange(op.size) for _ in range(10))}:
            assert onestep.element(op, index, read) == read(at, index), (at, op.kind.name, index)


def test_a_round_that_grows_trains_as_before_and_ends_otherwise() -> None:
    growth, other = Growth(FLAT, 2, SEED), Growth(FLAT, 2, bytes(32))
    old = Suite.of(FLAT, claims=2)
    into = old.changing(FLAT, growth)
    assert replace(into, outer_root=old.outer_root) == old
    assert len({old.hash(), into.hash(), old.changing(FLAT, other).hash()}) == 3
    assert program_of(FLAT, Stage.STEP, 3, growth) is step_program(FLAT)
    assert growth.after(FLAT) == YOUNG


def test_programs_follow_the_youth_of_layers_and_nothing_else_does() -> None:
    young, grown_up = (Suite.of(config, claims=2) for config in (YOUNG, replace(FLAT, layers=2)))
    other = ("step_ops", "step_root", "schedule_root")
    assert replace(young, **{name: getattr(grown_up, name) for name in other}) == grown_up
    assert young.step_root != grown_up.step_root
    later = Suite.of(YOUNG.older(100), claims=2)
    assert replace(later, schedule_root=young.schedule_root) == young, "age is in the schedule alone"
    assert later.hash() != young.hash()
    assert YOUNG.older(GROWTH_RATE_STEPS) == replace(FLAT, layers=2) == YOUNG.older(999).older(1)


@pytest.mark.parametrize(
    ("age", "share"), [(0, 0.1), (100, 0.19), (500, 0.55), (999, 0.9991), (1000, 1.0), (5000, 1.0)]
)
def test_the_rate_of_a_young_layer_rises_from_a_tenth_to_the_whole(age: int, share: float) -> None:
    full, young = AdamW().constants(20), AdamW().constants(20, age)
    assert young.lr == pytest.approx(full.lr * share, rel=1e-6)
    assert young.decay == round32(1.0 - 0.003 * share * 0.01)
    assert replace(young, lr=full.lr, decay=full.decay) == full
    assert (young == full) == (age >= 1000)


def named(state: TrainState) -> dict[str, Tensor]:
    parts = zip(PARTS, (state.weights, state.m, state.v), strict=True)
    return {f"{part}/{name}": tensor for part, tensors in parts for name, tensor in tensors.items()}


def test_a_step_with_young_layers_is_a_program_too() -> None:
    config = replace(YOUNG, age=400)
    program, state = step_program(config), TrainState.start(init_weights(config, b"young"))
    trainer = Trainer(config, choose_engine(threads=1))
    for _ in range(2):
        held = {name: tensor.clone() for name, tensor in named(state).items()}
        row = schedule_row(AdamW(), state.step, config)
        given = held | {"tokens": tokens(config, state.step), "schedule": row}
        assert tuple(row.shape) == (2, 4)
        trainer.step(state, given["tokens"])
        found = execute(program, given)
        found.pop("loss")
        assert different(found, named(state)) == []


def test_only_young_layers_learn_otherwise() -> None:
    start = TrainState.start(init_weights(DEEP, b"rates"))
    for step in range(3):
        Trainer(DEEP, choose_engine(threads=1)).step(start, tokens(DEEP, step))
    ends = {}
    for config in (replace(DEEP, young=3), DEEP):
        state = start.clone()
        Trainer(config, choose_engine(threads=1)).step(state, tokens(DEEP, 9))
        ends[config.young] = state.weights
    assert different(ends[3], ends[0]) == sorted(replace(DEEP, young=3).young_names())
    moved = {young: (end["layer005.mlp_out"] - start.weights["layer005.mlp_out"]).abs() for young, end in ends.items()}
    share = young_share(3) / young_share(GROWTH_RATE_STEPS)
    assert float(moved[3].max()) == pytest.approx(float(moved[0].max()) * share, rel=1e-4)


def test_every_kernel_steps_young_layers_alike() -> None:
    roots = {}
    for verdict in survey():
        if verdict.engine is None:
            continue
        trainer, state = Trainer(YOUNG, verdict.engine), TrainState.start(init_weights(YOUNG, b"kernels"))
        for step in range(2):
            trainer.step(state, tokens(YOUNG, step))
        roots[verdict.name] = state_root(state.weights, state.m, state.v)
    assert len(roots) > 1
    assert len(set(roots.values())) == 1, roots


@pytest.mark.parametrize(
    ("config", "layers", "seed"),
    [
        (DEEP, 6, SEED),
        (DEEP, 9, b""),
        (DEEP, 9, b"short"),
        (DEEP, 5, SEED),
        (DEEP, 0, b""),
        (GROWN, 12, SEED),
        (DEEP, 1000, SEED),
    ],
)
def test_a_growth_that_is_none_is_refused(config: ModelConfig, layers: int, seed: bytes) -> None:
    with pytest.raises(OuterStepError):
        Growth(config, layers, seed)


def test_a_growth_of_another_state_is_refused(trained: GlobalState) -> None:
    with pytest.raises(OuterStepError, match="does not have the 6 layers"):
        GROWTH.state(GROWTH.state(trained))
    with pytest.raises(OuterStepError, match="does not follow"):
        GROWTH.after(GROWN)


@pytest.mark.parametrize("wrong", [{"young": 7}, {"young": -1}, {"age": 1}, {"young": 1, "age": 1001}])
def test_a_youth_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="cannot be young"):
        replace(DEEP, young=wrong.get("young", 0), age=wrong.get("age", 0))
