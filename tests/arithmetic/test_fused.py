"""The fused GPU kernels give the reference's bits: on a GPU, or one Triton operation at a time on the processor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines import array, bits
from torch import Tensor
from triton_here import DEVICE, MISSING, WHY

from consensus.arithmetic import choice
from consensus.arithmetic.engine import AdamWConstants, Engine
from consensus.arithmetic.numbers import round32
from consensus.arithmetic.reference import Reference
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.training.optimizer import AdamW
from consensus.training.step import Trainer, TrainState, together

if TYPE_CHECKING:
    from consensus.arithmetic.fused import Fused

pytestmark = pytest.mark.skipif(MISSING, reason=WHY)
few = settings(max_examples=6)
MINI = ModelConfig("mini", layers=1, width=16, heads=1, seq_len=256, batch=4, vocab=40)
"""Two micro-batches a step."""
VALUES = (0.0, -0.0, 2.0**-149, -(2.0**-126), 2.0**-101, 2.0**-100, 1.0, -1.0, 2047.0, 2.0**60, -(2.0**63))


@functools.cache
def engine() -> Fused:
    from consensus.arithmetic.fused import Fused

    return Fused(DEVICE)


def same(work: Callable[[Engine, Callable[[Tensor], Tensor]], list[Tensor]]) -> None:
    """``work`` gives the same words on both; it puts its inputs where the engine works by its second argument."""
    expected = [bits(t) for t in work(Reference(), torch.clone)]
    found = [bits(t.cpu()) for t in work(engine(), lambda t: t.clone().to(DEVICE))]
    assert found == expected


def test_it_proves_itself_like_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE.type == "cpu":
        monkeypatch.setattr(choice, "CHECK_LENGTHS", (1, 2, 31, 513))
    assert choice.proof_failure(engine()) is None


@few
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 17, 33, 130]),
    st.sampled_from([1, 3, 31, 64, 65, 129, 512, 700]),
    st.sampled_from([1, 5, 40]),
    st.integers(0, 6),
)
def test_linear_and_its_gradients(seed: int, rows: int, k: int, n: int, spice: int) -> None:
    x, w, dy = array(seed, rows, k, spice), array(seed + 1, n, k, spice), array(seed + 2, rows, n, spice)

    def work(e: Engine, put: Callable[[Tensor], Tensor]) -> list[Tensor]:
        packed = e.pack_weight("w", put(w))
        y, saved = e.linear(put(x), packed)
        dw = put(torch.full((n, k), 0.5))
        dx = e.linear_grad(put(dy), saved, packed, dw, False)
        e.linear_grad(put(dy), saved, packed, dw, True)
        return [y, dx, dw]

    same(work)


@pytest.mark.parametrize("rows", [1024, 2560])
@pytest.mark.parametrize("accumulate", [False, True])
def test_rows_of_several_micro_batches_add_in_their_order(rows: int, accumulate: bool) -> None:
    """Gradients of weights and embeddings over many tokens at once are those of 512 at a time, one after the other."""
    n, k, length, vocab = 20, 33, 64, 50
    x, dy, dx = array(1, rows, k, 3), array(2, rows, n, 3), array(3, rows, k, 3)
    tokens = (torch.arange(rows, dtype=torch.int64) * 7 % vocab).to(torch.int32)
    tables = [torch.full((n, k), 0.5), torch.full((vocab, k), 0.25), torch.full((length, k), 0.25)]

    def work(e: Engine, span: int, put: Callable[[Tensor], Tensor]) -> list[Tensor]:
        dw, dtable, dplace = (put(t) for t in tables)
        packed = e.pack_weight("w", put(array(4, n, k, 0)))
        for at in range(0, rows, span):
            more, part = accumulate or at > 0, slice(at, at + span)
            e.linear_grad(put(dy[part]), put(x[part]), packed, dw, more)
            e.embed_grad(put(tokens[part]).view(-1, length), put(dx[part]), dtable, dplace, more)
        return [dw, dtable, dplace]

    expected = [bits(t) for t in work(Reference(), 512, torch.clone)]
    assert [bits(t.cpu()) for t in work(engine(), rows, lambda t: t.clone().to(DEVICE))] == expected


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 17, 64]), st.sampled_from([1, 16, 127, 513]), st.integers(0, 6))
def test_norm_activation_and_sum(seed: int, rows: int, d: int, spice: int) -> None:
    x, dy, h = array(seed, rows, d, spice), array(seed + 1, rows, d, spice), array(seed + 2, rows, d, spice)

    def work(e: Engine, put: Callable[[Tensor], Tensor]) -> list[Tensor]:
        y, saved = e.rmsnorm(put(x))
        grads = [e.rmsnorm_grad(put(dy), saved, None), e.rmsnorm_grad(put(dy), saved, put(x))]
        return [y, *grads, e.relu2(put(h)), e.relu2_grad(put(dy), put(h)), e.add(put(x), put(dy))]

    same(work)


@pytest.mark.parametrize(
    ("sequences", "length", "heads", "width"), [(2, 1, 1, 16), (1, 31, 2, 32), (2, 64, 2, 16), (1, 256, 1, 64)]
)
def test_attention_and_its_gradient(sequences: int, length: int, heads: int, width: int) -> None:
    qkv = array(length, sequences * length, 3 * heads * width, 0)
    dout = array(length + 1, sequences * length, heads * width, 0)

    def work(e: Engine, put: Callable[[Tensor], Tensor]) -> list[Tensor]:
        out, saved = e.attention(put(qkv), sequences, heads)
        return [out, e.attention_grad(put(dout), saved)]

    same(work)


def test_attention_without_room_for_it_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU with little of it runs wide attention by PyTorch's operations."""
    monkeypatch.setattr(engine(), "_shared", 1024)
    qkv, dout = array(1, 64, 96, 0), array(2, 64, 32, 0)

    def work(e: Engine, put: Callable[[Tensor], Tensor]) -> list[Tensor]:
        out, saved = e.attention(put(qkv), 1, 2)
        return [out, e.attention_grad(put(dout), saved)]

    same(work)


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 8, 64]), st.sampled_from([1, 4]), st.sampled_from([17, 64]))
def test_embedding_and_cross_entropy(seed: int, length: int, sequences: int, d: int) -> None:
    random, vocab = np.random.default_rng(seed), 50
    tokens = torch.from_numpy(random.integers(0, vocab, (sequences, length)).astype(np.int32))
    table, place = array(seed, vocab, d, 2), array(seed + 1, length, d, 2)
    dx, logits = array(seed + 2, sequences * length, d, 2), array(seed + 3, sequences * length, vocab, 2)

    def work(e: Engine, put: Callable[[Tensor], Tensor]) -> list[Tensor]:
        x = e.embed(put(tokens), put(table), put(place))
        dtable, dplace = put(torch.full((vocab, d), 0.25)), put(torch.full((length, d), 0.25))
        e.embed_grad(put(tokens), put(dx), dtable, dplace, False)
        e.embed_grad(put(tokens), put(dx), dtable, dplace, True)
        dlogits, total = e.cross_entropy(put(logits), put(tokens).reshape(-1), 0.03125)
        loss = torch.tensor([int(total) % 2**31], dtype=torch.int32).view(torch.float32)
        return [x, dtable, dplace, dlogits, loss]

    same(work)


