"""1F1B: what a pass needs is there before it, room is bounded, and no order of messages can block it."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import PipelineError
from consensus.pipeline.schedule import Work, in_flight, order

STAGES, MICROS = st.integers(1, 16), st.integers(1, 40)


@given(STAGES, MICROS)
def test_every_stage_does_each_pass_once_backward_after_forward_and_in_order(stages: int, micros: int) -> None:
    for stage in range(stages):
        work = order(stage, stages, micros)
        assert [w.micro for w in work if w.forward] == list(range(micros))
        assert [w.micro for w in work if not w.forward] == list(range(micros))
        assert all(work.index(Work(True, m)) < work.index(Work(False, m)) for m in range(micros))


@given(STAGES, MICROS)
def test_what_a_stage_keeps_never_exceeds_its_room(stages: int, micros: int) -> None:
    for stage in range(stages):
        held = most = 0
        for work in order(stage, stages, micros):
            held += 1 if work.forward else -1
            most = max(most, held)
        assert most == in_flight(stage, stages, micros) <= stages - stage


@given(STAGES, MICROS, st.integers(0, 2**32), st.integers(1, 3))
def test_stages_that_run_at_any_speeds_finish_and_no_queue_outgrows_its_bound(
    stages: int, micros: int, seed: int, steps: int
) -> None:
    """Any stage that can go on may be the next to do so; messages in one direction keep their order."""
    todo = [deque(list(order(stage, stages, micros)) * steps) for stage in range(stages)]
    up: list[deque[int]] = [deque() for _ in range(stages + 1)]
    down: list[deque[int]] = [deque() for _ in range(stages + 1)]
    while any(todo):
        ready = [at for at in range(stages) if todo[at] and _can(todo[at][0], at, stages, up, down)]
        assert ready, "deadlock"
        seed = (seed * 6364136223846793005 + 1) % 2**64
        at = ready[seed % len(ready)]
        work = todo[at].popleft()
        came, goes = (up[at], up[at + 1]) if work.forward else (down[at + 1], down[at])
        if (at > 0) if work.forward else (at < stages - 1):
            assert came.popleft() == work.micro
        goes.append(work.micro)
        assert all(len(queue) <= stages for queue in (*up[1:stages], *down[1:stages]))


def _can(work: Work, at: int, stages: int, up: list[deque[int]], down: list[deque[int]]) -> bool:
    if work.forward:
        return at == 0 or bool(up[at])
    return at == stages - 1 or bool(down[at + 1])


@pytest.mark.parametrize(("stage", "stages", "micros"), [(2, 2, 1), (-1, 2, 1), (0, 0, 1), (0, 1, 0)])
def test_numbers_out_of_range_are_refused(stage: int, stages: int, micros: int) -> None:
    with pytest.raises(PipelineError):
        order(stage, stages, micros)
