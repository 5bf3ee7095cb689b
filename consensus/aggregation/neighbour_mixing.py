"""Nearest-neighbour mixing before another rule (Allouah et al. 2023, "Fixing by mixing: a recipe for optimal Byzantine
ML under heterogeneity").

Every contribution is replaced by the weighted mean of its n - f nearest, itself among them; it keeps its weight. Mixed
values are computed as they are read, a run of columns at a time, so that n mixed updates never stand in memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from consensus.aggregation.contributions import Columns, Rows, Rule
from consensus.aggregation.distances import Box, boxes, distances
from consensus.aggregation.native import native_mix
from consensus.aggregation.proof import provider
from consensus.aggregation.ranking import Ranking
from consensus.arithmetic import kernels_rows
from consensus.errors import AggregationError

_GRID_BITS: Final = 30
"""The box's limit is 2**30 steps of the mean's grid."""
_COLUMNS: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Mixed:
    """``rule`` over mixed contributions. ``attackers``: most that may attack; there is no default."""

    attackers: int
    rule: Rule

    def __call__(self, parts: Columns) -> dict[str, Tensor]:
        """Fp32 by name, shaped as the updates. Raises AggregationError, also for fewer than 2 attackers + 1 parts."""
        n = len(parts.weights)
        if self.attackers < 0 or n < 2 * self.attackers + 1:
            raise AggregationError(f"{n} contributions cannot be mixed against {self.attackers} attackers")
        boxed = boxes(parts)
        ranking = Ranking(parts)
        near = torch.zeros((n, n), dtype=torch.int64)
        for at, row in enumerate(distances(parts, boxed)):
            near[at, ranking.lowest(row, n - self.attackers)] = 1
        return self.rule(_MixedColumns(parts, boxed, near))


@dataclass(frozen=True, eq=False)
class _MixedColumns:
    """``near`` [n, n]: whose values each mixed contribution averages."""

    parts: Columns
    boxed: dict[str, Box]
    near: Tensor

    @property
    def weights(self) -> tuple[int, ...]:
        return self.parts.weights

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.parts.shapes

    def tiles(self, name: str) -> Iterator[tuple[int, Rows]]:
        counts = torch.tensor(self.weights, dtype=torch.int64)
        for first, rows in self.parts.tiles(name):
            for at in range(0, rows[0].numel(), _COLUMNS):
                yield first + at, self._mix([row[at : at + _COLUMNS] for row in rows], counts, self.boxed[name])

    def _mix(self, rows: Rows, counts: Tensor, box: Box) -> Rows:
        if box.exponent is None:
            return [torch.zeros_like(row) for row in rows]
        steps = _GRID_BITS - box.exponent
        grid, library = kernels_rows.Grid(box.limit, 2.0**steps, 2.0**-steps), provider().library
        if library is not None:
            return list(native_mix(library, rows, counts, self.near, grid, torch.get_num_threads()))
        return list(kernels_rows.mix(rows, counts, self.near, grid))