@few
@given(st.integers(0, 2**32 - 1), st.integers(1, 1500), st.integers(0, 5000))
def test_adamw(seed: int, count: int, step: int) -> None:
    constants = AdamW().constants(step)
    w, m, g = (array(seed + i, 1, count, 3) for i in range(3))
    v = array(seed + 3, 1, count, 3).abs()

    def work(e: Engine, put: Callable[[Tensor], Tensor]) -> list[Tensor]:
        state = [put(w), put(m), put(v)]
        finite = e.adamw(*state, put(g), constants)
        return [*state, torch.tensor([float(bool(finite))])]

    same(work)


@pytest.mark.parametrize("value", VALUES)
def test_rows_of_one_value(value: float) -> None:
    """Zeros of both signs, subnormals, and both sides of the smallest maximum that counts."""
    x, w = torch.full((3, 40), value), array(5, 4, 40, 0)

    def work(e: Engine, put: Callable[[Tensor], Tensor]) -> list[Tensor]:
        return [e.linear(put(x), e.pack_weight("w", put(w)))[0], e.rmsnorm(put(x[:, :3] * 2.0**-20))[0]]

    same(work)


def test_adamw_says_when_a_weight_is_no_longer_finite() -> None:
    constants = AdamWConstants(*(round32(c) for c in (0.9, 0.1, 0.95, 0.05, 1.0, 1.0, 1e-8, 1.0, 1.0)))
    w, zero = torch.tensor([1.0, 2.0], device=DEVICE), torch.zeros(2, device=DEVICE)

    def step(m: list[float]) -> bool:
        return bool(engine().adamw(w.clone(), torch.tensor(m, device=DEVICE), zero.clone(), zero, constants))

    assert step([0.0, 1e-9])
    assert not step([0.0, 3.4e38])


def tokens_of(step: int) -> Tensor:
    return (
        (torch.arange(MINI.batch * (MINI.seq_len + 1)) * 31 + step).remainder(40).to(torch.int32).view(MINI.batch, -1)
    )


def words(state: TrainState) -> Mapping[str, list[int]]:
    parts = {"w": state.weights, "m": state.m, "v": state.v}
    return {f"{part}/{name}": bits(t.cpu()) for part, tensors in parts.items() for name, t in tensors.items()}


@pytest.mark.parametrize("room", [0, 1 << 40])
def test_a_step_is_the_references(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole step, one micro-batch at a time and all at once."""
    monkeypatch.setattr(engine(), "room", lambda: room, raising=False)
    results = []
    for kernel in (Reference(), engine()):
        trainer, state = Trainer(MINI, kernel), TrainState.start(init_weights(MINI, b"gpu"))
        results.append(([trainer.step(state, tokens_of(0))], words(state)))
    assert results[0] == results[1]


def test_a_queued_step_is_the_same() -> None:
    """What a device queues as a whole, with constants that are tensors, gives the bits of the step taken op by op."""
    results = []
    for queued in (False, True):
        trainer, state = Trainer(MINI, Reference()), TrainState.start(init_weights(MINI, b"gpu"))
        trainer.queue.graphs = False
        losses = [trainer.step(state, tokens_of(0))]
        take = trainer._queued if queued else trainer.step
        losses += [take(state, tokens_of(step)) for step in (1, 2)]
        results.append((losses, words(state), state.step))
    assert results[0] == results[1]


def test_room_takes_as_many_micro_batches_as_fit() -> None:
    config = ModelConfig("some", layers=2, width=64, heads=2, seq_len=128, batch=48)  # twelve micro-batches
    sizes = [together(config, room) for room in (0, 1, 10**8, 3 * 10**8, 10**12)]
    assert sizes[:2] == [1, 1]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 12
    assert all(12 % size == 0 for size in sizes)
