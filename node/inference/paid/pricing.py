"""The dynamic price of a token in words, factor by factor."""

from __future__ import annotations

from dataclasses import dataclass

from economics import constants as c
from economics.pricing import Pricing, token_price
from economics.units import BPS
from node.chain.units import format_units


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a price: its name, its value, and where it comes from."""

    name: str
    value: str
    because: str


def explain(pricing: Pricing) -> list[Factor]:
    """The factors whose product is the price, each with its reason, and the price itself."""
    used = min(pricing.busy, pricing.slots) / pricing.slots
    floor, price = c.TOKEN_PRICE * c.PRICE_FLOOR // BPS, token_price(pricing)
    finals = f"{pricing.finals} final claims of {c.REPUTATION_FULL}: 0.8 + 0.4·r"
    return [
        Factor("base", format_units(c.TOKEN_PRICE), "price of a token where nothing raises or lowers it"),
        Factor("utilisation", f"× {1 + used * used:.4f}", f"{pricing.busy} of {pricing.slots} places are busy: 1 + u²"),
        Factor("speed", f"× {c.TIER_PRICES[pricing.tier - 1] / BPS:.2f}", f"tier {pricing.tier} of 4"),
        Factor("reputation", f"× {pricing.reputation / BPS:.4f}", finals),
        Factor("floor", format_units(floor), "applies" if price == floor else "does not apply"),
        Factor("price", format_units(price), "a token"),
    ]
