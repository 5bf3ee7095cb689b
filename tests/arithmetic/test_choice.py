"""The choice of a kernel: liars are refused, the fastest that passes is taken, limits are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from consensus.arithmetic import choose_engine, library, survey
from consensus.arithmetic.choice import candidates
from consensus.arithmetic.engine import Engine
from consensus.arithmetic.products import fp32
from consensus.arithmetic.reference import Reference
from consensus.errors import KernelError


def saturating(a: Tensor, b: Tensor) -> Tensor:
    """Pairs of products held in 16 bits, as int8 kernels without VNNI do."""
    total = torch.zeros(*a.shape[:-1], b.shape[-2], dtype=torch.int64)
    for at in range(0, a.shape[-1], 2):
        pair = a[..., at : at + 2].long().unsqueeze(-2) * b[..., at : at + 2].long().unsqueeze(-3)
        total += pair.sum(-1).clamp(-(2**22), 2**22)
    return total.to(torch.int32)


class SlowSoftmax(Reference):
    """Right products, wrong attention."""

    def attention(self, qkv: Tensor, sequences: int, heads: int) -> tuple[Tensor, Any]:
        out, saved = super().attention(qkv, sequences, heads)
        return out + 2.0**-20, saved


def maker(engine: Engine | None) -> Callable[[], Engine | None]:
    return lambda: engine


def test_a_kernel_that_saturates_is_refused_by_name_of_what_is_wrong() -> None:
    (verdict,) = survey(makers=[("liar", maker(Reference(saturating, "liar")))])
    assert not verdict.passed
    assert "a product over" in verdict.reason
    assert "terms is wrong" in verdict.reason


def test_a_kernel_with_one_wrong_op_is_refused() -> None:
    (verdict,) = survey(makers=[("slip", maker(SlowSoftmax(fp32, "slip")))])
    assert not verdict.passed
    assert "forward and backward" in verdict.reason


def test_a_liar_is_passed_over_for_an_honest_kernel() -> None:
    honest = Reference(fp32, "honest")
    makers = [("gone", maker(None)), ("liar", maker(Reference(saturating, "liar"))), ("honest", maker(honest))]
    assert choose_engine(makers=makers) is honest


def test_without_an_honest_kernel_the_node_does_not_start() -> None:
    with pytest.raises(KernelError, match="liar: the gradient of a product"):
        choose_engine(makers=[("liar", maker(Reference(saturating, "liar")))])


def test_the_fastest_by_the_clock_is_taken() -> None:
    slow, fast = Reference(fp32, "slow"), Reference(fp32, "fast")
    ticks = iter([0.0, 5.0, 5.0, 10.0, 10.0, 15.0, 20.0, 21.0, 21.0, 22.0, 22.0, 23.0])
    chosen = choose_engine(clock=lambda: next(ticks), makers=[("slow", maker(slow)), ("fast", maker(fast))])
    assert chosen is fast


@pytest.mark.parametrize(("cap", "first"), [("amx", 0), ("avx512", 1), ("avx2", 2), ("portable", 3)])
def test_a_limit_on_instructions_is_kept(cap: str, first: int) -> None:
    names = [name for name, _ in candidates(cap)]
    assert names[: 4 - first] == [f"compiled-{variant}" for variant in library.VARIANTS[first:]]
    assert choose_engine(max_isa=cap).name


def test_every_kernel_that_runs_here_passes() -> None:
    for verdict in survey():
        assert verdict.passed or "not built" in verdict.reason, verdict
