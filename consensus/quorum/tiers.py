"""Speed tiers: by the time of one layer's forward pass, and which tiers may share a quorum."""

from typing import Final

from economics import constants as c

SLOWEST: Final = len(c.TIER_LIMITS) + 1
"""T5: too slow for a quorum."""
_PARTNERS: Final = dict(c.TIER_PARTNERS)


def tier_of(layer_us: int) -> int:
    """1 to 5, from the microseconds of one layer's forward pass. Raises ValueError below 0."""
    if layer_us < 0:
        raise ValueError("a time cannot be negative")
    return 1 + sum(layer_us >= limit * 1_000 for limit in c.TIER_LIMITS)


def tier_limit_us(tier: int) -> int:
    """Microseconds that a layer of this tier takes at most; the slowest tier counts as its lower limit.

    Raises ValueError for a tier outside 1 to 5.
    """
    if not 1 <= tier <= SLOWEST:
        raise ValueError(f"there is no tier {tier}")
    return c.TIER_LIMITS[min(tier, len(c.TIER_LIMITS)) - 1] * 1_000


def partners(tier: int) -> tuple[int, ...]:
    """Tiers that a node of this tier may share a quorum with; none for the slowest."""
    return _PARTNERS.get(tier, ())


def match(a: int, b: int) -> bool:
    """Whether two tiers may be in one quorum: each names the other."""
    return b in partners(a) and a in partners(b)


def groups(tier: int) -> list[frozenset[int]]:
    """The largest sets of tiers around ``tier`` in which every two match, fastest first."""
    pairs = [frozenset({tier, other}) for other in partners(tier) if other != tier and match(tier, other)]
    alone = [frozenset({tier})] if match(tier, tier) else []
    return sorted(pairs or alone, key=lambda group: (sum(group), min(group)))


def is_slow(layer_us: int, tier: int) -> bool:
    """Whether a member of ``tier`` runs over twice its tier's time."""
    return layer_us > c.MEMBER_SLOW_FACTOR * tier_limit_us(tier)
