"""The robust rules: the same bits whatever the order, the kernel and the threads; and what each one holds against."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from consensus.aggregation import Contributions, Krum, Median, Mixed, MultiKrum, Rule, TrimmedMean
from consensus.aggregation import distances as distances_module
from consensus.aggregation import neighbour_mixing as mixing_module
from consensus.aggregation import window as window_module
from consensus.aggregation.network import exchanges
from consensus.aggregation.proof import Provider, provider
from consensus.aggregation.trimmed_mean import trimmed
from consensus.errors import AggregationError
from economics.units import BasisPoints

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
RULES: list[Rule] = [
    TrimmedMean(),
    Median(),
    Krum(1),
    MultiKrum(1),
    Mixed(1, TrimmedMean()),
    Mixed(1, Median()),
    Mixed(2, Krum(1)),
]
Parts = list[tuple[int, dict[str, Tensor]]]


@st.composite
def contributions(draw: st.DrawFn, least: int = 5, floats: st.SearchStrategy[float] = FLOATS) -> Parts:
    """Few distinct values, so that there are ties, and two tensors, one of them a matrix."""
    n = draw(st.integers(least, 9))
    pool = draw(st.lists(floats, min_size=1, max_size=6))
    value = st.sampled_from(pool)
    return [
        (
            draw(st.integers(1, 2**20)),
            {
                "a": torch.tensor(draw(st.lists(value, min_size=3, max_size=3)), dtype=torch.float32),
                "b": torch.tensor(draw(st.lists(value, min_size=4, max_size=4)), dtype=torch.float32).reshape(2, 2),
            },
        )
        for _ in range(n)
    ]


def bits(rule: Rule, parts: Parts) -> dict[str, list[int]]:
    return {name: t.view(torch.int32).flatten().tolist() for name, t in rule(Contributions.of(parts)).items()}


def column(rule: Rule, values: list[float], weights: list[int] | None = None) -> float:
    """The rule over contributions of one number each."""
    counts = weights or [1] * len(values)
    parts = [(w, {"x": torch.tensor([v])}) for w, v in zip(counts, values, strict=True)]
    return float(rule(Contributions.of(parts))["x"])


@contextmanager
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plain: Callable[[], Provider] = lambda: Provider("torch", "left out for a test")  # noqa: E731
    with monkeypatch.context() as patch:
        for module in (window_module, distances_module, mixing_module):
            patch.setattr(module, "provider", plain)
        yield


@settings(max_examples=60)
@given(contributions(), st.randoms(use_true_random=False), st.sampled_from(RULES))
def test_order_does_not_matter(parts: Parts, random: object, rule: Rule) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert bits(rule, parts) == bits(rule, shuffled)


@pytest.mark.skipif(provider().library is None, reason="the compiled kernel was not built")
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_kernel_torch_and_threads_give_the_same_bits(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(5)
    parts = [
        (100 + 37 * i, {"w": torch.randn((3, 9001), generator=draw) * 10.0 ** (i - 8)}) for i in range(11)
    ]  # fmt: skip
    with no_kernel(monkeypatch):
        wanted = bits(rule, parts)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert bits(rule, parts) == wanted
    finally:
        torch.set_num_threads(threads)


@settings(max_examples=40)
@given(contributions(), st.sampled_from([TrimmedMean(), Median()]))
def test_kernel_and_torch_agree_on_every_float(parts: Parts, rule: Rule) -> None:
    found = bits(rule, parts)
    with pytest.MonkeyPatch.context() as patch, no_kernel(patch):
        assert bits(rule, parts) == found


@pytest.mark.skipif(provider().library is None, reason="the compiled kernel was not built")
@pytest.mark.parametrize("n", [1, 2, 4, 7, 16, 31, 32, 50, 65])
@pytest.mark.parametrize("trim", [0, 1, 700, 2_000, 3_333, 4_999])
def test_windows_of_equal_weights_need_no_whole_sorting(n: int, trim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(100 * n + trim)
    values = torch.randint(-5, 6, (n, 200), generator=draw) * torch.randn((n, 200), generator=draw).round(decimals=1)
    parts = [(3, {"x": row.clone()}) for row in values]
    rules: list[Rule] = [TrimmedMean(BasisPoints(trim)), Median()]
    found = [bits(rule, parts) for rule in rules]
    with no_kernel(monkeypatch):
        assert [bits(rule, parts) for rule in rules] == found


@pytest.mark.skipif(provider().library is None, reason="the compiled kernel was not built")
@pytest.mark.parametrize(("n", "attackers"), [(3, 1), (9, 4), (20, 6), (50, 10), (51, 25)])
def test_mixing_by_the_kernel_gives_the_references_bits(
    n: int, attackers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = torch.Generator().manual_seed(n)
    parts = [(1 + 977 * i % 5_000, {"x": torch.randn(700, generator=draw) * 2.0 ** (i % 5 - 2)}) for i in range(n)]
    rule = Mixed(attackers, TrimmedMean(BasisPoints(3_000)))
    found = bits(rule, parts)
    with no_kernel(monkeypatch):
        assert bits(rule, parts) == found


@settings(max_examples=40)
@given(contributions(3, st.floats(width=32, min_value=-1e6, max_value=1e6)))
def test_the_trimmed_mean_by_its_definition(parts: Parts) -> None:
    found = TrimmedMean()(Contributions.of(parts))["a"]
    total = sum(weight for weight, _ in parts)
    low, high = Fraction(total, 5), Fraction(4 * total, 5)
    for at in range(3):
        ranked = sorted((Fraction(float(update["a"][at])), weight) for weight, update in parts)
        at_weight, summed = Fraction(0), Fraction(0)
        for value, weight in ranked:
            kept = min(max(at_weight + weight, low), high) - min(max(at_weight, low), high)
            summed, at_weight = summed + kept * value, at_weight + weight
        mean = summed / (high - low)
        top = max(abs(value) for value, _ in ranked)
        assert abs(Fraction(float(found[at])) - mean) <= top / 2**28 + abs(mean) / 2**23 + Fraction(2) ** -89


@settings(max_examples=60)
@given(
    st.lists(st.floats(width=32, min_value=-1e3, max_value=1e3), min_size=9, max_size=12),
    st.lists(FLOATS, min_size=2, max_size=2),
    st.sampled_from([TrimmedMean(), Median(), Krum(2), MultiKrum(2), Mixed(2, Median())]),
)
def test_below_a_fifth_of_attackers_of_any_size_stay_within_the_honest_range(
    honest: list[float], attack: list[float], rule: Rule
) -> None:
    found = column(rule, [*honest, *attack])
    low, high = min(honest), max(honest)
    slack = (0.0 if isinstance(rule, Median) else 2.0**-27 * max(abs(low), abs(high))) + 2.0**-89
    if not isinstance(rule, MultiKrum | Mixed):
        assert low - slack <= found <= high + slack
    else:  # they average a part of what is near, so an attacker who stays near counts; what it sends is bounded
        assert abs(found) <= 4 * max(abs(low), abs(high)) + slack


def test_a_huge_value_costs_the_others_no_precision() -> None:
    honest = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]
    for rule in (TrimmedMean(), Median()):
        assert column(rule, [*honest, 3e38]) == column(rule, [*honest, 1.0])
    draw = torch.Generator().manual_seed(1)
    parts = [(1, {"w": torch.randn(50, generator=draw)}) for _ in range(9)]
    poisoned = [*parts, (1, {"w": torch.full((50,), 3e38)})]
    chosen = Krum(2)(Contributions.of(poisoned))["w"]
    assert any(torch.equal(chosen, update["w"]) for _, update in parts)


def test_a_cut_through_a_weight_keeps_the_rest_of_it() -> None:
    # Weights 3, 4, 3: a fifth is 2, so 1, 4 and 1 are kept.
    assert column(TrimmedMean(), [0.0, 10.0, 40.0], [3, 4, 3]) == pytest.approx((0 * 1 + 10 * 4 + 40 * 1) / 6)
    assert column(TrimmedMean(), [7.0], [5]) == 7.0
    assert column(TrimmedMean(), [1.0, 2.0]) == 1.5


def test_medians() -> None:
    assert column(Median(), [5.0, -1.0, 3.0]) == 3.0
    assert column(Median(), [1.0, 2.0, 4.0, 100.0]) == 3.0
    assert column(Median(), [1.0, 2.0, 4.0], [1, 1, 5]) == 4.0
    assert column(Median(), [1.0, 2.0, 4.0], [1, 1, 2]) == 3.0, "half of the weight on either side: the mean of both"


def test_krum_takes_the_one_nearest_to_the_rest() -> None:
    assert column(Krum(1), [1.0, 1.1, 1.25, 0.9, -50.0]) == pytest.approx(1.0)
    assert column(MultiKrum(1), [1.0, 1.0, 2.0, 2.0, 1000.0]) == 1.5
    assert column(MultiKrum(1), [1.0, 1.0, 2.0, 2.0, 1000.0], [1, 2, 3, 4, 9]) == pytest.approx(1.7)


def test_equals_are_told_apart_by_content() -> None:
    # Every score is the same by symmetry; the answer must not hang on who comes first.
    corners = [(1, {"x": torch.tensor([x, y])}) for x, y in itertools.product((-1.0, 1.0), repeat=2)]
    parts = [*corners, (2, {"x": torch.tensor([1.0, 1.0])})]
    answers = {tuple(bits(Krum(1), list(order))["x"]) for order in itertools.permutations(parts)}
    assert len(answers) == 1


def test_mixing_pulls_the_honest_together_and_leaves_the_attacker_out() -> None:
    values = [1.0, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.0]
    assert column(Mixed(1, TrimmedMean()), [*values, 1e30]) == pytest.approx(1.5, abs=0.1)
    assert column(Mixed(1, Median()), [*values, -1e30]) == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(rule: Rule, bad: float) -> None:
    with pytest.raises(AggregationError, match="not finite"):
        column(rule, [1.0, 2.0, bad, 3.0, 4.0])


def test_what_cannot_be_joined_is_refused() -> None:
    one = {"x": torch.zeros(2)}
    for parts in ([], [(0, one)], [(2**31, one)], [(1, one), (1, {"x": torch.zeros(3)})], [(1, one), (1, {})]):
        with pytest.raises(AggregationError):
            Contributions.of(parts)
    with pytest.raises(AggregationError, match="at least 5 parts"):
        column(Krum(1), [1.0] * 4)
    with pytest.raises(AggregationError, match="cannot be mixed"):
        column(Mixed(2, Median()), [1.0] * 4)
    for keep in (0, 6):
        with pytest.raises(AggregationError, match="cannot be kept"):
            column(MultiKrum(1, keep), [1.0] * 5)
    with pytest.raises(AggregationError, match="less than half"):
        trimmed(5_000)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Krum()  # type: ignore[call-arg]


@pytest.mark.parametrize("n", range(1, 13))
def test_the_network_sorts_whatever_it_is_given(n: int) -> None:
    """By the zero-one principle (Knuth, TAOCP 3, 5.3.4, theorem Z)."""
    for values in itertools.product((0, 1), repeat=n):
        column_ = list(values)
        for i, j in exchanges(n):
            if column_[i] > column_[j]:
                column_[i], column_[j] = column_[j], column_[i]
        assert column_ == sorted(values)


def test_sixteen_claims_take_63_exchanges() -> None:
    assert len(exchanges(16)) == 63
