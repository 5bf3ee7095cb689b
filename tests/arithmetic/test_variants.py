"""Every compiled variant gives the bits of the portable one: odd sizes, extreme integers, zero rows, any threads."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from consensus.arithmetic import library, numbers
from consensus.arithmetic.compiled import Compiled
from consensus.arithmetic.library import Library

VARIANTS = tuple(variant for variant in library.VARIANTS if variant != "portable")
LENGTHS = st.one_of(st.integers(1, 200), st.sampled_from([255, 256, 257, 448, 511, 512, 513, 575, 577, 1000, 1030]))
ROWS = st.one_of(st.just(1), st.integers(1, 70), st.sampled_from([127, 128, 130]))


@functools.cache
def loaded(variant: str) -> Library | None:
    return library.load(variant)


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Iterator[Library]:
    """One that runs here; threads as they were afterwards."""
    mine, portable = loaded(request.param), loaded("portable")
    if mine is None or portable is None:
        pytest.skip(f"{request.param} or portable is not built or does not run on this processor")
    threads = mine.set_threads(0)
    yield mine
    mine.set_threads(threads)


def integers(random: np.random.Generator, rows: int, columns: int, kind: str) -> Tensor:
    """Integers of 12 bits whose quantised values are themselves: every row and every column has a ±2047 in it."""
    top = int(numbers.QMAX)
    values = random.integers(-top, top + 1, (rows, columns))
    if kind == "ends":
        values = random.choice([-top, top], (rows, columns))
    elif kind == "limbs":  # around the places where the upper limb changes
        values = np.clip(random.integers(-32, 33, (rows, columns)) * 64 + random.integers(30, 35), -top, top)
    elif kind == "one sign":
        values = np.full((rows, columns), top)
    values[np.arange(rows), np.arange(rows) % columns] = top
    values[np.arange(columns) % rows, np.arange(columns)] = -top
    scaled = values.astype(np.float64) * 2.0 ** random.integers(-20, 20)
    if kind == "zero rows":
        scaled[random.random(rows) < 0.3] = 0.0
        scaled[:, random.random(columns) < 0.3] = 2.0**-120
    return torch.from_numpy(scaled.astype(np.float32))


KINDS = st.sampled_from(["any", "ends", "limbs", "one sign", "zero rows"])


def products(engine: Compiled, x: Tensor, w: Tensor, dy: Tensor) -> list[Tensor]:
    """All three products of a linear layer, the gradient of its weights twice over."""
    engine.begin()
    packed = engine.pack_weight("w", w)
    y, saved = engine.linear(x, packed)
    dw = torch.full_like(w, 0.5)
    dx = engine.linear_grad(dy, saved, packed, dw, False).clone()
    engine.linear_grad(dy, saved, packed, dw, True)
    return [t.clone().view(torch.int32) for t in (y, dx, dw)]


@settings(max_examples=120)
@given(
    seed=st.integers(0, 2**32 - 1), rows=ROWS, length=LENGTHS, columns=st.integers(1, 70), kind=KINDS,
    threads=st.integers(1, 4),
)  # fmt: skip
def _check_products(mine: Library, seed: int, rows: int, length: int, columns: int, kind: str, threads: int) -> None:
    random = np.random.default_rng(seed)
    x, w, dy = (integers(random, *shape, kind) for shape in ((rows, length), (columns, length), (rows, columns)))
    portable = loaded("portable")
    assert portable is not None
    expected = products(Compiled(portable), x, w, dy)
    mine.set_threads(threads)
    for name, got, want in zip(("y", "dx", "dw"), products(Compiled(mine), x, w, dy), expected, strict=True):
        assert torch.equal(got, want), name


def test_products_are_the_portable_ones(variant: Library) -> None:
    _check_products(variant)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 511, 512])
def test_the_largest_sums_of_one_block_fit(variant: Library, length: int) -> None:
    top = float(numbers.QMAX)
    x, w = torch.full((17, length), top), torch.full((33, length), top)
    for sign in (1.0, -1.0):
        engine = Compiled(variant)
        engine.begin()
        y, _ = engine.linear(x, engine.pack_weight("w", w * sign))
        assert torch.equal(y, torch.full((17, 33), sign * length * top * top))


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    sequences=st.integers(1, 3),
    length=st.integers(1, 130),
    shape=st.sampled_from([(1, 16), (3, 15), (2, 64), (1, 80)]),
    threads=st.integers(1, 4),
)
def _check_attention(
    mine: Library, seed: int, sequences: int, length: int, shape: tuple[int, int], threads: int
) -> None:
    heads, width = shape
    random = np.random.default_rng(seed)
    qkv = torch.from_numpy(random.standard_normal((sequences * length, 3 * heads * width)).astype(np.float32))
    dout = torch.from_numpy(random.standard_normal((sequences * length, heads * width)).astype(np.float32))
    results = []
    for one in (mine, loaded("portable")):
        assert one is not None
        one.set_threads(threads if one is mine else 1)
        engine = Compiled(one)
        engine.begin()
        out, saved = engine.attention(qkv, sequences, heads)
        results.append([out.clone(), engine.attention_grad(dout, saved).clone()])
    for got, want in zip(*results, strict=True):
        assert torch.equal(got.view(torch.int32), want.view(torch.int32))


def test_attention_is_the_portable_one(variant: Library) -> None:
    _check_attention(variant)
