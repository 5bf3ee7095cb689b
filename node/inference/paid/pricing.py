"""The dynamic price of a token with its factors side by side."""

from __future__ import annotations

from dataclasses import dataclass

from economics import constants as c
from economics.units import BPS


@dataclass(frozen=True, slots=True)
class Pricing:
    """What a price depends on: busy and all places of the batch, the speed tier, final claims of the server."""

    busy: int
    slots: int
    tier: int
    finals: int


def price_of(pricing: Pricing) -> int:
    """Wei a token."""
    busy, slots = min(pricing.busy, pricing.slots), pricing.slots
    reputation = c.PRICE_REPUTATION_BASE + c.PRICE_REPUTATION_SLOPE * min(pricing.finals, 100) // 100
    price = c.TOKEN_PRICE * (slots * slots + busy * busy) // (slots * slots)
    price = price * c.TIER_PRICES[pricing.tier - 1] // BPS * reputation // BPS
    return max(price, c.TOKEN_PRICE * c.PRICE_FLOOR // BPS)
