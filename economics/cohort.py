"""How many inner steps lie between two exchanges of updates."""

from economics import constants as c
from economics.units import Steps


def inner_steps(nodes: int) -> Steps:
    """H for a network of ``nodes``: rarer exchanges where many take part."""
    for below, steps in c.INNER_STEPS:
        if nodes < below:
            return steps
    return c.INNER_STEPS_LARGE


def segment_length(steps: int) -> Steps:
    """Steps of one audited segment of a claim of ``steps``, rounded up."""
    return Steps(-(-steps // c.CLAIM_SEGMENTS))
