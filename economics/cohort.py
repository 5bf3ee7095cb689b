"""How many inner steps lie between two exchanges of updates, and what an update counts by its age."""

from economics import constants as c
from economics.units import BasisPoints, Steps


def inner_steps(nodes: int) -> Steps:
    """H for a network of ``nodes``: rarer exchanges where many take part."""
    for below, steps in c.INNER_STEPS:
        if nodes < below:
            return steps
    return c.INNER_STEPS_LARGE


def segment_length(steps: int) -> Steps:
    """Steps of one audited segment of a claim of ``steps``, rounded up."""
    return Steps(-(-steps // c.CLAIM_SEGMENTS))


def update_freshness(age: int) -> BasisPoints:
    """What an update counts that is ``age`` seconds old, in basis points. Raises ValueError on a negative age."""
    if age < 0:
        raise ValueError("an update's age cannot be negative")
    return next((factor for below, factor in c.UPDATE_FRESHNESS if age < below), c.UPDATE_FRESHNESS_OLD)
