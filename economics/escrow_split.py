"""How an answer's fee is shared. ``contracts/src/libraries/Split.sol`` is its twin, rounding included.

Every part is rounded down; what rounding leaves over goes back to the payer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from economics import constants as c
from economics.units import BPS, Wei


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of one fee in wei; ``layers`` in the order of the payees. All parts add up to the fee."""

    embedding: Wei
    head: Wei
    layers: tuple[Wei, ...]
    burned: Wei
    returned: Wei
    """The remainder of rounding, the payer's."""


def split(fee: Wei, layers: Sequence[int]) -> Shares:
    """The shares of ``fee`` wei among the embedding, the head, and payees that hold ``layers`` layers each.

    Raises ValueError on a negative fee, on no or too many payees, and on one that holds no layer.
    """
    if fee < 0 or not 1 <= len(layers) <= c.PAYEES_MAX or any(count < 1 for count in layers):
        raise ValueError(f"a fee is not negative, and 1 to {c.PAYEES_MAX} payees hold a layer or more each")
    embedding, head, burned = (fee * share // BPS for share in (c.SPLIT_EMBEDDING, c.SPLIT_HEAD, c.SPLIT_BURN))
    rest, held = fee - embedding - head - burned, sum(layers)
    parts = tuple(Wei(rest * count // held) for count in layers)
    return Shares(Wei(embedding), Wei(head), parts, Wei(burned), Wei(rest - sum(parts)))
