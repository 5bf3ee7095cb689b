"""Federated averaging and FedAdam: exact, whatever the order, the kernel and the engine; and what the papers say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from consensus.aggregation import Contributions, Mean
from consensus.aggregation import window as window_module
from consensus.aggregation.proof import Provider, provider
from consensus.arithmetic.choice import candidates
from consensus.arithmetic.engine import Engine
from consensus.arithmetic.products import PRODUCTS
from consensus.arithmetic.reference import Reference
from consensus.errors import AggregationError, OuterStepError
from consensus.training.federated import FedAdam, FedAvg, ServerState

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHAPES = {"a": (3,), "b": (2, 5)}
Parts = list[tuple[int, dict[str, Tensor]]]


def engines() -> list[Engine]:
    made = [make() for _, make in candidates()]
    return [engine for engine in made if engine is not None]


def bits(tensors: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: t.view(torch.int32).flatten().tolist() for name, t in tensors.items()}


@st.composite
def contributions(draw: st.DrawFn, floats: st.SearchStrategy[float] = FLOATS) -> Parts:
    def tensor(shape: tuple[int, ...]) -> Tensor:
        count = int(np.prod(shape))
        return torch.tensor(draw(st.lists(floats, min_size=count, max_size=count)), dtype=torch.float32).reshape(shape)

    return [
        (draw(st.integers(1, 2**24)), {name: tensor(shape) for name, shape in SHAPES.items()})
        for _ in range(draw(st.integers(1, 8)))
    ]


@settings(max_examples=60)
@given(contributions(), st.randoms(use_true_random=False))
def test_the_order_of_updates_does_not_matter(parts: Parts, random: object) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert bits(Mean()(Contributions.of(parts))) == bits(Mean()(Contributions.of(shuffled)))


@settings(max_examples=60)
@given(contributions())
def test_kernel_and_torch_agree_on_every_float(parts: Parts) -> None:
    found = bits(Mean()(Contributions.of(parts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_module, "provider", lambda: Provider("torch", "left out for a test"))
        assert bits(Mean()(Contributions.of(parts))) == found


@settings(max_examples=60)
@given(contributions(st.floats(width=32, min_value=-1e6, max_value=1e6)))
def test_the_mean_by_its_definition(parts: Parts) -> None:
    found = Mean()(Contributions.of(parts))["a"]
    total = sum(weight for weight, _ in parts)
    for at in range(3):
        values = [(Fraction(float(update["a"][at])), weight) for weight, update in parts]
        mean = sum((value * weight for value, weight in values), Fraction(0)) / total
        top = max(abs(value) for value, _ in values)
        assert abs(Fraction(float(found[at])) - mean) <= top / 2**28 + abs(mean) / 2**23 + Fraction(2) ** -89


def test_samples_weigh() -> None:
    parts = [(1, {"x": torch.tensor([0.0])}), (3, {"x": torch.tensor([4.0])})]
    assert float(Mean()(Contributions.of(parts))["x"]) == 3.0
    assert provider().name  # which kernel proved itself here
    with pytest.raises(AggregationError, match="not finite"):
        Mean()(Contributions.of([(1, {"x": torch.tensor([float("inf")])})]))


def test_at_rate_one_federated_averaging_is_the_mean_of_the_ends() -> None:
    draw = torch.Generator().manual_seed(3)
    start = {"w": torch.randn((40, 7), generator=draw)}
    ends = [{"w": start["w"] + 0.01 * torch.randn((40, 7), generator=draw)} for _ in range(5)]
    samples = [256, 512, 512, 1024, 256]
    parts = [(n, {"w": start["w"] - end["w"]}) for n, end in zip(samples, ends, strict=True)]
    state = FedAvg()(engines()[0], ServerState.start(start), Mean()(Contributions.of(parts)))
    wanted = sum(n * end["w"].double() for n, end in zip(samples, ends, strict=True)) / sum(samples)
    assert torch.allclose(state.weights["w"].double(), wanted, atol=1e-7)
    assert state.step == 1


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([1e-4, 1.0, 100.0]))
def test_fed_adam_by_the_paper(seed: int, steps: int, scale: float) -> None:
    """Against algorithm 2 in fp64."""
    rule = FedAdam(eta=0.01)
    draw = torch.Generator().manual_seed(seed)
    state = ServerState.start({name: torch.randn(shape, generator=draw) for name, shape in SHAPES.items()})
    w = {name: t.double().numpy().copy() for name, t in state.weights.items()}
    m = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    v = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    engine = engines()[0]
    for t in range(1, steps + 1):
        joined = {name: torch.randn(shape, generator=draw) * scale for name, shape in SHAPES.items()}
        state = rule(engine, state, joined)
        rate = rule.eta * np.sqrt(1 - rule.beta2**t) / (1 - rule.beta1**t)
        for name, update in joined.items():
            delta = -update.double().numpy()
            m[name] = rule.beta1 * m[name] + (1 - rule.beta1) * delta
            v[name] = rule.beta2 * v[name] + (1 - rule.beta2) * delta**2
            w[name] += rate * m[name] / (np.sqrt(v[name]) + rule.tau)
    for name in SHAPES:
        assert np.abs(state.weights[name].double().numpy() - w[name]).max() < 2e-6
        assert np.abs(state.m[name].double().numpy() + m[name]).max() < 2e-6 * scale


def test_every_engine_gives_the_same_bits() -> None:
    draw = torch.Generator().manual_seed(9)
    start = {"w": torch.randn((33, 65), generator=draw)}
    updates = [{"w": torch.randn((33, 65), generator=draw) * 0.01} for _ in range(4)]
    found = []
    for engine in [*engines(), Reference(next(iter(PRODUCTS.values())), "reference")]:
        state = ServerState.start(start)
        for joined in updates:
            state = FedAdam()(engine, state, joined)
        found.append([bits(dict(part)) for part in (state.weights, state.m, state.v)])
    assert len(found) >= 2
    assert all(one == found[0] for one in found)


def test_what_leaves_the_finite_range_is_refused_and_the_state_stands() -> None:
    state = ServerState.start({"w": torch.tensor([3e38])})
    with pytest.raises(OuterStepError, match="finite"):
        FedAvg()(engines()[0], state, {"w": torch.tensor([-3e38])})
    with pytest.raises(OuterStepError, match="finite"):
        FedAdam(eta=3e38)(engines()[0], state, {"w": torch.tensor([-1.0])})
    assert float(state.weights["w"]) == pytest.approx(3e38)
    assert float(state.m["w"]) == 0.0
