"""Multi-Krum (Blanchard, El Mhamdi, Guerraoui & Stainer 2017, "Machine learning with adversaries").

The weighted mean of the contributions that Krum likes best.
"""

from dataclasses import dataclass

from torch import Tensor

from consensus.aggregation.contributions import Columns, flat_output
from consensus.aggregation.distances import Box, boxes
from consensus.aggregation.krum import closest
from consensus.aggregation.reference import ALL
from consensus.aggregation.window import window_mean
from consensus.errors import AggregationError


@dataclass(frozen=True, slots=True)
class MultiKrum:
    """``attackers``: most that may attack; there is no default. ``keep``: how many are joined, by default all but those
    many."""

    attackers: int
    keep: int | None = None

    def __call__(self, parts: Columns) -> dict[str, Tensor]:
        """Fp32 by name, shaped as the updates. Raises AggregationError."""
        n = len(parts.weights)
        keep = n - self.attackers if self.keep is None else self.keep
        if not 1 <= keep <= n:
            raise AggregationError(f"{keep} of {n} contributions cannot be kept")
        boxed = boxes(parts)
        chosen = closest(parts, boxed, self.attackers, keep)
        return {name: _mean(parts, name, chosen, boxed[name]) for name in parts.shapes}


def _mean(parts: Columns, name: str, chosen: list[int], box: Box) -> Tensor:
    out = flat_output(parts.shapes[name])
    weights = [parts.weights[at] for at in chosen]
    for first, rows in parts.tiles(name):
        mean = window_mean([rows[at] for at in chosen], weights, ALL, box.limit)
        out[first : first + mean.numel()] = mean
    return out.reshape(parts.shapes[name])
