"""Weighted median by coordinate (Yin, Chen, Ramchandran & Bartlett 2018, "Byzantine-robust distributed learning:
towards optimal statistical rates")."""

from dataclasses import dataclass

from torch import Tensor

from consensus.aggregation.contributions import Columns
from consensus.aggregation.reference import MIDDLE
from consensus.aggregation.trimmed_mean import by_coordinate


@dataclass(frozen=True, slots=True)
class Median:
    """The value with half of the weight on either side; where the weight parts evenly, the mean of the two beside."""

    def __call__(self, parts: Columns) -> dict[str, Tensor]:
        """Fp32 by name, shaped as the updates. Raises AggregationError."""
        return by_coordinate(parts, MIDDLE)
