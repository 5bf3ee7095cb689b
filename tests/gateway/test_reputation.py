"""Reputation: integers, in range, and worth what it should be worth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from economics.units import BPS, DAY
from node.gateway.reputation import Outcome, after, quarantine_seconds, recomputation_rate, replicas

REPUTATION = st.integers(0, BPS)
GOOD = [Outcome.VERIFIED, Outcome.AGREED, Outcome.UNCHECKED]


@given(REPUTATION, st.sampled_from(Outcome))
def test_it_stays_in_range_and_moves_the_right_way(reputation: int, outcome: Outcome) -> None:
    found = after(reputation, outcome)
    assert isinstance(found, int)
    assert 0 <= found <= BPS
    if outcome in GOOD:
        assert found > reputation or reputation == BPS
    else:
        assert found <= reputation // 2


@given(REPUTATION, REPUTATION, st.sampled_from(Outcome))
def test_more_before_is_never_less_after(one: int, other: int, outcome: Outcome) -> None:
    low, high = sorted((one, other))
    assert after(low, outcome) <= after(high, outcome)


@given(REPUTATION)
def test_proof_counts_more_than_agreement_and_agreement_more_than_nothing(reputation: int) -> None:
    assert after(reputation, Outcome.VERIFIED) >= after(reputation, Outcome.AGREED)
    assert after(reputation, Outcome.AGREED) >= after(reputation, Outcome.UNCHECKED)


def test_how_long_trust_takes() -> None:
    def results(outcome: Outcome, until: int = 6_000) -> int:
        reputation, count = 0, 0
        while reputation < until:
            reputation, count = after(reputation, outcome), count + 1
        return count

    assert (results(Outcome.VERIFIED), results(Outcome.AGREED), results(Outcome.UNCHECKED)) == (11, 18, 180)
    assert results(Outcome.AGREED, BPS) < 300


def test_false_results_cost_everything_and_more_each_time() -> None:
    assert after(BPS, Outcome.FALSE) == 0
    assert [quarantine_seconds(Outcome.FALSE, n) // DAY for n in (0, 1, 2, 6, 7, 1_000)] == [1, 2, 4, 64, 64, 64]
    assert quarantine_seconds(Outcome.VERIFIED, 5) == 0
    assert 0 < quarantine_seconds(Outcome.UNPROVEN, 9) < DAY


@given(REPUTATION, st.integers(0, BPS), st.integers(0, BPS))
def test_checks_follow_reputation(reputation: int, one: int, other: int) -> None:
    full, new = sorted((one, other))
    assert full <= recomputation_rate(reputation, new, full) <= new
    assert recomputation_rate(0, new, full) == new
    assert recomputation_rate(BPS, new, full) == full
    assert replicas(reputation, 6_000, 2) == (1 if reputation >= 6_000 else 2)
