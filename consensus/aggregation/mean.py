"""The weighted mean by coordinate: federated averaging (McMahan, Moore, Ramage, Hampson & y Arcas 2017,
"Communication-efficient learning of deep networks from decentralized data"), where the weights are samples.

It holds against nobody: one contribution of any size moves it anywhere. Use it where every update was checked.
"""

from dataclasses import dataclass

from torch import Tensor

from consensus.aggregation.contributions import Columns
from consensus.aggregation.reference import ALL
from consensus.aggregation.trimmed_mean import by_coordinate


@dataclass(frozen=True, slots=True)
class Mean:
    """Exact: a column is rounded to its own 30-bit grid, summed in integers and divided once."""

    def __call__(self, parts: Columns) -> dict[str, Tensor]:
        """Fp32 by name, shaped as the updates. Raises AggregationError."""
        return by_coordinate(parts, ALL)
