"""How long a step takes: through the stages of a quorum, or on one machine alone."""

from __future__ import annotations

from collections.abc import Sequence

from bench.simulate.machines import Machine
from consensus.model.config import ModelConfig
from consensus.quorum.capacity import LAYER_WORK, Layout
from consensus.quorum.parts import Span

PASSES = 3
"""Forward, and a backward pass of twice the work."""


def step_us(members: Sequence[tuple[Machine, Span]], model: ModelConfig, layout: Layout, now: int) -> int:
    """Microseconds of one step of a pipeline, one forward and one backward in turn.

    Fill and drain take every stage and link once; each further micro-batch takes the slowest of them. Activations
    and gradients travel as int8.
    """
    compute = [PASSES * m.runs_us(now) * layout.work_of(span) // LAYER_WORK for m, span in members]
    rows = model.micro_batch * model.seq_len
    size = rows * model.width + 4 * rows
    links = [
        (size * 1_000_000 // min(a.bandwidth, b.bandwidth), max(a.link_us, b.link_us) // 2)
        for (a, _), (b, _) in zip(members, members[1:], strict=False)
    ]
    micro_batches = model.batch // model.micro_batch
    slowest = max([*compute, *(busy for busy, _ in links)])
    fill = sum(compute) + sum(2 * (busy + way) for busy, way in links)
    return fill + (micro_batches - 1) * slowest


def alone_us(machine: Machine, model: ModelConfig, layout: Layout) -> int:
    """Microseconds of one step on one machine that trains at its own pace; what does not fit comes from its disk."""
    work = layout.work_of(Span(0, layout.parts))
    return PASSES * machine.layer_us * work // LAYER_WORK * (model.batch // model.micro_batch)
