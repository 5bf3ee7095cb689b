"""The reward formula against exact logarithms, hand-computed values and the rules it must keep."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from economics import WAD, Seconds, Steps, Wad, Wei, Work, claim_reward, neuro
from economics import constants as c
from economics.rewards import (
    base_reward,
    late_freshness,
    log2_q64,
    reputation_multiplier,
    role_multiplier,
    scarcity_multiplier,
    stake_multiplier,
)
from economics.units import DAY, HOUR, WEEK

WORK = st.builds(
    Work,
    steps=st.integers(0, c.MAX_STEPS).map(Steps),
    layers=st.integers(0, 200),
    embedding=st.booleans(),
    head=st.booleans(),
    training=st.booleans(),
    stake=st.integers(0, c.SUPPLY_CAP).map(Wei),
    finals=st.integers(0, 1_000),
    scarcity=st.integers(0, WAD).map(Wad),
    age=st.one_of(st.just(0), st.integers(0, 2 * WEEK)).map(Seconds),
)


@given(st.integers(1 << 64, 1 << 128))
def test_log2_is_the_logarithm_from_below(y: int) -> None:
    log = log2_q64(y)
    # The oracle needs no logarithm: floor(16·log2 x) is the bit length of x^16. Ours floors at each squaring.
    sixteenths = (y**16).bit_length() - 1 - 16 * 64
    assert sixteenths - 1 <= log * 16 >> 64 <= sixteenths


@pytest.mark.parametrize("power", [0, 1, 5, 20, 63])
def test_log2_of_a_power_of_two_is_exact(power: int) -> None:
    assert log2_q64(1 << 64 + power) == power << 64


def test_log2_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="2\\^64"):
        log2_q64((1 << 64) - 1)


def test_known_multipliers() -> None:
    assert role_multiplier(True, True, True) == 16_000
    assert role_multiplier(False, False, False) == 10_000
    assert stake_multiplier(neuro(0)) == WAD
    assert stake_multiplier(neuro(1_000)) == WAD * 11 // 10
    assert stake_multiplier(neuro(31_000)) == WAD * 3 // 2
    assert stake_multiplier(c.SUPPLY_CAP) == WAD * 3 // 2
    assert reputation_multiplier(50) == WAD * 105 // 100
    assert reputation_multiplier(10**9) == WAD * 11 // 10
    assert scarcity_multiplier(WAD) == WAD * 3 // 2


def test_known_reward() -> None:
    # 100 batches x 6 layers x 0.0005 = 0.3; all roles 0.48; 1,000 NEURO staked 0.528
    assert claim_reward(Work(Steps(100), 6, stake=neuro(1_000))) == neuro(528, 1_000)


@pytest.mark.parametrize(
    ("age", "share"),
    [
        (1, 10_000),
        (HOUR - 1, 10_000),
        (HOUR, 7_000),
        (DAY - 1, 7_000),
        (DAY, 5_000),
        (WEEK - 1, 5_000),
        (WEEK, 3_000),
        (10**9, 3_000),
    ],
)
def test_a_late_claim_is_paid_by_its_age(age: int, share: int) -> None:
    assert late_freshness(age) == share
    late = claim_reward(Work(Steps(100), 6, stake=neuro(1_000), age=Seconds(age)))
    assert late == neuro(528 * 3 * share, 1_000 * 5 * 10_000), "three fifths of what is paid on time, times freshness"


@given(WORK, st.integers(0, 2 * WEEK))
def test_older_work_never_earns_more(work: Work, more: int) -> None:
    older = Work(**{**_fields(work), "age": Seconds(work.age + more)})
    assert claim_reward(older) <= claim_reward(work)


def test_a_negative_age_is_refused() -> None:
    with pytest.raises(ValueError, match="age"):
        claim_reward(Work(Steps(1), 1, age=Seconds(-1)))


@given(WORK)
def test_reward_is_within_the_formula_and_the_cap(work: Work) -> None:
    reward = claim_reward(work)
    exact = Fraction(base_reward(work.age) * work.steps * work.layers)
    exact *= Fraction(role_multiplier(work.embedding, work.head, work.training), 10_000)
    for multiplier in (
        stake_multiplier(work.stake),
        reputation_multiplier(work.finals),
        scarcity_multiplier(work.scarcity),
    ):
        exact *= Fraction(multiplier, WAD)
    capped = min(exact, Fraction(c.CLAIM_REWARD_CAP))
    assert 0 <= capped - reward < 6, "each of four divisions loses less than one wei, times later multipliers"


@given(WORK, st.integers(0, neuro(10_000)))
def test_more_stake_never_earns_less(work: Work, more: int) -> None:
    richer = Work(**{**_fields(work), "stake": Wei(work.stake + more)})
    assert claim_reward(richer) >= claim_reward(work)


@pytest.mark.parametrize("field", ["steps", "layers", "stake", "finals"])
def test_negative_work_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="negative"):
        claim_reward(Work(**{"steps": Steps(1), "layers": 1, field: -1}))


@pytest.mark.parametrize("scarcity", [-1, WAD + 1])
def test_scarcity_outside_its_range_is_refused(scarcity: int) -> None:
    with pytest.raises(ValueError, match="scarcity"):
        claim_reward(Work(Steps(1), 1, scarcity=Wad(scarcity)))


def _fields(work: Work) -> dict[str, object]:
    return {name: getattr(work, name) for name in Work.__slots__}
