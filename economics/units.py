"""Unit types. A bare ``int`` in a money rule is a bug waiting to happen, so every number carries its unit's name."""

from typing import Final, NewType

Wei = NewType("Wei", int)
"""1e-18 NEURO."""
Wad = NewType("Wad", int)
"""A dimensionless fraction times 1e18."""
BasisPoints = NewType("BasisPoints", int)
"""A dimensionless fraction times 10,000."""
Seconds = NewType("Seconds", int)
Milliseconds = NewType("Milliseconds", int)
Epoch = NewType("Epoch", int)
"""Index of an emission epoch, 0 at deployment."""
Steps = NewType("Steps", int)
"""Inner training steps; one step is one batch."""

WEI_PER_NEURO: Final = 10**18
WAD: Final = Wad(10**18)
BPS: Final = BasisPoints(10_000)
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY


def neuro(whole: int, over: int = 1) -> Wei:
    """``whole / over`` NEURO in wei. Raises ValueError when that is no whole number of wei."""
    amount, rest = divmod(whole * WEI_PER_NEURO, over)
    if rest:
        raise ValueError(f"{whole}/{over} NEURO is not a whole number of wei")
    return Wei(amount)
