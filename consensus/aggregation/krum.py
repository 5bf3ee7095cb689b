"""Krum (Blanchard, El Mhamdi, Guerraoui & Stainer 2017, "Machine learning with adversaries").

The score of a contribution is the sum of squared distances to its n - f - 2 closest others; the lowest is taken. Scores
count heads, not weights: f names attackers, and a weight must not draw the choice towards those who claim much.
"""

from dataclasses import dataclass

from torch import Tensor

from consensus.aggregation.contributions import Columns, flat_output
from consensus.aggregation.distances import Box, boxes, distances
from consensus.aggregation.ranking import Ranking
from consensus.errors import AggregationError


@dataclass(frozen=True, slots=True)
class Krum:
    """One contribution, clamped to its box. ``attackers``: most that may attack; there is no default."""

    attackers: int

    def __call__(self, parts: Columns) -> dict[str, Tensor]:
        """Fp32 by name, shaped as the updates. Raises AggregationError, also for fewer than 2 attackers + 3 parts."""
        boxed = boxes(parts)
        (chosen,) = closest(parts, boxed, self.attackers, 1)
        return {name: _row(parts, name, chosen, boxed[name]) for name in parts.shapes}


def closest(parts: Columns, boxed: dict[str, Box], attackers: int, count: int) -> list[int]:
    """The ``count`` contributions of the lowest scores. Raises AggregationError."""
    n = len(parts.weights)
    if attackers < 0 or n < 2 * attackers + 3:
        raise AggregationError(f"Krum against {attackers} attackers takes at least {2 * attackers + 3} parts, not {n}")
    table = distances(parts, boxed)
    scores = [_score(row[:at] + row[at + 1 :], n - attackers - 2) for at, row in enumerate(table)]
    return Ranking(parts).lowest(scores, count)


def _score(others: list[int], count: int) -> int:
    return sum(sorted(others)[:count])


def _row(parts: Columns, name: str, at: int, box: Box) -> Tensor:
    out = flat_output(parts.shapes[name])
    for first, rows in parts.tiles(name):
        out[first : first + rows[at].numel()] = rows[at].clamp(-box.limit, box.limit)
    return out.reshape(parts.shapes[name])
