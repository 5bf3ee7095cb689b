"""Batch offsets and audit segments: fixed by their inputs, spread, and never outside; differences in words."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.commitments.trace import StepLeaf
from consensus.dispute.audit import Field, draw_segments, first_difference
from consensus.training.batches import draw_offsets

SEED, NODE, CLAIM = bytes(range(32)), bytes(range(20)), bytes([9] * 32)


@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(1, 2**40))
def test_offsets_by_their_definition(step: int, count: int, limit: int) -> None:
    expected = [
        int.from_bytes(
            hashlib.sha256(b"ponw/batch/1" + SEED + NODE + step.to_bytes(4, "big") + i.to_bytes(4, "big")).digest(),
            "big",
        )
        % limit
        for i in range(count)
    ]
    assert draw_offsets(SEED, NODE, step, count, limit) == expected


def test_offsets_differ_by_round_node_and_step() -> None:
    draws = {
        tuple(draw_offsets(*args, 4, 10**9))
        for args in (
            (SEED, NODE, 0),
            (SEED, NODE, 1),
            (bytes(32), NODE, 0),
            (SEED, bytes(20), 0),
        )
    }
    assert len(draws) == 4


@pytest.mark.parametrize(
    "change",
    [{"randomness": bytes(31)}, {"node": bytes(21)}, {"step": -1}, {"step": 2**32}, {"limit": 0}, {"count": -1}],
)
def test_offsets_refuse_bad_sizes(change: dict[str, object]) -> None:
    good = {"randomness": SEED, "node": NODE, "step": 0, "count": 1, "limit": 1}
    with pytest.raises(ValueError):
        draw_offsets(**(good | change))  # type: ignore[arg-type]


@given(st.integers(1, 500), st.integers(1, 60), st.integers(1, 40))
def test_segments_are_distinct_sorted_and_inside(steps: int, length: int, count: int) -> None:
    segments = draw_segments(SEED, CLAIM, NODE, steps, length, count)
    assert segments == sorted(set(segments))
    assert len(segments) == min(count, -(-steps // length))
    for segment in segments:
        assert segment.start % length == 0
        assert 0 <= segment.start < segment.stop <= steps
        assert segment.stop == min(segment.start + length, steps)


def test_every_segment_is_drawn_about_equally_often() -> None:
    hits = [0] * 10
    for seed in range(2_000):
        for segment in draw_segments(seed.to_bytes(32, "big"), CLAIM, NODE, 100, 10, 3):
            hits[segment.start // 10] += 1
    assert sum(hits) == 6_000
    assert all(500 < hit < 700 for hit in hits), hits  # expected 600, standard deviation 20


def test_auditors_and_claims_get_their_own_draws() -> None:
    draws = [
        draw_segments(SEED, claim, node, 1_000, 1, 20)
        for claim, node in ((CLAIM, NODE), (SEED, NODE), (CLAIM, bytes(20)))
    ]
    assert draws[0] != draws[1] != draws[2] != draws[0]


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_segments_refuse_empty_work(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        draw_segments(SEED, CLAIM, NODE, *sizes)


def leaves(count: int) -> list[StepLeaf]:
    return [StepLeaf(bytes([i] * 32), bytes([i + 100] * 32), 0x40000000, i) for i in range(count)]


@pytest.mark.parametrize(
    ("lie", "field"),
    [
        (StepLeaf(b"\xee" * 32, bytes([102] * 32), 0x40000000, 2), Field.STATE),
        (StepLeaf(b"\xee" * 32, b"\xee" * 32, 0, 2), Field.BATCH),
        (StepLeaf(bytes([2] * 32), bytes([102] * 32), 0x3F800000, 2), Field.LOSS),
        (StepLeaf(bytes([2] * 32), bytes([102] * 32), 0x40000000, 9), Field.STEP),
    ],
)
def test_the_first_difference_names_step_and_cause(lie: StepLeaf, field: Field) -> None:
    committed = [*leaves(2), lie, *leaves(5)[3:]]
    found = first_difference(committed, leaves(5))
    assert found is not None
    assert (found.step, found.field) == (2, field)
    assert str(found).startswith(f"step 2, {field.value}: committed ")


def test_the_loss_is_said_in_numbers() -> None:
    committed = [StepLeaf(bytes(32), bytes([100] * 32), 0x3F800000, 0)]
    assert (
        str(first_difference(committed, leaves(1)))
        == "step 0, loss: committed 0x3f800000 (1), recomputed 0x40000000 (2)"
    )


def test_agreement_and_missing_leaves() -> None:
    assert first_difference(leaves(4), leaves(4)) is None
    short, long = first_difference(leaves(2), leaves(4)), first_difference(leaves(4), leaves(2))
    assert short is not None
    assert long is not None
    assert (short.step, short.field, short.committed) == (2, Field.MISSING, "none")
    assert (long.step, long.field, long.recomputed) == (2, Field.MISSING, "none")
