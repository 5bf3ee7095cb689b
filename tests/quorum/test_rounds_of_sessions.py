"""Which rounds a session trains: those with which it has half of the shorter one's time in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.quorum.rounds import has_time

TIMES = st.integers(min_value=0, max_value=10_000)
LENGTHS = st.integers(min_value=1, max_value=10_000)


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        (1_000, 4_600, True),  # the whole round
        (2_800, 4_600, True),  # a session half as long, in its second half
        (3_701, 5_501, False),  # 899 of the 900 seconds that it needs
        (3_700, 5_500, True),
        (0, 1_999, False),
        (0, 2_000, True),
        (4_600, 6_400, False),
        (5_000, 6_800, False),
    ],
)
def test_a_round_of_an_hour(starts: int, ends: int, expected: bool) -> None:
    assert has_time(1_000, 4_600, starts, ends) is expected


@given(TIMES, LENGTHS, TIMES, LENGTHS)
def test_it_is_the_same_from_both_sides_and_needs_a_moment_in_common(a: int, long: int, b: int, other: int) -> None:
    found = has_time(a, a + long, b, b + other)
    assert found == has_time(b, b + other, a, a + long)
    assert not found or (a < b + other and b < a + long)


@given(TIMES, LENGTHS, st.integers(min_value=0, max_value=5_000), LENGTHS)
def test_one_within_the_other_always_has_time(starts: int, short: int, before: int, after: int) -> None:
    assert has_time(starts - before, starts + short + after, starts, starts + short)
