"""Every engine gives the reference's bits, over drawn shapes and the extremes of fp32."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from consensus.arithmetic import library
from consensus.arithmetic.compiled import Compiled
from consensus.arithmetic.engine import AdamWConstants, Engine
from consensus.arithmetic.numbers import round32
from consensus.arithmetic.products import PRODUCTS
from consensus.arithmetic.reference import Reference
from consensus.training.optimizer import AdamW

EXTREMES = (0.0, -0.0, 2.0**-149, -(2.0**-126), 2.0**-127, 2.0**-100, 1.0, -1.0, 2.0**63, -(2.0**60), 3.0e-39)
"""Magnitudes whose products stay finite: beyond that no state is committed to."""


@functools.cache
def engines() -> dict[str, Engine]:
    found: dict[str, Engine] = {f"torch-{name}": Reference(product, name) for name, product in PRODUCTS.items()}
    for variant in library.VARIANTS:
        loaded = library.load(variant)
        if loaded is not None:
            found[f"compiled-{variant}"] = Compiled(loaded)
    return found


@pytest.fixture(params=["torch-int8", "torch-fp32", *(f"compiled-{variant}" for variant in library.VARIANTS)])
def engine(request: pytest.FixtureRequest) -> Engine:
    made = engines().get(request.param)
    if made is None:
        pytest.skip(f"{request.param} is not built or does not run on this processor")
    return made


def bits(t: Tensor) -> list[int]:
    """The words of an fp32 tensor; -0 counts as 0 nowhere."""
    return t.detach().contiguous().reshape(-1).view(torch.int32).tolist()


def array(seed: int, rows: int, columns: int, spice: int) -> Tensor:
    """Normal values at a drawn scale a row, with extremes strewn in."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((rows, columns)) * 2.0 ** random.integers(-30, 8, (rows, 1))
    for _ in range(spice):
        values[random.integers(rows), random.integers(columns)] = EXTREMES[random.integers(len(EXTREMES))]
    if spice > 3:
        values[random.integers(rows)] = 0.0
    return torch.from_numpy(values.astype(np.float32))


SHAPES = st.tuples(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 15, 16, 17, 33, 64]),
    st.sampled_from([1, 3, 16, 31, 64, 127, 512, 513, 700, 1030]),
    st.sampled_from([1, 5, 16, 40]),
    st.integers(0, 6),
)
many = settings(max_examples=40)


def same(engine: Engine, work: Callable[[Engine], list[Tensor]]) -> None:
    reference = [bits(t) for t in work(Reference())]
    assert [bits(t) for t in work(engine)] == reference


@many
@given(SHAPES)
def _check_linear(engine: Engine, drawn: tuple[int, int, int, int, int]) -> None:
    seed, rows, k, n, spice = drawn
    x, w, dy = array(seed, rows, k, spice), array(seed + 1, n, k, spice), array(seed + 2, rows, n, spice)

    def work(e: Engine) -> list[Tensor]:
        e.begin()
        packed = e.pack_weight(f"w{n}x{k}", w)
        y, saved = e.linear(x, packed)
        y = y.clone()
        dw = torch.full((n, k), 0.5)
        dx = e.linear_grad(dy, saved, packed, dw, False).clone()
        e.linear_grad(dy, saved, packed, dw, True)
        return [y, dx, dw]

    same(engine, work)


def test_linear_and_its_gradients(engine: Engine) -> None:
    _check_linear(engine)


@many
@given(SHAPES)
def _check_rows(engine: Engine, drawn: tuple[int, int, int, int, int]) -> None:
    seed, rows, d, _, spice = drawn
    x, dy, h = array(seed, rows, d, spice), array(seed + 1, rows, d, spice), array(seed + 2, rows, d, spice)

    def work(e: Engine) -> list[Tensor]:
        e.begin()
        y, saved = e.rmsnorm(x)
        into = x.clone()
        grads = [e.rmsnorm_grad(dy, saved, None).clone(), e.rmsnorm_grad(dy, saved, into).clone()]
        activations = [e.relu2(h).clone(), e.relu2_grad(dy.clone(), h).clone()]
        return [y.clone(), *grads, *activations, e.add(x, dy.clone()).clone()]

    same(engine, work)


def test_norm_activation_and_sum(engine: Engine) -> None:
    _check_rows(engine)


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 16, 31, 64, 128]),
    st.sampled_from([(1, 16), (2, 32), (3, 64)]),
)
def _check_attention(engine: Engine, seed: int, sequences: int, length: int, shape: tuple[int, int]) -> None:
    heads, width = shape
    qkv = array(seed, sequences * length, 3 * heads * width, 0)
    dout = array(seed + 1, sequences * length, heads * width, 0)

    def work(e: Engine) -> list[Tensor]:
        e.begin()
        out, saved = e.attention(qkv, sequences, heads)
        return [out.clone(), e.attention_grad(dout, saved).clone()]

    same(engine, work)


def test_attention_and_its_gradient(engine: Engine) -> None:
    _check_attention(engine)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 8, 64]), st.sampled_from([1, 4]), st.sampled_from([17, 64]))
def _check_tokens(engine: Engine, seed: int, length: int, sequences: int, d: int) -> None:
    random, vocab = np.random.default_rng(seed), 50
    tokens = torch.from_numpy(random.integers(0, vocab, (sequences, length)).astype(np.int32))
    table, place = array(seed, vocab, d, 2), array(seed + 1, length, d, 2)
    dx, logits = array(seed + 2, sequences * length, d, 2), array(seed + 3, sequences * length, vocab, 2)

    def work(e: Engine) -> list[Tensor]:
        e.begin()
        x = e.embed(tokens, table, place).clone()
        dtable, dplace = torch.full((vocab, d), 0.25), torch.full((length, d), 0.25)
        e.embed_grad(tokens, dx, dtable, dplace, False)
        e.embed_grad(tokens, dx, dtable, dplace, True)
        dlogits, total = e.cross_entropy(logits.clone(), tokens.reshape(-1), 0.03125)
        loss = torch.tensor([total % 2**31], dtype=torch.int32).view(torch.float32)
        return [x, dtable, dplace, dlogits.clone(), loss]

    same(engine, work)


def test_embedding_and_cross_entropy(engine: Engine) -> None:
    _check_tokens(engine)


@many
@given(st.integers(0, 2**32 - 1), st.integers(1, 700), st.integers(0, 5000))
def _check_adamw(engine: Engine, seed: int, count: int, step: int) -> None:
    constants = AdamW().constants(step)
    w, m, g = (array(seed + i, 1, count, 3) for i in range(3))
    v = array(seed + 3, 1, count, 3).abs()

    def work(e: Engine) -> list[Tensor]:
        state = [w.clone(), m.clone(), v.clone()]
        finite = e.adamw(*state, g.clone(), constants)
        return [*state, torch.tensor([float(finite)])]

    same(engine, work)


def test_adamw(engine: Engine) -> None:
    _check_adamw(engine)


def test_adamw_says_when_a_weight_is_no_longer_finite(engine: Engine) -> None:
    constants = AdamWConstants(*(round32(c) for c in (0.9, 0.1, 0.95, 0.05, 1.0, 1.0, 1e-8, 1.0, 1.0)))
    w, zero = torch.tensor([1.0, 2.0]), torch.zeros(2)
    assert engine.adamw(w.clone(), torch.tensor([0.0, 1e-9]), zero.clone(), zero, constants)
    assert not engine.adamw(w.clone(), torch.tensor([0.0, 3.4e38]), zero.clone(), zero, constants)
