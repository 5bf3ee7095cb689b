"""What stands apart, and what does not: sizes, directions, too few to say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from node.gateway.outliers import SAMPLE_MIN, SIGMAS, Profile, Sketcher, apart, suspicion

SHAPES = {"a": (40, 50), "b": (3000,)}
SKETCHER = Sketcher(b"some secret that nobody else has")


def honest(seed: int, scale: float = 1.0) -> dict[str, Tensor]:
    """A common direction and noise of its own."""
    common, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed + 1)
    return {
        name: scale * (torch.randn(shape, generator=common) + torch.randn(shape, generator=own))
        for name, shape in SHAPES.items()
    }


@pytest.fixture(scope="module")
def accepted() -> list[Profile]:
    return [SKETCHER.profile(honest(seed)) for seed in range(20)]


def test_honest_uploads_do_not_stand_apart(accepted: list[Profile]) -> None:
    assert [suspicion(SKETCHER.profile(honest(seed)), accepted) for seed in range(100, 140)] == [""] * 40


@pytest.mark.parametrize("factor", [1000.0, 2.0, 0.5, -1.0, 0.0])
def test_another_size_or_direction_does(accepted: list[Profile], factor: float) -> None:
    found = suspicion(SKETCHER.profile({name: t * factor for name, t in honest(7).items()}), accepted)
    assert ("direction" if factor == -1.0 else "norm") in found


def test_noise_of_the_right_size_does(accepted: list[Profile]) -> None:
    draw = torch.Generator().manual_seed(5)
    noise = {name: math.sqrt(2) * torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}
    assert "direction" in suspicion(SKETCHER.profile(noise), accepted)


def test_liars_among_the_accepted_hide_nobody(accepted: list[Profile]) -> None:
    lie = SKETCHER.profile({name: -10 * t for name, t in honest(3).items()})
    assert suspicion(lie, [*accepted, *[lie] * 6])
    assert suspicion(SKETCHER.profile(honest(50)), [*accepted, *[lie] * 6]) == ""


def test_too_few_say_nothing(accepted: list[Profile]) -> None:
    lie = SKETCHER.profile({name: -1000 * t for name, t in honest(3).items()})
    assert suspicion(lie, accepted[: SAMPLE_MIN - 1]) == ""
    assert suspicion(lie, accepted[:SAMPLE_MIN])


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_sketches_keep_inner_products(one: int, other: int) -> None:
    x, y = honest(one), honest(other)
    exact = sum(float((x[name].double() * y[name].double()).sum()) for name in SHAPES)
    p, q = SKETCHER.profile(x), SKETCHER.profile(y)
    assert p.norm == pytest.approx(math.sqrt(sum(float((t.double() ** 2).sum()) for t in x.values())))
    assert abs(float(p.sketch @ q.sketch) - exact) < 0.16 * p.norm * q.norm


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.floats(-5, 5))
def test_apart_is_symmetric_and_never_negative(others: list[float], value: float) -> None:
    assert apart(value, others) >= 0
    assert apart(-value, [-one for one in others]) == pytest.approx(apart(value, others))
    assert apart(float(np.median(others)), others) < SIGMAS
