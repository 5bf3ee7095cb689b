"""The price of a token: the rule in fractions, its floor, its range."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from economics import constants as c
from economics.pricing import Pricing, token_price
from economics.units import neuro

PRICINGS = st.builds(Pricing, st.integers(0, 300), st.integers(1, 256), st.integers(1, 4), st.integers(0, 10_000))


@given(PRICINGS)
def test_price_is_the_rule_rounded_down(p: Pricing) -> None:
    u, r = Fraction(min(p.busy, p.slots), p.slots), Fraction(min(p.finals, 100), 100)
    factor = (Fraction(3, 2), Fraction(13, 10), Fraction(1), Fraction(4, 5))[p.tier - 1]
    exact = c.TOKEN_PRICE * (1 + u * u) * factor * (Fraction(4, 5) + Fraction(2, 5) * r)
    floor = c.TOKEN_PRICE // 2
    assert token_price(p) <= max(exact, floor) < token_price(p) + 5


@given(PRICINGS, st.integers(0, 300))
def test_more_demand_never_costs_less(p: Pricing, more: int) -> None:
    assert token_price(p) <= token_price(Pricing(p.busy + more, p.slots, p.tier, p.finals))


def test_the_extremes() -> None:
    assert token_price(Pricing(8, 8, 1, 100)) == neuro(36, 100_000)
    assert token_price(Pricing(0, 8, 4, 0)) == neuro(64, 1_000_000)
    assert token_price(Pricing(4, 8, 1, 50)) == neuro(1875, 10_000_000)


@pytest.mark.parametrize("values", [(-1, 1, 1, 0), (0, 0, 1, 0), (0, 1, 0, 0), (0, 1, 5, 0), (0, 1, 1, -1)])
def test_out_of_range_is_refused(values: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"negative|tiers"):
        Pricing(*values)
