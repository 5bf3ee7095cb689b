"""What a token of an answer costs, in integers only, factor by factor."""

from dataclasses import dataclass

from economics import constants as c
from economics.units import BPS, Wei


@dataclass(frozen=True, slots=True)
class Pricing:
    """What a price depends on: busy and all places of the batch, the speed tier (1 to 4), the server's final claims.

    Raises ValueError on a value out of range.
    """

    busy: int
    slots: int
    tier: int
    finals: int

    def __post_init__(self) -> None:
        if not (0 <= self.busy and 1 <= self.slots and 0 <= self.finals):
            raise ValueError("places and claims are not negative, and there is one place at least")
        if not 1 <= self.tier <= len(c.TIER_PRICES):
            raise ValueError(f"tiers that answer are 1 to {len(c.TIER_PRICES)}")

    @property
    def reputation(self) -> int:
        """Factor in basis points: 0.8 + 0.4·r; r is full at 100 final claims."""
        finals = min(self.finals, c.REPUTATION_FULL)
        return c.PRICE_REPUTATION_BASE + c.PRICE_REPUTATION_SLOPE * finals // c.REPUTATION_FULL


def token_price(pricing: Pricing) -> Wei:
    """Wei a token: base × (1 + utilisation²) × tier × reputation, each rounded down, and never under half the base."""
    busy, slots = min(pricing.busy, pricing.slots), pricing.slots
    price = c.TOKEN_PRICE * (slots * slots + busy * busy) // (slots * slots)
    price = price * c.TIER_PRICES[pricing.tier - 1] // BPS * pricing.reputation // BPS
    return Wei(max(price, c.TOKEN_PRICE * c.PRICE_FLOOR // BPS))
