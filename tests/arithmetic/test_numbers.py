"""The scalar functions against exact or wider arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from consensus.arithmetic import numbers
from consensus.arithmetic.products import PRODUCTS
from consensus.arithmetic.reference import divide, exact_sum, exp2_neg, log2_pos, quantise, softmax2, square_root

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(width=32, min_value=float(np.float32(2.0**-126)), allow_infinity=False)


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float32)


@given(st.lists(POSITIVE, min_size=1, max_size=64))
def test_the_square_root_is_correctly_rounded(values: list[float]) -> None:
    got = square_root(torch.tensor(values, dtype=torch.float32)).tolist()
    for value, root in zip(values, got, strict=True):
        below, above = np.nextafter(np.float32(root), np.float32(0)), np.nextafter(np.float32(root), np.float32(np.inf))
        low = (Fraction(float(below)) + Fraction(root)) / 2
        high = (Fraction(root) + Fraction(float(above))) / 2 if np.isfinite(above) else None
        assert low**2 <= Fraction(value)
        assert high is None or Fraction(value) <= high**2


@given(FLOATS, st.floats(width=32, min_value=float(np.float32(2.0**-60)), max_value=2.0**60))
def test_a_division_by_or_of_a_number_is_one_rounding(a: float, b: float) -> None:
    with np.errstate(over="ignore", under="ignore"):
        wanted = np.float32(a) / np.float32(b)
    for got in (divide(a, one(b)), divide(one(a), b), divide(one(a), one(b))):
        assert got.numpy()[0] == wanted


def test_pytorch_takes_a_reciprocal_where_a_number_is_divided_by_a_tensor() -> None:
    """Why ``divide`` spreads numbers to tensors first."""
    b = torch.arange(1, 20_000, dtype=torch.float32)
    assert not torch.equal(2047.0 / b, torch.div(torch.full_like(b, 2047.0), b))


@given(st.lists(st.floats(width=32, min_value=-126.0, max_value=0.0), min_size=1, max_size=64))
def test_exp2_is_within_two_units_of_the_last_place(values: list[float]) -> None:
    got = exp2_neg(torch.tensor(values, dtype=torch.float32)).tolist()
    for value, power in zip(values, got, strict=True):
        true = 2.0 ** float(np.float32(value))
        assert abs(power - true) <= 2.5 * float(np.spacing(np.float32(true)))


def test_exp2_of_far_below_is_clamped() -> None:
    assert exp2_neg(one(-1e30)).item() == 2.0**-126


@given(st.lists(st.floats(width=32, min_value=1.0, max_value=2.0**20), min_size=1, max_size=64))
def test_log2_is_close(values: list[float]) -> None:
    got = log2_pos(torch.tensor(values, dtype=torch.float32)).tolist()
    for value, log in zip(values, got, strict=True):
        assert abs(log - math.log2(np.float32(value))) <= 3e-6


@given(st.lists(FLOATS, min_size=1, max_size=40))
def test_quantised_integers_stay_in_range_and_close(values: list[float]) -> None:
    x = torch.tensor([values], dtype=torch.float32)
    q, scale = quantise(x, float(numbers.QMAX), -1)
    assert float(q.abs().max()) <= numbers.QMAX
    assert torch.equal(q, q.round())
    if float(x.abs().max()) >= numbers.TINY:
        error = (q.double() * scale.double() - x.double()).abs().max().item()
        assert error <= 0.501 * scale.item() * (1 + 2**-10)
    else:
        assert not q.any()


@given(st.lists(st.floats(width=32, min_value=-(2.0**40), max_value=2.0**40), min_size=1, max_size=200), st.randoms())
def test_an_exact_sum_does_not_depend_on_the_order(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (exact_sum(torch.tensor([v], dtype=torch.float32), -1) for v in (values, shuffled))
    assert torch.equal(first, second)
    bound = max(abs(v) for v in values) * len(values) * 2.0**-20 + 1e-30
    assert abs(first.item() - math.fsum(values)) <= bound


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_probabilities_add_up_to_about_one(width: int, seed: int) -> None:
    u = torch.from_numpy(np.random.default_rng(seed).standard_normal((3, width)).astype(np.float32) * 8)
    p, _, _ = softmax2(u, None)
    assert torch.all((p.double().sum(-1) - 1).abs() < 1e-5)
    assert torch.all(p >= 0)


@pytest.mark.parametrize("name", sorted(PRODUCTS))
@pytest.mark.parametrize("k", [1, 2, 31, 64, 511, 512])
def test_products_of_the_worst_operands_are_the_integers_they_should_be(name: str, k: int) -> None:
    top = torch.full((3, k), float(numbers.QMAX))
    got = PRODUCTS[name](top, torch.cat([top, -top]))
    assert got.dtype == torch.int32
    assert got.tolist() == [[k * 2047**2] * 3 + [-k * 2047**2] * 3] * 3


def test_sums_of_any_length_fit_32_bits() -> None:
    for n in (1, 2, 3, 8, 100, 512, 4096, 2**20):
        assert n * numbers.sum_grid(n) <= 2**30
