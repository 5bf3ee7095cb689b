"""What a volunteer's record is worth, in basis points, and what follows from it. Pure integer functions.

It grows by a share of what is missing, so the first results count most and nobody reaches the top by volume alone; one
result that is proven false takes all of it.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

from economics.units import BPS, DAY, HOUR


@unique
class Outcome(StrEnum):
    """What became of an upload, as far as its sender's record goes."""

    VERIFIED = "verified"
    """Trained again by the gateway: equal bit for bit."""
    AGREED = "agreed"
    """Another volunteer's result is equal bit for bit."""
    UNCHECKED = "unchecked"
    """Taken on its sender's record."""
    UNPROVEN = "unproven"
    """Nothing was proven: the residual that an audit asked for did not come in time."""
    FALSE = "false"
    """Proven not to be what the batch gives."""


GAIN: Final[dict[Outcome, int]] = {Outcome.VERIFIED: 800, Outcome.AGREED: 500, Outcome.UNCHECKED: 50}
"""Share of what is missing to a full reputation, basis points."""
QUARANTINE_FIRST: Final = DAY
QUARANTINE_LONGEST: Final = 64 * DAY
UNPROVEN_QUARANTINE: Final = HOUR


def after(reputation: int, outcome: Outcome) -> int:
    """The reputation after an outcome, 0 to 10,000; gains are rounded up, so that it can reach the top."""
    if outcome is Outcome.FALSE:
        return 0
    if outcome is Outcome.UNPROVEN:
        return reputation // 2
    return reputation + -(-(BPS - reputation) * GAIN[outcome] // BPS)


def quarantine_seconds(outcome: Outcome, earlier: int) -> int:
    """How long a volunteer gets no work, after `earlier` results proven false: a day, doubling, at most 64."""
    if outcome is Outcome.UNPROVEN:
        return UNPROVEN_QUARANTINE
    if outcome is not Outcome.FALSE:
        return 0
    return min(QUARANTINE_FIRST << min(earlier, 30), QUARANTINE_LONGEST)


def replicas(reputation: int, trusted: int, wanted: int) -> int:
    """Equal results that a volunteer's batch needs: `wanted`, and one from reputation `trusted` on."""
    return 1 if reputation >= trusted else wanted


def recomputation_rate(reputation: int, new: int, full: int) -> int:
    """Share of results that the gateway trains again, basis points: from `new` at none down to `full` at full
    reputation, in a straight line."""
    return (new * (BPS - reputation) + full * reputation) // BPS
