"""The dynamic price of a token with its factors side by side."""

from __future__ import annotations

from dataclasses import dataclass

from economics import constants as c
from economics.units import BPS
from node.chain.units import format_units


@dataclass(frozen=True, slots=True)
class Pricing:
    """What a price depends on: busy and all places of the batch, the speed tier, final claims of the server."""

    busy: int
    slots: int
    tier: int
    finals: int


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a price in words."""

    name: str
    value: str
    because: str


def price_of(pricing: Pricing) -> int:
    """Wei a token."""
    busy, slots = min(pricing.busy, pricing.slots), pricing.slots
    reputation = c.PRICE_REPUTATION_BASE + c.PRICE_REPUTATION_SLOPE * min(pricing.finals, 100) // 100
    price = c.TOKEN_PRICE * (slots * slots + busy * busy) // (slots * slots)
    price = price * c.TIER_PRICES[pricing.tier - 1] // BPS * reputation // BPS
    return max(price, c.TOKEN_PRICE * c.PRICE_FLOOR // BPS)


def explain(pricing: Pricing) -> list[Factor]:
    """The factors whose product is the price, each with its reason, and the price itself."""
    used = pricing.busy / pricing.slots
    finals = min(pricing.finals, c.REPUTATION_FULL)
    standing = (c.PRICE_REPUTATION_BASE + c.PRICE_REPUTATION_SLOPE * finals / c.REPUTATION_FULL) / BPS
    floor = c.TOKEN_PRICE * c.PRICE_FLOOR // BPS
    price = price_of(pricing)
    return [
        Factor("base", format_units(c.TOKEN_PRICE), "price of a token where nothing raises or lowers it"),
        Factor("utilisation", f"× {1 + used * used:.4f}", f"{pricing.busy} of {pricing.slots} places are busy: 1 + u²"),
        Factor("speed", f"× {c.TIER_PRICES[pricing.tier - 1] / BPS:.2f}", f"tier {pricing.tier} of 4"),
        Factor("reputation", f"× {standing:.4f}", f"{pricing.finals} final claims of {c.REPUTATION_FULL}: 0.8 + 0.4·r"),
        Factor("floor", format_units(floor), "applies" if price == floor else "does not apply"),
        Factor("price", format_units(price), "a token"),
    ]
