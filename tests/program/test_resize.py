"""Growing into the next vocabulary and back: an exact rule, the same bits as a program, judged one scalar at a time."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench.arena import MICRO
from consensus.dispute import onestep
from consensus.dispute.game import Stage, program_of
from consensus.errors import OuterStepError, ProgramError
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.program import Kind, Program, execute
from consensus.program.execute import run
from consensus.program.known import suite_of
from consensus.program.outer import outer_program, resize_program, update_name
from consensus.program.step import step_program
from consensus.program.suite import Suite
from consensus.program.update import update_program
from consensus.training.outer import GlobalState, outer_step
from consensus.training.resize import TABLES, Change, depth, grown

Pairs = tuple[tuple[int, int], ...]
ROWS = MICRO.vocab


def drawn(count: int, seed: int = 7) -> Pairs:
    """Merges of old tokens and of one another."""
    draw = random.Random(seed)  # noqa: S311
    return tuple((draw.randrange(ROWS + at), draw.randrange(ROWS + at)) for at in range(count))


CHAIN: Pairs = ((97, 98), *((ROWS + at, 99) for at in range(8)))
CASES = {"one": drawn(1), "some": drawn(9), "chain": CHAIN, "two stacks": drawn(300)}


def growth(merges: Pairs) -> Change:
    return Change(ROWS + len(merges), merges)


def state() -> GlobalState:
    weights = init_weights(MICRO, b"resize")
    draw = torch.Generator().manual_seed(3)
    weights["head"] = torch.randn(weights["head"].shape, generator=draw)
    return GlobalState(weights, {name: torch.randn(w.shape, generator=draw) * 0.01 for name, w in weights.items()})


def by_name(state: GlobalState) -> dict[str, Tensor]:
    parts = (("weights", state.weights), ("velocity", state.velocity))
    return {f"{part}/{name}": tensor for part, tensors in parts for name, tensor in tensors.items()}


def same(left: GlobalState, right: GlobalState) -> bool:
    ours, theirs = by_name(left), by_name(right)
    return all(torch.equal(t.view(torch.int32), theirs[name].view(torch.int32)) for name, t in ours.items())


@pytest.mark.parametrize("merges", CASES.values(), ids=CASES.keys())
def test_a_new_row_is_half_the_sum_of_its_two_in_order(merges: Pairs) -> None:
    table = state().weights["embed"]
    rows = list(table)
    for left, right in merges:
        rows.append((rows[left] + rows[right]) * 0.5)
    assert torch.equal(grown(table, merges), torch.stack(rows))


def test_depth_is_the_longest_way_to_a_row_that_was_there() -> None:
    assert depth(CHAIN, ROWS) == 9
    assert depth(((1, 2), (3, 4)), ROWS) == 1


@pytest.mark.parametrize("merges", CASES.values(), ids=CASES.keys())
def test_growing_and_shrinking_again_is_the_identity_bit_for_bit(merges: Pairs) -> None:
    start = state()
    grown_state = growth(merges).state(start)
    assert {grown_state.weights[name].shape[0] for name in TABLES} == {ROWS + len(merges)}
    assert same(Change(ROWS).state(grown_state), start)


def transition(
    config: ModelConfig, change: Change, start: GlobalState
) -> tuple[Program, dict[str, Tensor], GlobalState]:
    """The program of a transition's outer step over two updates, its inputs, and what running code makes of them."""
    draw = torch.Generator().manual_seed(5)
    shapes = config.shapes()
    updates = [{name: torch.randn(s, generator=draw) * 1e-3 for name, s in shapes.items()} for _ in range(2)]
    counts = [10_000, 24_494]
    wanted = change.state(outer_step(start, list(zip(counts, updates, strict=True))))
    given = by_name(start) | {update_name(i, n): t for i, update in enumerate(updates) for n, t in update.items()}
    return outer_program(config, 2, change), given | {"counts": torch.tensor(counts)}, wanted


@pytest.mark.parametrize("merges", CASES.values(), ids=CASES.keys())
def test_op_by_op_gives_the_bits_of_the_running_code_both_ways(merges: Pairs) -> None:
    change = growth(merges)
    program, given, wanted = transition(MICRO, change, state())
    found = execute(program, given)
    assert found.keys() == by_name(wanted).keys()
    assert [n for n, t in by_name(wanted).items() if not torch.equal(found[n], t)] == []
    back, given, shrunk = transition(change.after(MICRO), Change(ROWS), wanted)
    found = execute(back, given)
    assert [n for n, t in by_name(shrunk).items() if not torch.equal(found[n], t)] == []


@pytest.mark.parametrize("change", [growth(CHAIN), growth(CASES["two stacks"]), Change(ROWS - 40)])
def test_any_element_of_any_op_of_a_resize_follows_from_what_it_reads(change: Change) -> None:
    program, draw = resize_program(MICRO, change), random.Random(1)  # noqa: S311
    outs = [out.reshape(-1) for _, out in run(program, by_name(state()))]

    def read(op: int, index: int) -> int:
        value = outs[op][index]
        return int(value.view(torch.int32)) & 0xFFFFFFFF if value.dtype is torch.float32 else int(value)

    for at, op in enumerate(program.ops):
        assert len(op.operands) <= 255
        if op.kind is Kind.INPUT:
            continue
        for index in {0, op.size - 1, *(draw.randrange(op.size) for _ in range(20))}:
            assert onestep.element(op, index, read) == read(at, index), (at, op.kind.name, index)


def test_a_resize_needs_no_kind_that_the_contract_does_not_judge() -> None:
    for change in (growth(CASES["two stacks"]), Change(8)):
        assert set(resize_program(MICRO, change).kinds()) - {Kind.INPUT} <= onestep.JUDGED


def test_a_transition_runs_the_old_versions_training_and_another_outer_step() -> None:
    change = growth(CHAIN)
    old, into = suite_of(MICRO), suite_of(MICRO, change)
    assert replace(into, outer_root=old.outer_root) == old
    assert len({old.hash(), into.hash(), suite_of(MICRO, Change(8)).hash(), suite_of(change.after(MICRO)).hash()}) == 4
    assert program_of(MICRO, Stage.OUTER, 3, change) is outer_program(MICRO, 3, change)
    assert program_of(MICRO, Stage.UPDATE, 3, change) is update_program(MICRO)
    assert program_of(MICRO, Stage.STEP, 3, change) is step_program(MICRO)


def test_a_grown_suite_is_that_of_the_same_shapes_however_they_came_about() -> None:
    config = growth(drawn(3)).after(MICRO)
    assert suite_of(config) == Suite.of(replace(MICRO, vocab=ROWS + 3))
    other = growth(drawn(3, seed=8))
    assert suite_of(MICRO, other).hash() != suite_of(MICRO, growth(drawn(3))).hash()


@pytest.mark.parametrize("change", [Change(ROWS), Change(ROWS + 1), Change(ROWS + 2, ((1, 2),)), growth(((ROWS, 1),))])
def test_a_change_that_does_not_fit_is_none(change: Change) -> None:
    with pytest.raises(OuterStepError):
        suite_of(MICRO, change)


def test_a_row_that_overflows_has_no_next_state() -> None:
    start = state()
    start.weights["embed"][1:3] = 3e38
    with pytest.raises(OuterStepError):
        growth(((1, 2),)).state(start)


def test_a_program_follows_another_only_where_its_inputs_fit() -> None:
    wider = replace(MICRO, width=32)
    with pytest.raises(ProgramError):
        outer_program(wider, 1).then(resize_program(MICRO, growth(CHAIN)))
