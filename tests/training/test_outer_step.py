"""The outer step: exact whatever the order, close to the real mean, and safe against what peers may send."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.aggregation import Contributions, TrimmedMean
from consensus.commitments.claim import Claim, ClaimKind
from consensus.commitments.tensors import global_root
from consensus.errors import OuterStepError
from consensus.training.outer import GlobalState, outer_step, update_of, update_weight
from economics.cohort import update_freshness
from economics.units import BasisPoints
from node.chain.types import Block, Phase, Round
from node.training.ledger import ClaimView, RoundView, Start
from node.training.outer import update_weights

FLOATS = st.floats(width=32, min_value=-(2.0**100), max_value=2.0**100, allow_nan=False)
PARTS = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.tuples(st.integers(1, 2**20), st.lists(FLOATS, min_size=n, max_size=n)), min_size=1, max_size=6
    )
)


def tensors(parts: list[tuple[int, list[float]]]) -> list[tuple[int, torch.Tensor]]:
    return [(weight, torch.tensor(values, dtype=torch.float32)) for weight, values in parts]


def weighted_mean(parts: list[tuple[int, torch.Tensor]]) -> torch.Tensor:
    """Nothing trimmed: the mean that the trimmed mean is built on."""
    return TrimmedMean(BasisPoints(0))(Contributions.of([(weight, {"w": t}) for weight, t in parts]))["w"]


@given(PARTS, st.randoms(use_true_random=False))
def test_the_mean_does_not_depend_on_the_order(parts: list[tuple[int, list[float]]], random: object) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert torch.equal(weighted_mean(tensors(parts)), weighted_mean(tensors(shuffled)))


@given(PARTS)
def test_the_mean_is_within_a_grid_step_of_the_true_one(parts: list[tuple[int, list[float]]]) -> None:
    mean = weighted_mean(tensors(parts))
    total = sum(weight for weight, _ in parts)
    for at, got in enumerate(mean.tolist()):
        top = max(abs(values[at]) for _, values in parts)
        true = sum(Fraction(weight) * Fraction(values[at]) for weight, values in parts) / total
        # Half a step of the coordinate's grid from rounding the inputs, half from the division, and rounding to fp32.
        bound = Fraction(top) / 2**28 + abs(true) / 2**23 + Fraction(2) ** -89
        assert abs(Fraction(got) - true) <= bound


@given(st.lists(FLOATS, min_size=1, max_size=8), st.integers(1, 1000))
def test_one_update_stays_as_it_is(values: list[float], weight: int) -> None:
    update = torch.tensor(values, dtype=torch.float32)
    kept = torch.where(update.abs() >= 2.0**-90, update, 0.0)
    assert torch.equal(weighted_mean([(weight, update)]), kept)


def test_what_a_fifth_of_the_weight_sends_moves_nothing_beyond_the_others() -> None:
    state = GlobalState.start({"w": torch.zeros(2)})
    honest = [(100, {"w": torch.tensor([0.5, -0.25])}) for _ in range(5)]
    clean = outer_step(state, honest)
    for attack in (3e38, -3e38, 1e-3):
        after = outer_step(state, [*honest, (100, {"w": torch.full((2,), attack)})])
        assert torch.equal(after.weights["w"], clean.weights["w"])


def test_nesterov_follows_its_definition_one_rounding_at_a_time() -> None:
    state = GlobalState({"w": torch.tensor([1.0, -2.0])}, {"w": torch.tensor([0.5, 0.25])})
    update = torch.tensor([0.125, -0.375])
    after = outer_step(state, [(10, {"w": update})])
    rate, momentum = np.float32(0.7), np.float32(0.9)
    mean = update.numpy()
    velocity = state.velocity["w"].numpy() * momentum + mean
    expected = state.weights["w"].numpy() - (mean + velocity * momentum) * rate
    assert np.array_equal(after.velocity["w"].numpy(), velocity)
    assert np.array_equal(after.weights["w"].numpy(), expected)
    assert state.weights["w"].tolist() == [1.0, -2.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_update_that_is_not_finite_is_refused(bad: float) -> None:
    state = GlobalState.start({"w": torch.zeros(3)})
    with pytest.raises(OuterStepError, match="not finite"):
        outer_step(state, [(1, {"w": torch.tensor([0.0, bad, 1.0])})])


def test_an_update_of_other_tensors_is_refused() -> None:
    state = GlobalState.start({"w": torch.zeros(3)})
    for update in ({}, {"w": torch.zeros(2)}, {"v": torch.zeros(3)}):
        with pytest.raises(OuterStepError, match="does not hold w"):
            outer_step(state, [(1, update)])


def test_no_update_and_weights_out_of_range_are_refused() -> None:
    for parts in ([], [(0, torch.zeros(1))], [(2**33, torch.zeros(1))]):
        with pytest.raises(OuterStepError, match="weights of a mean"):
            weighted_mean(parts)


@given(st.integers(1, 10**6))
def test_an_updates_weight_is_the_square_root_of_its_steps(steps: int) -> None:
    weight = update_weight(steps)
    assert weight**2 <= steps * 10**8 < (weight + 1) ** 2
    assert update_weight(steps, 3000) == max(weight * 3000 // 10_000, 1000)


@given(st.integers(1, 10**6), st.integers(0, 10**7))
def test_a_late_claims_update_counts_by_the_age_of_its_base(steps: int, age: int) -> None:
    opened = 10**9
    root, none = bytes(32), bytes(20)
    claim = Claim(ClaimKind.TRAIN, 9, none, root, root, root, root, root, root, steps, steps * 1024, 0, 4, 9)
    late = replace(claim, base=2)
    views = tuple(ClaimView(one, root, "0x") for one in (claim, late))
    info = Round(root, opened, opened + 60, 0, 2, 0, False, root, root, "", 0)
    begun = {2: Start(2, root, root, opened - age)}
    view = RoundView(9, Phase.OUTER, info, Block(1, 1, root), 1, views, views, {}, bases=begun)
    assert (view.age(claim), view.age(late)) == (0, age)
    assert view.start_of(replace(late, kind=ClaimKind.OUTER, steps=1, tokens=0)) == view.start
    assert update_weights(view) == [update_weight(steps), update_weight(steps, update_freshness(age))]


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 2))
def test_the_next_root_is_the_same_on_any_number_of_threads(seed: int, threads: int) -> None:
    values = np.random.default_rng(seed).standard_normal((4, 3, 70)).astype(np.float32)
    state = GlobalState.start({"a": torch.from_numpy(values[0]), "b": torch.from_numpy(values[1])})
    updates = [(3, {"a": torch.from_numpy(values[2]), "b": torch.from_numpy(values[3])})] * 2
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        one = outer_step(state, updates)
    finally:
        torch.set_num_threads(before)
    two = outer_step(state, updates)
    assert global_root(one.weights, one.velocity) == global_root(two.weights, two.velocity)


def test_an_update_is_start_minus_end() -> None:
    update = update_of({"w": torch.tensor([3.0, 1.0])}, {"w": torch.tensor([1.0, 1.5])})
    assert update["w"].tolist() == [2.0, -0.5]
